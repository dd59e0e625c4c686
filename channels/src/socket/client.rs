//! The client's side of the socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use agent::memory::OutboundRow;
use agent::{AgentError, Answer, Event, Outcome, Question};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::{LINE_BYTES, Line, Reply, Request, TurnLimits, Word, place};

/// Why the running process gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection.
    #[error("the connection to the running `paguro serve` broke ({0}); `paguro serve` keeps what it has accepted")]
    Broken(io::Error),
    /// It said no.
    #[error("{message}")]
    Refused {
        /// A word that scripts may match.
        code: String,
        /// One sentence.
        message: String,
    },
    /// It is another version.
    #[error("the running `paguro serve` says something that this version does not know ({0}); restart it")]
    Strange(String),
}

impl From<ClientError> for AgentError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { code, message } => Self::Elsewhere { code, message },
            other => Self::Elsewhere { code: "serve".into(), message: other.to_string() },
        }
    }
}

/// The process that serves a home.
#[derive(Debug)]
pub struct Client {
    folder: PathBuf,
    /// The model that it has loaded; empty while it is being loaded.
    pub model: String,
    /// The connection of the turn that was accepted last.
    asked: Mutex<Option<(i64, Connection)>>,
}

/// One request and its answers.
#[derive(Debug)]
pub struct Connection {
    lines: BufReader<OwnedReadHalf>,
    out: OwnedWriteHalf,
    /// What has been read of a line.
    begun: Vec<u8>,
}

impl Client {
    /// The process that serves the home whose data lie in `folder`; `None`: there is none.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn find(folder: &Path) -> Result<Option<Self>, ClientError> {
        if place::connect(folder).await.map_err(ClientError::Broken)?.is_none() {
            return Ok(None);
        }
        let mut client = Self { folder: folder.to_owned(), model: String::new(), asked: Mutex::default() };
        let Reply::Health { model, .. } = client.one(Request::Health).await? else { return Err(strange("no health")) };
        client.model = model.unwrap_or_default();
        Ok(Some(client))
    }

    /// Opens a connection with a request.
    ///
    /// # Errors
    /// If there is no process, or none any more.
    pub async fn open(&self, request: &Request) -> Result<Connection, ClientError> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "it has ended");
        let stream = place::connect(&self.folder).await.and_then(|stream| stream.ok_or_else(gone)).map_err(ClientError::Broken)?;
        let mut connection = Connection::new(stream);
        connection.say(request).await?;
        Ok(connection)
    }

    /// A request with one answer.
    ///
    /// # Errors
    /// The connection's, or what the process says.
    pub async fn one(&self, request: Request) -> Result<Reply, ClientError> {
        match self.open(&request).await?.next().await? {
            Line::Reply(reply) => Ok(reply),
            Line::Event(Event::Error { code, message }) => Err(ClientError::Refused { code, message }),
            Line::Event(event) => Err(strange(&format!("{event:?}"))),
        }
    }

    /// Gives a message; once this returns it cannot be lost. Its turn.
    ///
    /// # Errors
    /// As [`Client::one`].
    pub async fn accept(&self, session: &str, text: String, data: Option<String>, limits: TurnLimits) -> Result<i64, ClientError> {
        let mut connection = self.open(&Request::Ask { session: session.to_owned(), text, data, limits }).await?;
        let turn = match connection.next().await? {
            Line::Reply(Reply::Accepted { turn }) => turn,
            Line::Event(Event::Error { code, message }) => return Err(ClientError::Refused { code, message }),
            other => return Err(strange(&format!("{other:?}"))),
        };
        if let Ok(mut asked) = self.asked.lock() {
            *asked = Some((turn, connection));
        }
        Ok(turn)
    }

    /// Follows a turn to its end, as [`agent::Agent::drive`] does. Dropping the future stops the turn.
    ///
    /// # Errors
    /// What ended it.
    pub async fn drive(
        &self,
        turn: i64,
        events: &mpsc::Sender<Event>,
        mut ask: impl AsyncFnMut(&Question) -> Option<Answer>,
    ) -> Result<Outcome, AgentError> {
        let asked = self.asked.lock().ok().and_then(|mut asked| asked.take_if(|(asked, _)| *asked == turn));
        let mut connection = match asked {
            Some((_, connection)) => connection,
            None => self.open(&Request::Watch { turn }).await?,
        };
        loop {
            match connection.next().await? {
                Line::Event(Event::Result(result)) => return Ok(Outcome::Finished(result)),
                Line::Event(Event::Error { code, message }) => return Err(AgentError::Elsewhere { code, message }),
                // A closed receiver is nobody listening: the turn goes on.
                Line::Event(event) => drop(events.send(event).await),
                Line::Reply(Reply::Question(question)) => {
                    let Some(answer) = ask(&question).await else {
                        connection.say(&Word::Leave).await?;
                        return Ok(Outcome::Waiting(question));
                    };
                    connection.say(&Word::Answer { question: question.id(), answer }).await?;
                }
                Line::Reply(_) => {}
            }
        }
    }

    /// See [`Request::Unsent`].
    ///
    /// # Errors
    /// As [`Client::one`].
    pub async fn unsent(&self, session: &str) -> Result<Vec<OutboundRow>, ClientError> {
        match self.one(Request::Unsent { session: session.to_owned() }).await? {
            Reply::Unsent { rows } => Ok(rows),
            other => Err(strange(&format!("{other:?}"))),
        }
    }

    /// See [`Request::Open`].
    ///
    /// # Errors
    /// As [`Client::one`].
    pub async fn open_turns(&self, session: &str) -> Result<Vec<(i64, String)>, ClientError> {
        match self.one(Request::Open { session: session.to_owned() }).await? {
            Reply::Open { turns } => Ok(turns),
            other => Err(strange(&format!("{other:?}"))),
        }
    }
}

fn strange(what: &str) -> ClientError {
    ClientError::Strange(what.chars().take(100).collect())
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Self {
        let (read, out) = stream.into_split();
        Self { lines: BufReader::new(read), out, begun: Vec::new() }
    }

    /// Says something.
    ///
    /// # Errors
    /// The connection's.
    pub async fn say(&mut self, what: &impl serde::Serialize) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(what).map_err(|error| strange(&error.to_string()))?;
        line.push(b'\n');
        self.out.write_all(&line).await.map_err(ClientError::Broken)
    }

    /// The next line. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection's; its end is one.
    pub async fn next(&mut self) -> Result<Line, ClientError> {
        let ended = || ClientError::Broken(io::Error::from(io::ErrorKind::UnexpectedEof));
        let line = read_line(&mut self.lines, &mut self.begun).await.map_err(ClientError::Broken)?.ok_or_else(ended)?;
        serde_json::from_slice(&line).map_err(|error| strange(&error.to_string()))
    }
}

/// One line without its end; `None`: the other side has ended. What has been read of it stands in `begun`, so dropping the future loses nothing.
pub(super) async fn read_line(lines: &mut BufReader<OwnedReadHalf>, begun: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let room = (LINE_BYTES - begun.len().min(LINE_BYTES)) as u64;
    let read = (&mut *lines).take(room).read_until(b'\n', begun).await?;
    if begun.last() == Some(&b'\n') {
        begun.pop();
        return Ok(Some(std::mem::take(begun)));
    }
    if begun.len() >= LINE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
    }
    match read {
        _ if begun.is_empty() => Ok(None),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
