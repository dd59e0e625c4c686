//! Recall: notes found by words (FTS5) and by vector (sqlite-vec), merged.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::journal::transact;
use crate::session::scrub;
use crate::{Store, StoreError, limits, query, vectors};

/// The constant of reciprocal rank fusion: a result at rank r adds 1 / (K + r). Cormack, Clarke and Büttcher, "Reciprocal Rank
/// Fusion outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009.
const RECIPROCAL_RANK_K: f64 = 60.0;

/// A note to be kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Note {
    /// Its id; `None`: a new random one. A note that has this id already is replaced.
    pub id: Option<String>,
    /// What is worth finding again.
    pub text: String,
    /// When it was noted, kept as given; `None`: now.
    pub at: Option<String>,
    /// Makes a repeated call recognisable: a second note with the same key is not stored, the first is returned.
    pub key: Option<String>,
    /// The turn that it comes from.
    pub source_turn: Option<i64>,
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
    /// What is worth finding again.
    pub text: String,
    /// When it was noted; RFC 3339 UTC unless it was imported with something else.
    pub at: String,
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

/// A note that a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Id.
    pub id: String,
    /// The note.
    pub text: String,
    /// Higher is better; comparable within one search only.
    pub score: f64,
    /// When it was noted.
    pub at: String,
    /// As [`Note::origin`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Why it was found: `words: bike, green`, `vector 0.83` (cosine), or both.
    pub why: String,
}

/// A page of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotePage {
    /// Notes in the order in which they were added.
    pub notes: Vec<NoteRow>,
    /// What to give [`Store::export`] for the next page; `None`: this was the last.
    pub next: Option<i64>,
}

/// Recall.
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

    /// Notes for `query` (any text) and, if given, for its embedding; best first, at most `limit` and
    /// [`limits::SEARCH_RESULTS`]. A query without words finds nothing by words.
    pub async fn search(&self, query: &str, vector: Option<&[f32]>, limit: usize) -> Result<Vec<Found>, StoreError> {
        let expression = query::expression(query);
        let vector = vector.map(<[f32]>::to_vec);
        self.run(move |connection| search(connection, expression.as_deref(), vector.as_deref(), limit.min(limits::SEARCH_RESULTS))).await
    }

    /// Notes, newest first, from the `offset`-th on, at most `limit` and [`limits::LIST_ROWS`].
    pub async fn list(&self, limit: usize, offset: usize) -> Result<Vec<NoteRow>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(LIST)?;
            let (most, from) = (limits::rows(limit, limits::LIST_ROWS), limits::rows(offset, usize::MAX));
            let rows = statement.query_map([most, from], note_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Deletes a note for good, from the file too. `false`: there was none.
    pub async fn forget(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.run(move |connection| {
            let deleted = connection.execute("DELETE FROM notes WHERE id = ?1", [id])?;
            scrub(connection)?;
            Ok(deleted > 0)
        })
        .await
    }

    /// All notes, page by page, in the order in which they were added: start with 0, go on with [`NotePage::next`].
    pub async fn export(&self, after: i64) -> Result<NotePage, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(EXPORT)?;
            let most = limits::rows(limits::LIST_ROWS, limits::LIST_ROWS);
            let rows =
                statement.query_map([after, most], |row| Ok((note_row(row)?, row.get::<_, i64>(5)?)))?.collect::<Result<Vec<_>, _>>()?;
            let next = rows.last().filter(|_| rows.len() == limits::LIST_ROWS).map(|(_, number)| *number);
            Ok(NotePage { notes: rows.into_iter().map(|(note, _)| note).collect(), next })
        })
        .await
    }

    /// Deletes all notes' vectors, so that another embedder's can be given (each by [`Store::add_note`] with the note's id).
    pub async fn drop_vectors(&self) -> Result<(), StoreError> {
        self.run(|connection| {
            transact(connection, vectors::drop_all)?;
            Ok(scrub(connection)?)
        })
        .await
    }
}

const LIST: &str = "SELECT id, text, at, origin, pinned FROM notes ORDER BY at DESC, number DESC LIMIT ?1 OFFSET ?2";

const EXPORT: &str = "SELECT id, text, at, origin, pinned, number FROM notes WHERE number > ?1 ORDER BY number LIMIT ?2";

const BY_KEY: &str = "SELECT id, text, at, origin, pinned FROM notes WHERE key = ?1";

