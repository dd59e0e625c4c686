//! Erasing words from texts: however they are broken into lines, written in capitals, escaped or cut short. Knows no tables.

use serde_json::{Map, Value};

/// What stands in the place of what was forgotten.
pub const FORGOTTEN: &str = "[forgotten]";

/// Characters from which on the beginning of a phrase counts as the phrase, when it is cut there with `…`.
const CUT_CHARS: usize = 24;

/// A phrase of fewer characters and of one word is erased only where it is a word of its own: `cat` does not spoil `location`.
const BARE_CHARS: usize = 8;

/// Letters of a word that tells what a note is about; one with a digit in it may have fewer.
const TELLING_LETTERS: usize = 4;
const TELLING_WITH_DIGIT: usize = 3;

/// Characters at the beginning of a phrase, one of whose words a text must have to be looked at closely.
const PROBE_CHARS: usize = CUT_CHARS;

/// Erases phrases from texts.
#[derive(Debug, Clone, Default)]
pub struct Eraser {
    phrases: Vec<Phrase>,
    /// Of each note: the words that tell what it is about.
    telling: Vec<Vec<String>>,
}

/// One way in which a text may be written.
#[derive(Debug, Clone)]
struct Phrase {
    /// In lower case, white space as one blank.
    chars: Vec<char>,
    /// How long a beginning of the phrase ends at each place: what a search goes on with after a difference (Knuth, Morris, Pratt).
    back: Vec<usize>,
    /// Erased only where it is a word of its own.
    bounded: bool,
    /// No text without it has the phrase.
    probe: String,
}

impl Eraser {
    /// Erases each of `texts`, also as JSON writes them.
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut eraser = Self::default();
        for text in texts {
            let text = text.as_ref().trim().trim_end_matches(['.', '!', '。']).trim_end();
            let escaped = inside(&Value::from(text).to_string());
            let ascii = ascii(&escaped);
            let mut forms = vec![text.to_owned(), inside(&Value::from(escaped.as_str()).to_string()), escaped, ascii];
            forms.dedup();
            for form in forms {
                let phrase = Phrase::new(&form);
                if !phrase.chars.is_empty() && eraser.phrases.iter().all(|known| known.chars != phrase.chars) {
                    eraser.phrases.push(phrase);
                }
            }
            let mut telling: Vec<String> = words(text).filter(|word| tells(word)).collect();
            telling.sort_unstable();
            telling.dedup();
            if !telling.is_empty() {
                eraser.telling.push(telling);
            }
        }
        eraser
    }

    /// `text` with [`FORGOTTEN`] in the place of each phrase; `None`: it has none of them.
    #[must_use]
    pub fn text(&self, text: &str) -> Option<String> {
        let mut folded = None;
        let mut found: Vec<(usize, usize)> = Vec::new();
        let lower = if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().map(lower).collect() };
        for phrase in self.phrases.iter().filter(|phrase| lower.contains(&phrase.probe)) {
            let folded = folded.get_or_insert_with(|| fold(text));
            found.extend(phrase.find(folded, text.len()));
        }
        replaced(text, found)
    }

    /// Whether a text of JSON is to be read to see. `false`: it has none of the phrases.
    pub(crate) fn may_be_in_json(&self, json: &str) -> bool {
        let lower = if json.is_ascii() { json.to_ascii_lowercase() } else { json.chars().map(lower).collect() };
        // What JSON writes otherwise is not looked for in it.
        let is_escaped = |char: char| char == '"' || char == '\\' || char.is_control();
        self.phrases.iter().any(|phrase| phrase.probe.contains(is_escaped) || lower.contains(&phrase.probe))
    }

    /// [`Eraser::text`], and every sentence of `text` that says what one of the notes says: it has one of its words with a digit, or
    /// more than half of its other telling ones. For texts that are known to speak of the note.
    #[must_use]
    pub fn sentences(&self, text: &str) -> Option<String> {
        let exact = self.text(text);
        let rest = exact.as_deref().unwrap_or(text);
        let found = sentences(rest).filter(|(from, to)| self.is_told(&rest[*from..*to])).collect();
        replaced(rest, found).or(exact)
    }

    /// Whether a sentence says what one of the notes says.
    #[must_use]
    pub fn is_told(&self, sentence: &str) -> bool {
        let said: Vec<String> = words(sentence).collect();
        self.telling.iter().any(|telling| {
            let shared = telling.iter().filter(|word| said.contains(word));
            let (figures, plain): (Vec<&String>, Vec<&String>) = shared.partition(|word| has_digit(word));
            let all = telling.iter().filter(|word| !has_digit(word)).count();
            !figures.is_empty() || plain.len() * 2 > all
        })
    }

    /// Erases in all strings of `value`, keys included, by [`Eraser::text`], or by [`Eraser::sentences`] if the text is known to speak
    /// of the note. A reply's tokens go with its words. `false`: nothing was there.
    pub fn json(&self, value: &mut Value, sentences: bool) -> bool {
        change(value, Place::Step, &|text, _| if sentences { self.sentences(text) } else { self.text(text) })
    }
}

