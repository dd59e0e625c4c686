//! A note with all that is known of it: shown, edited, exported and imported.
//!
//! What a note refers to (session, turns, the note that replaces it) may be missing where it is imported. Then it is kept as words, so
//! that the next export is the same.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::forget::empty_log;
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
    /// The embedder that made it, as [`Store::embedder`] names it; `None`: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedder: Option<String>,
}

impl KeptNote {
    /// The embedder that made its vector, as [`Store::embedder`] would say it.
    #[must_use]
    pub fn maker(&self) -> &str {
        self.embedder.as_deref().unwrap_or(vectors::GIVEN)
    }
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
            let row = transact(connection, |transaction| {
                Ok(transaction.prepare_cached(EDIT)?.query_row(params![id, text], note_row).optional()?)
            })?;
            empty_log(connection)?;
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
            let embedder = vectors::fact(connection, "embedder")?.filter(|name| name != vectors::GIVEN);
            let mut notes = Vec::with_capacity(numbers.len());
            for number in numbers {
                let mut note = kept(connection, number)?;
                if vectors {
                    note.vector = vectors::get(connection, number)?;
                    note.embedder = embedder.clone().filter(|_| note.vector.is_some());
                }
                notes.push(note);
            }
            Ok((notes, next))
        })
        .await
    }

    /// Keeps notes as they were exported, in one transaction: all or none. How many. A note that has such an id is replaced; a piece of a
    /// turn of this journal is not, as pieces are called by numbers that every journal has: then the imported one gets an id of its own.
    /// What strangers may have written is not pinned, and a vector that another embedder made than the one in use is left out.
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

    /// Lets notes that were imported before the ones that replace them know of those. For the end of an import.
    pub async fn link_imported(&self) -> Result<(), StoreError> {
        self.run(|connection| {
            transact(connection, |transaction| {
                let pairs = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
                let pairs: Vec<(i64, i64)> = transaction.prepare_cached(LINKS)?.query_map([], pairs)?.collect::<Result<_, _>>()?;
                for (number, newer) in pairs {
                    transaction.prepare_cached(LINK)?.execute(params![number, unless_circular(transaction, number, Some(newer))?])?;
                }
                Ok(())
            })
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

const LINKS: &str = "SELECT notes.number, newer.number FROM notes JOIN notes AS newer ON newer.id = notes.imported ->> '$.replaced'
     WHERE notes.imported IS NOT NULL";

const LINK: &str = "UPDATE notes SET replaced = ?2, imported = nullif(json_remove(imported, '$.replaced'), '{}') WHERE number = ?1";

const RESET: &str = "UPDATE notes SET imported = ?2, replaced = ?3, pinned = ?4 WHERE number = ?1";

/// All that replace ?1 one after the other, itself too.
const NEWER: &str = "WITH RECURSIVE newer (number) AS (
         SELECT ?1 UNION SELECT replaced FROM notes JOIN newer USING (number) WHERE replaced IS NOT NULL
     ) SELECT 1 FROM newer WHERE number = ?2";

const PRESENT: &str = "SELECT kind, text, pinned, source_turn IS NOT NULL FROM notes WHERE id = ?1";

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

/// `newer`, unless the note would then be replaced by itself in the end, and nothing of it be found.
fn unless_circular(transaction: &Transaction<'_>, number: i64, newer: Option<i64>) -> Result<Option<i64>, Failure> {
    let Some(newer) = newer else { return Ok(None) };
    let is_circular = transaction.prepare_cached(NEWER)?.exists([newer, number])?;
    Ok(Some(newer).filter(|_| !is_circular))
}

/// The note that has this id, before an import.
struct Present {
    kind: NoteKind,
    text: String,
    pinned: bool,
    has_turn: bool,
}

fn present(transaction: &Transaction<'_>, id: Option<&str>) -> Result<Option<Present>, Failure> {
    let read = |row: &Row<'_>| Ok(Present { kind: row.get(0)?, text: row.get(1)?, pinned: row.get(2)?, has_turn: row.get(3)? });
    Ok(transaction.prepare_cached(PRESENT)?.query_row([id], read).optional()?)
}

/// How the ids of pieces begin; the number of a turn of the journal follows.
const PIECE_ID: &str = "turn-";

/// Letters of such an id, and of a time, that stand in the id of an imported piece.
const PIECE_ID_LETTERS: usize = 64;

fn import(transaction: &Transaction<'_>, mut kept: KeptNote) -> Result<(), Failure> {
    let is_here_already = match &kept.source {
        Some(source) => is_here(transaction, source)?,
        None => false,
    };
    let mut before = present(transaction, kept.id.as_deref())?;
    let is_own_piece = before.as_ref().is_some_and(|note| note.kind == NoteKind::Turn && note.has_turn);
    if is_own_piece && is_here_already && before.as_ref().is_some_and(|note| note.text == kept.text) {
        return Ok(());
    }
    if let Some(id) = kept.id.take_if(|id| is_own_piece || id.starts_with(PIECE_ID) && !is_here_already) {
        // The same at every import of it.
        let at = kept.source.as_ref().map(|source| source.at.as_str()).or(kept.at.as_deref()).unwrap_or_default();
        let short = |text: &str| text.chars().take(PIECE_ID_LETTERS).collect::<String>();
        let id = format!("imported-{}-{}", short(&id), short(at));
        before = present(transaction, Some(&id))?;
        kept.id = Some(id);
    }
    let known = vectors::fact(transaction, "embedder")?;
    let maker = kept.maker().to_owned();
    kept.vector = kept.vector.filter(|_| known.as_ref().is_none_or(|known| *known == maker));
    let is_first_vector = known.is_none() && kept.vector.is_some();
    // A note that is pinned stays so, unless strangers' words take its place.
    let may_pin = kept.origin.is_none() && kept.kind != NoteKind::Turn;
    let was_pinned = before.is_some_and(|before| before.pinned && (may_pin || before.text == kept.text));
    let pinned = was_pinned || kept.pinned && may_pin;
    place(transaction, kept, pinned)?;
    if is_first_vector {
        vectors::set_fact(transaction, "embedder", &maker)?;
    }
    Ok(())
}

/// Writes the note and what it refers to.
fn place(transaction: &Transaction<'_>, kept: KeptNote, pinned: bool) -> Result<(), Failure> {
    let KeptNote { id, kind, text, at, origin, key, session, source, sources, replaced, vector, .. } = kept;
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
    let number: i64 = transaction.prepare_cached("SELECT number FROM notes WHERE id = ?1")?.query_row([id], |row| row.get(0))?;
    transaction.prepare_cached(RESET)?.execute(params![number, imported, unless_circular(transaction, number, newer)?, pinned])?;
    for turn in distilled {
        transaction.prepare_cached("INSERT OR IGNORE INTO note_sources (note, turn) VALUES (?1, ?2)")?.execute([number, turn])?;
    }
    Ok(())
}
