//! The chat on a real terminal: a child process with a pseudo-terminal of its own, keys in, screen out.
//! `setsid --ctty` of util-linux gives the child its controlling terminal, since a program without `unsafe` cannot.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs::File;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use agent::engine::{Engine, LoadOptions, ModelSource, ToolSchema};
use agent::memory::Store;
use agent::{Agent, Effect, Settings, Tool, ToolContext, ToolFuture, Toolbox};
use channels::terminal::{Approve, ChatOptions, Format, Interrupt, Screen, chat};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

/// Tells the child its folder.
const FOLDER: &str = "PAGURO_TEST_FOLDER";

/// How long the screen may take to show something.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pieces of output that wait to be looked at.
const SCREEN_CHUNKS: usize = 1_024;

const SCRIPT: &str = r#"
{"when":"^run (.*)$","role":"user","tool_calls":[{"name":"shell","arguments":{"command":"$1"}}]}
{"when":"^error","role":"tool","text":"Refused."}
{"when":"^ran (.*)","role":"tool","text":"It said $1."}
{"when":"^slow","text":"one two three four five six seven eight nine ten","delay_ms":300}
{"when":"^a\nb$","text":"Two lines."}
{"when":"^c\\\\\nd$","text":"Two lines and a backslash."}
{"when":"^hello$","text":"Hello there."}
"#;

struct Shell;

impl Tool for Shell {
    fn schema(&self) -> ToolSchema {
        ToolSchema { name: "shell".into(), description: "Runs a command.".into(), parameters: json!({ "type": "object" }) }
    }

    fn effect(&self) -> Effect {
        Effect::Write
    }

    fn run<'a>(&'a self, arguments: &'a Value, _: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move { Ok(format!("ran {}", arguments["command"].as_str().unwrap_or_default()).into()) })
    }
}

#[test]
#[ignore = "this is the child process of the tests here"]
fn child() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("only the tests here run this"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let interrupt = Interrupt::new();
        let raise = interrupt.clone();
        let mut pressed = signal(SignalKind::interrupt()).unwrap();
        tokio::spawn(async move {
            while pressed.recv().await.is_some() {
                raise.raise();
            }
        });
        let mut ended = signal(SignalKind::terminate()).unwrap();
        tokio::select! {
            held = hold(&folder, &interrupt) => held,
            _ = ended.recv() => {}
        }
    });
    runtime.shutdown_background();
    // The reading thread may be in the middle of a line.
    std::process::exit(0);
}

async fn hold(folder: &Path, interrupt: &Interrupt) {
    let script = folder.join("script.jsonl");
    std::fs::write(&script, SCRIPT).unwrap();
    let engine = Engine::load(LoadOptions::new(ModelSource::Script(script)), |_| std::ops::ControlFlow::Continue(())).await.unwrap();
    let settings = Settings::default();
    let agent = Agent::new(engine, Store::in_memory().unwrap(), Toolbox::new(vec![Box::new(Shell)]), settings);
    let watched = std::io::stderr().is_terminal();
    let screen = Screen { format: Format::Text, colour: true, stdout_is_terminal: true, stderr_is_terminal: watched, details: watched };
    let history_file = folder.join("history");
    let options = ChatOptions {
        session: "main".into(),
        approve: Approve::Prompt,
        history_file,
        screen,
        stdin_is_terminal: true,
        undo_files: Box::new(|_| Box::pin(async { Ok(Vec::new()) })),
    };
    chat(&agent, options, interrupt).await.unwrap();
}

/// A chat on a terminal of its own.
struct Chat {
    keys: File,
    terminal: OwnedFd,
    screen: Receiver<Vec<u8>>,
    /// What the screen has shown since the last [`Chat::sees`].
    shown: String,
    child: Child,
    folder: tempfile::TempDir,
}

impl Chat {
    fn start() -> Self {
        Self::start_with(None)
    }

