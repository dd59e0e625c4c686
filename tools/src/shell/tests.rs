use std::io::Read;
use std::path::PathBuf;
use std::time::Instant;

use super::*;
use crate::sandbox::{Limits, SandboxSettings};
use crate::testing::{Bench, sandbox, wait};

fn shell(bench: &Bench) -> Shell {
    with(bench, SandboxSettings::default())
}

fn with(bench: &Bench, settings: SandboxSettings) -> Shell {
    Shell::new(bench.workspace.clone(), Environment::default(), sandbox(settings), Duration::from_secs(60))
}

#[track_caller]
fn check(command: &str, expected: &str) {
    let bench = Bench::new();
    let result = bench.run(&shell(&bench), json!({"command": command}));
    assert_eq!(result.unwrap_or_else(|error| format!("error: {error}")), expected);
}

/// Waits until a process has opened the FIFO, and then until no process has it open any more.
async fn until_gone(fifo: PathBuf) {
    let (sender, ended) = tokio::sync::oneshot::channel();
    // On a thread that nobody waits for: opening waits for a writer.
    std::thread::spawn(move || {
        std::fs::File::open(fifo).unwrap().read_to_end(&mut Vec::new()).unwrap();
        let _ = sender.send(());
    });
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("a process still runs").unwrap();
}

#[test]
fn output_and_status_are_told() {
    check("echo hello; echo world", "hello\nworld");
    check("true", "(no output)");
    check("echo; echo", "(no output)");
    check("echo out; echo err >&2; echo out", "out\nerr\nout");
    check("echo no; exit 3", "no\n[exit status 3]");
    check("false", "[exit status 1]");
    check("kill -9 $$", "[killed by signal 9]");
    check("printf 'a\\377b'", "a\u{fffd}b");
    check("cat", "(no output)");
    check("echo \"it's\" | tr a-z A-Z", "IT'S");
    check("echo a\0b", "error: the command contains a NUL byte");
    check("exec >&- 2>&-; exit 2", "[exit status 2]");
}

#[test]
fn the_environment_is_clean() {
    let bench = Bench::new();
    let root = bench.workspace.root().display();
    let mut expected = [
        format!("HOME={root}"),
        "LANG=C.UTF-8".into(),
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
        format!("PWD={root}"),
        "TERM=dumb".into(),
        "TMPDIR=/tmp".into(),
    ]
    .to_vec();
    expected.push(root.to_string());
    // Some shells set `_`, `SHLVL`, `OLDPWD` themselves.
    let command = "env | grep -Ev '^(_|SHLVL|OLDPWD)=' | sort; pwd";
    let result = bench.run(&shell(&bench), json!({"command": command}));
    assert_eq!(result, Ok(expected.join("\n")));
}

#[test]
fn a_flood_stays_bounded() {
    let bench = Bench::new();
    let text = bench.run(&shell(&bench), json!({"command": "yes | head -c 50000000; echo end"})).unwrap();
    let left_out = 50_000_004 - 1024 * 1024;
    assert!(text.contains(&format!("\n[… {} bytes left out …]\n", crate::text::thousands(left_out))));
    assert!(text.ends_with("\ny\nend"));
    assert!(text.len() < 1024 * 1024 + 100);
}

#[test]
fn time_over_kills_all() {
    let mut bench = Bench::new();
    bench.fifo("alive");
    bench.context.timeout = Duration::from_millis(500);
    let command = "(trap '' TERM; setsid sh -c 'echo begun; exec sleep 1000') 9>alive; echo not reached";
    let arguments = json!({"command": command, "timeout_s": 600});
    let tool = shell(&bench);
    let ((), text) = wait(async { tokio::join!(until_gone(bench.path("alive")), tool.run(&arguments, &bench.context)) });
    assert_eq!(text, Ok("begun\n[stopped after 0.5 s]".into()));
}

#[test]
fn a_polite_command_may_clean_up() {
    let mut bench = Bench::new();
    bench.context.timeout = Duration::from_millis(300);
    let started = Instant::now();
    let command = "trap 'echo cleaned; exit 1' TERM; sleep 1000 & wait";
    let text = bench.run(&shell(&bench), json!({"command": command}));
    assert_eq!(text, Ok("cleaned\n[stopped after 0.3 s]".to_owned()));
    assert!(started.elapsed() < TERM_GRACE, "it did not wait for the second signal");
}

