//! `paguro memory import`: what `export` wrote, chat histories, and Markdown, read as a stream. Each batch is kept whole or not at all.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use memory::{KeptNote, Store, StoreError};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{chats, markdown};
use crate::exit::BadInput;

/// Notes written in one transaction.
const BATCH: usize = 1_000;

/// Bytes of notes after which a batch is written, however few they are.
const BATCH_BYTES: usize = 16 << 20;

/// Bytes of one line. A longer one is refused.
const LINE_BYTES: usize = 8 << 20;

/// Bytes of one Markdown file. A longer one is refused.
const MARKDOWN_BYTES: u64 = 16 << 20;

/// Folders in folders that are looked into.
const DEPTH: usize = 8;

/// Files of one folder. More are refused.
const FILES: usize = 100_000;

pub async fn run(store: &Store, file: &Path, trust: bool) -> Result<()> {
    let mut import = Import { store, batch: Vec::new(), bytes: 0, count: 0, vectors: store.embedder().await? };
    let is_markdown = |file: &Path| file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("md"));
    if file.is_dir() {
        let files = markdown_files(file, &is_markdown)?;
        if files.is_empty() {
            return Err(BadInput(format!("there is no Markdown file (*.md) in {}", file.display())).into());
        }
        for path in &files {
            import.markdown(path, path.strip_prefix(file).unwrap_or(path), trust).await?;
        }
    } else if is_markdown(file) {
        import.markdown(file, file.file_name().map_or(file, Path::new), trust).await?;
    } else {
        import.lines(file, trust).await?;
    }
    import.flush().await?;
    store.link_imported().await?;
    say!("{} notes read", import.count);
    Ok(())
}

