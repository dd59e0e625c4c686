//! The reply's text as it grows: whole UTF-8 characters, up to a stop.

/// The text of a reply.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// Whole characters.
    text: String,
    /// The beginning of a character, at most three bytes.
    pending: Vec<u8>,
    /// Texts that end the reply.
    stops: Vec<String>,
    /// Where a stop begins.
    stopped_at: Option<usize>,
}

impl Text {
    /// An empty text that ends before the first of `stops`; empty ones are ignored.
    pub(super) fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, ..Self::default() }
    }

    /// Appends the bytes of a token. Returns whether a stop has been reached.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let before = self.text.len();
        if self.pending.is_empty() {
            self.take(bytes);
        } else {
            let mut joined = std::mem::take(&mut self.pending);
            joined.extend_from_slice(bytes);
            self.take(&joined);
        }
        self.find_stop(before);
        self.stopped_at.is_some()
    }

    /// Takes whole characters; what can never become one is replaced at once, what may still become one waits.
    fn take(&mut self, mut bytes: &[u8]) {
        loop {
            let error = match std::str::from_utf8(bytes) {
                Ok(text) => return self.text.push_str(text),
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            self.text.push_str(&String::from_utf8_lossy(valid));
            match error.error_len() {
                Some(wrong) => {
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    bytes = &rest[wrong..];
                }
                None => {
                    self.pending = rest.to_vec();
                    return;
                }
            }
        }
    }

    /// Looks for a stop that ends in what came after the first `before` bytes.
    fn find_stop(&mut self, before: usize) {
        let found = self.stops.iter().filter_map(|stop| {
            let start = self.text.floor_char_boundary(before.saturating_sub(stop.len() - 1));
            self.text[start..].find(stop.as_str()).map(|at| start + at)
        });
        if let Some(at) = found.min() {
            self.text.truncate(at);
            self.pending.clear();
            self.stopped_at = Some(at);
        }
    }

    /// All whole characters, also an end that may become a stop.
    pub(super) fn whole(&self) -> &str {
        &self.text
    }

    /// What is certain: without an end that may become a stop.
    pub(super) fn certain(&self) -> &str {
        if self.stopped_at.is_some() {
            return &self.text;
        }
        let half =
            |stop: &String| (1..stop.len()).rev().find(|length| stop.is_char_boundary(*length) && self.text.ends_with(&stop[..*length]));
        let held_back = self.stops.iter().filter_map(half).max().unwrap_or(0);
        &self.text[..self.text.len() - held_back]
    }

    /// Bytes of whole characters so far, and whether no character is half there.
    pub(super) fn mark(&self) -> (usize, bool) {
        (self.text.len(), self.pending.is_empty())
    }

    /// Goes back to a [`Text::mark`] at which no character was half there.
    pub(super) fn back_to(&mut self, length: usize) {
        self.text.truncate(length);
        self.pending.clear();
        self.stopped_at = None;
    }

    /// The reply is over: half a character becomes U+FFFD.
    pub(super) fn end(&mut self) -> &str {
        if !self.pending.is_empty() {
            self.pending.clear();
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes `pieces` and compares what is certain after each, then the end.
    #[track_caller]
    fn check(stops: &[&str], pieces: &[&[u8]], certain: &[&str], end: &str) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut text = Text::new(&stops);
        let mut seen = Vec::new();
        for piece in pieces {
            text.push(piece);
            seen.push(text.certain().to_owned());
        }
        assert_eq!(seen, certain);
        assert_eq!(text.end(), end);
    }

    #[test]
    fn a_split_character_waits_until_it_is_whole() {
        check(&[], &[b"a\xf0", b"\x9f\x90", b"\x9a", b"b"], &["a", "a", "a🐚", "a🐚b"], "a🐚b");
        check(&[], &[b"\xc3", b"\xa9\xc3", b"\xa8"], &["", "é", "éè"], "éè");
        check(&[], &[b"a\xe2\x82"], &["a"], "a\u{fffd}");
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced() {
        check(&[], &[b"a\xffb"], &["a\u{fffd}b"], "a\u{fffd}b");
        check(&[], &[b"\xf0\x9f", b"x"], &["", "\u{fffd}x"], "\u{fffd}x");
        check(&[], &[b"\x80", b"\xc0\x80z"], &["\u{fffd}", "\u{fffd}\u{fffd}\u{fffd}z"], "\u{fffd}\u{fffd}\u{fffd}z");
    }

    #[test]
    fn a_stop_ends_the_text_and_its_half_is_held_back() {
        check(&["</s>"], &[b"hi<", b"/", b"s>more"], &["hi", "hi", "hi"], "hi");
        check(&["</s>"], &[b"1<", b"2"], &["1", "1<2"], "1<2");
        check(&["</s>"], &[b"1<"], &["1"], "1<");
        check(&["\u{e9}nd", "stop"], &[b"a\xc3", b"\xa9n", b"d st"], &["a", "a", "a"], "a");
        check(&["aab"], &[b"aa", b"ab"], &["", "a"], "a");
        check(&["", "x"], &[b"a", b"x"], &["a", "a"], "a");
    }

    #[test]
    fn a_text_can_go_back() {
        let mut text = Text::new(&["!".into()]);
        text.push(b"one");
        let mark = text.mark();
        assert!(text.push(b" two!"));
        text.back_to(mark.0);
        assert!(!text.push(b" 3"));
        assert_eq!((mark, text.certain()), ((3, true), "one 3"));
    }
}
