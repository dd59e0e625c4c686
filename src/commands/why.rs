//! `paguro session show --why TURN`: what made an answer. Everything is in the journal's steps and their times.

use agent::{Step, Toolbox, thoughts};
use anyhow::Result;
use channels::visible;
use jiff::Timestamp;
use memory::{StepRow, Store, TurnRow};
use serde::Serialize;
use serde_json::{Value, json};

use super::print_json;
use crate::args::ListFormat;
use crate::exit::BadInput;

/// Characters of a text that a line shows.
const SHOWN: usize = 160;

/// One thing that happened in a turn.
#[derive(Debug, Serialize)]
struct Entry {
    /// When it was recorded.
    at: String,
    /// Milliseconds since the entry before, or since the message came.
    took_ms: i64,
    what: &'static str,
    #[serde(flatten)]
    facts: Value,
    /// For people.
    #[serde(skip)]
    line: String,
}

pub async fn show(store: &Store, session: i64, turn: &str, format: ListFormat) -> Result<()> {
    let turn = match turn {
        "last" => store.history(session, 1).await?.first().map_or(0, |(row, _)| row.id),
        number => number.parse().map_err(|_| BadInput(format!("`{number}` is no turn: give its number, or `last`")))?,
    };
    let row = store.turn(turn).await?.filter(|row| row.session == session || row.parent.is_some());
    let row = row.ok_or_else(|| {
        BadInput(format!("there is no turn {turn} in this session; `paguro session show NAME --format json` has the numbers"))
    })?;
    let entries = entries(&row, store.steps(turn).await?)?;
    let tasks: Vec<i64> = store.tasks(turn).await?.iter().map(|task| task.id).collect();
    let files = files(&entries);
    if format == ListFormat::Json {
        let turn = json!({
            "turn": row.id, "session": row.session_name, "channel": row.channel, "at": row.at, "text": row.text, "state": row.state,
            "outcome": row.outcome, "parent": row.parent, "tasks": tasks, "files": files, "entries": entries,
        });
        return print_json(&turn);
    }
    say!("{}", in_words(&row, &entries, &files, &tasks));
    Ok(())
}

/// What `show` shows of any turn, for people.
pub async fn text(store: &Store, turn: i64) -> Result<String> {
    let row = store.turn(turn).await?.ok_or_else(|| BadInput(format!("there is no turn {turn}")))?;
    let entries = entries(&row, store.steps(turn).await?)?;
    let tasks: Vec<i64> = store.tasks(turn).await?.iter().map(|task| task.id).collect();
    Ok(in_words(&row, &entries, &files(&entries), &tasks))
}

/// Lines, without the last one's end.
fn in_words(row: &TurnRow, entries: &[Entry], files: &Value, tasks: &[i64]) -> String {
    let mut out = format!("turn {} of {}/{}, {}\n", row.id, row.channel, row.session_name, row.at);
    out += &format!("asked: {}\n", short(&row.text));
    for entry in entries {
        out += &format!("{:>8} ms  {:<9} {}\n", entry.took_ms, entry.what, visible(&entry.line));
    }
    for (what, paths) in [("files read", &files["read"]), ("files written", &files["written"])] {
        if let Some(paths) = paths.as_array().filter(|paths| !paths.is_empty()) {
            let paths: Vec<&str> = paths.iter().filter_map(Value::as_str).collect();
            out += &format!("{what}: {}\n", visible(&paths.join(", ")));
        }
    }
    if !tasks.is_empty() {
        out += &format!("tasks: {}\n", tasks.iter().map(|task| format!("turn {task}")).collect::<Vec<_>>().join(", "));
    }
    out + &format!("outcome: {}", row.outcome.as_deref().map_or("not finished".to_owned(), short))
}

fn entries(row: &TurnRow, rows: Vec<StepRow>) -> Result<Vec<Entry>> {
    let times: Vec<String> = rows.iter().map(|row| row.at.clone()).collect();
    let steps = agent::parse_steps(row.id, rows)?;
    let mut before = row.at.parse::<Timestamp>().ok();
    let mut out = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let at = times[index].parse::<Timestamp>().ok();
        let took_ms = at.zip(before).map_or(0, |(at, before)| at.as_millisecond() - before.as_millisecond());
        before = at.or(before);
        let (what, facts, line) = told(step, &steps);
        out.push(Entry { at: times[index].clone(), took_ms, what, facts, line });
    }
    Ok(out)
}

