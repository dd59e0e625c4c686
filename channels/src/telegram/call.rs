//! A call that is to be approved, as a message: exactly what would run, or as much of it as a message holds and the rest in a file; its
//! buttons; and what was decided about it. Nothing of it is hidden. A question of the model's in the same way.

use agent::{Answer, Question, Scope, Wording};
use serde_json::Value;

use super::text::{escape, units};
use crate::terminal::{question_text, rule_text, value_text, visible_exact};

/// UTF-16 units of the message. A record of what was decided fits under it: see [`RECORD`].
const MESSAGE: usize = 3_400;

/// Units of the line that says what was decided.
const RECORD: usize = 400;

/// Units of a reason, a task or a rule.
const LINE: usize = 500;

/// Units that are left of an argument at least.
const LEAST: usize = 120;

/// Units of an answer to choose, on its button.
const OPTION: usize = 60;

/// A button's data: at most 64 bytes (Bot API, `InlineKeyboardButton`).
const BUTTON: &str = "q:";

/// A question as a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) html: String,
    /// Everything, where the message has not everything.
    pub(super) whole: Option<String>,
}

/// What a button says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Once,
    Session,
    Always,
    No,
    /// One of the answers that the model offers, counted from 0.
    Option(usize),
}

impl Choice {
    /// `None`: the question has no such answer.
    pub(super) fn answer(self, question: &Question, by: String) -> Option<Answer> {
        match (self, question.wording()) {
            (Self::No, Some(wording)) => Some(wording.answer("", by)),
            (Self::Option(index), Some(wording)) => wording.options.get(index).map(|option| wording.answer(option, by)),
            (_, Some(_)) | (Self::Option(_), None) => None,
            (Self::Once, None) => Some(Answer::yes(by)),
            (Self::Session, None) => Some(Answer { scope: Scope::Session, ..Answer::yes(by) }),
            (Self::Always, None) => Some(Answer { scope: Scope::Always, ..Answer::yes(by) }),
            (Self::No, None) => Some(Answer::no(by)),
        }
    }
}

/// Exactly what would run. What the message is too small for is counted in bytes and stands in the file.
pub(super) fn shown(question: &Question) -> Shown {
    let arguments = arguments(question);
    let whole = page(question, &arguments, usize::MAX);
    if units(&whole) <= MESSAGE {
        return Shown { html: whole, whole: None };
    }
    // The longest that fits: each argument is cut at the same length.
    let (mut low, mut high) = (LEAST, MESSAGE);
    while low + 1 < high {
        let middle = usize::midpoint(low, high);
        if units(&page(question, &arguments, middle)) <= MESSAGE { low = middle } else { high = middle }
    }
    let mut html = page(question, &arguments, low);
    if units(&html) > MESSAGE {
        html = page(question, &[], low) + "\nIt has more arguments than a message holds.";
    }
    html += "\nThis is not all of it: the file above is.";
    Shown { html, whole: Some(question_text(question, false)) }
}

/// Names and values as text.
fn arguments(question: &Question) -> Vec<(String, String)> {
    let text = |name: &str, value: &Value| (exact_line(name), visible_exact(&value_text(value)).into_owned());
    match &question.arguments {
        Value::Object(map) => map.iter().map(|(name, value)| text(name, value)).collect(),
        other => vec![text("arguments", other)],
    }
}

fn exact_line(text: &str) -> String {
    visible_exact(text).replace('\n', "␊")
}

/// The message with each text cut at `most` units, and other lines at [`LINE`].
fn page(question: &Question, arguments: &[(String, String)], most: usize) -> String {
    let line = if most == usize::MAX { most } else { most.min(LINE) };
    if let Some(wording) = question.wording() {
        return asked(question, &wording, most, line);
    }
    let tool = escape(&cut(&exact_line(&question.tool), line));
    let reason = escape(&cut(&visible_exact(&question.reason), line));
    let mut out = format!("<b>{tool}</b> needs your approval: {reason}\n");
    if let Some(task) = &question.task {
        out += &format!("for {}\n", escape(&cut(&exact_line(task), line)));
    }
    for (name, value) in arguments {
        out += &format!("{}:\n<pre>{}</pre>\n", escape(&cut(name, line)), escape(&cut(value, most)));
    }
    if matches!(&question.arguments, Value::Object(map) if map.is_empty()) {
        out += "(without arguments)\n";
    }
    if let Some(rule) = &question.rule {
        out += &format!("Session and Always would allow: <code>{}</code>\n", escape(&cut(&exact_line(&rule_text(rule)), line)));
    }
    out.trim_end().to_owned()
}

