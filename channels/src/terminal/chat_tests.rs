//! Whole conversations: lines in, both streams out. The model is a script and the store is in memory; all else is real.

use std::io::{Cursor, pipe};
use std::time::Duration;

use agent::memory::{Inbound, Note, TurnState};
use serde_json::json;

use super::super::test_support::{SCREEN, accepted, agent, nobody, owner, run};
use super::*;

/// Says that the turn had changed one file.
fn one_file() -> super::UndoFiles {
    Box::new(|_| Box::pin(async { Ok(vec!["restored a\u{1b}.txt".to_owned()]) }))
}

async fn chatted(agent: &Agent, approver: Approver, lines: &str) -> (String, String) {
    let (lines, interrupt) = (Cursor::new(lines.to_owned()), Interrupt::new());
    let printer = Printer::new(SCREEN, Vec::new(), Vec::new());
    let input = Input::lines(lines).unwrap();
    let mut chat = Chat {
        host: agent.into(),
        session: "main".into(),
        history_file: "none".into(),
        approver,
        printer,
        interrupt: &interrupt,
        input,
        undo_files: one_file(),
    };
    chat.hold().await.unwrap();
    let (out, err) = chat.printer.into_writers();
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
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
    let call = "→ shell: ls\nshell needs an approval: it can change things on this machine\n";
    let err = format!("{call}{refused}  error: the owner did not allow this\n");
    check("run ls\n", "Not allowed.\n", &err);
}

#[test]
fn the_owner_answers() {
    run(async {
        let agent = agent().await;
        let approver = |typed| owner(Approve::Prompt, typed);
        assert_eq!(chatted(&agent, approver("y\n"), "run ls\n").await.0, "It said: ls\n");
        assert_eq!(chatted(&agent, approver("\n"), "run ls\n").await.0, "Not allowed.\n");
        assert_eq!(chatted(&agent, approver("no, because it is late\n"), "run ls\n").await.0, "Not allowed: it is late.\n");
        assert_eq!(chatted(&agent, nobody(Approve::Deny), "run ls\n").await.0, "Not allowed.\n");
    });
}

#[test]
fn the_way_of_approving_can_be_changed() {
    let out = "approvals: prompt\napprovals: all, for this chat\nIt said: ls\n`yes` is not one of prompt, deny, all, wait\n";
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
    check("hello\n/undo\n/undo\n", "Hello there.\nrestored a␛.txt\ntaken out of the history: hello\nthere is no turn to undo\n", "");
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
    let refused =
        "`a/b` cannot be a session's name; use 1 to 64 characters without slashes and control characters, and no space at either end";
    assert_eq!(lines[7..], [refused]);
}

