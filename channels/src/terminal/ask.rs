//! The question whether a call may run: shows exactly what would run, and takes anything but a clear yes as no.

use std::time::Duration;

use agent::{Answer, Question, Rule, Scope};
use serde_json::Value;
use tokio::time::timeout;

use super::CHANNEL;
use super::tool_lines::value_text;
use super::tty::Terminal;
use super::visible::visible_exact;

/// Answers that are neither yes nor no before it is a no.
const ATTEMPTS: usize = 3;

/// Lines of a value from which their number is given, since its beginning may be out of sight.
const MANY_LINES: usize = 10;

/// Seconds of a minute.
const MINUTE: u64 = 60;

const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

impl Terminal {
    /// Asks whether a call may run. Enter, the end of input, a terminal that fails and no answer within `patience` are no.
    /// What was typed before the question is forgotten. Dropping the future takes the question back.
    pub(super) async fn ask(&self, question: &Question, patience: Duration) -> Answer {
        let patience_words = words(patience);
        match timeout(patience, self.answer(question, &patience_words)).await {
            Ok(answer) => answer,
            Err(_) => {
                let why = format!("nobody answered within {patience_words}");
                // A terminal that is gone needs no words; a line that is half typed is no message.
                let _ = self.write(&format!("\n{why}\n"));
                self.forget_typed();
                no(Some(why))
            }
        }
    }

    async fn answer(&self, question: &Question, patience: &str) -> Answer {
        self.forget_typed();
        let asked = self.write(&question_text(question, self.colour()));
        let attempts = if asked.is_ok() { ATTEMPTS } else { 0 };
        for _ in 0..attempts {
            if self.write(&prompt(question, patience)).is_err() {
                break;
            }
            match self.read_line().await {
                Ok(Some(line)) => {
                    if let Some(answer) = parse_answer(&line, question) {
                        return answer;
                    }
                }
                Ok(None) | Err(_) => break,
            }
        }
        self.end_line();
        no(None)
    }

    /// Ends the line on which a question was taken back.
    pub(super) fn end_line(&self) {
        // A terminal that is gone needs no line's end.
        let _ = self.write("\n");
    }
}

fn prompt(question: &Question, patience: &str) -> String {
    if let Some(wording) = question.wording() {
        let number = if wording.options.is_empty() { "" } else { ", or a number" };
        return format!("Your answer{number}? (Enter: none; none after {patience}) ");
    }
    let longer = if question.rule.is_some() { "[s]ession / [a]lways / " } else { "" };
    format!("Run this? [y]es / {longer}[n]o / [n]o, because … (no after {patience}) ")
}

/// `10 min`, `45 s`
fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= MINUTE && seconds.is_multiple_of(MINUTE) { format!("{} min", seconds / MINUTE) } else { format!("{seconds} s") }
}

fn no(why: Option<String>) -> Answer {
    Answer { why, ..Answer::no(CHANNEL) }
}

/// The answer in `line`; `None`: it is neither yes nor no. Only a question with a rule takes an answer for longer than once, and only a
/// question of the model's takes any words.
pub(crate) fn parse_answer(line: &str, question: &Question) -> Option<Answer> {
    if let Some(wording) = question.wording() {
        return Some(wording.answer(line, CHANNEL));
    }
    let (line, has_rule) = (line.trim(), question.rule.is_some());
    let end = line.find(|c: char| !c.is_alphabetic()).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    match word.to_lowercase().as_str() {
        "" if rest.is_empty() => Some(no(None)),
        "y" | "yes" if rest.is_empty() => Some(Answer::yes(CHANNEL)),
        "s" | "session" if rest.is_empty() && has_rule => Some(Answer { scope: Scope::Session, ..Answer::yes(CHANNEL) }),
        "a" | "always" if rest.is_empty() && has_rule => Some(Answer { scope: Scope::Always, ..Answer::yes(CHANNEL) }),
        "n" | "no" => {
            let why = rest.trim_start_matches([',', ':', ';', '.', '-', ' ']);
            let why = why.strip_prefix("because ").unwrap_or(why).trim();
            Some(no((!why.is_empty()).then(|| why.to_owned())))
        }
        _ => None,
    }
}

/// What would run, or what the model wants to know, whole: each argument under its name, texts of several lines behind a margin, so that no text can pass for
/// another argument or for the program's own words.
pub fn question_text(question: &Question, colour: bool) -> String {
    let (bold, plain) = if colour { (BOLD, PLAIN) } else { ("", "") };
    let wording = question.wording();
    let (head, reason) = match &wording {
        Some(wording) => (format!("{bold}{}{plain}: ", visible_exact(&question.reason)), visible_exact(&wording.question)),
        None => {
            let tool = visible_exact(&question.tool).replace('\n', "␊");
            (format!("{bold}{tool}{plain} needs your approval: "), visible_exact(&question.reason))
        }
    };
    let mut reason = reason.trim_end_matches('\n').split('\n');
    let mut out = format!("{head}{}\n", reason.next().unwrap_or_default());
    reason.for_each(|line| out += &format!("  │ {line}\n"));
    if let Some(task) = &question.task {
        out += &format!("  for {}\n", visible_exact(task).replace('\n', "␊"));
    }
    if let Some(wording) = wording {
        let options = wording.options.iter().enumerate();
        options.for_each(|(index, option)| push_argument(&mut out, &(index + 1).to_string(), &Value::String(option.clone())));
        return out;
    }
    match &question.arguments {
        Value::Object(map) if map.is_empty() => out += "  (without arguments)\n",
        Value::Object(map) => map.iter().for_each(|(name, value)| push_argument(&mut out, name, value)),
        other => push_argument(&mut out, "arguments", other),
    }
    if let Some(rule) = &question.rule {
        out += &format!("  session and always would allow: {}\n", visible_exact(&rule_text(rule)).replace('\n', "␊"));
    }
    out
}

/// A rule on one line, as it would stand in the configuration.
pub(crate) fn rule_text(rule: &Rule) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(rule) else { return String::new() };
    let fields =
        fields.iter().filter(|(name, value)| *name != "decision" && !value.is_null()).map(|(name, value)| format!("{name} = {value}"));
    fields.collect::<Vec<_>>().join(", ")
}

fn push_argument(out: &mut String, name: &str, value: &Value) {
    let name = visible_exact(name).replace('\n', "␊");
    let text = value_text(value);
    let text = visible_exact(&text);
    let lines: Vec<&str> = text.split('\n').collect();
    match lines.as_slice() {
        [line] => *out += &format!("  {name}: {line}\n"),
        lines => {
            let count = if lines.len() < MANY_LINES { String::new() } else { format!(" ({} lines)", lines.len()) };
            *out += &format!("  {name}:{count}\n");
            lines.iter().for_each(|line| *out += &format!("  │ {line}\n"));
        }
    }
}

#[cfg(test)]
#[path = "ask_tests.rs"]
mod tests;
