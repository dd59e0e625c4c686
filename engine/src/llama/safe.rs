//! Text cannot become control: what a person, a file, a tool or the model wrote never yields a control token or a marker of the
//! vocabulary. The template's own text still does.
//!
//! Where such a text stands inside a string that goes into the template, a mark (a Unicode noncharacter that occurs in none of the
//! strings) is set behind its first character. The rendered prompt is cut at the marks and each piece is tokenized by itself, so
//! what the mark stood in cannot be found again, and the mark is gone. Strings without such a text, which is nearly all, are scanned
//! once and tokenized as ever.
//!
//! A marker can also come about where a string meets the template's text (`'<|' + content`) or another string. A string that could
//! take part in that is doubtful; it is marked at its ends too, in a second rendering, which counts if its markers differ.
//!
//! Deliberately not here: a template that takes characters out of the middle of a string (`replace`) can still join what is left of
//! it to a marker. None of the known ones does so with anything but whole markers, which are cut before it sees them.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;
use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::llama_cpp_2::token_type::LlamaTokenAttr;
use llama_sys::llama_cpp_2::vocab::LlamaVocab;

/// The noncharacters that a mark is chosen from.
const MARKS: std::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdef}';
/// Filters and methods with which a template may turn `[inst]` into `[INST]`.
const CASE_CHANGES: [&str; 4] = ["upper", "lower", "capitalize", "title"];

/// The texts of a vocabulary's control tokens and markers.
pub(super) struct SpecialTexts {
    /// Finds them, whatever the case of ASCII letters; `None`: there are none.
    finder: Option<AhoCorasick>,
    /// Sorted.
    texts: Vec<String>,
    /// Bytes of the longest.
    longest: usize,
    /// How a string begins that completes what the template's text (or any one character) in front of it begins. Sorted.
    completions: Vec<String>,
    /// The template changes the case of letters.
    changes_case: bool,
    /// What the tokenizer puts in front of a prompt, and behind it.
    start: Vec<LlamaToken>,
    end: Vec<LlamaToken>,
    /// A line feed, where the tokenizer puts a space in front of every text that it gets; else empty.
    guard: Vec<LlamaToken>,
}

/// What a look at some strings found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// One holds the text of a special token.
    pub(super) hit: bool,
    /// One may form such a text together with what the template puts beside it or makes of it.
    pub(super) doubt: bool,
}

/// Which marks are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marking {
    /// Inside the texts of special tokens.
    Hits,
    /// And at the ends of doubtful strings, and inside texts that only differ in case.
    Doubts,
}

/// The character that is set into strings, and how a template may write it in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    character: char,
    /// Some string has every noncharacter already: `character` is taken out of the strings, and only the character itself is a mark.
    taken: bool,
}

/// A reply in a prompt, with the tokens that the model wrote it with.
#[derive(Debug)]
pub(super) struct OwnReply {
    /// Bytes of the prompt.
    pub(super) range: std::ops::Range<usize>,
    pub(super) tokens: Vec<LlamaToken>,
}

impl SpecialTexts {
    /// The special texts of `model`, whose chat template is `template`.
    pub(super) fn new(model: &LlamaModel, template: &str) -> Self {
        let vocabulary = model.vocab();
        let mut texts: Vec<String> = (0..vocabulary.n_tokens()).filter_map(|token| special_text(&vocabulary, LlamaToken(token))).collect();
        texts.sort_unstable();
        texts.dedup();
        // Fails beyond 2^31 states: gigabytes of special texts.
        let finder = AhoCorasick::builder().ascii_case_insensitive(true).build(&texts).ok().filter(|_| !texts.is_empty());
        let mut wrapping = vocabulary.tokenize(b"", true, true);
        let end = wrapping.split_off(wrapping.len().min(usize::from(vocabulary.should_add_bos())));
        let feed = vocabulary.tokenize(b"\n", false, false);
        let spaced = feed.first().is_some_and(|token| vocabulary.token_to_piece(*token, false, None).starts_with(b" "));
        Self {
            finder,
            longest: texts.iter().map(String::len).max().unwrap_or_default(),
            completions: completions(&texts, template),
            texts,
            changes_case: CASE_CHANGES.iter().any(|word| template.contains(word)),
            start: wrapping,
            end,
            guard: if spaced { feed } else { Vec::new() },
        }
    }

