//! A server that is a process of ours: how it is started, what it may write, and that it ends with us.
//!
//! Deliberately not here: a second try (`connection.rs` has it).

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::shell::Environment;
use crate::text::one_line;

/// Most bytes of one message, which is one line. A server that writes a longer one is ended.
const LINE_BYTES: usize = 8 << 20;
/// Bytes kept of the end of standard error, to say why a server died.
const STDERR_BYTES: usize = 4 * 1024;
/// Most characters of it that are shown.
const WORDS_CHARS: usize = 200;

/// The command of a server. The one place where it gets its surroundings: a clean environment, a process group of its own.
fn launch(command: &[String], environment: &[(String, String)], folder: &Path) -> Command {
    let (program, arguments) = command.split_first().map_or(("", command), |(program, arguments)| (program.as_str(), arguments));
    let Environment { path, lang } = Environment::default();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear();
    command.env("PATH", path).env("LANG", lang).env("HOME", folder).env("TMPDIR", "/tmp");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    command
}

/// A running server. Dropping it kills it and what it has started.
pub(super) struct Process {
    child: Child,
    /// What it says of itself.
    pub(super) words: Arc<Words>,
}

impl Process {
    /// Starts a server.
    pub(super) fn start(
        command: &[String],
        environment: &[(String, String)],
        folder: &Path,
    ) -> io::Result<(Self, Lines<ChildStdout>, ChildStdin)> {
        let mut child = launch(command, environment, folder).spawn()?;
        let words = Arc::new(Words::default());
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        // Ends when the last process that holds the pipe does.
        tokio::spawn(drain(errors, Arc::clone(&words)));
        let lines = Lines { inner: output, length: 0, words: Arc::clone(&words) };
        Ok((Self { child, words }, lines, input))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It was never waited for, so its number is still its own and its group's.
        #[cfg(unix)]
        if let Some(group) = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
            // A group that has ended needs no signal.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.start_kill();
    }
}

/// The end of what a server wrote to standard error, and what it did wrong.
#[derive(Default)]
pub(super) struct Words {
    errors: Mutex<Vec<u8>>,
    fault: Mutex<Option<String>>,
}

impl Words {
    /// Why the server is gone, as far as is known: one line.
    pub(super) fn say(&self) -> Option<String> {
        if let Some(fault) = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Some(fault);
        }
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&errors);
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        let short: String = line.chars().take(WORDS_CHARS).collect();
        Some(format!("its last words: {}", one_line(&short)))
    }

    fn push(&self, bytes: &[u8]) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.extend_from_slice(bytes);
        let surplus = errors.len().saturating_sub(STDERR_BYTES);
        errors.drain(..surplus);
    }
}

/// Reads standard error, so that the server is not held up by a full pipe.
async fn drain(mut errors: ChildStderr, words: Arc<Words>) {
    let mut block = [0; 4096];
    while let Ok(count) = errors.read(&mut block).await {
        if count == 0 {
            return;
        }
        words.push(&block[..count]);
    }
}

/// A stream of lines, none of which may be endless. `rmcp` would pass over one that is too long, and its call would wait.
pub(super) struct Lines<R> {
    inner: R,
    length: usize,
    words: Arc<Words>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Lines<R> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let new = &buffer.filled()[before..];
        self.length = match memchr::memrchr(b'\n', new) {
            Some(last) => new.len() - last - 1,
            None => self.length + new.len(),
        };
        if self.length > LINE_BYTES {
            let says = format!("it wrote a message of more than {LINE_BYTES} bytes");
            *self.words.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(says.clone());
            return Poll::Ready(Err(io::Error::other(says)));
        }
        Poll::Ready(Ok(()))
    }
}
