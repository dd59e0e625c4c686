//! `paguro serve` and its socket: one process has the model and the database, and every command works beside it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::Home;

const SCRIPT: &str = r#"
{"when":"^slow","text":"one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen","delay_ms":400}
{"when":"^run (.*)$","role":"user","tool_calls":[{"name":"shell","arguments":{"command":"$1"}}]}
{"when":"^send (.*)$","role":"user","tool_calls":[{"name":"send_file","arguments":{"path":"$1"}}]}
{"when":"^choose (\\S+) or (\\S+)$","role":"user","tool_calls":[{"name":"ask_user","arguments":{"question":"Which one?","options":["$1","$2"]}}]}
{"when":"^error: (.*)","role":"tool","text":"Not done: $1"}
{"when":"(.*)","role":"tool","text":"It said: $1"}
{"when":"(.*)","text":"You said: $1"}
"#;

/// Most time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `paguro serve`.
pub struct Serve {
    pub home: Home,
    process: Process,
}

/// A process that ends with its test.
struct Process(Child);

impl Serve {
    pub fn start(home: Home) -> Self {
        Self::start_until(home, "ready; model").0
    }

    /// With the line that has `what`.
    pub fn start_until(home: Home, what: &str) -> (Self, String) {
        let script = home.file("serve.script", SCRIPT);
        let mut command = home.command(&["serve", "--model", &format!("script:{}", script.display())]);
        let process = Process(command.spawn().unwrap());
        let mut serve = Self { home, process };
        let line = serve.until(what);
        (serve, line)
    }

    /// Ends it as a power cut does.
    pub fn kill(self) -> Home {
        self.signal("-KILL");
        self.home
    }

    /// Waits until the process says `what` on standard error.
    pub fn until(&mut self, what: &str) -> String {
        let stderr = self.process.0.stderr.as_mut().unwrap();
        let mut line = Vec::new();
        let mut byte = [0];
        let mut all = String::new();
        while stderr.read(&mut byte).unwrap() == 1 {
            line.push(byte[0]);
            if byte[0] == b'\n' {
                let text = String::from_utf8_lossy(&line).into_owned();
                all += &text;
                if text.contains(what) {
                    return text;
                }
                line.clear();
            }
        }
        panic!("it never said {what:?}, but:\n{all}");
    }

    fn connect(&self, request: &Value) -> Wire {
        let stream = UnixStream::connect(self.home.path("paguro.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(&stream, "{request}").unwrap();
        Wire(BufReader::new(stream))
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.process.0.id().to_string()]).status().unwrap().success());
    }

    /// Ends it in order; how long that took.
    pub fn stop(mut self) -> (Home, Duration) {
        let start = Instant::now();
        self.signal("-TERM");
        let mut rest = String::new();
        self.process.0.stderr.take().unwrap().read_to_string(&mut rest).unwrap();
        assert!(self.process.0.wait().unwrap().success(), "{rest}");
        assert!(rest.ends_with("stopped\n"), "{rest}");
        (self.home, start.elapsed())
    }
}

struct Wire(BufReader<UnixStream>);

