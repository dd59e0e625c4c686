//! The thread's promises: stop, join, cancel, bounded mailbox, a panic told as `Gone`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::backend::{Backend, Next, Sink};
use crate::{Delta, Finish, FinishReason, Message, Role, Sampling, Timings, Usage};

/// Generates "x" until it is stopped or `tokens` are reached; the text of the last message says what else it does.
struct Endless {
    info: ModelInfo,
    log: Arc<Log>,
    running: Vec<(Box<Request>, Sink, u32)>,
}

#[derive(Default)]
struct Log {
    tokens: AtomicU32,
    generations: AtomicU32,
    dropped: AtomicBool,
    gate: AtomicBool,
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.log.dropped.store(true, Ordering::SeqCst);
    }
}

impl Backend for Endless {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> Result<u32, EngineError> {
        Ok(u32::try_from(text.len()).unwrap())
    }

    fn begin(&mut self, request: Box<Request>, sink: Sink) {
        let what = &request.messages[0].content;
        self.log.generations.fetch_add(1, Ordering::SeqCst);
        assert_ne!(what, "panic", "asked to");
        while what == "gate" && self.log.gate.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.running.push((request, sink, 0));
    }

    fn step(&mut self) -> Next {
        for (request, mut sink, mut tokens) in std::mem::take(&mut self.running) {
            if tokens >= request.max_tokens.unwrap_or(u32::MAX) {
                sink.finish(Ok(finish(FinishReason::Stop, tokens)));
            } else if let Some(reason) = sink.limit(None) {
                sink.finish(Ok(finish(reason, tokens)));
            } else {
                tokens += 1;
                self.log.tokens.fetch_add(1, Ordering::SeqCst);
                sink.send(Delta::Text("x".into()));
                self.running.push((request, sink, tokens));
            }
        }
        if self.running.is_empty() { Next::Idle } else { Next::At(Instant::now() + Duration::from_millis(1)) }
    }
}

fn finish(reason: FinishReason, tokens: u32) -> Finish {
    Finish {
        reason,
        message: Message::new(Role::Assistant, "x".repeat(tokens as usize)),
        usage: Usage { completion_tokens: tokens, ..Usage::default() },
        timings: Timings::default(),
        cache_miss: None,
    }
}

async fn start() -> (Engine, Arc<Log>) {
    let log = Arc::new(Log::default());
    let info = ModelInfo {
        name: "endless".into(),
        hash: String::new(),
        architecture: "test".into(),
        parameters: 0,
        weight_bytes: 0,
        context: 8,
        trained_context: 8,
        cache_type_k: None,
        cache_type_v: None,
        tools: false,
        sampling: Sampling::default(),
        load_ms: 0.0,
    };
    let backend_log = log.clone();
    let load = move |_: &Arc<Interrupt>, _: Progress, serve: Serve<'_>| {
        serve(&mut Endless { info, log: backend_log, running: Vec::new() });
        Ok(())
    };
    (Engine::start(None, |_| ControlFlow::Continue(()), load).await.unwrap(), log)
}

fn ask(what: &str, max_tokens: Option<u32>) -> Request {
    Request { messages: vec![Message::new(Role::User, what)], max_tokens, ..Request::default() }
}

async fn collect(mut generation: Generation) -> (String, Vec<Result<Delta, EngineError>>) {
    let (mut text, mut others) = (String::new(), Vec::new());
    while let Some(delta) = generation.next().await {
        match delta {
            Ok(Delta::Text(more)) => text.push_str(&more),
            other => others.push(other),
        }
    }
    (text, others)
}

#[tokio::test]
async fn a_reply_arrives_whole_however_slowly_it_is_read() {
    let (engine, _) = start().await;
    let generation = engine.generate(ask("go", Some(200))).await.unwrap();
    // Another caller is served although nobody reads the first reply, which is longer than its channel.
    assert_eq!(engine.count_tokens(vec!["abc".into(), String::new()]).await, Ok(vec![3, 0]));
    let (text, others) = collect(generation).await;
    assert_eq!(text.len(), 200);
    assert_eq!(others, vec![Ok(Delta::Finish(Box::new(finish(FinishReason::Stop, 200))))]);
}

#[tokio::test]
async fn dropping_the_receiver_stops_within_a_token() {
    let (engine, log) = start().await;
    let mut generation = engine.generate(ask("go", None)).await.unwrap();
    generation.next().await.unwrap().unwrap();
    drop(generation);
    let at_drop = log.tokens.load(Ordering::SeqCst);
    engine.count_tokens(Vec::new()).await.unwrap();
    assert!(log.tokens.load(Ordering::SeqCst) <= at_drop + 1);
}

