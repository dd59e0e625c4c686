//! The loop's own time for a step: what passes between a tool's end and the next tool's start, with a model that replies at once and a history
//! of 10,000 messages. In it: the result written to the journal, the prompt put together, the reply read, the policy asked, all
//! of that written, the events sent. Also the bare write of one step, since the disk decides much of it. Prints one JSON object.
//!
//!     cargo bench -p agent --bench turns [-- TURNS [FOLDER]]
//!
//! FOLDER: where the database is made, by default the system's folder for temporary files.
#![allow(clippy::print_stdout, reason = "the result is the output")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench stops at what should not happen")]

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use agent::{Agent, Answer, Effect, Limits, Outcome, Output, Settings, Tool, ToolContext, ToolFuture, Toolbox};
use engine::{Engine, LoadOptions, ModelSource, ToolSchema};
use memory::{Inbound, Store, TurnState};
use serde_json::{Value, json};

/// Messages of the history: two a turn.
const MESSAGES: usize = 10_000;
/// Steps of a measured turn.
const STEPS: usize = 10;

/// Tells when it begins and when it ends.
struct Probe(SyncSender<(Instant, Instant)>);

impl Tool for Probe {
    fn schema(&self) -> ToolSchema {
        let parameters = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        ToolSchema { name: "probe".into(), description: "A probe.".into(), parameters }
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn run<'a>(&'a self, arguments: &'a Value, _: &'a ToolContext) -> ToolFuture<'a> {
        let begun = Instant::now();
        let next = arguments["n"].as_u64().unwrap() + 1;
        self.0.send((begun, Instant::now())).unwrap();
        Box::pin(async move { Ok(Output::from(format!("gave {next}"))) })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let turns = arguments.first().map_or(100, |text| text.parse().expect("TURNS is a number"));
    let folder = arguments.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).unwrap();
    let (sender, times) = sync_channel(2 * STEPS);
    let agent = agent(folder.path(), sender).await;
    history(agent.store()).await;
    let mut steps = Vec::new();
    let mut begins = Vec::new();
    for _ in 0..turns {
        let turn = accept(agent.store(), "begin".into()).await;
        let started = Instant::now();
        let (events, _) = tokio::sync::mpsc::channel(1);
        let outcome = agent.drive(turn, &events, async |_| Some(Answer::no("bench"))).await.unwrap();
        assert!(matches!(outcome, Outcome::Finished(result) if result.ok));
        let runs: Vec<(Instant, Instant)> = times.try_iter().collect();
        assert_eq!(runs.len(), STEPS);
        begins.push(runs[0].0 - started);
        steps.extend(runs.windows(2).map(|pair| pair[1].0 - pair[0].1));
    }
    let turn = accept(agent.store(), "open".into()).await;
    let mut writes = Vec::new();
    for _ in 0..turns {
        let started = Instant::now();
        agent.store().append(turn, "note", json!({"kind": "note", "text": "x".repeat(300)})).await.unwrap();
        writes.push(started.elapsed());
    }
    let report = json!({
        "messages": MESSAGES, "turns": turns, "steps": steps.len(), "step_ms": figures(&mut steps),
        "turn_until_its_first_tool_ms": figures(&mut begins), "one_journal_write_ms": figures(&mut writes),
    });
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
}

async fn agent(folder: &std::path::Path, sender: SyncSender<(Instant, Instant)>) -> Agent {
    let mut script = tempfile::NamedTempFile::new().unwrap();
    let last = format!("^gave {STEPS}$");
    for line in [
        json!({"when": "^begin", "role": "user", "tool_calls": [{"name": "probe", "arguments": {"n": 0}}]}),
        json!({"when": last, "role": "tool", "text": "done"}),
    ] {
        writeln!(script, "{line}").unwrap();
    }
    for n in 1..STEPS {
        let call = json!([{"name": "probe", "arguments": {"n": n}}]);
        writeln!(script, "{}", json!({"when": format!("^gave {n}$"), "role": "tool", "tool_calls": call})).unwrap();
    }
    let options = LoadOptions { context: Some(1_000_000), ..LoadOptions::new(ModelSource::Script(script.path().into())) };
    let engine = Engine::load(options, |_| ControlFlow::Continue(())).await.unwrap();
    let limits = Limits { steps: STEPS + 1, ..Limits::default() };
    let toolbox = Toolbox::new(vec![Box::new(Probe(sender))]);
    Agent::new(engine, Store::open(folder).unwrap(), toolbox, Settings { limits, ..Settings::default() })
}

async fn accept(store: &Store, text: String) -> i64 {
    let inbound = Inbound { channel: "bench".into(), session: "s".into(), text, ..Inbound::default() };
    store.accept(inbound).await.unwrap().turn
}

/// Finished turns of a message and a reply each.
async fn history(store: &Store) {
    for n in 0..MESSAGES / 2 {
        let words = format!("message {n} with a few words in it, as people write them on the way to work");
        let turn = accept(store, words.clone()).await;
        let from = turn;
        store.append(turn, "began", json!({"kind": "began", "content": words, "notes": [], "from": from})).await.unwrap();
        store.finish(turn, TurnState::Done, "a reply", None).await.unwrap();
    }
}

fn figures(times: &mut [Duration]) -> Value {
    times.sort();
    let at = |share: usize| {
        let milliseconds = times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
        (milliseconds * 100.0).round() / 100.0
    };
    json!({"median": at(50), "p90": at(90), "p99": at(99)})
}
