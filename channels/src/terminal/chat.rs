//! A conversation at the terminal: reads messages and commands, runs turns.

use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::Pin;

use agent::memory::Inbound;
use agent::{Agent, AgentError};

use super::approver::Approver;
use super::command::{Action, help, parse};
use super::input::{Input, Line, Prompt};
use super::printer::Printer;
use super::settings::{Approve, Interrupt, Screen};
use super::tool_lines::one_line;
use super::tty::KeepMode;
use super::turn::{DeliverError, Ended, TurnError, deliver_unsent, run_turn};
use super::visible::visible_exact;
use super::{CHANNEL, commands, memory, session};

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
pub async fn chat(agent: &Agent, options: ChatOptions, interrupt: &Interrupt) -> Result<(), ChatError> {
    let ChatOptions { session, approve, history_file, screen, stdin_is_terminal, undo_files } = options;
    // However the chat ends, the terminal is left as it was found.
    let _mode = if stdin_is_terminal { KeepMode::new() } else { None };
    let input = match stdin_is_terminal {
        true => Input::editor(history_file.clone()),
        false => Input::lines(io::BufReader::new(io::stdin())),
    };
    let mut chat = Chat {
        agent,
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
    pub(super) agent: &'a Agent,
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
            let model = &self.agent.engine().info().name;
            let greeting = format!("model {model} · session {} · /help lists the commands", self.session);
            self.printer.notice(&greeting).map_err(ChatError::Output)?;
        }
        self.catch_up().await?;
        loop {
            let action = match self.next_line().await? {
                Line::End => break,
                Line::Cleared => continue,
                Line::Refused(why) => Action::Unknown(why),
                Line::Text { text, warning } => {
                    if let Some(warning) = warning {
                        self.printer.notice(&warning).map_err(ChatError::Output)?;
                    }
                    parse(&text)
                }
            };
            match action {
                Action::Quit => break,
                Action::Say(text) if text.is_empty() => {}
                Action::Say(text) => self.say(text).await?,
                command => self.command(command).await?,
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
        let inbound = Inbound { channel: CHANNEL.into(), session: self.session.clone(), text, ..Inbound::default() };
        let accepted = match self.agent.accept(inbound).await {
            Ok(accepted) => accepted,
            Err(error) => return self.told(Err(error.into())),
        };
        // A full disk may have left an earlier one open in this very chat.
        let finished = self.finish_open(Some(accepted.turn)).await;
        self.told(finished)?;
        self.turn(accepted.turn, &self.approver.clone()).await
    }

    async fn turn(&mut self, turn: i64, approver: &Approver) -> Result<(), ChatError> {
        match run_turn(self.agent, turn, &mut self.printer, approver, self.interrupt).await {
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
        deliver_unsent(self.agent, &self.session, &mut self.printer).await.map_err(|error| match error {
            DeliverError::Store(error) => ChatError::Agent(error.into()),
            DeliverError::Output(error) => ChatError::Output(error),
        })?;
        self.finish_open(None).await
    }

    /// Tries once to finish each unfinished turn of the session that is older than `new`, since it is a part of what `new`
    /// goes on from. One that fails and stays open keeps nothing waiting; `/stop` gives it up.
    async fn finish_open(&mut self, new: Option<i64>) -> Result<(), ChatError> {
        let open = session::open_turns(self.agent, &self.session).await.map_err(AgentError::from)?;
        let approver = self.approver.for_resumed();
        for row in open.iter().filter(|row| new.is_none_or(|new| row.id < new)) {
            let text = format!("finishing what was interrupted (Ctrl-C stops it): {}", one_line(&row.text));
            self.printer.notice(&text).map_err(ChatError::Output)?;
            self.turn(row.id, &approver).await?;
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

    async fn command(&mut self, command: Action) -> Result<(), ChatError> {
        let text = match command {
            Action::Help => Ok(help()),
            Action::Unknown(why) => Ok(why),
            Action::Approve(mode) => Ok(self.approve(&mode)),
            Action::Model => Ok(commands::model(self.agent)),
            Action::Sessions => commands::sessions(self.agent, &self.session).await,
            Action::Memory(query) => memory::memory(self.agent, &self.history_file, &query).await,
            Action::Pin(rule) => commands::pin(self.agent, &rule).await,
            Action::Tasks(which) => commands::tasks(self.agent, &which).await,
            Action::Approvals => commands::approvals(self.agent).await,
            Action::Context => commands::context(self.agent, &self.session).await,
            Action::Stop => commands::stop(self.agent, &self.session).await,
            Action::Undo => commands::undo(self.agent, &self.session, &self.undo_files).await,
            Action::New(name) => return self.switch(commands::new_session(self.agent, name).await).await,
            Action::Session(name) => return self.switch(commands::find_session(self.agent, name).await).await,
            Action::Say(_) | Action::Quit => return Ok(()),
        };
        match text {
            Ok(text) => self.printer.say(&text).map_err(ChatError::Output),
            Err(error) => self.printer.complain(&error.to_string()).map_err(ChatError::Output),
        }
    }

    /// Goes on with another session, or says why not.
    async fn switch(&mut self, session: Result<Result<String, String>, AgentError>) -> Result<(), ChatError> {
        match session {
            Ok(Ok(name)) => {
                self.session = name;
                let text = format!("session {}", self.session);
                self.printer.say(&text).map_err(ChatError::Output)?;
                let caught_up = self.catch_up().await;
                self.told(caught_up)
            }
            Ok(Err(why)) => self.printer.say(&why).map_err(ChatError::Output),
            Err(error) => self.printer.complain(&error.to_string()).map_err(ChatError::Output),
        }
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

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
