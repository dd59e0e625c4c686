//! What is asked and what counts as an answer, through pipes in the terminal's place.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::OwnedFd;

use serde_json::json;

use super::*;

fn question(tool: &str, arguments: Value) -> Question {
    let (call, hash, reason) = ("call_1".into(), "h".into(), "it can change things on this machine".into());
    Question { turn: 1, call, tool: tool.into(), arguments, hash, reason, ..Question::default() }
}

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// A terminal, what is typed on it and what it shows.
fn terminal() -> (Terminal, PipeWriter, PipeReader) {
    let ((input, typed), (seen, output)) = (pipe().unwrap(), pipe().unwrap());
    (Terminal::new(File::from(OwnedFd::from(input)), File::from(OwnedFd::from(output))), typed, seen)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Asks with `typed` coming; returns the answer and all that was shown.
fn asked(typed: &str, question: &Question) -> (Answer, String) {
    let (terminal, mut writer, mut seen) = terminal();
    writer.write_all(typed.as_bytes()).unwrap();
    drop(writer);
    let answer = run(terminal.ask(question, LONG));
    drop(terminal);
    let mut shown = String::new();
    seen.read_to_string(&mut shown).unwrap();
    (answer, shown)
}

#[track_caller]
fn check_answer(typed: &str, allowed: bool, why: Option<&str>) {
    let (answer, _) = asked(typed, &question("shell", json!({})));
    assert_eq!(answer, Answer { allowed, why: why.map(Into::into), ..Answer::no(CHANNEL) }, "{typed:?}");
}

#[test]
fn only_a_clear_yes_is_a_yes() {
    for yes in ["y\n", "Y\n", "yes\n", " yes \r\n", "what?\nyes\n"] {
        check_answer(yes, true, None);
    }
    for no in
        ["", "\n", "n\n", "no\n", "NO.\n", "yes please\n", "y and n\n", "ye\n", "maybe\nmaybe\nmaybe\nyes\n", "\u{1b}[Ay\n", "\n\nyes\n"]
    {
        check_answer(no, false, None);
    }
}

#[test]
fn a_yes_can_be_for_longer_where_a_rule_is_shown() {
    let rule: Rule = serde_json::from_value(json!({ "tool": "shell", "command": "git status", "decision": "allow" })).unwrap();
    let with = Question { rule: Some(rule), ..question("shell", json!({ "command": "git status" })) };
    let without = Question { rule: None, ..with.clone() };
    for (typed, scope) in [("y\n", Scope::Once), ("s\n", Scope::Session), ("Always\n", Scope::Always)] {
        let (answer, shown) = asked(typed, &with);
        assert_eq!(answer, Answer { scope, ..Answer::yes(CHANNEL) });
        assert!(
            shown.contains("  session and always would allow: tool = \"shell\", command = \"git status\"\nRun this? [y]es / [s]ession /"),
            "{shown}"
        );
        assert_eq!(asked(typed, &without).0.allowed, scope == Scope::Once);
    }
}

#[test]
fn a_no_can_have_a_reason() {
    check_answer("no, because it is late\n", false, Some("it is late"));
    check_answer("n use /tmp instead\n", false, Some("use /tmp instead"));
    check_answer("No: wrong folder\n", false, Some("wrong folder"));
}

#[track_caller]
fn check_text(question: &Question, expected: &str) {
    assert_eq!(question_text(question, false), expected);
}

#[test]
fn what_would_run_is_shown_whole_and_as_it_is() {
    let head = |tool: &str| format!("{tool} needs your approval: it can change things on this machine\n");
    let long = "x".repeat(5_000);
    check_text(&question("shell", json!({ "command": long })), &format!("{}  command: {long}\n", head("shell")));
    check_text(&question("now", json!({})), &format!("{}  (without arguments)\n", head("now")));
    check_text(
        &question("write_file", json!({ "path": "a.txt", "content": "one\n  path: b.txt\n", "append": true })),
        &format!("{}  path: a.txt\n  content:\n  │ one\n  │   path: b.txt\n  │ \n  append: true\n", head("write_file")),
    );
    check_text(
        &question("shell", json!({ "command": "echo \u{1b}[8m\rls \u{202e}x\ty\u{200b}z" })),
        &format!("{}  command: echo ␛[8m␍ls <U+202E>x␉y<U+200B>z\n", head("shell")),
    );
    check_text(&question("a\nb", json!({ "x\ny": 1 })), &format!("{}  x␊y: 1\n", head("a␊b")));
    let difference = Question { reason: "it has changed\n-old\n+  path: \u{1b}x\n".into(), ..question("skill", json!({ "name": "pdf" })) };
    check_text(&difference, "skill needs your approval: it has changed\n  │ -old\n  │ +  path: ␛x\n  name: pdf\n");
    let lines = ["l"; MANY_LINES].join("\n");
    let shown = "  │ l\n".repeat(MANY_LINES);
    check_text(&question("shell", json!({ "command": lines })), &format!("{}  command: (10 lines)\n{shown}", head("shell")));
}

#[test]
fn the_model_gets_the_owners_words_or_a_number() {
    let asked_by = |reason: &str, arguments| Question { reason: reason.into(), ..question("ask_user", arguments) };
    let of_the_model = asked_by("the model asks", json!({ "question": "Which one?\nSay it\u{1b}.", "options": ["tea", "milk\n3: none"] }));
    let text = "the model asks: Which one?\n  │ Say it␛.\n  1: tea\n  2:\n  │ milk\n  │ 3: none\n";
    let prompt = "Your answer, or a number? (Enter: none; none after 10 min) ";
    for (typed, allowed, why) in [("1\n", true, "tea"), ("no\n", true, "no"), ("\n", true, "")] {
        let (answer, shown) = asked(typed, &of_the_model);
        assert_eq!((answer.allowed, answer.why.as_deref()), (allowed, Some(why)), "{typed:?}");
        assert_eq!(shown, format!("{text}{prompt}"));
    }
}

#[test]
fn the_question_stands_before_the_prompt() {
    let (_, shown) = asked("hm\ny\n", &question("shell", json!({ "command": "ls" })));
    let head = "shell needs your approval: it can change things on this machine\n  command: ls\n";
    let prompt = "Run this? [y]es / [n]o / [n]o, because … (no after 10 min) ";
    assert_eq!(shown, format!("{head}{prompt}{prompt}"));
    let (_, shown) = asked("", &question("shell", json!({ "command": "ls" })));
    assert_eq!(shown, format!("{head}{prompt}\n"));
}

#[test]
fn no_answer_is_no_after_a_while() {
    let (terminal, mut typed, mut seen) = terminal();
    run(async {
        typed.write_all(b"y").unwrap(); // and no Enter
        let answer = terminal.ask(&question("shell", json!({})), Duration::from_secs(1)).await;
        assert_eq!(answer, Answer { why: Some("nobody answered within 1 s".into()), ..Answer::no(CHANNEL) });
    });
    drop(terminal);
    let mut shown = String::new();
    seen.read_to_string(&mut shown).unwrap();
    assert!(shown.ends_with("(no after 1 s) \nnobody answered within 1 s\n"), "{shown:?}");
}

#[test]
fn a_question_taken_back_leaves_the_next_line_alone() {
    let (terminal, mut typed, _seen) = terminal();
    run(async {
        let question = question("shell", json!({}));
        let asking = terminal.ask(&question, LONG);
        timeout(Duration::from_millis(50), asking).await.unwrap_err();
        // The thread that read for it has been told to end.
        tokio::time::sleep(Duration::from_millis(50)).await;
        typed.write_all(b"next\nlater\n").unwrap();
        assert_eq!(terminal.read_line().await.unwrap().as_deref(), Some("next"));
        assert_eq!(terminal.read_line().await.unwrap().as_deref(), Some("later"));
    });
}
