//! `recall`: looks for facts that were remembered.

use agent::engine::{Engine, ToolSchema};
use agent::memory::{Found, JOB_CHANNEL, NoteKind, Search, Store};
use agent::{Effect, Output, Tool, ToolContext, ToolFuture, look_up};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{fail, parse, schema};

/// Facts that are shown; those that fit less well are left out, silently: the model asks again with other words.
const MAX_FACTS: usize = 5;

/// Notes that are looked at for them.
const CANDIDATES: usize = 20;

/// Standard deviations of meaning from which a fact without a word of the query is shown: by meaning something is always the nearest.
const NEAR: f64 = 2.0;

/// One fact, one line: a line break in a fact must not make it look like two.
fn line(fact: &Found) -> String {
    let text = fact.text.split_whitespace().collect::<Vec<_>>().join(" ");
    match fact.kind {
        NoteKind::Turn => format!("- (said on {}) {text}", fact.at.get(..10).unwrap_or(&fact.at)),
        NoteKind::Note | NoteKind::Fact => format!("- {text}"),
    }
}

/// See the file's head.
pub(crate) struct Recall {
    engine: Option<Engine>,
    store: Store,
    turns: bool,
}

impl Recall {
    /// `turns`: pieces of old turns are found, too.
    pub(crate) fn new(engine: Option<Engine>, store: Store, turns: bool) -> Self {
        Self { engine, store, turns }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    query: String,
}

impl Tool for Recall {
    fn schema(&self) -> ToolSchema {
        schema(
            "recall",
            "Look for remembered facts. Use it before answering about the user or their world.",
            1,
            json!({"query": {"type": "string", "description": "a few words"}}),
        )
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let Arguments { query } = parse(arguments)?;
            let search = Search::words(query, CANDIDATES);
            let found = look_up(self.engine.as_ref(), &self.store, search).await.map_err(|error| fail(error.to_string()))?;
            // A job begins anew each time: what was said in its last runs is for people.
            let is_wanted = |fact: &Found| fact.kind != NoteKind::Turn || self.turns && context.channel != JOB_CHANNEL;
            let near = |fact: &Found| fact.share > 0.0 || fact.above.is_some_and(|deviations| deviations >= NEAR);
            let found: Vec<Found> = found.into_iter().filter(near).filter(is_wanted).take(MAX_FACTS).collect();
            if found.is_empty() {
                return Ok("nothing found".into());
            }
            let lines: Vec<_> = found.iter().map(line).collect();
            let origin = agent::listed(found.iter().filter_map(|fact| fact.origin.as_deref()));
            Ok(Output { text: lines.join("\n"), origin })
        })
    }
}

#[cfg(test)]
mod tests {
    use agent::memory::Note;

    use super::*;
    use crate::testing::{Bench, wait};

    #[test]
    fn facts_come_best_first() {
        let bench = Bench::new();
        for text in ["my bike is green", "the bike shop\n- closes at six", "I live in Kraków"] {
            wait(bench.store.add_note(Note { text: text.into(), ..Note::default() })).unwrap();
        }
        let tool = Recall::new(None, bench.store.clone(), true);
        let cases = [
            ("my bike", "- my bike is green\n- the bike shop - closes at six"),
            ("krakow", "- I live in Kraków"),
            ("car", "nothing found"),
            ("", "nothing found"),
            ("\"*( AND NOT", "nothing found"),
        ];
        for (query, expected) in cases {
            assert_eq!(bench.run(&tool, json!({"query": query})), Ok(expected.to_owned()), "{query}");
        }
    }

    #[test]
    fn few_are_shown() {
        let bench = Bench::new();
        for n in 0..9 {
            wait(bench.store.add_note(Note { text: format!("bike {n}"), ..Note::default() })).unwrap();
        }
        let text = bench.run(&Recall::new(None, bench.store.clone(), true), json!({"query": "bike"})).unwrap();
        assert_eq!(text.lines().count(), MAX_FACTS);
    }
}
