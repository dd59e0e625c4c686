//! Whole conversations: lines in, both streams out. The model is a script and the store is in memory; all else is real.

use std::io::{Cursor, Write as _, pipe};
use std::os::fd::OwnedFd;
use std::time::Duration;

use agent::engine::{Engine, LoadOptions, ModelSource, Sampling, ToolSchema};
use agent::memory::{Note, Store};
use agent::{Effect, Limits, Settings, Tool, ToolContext, ToolFuture, Toolbox};
use serde_json::{Value, json};

use super::super::settings::Format;
use super::*;

const SCRIPT: &str = r#"
{"when":"^run (.*)$","role":"user","tool_calls":[{"name":"shell","arguments":{"command":"$1"}}]}
{"when":"^error: the owner did not allow this(.*)","role":"tool","text":"Not allowed$1."}
{"when":"^ran (.*)","role":"tool","text":"It said: $1"}
{"when":"^slow","text":"one two three four five six seven eight nine ten","delay_ms":100}
{"when":"^(hello|hi)","text":"Hello there."}
"#;

/// Says what it was told to run.
struct Shell;

impl Tool for Shell {
    fn schema(&self) -> ToolSchema {
        ToolSchema { name: "shell".into(), description: "Runs a command.".into(), parameters: json!({ "type": "object" }) }
    }

    fn effect(&self) -> Effect {
        Effect::Write
    }

    fn run<'a>(&'a self, arguments: &'a Value, _: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move { Ok(format!("ran {}", arguments["command"].as_str().unwrap_or_default())) })
    }
}