    /// A chat whose standard error goes to `stderr` instead.
    fn start_with(stderr: Option<Stdio>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pty = openpty(None, None).unwrap();
        let terminal = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .env("TERM", "xterm")
            .stdin(terminal())
            .stdout(terminal())
            .stderr(stderr.unwrap_or_else(terminal))
            .spawn()
            .expect("setsid of util-linux");
        let keys = File::from(pty.master);
        let mut output = keys.try_clone().unwrap();
        let (sender, screen) = sync_channel(SCREEN_CHUNKS);
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let _ = sender.send(buffer[..count].to_vec());
            }
        });
        let mut chat = Self { keys, terminal: pty.slave, screen, shown: String::new(), child, folder };
        chat.sees("main ›");
        chat
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows `text`, and forgets all up to it.
    #[track_caller]
    fn sees(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return;
            }
            match self.screen.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => panic!("no {text:?} in {:?}", self.shown),
            }
        }
    }

    /// Waits for the end; whether the terminal is as it was: lines are edited by the kernel, and echoed.
    fn ends(&mut self) -> bool {
        assert!(self.child.wait().unwrap().success());
        let flags = tcgetattr(&self.terminal).unwrap().local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        // Only a test that has failed leaves it running; `setsid` has made it a group of its own.
        let _ = self.child.kill();
    }
}

#[test]
fn lines_are_edited_and_kept_for_the_owner_only() {
    let mut chat = Chat::start();
    chat.types("helloo\x7f\r");
    chat.sees("Hello there.");
    chat.sees("reused");
    chat.sees("main ›");
    chat.types("rubbish\x03");
    chat.sees("main ›");
    chat.types("/sessi\ts\r");
    chat.sees("* main");
    chat.sees("main ›");
    chat.types("\x04");
    assert!(chat.ends());
    let history = chat.folder.path().join("history");
    assert_eq!(std::fs::read_to_string(&history).unwrap(), "#V2\nhello\n/sessions\n");
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_message_can_have_several_lines() {
    let mut chat = Chat::start();
    for keys in ["a\x1b\rb\r", "a\\\rb\r", "\x1b[200~a\nb\x1b[201~\r"] {
        chat.types(keys);
        chat.sees("Two lines.");
        chat.sees("main ›");
    }
    chat.types("\x1b[200~c\\\nd\x1b[201~\r");
    chat.sees("Two lines and a backslash.");
    chat.sees("main ›");
    chat.types("/quit\r");
    assert!(chat.ends());
}

#[test]
fn a_call_is_asked_about_on_the_terminal() {
    let mut chat = Chat::start();
    for (answer, reply) in [("y\r", "It said ls -l."), ("\r", "Refused."), ("\x04", "Refused.")] {
        chat.types("run ls -l\r");
        chat.sees("→ shell: ls -l");
        chat.sees("shell\x1b[0m needs your approval: it can change things on this machine\r\n  command: ls -l\r\n");
        chat.sees("would allow: tool = \"shell\", command = \"ls -l\"\r\nRun this?");
        chat.types(answer);
        chat.sees(reply);
        chat.sees("main ›");
    }
    chat.types("run ls -l\r");
    chat.sees("Run this?");
    chat.types("\x03");
    chat.sees("stopped");
    chat.sees("main ›");
    chat.types("\x04");
    assert!(chat.ends());
}

#[test]
fn nothing_is_asked_when_nobody_watches_standard_error() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut chat = Chat::start_with(Some(log.reopen().unwrap().into()));
    chat.types("run ls -l\r");
    chat.sees("Refused.");
    chat.sees("main ›");
    chat.types("\x04");
    assert!(chat.ends());
    let log = std::fs::read_to_string(log.path()).unwrap();
    assert!(log.contains("paguro: no terminal to ask on, so this is refused (--approve all would run it): shell: ls -l\n"), "{log}");
}

#[test]
fn ctrl_c_stops_a_reply_and_nothing_else() {
    let mut chat = Chat::start();
    chat.types("slow\r");
    chat.sees("two");
    chat.types("\x03");
    chat.sees("stopped");
    chat.sees("main ›");
    chat.types("hello\r");
    chat.sees("Hello there.");
    chat.sees("main ›");
    chat.types("\x04");
    assert!(chat.ends());
}

#[test]
fn a_chat_that_is_cut_off_leaves_the_terminal_as_it_was() {
    let mut chat = Chat::start();
    chat.types("half a li");
    chat.sees("half a li");
    assert!(!tcgetattr(&chat.terminal).unwrap().local_flags.contains(LocalFlags::ICANON), "the editor is at work");
    let setsid = chat.child.id();
    let children = std::fs::read_to_string(format!("/proc/{setsid}/task/{setsid}/children")).unwrap();
    let pid = children.split_whitespace().next().map_or(setsid, |pid| pid.parse().unwrap());
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert!(chat.ends());
}