/// What a step says: a word, its facts, a line.
fn told(step: &Step, steps: &[Step]) -> (&'static str, Value, String) {
    let facts = serde_json::to_value(step).unwrap_or_default();
    let origin = step.origin().map_or(String::new(), |origin| format!(" (from {origin})"));
    match step {
        Step::Began { notes, from, summary, .. } => {
            let notes = if notes.is_empty() { "no notes".to_owned() } else { format!("notes {}", notes.join(", ")) };
            let summary = summary.map_or(String::new(), |upto| format!(", a summary up to turn {upto}"));
            ("prompt", facts, format!("from turn {from} on{summary}, with {notes}{origin}"))
        }
        Step::TooLong => ("too long", facts, "later turns see only how it began and ended".into()),
        Step::Steered { turn, content, .. } => ("steered", facts, format!("by the message of turn {turn}: {}{origin}", short(content))),
        Step::Thought(thought) => {
            let usage = &thought.usage;
            let calls: Vec<&str> = thought.message.tool_calls.iter().map(|call| call.name.as_str()).collect();
            let says = if calls.is_empty() { short(&thought.message.content) } else { format!("calls {}", calls.join(", ")) };
            let miss = thought.cache_miss.as_ref().map_or(String::new(), |cause| format!(" ({cause})"));
            let hash = thought.model_hash.get(..12).unwrap_or_default();
            let sampled = serde_json::to_value(&thought.sampling).unwrap_or_default();
            let set: Vec<String> =
                sampled.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()).map(|(k, v)| format!("{k} {v}")).collect();
            let sampled = if set.is_empty() { "sampled as the model recommends".to_owned() } else { set.join(", ") };
            let line = format!(
                "{} {hash}, {sampled}: reused {} and prefilled {} tokens{miss}, wrote {}: {says}",
                thought.model, usage.reused_tokens, usage.prefilled_tokens, usage.completion_tokens
            );
            ("reply", facts, line)
        }
        Step::Allowed { call, rule, .. } => ("allowed", facts, format!("{} by {rule}", name_of(call, steps))),
        Step::Refused { call, reason } => ("refused", facts, format!("{}: {reason}", name_of(call, steps))),
        Step::Asked { call, reason, .. } => ("asked", facts, format!("about {}: {reason}", name_of(call, steps))),
        Step::Answered { call, allowed, by, scope, why, .. } => {
            let answer = if *allowed { "yes" } else { "no" };
            let scope = serde_json::to_value(scope).ok().and_then(|scope| Some(format!(", {}", scope.as_str()?))).filter(|_| *allowed);
            let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
            ("answered", facts, format!("{answer}{} by {by} for {}{why}", scope.unwrap_or_default(), name_of(call, steps)))
        }
        Step::Intent { call } => ("begins", facts, name_of(call, steps)),
        Step::Result { call, ok, content, .. } => {
            let word = if *ok { "gave" } else { "failed:" };
            ("result", facts, format!("{} {word} {}{origin}", name_of(call, steps), short(content)))
        }
    }
}

/// A call's tool and arguments.
fn name_of(call: &str, steps: &[Step]) -> String {
    let found = thoughts(steps).flat_map(|thought| &thought.message.tool_calls).find(|other| other.id == call);
    found
        .map(|call| Toolbox::resolve(call.clone()))
        .map_or_else(|| call.to_owned(), |call| short(&format!("{} {}", call.name, call.arguments)))
}

/// The paths in the calls of the file tools that have run, by what was done.
fn files(entries: &[Entry]) -> Value {
    let (mut read, mut written) = (Vec::new(), Vec::new());
    let calls: Vec<&Value> = entries.iter().filter_map(|entry| entry.facts["message"]["tool_calls"].as_array()).flatten().collect();
    for result in entries.iter().filter(|entry| entry.what == "result" && entry.facts["ok"] == true) {
        let Some(call) = calls.iter().find(|call| call["id"] == result.facts["call"]) else { continue };
        let path = call["arguments"]["path"].clone();
        match call["name"].as_str() {
            Some("read_file") if !read.contains(&path) => read.push(path),
            Some("write_file" | "edit_file") if !written.contains(&path) => written.push(path),
            _ => {}
        }
    }
    json!({ "read": read, "written": written })
}

/// The beginning of a text on one line.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}
