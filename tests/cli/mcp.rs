//! MCP servers and the web from outside: the fake server of `tools/examples`, and real ones where `.ci/mcp-servers` has installed them.
#![allow(clippy::print_stderr, reason = "what is not checked is said")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Home, Run};

/// The folder that cargo builds into.
pub fn target() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_paguro"));
    program.parent().unwrap().to_owned()
}

fn fake() -> String {
    let path = target().join("examples/fake_mcp");
    assert!(path.is_file(), "{} is not there; `cargo build --release -p tools --examples` builds it", path.display());
    path.display().to_string()
}

/// A home whose servers may read the programs that they are made of, wherever those have been installed.
fn new_home() -> Home {
    let mut places = vec![target().join("examples")];
    let interpreters = ["venv/bin/python".into(), node_program()].map(|path| real().unwrap_or_default().join(path));
    let prefixes = interpreters.iter().filter_map(|path| Some(path.canonicalize().ok()?.parent()?.parent()?.to_owned()));
    places.extend(real().into_iter().chain(prefixes.filter(|path| path.components().count() > 2)));
    let readable: Vec<String> = places.iter().map(|place| format!("'{}'", place.display())).collect();
    Home { variables: vec![("PAGURO_SANDBOX_READABLE".into(), format!("[{}]", readable.join(", ")))], ..Home::new() }
}

/// The lines of one server in the configuration.
fn server(name: &str, command: &[&str], more: &str) -> String {
    format!("[[mcp]]\nname = \"{name}\"\ncommand = {}\n{more}\n", json!(command))
}

/// A home whose model calls `tool` with the JSON in the prompt, and then says what came.
fn home(config: &str) -> (Home, String) {
    let home = new_home();
    home.file("paguro.toml", config);
    let script = home.script(&[
        json!({"when": "(?s)^(.*)$", "role": "tool", "text": "it says: $1"}),
        json!({"when": "find (.*)\n", "role": "user", "tool_calls": [{"name": "find_tool", "arguments": {"query": "$1"}}]}),
        json!({"when": "use (\\S+) (.*)\n", "role": "user", "tool_calls": [{"name": "use_tool", "arguments": {"name": "$1", "arguments": {"n": "$2"}}}]}),
        json!({"when": "echo (.*)\n", "role": "user", "tool_calls": [{"name": "fake_echo", "arguments": {"text": "$1"}}]}),
        json!({"when": "die", "role": "user", "tool_calls": [{"name": "fake_die", "arguments": {}}]}),
    ]);
    (home, script)
}

fn ask(home: &Home, script: &str, prompt: &str, approve: &str) -> Run {
    home.run(&["ask", prompt, "--model", script, "--approve", approve, "--format", "jsonl"])
}

