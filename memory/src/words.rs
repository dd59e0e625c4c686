//! A text as the words under which it is found: folded, scripts without spaces in pairs of letters, dates in one form.
//!
//! The index and the search cut texts here and nowhere else; FTS5 only keeps what this file gives it. It knows no language: no
//! stop words and no stems.

use std::collections::HashSet;
use std::ops::Range;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::error::Failure;
use crate::journal::transact;
use crate::{dates, limits, vectors};

/// How texts are cut. Raised with every change of this file or of `dates.rs` by which a text is cut otherwise: index and vocabulary are
/// then made anew at the next open. Without that the words of a changed note would not be the ones that are taken out.
const VERSION: &str = "1";

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Lower case, without accents, in compatible letters; for a script without spaces two letters.
    pub(crate) folded: String,
    /// Where it stands, in bytes.
    pub(crate) at: Range<usize>,
}

/// The words of a text in order.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut run: Option<(usize, bool)> = None;
    for (index, letter) in text.char_indices().chain([(text.len(), ' ')]) {
        let kind = (is_letter(letter) || (is_apostrophe(letter) && run.is_some())).then(|| is_unspaced(letter));
        if let Some((begin, unspaced)) = run
            && kind != Some(unspaced)
        {
            cut(&mut words, text, begin..index, unspaced);
            run = None;
        }
        if run.is_none() {
            run = kind.filter(|_| !is_apostrophe(letter)).map(|unspaced| (index, unspaced));
        }
    }
    words
}

/// What the index keeps of a note: its words, its dates, and the day on which it was noted.
pub(crate) fn indexed(text: &str, at: &str) -> HashSet<String> {
    let words = words(text);
    let mut all: HashSet<String> = dates::tokens(text, &words).into_iter().collect();
    all.extend(dates::noted(at));
    all.extend(words.into_iter().map(|word| word.folded));
    all
}

/// Whether the word is written in a script without spaces, or in one that hangs its particles on the word (Korean).
pub(crate) fn is_unspaced(letter: char) -> bool {
    matches!(u32::from(letter), 0x0e00..=0x0eff | 0x1000..=0x109f | 0x1100..=0x11ff | 0x1780..=0x17ff | 0x2e80..=0x9fff
        | 0xac00..=0xd7ff | 0xf900..=0xfaff | 0xff66..=0xff9f | 0x1b000..=0x1b2ff | 0x20000..=0x3ffff)
}

/// A run of letters becomes a word, or the pairs of its letters.
fn cut(words: &mut Vec<Word>, text: &str, at: Range<usize>, unspaced: bool) {
    let run = &text[at.clone()];
    if !unspaced {
        let word = run.trim_end_matches(is_apostrophe);
        let word = word.strip_suffix("'s").or_else(|| word.strip_suffix("\u{2019}s")).unwrap_or(word);
        let folded = fold(word);
        if !folded.is_empty() {
            let end = at.start + word.len();
            words.push(Word { folded, at: at.start..end });
        }
        return;
    }
    let starts: Vec<usize> = run.char_indices().map(|(index, _)| index).chain([run.len()]).collect();
    let size = if starts.len() > 2 { 2 } else { 1 };
    for pair in starts.windows(size + 1) {
        let folded = fold(&run[pair[0]..pair[size]]);
        if !folded.is_empty() {
            words.push(Word { folded, at: at.start + pair[0]..at.start + pair[size] });
        }
    }
}

/// The one form of a word, at most [`limits::WORD_LETTERS`] letters of it.
fn fold(word: &str) -> String {
    if word.is_ascii() {
        let plain = word.bytes().filter(u8::is_ascii_alphanumeric).take(limits::WORD_LETTERS);
        return plain.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    }
    let beginning: String = word.chars().take(2 * limits::WORD_LETTERS).collect();
    let apart = DecomposingNormalizerBorrowed::new_nfkd().normalize(&beginning).to_lowercase();
    let mut folded = String::with_capacity(apart.len());
    for letter in apart.chars().filter(|letter| is_letter(*letter) && !is_accent(*letter)) {
        match letter {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ı' => folded.push('i'),
            'ς' => folded.push('σ'),
            letter => folded.push(letter),
        }
    }
    let folded: String = folded.chars().take(limits::WORD_LETTERS).collect();
    ComposingNormalizerBorrowed::new_nfc().normalize(&folded).into_owned()
}

fn is_letter(letter: char) -> bool {
    letter.is_alphanumeric() || is_accent(letter) || is_mark(letter)
}

fn is_apostrophe(letter: char) -> bool {
    matches!(letter, '\'' | '\u{2019}')
}

/// An accent of Latin, Greek or Cyrillic: folded away.
fn is_accent(letter: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&letter)
}

/// A sign that belongs to the letter before it: Hebrew and Arabic points, the vowels of India, Japanese voicing.
fn is_mark(letter: char) -> bool {
    matches!(u32::from(letter), 0x0591..=0x05c7 | 0x064b..=0x065f | 0x0900..=0x0963 | 0x0966..=0x0dff | 0x3099 | 0x309a)
}