/// The same text at the same time has the same id, so that a second import adds nothing.
pub fn id_of(at: Option<&str>, text: &str) -> String {
    let sum = Sha256::new().chain_update(at.unwrap_or_default()).chain_update([0]).chain_update(text).finalize();
    sum.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Where a note comes from that somebody else may have written.
pub fn origin_of(name: &str, trust: bool) -> Option<String> {
    (!trust).then(|| format!("imported from {name}"))
}

/// The Markdown files of a folder and those in it, by name.
fn markdown_files(folder: &Path, is_markdown: &impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut folders = VecDeque::from([(folder.to_owned(), 0)]);
    let mut files = Vec::new();
    while let Some((folder, depth)) = folders.pop_front() {
        let unreadable = |e: std::io::Error| BadInput(format!("{} cannot be read: {e}", folder.display()));
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            // A link may lead anywhere, and in circles.
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() && depth < DEPTH {
                folders.push_back((entry.path(), depth + 1));
            } else if kind.is_file() && is_markdown(&entry.path()) {
                files.push(entry.path());
            }
            if files.len() > FILES {
                return Err(BadInput(format!("{} holds more than {FILES} files; import its folders one by one", folder.display())).into());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// An import on its way.
struct Import<'a> {
    store: &'a Store,
    batch: Vec<KeptNote>,
    bytes: usize,
    count: usize,
    /// The embedder of the vectors and how many numbers each has, once that is known.
    vectors: Option<(String, usize)>,
}

impl Import<'_> {
    async fn add(&mut self, note: KeptNote) -> Result<()> {
        self.bytes += note.text.len();
        self.batch.push(note);
        if self.batch.len() >= BATCH || self.bytes >= BATCH_BYTES { Ok(self.flush().await?) } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        self.count += self.store.import(std::mem::take(&mut self.batch)).await?;
        Ok(())
    }

    async fn markdown(&mut self, path: &Path, name: &Path, trust: bool) -> Result<()> {
        let wrong = |reason: String| BadInput(format!("{}: {reason}", path.display()));
        let mut text = Vec::new();
        let file = File::open(path).map_err(|e| wrong(format!("it cannot be read: {e}")))?;
        file.take(MARKDOWN_BYTES + 1).read_to_end(&mut text).map_err(|e| wrong(e.to_string()))?;
        if text.len() as u64 > MARKDOWN_BYTES {
            return Err(wrong(format!("it has more than {} MB; split it", MARKDOWN_BYTES >> 20)).into());
        }
        let text = String::from_utf8(text).map_err(|e| wrong(format!("it is not UTF-8 from byte {} on", e.utf8_error().valid_up_to())))?;
        let name = name.to_string_lossy();
        for note in markdown::notes(&name, &text) {
            let id = Some(id_of(note.at.as_deref(), &note.text));
            self.add(KeptNote { id, origin: origin_of(&name, trust), ..note }).await?;
        }
        Ok(())
    }

    async fn lines(&mut self, file: &Path, trust: bool) -> Result<()> {
        let mut input: Box<dyn BufRead> = if file == Path::new("-") {
            Box::new(BufReader::new(crate::out::stdin()))
        } else {
            let opened = File::open(file).map_err(|e| BadInput(format!("{} cannot be read: {e}", file.display())))?;
            Box::new(BufReader::with_capacity(1 << 20, opened))
        };
        let name = file.file_name().filter(|_| file != Path::new("-")).map_or("standard input".into(), |name| name.to_string_lossy());
        let origin = origin_of(&name, trust);
        let (mut chat, mut line, mut number) = (chats::Chat::new(origin), Vec::new(), 0_u64);
        loop {
            line.clear();
            number += 1;
            let read = input.by_ref().take(LINE_BYTES as u64 + 1).read_until(b'\n', &mut line);
            let notes = match read {
                Ok(0) => break,
                Ok(_) if line.len() > LINE_BYTES => Err(format!("it has more than {} MB; shorten it", LINE_BYTES >> 20)),
                Ok(_) => notes_of(&line, &mut chat),
                Err(e) => Err(e.to_string()),
            };
            let added = match notes {
                Ok(notes) => self.add_all(notes).await,
                Err(reason) => Err(reason),
            };
            if let Err(reason) = added {
                // What was good stays; the same import again changes nothing of it.
                self.flush().await?;
                let kept = self.count;
                return Err(BadInput(format!("{}, line {number}: {reason}; {kept} notes before it were kept", file.display())).into());
            }
        }
        for note in chat.end() {
            self.add(note).await?;
        }
        Ok(())
    }

    async fn add_all(&mut self, notes: Vec<KeptNote>) -> Result<(), String> {
        for note in notes {
            check(&note)?;
            if let Some(vector) = &note.vector {
                let given = vector.len();
                let (embedder, expected) = self.vectors.get_or_insert_with(|| (note.maker().to_owned(), given));
                // Another embedder's is left out by the store.
                if note.maker() == embedder && given != *expected {
                    return Err(StoreError::WrongDimension { given, expected: *expected }.to_string());
                }
            }
            self.add(note).await.map_err(|e| format!("{e:#}"))?;
        }
        Ok(())
    }
}

/// The limits of the store, before a whole batch falls with one note.
fn check(note: &KeptNote) -> Result<(), String> {
    let too_long = |what: &str, text: &Option<String>, most: usize| match text {
        Some(text) if text.len() > most => Err(format!("the {what} has {} bytes and at most {most} can be stored", text.len())),
        _ => Ok(()),
    };
    if note.text.len() > memory::limits::NOTE_BYTES {
        return Err(format!("the note has {} bytes and at most {} can be stored", note.text.len(), memory::limits::NOTE_BYTES));
    }
    for (what, text) in [("id", &note.id), ("time", &note.at), ("key", &note.key)] {
        too_long(what, text, memory::limits::NAME_BYTES)?;
    }
    match &note.vector {
        Some(vector) => memory::check_vector(vector).map_err(|e| e.to_string()),
        None => Ok(()),
    }
}

/// The notes of one line: one that was exported, or what a message of a chat completes.
fn notes_of(line: &[u8], chat: &mut chats::Chat) -> Result<Vec<KeptNote>, String> {
    let line = std::str::from_utf8(line).map_err(|e| format!("it is not UTF-8 from byte {} on", e.valid_up_to()))?;
    let line = line.trim_start_matches('\u{feff}').trim();
    if line.is_empty() {
        return Ok(Vec::new());
    }
    let value: Value = serde_json::from_str(line).map_err(|e| format!("not JSON ({e})"))?;
    if chats::is_of_chat(&value) {
        return chat.line(&value);
    }
    let mut note: KeptNote = serde_json::from_value(value).map_err(|e| format!("not a note ({e})"))?;
    note.replaces.clear();
    // What was being said before it is over.
    let mut notes = chat.end();
    notes.push(note);
    Ok(notes)
}
