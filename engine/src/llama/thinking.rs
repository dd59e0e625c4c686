//! The reasoning part of a reply: where it begins and ends, how many tokens it has, and when it has had enough.

use llama_sys::Rendered;

/// Follows a reply's reasoning by the template's markers.
#[derive(Debug, Clone)]
pub(super) struct Thinking {
    /// Opens it; empty: the template has none.
    start: String,
    /// Close it; the first is what is written where the model does not.
    ends: Vec<String>,
    /// The prompt has opened it.
    begins_open: bool,
    /// Most tokens of it.
    limit: Option<u32>,
    open: bool,
    /// Tokens while it was open.
    spent: u32,
    /// Bytes of the reply that hold nothing to find any more.
    searched: usize,
}

impl Thinking {
    /// The reasoning of a reply to `rendered`, of any length.
    pub(super) fn new(rendered: &Rendered) -> Self {
        let ends: Vec<String> = rendered.thinking_end.iter().map(|end| end.trim().to_owned()).filter(|end| !end.is_empty()).collect();
        let start = if ends.is_empty() { String::new() } else { rendered.thinking_start.trim().to_owned() };
        let prompt = &rendered.generation_prompt;
        let opened = prompt.rfind(&start).filter(|_| !start.is_empty()).map(|at| at + start.len());
        let begins_open = opened.is_some_and(|at| !ends.iter().any(|end| prompt[at..].contains(end.as_str())));
        Self { start, ends, begins_open, limit: None, open: begins_open, spent: 0, searched: 0 }
    }

    /// Sets the most tokens it may have.
    pub(super) fn limit(&mut self, limit: Option<u32>) {
        self.limit = limit;
    }

    /// Takes in that a token has made the reply's text `text`.
    pub(super) fn advance(&mut self, text: &str) {
        if self.start.is_empty() {
            return;
        }
        self.spent += u32::from(self.open);
        while let Some(end) = self.next_marker(text) {
            self.open = !self.open;
            self.searched = end;
        }
    }

    /// Where the next marker ends, if it is there: one that closes reasoning that is open, else one that opens it.
    fn next_marker(&self, text: &str) -> Option<usize> {
        let rest = text.get(self.searched..)?;
        let find = |marker: &str| rest.find(marker).map(|at| self.searched + at + marker.len());
        if self.open { self.ends.iter().filter_map(|end| find(end)).min() } else { find(&self.start) }
    }

    /// The marker to write now, if the reasoning has had its tokens.
    pub(super) fn must_close(&self) -> Option<&str> {
        let spent = self.limit.is_some_and(|limit| self.spent >= limit);
        self.ends.first().filter(|_| self.open && spent).map(String::as_str)
    }

    /// The marker has been written, whether the text shows it or not.
    pub(super) fn close(&mut self) {
        self.open = false;
    }

    /// Back to before the first token, to take in again the tokens that stay.
    pub(super) fn restart(&mut self) {
        (self.open, self.spent, self.searched) = (self.begins_open, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thinking(generation_prompt: &str, limit: u32) -> Thinking {
        let rendered = serde_json::json!({
            "prompt": "", "generation_prompt": generation_prompt, "grammar": "", "grammar_lazy": false, "triggers": [],
            "preserved_tokens": [], "stops": [], "supports_thinking": true, "thinking_start": "<think>", "thinking_end": ["</think>", "<|end|>"],
            "format": "", "format_id": 0, "parser": "",
        });
        let mut thinking = Thinking::new(&serde_json::from_value(rendered).unwrap());
        thinking.limit(Some(limit));
        thinking
    }

    /// After how many of `pieces` the reasoning must be closed.
    #[track_caller]
    fn check(generation_prompt: &str, limit: u32, pieces: &[&str], expected: Option<usize>) {
        let mut thinking = thinking(generation_prompt, limit);
        for _ in 0..2 {
            let mut text = String::new();
            let mut closed = thinking.must_close().map(|_| 0);
            for (index, piece) in pieces.iter().enumerate() {
                text.push_str(piece);
                thinking.advance(&text);
                closed = closed.or(thinking.must_close().map(|_| index + 1));
            }
            assert_eq!(closed, expected, "{pieces:?}");
            thinking.restart();
        }
    }

    #[test]
    fn reasoning_is_counted_in_tokens() {
        check("", 2, &["<think>", "a", "b", "c"], Some(3));
        check("", 0, &["<think>", "a"], Some(1));
        check("", 2, &["<th", "ink>", "a", "b"], Some(4));
        check("", 2, &["<think>", "a", "</thi", "nk>", "b", "c"], Some(3));
        check("", 3, &["<think>", "a", "</thi", "nk>", "b", "c"], None);
        check("", 1, &["text ", "without"], None);
        check("", 2, &["<think>", "a", "<|end|>", "<think>", "b"], Some(4));
        check("<a>\n<think>\n", 2, &["a", "b"], Some(2));
        check("<think>\n", 0, &[], Some(0));
        check("<think>\n\n</think>\n\n", 0, &["a", "b"], None);
    }

    #[test]
    fn without_a_limit_or_markers_nothing_is_closed() {
        let mut endless = thinking("<think>", 0);
        endless.limit(None);
        endless.advance("a");
        assert_eq!(endless.must_close(), None);
        let mut none = Thinking { start: String::new(), ..thinking("", 0) };
        none.advance("<think>");
        assert_eq!(none.must_close(), None);
    }
}
