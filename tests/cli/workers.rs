//! A model over several processes on loopback: `paguro worker` and `[engine] workers`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command};

use serde_json::Value;

use super::crash::wait_for;
use super::support::{Home, Run, finish};

/// A worker that listens; killed in the end.
struct Worker {
    child: Child,
    address: String,
    /// What it said when it began to listen.
    line: String,
    stderr: BufReader<ChildStderr>,
}

impl Worker {
    fn start(home: &Home, listen: &str) -> Self {
        // One thread: several workers on a test machine would wait for each other's.
        let mut child = home.command(&["worker", "--listen", listen, "--threads", "1"]).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.strip_prefix("paguro: worker on ").and_then(|rest| rest.split_once(", ")).map(|(address, _)| address.to_owned());
        Self { address: address.unwrap_or_else(|| panic!("no worker: {line}")), child, line, stderr }
    }

    /// Its status and what it still said, after `signal`.
    fn end(&mut self, signal: &str) -> (Option<i32>, String) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap().code();
        self.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        (status, rest)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(home: &Home, workers: &[&str], variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    command.env("PAGURO_ENGINE_WORKERS", format!("{workers:?}")).envs(variables.iter().copied());
    command
}

fn run(home: &Home, workers: &[&str], variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    finish(command(home, workers, variables, arguments).spawn().unwrap())
}

/// One line on stderr with these words, and nothing on stdout.
fn check(run: &Run, status: i32, words: &[&str]) {
    let lines: Vec<&str> = run.stderr.lines().filter(|line| !line.contains("the embedded demo model answers")).collect();
    assert_eq!((run.status, lines.len(), run.stdout.as_str()), (Some(status), 1, ""), "{run:#?}");
    for word in words {
        assert!(lines[0].contains(word), "no {word:?} in {run:#?}");
    }
}

/// Three turns of one session, each in a process of its own: what matters of each result.
fn conversation(workers: &[&str], variables: &[(&str, &str)]) -> Vec<Value> {
    let home = Home::new();
    let turn = |prompt: &str| {
        let arguments = ["ask", prompt, "--session", "s", "--approve", "all", "--format", "json"];
        let run = run(&home, workers, variables, &arguments);
        assert_eq!(run.status, Some(0), "{run:?}");
        let result = run.last();
        let restored = result["timings"]["restore_ms"].as_f64().unwrap() > 0.0;
        serde_json::json!([result["text"], result["steps"], result["usage"], result["cache_miss"], restored])
    };
    vec![turn("remember that my bike is green"), turn("what is my bike?"), turn("run uname -a")]
}

#[test]
fn two_workers_say_what_one_machine_says() {
    let home = Home::new();
    let workers = [Worker::start(&home, "127.0.0.1:0"), Worker::start(&home, "localhost:0")];
    let addresses = workers.each_ref().map(|worker| worker.address.as_str());
    // Half of the model's memory here and half there; all there; the cache that is the default of other models.
    let q4_0 = [("PAGURO_MODEL_CACHE_TYPE_K", "q4_0"), ("PAGURO_MODEL_CACHE_TYPE_V", "q4_0")];
    for variables in [&[][..], &[("PAGURO_MODEL_GPU_LAYERS", "99")], &q4_0] {
        let plan = run(&home, &addresses, variables, &["model", "plan", "--format", "json"]).last();
        let number = |value: &Value, key: &str| value[key].as_u64().unwrap_or_else(|| panic!("no {key} in {plan}"));
        let devices = plan["devices"].as_array().unwrap();
        assert_eq!(devices.iter().map(|device| device["worker"].as_str().unwrap()).collect::<Vec<_>>(), addresses, "{plan}");
        for device in devices {
            assert!(["weights", "kv", "compute", "free"].iter().all(|key| number(device, key) > 0), "{plan}");
        }
        let all_away = variables.iter().any(|(name, _)| name.ends_with("GPU_LAYERS"));
        assert_eq!((number(&plan, "kv") == 0, plan["fits"].as_bool()), (all_away, Some(true)), "{plan}");
        if variables.len() == 2 {
            assert_eq!((plan["cache_type_k"].as_str(), plan["cache_type_v"].as_str()), (Some("q4_0"), Some("q4_0")), "{plan}");
        }
        let here = conversation(&[], variables);
        assert_eq!(conversation(&addresses, variables), here, "{variables:?}");
        // Keys and values came back from disk into the workers' memory.
        assert_eq!((&here[1][4], &here[2][4], &here[2][3]), (&true.into(), &true.into(), &Value::Null), "{here:?}");
    }
}

#[test]
fn what_does_not_fit_here_fits_with_a_worker() {
    let home = Home::new();
    let worker = Worker::start(&home, "127.0.0.1:0");
    let plan = |workers: &[&str], limit: u64| {
        let limit = limit.to_string();
        let run = run(&home, workers, &[("PAGURO_MODEL_MEMORY_LIMIT", &limit)], &["model", "plan", "--format", "json"]);
        let plan = run.last();
        (run.status, plan["needs"].as_u64().unwrap(), plan["fits"].as_bool().unwrap())
    };
    let (_, alone, _) = plan(&[], u64::MAX >> 1);
    let limit = alone - 1;
    assert_eq!(plan(&[], limit), (Some(1), alone, false));
    let (status, needs, fits) = plan(&[&worker.address], limit);
    assert!(needs < alone && fits && status == Some(0), "{needs} of {alone}");
    let limit = limit.to_string();
    let limit = [("PAGURO_MODEL_MEMORY_LIMIT", limit.as_str())];
    check(&run(&home, &[], &limit, &["ask", "hi"]), 2, &["does not fit"]);
    let answered = run(&home, &[&worker.address], &limit, &["ask", "hi"]);
    assert_eq!(answered.status, Some(0), "{answered:?}");
}

#[test]
fn workers_that_cannot_be_used() {
    let home = Home::new();
    let ask = |workers: &[&str]| run(&home, workers, &[], &["ask", "hi"]);
    check(&ask(&["attic"]), 2, &["engine.workers", "attic", "HOST:PORT"]);
    check(&ask(&["127.0.0.1:0"]), 2, &["127.0.0.1:0", "port"]);
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    check(&ask(&[&free]), 1, &[&free, "nobody listens", &format!("paguro worker --listen {free}"), "`workers` in [engine]"]);
    check(&run(&home, &[&free], &[], &["model", "plan"]), 1, &[&free, "nobody listens"]);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut peer, _) = other.accept().unwrap();
        peer.write_all(b"220 mail.example.org ESMTP and more than eight bytes\r\n").unwrap();
        let _ = peer.read_to_end(&mut Vec::new());
    });
    check(&ask(&[&address]), 1, &[&address, "no worker"]);
    server.join().unwrap();
    let worker = Worker::start(&home, "127.0.0.1:0");
    check(&ask(&[&worker.address, &worker.address]), 1, &[&worker.address, "twice"]);
    let busy = TcpStream::connect(&worker.address).unwrap();
    check(&ask(&[&worker.address]), 1, &[&worker.address, "serves one at a time"]);
    drop(busy);
    assert_eq!(ask(&[&worker.address]).status, Some(0), "the worker goes on");
}

