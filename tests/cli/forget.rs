//! Forgetting from outside: what was noted and said is in no file of the home afterwards.

use std::path::Path;

use serde_json::json;

use super::support::Home;

/// Every file of the home that holds `text`, in UTF-8.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(holding(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()) {
            out.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    out.retain(|name| name != "script.jsonl");
    out
}

#[test]
fn a_note_that_was_spoken_of_is_gone() {
    let home = Home::new();
    let script = home.script(&[
        json!({"when": "^the safe opens", "role": "user", "text": "", "tool_calls": [{"name": "remember", "arguments": {"text": "The safe opens with Quixotry-4711"}}]}),
        json!({"when": "(?s)^what of the safe.*\\[note", "text": "You told me: it opens with Quixotry-4711."}),
        json!({"when": ".", "text": "I keep that the safe opens with Quixotry-4711. Good."}),
    ]);
    let ask = |text: &str, session: &str| {
        let run = home.run(&["ask", text, "--session", session, "--model", &script, "--approve", "all"]);
        assert_eq!(run.status, Some(0), "{run:?}");
    };
    ask("the safe opens with Quixotry-4711. keep it", "one");
    ask("what of the safe?", "two");
    home.file("chat_history", "hello\nthe safe opens with quixotry-4711\n");
    let listed = home.run(&["memory", "list", "--format", "json"]).last();
    let id = listed["notes"][0]["id"].as_str().unwrap().to_owned();
    let shown = home.run(&["memory", "show", &id]);
    assert!(shown.stdout.contains("paguro session show terminal/one --why 1"), "{shown:?}");
    assert!(!holding(home.folder.path(), "Quixotry").is_empty());

    let unknown = home.run(&["memory", "forget", &id, "nobody"]);
    assert_eq!(unknown.status, Some(2), "{unknown:?}");
    assert!(!holding(home.folder.path(), "Quixotry").is_empty());
    let forgotten = home.run(&["memory", "forget", &id]);
    assert_eq!(forgotten.status, Some(0), "{forgotten:?}");
    for text in ["Quixotry", "quixotry", "uixotry-47"] {
        assert_eq!(holding(home.folder.path(), text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(std::fs::read_to_string(home.path("chat_history")).unwrap(), "hello\n");
    // The conversations go on.
    ask("anything else?", "one");
    ask("what of the safe?", "two");
    let shown = home.run(&["session", "show", "one"]);
    assert!(shown.stdout.starts_with("you: [forgotten]. keep it\n"), "{shown:?}");
}

#[test]
fn words_are_forgotten_everywhere_after_a_question() {
    let home = Home::new();
    let script = home.script(&[json!({"when": ".", "text": "Zymurgy is a nice word. Tea?"})]);
    home.run(&["memory", "add", "my hobby is zymurgy"]);
    home.run(&["memory", "add", "my hobby is chess"]);
    home.run(&["ask", "what is zymurgy?", "--session", "s", "--model", &script]);
    let forget = |more: &[&str]| home.run(&[&["memory", "forget", "--matching", "ZYMURGY"], more].concat());
    let asked = forget(&[]);
    assert_eq!(asked.status, Some(2));
    assert!(
        asked.stderr.contains("my hobby is zymurgy") && asked.stderr.contains("1 note, and words in") && asked.stderr.contains("--yes"),
        "{asked:?}"
    );
    assert!(!holding(home.folder.path(), "zymurgy").is_empty());
    assert_eq!(forget(&["--yes"]).status, Some(0));
    assert_eq!(forget(&["--yes"]).stdout, "nothing was found\n");
    for text in ["zymurgy", "Zymurgy"] {
        assert_eq!(holding(home.folder.path(), text), Vec::<String>::new());
    }
    let left = home.run(&["memory", "list", "--format", "json"]).last();
    assert_eq!(left["notes"].as_array().unwrap().len(), 1);
}

#[test]
fn what_only_begins_alike_or_is_a_name_stays_and_is_no_failure() {
    let home = Home::new();
    let script = home.script(&[json!({"when": ".", "text": "Tea?"})]);
    let beginning = "these words are more than a line of a screen is wide and both of the notes begin with exactly them, and end in";
    for ending in ["zymurgy", "chess"] {
        home.run(&["memory", "add", &format!("{beginning} {ending}")]);
    }
    let listed = home.run(&["memory", "list", "--format", "json"]).last();
    let of_zymurgy = listed["notes"].as_array().unwrap().iter().find(|note| note["text"].as_str().unwrap().ends_with("zymurgy")).unwrap();
    let forgotten = home.run(&["memory", "forget", of_zymurgy["id"].as_str().unwrap()]);
    assert_eq!(forgotten.status, Some(0), "{forgotten:?}");
    assert!(!forgotten.stderr.contains("still"), "{forgotten:?}");
    assert_eq!(holding(home.folder.path(), "zymurgy"), Vec::<String>::new());
    assert!(!holding(home.folder.path(), "in chess").is_empty());

    home.run(&["ask", "what is quixotry?", "--session", "quixotry", "--model", &script]);
    let forgotten = home.run(&["memory", "forget", "--matching", "quixotry", "--yes"]);
    assert_eq!(forgotten.status, Some(0), "{forgotten:?}");
    assert!(forgotten.stderr.contains("it still stands in the name of a session"), "{forgotten:?}");
    let again = home.run(&["memory", "forget", "--matching", "quixotry", "--yes"]);
    assert_eq!((again.status, again.stdout.as_str()), (Some(0), "nothing was found\n"), "{again:?}");
}
