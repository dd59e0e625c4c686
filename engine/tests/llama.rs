//! The llama backend over small GGUFs: what it says, what it reuses, how it stops.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use engine::{Delta, Engine, EngineError, Finish, FinishReason, LoadOptions, Message, ModelSource, Request, Role, Sampling, ToolSchema};
use serde_json::json;
use support::gguf::Gguf;
use support::models::{self, Shape, TINY};
use support::vocabulary::Piece;

/// Loads `gguf` from a file that is gone again afterwards.
async fn load(gguf: &Gguf) -> Engine {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    gguf.write(&path).unwrap();
    load_path(path, |_| {}).await.unwrap()
}

async fn load_path(path: PathBuf, change: impl FnOnce(&mut LoadOptions)) -> Result<Engine, EngineError> {
    let mut options = LoadOptions { context: Some(512), batch: 64, threads: Some(1), ..LoadOptions::new(ModelSource::File(path)) };
    change(&mut options);
    Engine::load(options, |_| ControlFlow::Continue(())).await
}

fn user(text: &str) -> Message {
    Message::new(Role::User, text)
}

fn greedy(messages: Vec<Message>, max_tokens: u32) -> Request {
    let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    Request { messages, sampling, max_tokens: Some(max_tokens), ..Request::default() }
}

/// A text and a call, one token each.
const CALL: [&str; 8] =
    ["Let me ", "look.", "<tool_call>", "\n{\"name\": \"shell\"", ", \"arguments\": ", "{\"command\": \"ls\"}", "}\n", "</tool_call>"];

/// What a generation said.
#[derive(Debug, Default)]
struct Said {
    texts: Vec<String>,
    reasoning: String,
    prefill: Vec<(u32, u32)>,
}

async fn collect(engine: &Engine, request: Request) -> (Said, Result<Finish, EngineError>) {
    let mut generation = engine.generate(request).await.unwrap();
    let mut said = Said::default();
    loop {
        match generation.next().await.unwrap() {
            Ok(Delta::Prefill { done, total }) => said.prefill.push((done, total)),
            Ok(Delta::Text(text)) => said.texts.push(text),
            Ok(Delta::Reasoning(text)) => said.reasoning.push_str(&text),
            Ok(Delta::Finish(finish)) => return (said, Ok(*finish)),
            Err(error) => return (said, Err(error)),
        }
    }
}

async fn finish(engine: &Engine, request: Request) -> Finish {
    let (said, finish) = collect(engine, request).await;
    let finish = finish.unwrap();
    assert_eq!(said.texts.concat(), finish.message.content, "the deltas add up to the text");
    assert_eq!(said.reasoning, finish.message.reasoning.clone().unwrap_or_default());
    let usage = finish.usage;
    assert_eq!(usage.prompt_tokens, usage.reused_tokens + usage.prefilled_tokens);
    finish
}

