//! Whole turns: the real loop, journal and mailbox, with `Scripted` in the model's place and tools that write down that they ran.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::io::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent::{
    Agent, AgentError, Answer, Effect, Event, Limits, Outcome, Output, Settings, Step, Tool, ToolContext, ToolError, ToolFuture, Toolbox,
    TurnResult, messages, parse_steps,
};
use engine::{Engine, EngineError, LoadOptions, ModelSource, ToolSchema};
use memory::{Inbound, Note, Store, TurnState};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A tool that counts its runs, waits a while if told to, and gives the text it was given.
struct Probe {
    name: &'static str,
    effect: Effect,
    runs: Arc<AtomicUsize>,
}

impl Tool for Probe {
    fn schema(&self) -> ToolSchema {
        let parameters = json!({"type": "object", "properties": {"text": {"type": "string"}, "wait_ms": {"type": "integer"}}});
        ToolSchema { name: self.name.into(), description: "A probe.".into(), parameters }
    }

    fn effect(&self) -> Effect {
        self.effect
    }

    fn run<'a>(&'a self, arguments: &'a Value, _: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            self.runs.fetch_add(1, Ordering::Relaxed);
            if let Some(wait) = arguments["wait_ms"].as_u64() {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            arguments["text"].as_str().map(Output::from).ok_or_else(|| ToolError::from("no text"))
        })
    }
}

/// An agent in a world of its own.
struct Bench {
    agent: Agent,
    reads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

/// Words of context unless a test says otherwise.
const CONTEXT: u32 = 100_000;

impl Bench {
    async fn new(script: &[Value], context: u32, limits: Limits) -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in script {
            writeln!(file, "{line}").unwrap();
        }
        let options = LoadOptions { context: Some(context), ..LoadOptions::new(ModelSource::Script(file.path().into())) };
        let engine = Engine::load(options, |_| ControlFlow::Continue(())).await.unwrap();
        let (reads, writes) = (Arc::default(), Arc::default());
        let tools: Vec<Box<dyn Tool>> = vec![
            Box::new(Probe { name: "look", effect: Effect::Read, runs: Arc::clone(&reads) }),
            Box::new(Probe { name: "change", effect: Effect::Write, runs: Arc::clone(&writes) }),
        ];
        let settings = Settings { limits, ..Settings::default() };
        let agent = Agent::new(engine, Store::in_memory().unwrap(), Toolbox::new(tools), settings);
        Self { agent, reads, writes }
    }

    async fn accept(&self, text: &str) -> i64 {
        let inbound = Inbound { channel: "test".into(), session: "s".into(), text: text.into(), ..Inbound::default() };
        self.agent.accept(inbound).await.unwrap().turn
    }

    /// A whole turn with everything allowed; its events are thrown away.
    async fn say(&self, text: &str) -> Result<TurnResult, AgentError> {
        let turn = self.accept(text).await;
        self.drive(turn, true).await
    }

    async fn drive(&self, turn: i64, allowed: bool) -> Result<TurnResult, AgentError> {
        let (events, _) = mpsc::channel(1);
        let answer = || if allowed { Answer::yes("test") } else { Answer::no("test") };
        finished(self.agent.drive(turn, &events, async |_| Some(answer())).await)
    }

    async fn steps(&self, turn: i64) -> Vec<Step> {
        parse_steps(turn, self.agent.store().steps(turn).await.unwrap()).unwrap()
    }

    async fn append(&self, turn: i64, step: &Step) {
        let body = serde_json::to_value(step).unwrap();
        self.agent.store().append(turn, body["kind"].as_str().unwrap(), body.clone()).await.unwrap();
    }
}

/// The result of a turn that nothing waits in.
fn finished(outcome: Result<Outcome, AgentError>) -> Result<TurnResult, AgentError> {
    match outcome? {
        Outcome::Finished(result) => Ok(*result),
        Outcome::Waiting(question) => panic!("it waits: {question:?}"),
    }
}

