//! The memory plan against the memory that a process really takes (Linux): plans a model, loads it in a child process, fills its
//! context, and compares the child's peak with the plan. Prints one JSON object; fails if a real shape is off by more than 5 %.
//!
//!     cargo bench -p engine --bench plan [-- MODEL.gguf CONTEXT]
//!
//! Models: MODEL.gguf if given, else random-weight ones of a real shape (28 layers, width 1024, vocabulary 151,936, `q4_0`), and one
//! that is nearly all vocabulary, with as many merges as a real one has.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the result is the output, and how far it is goes to stderr")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench stops at what should not happen")]

#[path = "../engine/tests/support/child.rs"]
mod child;
#[path = "../engine/tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use child::{Taken, take};
use engine::{CacheType, LoadOptions, ModelSource, Plan};
use serde_json::{Value, json};
use support::gguf::{Gguf, Value as Metadata};
use support::models::{self, BENCH, SMALL, Shape};

/// How far off the plan may be.
const TOLERANCE: f64 = 0.05;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--child", path, context, kind] => child(Path::new(path), context.parse().expect("a number"), kind),
        [path, context] => println!("{:#}", measure(Path::new(path), context.parse().expect("CONTEXT is a number"), CacheType::Q4_0)),
        [] => all(),
        _ => panic!("give MODEL.gguf and CONTEXT, or nothing"),
    }
}

fn all() {
    let real = file("0.6b-q4_0", || models::random(&BENCH, 1));
    let vocabulary = file("vocabulary", || {
        let mut gguf = models::random(&Shape { vocabulary: BENCH.vocabulary, context: 40_960, ..SMALL }, 1);
        // Of characters that no prompt here has.
        gguf.set("tokenizer.ggml.merges", Metadata::Texts((0..151_387).map(|merge| format!("ß{merge} ü{merge}")).collect()));
        gguf
    });
    let mut results = serde_json::Map::new();
    for (name, path, context, cache_type) in [
        ("vocabulary 2048 q4_0", &vocabulary, 2048, CacheType::Q4_0),
        ("0.6b 768 q4_0", &real, 768, CacheType::Q4_0),
        ("0.6b 2048 q4_0", &real, 2048, CacheType::Q4_0),
        ("0.6b 2048 f16", &real, 2048, CacheType::F16),
    ] {
        eprintln!("{name} …");
        results.insert(name.into(), measure(path, context, cache_type));
    }
    println!("{:#}", Value::Object(results.clone()));
    let off = |result: &Value| (result["ratio"].as_f64().expect("a ratio") - 1.0).abs();
    for (name, result) in results.iter().filter(|(name, _)| name.starts_with("0.6b")) {
        assert!(off(result) <= TOLERANCE, "the plan of {name} is off by more than {TOLERANCE}: {}", result["ratio"]);
    }
}

fn options(path: &Path, context: u32, cache_type: CacheType) -> LoadOptions {
    LoadOptions {
        context: Some(context),
        cache_type_k: cache_type,
        cache_type_v: cache_type,
        ..LoadOptions::new(ModelSource::File(path.into()))
    }
}

fn measure(path: &Path, context: u32, cache_type: CacheType) -> Value {
    let start = Instant::now();
    let plan = Plan::of(&options(path, context, cache_type)).expect("it can be planned");
    let plan_ms = start.elapsed().as_secs_f64() * 1e3;
    let child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--child", path.to_str().expect("UTF-8"), &context.to_string(), cache_type.name()])
        .output()
        .expect("the child runs");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let taken: Value = serde_json::from_slice(&child.stdout).expect("the child prints JSON");
    let bytes = |key: &str| taken[key].as_u64().expect("bytes");
    let (before, peak) = (bytes("before"), bytes("peak"));
    #[allow(clippy::cast_precision_loss, reason = "a ratio")]
    let ratio = |taken: u64, planned: u64| (taken as f64 / planned as f64 * 1e4).round() / 1e4;
    json!({
        // The stricter one: without what the process had before.
        "ratio": ratio(peak - before, plan.needs()),
        "ratio_whole_process": ratio(peak, plan.needs() + before),
        "taken": peak - before,
        "needs": plan.needs(),
        "child": taken,
        "plan_ms": plan_ms.round(),
        "plan": plan,
    })
}

fn child(path: &Path, context: u32, cache_type: &str) {
    let kind = CacheType::ALL.into_iter().find(|kind| kind.name() == cache_type).expect("a cache type");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let Taken { before, peak, prompt, load_ms, token_ms } = runtime.block_on(take(options(path, context, kind)));
    println!("{}", json!({ "before": before, "peak": peak, "prompt": prompt, "load_ms": load_ms, "token_ms": token_ms }));
}

/// A model, written once into cargo's folder for such files.
fn file(name: &str, make: impl FnOnce() -> Gguf) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("random-{name}.gguf"));
    if !path.exists() {
        let half = path.with_extension("part");
        make().write(&half).expect("the model can be written");
        std::fs::rename(half, &path).expect("the model can be renamed");
    }
    path
}