#[test]
fn dropping_kills_all() {
    let bench = Bench::new();
    bench.fifo("alive");
    bench.fifo("begun");
    let arguments = json!({"command": "(setsid sh -c 'echo >begun; exec sleep 1000') 9>alive"});
    let tool = shell(&bench);
    wait(async {
        let gone = tokio::spawn(until_gone(bench.path("alive")));
        tokio::select! {
            () = until_gone(bench.path("begun")) => {}
            text = tool.run(&arguments, &bench.context) => panic!("it ended: {text:?}"),
        }
        gone.await.unwrap();
    });
}

#[test]
fn background_processes_end_with_the_command() {
    let note = "[stopped what was still running in the background]";
    for start in ["sleep 1000", "sleep 1000 >/dev/null 2>&1", "setsid sleep 1000", "(setsid setsid sleep 1000 >/dev/null 2>&1 &)"] {
        let bench = Bench::new();
        bench.fifo("alive");
        let started = Instant::now();
        let command = format!("exec 9>alive; {start} & echo done");
        let arguments = json!({"command": command});
        let tool = shell(&bench);
        let ((), text) = wait(async { tokio::join!(until_gone(bench.path("alive")), tool.run(&arguments, &bench.context)) });
        assert_eq!(text, Ok(format!("done\n{note}").into()), "{start}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn late_output_of_a_background_process_is_taken() {
    // The subshell writes once the shell itself has gone, which it sees from its new parent.
    check("(while kill -0 $$ 2>/dev/null; do :; done; echo late) & echo first", "first\nlate");
}

#[test]
fn what_cannot_start_is_told() {
    let bench = Bench::new();
    let tool = shell(&bench);
    std::fs::remove_dir(bench.workspace.root()).unwrap();
    let error = bench.run(&tool, json!({"command": "true"})).unwrap_err().text;
    assert!(error.starts_with("the command could not be started: No such file or directory"), "{error}");
}

#[test]
fn limits_end_a_command_with_a_reason() {
    let limits = Limits { memory: 64 << 20, processes: 40, file: 1 << 20, cpu_s: 1 };
    let settings = SandboxSettings { limits, ..SandboxSettings::default() };
    let cases = [
        ("dd if=/dev/zero of=big bs=1M count=3 2>/dev/null; ls -s --block-size=1 big | cut -d' ' -f1", "1048576"),
        ("exec sh -c 'while :; do :; done'", "[killed by signal 9]"),
        ("head -c 100m /dev/zero | tail; for i in 1 2 3 4 5 6 7; do head -c 15m /dev/zero > /tmp/$i; done; echo no", "no"),
    ];
    // The folder is full, or the watch has seen that it was about to be.
    const WATCHED: &str = "more than 64 MiB of memory together]";
    let bench = Bench::new();
    let tool = with(&bench, settings);
    for (command, expected) in cases {
        let text = bench.run(&tool, json!({"command": command})).unwrap();
        assert!(text.ends_with(expected) || expected == "no" && text.ends_with(WATCHED), "{command}: {text}");
    }
}

#[test]
fn hints_say_what_the_sandbox_hides() {
    let bench = Bench::new();
    let run = |command: &str| bench.run(&shell(&bench), json!({"command": command})).unwrap();
    let outside = bench.outside("secret.txt");
    let home = run("cat /root/.ssh/id_rsa");
    assert!(
        home.ends_with("[/root/.ssh/id_rsa is not to be seen in the sandbox: only the workspace and the system's own folders are]"),
        "{home}"
    );
    assert!(!run(&format!("cat {}", outside.display())).contains("secret\n"));
    let none = run("echo 'curl: (6) Could not resolve host: a.example' >&2; exit 6");
    assert!(none.ends_with("[the sandbox has no network; the owner can grant hosts under [sandbox] in the configuration]"), "{none}");
    assert_eq!(run("cat missing 2>/dev/null"), "[exit status 1]");
}

#[test]
fn a_minimum_that_is_not_met_refuses() {
    let bench = Bench::new();
    let nothing = SandboxSettings { inner: "/bin/false".into(), ..SandboxSettings::default() };
    let tool = Shell::new(bench.workspace.clone(), Environment::default(), Sandbox::new(nothing), Duration::from_secs(60));
    let error = bench.run(&tool, json!({"command": "touch ran"})).unwrap_err().text;
    assert!(error.starts_with("commands are refused, because the sandbox has no layer `mount` here"), "{error}");
    assert!(error.contains("`minimum` under [sandbox]") && !bench.path("ran").exists(), "{error}");
}
