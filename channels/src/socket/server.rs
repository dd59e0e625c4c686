//! The process's side of the socket.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use agent::memory::{Inbound, TurnState};
use agent::{AgentError, Answer, Event, Question};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::read_line;
use super::{CONNECTIONS, Line, Listener, PATIENCE, Reply, Request, TurnLimits, Word};
use crate::desk::{Desk, State};
use crate::retell::retell;
use crate::terminal::{CHANNEL, UndoFiles, carry_out_line, check_session_name};

/// A command of the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// The arguments, without the program's name.
    pub arguments: Vec<String>,
    /// Where it is run.
    pub folder: PathBuf,
    /// Whether standard input, output and error are terminals.
    pub terminals: [bool; 3],
}

/// What the executable does for clients.
pub struct Hooks {
    /// Runs a command of the command line and answers on the wire. Must not block: the command has a thread of its own.
    pub run: Box<dyn Fn(CommandLine, Wire) + Send + Sync>,
    /// What `/undo` does to files.
    pub undo_files: UndoFiles,
    /// Where the lines are kept that were written in chats.
    pub history_file: PathBuf,
}

/// A connection that a command answers on: `Reply`s out, [`Word::Input`] in, one JSON object a line.
#[derive(Debug)]
pub struct Wire(pub std::os::unix::net::UnixStream);

