//! From any text to what is looked for: which words and dates count, in which forms, and how much each says.
//!
//! A hand-made light stemmer: it works on the query, so the index keeps the words as they were written, and a word of another
//! language is never cut by English rules. What is no word of the index is taken for a slip of one that is.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use crate::error::Failure;
use crate::words::{Word, words};
use crate::{dates, limits, vocabulary};

/// Words of a query that say nothing about what is sought. With nothing else in the query they count after all.
const STOP_WORDS: &[&str] = &[
    "a", "about", "am", "an", "and", "any", "are", "arent", "as", "at", "be", "been", "but", "by", "can", "cant", "could", "couldnt",
    "did", "didnt", "do", "does", "doesnt", "dont", "for", "from", "had", "hadnt", "has", "hasnt", "have", "havent", "he", "her", "hers",
    "him", "his", "how", "i", "if", "im", "in", "into", "is", "isnt", "it", "its", "ive", "may", "me", "mine", "my", "of", "on", "or",
    "our", "ours", "please", "shall", "she", "should", "shouldnt", "so", "some", "tell", "than", "that", "the", "their", "them", "then",
    "there", "these", "they", "theyre", "this", "those", "to", "us", "was", "wasnt", "we", "were", "werent", "what", "when", "where",
    "which", "who", "whom", "whose", "why", "will", "with", "wont", "would", "wouldnt", "you", "your", "youre", "yours",
];

/// Letters from which on a word also stands for the words that begin with it.
const PREFIX_LETTERS: usize = 4;

/// How much a stop word counts beside others: it only decides between equals.
const STOP_WEIGHT: f64 = 0.05;

/// How much a date counts beside a word as rare: who names a day wants that day.
const DATE_WEIGHT: f64 = 2.0;

/// How much of a word's weight another form of it has, a longer word, a word that is one slip away, the day on which a note was made.
const FORM: f64 = 0.9;
const LONGER: f64 = 0.8;
const SLIP: f64 = 0.8;
const NOTED: f64 = 0.7;

/// One thing that is looked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Term {
    /// As it stands in the query, folded.
    pub(crate) shown: String,
    /// Words of the index that stand for it, with the share of its weight that each has: 0 to 1, the highest first.
    pub(crate) standing: Vec<(String, f64)>,
    /// What it says: how surprising it is to find it in a note, in nats.
    pub(crate) weight: f64,
    /// The words that stand for it are not what was written.
    pub(crate) slip: bool,
    /// It says something: it is no stop word, or there is nothing else.
    pub(crate) telling: bool,
}

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Query {
    pub(crate) terms: Vec<Term>,
}

impl Query {
    /// Reads any text, and what the index has of it; `all` is the number of notes.
    pub(crate) fn read(connection: &Connection, text: &str, all: i64) -> Result<Self, Failure> {
        let text = beginning(text);
        let words = words(text);
        let dates = dates::find(text, &words);
        let mut terms = Vec::new();
        for date in &dates {
            terms.push(dated(connection, text, date, &words, all)?);
        }
        terms.dedup_by(|later, earlier| {
            later.shown == earlier.shown && {
                earlier.standing.append(&mut later.standing);
                true
            }
        });
        let dated = |index: usize| dates.iter().any(|date| date.words.contains(&index));
        let mut seen = HashSet::new();
        let (mut stops, mut telling) = (Vec::new(), 0);
        let mut close = limits::CLOSE_WORDS_READ;
        for (index, Word { folded, .. }) in words.iter().enumerate() {
            if dated(index) || !seen.insert(folded.as_str()) {
                continue;
            }
            if is_stop_word(folded) {
                stops.push(folded.as_str());
            } else if telling < limits::QUERY_WORDS {
                telling += 1;
                terms.push(term(connection, folded, all, &mut close)?);
            }
        }
        let weight = if terms.is_empty() { 1.0 } else { STOP_WEIGHT };
        for stop in stops.into_iter().take(limits::QUERY_WORDS) {
            let standing = vec![(stop.to_owned(), 1.0)];
            terms.push(Term::new(stop.to_owned(), standing, vocabulary::notes(connection, stop)?, all, weight, false));
        }
        Ok(Self { terms })
    }

    /// What a note would have to have to match wholly.
    pub(crate) fn weight(&self) -> f64 {
        self.terms.iter().map(|term| term.weight).sum()
    }

    /// For each word of the index that is looked for: for which terms it stands, and how much.
    pub(crate) fn standing(&self) -> HashMap<&str, Vec<(usize, f64)>> {
        let mut standing: HashMap<&str, Vec<(usize, f64)>> = HashMap::new();
        for (index, term) in self.terms.iter().enumerate() {
            for (word, share) in &term.standing {
                standing.entry(word).or_default().push((index, *share));
            }
        }
        standing
    }
}

/// Fewer notes are taken for so many: how telling a word is cannot be known from a few.
const FEW: i64 = 100;