    /// Looks at one string.
    pub(super) fn look(&self, text: &str) -> Found {
        let mut found = Found { hit: false, doubt: self.is_doubtful(text) };
        for (_, exact) in self.matches(text) {
            found.hit |= exact;
            found.doubt |= !exact && self.changes_case;
        }
        found
    }

    /// `text` with marks.
    pub(super) fn marked(&self, text: &str, mark: Mark, marking: Marking) -> String {
        let clean = if mark.taken { mark.remove(text) } else { text.to_owned() };
        let mut places: Vec<usize> = Vec::new();
        for (range, exact) in self.matches(&clean) {
            if exact || (marking == Marking::Doubts && self.changes_case) {
                places.push(clean.ceil_char_boundary(range.start + 1));
                // A special token of one character has no inside: it is cut out whole.
                if clean[range.clone()].chars().nth(1).is_none() {
                    places.push(range.start);
                }
            }
        }
        if marking == Marking::Doubts && self.is_doubtful(&clean) {
            places.extend([0, clean.len()]);
        }
        places.sort_unstable();
        places.dedup();
        let mut out = String::with_capacity(clean.len() + places.len() * mark.character.len_utf8());
        let mut from = 0;
        for place in places {
            out.push_str(&clean[from..place]);
            out.push(mark.character);
            from = place;
        }
        out.push_str(&clean[from..]);
        out
    }

    /// The tokens of a rendered prompt. What `replies` (in order) say stands for itself.
    pub(super) fn tokenize(&self, model: &LlamaModel, prompt: &str, mark: Option<Mark>, replies: &[OwnReply]) -> Vec<LlamaToken> {
        let vocabulary = model.vocab();
        let mut tokens = self.start.clone();
        let mut first = true;
        let mut text = |text: &str, tokens: &mut Vec<LlamaToken>| {
            for piece in text.split(|character| mark.is_some_and(|mark| mark.character == character)) {
                tokens.extend(self.piece(&vocabulary, piece, first));
                first &= piece.is_empty();
            }
        };
        let mut from = 0;
        for reply in replies {
            text(&prompt[from..reply.range.start], &mut tokens);
            tokens.extend(&reply.tokens);
            from = reply.range.end;
        }
        text(&prompt[from..], &mut tokens);
        tokens.extend(&self.end);
        tokens
    }

    /// Those of `tokens` that are special, in order.
    pub(super) fn special(&self, model: &LlamaModel, tokens: &[LlamaToken]) -> Vec<LlamaToken> {
        let vocabulary = model.vocab();
        tokens.iter().copied().filter(|token| special_text(&vocabulary, *token).is_some()).collect()
    }

    /// The tokens of one piece of a prompt.
    fn piece(&self, vocabulary: &LlamaVocab<'_>, piece: &str, first: bool) -> Vec<LlamaToken> {
        // Only a mark on either side leaves one character that is a special token by itself; the template's are longer or stand
        // beside other text.
        let parse_special = piece.chars().nth(1).is_some();
        if piece.is_empty() {
            return Vec::new();
        }
        if !first && !self.guard.is_empty() {
            let mut tokens = vocabulary.tokenize(format!("\n{piece}").as_bytes(), false, parse_special);
            if tokens.starts_with(&self.guard) {
                return tokens.split_off(self.guard.len());
            }
        }
        vocabulary.tokenize(piece.as_bytes(), false, parse_special)
    }

