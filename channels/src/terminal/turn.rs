//! One turn at the terminal: runs it, shows it, asks for what it needs, stops it on Ctrl-C.

use std::io::{self, Write};

use agent::{AgentError, Answer, Event, Failure, Outcome, Question, TurnResult};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::CHANNEL;
use super::approver::{Approver, Way};
use super::host::Host;
use super::printer::Printer;
use super::settings::{Format, Interrupt};
use super::status::TICK;
use super::tool_lines::{call_line, one_line};

/// Events that wait to be shown; the turn waits for room.
const EVENTS: usize = 64;

/// How a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// The journal has its outcome.
    Finished(Box<TurnResult>),
    /// Ctrl-C: the journal has it as stopped.
    Stopped,
    /// It waits for an answer that comes another way.
    Waiting(Box<Question>),
}

/// Why a turn was not run and shown to its end.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The agent failed. It has been shown: as an event where events are printed, and on standard error.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The output could not be written. The turn went on without it; its message stays unsent.
    #[error("cannot write the output: {error}")]
    Output {
        /// Why not; with kind `BrokenPipe` nobody reads any more.
        error: io::Error,
        /// What became of the turn. It has not been shown.
        ended: Box<Result<Ended, AgentError>>,
    },
}

/// Why the replies that were never shown are not shown now.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The journal could not be read or written.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

/// A question on its way to the person, and the way back.
type Asking = (Question, oneshot::Sender<Option<Answer>>);

/// Runs `turn` to its end and shows all of it, the result or the error included. Ctrl-C stops it. When nobody reads the
/// output any more the turn goes on without being shown.
pub async fn run_turn<'a, O: Write, E: Write>(
    host: impl Into<Host<'a>>,
    turn: i64,
    printer: &mut Printer<O, E>,
    approver: &Approver,
    interrupt: &Interrupt,
) -> Result<Ended, TurnError> {
    let host = host.into();
    let mut view = View { printer, broken: None };
    let ended = match watch(host, turn, &mut view, approver, interrupt).await {
        Ok(Some(Outcome::Finished(result))) => finished(host, *result, &mut view).await,
        Ok(Some(Outcome::Waiting(question))) => Ok(waiting(*question, &mut view)),
        Ok(None) => stopped(host, turn, &mut view).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &ended {
        failed(host, error, &mut view).await;
    }
    match view.broken {
        Some(error) => Err(TurnError::Output { error, ended: Box::new(ended) }),
        None => Ok(ended?),
    }
}

/// Shows the replies of `session` that were finished and never shown, as after a crash or a closed output; text format only.
pub async fn deliver_unsent<'a, O: Write, E: Write>(
    host: impl Into<Host<'a>>,
    session: &str,
    printer: &mut Printer<O, E>,
) -> Result<(), DeliverError> {
    if printer.screen().format != Format::Text {
        return Ok(()); // they are no events of what runs now; they wait
    }
    let host = host.into();
    loop {
        // A page; confirmed ones are not in the next.
        let unsent = host.unsent(session).await?;
        if unsent.is_empty() {
            return Ok(());
        }
        for row in unsent {
            let what = match &row.from {
                Some(session) => format!("from {}:", one_line(session)),
                None => "a reply that was not shown before:".to_owned(),
            };
            printer.notice(&what).map_err(DeliverError::Output)?;
            // Where a script reads, only the reply that it asked for goes.
            let shown = if printer.screen().stdout_is_terminal { printer.say(&row.text) } else { printer.notice(&row.text) };
            shown.map_err(DeliverError::Output)?;
            host.confirm(row.id).await?;
        }
    }
}

/// The printer, as long as it can be written to. That nobody reads does not end a turn: the journal has what it says.
struct View<'a, O, E> {
    printer: &'a mut Printer<O, E>,
    /// Why nothing is shown any more.
    broken: Option<io::Error>,
}

impl<O: Write, E: Write> View<'_, O, E> {
    fn show(&mut self, write: impl FnOnce(&mut Printer<O, E>) -> io::Result<()>) {
        if self.broken.is_some() {
            return;
        }
        if let Err(error) = write(self.printer) {
            self.broken = Some(error);
            // The spinner would stand still from here on; if it cannot be taken away, that is the same error once more.
            let _ = self.printer.settle();
        }
    }

    fn event(&mut self, event: &Event) {
        self.show(|printer| printer.event(event));
    }

    /// Shows the events that have come already.
    fn events(&mut self, events: &mut mpsc::Receiver<Event>) {
        while let Ok(event) = events.try_recv() {
            self.event(&event);
        }
    }

    /// A message counts as sent if it has been shown.
    async fn confirm(&self, host: Host<'_>, outbound: Option<i64>) -> Result<(), AgentError> {
        if let (None, Some(outbound)) = (&self.broken, outbound) {
            host.confirm(outbound).await?;
        }
        Ok(())
    }
}