/// Takes connections until it is dropped, which ends them. One that misbehaves costs itself.
pub async fn serve(listener: Listener, desk: Desk, hooks: Hooks) {
    let hooks = Arc::new(hooks);
    let mut clients = JoinSet::new();
    loop {
        // What has ended makes room; they say nothing when they end.
        while clients.len() >= CONNECTIONS || clients.try_join_next().is_some() {
            if clients.len() >= CONNECTIONS {
                clients.join_next().await;
            }
        }
        match listener.listener.accept().await {
            Ok((stream, _)) => {
                let (desk, hooks) = (desk.clone(), Arc::clone(&hooks));
                clients.spawn(async move {
                    if let Err(error) = Served::new(stream, desk, hooks).answer().await {
                        tracing::debug!(%error, "a client of the socket went away");
                    }
                });
            }
            Err(error) => {
                // Too many open files, say: those that are there end some time.
                tracing::warn!(%error, "the socket takes no connection");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}

/// One connection.
struct Served {
    lines: BufReader<OwnedReadHalf>,
    out: OwnedWriteHalf,
    begun: Vec<u8>,
    desk: Desk,
    hooks: Arc<Hooks>,
}

impl Served {
    fn new(stream: UnixStream, desk: Desk, hooks: Arc<Hooks>) -> Self {
        let (read, out) = stream.into_split();
        Self { lines: BufReader::new(read), out, begun: Vec::new(), desk, hooks }
    }

    async fn answer(mut self) -> io::Result<()> {
        let line = match timeout(PATIENCE, read_line(&mut self.lines, &mut self.begun)).await {
            Ok(line) => line?,
            Err(_) => return self.refuse("bad_input", "no request within ten seconds").await,
        };
        let Some(line) = line else { return Ok(()) };
        let request = match serde_json::from_slice(&line) {
            Ok(request) => request,
            Err(error) => return self.refuse("bad_input", &format!("this is no request: {error}")).await,
        };
        let answered = match request {
            Request::Health => {
                let health = self.health();
                return self.reply(health).await;
            }
            Request::Run(command) => return self.run(command),
            Request::Ask { session, text, data, limits } => return self.ask(session, text, data, limits).await,
            Request::Watch { turn } => return self.watch(turn).await,
            Request::Stop { turn } => self.desk.stop(turn).await.map(|_| Reply::Done),
            Request::Unsent { session } => self.unsent(&session).await,
            Request::Confirm { outbound } => self.desk.store.confirm(outbound, None).await.map(|()| Reply::Done).map_err(AgentError::from),
            Request::Open { session } => self.open(&session).await,
            Request::Command { session, line } => self.command(&session, &line).await,
        };
        match answered {
            Ok(reply) => self.reply(reply).await,
            Err(error) => self.refuse(error.code(), &error.to_string()).await,
        }
    }

    async fn say(&mut self, line: &Line) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.out.write_all(&bytes).await
    }

    async fn reply(&mut self, reply: Reply) -> io::Result<()> {
        self.say(&Line::Reply(reply)).await
    }

    async fn refuse(&mut self, code: &str, message: &str) -> io::Result<()> {
        self.say(&Line::Event(Event::Error { code: code.to_owned(), message: message.to_owned() })).await
    }

    fn health(&self) -> Reply {
        let (state, done, model) = match &*self.desk.state.borrow() {
            State::Loading(done) => ("loading", *done, None),
            State::Ready(agent) => ("ready", 1.0, Some(agent.engine().info().name.clone())),
            State::Stopping => ("stopping", 1.0, None),
        };
        Reply::Health { state: state.to_owned(), done, model, pid: std::process::id() }
    }

    fn run(self, command: CommandLine) -> io::Result<()> {
        let stream = self.lines.into_inner().reunite(self.out).map_err(io::Error::other)?.into_std()?;
        stream.set_nonblocking(false)?;
        (self.hooks.run)(command, Wire(stream));
        Ok(())
    }

    async fn unsent(&self, session: &str) -> Result<Reply, AgentError> {
        let found = self.desk.store.find_session(&format!("{CHANNEL}/{session}")).await?;
        let rows = match found.filter(|row| row.channel == CHANNEL) {
            Some(row) => self.desk.store.unsent_of(row.id).await?,
            None => Vec::new(),
        };
        Ok(Reply::Unsent { rows })
    }

    async fn open(&self, session: &str) -> Result<Reply, AgentError> {
        let open = self.desk.store.open_turns(Some(&format!("{CHANNEL}/{session}"))).await?;
        Ok(Reply::Open { turns: open.into_iter().map(|row| (row.id, row.text)).collect() })
    }

    async fn command(&self, session: &str, line: &str) -> Result<Reply, AgentError> {
        let Some(agent) = self.desk.agent() else {
            return Ok(Reply::Said { text: "the model is still being loaded; say it again in a while".to_owned(), session: None });
        };
        let (text, session) = carry_out_line(&agent, session, line, &self.hooks.undo_files, &self.hooks.history_file).await?;
        Ok(Reply::Said { text, session })
    }

    async fn ask(mut self, session: String, text: String, data: Option<String>, limits: TurnLimits) -> io::Result<()> {
        if let Err(error) = check_session_name(&session) {
            return self.refuse("bad_input", &error.to_string()).await;
        }
        let inbound = Inbound { channel: CHANNEL.into(), session, text, data, ..Inbound::default() };
        match self.desk.accept_with(inbound, limits).await {
            Ok(accepted) => {
                self.reply(Reply::Accepted { turn: accepted.turn }).await?;
                self.watch(accepted.turn).await
            }
            Err(error) => self.refuse(error.code(), &error.to_string()).await,
        }
    }

    /// Shows a turn from its start to its end, and takes what its client says meanwhile.
    async fn watch(mut self, turn: i64) -> io::Result<()> {
        let watched = self.show(turn).await;
        if matches!(watched, Ok(Gone::Left)) {
            return Ok(());
        }
        if !matches!(watched, Ok(Gone::Not)) {
            self.leave(turn).await;
        }
        watched.map(|_| ())
    }

    /// The client is gone: so is its wish, unless somebody else has it too.
    async fn leave(&self, turn: i64) {
        if self.desk.live.followers(turn) > 0 {
            return;
        }
        let is_open = |row: &agent::memory::TurnRow| row.state == TurnState::Open && row.channel == CHANNEL;
        if let Ok(Some(row)) = self.desk.store.turn(turn).await
            && is_open(&row)
            && let Err(error) = self.desk.stop(turn).await
        {
            tracing::warn!(%error, turn, "a turn whose client is gone could not be stopped");
        }
    }

    async fn show(&mut self, turn: i64) -> io::Result<Gone> {
        let (mut changes, mut state) = (self.desk.live.changes(), self.desk.state.clone());
        let mut shown = Shown { turn, asked: Vec::new(), begun: false };
        loop {
            changes.mark_unchanged();
            state.mark_unchanged();
            if let Some(mut follower) = self.desk.live.follow(turn) {
                self.begin(&mut shown).await?;
                loop {
                    tokio::select! {
                        biased;
                        line = read_line(&mut self.lines, &mut self.begun) => match self.hear(&mut shown, line?).await? {
                            Gone::Not => {}
                            gone => return Ok(gone),
                        },
                        event = follower.next() => match event {
                            Some(event) => self.event(&mut shown, event, follower.outbound()).await?,
                            None => return Ok(Gone::Not),
                        },
                    }
                }
            }
            match self.desk.store.turn(turn).await.map_err(io::Error::other)? {
                None => {
                    self.refuse("no_turn", &AgentError::NoTurn(turn).to_string()).await?;
                    return Ok(Gone::Not);
                }
                Some(row) if row.state != TurnState::Open => {
                    self.begin(&mut shown).await?;
                    let steps = self.desk.store.steps(turn).await.map_err(io::Error::other)?;
                    for event in retell(&row, steps).map_err(io::Error::other)? {
                        self.say(&Line::Event(event)).await?;
                    }
                    return Ok(Gone::Not);
                }
                Some(_) => {}
            }
            let loading = match *self.desk.state.borrow() {
                State::Loading(done) => Some(done),
                _ => None,
            };
            if let Some(done) = loading {
                self.say(&Line::Event(Event::Progress { stage: agent::Stage::Load, done })).await?;
            }
            tokio::select! {
                line = read_line(&mut self.lines, &mut self.begun) => match self.hear(&mut shown, line?).await? {
                    Gone::Not => {}
                    gone => return Ok(gone),
                },
                // Their senders live as long as the process.
                _ = changes.changed() => {}
                _ = state.changed() => {}
            }
        }
    }

    /// The first event of every turn.
    async fn begin(&mut self, shown: &mut Shown) -> io::Result<()> {
        if shown.begun {
            return Ok(());
        }
        shown.begun = true;
        let row = self.desk.store.turn(shown.turn).await.map_err(io::Error::other)?;
        let session = row.map(|row| row.session_name).unwrap_or_default();
        let model = self.desk.agent().map(|agent| agent.engine().info().name.clone()).unwrap_or_default();
        self.say(&Line::Event(Event::Init { session, turn: shown.turn.to_string(), model })).await
    }

    async fn event(&mut self, shown: &mut Shown, event: Event, outbound: Option<i64>) -> io::Result<()> {
        let asked = match &event {
            Event::Approval { question, .. } => question.clone(),
            _ => None,
        };
        let is_end = matches!(event, Event::Result(_) | Event::Error { .. });
        if asked.as_ref().is_some_and(|id| shown.asked.contains(id)) {
            return Ok(());
        }
        self.say(&Line::Event(event)).await?;
        if let Some(id) = asked {
            if let Some(question) = self.question(&id).await? {
                self.reply(Reply::Question(Box::new(question))).await?;
            }
            shown.asked.push(id);
        }
        if let (true, Some(outbound)) = (is_end, outbound) {
            // What is written to the client counts as shown.
            self.desk.store.confirm(outbound, None).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// The question that is called `id`, if it waits still.
    async fn question(&self, id: &str) -> io::Result<Option<Question>> {
        let waiting = agent::questions(&self.desk.store).await.map_err(io::Error::other)?;
        Ok(waiting.into_iter().find(|question| question.id() == id))
    }

    /// Takes what the client says.
    async fn hear(&mut self, shown: &mut Shown, line: Option<Vec<u8>>) -> io::Result<Gone> {
        let Some(line) = line else { return Ok(Gone::Away) };
        match serde_json::from_slice(&line) {
            Ok(Word::Leave) => Ok(Gone::Left),
            Ok(Word::Answer { question, answer }) => {
                self.take(shown, &question, answer).await?;
                Ok(Gone::Not)
            }
            Ok(Word::Input(_)) => Ok(Gone::Not),
            Err(error) => {
                self.refuse("bad_input", &format!("this is no answer: {error}")).await?;
                Ok(Gone::Away)
            }
        }
    }

    /// Records an answer. One that comes too late changes nothing: the turn goes on by the one that came first.
    async fn take(&mut self, shown: &mut Shown, id: &str, answer: Answer) -> io::Result<()> {
        let question = self.question(id).await?.filter(|_| shown.asked.iter().any(|asked| asked == id));
        let Some(question) = question else { return Ok(()) };
        match self.desk.answer(&question, answer).await {
            Ok(()) | Err(AgentError::NotAsked(_)) => {
                // The same may be asked again.
                shown.asked.retain(|asked| asked != id);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, turn = shown.turn, "an answer could not be recorded");
                // It is asked again.
                self.reply(Reply::Question(Box::new(question))).await
            }
        }
    }
}

/// What a client has been shown of its turn.
struct Shown {
    turn: i64,
    /// The questions that it was asked.
    asked: Vec<String>,
    /// Whether the first event is out.
    begun: bool,
}

/// Whether a client is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// It is, or all is said.
    Not,
    /// It said that it goes.
    Left,
    /// It went.
    Away,
}
