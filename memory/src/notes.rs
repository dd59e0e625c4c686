//! Notes: what is worth finding again, as it is kept, listed and deleted. How it is found stands in `recall.rs`.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, Row, ToSql, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::journal::transact;
use crate::{Store, StoreError, limits, vectors};

/// What sort of thing a note is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoteKind {
    /// Taken by somebody: the owner, or the model with `remember`.
    #[default]
    Note,
    /// A piece of a turn as it was said; goes when its turn goes.
    Turn,
    /// Distilled from turns.
    Fact,
}

impl NoteKind {
    fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Turn => "turn",
            Self::Fact => "fact",
        }
    }
}

impl ToSql for NoteKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for NoteKind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        [Self::Note, Self::Turn, Self::Fact].into_iter().find(|kind| kind.name() == name).ok_or(FromSqlError::InvalidType)
    }
}

/// A note to be kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Note {
    /// Its id; `None`: a new random one. A note that has this id already is replaced.
    pub id: Option<String>,
    /// What sort of thing it is.
    pub kind: NoteKind,
    /// What is worth finding again.
    pub text: String,
    /// When it was noted, kept as given; `None`: now.
    pub at: Option<String>,
    /// Makes a repeated call recognisable: a second note with the same key is not stored, the first is returned.
    pub key: Option<String>,
    /// The turn that it comes from.
    pub source_turn: Option<i64>,
    /// The session that it belongs to first of all.
    pub session: Option<i64>,
    /// Where the untrusted text came from that was in the context when it was noted.
    pub origin: Option<String>,
    /// It stands in every new context, whatever is asked.
    pub pinned: bool,
    /// Its embedding, any length but zero. All notes' vectors have the same dimension.
    pub vector: Option<Vec<f32>>,
}

/// A note that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRow {
    /// Id.
    pub id: String,
    /// What sort of thing it is.
    #[serde(default)]
    pub kind: NoteKind,
    /// What is worth finding again.
    pub text: String,
    /// When it was noted; RFC 3339 UTC unless it was imported with something else.
    pub at: String,
    /// As [`Note::source_turn`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_turn: Option<i64>,
    /// As [`Note::origin`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// As [`Note::pinned`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub pinned: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Notes.
impl Store {
    /// Keeps a note and returns it as it is kept.
    pub async fn add_note(&self, note: Note) -> Result<NoteRow, StoreError> {
        check(&note)?;
        self.run(move |connection| transact(connection, |transaction| add(transaction, note))).await
    }

    /// Keeps many notes in one transaction: all or none. For an import, with `id` and `at` as they were exported.
    pub async fn add_notes(&self, notes: Vec<Note>) -> Result<Vec<NoteRow>, StoreError> {
        notes.iter().try_for_each(check)?;
        self.run(move |connection| transact(connection, |transaction| notes.into_iter().map(|note| add(transaction, note)).collect())).await
    }

    /// Notes and facts, newest first, from the `offset`-th on, at most `limit` and [`limits::LIST_ROWS`].
    pub async fn list(&self, limit: usize, offset: usize) -> Result<Vec<NoteRow>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(LIST)?;
            let (most, from) = (limits::rows(limit, limits::LIST_ROWS), limits::rows(offset, usize::MAX));
            let rows = statement.query_map([most, from], note_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

const LIST: &str = "SELECT id, kind, text, at, origin, pinned, source_turn FROM notes WHERE kind <> 'turn' ORDER BY at DESC, number DESC LIMIT ?1 OFFSET ?2";

const BY_KEY: &str = "SELECT id, kind, text, at, origin, pinned, source_turn FROM notes WHERE key = ?1";

/// A source that is gone (its session was removed) becomes NULL, as it does for a note that was there before.
const ADD: &str = "
    INSERT INTO notes (id, key, text, at, source_turn, origin, pinned, kind, session) VALUES (
        coalesce(?1, lower(hex(randomblob(8)))), ?2, ?3, coalesce(?4, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        (SELECT id FROM turns WHERE id = ?5), ?6, ?7, ?8, (SELECT id FROM sessions WHERE id = ?9))
    ON CONFLICT (id) DO UPDATE SET text = excluded.text, at = coalesce(?4, at), key = coalesce(excluded.key, key),
        source_turn = coalesce(excluded.source_turn, source_turn), origin = excluded.origin, pinned = max(pinned, excluded.pinned),
        kind = excluded.kind, session = coalesce(excluded.session, session), replaced = NULL
    RETURNING id, kind, text, at, origin, pinned, source_turn, number";

pub(crate) fn check(note: &Note) -> Result<(), StoreError> {
    limits::check("note", &note.text, limits::NOTE_BYTES)?;
    for (what, name) in [("note id", &note.id), ("note key", &note.key), ("note time", &note.at)] {
        if let Some(name) = name {
            limits::check(what, name, limits::NAME_BYTES)?;
        }
    }
    Ok(())
}

pub(crate) fn add(transaction: &Transaction<'_>, note: Note) -> Result<NoteRow, Failure> {
    if let Some(key) = &note.key {
        let first = transaction.prepare_cached(BY_KEY)?.query_row([key], note_row).optional()?;
        if let Some(first) = first {
            return Ok(first);
        }
    }
    let Note { id, kind, text, at, key, source_turn, session, origin, pinned, vector } = note;
    let values = params![id, key, text, at, source_turn, origin, pinned, kind, session];
    let (row, number) = transaction.prepare_cached(ADD)?.query_row(values, |row| Ok((note_row(row)?, row.get(7)?)))?;
    if let Some(vector) = vector {
        vectors::put(transaction, number, &vector)?;
    }
    Ok(row)
}

/// A row of id, kind, text, at, origin, pinned, source_turn.
pub(crate) fn note_row(row: &Row<'_>) -> rusqlite::Result<NoteRow> {
    Ok(NoteRow {
        id: row.get(0)?,
        kind: row.get(1)?,
        text: row.get(2)?,
        at: row.get(3)?,
        origin: row.get(4)?,
        pinned: row.get(5)?,
        source_turn: row.get(6)?,
    })
}
