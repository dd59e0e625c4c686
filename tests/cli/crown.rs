//! The worst in turn at each journal write: a turn with read, write and network tools, approvals, tasks and a scheduled job is always
//! finished once, no write is repeated, nothing is lost, and what was cut off is asked about.
//!
//! Driven from outside: this watches the write-ahead log and kills the program after its n-th change, at once or some milliseconds later;
//! or it leaves n free pages on the disk for each command, so that its n-th page is one too many. Then it goes on as an owner would. By
//! default some points are tried; `PAGURO_CROWN_STEP=1` takes them all, `PAGURO_CROWN_FROM` says where to begin. What goes wrong at a
//! point is told at the end, so that one does not hide the others.
#![allow(clippy::print_stderr, reason = "which lives went how is read where many are tried")]

mod life;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::Home;
use life::{Blow, Life};

/// Points of kill left out between two that are tried, in an ordinary run of the tests. Odd: every second one is late.
const KILL_STEP: usize = 19;

/// The same for pages of room.
const FULL_STEP: usize = 11;

/// A late kill comes up to so many milliseconds after the change: a tool takes about as long.
const LATEST: usize = 24;

/// One in so many full disks is waited out by `serve`, which takes a minute, if all points are tried.
const WAITED_OUT: usize = 25;

/// A web server that counts its visits.
fn server() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let visits = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&visits);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // A client that was killed has nothing to say.
            if stream.read(&mut request).unwrap_or(0) > 0 {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\nConnection: close\r\n\r\nweb words");
            }
        }
    });
    (port, visits)
}

fn call(name: &str, arguments: Value) -> Value {
    json!([{ "name": name, "arguments": arguments }])
}

/// What the model says: each result leads to the next call, also where the owner said no or the disk had no room.
fn script(port: u16) -> Vec<Value> {
    let after = |when: &str, calls: Value| json!({"when": when, "role": "tool", "tool_calls": calls});
    let url = format!("http://127.0.0.1:{port}/");
    vec![
        json!({"when": "^begin", "role": "user", "tool_calls": call("read_file", json!({"path": "a.txt"}))}),
        after("^text of a", call("write_file", json!({"path": "out.txt", "content": "one"}))),
        after("(out.txt|not allow this: one)", call("shell", json!({"command": "echo x >> log && echo logged || echo nolog"}))),
        after("(logged|nolog|not allow this: two)", call("web_fetch", json!({"url": url}))),
        after("(web words|not allow this: three)", call("spawn", json!({"tasks": ["look", "write"]}))),
        json!({"when": "^look", "role": "user", "tool_calls": call("read_file", json!({"path": "b.txt"}))}),
        json!({"when": "^text of b", "role": "tool", "text": "looked"}),
        json!({"when": "^write", "role": "user", "tool_calls": call("write_file", json!({"path": "task.txt", "content": "t"}))}),
        json!({"when": "(task.txt|not allow this: four)", "role": "tool", "text": "wrote"}),
        json!({"when": "^task 1: looked", "role": "tool", "text": "all done"}),
        json!({"when": "^tick", "role": "user", "tool_calls": call("shell", json!({"command": "echo j >> joblog && echo ticked || echo notick"}))}),
        json!({"when": "(ticked|notick|not allow this: five)", "role": "tool", "text": "job done"}),
    ]
}

/// A life with `blow` in it.
fn life(home: Home, blow: Blow) -> Life {
    let (port, visits) = server();
    home.file("workspace/a.txt", "text of a");
    home.file("workspace/b.txt", "text of b");
    home.file(
        "paguro.toml",
        format!(
            "[web]\nallow_private = ['127.0.0.1:{port}']\n\
             [[policy]]\ntool = 'write_file'\ndecision = 'allow'\n\
             [[policy]]\ntool = 'shell'\nchannel = 'job'\ndecision = 'allow'\n"
        ),
    );
    let model = home.script(&script(port));
    Life::new(home, model, visits, blow)
}

