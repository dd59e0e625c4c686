//! `paguro session`: conversations, for their owner.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use agent::{Failure, Step, messages, parse_steps};
use anyhow::{Context as _, Result};
use channels::terminal::CHANNEL;
use channels::visible;
use engine::{Message, Role};
use memory::{SessionRow, Store, TurnRow, TurnState};
use serde_json::{Value, json};

use super::{print_json, why};
use crate::args::{ListFormat, SessionCommand};
use crate::exit::BadInput;
use crate::parts::Context;

/// Turns read at once.
const PAGE: usize = 200;

pub async fn run(command: &SessionCommand) -> Result<ExitCode> {
    let context = Context::read()?;
    let store = context.store()?;
    match command {
        SessionCommand::List(list) => list_sessions(&store, list.format).await?,
        SessionCommand::Show { name, why: Some(turn), list } => why::show(&store, find(&store, name).await?.id, turn, list.format).await?,
        SessionCommand::Show { name, why: None, list } => show(&store, name, list.format).await?,
        SessionCommand::Export { name, file } => export(&store, name, file.as_deref()).await?,
        SessionCommand::Undo { name, force } => undo(&context, &store, name, *force).await?,
        SessionCommand::Rm { name } => {
            let session = find(&store, name).await?;
            let removed = store.remove_session(&format!("{}/{}", session.channel, session.name)).await?;
            context.kept(&store).sweep().await?;
            for session in removed {
                context.forget_read(&session.channel, &session.name).await?;
            }
            say!("removed");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(store: &Store, name: &str) -> Result<SessionRow> {
    // The terminal's own session goes before one of that name on another channel.
    let own = if name.contains('/') { None } else { store.find_session(&format!("{CHANNEL}/{name}")).await? };
    let session = match own {
        Some(session) => Some(session),
        None => store.find_session(name).await?,
    };
    session.ok_or_else(|| BadInput(format!("there is no session {name}; `paguro session list` shows them")).into())
}

/// Files first: cut off in between, the same turn is undone once more, and its files are as they should be already.
async fn undo(context: &Context, store: &Store, name: &str, force: bool) -> Result<()> {
    let session = find(store, name).await?;
    // An unfinished turn is the last one; it ends here, and then it is out of the conversation like any other.
    for turn in turns_of(store, session.id).await?.into_iter().filter(|(turn, _)| turn.state == TurnState::Open) {
        store.finish(turn.0.id, TurnState::Failed, Failure::Stopped.sentence(), None).await?;
    }
    let Some((turn, _)) = store.history(session.id, 1).await?.pop() else {
        say!("there is no turn to take out");
        return Ok(());
    };
    for restored in context.kept(store).restore(&context.open_workspace()?, turn.id, force).await? {
        say!("{}", visible(&restored.to_string()));
    }
    store.undo(session.id).await?;
    say!("taken out of the conversation: {}", visible(&turn.text));
    Ok(())
}

async fn list_sessions(store: &Store, format: ListFormat) -> Result<()> {
    let sessions = store.sessions().await?;
    match format {
        ListFormat::Json => print_json(&json!({ "sessions": sessions })),
        ListFormat::Text => {
            for SessionRow { name, channel, last, turns, .. } in &sessions {
                say!("{name}  {channel}  {turns} turns  last {last}");
            }
            if sessions.is_empty() {
                tell!("there are no sessions yet");
            }
            Ok(())
        }
    }
}

/// The conversation's turns, finished and unfinished, with their steps.
async fn turns(store: &Store, name: &str) -> Result<Vec<(TurnRow, Vec<Step>)>> {
    let session = find(store, name).await?;
    turns_of(store, session.id).await
}

async fn turns_of(store: &Store, session: i64) -> Result<Vec<(TurnRow, Vec<Step>)>> {
    let mut out: Vec<(TurnRow, Vec<Step>)> = Vec::new();
    loop {
        let after = out.last().map_or(0, |(turn, _)| turn.id);
        let page = store.turns_after(session, after, PAGE).await?;
        if page.is_empty() {
            return Ok(out);
        }
        for (turn, steps) in page {
            let steps = parse_steps(turn.id, steps)?;
            out.push((turn, steps));
        }
    }
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
            let mut out = crate::out::stdout();
            for (turn, steps) in &turns {
                for message in said(turn, steps) {
                    write_message(&mut out, &message)?;
                }
                if turn.state != TurnState::Done {
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
            let file = crate::out::path(file);
            Box::new(BufWriter::new(File::create_new(&file).with_context(|| format!("{} cannot be written anew", file.display()))?))
        }
        None => Box::new(crate::out::stdout()),
    };
    for (turn, steps) in &turns {
        for message in said(turn, steps) {
            // Numbers of one model's vocabulary say nothing to whoever reads this.
            let mut line = serde_json::to_value(Message { tokens: Vec::new(), ..message })?;
            line["turn"] = turn.id.into();
            line["at"] = turn.at.clone().into();
            writeln!(out, "{line}")?;
        }
    }
    Ok(out.flush()?)
}
