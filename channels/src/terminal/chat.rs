//! A conversation at the terminal: reads messages and commands, runs turns.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use agent::{Agent, AgentError};

use super::approver::Approver;
use super::command::{Action, help, parse};
use super::host::Host;
use super::input::{Input, Line, Prompt};
use super::printer::Printer;
use super::settings::{Approve, Interrupt, Screen};
use super::tool_lines::one_line;
use super::tty::KeepMode;
use super::turn::{DeliverError, Ended, TurnError, deliver_unsent, run_turn};
use super::visible::visible_exact;
use super::{CHANNEL, commands};
use crate::socket::TurnLimits;
use crate::{commands as shared, notes};

const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// Brings back the files that a turn has changed: gets the turn, and returns a line a file. The error is a sentence.
pub type UndoFiles = Box<dyn Fn(i64) -> Pin<Box<dyn Future<Output = Result<Vec<String>, String>> + Send>> + Send + Sync>;

/// How to chat.
pub struct ChatOptions {
    /// The session to go on with, or to begin.
    pub session: String,
    /// Who approves, until `/approve` says otherwise.
    pub approve: Approve,
    /// Where the lines that were written are kept; made with mode 0600.
    pub history_file: PathBuf,
    /// Where output goes.
    pub screen: Screen,
    /// Whether standard input is a terminal; otherwise each of its lines is a message.
    pub stdin_is_terminal: bool,
    /// What `/undo` does besides taking a turn out of the history.
    pub undo_files: UndoFiles,
}

/// Why a chat ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The journal could not be read at the start.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Standard input failed.
    #[error("cannot read the input: {0}")]
    Input(io::Error),
    /// Standard output or standard error failed; with kind `BrokenPipe` nobody reads any more.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    /// Ctrl-C while a line of standard input was waited for.
    #[error("interrupted")]
    Interrupted,
}

/// Holds a conversation until Ctrl-D, `/quit` or the end of the input. An unfinished turn of the session is finished before
/// anything new is run. What fails within a turn is shown and does not end the chat.
pub async fn chat<'a>(host: impl Into<Host<'a>>, options: ChatOptions, interrupt: &Interrupt) -> Result<(), ChatError> {
    let ChatOptions { session, approve, history_file, screen, stdin_is_terminal, undo_files } = options;
    // However the chat ends, the terminal is left as it was found.
    let _mode = if stdin_is_terminal { KeepMode::new() } else { None };
    let input = match stdin_is_terminal {
        true => Input::editor(history_file.clone()),
        false => Input::lines(io::BufReader::new(io::stdin())),
    };
    let mut chat = Chat {
        host: host.into(),
        session,
        history_file,
        approver: Approver::new(approve, &screen),
        printer: Printer::new(screen, io::stdout(), io::stderr()),
        interrupt,
        input: input.map_err(ChatError::Input)?,
        undo_files,
    };
    chat.hold().await
}

/// A conversation that is being held.
pub(super) struct Chat<'a, O, E> {
    pub(super) host: Host<'a>,
    pub(super) session: String,
    pub(super) history_file: PathBuf,
    pub(super) approver: Approver,
    pub(super) printer: Printer<O, E>,
    pub(super) interrupt: &'a Interrupt,
    pub(super) input: Input,
    pub(super) undo_files: UndoFiles,
}

