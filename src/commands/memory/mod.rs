//! `paguro memory`: the notes, for their owner. Forgetting, import, export and statistics have files of their own.

mod chats;
mod forget;
mod import;
mod markdown;
mod meaning;
mod plot;
mod stats;

use std::fs::File;
use std::io::{BufWriter, Read as _, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use channels::visible;
use memory::{KeptNote, Note, NoteKind, NoteRow, Search, Source, Store};
use serde_json::json;

use super::{input, print_json};
use crate::args::{ListFormat, MemoryCommand};
use crate::exit::BadInput;
use crate::out;
use crate::parts::Context;

/// Notes without a vector that get theirs before a search: a second's work of a small embedder.
const SOON: usize = 256;

pub async fn run(command: &MemoryCommand) -> Result<ExitCode> {
    if let MemoryCommand::Eval(args) = command {
        return super::eval::run(args).await;
    }
    let context = Context::read()?;
    let store = context.store()?;
    match command {
        MemoryCommand::Add { text, pin, list } => {
            add(&store, text, *pin, list.format).await?;
            meaning::catch_up(&context, &store, Some(SOON)).await;
        }
        MemoryCommand::Pin { id, off } => {
            if !store.pin(id, !off).await? {
                return Err(no_note(id));
            }
            say!("{}", if *off { "no longer pinned" } else { "pinned: it stands at the beginning of every new conversation" });
        }
        MemoryCommand::Search { query, limit, kind, list } => {
            meaning::catch_up(&context, &store, Some(SOON)).await;
            let vector = meaning::of_question(&context, &store, query).await?;
            let search = Search { kind: kind.map(NoteKind::from), vector, ..Search::words(query, *limit as usize) };
            find(&store, search, list.format).await?;
        }
        MemoryCommand::List { limit, kind, list } => {
            list_notes(&store, kind.map(NoteKind::from), *limit as usize, list.format).await?;
        }
        MemoryCommand::Show { id, list } => show(&store, id, list.format).await?,
        MemoryCommand::Edit { id, text } => edit(&store, id, text.as_deref()).await?,
        MemoryCommand::Forget(args) => return forget::run(&context, store, args).await,
        MemoryCommand::Export { file, vectors } => export(&store, file.as_deref(), *vectors).await?,
        MemoryCommand::Import { file, trust } => {
            import::run(&store, &out::path(file), *trust).await?;
            meaning::catch_up(&context, &store, None).await;
        }
        MemoryCommand::Reindex { all } => meaning::reindex(&context, &store, *all).await?,
        // It has a store of its own, above.
        MemoryCommand::Eval(_) => {}
        MemoryCommand::Stats { plot, list } => stats::run(&store, plot.as_deref(), list.format).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn no_note(id: &str) -> anyhow::Error {
    BadInput(format!("there is no note {id}; `paguro memory list` shows the ids")).into()
}

/// A note's text as given: `-` is standard input.
fn given(text: &str) -> Result<String> {
    let text = if text == "-" { input::read_stdin(out::stdin())?.trim_end().to_owned() } else { text.to_owned() };
    if text.trim().is_empty() {
        return Err(BadInput("the note is empty; write what is to be kept".into()).into());
    }
    Ok(text)
}

async fn add(store: &Store, text: &str, pinned: bool, format: ListFormat) -> Result<()> {
    let note = store.add_note(Note { text: given(text)?, pinned, ..Note::default() }).await?;
    match format {
        ListFormat::Json => print_json(&note),
        ListFormat::Text => {
            say!("kept as {}", note.id);
            Ok(())
        }
    }
}

async fn find(store: &Store, search: Search, format: ListFormat) -> Result<()> {
    let found = store.search(search).await?;
    match format {
        ListFormat::Json => print_json(&json!({ "results": found })),
        ListFormat::Text => {
            for note in &found {
                say!("{}  {}{}  ({})", note.id, kind(note.kind), line(&note.text), note.why);
            }
            if found.is_empty() {
                tell!("nothing found");
            }
            Ok(())
        }
    }
}

/// What is said of a kind in a listing: nothing of what most are.
fn kind(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::Note => "",
        NoteKind::Turn => "(said) ",
        NoteKind::Fact => "(fact) ",
    }
}

/// A note on one line of a listing; what would drive a terminal is shown instead.
fn line(text: &str) -> String {
    visible(&text.replace('\n', "⏎")).into_owned()
}

async fn list_notes(store: &Store, of: Option<NoteKind>, limit: usize, format: ListFormat) -> Result<()> {
    let notes = match of {
        Some(kind) => store.list_kind(kind, limit, 0).await?,
        None => store.list(limit, 0).await?,
    };
    match format {
        ListFormat::Json => print_json(&json!({ "notes": notes })),
        ListFormat::Text => {
            for NoteRow { id, kind: of, text, at, pinned, .. } in &notes {
                say!("{id}  {}  {}{}{}", visible(at), kind(*of), if *pinned { "(pinned) " } else { "" }, line(text));
            }
            if notes.is_empty() {
                tell!("there are no notes yet");
            }
            Ok(())
        }
    }
}

async fn show(store: &Store, id: &str, format: ListFormat) -> Result<()> {
    let note = store.note(id).await?.ok_or_else(|| no_note(id))?;
    if format == ListFormat::Json {
        return print_json(&note);
    }
    let KeptNote { kind, text, at, origin, pinned, session, source, sources, replaced, replaces, .. } = note;
    let mut out = out::stdout();
    writeln!(out, "{}\n", visible(&text))?;
    let kind = match kind {
        NoteKind::Note => "note",
        NoteKind::Turn => "said in a conversation",
        NoteKind::Fact => "fact, distilled from what was said",
    };
    let mut lines = vec![("kind", kind.to_owned()), ("at", at.unwrap_or_default())];
    lines.extend(pinned.then(|| ("pinned", "it stands in every new conversation".to_owned())));
    lines.extend(origin.map(|origin| ("origin", format!("text of strangers: {origin}"))));
    lines.extend(session.map(|session| ("session", session)));
    lines.extend(source.iter().map(|source| ("noted in", look_at(source))));
    lines.extend(sources.iter().map(|source| ("from", look_at(source))));
    lines.extend(replaced.map(|id| ("replaced by", id)));
    lines.extend((!replaces.is_empty()).then(|| ("replaces", replaces.join(", "))));
    for (what, value) in lines {
        writeln!(out, "{what:<12} {}", line(&value))?;
    }
    Ok(())
}

/// A turn, and how to see it.
fn look_at(source: &Source) -> String {
    let Source { turn, session, at } = source;
    format!("turn {turn}, {at}: paguro session show {session} --why {turn}")
}

async fn edit(store: &Store, id: &str, text: Option<&str>) -> Result<()> {
    let note = store.note(id).await?.ok_or_else(|| no_note(id))?;
    let text = match text {
        Some(text) => given(text)?,
        None => edited(&note.text)?,
    };
    if text == note.text {
        say!("unchanged");
        return Ok(());
    }
    store.edit(id, text).await?.ok_or_else(|| no_note(id))?;
    say!("changed");
    Ok(())
}

/// `text` as the owner's editor leaves it.
fn edited(text: &str) -> Result<String> {
    let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()));
    let Some(editor) = editor.filter(|_| out::is_here() && out::stdin_is_terminal()) else {
        return Err(
            BadInput("give the new text, `-` to read it from standard input, or set EDITOR and run this on a terminal".into()).into()
        );
    };
    // Readable by the owner alone, and gone when this returns.
    let mut file = tempfile::Builder::new().prefix("paguro-note-").suffix(".md").tempfile()?;
    file.write_all(text.as_bytes())?;
    // As git does: the variable may hold arguments.
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or_default();
    let status =
        Command::new(program).args(words).arg(file.path()).status().with_context(|| format!("the editor {editor} cannot be run"))?;
    if !status.success() {
        return Err(BadInput(format!("the editor {editor} ended with {status}; nothing was changed")).into());
    }
    let mut changed = String::new();
    // Opened anew: an editor may have put another file in its place.
    File::open(file.path())?.read_to_string(&mut changed).map_err(|e| BadInput(format!("the text cannot be read: {e}")))?;
    // An editor ends the last line.
    let changed = if text.ends_with('\n') { changed.as_str() } else { changed.trim_end_matches('\n') };
    given(if changed == "-" { " " } else { changed })
}

async fn export(store: &Store, file: Option<&Path>, vectors: bool) -> Result<()> {
    let mut out: Box<dyn Write> = match file {
        Some(file) => {
            let file = out::path(file);
            Box::new(BufWriter::new(File::create_new(&file).with_context(|| format!("{} cannot be written anew", file.display()))?))
        }
        None => Box::new(out::stdout()),
    };
    let (mut after, mut count) = (Some(0), 0);
    while let Some(position) = after {
        let (notes, next) = store.export_all(position, vectors).await?;
        for note in &notes {
            serde_json::to_writer(&mut out, note)?;
            writeln!(out)?;
        }
        count += notes.len();
        after = next;
    }
    out.flush()?;
    tell!("{count} notes written");
    Ok(())
}
