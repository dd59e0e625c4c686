//! What transcripts save: the same conversation cold and warm, restored, forked, beside others, guessed ahead. Every figure that
//! counts is a ratio of two times of one run. Prints one JSON object.
//!
//!     cargo bench -p engine --bench transcripts [-- DEPTH]
//!
//! DEPTH: tokens of the conversation, 8,000 by default. `PAGURO_BENCH_THREADS`: threads, by default the engine's choice.
//! `PAGURO_BENCH_LAYERS`: fewer layers than the 28 of the random-weight model, for a quick look. `PAGURO_BENCH_COLD=1`: compares
//! the forks' texts with cold runs at DEPTH, which takes eight prefills, rather than at 256 tokens. `PAGURO_BENCH_ARCHITECTURES=1`: only
//! the windowed and the hybrid model.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the result is the output")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench stops at what should not happen")]

mod shared;
#[path = "../engine/tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use engine::{CacheType, Delta, Engine, ForkPoint, LoadOptions, Message, ModelSource, Priority, Request, Role, ToolCall};
use serde_json::{Value, json};
use shared::{Pair, ended, finish, load, median, model_file, pair, request, rounded, start};
use support::models::{self, BENCH, Shape};

/// Tokens of the conversation without an argument.
const DEPTH: u32 = 8_000;
/// Tokens of the conversation where cold runs are repeated.
const SHALLOW: u32 = 256;
/// Repetitions of what is short.
const REPETITIONS: usize = 5;
/// Tokens of a reply that only its first token is wanted of. Random weights say tokens that their text is not tokenized to: each more would
/// be several to prefill.
const SHORT: u32 = 1;

/// How all models are loaded.
struct Setting {
    model: PathBuf,
    threads: Option<u32>,
    depth: u32,
}

impl Setting {
    fn options(&self) -> LoadOptions {
        LoadOptions {
            // The conversation, and what eight forks and five other ones add to it.
            context: Some(self.depth + 6_000),
            threads: self.threads,
            hot: 16,
            draft: false,
            ..LoadOptions::new(ModelSource::File(self.model.clone()))
        }
    }

    fn kept(&self, folder: &Path) -> LoadOptions {
        LoadOptions { kv_folder: Some(folder.into()), ..self.options() }
    }
}

fn main() {
    // `cargo bench` adds an argument of its own.
    let depth = std::env::args().skip(1).find(|argument| argument != "--bench");
    let depth: u32 = depth.map_or(DEPTH, |text| text.parse().expect("DEPTH is a number"));
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u32>().expect("a number"));
    let shape = Shape { layers: number("PAGURO_BENCH_LAYERS").unwrap_or(BENCH.layers).min(BENCH.layers), ..BENCH };
    let name = match shape.layers == BENCH.layers {
        true => "random-0.6b-q4_0".to_owned(),
        false => format!("random-0.6b-q4_0-{}", shape.layers),
    };
    let model = model_file(&name, || models::random(&shape, 1));
    let setting = Setting { model, threads: number("PAGURO_BENCH_THREADS"), depth };
    let is_cold = number("PAGURO_BENCH_COLD") == Some(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let report = runtime.block_on(async {
        let mut report = json!({ "depth": depth, "layers": shape.layers, "threads": setting.threads });
        let equal_depth = if is_cold { depth } else { depth.min(SHALLOW) };
        report["architectures"] = told("architectures", architectures(&setting)).await;
        if std::env::var_os("PAGURO_BENCH_ARCHITECTURES").is_some() {
            return report;
        }
        report["conversation"] = told("conversation", conversation(&setting)).await;
        report["forks_equal_to_cold"] = told("forks", forks_equal(&setting, equal_depth)).await;
        report["owner_first"] = told("owner first", owner_first(&setting)).await;
        report["drafting"] = told("drafting", drafting(&setting, &shape)).await;
        report["bare_loop"] = told("bare loop", bare_loop(&setting)).await;
        report["together"] = told("together", together(&setting)).await;
        report
    });
    println!("{}", serde_json::to_string_pretty(&report).expect("it is JSON"));
}

/// What comes of `part`, which may take minutes, and that it is over.
async fn told(name: &str, part: impl Future<Output = Value>) -> Value {
    let found = part.await;
    eprintln!("{name}: {found}");
    found
}

