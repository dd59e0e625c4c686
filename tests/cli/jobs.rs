//! Jobs from outside: the commands, and `serve`, which is killed between.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command};

use serde_json::{Value, json};

use super::support::{Home, Run};

/// A running `serve` and what it tells.
struct Serve {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStderr>>,
}

impl Serve {
    /// Starts it and waits until it is ready.
    fn start(home: &Home, script: &[Value]) -> Self {
        let mut child = home.command(&["serve", "--model", &home.script(script)]).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut serve = Self { child, lines };
        serve.wait_for("ready");
        serve
    }

    /// The next line with `part`.
    fn wait_for(&mut self, part: &str) -> String {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if line.contains(part) {
                return line;
            }
            seen.push(line);
        }
        panic!("the program ended before it told of {part}: {seen:#?}");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as a service manager does; what it told until then.
    fn stop(mut self) -> Vec<String> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let rest: Vec<String> = self.lines.by_ref().map(Result::unwrap).collect();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{rest:?}");
        assert!(rest.last().is_some_and(|line| line.ends_with("stopped")), "{rest:?}");
        rest
    }
}

fn json(home: &Home, arguments: &[&str]) -> Value {
    let run = home.run(&[arguments, &["--format", "json"]].concat());
    assert_eq!(run.status, Some(0), "{run:?}");
    run.last()
}

/// What the session `main` has not been told yet.
fn untold(home: &Home, script: &[Value]) -> String {
    let run = home.run(&["ask", "anything new?", "--session", "main", "--model", &home.script(script)]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), "no\n"), "{run:?}");
    run.stderr
}

const NO: &str = r#"{"when": "anything new", "text": "no"}"#;

fn no() -> Value {
    serde_json::from_str(NO).unwrap()
}

/// The turns of a session.
fn turns(home: &Home, session: &str) -> Vec<Value> {
    let shown = json(home, &["session", "show", session]);
    shown["turns"].as_array().unwrap().iter().map(|turn| turn["turn"].clone()).collect()
}

/// The tokens of the prompts of a session's replies.
fn prompts(home: &Home, session: &str) -> Vec<u64> {
    let shown = json(home, &["session", "show", session]);
    let steps = shown["turns"].as_array().unwrap().iter().flat_map(|turn| turn["steps"].as_array().unwrap());
    steps.filter_map(|step| step["usage"]["prompt_tokens"].as_u64()).collect()
}

#[test]
fn jobs_are_added_shown_and_removed() {
    let home = Home::new();
    let add = |arguments: &[&str]| json(&home, &[&["job", "add"], arguments].concat());
    let job = add(&["disk", "every weekday at 9:00", "Is the disk full?", "--zone", "europe/berlin"]);
    assert_eq!(
        ["kind", "schedule", "zone", "session", "to", "missed", "state"].map(|key| job[key].as_str().unwrap()),
        ["prompt", "every weekday at 9:00", "Europe/Berlin", "job/job-disk", "terminal/main", "once", "waiting"]
    );
    add(&["tea", "in 20 minutes", "Take the tea out", "--reminder", "--session", "telegram/17", "--missed", "skip"]);
    let shown = json(&home, &["job", "show", "disk"]);
    let upcoming: Vec<&str> = shown["upcoming"].as_array().unwrap().iter().map(|next| next.as_str().unwrap()).collect();
    assert_eq!((upcoming.len(), &shown["next"]), (3, &json!(upcoming[0])));
    assert!(upcoming.iter().all(|next| next.contains("T09:00:00+0")), "{upcoming:?}");
    let text = home.run(&["job", "show", "disk"]).stdout;
    assert_eq!(text.matches("09:00 Europe/Berlin").count(), 4, "{text}");
    let names = |home: &Home| -> Vec<String> {
        let jobs = json(home, &["job", "list"])["jobs"].as_array().unwrap().clone();
        jobs.iter().map(|job| format!("{} {}", job["name"].as_str().unwrap(), job["state"].as_str().unwrap())).collect()
    };
    assert_eq!(names(&home), ["tea waiting", "disk waiting"]);
    assert_eq!(home.run(&["job", "pause", "tea"]).status, Some(0));
    assert_eq!(names(&home), ["tea paused", "disk waiting"]);
    assert_eq!(json(&home, &["job", "show", "tea"])["upcoming"], json!([]));
    assert_eq!(home.run(&["job", "resume", "tea"]).status, Some(0));
    assert_eq!(home.run(&["job", "rm", "disk"]).status, Some(0));
    assert_eq!(names(&home), ["tea waiting"]);
}

