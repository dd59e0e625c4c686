//! Recall: notes found by words (FTS5) and by vector, merged.
//!
//! Both are brought to one scale, how surprising the match would be by chance, and added. By vector: the similarity in standard
//! deviations above that of notes that have nothing to do with the question (a sample of all). By words: the rarity of what was found,
//! in nats, as the deviation of a normal variable that is as rare, √(2·nats), times the share of the question that was found. So a
//! name or a date that is there decides; common words, or one word of many, do not drag a paraphrase down, which reciprocal ranks do.
//! Nothing here is fitted to an embedder or to a set of notes. Texts are cut into words elsewhere, and no clock is read.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::codes::Codes;
use crate::error::Failure;
use crate::notes::NoteKind;
use crate::query::{Query, beginning};
use crate::words::{Word, words};
use crate::{Store, StoreError, dates, limits, vectors};

/// What a note of now has over an old one, in standard deviations: it decides between equals.
const RECENT: f64 = 0.1;

/// Days in which that is halved.
const RECENT_DAYS: f64 = 90.0;

/// What a note of the session has over another's, in standard deviations.
const SAME_SESSION: f64 = 0.25;

/// Below this many similarities their deviation is not known; then it is taken as [`USUAL_DEVIATION`].
const KNOWN_BACKGROUND: usize = 8;

/// Standard deviation of the cosine of two unrelated sentences; that of common sentence embedders is 0.03 to 0.12.
const USUAL_DEVIATION: f64 = 0.1;

/// A deviation below this is that of copies.
const LEAST_DEVIATION: f64 = 0.01;

/// What has no vector yet is taken to lie so far on the way from unrelated to the nearest as its words say.
const NO_VECTOR: f64 = 0.5;

/// Share of words that two texts have in common from which on the later one says nothing new.
const ALIKE: f64 = 0.9;

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

/// A note that may be what is looked for.
#[derive(Default)]
struct Candidate {
    number: i64,
    id: String,
    kind: NoteKind,
    text: String,
    at: String,
    origin: Option<String>,
    source_turn: Option<i64>,
    /// The share of each term's weight that it has.
    shares: Vec<f64>,
    /// The words of it that were looked for, as they stand there.
    matched: Vec<String>,
    similarity: Option<f64>,
    same_session: bool,
    share: f64,
    above: Option<f64>,
    score: f64,
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
    let mut numbers: HashMap<i64, (Vec<f64>, Option<f64>)> = HashMap::new();
    for (number, shares) in by_words {
        numbers.entry(number).or_default().0 = shares;
    }
    for (number, similarity) in by_vector {
        numbers.entry(number).or_default().1 = Some(similarity);
    }
    let standing = query.standing();
    let mut candidates = Vec::with_capacity(numbers.len());
    for (number, (shares, similarity)) in numbers {
        let Some(mut candidate) = fetch(connection, search, number)? else { continue };
        candidate.shares = if shares.is_empty() { vec![0.0; query.terms.len()] } else { shares };
        candidate.similarity = match (similarity, &search.vector) {
            (None, Some(vector)) => vectors::similarity(connection, number, vector)?,
            (similarity, _) => similarity,
        };
        matched(&mut candidate, &query, &standing);
        candidates.push(candidate);
    }
    score(connection, search, &query, all, &mut candidates)?;
    // Equally good ones: the newer first.
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.number.cmp(&a.number)));
    diverse(candidates, limit).into_iter().map(|candidate| found(connection, candidate)).collect()
}

