//! One turn at the terminal: runs it, shows it, asks for what it needs, stops it on Ctrl-C.

use std::io::{self, Write};

use agent::engine::EngineError;
use agent::memory::StoreError;
use agent::{Agent, AgentError, Answer, Event, Failure, Question, TurnResult};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::CHANNEL;
use super::printer::Printer;
use super::settings::{Approve, Format, Interrupt};
use super::status::TICK;
use super::tool_lines::call_line;
use super::tty::Terminal;

/// Events that wait to be shown; the turn waits for room.
const EVENTS: usize = 64;

/// Who answers questions.
#[derive(Debug)]
pub struct Approver {
    /// How.
    pub mode: Approve,
    /// Where to ask with [`Approve::Prompt`]; `None`: there is no terminal, so the answer is no.
    pub terminal: Option<Terminal>,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// The journal has its outcome.
    Finished(Box<TurnResult>),
    /// Ctrl-C: the journal has it as stopped.
    Stopped,
}

/// Why a turn could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The agent failed. The printer has had an error event, which the text format leaves to the caller to show.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The output could not be written. The turn is open, or finished and its message unsent.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// A question on its way to the person, and the way back.
type Asking = (Question, oneshot::Sender<Answer>);

/// Runs `turn` to its end and shows all of it, the result or the error included. Ctrl-C stops it.
pub async fn run_turn<O: Write, E: Write>(
    agent: &Agent,
    turn: i64,
    printer: &mut Printer<O, E>,
    approver: &Approver,
    interrupt: &Interrupt,
) -> Result<Ended, TurnError> {
    match watch(agent, turn, printer, approver, interrupt).await {
        Ok(Some(result)) => {
            printer.event(&Event::Result(Box::new(result.clone())))?;
            confirm(agent, &result).await?;
            Ok(Ended::Finished(Box::new(result)))
        }
        Ok(None) => {
            let stopped = agent.stop(turn).await;
            // It may have finished in the last moment.
            if let Err(error) = stopped
                && !matches!(error, AgentError::Store(StoreError::TurnFinished { .. }))
            {
                return fail(printer, error);
            }
            let (code, message) = (Failure::Stopped.code().to_owned(), Failure::Stopped.sentence().to_owned());
            printer.event(&Event::Error { code, message })?;
            Ok(Ended::Stopped)
        }
        Err(TurnError::Agent(error)) => fail(printer, error),
        Err(error) => Err(error),
    }
}

fn fail<O: Write, E: Write>(printer: &mut Printer<O, E>, error: AgentError) -> Result<Ended, TurnError> {
    printer.event(&error_event(&error))?;
    Err(error.into())
}

/// Drives the turn and shows its events; `None`: Ctrl-C. What ran is dropped then, which stops it.
async fn watch<O: Write, E: Write>(
    agent: &Agent,
    turn: i64,
    printer: &mut Printer<O, E>,
    approver: &Approver,
    interrupt: &Interrupt,
) -> Result<Option<TurnResult>, TurnError> {
    let (events, mut shown) = mpsc::channel(EVENTS);
    let (questions, mut asked): (mpsc::Sender<Asking>, _) = mpsc::channel(1);
    let drive = agent.drive(turn, &events, async |question: &Question| {
        let (reply, answer) = oneshot::channel();
        // No answer comes only when this very future is about to be dropped.
        let _ = questions.send((question.clone(), reply)).await;
        answer.await.unwrap_or(Answer { allowed: false, why: None })
    });
    let (raised, mut ticks) = (interrupt.raised(), interval(TICK));
    tokio::pin!(drive, raised);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = &mut raised => return Ok(None),
            Some(event) = shown.recv() => printer.event(&event)?,
            result = &mut drive => {
                while let Ok(event) = shown.try_recv() {
                    printer.event(&event)?;
                }
                return Ok(Some(result?));
            }
            Some((question, reply)) = asked.recv() => {
                // What came before the question is shown before it.
                while let Ok(event) = shown.try_recv() {
                    printer.event(&event)?;
                }
                printer.settle()?;
                match approve(&question, printer, approver, interrupt).await? {
                    Some(answer) => drop(reply.send(answer)),
                    None => {
                        // Ctrl-C at a question is a no, too.
                        agent.answer(&question, Answer { allowed: false, why: None }).await?;
                        return Ok(None);
                    }
                }
            }
            _ = ticks.tick() => printer.tick()?,
        }
    }
}

/// The answer; `None`: Ctrl-C.
async fn approve<O: Write, E: Write>(
    question: &Question,
    printer: &mut Printer<O, E>,
    approver: &Approver,
    interrupt: &Interrupt,
) -> io::Result<Option<Answer>> {
    let answer = |allowed| Some(Answer { allowed, why: None });
    Ok(match (approver.mode, &approver.terminal) {
        // A blanket yes is about calls that come, not about doing one a second time.
        (Approve::All, _) if !question.cut_off => answer(true),
        (Approve::Deny, _) => answer(false),
        (Approve::Prompt | Approve::All, Some(terminal)) => tokio::select! {
            answer = terminal.ask(question) => Some(answer),
            () = interrupt.raised() => {
                terminal.end_line();
                None
            }
        },
        (Approve::Prompt | Approve::All, None) => {
            let what = call_line(&question.tool, &question.arguments);
            let way = if question.cut_off { "it may have run before the last stop" } else { "--approve all would run it" };
            printer.complain(&format!("no terminal to ask on, so this is refused ({way}): {what}"))?;
            answer(false)
        }
    })
}

/// The reply has been shown: its message counts as sent.
async fn confirm(agent: &Agent, result: &TurnResult) -> Result<(), TurnError> {
    if let Some(outbound) = result.outbound {
        agent.store().confirm(outbound, None).await.map_err(AgentError::from)?;
    }
    Ok(())
}

/// Shows the replies of `session` that were finished and never shown, as after a crash or a closed output; text format only.
pub async fn deliver_unsent<O: Write, E: Write>(agent: &Agent, session: &str, printer: &mut Printer<O, E>) -> Result<(), TurnError> {
    if printer.screen().format != Format::Text {
        return Ok(()); // they are no events of what runs now; they wait
    }
    let store = agent.store();
    let unsent = store.unsent(CHANNEL).await.map_err(AgentError::from)?;
    for row in unsent.iter().filter(|row| row.session_name == session) {
        printer.notice("a reply that was not shown before:")?;
        // Where a script reads, only the reply that it asked for goes.
        match printer.screen().stdout_is_terminal {
            true => printer.say(&row.text)?,
            false => printer.notice(&row.text)?,
        }
        store.confirm(row.id, None).await.map_err(AgentError::from)?;
    }
    Ok(())
}

/// The event that tells of `error`.
#[must_use]
pub fn error_event(error: &AgentError) -> Event {
    let code = match error {
        AgentError::Engine(EngineError::PromptTooLong { .. }) => "prompt_too_long",
        AgentError::Engine(_) => "model",
        AgentError::Store(StoreError::DiskFull { .. }) => "disk_full",
        AgentError::Store(_) => "store",
        AgentError::BadStep { .. } => "bad_step",
        AgentError::NoTurn(_) => "no_turn",
        AgentError::NotAsked(_) => "not_asked",
    };
    Event::Error { code: code.to_owned(), message: error.to_string() }
}