fn user(text: &str) -> Message {
    Message::new(Role::User, text)
}

fn in_transcript(name: &str, messages: &[Message], max_tokens: u32) -> Request {
    Request { transcript: Some(name.into()), ..request(messages, max_tokens) }
}

/// A text of about so many tokens: in these vocabularies most letters are one each. Words differ, so that keys do.
fn story(tokens: u32, seed: u64) -> String {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let letter = move |index: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if index % 6 == 5 { ' ' } else { char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap_or(0)) }
    };
    (0..tokens).map(letter).collect()
}

/// Cold, the turns after it, a restart and eight forks.
async fn conversation(setting: &Setting) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = load(setting.kept(folder.path())).await;
    let mut messages = vec![Message::new(Role::System, "Be kind."), user(&story(setting.depth, 1))];
    let cold = finish(&engine, in_transcript("origin", &messages, SHORT)).await;
    messages.push(cold.message.clone());
    let (mut warm, mut shares) = (Vec::new(), Vec::new());
    for turn in 0..REPETITIONS {
        let before = cold.usage.prompt_tokens;
        messages.push(user(&format!("And then? {turn}")));
        let reply = finish(&engine, in_transcript("origin", &messages, SHORT)).await;
        shares.push(f64::from(reply.usage.reused_tokens.min(before)) / f64::from(before));
        warm.push((reply.timings.first_token_ms, reply.usage.prefilled_tokens));
        messages.push(reply.message);
    }
    let forks = forks(&engine, &messages).await;
    drop(engine);
    let engine = load(setting.kept(folder.path())).await;
    messages.push(user("And after that?"));
    let restored = finish(&engine, in_transcript("origin", &messages, SHORT)).await;
    let cold_ms = cold.timings.first_token_ms;
    let warm_ms = median(warm.iter().map(|(time, _)| *time));
    json!({
        "prompt_tokens": cold.usage.prompt_tokens,
        "cold_first_token_ms": rounded(cold_ms),
        "next_turn": {
            "share_reused": rounded(shares.iter().copied().fold(f64::INFINITY, f64::min)),
            "prefilled_tokens": warm.iter().map(|(_, tokens)| *tokens).collect::<Vec<_>>(),
            "first_token_ms": rounded(warm_ms),
            "cold_over_warm": rounded(cold_ms / warm_ms),
            "wanted": { "share_reused": 0.99, "cold_over_warm": 50 },
        },
        "restart": {
            "reused_tokens": restored.usage.reused_tokens,
            "prefilled_tokens": restored.usage.prefilled_tokens,
            "restore_ms": rounded(restored.timings.restore_ms),
            "first_token_ms": rounded(restored.timings.first_token_ms),
            "cold_over_restored": rounded(cold_ms / restored.timings.first_token_ms),
            "cache_miss": restored.cache_miss,
            "wanted": { "cold_over_restored": 30 },
        },
        "forks": forks,
    })
}

/// Eight forks of `origin`, each with its own question, all at once.
async fn forks(engine: &Engine, messages: &[Message]) -> Value {
    let mut running = Vec::new();
    for number in 0..8 {
        let name = format!("fork {number}");
        engine.fork("origin", &name, ForkPoint::End).await.expect("there is an origin");
        let messages = [messages, &[user(&format!("What of number {number}?"))]].concat();
        running.push(start(engine, in_transcript(&name, &messages, SHORT)).await);
    }
    let (mut prefilled, mut reused, mut first) = (Vec::new(), Vec::new(), Vec::new());
    for generation in running {
        let reply = ended(generation).await;
        prefilled.push(reply.usage.prefilled_tokens);
        reused.push(reply.usage.reused_tokens);
        first.push(reply.timings.first_token_ms);
    }
    json!({ "prefilled_tokens": prefilled, "reused_tokens": reused, "first_token_ms": rounded(median(first)) })
}