#[test]
fn what_is_wrong_is_named() {
    let home = Home::new();
    home.run(&["job", "add", "tea", "in 20 minutes", "tea"]);
    let check = |arguments: &[&str], words: &[&str]| {
        let run: Run = home.run(&[&["job"], arguments].concat());
        assert_eq!((run.status, run.stderr.lines().count(), run.stdout.as_str()), (Some(2), 1, ""), "{run:?}");
        for word in words {
            assert!(run.stderr.contains(word), "no {word:?} in {run:?}");
        }
    };
    check(&["add", "a", "0 25 * * *", "x"], &["the hour `25`", "0 to 23"]);
    check(&["add", "a", "0 9 * *", "x"], &["five fields", "has 4"]);
    check(&["add", "a", "soon", "x"], &["`soon`", "in 20 minutes"]);
    check(&["add", "a", "at 2020-01-01 09:00", "x"], &["over already"]);
    check(&["add", "a", "0 9 * * *", "x", "--zone", "Europe/Berln"], &["`Europe/Berln`", "Europe/Berlin?"]);
    check(&["add", "a b", "0 9 * * *", "x"], &["`a b`", "name"]);
    check(&["add", "a", "0 9 * * *", " "], &["text is empty"]);
    check(&["add", "tea", "0 9 * * *", "x"], &["tea already"]);
    check(&["heartbeat", "--every", "often"], &["`every often`"]);
    for command in ["show", "pause", "resume", "rm", "run"] {
        check(&[command, "coffee"], &["no job coffee", "job list"]);
    }
    home.file("paguro.toml", "[schedule]\nzone = \"Europe/Berln\"\n");
    check(&["list"], &["schedule.zone", "Europe/Berlin?"]);
}

#[test]
fn a_reminder_is_given_once_whatever_comes_between() {
    let home = Home::new();
    home.run(&["job", "add", "tea", "in 1 second", "Take the tea out", "--reminder"]);
    let mut serve = Serve::start(&home, &[no()]);
    serve.wait_for("job tea: said to terminal/main");
    serve.kill();
    let serve = Serve::start(&home, &[no()]);
    assert_eq!(serve.stop().len(), 1, "it is over");
    assert_eq!(json(&home, &["job", "show", "tea"])["state"], "over");
    let told = untold(&home, &[no()]);
    assert!(told.contains("from job-tea:") && told.matches("Take the tea out").count() == 1, "{told}");
    assert!(!untold(&home, &[no()]).contains("tea"));
}

#[test]
fn a_job_cut_off_goes_on_as_one_turn() {
    let home = Home::new();
    home.run(&["job", "add", "disk", "in 1 second", "look at the disk"]);
    let slow = [json!({"when": "^look at the disk\n\n\\[job: disk;", "text": "it is nearly full", "delay_ms": 30_000})];
    let mut serve = Serve::start(&home, &slow);
    let began = serve.wait_for("job disk: began turn");
    serve.kill();
    assert_eq!(json(&home, &["job", "show", "disk"])["state"], "running");
    // On a signal it ends at once, and the turn stays open.
    let serve = Serve::start(&home, &slow);
    let start = std::time::Instant::now();
    assert_eq!(serve.stop().len(), 1);
    assert!(start.elapsed() < std::time::Duration::from_secs(1), "{:?}", start.elapsed());
    let quick = [json!({"when": "^look at the disk", "text": "it is nearly full"}), no()];
    let mut serve = Serve::start(&home, &quick);
    let turn = began.rsplit(' ').next().unwrap();
    serve.wait_for(&format!("turn{{id={turn} channel=\"job\" session=\"job-disk\"}}"));
    serve.stop();
    assert_eq!(turns(&home, "job-disk").len(), 1);
    let told = untold(&home, &quick);
    assert!(told.contains("from job-disk:") && told.matches("it is nearly full").count() == 1, "{told}");
}

#[test]
fn every_run_begins_anew_and_none_overlaps() {
    let home = Home::new();
    home.run(&["job", "add", "count", "every 1 second", "count"]);
    let script = [json!({"when": "^count", "text": "one"})];
    let mut serve = Serve::start(&home, &script);
    for _ in 0..2 {
        serve.wait_for("job count: began turn");
        serve.wait_for("session=\"job-count\"");
    }
    serve.stop();
    let prompts = prompts(&home, "job-count");
    assert!(prompts.len() >= 2 && prompts.iter().all(|tokens| *tokens == prompts[0]), "no run reads the last one's words: {prompts:?}");
    let before = turns(&home, "job-count").len();
    // The next one takes longer than the time between two.
    let slow = [json!({"when": "^count", "text": "a b c d e f g h", "delay_ms": 30_000})];
    let mut serve = Serve::start(&home, &slow);
    serve.wait_for("job count: began turn");
    serve.wait_for("job count: its last run is not finished");
    serve.stop();
    assert_eq!(turns(&home, "job-count").len(), before + 1);
    let states: Vec<Value> =
        json(&home, &["job", "show", "count"])["runs"].as_array().unwrap().iter().map(|run| run["state"].clone()).collect();
    assert!(states.contains(&json!("overlap")) && states.contains(&json!("started")), "{states:?}");
}

