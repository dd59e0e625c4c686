//! kill -9 after each journal write in turn: a turn with read, write and network tools, approvals, tasks and a scheduled job is always
//! finished once, no write is repeated, nothing is lost, and what was cut off is asked about.
//!
//! Driven from outside: this watches the write-ahead log and kills the program right after its n-th change, then goes on as an owner would.
//! By default every [`STEP`]th point; `PAGURO_CROWN_STEP=1` takes them all.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::support::Home;

/// Points left out between two that are tried, in an ordinary run of the tests.
const STEP: usize = 9;

/// Lines of `serve` that wait to be looked at.
const LINES: usize = 1_024;

/// Longer than a scenario takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// What the model says: each result leads to the next call, also where the owner said no.
fn script(port: u16) -> Vec<Value> {
    let after = |when: &str, calls: Value| json!({"when": when, "role": "tool", "tool_calls": calls});
    let url = format!("http://127.0.0.1:{port}/");
    vec![
        json!({"when": "^begin", "role": "user", "tool_calls": call("read_file", json!({"path": "a.txt"}))}),
        after("^text of a", call("write_file", json!({"path": "out.txt", "content": "one"}))),
        after("(to out.txt|not allow this: one)", call("shell", json!({"command": "echo x >> log; echo logged"}))),
        after("(^logged|not allow this: two)", call("web_fetch", json!({"url": url}))),
        after("(web words|not allow this: three)", call("spawn", json!({"tasks": ["look", "write"]}))),
        json!({"when": "^look", "role": "user", "tool_calls": call("read_file", json!({"path": "b.txt"}))}),
        json!({"when": "^text of b", "role": "tool", "text": "looked"}),
        json!({"when": "^write", "role": "user", "tool_calls": call("write_file", json!({"path": "task.txt", "content": "t"}))}),
        json!({"when": "(to task.txt|not allow this: four)", "role": "tool", "text": "wrote"}),
        json!({"when": "^task 1: looked", "role": "tool", "text": "all done"}),
        json!({"when": "^tick", "role": "user", "tool_calls": call("shell", json!({"command": "echo j >> joblog; echo ticked"}))}),
        json!({"when": "(^ticked|not allow this: five)", "role": "tool", "text": "job done"}),
    ]
}

/// One life of the program: how it is driven, and after how many changes of the log it is killed.
struct Life {
    home: Home,
    model: String,
    visits: Arc<AtomicUsize>,
    /// Changes until the kill; 0: it has been, or is not to be.
    left: usize,
    killed: bool,
    seen: Option<(u64, SystemTime)>,
}

impl Life {
    fn new(left: usize) -> Self {
        let (port, visits) = server();
        let home = Home::new();
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
        Self { home, model, visits, left, killed: false, seen: None }
    }

    /// Whether the log has changed so often that it is time to kill.
    fn is_time(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        let now = std::fs::metadata(self.home.path("paguro.db-wal")).ok().map(|log| (log.len(), log.modified().unwrap()));
        if now != self.seen && now.is_some() {
            self.seen = now;
            self.left -= 1;
        }
        self.left == 0
    }