/// How many of eight forks at `depth` say what a model says that reads all of it anew.
async fn forks_equal(setting: &Setting, depth: u32) -> Value {
    let engine = load(setting.options()).await;
    let mut messages = vec![user(&story(depth, 2))];
    let reply = finish(&engine, in_transcript("origin", &messages, SHORT)).await;
    messages.extend([reply.message, user("")]);
    let mut forked = Vec::new();
    for number in 0..8 {
        let name = format!("fork {number}");
        engine.fork("origin", &name, ForkPoint::End).await.expect("there is an origin");
        messages.last_mut().expect("a question").content = format!("What of number {number}?");
        let request = in_transcript(&name, &messages, 16);
        forked.push((request.clone(), finish(&engine, request).await));
    }
    drop(engine);
    let engine = load(LoadOptions { hot: 1, ..setting.options() }).await;
    let mut equal = 0;
    for (request, forked) in forked {
        let name = request.transcript.clone().unwrap_or_default();
        let cold = finish(&engine, request).await;
        engine.forget(&name).await.expect("the thread runs");
        assert_eq!(cold.usage.prompt_tokens, forked.usage.prompt_tokens);
        equal += u32::from(cold.message == forked.message);
    }
    json!({ "depth": depth, "forks": 8, "equal": equal })
}

/// Cold, warm and restored with models whose memory cannot be cut, of real shapes.
async fn architectures(setting: &Setting) -> Value {
    let models = [
        ("sliding_window", model_file("random-windowed-q4_0", || models::sliding_window_bench(7))),
        ("hybrid", model_file("random-hybrid-q4_0", || models::hybrid_bench(9))),
    ];
    let mut report = json!({});
    for (name, model) in models {
        let folder = tempfile::tempdir().expect("a folder");
        let real = Setting { model, threads: setting.threads, depth: setting.depth };
        let options = || real.kept(&folder.path().join("kv"));
        let engine = load(options()).await;
        let mut messages = vec![Message::new(Role::System, "Be kind."), user(&story(real.depth, 3))];
        let cold = finish(&engine, in_transcript("a", &messages, SHORT)).await;
        messages.extend([cold.message.clone(), user("And then?")]);
        let warm = finish(&engine, in_transcript("a", &messages, SHORT)).await;
        drop(engine);
        let engine = load(options()).await;
        messages.extend([warm.message.clone(), user("And after that?")]);
        let restored = finish(&engine, in_transcript("a", &messages, SHORT)).await;
        let share = |reused: u32, before: u32| rounded(f64::from(reused.min(before)) / f64::from(before));
        let cold_ms = cold.timings.first_token_ms;
        report[name] = json!({
            "prompt_tokens": cold.usage.prompt_tokens,
            "warm_share_reused": share(warm.usage.reused_tokens, cold.usage.prompt_tokens),
            "warm_cache_miss": warm.cache_miss,
            "cold_over_warm": rounded(cold_ms / warm.timings.first_token_ms),
            "restored_share_reused": share(restored.usage.reused_tokens, warm.usage.prompt_tokens),
            "restored_cache_miss": restored.cache_miss,
            "cold_over_restored": rounded(cold_ms / restored.timings.first_token_ms),
        });
    }
    report
}

/// The first token of a new conversation, idle and while four background generations run.
async fn owner_first(setting: &Setting) -> Value {
    let engine = load(setting.options()).await;
    let mut number = 0;
    let mut first_token = async || {
        number += 1;
        let name = format!("owner {number}");
        let reply = finish(&engine, in_transcript(&name, &[user(&story(96, 40 + number))], SHORT)).await;
        engine.forget(&name).await.expect("the thread runs");
        reply.timings.first_token_ms
    };
    first_token().await;
    let mut idle = Vec::new();
    for _ in 0..REPETITIONS {
        idle.push(first_token().await);
    }
    let mut running = Vec::new();
    for number in 0..4 {
        let request = in_transcript(&format!("background {number}"), &[user(&story(96, 80 + number))], 1_000);
        running.push(start(&engine, Request { priority: Priority::Background, ..request }).await);
    }
    for generation in &mut running {
        // All are past their prompts.
        while let Some(Ok(Delta::Prefill { done, total })) = generation.next().await {
            if done == total {
                break;
            }
        }
    }
    let mut busy = Vec::new();
    for _ in 0..REPETITIONS {
        busy.push(first_token().await);
    }
    drop(running);
    let (idle, busy) = (median(idle), median(busy));
    json!({ "idle_ms": rounded(idle), "busy_ms": rounded(busy), "busy_over_idle": rounded(busy / idle), "wanted": 1.5 })
}

