//! The client's side of commands that the running `paguro serve` carries out, because it has the database.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use agent::Event;
use anyhow::Result;
use channels::socket::{Client, ClientError, CommandLine, Line, Reply, Request, TurnLimits, Word};

use crate::args::{Command, MemoryCommand, TurnArgs};
use crate::commands::input::STDIN_BYTES;
use crate::exit::BadInput;
use crate::home::Home;
use crate::parts::Context;

/// The process that serves this home, if there is one; `ask` and `chat` use its model.
pub async fn find(context: &Context, turn: &TurnArgs) -> Result<Option<Client>> {
    let Some(client) = Client::find(&context.home.data).await? else { return Ok(None) };
    if let Some(model) = &turn.model {
        let reason = format!("`paguro serve` runs with its own model; leave `--model {model}` out, or stop it");
        return Err(BadInput(reason).into());
    }
    Ok(Some(client))
}

/// Bounds of a turn, as typed.
pub fn limits(turn: &TurnArgs) -> TurnLimits {
    let time = turn.timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    TurnLimits { steps: turn.max_steps.map(|steps| steps as usize), tokens: turn.max_tokens, time_ms: time }
}

/// Has the command carried out by the process that serves the home; `None`: there is none, or the command is not one of those.
pub async fn run(command: &Command) -> Result<Option<ExitCode>> {
    if !is_carried_out(command) {
        return Ok(None);
    }
    let home = Home::find(|name| std::env::var_os(name))?;
    let Some(client) = Client::find(&home.data).await? else { return Ok(None) };
    let mut arguments = Vec::new();
    for argument in std::env::args_os().skip(1) {
        let text = argument.into_string().map_err(|argument| BadInput(format!("{} is not UTF-8", argument.display())))?;
        arguments.push(text);
    }
    let terminals = [std::io::stdin().is_terminal(), std::io::stdout().is_terminal(), std::io::stderr().is_terminal()];
    let command = CommandLine { arguments, folder: std::env::current_dir()?, terminals };
    let mut connection = client.open(&Request::Run(command)).await?;
    loop {
        match connection.next().await? {
            Line::Reply(Reply::Output { stream: 1, text }) => std::io::stdout().write_all(text.as_bytes())?,
            Line::Reply(Reply::Output { text, .. }) => drop(std::io::stderr().write_all(text.as_bytes())),
            Line::Reply(Reply::Input { line }) => connection.say(&Word::Input(read(line)?)).await?,
            Line::Reply(Reply::Exit { status }) => return Ok(Some(ExitCode::from(status))),
            Line::Event(Event::Error { code, message }) => return Err(ClientError::Refused { code, message }.into()),
            Line::Reply(_) | Line::Event(_) => {}
        }
    }
}

/// Whether it is a command that works with the database and has no loop of its own.
pub fn is_carried_out(command: &Command) -> bool {
    match command {
        Command::Memory(MemoryCommand::Eval(_)) => false,
        Command::Status(_)
        | Command::Memory(_)
        | Command::Session(_)
        | Command::Approvals(_)
        | Command::Job(_)
        | Command::Skill(_)
        | Command::Pair => true,
        _ => false,
    }
}

/// What standard input gives: a line, or all.
fn read(line: bool) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let stdin = std::io::stdin().lock();
    if line {
        stdin.take(STDIN_BYTES).read_until(b'\n', &mut bytes)?;
    } else {
        stdin.take(STDIN_BYTES + 1).read_to_end(&mut bytes)?;
    }
    let text = String::from_utf8(bytes).map_err(|error| BadInput(format!("standard input is not UTF-8: {error}")))?;
    Ok((!line || !text.is_empty()).then_some(text))
}
