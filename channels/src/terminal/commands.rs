//! What the commands of `chat` say. Each returns its whole text.

use std::fmt::Write as _;

use agent::memory::Note;
use agent::{Agent, AgentError, Filling};

use super::chat::UndoFiles;
use super::tool_lines::{call_line, one_line};
use super::visible::visible_exact;
use super::{CHANNEL, session};

/// Characters of a time that are its date, and its date and minute: `2026-11-21T09:41`.
const DATE: usize = 10;
const MINUTE: usize = 16;

pub(super) fn model(agent: &Agent) -> String {
    let info = agent.engine().info();
    let mut out = format!("{} ({})", info.name, info.architecture);
    if info.parameters > 0 {
        let _ = write!(out, " · {} parameters · {} of weights", short(info.parameters, ""), short(info.weight_bytes, "B"));
    }
    let _ = write!(out, " · context {} of {} tokens", grouped(info.context.into()), grouped(info.trained_context.into()));
    out
}

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

pub(super) async fn context(agent: &Agent, name: &str) -> Result<String, AgentError> {
    let session = session::find(agent, name).await?.map(|row| row.id);
    let Filling { block, tools, summary, turns, used, context } = agent.filling(session).await?;
    let line = |what: &str, tokens: u32, note: &str| format!("{what:<14}{:>8} tokens{note}\n", grouped(tokens.into()));
    let mut out = line("system block", block, "");
    out += &line("tools", tools, "");
    if summary > 0 {
        out += &line("summary", summary, " in the place of older turns");
    }
    out += &line("turns", turns, "");
    let percent = u64::from(used) * 100 / u64::from(context).max(1);
    let full = agent::FULL_PERCENT;
    let _ = write!(
        out,
        "in use        {:>8} of {} tokens ({percent} %); from {full} % on a summary is made",
        grouped(used.into()),
        grouped(context.into())
    );
    Ok(out)
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

pub(super) async fn approvals(agent: &Agent) -> Result<String, AgentError> {
    let waiting = agent::questions(agent.store()).await?;
    let lines: Vec<String> = waiting
        .iter()
        .map(|question| {
            format!("{}  session {}  {}", question.id(), question.session, one_line(&call_line(&question.tool, &question.arguments)))
        })
        .collect();
    Ok(if lines.is_empty() { "nothing waits for an approval".to_owned() } else { lines.join("\n") })
}

pub(super) async fn tasks(agent: &Agent, which: &str) -> Result<String, AgentError> {
    let open: Vec<_> = agent.store().open_turns(None).await?.into_iter().filter(|row| row.parent.is_some()).collect();
    if let Some(number) = which.strip_prefix("stop").map(str::trim) {
        let Some(task) = open.iter().find(|row| row.id.to_string() == number) else {
            return Ok(format!("no task {number} runs; /tasks lists them"));
        };
        agent.stop(task.id).await?;
        return Ok(format!("stopped task {number}"));
    }
    let lines: Vec<String> =
        open.iter().map(|row| format!("{}  of turn {}  {}", row.id, row.parent.unwrap_or_default(), one_line(&row.text))).collect();
    Ok(if lines.is_empty() { "no task runs".to_owned() } else { lines.join("\n") })
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

/// Files first: cut off in between, the same turn is undone once more, and its files are as they should be already.
pub(super) async fn undo(agent: &Agent, name: &str, undo_files: &UndoFiles) -> Result<String, AgentError> {
    const NOTHING: &str = "there is no turn to undo";
    let Some(row) = session::find(agent, name).await? else { return Ok(NOTHING.to_owned()) };
    let Some((turn, _)) = agent.store().history(row.id, 1).await?.pop() else { return Ok(NOTHING.to_owned()) };
    let mut lines: Vec<String> = match undo_files(turn.id).await {
        Ok(lines) => lines.iter().map(|line| visible_exact(line).replace('\n', "␊")).collect(),
        Err(error) => return Ok(format!("nothing is undone: {error}")),
    };
    agent.store().undo(row.id).await?;
    lines.push(format!("taken out of the history: {}", one_line(&turn.text)));
    Ok(lines.join("\n"))
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

pub(super) fn date(at: &str) -> &str {
    at.get(..DATE).unwrap_or(at)
}

fn minute(at: &str) -> String {
    at.get(..MINUTE).unwrap_or(at).replace('T', " ")
}

/// `1,234,567`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.7 M`, `4.0 GB`
pub(super) fn short(number: u64, unit: &str) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two figures are shown")]
    let mut value = number as f64;
    let mut prefixes = ["", "k", "M", "G"].into_iter();
    let mut prefix = prefixes.next().unwrap_or_default();
    while value >= 1_000.0 {
        let Some(next) = prefixes.next() else { break };
        (prefix, value) = (next, value / 1_000.0);
    }
    format!("{value:.1} {prefix}{unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 12, 123, 1_234, 1_234_567].map(grouped), ["0", "12", "123", "1,234", "1,234,567"]);
        assert_eq!([short(1_700_000, ""), short(4_000_000_000, "B"), short(12, "B")], ["1.7 M", "4.0 GB", "12.0 B"]);
        assert_eq!((date("2026-11-21T09:41:00.000Z"), minute("yesterday").as_str()), ("2026-11-21", "yesterday"));
        assert_eq!(minute("2026-11-21T09:41:00.000Z"), "2026-11-21 09:41");
    }
}