fn shell() -> ToolSchema {
    let parameters = json!({"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]});
    ToolSchema { name: "shell".into(), description: "Runs a command.".into(), parameters }
}

#[tokio::test]
async fn a_reused_prefix_changes_nothing_but_the_ledger() {
    let model = models::random(&TINY, 1);
    let (warm, cold) = (load(&model).await, load(&model).await);
    let mut messages = vec![Message::new(Role::System, "Be brief."), user("Hello there, how are you?")];
    for (turn, next) in ["And now?", "Once more.", "Good bye."].into_iter().enumerate() {
        let reply = finish(&warm, greedy(messages.clone(), 20)).await;
        assert_eq!((reply.usage.reused_tokens > 0, reply.usage.completion_tokens), (turn > 0, 20));
        messages.extend([reply.message, user(next)]);
    }
    let warm_reply = finish(&warm, greedy(messages.clone(), 40)).await;
    let cold_reply = finish(&cold, greedy(messages.clone(), 40)).await;
    assert_eq!(warm_reply.message, cold_reply.message);
    assert_eq!(warm_reply.usage.prompt_tokens, cold_reply.usage.prompt_tokens);
    assert_eq!((cold_reply.usage.reused_tokens, cold_reply.cache_miss.as_deref()), (0, Some("first request")));
    assert!(warm_reply.usage.reused_tokens > warm_reply.usage.prefilled_tokens);

    let again = finish(&cold, greedy(messages, 40)).await;
    assert_eq!(again.message, cold_reply.message);
    assert_eq!(again.usage.prefilled_tokens, 1, "only the logits of the last token are missing");
}

/// A sliding window and a recurrent state cannot be cut anywhere: they go back to the checkpoint behind a message.
#[tokio::test]
async fn what_cannot_be_cut_goes_back_to_a_checkpoint() {
    for model in [models::sliding_window(32, 7), models::recurrent(8), models::hybrid(9)] {
        let (warm, cold) = (load(&model).await, load(&model).await);
        let mut messages = vec![user(&"tell me more ".repeat(20))];
        let first = finish(&warm, greedy(messages.clone(), 30)).await;
        messages.extend([first.message, user("and then?")]);
        let next = finish(&warm, greedy(messages.clone(), 30)).await;
        assert_eq!(next.message, finish(&cold, greedy(messages.clone(), 30)).await.message);
        assert!(next.usage.reused_tokens > 250, "{:?}", next.usage);

        messages.truncate(1);
        messages.push(user("something else"));
        let other = finish(&warm, greedy(messages.clone(), 30)).await;
        let again = load(&model).await;
        assert_eq!(other.message, finish(&again, greedy(messages, 30)).await.message);
        assert!(other.usage.reused_tokens > 250, "{:?}", other.usage);
    }
}

#[tokio::test]
async fn a_cache_miss_is_named() {
    let engine = load(&models::puppet_of(&["fine"])).await;
    let miss = async |messages: &[Message]| finish(&engine, greedy(messages.to_vec(), 20)).await.cache_miss;
    let mut messages = vec![user("hi")];
    let first = finish(&engine, greedy(messages.clone(), 20)).await;
    assert_eq!(first.cache_miss.as_deref(), Some("first request"));
    // The piece of the puppet is a token that no text is tokenized to; the message keeps it.
    messages.extend([first.message, user("good")]);
    assert_eq!(miss(&messages).await, None);
    messages[1] = Message::new(Role::Assistant, "fine");
    let retokenized = r#"the conversation differs from token 21: "fine" where "fine<|im_end|>\n<|im_start|>" was"#;
    assert_eq!(miss(&messages).await.as_deref(), Some(retokenized));
    messages.truncate(1);
    messages.push(user("more"));
    let quoted = r#"the conversation differs from token 11: "user" where "assi" was"#;
    assert_eq!(miss(&messages).await.as_deref(), Some(quoted));
    assert_eq!(miss(&[user("other")]).await.as_deref(), Some("another conversation"));
}

#[tokio::test]
async fn a_bare_loop_takes_time_and_empties_the_cache() {
    let engine = load(&models::random(&TINY, 6)).await;
    finish(&engine, greedy(vec![user("x")], 5)).await;
    let times = engine.bare_loop(greedy(vec![user("x")], 5), 20).await.unwrap();
    assert!(times.prefill > Duration::ZERO && times.decode > Duration::ZERO);
    assert_eq!(finish(&engine, greedy(vec![user("x")], 5)).await.cache_miss.as_deref(), Some("first request"));
    let error = engine.bare_loop(greedy(vec![user("x")], 5), 600).await.unwrap_err();
    assert!(matches!(error, EngineError::PromptTooLong { context: 512, .. }));
}

#[tokio::test]
async fn prefill_goes_in_batches_and_is_told() {
    let engine = load(&models::puppet_of(&["ok"])).await;
    let (said, finish) = collect(&engine, greedy(vec![user(&"x".repeat(150))], 5)).await;
    let total = finish.unwrap().usage.prompt_tokens;
    assert_eq!(said.prefill, vec![(0, total), (64, total), (128, total), (total, total)]);
}

#[tokio::test]
async fn a_split_character_arrives_whole() {
    let text = "Grüße 🐚 您好!";
    let pieces: Vec<Piece> = text.as_bytes().chunks(3).map(|bytes| Piece::Normal(bytes.to_vec())).collect();
    let engine = load(&models::puppet(&pieces)).await;
    let reply = finish(&engine, greedy(vec![user("x")], 100)).await;
    assert_eq!((reply.message.content.as_str(), reply.reason), (text, FinishReason::Stop));
    let reply = finish(&engine, greedy(vec![user("x")], 1)).await;
    assert_eq!((reply.message.content.as_str(), reply.reason), ("Gr\u{fffd}", FinishReason::Length));
}

#[tokio::test]
async fn reasoning_text_and_calls_are_told_apart() {
    let engine = load(&models::puppet_of(&CALL)).await;
    let request = Request { tools: vec![shell()], ..greedy(vec![user("list the files")], 50) };
    let (said, reply) = collect(&engine, request).await;
    let reply = reply.unwrap();
    assert_eq!(reply.reason, FinishReason::ToolCalls);
    assert_eq!(reply.message.tool_calls.len(), 1);
    let call = &reply.message.tool_calls[0];
    assert_eq!((call.id.as_str(), call.name.as_str(), &call.arguments), ("call_1", "shell", &json!({"command": "ls"})));
    assert_eq!(said.texts.concat(), "Let me look.");
}

#[tokio::test]
async fn a_call_that_cannot_be_used_is_tried_again_and_then_an_error() {
    // The grammar knows nothing of a required key that is no property, so each try lacks it.
    let mut tool = shell();
    tool.parameters["required"] = json!(["command", "nowhere"]);
    let engine = load(&models::puppet_of(&CALL)).await;
    let request = Request { tools: vec![tool], ..greedy(vec![user("list the files")], 50) };
    let (said, reply) = collect(&engine, request).await;
    let reason = "the arguments of `shell` lack `nowhere`".to_owned();
    assert_eq!(reply.unwrap_err(), EngineError::ToolCall { tries: 3, reason });
    // How much is told before the first try fails depends on the time; that it is not told again does not.
    let told = said.texts.concat();
    assert!("Let me look.".starts_with(&told), "told: {told}");
    // What the tries left in the cache is not taken for something else.
    let request = Request { tools: vec![shell()], ..greedy(vec![user("list the files")], 50) };
    assert_eq!(collect(&engine, request).await.1.unwrap().reason, FinishReason::ToolCalls);
}

#[tokio::test]
async fn a_half_call_is_no_call() {
    let engine = load(&models::puppet_of(&CALL)).await;
    for tokens in 1..8 {
        let request = Request { tools: vec![shell()], ..greedy(vec![user("list the files")], tokens) };
        let reply = finish(&engine, request).await;
        let content = if tokens == 1 { "Let me " } else { "Let me look." };
        let seen = (reply.reason, reply.message.content.trim_end(), reply.message.tool_calls.len());
        assert_eq!(seen, (FinishReason::Length, content.trim_end(), 0), "{tokens}");
    }
}

#[tokio::test]
async fn reasoning_is_split_off() {
    for (pieces, reasoning, content) in [
        (&["<think>", "\nwhy ", "not", "\n ", "</think>", "\n\nyes"][..], "why not", "yes"),
        (&["<think>", "\nnever ", "closed"][..], "never closed", ""),
    ] {
        let engine = load(&models::puppet_of(pieces)).await;
        let reply = finish(&engine, greedy(vec![user("well?")], 50)).await;
        let seen = (reply.message.reasoning.as_deref().unwrap_or_default().trim(), reply.message.content.as_str());
        assert_eq!((seen, reply.reason), ((reasoning, content), FinishReason::Stop));
    }
}

#[tokio::test]
async fn reasoning_has_a_budget() {
    let pieces = ["<think>", "one ", "two ", "three ", "</think>", "yes"];
    let engine = load(&models::puppet_of(&pieces)).await;
    for (budget, reasoning, tokens) in
        [(None, "one two three", 6), (Some(9), "one two three", 6), (Some(2), "one two", 5), (Some(0), "", 3)]
    {
        let request = Request { reasoning_tokens: budget, ..greedy(vec![user("well?")], 50) };
        let reply = finish(&engine, request).await;
        let seen = (reply.message.reasoning.as_deref().unwrap_or_default().trim(), reply.message.content.as_str());
        assert_eq!((seen, reply.reason), ((reasoning, "yes"), FinishReason::Stop), "{budget:?}");
        assert_eq!(reply.usage.completion_tokens, tokens, "{budget:?}");
    }
    // The marker that closes it is many tokens here, and the model has nothing to say behind it.
    let engine = load(&models::puppet_of(&pieces[..4])).await;
    let reply = finish(&engine, Request { reasoning_tokens: Some(1), ..greedy(vec![user("well?")], 50) }).await;
    assert_eq!((reply.message.reasoning.as_deref(), reply.message.content.as_str()), (Some("one "), ""));
    assert_eq!((reply.reason, reply.usage.completion_tokens), (FinishReason::Stop, 2 + 8));
}

#[tokio::test]
async fn a_call_follows_reasoning_that_was_closed() {
    let pieces = [&["<think>", "hm ", "hmm ", "</think>"][..], &CALL[2..]].concat();
    let engine = load(&models::puppet_of(&pieces)).await;
    let request = Request { tools: vec![shell()], reasoning_tokens: Some(1), ..greedy(vec![user("list the files")], 50) };
    let reply = finish(&engine, request).await;
    assert_eq!((reply.reason, reply.message.reasoning.as_deref().map(str::trim)), (FinishReason::ToolCalls, Some("hm")));
    assert_eq!(reply.message.tool_calls[0].arguments, json!({"command": "ls"}));
}

#[tokio::test]
async fn text_is_never_control() {
    let engine = load(&models::puppet_of(&["ok", "<tool_call>"])).await;
    let size = async |text: &str| finish(&engine, greedy(vec![user(text)], 5)).await.usage.prompt_tokens;
    for text in ["<|im_end|>", "<|im_start|>system", "<tool_call>", "<|im_<|im_end|>end|>", "|im_end|>"] {
        assert_eq!(size(text).await, size(&"x".repeat(text.len())).await, "{text}: one token for each byte");
    }
}

#[tokio::test]
async fn a_long_batch_is_stopped_in_its_middle() {
    let shape = Shape { layers: 4, width: 128, heads: 4, feed_forward: 512, ..TINY };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    models::random(&shape, 5).write(&path).unwrap();
    let long = |options: &mut LoadOptions| (options.context, options.batch) = (Some(2048), 2048);
    let engine = load_path(path, long).await.unwrap();
    let request = |deadline| Request { deadline, ..greedy(vec![user(&"x".repeat(1200))], 1) };

    let start = Instant::now();
    let reply = finish(&engine, request(None)).await;
    let whole = start.elapsed();
    assert!(reply.usage.prefilled_tokens > 1200);
    finish(&engine, greedy(vec![user("something else")], 1)).await;

    let start = Instant::now();
    let mut generation = engine.generate(request(None)).await.unwrap();
    assert!(matches!(generation.next().await, Some(Ok(Delta::Prefill { .. }))));
    drop(generation);
    engine.count_tokens(Vec::new()).await.unwrap();
    assert!(start.elapsed() < whole / 2, "{:?} of {whole:?}", start.elapsed());

    let start = Instant::now();
    let reply = finish(&engine, request(Some(start + whole / 20))).await;
    assert_eq!((reply.reason, reply.usage.prefilled_tokens), (FinishReason::Deadline, 0));
    assert!(start.elapsed() < whole / 2, "{:?} of {whole:?}", start.elapsed());
    assert_eq!(finish(&engine, request(None)).await.reason, FinishReason::Length);
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_refused_with_its_size() {
    let engine = load(&models::puppet_of(&["ok"])).await;
    let exact = finish(&engine, greedy(vec![user("")], 5)).await.usage.prompt_tokens;
    let fits = 512 - 16 - exact as usize;
    assert_eq!(finish(&engine, greedy(vec![user(&"x".repeat(fits))], 5)).await.message.content, "ok");
    let error = collect(&engine, greedy(vec![user(&"x".repeat(fits + 1))], 5)).await.1.unwrap_err();
    assert_eq!(error, EngineError::PromptTooLong { tokens: 512 - 15, context: 512 });
    let error = collect(&engine, greedy(vec![user(&"x".repeat(300_000))], 5)).await.1.unwrap_err();
    assert_eq!(error, EngineError::PromptTooLong { tokens: 300_000 + exact, context: 512 });
    assert_eq!(finish(&engine, greedy(vec![user("a NUL: \0.")], 5)).await.usage.prompt_tokens, exact + 9);
    assert!(matches!(collect(&engine, greedy(Vec::new(), 5)).await.1, Err(EngineError::Template(_)) | Ok(_)));
    // The engine is as good as before.
    assert_eq!(finish(&engine, greedy(vec![user("x")], 5)).await.message.content, "ok");
}

#[tokio::test]
async fn limits_end_a_reply() {
    let engine = load(&models::random(&TINY, 2)).await;
    let endless = |request: Request| Request { max_tokens: None, ..request };
    let reply = finish(&engine, greedy(vec![user("x")], 7)).await;
    assert_eq!((reply.reason, reply.usage.completion_tokens), (FinishReason::Length, 7));
    let reply = finish(&engine, endless(greedy(vec![user("x")], 0))).await;
    assert_eq!((reply.reason, reply.usage.completion_tokens + reply.usage.prompt_tokens), (FinishReason::ContextFull, 512));
    let deadline = Some(Instant::now());
    let reply = finish(&engine, Request { deadline, ..greedy(vec![user("x")], 7) }).await;
    assert_eq!((reply.reason, reply.usage.completion_tokens), (FinishReason::Deadline, 0));
}

#[tokio::test]
async fn a_dropped_receiver_stops_decoding() {
    let engine = load(&models::random(&TINY, 2)).await;
    let mut generation = engine.generate(Request { max_tokens: None, ..greedy(vec![user("x")], 0) }).await.unwrap();
    while !matches!(generation.next().await, Some(Ok(Delta::Text(_)))) {}
    drop(generation);
    let before = Instant::now();
    assert_eq!(engine.count_tokens(vec!["the x".into(), "<|im_end|>".into()]).await, Ok(vec![5, 10]));
    assert!(before.elapsed() < Duration::from_millis(200));
    finish(&engine, greedy(vec![user("x")], 7)).await;
}

#[tokio::test]
async fn seeds_and_recommendations_are_heeded() {
    let engine = load(&models::random(&TINY, 3)).await;
    assert_eq!(engine.info().sampling.temperature, Some(0.8));
    let draw = async |seed| {
        let sampling = Sampling { temperature: Some(1.5), seed: Some(seed), ..Sampling::default() };
        finish(&engine, Request { sampling, ..greedy(vec![user("x")], 20) }).await.message.content
    };
    assert_eq!(draw(1).await, draw(1).await);
    assert_ne!(draw(1).await, draw(2).await);
    let puppet = load(&models::puppet_of(&["ok"])).await;
    assert_eq!(puppet.info().sampling.temperature, Some(0.0));
}

#[tokio::test]
async fn a_schema_binds_the_text() {
    let engine = load(&models::random(&TINY, 4)).await;
    let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": false});
    let request = Request { json_schema: Some(schema), ..greedy(vec![user("x")], 200) };
    let reply = finish(&engine, request).await;
    let value: serde_json::Value = serde_json::from_str(&reply.message.content).unwrap();
    assert!(value["ok"].is_boolean(), "{value}");
}
