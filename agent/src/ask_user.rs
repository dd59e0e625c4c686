//! `ask_user`: the model asks the owner something that only the owner knows or can decide. It waits like a call that needs an approval,
//! so it survives a restart and can be answered from anywhere; the answer is what the model reads as the call's result.

use engine::ToolSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::question::{Answer, Question};
use crate::tool::{ConcernFuture, Effect, Tool, ToolContext, ToolFuture};

/// The tool's name.
pub const ASK_USER: &str = "ask_user";

/// Answers that the model may offer to choose from.
const OPTIONS: usize = 8;

/// Why such a call waits.
const REASON: &str = "the model asks you something";

/// What the model is told when the owner said nothing.
const NO_ANSWER: &str = "no answer was given";

/// What the model wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wording {
    /// In the model's words.
    pub question: String,
    /// Answers to choose from; the owner may give another.
    #[serde(default)]
    pub options: Vec<String>,
}

impl Wording {
    fn of(arguments: &Value) -> Option<Self> {
        let wording: Self = serde_json::from_value(arguments.clone()).ok()?;
        let fits = !wording.question.trim().is_empty() && wording.options.len() <= OPTIONS;
        fits.then_some(wording)
    }

    /// The answer in the owner's words: one of the options by its number, counted from 1, or anything else as it is. None is a no.
    pub fn answer(&self, words: &str, by: impl Into<String>) -> Answer {
        let words = words.trim();
        if words.is_empty() {
            return Answer { why: Some(NO_ANSWER.to_owned()), ..Answer::no(by) };
        }
        let number: Option<usize> = words.parse().ok();
        let option = number.and_then(|number| self.options.get(number.checked_sub(1)?));
        Answer { why: Some(option.map_or(words, String::as_str).to_owned()), ..Answer::yes(by) }
    }
}

impl Question {
    /// What the model wants to know, if it is the model that asks, and not the policy.
    #[must_use]
    pub fn wording(&self) -> Option<Wording> {
        if self.tool == ASK_USER { Wording::of(&self.arguments) } else { None }
    }
}

/// See the file's head.
pub struct AskUser;

impl Tool for AskUser {
    fn schema(&self) -> ToolSchema {
        ToolSchema {
            name: ASK_USER.into(),
            description: "Ask the person what only they know.".into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "question": {"type": "string"},
                    "options": {"type": "array", "items": {"type": "string"}, "maxItems": OPTIONS},
                },
                "required": ["question"],
                "additionalProperties": false,
            }),
        }
    }

    /// To be asked again after a crash changes nothing.
    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn concern<'a>(&'a self, arguments: &'a Value, _context: &'a ToolContext) -> ConcernFuture<'a> {
        Box::pin(async { Wording::of(arguments).map(|_| REASON.to_owned()) })
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async {
            if Wording::of(arguments).is_none() {
                return Err(format!("give a `question`, and at most {OPTIONS} `options`").into());
            }
            context.answer.clone().map_or_else(|| Err(NO_ANSWER.into()), |answer| Ok(answer.into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_option_or_the_owners_words() {
        let wording = Wording::of(&json!({"question": "Which?", "options": ["red", "blue"]})).unwrap();
        for (words, allowed, expected) in [
            ("2", true, "blue"),
            (" green, please\n", true, "green, please"),
            ("no", true, "no"),
            ("0", true, "0"),
            ("3", true, "3"),
            (" ", false, NO_ANSWER),
        ] {
            let answer = wording.answer(words, "test");
            assert_eq!((answer.allowed, answer.why.as_deref()), (allowed, Some(expected)), "{words:?}");
        }
    }

    #[test]
    fn only_a_question_is_one() {
        let question = |tool: &str, arguments: Value| Question { tool: tool.into(), arguments, ..Question::default() };
        assert!(question(ASK_USER, json!({"question": "Why?"})).wording().is_some());
        let many: Vec<String> = (0..9).map(|number| number.to_string()).collect();
        for arguments in
            [json!({}), json!({"question": " "}), json!({"question": "a", "extra": 1}), json!({"question": "a", "options": many})]
        {
            assert_eq!(question(ASK_USER, arguments.clone()).wording(), None, "{arguments}");
        }
        assert_eq!(question("shell", json!({"question": "Why?"})).wording(), None);
    }
}
