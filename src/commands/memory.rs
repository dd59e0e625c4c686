//! `paguro memory`: the notes, for their owner.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use channels::visible;
use memory::{Note, NoteRow, Search, Store};
use serde::Deserialize;
use serde_json::json;

use super::print_json;
use crate::args::{ListFormat, MemoryCommand};
use crate::exit::BadInput;
use crate::parts::Context;

/// Notes written in one transaction on import.
const IMPORT_BATCH: usize = 500;

pub async fn run(command: &MemoryCommand) -> Result<ExitCode> {
    if let MemoryCommand::Eval(args) = command {
        return super::eval::run(args).await;
    }
    let store = Context::read()?.store()?;
    match command {
        MemoryCommand::Add { text, pin, list } => add(&store, text, *pin, list.format).await?,
        MemoryCommand::Pin { id, off } => {
            if !store.pin(id, !off).await? {
                return Err(no_note(id));
            }
            say!("{}", if *off { "no longer pinned" } else { "pinned: it stands at the beginning of every new conversation" });
        }
        MemoryCommand::Search { query, limit, list } => search(&store, query, *limit as usize, list.format).await?,
        MemoryCommand::List { limit, list } => list_notes(&store, *limit as usize, list.format).await?,
        MemoryCommand::Forget { id } => {
            if !store.forget(id).await? {
                return Err(no_note(id));
            }
            say!("forgotten");
        }
        MemoryCommand::Export { file } => export(&store, file.as_deref()).await?,
        MemoryCommand::Import { file } => import(&store, file).await?,
        // It has a store of its own, above.
        MemoryCommand::Eval(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn no_note(id: &str) -> anyhow::Error {
    BadInput(format!("there is no note {id}; `paguro memory list` shows the ids")).into()
}

async fn add(store: &Store, text: &str, pinned: bool, format: ListFormat) -> Result<()> {
    if text.trim().is_empty() {
        return Err(BadInput("the note is empty; write what is to be kept".into()).into());
    }
    let note = store.add_note(Note { text: text.to_owned(), pinned, ..Note::default() }).await?;
    match format {
        ListFormat::Json => print_json(&note),
        ListFormat::Text => {
            say!("kept as {}", note.id);
            Ok(())
        }
    }
}

async fn search(store: &Store, query: &str, limit: usize, format: ListFormat) -> Result<()> {
    let found = store.search(Search::words(query, limit)).await?;
    match format {
        ListFormat::Json => print_json(&json!({ "results": found })),
        ListFormat::Text => {
            for note in &found {
                say!("{}  {}  ({})", note.id, line(&note.text), note.why);
            }
            if found.is_empty() {
                tell!("nothing found");
            }
            Ok(())
        }
    }
}

/// A note on one line of a listing; what would drive a terminal is shown instead.
fn line(text: &str) -> String {
    visible(&text.replace('\n', "⏎")).into_owned()
}

async fn list_notes(store: &Store, limit: usize, format: ListFormat) -> Result<()> {
    let notes = store.list(limit, 0).await?;
    match format {
        ListFormat::Json => print_json(&json!({ "notes": notes })),
        ListFormat::Text => {
            for NoteRow { id, text, at, pinned, .. } in &notes {
                say!("{id}  {at}  {}{}", if *pinned { "(pinned) " } else { "" }, line(text));
            }
            if notes.is_empty() {
                tell!("there are no notes yet");
            }
            Ok(())
        }
    }
}

async fn export(store: &Store, file: Option<&Path>) -> Result<()> {
    let mut out: Box<dyn Write> = match file {
        Some(file) => {
            Box::new(BufWriter::new(File::create_new(file).with_context(|| format!("{} cannot be written anew", file.display()))?))
        }
        None => Box::new(std::io::stdout().lock()),
    };
    let (mut after, mut count) = (Some(0), 0);
    while let Some(position) = after {
        let page = store.export(position).await?;
        for note in &page.notes {
            serde_json::to_writer(&mut out, note)?;
            writeln!(out)?;
        }
        count += page.notes.len();
        after = page.next;
    }
    out.flush()?;
    tell!("{count} notes written");
    Ok(())
}

/// One line of an import.
#[derive(Deserialize)]
struct Line {
    id: Option<String>,
    text: String,
    at: Option<String>,
    origin: Option<String>,
    #[serde(default)]
    pinned: bool,
}

async fn import(store: &Store, file: &Path) -> Result<()> {
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let opened = File::open(file).map_err(|e| BadInput(format!("{} cannot be read: {e}", file.display())))?;
        Box::new(BufReader::new(opened))
    };
    let (mut batch, mut count) = (Vec::new(), 0);
    for (index, line) in input.lines().enumerate() {
        let wrong =
            |reason: String| BadInput(format!("{}, line {}: {reason}; {count} notes before it were kept", file.display(), index + 1));
        let line = line.map_err(|e| wrong(e.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let Line { id, text, at, origin, pinned } = serde_json::from_str(&line).map_err(|e| wrong(format!("not a note ({e})")))?;
        batch.push(Note { id, text, at, origin, pinned, ..Note::default() });
        if batch.len() == IMPORT_BATCH {
            count += store.add_notes(std::mem::take(&mut batch)).await?.len();
        }
    }
    count += store.add_notes(batch).await?.len();
    say!("{count} notes read");
    Ok(())
}
