//! Against a server that keeps to the protocol but for one fault (`examples/fake_mcp.rs`).
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Instant;

use agent::{Effect, ToolContext, ToolError};
use globset::Glob;
use serde_json::{Value, json};

use super::*;
use crate::sandbox::SandboxSettings;
use crate::testing::wait;

const SHORT: Duration = Duration::from_millis(700);
const BACK_OFF: Duration = Duration::from_millis(100);

/// The helper, which cargo builds with the tests.
fn fake() -> String {
    let here = std::env::current_exe().unwrap();
    let path = here.parent().unwrap().parent().unwrap().join("examples/fake_mcp");
    assert!(path.is_file(), "{} is not there; `cargo test -p tools` builds it", path.display());
    path.display().to_string()
}

/// Where the servers start.
fn folder() -> PathBuf {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    FOLDER.path().canonicalize().unwrap()
}

fn sandbox() -> Sandbox {
    static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
        let examples = PathBuf::from(fake()).parent().unwrap().to_owned();
        Sandbox::new(SandboxSettings { inner: examples.join("sandbox_inner"), readable: vec![examples], ..SandboxSettings::default() })
    });
    SANDBOX.clone()
}

fn server(name: &str, mode: &str) -> Server {
    let environment = vec![("KEY".to_owned(), "value".to_owned())];
    let reach = Reach::Process {
        command: vec![fake(), mode.to_owned()],
        environment,
        folder: folder(),
        sandbox: sandbox(),
        network: Network::None,
    };
    let (timeout, start_timeout) = (Duration::from_secs(20), Duration::from_secs(20));
    Server { name: name.into(), reach, allow: Vec::new(), effects: Vec::new(), timeout, start_timeout, back_off: BACK_OFF }
}

fn glob(pattern: &str) -> GlobMatcher {
    Glob::new(pattern).unwrap().compile_matcher()
}

struct Tools(Vec<Box<dyn Tool>>);

impl Tools {
    fn names(&self) -> Vec<String> {
        self.0.iter().map(|tool| tool.schema().name).collect()
    }

    async fn call_within(&self, name: &str, arguments: Value, timeout: Duration) -> Result<String, ToolError> {
        let context = ToolContext { key: "1-1".into(), turn: 1, timeout, ..ToolContext::default() };
        let output = self.0.iter().find(|tool| tool.schema().name == name).unwrap().run(&arguments, &context).await?;
        assert!(output.origin.is_some_and(|origin| origin.starts_with("MCP server ")));
        Ok(output.text)
    }

    async fn call(&self, name: &str, arguments: Value) -> Result<String, String> {
        self.call_within(name, arguments, Duration::from_secs(20)).await.map_err(|error| error.text)
    }
}

async fn started(servers: Vec<Server>) -> (Tools, Vec<Status>) {
    let (tools, statuses) = start(servers, &["read_file".to_owned()]).await;
    (Tools(tools), statuses)
}

#[test]
fn calls_are_answered() {
    wait(async {
        let (tools, statuses) = started(vec![server("fake", "")]).await;
        assert_eq!(statuses[0].tools.as_ref().map(Vec::len), Ok(11), "{statuses:?}");
        let none = json!({});
        assert_eq!(tools.call("fake_echo", json!({"text": "hi"})).await, Ok("hi".into()));
        assert_eq!(tools.call("fake_echo", none.clone()).await, Err("the arguments lack `text`".into()));
        assert_eq!(tools.call("fake_fail", none.clone()).await, Err("it does not work".into()));
        assert_eq!(tools.call("fake_garbage", none.clone()).await, Ok("after it".into()));
        assert_eq!(tools.call("fake_stderr", none.clone()).await, Ok("written".into()));
        assert_eq!(tools.call("fake_change", none.clone()).await, Ok("changed".into()));
        let environment = tools.call("fake_environment", none).await.unwrap();
        let names: Vec<&str> = environment.lines().map(|line| line.split_once('=').unwrap().0).collect();
        assert_eq!(names, ["HOME", "KEY", "LANG", "PATH", "TMPDIR"]);
    });
}

/// Calls until the server may be started again.
async fn call_when_up(tools: &Tools, name: &str) -> Result<String, String> {
    loop {
        match tools.call(name, json!({})).await {
            Err(error) if error.contains("it may be started again in") => tokio::time::sleep(BACK_OFF / 2).await,
            other => return other,
        }
    }
}

#[test]
fn a_dead_server_is_started_again_and_says_why_it_died() {
    wait(async {
        let (tools, _) = started(vec![server("fake", "")]).await;
        let before = tools.call("fake_pid", json!({})).await.unwrap();
        let error = tools.call("fake_die", json!({})).await.unwrap_err();
        assert!(error.starts_with("`fake` was lost during the call, which it may have done or not") && error.contains("a bug"), "{error}");
        let error = tools.call("fake_pid", json!({})).await.unwrap_err();
        assert!(error.contains("`fake` is down") && error.contains("started again in 1 s"), "{error}");
        assert_ne!(call_when_up(&tools, "fake_pid").await.unwrap(), before);
    });
}

#[test]
fn a_server_that_keeps_dying_stays_down() {
    wait(async {
        let (tools, _) = started(vec![server("fake", "")]).await;
        for _ in 0..5 {
            let error = call_when_up(&tools, "fake_die").await.unwrap_err();
            assert!(error.contains("was lost"), "{error}");
        }
        let error = tools.call("fake_pid", json!({})).await.unwrap_err();
        assert!(error.starts_with("`fake` is down and stays down, after 5 failures in a row"), "{error}");
    });
}

