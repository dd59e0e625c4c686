//! Recall: notes found by words (FTS5) and by vector. What each is worth is in `rank.rs`.
//!
//! Texts are cut into words elsewhere, and no clock is read.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::codes::Codes;
use crate::error::Failure;
use crate::notes::NoteKind;
use crate::query::{Query, Term};
use crate::rank::{Candidate, Ranked, Scale, diverse};
use crate::{Store, StoreError, limits, vectors};

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
    /// The share of the question, each word by how telling it is, that its words are; 0 to 1.
    pub share: f64,
    /// How much nearer in meaning it is than notes that have nothing to do with the question, in standard deviations; `None`: without
    /// vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// When it was noted.
    pub at: String,
    /// As [`crate::Note::source_turn`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_turn: Option<i64>,
    /// As [`crate::Note::origin`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Why it was found: `words: bike, green`, `vector 0.83` (cosine), or both; `this session`.
    pub why: String,
}

/// Recall.
impl Store {
    /// Notes by words and, if a vector is given, by meaning; best first.
    pub async fn search(&self, search: Search) -> Result<Vec<Found>, StoreError> {
        self.look(move |connection, codes| find(connection, codes, &search)).await
    }
}

/// Numbers of notes with one of some words, newest first.
const BY_WORDS: &str = "SELECT rowid FROM notes_words WHERE notes_words MATCH ?1 ORDER BY rowid DESC LIMIT ?2";

/// The same of one kind.
const BY_WORDS_OF_KIND: &str = "SELECT notes_words.rowid FROM notes_words JOIN notes ON notes.number = notes_words.rowid
    WHERE notes_words MATCH ?1 AND notes.kind = ?3 ORDER BY notes_words.rowid DESC LIMIT ?2";

/// Of a long note only the beginning, until it is known to be wanted.
const BY_NUMBER: &str =
    "SELECT id, kind, substr(text, 1, ?2), at, origin, session, source_turn FROM notes WHERE number = ?1 AND replaced IS NULL";

const TEXT: &str = "SELECT text FROM notes WHERE number = ?1";

/// What the words put forward.
pub(crate) struct ByWords {
    /// The notes with the rarest words, best first.
    best: Vec<i64>,
    /// Of each note that came up, the share of each term that it has at least.
    shares: HashMap<i64, Vec<f64>>,
    /// Of each term, whether all notes that have it came up.
    complete: Vec<bool>,
}

fn find(connection: &Connection, codes: &mut Option<Codes>, search: &Search) -> Result<Vec<Found>, Failure> {
    let limit = search.limit.min(limits::SEARCH_RESULTS);
    let all: i64 = connection.prepare_cached("SELECT coalesce(max(number), 0) FROM notes")?.query_row([], |row| row.get(0))?;
    let query = Query::read(connection, &search.text, all)?;
    let most = (limit + search.without.len()).clamp(limits::SEARCH_CANDIDATES, limits::SEARCH_RESULTS);
    let by_words = by_words(connection, search, &query, most)?;
    let by_vector = match &search.vector {
        None => Vec::new(),
        Some(vector) => vectors::nearest(connection, codes, vector, search.kind, most)?,
    };
    let mut numbers: HashMap<i64, Option<f64>> = by_words.best.iter().map(|number| (*number, None)).collect();
    numbers.extend(by_vector.into_iter().map(|(number, similarity)| (number, Some(similarity))));
    // In the order of the file: neighbours share pages.
    let mut numbers: Vec<(i64, Option<f64>)> = numbers.into_iter().collect();
    numbers.sort_unstable_by_key(|(number, _)| *number);
    let mut candidates = Vec::with_capacity(numbers.len());
    for (number, similarity) in numbers {
        let Some(mut candidate) = fetch(connection, search, number)? else { continue };
        candidate.similarity = match (similarity, &search.vector) {
            (None, Some(vector)) => vectors::similarity(connection, number, vector)?,
            (similarity, _) => similarity,
        };
        candidates.push(candidate);
    }
    let scale = Scale::new(connection, search, &query, all, &candidates)?;
    for candidate in &mut candidates {
        scale.weigh(candidate, &by_words.at_most(candidate.number, &query));
    }
    let ranked = Ranked::new(candidates, &query, &by_words, &scale);
    diverse(ranked, limit).into_iter().map(|candidate| found(connection, candidate)).collect()
}

