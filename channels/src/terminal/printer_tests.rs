//! Events in, the whole of both streams out.

use agent::engine::Usage;
use agent::{Stage, TurnTimings};
use serde_json::json;

use super::*;

/// Both streams go to terminals.
const TERMINALS: Screen = Screen { format: Format::Text, colour: false, stdout_is_terminal: true, stderr_is_terminal: true, details: true };
/// Neither does.
const FILES: Screen = Screen { stdout_is_terminal: false, stderr_is_terminal: false, details: false, ..TERMINALS };

#[track_caller]
fn check(screen: Screen, events: &[Event], out: &str, err: &str) {
    let mut printer = Printer::new(screen, Vec::new(), Vec::new());
    for event in events {
        printer.event(event).unwrap();
    }
    printer.finish().unwrap();
    let (got_out, got_err) = printer.into_writers();
    assert_eq!((String::from_utf8(got_out).unwrap().as_str(), String::from_utf8(got_err).unwrap().as_str()), (out, err));
}

fn text(delta: &str) -> Event {
    Event::Text { delta: delta.into() }
}

fn reasoning(delta: &str) -> Event {
    Event::Reasoning { delta: delta.into() }
}

fn call(command: &str) -> Event {
    Event::ToolCall { id: "call_1".into(), name: "shell".into(), arguments: json!({ "command": command }) }
}

fn tool_result(ok: bool, content: &str) -> Event {
    Event::ToolResult { id: "call_1".into(), ok, content: content.into() }
}

fn approval() -> Event {
    Event::Approval {
        id: "call_1".into(),
        tool: "shell".into(),
        arguments: json!({ "command": "uname" }),
        reason: "it can change things".into(),
        question: None,
        task: None,
    }
}

/// The end of a turn, with a reply if nothing failed.
fn result(text: &str, failure: Option<&str>) -> Event {
    end(text, failure, failure.is_none())
}

fn end(text: &str, failure: Option<&str>, replied: bool) -> Event {
    Event::Result(Box::new(TurnResult {
        outbound: None,
        replied,
        ok: failure.is_none(),
        text: text.into(),
        session: "main".into(),
        turn: "7".into(),
        model: "tiny".into(),
        steps: 1,
        usage: Usage { prompt_tokens: 10, reused_tokens: 8, prefilled_tokens: 2, completion_tokens: 3 },
        timings: TurnTimings::default(),
        cache_miss: None,
        limit: false,
        failure: failure.map(Into::into),
    }))
}

const USAGE: &str = "reused 8 / prefilled 2 / generated 3 tokens\n";

fn init() -> Event {
    Event::Init { session: "main".into(), turn: "7".into(), model: "tiny".into() }
}

#[test]
fn a_person_reads_the_reply_as_it_comes() {
    check(TERMINALS, &[init(), text("Hello "), text("there."), result("Hello there.", None)], "Hello there.\n", USAGE);
    check(TERMINALS, &[text("\n\n"), text("\nOne\n"), text("two\n"), result("One\ntwo", None)], "One\ntwo\n", USAGE);
}

#[test]
fn a_reply_that_was_not_streamed_is_shown_at_the_end() {
    // As after a restart: the reply is in the journal and is not generated again.
    check(TERMINALS, &[init(), result("Hello.", None)], "Hello.\n", USAGE);
    let events = [init(), text("I look."), call("ls"), tool_result(true, "a"), result("There is a.", None)];
    check(TERMINALS, &events, "I look.\nThere is a.\n", &format!("→ shell: ls\n  a\n{USAGE}"));
}

#[test]
fn a_script_gets_exactly_the_reply() {
    let events = [
        init(),
        reasoning("hm"),
        text("I run it."),
        call("uname\nid"),
        approval(),
        tool_result(true, "Linux"),
        text("It is\x1b[1m Linux"),
        result("It is\x1b[1m Linux", None),
    ];
    let err = "→ shell: uname␊id\nshell needs an approval: it can change things\n";
    check(FILES, &events, "It is\x1b[1m Linux\n", err);
    check(FILES, &[result("ends well\n", None)], "ends well\n", "");
    check(FILES, &[tool_result(false, "error: no such file\nmore"), result("No.", None)], "No.\n", "  error: no such file\n");
}

#[test]
fn a_turn_without_a_reply_says_why_on_standard_error() {
    let limit = result("the step limit was reached", Some("max_steps"));
    check(FILES, &[init(), limit.clone()], "", "paguro: the step limit was reached\n");
    check(TERMINALS, &[init(), text("I"), limit], "I\n", &format!("paguro: the step limit was reached\n{USAGE}"));
    // Something was refused; whether the model then replied is another matter.
    check(FILES, &[init(), end("I may not.", Some("denied"), true)], "I may not.\n", "");
    check(FILES, &[init(), end("the model gave no reply", Some("denied"), false)], "", "paguro: the model gave no reply\n");
}

