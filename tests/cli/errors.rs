//! Bad input: one line that names the value and the way out, the right exit status, nothing lost.

use std::process::Stdio;

use serde_json::json;

use super::support::{Home, Run, finish};

/// One line of `paguro: …` on stderr with these words in it, nothing on stdout.
fn check(run: &Run, status: i32, words: &[&str]) {
    let lines: Vec<&str> = run.stderr.lines().filter(|line| !line.contains("the embedded demo model answers")).collect();
    assert_eq!((run.status, lines.len()), (Some(status), 1), "{run:#?}");
    assert!(lines[0].starts_with("paguro: "), "{run:#?}");
    for word in words {
        assert!(lines[0].contains(word), "no {word:?} in {run:#?}");
    }
    assert_eq!(run.stdout, "", "{run:#?}");
}

#[test]
fn models_that_cannot_be_used() {
    let home = Home::new();
    let model = |model: &str| home.run(&["ask", "hi", "--model", model]);
    check(&model("/nowhere/m.gguf"), 2, &["/nowhere/m.gguf"]);
    check(&model("nosuch"), 2, &["nosuch"]);
    let text = home.file("text.gguf", "this is not a model at all, but long enough to be looked at");
    check(&model(text.to_str().unwrap()), 2, &["text.gguf", "GGUF"]);
    let empty = home.file("empty.gguf", "");
    check(&model(empty.to_str().unwrap()), 2, &["empty.gguf"]);
    let demo = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/demo/demo.gguf")).unwrap();
    for length in [20, 200, 2_000, 50_000, demo.len() - 1] {
        let cut = home.file("cut.gguf", &demo[..length]);
        check(&model(cut.to_str().unwrap()), 2, &["cut.gguf"]);
    }
    check(&model("script:/nowhere.jsonl"), 2, &["/nowhere.jsonl"]);
    let bad = home.file("bad.jsonl", "{\"when\": \"a\", \"texxt\": \"b\"}\n");
    check(&model(&format!("script:{}", bad.display())), 2, &["bad.jsonl", "line 1"]);
}

#[test]
fn prompts_that_cannot_be_used() {
    let home = Home::new();
    let script = home.script(&[json!({"when": ".", "text": "ok"})]);
    check(&home.run(&["ask", "", "--model", &script]), 2, &["empty"]);
    check(&home.pipe(&["ask", "-", "--model", &script], "  \n"), 2, &["empty"]);
    check(&home.pipe(&["ask", "-", "--model", &script], b"a\xffb"), 2, &["0xff", "offset 1"]);
    check(&home.pipe(&["ask", "-", "--model", &script], b"a\0b"), 2, &["NUL", "byte 1"]);
    check(&home.run(&["ask", "hi", "--session", "a\nb", "--model", &script]), 2, &["session"]);
    let long = "word ".repeat(20_000);
    let run = home.pipe(&["ask", "-", "--session", "s"], &long);
    check(&run, 2, &["tokens", "context"]);
    assert_eq!(home.run(&["session", "list", "--format", "json"]).last()["sessions"][0]["turns"], 1, "the message is kept");
}

#[test]
fn arguments_that_cannot_be_used() {
    let home = Home::new();
    for arguments in
        [&["ask", "hi", "--timeout", "0"][..], &["ask", "hi", "--max-steps", "0"], &["ask", "hi", "--format", "xml"], &["nonsense"]]
    {
        check(&home.run(arguments), 2, &[arguments.last().unwrap()]);
    }
}

#[test]
fn configurations_that_cannot_be_used() {
    let home = Home::new();
    home.file("paguro.toml", "[model]\ncontxt = 4096\n");
    check(&home.run(&["ask", "hi"]), 2, &["line 2", "`contxt`", "`context`"]);
    check(&home.run(&["config", "check"]), 2, &["`contxt`"]);
    home.file("paguro.toml", "[model]\nfile = 'models/nosuch.gguf'\n");
    check(&home.run(&["ask", "hi"]), 2, &["models/nosuch.gguf"]);
}

#[test]
fn databases_that_cannot_be_used() {
    let home = Home::new();
    home.file("paguro.db", "this is no database, but it has a few bytes that would be lost if it were made anew".repeat(50));
    check(&home.run(&["ask", "hi"]), 1, &["paguro.db"]);
    assert!(std::fs::read_to_string(home.path("paguro.db")).unwrap().starts_with("this is no database"));
    let home = Home::new();
    home.run(&["memory", "add", "kept"]);
    // SQLite keeps `user_version` at byte 60, big-endian.
    let mut bytes = std::fs::read(home.path("paguro.db")).unwrap();
    bytes[60..64].copy_from_slice(&999_u32.to_be_bytes());
    home.file("paguro.db", &bytes);
    check(&home.run(&["ask", "hi"]), 1, &["paguro.db", "999", "newer"]);
    assert_eq!(std::fs::read(home.path("paguro.db")).unwrap(), bytes, "nothing is changed");
    let home = Home::new();
    home.file("plain", "");
    let mut command = home.command(&["ask", "hi"]);
    check(&finish(command.env("PAGURO_HOME", home.path("plain")).spawn().unwrap()), 1, &["plain"]);
}

#[test]
fn one_process_per_home() {
    let home = Home::new();
    let slow = home.script(&[json!({"when": ".", "text": "one two three four five six seven eight nine", "delay_ms": 60_000})]);
    let mut first = home.command(&["ask", "hi", "--model", &slow, "--format", "jsonl"]).spawn().unwrap();
    super::crash::wait_for(&mut first, "\"type\":\"init\"");
    check(&home.run(&["memory", "list"]), 1, &["in use", &first.id().to_string()]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(home.run(&["memory", "list"]).status, Some(0));
}

#[test]
fn a_closed_standard_output_loses_nothing() {
    let home = Home::new();
    let script = home.script(&[json!({"when": ".", "text": "one two three"})]);
    let mut child = home.command(&["ask", "hi", "--session", "s", "--model", &script]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let run = finish(child);
    assert_eq!(run.status, Some(1), "{run:?}");
    check(&run, 1, &["standard output", "session show s"]);
    assert_eq!(home.run(&["session", "show", "s"]).stdout, "you: hi\npaguro: one two three\n");
}
