//! Undo brings back the files of the last turn, whatever ended it.

use serde_json::{Value, json};

use super::crash::wait_for;
use super::support::Home;

/// A script that writes `words` into a.txt and into a new file, then replies after `delay_ms` a word.
fn script(home: &Home, delay_ms: u64) -> String {
    let call = |path: &str, content: &str| json!({"name": "write_file", "arguments": {"path": path, "content": content}});
    home.script(&[
        json!({"when": "^write (\\w+)", "role": "user", "tool_calls": [call("a.txt", "$1"), call("new/$1.txt", "$1")]}),
        json!({"when": "^wrote", "role": "tool", "text": "both are written", "delay_ms": delay_ms}),
    ])
}

fn write(home: &Home, words: &str) {
    let run = home.run(&["ask", &format!("write {words}"), "--session", "s", "--approve", "all", "--model", &script(home, 0)]);
    assert_eq!(run.status, Some(0), "{run:?}");
}

fn read(home: &Home, name: &str) -> Option<String> {
    std::fs::read_to_string(home.path("workspace").join(name)).ok()
}

#[test]
fn each_undo_goes_a_turn_further_back() {
    let home = Home::new();
    home.file("workspace/a.txt", "zero");
    write(&home, "one");
    write(&home, "two");
    let undo = |arguments: &[&str]| home.run(&[&["session", "undo", "s"], arguments].concat()).stdout;
    assert_eq!(undo(&[]), "removed new/two.txt\nrestored a.txt\ntaken out of the conversation: write two\n");
    assert_eq!((read(&home, "a.txt").as_deref(), read(&home, "new/two.txt")), (Some("one"), None));
    // The owner goes on with the file: it is theirs now.
    home.file("workspace/a.txt", "mine");
    let said = undo(&[]);
    let place = said.lines().nth(1).and_then(|line| line.strip_prefix("left alone a.txt: changed since; what it was before is kept in "));
    assert_eq!(std::fs::read_to_string(place.unwrap_or_else(|| panic!("{said}"))).unwrap(), "zero");
    assert_eq!((read(&home, "a.txt").as_deref(), home.path("workspace/new").exists()), (Some("mine"), false));
    assert_eq!(undo(&[]), "there is no turn to take out\n");
    // Forced, what was there is kept.
    write(&home, "three");
    home.file("workspace/a.txt", "mine again");
    let said = undo(&["--force"]);
    let place = said.lines().nth(1).and_then(|line| line.strip_prefix("restored a.txt; what was there is kept in "));
    assert_eq!(std::fs::read_to_string(place.unwrap_or_else(|| panic!("{said}"))).unwrap(), "mine again");
    assert_eq!(read(&home, "a.txt").as_deref(), Some("mine"));
    let checks = home.run(&["doctor", "--format", "json"]).last();
    let undo = checks["checks"].as_array().unwrap().iter().find(|check| check["what"] == "undo").unwrap();
    assert!(undo["says"].as_str().unwrap().contains(" overwritten contents kept, "), "{undo}");
    // With the conversation goes what was kept of it.
    home.run(&["session", "rm", "s"]);
    let left = std::fs::read_dir(home.path("kept"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().read_dir().is_ok_and(|mut d| d.next().is_some()));
    assert_eq!(left.count(), 0);
}

#[test]
fn killed_after_the_writes_the_turn_is_undone_all_the_same() {
    let home = Home::new();
    home.file("workspace/a.txt", "zero");
    let slow = script(&home, 30_000);
    let arguments = ["ask", "write one", "--session", "s", "--approve", "all", "--model", &slow, "--format", "jsonl"];
    let mut child = home.command(&arguments).spawn().unwrap();
    // Results of both calls, then the kill.
    wait_for(&mut child, "wrote 3 bytes to new/one.txt");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(read(&home, "a.txt").as_deref(), Some("one"));
    let undone = home.run(&["session", "undo", "s"]);
    assert_eq!(undone.stdout, "removed new/one.txt\nrestored a.txt\ntaken out of the conversation: write one\n", "{undone:?}");
    assert_eq!((read(&home, "a.txt").as_deref(), home.path("workspace/new").exists()), (Some("zero"), false));
}

#[test]
fn a_chat_undoes_files_too() {
    let home = Home::new();
    home.file("workspace/a.txt", "zero");
    let run = home.pipe(&["chat", "--approve", "all", "--model", &script(&home, 0)], "write one\n/undo\n");
    assert!(run.stdout.ends_with("removed new/one.txt\nrestored a.txt\ntaken out of the history: write one\n"), "{run:?}");
    assert_eq!(read(&home, "a.txt").as_deref(), Some("zero"));
    let shown: Value = home.run(&["session", "show", "main", "--format", "json"]).last();
    assert_eq!(shown["turns"], json!([]));
}