    /// Runs a command to its end or to the kill.
    fn run(&mut self, arguments: &[&str]) {
        let mut child = self.home.command(arguments).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            if self.is_time() {
                self.kill(&mut child);
            }
            std::thread::yield_now();
        }
    }

    fn kill(&mut self, child: &mut Child) {
        child.kill().unwrap();
        child.wait().unwrap();
        self.killed = true;
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let run = self.home.run(&[arguments, &["--format", "json"]].concat());
        assert_eq!(run.status, Some(0), "{run:?}");
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// The turns of the session `name`, if it is there.
    fn turns(&self, name: &str) -> Vec<Value> {
        let sessions = self.json(&["session", "list"]);
        let there = sessions["sessions"].as_array().unwrap().iter().any(|session| session["name"] == name);
        if !there {
            return Vec::new();
        }
        let shown = self.json(&["session", "show", name]);
        shown["turns"].as_array().unwrap().iter().map(|turn| turn["turn"].clone()).collect()
    }

    /// Whether the effect of a call that was cut off is there.
    fn has_happened(&self, question: &Value) -> (bool, &'static str) {
        let there = |name: &str| self.home.path(&format!("workspace/{name}")).exists();
        let arguments = question["arguments"].to_string();
        match question["tool"].as_str().unwrap() {
            "write_file" if arguments.contains("out.txt") => (there("out.txt"), "one"),
            "write_file" => (there("task.txt"), "four"),
            "shell" if arguments.contains("joblog") => (there("joblog"), "five"),
            "shell" => (there("log"), "two"),
            "web_fetch" => (self.visits.load(Ordering::SeqCst) > 0, "three"),
            other => panic!("nobody should ask about {other}: {question}"),
        }
    }

    /// Answers everything that waits, as somebody who looks first.
    fn answer(&mut self) {
        let waiting = self.json(&["approvals"]);
        for question in waiting["approvals"].as_array().unwrap() {
            let id = question["id"].as_str().unwrap();
            let (happened, why) = self.has_happened(question);
            assert!(!happened || question["cut_off"] == true, "it has run without being asked about: {question}");
            if happened {
                self.run(&["approvals", "no", id, "--why", why, "--later"]);
            } else {
                self.run(&["approvals", "yes", id, "--later"]);
            }
        }
    }

    /// Lets `serve` do what it can.
    fn serve(&mut self) {
        let mut open: HashSet<i64> = ["s", "job-tick"]
            .iter()
            .flat_map(|session| self.turns(session))
            .filter(|turn| turn["state"] == "open")
            .map(|turn| turn["id"].as_i64().unwrap())
            .collect();
        let jobs = self.json(&["job", "list"]);
        let mut job_to_come = !jobs["jobs"].as_array().unwrap().is_empty() && self.turns("job-tick").is_empty();
        let model = self.model.clone();
        let mut child = self.home.command(&["serve", "--model", &model]).spawn().unwrap();
        let (sender, lines) = mpsc::sync_channel(LINES);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let reader = std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let started = Instant::now();
        let number = |line: &str| line.split_whitespace().skip_while(|word| *word != "turn").nth(1)?.parse::<i64>().ok();
        let mut told = Vec::new();
        while job_to_come || !open.is_empty() {
            assert!(child.try_wait().unwrap().is_none() && started.elapsed() < PATIENCE, "{open:?} {told:#?}");
            if self.is_time() {
                self.kill(&mut child);
                break;
            }
            while let Ok(line) = lines.try_recv() {
                if line.contains("began turn") {
                    job_to_come = false;
                    open.extend(number(&line));
                } else if let Some(turn) = number(&line) {
                    open.remove(&turn);
                }
                told.push(line);
            }
            std::thread::yield_now();
        }
        // Its end is a moment like any other, but the journal says all that matters.
        let _ = child.kill();
        child.wait().unwrap();
        reader.join().unwrap();
    }

    /// Goes on until everything is done.
    fn live(&mut self) {
        for _ in 0..30 {
            let jobs = self.json(&["job", "list"]);
            if jobs["jobs"].as_array().unwrap().is_empty() && self.turns("job-tick").is_empty() {
                self.run(&["job", "add", "tick", "in 1 second", "tick"]);
            }
            if self.turns("s").is_empty() {
                let model = self.model.clone();
                self.run(&["ask", "begin", "--session", "s", "--approve", "wait", "--model", &model]);
            }
            self.answer();
            let done = |turns: &[Value]| turns.len() == 1 && turns[0]["state"] != "open";
            if done(&self.turns("s")) && done(&self.turns("job-tick")) {
                return;
            }
            self.serve();
        }
        panic!("it is never done: {:#?} {:#?}", self.turns("s"), self.json(&["approvals"]));
    }

    fn check(&self, point: usize) {
        let [turn] = self.turns("s").try_into().unwrap_or_else(|turns| panic!("point {point}: {turns:#?}"));
        assert_eq!((&turn["state"], &turn["outcome"]), (&json!("done"), &json!("all done")), "point {point}: {turn:#}");
        let [job] = self.turns("job-tick").try_into().unwrap_or_else(|turns| panic!("point {point}: {turns:#?}"));
        assert_eq!((&job["state"], &job["outcome"]), (&json!("done"), &json!("job done")), "point {point}: {job:#}");
        let file = |name: &str| std::fs::read_to_string(self.home.path(&format!("workspace/{name}"))).unwrap();
        assert_eq!([file("log"), file("joblog"), file("out.txt"), file("task.txt")], ["x\n", "j\n", "one", "t"], "point {point}");
        assert_eq!(self.visits.load(Ordering::SeqCst), 1, "point {point}");
        let doctor = self.json(&["approvals"]);
        assert_eq!(doctor["approvals"], json!([]), "point {point}");
    }
}

#[test]
fn killed_after_each_journal_write() {
    let step = std::env::var("PAGURO_CROWN_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(STEP);
    let mut points = 0;
    for point in (1..).step_by(step) {
        let mut life = Life::new(point);
        life.live();
        life.check(point);
        if !life.killed {
            break;
        }
        points += 1;
    }
    assert!(points * step >= 40, "only {points} points of kill were met");
}
