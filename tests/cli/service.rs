//! `paguro service`: the unit as it is printed, written, compared and removed. What only systemd can say of it is asked where its tools
//! are.

#![allow(clippy::print_stderr, reason = "a check that cannot be made here is told of")]
use std::process::Command;

use super::support::{Home, Run};

/// The most that `systemd-analyze security` may say.
const MOST_EXPOSED: f64 = 3.0;

/// A home whose configuration names what a unit must show, with characters that a unit must quote.
fn home() -> Home {
    let mut home = Home::new();
    let folder = home.folder.path().display().to_string();
    // A user's unit is written there.
    home.variables.push(("HOME".into(), format!("{folder}/user")));
    home.variables.push(("PAGURO_HOME".into(), format!("{folder}/h 100%")));
    home.file("h 100%/telegram.token", "123456:a secret that is long enough");
    home.file("a b/100%/model.gguf", "");
    let text = format!(
        "[telegram]\ntoken_file = 'telegram.token'\nowners = [1]\n[tools]\nworkspace = '{folder}/w s'\n[model]\nfile = '{folder}/a b/100%/model.gguf'\n"
    );
    home.file("h 100%/paguro.toml", text);
    home
}

fn line<'a>(unit: &'a str, key: &str) -> Option<&'a str> {
    unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// What `systemd-analyze` says of `unit`; `None`: there is none here.
fn analyzed(home: &Home, unit: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let file = home.file("analyzed/paguro.service", unit);
    let mut command = Command::new("systemd-analyze");
    command.args(["--no-pager"]).args(arguments).arg(file).env("XDG_RUNTIME_DIR", home.folder.path());
    match command.output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
        }
        Err(_) => {
            eprintln!("not checked: there is no systemd-analyze here");
            None
        }
    }
}

fn check_with_systemd(home: &Home, unit: &str, manager: &str) {
    // `verify` also complains of what surrounds the unit (a machine without a user manager): only what it says of ours counts.
    if let Some((_, said)) = analyzed(home, unit, &["verify", manager, "--man=no"]) {
        assert!(!said.lines().any(|line| line.contains("paguro")), "{said}\n{unit}");
    }
    let Some((_, said)) = analyzed(home, unit, &["security", "--offline=true"]) else { return };
    let Some((_, score)) = said.split_once("Overall exposure level for paguro.service: ") else {
        eprintln!("not checked: this systemd-analyze is too old: {said}");
        return;
    };
    let score: f64 = score.split_whitespace().next().unwrap().parse().unwrap();
    assert!(score <= MOST_EXPOSED, "{score}\n{said}");
}

#[test]
fn a_dry_run_prints_the_unit_and_nothing_else() {
    let home = home();
    for (arguments, target, manager) in [
        (&["service", "install", "--dry-run"][..], "default.target", "--user"),
        (&["service", "install", "--dry-run", "--system", "--user", "crab"][..], "multi-user.target", "--system"),
    ] {
        let run = home.run(arguments);
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let (unit, folder) = (&run.stdout, home.folder.path().display());
        let program = env!("CARGO_BIN_EXE_paguro");
        for (key, value) in [
            ("Type", "notify".to_owned()),
            ("NotifyAccess", "main".to_owned()),
            ("ExecStart", format!("\"{program}\" serve")),
            ("ExecReload", "kill -HUP $MAINPID".to_owned()),
            ("Restart", "always".to_owned()),
            ("WatchdogSec", "120".to_owned()),
            ("TimeoutStopSec", "15".to_owned()),
            ("Environment", format!("\"PAGURO_HOME={folder}/h 100%%\"")),
            ("BindPaths", format!("\"{folder}/h 100%%\"")),
            ("BindReadOnlyPaths", format!("\"-{folder}/a b/100%%/model.gguf\"")),
            ("WantedBy", target.to_owned()),
        ] {
            assert_eq!(line(unit, key), Some(&*value), "{unit}");
        }
        let credential = line(unit, "LoadCredential").unwrap();
        let (name, file) = credential.split_once(':').unwrap();
        assert!(name.starts_with("telegram.token-"), "{credential}");
        assert_eq!(file, format!("{folder}/h 100%%/telegram.token"));
        assert_eq!(line(unit, "User"), (manager == "--system").then_some("crab"));
        assert!(!unit.contains("a secret that is long enough"));
        assert!(!unit.contains("RestrictNamespaces") && !unit.contains("ProtectKernelTunables"), "the sandbox could not work");
        check_with_systemd(&home, unit, manager);
    }
    assert!(!home.path("user/.config").exists() && !home.path("w s").exists(), "nothing was written");
}

#[test]
fn installed_compared_and_removed() {
    let home = home();
    let service = |arguments: &[&str]| home.run(&[&["service"][..], arguments].concat());
    let unit = home.path("user/.config/systemd/user/paguro.service");
    let absent = service(&["status"]);
    assert_eq!(absent.status, Some(1), "{absent:?}");
    assert!(absent.stdout.starts_with("installed  no; `paguro service install` writes "), "{absent:?}");

    // No manager of the user's runs for this home, so it is said what to do.
    let installed = service(&["install"]);
    assert_eq!((installed.status, installed.stderr.as_str()), (Some(0), ""), "{installed:?}");
    assert!(installed.stdout.starts_with(&format!("wrote {}\n", unit.display())), "{installed:?}");
    assert!(installed.stdout.contains("\nsystemd was not told of it: "), "{installed:?}");
    assert!(installed.stdout.contains("systemctl --user enable --now paguro"), "{installed:?}");
    assert_eq!(std::fs::read_to_string(&unit).unwrap(), service(&["install", "--dry-run"]).stdout);
    assert!(home.path("w s").is_dir(), "what the unit shows is there");

    let says = |run: &Run, words: &str| assert!(run.status == Some(0) && run.stdout.contains(words), "{words}: {run:?}");
    says(&service(&["status"]), "\ncurrent    yes, as it would be written now\nrunning    unknown: ");
    std::fs::write(home.path("h 100%/paguro.toml"), "[tools]\nworkspace = 'elsewhere'\n").unwrap();
    says(&service(&["status"]), "\ncurrent    no: ");
    let json = service(&["status", "--format", "json"]).last();
    assert_eq!((json["installed"].as_bool(), json["current"].as_bool()), (Some(true), Some(false)), "{json}");
    std::fs::write(home.path("h 100%/paguro.toml"), "[tool]\n").unwrap();
    says(&service(&["status"]), "\ncurrent    unknown: ");
    let refused = service(&["install"]);
    assert!(refused.status == Some(2) && refused.stderr.contains("did you mean `tools`?"), "{refused:?}");

    says(&service(&["uninstall"]), &format!("\nremoved {}; ", unit.display()));
    assert!(!unit.exists() && home.path("h 100%/paguro.toml").exists());
    says(&service(&["uninstall"]), "nothing is installed: ");
}

#[test]
fn a_service_of_the_machine_is_nobodys_by_accident() {
    let home = home();
    let refused = |arguments: &[&str], words: &str| {
        let run = home.run(arguments);
        assert_eq!((run.status, run.stdout.as_str(), run.stderr.lines().count()), (Some(2), "", 1), "{run:?}");
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    };
    refused(&["service", "install", "--system", "--user", "root"], "name another user with --user");
    refused(&["service", "install", "--system", "--user", "a b"], "is no name of a user");
    refused(&["service", "install", "--system", "--user", "no-such-crab"], "there is no user no-such-crab: make it with `useradd ");
    refused(&["service", "install", "--user", "crab"], "--system");
}
