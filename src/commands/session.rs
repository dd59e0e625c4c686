//! `paguro session`: conversations, for their owner.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use agent::{Step, messages, parse_steps};
use anyhow::{Context as _, Result};
use channels::visible;
use engine::{Message, Role};
use memory::{SessionRow, Store, TurnRow};
use serde_json::{Value, json};

use super::print_json;
use crate::args::{ListFormat, SessionCommand};
use crate::exit::BadInput;
use crate::parts::Context;

/// Turns read at once; a longer conversation is shown from its last this many turns.
const TURNS: usize = 10_000;

pub async fn run(command: &SessionCommand) -> Result<ExitCode> {
    let store = Context::read()?.store()?;
    match command {
        SessionCommand::List(list) => list_sessions(&store, list.format).await?,
        SessionCommand::Show { name, list } => show(&store, name, list.format).await?,
        SessionCommand::Export { name, file } => export(&store, name, file.as_deref()).await?,
        SessionCommand::Undo { name } => {
            let session = find(&store, name).await?;
            match store.undo(session.id).await? {
                Some(turn) => println!("taken out of the conversation: {}", visible(&turn.text)),
                None => println!("there is no turn to take out"),
            }
        }
        SessionCommand::Rm { name } => {
            find(&store, name).await?;
            store.remove_session(name).await?;
            println!("removed");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(store: &Store, name: &str) -> Result<SessionRow> {
    let session = store.find_session(name).await?;
    session.ok_or_else(|| BadInput(format!("there is no session {name}; `paguro session list` shows them")).into())
}

async fn list_sessions(store: &Store, format: ListFormat) -> Result<()> {
    let sessions = store.sessions().await?;
    match format {
        ListFormat::Json => print_json(&json!({ "sessions": sessions })),
        ListFormat::Text => {
            for SessionRow { name, channel, last, turns, .. } in &sessions {
                println!("{name}  {channel}  {turns} turns  last {last}");
            }
            if sessions.is_empty() {
                eprintln!("there are no sessions yet");
            }
            Ok(())
        }
    }
}

/// The conversation's turns, finished and unfinished, with their steps.
async fn turns(store: &Store, name: &str) -> Result<Vec<(TurnRow, Vec<Step>)>> {
    let session = find(store, name).await?;
    let mut rows = store.history(session.id, TURNS).await?;
    for turn in store.open_turns(Some(name)).await? {
        let steps = store.steps(turn.id).await?;
        rows.push((turn, steps));
    }
    rows.into_iter().map(|(turn, steps)| Ok((turn.clone(), parse_steps(turn.id, steps)?))).collect()
}

/// A turn's messages as they were said: the user's words without the tail that is added for the model.
fn said(turn: &TurnRow, steps: &[Step]) -> Vec<Message> {
    let mut user = Message::new(Role::User, turn.text.clone());
    if let Some(data) = &turn.data {
        user.content = format!("{}\n\n<data>\n{data}\n</data>", user.content);
    }
    let rest = messages(steps).into_iter().filter(|message| message.role != Role::User);
    std::iter::once(user).chain(rest).collect()
}

async fn show(store: &Store, name: &str, format: ListFormat) -> Result<()> {
    let turns = turns(store, name).await?;
    match format {
        ListFormat::Json => {
            let turns: Vec<Value> = turns.iter().map(|(turn, steps)| json!({ "turn": turn, "steps": steps })).collect();
            print_json(&json!({ "session": name, "turns": turns }))
        }
        ListFormat::Text => {
            let mut out = std::io::stdout().lock();
            for (turn, steps) in &turns {
                for message in said(turn, steps) {
                    write_message(&mut out, &message)?;
                }
                if turn.state != memory::TurnState::Done {
                    writeln!(out, "  ({})", turn.outcome.as_deref().unwrap_or("not finished"))?;
                }
            }
            Ok(())
        }
    }
}

fn write_message(out: &mut impl Write, message: &Message) -> std::io::Result<()> {
    let who = match message.role {
        Role::System => "system",
        Role::User => "you",
        Role::Assistant => "paguro",
        Role::Tool => "result",
    };
    if !message.content.is_empty() {
        writeln!(out, "{who}: {}", visible(&message.content))?;
    }
    for call in &message.tool_calls {
        writeln!(out, "{who} → {} {}", call.name, visible(&call.arguments.to_string()))?;
    }
    Ok(())
}

async fn export(store: &Store, name: &str, file: Option<&Path>) -> Result<()> {
    let turns = turns(store, name).await?;
    let mut out: Box<dyn Write> = match file {
        Some(file) => {
            Box::new(BufWriter::new(File::create_new(file).with_context(|| format!("{} cannot be written anew", file.display()))?))
        }
        None => Box::new(std::io::stdout().lock()),
    };
    for (turn, steps) in &turns {
        for message in said(turn, steps) {
            let mut line = serde_json::to_value(&message)?;
            line["turn"] = turn.id.into();
            line["at"] = turn.at.clone().into();
            writeln!(out, "{line}")?;
        }
    }
    Ok(out.flush()?)
}