#[test]
fn a_worker_listens_where_it_may_and_ends_at_once() {
    let home = Home::new();
    let listen = |address: &str| home.run(&["worker", "--listen", address]);
    check(&home.run(&["worker"]), 2, &["--listen"]);
    check(&listen("attic"), 2, &["'attic'", "HOST:PORT"]);
    check(&listen("[::1]:50052"), 2, &["'[::1]:50052'", "IPv4"]);
    // An address of the documentation's network, which no machine has.
    check(&listen("192.0.2.1:50052"), 1, &["192.0.2.1:50052", "does not have"]);
    let mut worker = Worker::start(&home, "127.0.0.1:0");
    for words in ["lends CPU with 1 threads, ", " free of ", "whoever reaches this port"] {
        assert!(worker.line.contains(words), "no {words:?} in {}", worker.line);
    }
    check(&listen(&worker.address), 1, &[&worker.address, "another program listens"]);
    // In the middle of a connection.
    let peer = TcpStream::connect(&worker.address).unwrap();
    assert_eq!(worker.end("-TERM"), (Some(0), String::new()));
    drop(peer);
    let mut open = Worker::start(&home, "0.0.0.0:0");
    let (status, rest) = open.end("-INT");
    assert_eq!((status, rest.lines().count()), (Some(0), 1), "{rest}");
    assert!(rest.contains("a network you trust"), "{rest}");
}

#[test]
fn a_lost_worker_ends_the_process_and_the_turn_goes_on_in_the_next() {
    let home = Home::new();
    let mut worker = Worker::start(&home, "127.0.0.1:0");
    let address = worker.address.clone();
    let arguments = ["--session", "s", "--approve", "all"];
    let mut chat = command(&home, &[&address], &[], &[&["chat"], &arguments[..]].concat());
    let mut chat = chat.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = chat.stdin.take().unwrap();
    stdin.write_all(b"remember that my bike is green\n").unwrap();
    wait_for(&mut chat, "bike is green");
    assert_eq!(worker.end("-KILL").0, None);
    stdin.write_all(b"what is my bike?\n").unwrap();
    let lost = finish(chat);
    let words = lost.stderr.lines().last().unwrap_or_default();
    assert_eq!(lost.status, Some(1), "{lost:?}");
    assert!(words.starts_with("paguro: a worker is lost") && words.contains(&address) && words.contains("journal"), "{lost:?}");
    let _again = Worker::start(&home, &address);
    let next = run(&home, &[&address], &[], &[&["ask", "run uname -a"], &arguments[..]].concat());
    assert_eq!(next.status, Some(0), "{next:?}");
    let shown = home.run(&["session", "show", "s"]).stdout;
    let at = |words: &str| shown.find(words).unwrap_or_else(|| panic!("no {words:?} in {shown}"));
    assert!(at("you: what is my bike?") < at("paguro: Your bike is green.") && at("paguro: Your bike is green.") < at("you: run uname -a"));
}