#[test]
fn notes_the_model_and_the_context_can_be_looked_at() {
    run(async {
        let agent = agent().await;
        let at = Some("2026-11-20T10:00:00.000Z".to_owned());
        let note = |id: &str, text: &str| Note { id: Some(id.into()), text: text.into(), at: at.clone(), ..Note::default() };
        agent.store().add_note(note("n1", "my bike is green")).await.unwrap();
        agent.store().add_note(note("n2", "tea \u{1b}[2J at four")).await.unwrap();
        let (out, _) = chatted(&agent, nobody(Approve::Deny), "/memory bike\n/memory\n/memory search car\n/memory show n1\n").await;
        assert_eq!(
            out,
            "n1  2026-11-20  my bike is green  (words: bike)\nn2  2026-11-20  tea ␛[2J at four\nn1  2026-11-20  my bike is green\n\
             no note has a word of: car\nmy bike is green\na note, 2026-11-20T10:00:00.000Z\n"
        );
        let lines =
            "/memory forget n9\n/memory forget n1 n2\n/memory list\n/memory add the car is red\n/memory car\n/memory stats\n/memory show\n";
        let (out, _) = chatted(&agent, nobody(Approve::Deny), lines).await;
        let id = agent.store().list(1, 0).await.unwrap().remove(0).id;
        let today = out.lines().find_map(|line| line.strip_prefix(&format!("{id}  "))?.split("  ").next()).unwrap().to_owned();
        let told: Vec<&str> = out.lines().collect();
        let found = format!("{id}  {today}  the car is red  (words: car)");
        let kept = format!("kept as {id}");
        let (no, none) = ("there is no note n9; /memory list shows the ids", "there are no notes yet");
        assert_eq!(told[..5], [no, "forgotten", none, &kept, &found]);
        assert!(
            told[5].starts_with("1 notes, 0 facts, 0 pieces of conversations; ") && told[6] == "/memory show needs to know what",
            "{told:?}"
        );
        let name = agent.engine().info().name.clone();
        let (out, _) = chatted(&agent, nobody(Approve::Deny), "/model\n").await;
        assert_eq!(out, format!("{name} (script) · context 4,096 of 4,096 tokens\n"));
        let system = agent.engine().count_tokens(vec![agent::SYSTEM_BLOCK.into()]).await.unwrap()[0];
        let (out, _) = chatted(&agent, nobody(Approve::Deny), "/context\nhello\n/context\n").await;
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], format!("system block  {system:>8} tokens"));
        assert_eq!(lines[2], format!("turns         {:>8} tokens", 0));
        assert_eq!(lines[5], lines[0]);
        // As the journal has it; fewer than a thousand, so that no digits are grouped.
        let steps = agent.store().steps(1).await.unwrap();
        let usage = &steps.iter().find(|step| step.kind == "thought").unwrap().body["usage"];
        let used = usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
        assert!((u64::from(system)..1_000).contains(&used), "{used}");
        let shown = format!("in use        {used:>8} of 4,096 tokens ({} %); from 75 % on a summary is made", used * 100 / 4_096);
        assert_eq!(lines[8], shown);
    });
}

#[test]
fn an_unfinished_turn_is_finished_first() {
    run(async {
        let agent = agent().await;
        accepted(&agent, "main", "hello\nagain").await;
        // Another channel's session, whose name looks like this one.
        let other = Inbound { channel: "other".into(), session: "terminal/main".into(), text: "hello".into(), ..Inbound::default() };
        agent.accept(other).await.unwrap();
        let (out, err) = chatted(&agent, nobody(Approve::Deny), "hi\n").await;
        assert_eq!(out, "Hello there.\nHello there.\n");
        assert_eq!(err, "finishing what was interrupted (Ctrl-C stops it): hello␊again\n");
    });
}

#[test]
fn a_blanket_yes_does_not_cover_earlier_messages() {
    const CALL: &str = "→ shell: ls\nshell needs an approval: it can change things on this machine\n";
    const REFUSED: &str = "paguro: no terminal to ask on, so this is refused (--approve all is for new messages only): shell: ls\n  error: the owner did not allow this\n";
    const FINISHING: &str = "finishing what was interrupted (Ctrl-C stops it): run ls\n";
    run(async {
        let agent = agent().await;
        accepted(&agent, "main", "run ls").await;
        let (out, err) = chatted(&agent, nobody(Approve::All), "run pwd\n").await;
        assert_eq!(out, "Not allowed.\nIt said: pwd\n");
        assert_eq!(err, format!("{FINISHING}{CALL}{REFUSED}{}", CALL.replace("ls", "pwd")));

        accepted(&agent, "work", "run ls").await;
        let (out, err) = chatted(&agent, nobody(Approve::Prompt), "/approve all\n/session work\n").await;
        assert_eq!(out, "approvals: all, for this chat\nsession work\nNot allowed.\n");
        assert_eq!(err, format!("{FINISHING}{CALL}{REFUSED}"));

        accepted(&agent, "main", "run ls").await;
        assert_eq!(chatted(&agent, owner(Approve::All, "y\n"), "").await.0, "It said: ls\n");
        accepted(&agent, "main", "run ls").await;
        assert_eq!(chatted(&agent, owner(Approve::Deny, "y\n"), "").await.0, "Not allowed.\n");
    });
}