impl<O: Write, E: Write> Chat<'_, O, E> {
    pub(super) async fn hold(&mut self) -> Result<(), ChatError> {
        if self.input.is_editor() {
            let model = match self.host.model() {
                "" => "being loaded",
                model => model,
            };
            let greeting = format!("model {model} · session {} · /help lists the commands", self.session);
            self.printer.notice(&greeting).map_err(ChatError::Output)?;
        }
        self.catch_up().await?;
        loop {
            let (action, line) = match self.next_line().await? {
                Line::End => break,
                Line::Cleared => continue,
                Line::Refused(why) => (Action::Unknown(why), String::new()),
                Line::Text { text, warning } => {
                    if let Some(warning) = warning {
                        self.printer.notice(&warning).map_err(ChatError::Output)?;
                    }
                    (parse(&text), text)
                }
            };
            match action {
                Action::Quit => break,
                Action::Say(text) if text.is_empty() => {}
                Action::Say(text) => self.say(text).await?,
                command => self.command(command, &line).await?,
            }
        }
        self.printer.finish().map_err(ChatError::Output)
    }

    async fn next_line(&mut self) -> Result<Line, ChatError> {
        self.printer.settle().map_err(ChatError::Output)?;
        let name = one_line(&visible_exact(&self.session));
        let plain = format!("{name} › ");
        let styled = if self.printer.screen().colour { format!("{CYAN}{name} ›{PLAIN} ") } else { plain.clone() };
        let raised = self.interrupt.raised();
        let is_editor = self.input.is_editor();
        let line = self.input.next(Prompt { plain, styled });
        if is_editor {
            // Ctrl-C is a key there.
            return line.await.map_err(ChatError::Input);
        }
        tokio::select! {
            () = raised => Err(ChatError::Interrupted),
            line = line => line.map_err(ChatError::Input),
        }
    }

    /// A message: the journal has it before anything is done with it.
    async fn say(&mut self, text: String) -> Result<(), ChatError> {
        let turn = match self.host.accept(&self.session, text, None, TurnLimits::default()).await {
            Ok(turn) => turn,
            Err(error) => return self.told(Err(error.into())),
        };
        // A full disk may have left an earlier one open in this very chat.
        let finished = self.finish_open(Some(turn)).await;
        self.told(finished)?;
        self.turn(turn, &self.approver.clone()).await
    }

    async fn turn(&mut self, turn: i64, approver: &Approver) -> Result<(), ChatError> {
        match run_turn(self.host, turn, &mut self.printer, approver, self.interrupt).await {
            Ok(Ended::Finished(_)) => Ok(()),
            Ok(Ended::Waiting(_)) => Ok(()),
            Ok(Ended::Stopped) => self.printer.notice("stopped").map_err(ChatError::Output),
            // It has been shown, and the next message may do better.
            Err(TurnError::Agent(_)) => Ok(()),
            Err(TurnError::Output { error, .. }) => Err(ChatError::Output(error)),
        }
    }

    /// Shows what the session has not been told, and finishes what it has not finished.
    async fn catch_up(&mut self) -> Result<(), ChatError> {
        deliver_unsent(self.host, &self.session, &mut self.printer).await.map_err(|error| match error {
            DeliverError::Agent(error) => ChatError::Agent(error),
            DeliverError::Output(error) => ChatError::Output(error),
        })?;
        self.finish_open(None).await
    }

    /// Tries once to finish each unfinished turn of the session that is older than `new`, since it is a part of what `new`
    /// goes on from. One that fails and stays open keeps nothing waiting; `/stop` gives it up.
    async fn finish_open(&mut self, new: Option<i64>) -> Result<(), ChatError> {
        let open = self.host.open_turns(&self.session).await?;
        let approver = self.approver.for_resumed();
        for (turn, text) in open.iter().filter(|(turn, _)| new.is_none_or(|new| *turn < new)) {
            let text = format!("finishing what was interrupted (Ctrl-C stops it): {}", one_line(text));
            self.printer.notice(&text).map_err(ChatError::Output)?;
            self.turn(*turn, &approver).await?;
        }
        Ok(())
    }

    /// What the journal refuses in the middle of a chat is shown and does not end it.
    fn told(&mut self, ended: Result<(), ChatError>) -> Result<(), ChatError> {
        match ended {
            Err(ChatError::Agent(error)) => self.printer.complain(&error.to_string()).map_err(ChatError::Output),
            ended => ended,
        }
    }

    async fn command(&mut self, command: Action, line: &str) -> Result<(), ChatError> {
        let said = match (command, self.host) {
            (Action::Help, _) => Ok((help(), None)),
            (Action::Unknown(why), _) => Ok((why, None)),
            (Action::Approve(mode), _) => Ok((self.approve(&mode), None)),
            (command, Host::Own(agent)) => carry_out(agent, &self.session, command, &self.undo_files, &self.history_file).await,
            (_, Host::Served(client)) => Host::said(client, &self.session, line).await,
        };
        let (text, session) = match said {
            Ok(said) => said,
            Err(error) => return self.printer.complain(&error.to_string()).map_err(ChatError::Output),
        };
        self.printer.say(&text).map_err(ChatError::Output)?;
        if let Some(session) = session {
            self.session = session;
            let caught_up = self.catch_up().await;
            return self.told(caught_up);
        }
        Ok(())
    }

    fn approve(&mut self, mode: &str) -> String {
        if mode.is_empty() {
            return format!("approvals: {}", self.approver.mode);
        }
        match mode.parse() {
            Ok(mode) => {
                self.approver.mode = mode;
                format!("approvals: {mode}, for this chat")
            }
            Err(error) => error.to_string(),
        }
    }
}

/// Carries out the command in `line` of a chat of `session`: what it says, and the session to go on with.
///
/// # Errors
/// The journal's.
pub async fn carry_out_line(
    agent: &Agent,
    session: &str,
    line: &str,
    undo_files: &UndoFiles,
    history: &Path,
) -> Result<(String, Option<String>), AgentError> {
    carry_out(agent, session, parse(line), undo_files, history).await
}

async fn carry_out(
    agent: &Agent,
    session: &str,
    command: Action,
    undo_files: &UndoFiles,
    history: &Path,
) -> Result<(String, Option<String>), AgentError> {
    let text = match command {
        Action::Help => help(),
        Action::Unknown(why) => why,
        Action::Model => shared::model(agent),
        Action::Sessions => commands::sessions(agent, session).await?,
        Action::Memory(query) => notes::memory(agent.store(), Some(agent), Some(history), &query, None).await?,
        Action::Pin(rule) => commands::pin(agent, &rule).await?,
        Action::Tasks(which) => shared::tasks(agent.store(), &which, async |task| agent.stop(task).await).await?,
        Action::Approvals => shared::approvals(agent.store()).await?,
        Action::Context => shared::context(agent, CHANNEL, session).await?,
        Action::Stop => commands::stop(agent, session).await?,
        Action::Undo => match shared::last_turn(agent.store(), CHANNEL, session).await? {
            Some(turn) => shared::undo(agent.store(), &turn, undo_files).await?,
            None => shared::NOTHING_TO_UNDO.to_owned(),
        },
        Action::New(name) => return Ok(switched(commands::new_session(agent, name).await?)),
        Action::Session(name) => return Ok(switched(commands::find_session(agent, name).await?)),
        // These are the chat's own.
        Action::Approve(_) | Action::Say(_) | Action::Quit => String::new(),
    };
    Ok((text, None))
}

/// What is said of going on with another session, and its name; or why not.
fn switched(session: Result<String, String>) -> (String, Option<String>) {
    match session {
        Ok(name) => (format!("session {name}"), Some(name)),
        Err(why) => (why, None),
    }
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