fn event(run: &Run, kind: &str) -> Value {
    run.events().into_iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {run:#?}"))
}

#[test]
fn a_servers_tool_asks_and_runs() {
    let (home, script) = home(&server("fake", &[&fake()], ""));
    let run = ask(&home, &script, "echo hello", "deny");
    assert_eq!(run.status, Some(3), "{run:#?}");
    let approval = event(&run, "approval");
    assert_eq!((&approval["tool"], &approval["arguments"]), (&json!("fake_echo"), &json!({"text": "hello"})));
    let run = ask(&home, &script, "echo hello", "all");
    assert_eq!((run.status, run.last()["text"].as_str()), (Some(0), Some("it says: hello")), "{run:#?}");
    let run = ask(&home, &script, "die", "all");
    assert_eq!(run.status, Some(0), "{run:#?}");
    assert!(event(&run, "tool_result")["content"].as_str().unwrap().contains("was lost during the call"), "{run:#?}");
}

#[test]
fn the_owner_says_what_a_tool_does_and_what_is_taken() {
    let more = "effects = { \"e*\" = \"read\", \"*\" = \"spend\" }\nallow = [\"echo\", \"pid\"]";
    let (home, script) = home(&server("fake", &[&fake()], more));
    let run = ask(&home, &script, "echo hello", "deny");
    assert_eq!((run.status, run.last()["text"].as_str()), (Some(0), Some("it says: hello")), "{run:#?}");
    let listed = home.run(&["tool", "list", "--format", "json"]).last();
    let tools: Vec<(&str, &str)> =
        listed["tools"].as_array().unwrap().iter().map(|t| (t["name"].as_str().unwrap(), t["effect"].as_str().unwrap())).collect();
    assert_eq!(tools[11..], [("web_fetch", "network"), ("web_search", "network"), ("fake_echo", "read"), ("fake_pid", "spend")]);
    let policy = |tool: &str| home.run(&["config", "policy", tool, "{}", "--format", "json"]).last()["decision"].clone();
    assert_eq!([policy("fake_echo"), policy("fake_pid"), policy("fake_die"), policy("fake_")], ["allow", "ask", "deny", "deny"]);
}

/// 500 tools do not fit into the block. The model finds one and calls it; what is asked about, and what rules see, is that one.
#[test]
fn tools_that_do_not_fit_are_found_and_asked_about_by_their_own_name() {
    let config = server("big", &[&fake(), "huge"], "")
        + "[[policy]]\ntool = \"big_t450\"\ndecision = \"deny\"\n[[policy]]\ntool = \"use_tool\"\ndecision = \"allow\"\n";
    let (home, script) = home(&config);
    let run = ask(&home, &script, "find t499", "deny");
    assert!(run.last()["text"].as_str().unwrap().contains(r#"{"name":"big_t499""#), "{run:#?}");
    let run = ask(&home, &script, "use big_t499 7", "deny");
    let approval = event(&run, "approval");
    assert_eq!((run.status, &approval["tool"], &approval["arguments"]), (Some(3), &json!("big_t499"), &json!({"n": "7"})), "{run:#?}");
    let run = ask(&home, &script, "use big_t499 7", "all");
    assert_eq!((run.status, run.last()["text"].as_str()), (Some(0), Some("it says: t499 was called with {\"n\":\"7\"}")), "{run:#?}");
    let run = ask(&home, &script, "use big_t450 7", "all");
    assert!(event(&run, "tool_result")["content"].as_str().unwrap().contains("policy forbids"), "{run:#?}");
    for unknown in ["use big_t9999 7", "use shell 7", "use use_tool 7"] {
        let run = ask(&home, &script, unknown, "deny");
        assert_eq!(event(&run, "tool_result")["ok"], false, "{run:#?}");
    }
}

#[test]
fn a_bad_server_is_told_of_and_costs_nothing_else() {
    let config = server("down", &[&fake(), "exit"], "")
        + &server("mute", &[&fake(), "mute"], "start_timeout_s = 1")
        + &server("fake", &[&fake()], "");
    let (home, script) = home(&config);
    let start = Instant::now();
    let run = ask(&home, &script, "echo on", "all");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!((run.status, run.last()["text"].as_str()), (Some(0), Some("it says: on")), "{run:#?}");
    for words in
        ["`down` has no tools here: its last words: there is no licence key", "`mute` has no tools here: it did not answer within 1 s"]
    {
        assert!(run.stderr.contains(words), "{run:#?}");
    }
    assert!(!run.stderr.contains('\u{1b}'), "{run:#?}");
    let checks = home.run(&["doctor", "--format", "json"]).last()["checks"].clone();
    let servers: Vec<&Value> = checks.as_array().unwrap().iter().filter(|check| check["what"] == "mcp server").collect();
    let states: Vec<&str> = servers.iter().map(|check| check["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["bad", "bad", "ok"], "{servers:?}");
    let run = home.run(&["tool", "run", "down_x", "{}"]);
    assert_eq!(run.status, Some(2), "{run:#?}");
    assert!(run.stderr.contains("there is no licence key"), "{run:#?}");
}

#[test]
fn one_tool_by_hand() {
    let home = new_home();
    home.file("workspace/a.txt", "text\n");
    let check = |arguments: &[&str], status: i32, stdout: &str, stderr: &str| {
        let run = home.run(&[&["tool", "run"], arguments].concat());
        assert_eq!((run.status, run.stdout.as_str()), (Some(status), stdout), "{run:#?}");
        assert!(run.stderr.contains(stderr) && run.stderr.lines().count() <= 1, "{run:#?}");
    };
    check(&["read_file", r#"{"path":"a.txt"}"#], 0, "text\n", "");
    check(&["shell", r#"{"command":"echo x"}"#], 3, "", "no terminal to ask on");
    check(&["shell", r#"{"command":"echo x"}"#, "--approve", "deny"], 3, "", "not approved");
    check(&["shell", r#"{"command":"echo x"}"#, "--approve", "all"], 0, "x\n", "");
    check(&["read_file", r#"{"path":"b.txt"}"#], 1, "", "b.txt");
    check(&["read_file", r#"{"path":3}"#], 2, "", "the arguments of `read_file`");
    check(&["read_file", "[]"], 2, "", "not a JSON object");
    check(&["fly", "{}"], 2, "", "there is no tool called `fly`");
    check(&["web_fetch", r#"{"url":"http://127.0.0.1/"}"#, "--approve", "all"], 1, "", "not on the public internet");
    let run = home.run(&["tool", "run", "read_file", r#"{"path":"a.txt"}"#, "--format", "json"]);
    assert_eq!(run.last(), json!({"type": "tool_result", "tool": "read_file", "ok": true, "denied": false, "content": "text"}));
    home.file("paguro.toml", "[[policy]]\ntool = \"read_file\"\ndecision = \"deny\"\n");
    check(&["read_file", r#"{"path":"a.txt"}"#, "--approve", "all"], 3, "", "policy forbids");
}

/// A page on this machine is read where the owner allows it, and only there.
#[test]
fn a_page_of_this_machine_needs_a_grant() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<h1>Hello</h1>");
        }
    });
    let home = new_home();
    let url = json!({"url": format!("http://{address}/")}).to_string();
    let run = home.run(&["tool", "run", "web_fetch", &url, "--approve", "all"]);
    assert_eq!(run.status, Some(1), "{run:#?}");
    home.file("paguro.toml", format!("[web]\nallow_private = [\"{address}\"]\n"));
    let run = home.run(&["tool", "run", "web_fetch", &url, "--approve", "all"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), format!("http://{address}/\n\n# Hello\n").as_str()), "{run:#?}");
}

/// The folder with the real servers; `None`: they are not installed here, which is said.
fn real() -> Option<PathBuf> {
    let folder = target().parent().unwrap().join("tools/mcp");
    if folder.join("installed").is_file() {
        return Some(folder);
    }
    eprintln!("NOT CHECKED: real MCP servers; .ci/mcp-servers installs them");
    None
}

fn node(folder: &std::path::Path, server: &str) -> String {
    folder.join(format!("node_modules/@modelcontextprotocol/{server}/dist/index.js")).display().to_string()
}

/// Where `node` is, for a configuration: servers have the system's `PATH` only.
fn node_program() -> String {
    let output = Command::new("sh").args(["-c", "command -v node"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn run_tool(home: &Home, name: &str, arguments: Value) -> Value {
    home.run(&["tool", "run", name, &arguments.to_string(), "--approve", "all", "--format", "json"]).last()
}

#[track_caller]
fn says(result: &Value, ok: bool, words: &str) {
    assert!(result["ok"] == ok && result["content"].as_str().unwrap().contains(words), "{result}");
}

#[test]
fn the_real_everything() {
    let Some(folder) = real() else { return };
    let home = new_home();
    let command = [node_program(), node(&folder, "server-everything"), "stdio".to_owned()];
    home.file("paguro.toml", server("all", &command.each_ref().map(String::as_str), ""));
    says(&run_tool(&home, "all_echo", json!({"message": "hi"})), true, "Echo: hi");
    says(&run_tool(&home, "all_get-sum", json!({"a": 2, "b": 3})), true, "5");
    says(&run_tool(&home, "all_get-tiny-image", json!({})), true, "[image, image/png, ");
    says(&run_tool(&home, "all_get-structured-content", json!({"location": "New York"})), true, "temperature");
    let listed = home.run(&["tool", "list", "--format", "json"]).last();
    assert_eq!(listed["servers"][0]["ok"], true, "{listed}");
    assert!(listed["servers"][0]["tools"].as_u64().unwrap() >= 8, "{listed}");
    assert_eq!(listed["servers"][0]["refused"], json!([]), "{listed}");
}

#[test]
fn the_real_everything_over_http() {
    struct Ended(Child);
    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let Some(folder) = real() else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(node_program());
    command.arg(node(&folder, "server-everything")).arg("streamableHttp").env("PORT", port.to_string());
    let _server = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(30), "the server does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    let home = new_home();
    home.file("token", "hush-hush\n");
    let url = format!("[[mcp]]\nname = \"all\"\nurl = \"http://127.0.0.1:{port}/mcp\"\nheader_files = {{ X-Token = \"token\" }}\n");
    home.file("paguro.toml", url);
    says(&run_tool(&home, "all_echo", json!({"message": "hi"})), true, "Echo: hi");
    says(&run_tool(&home, "all_get-sum", json!({"a": 2, "b": 3})), true, "5");
    let shown = home.run(&["config", "show"]);
    assert!(!shown.stdout.contains("hush-hush"), "{shown:#?}");
}

#[test]
fn the_real_filesystem() {
    let Some(folder) = real() else { return };
    let home = new_home();
    home.file("workspace/a.txt", "first line\n");
    home.file("outside.txt", "secret\n");
    let workspace = std::fs::canonicalize(home.path("workspace")).unwrap();
    let command = [node_program(), node(&folder, "server-filesystem"), workspace.display().to_string()];
    home.file(
        "paguro.toml",
        server("fs", &command.each_ref().map(String::as_str), "effects = { \"read_*\" = \"read\", \"*\" = \"write\" }"),
    );
    let path = |name: &str| workspace.join(name).display().to_string();
    says(&run_tool(&home, "fs_read_text_file", json!({"path": path("a.txt")})), true, "first line");
    says(&run_tool(&home, "fs_write_file", json!({"path": path("b.txt"), "content": "new"})), true, "b.txt");
    assert_eq!(std::fs::read_to_string(workspace.join("b.txt")).unwrap(), "new");
    says(&run_tool(&home, "fs_read_text_file", json!({"path": path("../outside.txt")})), false, "denied");
    let run = home.run(&["tool", "run", "fs_write_file", &json!({"path": path("c.txt"), "content": "x"}).to_string(), "--approve", "deny"]);
    assert_eq!((run.status, workspace.join("c.txt").exists()), (Some(3), false), "{run:#?}");
}

#[test]
fn the_real_time_and_git() {
    let Some(folder) = real() else { return };
    let home = new_home();
    let repository = home.path("workspace");
    std::fs::create_dir_all(&repository).unwrap();
    let git = |arguments: &[&str]| {
        let status =
            Command::new("git").current_dir(&repository).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments).output();
        status.is_ok_and(|output| output.status.success())
    };
    let program = |name: &str| folder.join("venv/bin").join(name).display().to_string();
    let config = server("time", &[&program("mcp-server-time"), "--local-timezone", "Europe/Rome"], "start_timeout_s = 60")
        + &server("git", &[&program("mcp-server-git")], "start_timeout_s = 60");
    home.file("paguro.toml", config);
    says(&run_tool(&home, "time_get_current_time", json!({"timezone": "Europe/Rome"})), true, "Europe/Rome");
    let convert = json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"});
    says(&run_tool(&home, "time_convert_time", convert), true, "21:00");
    says(&run_tool(&home, "time_get_current_time", json!({"timezone": "Nowhere/Here"})), false, "Nowhere/Here");
    if !(git(&["init", "-q"]) && git(&["commit", "-q", "--allow-empty", "-m", "the beginning"])) {
        eprintln!("NOT CHECKED: mcp-server-git; there is no git");
        return;
    }
    let path = repository.display().to_string();
    says(&run_tool(&home, "git_git_log", json!({"repo_path": path})), true, "the beginning");
    says(&run_tool(&home, "git_git_status", json!({"repo_path": path})), true, "clean");
}
