use std::time::Instant;

use rustix::process::test_kill_process;
use tokio::io::AsyncBufReadExt;

use super::*;
use crate::testing::{Bench, wait};

fn shell(bench: &Bench) -> Shell {
    Shell::new(bench.workspace.clone(), Environment::default(), Duration::from_secs(60))
}

#[track_caller]
fn check(command: &str, expected: &str) {
    let bench = Bench::new();
    let result = bench.run(&shell(&bench), json!({"command": command}));
    assert_eq!(result.unwrap_or_else(|error| format!("error: {error}")), expected);
}

/// The process that a command has written the number of, into a FIFO of the workspace called `pid`.
async fn pid_from(bench: &Bench) -> Pid {
    let fifo = tokio::net::unix::pipe::OpenOptions::new().read_write(true).open_receiver(bench.path("pid")).unwrap();
    let mut line = String::new();
    tokio::io::BufReader::new(fifo).read_line(&mut line).await.unwrap();
    Pid::from_raw(line.trim().parse().unwrap()).unwrap()
}

/// Waits for a process to be gone: the kernel ends a killed process in its own time. A zombie that nobody reaps is gone too.
fn assert_gone(pid: Pid) {
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let limit = Instant::now() + Duration::from_secs(20);
    while test_kill_process(pid).is_ok() {
        if std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z ")) {
            return;
        }
        assert!(Instant::now() < limit, "process {pid:?} still runs");
        std::thread::yield_now();
    }
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
fn time_over_kills_the_whole_group() {
    let mut bench = Bench::new();
    bench.fifo("pid");
    bench.context.timeout = Duration::from_millis(500);
    let command = "(trap '' TERM; sh -c 'echo $$ >pid; echo begun; exec sleep 1000'); echo not reached";
    let arguments = json!({"command": command, "timeout_s": 600});
    let tool = shell(&bench);
    let (pid, text) = wait(async { tokio::join!(pid_from(&bench), tool.run(&arguments, &bench.context)) });
    assert_eq!(text, Ok("begun\n[stopped after 0.5 s]".into()));
    assert_gone(pid);
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
fn dropping_kills_the_whole_group() {
    let bench = Bench::new();
    bench.fifo("pid");
    let arguments = json!({"command": "(sh -c 'echo $$ >pid; exec sleep 1000')"});
    let tool = shell(&bench);
    let pid = wait(async {
        tokio::select! {
            pid = pid_from(&bench) => pid,
            text = tool.run(&arguments, &bench.context) => panic!("it ended: {text:?}"),
        }
    });
    assert_gone(pid);
}

#[test]
fn background_processes_end_with_the_command() {
    let note = "[stopped what was still running in the background]";
    for (redirect, hidden) in [("", false), (">/dev/null 2>&1", true)] {
        let bench = Bench::new();
        bench.fifo("pid");
        let started = Instant::now();
        let command = format!("sleep 1000 {redirect} & echo $! >pid; echo done");
        let arguments = json!({"command": command});
        let tool = shell(&bench);
        let (pid, text) = wait(async { tokio::join!(pid_from(&bench), tool.run(&arguments, &bench.context)) });
        assert_eq!(text, Ok(format!("done\n{note}").into()), "{hidden}");
        assert!(started.elapsed() < Duration::from_secs(20));
        assert_gone(pid);
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