impl Term {
    /// The weight is that of BM25, the logarithm of the odds that a note does not have it: Robertson and Zaragoza, "The Probabilistic
    /// Relevance Framework: BM25 and Beyond", 2009.
    fn new(shown: String, standing: Vec<(String, f64)>, notes: i64, all: i64, weight: f64, slip: bool) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "nobody has 2^52 notes")]
        let (have, all) = (notes.min(all) as f64, all.max(FEW) as f64);
        let rarity = (1.0 + (all - have + 0.5) / (have + 0.5)).ln();
        Self { shown, standing, weight: weight * rarity, slip, telling: weight > STOP_WEIGHT }
    }

    /// The share of its weight that a note has of it at most.
    pub(crate) fn most(&self) -> f64 {
        self.standing.iter().map(|(_, share)| *share).fold(0.0, f64::max)
    }

    /// Its FTS5 expression. Every word is quoted, so no text is an operator.
    pub(crate) fn expression(&self) -> Option<String> {
        let words: Vec<String> = self.standing.iter().map(|(word, _)| format!("\"{}\"", word.replace('"', "\"\""))).collect();
        (!words.is_empty()).then(|| words.join(" OR "))
    }
}

/// A query's first words; who sends a whole book as a query means its beginning.
pub(crate) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(limits::MATCHED_BYTES)]
}

fn dated(connection: &Connection, text: &str, date: &dates::Date, words: &[Word], all: i64) -> Result<Term, Failure> {
    let dates::Date { year, month, day, words: place } = date;
    let mut wanted = match (*year, *day) {
        (Some(year), Some(day)) => {
            vec![(dates::full(year, *month, day), 1.0), (dates::no_year(*month, day), FORM), (dates::noted_on(year, *month, day), NOTED)]
        }
        (None, Some(day)) => vec![(dates::of_year(*month, day), 1.0)],
        (Some(year), None) => vec![(dates::in_month(year, *month), 1.0)],
        (None, None) => Vec::new(),
    };
    let mut notes = 0;
    for (word, _) in &wanted {
        notes += vocabulary::notes(connection, word)?;
    }
    wanted.shrink_to_fit();
    let shown = match (words.get(place.start), words.get(place.end - 1)) {
        (Some(first), Some(last)) => text[first.at.start..last.at.end].to_owned(),
        _ => String::new(),
    };
    Ok(Term::new(shown, wanted, notes, all, DATE_WEIGHT, false))
}

/// The term of one word: as it is, its other simple forms, longer words that begin so, or else what it may be a slip of; for that at most
/// `close` words are read.
fn term(connection: &Connection, word: &str, all: i64, close: &mut usize) -> Result<Term, Failure> {
    let mut standing: Vec<(String, f64)> = Vec::new();
    let mut notes = 0;
    let mut add = |(known, count): vocabulary::Known, share: f64| {
        if count > 0 && standing.iter().all(|(word, _)| *word != known) {
            notes += count;
            standing.push((known, share));
        }
    };
    let count = |word: &str| vocabulary::notes(connection, word);
    add((word.to_owned(), count(word)?), 1.0);
    let forms = forms(word);
    for form in &forms {
        add((form.clone(), count(form)?), FORM);
    }
    if let Some(month) = dates::month(word) {
        let any = dates::any_in(month);
        add((any.clone(), count(&any)?), FORM);
    }
    let letters = word.chars().count();
    let unspaced = letters == 1 && word.chars().all(crate::words::is_unspaced);
    for begin in std::iter::once(word).chain(forms.iter().map(String::as_str)) {
        if begin.chars().count() >= PREFIX_LETTERS || unspaced {
            vocabulary::longer(connection, begin)?.into_iter().for_each(|known| add(known, LONGER));
        }
    }
    if !standing.is_empty() {
        return Ok(Term::new(word.to_owned(), standing, notes, all, 1.0, false));
    }
    // A slip of a stop word says as little as that.
    if letters >= PREFIX_LETTERS && STOP_WORDS.iter().any(|stop| strsim::osa_distance(stop, word) == 1) {
        return Ok(Term::new(word.to_owned(), Vec::new(), 0, all, STOP_WEIGHT, false));
    }
    let close = vocabulary::close(connection, word, close)?;
    let notes = close.iter().map(|(_, count)| count).sum();
    let standing = close.into_iter().map(|(word, _)| (word, SLIP)).collect();
    Ok(Term::new(word.to_owned(), standing, notes, all, 1.0, true))
}

fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// Other forms of an English word: singular for plural, plural for singular, base form for -ing and -ed.
/// Some are no words at all; those match nothing.
fn forms(word: &str) -> Vec<String> {
    let mut forms = Vec::new();
    if !word.bytes().all(|byte| byte.is_ascii_lowercase()) || word.len() < 3 {
        return forms;
    }
    let plural = word.len() > 3 && word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end));
    if plural {
        if let Some(stem) = word.strip_suffix("ies") {
            forms.push(format!("{stem}y"));
        } else if let Some(stem) = word.strip_suffix("es") {
            forms.push(stem.to_owned());
        }
        forms.push(word[..word.len() - 1].to_owned());
    } else if let Some(stem) = word.strip_suffix('y').filter(|stem| !ends_in_vowel(stem)) {
        forms.push(format!("{stem}ies"));
    } else {
        forms.push(format!("{word}s"));
    }
    for ending in ["ing", "ed"] {
        let Some(stem) = word.strip_suffix(ending).filter(|stem| is_stem(stem)) else { continue };
        forms.push(stem.to_owned());
        forms.push(format!("{stem}e"));
        let bytes = stem.as_bytes();
        if bytes[bytes.len() - 1] == bytes[bytes.len() - 2] {
            forms.push(stem[..stem.len() - 1].to_owned());
        }
    }
    forms
}

fn is_stem(stem: &str) -> bool {
    stem.len() >= 3 && stem.bytes().any(is_vowel)
}

fn ends_in_vowel(stem: &str) -> bool {
    stem.bytes().last().is_some_and(is_vowel)
}

fn is_vowel(byte: u8) -> bool {
    b"aeiouy".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;

    const NOTES: [&str; 5] = [
        "my bike is green, two bikes, berries and a berry",
        "living in Rome, painted, paints; boxes and a box",
        "Zürich on 14 March 2026, Zurich on 2025-03-14, and March 15th",
        "自行车是绿色的",
        "Farid said paid fair Kellerschlüssel secateurs",
    ];

    /// Each term with what stands for it, marked `~` if it is taken for a slip and `.` if it says little.
    #[track_caller]
    fn check(query: &str, expected: &[&str]) {
        let database = Database::in_memory().unwrap();
        for text in NOTES {
            database.connection.execute("INSERT INTO notes (id, text, at) VALUES (hex(randomblob(8)), ?1, '2024-05-06')", [text]).unwrap();
        }
        let read = Query::read(&database.connection, query, 5);
        let found: Vec<String> = read
            .ok()
            .unwrap()
            .terms
            .into_iter()
            .map(|Term { shown, standing, slip, telling, .. }| {
                let words: Vec<&str> = standing.iter().map(|(word, _)| word.as_str()).collect();
                let mark = if slip && !words.is_empty() { "~" } else { "" };
                format!("{shown}{}:{mark} {}", if telling { "" } else { "." }, words.join(" ")).trim_end().to_owned()
            })
            .collect();
        assert_eq!(found, expected, "{query:?}");
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn queries() {
        check("", &[]);
        check(" \t?!. '' \u{2019} 🚲 \0", &[]);
        check("bike Bike BIKE", &["bike: bike bikes"]);
        check("What's my bike?", &["bike: bike bikes", "what.: what", "my.: my"]);
        // Nothing but stop words: they count.
        check("who am I", &["who: who", "am: am", "i: i"]);
        // Forms, and what they begin.
        check("bikes", &["bikes: bikes bike"]);
        check("berry", &["berry: berry berries"]);
        check("boxed", &["boxed: box boxes"]);
        check("painting", &["painting: paints painted"]);
        check("keller", &["keller: kellerschlussel"]);
        // Slips; a short word has too many neighbours, and a stop word's slip says nothing.
        check("berrry", &["berrry:~ berry"]);
        check("sekatuers", &["sekatuers:~ secateurs"]);
        check("faird", &["faird:~ fair farid"]);
        check("bkie bke", &["bkie:~ bike", "bke:"]);
        check("zurihc", &["zurihc:~ zurich"]);
        check("wiht zzzz", &["wiht.:", "zzzz:"]);
        // Dates, however they are written; what says them counts once.
        let day = "·20260314 ·0314· ··20260314";
        for text in ["14 March 2026", "2026-03-14", "14.3.2026"] {
            check(text, &[&format!("{text}: {day}")]);
        }
        check("on March 14th", &["March 14th: ·0314", "on.: on"]);
        check("in March 2026", &["March 2026: ·202603", "in.: in"]);
        check("march", &["march: march ·03"]);
        check("3/4/2025", &["3/4/2025: ·20250403 ·0403· ··20250403 ·20250304 ·0304· ··20250304"]);
        // Other scripts.
        check("绿色", &["绿色: 绿色"]);
        check("车", &["车: 车是"]);
        // Nothing in a query is an operator.
        check(r#"a" OR NEAR(x) -y ^z* {text}: "#, &["near:", "x:", "y:", "z:", "text:", "a.: a", "or.: or"]);
    }

    #[test]
    fn long_queries_are_cut() {
        let connection = Database::in_memory().unwrap().connection;
        let many: Vec<String> = (0..1_000).map(|number| format!("w{number}")).collect();
        assert_eq!(Query::read(&connection, &many.join(" "), 0).ok().unwrap().terms.len(), limits::QUERY_WORDS);
    }
}
