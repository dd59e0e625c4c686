//! A note with all that is known of it: shown, edited, exported and imported.
//!
//! What a note refers to (session, turns, the note that replaces it) may be missing where it is imported. Then it is kept as words, so
//! that the next export is the same.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::journal::transact;
use crate::notes::{self, Note, NoteKind, NoteRow, note_row};
use crate::{Store, StoreError, limits, vectors};

/// A note as it is exported: one JSON line. Fields may be added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptNote {
    /// Id; a new one when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What sort of thing it is.
    #[serde(default)]
    pub kind: NoteKind,
    /// What is worth finding again.
    pub text: String,
    /// When it was noted; now when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// As [`Note::origin`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// As [`Note::pinned`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// As [`Note::key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The session that it belongs to: `channel/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The turn that it was noted in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The turns that it was distilled from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// Id of the fact that says it newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
    /// Ids of the facts that it says newer. Shown, not exported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
    /// Its embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<Vec<f32>>,
}

/// A turn that something comes from. Numbers are one memory's own, so the time is the proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its number.
    pub turn: i64,
    /// Its session, `channel/name`.
    pub session: String,
    /// When its message came.
    pub at: String,
}

/// What an import says that this memory cannot follow.
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Imported {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sources: Vec<Source>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced: Option<String>,
}

/// Notes with all that is known of them.
impl Store {
    /// The note `id`, its vector left out.
    pub async fn note(&self, id: &str) -> Result<Option<KeptNote>, StoreError> {
        let id = id.to_owned();
        self.run(move |connection| {
            let number: Option<i64> = connection.query_row("SELECT number FROM notes WHERE id = ?1", [id], |row| row.get(0)).optional()?;
            let Some(number) = number else { return Ok(None) };
            let mut note = kept(connection, number)?;
            note.replaces = column(connection, "SELECT id FROM notes WHERE replaced = ?1 ORDER BY number", number)?;
            Ok(Some(note))
        })
        .await
    }

