//! A server that is a process of ours: how it is started, what it may write, and that it ends with us.
//!
//! Deliberately not here: a second try (`connection.rs` has it).

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};

use crate::sandbox::{Call, Confined, Keep, Network, Sandbox};
use crate::shell::Environment;
use crate::text::one_line;

/// Most bytes of one message, which is one line. A server that writes a longer one is ended.
const LINE_BYTES: usize = 8 << 20;
/// Bytes kept of the end of standard error, to say why a server died.
const STDERR_BYTES: usize = 4 * 1024;
/// Most characters of it that are shown.
const WORDS_CHARS: usize = 200;

/// What a server is started with.
pub(super) struct Launch<'a> {
    pub(super) command: &'a [String],
    pub(super) environment: &'a [(String, String)],
    pub(super) folder: &'a Path,
    pub(super) sandbox: &'a Sandbox,
    pub(super) network: &'a Network,
}

/// A running server. Dropping it kills it and what it has started.
pub(super) struct Process {
    child: Child,
    _keep: Keep,
    /// What it says of itself.
    pub(super) words: Arc<Words>,
}

impl Process {
    /// Starts a server: in the sandbox, with a clean environment.
    pub(super) fn start(launch: &Launch<'_>) -> io::Result<(Self, Lines<ChildStdout>, ChildStdin)> {
        let Environment { path, lang } = Environment::default();
        let folder = launch.folder.as_os_str().to_owned();
        let own = [("PATH", path), ("LANG", lang), ("HOME", folder), ("TMPDIR", "/tmp".into())];
        let mut environment: Vec<(OsString, OsString)> = own.map(|(name, value)| (name.into(), value)).into();
        environment.extend(launch.environment.iter().map(|(name, value)| (name.into(), value.into())));
        let arguments: Vec<OsString> = launch.command.iter().skip(1).map(Into::into).collect();
        let call = Call {
            program: launch.command.first().map_or("", String::as_str).as_ref(),
            arguments: &arguments,
            workspace: launch.folder,
            environment: &environment,
            network: launch.network,
            control: false,
        };
        let Confined { mut command, keep, .. } = launch.sandbox.command(&call).map_err(io::Error::other)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let words = Arc::new(Words::default());
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        // Ends when the last process that holds the pipe does.
        tokio::spawn(drain(errors, Arc::clone(&words)));
        let lines = Lines { inner: output, length: 0, words: Arc::clone(&words) };
        Ok((Self { child, _keep: keep, words }, lines, input))
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
