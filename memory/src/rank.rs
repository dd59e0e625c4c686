//! What notes that were found are worth, and which come first.
//!
//! Both are brought to one scale, how surprising the match would be by chance, and added. By vector: the similarity in standard
//! deviations above that of notes that have nothing to do with the question (a sample of all). By words: the rarity of what was found,
//! in nats, as the deviation of a normal variable that is as rare, √(2·nats), times the share of the question that was found. So a
//! name or a date that is there decides; common words, or one word of many, do not drag a paraphrase down, which reciprocal ranks do.
//! Nothing here is fitted to an embedder or to a set of notes.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::{Connection, OptionalExtension};

use crate::error::Failure;
use crate::notes::NoteKind;
use crate::query::{Query, beginning};
use crate::recall::{ByWords, Search};
use crate::words::{Word, words};
use crate::{dates, limits, vectors};

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

/// A note that may be what is looked for.
#[derive(Default)]
pub(crate) struct Candidate {
    pub(crate) number: i64,
    pub(crate) id: String,
    pub(crate) kind: NoteKind,
    pub(crate) text: String,
    pub(crate) at: String,
    pub(crate) origin: Option<String>,
    pub(crate) source_turn: Option<i64>,
    /// The share of each term's weight that it has.
    pub(crate) shares: Vec<f64>,
    /// The words of it that were looked for, as they stand there.
    pub(crate) matched: Vec<String>,
    pub(crate) similarity: Option<f64>,
    pub(crate) same_session: bool,
    pub(crate) share: f64,
    pub(crate) above: Option<f64>,
    /// What it is worth; as long as its text has not been looked at, what it can be worth at most.
    pub(crate) score: f64,
    pub(crate) looked_at: bool,
}

/// What brings words and meaning to one scale.
pub(crate) struct Scale<'a> {
    query: &'a Query,
    whole: f64,
    mean: f64,
    deviation: f64,
    /// The day of the newest of all candidates.
    newest: Option<i64>,
    /// How far above unrelated notes the nearest of them is.
    best: f64,
}

impl<'a> Scale<'a> {
    pub(crate) fn new(
        connection: &Connection,
        search: &Search,
        query: &'a Query,
        all: i64,
        candidates: &[Candidate],
    ) -> Result<Self, Failure> {
        let (mean, deviation) = match &search.vector {
            Some(vector) => background(connection, vector, all)?,
            None => (0.0, 1.0),
        };
        let newest = candidates.iter().filter_map(|candidate| dates::days(&candidate.at)).max();
        let mut scale = Self { query, whole: query.weight(), mean, deviation, newest, best: 0.0 };
        scale.best = candidates.iter().filter_map(|candidate| candidate.similarity).map(|it| scale.above(it)).fold(0.0, f64::max);
        Ok(scale)
    }

    fn above(&self, similarity: f64) -> f64 {
        (similarity - self.mean) / self.deviation
    }

    /// What the candidate is worth with these shares of the terms; the more of them, the more.
    pub(crate) fn weigh(&self, candidate: &mut Candidate, shares: &[f64]) {
        let nats: f64 = shares.iter().zip(&self.query.terms).map(|(share, term)| share * term.weight).sum();
        let share = if self.whole > 0.0 { nats / self.whole } else { 0.0 };
        candidate.share = share;
        candidate.above = candidate.similarity.map(|similarity| self.above(similarity));
        let by_vector = candidate.above.unwrap_or(NO_VECTOR * self.best * share);
        #[allow(clippy::cast_precision_loss, reason = "days")]
        let age = self.newest.zip(dates::days(&candidate.at)).map(|(newest, at)| (newest - at) as f64);
        let recent = age.map_or(0.0, |age| RECENT * (-age / RECENT_DAYS).exp2());
        let session = if candidate.same_session { SAME_SESSION } else { 0.0 };
        candidate.score = by_vector + (2.0 * nats).sqrt() * share + recent + session;
    }
}

/// The candidates, best first. A text is cut into words only when its note could come next.
pub(crate) struct Ranked<'a> {
    candidates: BinaryHeap<Place>,
    query: &'a Query,
    standing: HashMap<&'a str, Vec<(usize, f64)>>,
    by_words: &'a ByWords,
    scale: &'a Scale<'a>,
}

impl<'a> Ranked<'a> {
    /// Of candidates that are weighed with all that they can have.
    pub(crate) fn new(candidates: Vec<Candidate>, query: &'a Query, by_words: &'a ByWords, scale: &'a Scale<'a>) -> Self {
        Self { candidates: candidates.into_iter().map(Place).collect(), query, standing: query.standing(), by_words, scale }
    }
}

impl Iterator for Ranked<'_> {
    type Item = Candidate;

    fn next(&mut self) -> Option<Candidate> {
        loop {
            let Place(mut candidate) = self.candidates.pop()?;
            if candidate.looked_at {
                return Some(candidate);
            }
            candidate.shares = self.by_words.at_least(candidate.number, self.query);
            matched(&mut candidate, self.query, &self.standing);
            let shares = std::mem::take(&mut candidate.shares);
            self.scale.weigh(&mut candidate, &shares);
            candidate.looked_at = true;
            self.candidates.push(Place(candidate));
        }
    }
}

/// A candidate by its place among the others.
struct Place(Candidate);

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let (Self(a), Self(b)) = (self, other);
        // Equally good ones: the newer first; but what may still turn out to be worth less is looked at before.
        a.score.total_cmp(&b.score).then(b.looked_at.cmp(&a.looked_at)).then(a.number.cmp(&b.number))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

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
pub(crate) fn diverse(ranked: impl Iterator<Item = Candidate>, limit: usize) -> Vec<Candidate> {
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

/// Looks which of the query's words the note's text has.
fn matched(candidate: &mut Candidate, query: &Query, standing: &HashMap<&str, Vec<(usize, f64)>>) {
    if query.terms.is_empty() {
        return;
    }
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
