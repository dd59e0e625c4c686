//! `paguro memory forget`: out of the database, out of what lies beside it, and then a look at the bytes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use channels::{terminal::forget_typed, visible};
use memory::{Eraser, Forget, Forgotten, NoteKind, Store, StoreError};

use super::{kind, line};
use crate::args::ForgetArgs;
use crate::exit::BadInput;
use crate::out;
use crate::parts::Context;

/// Notes that are shown before the question.
const SHOWN: usize = 20;

/// Bytes of a file that are looked at at once.
const CHUNK: usize = 4 << 20;

/// Bytes of a note, from its beginning, that are looked for in the files; a shorter note than the least may stand in other words.
const LOOKED_FOR: usize = 2 << 10;
const LEAST: usize = 8;

pub async fn run(context: &Context, store: Store, args: &ForgetArgs) -> Result<ExitCode> {
    let ForgetArgs { ids, matching, with_turns, yes } = args;
    if matching.as_ref().is_some_and(|text| text.trim().is_empty()) {
        return Err(BadInput("the words to forget are empty".into()).into());
    }
    let mut forget = Forget { ids: ids.clone(), matching: matching.clone(), with_turns: *with_turns };
    let would = store.would_forget(forget.clone()).await?;
    let is_nothing = would.notes.is_empty() && would.places.is_empty();
    // This may be the second try of one that was cut off: then its log is emptied now.
    if (is_nothing || !would.unknown.is_empty()) && store.forget_all(Forget::default()).await?.log_in_use {
        return Err(StoreError::LogInUse.into());
    }
    if !would.unknown.is_empty() {
        let reason = format!("there is no note {}; `paguro memory list` shows the ids; nothing was forgotten", would.unknown.join(", "));
        return Err(BadInput(reason).into());
    }
    if is_nothing {
        say!("nothing was found");
        tell_of_names(&would);
        return Ok(ExitCode::SUCCESS);
    }
    if !yes {
        let asks = out::stdin_is_terminal() && out::stderr_is_terminal();
        if matching.is_some() {
            show(&would)?;
            if !asks {
                return Err(BadInput("nobody can be asked; `--yes` forgets this without a question".into()).into());
            }
            if !is_agreed("Forget this for good?") {
                say!("nothing was forgotten");
                return Ok(ExitCode::SUCCESS);
            }
        }
        if asks && !with_turns && !would.sources.is_empty() {
            show_sources(&would)?;
            forget.with_turns = is_agreed("Remove all that was said in these turns as well?");
        }
    }
    // What lies beside the database goes first: cut off in between, the notes are still there to be forgotten once more.
    let would = store.would_forget(forget.clone()).await?;
    caches(context, &would).await?;
    let texts: Vec<&str> = would.notes.iter().map(|note| note.text.as_str()).chain(matching.as_deref()).collect();
    forget_typed(&context.home.data.join("chat_history"), &Eraser::new(&texts))?;
    let needles = needles(&texts);
    read_by_the_model(context, &needles)?;
    let forgotten = store.forget_all(forget).await?;
    // Reading the database's file while it is open would give up SQLite's locks on it.
    drop(store);
    if forgotten.log_in_use {
        return Err(StoreError::LogInUse.into());
    }
    // The process that has the database open must not open it once more.
    if out::is_here() {
        be_sure(context, &needles, &forgotten).await?;
    }
    tell_of(&forgotten, args)?;
    Ok(ExitCode::SUCCESS)
}

fn show(would: &Forgotten) -> Result<()> {
    for note in would.notes.iter().take(SHOWN) {
        tell!("{}  {}{}", note.id, kind(note.kind), line(&note.text));
    }
    if would.notes.len() > SHOWN {
        tell!("… and {} more", would.notes.len() - SHOWN);
    }
    tell!("{}", summary(would));
    Ok(())
}

fn summary(forgotten: &Forgotten) -> String {
    let Forgotten { notes, places, sessions, .. } = forgotten;
    let mut out = format!("{} {}", notes.len(), if notes.len() == 1 { "note" } else { "notes" });
    if !places.is_empty() {
        let names: Vec<String> = sessions.iter().map(|(channel, name)| format!("{channel}/{name}")).collect();
        let of = if names.is_empty() { String::new() } else { format!(" of {}", names.join(", ")) };
        let count = if places.len() == 1 { "one place".to_owned() } else { format!("{} places", places.len()) };
        out += &format!(", and words in {count}{of}");
    }
    out
}

