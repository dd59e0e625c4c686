//! `ask`: events, formats, exit status, approval, piped data, limits.

use serde_json::{Value, json};

use super::support::Home;

/// Rules that make a turn of a command: the user says `run X`, the tool's result is quoted.
fn runner() -> Vec<Value> {
    vec![
        json!({"when": "^run (.*)", "role": "user", "tool_calls": [{"name": "shell", "arguments": {"command": "$1"}}]}),
        json!({"when": "(?s)^error: (.*)", "role": "tool", "text": "It did not work: $1"}),
        json!({"when": "(?s)(.*)", "role": "tool", "text": "It says $1"}),
    ]
}

#[test]
fn events_are_those_of_the_contract() {
    let home = Home::new();
    let run = home.run(&["ask", "run echo hi there", "--model", &home.script(&runner()), "--approve", "all", "--format", "jsonl"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!(run.types(), ["init", "tool_call", "approval", "tool_result", "text", "result"]);
    let events = run.events();
    let of = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap();
    let id = of("tool_call")["id"].clone();
    assert_eq!(*of("tool_call"), json!({"type": "tool_call", "id": id, "name": "shell", "arguments": {"command": "echo hi there"}}));
    assert_eq!(of("approval")["tool"], "shell");
    assert_eq!(of("approval")["arguments"], json!({"command": "echo hi there"}));
    assert_eq!(*of("tool_result"), json!({"type": "tool_result", "id": id, "ok": true, "content": "hi there"}));
    let result = of("result");
    assert_eq!(result["ok"], true);
    assert_eq!(result["text"], "It says hi there");
    assert_eq!(result["steps"], 2);
    for key in ["prompt_tokens", "reused_tokens", "prefilled_tokens", "completion_tokens"] {
        assert!(result["usage"][key].is_u64(), "{key}: {result}");
    }
    for key in ["load_ms", "restore_ms", "first_token_ms"] {
        assert!(result["timings"][key].is_f64(), "{key}: {result}");
    }
    assert!(result.get("cache_miss").is_some());
    let text: String = events.iter().filter(|event| event["type"] == "text").map(|event| event["delta"].as_str().unwrap()).collect();
    assert_eq!(text, "It says hi there");
}

#[test]
fn the_formats() {
    let home = Home::new();
    let script = home.script(&runner());
    let text = home.run(&["ask", "run echo hi", "--model", &script, "--approve", "all"]);
    assert_eq!((text.status, text.stdout.as_str()), (Some(0), "It says hi\n"), "{text:?}");
    let json = home.run(&["ask", "run echo hi", "--model", &script, "--approve", "all", "--format", "json"]);
    assert_eq!(json.stdout.lines().count(), 1);
    assert_eq!(json.last()["text"], "It says hi");
}

#[test]
fn a_call_that_is_not_allowed_does_not_run() {
    for approve in ["deny", "prompt"] {
        let home = Home::new();
        let run = home.run(&["ask", "run touch made", "--model", &home.script(&runner()), "--approve", approve, "--format", "jsonl"]);
        assert_eq!(run.status, Some(3), "{run:?}");
        assert_eq!(run.last()["ok"], false);
        assert_eq!(run.last()["failure"], "denied");
        assert_eq!(run.last()["text"], "It did not work: the owner did not allow this");
        assert!(!home.path("workspace/made").exists());
    }
}

#[test]
fn the_policy_decides_first() {
    let home = Home::new();
    let script = home.script(&runner());
    home.file(
        "paguro.toml",
        "[[policy]]\ntool = 'shell'\ncommand = 'echo *'\ndecision = 'allow'\n[[policy]]\ntool = 'shell'\ndecision = 'deny'\n",
    );
    let allowed = home.run(&["ask", "run echo hi", "--model", &script, "--approve", "deny", "--format", "json"]);
    assert_eq!((allowed.status, &allowed.last()["text"]), (Some(0), &json!("It says hi")), "{allowed:?}");
    let denied = home.run(&["ask", "run echo hi; touch made", "--model", &script, "--approve", "all", "--format", "json"]);
    assert_eq!(denied.last()["text"], "It did not work: the owner's policy forbids this (`touch made`)");
    assert!(!home.path("workspace/made").exists());
    let dry = home.run(&["config", "policy", "shell", r#"{"command":"echo a"}"#, "--format", "json"]);
    assert_eq!(dry.last(), json!({"decision": "allow", "rule": "policy 1", "reason": "a rule of the policy allows it"}));
}

#[test]
fn piped_text_is_data() {
    let home = Home::new();
    let script = home.script(&[
        json!({"when": "(?s)^save this to (\\S+)\n\n<data>\n(.*)\n</data>\n\n\\[time: ", "role": "user",
               "tool_calls": [{"name": "write_file", "arguments": {"path": "$1", "content": "$2"}}]}),
        json!({"when": "(?s)(.*)", "role": "tool", "text": "$1"}),
    ]);
    let run = home.pipe(&["ask", "save this to notes.txt", "--model", &script, "--approve", "all"], "some text\nof two lines\n");
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), "wrote 22 bytes to notes.txt\n"), "{run:?}");
    assert_eq!(std::fs::read_to_string(home.path("workspace/notes.txt")).unwrap(), "some text\nof two lines");
    let dash = home.pipe(&["ask", "-", "--model", &home.script(&[json!({"when": "^from the pipe\n", "text": "yes"})])], "from the pipe\n");
    assert_eq!(dash.stdout, "yes\n", "{dash:?}");
}

#[test]
fn limits_end_a_turn_with_status_4() {
    let home = Home::new();
    let looping = home.script(&[
        json!({"when": "again (\\d)", "tool_calls": [{"name": "list_dir", "arguments": {"path": "."}}]}),
        json!({"when": ".", "role": "tool", "tool_calls": [{"name": "recall", "arguments": {"query": "x"}}]}),
    ]);
    let check = |arguments: &[&str], script: &str, failure: &str, status: i32| {
        let all = [&["ask", "again 1", "--model", script, "--format", "json"], arguments].concat();
        let run = home.run(&all);
        assert_eq!((run.status, run.last()["failure"].as_str()), (Some(status), Some(failure)), "{run:?}");
    };
    check(&["--max-steps", "2"], &looping, "max_steps", 4);
    check(&[], &looping, "repeated_call", 1);
    let slow = home.script(&[json!({"when": ".", "text": "one two three four five six seven eight nine ten", "delay_ms": 200})]);
    check(&["--timeout", "300ms"], &slow, "timeout", 4);
    check(&["--max-tokens", "3"], &slow, "max_tokens", 4);
    let empty = home.script(&[json!({"when": ".", "text": ""})]);
    check(&[], &empty, "empty_reply", 1);
}

#[test]
fn a_session_goes_on_and_can_be_undone() {
    let home = Home::new();
    let script = home.script(&[json!({"when": "^first", "text": "one"}), json!({"when": "^second", "text": "two"})]);
    for (prompt, reply) in [("first", "one\n"), ("second", "two\n")] {
        assert_eq!(home.run(&["ask", prompt, "--session", "s", "--model", &script]).stdout, reply);
    }
    let shown = home.run(&["session", "show", "s"]);
    assert_eq!(shown.stdout, "you: first\npaguro: one\nyou: second\npaguro: two\n", "{shown:?}");
    let listed = home.run(&["session", "list", "--format", "json"]).last();
    assert_eq!((&listed["sessions"][0]["name"], &listed["sessions"][0]["turns"]), (&json!("s"), &json!(2)));
    assert_eq!(home.run(&["session", "undo", "s"]).stdout, "taken out of the conversation: second\n");
    assert_eq!(home.run(&["session", "show", "s"]).stdout, "you: first\npaguro: one\n");
    assert_eq!(home.run(&["session", "export", "s"]).events().len(), 2);
    assert_eq!(home.run(&["session", "rm", "s"]).status, Some(0));
    assert_eq!(home.run(&["session", "show", "s"]).status, Some(2));
}

#[test]
fn the_frozen_block_and_the_history_only_grow() {
    let home = Home::new();
    let script = home.script(&[json!({"when": ".", "text": "fine"})]);
    let mut reused = Vec::new();
    for prompt in ["one", "two", "three"] {
        let result = home.run(&["ask", prompt, "--session", "s", "--model", &script, "--format", "json"]).last();
        reused.push(result["usage"]["prompt_tokens"].as_u64().unwrap());
    }
    assert!(reused[0] < reused[1] && reused[1] < reused[2], "{reused:?}");
}