#[test]
fn a_call_without_an_answer_is_cancelled_and_the_server_lives() {
    wait(async {
        let (tools, _) = started(vec![server("fake", "")]).await;
        let pid = tools.call("fake_pid", json!({})).await.unwrap();
        let error = tools.call_within("fake_hang", json!({}), SHORT).await.unwrap_err();
        assert!(error.text.starts_with("`fake` gave no answer within 0.7 s"), "{error}");
        assert_eq!(tools.call("fake_cancelled", json!({})).await, Ok("true".into()));
        assert_eq!(tools.call("fake_pid", json!({})).await, Ok(pid.clone()));
        // The same for a run that is dropped.
        let dropped = tokio::time::timeout(SHORT, tools.call("fake_hang", json!({}))).await;
        assert!(dropped.is_err());
        assert_eq!(tools.call("fake_cancelled", json!({})).await, Ok("true".into()));
        assert_eq!(tools.call("fake_pid", json!({})).await, Ok(pid));
    });
}

#[test]
fn a_message_without_end_ends_the_server() {
    wait(async {
        let (tools, _) = started(vec![server("fake", "")]).await;
        let start = Instant::now();
        let error = tools.call("fake_flood", json!({})).await.unwrap_err();
        assert!(error.contains("it wrote a message of more than 8388608 bytes"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn a_bad_server_costs_its_own_tools_and_a_bounded_time() {
    wait(async {
        let mute = |name: &str, mode: &str| Server { start_timeout: SHORT, ..server(name, mode) };
        let absent = Reach::Process {
            command: vec!["/nowhere/server".into()],
            environment: vec![],
            folder: folder(),
            sandbox: sandbox(),
            network: Network::None,
        };
        let servers = vec![
            mute("mute", "mute"),
            mute("list", "mute-list"),
            server("exit", "exit"),
            server("die", "die-list"),
            Server { reach: absent, ..server("absent", "") },
            Server { allow: vec![glob("echo")], ..server("good", "") },
        ];
        let (tools, statuses) = started(servers).await;
        let why: Vec<Result<usize, String>> = statuses.iter().map(|status| status.tools.clone().map(|tools| tools.len())).collect();
        assert_eq!(why[0], Err("it did not answer within 0.7 s".into()));
        assert_eq!(why[1], Err("it did not list its tools within 0.7 s".into()));
        assert_eq!(why[2], Err("its last words: there is no licence key\u{fffd}[2J".into()));
        assert!(why[3].is_err() && why[4].as_ref().unwrap_err().contains("/nowhere/server"), "{why:?}");
        assert_eq!((&why[5], tools.names()), (&Ok(1), vec!["good_echo".to_owned()]));
        assert_eq!(tools.call("good_echo", json!({"text": "on"})).await, Ok("on".into()));
    });
}

#[test]
fn lists_are_bounded() {
    wait(async {
        let (tools, statuses) = started(vec![server("huge", "huge"), server("endless", "endless")]).await;
        assert_eq!(tools.0.len(), 500 + 50);
        assert_eq!(statuses[0].refused, ["huge lists 5000 tools; only the first 500 are looked at"]);
    });
}

#[test]
fn odd_tools_are_refused_one_by_one() {
    wait(async {
        let effects = vec![(glob("a.*"), Effect::Read)];
        let (tools, statuses) = started(vec![Server { effects, ..server("odd", "odd") }, server("odd", "odd")]).await;
        let effects: Vec<(String, Effect)> = tools.0.iter().map(|tool| (tool.schema().name, tool.effect())).collect();
        // The hint of `wipe` that it only reads is not believed.
        let expected = [("odd_a_b_c_d", Effect::Read), ("odd___2J", Effect::Network), ("odd_wipe", Effect::Network)];
        assert_eq!(effects, expected.map(|(name, effect)| (name.to_owned(), effect)));
        let begins = [
            "`odd_a_b_c_d` is a name that another tool has already",
            "`odd_`: the name is empty, or longer than the 60 characters that are left for it",
            "`odd_nnnnnnnn",
            "`odd_broken`, because of its property `when`",
            "`odd_large`: its schema has 20034 bytes; 16384 are the most",
        ];
        assert_eq!(statuses[0].refused.len(), begins.len(), "{statuses:?}");
        for (line, begin) in statuses[0].refused.iter().zip(begins) {
            assert!(line.contains(begin), "{line}");
        }
        assert_eq!(statuses[1].tools, Ok(Vec::new()), "all of its names are taken");
    });
}

#[test]
fn no_tool_of_a_server_passes_for_one_of_ours() {
    wait(async {
        let taken = ["fake_echo".to_owned()];
        let (tools, statuses) = start(vec![server("fake", "")], &taken).await;
        assert_eq!(tools.len(), 10);
        assert_eq!(statuses[0].refused, ["`fake_echo` is a name that another tool has already"]);
    });
}

#[test]
fn a_server_ends_with_its_tools() {
    // An argument that no other server has, by which its processes are found from outside its namespace.
    const MARK: &str = "the-one-that-ends";
    let running = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).split('\0').any(|word| word == MARK)).count()
    };
    wait(async {
        let (tools, _) = started(vec![server("fake", MARK)]).await;
        tools.call("fake_pid", json!({})).await.unwrap();
        assert!(running() > 0);
        drop(tools);
        let gone = async {
            // Tokio takes the dead child in when it next looks for signals.
            while running() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    });
}
