//! The script format and what is made of it, as tables.

use std::ops::ControlFlow;

use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use super::*;
use crate::backend::Ending;

fn scripted(script: &str) -> Result<Scripted, EngineError> {
    let mut file = tempfile::Builder::new().prefix("script").tempfile().unwrap();
    std::io::Write::write_all(&mut file, script.as_bytes()).unwrap();
    Scripted::load(file.path(), Some(1000), Box::new(|_| ControlFlow::Continue(())))
}

fn request(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::default() }
}

/// Generates with a receiver that reads nothing until the end.
fn run(backend: &mut Scripted, request: &Request) -> (Vec<Delta>, Result<Finish, EngineError>) {
    let (deltas, mut receiver) = mpsc::channel(100);
    let (ending, end) = oneshot::channel();
    let (_engine, alive) = watch::channel(());
    backend.begin(Box::new(request.clone()), Sink::new(deltas, ending, alive, Instant::now()));
    while let Next::At(time) = backend.step() {
        std::thread::sleep(time.saturating_duration_since(Instant::now()));
    }
    let Ending { rest, result } = end.blocking_recv().unwrap();
    assert_eq!(rest, vec![]);
    (std::iter::from_fn(|| receiver.try_recv().ok()).collect(), result)
}

#[track_caller]
fn check_reply(script: &str, last: Message, expected: &Message) {
    let finish = run(&mut scripted(script).unwrap(), &request(vec![last])).1.unwrap();
    assert_eq!(&finish.message, expected);
}

fn user(text: &str) -> Message {
    Message::new(Role::User, text)
}

fn said(text: &str) -> Message {
    Message::new(Role::Assistant, text)
}

fn called(name: &str, arguments: Value) -> Message {
    let call = ToolCall { id: "call_1".into(), name: name.into(), arguments };
    Message { tool_calls: vec![call], ..said("") }
}

#[test]
fn the_first_matching_line_replies() {
    let script = r#"
        {"when":"^hi$","text":"first"}
        {"when":"hi","role":"tool","text":"tool said hi"}

        {"when":"h","text":"second"}
        {"when":"^say (.*)$","text":"<$1> $2|$$1|$9|${1}0|$HOME|$"}
        {"when":"(a)|(b)","text":"[$1][$2]"}
        {"when":"think","text":"so","reasoning":"about it"}"#;
    check_reply(script, user("hi"), &said("first"));
    check_reply(script, user("hi\n\n[time: now]"), &said("first"));
    check_reply(script, user("oh"), &said("second"));
    check_reply(script, Message::new(Role::Tool, "hi."), &said("tool said hi"));
    check_reply(script, user("say a b"), &said("<a b> |$1||a b0|$HOME|$"));
    check_reply(script, user("b"), &said("[][b]"));
    check_reply(script, user("x"), &said("no rule"));
    let thought = Message { reasoning: Some("about it".into()), ..said("so") };
    check_reply(r#"{"text":"so","reasoning":"about it"}"#, user("any"), &thought);
    check_reply("", user("x"), &said("no rule"));
    check_reply(r#"{"text":"  two  spaces\n\n"}"#, user(""), &said("  two  spaces\n\n"));
}

#[test]
fn captures_reach_into_arguments() {
    let script = r#"{"when":"run (.+) in (\\w+)","tool_calls":[{"name":"shell","arguments":
        {"command":"$1","list":["$2",{"deep":"$1/$2"}],"$1":1,"n":null}}]}"#;
    let script = script.replace('\n', " ");
    let arguments = json!({"command": "ls -l", "list": ["tmp", {"deep": "ls -l/tmp"}], "$1": 1, "n": null});
    check_reply(&script, user("run ls -l in tmp"), &called("shell", arguments));
    check_reply(r#"{"tool_calls":[{"name":"now"}]}"#, user(""), &called("now", json!({})));
}

