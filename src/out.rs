//! Where a command writes and reads: this process's own streams, or those of a client of `paguro serve`, for whom the process runs
//! the command on a thread of its own.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use channels::Desk;
use channels::socket::{CommandLine, LINE_BYTES, Reply, Wire, Word};
use channels::terminal::Interrupt;

use crate::commands::serve::About;
use std::io::BufRead as _;

thread_local! {
    /// The client whose command this thread runs.
    static CLIENT: RefCell<Option<Rc<Client>>> = const { RefCell::new(None) };
}

/// A client of `paguro serve` and its command.
pub struct Client {
    stream: UnixStream,
    words: RefCell<Option<Receiver<Option<String>>>>,
    command: CommandLine,
    /// Is raised when the client goes away.
    pub interrupt: Interrupt,
    /// The process that serves.
    pub desk: Desk,
    pub about: Arc<About>,
}

/// Runs `work` for a client: what it writes goes there. Its status is the command's.
pub fn serve_client(wire: Wire, command: CommandLine, (desk, about): (Desk, Arc<About>), work: impl FnOnce(Vec<String>) -> u8) {
    let Ok((stream, input)) = wire.0.try_clone().and_then(|out| Ok((out, wire.0.try_clone()?))) else { return };
    let (words, heard) = sync_channel(1);
    let interrupt = Interrupt::new();
    let raise = interrupt.clone();
    let listens = std::thread::Builder::new().name("client".to_owned()).spawn(move || {
        for line in io::BufReader::new(input).take(LINE_BYTES as u64).split(b'\n').map_while(Result::ok) {
            if let Ok(Word::Input(text)) = serde_json::from_slice(&line)
                && words.send(text).is_err()
            {
                return;
            }
        }
        raise.raise();
    });
    if listens.is_err() {
        return; // the client sees that the connection ends
    }
    let arguments = command.arguments.clone();
    let client = Rc::new(Client { stream, words: RefCell::new(Some(heard)), command, interrupt, desk, about });
    CLIENT.set(Some(client));
    let status = work(arguments);
    CLIENT.set(None);
    let _ = send(&mut &wire.0, &Reply::Exit { status });
    // Ends the thread that listens.
    let _ = wire.0.shutdown(Shutdown::Both);
}

/// The client whose command this thread runs, if it does.
pub fn client() -> Option<Rc<Client>> {
    CLIENT.with_borrow(Clone::clone)
}

fn send(stream: &mut impl Write, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Standard output (1) or standard error (2), wherever it is.
pub struct Out {
    stream: u8,
    client: Option<Rc<Client>>,
    /// What has been written and not sent.
    begun: Vec<u8>,
}

/// Bytes that are sent at once.
const SENT: usize = 64 << 10;

pub fn stdout() -> Out {
    Out { stream: 1, client: client(), begun: Vec::new() }
}

pub fn stderr() -> Out {
    Out { stream: 2, client: client(), begun: Vec::new() }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (&self.client, self.stream) {
            (None, 1) => io::stdout().write(bytes),
            (None, _) => io::stderr().write(bytes),
            (Some(_), _) => {
                self.begun.extend_from_slice(bytes);
                if self.begun.len() >= SENT {
                    self.flush()?;
                }
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match (&self.client, self.stream) {
            (None, 1) => io::stdout().flush(),
            (None, _) => io::stderr().flush(),
            (Some(client), stream) => {
                // A character may be cut in two by whoever writes: it goes with the rest of it.
                let whole = match std::str::from_utf8(&self.begun) {
                    Ok(_) => self.begun.len(),
                    Err(error) if error.error_len().is_none() => error.valid_up_to(),
                    Err(_) => self.begun.len(),
                };
                let text: Vec<u8> = self.begun.drain(..whole).collect();
                if text.is_empty() {
                    return Ok(());
                }
                send(&mut &client.stream, &Reply::Output { stream, text: String::from_utf8_lossy(&text).into_owned() })
            }
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        // A client that is gone reads nothing.
        let _ = self.flush();
    }
}

/// Standard input.
pub fn stdin() -> Box<dyn Read + Send> {
    let Some(client) = client() else { return Box::new(io::stdin()) };
    let (Ok(stream), Some(words)) = (client.stream.try_clone(), client.words.take()) else { return Box::new(io::empty()) };
    Box::new(Input { stream, words, text: io::Cursor::default(), asked: false })
}

/// A client's standard input: asked for when it is read.
struct Input {
    stream: UnixStream,
    words: Receiver<Option<String>>,
    text: io::Cursor<Vec<u8>>,
    asked: bool,
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.asked {
            self.asked = true;
            send(&mut self.stream, &Reply::Input { line: false })?;
            self.text = io::Cursor::new(self.words.recv().ok().flatten().unwrap_or_default().into_bytes());
        }
        self.text.read(out)
    }
}

/// A line that the person types; `None`: nothing more comes.
pub fn read_line() -> Option<String> {
    let Some(client) = client() else {
        let mut line = String::new();
        return io::stdin().lock().read_line(&mut line).is_ok().then_some(line);
    };
    send(&mut &client.stream, &Reply::Input { line: true }).ok()?;
    client.words.borrow().as_ref()?.recv().ok()?
}

pub fn stdin_is_terminal() -> bool {
    client().map_or_else(|| io::stdin().is_terminal(), |client| client.command.terminals[0])
}

pub fn stderr_is_terminal() -> bool {
    client().map_or_else(|| io::stderr().is_terminal(), |client| client.command.terminals[2])
}

/// Whether the person is at this very machine's terminal, where a program can be started.
pub fn is_here() -> bool {
    client().is_none()
}

/// A path as it was typed.
pub fn path(typed: &Path) -> PathBuf {
    match client() {
        Some(client) if typed != Path::new("-") => client.command.folder.join(typed),
        _ => typed.to_owned(),
    }
}
