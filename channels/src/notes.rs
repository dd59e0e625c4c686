//! `/memory`: the notes, from within a conversation. Each of these returns its whole text.
//!
//! A line that begins with one of the words below is that command; anything else is looked for. `paguro memory` can do more.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use agent::memory::{Eraser, Forget, Note, NoteKind, Search, Store, StoreError};
use agent::{Agent, AgentError};

use crate::commands::{date, grouped, short};
use crate::terminal::one_line;

/// Notes that are shown.
const NOTES: usize = 10;

/// What `/memory LINE` says. `history` has the lines typed before, where there are such. With a `key` the same note is not added twice.
pub(crate) async fn memory(
    store: &Store,
    agent: Option<&Agent>,
    history: Option<&Path>,
    line: &str,
    key: Option<String>,
) -> Result<String, AgentError> {
    let (word, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(word, rest)| (word, rest.trim()));
    match (word, rest) {
        ("" | "list", "") => list(store).await,
        ("stats", "") => stats(store).await,
        ("add" | "show" | "forget" | "search", "") => Ok(format!("/memory {word} needs to know what")),
        ("add", text) => {
            let note = store.add_note(Note { text: text.to_owned(), key, ..Note::default() }).await?;
            Ok(format!("kept as {}", note.id))
        }
        ("show", id) => show(store, id).await,
        ("forget", ids) => match agent {
            Some(agent) => forget(agent, history, ids).await,
            None => Ok("forgetting has to wait for the model, which has read it; it is being loaded".to_owned()),
        },
        ("search", query) => search(store, query).await,
        _ => search(store, line).await,
    }
}

async fn list(store: &Store) -> Result<String, AgentError> {
    let notes = store.list(NOTES, 0).await?;
    let lines: Vec<String> = notes.iter().map(|note| format!("{}  {}  {}", note.id, date(&note.at), one_line(&note.text))).collect();
    Ok(if lines.is_empty() { "there are no notes yet".to_owned() } else { lines.join("\n") })
}

async fn search(store: &Store, query: &str) -> Result<String, AgentError> {
    let found = store.search(Search::words(query, NOTES)).await?;
    let lines: Vec<String> =
        found.iter().map(|note| format!("{}  {}  {}  ({})", note.id, date(&note.at), one_line(&note.text), note.why)).collect();
    Ok(if lines.is_empty() { format!("no note has a word of: {query}") } else { lines.join("\n") })
}

async fn show(store: &Store, id: &str) -> Result<String, AgentError> {
    let Some(note) = store.note(id).await? else { return Ok(no_note(id)) };
    let kind = match note.kind {
        NoteKind::Note => "a note",
        NoteKind::Turn => "said in a conversation",
        NoteKind::Fact => "a fact, distilled from what was said",
    };
    let mut out = format!("{}\n{kind}, {}", note.text, note.at.unwrap_or_default());
    for (what, value) in [("from strangers", note.origin), ("session", note.session), ("replaced by", note.replaced)] {
        if let Some(value) = value {
            let _ = write!(out, "\n{what}: {}", one_line(&value));
        }
    }
    for source in note.source.iter().chain(&note.sources) {
        let _ = write!(out, "\nfrom turn {} of {}", source.turn, source.session);
    }
    Ok(out)
}

/// Out of the memory and of what the model has read. The session goes on: its next turn reads itself anew, without it.
async fn forget(agent: &Agent, history: Option<&Path>, ids: &str) -> Result<String, AgentError> {
    let ids: Vec<String> = ids.split_whitespace().map(str::to_owned).collect();
    let would = agent.store().would_forget(Forget { ids: ids.clone(), ..Forget::default() }).await?;
    if !would.unknown.is_empty() {
        // Also the second try of one that was cut off: then its log is emptied now.
        agent.store().forget_all(Forget::default()).await?;
        return Ok(no_note(&would.unknown.join(", ")));
    }
    // What lies beside the database goes first: cut off in between, the notes are still there to be forgotten once more.
    for (channel, name) in &would.sessions {
        for name in agent::transcripts(channel, name) {
            agent.engine().forget(&name).await?;
        }
    }
    let mut out = "forgotten".to_owned();
    let eraser = Eraser::new(would.notes.iter().map(|note| note.text.as_str()));
    if let Some(history) = history
        && let Err(error) = forget_typed(history, &eraser)
    {
        let _ = write!(out, "\nthe lines typed before cannot be cleaned of it: {}: {error}", history.display());
    }
    let forgotten = agent.store().forget_all(Forget { ids, ..Forget::default() }).await?;
    if forgotten.log_in_use {
        let _ = write!(out, "\n{}", StoreError::LogInUse);
    }
    for (turn, text) in &forgotten.sources {
        let _ = write!(out, "\nturn {turn}, where it comes from, says now: {}", one_line(text));
    }
    Ok(out)
}

/// Takes the lines that say it out of those that were typed, which are kept for the arrow keys. No file has none.
///
/// # Errors
/// The file cannot be read or written.
pub fn forget_typed(file: &Path, eraser: &Eraser) -> io::Result<()> {
    let text = match fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        text => text?,
    };
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let kept = lines.filter(|line| eraser.text(&String::from_utf8_lossy(line)).is_none()).collect::<Vec<_>>().concat();
    if kept != text {
        fs::write(file, kept)?;
    }
    Ok(())
}

async fn stats(store: &Store) -> Result<String, AgentError> {
    let stats = store.memory_stats().await?;
    let (notes, facts, turns) = (grouped(stats.notes), grouped(stats.facts), grouped(stats.turns));
    let mut out = format!("{notes} notes, {facts} facts, {turns} pieces of conversations; {} on disk", short(stats.bytes, "B"));
    let _ = write!(out, "; {} have vectors", grouped(stats.vectors));
    if let Some(percent) = (stats.used * 100).checked_div(stats.recalled) {
        let _ = write!(out, "\n{} notes came with messages, {} of them were used ({percent} %)", stats.recalled, stats.used);
    }
    Ok(out)
}

fn no_note(id: &str) -> String {
    format!("there is no note {id}; /memory list shows the ids")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_say_it_are_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history");
        let check = |text: &[u8], expected: &[u8]| {
            fs::write(&file, text).unwrap();
            forget_typed(&file, &Eraser::new(["my bike is green"])).unwrap();
            assert_eq!(fs::read(&file).unwrap(), expected);
        };
        check(b"#V2\nhello\n/memory add My bike is GREEN\nbye", b"#V2\nhello\nbye");
        check(b"\xff\nmy bike is green\n", b"\xff\n");
        check(b"", b"");
        fs::remove_file(&file).unwrap();
        forget_typed(&file, &Eraser::new(["x"])).unwrap();
        assert!(!file.exists());
    }
}