#[test]
fn ids_go_on_from_the_calls_before() {
    let mut backend = scripted(r#"{"tool_calls":[{"name":"a"},{"name":"b"}]}"#).unwrap();
    let earlier = called("a", json!({}));
    let result = Message::tool(&earlier.tool_calls[0], "done");
    let finish = run(&mut backend, &request(vec![user("x"), earlier, result])).1.unwrap();
    let ids: Vec<_> = finish.message.tool_calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!((finish.reason, ids), (FinishReason::ToolCalls, vec!["call_2", "call_3"]));
}

#[test]
fn deltas_are_words() {
    let mut backend = scripted(r#"{"reasoning":"let me see","text":" one two\n"}"#).unwrap();
    let (deltas, finish) = run(&mut backend, &request(vec![user("a b")]));
    let texts = [" one ", "two\n"].map(|text| Delta::Text(text.into()));
    let mut expected = vec![Delta::Prefill { done: 0, total: 3 }, Delta::Prefill { done: 3, total: 3 }];
    expected.extend(["let ", "me ", "see"].map(|text| Delta::Reasoning(text.into())));
    expected.extend(texts);
    assert_eq!(deltas, expected);
    assert_eq!(finish.unwrap().usage.completion_tokens, 5);
}

#[test]
fn the_ledger_counts_the_common_messages() {
    let mut backend = scripted(r#"{"text":"fine thanks"}"#).unwrap();
    let mut check = |messages: &[Message], reused: u32, prefilled: u32, miss: Option<&str>| {
        let finish = run(&mut backend, &request(messages.to_vec())).1.unwrap();
        let expected =
            Usage { prompt_tokens: reused + prefilled, reused_tokens: reused, prefilled_tokens: prefilled, completion_tokens: 2 };
        assert_eq!((finish.usage, finish.cache_miss.as_deref()), (expected, miss));
    };
    let system = Message::new(Role::System, "be kind");
    let mut messages = vec![system.clone(), user("how are you")];
    check(&messages, 0, 7, Some("first request"));
    messages.extend([said("fine thanks"), user("good")]);
    check(&messages, 10, 2, None);
    let changed = [system, user("how old are you")];
    check(&changed, 3, 5, Some("the conversation differs from message 2"));
    check(&[user("else")], 0, 2, Some("another conversation"));
}

#[test]
fn limits_end_a_reply() {
    let check = |limits: Request, reason: FinishReason, text: &str| {
        let mut backend = scripted(r#"{"text":"a b c","delay_ms":20}"#).unwrap();
        let limits = Request { messages: vec![user("x")], ..limits };
        let finish = run(&mut backend, &limits).1.unwrap();
        assert_eq!((finish.reason, finish.message.content.as_str()), (reason, text));
    };
    check(Request { max_tokens: Some(2), ..Request::default() }, FinishReason::Length, "a b ");
    check(Request { max_tokens: Some(3), ..Request::default() }, FinishReason::Stop, "a b c");
    let deadline = Some(Instant::now());
    check(Request { deadline, ..Request::default() }, FinishReason::Deadline, "");
    let long = user(&"x ".repeat(999));
    let error = run(&mut scripted("").unwrap(), &request(vec![long])).1.unwrap_err();
    assert_eq!(error, EngineError::PromptTooLong { tokens: 1000, context: 1000 });
}

#[track_caller]
fn check_error(script: &str, expected: &str) {
    let error = scripted(script).unwrap_err().to_string();
    let (_, told) = error.split_once(" is wrong in line ").unwrap();
    assert_eq!((told, error.lines().count()), (expected, 1));
}

#[test]
fn a_wrong_line_is_named() {
    check_error(
        "{\"text\":\"a\"}\n\n{\"txt\":\"b\"}",
        "3: unknown field `txt`, expected one of `when`, `role`, `text`, `tool_calls`, `reasoning`, `delay_ms` at column 6",
    );
    check_error("{\"when\":\"(\"}", "1: `when` is not a regular expression: unclosed group");
    check_error("hello", "1: expected value at column 1");
    check_error(r#"{"role":"robot"}"#, "1: unknown variant `robot`, expected one of `system`, `user`, `assistant`, `tool` at column 15");
    check_error(r#"{"tool_calls":[{"name":"a","arguments":"b"}]}"#, "1: invalid type: string \"b\", expected a map at column 42");
    check_error(r#"{"tool_calls":[{"name":"a","args":{}}]}"#, "1: unknown field `args`, expected `name` or `arguments` at column 33");
}

#[test]
fn what_is_not_there_is_named() {
    let load = |path: &str| Scripted::load(path.as_ref(), None, Box::new(|_| ControlFlow::Continue(())));
    let error = load("no/such/script").unwrap_err();
    assert_eq!(error, EngineError::NoSuchModel { path: "no/such/script".into() });
    assert!(matches!(load("/").unwrap_err(), EngineError::BadModel { .. }));
}
