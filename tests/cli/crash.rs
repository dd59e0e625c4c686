//! kill -9 at the moments that matter: nothing lost, nothing doubled, no write repeated silently.

use std::io::{BufRead as _, BufReader};
use std::process::Child;

use serde_json::json;

use super::support::Home;

/// Reads the child's output until a line has `part`.
pub fn wait_for(child: &mut Child, part: &str) {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        if line.contains(part) {
            child.stdout = Some(out.into_inner());
            return;
        }
        line.clear();
    }
    panic!("the program ended before it printed {part}");
}

#[test]
fn killed_during_a_reply() {
    let home = Home::new();
    let slow = home.script(&[json!({"when": "^hello", "text": "a reply of several words", "delay_ms": 30_000})]);
    let mut child = home.command(&["ask", "hello", "--session", "s", "--model", &slow, "--format", "jsonl"]).spawn().unwrap();
    wait_for(&mut child, "\"type\":\"init\"");
    child.kill().unwrap();
    child.wait().unwrap();
    let quick = home.script(&[json!({"when": "^hello", "text": "finished"}), json!({"when": "^next", "text": "and on"})]);
    let run = home.run(&["ask", "next", "--session", "s", "--model", &quick]);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!(run.stdout, "and on\n", "{run:?}");
    let shown = home.run(&["session", "show", "s"]).stdout;
    assert_eq!(shown, "you: hello\npaguro: finished\nyou: next\npaguro: and on\n");
}

#[test]
fn killed_while_a_command_runs() {
    let home = Home::new();
    let script = home.script(&[
        json!({"when": "^go", "role": "user", "tool_calls": [{"name": "shell", "arguments": {"command": "echo x >> log; exec sleep 60"}}]}),
        json!({"when": "^next", "text": "and on"}),
        json!({"when": "(?s)(.*)", "role": "tool", "text": "$1"}),
    ]);
    let arguments = ["--session", "s", "--model", &script, "--format", "jsonl"];
    let mut child = home.command(&[&["ask", "go", "--approve", "all"], &arguments[..]].concat()).spawn().unwrap();
    wait_for(&mut child, "\"type\":\"approval\"");
    while std::fs::read_to_string(home.path("workspace/log")).unwrap_or_default() != "x\n" {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The write may have happened: it is asked about. A blanket yes is no answer to that, and nobody else is there to say yes.
    let run = home.run(&[&["ask", "next", "--approve", "all"], &arguments[..]].concat());
    let approval = run.events().into_iter().find(|event| event["type"] == "approval").unwrap_or_else(|| panic!("{run:?}"));
    assert!(approval["reason"].as_str().unwrap().contains("may have run already"), "{approval}");
    assert_eq!(run.last()["text"], "and on");
    assert_eq!(std::fs::read_to_string(home.path("workspace/log")).unwrap(), "x\n", "the command ran once");
}

#[test]
fn killed_after_a_read_runs_it_again() {
    let home = Home::new();
    home.file("workspace/a.txt", "text of a");
    let slow = home.script(&[
        json!({"when": "^read", "role": "user", "tool_calls": [{"name": "read_file", "arguments": {"path": "a.txt"}}]}),
        json!({"when": "(.*)", "role": "tool", "text": "it says $1 and more", "delay_ms": 30_000}),
    ]);
    let mut child = home.command(&["ask", "read", "--session", "s", "--model", &slow, "--format", "jsonl"]).spawn().unwrap();
    wait_for(&mut child, "\"type\":\"tool_result\"");
    child.kill().unwrap();
    child.wait().unwrap();
    let quick = home.script(&[json!({"when": "^next", "text": "and on"}), json!({"when": "(.*)", "role": "tool", "text": "it says $1"})]);
    let run = home.run(&["ask", "next", "--session", "s", "--model", &quick]);
    assert_eq!(run.status, Some(0), "{run:?}");
    let shown = home.run(&["session", "show", "s"]).stdout;
    assert!(shown.contains("result: text of a\npaguro: it says text of a\nyou: next\npaguro: and on\n"), "{shown}");
    assert_eq!(shown.matches("result:").count(), 1, "{shown}");
}
