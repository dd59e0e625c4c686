//! A sandboxed `true` against a bare one, taken in turns, through the real executable. Prints one JSON object.
//!
//!     cargo build --release && cargo bench -p tools --bench sandbox [-- REPETITIONS [PROGRAM]]
//!
//! PROGRAM: what has the inside, by default `paguro` in the target folder.
#![allow(clippy::print_stdout, reason = "the result is the output")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench stops at what should not happen")]

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tools::sandbox::{Call, Network};
use tools::{Sandbox, SandboxSettings};

/// Repetitions without an argument.
const REPETITIONS: usize = 200;

fn main() {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let repetitions = arguments.first().map_or(REPETITIONS, |text| text.parse().expect("REPETITIONS is a number"));
    let beside = || std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("paguro");
    let inner = arguments.get(1).map_or_else(beside, PathBuf::from);
    let started = Instant::now();
    let sandbox = Sandbox::new(SandboxSettings { inner: inner.clone(), ..SandboxSettings::default() });
    let layers = sandbox.report().in_force.len();
    let finding_out = started.elapsed();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut bare, mut sandboxed) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        for _ in 0..=repetitions {
            bare.push(timed(tokio::process::Command::new("/bin/true")).await);
            sandboxed.push(timed(confined(&sandbox)).await);
        }
    });
    // The first pair warms caches up and does not count.
    let (bare, sandboxed) = (sorted(&bare[1..]), sorted(&sandboxed[1..]));
    let at = |times: &[f64], part: usize| (times[(times.len() - 1) * part / 100] * 100.0).round() / 100.0;
    let report = json!({
        "program": inner, "layers": layers, "repetitions": repetitions, "finding_out_ms": finding_out.as_secs_f64() * 1e3,
        "bare_ms": {"median": at(&bare, 50), "p90": at(&bare, 90)},
        "sandboxed_ms": {"median": at(&sandboxed, 50), "p90": at(&sandboxed, 90)},
        "over_ms": {"median": at(&sandboxed, 50) - at(&bare, 50), "least": at(&sandboxed, 0) - at(&bare, 0)},
    });
    println!("{}", serde_json::to_string_pretty(&report).expect("it is JSON"));
}

fn confined(sandbox: &Sandbox) -> tokio::process::Command {
    let workspace = std::env::temp_dir().canonicalize().unwrap();
    let call = Call {
        program: OsStr::new("/bin/true"),
        arguments: &[],
        workspace: &workspace,
        environment: &[],
        network: &Network::None,
        control: false,
    };
    sandbox.command(&call).expect("a sandbox").command
}

async fn timed(mut command: tokio::process::Command) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    assert!(command.status().await.unwrap().success());
    started.elapsed()
}

fn sorted(times: &[Duration]) -> Vec<f64> {
    let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    times
}
