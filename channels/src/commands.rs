//! What commands say, whatever channel they come by. Each returns its whole text.

use std::fmt::Write as _;

use agent::memory::{SessionRow, Store, StoreError, TurnRow};
use agent::{Agent, AgentError, Filling};

use crate::terminal::{UndoFiles, call_line, one_line, visible_exact};

/// Characters of a time that are its date, and its date and minute: `2026-11-21T09:41`.
const DATE: usize = 10;
const MINUTE: usize = 16;

/// What `/undo` says without a turn.
pub(crate) const NOTHING_TO_UNDO: &str = "there is no turn to undo";

pub(crate) fn model(agent: &Agent) -> String {
    let info = agent.engine().info();
    let mut out = format!("{} ({})", info.name, info.architecture);
    if info.parameters > 0 {
        let _ = write!(out, " · {} parameters · {} of weights", short(info.parameters, ""), short(info.weight_bytes, "B"));
    }
    let _ = write!(out, " · context {} of {} tokens", grouped(info.context.into()), grouped(info.trained_context.into()));
    out
}

pub(crate) async fn context(agent: &Agent, channel: &str, name: &str) -> Result<String, AgentError> {
    let session = find(agent.store(), channel, name).await?.map(|row| row.id);
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

pub(crate) async fn approvals(store: &Store) -> Result<String, AgentError> {
    let waiting = agent::questions(store).await?;
    let lines: Vec<String> = waiting
        .iter()
        .map(|question| {
            format!("{}  session {}  {}", question.id(), question.session, one_line(&call_line(&question.tool, &question.arguments)))
        })
        .collect();
    Ok(if lines.is_empty() { "nothing waits for an approval".to_owned() } else { lines.join("\n") })
}

/// Lists the tasks, or has `stop` end the one that is named.
pub(crate) async fn tasks(store: &Store, which: &str, stop: impl AsyncFnOnce(i64) -> Result<(), AgentError>) -> Result<String, AgentError> {
    let open: Vec<_> = store.open_turns(None).await?.into_iter().filter(|row| row.parent.is_some()).collect();
    if let Some(number) = which.strip_prefix("stop").map(str::trim) {
        let Some(task) = open.iter().find(|row| row.id.to_string() == number) else {
            return Ok(format!("no task {number} runs; /tasks lists them"));
        };
        stop(task.id).await?;
        return Ok(format!("stopped task {number}"));
    }
    let lines: Vec<String> =
        open.iter().map(|row| format!("{}  of turn {}  {}", row.id, row.parent.unwrap_or_default(), one_line(&row.text))).collect();
    Ok(if lines.is_empty() { "no task runs".to_owned() } else { lines.join("\n") })
}

/// The last finished turn of a session.
pub(crate) async fn last_turn(store: &Store, channel: &str, name: &str) -> Result<Option<TurnRow>, StoreError> {
    let Some(session) = find(store, channel, name).await? else { return Ok(None) };
    Ok(store.history(session.id, 1).await?.pop().map(|(turn, _)| turn))
}

/// Undoes the last finished turn of its session. Files first: cut off in between, the same turn is undone once more, and its files are as
/// they should be already.
pub(crate) async fn undo(store: &Store, turn: &TurnRow, undo_files: &UndoFiles) -> Result<String, AgentError> {
    let mut lines: Vec<String> = match undo_files(turn.id).await {
        Ok(lines) => lines.iter().map(|line| visible_exact(line).replace('\n', "␊")).collect(),
        Err(error) => return Ok(format!("nothing is undone: {error}")),
    };
    store.undo(turn.session).await?;
    lines.push(format!("taken out of the history: {}", one_line(&turn.text)));
    Ok(lines.join("\n"))
}

/// A session of a channel.
pub(crate) async fn find(store: &Store, channel: &str, name: &str) -> Result<Option<SessionRow>, StoreError> {
    // The store takes a bare name for that of any channel's session.
    let found = store.find_session(&format!("{channel}/{name}")).await?;
    Ok(found.filter(|row| row.channel == channel && row.name == name))
}

pub(crate) fn date(at: &str) -> &str {
    at.get(..DATE).unwrap_or(at)
}

pub(crate) fn minute(at: &str) -> String {
    at.get(..MINUTE).unwrap_or(at).replace('T', " ")
}

/// `1,234,567`
pub(crate) fn grouped(number: u64) -> String {
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
pub(crate) fn short(number: u64, unit: &str) -> String {
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
