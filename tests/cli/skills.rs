//! Skills and AGENTS.md: the owner accepts a text before the model reads it, and again when it has changed.

use serde_json::{Value, json};

use super::support::{Home, Run};

fn script(home: &Home) -> String {
    home.script(&[
        json!({"when": "^use (\\w+)", "role": "user", "tool_calls": [{"name": "skill", "arguments": {"name": "$1"}}]}),
        json!({"when": "(?s)(.*)", "role": "tool", "text": "$1"}),
    ])
}

fn skill(home: &Home, body: &str) {
    home.file("workspace/skills/pdf/SKILL.md", format!("---\nname: pdf\ndescription: Reads PDFs.\n---\n{body}\n"));
}

fn ask(home: &Home, approve: &str) -> Run {
    home.run(&["ask", "use pdf", "--session", "s", "--approve", approve, "--model", &script(home), "--format", "jsonl"])
}

/// Why the owner was asked.
fn reason(run: &Run) -> Option<String> {
    run.events().iter().find(|event| event["type"] == "approval").map(|event| event["reason"].as_str().unwrap().to_owned())
}

#[test]
fn a_skill_is_asked_about_once_and_after_a_change() {
    let home = Home::new();
    skill(&home, "Do this.");
    let refused = ask(&home, "deny");
    assert!(reason(&refused).unwrap().contains("\n+Do this.\n"), "{refused:?}");
    assert!(!refused.last()["text"].as_str().unwrap().contains("Do this."), "{refused:?}");
    let accepted = ask(&home, "all");
    assert!(reason(&accepted).is_some());
    assert_eq!(accepted.last()["text"], "Do this.");
    // A no is the answer where nobody can be asked; nobody is asked.
    let again = ask(&home, "deny");
    assert_eq!((reason(&again), &again.last()["text"]), (None, &json!("Do this.")));
    skill(&home, "Do that.");
    let changed = reason(&ask(&home, "deny")).unwrap();
    assert!(changed.contains("\n-Do this.\n+Do that.\n"), "{changed}");
    let shown = home.run(&["skill", "show", "pdf"]);
    assert!(shown.stdout.contains("\n-Do this.\n+Do that.\n") && shown.stderr.starts_with("pdf: changed (accepted on 2"), "{shown:?}");
}

#[test]
fn skills_are_listed_shown_accepted_and_forgotten() {
    let home = Home::new();
    home.file("skills/csv/SKILL.md", "---\nname: csv\ndescription: Reads tables.\n---\nRead.\n");
    home.file("workspace/skills/odd/SKILL.md", "no head");
    home.file("workspace/AGENTS.md", "Use tabs.\n");
    let states = || {
        let listed = home.run(&["skill", "list", "--format", "json"]).last();
        let rows = listed["skills"].as_array().unwrap().iter();
        rows.map(|row| ["name", "place", "state"].map(|key| row[key].as_str().unwrap().to_owned()).join(" ")).collect::<Vec<_>>()
    };
    let built_in = "writing-skills built-in accepted";
    assert_eq!(states(), ["csv user new", "odd workspace unusable", built_in, "AGENTS.md workspace new"]);
    let accepted = home.run(&["skill", "accept", "AGENTS.md"]);
    assert!(accepted.stdout.ends_with("+Use tabs.\naccepted AGENTS.md; new conversations know it\n"), "{accepted:?}");
    home.run(&["skill", "accept", "csv"]);
    assert_eq!(home.run(&["skill", "accept", "csv"]).stdout, "csv is accepted already\n");
    assert_eq!(states(), ["csv user accepted", "odd workspace unusable", built_in, "AGENTS.md workspace accepted"]);
    let shown: Value = home.run(&["skill", "show", "csv", "--format", "json"]).last();
    assert_eq!((&shown["state"], &shown["difference"]), (&json!("accepted"), &Value::Null), "{shown}");
    assert_eq!(home.run(&["skill", "forget", "csv"]).status, Some(0));
    for bad in [["forget", "csv"], ["show", "none"], ["show", "odd"], ["accept", "../x"]] {
        let run = home.run(&["skill", bad[0], bad[1]]);
        assert_eq!((run.status, run.stderr.lines().count()), (Some(2), 1), "{run:?}");
    }
}