    /// Where special texts stand in `text`, overlapping ones too, and whether the case of the letters is theirs.
    fn matches<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (std::ops::Range<usize>, bool)> + 'a {
        let found = self.finder.as_ref().map(|finder| finder.find_overlapping_iter(text));
        found.into_iter().flatten().map(move |found| {
            let exact = self.texts.get(found.pattern().as_usize()).is_some_and(|special| *special == text[found.range()]);
            (found.range(), exact)
        })
    }

    /// Whether `text` may end or go on a special text that begins or ends outside of it.
    fn is_doubtful(&self, text: &str) -> bool {
        if text.is_empty() {
            return false;
        }
        let begins = |list: &[String], part: &str| {
            let at = list.partition_point(|entry| entry.as_str() < part);
            list.get(at).is_some_and(|entry| entry.starts_with(part))
        };
        // Two characters: a text may well end with a lone `<` or `[`, and what must follow that is looked for in `completions`.
        let from = text.floor_char_boundary(text.len().saturating_sub(self.longest));
        let ends = text.char_indices().rev().skip(1).take_while(|(at, _)| *at >= from).any(|(at, _)| {
            let tail = &text[at..];
            begins(&self.texts, tail) && self.texts.binary_search_by(|special| special.as_str().cmp(tail)).is_err()
        });
        let starts = text.char_indices().take_while(|(at, _)| *at < self.longest).any(|(at, character)| {
            let head = &text[..at + character.len_utf8()];
            self.completions.binary_search_by(|completion| completion.as_str().cmp(head)).is_ok()
        });
        ends || starts || begins(&self.completions, text)
    }
}

impl Mark {
    /// A mark that none of `texts` holds, neither itself nor written as JSON writes it.
    pub(super) fn choose(texts: &[String]) -> Self {
        let free = MARKS.into_iter().find(|character| {
            let written = escaped(*character);
            texts.iter().all(|text| !text.contains(*character) && !text.to_ascii_lowercase().contains(&written))
        });
        Self { character: free.unwrap_or(*MARKS.start()), taken: free.is_none() }
    }

    /// `text` without the marks.
    pub(super) fn remove(self, text: &str) -> String {
        text.replace(self.character, "")
    }

    /// `prompt` with marks that `tojson` has escaped as characters again.
    pub(super) fn unescape(self, prompt: &str) -> String {
        let written = escaped(self.character);
        match self.taken {
            true => prompt.to_owned(),
            false => prompt
                .replace(&written, &self.character.to_string())
                .replace(&format!("\\u{}", written[2..].to_ascii_uppercase()), &self.character.to_string()),
        }
    }
}

/// As JSON writes `character` where it must be ASCII: `\ufdd0`.
fn escaped(character: char) -> String {
    format!("\\u{:04x}", u32::from(character))
}

/// The text of `token` if text that happens to be the same must not become it: of every control token, and of other special ones if
/// they look like markup. Vocabularies have runs of spaces and ordinary words as user-defined tokens too; those stay what they are.
fn special_text(vocabulary: &LlamaVocab<'_>, token: LlamaToken) -> Option<String> {
    let attributes = vocabulary.attr(token);
    let control = attributes.contains(LlamaTokenAttr::Control);
    if !control && !attributes.contains(LlamaTokenAttr::UserDefined) && !attributes.contains(LlamaTokenAttr::Unknown) {
        return None;
    }
    // A text that is no UTF-8 cannot stand in a prompt.
    let text = vocabulary.text(token)?.to_str().ok()?;
    let markup = text.starts_with(['<', '[', '{']) && text.contains(char::is_alphabetic);
    (!text.is_empty() && (control || markup)).then(|| text.to_owned())
}

/// What is left of each of `texts` behind its first character, and behind every longer beginning that stands at the end of a
/// literal of `template`.
fn completions<'a>(texts: &'a [String], template: &str) -> Vec<String> {
    let mut open = HashMap::<&str, bool>::new();
    let mut is_open = |part: &'a str| {
        let ends = |(at, _): (usize, &str)| template[at + part.len()..].trim_start_matches(' ').starts_with(['\'', '"', '{']);
        *open.entry(part).or_insert_with(|| template.match_indices(part).any(ends))
    };
    let mut out: Vec<String> = Vec::new();
    for text in texts {
        for (number, (at, _)) in text.char_indices().skip(1).enumerate() {
            if number == 0 || is_open(&text[..at]) {
                out.push(text[at..].to_owned());
            }
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

#[cfg(test)]
mod tests;
