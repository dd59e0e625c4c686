//! The sandbox around the real executable's commands. The table of escapes is in `tools/tests/escapes`.
#![cfg(target_os = "linux")]

use serde_json::json;

use super::support::Home;

fn ask(home: &Home, command: &str) -> String {
    let script = home.script(&[
        json!({"when": "go", "role": "user", "tool_calls": [{"name": "shell", "arguments": {"command": command}}]}),
        json!({"when": "(?s)(.*)", "role": "tool", "text": "got $1"}),
    ]);
    let run = home.run(&["ask", "go", "--approve", "all", "--model", &script, "--format", "jsonl"]);
    let result = run.events().into_iter().find(|event| event["type"] == "tool_result").unwrap_or_else(|| panic!("no result: {run:?}"));
    result["content"].as_str().unwrap().to_owned()
}

#[test]
fn the_programs_own_files_are_not_there() {
    let home = Home::new();
    home.file("secret.key", "TOP-SECRET");
    let folder = home.folder.path().canonicalize().unwrap();
    let text = ask(&home, &format!("cd {0} && ls -A; cat {0}/secret.key {0}/paguro.db; echo made > kept", folder.display()));
    assert!(text.starts_with("workspace\n") && !text.contains("TOP-SECRET") && !text.contains("SQLite"), "{text}");
    assert_eq!(
        ask(&home, "env | grep -c PAGURO; echo kept > file; pwd -P").lines().last(),
        home.path("workspace").canonicalize().unwrap().to_str()
    );
    assert_eq!(std::fs::read_to_string(home.path("workspace/file")).unwrap(), "kept\n");
}

#[test]
fn doctor_proves_it_and_a_minimum_refuses() {
    let home = Home::new();
    let run = home.run(&["doctor", "sandbox", "--format", "json"]);
    let proofs = run.last();
    let layers = proofs["proofs"].as_array().unwrap();
    assert!(layers.iter().all(|proof| proof["in_force"] == false || proof["held"] == true), "{proofs}");
    assert_eq!(run.status, Some(i32::from(proofs["ok"] != true)), "{proofs}");
    home.file("paguro.toml", "[sandbox]\nminimum = ['mounts']");
    let run = home.run(&["doctor", "sandbox"]);
    assert_eq!((run.status, run.stderr.contains("unknown variant `mounts`")), (Some(2), true), "{run:?}");
}