#[test]
fn details_are_apart_from_the_terminal() {
    let progress = Event::Progress { stage: Stage::Prefill, done: 0.5 };
    let results = [tool_result(true, "a\nb"), tool_result(false, "error: c")];
    let events = [init(), progress, reasoning("hm"), text("I"), call("ls"), results[0].clone(), results[1].clone(), result("Yes.", None)];
    let err = format!("hm\n→ shell: ls\n  a\n  b\n  error: c\n{USAGE}");
    // Into a pipe: all of it, and neither colours nor anything that moves the cursor.
    check(Screen { details: true, colour: true, ..FILES }, &events, "Yes.\n", &err);
    let err = "\r⠋ reading the prompt 50 %\r                         \r→ shell: ls\n  error: c\n";
    check(Screen { details: false, ..TERMINALS }, &events, "I\nYes.\n", err);
}

#[test]
fn nothing_drives_the_terminal() {
    let nasty = "a\x1b[2J\x1b]0;x\x07\rb\u{202e}c\u{9b}d";
    let seen = "a␛[2J␛]0;x␇␍b<U+202E>c<U+009B>d";
    let events = [init(), reasoning(nasty), text(nasty), call(nasty), tool_result(true, nasty), result(nasty, None)];
    check(TERMINALS, &events, &format!("{seen}\n{seen}\n"), &format!("{seen}\n→ shell: {seen}\n  {seen}\n{USAGE}"));
}

#[test]
fn colours_only_where_they_are_wanted_and_seen() {
    let events = [init(), reasoning("hm"), text("Yes."), call("ls"), tool_result(true, "a"), result("stopped", Some("stopped"))];
    let dim = |text: &str| format!("\x1b[2m{text}\x1b[0m");
    let err = format!("{}\n{}\n{}\n\x1b[31mpaguro: stopped\x1b[0m\n{}\n", dim("hm"), dim("→ shell: ls"), dim("  a"), dim(USAGE.trim_end()));
    check(Screen { colour: true, ..TERMINALS }, &events, "Yes.\n", &err);
    check(Screen { colour: true, ..FILES }, &events, "", "→ shell: ls\npaguro: stopped\n");
}

#[test]
fn jsonl_is_one_event_a_line_and_nothing_else() {
    let events =
        [init(), text("a\x1b\n"), call("ls"), tool_result(true, "a"), Event::Error { code: "model".into(), message: "gone".into() }];
    let out = r#"{"type":"init","session":"main","turn":"7","model":"tiny"}
{"type":"text","delta":"a\u001b\n"}
{"type":"tool_call","id":"call_1","name":"shell","arguments":{"command":"ls"}}
{"type":"tool_result","id":"call_1","ok":true,"content":"a"}
{"type":"error","code":"model","message":"gone"}
"#;
    check(Screen { format: Format::Jsonl, ..FILES }, &events, out, "");
    check(Screen { format: Format::Jsonl, ..TERMINALS }, &events, out, "");
}

#[test]
fn json_is_the_last_event() {
    let events = [init(), text("a"), Event::Error { code: "model".into(), message: "gone".into() }];
    check(Screen { format: Format::Json, ..FILES }, &events, "{\"type\":\"error\",\"code\":\"model\",\"message\":\"gone\"}\n", "");
    check(Screen { format: Format::Json, ..FILES }, &[], "", "");
}

#[test]
fn progress_is_drawn_and_taken_away_before_anything_else() {
    let progress = |done| Event::Progress { stage: Stage::Prefill, done };
    let drawn = "\r⠋ reading the prompt 50 %";
    let blank = " ".repeat(drawn.chars().count() - 1);
    let events = [init(), progress(0.5), progress(1.0), text("Hi."), result("Hi.", None)];
    check(TERMINALS, &events, "Hi.\n", &format!("{drawn}\r{blank}\r{USAGE}"));
    check(FILES, &events, "Hi.\n", "");
    // With JSON on the same screen it would stand among the events; with JSON elsewhere it is all a person sees.
    let json = Screen { format: Format::Json, ..TERMINALS };
    check(json, &[progress(0.5)], "{\"type\":\"progress\",\"stage\":\"prefill\",\"done\":0.5}\n", "");
    let json = Screen { stdout_is_terminal: false, ..json };
    check(json, &[progress(0.5)], "{\"type\":\"progress\",\"stage\":\"prefill\",\"done\":0.5}\n", &format!("{drawn}\r{blank}\r"));
}

#[test]
fn the_spinner_never_stands_in_an_unfinished_line() {
    let mut printer = Printer::new(TERMINALS, Vec::new(), Vec::new());
    printer.event(&text("Hi")).unwrap();
    for _ in 0..5 {
        printer.tick().unwrap();
    }
    assert_eq!(printer.into_writers(), (b"Hi".to_vec(), Vec::new()));
}

/// Takes a few bytes, then nobody reads any more.
struct Closing(usize);

impl Write for Closing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_output_is_told() {
    for format in [Format::Jsonl, Format::Text] {
        let mut printer = Printer::new(Screen { format, ..FILES }, Closing(5), Vec::new());
        let error = printer.event(&result("Hello there.", None)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{format}");
    }
}
