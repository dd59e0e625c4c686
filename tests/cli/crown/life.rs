//! One life of the program, driven as an owner would, with kill -9 once in it or a full disk again and again.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Home, Writes, finish};

/// Lines of `serve` that wait to be looked at.
const LINES: usize = 1_024;

/// Longer than a scenario takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A disk is full for so long if nobody says that it is.
const SHORT: Duration = Duration::from_secs(3);

/// Rounds of answering and serving that are enough after any blow.
const ROUNDS: usize = 30;

/// Full disks that are met in one life; then the owner has bought a larger one.
const PATIENT: usize = 8;

/// What happens to the program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Blow {
    /// kill -9, once, after so many changes of the log and somewhat later.
    Kill(usize, Duration),
    /// Each command finds so many free pages on its disk. There is room again when it has ended, when it has said that there is none, or
    /// after some seconds; and when it is tried again. `true`: `serve` must go on by itself, which takes a minute; else it is stopped and
    /// started again.
    Full(usize, bool),
}

pub struct Life {
    pub home: Home,
    model: String,
    pub visits: Arc<AtomicUsize>,
    blow: Blow,
    writes: Writes,
    /// When the kill comes, once the log has changed so often.
    due: Option<Instant>,
    /// Blows that were felt.
    pub felt: usize,
    /// Since when the disk has little room; `None`: it has enough.
    short: Option<Instant>,
    /// Commands that have found the disk full and have room at the next try.
    spared: HashSet<String>,
    /// All that the commands have told, for whoever looks into a failure.
    pub told: Vec<String>,
}

impl Life {
    pub fn new(home: Home, model: String, visits: Arc<AtomicUsize>, blow: Blow) -> Self {
        Self {
            home,
            model,
            visits,
            blow,
            writes: Writes::default(),
            due: None,
            felt: 0,
            short: None,
            spared: HashSet::new(),
            told: Vec::new(),
        }
    }

    /// Starts a command, with as little room as the blow says.
    fn start(&mut self, arguments: &[&str]) -> Child {
        if let (Blow::Full(pages, _), Some(disk)) = (self.blow, &mut self.home.disk)
            && !self.spared.remove(arguments[0])
            && self.felt < PATIENT
        {
            disk.fill_but(pages);
            self.short = Some(Instant::now());
        }
        self.home.command(arguments).spawn().unwrap()
    }

    /// There is room again; whether there was little.
    fn free(&mut self) -> bool {
        if let Some(disk) = &mut self.home.disk {
            disk.free();
        }
        self.short.take().is_some()
    }

    /// A command has said that the disk is full.
    fn feel(&mut self, arguments: &[&str]) {
        self.felt += usize::from(self.spared.insert(arguments[0].to_owned()));
    }

    /// Kills when it is time, and gives room when that is over; whether the program is killed now. Called as often as can be.
    fn watch(&mut self, child: &mut Child) -> bool {
        std::thread::yield_now();
        match self.blow {
            Blow::Kill(after, later) if self.felt == 0 => {
                if self.writes.look(&self.home) >= after && self.due.is_none() {
                    self.due = Some(Instant::now() + later);
                }
                if self.due.is_none_or(|due| Instant::now() < due) {
                    return false;
                }
                child.kill().unwrap();
                child.wait().unwrap();
                self.felt = 1;
                true
            }
            Blow::Full(..) if self.short.is_some_and(|since| since.elapsed() > SHORT) => {
                // Whether it was felt is seen when the command ends.
                self.home.disk.as_mut().unwrap().free();
                false
            }
            _ => false,
        }
    }