fn show_sources(would: &Forgotten) -> Result<()> {
    tell!("It comes from these turns, whose messages will then say:");
    for (turn, text) in &would.sources {
        tell!("  turn {turn}: {}", line(text));
    }
    Ok(())
}

fn is_agreed(question: &str) -> bool {
    tell!("{question} [y/N]");
    out::read_line().is_some_and(|answer| matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// What the model had read of those sessions is kept as numbers; they go.
async fn caches(context: &Context, forgotten: &Forgotten) -> Result<()> {
    for (channel, name) in &forgotten.sessions {
        context.forget_read(channel, name).await?;
    }
    Ok(())
}

/// What the model had read of sessions that are not known to speak of it.
fn read_by_the_model(context: &Context, needles: &[Vec<u8>]) -> Result<()> {
    for entry in fs::read_dir(context.kv_folder()).into_iter().flatten().flatten() {
        if has_any(&entry.path(), needles)? {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Looks for the notes' bytes in the database. A place where they still stand belongs to no row; the file is written anew then. What is
/// left after that stands in a row: in a name that the program needs, or within a longer word. That is said.
async fn be_sure(context: &Context, needles: &[Vec<u8>], forgotten: &Forgotten) -> Result<()> {
    let files: Vec<PathBuf> = ["paguro.db", "paguro.db-wal"].iter().map(|name| context.home.data.join(name)).collect();
    let is_left = || files.iter().map(|file| has_any(file, needles)).try_fold(false, |left, has| Ok::<_, io::Error>(left || has?));
    if is_left()? {
        let store = context.store()?;
        store.rewrite().await?;
        drop(store);
        if is_left()? && forgotten.stays.is_empty() {
            tell!("the same letters are still in {}, within a longer word or a name, and stay there", files[0].display());
        }
    }
    Ok(())
}

/// The notes' bytes, plain and as JSON writes them; of a long one the beginning, as no page holds all of it.
fn needles(texts: &[&str]) -> Vec<Vec<u8>> {
    let escaped = |text: &str| serde_json::Value::from(text).to_string().trim_matches('"').to_owned();
    let all = texts.iter().flat_map(|text| [text.trim().to_owned(), escaped(text.trim())]);
    let mut needles: Vec<Vec<u8>> = all.filter(|text| text.len() >= LEAST).map(|text| text.bytes().take(LOOKED_FOR).collect()).collect();
    needles.sort();
    needles.dedup();
    needles
}

fn has_any(file: &Path, needles: &[Vec<u8>]) -> io::Result<bool> {
    let mut file = match fs::File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let mut bytes = Vec::new();
    loop {
        // What a needle may begin with at the end of one chunk is looked at with the next.
        let kept = bytes.len().min(LOOKED_FOR);
        bytes.drain(..bytes.len() - kept);
        if file.by_ref().take(CHUNK as u64).read_to_end(&mut bytes)? == 0 {
            return Ok(false);
        }
        if needles.iter().any(|needle| contains(&bytes, needle)) {
            return Ok(true);
        }
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// Names that have the words.
fn tell_of_names(forgotten: &Forgotten) {
    let names: BTreeSet<&str> = forgotten.stays.iter().map(|place| place.what).collect();
    for what in names {
        tell!("it still stands in the {what}, by which things are found; remove that one, or give it another name");
    }
}

fn tell_of(forgotten: &Forgotten, args: &ForgetArgs) -> Result<()> {
    say!("forgotten: {}", summary(forgotten));
    tell_of_names(forgotten);
    let is_piece = forgotten.notes.iter().any(|note| note.kind == NoteKind::Turn);
    if !args.with_turns && !is_piece && !forgotten.sources.is_empty() {
        for (turn, text) in &forgotten.sources {
            tell!("turn {turn}, where it comes from, says now: {}", visible(&line(text)));
        }
        tell!("if that still says it: `paguro memory forget --matching \"WORDS\"`");
    }
    tell!("files in the workspace, backups and what was exported are as they were");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_across_chunks() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        for place in [0, CHUNK - 5, CHUNK, 2 * CHUNK - 1] {
            let mut bytes = vec![b'q'; 2 * CHUNK + 100];
            bytes[place..place + 8].copy_from_slice(b"quixotry");
            fs::write(&file, bytes).unwrap();
            assert!(has_any(&file, &needles(&["quixotry"])).unwrap(), "{place}");
            assert!(!has_any(&file, &needles(&["quixotic"])).unwrap());
        }
        assert!(!has_any(&folder.path().join("none"), &needles(&["quixotry"])).unwrap());
    }
}