#[test]
fn a_turn_left_open_in_the_middle_of_a_chat_is_finished_before_the_next() {
    run(async {
        let agent = agent().await;
        let (lines, mut typed) = pipe().unwrap();
        let printer = Printer::new(SCREEN, Vec::new(), Vec::new());
        let (input, interrupt) = (Input::lines(io::BufReader::new(lines)).unwrap(), Interrupt::new());
        let approver = nobody(Approve::All);
        let mut chat = Chat {
            host: (&agent).into(),
            session: "main".into(),
            history_file: "none".into(),
            approver,
            printer,
            interrupt: &interrupt,
            input,
            undo_files: one_file(),
        };
        let types = async {
            typed.write_all(b"hello\n").unwrap();
            while agent.store().turn(1).await.unwrap().is_none_or(|turn| turn.state == TurnState::Open) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            accepted(&agent, "main", "run ls").await;
            typed.write_all(b"run pwd\n").unwrap();
            drop(typed);
        };
        let (held, ()) = tokio::join!(chat.hold(), types);
        held.unwrap();
        let (out, err) = chat.printer.into_writers();
        assert_eq!(String::from_utf8(out).unwrap(), "Hello there.\nNot allowed.\nIt said: pwd\n");
        assert!(err.starts_with(b"finishing what was interrupted (Ctrl-C stops it): run ls\n"), "{err:?}");
    });
}

#[test]
fn a_turn_that_cannot_be_finished_is_told_and_ends_nothing() {
    run(async {
        let agent = agent().await;
        let turn = accepted(&agent, "main", "hello").await;
        agent.store().append(turn, "rubbish", json!({ "kind": "rubbish" })).await.unwrap();
        let (out, err) = chatted(&agent, nobody(Approve::Deny), "hi\n/stop\n").await;
        assert_eq!(out, "Hello there.\nended the unfinished turn\n");
        let err: Vec<&str> = err.lines().collect();
        let finishing = "finishing what was interrupted (Ctrl-C stops it): hello";
        // At the start, and once more before the first message.
        assert_eq!((err.len(), err[0], err[2]), (4, finishing, finishing));
        assert!(err[1].starts_with("paguro: ") && err[1].contains("rubbish") && err[3] == err[1], "{err:?}");
    });
}

#[test]
fn a_reply_that_was_never_shown_is_shown_once() {
    run(async {
        let agent = agent().await;
        let turn = accepted(&agent, "main", "hello").await;
        let (events, _) = tokio::sync::mpsc::channel(1);
        agent.run(turn, &events, agent.deadline()).await.unwrap();
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
        let mut chat = Chat {
            host: (&agent).into(),
            session: "main".into(),
            history_file: "none".into(),
            approver,
            printer,
            interrupt: &interrupt,
            input,
            undo_files: one_file(),
        };
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
fn ctrl_c_while_a_line_is_waited_for_ends_the_chat() {
    run(async {
        let agent = agent().await;
        let interrupt = Interrupt::new();
        let (lines, _typed) = pipe().unwrap();
        let printer = Printer::new(SCREEN, Vec::new(), Vec::new());
        let input = Input::lines(io::BufReader::new(lines)).unwrap();
        let approver = nobody(Approve::Deny);
        let mut chat = Chat {
            host: (&agent).into(),
            session: "main".into(),
            history_file: "none".into(),
            approver,
            printer,
            interrupt: &interrupt,
            input,
            undo_files: one_file(),
        };
        let raise = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            interrupt.raise();
        };
        let (held, ()) = tokio::join!(chat.hold(), raise);
        assert!(matches!(held, Err(ChatError::Interrupted)));
    });
}