    /// Runs a command to its end or to the kill; whether it said that what was asked of it is done.
    fn run(&mut self, arguments: &[&str]) -> bool {
        let mut child = self.start(arguments);
        let mut killed = false;
        while child.try_wait().unwrap().is_none() {
            killed = self.watch(&mut child);
        }
        let run = finish(child);
        self.told.push(format!("{arguments:?} {run:?}"));
        let was_short = self.free();
        assert!(!run.stderr.contains("panicked"), "{arguments:?} {run:?}");
        match run.status {
            None if killed => {}
            Some(0 | 3) => {}
            Some(1) if was_short => {
                says_full(&run.stderr);
                self.feel(arguments);
            }
            _ => panic!("{arguments:?} {run:?}"),
        }
        matches!(run.status, Some(0 | 3))
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let run = self.home.run(&[arguments, &["--format", "json"]].concat());
        assert_eq!(run.status, Some(0), "{arguments:?} {run:?}");
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// Names of the sessions.
    pub fn sessions(&self) -> Vec<String> {
        let sessions = self.json(&["session", "list"]);
        sessions["sessions"].as_array().unwrap().iter().map(|session| session["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The turns of the session `name`, if it is there.
    pub fn turns(&self, name: &str) -> Vec<Value> {
        if !self.sessions().iter().any(|session| session == name) {
            return Vec::new();
        }
        let shown = self.json(&["session", "show", name]);
        shown["turns"].as_array().unwrap().iter().map(|turn| turn["turn"].clone()).collect()
    }

    /// What the tools answered, in all sessions, and whether it went well.
    pub fn results(&self) -> Vec<(bool, String)> {
        let shown = self.sessions().into_iter().map(|name| self.json(&["session", "show", &name]));
        let turns = shown.flat_map(|shown| shown["turns"].as_array().unwrap().clone());
        let steps = turns.flat_map(|turn| turn["steps"].as_array().unwrap().clone());
        let results = steps.filter(|step| step["kind"] == "result");
        results.map(|step| (step["ok"] == true, step["content"].as_str().unwrap().to_owned())).collect()
    }

    /// The text of a file of the workspace; `None`: it is not there.
    pub fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.home.path(&format!("workspace/{name}"))).ok()
    }

    /// Whether the effect of a call that was cut off is there. The shell makes a file before it writes to it.
    fn has_happened(&self, question: &Value) -> (bool, &'static str) {
        let there = |name: &str| self.text(name).is_some_and(|text| !text.is_empty());
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

    /// What waits for an answer.
    pub fn waiting(&self) -> Vec<Value> {
        self.json(&["approvals"])["approvals"].as_array().unwrap().clone()
    }

    /// Answers everything that waits, as somebody who looks first.
    fn answer(&mut self) {
        for question in self.waiting() {
            let id = question["id"].as_str().unwrap();
            let (happened, why) = self.has_happened(&question);
            assert!(!happened || question["cut_off"] == true, "it has run without being asked about: {question}");
            let recorded = match happened {
                true => self.run(&["approvals", "no", id, "--why", why, "--later"]),
                false => self.run(&["approvals", "yes", id, "--later"]),
            };
            assert!(!recorded || self.waiting().iter().all(|other| other["id"] != id), "the answer is lost: {question}");
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
        let arguments = ["serve", "--model", &model];
        let mut child = self.start(&arguments);
        let began_short = self.short.is_some();
        let (sender, lines) = mpsc::sync_channel(LINES);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let reader = std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let started = Instant::now();
        let number = |line: &str| {
            let after = line.split_once("turn{id=").or_else(|| line.split_once("began turn "))?.1;
            after.split(|c: char| !c.is_ascii_digit()).next()?.parse::<i64>().ok()
        };
        let (mut told, mut stopped, mut ended) = (Vec::new(), false, None);
        while ended.is_none() && (job_to_come || !open.is_empty()) {
            assert!(started.elapsed() < PATIENCE, "{open:?} {told:#?}");
            ended = child.try_wait().unwrap();
            if ended.is_none() && self.watch(&mut child) {
                break;
            }
            while let Ok(line) = lines.try_recv() {
                if self.short.is_some() && names_disk(&line) {
                    self.free();
                    self.feel(&arguments);
                    if matches!(self.blow, Blow::Full(_, false)) {
                        stopped = terminate(&mut child);
                    }
                } else if line.contains("began turn") {
                    job_to_come = false;
                    open.extend(number(&line));
                } else if let Some(turn) = number(&line) {
                    open.remove(&turn);
                }
                told.push(line);
            }
        }
        // Its end is a moment like any other, but the journal says all that matters.
        let _ = child.kill();
        child.wait().unwrap();
        reader.join().unwrap();
        self.free();
        told.extend(lines.try_iter());
        self.told.push(format!("serve {ended:?} {told:#?}"));
        assert!(told.iter().all(|line| !line.contains("panicked")), "{told:#?}");
        match ended.map(|status| status.code()) {
            None => {}
            Some(Some(0)) if stopped => {}
            Some(Some(1)) if began_short => {
                says_full(&told.join("\n"));
                self.feel(&arguments);
            }
            Some(_) => panic!("{ended:?} {told:#?}"),
        }
    }

    /// Goes on until everything is done.
    pub fn live(&mut self) {
        for _ in 0..ROUNDS {
            let jobs = |life: &Self| life.json(&["job", "list"])["jobs"].as_array().unwrap().len();
            if jobs(self) == 0 && self.turns("job-tick").is_empty() {
                let added = self.run(&["job", "add", "tick", "in 1 second", "tick"]);
                assert!(!added || jobs(self) == 1, "the job is lost");
            }
            if self.turns("s").is_empty() {
                let model = self.model.clone();
                let accepted = self.run(&["ask", "begin", "--session", "s", "--approve", "wait", "--model", &model]);
                assert!(!accepted || !self.turns("s").is_empty(), "the message is lost");
            }
            self.answer();
            let done = |turns: &[Value]| turns.len() == 1 && turns[0]["state"] != "open";
            if done(&self.turns("s")) && done(&self.turns("job-tick")) {
                return;
            }
            self.serve();
        }
        panic!("it is never done: {:#?} {:#?}", self.turns("s"), self.waiting());
    }
}

fn names_disk(line: &str) -> bool {
    line.contains("is full") || line.contains("no space left")
}

/// One line of the program's own says that the disk is full, and it is the last one; a tool may have said so before.
fn says_full(stderr: &str) {
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("paguro: ") && names_disk(last), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("paguro: ") && names_disk(line)).count(), 1, "{stderr}");
}

/// Ends it as the system ends a service, if it has not ended by itself.
fn terminate(child: &mut Child) -> bool {
    let runs = child.try_wait().unwrap().is_none();
    runs && Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success()
}