/// Gives the connection the two functions that the triggers of `notes` call.
pub(crate) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let words = |context: &rusqlite::functions::Context<'_>| -> rusqlite::Result<Vec<String>> {
        let mut words: Vec<String> = indexed(context.get_raw(0).as_str()?, context.get_raw(1).as_str()?).into_iter().collect();
        words.sort_unstable();
        Ok(words)
    };
    connection.create_scalar_function("paguro_words", 2, flags, move |context| Ok(words(context)?.join(" ")))?;
    connection.create_scalar_function("paguro_word_list", 2, flags, move |context| Ok(serde_json::json!(words(context)?).to_string()))
}

/// Makes index and vocabulary anew if another version of this file filled them.
pub(crate) fn refill(connection: &mut Connection) -> Result<(), Failure> {
    if vectors::fact(connection, "words")?.as_deref() == Some(VERSION) {
        return Ok(());
    }
    transact(connection, |transaction| {
        transaction.execute_batch(REFILL)?;
        vectors::set_fact(transaction, "words", VERSION)
    })
}

const REFILL: &str = "
    INSERT INTO notes_words (notes_words) VALUES ('rebuild');
    DELETE FROM vocabulary;
    INSERT INTO vocabulary (letters, word, notes)
        SELECT length(value), value, count(*) FROM notes, json_each(paguro_word_list(text, at)) GROUP BY value;";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_cutter_s_index_is_made_anew() {
        let mut connection = crate::database::Database::in_memory().unwrap().connection;
        let note = "INSERT INTO notes (id, text, at) VALUES ('a', 'green bikes', '2026-01-02')";
        connection.execute(note, []).unwrap();
        let state = |connection: &Connection| -> (i64, i64) {
            let found = "SELECT count(*) FROM notes_words WHERE notes_words MATCH 'bikes'";
            let words = "SELECT count(*) FROM vocabulary WHERE word = 'bikes' AND notes = 1";
            let count = |sql| connection.query_row(sql, [], |row| row.get(0)).unwrap();
            (count(found), count(words))
        };
        // As an older one may have left it.
        let other = "INSERT INTO notes_words (notes_words) VALUES ('delete-all'); UPDATE vocabulary SET notes = 7;
            UPDATE facts SET value = 'other' WHERE name = 'words'";
        connection.execute_batch(other).unwrap();
        assert_eq!(state(&connection), (0, 0));
        refill(&mut connection).ok().unwrap();
        assert_eq!(state(&connection), (1, 1));
        connection.execute("DELETE FROM notes", []).unwrap();
        assert_eq!(state(&connection), (0, 0));
    }

    #[test]
    fn a_delete_looks_up_both_columns_of_the_vocabulary() {
        let connection = crate::database::Database::in_memory().unwrap().connection;
        for trigger in ["notes_words_delete", "notes_words_update"] {
            let text: String = connection.query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [trigger], |row| row.get(0)).unwrap();
            let delete = &text[text.find("DELETE FROM vocabulary").unwrap()..];
            let delete = delete.split(';').next().unwrap().replace("old.text", "'x'").replace("old.at", "'x'");
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {delete}")).unwrap();
            let plan: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
            assert!(plan.iter().any(|line| line.contains("letters=? AND word=?")), "{trigger}: {plan:?}");
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = words(text).into_iter().map(|word| word.folded).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn texts_are_cut_into_words() {
        check("", &[]);
        check(" \t?!. '' \u{2019} 🚲 \0", &[]);
        check("My bike's GREEN, isn't it?", &["my", "bike", "green", "isnt", "it"]);
        check("the dogs' home\u{2019}s 'quoted'", &["the", "dogs", "home", "quoted"]);
        check("4711-B Tr0ub4dor&3", &["4711", "b", "tr0ub4dor", "3"]);
        check("Café cafe\u{301} CAFÉ Łukasz Straße Ørsted İstanbul", &["cafe", "cafe", "cafe", "lukasz", "strasse", "orsted", "istanbul"]);
        check("ﬁne Ⅳ ² ＡＢＣ", &["fine", "iv", "2", "abc"]);
        check("自行车是绿色", &["自行", "行车", "车是", "是绿", "绿色"]);
        check("药", &["药"]);
        check("東京tower 2026年", &["東京", "tower", "2026", "年"]);
        check("할머니", &["할머", "머니"]);
        check("ガ カ\u{3099}", &["ガ", "ガ"]);
        check("हिन्दी में", &["हिन्दी", "में"]);
        check("Ο θείος", &["ο", "θειοσ"]);
        check("\u{301}\u{5d0}\u{5b0}", &["\u{5d0}\u{5b0}"]);
        check(&"x".repeat(1_000), &["x".repeat(limits::WORD_LETTERS).as_str()]);
    }

    #[test]
    fn words_know_where_they_stand() {
        let text = "Ein Café's, 東京都";
        let found: Vec<&str> = words(text).into_iter().map(|word| &text[word.at]).collect();
        assert_eq!(found, ["Ein", "Café", "東京", "京都"]);
    }
}
