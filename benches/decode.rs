//! Decode and prefill through the engine against a bare loop of `llama_decode` and argmax: same process, model, thread
//! and cache, same number of tokens at the same depth, taken in turns. Prints one JSON object.
//!
//!     cargo bench -p engine --bench decode [-- REPETITIONS [THREADS [MODEL.gguf]]]
//!
//! THREADS 0: as many as the engine takes by itself. Models: MODEL.gguf if given, else the demo model, and random-weight
//! ones of its shape and of a real one (28 layers, width 1024, vocabulary 151,936, `q4_0`). These are written once, into
//! cargo's folder for such files.
#![allow(clippy::print_stdout, reason = "the result is the output")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench stops at what should not happen")]

mod shared;
#[path = "../engine/tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use engine::{Engine, LoadOptions, ModelSource, ToolSchema};
use serde_json::{Value, json};
use shared::{Pair, load, median, model_file, pair, rounded};
use support::models::{self, BENCH, SMALL, Shape};

/// Repetitions without an argument.
const REPETITIONS: u32 = 9;
/// Smaller files are placeholders.
const SMALLEST_MODEL: u64 = 100_000;

fn main() {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |index: usize| arguments.get(index).map(|text| text.parse::<u32>().expect("REPETITIONS and THREADS are numbers"));
    let repetitions = number(0).unwrap_or(REPETITIONS) as usize;
    let threads = number(1).filter(|threads| *threads > 0);
    let measure = |path: &Path, repetitions: usize, prompts: &[&str], tools: &[ToolSchema]| {
        let options = LoadOptions { context: Some(2048), threads, draft: false, ..LoadOptions::new(ModelSource::File(path.into())) };
        measure(&options, repetitions, prompts, tools)
    };
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo/demo.gguf");
    let is_model = |path: &Path| path.metadata().is_ok_and(|metadata| metadata.len() >= SMALLEST_MODEL);
    let mut results = serde_json::Map::new();
    if let Some(path) = arguments.get(2) {
        results.insert("given".into(), measure(Path::new(path), repetitions, &TALK, &[]));
    } else {
        if is_model(&demo) {
            results.insert("demo".into(), measure(&demo, repetitions * 4, &TALK, &[]));
            results.insert("demo_tools".into(), measure(&demo, repetitions * 4, &ERRANDS, &tools()));
        }
        results.insert("random_1.7m_q4_0".into(), measure(&random_model("1.7m", &SMALL), repetitions * 4, &["Count."], &[]));
        results.insert("random_0.6b_q4_0".into(), measure(&random_model("0.6b", &BENCH), repetitions, &["Count."], &[]));
    }
    let report =
        json!({ "threads": threads, "threads_available": std::thread::available_parallelism().map_or(0, usize::from), "models": results });
    println!("{}", serde_json::to_string_pretty(&report).expect("it is JSON"));
}

/// What is said to a model that ends its replies itself.
const TALK: [&str; 4] = ["hello", "who are you?", "thank you", "what is the capital of France?"];
/// What makes the demo model call a tool, so that the grammar is at work.
const ERRANDS: [&str; 4] = ["run uname -a", "read notes.txt", "remember that my bike is green", "write hello world to notes.txt"];

fn tools() -> Vec<ToolSchema> {
    let tool = |name: &str, keys: &[&str]| {
        let properties: serde_json::Map<String, Value> = keys.iter().map(|key| ((*key).into(), json!({"type": "string"}))).collect();
        let parameters = json!({"type": "object", "properties": properties, "required": keys});
        ToolSchema { name: name.into(), description: name.into(), parameters }
    };
    vec![
        tool("shell", &["command"]),
        tool("read_file", &["path"]),
        tool("write_file", &["path", "content"]),
        tool("remember", &["text"]),
        tool("recall", &["query"]),
    ]
}

fn random_model(name: &str, shape: &Shape) -> PathBuf {
    model_file(&format!("random-{name}-q4_0"), || models::random(shape, 1))
}

fn measure(options: &LoadOptions, repetitions: usize, prompts: &[&str], tools: &[ToolSchema]) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let engine = runtime.block_on(load(options.clone()));
    let turns = (0..repetitions).flat_map(|turn| prompts.iter().map(move |prompt| (turn, *prompt)));
    // The first pair warms caches up and does not count.
    let pairs: Vec<Pair> = turns.map(|(turn, prompt)| runtime.block_on(pair(&engine, turn, prompt, tools))).skip(1).collect();
    report(&engine, &pairs)
}

fn report(engine: &Engine, pairs: &[Pair]) -> Value {
    let sum = |pick: &dyn Fn(&Pair) -> f64| pairs.iter().map(pick).sum::<f64>();
    let tokens = sum(&|pair| f64::from(pair.tokens));
    let prompt = sum(&|pair| f64::from(pair.prompt));
    let of = |index: usize| (sum(&|pair| pair.engine[index].as_secs_f64()), sum(&|pair| pair.bare[index].as_secs_f64()));
    let ratio = |index: usize| median(pairs.iter().map(|pair| pair.bare[index].as_secs_f64() / pair.engine[index].as_secs_f64()));
    let ((engine_prefill, bare_prefill), (engine_decode, bare_decode)) = (of(0), of(1));
    // What the machine can do when nothing else runs on it: the least time per token each way.
    let least = |pick: &dyn Fn(&Pair) -> f64| pairs.iter().map(|pair| pick(pair) / f64::from(pair.tokens)).fold(f64::INFINITY, f64::min);
    let (engine_least, bare_least) = (least(&|pair| pair.engine[1].as_secs_f64()), least(&|pair| pair.bare[1].as_secs_f64()));
    let outside = median(pairs.iter().map(|pair| (pair.engine[1].as_secs_f64() - pair.bare[1].as_secs_f64()) / f64::from(pair.tokens)));
    json!({
        "model": engine.info().name,
        "parameters": engine.info().parameters,
        "pairs": pairs.len(),
        "decode_tokens": tokens,
        "bare_decode_tps": rounded(tokens / bare_decode),
        "engine_decode_tps": rounded(tokens / engine_decode),
        "decode_ratio": rounded(bare_decode / engine_decode),
        "decode_ratio_median": rounded(ratio(1)),
        "decode_ratio_least_times": rounded(bare_least / engine_least),
        "bare_us_per_token_least": rounded(bare_least * 1e6),
        "engine_us_per_token_least": rounded(engine_least * 1e6),
        "engine_us_per_token_outside": rounded(outside * 1e6),
        "prefill_tokens": prompt,
        "bare_prefill_tps": rounded(prompt / bare_prefill),
        "engine_prefill_tps": rounded(prompt / engine_prefill),
        "prefill_ratio_median": rounded(ratio(0)),
    })
}