/// What the model wants to know, with each text cut at `most` units, and its task at `line`.
fn asked(question: &Question, wording: &Wording, most: usize, line: usize) -> String {
    let reason = escape(&cut(&visible_exact(&question.reason), line));
    let mut out = format!("❓ {reason}:\n<b>{}</b>\n", escape(&cut(&visible_exact(&wording.question), most)));
    if let Some(task) = &question.task {
        out += &format!("for {}\n", escape(&cut(&exact_line(task), line)));
    }
    for (index, option) in wording.options.iter().enumerate() {
        out += &format!("{}. {}\n", index + 1, escape(&cut(&visible_exact(option), most)));
    }
    out + "<i>Press a button, or reply with your answer.</i>"
}

/// `text`, or its beginning and how many bytes there are besides.
fn cut(text: &str, most: usize) -> String {
    let mut count = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        count += c.len_utf16();
        (count > most).then_some(at)
    });
    match end {
        Some(end) => format!("{}… ({} bytes more)", &text[..end], text.len() - end),
        None => text.to_owned(),
    }
}

/// Which question, and which time that it is asked: a press that is told of again after a crash answers no later one.
pub(super) fn time_of(question: &Question) -> String {
    format!("{}.{}", question.id(), question.times)
}

/// The buttons under it: yes in its kinds, and in the last row no.
pub(super) fn buttons(question: &Question) -> Vec<Vec<(String, String)>> {
    let button = |text: &str, choice: char| (text.to_owned(), format!("{BUTTON}{}:{choice}", time_of(question)));
    if let Some(wording) = question.wording() {
        let options = wording.options.iter().zip('0'..='9');
        let mut rows: Vec<_> = options.map(|(option, choice)| vec![button(&cut(&exact_line(option), OPTION), choice)]).collect();
        rows.push(vec![button("No answer", 'n')]);
        return rows;
    }
    let mut yes = vec![button("Once", 'o')];
    if question.rule.is_some() {
        yes.extend([button("Session", 's'), button("Always", 'a')]);
    }
    vec![yes, vec![button("No", 'n')]]
}

/// The question and the choice of a button's data.
pub(super) fn read_button(data: &str) -> Option<(&str, Choice)> {
    let (id, choice) = data.strip_prefix(BUTTON)?.rsplit_once(':')?;
    let choice = match choice {
        "o" => Choice::Once,
        "s" => Choice::Session,
        "a" => Choice::Always,
        "n" => Choice::No,
        number => Choice::Option(number.parse().ok()?),
    };
    Some((id, choice))
}

/// One line: what was decided, and by whom.
pub(super) fn answer_line(answer: &Answer) -> String {
    let what = match (answer.allowed, answer.scope) {
        (true, Scope::Once) => {
            let said =
                |words: &String| if words.is_empty() { "❌ No answer".to_owned() } else { format!("💬 {}", visible_exact(words)) };
            answer.why.as_ref().map_or_else(|| "✅ Allowed this once".to_owned(), said)
        }
        (true, Scope::Session) => "✅ Allowed in this session".to_owned(),
        (true, Scope::Always) => "✅ Allowed always".to_owned(),
        (false, _) => answer.why.as_ref().map_or_else(|| "❌ Refused".to_owned(), |why| format!("❌ Refused: {}", visible_exact(why))),
    };
    format!("{} · {}", cut(&what, RECORD / 2), cut(&exact_line(&answer.by), RECORD / 4))
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