#[test]
fn a_heartbeat_speaks_only_when_there_is_something_to_say() {
    let home = Home::new();
    let file = home.path("HEARTBEAT.md");
    let file = file.to_str().unwrap();
    home.run(&["job", "heartbeat", "--every", "1 second", "--file", file]);
    let script = [
        json!({"when": "checklist(.|\n)*is the disk full", "text": "NOTHING"}),
        json!({"when": "checklist(.|\n)*is the milk sour", "text": "The milk is sour."}),
        no(),
    ];
    // Not there, and empty: no turn, so no call of the model.
    let mut serve = Serve::start(&home, &script);
    serve.wait_for("job heartbeat: left out: there is no ");
    home.file("HEARTBEAT.md", "# Checks\n\n");
    serve.wait_for("is empty");
    assert_eq!(serve.stop().iter().filter(|line| line.contains("began")).count(), 0);
    home.file("HEARTBEAT.md", "- is the disk full?\n");
    let mut serve = Serve::start(&home, &script);
    serve.wait_for("session=\"job-heartbeat\"");
    serve.stop();
    assert!(!untold(&home, &script).contains("from job-heartbeat"), "silence is silent");
    home.file("HEARTBEAT.md", "- is the milk sour?\n");
    let mut serve = Serve::start(&home, &script);
    serve.wait_for("session=\"job-heartbeat\"");
    serve.stop();
    let told = untold(&home, &script);
    assert!(told.contains("from job-heartbeat:\n") && told.contains("The milk is sour."), "{told}");
}

#[test]
fn a_job_that_needs_an_approval_waits_and_holds_up_nobody() {
    let home = Home::new();
    home.run(&["job", "add", "clean", "in 1 second", "clean up"]);
    home.run(&["job", "add", "look", "in 2 seconds", "look around"]);
    let script = [
        json!({"when": "^clean", "role": "user", "tool_calls": [{"name": "shell", "arguments": {"command": "touch cleaned"}}]}),
        json!({"when": "^look", "text": "all is well"}),
    ];
    let mut serve = Serve::start(&home, &script);
    let waits = serve.wait_for("waits for the approval");
    assert!(waits.contains("session=\"job-clean\"") && waits.contains("of shell"), "{waits}");
    serve.wait_for("session=\"job-look\"");
    assert!(serve.stop().iter().all(|line| !line.contains("waits")), "it is told once");
    assert!(!home.path("workspace/cleaned").exists());
    let mut serve = Serve::start(&home, &script);
    serve.wait_for("waits for the approval");
    serve.stop();
}

#[test]
fn the_model_schedules_and_serve_does_it() {
    let home = Home::new();
    let script = [
        json!({"when": "^remind", "role": "user", "tool_calls": [
            {"name": "schedule", "arguments": {"action": "add", "when": "in 1 second", "text": "Take the tea out", "name": "tea"}}]}),
        json!({"when": "^added tea", "role": "tool", "text": "I will"}),
        no(),
    ];
    let model = home.script(&script);
    let ask = |approve| home.run(&["ask", "remind me of the tea", "--session", "main", "--approve", approve, "--model", &model]);
    assert_eq!(ask("deny").status, Some(3));
    assert_eq!(json(&home, &["job", "list"])["jobs"], json!([]), "without approval there is no job");
    assert_eq!(ask("all").stdout, "I will\n");
    let mut serve = Serve::start(&home, &script);
    serve.wait_for("job tea: said to terminal/main");
    serve.stop();
    assert!(untold(&home, &script).contains("Take the tea out"));
    let policy = json(&home, &["config", "policy", "schedule", r#"{"action":"list"}"#]);
    assert_eq!(policy["decision"], "allow");
}

#[test]
fn a_job_is_run_by_hand() {
    let home = Home::new();
    home.run(&["job", "add", "disk", "every day at 9:00", "look at the disk"]);
    home.run(&["job", "add", "tea", "every day at 9:00", "Take the tea out", "--reminder"]);
    let model = home.script(&[json!({"when": "^look at the disk", "text": "it is fine"}), no()]);
    let next = json(&home, &["job", "show", "disk"])["next"].clone();
    assert_eq!(home.run(&["job", "run", "disk", "--model", &model]).stdout, "it is fine\n");
    assert_eq!(home.run(&["job", "run", "tea"]).stdout, "Take the tea out\n");
    let shown = json(&home, &["job", "show", "disk"]);
    assert_eq!((&shown["next"], &shown["state"], &shown["runs"][0]["state"]), (&next, &json!("waiting"), &json!("started")));
    let told = untold(&home, &[no()]);
    assert!(!told.contains("it is fine") && !told.contains("Take the tea out"), "what was shown is not told again: {told}");
}
