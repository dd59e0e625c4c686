//! `ask_user`: the model asks the owner something that only the owner knows or can decide. It waits like a call that needs an approval,
//! so it survives a restart and can be answered from anywhere; the answer is what the model reads as the call's result.

use engine::ToolSchema;
use memory::JOB_CHANNEL;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::question::{Answer, Question};
use crate::tool::{ConcernFuture, Effect, Tool, ToolContext, ToolFuture};

/// The tool's name.
pub const ASK_USER: &str = "ask_user";

/// Answers that the model may offer to choose from.
const OPTIONS: usize = 8;

/// Why such a call waits.
const REASON: &str = "the model asks";

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
        let says = |text: &String| !text.trim().is_empty();
        let options = &wording.options;
        let differ = options.iter().enumerate().all(|(index, option)| says(option) && !options[..index].contains(option));
        (says(&wording.question) && differ && options.len() <= OPTIONS).then_some(wording)
    }

    /// The answer in the owner's words: one of the options as it is or by its number, counted from 1, or anything else; no words: none.
    pub fn answer(&self, words: &str, by: impl Into<String>) -> Answer {
        let words = words.trim();
        let number = || words.parse::<usize>().ok().and_then(|number| self.options.get(number.checked_sub(1)?));
        let option = self.options.iter().find(|option| option.trim() == words).or_else(number);
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
            description: "Ask the person something.".into(),
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

    /// A job's turns run while nobody is there: what they want to know stands in what they say.
    fn concern<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ConcernFuture<'a> {
        Box::pin(async {
            let after = context.foreign.as_ref().map(|from| format!(", after reading text from {from}"));
            let asks = Wording::of(arguments).filter(|_| context.channel != JOB_CHANNEL);
            asks.map(|_| format!("{REASON}{}", after.unwrap_or_default()))
        })
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async {
            if Wording::of(arguments).is_none() {
                return Err(format!("give a `question`, and at most {OPTIONS} `options` that differ").into());
            }
            if context.channel == JOB_CHANNEL {
                return Err("nobody is here to ask; put the question into your reply".into());
            }
            let answer = context.answer.clone().filter(|answer| !answer.is_empty());
            answer.map_or_else(|| Err(NO_ANSWER.into()), |answer| Ok(answer.into()))
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
            (" ", true, ""),
        ] {
            let answer = wording.answer(words, "test");
            assert_eq!((answer.allowed, answer.why.as_deref()), (allowed, Some(expected)), "{words:?}");
        }
    }

    #[test]
    fn an_option_that_is_a_number_is_meant_by_it() {
        let wording = Wording::of(&json!({"question": "How many?", "options": ["5", "10", "2"]})).unwrap();
        assert_eq!(["2", "1", "10"].map(|words| wording.answer(words, "test").why.unwrap()), ["2", "5", "10"]);
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
        for options in [json!([" "]), json!(["b", "b"])] {
            assert_eq!(question(ASK_USER, json!({"question": "a", "options": options})).wording(), None, "{options}");
        }
        assert_eq!(question("shell", json!({"question": "Why?"})).wording(), None);
    }
}