    /// Notes of one kind, newest first, from the `offset`-th on, at most `limit` and [`limits::LIST_ROWS`].
    pub async fn list_kind(&self, kind: NoteKind, limit: usize, offset: usize) -> Result<Vec<NoteRow>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(LIST_KIND)?;
            let (most, from) = (limits::rows(limit, limits::LIST_ROWS), limits::rows(offset, usize::MAX));
            let rows = statement.query_map(params![kind, most, from], note_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Gives a note another text; id, time and all else stay. Its words are found at once; its vector, which is of the old text, goes.
    /// What it said before is gone from the file. `None`: there is no such note.
    pub async fn edit(&self, id: &str, text: impl Into<String>) -> Result<Option<NoteRow>, StoreError> {
        let (id, text) = (id.to_owned(), text.into());
        limits::check("note", &text, limits::NOTE_BYTES)?;
        self.run(move |connection| {
            let row = connection.prepare_cached(EDIT)?.query_row(params![id, text], note_row).optional()?;
            crate::session::scrub(connection)?;
            Ok(row)
        })
        .await
    }

    /// Everything of the notes after number `after`, in the order in which they were added, and what to give for the next page. At most
    /// [`limits::LIST_ROWS`] a page.
    pub async fn export_all(&self, after: i64, vectors: bool) -> Result<(Vec<KeptNote>, Option<i64>), StoreError> {
        self.run(move |connection| {
            let most = limits::rows(limits::LIST_ROWS, limits::LIST_ROWS);
            let mut statement = connection.prepare_cached("SELECT number FROM notes WHERE number > ?1 ORDER BY number LIMIT ?2")?;
            let numbers = statement.query_map([after, most], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
            let next = numbers.last().filter(|_| numbers.len() == limits::LIST_ROWS).copied();
            let mut notes = Vec::with_capacity(numbers.len());
            for number in numbers {
                let mut note = kept(connection, number)?;
                if vectors {
                    note.vector = vectors::get(connection, number)?;
                }
                notes.push(note);
            }
            Ok((notes, next))
        })
        .await
    }

    /// Keeps notes as they were exported, in one transaction: all or none. A note that has such an id is replaced. How many.
    pub async fn import(&self, notes: Vec<KeptNote>) -> Result<usize, StoreError> {
        self.run(move |connection| {
            transact(connection, |transaction| {
                let count = notes.len();
                notes.into_iter().try_for_each(|note| import(transaction, note))?;
                Ok(count)
            })
        })
        .await
    }

    /// How many numbers the notes' vectors have, once there is one.
    pub async fn vector_dimension(&self) -> Result<Option<usize>, StoreError> {
        self.run(|connection| vectors::dimension(connection)).await
    }

    /// Lets notes that were imported before the ones that replace them know of those. For the end of an import.
    pub async fn link_imported(&self) -> Result<(), StoreError> {
        self.run(|connection| {
            connection.execute(LINK, [])?;
            Ok(())
        })
        .await
    }
}

const LIST_KIND: &str =
    "SELECT id, kind, text, at, origin, pinned, source_turn FROM notes WHERE kind = ?1 ORDER BY at DESC, number DESC LIMIT ?2 OFFSET ?3";

const EDIT: &str = "UPDATE notes SET text = ?2 WHERE id = ?1 RETURNING id, kind, text, at, origin, pinned, source_turn";

const KEPT: &str = "SELECT n.id, n.kind, n.text, n.at, n.origin, n.pinned, n.source_turn, n.key, s.channel || '/' || s.name,
         (SELECT id FROM notes WHERE number = n.replaced), n.imported
     FROM notes n LEFT JOIN sessions s ON s.id = n.session WHERE n.number = ?1";

const SOURCE: &str = "SELECT t.id, s.channel || '/' || s.name, i.at FROM turns t JOIN sessions s ON s.id = t.session
     JOIN inbox i ON i.id = t.inbound WHERE t.id = ?1";

const LINK: &str = "UPDATE notes SET replaced = (SELECT number FROM notes AS newer WHERE newer.id = notes.imported ->> '$.replaced'),
         imported = nullif(json_remove(imported, '$.replaced'), '{}')
     WHERE imported ->> '$.replaced' IN (SELECT id FROM notes)";

const RESET: &str = "UPDATE notes SET imported = ?2, replaced = ?3 WHERE id = ?1 RETURNING number";

fn kept(connection: &Connection, number: i64) -> Result<KeptNote, Failure> {
    type Rest = (Option<i64>, Option<String>);
    let read = |row: &Row<'_>| -> rusqlite::Result<(KeptNote, Rest)> {
        let NoteRow { id, kind, text, at, origin, pinned, source_turn } = note_row(row)?;
        let (key, session, replaced) = (row.get(7)?, row.get(8)?, row.get(9)?);
        let note = KeptNote { id: Some(id), kind, text, at: Some(at), origin, pinned, key, session, replaced, ..KeptNote::default() };
        Ok((note, (source_turn, row.get(10)?)))
    };
    let (mut note, (turn, imported)) = connection.prepare_cached(KEPT)?.query_row([number], read)?;
    if let Some(turn) = turn {
        note.source = source(connection, turn)?;
    }
    for turn in column(connection, "SELECT turn FROM note_sources WHERE note = ?1 ORDER BY turn", number)? {
        note.sources.extend(source(connection, turn)?);
    }
    let imported = imported.and_then(|text| serde_json::from_str::<Imported>(&text).ok()).unwrap_or_default();
    note.session = note.session.or(imported.session);
    note.source = note.source.or(imported.source);
    note.replaced = note.replaced.or(imported.replaced);
    note.sources.extend(imported.sources);
    Ok(note)
}

fn source(connection: &Connection, turn: i64) -> Result<Option<Source>, Failure> {
    let read = |row: &Row<'_>| Ok(Source { turn: row.get(0)?, session: row.get(1)?, at: row.get(2)? });
    Ok(connection.prepare_cached(SOURCE)?.query_row([turn], read).optional()?)
}

fn column<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str, number: i64) -> Result<Vec<T>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([number], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether the turn is the one that is meant, not another memory's of that number.
fn is_here(transaction: &Transaction<'_>, meant: &Source) -> Result<bool, Failure> {
    Ok(source(transaction, meant.turn)?.as_ref() == Some(meant))
}

fn import(transaction: &Transaction<'_>, kept: KeptNote) -> Result<(), Failure> {
    let KeptNote { id, kind, text, at, origin, pinned, key, session, source, sources, replaced, replaces: _, vector } = kept;
    let mut imported = Imported::default();
    let mut here = None;
    if let Some(name) = session {
        here = transaction
            .prepare_cached("SELECT id FROM sessions WHERE channel || '/' || name = ?1")?
            .query_row([&name], |row| row.get::<_, i64>(0))
            .optional()?;
        imported.session = Some(name).filter(|_| here.is_none());
    }
    let mut source_turn = None;
    if let Some(source) = source {
        if is_here(transaction, &source)? { source_turn = Some(source.turn) } else { imported.source = Some(source) }
    }
    let mut distilled = Vec::new();
    for source in sources {
        if is_here(transaction, &source)? { distilled.push(source.turn) } else { imported.sources.push(source) }
    }
    let mut newer = None;
    if let Some(id) = replaced {
        newer = transaction
            .prepare_cached("SELECT number FROM notes WHERE id = ?1")?
            .query_row([&id], |row| row.get::<_, i64>(0))
            .optional()?;
        imported.replaced = Some(id).filter(|_| newer.is_none());
    }
    // A key belongs to one note; the one that is here keeps it.
    let key = match key {
        Some(key) if !transaction.prepare_cached("SELECT 1 FROM notes WHERE key = ?1")?.exists([&key])? => Some(key),
        _ => None,
    };
    let note = Note { id, kind, text, at, key, source_turn, session: here, origin, pinned, vector };
    notes::check(&note)?;
    let id = notes::add(transaction, note)?.id;
    let imported = if imported == Imported::default() { None } else { serde_json::to_string(&imported).ok() };
    let number: i64 = transaction.prepare_cached(RESET)?.query_row(params![id, imported, newer], |row| row.get(0))?;
    for turn in distilled {
        transaction.prepare_cached("INSERT OR IGNORE INTO note_sources (note, turn) VALUES (?1, ?2)")?.execute([number, turn])?;
    }
    Ok(())
}