#[tokio::test]
async fn a_dropped_generation_that_waits_never_runs() {
    let (engine, log) = start().await;
    log.gate.store(true, Ordering::SeqCst);
    let first = engine.generate(ask("gate", Some(1))).await.unwrap();
    drop(engine.generate(ask("go", None)).await.unwrap());
    log.gate.store(false, Ordering::SeqCst);
    collect(first).await;
    engine.count_tokens(Vec::new()).await.unwrap();
    assert_eq!(log.generations.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_mailbox_is_bounded() {
    let (engine, log) = start().await;
    log.gate.store(true, Ordering::SeqCst);
    let first = engine.generate(ask("gate", Some(1))).await.unwrap();
    while log.generations.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let mut waiting = Vec::new();
    for _ in 0..MAILBOX {
        waiting.push(engine.generate(ask("go", Some(1))).await.unwrap());
    }
    let full = tokio::time::timeout(Duration::from_millis(50), engine.generate(ask("go", Some(1))));
    assert!(full.await.is_err());
    log.gate.store(false, Ordering::SeqCst);
    collect(first).await;
    for generation in waiting {
        assert_eq!(collect(generation).await.0, "x");
    }
}

#[tokio::test]
async fn the_last_drop_stops_and_joins() {
    let (engine, log) = start().await;
    let mut running = engine.generate(ask("go", None)).await.unwrap();
    running.next().await.unwrap().unwrap();
    let waiting = engine.generate(ask("go", None)).await.unwrap();
    let clone = engine.clone();
    drop(engine);
    assert!(!log.dropped.load(Ordering::SeqCst));
    let before = Instant::now();
    drop(clone);
    assert!(log.dropped.load(Ordering::SeqCst), "the backend must be gone when drop returns");
    assert!(before.elapsed() < Duration::from_secs(5));
    let (text, others) = collect(running).await;
    let Ok(Delta::Finish(end)) = &others[0] else { panic!("no finish") };
    assert!(end.reason == FinishReason::Cancelled && end.message.content.len() >= text.len());
    let (_, others) = collect(waiting).await;
    // It had begun, or not yet.
    assert!(matches!(&others[0], Err(EngineError::Gone) | Ok(Delta::Finish(_))));
}

#[tokio::test]
async fn a_panic_is_told_as_gone() {
    let (engine, _) = start().await;
    let generation = engine.generate(ask("panic", None)).await.unwrap();
    assert_eq!(collect(generation).await, (String::new(), vec![Err(EngineError::Gone)]));
    assert_eq!(engine.count_tokens(Vec::new()).await, Err(EngineError::Gone));
    assert_eq!(engine.generate(ask("go", None)).await.unwrap_err(), EngineError::Gone);
}

/// A load that asks `progress` until it is told to stop.
fn slow_load(_: &Arc<Interrupt>, mut progress: Progress, _: Serve<'_>) -> Result<(), EngineError> {
    while progress(0.5).is_continue() {
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(EngineError::LoadCancelled)
}

#[tokio::test]
async fn loading_can_be_cancelled() {
    let mut steps = 0;
    let progress = move |_| {
        steps += 1;
        if steps < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    assert_eq!(Engine::start(None, progress, slow_load).await.unwrap_err(), EngineError::LoadCancelled);

    let ended = Arc::new(AtomicBool::new(false));
    let flag = ended.clone();
    let load = move |interrupt: &Arc<Interrupt>, progress: Progress, serve: Serve<'_>| {
        let result = slow_load(interrupt, progress, serve);
        flag.store(true, Ordering::SeqCst);
        result
    };
    let loading = Engine::start(None, |_| ControlFlow::Continue(()), load);
    assert!(tokio::time::timeout(Duration::from_millis(20), loading).await.is_err());
    let before = Instant::now();
    while !ended.load(Ordering::SeqCst) {
        assert!(before.elapsed() < Duration::from_secs(5), "dropping the future must cancel the load");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_script_runs_through_the_thread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("greet.jsonl");
    std::fs::write(&path, r#"{"when":"hi","text":"hello there","delay_ms":60000}"#).unwrap();
    let options = LoadOptions::new(crate::ModelSource::Script(path));
    let engine = Engine::load(options, |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!((engine.info().name.as_str(), engine.info().context), ("greet", 32_768));
    let before = Instant::now();
    let generation = engine.generate(ask("hi", None)).await.unwrap();
    drop(generation);
    assert_eq!(engine.count_tokens(vec!["two words".into()]).await, Ok(vec![2]));
    let deadline = Some(Instant::now() + Duration::from_millis(10));
    let generation = engine.generate(Request { deadline, ..ask("hi", None) }).await.unwrap();
    let (text, others) = collect(generation).await;
    let Some(Ok(Delta::Finish(end))) = others.last() else { panic!("no finish") };
    assert_eq!((text.as_str(), end.reason), ("", FinishReason::Deadline));
    assert!(before.elapsed() < Duration::from_secs(30), "a pause must end with its receiver");
}
