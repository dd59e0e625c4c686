//! What the inside of the sandbox tells: how the command ended, while its background processes may go on, or why it was stopped.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long the last words are waited for, when the process has ended.
const PATIENCE: Duration = Duration::from_millis(100);
/// Bytes of a line at most; the inside writes none so long.
const LINE: usize = 1024;

/// A line of the inside's.
pub(super) enum Told {
    Exit(ExitStatus),
    Stopped(String),
}

/// The outside's end; without a stream nothing is ever told.
pub(super) struct Control {
    stream: Option<UnixStream>,
    tells: bool,
    line: Vec<u8>,
}

impl Control {
    /// And the inside's end, which is its standard input.
    pub(super) fn new(tells: bool) -> io::Result<(Self, Stdio)> {
        if !tells {
            return Ok((Self { stream: None, tells, line: Vec::new() }, Stdio::null()));
        }
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let stream = Some(UnixStream::from_std(ours)?);
        Ok((Self { stream, tells, line: Vec::new() }, OwnedFd::from(theirs).into()))
    }

    pub(super) fn tells(&self) -> bool {
        self.tells
    }

    /// The next line; waits for ever if there is none. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                if let Some(told) = read(&line) {
                    return told;
                }
                continue;
            }
            let Some(stream) = &mut self.stream else { return std::future::pending().await };
            if self.line.len() > LINE || !matches!(stream.read_buf(&mut self.line).await, Ok(1..)) {
                self.stream = None;
            }
        }
    }

    /// The command's status when the process has ended with `status`: what the inside said of it is more exact.
    pub(super) async fn last(&mut self, status: ExitStatus) -> io::Result<ExitStatus> {
        if self.stream.is_none() {
            return Ok(status);
        }
        match timeout(PATIENCE, self.next()).await {
            Ok(Told::Exit(status)) => Ok(status),
            _ => Ok(status),
        }
    }
}

fn read(line: &[u8]) -> Option<Told> {
    let line = std::str::from_utf8(line).ok()?.trim_end();
    match line.split_once(' ')? {
        ("exit", raw) => Some(Told::Exit(ExitStatus::from_raw(raw.parse().ok()?))),
        ("stopped", reason) => Some(Told::Stopped(reason.to_owned())),
        _ => None,
    }
}