async fn finished<O: Write, E: Write>(host: Host<'_>, result: TurnResult, view: &mut View<'_, O, E>) -> Result<Ended, AgentError> {
    let result = Box::new(result);
    view.event(&Event::Result(result.clone()));
    view.confirm(host, result.outbound).await?;
    Ok(Ended::Finished(result))
}

fn waiting<O: Write, E: Write>(question: Question, view: &mut View<'_, O, E>) -> Ended {
    let id = question.id();
    let message = format!("waits for your approval: `paguro approvals yes {id}` or `paguro approvals no {id}`");
    view.event(&Event::Error { code: "waiting".to_owned(), message: message.clone() });
    view.show(|printer| printer.complain(&message));
    Ended::Waiting(Box::new(question))
}

async fn stopped<O: Write, E: Write>(host: Host<'_>, turn: i64, view: &mut View<'_, O, E>) -> Result<Ended, AgentError> {
    host.stop(turn).await?;
    view.event(&Event::Error { code: Failure::Stopped.code().to_owned(), message: Failure::Stopped.sentence().to_owned() });
    Ok(Ended::Stopped)
}

async fn failed<O: Write, E: Write>(host: Host<'_>, error: &AgentError, view: &mut View<'_, O, E>) {
    let message = error.to_string();
    view.event(&Event::Error { code: error.code().to_owned(), message: message.clone() });
    view.show(|printer| printer.complain(&message));
    if let AgentError::Engine(_, outbound) = error {
        // If it cannot be confirmed it is shown once more; what matters now is why the turn failed.
        let _ = view.confirm(host, *outbound).await;
    }
}

/// Drives the turn and shows its events; `None`: Ctrl-C. What ran is dropped then, which stops it.
async fn watch<O: Write, E: Write>(
    host: Host<'_>,
    turn: i64,
    view: &mut View<'_, O, E>,
    approver: &Approver,
    interrupt: &Interrupt,
) -> Result<Option<Outcome>, AgentError> {
    let (events, mut shown) = mpsc::channel(EVENTS);
    let (questions, mut asked): (mpsc::Sender<Asking>, _) = mpsc::channel(1);
    let drive = host.drive(turn, &events, async |question: &Question| {
        let (reply, answer) = oneshot::channel();
        // Nothing comes back only when this very future is about to be dropped.
        let _ = questions.send((question.clone(), reply)).await;
        answer.await.unwrap_or(Some(Answer::no(CHANNEL)))
    });
    let (raised, mut ticks) = (interrupt.raised(), interval(TICK));
    tokio::pin!(drive, raised);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = &mut raised => return Ok(None),
            Some(event) = shown.recv() => view.event(&event),
            result = &mut drive => {
                view.events(&mut shown);
                return Ok(Some(result?));
            }
            Some((question, reply)) = asked.recv() => {
                // What came before the question is shown before it.
                view.events(&mut shown);
                view.show(Printer::settle);
                match answer(&question, view, approver, interrupt).await {
                    Ok(answer) => drop(reply.send(answer)),
                    Err(Interrupted) => {
                        // Ctrl-C at a question is a no, too.
                        host.refuse(&question).await?;
                        return Ok(None);
                    }
                }
            }
            _ = ticks.tick() => view.show(Printer::tick),
        }
    }
}

/// Ctrl-C was pressed.
struct Interrupted;

/// The answer; `None`: it comes another way.
async fn answer<O: Write, E: Write>(
    question: &Question,
    view: &mut View<'_, O, E>,
    approver: &Approver,
    interrupt: &Interrupt,
) -> Result<Option<Answer>, Interrupted> {
    let no = || Ok(Some(Answer::no(CHANNEL)));
    match approver.way(question) {
        Way::Yes => Ok(Some(Answer::yes("--approve all"))),
        Way::No => no(),
        Way::Later => Ok(None),
        // Who has not seen what led to a question cannot answer it.
        Way::Ask(_) if view.broken.is_some() => no(),
        Way::Ask(terminal) => tokio::select! {
            answer = terminal.ask(question, approver.patience) => Ok(Some(answer)),
            () = interrupt.raised() => {
                terminal.end_line();
                Err(Interrupted)
            }
        },
        Way::Nobody(why) => {
            let what = call_line(&question.tool, &question.arguments);
            view.show(|printer| printer.complain(&format!("no terminal to ask on, so this is refused ({why}): {what}")));
            no()
        }
    }
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