/// The notes with the rarest words of the query, at most `most`.
fn by_words(connection: &Connection, search: &Search, query: &Query, most: usize) -> Result<ByWords, Failure> {
    // Stop words put nothing forward.
    let mut order: Vec<usize> = (0..query.terms.len()).filter(|index| query.terms[*index].telling).collect();
    order.sort_by(|a, b| query.terms[*b].weight.total_cmp(&query.terms[*a].weight));
    let mut room = limits::SEARCH_POSTINGS.max(most);
    let mut shares: HashMap<i64, Vec<f64>> = HashMap::new();
    let mut complete = vec![false; query.terms.len()];
    for index in order {
        let term = &query.terms[index];
        let Some(expression) = term.expression() else {
            complete[index] = true;
            continue;
        };
        let least = term.standing.iter().map(|(_, share)| *share).fold(1.0, f64::min);
        let wanted = room.min(limits::WORD_POSTINGS.max(most));
        let mut statement = connection.prepare_cached(if search.kind.is_some() { BY_WORDS_OF_KIND } else { BY_WORDS })?;
        let mut rows = match search.kind {
            Some(kind) => statement.query(params![expression, limits::rows(wanted, wanted), kind])?,
            None => statement.query(params![expression, limits::rows(wanted, wanted)])?,
        };
        let mut read = 0;
        while let Some(row) = rows.next()? {
            read += 1;
            shares.entry(row.get(0)?).or_insert_with(|| vec![0.0; query.terms.len()])[index] = least;
        }
        complete[index] = read < wanted;
        room -= read;
        if room == 0 {
            break;
        }
    }
    let weight = |number: &i64| shares[number].iter().zip(&query.terms).map(|(share, term)| share * term.weight).sum::<f64>();
    let mut best: Vec<(f64, i64)> = shares.keys().map(|number| (weight(number), *number)).collect();
    best.sort_by(|(x, a), (y, b)| y.total_cmp(x).then(b.cmp(a)));
    best.truncate(most);
    let best = best.into_iter().map(|(_, number)| number).collect();
    Ok(ByWords { best, shares, complete })
}

impl ByWords {
    /// The share of each term that a note has at most, as far as the index tells.
    fn at_most(&self, number: i64, query: &Query) -> Vec<f64> {
        let known = self.shares.get(&number);
        let most = |(index, term): (usize, &Term)| match known {
            _ if !self.complete[index] => term.most(),
            Some(shares) if shares[index] > 0.0 => term.most(),
            _ => 0.0,
        };
        query.terms.iter().enumerate().map(most).collect()
    }

    /// The share of each term that a note has at least.
    pub(crate) fn at_least(&self, number: i64, query: &Query) -> Vec<f64> {
        let known = self.shares.get(&number).filter(|_| self.best.contains(&number));
        known.cloned().unwrap_or_else(|| vec![0.0; query.terms.len()])
    }
}

/// The note, unless it is not wanted or a newer one says it.
fn fetch(connection: &Connection, search: &Search, number: i64) -> Result<Option<Candidate>, Failure> {
    let read = |row: &rusqlite::Row<'_>| {
        let session: Option<i64> = row.get(5)?;
        Ok(Candidate {
            number,
            id: row.get(0)?,
            kind: row.get(1)?,
            text: row.get(2)?,
            at: row.get(3)?,
            origin: row.get(4)?,
            source_turn: row.get(6)?,
            same_session: session.is_some() && session == search.session,
            ..Candidate::default()
        })
    };
    let candidate = connection
        .prepare_cached(BY_NUMBER)?
        .query_row(params![number, limits::rows(limits::MATCHED_BYTES, usize::MAX)], read)
        .optional()?;
    Ok(candidate.filter(|candidate| search.kind.is_none_or(|kind| kind == candidate.kind) && !search.without.contains(&candidate.id)))
}

fn found(connection: &Connection, candidate: Candidate) -> Result<Found, Failure> {
    let text = connection.prepare_cached(TEXT)?.query_row([candidate.number], |row| row.get(0))?;
    let Candidate { id, kind, at, origin, source_turn, matched, similarity, same_session, share, above, score, .. } = candidate;
    let mut why = Vec::new();
    if !matched.is_empty() {
        why.push(format!("words: {}", matched.join(", ")));
    }
    if let Some(similarity) = similarity {
        why.push(format!("vector {similarity:.2}"));
    }
    if same_session {
        why.push("this session".to_owned());
    }
    Ok(Found { id, kind, text, score, share, above, at, source_turn, origin, why: why.join("; ") })
}
