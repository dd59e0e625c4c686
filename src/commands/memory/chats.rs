//! A chat history in JSON lines: messages become exchanges, the question with its answer, in pieces of a size that is worth finding.
//!
//! A line is a message (`role`, `content`, a time) or a whole conversation (`messages`, `conversation` or `turns`, a list of them).

use memory::{KeptNote, NoteKind, pieces};
use serde_json::Value;

use super::import::id_of;

/// Characters of an exchange from which on it is ended, even without an answer.
const EXCHANGE: usize = 1 << 20;

/// What a list of messages is called, and the time of one.
const LISTS: [&str; 3] = ["messages", "conversation", "turns"];
const TIMES: [&str; 6] = ["timestamp", "at", "created_at", "create_time", "time", "date"];

/// Seconds since 1970 from which on a number must be milliseconds: the year 5138.
const MILLISECONDS: f64 = 1e11;

/// A chat that is being read.
pub struct Chat {
    origin: Option<String>,
    said: String,
    at: Option<String>,
    answered: bool,
}

/// Whether a line is of a chat and no note.
pub fn is_of_chat(value: &Value) -> bool {
    value.get("text").is_none_or(|_| value.get("role").is_some())
        && (value.get("role").is_some() || LISTS.iter().any(|list| value.get(list).is_some_and(Value::is_array)))
}

impl Chat {
    pub fn new(origin: Option<String>) -> Self {
        Self { origin, said: String::new(), at: None, answered: false }
    }

    /// What a line completes.
    pub fn line(&mut self, value: &Value) -> Result<Vec<KeptNote>, String> {
        let Some(list) = LISTS.iter().find_map(|list| value.get(list)?.as_array()) else { return self.message(value, None) };
        let mut notes = self.end();
        let at = time(value);
        for (index, message) in list.iter().enumerate() {
            let of = |reason: String| format!("message {}: {reason}", index + 1);
            notes.extend(self.message(message, at.as_deref()).map_err(of)?);
        }
        notes.extend(self.end());
        Ok(notes)
    }

    fn message(&mut self, value: &Value, at: Option<&str>) -> Result<Vec<KeptNote>, String> {
        let role = value.get("role").and_then(Value::as_str).ok_or("a message has no role")?;
        let content = value.get("content").or_else(|| value.get("text")).ok_or("a message has no content")?;
        let text = text(content).ok_or("a message's content is no text")?;
        let who = match role {
            "user" | "human" => "user",
            "assistant" | "model" | "ai" => "assistant",
            // What programs say to each other is not what was said.
            _ => return Ok(Vec::new()),
        };
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let mut notes = Vec::new();
        if who == "user" && self.answered || self.said.chars().count() > EXCHANGE {
            notes = self.end();
        }
        if self.said.is_empty() {
            self.at = time(value).or_else(|| at.map(str::to_owned));
        } else {
            self.said.push('\n');
        }
        self.answered |= who == "assistant";
        self.said += &format!("{who}: {}", text.trim());
        Ok(notes)
    }

    /// The exchange that is not complete.
    pub fn end(&mut self) -> Vec<KeptNote> {
        let (said, at) = (std::mem::take(&mut self.said), self.at.take());
        self.answered = false;
        let note = |text: &str| KeptNote {
            id: Some(id_of(at.as_deref(), text)),
            kind: NoteKind::Turn,
            at: at.clone(),
            origin: self.origin.clone(),
            text: text.to_owned(),
            ..KeptNote::default()
        };
        pieces(&said).into_iter().map(note).collect()
    }
}

/// A message's text: a string, or a list of parts some of which are text.
fn text(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Null => Some(String::new()),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part.as_str().or_else(|| part.get("text")?.as_str()));
            Some(texts.collect::<Vec<_>>().join("\n"))
        }
        Value::Object(object) => object.get("parts").or_else(|| object.get("text")).and_then(text),
        _ => None,
    }
}

/// A message's time: words stay as they are, numbers are seconds or milliseconds since 1970.
fn time(value: &Value) -> Option<String> {
    let time = TIMES.iter().find_map(|name| value.get(name).filter(|time| !time.is_null()))?;
    if let Some(text) = time.as_str() {
        return Some(text.to_owned());
    }
    let number = time.as_f64()?;
    let seconds = if number.abs() >= MILLISECONDS { number / 1_000.0 } else { number };
    #[expect(clippy::cast_possible_truncation, reason = "a time beyond is none, which jiff says")]
    let at = jiff::Timestamp::from_millisecond((seconds * 1_000.0) as i64).ok()?;
    Some(format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(lines: &[Value], expected: &[(&str, Option<&str>)]) {
        let mut chat = Chat::new(Some("imported from x".into()));
        let mut notes: Vec<KeptNote> = lines.iter().flat_map(|line| chat.line(line).unwrap()).collect();
        notes.extend(chat.end());
        let found: Vec<(&str, Option<&str>)> = notes.iter().map(|note| (note.text.as_str(), note.at.as_deref())).collect();
        assert_eq!(found, expected);
        assert!(notes.iter().all(|note| note.origin.is_some() && note.kind == NoteKind::Turn));
    }

    #[test]
    fn exchanges() {
        let user = |text: &str| json!({"role": "user", "content": text, "timestamp": "2026-03-14"});
        let model = |text: &str| json!({"role": "assistant", "content": [{"type": "text", "text": text}], "timestamp": 1_700_000_000});
        let both = ("user: a\nassistant: b", Some("2026-03-14"));
        check(&[user("a"), model("b"), user("c")], &[both, ("user: c", Some("2026-03-14"))]);
        check(&[user("a"), json!({"role": "tool", "content": "x"}), model("b")], &[both]);
        check(&[model("b")], &[("assistant: b", Some("2023-11-14T22:13:20.000Z"))]);
        let nested = json!({"at": "2020", "messages": [{"role": "human", "content": "a"}, {"role": "ai", "content": "b"}]});
        check(&[nested.clone(), nested], &[("user: a\nassistant: b", Some("2020")), ("user: a\nassistant: b", Some("2020"))]);
        let milliseconds = json!({"role": "user", "content": "a", "time": 1_700_000_000_000_i64});
        check(&[milliseconds], &[("user: a", Some("2023-11-14T22:13:20.000Z"))]);
        check(&[json!({"role": "user", "content": null})], &[]);
    }

    #[test]
    fn what_is_no_message() {
        let check = |line: Value, expected: &str| assert_eq!(Chat::new(None).line(&line), Err(expected.to_owned()), "{line}");
        check(json!({"role": "user"}), "a message has no content");
        check(json!({"role": 1, "content": "x"}), "a message has no role");
        check(json!({"messages": [{"role": "user", "content": "x"}, 7]}), "message 2: a message has no role");
        check(json!({"role": "user", "content": 7}), "a message's content is no text");
    }
}