/// A reply that repeats a tool result of 500 tokens, with guesses and without. The layers cost what those of the big model cost,
/// but its vocabulary has 1,024 tokens, so the last matrix is missing from both times.
async fn drafting(setting: &Setting, shape: &Shape) -> Value {
    let words = 500;
    let (model, text) = models::parrot(shape, words);
    let file = model_file(&format!("parrot-{}", shape.layers), || model);
    let call = ToolCall { id: "1".into(), name: "read_file".into(), arguments: json!({"path": "notes.txt"}) };
    let asked = Message { tool_calls: vec![call.clone()], ..Message::new(Role::Assistant, "") };
    let messages = [user("Read it to me."), asked, Message::tool(&call, text.clone())];
    let mut report = json!({ "wanted": 1.8 });
    // Each token of a batch attends by itself, and a cache that must be unpacked may make that the larger part of the time.
    for (name, cache) in [("q4_0", CacheType::Q4_0), ("f16", CacheType::F16)] {
        let setting = LoadOptions { cache_type_k: cache, cache_type_v: cache, context: Some(2_048), ..setting.options() };
        report[name] = guesses(&LoadOptions { source: ModelSource::File(file.clone()), ..setting }, &messages, &text).await;
    }
    report
}

/// The same reply without guesses and with them.
async fn guesses(options: &LoadOptions, messages: &[Message], text: &str) -> Value {
    let mut replies = Vec::new();
    for draft in [false, true] {
        let engine = load(LoadOptions { draft, ..options.clone() }).await;
        // What is there the second time need not be read.
        finish(&engine, in_transcript("a", messages, 1)).await;
        replies.push(finish(&engine, in_transcript("a", messages, 600)).await);
    }
    let (plain, drafted) = (&replies[0], &replies[1]);
    let speedup = plain.timings.decode_ms / drafted.timings.decode_ms;
    json!({
        "prompt_tokens": plain.usage.prompt_tokens,
        "tokens": plain.usage.completion_tokens,
        "same_text": plain.message == drafted.message,
        "repeats_the_result": plain.message.content == text,
        "plain_ms": rounded(plain.timings.decode_ms),
        "drafted_ms": rounded(drafted.timings.decode_ms),
        "speedup": rounded(speedup),
    })
}

/// Decoding through the engine against the bare loop; `decode.rs` measures that in full.
async fn bare_loop(setting: &Setting) -> Value {
    let engine = load(LoadOptions { context: Some(2_048), ..setting.options() }).await;
    let mut pairs: Vec<Pair> = Vec::new();
    for turn in 0..REPETITIONS {
        pairs.push(pair(&engine, turn, "Count.", &[]).await);
    }
    let ratio = |index: usize| median(pairs.iter().map(|pair| pair.bare[index].as_secs_f64() / pair.engine[index].as_secs_f64()));
    json!({ "decode_ratio": rounded(ratio(1)), "prefill_ratio": rounded(ratio(0)), "pairs": pairs.len() })
}

/// Tokens per second of four replies at once against one.
async fn together(setting: &Setting) -> Value {
    let engine = load(LoadOptions { context: Some(4_096), ..setting.options() }).await;
    let request = |number: u32, tokens: u32| in_transcript(&format!("t{number}"), &[user(&story(64, number.into()))], tokens);
    for number in 0..4 {
        finish(&engine, request(number, 1)).await;
    }
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        for (rates, count) in std::iter::zip(&mut rates, [1, 4]) {
            let begun = std::time::Instant::now();
            let mut running = Vec::new();
            for number in 0..count {
                running.push(start(&engine, request(number, 48)).await);
            }
            let mut tokens = 0.0;
            for generation in running {
                tokens += f64::from(ended(generation).await.usage.completion_tokens);
            }
            rates.push(tokens / begun.elapsed().as_secs_f64());
        }
    }
    let [one, four] = rates.map(median);
    json!({ "one_tps": rounded(one), "four_tps": rounded(four), "four_over_one": rounded(four / one) })
}
