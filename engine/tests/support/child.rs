//! How much memory a process takes, as Linux counts it.
#![allow(dead_code, reason = "each target uses a part")]

use std::path::Path;

use engine::{Delta, Engine, LoadOptions, Message, Request, Role, Sampling};

/// What a load and a long prompt took.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Resident bytes before the load.
    pub before: u64,
    /// The most resident bytes until after the prompt.
    pub peak: u64,
    /// Tokens of the prompt.
    pub prompt: u32,
    /// Milliseconds from the command to load to the model being ready.
    pub load_ms: f64,
    /// Milliseconds per token generated behind the prompt.
    pub token_ms: f64,
}

/// Loads a model in this process, which must not have loaded one before, and fills its context nearly up.
pub async fn take(options: LoadOptions) -> Taken {
    let before = status("VmRSS:");
    let engine = Engine::load(options, |_| std::ops::ControlFlow::Continue(())).await.expect("the model loads");
    // A token is a byte in these models' vocabulary. The template and the reply take the rest.
    let text = "x ".repeat(engine.info().context as usize / 2 - 64);
    let request = Request {
        messages: vec![Message::new(Role::User, text)],
        sampling: Sampling { temperature: Some(0.0), ..Sampling::default() },
        max_tokens: Some(24),
        ..Request::default()
    };
    let mut generation = engine.generate(request).await.expect("the thread runs");
    let finish = loop {
        if let Delta::Finish(finish) = generation.next().await.expect("a finish").expect("no error") {
            break finish;
        }
    };
    let token_ms = finish.timings.decode_ms / f64::from(finish.usage.completion_tokens.max(1));
    Taken { before, peak: status("VmHWM:"), prompt: finish.usage.prompt_tokens, load_ms: engine.info().load_ms, token_ms }
}

/// A line of `/proc/self/status` in bytes.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string(Path::new("/proc/self/status")).expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("it has the line");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}
