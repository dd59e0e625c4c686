//! What a turn shows of itself while it runs: its text so far, how far the prompt is read, one quiet line about a tool.
//!
//! It sends nothing and knows no clock.

use std::time::{Duration, Instant};

use agent::{Event, Secrets, Stage};

use super::text::{LIMIT, escape, preview, units};
use crate::terminal::call_line;

/// A prompt that is read for longer than this is told of.
const LONG_PREFILL: Duration = Duration::from_secs(2);

/// See the top of this file.
#[derive(Debug)]
pub(super) struct View {
    /// Of the reply that is being written.
    text: String,
    /// The next text begins another reply: what stood before the calls is folded away with them.
    is_over: bool,
    tool: Option<String>,
    stage: Option<(Stage, f32)>,
    /// When the stage began.
    since: Instant,
}

impl View {
    pub(super) fn new(now: Instant) -> Self {
        Self { text: String::new(), is_over: false, tool: None, stage: None, since: now }
    }

    pub(super) fn take(&mut self, event: Event, now: Instant) {
        match event {
            Event::Text { delta } => {
                if std::mem::take(&mut self.is_over) {
                    self.text.clear();
                }
                self.text += &delta;
                (self.tool, self.stage) = (None, None);
            }
            Event::ToolCall { name, arguments, .. } => self.tool_line(&call_line(&name, &arguments)),
            Event::Approval { tool, .. } => self.tool_line(&format!("{tool} waits for your approval")),
            Event::Progress { stage, done } => {
                if self.stage.is_none_or(|(other, _)| other != stage) {
                    self.since = now;
                }
                self.stage = Some((stage, done));
            }
            Event::Reasoning { .. } => self.stage = None,
            Event::Init { .. } | Event::ToolResult { .. } | Event::Result(_) | Event::Error { .. } => {}
        }
    }

    fn tool_line(&mut self, line: &str) {
        (self.tool, self.is_over, self.stage) = (Some(format!("⚙ {line}")), true, None);
    }

    /// Whether there is text of a reply.
    pub(super) fn has_text(&self) -> bool {
        !self.text.trim().is_empty()
    }

    /// The text so far.
    pub(super) fn text(&self, secrets: &Secrets) -> String {
        secrets.redact(self.text.trim())
    }

    /// What is shown: Telegram's HTML, empty while there is nothing.
    pub(super) fn html(&self, secrets: &Secrets, now: Instant) -> String {
        let text = preview(&self.text(secrets)).html;
        let line = self.line(secrets, now).map(|line| format!("<i>{}</i>", escape(&line)));
        match line {
            None => text,
            Some(line) if text.is_empty() => line,
            Some(line) if units(&text) + units(&line) + 2 <= LIMIT => format!("{text}\n\n{line}"),
            Some(_) => text,
        }
    }

    /// The quiet line.
    fn line(&self, secrets: &Secrets, now: Instant) -> Option<String> {
        match (&self.stage, &self.tool) {
            (Some((Stage::Load, done)), _) => Some(format!("the model is loading, {}", percent(*done))),
            (Some((Stage::Prefill, done)), None) if now.duration_since(self.since) >= LONG_PREFILL => {
                Some(format!("reading… {}", percent(*done)))
            }
            (_, tool) => tool.as_ref().map(|line| secrets.redact(line)),
        }
    }
}

/// `40 %`
pub(super) fn percent(done: f32) -> String {
    format!("{:.0} %", done.clamp(0.0, 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(delta: &str) -> Event {
        Event::Text { delta: delta.into() }
    }

    fn call(command: &str) -> Event {
        Event::ToolCall { id: "1".into(), name: "shell".into(), arguments: json!({ "command": command }) }
    }

    fn prefill(done: f32) -> Event {
        Event::Progress { stage: Stage::Prefill, done }
    }

    /// What is shown some seconds after the last of the events, which come together.
    fn check(events: Vec<Event>, seconds: u64, expected: &str) {
        let start = Instant::now();
        let mut view = View::new(start);
        events.into_iter().for_each(|event| view.take(event, start));
        assert_eq!(view.html(&Secrets::default(), start + Duration::from_secs(seconds)), expected);
    }

    #[test]
    fn what_a_turn_shows() {
        check(vec![], 9, "");
        check(vec![text("Hel"), text("lo **you")], 0, "Hello **you");
        check(vec![text("**bold** & more")], 0, "<b>bold</b> &amp; more");
        check(vec![prefill(0.4)], 1, "");
        check(vec![prefill(0.1), prefill(0.4)], 2, "<i>reading… 40 %</i>");
        check(vec![prefill(0.4), text("a")], 9, "a");
        check(vec![Event::Progress { stage: Stage::Load, done: 0.999 }], 0, "<i>the model is loading, 100 %</i>");
        check(vec![text("Let me see."), call("ls -la < x")], 0, "Let me see.\n\n<i>⚙ shell: ls -la &lt; x</i>");
        check(vec![call("ls"), prefill(0.4)], 5, "<i>⚙ shell: ls</i>");
        check(vec![text("Let me see."), call("ls"), text("Two files.")], 0, "Two files.");
        let result = Event::ToolResult { id: "1".into(), ok: true, content: "x".into() };
        check(vec![call("ls"), result], 0, "<i>⚙ shell: ls</i>");
    }

    #[test]
    fn a_long_text_shows_its_end() {
        let start = Instant::now();
        let mut view = View::new(start);
        view.take(text(&"word ".repeat(3_000)), start);
        view.take(text("the end"), start);
        view.take(call("ls"), start);
        let html = view.html(&Secrets::default(), start);
        assert!(units(&html) <= LIMIT && html.contains("the end"), "{html}");
    }
}
