//! `config policy`: the dry run, and what a rule sees of the workspace.

use serde_json::{Value, json};

use crate::support::Home;

const RULES: &str = "[[policy]]\ntool = 'write_file'\npath = 'notes/*'\ndecision = 'allow'\n\
    [[policy]]\ntool = 'shell'\ncommand = 'ls *'\ndecision = 'allow'\n\
    [[policy]]\ntool = 'shell'\ncommand = 'git status *'\nsession = 'work'\nchannel = 'telegram'\ndecision = 'allow'\n\
    [[policy]]\ntool = 'mcp_time_*'\ndecision = 'allow'\n";

#[test]
fn the_dry_run_says_decision_rule_and_reason() {
    let home = Home::new();
    home.file("paguro.toml", RULES);
    let check = |arguments: &[&str], decision: &str, rule: &str, reason: &str| {
        let run = home.run(&[&["config", "policy"], arguments, &["--format", "json"]].concat());
        assert_eq!(run.last(), json!({"decision": decision, "rule": rule, "reason": reason}), "{arguments:?}: {run:?}");
        let run = home.run(&[&["config", "policy"], arguments].concat());
        assert_eq!((run.status, run.stdout), (Some(0), format!("{decision} ({rule}): {reason}\n")));
    };
    let allows = "a rule of the policy allows it";
    let asks = "it can change things on this machine";
    check(&["shell", r#"{"command":"ls -l | ls"}"#], "allow", "policy 2", allows);
    check(&["shell", r#"{"command":"ls $(rm x)"}"#], "ask", "default", asks);
    check(&["shell", r#"{"command":"ls; git status"}"#], "ask", "default", &format!("{asks} (`git status`)"));
    let there = ["--session", "work", "--channel", "telegram"];
    check(&[&["shell", r#"{"command":"ls; git status"}"#], &there[..]].concat(), "allow", "policy 2, policy 3", allows);
    check(&["mcp_time_now", "{}"], "deny", "default", "there is no tool called `mcp_time_now`");
    check(&["mcp_time_now", "{}", "--effect", "network"], "allow", "policy 4", allows);
    let carries = "untrusted text from https://a.org is in the context, and this could carry data out";
    check(&["mcp_time_now", "{}", "--effect", "network", "--foreign", "https://a.org"], "ask", "policy 4", carries);
}

#[test]
fn a_link_does_not_make_another_place_of_a_path() {
    let home = Home::new();
    home.file("paguro.toml", RULES);
    std::fs::create_dir_all(home.path("workspace/notes")).unwrap();
    std::fs::create_dir_all(home.path("workspace/secrets")).unwrap();
    for (target, name) in [("../secrets", "inside"), ("/etc", "outside"), ("../secrets/x", "dangling"), ("a", "same")] {
        std::os::unix::fs::symlink(target, home.path("workspace/notes").join(name)).unwrap();
    }
    std::fs::write(home.path("workspace/notes/a"), "").unwrap();
    for (path, decision) in [
        ("notes/a", "allow"),
        ("notes/new", "allow"),
        ("notes/same", "allow"),
        ("notes/inside", "ask"),
        ("notes/outside", "ask"),
        ("notes/dangling", "ask"),
    ] {
        let arguments = json!({"path": path, "content": "x"}).to_string();
        let run = home.run(&["config", "policy", "write_file", &arguments, "--format", "json"]);
        assert_eq!(run.last()["decision"], Value::from(decision), "{path}: {run:?}");
    }
}

#[test]
fn a_wrong_rule_is_named() {
    let home = Home::new();
    home.file("paguro.toml", "[[policy]]\ntool = 'x'\npath = '../y'\ndecision = 'allow'\n");
    let run = home.run(&["config", "policy", "x", "{}"]);
    assert_eq!(run.status, Some(2), "{run:?}");
    assert!(run.stderr.contains("policy 1: `path` is \"../y\"; give a path relative to the workspace"), "{run:?}");
}