/// Puts [`FORGOTTEN`] in the place of all that was said in a step.
pub(crate) fn wipe(value: &mut Value) -> bool {
    change(value, Place::Step, &|text, is_key| (!is_key && text != FORGOTTEN && !text.is_empty()).then(|| FORGOTTEN.to_owned()))
}

/// What the program itself writes into a step and reads again: a word of a closed set, a name, a number. Arguments are somebody's words
/// throughout.
const OWN: [&str; 16] = [
    "kind",
    "role",
    "name",
    "id",
    "call",
    "hash",
    "model",
    "model_hash",
    "tool_call_id",
    "by",
    "scope",
    "notes",
    "sampling",
    "usage",
    "timings",
    "tool",
];

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Step,
    Arguments,
}

/// Gives each string to `erase`, with whether it is a key.
fn change(value: &mut Value, place: Place, erase: &impl Fn(&str, bool) -> Option<String>) -> bool {
    let deep = place == Place::Arguments;
    match value {
        Value::String(text) => erase(text, false).map(|erased| *text = erased).is_some(),
        Value::Array(items) => {
            let mut changed = false;
            for item in items {
                changed |= change(item, place, erase);
            }
            changed
        }
        Value::Object(object) => {
            let mut changed = false;
            // Why a reply ended is a word of a closed set, too.
            let is_thought = object.contains_key("message");
            for (key, item) in object.iter_mut() {
                let own = !deep && (OWN.contains(&key.as_str()) || is_thought && key == "reason");
                let place = if key == "arguments" { Place::Arguments } else { place };
                changed |= !own && change(item, place, erase);
            }
            if deep && object.keys().any(|key| erase(key, true).is_some()) {
                let entries = std::mem::take(object).into_iter();
                *object = entries.map(|(key, item)| (erase(&key, true).unwrap_or(key), item)).collect::<Map<_, _>>();
                changed = true;
            }
            if changed && !deep {
                // The same words as numbers; and a rule that would allow something else than was asked about.
                object.retain(|key, item| !(key == "tokens" && item.is_array() || key == "rule" && item.is_object()));
            }
            changed
        }
        _ => false,
    }
}

impl Phrase {
    fn new(text: &str) -> Self {
        let chars: Vec<char> = fold(text).into_iter().map(|(_, char)| char).collect();
        let mut back = vec![0; chars.len()];
        let mut length = 0;
        for at in 1..chars.len() {
            while length > 0 && chars[at] != chars[length] {
                length = back[length - 1];
            }
            length += usize::from(chars[at] == chars[length]);
            back[at] = length;
        }
        let beginning: String = chars.iter().take(PROBE_CHARS).collect();
        // What follows a blank may be cut off in the beginning; as part of a word it is still in every text that has the phrase.
        let probe = beginning.split(' ').max_by_key(|word| word.len()).unwrap_or_default().to_owned();
        let bounded = chars.len() < BARE_CHARS && !chars.contains(&' ');
        Self { chars, back, bounded, probe }
    }

    /// Where the phrase stands in a folded text of `length` bytes, as bytes of the text.
    fn find(&self, text: &[(usize, char)], length: usize) -> Vec<(usize, usize)> {
        let byte = |at: usize| text.get(at).map_or(length, |(byte, _)| *byte);
        let is_word = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|(_, char)| char.is_alphanumeric());
        let (mut found, mut matched) = (Vec::new(), 0);
        for (at, (_, char)) in text.iter().enumerate() {
            if matched >= CUT_CHARS && *char == '…' && self.chars[matched] != '…' {
                found.push((byte(at - matched), byte(at + 1)));
                matched = 0;
                continue;
            }
            while matched > 0 && self.chars[matched] != *char {
                matched = self.back[matched - 1];
            }
            matched += usize::from(self.chars[matched] == *char);
            if matched == self.chars.len() {
                let first = at + 1 - matched;
                if !self.bounded || !is_word(first.checked_sub(1)) && !is_word(Some(at + 1)) {
                    found.push((byte(first), byte(at + 1)));
                    matched = 0;
                } else {
                    matched = self.back[matched - 1];
                }
            }
        }
        found
    }
}

/// The characters of `text` in lower case with the bytes at which they begin; white space as one blank, none at the ends.
fn fold(text: &str) -> Vec<(usize, char)> {
    let mut out: Vec<(usize, char)> = Vec::new();
    for (at, char) in text.char_indices() {
        if !char.is_whitespace() {
            out.push((at, lower(char)));
        } else if out.last().is_none_or(|(_, last)| *last != ' ') {
            out.push((at, ' '));
        }
    }
    out
}

/// One character for one, so that places stay what they are.
fn lower(char: char) -> char {
    char.to_lowercase().next().unwrap_or(char)
}

/// `text` with [`FORGOTTEN`] in the place of the bytes `found`, which may overlap.
fn replaced(text: &str, mut found: Vec<(usize, usize)>) -> Option<String> {
    if found.is_empty() {
        return None;
    }
    found.sort_unstable();
    let (mut out, mut done) = (String::new(), 0);
    for (from, to) in found {
        if from >= done {
            out.push_str(&text[done..from]);
            out.push_str(FORGOTTEN);
        }
        done = done.max(to);
    }
    out.push_str(&text[done..]);
    Some(out)
}

