//! Guessing tokens that repeat the context (prompt lookup): what followed the last tokens when they last stood there.
//!
//! The guesses are verified in one batch, so the text is the one that plain decoding gives. On a CPU a batch of 16 costs about as much
//! as six single tokens, and attention over a quantised cache as much as 16: there is little to gain there, and nothing to lose.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use llama_sys::llama_cpp_2::token::LlamaToken;

/// Tokens that must match.
const MATCH: usize = 3;
/// Most tokens guessed at once. From 64 tokens of a batch on, llama.cpp's flash attention on a CPU unpacks an f16 cache once for all.
pub(super) const MOST: usize = 63;
/// A batch that takes longer than this makes the reply come in jerks.
const LONGEST: Duration = Duration::from_secs(1);
/// Guesses of a first try.
const FIRST: usize = 3;
/// Tokens without a guess after one that failed altogether.
const PAUSE: usize = 6;

/// What stood where in one conversation.
#[derive(Debug)]
pub(super) struct Drafter {
    /// Behind which place the tokens last stood.
    places: HashMap<[LlamaToken; MATCH], usize>,
    /// Tokens that are in `places`.
    known: usize,
    /// Tokens to guess next.
    length: usize,
    /// Most tokens that are decoded within [`LONGEST`].
    most: usize,
    pause: usize,
    /// When the last guess was made.
    guessed: Instant,
}

impl Drafter {
    pub(super) fn new() -> Self {
        Self { places: HashMap::new(), known: 0, length: FIRST, most: MOST, pause: 0, guessed: Instant::now() }
    }

    /// What may follow `tokens`, at most `most` tokens; `tokens` go on from those of the last call.
    pub(super) fn guess(&mut self, tokens: &[LlamaToken], most: usize) -> Vec<LlamaToken> {
        self.guessed = Instant::now();
        let end = tokens.len();
        // The last place is left out: nothing follows it yet.
        for place in self.known.max(MATCH)..end {
            if let Ok(key) = tokens[place - MATCH..place].try_into() {
                self.places.insert(key, place);
            }
        }
        self.known = end.max(MATCH);
        self.pause = self.pause.saturating_sub(1);
        let last: Option<[LlamaToken; MATCH]> = end.checked_sub(MATCH).and_then(|start| tokens[start..].try_into().ok());
        let place = last.filter(|_| self.pause == 0).and_then(|last| self.places.get(&last));
        let length = self.length.min(most);
        place.map_or_else(Vec::new, |place| tokens[*place..end.min(place + length)].to_vec())
    }

    /// How many of the guesses were right, told as soon as they were verified.
    pub(super) fn learn(&mut self, guessed: usize, right: usize) {
        if guessed == 0 {
            return;
        }
        let rows = u32::try_from(guessed + 1).unwrap_or(u32::MAX);
        let each = (self.guessed.elapsed() / rows).as_micros().max(1);
        self.most = usize::try_from(LONGEST.as_micros() / each).unwrap_or(MOST).clamp(FIRST, MOST);
        match right {
            0 => (self.length, self.pause) = (FIRST, PAUSE),
            right if right == guessed => self.length = self.length * 2 + 1,
            right => self.length = right.max(FIRST),
        }
        self.length = self.length.min(self.most);
    }

    /// The tokens were cut to `length`.
    pub(super) fn cut(&mut self, length: usize) {
        if self.known > length {
            *self = Self::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<LlamaToken> {
        text.bytes().map(|byte| LlamaToken(byte.into())).collect()
    }

    fn text(tokens: &[LlamaToken]) -> String {
        tokens.iter().map(|token| char::from(u8::try_from(token.0).unwrap())).collect()
    }

    #[test]
    fn what_followed_before_is_guessed() {
        let mut drafter = Drafter::new();
        assert_eq!(text(&drafter.guess(&tokens("abcdef"), 9)), "");
        assert_eq!(text(&drafter.guess(&tokens("abcdef abc"), 9)), "def");
        drafter.learn(3, 3);
        assert_eq!(text(&drafter.guess(&tokens("abcdef abcdef"), 9)), " abcdef");
        assert_eq!(text(&drafter.guess(&tokens("abcdef abcdef"), 2)), " a");
    }

    #[test]
    fn wrong_guesses_pause() {
        let mut drafter = Drafter::new();
        assert_eq!(text(&drafter.guess(&tokens("abcdabc"), 9)), "dab");
        drafter.learn(3, 0);
        assert_eq!(text(&drafter.guess(&tokens("abcdabcabc"), 9)), "");
        for _ in 0..PAUSE {
            drafter.guess(&tokens("abcdabcabc"), 9);
        }
        assert_eq!(text(&drafter.guess(&tokens("abcdabcabc"), 9)), "abc");
    }

    #[test]
    fn a_text_can_be_cut() {
        let mut drafter = Drafter::new();
        drafter.guess(&tokens("abcdabc"), 9);
        drafter.cut(4);
        assert_eq!(text(&drafter.guess(&tokens("abcdxyzxyz"), 9)), "xyz");
    }
}