/// A source that is gone (its session was removed) becomes NULL, as it does for a note that was there before.
const ADD: &str = "
    INSERT INTO notes (id, key, text, at, source_turn, origin, pinned) VALUES (
        coalesce(?1, lower(hex(randomblob(8)))), ?2, ?3, coalesce(?4, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        (SELECT id FROM turns WHERE id = ?5), ?6, ?7)
    ON CONFLICT (id) DO UPDATE SET text = excluded.text, at = coalesce(?4, at), key = coalesce(excluded.key, key),
        source_turn = coalesce(excluded.source_turn, source_turn), origin = excluded.origin, pinned = max(pinned, excluded.pinned)
    RETURNING id, text, at, origin, pinned, number";

const BY_WORDS: &str = "SELECT rowid, bm25(notes_words) FROM notes_words WHERE notes_words MATCH ?1
    ORDER BY 2, rowid DESC LIMIT ?2";

const BY_NUMBER: &str = "SELECT id, text, at, origin, pinned FROM notes WHERE number = ?1";

/// The note with its matching words between U+0001 and U+0002.
const MATCHED: &str = "SELECT highlight(notes_words, 0, char(1), char(2)) FROM notes_words
    WHERE notes_words MATCH ?1 AND rowid = ?2";

fn check(note: &Note) -> Result<(), StoreError> {
    limits::check("note", &note.text, limits::NOTE_BYTES)?;
    for (what, name) in [("note id", &note.id), ("note key", &note.key), ("note time", &note.at)] {
        if let Some(name) = name {
            limits::check(what, name, limits::NAME_BYTES)?;
        }
    }
    Ok(())
}

fn add(transaction: &Transaction<'_>, note: Note) -> Result<NoteRow, Failure> {
    if let Some(key) = &note.key {
        let first = transaction.prepare_cached(BY_KEY)?.query_row([key], note_row).optional()?;
        if let Some(first) = first {
            return Ok(first);
        }
    }
    let Note { id, text, at, key, source_turn, origin, pinned, vector } = note;
    let values = params![id, key, text, at, source_turn, origin, pinned];
    let (row, number) = transaction.prepare_cached(ADD)?.query_row(values, |row| Ok((note_row(row)?, row.get(5)?)))?;
    if let Some(vector) = vector {
        vectors::put(transaction, number, &vector)?;
    }
    Ok(row)
}

/// What is known of a candidate before it is fetched.
#[derive(Default)]
struct Candidate {
    score: f64,
    by_words: bool,
    similarity: Option<f64>,
}

fn search(connection: &Connection, expression: Option<&str>, vector: Option<&[f32]>, limit: usize) -> Result<Vec<Found>, Failure> {
    let most = limits::rows(limit.max(limits::SEARCH_CANDIDATES), limits::SEARCH_RESULTS);
    let by_words: Vec<(i64, f64)> = match expression {
        None => Vec::new(),
        Some(expression) => connection
            .prepare_cached(BY_WORDS)?
            .query_map(params![expression, most], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?,
    };
    let by_vector = match vector {
        None => Vec::new(),
        Some(vector) => vectors::nearest(connection, vector, most)?,
    };
    let merge = vector.is_some();
    let reciprocal = |rank: f64| 1.0 / (RECIPROCAL_RANK_K + rank);
    let ranks = || std::iter::successors(Some(1.0), |rank| Some(rank + 1.0));
    let mut candidates: HashMap<i64, Candidate> = HashMap::new();
    for (rank, (number, bm25)) in ranks().zip(by_words) {
        let candidate = candidates.entry(number).or_default();
        candidate.by_words = true;
        // SQLite's bm25 is better the lower it is.
        candidate.score += if merge { reciprocal(rank) } else { -bm25 };
    }
    for (rank, (number, similarity)) in ranks().zip(by_vector) {
        let candidate = candidates.entry(number).or_default();
        candidate.similarity = Some(similarity);
        candidate.score += reciprocal(rank);
    }
    let mut ranked: Vec<(i64, Candidate)> = candidates.into_iter().collect();
    // Equally good ones: the newer first.
    ranked.sort_by(|(a, x), (b, y)| y.score.total_cmp(&x.score).then(b.cmp(a)));
    ranked.truncate(limit);
    ranked.into_iter().map(|(number, candidate)| found(connection, expression, number, &candidate)).collect()
}

fn found(connection: &Connection, expression: Option<&str>, number: i64, candidate: &Candidate) -> Result<Found, Failure> {
    let NoteRow { id, text, at, origin, .. } = connection.prepare_cached(BY_NUMBER)?.query_row([number], note_row)?;
    let mut why = Vec::new();
    if candidate.by_words {
        let marked: String = connection.prepare_cached(MATCHED)?.query_row(params![expression, number], |row| row.get(0))?;
        why.push(format!("words: {}", matched_words(&marked).join(", ")));
    }
    if let Some(similarity) = candidate.similarity {
        why.push(format!("vector {similarity:.2}"));
    }
    Ok(Found { id, text, score: candidate.score, at, origin, why: why.join("; ") })
}

/// The words between the marks, each once, in lower case.
fn matched_words(marked: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for piece in marked.split('\u{1}').skip(1) {
        let word = piece.split('\u{2}').next().unwrap_or(piece).to_lowercase();
        if words.len() == limits::WHY_WORDS {
            break;
        }
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

pub(crate) fn note_row(row: &Row<'_>) -> rusqlite::Result<NoteRow> {
    Ok(NoteRow { id: row.get(0)?, text: row.get(1)?, at: row.get(2)?, origin: row.get(3)?, pinned: row.get(4)? })
}
