//! `remember`: keeps a fact for later conversations.

use agent::engine::ToolSchema;
use agent::memory::{Note, Store};
use agent::{Effect, Tool, ToolContext, ToolFuture};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{fail, parse, schema};

/// See the file's head.
pub(crate) struct Remember {
    store: Store,
}

impl Remember {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    text: String,
}

impl Tool for Remember {
    fn schema(&self) -> ToolSchema {
        schema(
            "remember",
            "Keep a fact about the user or their world for later conversations: one plain sentence.",
            1,
            json!({"text": {"type": "string"}}),
        )
    }

    /// Reading, since the call's key makes a second run of the same call add nothing.
    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let Arguments { text } = parse(arguments)?;
            let text = text.trim();
            if text.is_empty() {
                return Err(fail("the text is empty"));
            }
            let note = Note {
                text: text.to_owned(),
                key: Some(context.key.clone()),
                source_turn: Some(context.turn),
                origin: context.foreign.clone(),
                ..Note::default()
            };
            self.store.add_note(note).await.map_err(|error| fail(error.to_string()))?;
            Ok("remembered".into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn the_same_call_adds_one_note() {
        let mut bench = Bench::new();
        let tool = Remember::new(bench.store.clone());
        let mut check = |key: &str, text: &str, expected: Result<&str, &str>, notes: &[&str]| {
            bench.context.key = key.to_owned();
            let result = bench.run(&tool, json!({"text": text}));
            assert_eq!(result.as_ref().map(String::as_str).map_err(|e| e.text.as_str()), expected);
            let kept = crate::testing::wait(bench.store.list(10, 0)).unwrap();
            assert_eq!(kept.iter().rev().map(|note| note.text.as_str()).collect::<Vec<_>>(), notes);
        };
        check("7-call_1", " my bike is green\n", Ok("remembered"), &["my bike is green"]);
        check("7-call_1", "my bike is green", Ok("remembered"), &["my bike is green"]);
        check("7-call_2", "I live in Kraków", Ok("remembered"), &["my bike is green", "I live in Kraków"]);
        check("7-call_3", " ", Err("the text is empty"), &["my bike is green", "I live in Kraków"]);
    }
}
