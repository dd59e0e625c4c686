//! What those commands of `chat` say that are the terminal's own. Each returns its whole text.

use agent::memory::Note;
use agent::{Agent, AgentError};

use super::tool_lines::one_line;
use super::{CHANNEL, session};
use crate::commands::minute;

pub(super) async fn sessions(agent: &Agent, current: &str) -> Result<String, AgentError> {
    let mut rows = agent.store().sessions().await?;
    rows.retain(|row| row.channel == CHANNEL);
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|row| {
        let mark = if row.name == current { '*' } else { ' ' };
        format!("{mark} {:width$}  {:>4} turns  last {}", one_line(&row.name), row.turns, minute(&row.last))
    });
    let lines: Vec<String> = lines.collect();
    Ok(if lines.is_empty() { "there are no sessions yet".to_owned() } else { lines.join("\n") })
}

/// Keeps a rule that stands at the beginning of every new context.
pub(super) async fn pin(agent: &Agent, rule: &str) -> Result<String, AgentError> {
    if rule.is_empty() {
        let pinned = agent.store().pinned().await?;
        let lines: Vec<String> = pinned.iter().map(|note| format!("{}  {}", note.id, note.text)).collect();
        return Ok(if lines.is_empty() { "/pin TEXT keeps a rule that holds in every conversation".into() } else { lines.join("\n") });
    }
    agent.store().add_note(Note { text: rule.to_owned(), pinned: true, ..Note::default() }).await?;
    Ok("pinned: it stands at the beginning of every new session; say it here, too, if it is to hold now".to_owned())
}

pub(super) async fn stop(agent: &Agent, name: &str) -> Result<String, AgentError> {
    let open = session::open_turns(agent, name).await?;
    for turn in &open {
        agent.stop(turn.id).await?;
    }
    Ok(match open.len() {
        0 => "nothing is unfinished; during a reply Ctrl-C stops it".to_owned(),
        1 => "ended the unfinished turn".to_owned(),
        count => format!("ended {count} unfinished turns"),
    })
}

/// A name for a new session: `name`, or a free one when it is empty. The inner error is for the person.
pub(super) async fn new_session(agent: &Agent, name: String) -> Result<Result<String, String>, AgentError> {
    if name.is_empty() {
        let mut number = 1;
        // Ends at the latest when all sessions that there are have been passed.
        loop {
            let name = format!("chat-{number}");
            match session::find(agent, &name).await? {
                Some(_) => number += 1,
                None => return Ok(Ok(name)),
            }
        }
    }
    if let Err(error) = session::check_session_name(&name) {
        return Ok(Err(error.to_string()));
    }
    let is_taken = session::find(agent, &name).await?.is_some();
    Ok(if is_taken { Err(format!("there is a session {name} already; /session {name} goes on with it")) } else { Ok(name) })
}

/// The session called `name`. The inner error is for the person.
pub(super) async fn find_session(agent: &Agent, name: String) -> Result<Result<String, String>, AgentError> {
    if name.is_empty() {
        return Ok(Err("/session NAME; /sessions lists the names".to_owned()));
    }
    let found = session::find(agent, &name).await?.is_some();
    Ok(if found { Ok(name) } else { Err(format!("there is no session {name}; /sessions lists them, /new {name} begins it")) })
}
