//! What `paguro serve` costs beside its model: memory, idle time, the start, the way through the socket, the end.
//!
//! A quick look by default; `PAGURO_FOOTPRINT=1` takes the time for figures worth writing down, which are printed. What is asserted
//! bears a busy machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bot::Bot;
use super::support::Home;
use super::telegram_storm::Run;

const SCRIPT: &str = r#"
{"when":"^slow","text":"one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen","delay_ms":2000}
{"when":"(.*)","text":"You said: $1. It is as you say, and there is a little more to it, for a reply of some length."}
"#;

const OWNER: i64 = 1;

/// Ticks of a process's time in a second.
const TICKS: f64 = 100.0;

fn serve(bot: &Bot) -> (Run, Duration) {
    bot.user(OWNER, "Anna");
    let home = Home::new();
    bot.configure(&home, &[OWNER], "");
    let start = Instant::now();
    let run = Run::start(home, SCRIPT);
    let socket = run.home.path("paguro.sock");
    while exchange(&socket, &json!({ "request": "health" })).is_none_or(|answers| answers.is_empty()) {
        assert!(start.elapsed() < Duration::from_secs(20), "no health");
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = start.elapsed();
    (run, took)
}

/// Every line of the answer to a request; `None`: nobody listens.
fn exchange(socket: &Path, request: &Value) -> Option<Vec<Value>> {
    let stream = UnixStream::connect(socket).ok()?;
    writeln!(&stream, "{request}").ok()?;
    let mut lines = Vec::new();
    for line in BufReader::new(&stream).lines().map_while(Result::ok) {
        let line: Value = serde_json::from_str(&line).unwrap();
        let is_last = line["type"] == "result" || line["type"] == "error" || request["request"] == "health";
        lines.push(line);
        if is_last {
            break;
        }
    }
    Some(lines)
}

/// A line of `/proc/PID/status` in kB.
fn kilobytes(run: &Run, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", run.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Seconds that the process has run so far.
fn seconds(run: &Run) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", run.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
}

/// Milliseconds that the model was at work.
fn of_turn(result: &Value) -> f64 {
    let (timings, tokens) = (&result["timings"], result["usage"]["completion_tokens"].as_f64().unwrap_or_default());
    timings["first_token_ms"].as_f64().unwrap_or_default() + timings["decode_tps"].as_f64().map_or(0.0, |speed| tokens * 1e3 / speed)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[test]
fn serve_is_small_quiet_and_quick() {
    let is_whole = std::env::var("PAGURO_FOOTPRINT").is_ok();
    let (turns, idle) = if is_whole { (1_000, 60) } else { (100, 3) };
    let bot = Bot::start_unlimited();
    let (run, health) = serve(&bot);
    let socket = run.home.path("paguro.sock");
    let first = kilobytes(&run, "RssAnon");
    let mut more = Vec::new();
    for number in 0..turns {
        let start = Instant::now();
        let request = json!({ "request": "ask", "session": format!("s{}", number % 20), "text": format!("hello {number}") });
        let answers = exchange(&socket, &request).unwrap();
        let took = start.elapsed().as_secs_f64() * 1e3;
        let result = answers.last().unwrap();
        assert_eq!(result["type"], "result", "{result}");
        more.push(took - of_turn(result));
    }
    for number in 0..4 {
        bot.says(OWNER, &format!("word {number}"));
        bot.wait_for(OWNER, &format!("You said: word {number}"));
    }
    let mut asked = Vec::new();
    for number in 0..if is_whole { 40 } else { 5 } {
        let start = Instant::now();
        let ask = run.home.run(&["ask", "--session", "ask", "--format", "json", &format!("hello {number}")]);
        let took = start.elapsed().as_secs_f64() * 1e3;
        assert_eq!(ask.status, Some(0), "{}", ask.stderr);
        let result: Value = serde_json::from_str(&ask.stdout).unwrap();
        asked.push(took - of_turn(&result));
    }
    let (anonymous, resident) = (kilobytes(&run, "RssAnon"), kilobytes(&run, "VmRSS"));
    let before = seconds(&run);
    std::thread::sleep(Duration::from_secs(idle));
    let percent = (seconds(&run) - before) * 100.0 / idle as f64;
    for session in 0..4 {
        let stream = UnixStream::connect(&socket).unwrap();
        writeln!(&stream, "{}", json!({ "request": "ask", "session": format!("slow{session}"), "text": "slow" })).unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        std::mem::forget(stream);
    }
    let (_, end) = run.end("-TERM");
    eprintln!(
        "health after {health:?}; RssAnon {first} kB, after {turns} turns {anonymous} kB (VmRSS {resident} kB); idle {percent:.2} % of a core; \
         beyond the turn: socket {:.1} ms, `ask` {:.1} ms; end with turns running {end:?}",
        median(more.clone()),
        median(asked.clone()),
    );
    assert!(anonymous <= 40_000, "RssAnon {anonymous} kB after {turns} turns");
    assert!(end < Duration::from_secs(10) && health < Duration::from_secs(2), "{end:?} {health:?}");
    assert!(median(more) < 100.0 && median(asked) < 500.0 && percent < 5.0);
}

#[test]
fn a_signal_ends_it_while_the_model_loads() {
    for milliseconds in [5, 20, 40, 80, 160, 320] {
        let home = Home::new();
        let mut child = home.command(&["serve", "--model", "demo"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let start = Instant::now();
        let kill = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let status = child.wait().unwrap();
        eprintln!("{milliseconds} ms: {status}, {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(10), "{milliseconds} ms");
    }
}
