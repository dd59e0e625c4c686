//! Single turns, whole: what a broken output, a silent owner and Ctrl-C make of them.

use std::time::Duration;

use agent::memory::{StepRow, TurnState};

use super::super::CHANNEL;
use super::super::settings::{Approve, Screen};
use super::super::test_support::{SCREEN, accepted, agent, nobody, owner, run, terminal};
use super::*;

/// Nobody reads.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The text of a turn whose output is closed before its first event. The turn ends all the same, and its message waits.
#[track_caller]
fn check_closed(approver: &Approver, expected: &str) {
    let reply = run(async {
        let agent = agent().await;
        let turn = accepted(&agent, "main", "run ls").await;
        let mut printer = Printer::new(Screen { format: Format::Jsonl, ..SCREEN }, Closed, Vec::new());
        let ended = run_turn(&agent, turn, &mut printer, approver, &Interrupt::new()).await;
        let Err(TurnError::Output { error, ended }) = ended else { panic!("{ended:?}") };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let Ok(Ended::Finished(result)) = *ended else { panic!("{ended:?}") };
        assert_eq!(agent.store().turn(turn).await.unwrap().unwrap().state, TurnState::Done);
        let unsent = agent.store().unsent(CHANNEL).await.unwrap();
        assert_eq!((unsent.len(), Some(unsent[0].id)), (1, result.outbound));
        assert!(printer.into_writers().1.is_empty());
        result.text
    });
    assert_eq!(reply, expected);
}

#[test]
fn a_turn_goes_on_when_nobody_reads() {
    check_closed(&nobody(Approve::All), "It said: ls");
    check_closed(&nobody(Approve::Prompt), "Not allowed.");
    // A person who has not seen the call is not asked.
    check_closed(&owner(Approve::Prompt, "y\n"), "Not allowed.");
}

#[test]
fn a_question_that_nobody_answers_is_refused() {
    run(async {
        let agent = agent().await;
        let turn = accepted(&agent, "main", "run ls").await;
        let (terminal, _typed) = terminal("");
        let approver = Approver { patience: Duration::from_secs(1), terminal: Some(terminal), ..nobody(Approve::Prompt) };
        let mut printer = Printer::new(SCREEN, Vec::new(), Vec::new());
        let ended = run_turn(&agent, turn, &mut printer, &approver, &Interrupt::new()).await.unwrap();
        let Ended::Finished(result) = ended else { panic!("{ended:?}") };
        assert_eq!((result.text.as_str(), result.failure.as_deref()), ("Not allowed: nobody answered within 1 s.", Some("denied")));
        assert_eq!(agent.store().unsent(CHANNEL).await.unwrap(), []);
    });
}

#[test]
fn a_question_waits_ten_minutes() {
    assert_eq!(nobody(Approve::Prompt).patience, Duration::from_secs(600));
}

#[test]
fn a_failure_is_shown_once_and_counts_as_sent() {
    run(async {
        let agent = agent().await;
        let turn = accepted(&agent, "main", &"word ".repeat(5_000)).await;
        let mut printer = Printer::new(SCREEN, Vec::new(), Vec::new());
        let ended = run_turn(&agent, turn, &mut printer, &nobody(Approve::Deny), &Interrupt::new()).await;
        let Err(TurnError::Agent(error @ AgentError::Engine(_, Some(_)))) = ended else { panic!("{ended:?}") };
        assert_eq!(error.code(), "prompt_too_long");
        assert_eq!(agent.store().unsent(CHANNEL).await.unwrap(), []);
        let (out, err) = printer.into_writers();
        assert_eq!((String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap()), (String::new(), format!("paguro: {error}\n")));
    });
}

#[test]
fn ctrl_c_at_a_question_is_no_and_stops() {
    run(async {
        let agent = agent().await;
        let interrupt = Interrupt::new();
        let (terminal, _typed) = terminal("");
        let approver = Approver { terminal: Some(terminal), ..nobody(Approve::Prompt) };
        let mut printer = Printer::new(SCREEN, Vec::new(), Vec::new());
        let turn = accepted(&agent, "main", "run ls").await;
        let raise = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            interrupt.raise();
        };
        let (ended, ()) = tokio::join!(run_turn(&agent, turn, &mut printer, &approver, &interrupt), raise);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        let steps: Vec<StepRow> = agent.store().steps(turn).await.unwrap();
        let kinds: Vec<&str> = steps.iter().map(|step| step.kind.as_str()).collect();
        assert_eq!(kinds, ["began", "thought", "asked", "answered"]);
        assert_eq!(agent.store().open_turns(None).await.unwrap(), []);
    });
}
