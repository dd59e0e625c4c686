//! The controlling terminal, for questions whose answer must come from a person even when standard input is a pipe.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{FlushArg, SetArg, Termios, tcflush, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

/// Most bytes of an answer; what comes after them on the line is dropped. The kernel's own line buffer is no longer.
const ANSWER_BYTES: usize = 4_096;

/// Tells the terminal to stop marking what is pasted.
const BRACKETED_PASTE_OFF: &str = "\x1b[?2004l\r\n";

/// A terminal to ask on; its clones are the same terminal.
#[derive(Debug, Clone)]
pub(super) struct Terminal {
    input: Arc<File>,
    output: Arc<File>,
    colour: bool,
}

impl Terminal {
    /// The controlling terminal of this process, if there is one.
    pub(super) fn open() -> Option<Self> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        Some(Self::new(tty.try_clone().ok()?, tty))
    }

    /// A terminal that reads and writes these files.
    pub(super) fn new(input: File, output: File) -> Self {
        Self { input: Arc::new(input), output: Arc::new(output), colour: false }
    }

    /// The same with or without colours; at first it is without.
    pub(super) fn with_colour(self, colour: bool) -> Self {
        Self { colour, ..self }
    }

    /// Whether colours may be used.
    pub(super) fn colour(&self) -> bool {
        self.colour
    }

    /// Writes `text` as it is.
    pub(super) fn write(&self, text: &str) -> io::Result<()> {
        (&*self.output).write_all(text.as_bytes())
    }

    /// Forgets what was typed before the question was there: it cannot be meant as its answer.
    pub(super) fn forget_typed(&self) {
        // Fails on what is no terminal, where nothing is typed.
        let _ = tcflush(&self.input, FlushArg::TCIFLUSH);
    }

    /// The next line without its end; `None` at the end of input. Dropping the future ends the reading, and nothing of
    /// what is typed afterwards is lost to it.
    pub(super) async fn read_line(&self) -> io::Result<Option<String>> {
        let input = Arc::clone(&self.input);
        // Reading blocks, so it has a thread; the thread ends when `_alive` is dropped.
        let (cancelled, _alive) = io::pipe()?;
        let (reply, line) = oneshot::channel();
        std::thread::Builder::new().name("question".into()).spawn(move || {
            // Nobody waits any more if it cannot be sent.
            let _ = reply.send(line_until(&input, &cancelled));
        })?;
        line.await.unwrap_or(Ok(None))
    }
}

/// Leaves the terminal as it was found: a line editor that is cut off cannot do so itself.
#[derive(Debug)]
pub(super) struct KeepMode {
    terminal: Terminal,
    mode: Termios,
}

impl KeepMode {
    /// Notes the mode; `None`: there is no terminal.
    pub(super) fn new() -> Option<Self> {
        let terminal = Terminal::open()?;
        let mode = tcgetattr(&terminal.input).ok()?;
        Some(Self { terminal, mode })
    }
}

impl Drop for KeepMode {
    fn drop(&mut self) {
        let changed = tcgetattr(&self.terminal.input).is_ok_and(|mode| mode != self.mode);
        if changed {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(&self.terminal.input, SetArg::TCSANOW, &self.mode);
            let _ = self.terminal.write(BRACKETED_PASTE_OFF);
        }
    }
}

fn line_until(mut input: &File, cancelled: &PipeReader) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        if !wait(input, cancelled)? {
            return Ok(None);
        }
        // One byte at a time: what follows the line is not ours.
        let mut byte = [0];
        match input.read(&mut byte) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() < ANSWER_BYTES => line.push(byte[0]),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

/// Waits until `input` can be read; `false`: nobody waits for it any more.
fn wait(input: &File, cancelled: &PipeReader) -> io::Result<bool> {
    loop {
        let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN), PollFd::new(cancelled.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) if fds[1].any() == Some(true) => return Ok(false),
            // Also an error or, on a system that cannot poll a terminal, POLLNVAL: reading will tell.
            Ok(_) if fds[0].any() != Some(false) => return Ok(true),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
