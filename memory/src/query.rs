//! From any text to an FTS5 expression: which words count, and in which forms.
//!
//! A hand-made light stemmer rather than FTS5's `porter`: it works on the query, so the index keeps the words as they were
//! written, a word of another language is never cut by English rules, and an exact match outranks a stemmed one.

use std::collections::HashSet;

use crate::limits;

/// Words of a query that say nothing about what is sought. With nothing else in the query they count after all.
const STOP_WORDS: &[&str] = &[
    "a", "about", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "didn", "do", "does",
    "doesn", "don", "for", "from", "had", "has", "have", "he", "her", "hers", "him", "his", "how", "i", "if", "in", "into", "is", "isn",
    "it", "its", "may", "me", "mine", "my", "of", "on", "or", "our", "ours", "please", "shall", "she", "should", "so", "some", "tell",
    "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "to", "us", "was", "wasn", "we", "were",
    "what", "when", "where", "which", "who", "whom", "whose", "why", "will", "with", "would", "you", "your", "yours",
];

/// Letters from which on a word also matches the words that begin with it.
const PREFIX_LETTERS: usize = 4;

/// The expression for `query`, `None` when there is no word in it. Every word is quoted, so no text is an operator.
pub(crate) fn expression(query: &str) -> Option<String> {
    let mut seen = HashSet::new();
    let mut all = words(query).filter(|word| seen.insert(word.clone()));
    let mut first: Vec<String> = Vec::new();
    let mut telling: Vec<String> = Vec::new();
    while telling.len() < limits::QUERY_WORDS {
        let Some(word) = all.next() else { break };
        if first.len() < limits::QUERY_WORDS {
            first.push(word.clone());
        }
        if !is_stop_word(&word) {
            telling.push(word);
        }
    }
    let chosen = if telling.is_empty() { first } else { telling };
    let mut seen = HashSet::new();
    let terms: Vec<String> = chosen.iter().flat_map(|word| terms(word)).filter(|term| seen.insert(term.clone())).collect();
    (!terms.is_empty()).then(|| terms.join(" OR "))
}

/// The words of a text in lower case, cut where the tokenizer `unicode61` cuts, but whole at an apostrophe.
fn words(text: &str) -> impl Iterator<Item = String> {
    let apart = |c: char| !(c.is_alphanumeric() || is_accent(c) || is_apostrophe(c));
    text.split(apart).filter_map(|word| {
        let word = word.to_lowercase().replace(is_apostrophe, "'");
        let word = word.trim_matches('\'');
        let word = word.strip_suffix("'s").unwrap_or(word);
        (!word.is_empty()).then(|| word.to_owned())
    })
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}')
}

/// A combining accent, part of the letter before it.
fn is_accent(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

fn is_stop_word(word: &str) -> bool {
    let stem = word.split('\'').next().unwrap_or(word);
    STOP_WORDS.binary_search(&stem).is_ok()
}

/// The terms that stand for one word: as it is, as a prefix when it is long enough, and its other simple forms.
fn terms(word: &str) -> Vec<String> {
    let mut terms = vec![quoted(word)];
    // In scripts without spaces a token is a whole clause; its beginning at least can be found.
    let unspaced = word.chars().any(|c| c >= '\u{2e80}');
    for form in std::iter::once(word.to_owned()).chain(forms(word)) {
        let long = form.chars().count() >= PREFIX_LETTERS;
        terms.push(if long || unspaced { quoted(&form) + "*" } else { quoted(&form) });
    }
    terms
}

fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('"', "\"\""))
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

    #[track_caller]
    fn check(query: &str, expected: Option<&str>) {
        assert_eq!(expression(query).as_deref(), expected, "{query:?}");
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn expressions() {
        check("", None);
        check(" \t?!. '' \u{2019} 🚲", None);
        check("my bike", Some(r#""bike" OR "bike"* OR "bikes"*"#));
        check("What's my bike?", Some(r#""bike" OR "bike"* OR "bikes"*"#));
        check("bike Bike BIKE", Some(r#""bike" OR "bike"* OR "bikes"*"#));
        // Nothing but stop words: they count.
        check("who am I", Some(r#""who" OR "whos"* OR "am" OR "i""#));
        // Morphology.
        check("dog's", Some(r#""dog" OR "dogs"*"#));
        check("dog\u{2019}s", Some(r#""dog" OR "dogs"*"#));
        check("dogs'", Some(r#""dogs" OR "dogs"* OR "dog""#));
        check("berries", Some(r#""berries" OR "berries"* OR "berry"* OR "berrie"*"#));
        check("berry", Some(r#""berry" OR "berry"* OR "berries"*"#));
        check("boxes", Some(r#""boxes" OR "boxes"* OR "box" OR "boxe"*"#));
        check("glass", Some(r#""glass" OR "glass"* OR "glasss"*"#));
        check("living", Some(r#""living" OR "living"* OR "livings"* OR "liv" OR "live"*"#));
        check("running", Some(r#""running" OR "running"* OR "runnings"* OR "runn"* OR "runne"* OR "run""#));
        check("bring", Some(r#""bring" OR "bring"* OR "brings"*"#));
        // Other scripts and composed letters stay whole.
        check("Zürich cafe\u{301}", Some("\"zürich\" OR \"zürich\"* OR \"cafe\u{301}\" OR \"cafe\u{301}\"*"));
        check("自行车", Some("\"自行车\" OR \"自行车\"*"));
        // Nothing in a query is an operator.
        check(
            r#"a" OR NEAR(x) -y ^z* {text}: "#,
            Some(r#""near" OR "near"* OR "nears"* OR "x" OR "y" OR "z" OR "text" OR "text"* OR "texts"*"#),
        );
        check("don't", Some(r#""don't" OR "don't"*"#));
    }

    #[test]
    fn long_queries_are_cut() {
        let many: Vec<String> = (0..1_000).map(|number| format!("w{number}")).collect();
        let terms = expression(&many.join(" ")).unwrap();
        assert!(terms.contains("\"w31\"") && !terms.contains("\"w32\""), "{terms}");
    }
}