/// Where the sentences of `text` stand: up to a line's end, or a full stop before white space.
fn sentences(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut bounds = vec![0];
    let mut after_stop = false;
    for (at, char) in text.char_indices() {
        if char == '\n' || after_stop && char.is_whitespace() {
            bounds.push(at);
        }
        after_stop = matches!(char, '.' | '!' | '?' | '。' | '！' | '？');
    }
    bounds.push(text.len());
    let pairs: Vec<(usize, usize)> = bounds.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let trimmed = pairs.into_iter().map(|(from, to)| {
        let from = to - text[from..to].trim_start().len();
        (from, to)
    });
    trimmed.filter(|(from, to)| from < to).collect::<Vec<_>>().into_iter()
}

/// The words of `text` in lower case; what holds a number or a name together stays in one.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    let is_inner = |char: char| char.is_alphanumeric() || "-_.@/:+".contains(char);
    let pieces = text.split(move |char: char| !is_inner(char));
    pieces.map(|word| word.trim_matches(|char: char| !char.is_alphanumeric()).to_lowercase()).filter(|word| !word.is_empty())
}

pub(crate) fn tells(word: &str) -> bool {
    let letters = word.chars().count();
    letters >= TELLING_LETTERS || letters >= TELLING_WITH_DIGIT && has_digit(word)
}

fn has_digit(word: &str) -> bool {
    word.contains(|char: char| char.is_numeric())
}

/// A JSON string without its quotes.
fn inside(json: &str) -> String {
    json.get(1..json.len() - 1).unwrap_or_default().to_owned()
}

/// Everything beyond ASCII as JSON may write it.
fn ascii(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars() {
        if char.is_ascii() {
            out.push(char);
        } else {
            let mut units = [0; 2];
            out.extend(char.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn phrases_are_erased_however_they_are_written() {
        let check = |note: &str, text: &str, expected: Option<&str>| {
            assert_eq!(Eraser::new([note]).text(text).as_deref(), expected, "{note:?} in {text:?}");
        };
        check("my bike is green", "I said: my bike is green, twice", Some("I said: [forgotten], twice"));
        check("my bike is green.", "My  bike\nis GREEN!", Some("[forgotten]!"));
        check("my bike is green", "my bike is red", None);
        check("a \"b\"\nc\\d", "x a \\\"b\\\"\\nc\\\\d y", Some("x [forgotten] y"));
        check("Ärger über öl", "x \\u00c4rger \\u00fcber \\u00F6l y", Some("x [forgotten] y"));
        check("ÄRGER", "ärger", Some("[forgotten]"));
        check("cat", "the location of a cat", Some("the location of a [forgotten]"));
        check("xylophone", "xylophones", Some("[forgotten]s"));
        check("aab", "aaab aab", Some("aaab [forgotten]"));
        let long = "one two three four five six seven eight nine ten";
        check(long, "[note: one two three four five six s…] rest", Some("[note: [forgotten]] rest"));
        check(long, "one two three… four", None);
        check("", "anything", None);
        check("   ", "any thing", None);
    }

    #[test]
    fn sentences_that_say_it_are_erased() {
        let check = |note: &str, text: &str, expected: Option<&str>| {
            assert_eq!(Eraser::new([note]).sentences(text).as_deref(), expected, "{note:?} in {text:?}");
        };
        check("my bike is green", "Noted. Your bike is green! Anything else?", Some("Noted. [forgotten] Anything else?"));
        check("my bike is green", "The bike needs oil.", None);
        check("the safe's code is 4711-XYZ", "ok\nCode: 4711-xyz\nbye", Some("ok\n[forgotten]\nbye"));
        check("the safe's code is 4711-XYZ", "It is 4711.", None);
    }

    #[test]
    fn json_is_erased_with_its_tokens() {
        let check = |mut value: Value, expected: Value| {
            Eraser::new(["my bike is green"]).json(&mut value, false);
            assert_eq!(value, expected);
        };
        check(
            json!({"message": {"content": "my bike is green", "tokens": [1]}, "other": {"tokens": [2]}}),
            json!({"message": {"content": FORGOTTEN}, "other": {"tokens": [2]}}),
        );
        check(json!({"arguments": [{"my bike is green": 1}]}), json!({"arguments": [{FORGOTTEN: 1}]}));
        check(json!({"kind": "my bike is green", "rule": {"a": "my bike is green"}}), json!({"kind": "my bike is green"}));
        let mut said = json!({"kind": "thought", "message": {"role": "assistant", "content": "x", "tokens": [1],
            "tool_calls": [{"id": "c", "name": "remember", "arguments": {"text": "x", "n": 1}}]}, "reason": "stop"});
        assert!(wipe(&mut said));
        let expected = json!({"kind": "thought", "message": {"role": "assistant", "content": FORGOTTEN,
            "tool_calls": [{"id": "c", "name": "remember", "arguments": {"text": FORGOTTEN, "n": 1}}]}, "reason": "stop"});
        assert_eq!(said, expected);
        assert!(!wipe(&mut said));
    }
}