/// The notes with the rarest words of the query, at most `most`, with the share of each term that they have at least.
fn by_words(connection: &Connection, search: &Search, query: &Query, most: usize) -> Result<Vec<(i64, Vec<f64>)>, Failure> {
    // Stop words put nothing forward.
    let mut order: Vec<usize> = (0..query.terms.len()).filter(|index| query.terms[*index].telling).collect();
    order.sort_by(|a, b| query.terms[*b].weight.total_cmp(&query.terms[*a].weight));
    let mut room = limits::SEARCH_POSTINGS.max(most);
    let mut shares: HashMap<i64, Vec<f64>> = HashMap::new();
    for index in order {
        let term = &query.terms[index];
        let Some(expression) = term.expression() else { continue };
        let least = term.standing.iter().map(|(_, share)| *share).fold(1.0, f64::min);
        let rows = limits::rows(room, limits::WORD_POSTINGS.max(most));
        let mut statement = connection.prepare_cached(if search.kind.is_some() { BY_WORDS_OF_KIND } else { BY_WORDS })?;
        let mut rows = match search.kind {
            Some(kind) => statement.query(params![expression, rows, kind])?,
            None => statement.query(params![expression, rows])?,
        };
        while let Some(row) = rows.next()? {
            room -= 1;
            shares.entry(row.get(0)?).or_insert_with(|| vec![0.0; query.terms.len()])[index] = least;
        }
        if room == 0 {
            break;
        }
    }
    let weight = |shares: &[f64]| shares.iter().zip(&query.terms).map(|(share, term)| share * term.weight).sum::<f64>();
    let mut best: Vec<(i64, Vec<f64>)> = shares.into_iter().collect();
    best.sort_by(|(a, x), (b, y)| weight(y).total_cmp(&weight(x)).then(b.cmp(a)));
    best.truncate(most);
    Ok(best)
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

/// Looks which of the query's words the note's text has.
fn matched(candidate: &mut Candidate, query: &Query, standing: &HashMap<&str, Vec<(usize, f64)>>) {
    let text = beginning(&candidate.text);
    let words = words(text);
    let noted = dates::noted(&candidate.at);
    let of_dates = dates::tokens(text, &words);
    let mut names: Vec<Option<String>> = vec![None; query.terms.len()];
    let mut take = |word: &str, shown: Option<&str>| {
        for (index, share) in standing.get(word).into_iter().flatten() {
            if *share > candidate.shares[*index] || names[*index].is_none() {
                let term = &query.terms[*index];
                names[*index] = Some(match shown {
                    Some(shown) if term.slip => format!("{} (for {})", shown.to_lowercase(), term.shown),
                    Some(shown) => shown.to_lowercase(),
                    None => term.shown.clone(),
                });
            }
            candidate.shares[*index] = candidate.shares[*index].max(*share);
        }
    };
    for Word { folded, at } in &words {
        take(folded, Some(&text[at.clone()]));
    }
    for token in of_dates.iter().chain(&noted) {
        take(token, None);
    }
    let mut order: Vec<usize> =
        (0..query.terms.len()).filter(|index| candidate.shares[*index] > 0.0 && query.terms[*index].telling).collect();
    order.sort_by(|a, b| query.terms[*b].weight.total_cmp(&query.terms[*a].weight));
    for index in order {
        // A word beyond the part that was read is known by the index alone.
        let name = names[index].take().unwrap_or_else(|| query.terms[index].shown.clone());
        if candidate.matched.len() < limits::WHY_WORDS && !candidate.matched.contains(&name) {
            candidate.matched.push(name);
        }
    }
}

fn score(connection: &Connection, search: &Search, query: &Query, all: i64, candidates: &mut [Candidate]) -> Result<(), Failure> {
    let (mean, deviation) = match &search.vector {
        Some(vector) => background(connection, vector, all)?,
        None => (0.0, 1.0),
    };
    let whole = query.weight();
    let newest = candidates.iter().filter_map(|candidate| dates::days(&candidate.at)).max();
    let above = |similarity: f64| (similarity - mean) / deviation;
    let best = candidates.iter().filter_map(|candidate| candidate.similarity).map(above).fold(0.0, f64::max);
    for candidate in candidates {
        let nats: f64 = candidate.shares.iter().zip(&query.terms).map(|(share, term)| share * term.weight).sum();
        let share = if whole > 0.0 { nats / whole } else { 0.0 };
        candidate.share = share;
        candidate.above = candidate.similarity.map(above);
        let by_vector = candidate.above.unwrap_or(NO_VECTOR * best * share);
        #[allow(clippy::cast_precision_loss, reason = "days")]
        let age = newest.zip(dates::days(&candidate.at)).map(|(newest, at)| (newest - at) as f64);
        let recent = age.map_or(0.0, |age| RECENT * (-age / RECENT_DAYS).exp2());
        let session = if candidate.same_session { SAME_SESSION } else { 0.0 };
        candidate.score = by_vector + (2.0 * nats).sqrt() * share + recent + session;
    }
    Ok(())
}

/// Mean and standard deviation of the similarity to notes all over the store.
fn background(connection: &Connection, vector: &[f32], all: i64) -> Result<(f64, f64), Failure> {
    let mut statement = connection.prepare_cached("SELECT note FROM vectors WHERE note >= ?1 ORDER BY note LIMIT 1")?;
    let steps = i64::try_from(limits::BACKGROUND_NOTES).unwrap_or(1);
    let mut seen = HashSet::new();
    let mut similarities = Vec::with_capacity(limits::BACKGROUND_NOTES);
    for step in 0..steps {
        let number: Option<i64> = statement.query_row([1 + all * step / steps], |row| row.get(0)).optional()?;
        if let Some(number) = number.filter(|number| seen.insert(*number)) {
            similarities.extend(vectors::similarity(connection, number, vector)?);
        }
    }
    if similarities.len() < KNOWN_BACKGROUND {
        return Ok((0.0, USUAL_DEVIATION));
    }
    #[allow(clippy::cast_precision_loss, reason = "a few")]
    let count = similarities.len() as f64;
    let mean = similarities.iter().sum::<f64>() / count;
    let variance = similarities.iter().map(|similarity| (similarity - mean).powi(2)).sum::<f64>() / count;
    Ok((mean, variance.sqrt().max(LEAST_DEVIATION)))
}

/// The best, with those that say what a better one said after all others.
fn diverse(ranked: Vec<Candidate>, limit: usize) -> Vec<Candidate> {
    let mut chosen: Vec<Candidate> = Vec::new();
    let mut said: Vec<Said> = Vec::new();
    let mut again = Vec::new();
    for candidate in ranked {
        if chosen.len() == limit {
            break;
        }
        let says = Said::of(&candidate.text);
        if said.iter().any(|before| before.says(&says)) {
            again.push(candidate);
        } else {
            said.push(says);
            chosen.push(candidate);
        }
    }
    let last = chosen.last().map_or(f64::INFINITY, |candidate| candidate.score);
    again.truncate(limit - chosen.len());
    // Their place is their score's.
    chosen.extend(again.into_iter().map(|candidate| Candidate { score: candidate.score.min(last), ..candidate }));
    chosen
}

/// The words of a text, as hashes in order, and those of them with digits.
struct Said {
    words: Vec<u64>,
    numbers: u64,
}

impl Said {
    fn of(text: &str) -> Self {
        let hash = |word: &str| {
            let mut hasher = DefaultHasher::new();
            word.hash(&mut hasher);
            hasher.finish()
        };
        let words = words(beginning(text));
        let is_number = |word: &&Word| word.folded.bytes().any(|byte| byte.is_ascii_digit());
        let numbers = words.iter().filter(is_number).map(|word| hash(&word.folded)).fold(0, u64::wrapping_add);
        let mut words: Vec<u64> = words.iter().map(|word| hash(&word.folded)).collect();
        words.sort_unstable();
        words.dedup();
        Self { words, numbers }
    }

    /// Nearly the same words, and the same numbers: a date or an amount makes another statement.
    #[allow(clippy::cast_precision_loss, reason = "words of a text")]
    fn says(&self, other: &Self) -> bool {
        let (short, long) = if self.words.len() < other.words.len() { (self, other) } else { (other, self) };
        if self.numbers != other.numbers || (short.words.len() as f64) < ALIKE * long.words.len() as f64 {
            return false;
        }
        let common = short.words.iter().filter(|word| long.words.binary_search(word).is_ok()).count();
        common as f64 >= ALIKE * (short.words.len() + long.words.len() - common) as f64
    }
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
