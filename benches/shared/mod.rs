//! What the benches share: the random-weight model, requests, and a generation timed against the bare loop.
#![allow(dead_code, reason = "not every bench uses all of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench stops at what should not happen")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{Delta, Engine, Finish, Generation, LoadOptions, Message, Request, Role, Sampling, ToolSchema};

use crate::support::gguf::Gguf;

/// Most tokens of one reply.
const TOKENS: u32 = 64;

/// The file of a model that is written once, into cargo's folder for such files.
pub fn model_file(name: &str, make: impl FnOnce() -> Gguf) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.gguf"));
    if !path.exists() {
        let half = path.with_extension("part");
        make().write(&half).expect("the model can be written");
        std::fs::rename(half, &path).expect("the model can be renamed");
    }
    path
}

pub async fn load(options: LoadOptions) -> Engine {
    Engine::load(options, |_| ControlFlow::Continue(())).await.expect("the model loads")
}

/// A greedy request.
pub fn request(messages: &[Message], max_tokens: u32) -> Request {
    let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    Request { messages: messages.to_vec(), sampling, max_tokens: Some(max_tokens), ..Request::default() }
}

pub async fn start(engine: &Engine, request: Request) -> Generation {
    engine.generate(request).await.expect("the thread runs")
}

pub async fn ended(mut generation: Generation) -> Finish {
    loop {
        if let Delta::Finish(finish) = generation.next().await.expect("a finish").expect("no error") {
            return *finish;
        }
    }
}

pub async fn finish(engine: &Engine, request: Request) -> Finish {
    ended(start(engine, request).await).await
}

/// One pair of measurements.
pub struct Pair {
    pub tokens: u32,
    pub prompt: u32,
    /// Prefill and decode.
    pub engine: [Duration; 2],
    pub bare: [Duration; 2],
}

/// Generates once each way, each way first every other time. The bare loop empties the cache, so nothing is ever reused.
pub async fn pair(engine: &Engine, turn: usize, prompt: &str, tools: &[ToolSchema]) -> Pair {
    let request = || Request { tools: tools.to_vec(), ..request(&[Message::new(Role::User, prompt)], TOKENS) };
    // The sizes must be known first: a generation that does not count tells them.
    let usage = finish(engine, request()).await.usage;
    let (prompt_tokens, tokens) = (usage.prompt_tokens, usage.completion_tokens);
    let bare = async || engine.bare_loop(request(), tokens).await.expect("it decodes");
    let (finish, bare) = if turn.is_multiple_of(2) {
        bare().await;
        (finish(engine, request()).await, bare().await)
    } else {
        let times = bare().await;
        (finish(engine, request()).await, times)
    };
    assert_eq!((finish.usage.prefilled_tokens, finish.usage.completion_tokens), (prompt_tokens, tokens));
    let milliseconds = |value: f64| Duration::from_secs_f64(value / 1e3);
    let engine = [milliseconds(finish.timings.prefill_ms), milliseconds(finish.timings.decode_ms)];
    Pair { tokens, prompt: prompt_tokens, engine, bare: [bare.prefill, bare.decode] }
}

/// The middle one; NaN of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Three decimals.
pub fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