/// Everything is done, and done once.
fn check(life: &Life, blow: Blow) {
    for (session, outcome) in [("s", "all done"), ("job-tick", "job done")] {
        let [turn] = life.turns(session).try_into().unwrap_or_else(|turns| panic!("{session}: {turns:#?}"));
        assert_eq!((&turn["state"], &turn["outcome"]), (&json!("done"), &json!(outcome)), "{turn:#}");
    }
    assert_eq!(life.waiting(), [Value::Null; 0]);
    assert_eq!(life.visits.load(Ordering::SeqCst), 1);
    let results = life.results();
    let files = [("log", "x\n", "nolog"), ("joblog", "j\n", "notick"), ("out.txt", "one", "out.txt"), ("task.txt", "t", "task.txt")];
    for (name, whole, why_not) in files {
        match life.text(name).as_deref() {
            Some(text) if text == whole => {}
            // The disk was full and the tool has said so; the shell makes a file before it writes to it.
            None if matches!(blow, Blow::Full(..)) && results.iter().any(|(ok, text)| !ok && text.contains(why_not)) => {}
            Some("")
                if matches!(blow, Blow::Full(..)) && name.ends_with("log") && results.iter().any(|(_, text)| text.contains(why_not)) => {}
            other => panic!("{name} holds {other:?}: {results:#?}"),
        }
    }
    let doctor = life.home.run(&["doctor", "--format", "json"]);
    let checks: Value = serde_json::from_str(&doctor.stdout).unwrap_or_else(|error| panic!("{error}: {doctor:?}"));
    let database = checks["checks"].as_array().unwrap().iter().find(|check| check["what"] == "database").unwrap();
    assert_eq!(database["state"], "ok", "{database}");
}

/// Lives with one blow after the other, until one is over before its blow; how many blows were felt.
fn lives(step: usize, home: impl Fn() -> Home, blow: impl Fn(usize) -> Blow) -> usize {
    let from = number("PAGURO_CROWN_FROM").unwrap_or(1);
    let (mut felt, mut wrong) = (0, Vec::new());
    for index in (from..).step_by(step) {
        let blow = blow(index);
        let mut life = life(home(), blow);
        let well = catch_unwind(AssertUnwindSafe(|| {
            life.live();
            check(&life, blow);
        }));
        if well.is_err() {
            wrong.push(index);
            eprintln!("{:#?} {:#?}", life.told, life.results());
        }
        let fate = if well.is_ok() { "well" } else { "WRONG" };
        eprintln!("{index}: {blow:?}, felt {} times, {fate}", life.felt);
        if life.felt == 0 {
            break;
        }
        felt += life.felt;
    }
    assert!(wrong.is_empty(), "wrong at {wrong:?}; {felt} blows were felt");
    felt
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn killed_after_each_journal_write() {
    // At once, and then in the middle of what comes next.
    let blow = |index: usize| {
        let late = if index % 2 == 1 { 0 } else { 1 + index * 5 % LATEST };
        Blow::Kill(index.div_ceil(2), Duration::from_millis(late as u64))
    };
    let felt = lives(number("PAGURO_CROWN_STEP").unwrap_or(KILL_STEP), Home::new, blow);
    assert!(felt >= 5, "only {felt} points of kill were met");
}

#[test]
fn disk_full_at_each_write() {
    if Home::on_small_disk().is_none() {
        eprintln!("not tried: this system lets nobody mount a disk of their own");
        return;
    }
    let step = number("PAGURO_CROWN_STEP").unwrap_or(FULL_STEP);
    let blow = |index: usize| Blow::Full(index - 1, step == 1 && index.is_multiple_of(WAITED_OUT));
    let felt = lives(step, || Home::on_small_disk().unwrap(), blow);
    assert!(felt >= 10, "only {felt} full disks were met");
}