async fn agent() -> Agent {
    let mut script = tempfile::NamedTempFile::new().unwrap();
    script.write_all(SCRIPT.as_bytes()).unwrap();
    let options = LoadOptions { context: Some(4_096), ..LoadOptions::new(ModelSource::Script(script.path().into())) };
    let engine = Engine::load(options, |_| std::ops::ControlFlow::Continue(())).await.unwrap();
    let settings = Settings {
        policy: Vec::new(),
        limits: Limits::default(),
        sampling: Sampling::default(),
        clock: || "2026-11-21 09:41 Saturday".into(),
        overflow: Box::new(|_, text, _| text.into()),
    };
    Agent::new(engine, Store::in_memory().unwrap(), Toolbox::new(vec![Box::new(Shell)]), settings)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

const SCREEN: Screen = Screen { format: Format::Text, colour: false, stdout_is_terminal: false, stderr_is_terminal: false };

/// A terminal on which `typed` is typed.
fn terminal(typed: &str) -> Terminal {
    let (input, mut writer) = pipe().unwrap();
    writer.write_all(typed.as_bytes()).unwrap();
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
    Terminal::new(std::fs::File::from(OwnedFd::from(input)), nowhere)
}

async fn chatted(agent: &Agent, approver: Approver, lines: &str) -> (String, String) {
    let (lines, interrupt) = (Cursor::new(lines.to_owned()), Interrupt::new());
    let printer = Printer::new(SCREEN, Vec::new(), Vec::new());
    let input = Input::lines(lines).unwrap();
    let mut chat = Chat { agent, session: "main".into(), approver, printer, interrupt: &interrupt, input };
    chat.hold().await.unwrap();
    let (out, err) = chat.printer.into_writers();
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn nobody(mode: Approve) -> Approver {
    Approver { mode, terminal: None }
}

#[track_caller]
fn check(lines: &str, out: &str, err: &str) {
    let got = run(async { chatted(&agent().await, nobody(Approve::Prompt), lines).await });
    assert_eq!((got.0.as_str(), got.1.as_str()), (out, err));
}

#[test]
fn messages_are_answered_one_by_one() {
    check("hello\n\nhi again\n", "Hello there.\nHello there.\n", "");
    check("hello\n/quit\nhi\n", "Hello there.\n", "");
}

#[test]
fn without_a_terminal_the_answer_is_no() {
    let refused = "paguro: no terminal to ask on, so this is refused (--approve all would run it): shell: ls\n";
    let err = format!("→ shell: ls\nshell needs an approval: it can change things on this machine\n{refused}");
    check("run ls\n", "Not allowed.\n", &err);
}

#[test]
fn the_owner_answers() {
    run(async {
        let agent = agent().await;
        let approver = |typed| Approver { mode: Approve::Prompt, terminal: Some(terminal(typed)) };
        assert_eq!(chatted(&agent, approver("y\n"), "run ls\n").await.0, "It said: ls\n");
        assert_eq!(chatted(&agent, approver("\n"), "run ls\n").await.0, "Not allowed.\n");
        assert_eq!(chatted(&agent, approver("no, because it is late\n"), "run ls\n").await.0, "Not allowed: it is late.\n");
        assert_eq!(chatted(&agent, nobody(Approve::Deny), "run ls\n").await.0, "Not allowed.\n");
    });
}

#[test]
fn the_way_of_approving_can_be_changed() {
    let out = "approvals: prompt\napprovals: all, for this chat\nIt said: ls\n`yes` is not one of prompt, deny, all\n";
    let err = "→ shell: ls\nshell needs an approval: it can change things on this machine\n";
    check("/approve\n/approve all\nrun ls\n/approve yes\n", out, err);
}

#[test]
fn commands_look_at_the_session() {
    check(
        "/undo\n/stop\n/nwe\n",
        "there is no turn to undo\nnothing is unfinished; during a reply Ctrl-C stops it\nthere is no command /nwe; did you mean /new?\n",
        "",
    );
    check("hello\n/undo\n/undo\n", "Hello there.\ntaken out of the history: hello\nthere is no turn to undo\n", "");
    check(
        "/session x\n/session\n",
        "there is no session x; /sessions lists them, /new x begins it\n/session NAME; /sessions lists the names\n",
        "",
    );
    check("/help\n", &format!("{}\n", help()), "");
}

#[test]
fn sessions_are_changed() {
    let lines = "hello\n/new\nhi\n/new main\n/session main\n/sessions\n/new a/b\n";
    let (out, _) = run(async { chatted(&agent().await, nobody(Approve::Deny), lines).await });
    let lines: Vec<&str> = out.lines().collect();
    let fixed = [
        "Hello there.",
        "session chat-1",
        "Hello there.",
        "there is a session main already; /session main goes on with it",
        "session main",
    ];
    assert_eq!(lines[..5], fixed);
    let mut listed: Vec<&str> = lines[5..7].iter().map(|line| line.split("  last 2").next().unwrap()).collect();
    listed.sort_unstable(); // both were written to within a millisecond
    assert_eq!(listed, ["  chat-1     1 turns", "* main       1 turns"]);
    assert_eq!(lines[7..], ["a session's name has at most 64 characters and no slash"]);
}

#[test]
fn notes_the_model_and_the_context_can_be_looked_at() {
    run(async {
        let agent = agent().await;
        let note = |text: &str| Note { text: text.into(), at: Some("2026-11-20T10:00:00.000Z".into()), ..Note::default() };
        agent.store().add_note(note("my bike is green")).await.unwrap();
        agent.store().add_note(note("tea \u{1b}[2J at four")).await.unwrap();
        let (out, _) = chatted(&agent, nobody(Approve::Deny), "/memory bike\n/memory\n/memory car\n").await;
        assert_eq!(
            out,
            "2026-11-20  my bike is green  (words: bike)\n2026-11-20  tea \u{1b}[2J at four\n2026-11-20  my bike is green\n\
             no note has a word of: car\n"
        );
        let name = agent.engine().info().name.clone();
        let (out, _) = chatted(&agent, nobody(Approve::Deny), "/model\n").await;
        assert_eq!(out, format!("{name} (script) · context 4,096 of 4,096 tokens\n"));
        let system = agent.engine().count_tokens(vec![agent::SYSTEM_BLOCK.into()]).await.unwrap()[0];
        let (out, _) = chatted(&agent, nobody(Approve::Deny), "/context\nhello\n/context\n").await;
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], format!("system block  {system} tokens, not in use yet; the tools come on top"));
        assert_eq!(lines[1], "in use        nothing of 4,096 tokens yet");
        assert_eq!(lines[3], format!("system block  {system} tokens, frozen for this session; the tools come on top"));
        assert!(lines[4].ends_with(" of 4,096 tokens after the last reply (6 %)") || lines[4].contains(" of 4,096 tokens after"), "{out}");
    });
}