/// Rules of a model that does as it is told.
fn obedient() -> Vec<Value> {
    vec![
        json!({"when": "^look (\\S+)", "role": "user", "tool_calls": [{"name": "look", "arguments": {"text": "$1"}}]}),
        json!({"when": "^change (\\S+)", "role": "user", "tool_calls": [{"name": "change", "arguments": {"text": "$1"}}]}),
        json!({"when": "^again", "role": "user", "tool_calls": [{"name": "change", "arguments": {"text": "x1", "wait_ms": 40}}]}),
        json!({"when": "^x(\\d+)", "role": "tool", "tool_calls": [{"name": "change", "arguments": {"text": "x${1}1", "wait_ms": 40}}]}),
        json!({"when": "(?s)(.*)", "role": "tool", "text": "it gave $1"}),
        json!({"when": "^(\\S+)", "role": "user", "text": "heard $1"}),
    ]
}

#[tokio::test]
async fn nothing_is_read_twice_in_fifty_turns() {
    let bench = Bench::new(&obedient(), CONTEXT, Limits::default()).await;
    let mut held = 0;
    for n in 0..50 {
        bench.agent.store().add_note(Note { text: format!("word{n} is a note"), ..Note::default() }).await.unwrap();
        let result = bench.say(&format!("{} word{n}", ["look", "plain", "change"][n % 3])).await.unwrap();
        if n > 0 {
            assert_eq!(result.cache_miss, None, "turn {n}");
            // All that was there at the end of the last turn is reused by each reply of this one.
            assert!(u64::from(result.usage.reused_tokens) >= held, "turn {n}: {:?} after {held}", result.usage);
        }
        let steps = bench.steps(result.turn.parse().unwrap()).await;
        let last = agent::thoughts(&steps).next_back().unwrap();
        held = u64::from(last.usage.prompt_tokens);
        assert_eq!(bench.agent.store().system_block(1).await.unwrap().as_deref(), Some(agent::SYSTEM_BLOCK), "turn {n}");
        assert!(messages(&steps)[0].content.contains(&format!("[note: word{n} is a note]")), "{steps:?}");
    }
    assert_eq!((bench.reads.load(Ordering::Relaxed), bench.writes.load(Ordering::Relaxed)), (17, 16));
}

#[tokio::test]
async fn a_window_moves_seldom_and_by_whole_turns() {
    let bench = Bench::new(&obedient(), 1_200, Limits::default()).await;
    let mut froms = Vec::new();
    for n in 0..40 {
        let result = bench.say(&format!("plain {}", "word ".repeat(40))).await.unwrap();
        let turn: i64 = result.turn.parse().unwrap();
        match bench.steps(turn).await.first() {
            Some(Step::Began { from, .. }) => froms.push(*from),
            other => panic!("turn {n} begins with {other:?}"),
        }
        assert!(result.usage.prompt_tokens < 1_200);
    }
    assert!(froms.is_sorted(), "{froms:?}");
    froms.dedup();
    assert!((3..=8).contains(&froms.len()), "the window begins at {froms:?}");
}

#[tokio::test]
async fn a_message_that_is_too_long_costs_itself_only() {
    let bench = Bench::new(&obedient(), 1_200, Limits::default()).await;
    bench.say("plain first").await.unwrap();
    let turn = bench.accept(&"word ".repeat(5_000)).await;
    let error = bench.drive(turn, true).await.unwrap_err();
    assert!(matches!(error, AgentError::Engine(EngineError::PromptTooLong { context: 1_200, .. }, Some(_))), "{error:?}");
    let row = bench.agent.store().turn(turn).await.unwrap().unwrap();
    assert_eq!((row.state, row.outcome.as_deref()), (TurnState::Failed, Some(error.to_string().as_str())));
    let result = bench.say("plain third").await.unwrap();
    let steps = bench.steps(result.turn.parse().unwrap()).await;
    assert!(matches!(steps[0], Step::Began { from: 1, .. }), "the first turn is still there: {steps:?}");
}

