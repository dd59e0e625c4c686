//! `memory` on the command line, and notes at the tail of a message.

use serde_json::json;

use super::support::Home;

#[test]
fn notes_are_kept_found_and_forgotten() {
    let home = Home::new();
    let id = home.run(&["memory", "add", "my bike is green", "--format", "json"]).last()["id"].as_str().unwrap().to_owned();
    home.run(&["memory", "add", "the car is red"]);
    let found = home.run(&["memory", "search", "what colour is my bike?", "--limit", "1", "--format", "json"]).last();
    assert_eq!((&found["results"][0]["id"], &found["results"][0]["text"]), (&json!(id), &json!("my bike is green")), "{found}");
    assert_eq!(home.run(&["memory", "forget", &id]).status, Some(0));
    assert_eq!(home.run(&["memory", "forget", &id]).status, Some(2));
    let listed = home.run(&["memory", "list", "--format", "json"]).last();
    assert_eq!(listed["notes"].as_array().unwrap().len(), 1);
}

#[test]
fn export_and_import_lose_nothing() {
    let home = Home::new();
    let lines = concat!(
        "{\"id\":\"a1\",\"text\":\"line\\nbreak \\u0000 and ü\",\"at\":\"2024-01-02T03:04:05.000Z\"}\n",
        "{\"id\":\"b2\",\"text\":\"second\",\"at\":\"2024-01-02T03:04:06.000Z\"}\n"
    );
    for _ in 0..2 {
        assert_eq!(home.pipe(&["memory", "import", "-"], lines).status, Some(0));
    }
    assert_eq!(home.run(&["memory", "export"]).stdout, lines);
    let bad = home.pipe(&["memory", "import", "-"], "{\"text\":\"x\"}\nnonsense\n");
    assert_eq!(bad.status, Some(2));
    assert!(bad.stderr.contains("line 2"), "{bad:?}");
}

#[test]
fn a_note_comes_with_the_message_once() {
    let home = Home::new();
    home.run(&["memory", "add", "my bike is green"]);
    let script = home.script(&[
        json!({"when": "(?s)bike.*\\[note: my bike is green\\]", "text": "with the note"}),
        json!({"when": "bike", "text": "without"}),
    ]);
    for reply in ["with the note\n", "without\n"] {
        let run = home.run(&["ask", "tell me of the bike", "--session", "s", "--model", &script]);
        assert_eq!(run.stdout, reply, "{run:?}");
    }
}