#[test]
fn an_unfinished_turn_is_finished_first() {
    run(async {
        let agent = agent().await;
        let inbound = Inbound { channel: CHANNEL.into(), session: "main".into(), text: "hello\nagain".into(), ..Inbound::default() };
        agent.accept(inbound).await.unwrap();
        let (out, err) = chatted(&agent, nobody(Approve::Deny), "hi\n").await;
        assert_eq!(out, "Hello there.\nHello there.\n");
        assert_eq!(err, "finishing what was interrupted (Ctrl-C stops it): hello␊again\n");
    });
}

#[test]
fn a_reply_that_was_never_shown_is_shown_once() {
    run(async {
        let agent = agent().await;
        let inbound = Inbound { channel: CHANNEL.into(), session: "main".into(), text: "hello".into(), ..Inbound::default() };
        let turn = agent.accept(inbound).await.unwrap().turn;
        let (events, _) = tokio::sync::mpsc::channel(1);
        agent.run(turn, &events).await.unwrap();
        let (out, err) = chatted(&agent, nobody(Approve::Deny), "").await;
        assert_eq!((out.as_str(), err.as_str()), ("", "a reply that was not shown before:\nHello there.\n"));
        assert_eq!(chatted(&agent, nobody(Approve::Deny), "hi\n").await, ("Hello there.\n".into(), String::new()));
    });
}

#[test]
fn ctrl_c_stops_the_reply_and_not_the_chat() {
    run(async {
        let agent = agent().await;
        let interrupt = Interrupt::new();
        let screen = Screen { stdout_is_terminal: true, ..SCREEN };
        let printer = Printer::new(screen, Vec::new(), Vec::new());
        let input = Input::lines(Cursor::new("slow please\nhello\n")).unwrap();
        let approver = nobody(Approve::Deny);
        let mut chat = Chat { agent: &agent, session: "main".into(), approver, printer, interrupt: &interrupt, input };
        let raise = async {
            tokio::time::sleep(Duration::from_millis(350)).await;
            interrupt.raise();
        };
        let (held, ()) = tokio::join!(chat.hold(), raise);
        held.unwrap();
        let (out, err) = chat.printer.into_writers();
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("one ") && !out.contains("ten") && out.ends_with("\nHello there.\n"), "{out:?}");
        assert_eq!(String::from_utf8(err).unwrap(), "stopped\n");
        let turn = agent.store().turn(1).await.unwrap().unwrap();
        assert_eq!(turn.outcome.as_deref(), Some("stopped by the owner"));
    });
}

#[test]
fn ctrl_c_at_a_question_is_no_and_stops() {
    run(async {
        let agent = agent().await;
        let interrupt = Interrupt::new();
        let (input, _typed) = pipe().unwrap();
        let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
        let terminal = Terminal::new(std::fs::File::from(OwnedFd::from(input)), nowhere);
        let approver = Approver { mode: Approve::Prompt, terminal: Some(terminal) };
        let mut printer = Printer::new(SCREEN, Vec::new(), Vec::new());
        let inbound = Inbound { channel: CHANNEL.into(), session: "main".into(), text: "run ls".into(), ..Inbound::default() };
        let turn = agent.accept(inbound).await.unwrap().turn;
        let raise = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            interrupt.raise();
        };
        let (ended, ()) = tokio::join!(run_turn(&agent, turn, &mut printer, &approver, &interrupt), raise);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        let kinds: Vec<String> = agent.store().steps(turn).await.unwrap().into_iter().map(|step| step.kind).collect();
        assert_eq!(kinds, ["began", "thought", "asked", "answered"]);
        assert_eq!(agent.store().open_turns(None).await.unwrap(), []);
    });
}

#[test]
fn ctrl_c_while_a_line_is_waited_for_ends_the_chat() {
    run(async {
        let agent = agent().await;
        let interrupt = Interrupt::new();
        let (lines, _typed) = pipe().unwrap();
        let printer = Printer::new(SCREEN, Vec::new(), Vec::new());
        let input = Input::lines(io::BufReader::new(lines)).unwrap();
        let approver = nobody(Approve::Deny);
        let mut chat = Chat { agent: &agent, session: "main".into(), approver, printer, interrupt: &interrupt, input };
        let raise = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            interrupt.raise();
        };
        let (held, ()) = tokio::join!(chat.hold(), raise);
        assert!(matches!(held, Err(ChatError::Interrupted)));
    });
}