#[tokio::test]
async fn the_time_of_a_turn_is_one_time() {
    let limits = Limits { time: Duration::from_millis(150), ..Limits::default() };
    let bench = Bench::new(&obedient(), CONTEXT, limits).await;
    let result = bench.say("again").await.unwrap();
    assert_eq!((result.failure.as_deref(), result.limit), (Some("timeout"), true));
    assert!(bench.writes.load(Ordering::Relaxed) < 8, "each approval must not start the time anew");
}

#[tokio::test]
async fn a_call_that_a_crash_cut_off() {
    for (tool, runs, asked) in [("look", 1, 0), ("change", 0, 1)] {
        let bench = Bench::new(&obedient(), CONTEXT, Limits::default()).await;
        let turn = bench.accept(&format!("{tool} thing")).await;
        // The journal as a crash leaves it: everything up to the intent.
        let model = Bench::new(&obedient(), CONTEXT, Limits::default()).await;
        let twin = model.accept(&format!("{tool} thing")).await;
        model.drive(twin, true).await.unwrap();
        for step in model.steps(twin).await {
            bench.append(turn, &step).await;
            if matches!(step, Step::Intent { .. }) {
                break;
            }
        }
        let (events, mut shown) = mpsc::channel(100);
        let result = bench.agent.drive(turn, &events, async |question| {
            assert!(question.cut_off);
            Some(Answer::no("test"))
        });
        let result = finished(result.await).unwrap();
        drop(events);
        let mut approvals = 0;
        while let Some(event) = shown.recv().await {
            approvals += usize::from(matches!(event, Event::Approval { .. }));
        }
        let ran = bench.reads.load(Ordering::Relaxed) + bench.writes.load(Ordering::Relaxed);
        assert_eq!((ran, approvals), (runs, asked), "{tool}: {result:?}");
    }
}

#[tokio::test]
async fn a_stopped_call_is_not_called_unrun() {
    let bench = Bench::new(&obedient(), CONTEXT, Limits::default()).await;
    let turn = bench.accept("again").await;
    let (events, mut shown) = mpsc::channel(1);
    let driven = bench.agent.drive(turn, &events, async |_| Some(Answer::yes("test")));
    tokio::pin!(driven);
    // Drop the run while the tool is at work.
    loop {
        tokio::select! {
            ended = &mut driven => panic!("{ended:?}"),
            _ = shown.recv() => {}
            () = tokio::time::sleep(Duration::from_millis(1)) => if bench.writes.load(Ordering::Relaxed) > 0 { break },
        }
    }
    bench.agent.stop(turn).await.unwrap();
    bench.say("plain next").await.unwrap();
    let history = bench.agent.store().history(1, 10).await.unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[0].0.outcome.as_deref(), Some("stopped by the owner"));
}

#[tokio::test]
async fn a_no_is_told_and_recorded() {
    let bench = Bench::new(&obedient(), CONTEXT, Limits::default()).await;
    let turn = bench.accept("change thing").await;
    let result = bench.drive(turn, false).await.unwrap();
    assert_eq!((result.ok, result.replied, result.failure.as_deref()), (false, true, Some("denied")));
    assert_eq!(result.text, "it gave error: the owner did not allow this");
    assert_eq!(bench.writes.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_answer_must_be_to_what_is_asked() {
    let bench = Bench::new(&obedient(), CONTEXT, Limits::default()).await;
    let turn = bench.accept("change thing").await;
    let (events, _) = mpsc::channel(1);
    let agent::Outcome::Waiting(question) = bench.agent.run(turn, &events, bench.agent.deadline()).await.unwrap() else {
        panic!("nothing is asked")
    };
    let yes = || Answer::yes("test");
    let other = agent::Question { hash: agent::call_hash("change", &json!({"text": "other"})), ..(*question).clone() };
    assert!(matches!(bench.agent.answer(&other, yes()).await, Err(AgentError::NotAsked(_))));
    bench.agent.answer(&question, yes()).await.unwrap();
    assert!(matches!(bench.agent.answer(&question, yes()).await, Err(AgentError::NotAsked(_))), "an answer counts once");
}
