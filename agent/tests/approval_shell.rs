//! What the policy takes a command to be, compared with what shells make of it: commands put together at random, in which the programs
//! are recorders of their arguments.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use agent::{CallFacts, Decision, Effect, Rule, decide, propose};
use serde_json::{Value, json};

/// What commands are put together of.
const PIECES: [&str; 64] = [
    "one",
    "two",
    "one",
    "two",
    "one a",
    "two b",
    "three",
    " ",
    " ",
    " ",
    " ",
    "a",
    "b-c",
    "1",
    "2",
    "'",
    "'",
    "'x y'",
    "\"",
    "\"",
    "\"x y\"",
    "\\",
    "\\",
    ";",
    "&&",
    "||",
    "|",
    "&",
    "\n",
    "\t",
    "\\\n",
    "$x",
    "$",
    "`three`",
    "$(three)",
    "(",
    ")",
    "{",
    "}",
    "<",
    ">",
    ">/dev/null",
    " 2>/dev/null",
    " 2>&1",
    " >&2",
    "2>",
    " #",
    "*",
    "~",
    "=",
    "!",
    "if ",
    "A=1 ",
    "-x",
    "é",
    "\r",
    "^",
    "%",
    "\u{a0}",
    ",",
    "$'x'",
    "''",
    "\\$",
    "[a]",
];
/// Commands that are tried; few of them are allowed.
const TRIED: usize = 60_000;
/// Allowed commands that are run, each by two shells.
const RUN: usize = 200;

fn facts(arguments: &Value) -> CallFacts<'_> {
    let effect = Some(Effect::Write);
    CallFacts { tool: "shell", effect, arguments, session: "s", channel: "c", foreign: None, leads_to: None }
}

fn allows(rules: &[Rule], command: &str) -> bool {
    decide(rules, &facts(&json!({ "command": command }))).decision == Decision::Allow
}

/// The rule that "always" would write, if there is one, allows the command, and the configuration keeps it as it is.
fn proposed_rule_is_kept(command: &str) {
    let arguments = json!({ "command": command });
    let Some(rule) = propose(&facts(&arguments)) else { return };
    assert_eq!(toml::from_str::<Rule>(&toml::to_string(&rule).unwrap()).unwrap(), rule, "{command:?}");
    assert!(allows(&[rule], command), "{command:?}");
}

fn rule(command: &str) -> Rule {
    toml::from_str(&format!("tool = 'shell'\ndecision = 'allow'\ncommand = {}", json!(command))).unwrap()
}

/// The argument vectors that `shell` makes of `command`, in which every program ends with `status`.
fn recorded(shell: &[&str], folder: &Path, command: &str, status: &str) -> BTreeSet<Vec<String>> {
    let records = tempfile::tempdir().unwrap();
    let workspace = tempfile::tempdir().unwrap();
    Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", command])
        .env_clear()
        .env("PATH", folder)
        .env("LANG", "C.UTF-8")
        .env("RECORDS", records.path())
        .env("STATUS", status)
        .current_dir(workspace.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(workspace.path().read_dir().unwrap().count(), 0, "{command:?} made a file");
    let read = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(entry.unwrap().path()).unwrap();
    let words = |text: String| text.split_terminator('\0').map(str::to_owned).collect();
    records.path().read_dir().unwrap().map(read).map(words).collect()
}

fn recorders() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two", "three"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "#!/bin/sh\nprintf '%s\\0' \"${0##*/}\" \"$@\" > \"$RECORDS/$$\"\nexit $STATUS\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

#[test]
fn what_is_allowed_is_what_shells_run() {
    let folder = recorders();
    let shells = [vec!["/bin/sh"], vec!["/bin/bash", "--posix"]];
    let shells: Vec<_> = shells.into_iter().filter(|shell| Path::new(shell[0]).exists()).collect();
    let rules = [rule("one *"), rule("two *")];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    let mut seen = BTreeSet::new();
    for _ in 0..TRIED {
        if seen.len() == RUN {
            break;
        }
        let pieces = 2 + random(10);
        let command: String = std::iter::once("one ").chain((0..pieces).map(|_| PIECES[random(PIECES.len())])).collect();
        // A single word teaches nothing.
        let joined = ["'", "\"", "\\", "|", ";", "&", "\n", ">"].iter().any(|special| command.contains(special));
        if !joined || !allows(&rules, &command) || !seen.insert(command.clone()) {
            continue;
        }
        proposed_rule_is_kept(&command);
        for shell in &shells {
            let mut ran = recorded(shell, folder.path(), &command, "0");
            if command.contains("||") {
                ran.extend(recorded(shell, folder.path(), &command, "1"));
            }
            let quote = |word: &String| format!("'{}'", word.replace('\'', "'\\''"));
            let exact: Vec<_> = ran.iter().map(|words| rule(&words.iter().map(quote).collect::<Vec<_>>().join(" "))).collect();
            assert!(allows(&exact, &command), "{shell:?} makes {ran:?} of {command:?}");
            assert!(ran.iter().all(|words| words[0] != "three"), "{shell:?} makes {ran:?} of {command:?}");
        }
    }
    assert_eq!(seen.len(), RUN, "too few are allowed");
}
