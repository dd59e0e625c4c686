//! Recall: notes found by words (FTS5) and by vector (sqlite-vec), merged.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::codes::Codes;
use crate::error::Failure;
use crate::notes::{NoteKind, NoteRow, note_row};
use crate::{Store, StoreError, limits, query, vectors};

/// The constant of reciprocal rank fusion: a result at rank r adds 1 / (K + r). Cormack, Clarke and Büttcher, "Reciprocal Rank
/// Fusion outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009.
const RECIPROCAL_RANK_K: f64 = 60.0;

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    /// Any text. One without words finds nothing by words.
    pub text: String,
    /// Its embedding, if there is an embedder.
    pub vector: Option<Vec<f32>>,
    /// Most notes that are found; more than [`limits::SEARCH_RESULTS`] are taken as so many.
    pub limit: usize,
    /// Notes of this session come a little before others.
    pub session: Option<i64>,
    /// Only notes of this kind.
    pub kind: Option<NoteKind>,
    /// Ids of notes that are not wanted: they are known already.
    pub without: Vec<String>,
}

impl Search {
    /// A search by words alone.
    #[must_use]
    pub fn words(text: impl Into<String>, limit: usize) -> Self {
        Self { text: text.into(), limit, ..Self::default() }
    }
}

/// A note that a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Id.
    pub id: String,
    /// What sort of thing it is.
    pub kind: NoteKind,
    /// The note.
    pub text: String,
    /// Higher is better; comparable within one search only.
    pub score: f64,
    /// When it was noted.
    pub at: String,
    /// As [`Note::source_turn`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_turn: Option<i64>,
    /// As [`Note::origin`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Why it was found: `words: bike, green`, `vector 0.83` (cosine), or both.
    pub why: String,
}

/// Recall.
impl Store {
    /// Notes by words and, if a vector is given, by meaning; best first.
    pub async fn search(&self, search: Search) -> Result<Vec<Found>, StoreError> {
        self.look(move |connection, codes| find(connection, codes, &search)).await
    }
}

const BY_WORDS: &str = "SELECT rowid, bm25(notes_words) FROM notes_words WHERE notes_words MATCH ?1
        AND rowid NOT IN (SELECT number FROM notes WHERE replaced IS NOT NULL)
    ORDER BY 2, rowid DESC LIMIT ?2";

const BY_NUMBER: &str = "SELECT id, kind, text, at, origin, pinned, source_turn FROM notes WHERE number = ?1";

/// The note with its matching words between U+0001 and U+0002.
const MATCHED: &str = "SELECT highlight(notes_words, 0, char(1), char(2)) FROM notes_words
    WHERE notes_words MATCH ?1 AND rowid = ?2";

/// What is known of a candidate before it is fetched.
#[derive(Default)]
struct Candidate {
    score: f64,
    by_words: bool,
    similarity: Option<f64>,
}

fn find(connection: &Connection, codes: &mut Option<Codes>, search: &Search) -> Result<Vec<Found>, Failure> {
    let expression = query::expression(&search.text);
    let (expression, vector, limit) = (expression.as_deref(), search.vector.as_deref(), search.limit.min(limits::SEARCH_RESULTS));
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
        Some(vector) => vectors::nearest(connection, codes, vector, search.kind, usize::try_from(most).unwrap_or(usize::MAX))?,
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
    let mut out = Vec::new();
    for (number, candidate) in ranked {
        if out.len() == limit {
            break;
        }
        let found = found(connection, expression, number, &candidate)?;
        let wanted = search.kind.is_none_or(|kind| kind == found.kind) && !search.without.contains(&found.id);
        out.extend(wanted.then_some(found));
    }
    Ok(out)
}

fn found(connection: &Connection, expression: Option<&str>, number: i64, candidate: &Candidate) -> Result<Found, Failure> {
    let NoteRow { id, kind, text, at, origin, source_turn, .. } = connection.prepare_cached(BY_NUMBER)?.query_row([number], note_row)?;
    let mut why = Vec::new();
    if candidate.by_words {
        let marked: String = connection.prepare_cached(MATCHED)?.query_row(params![expression, number], |row| row.get(0))?;
        why.push(format!("words: {}", matched_words(&marked).join(", ")));
    }
    if let Some(similarity) = candidate.similarity {
        why.push(format!("vector {similarity:.2}"));
    }
    Ok(Found { source_turn, id, kind, text, score: candidate.score, at, origin, why: why.join("; ") })
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