impl Wire {
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        (self.0.read_line(&mut line).unwrap() > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    /// The next line of this type.
    pub fn until(&mut self, kind: &str) -> Value {
        loop {
            let line = self.next().unwrap_or_else(|| panic!("the connection ended before {kind}"));
            if line["type"] == kind {
                return line;
            }
        }
    }

    fn say(&self, line: &Value) {
        writeln!(self.0.get_ref(), "{line}").unwrap();
    }
}

#[test]
fn every_command_works_beside_it() {
    let serve = Serve::start(Home::new());
    let home = &serve.home;
    assert_eq!(std::fs::metadata(home.path("paguro.sock")).unwrap().permissions().mode() & 0o777, 0o600);
    let asked = home.run(&["ask", "--session", "a", "hello"]);
    assert_eq!((asked.status, asked.stdout.as_str()), (Some(0), "You said: hello\n"), "{}", asked.stderr);
    assert_eq!(home.run(&["memory", "add", "tea at four"]).status, Some(0));
    assert!(home.pipe(&["memory", "add", "-"], "coffee at five\n").stdout.starts_with("kept as "));
    let found: Value = serde_json::from_str(&home.run(&["memory", "search", "tea", "--format", "json"]).stdout).unwrap();
    assert_eq!(found["results"][0]["text"], "tea at four");
    assert!(home.run(&["session", "list"]).stdout.contains("a  terminal  1 turns"));
    assert!(home.run(&["session", "show", "a"]).stdout.contains("You said: hello"));
    let chat = home.pipe(&["chat", "--session", "a"], "again\n/sessions\n/undo\n");
    assert!(chat.stdout.starts_with("You said: again\n* a "), "{}", chat.stdout);
    assert!(chat.stdout.ends_with("taken out of the history: again\n"), "{}", chat.stdout);
    // A file is where the client is, and the database is the server's.
    let export = home.command(&["memory", "export", "notes.jsonl"]).current_dir(home.folder.path()).status().unwrap();
    assert!(export.success());
    assert_eq!(std::fs::read_to_string(home.path("notes.jsonl")).unwrap().lines().filter(|line| line.contains("coffee")).count(), 1);
    let unknown = home.run(&["memory", "show", "nothing"]);
    assert_eq!((unknown.status, unknown.stderr.contains("there is no note nothing")), (Some(2), true), "{}", unknown.stderr);
    let other = home.run(&["ask", "--model", "demo", "hi"]);
    assert_eq!((other.status, other.stderr.contains("leave `--model demo` out")), (Some(2), true), "{}", other.stderr);
    assert_eq!(home.run(&["serve"]).status, Some(1), "a second one");
    let (home, _) = serve.stop();
    assert!(!home.path("paguro.sock").exists() && home.run(&["session", "list"]).status == Some(0));
}

#[test]
fn a_turn_is_seen_from_its_start_and_ends_with_the_last_who_watches() {
    let serve = Serve::start(Home::new());
    let mut first = serve.connect(&json!({ "request": "ask", "session": "a", "text": "slow" }));
    let turn = first.until("accepted")["turn"].clone();
    first.until("text");
    let mut second = serve.connect(&json!({ "request": "watch", "turn": turn }));
    assert_eq!(second.next().unwrap()["type"], "init");
    assert!(second.until("text")["delta"].as_str().unwrap().starts_with("one"));
    drop(first);
    // One still watches: the turn goes on.
    second.until("text");
    drop(second);
    let mut later = serve.connect(&json!({ "request": "watch", "turn": turn }));
    let end = later.0.by_ref().lines().map_while(Result::ok).last().unwrap();
    assert!(end.contains("stopped"), "{end}");
    // What has ended is told again.
    let mut ask = serve.connect(&json!({ "request": "ask", "session": "b", "text": "hello" }));
    let (turn, result) = (ask.until("accepted")["turn"].clone(), ask.until("result"));
    assert_eq!(result["text"], "You said: hello");
    let mut again = serve.connect(&json!({ "request": "watch", "turn": turn }));
    assert_eq!(
        (again.until("text")["delta"].clone(), again.until("result")["text"].clone()),
        (result["text"].clone(), result["text"].clone())
    );
}

#[test]
fn questions_are_answered_over_the_socket_and_by_another_command() {
    let serve = Serve::start(Home::new());
    let ask = |text: &str| serve.connect(&json!({ "request": "ask", "session": "q", "text": text }));
    let mut wire = ask("run echo one");
    let question = wire.until("question");
    assert_eq!(question["arguments"]["command"], "echo one");
    let id = |question: &Value| format!("{}-{}", question["turn"], &question["hash"].as_str().unwrap()[..8]);
    let answer = json!({ "allowed": true, "scope": "once", "why": null, "by": "terminal" });
    wire.say(&json!({ "answer": { "question": id(&question), "answer": answer } }));
    assert!(wire.until("result")["text"].as_str().unwrap().contains("one"));
    // Who leaves does not stop it, and the answer comes from elsewhere.
    let mut wire = ask("run echo two");
    let question = wire.until("question");
    wire.say(&json!("leave"));
    assert!(serve.home.run(&["approvals"]).stdout.contains(&id(&question)));
    let mut watch = serve.connect(&json!({ "request": "watch", "turn": question["turn"] }));
    watch.until("question");
    let no = serve.home.run(&["approvals", "no", &id(&question), "--why", "late"]);
    assert_eq!(no.status, Some(0), "{}", no.stderr);
    assert!(watch.until("result")["text"].as_str().unwrap().contains("late"));
    let denied = serve.home.run(&["ask", "--approve", "deny", "run echo three"]);
    assert_eq!(denied.status, Some(3), "{}", denied.stderr);
}

#[test]
fn fifty_at_once_are_all_answered() {
    let serve = Serve::start(Home::new());
    let wires: Vec<Wire> = (0..50)
        .map(|number| serve.connect(&json!({ "request": "ask", "session": format!("s{number}"), "text": format!("hello {number}") })))
        .collect();
    for (number, mut wire) in wires.into_iter().enumerate() {
        assert_eq!(wire.until("result")["text"], format!("You said: hello {number}"));
    }
}

#[test]
fn a_signal_parks_what_runs_and_the_next_start_goes_on() {
    let serve = Serve::start(Home::new());
    let mut wire = serve.connect(&json!({ "request": "ask", "session": "a", "text": "slow" }));
    let turn = wire.until("accepted")["turn"].clone();
    wire.until("text");
    let (home, took) = serve.stop();
    assert_eq!(wire.until("error")["code"], "stopping");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let serve = Serve::start(home);
    let mut wire = serve.connect(&json!({ "request": "watch", "turn": turn }));
    assert!(wire.until("result")["text"].as_str().unwrap().ends_with("sixteen"));
}

#[test]
fn a_good_configuration_applies_and_a_bad_one_is_refused() {
    let mut serve = Serve::start(Home::new());
    let denied = |serve: &Serve| serve.home.run(&["ask", "--approve", "deny", "run echo hi"]).status;
    assert_eq!(denied(&serve), Some(3));
    serve.home.file("paguro.toml", "[[policy]]\ntool = \"shell\"\ncommand = \"echo *\"\ndecision = \"allow\"\n");
    serve.signal("-HUP");
    serve.until("was read again and holds");
    assert_eq!(denied(&serve), Some(0));
    serve.home.file("paguro.toml", "[polcy]\n");
    serve.signal("-HUP");
    let line = serve.until("is refused, the old one stays");
    assert!(line.contains("polcy"), "{line}");
    // A command would read the bad file itself.
    let mut wire = serve.connect(&json!({ "request": "ask", "session": "z", "text": "run echo hi" }));
    assert!(wire.until("result")["text"].as_str().unwrap().contains("hi"));
}

#[test]
fn nonsense_costs_its_own_connection() {
    let serve = Serve::start(Home::new());
    for nonsense in [json!({ "request": "dance" }), json!("hello"), json!({ "request": "ask", "session": "a/b", "text": "x" })] {
        assert_eq!(serve.connect(&nonsense).until("error")["code"], "bad_input", "{nonsense}");
    }
    assert_eq!(serve.connect(&json!({ "request": "watch", "turn": 4711 })).until("error")["code"], "no_turn");
    drop(UnixStream::connect(serve.home.path("paguro.sock")).unwrap());
    assert_eq!(serve.connect(&json!({ "request": "health" })).next().unwrap()["state"], "ready");
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
