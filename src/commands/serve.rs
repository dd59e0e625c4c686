//! `paguro serve`: the always-on process. It fires the jobs that are due and runs the turns that are open, those that a crash cut off
//! included. It takes no messages itself; what it has to say waits in the outbox for the channel that it goes to.
//!
//! Nothing is looked at again and again: it sleeps until a job is due, a turn ends, a message or a job is added, or a signal comes. Only
//! the clock on the wall can jump, and a machine can be put to sleep, so it wakes once a minute.

use std::collections::{HashMap, HashSet};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Agent, AgentError, Outcome};
use anyhow::Result;
use channels::terminal::{Format, Printer};
use channels::visible;
use engine::EngineError;
use jiff::Timestamp;
use memory::{Fired, JOB_CHANNEL, JobRow, Missed, Start, Store, TurnRow};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tools::schedule;

use super::ask::{say_if_demo, screen};
use super::job::checklist;
use crate::args::{ServeArgs, TurnArgs};
use crate::parts::{self, Context};

/// Turns of jobs that run at once, each of another session; more wait. They share what the model has left.
const JOBS_AT_ONCE: usize = 4;

/// Other turns that run at once: somebody waits for those, so jobs do not take their places.
const TURNS_AT_ONCE: usize = 4;

/// The longest sleep. A job is so late at most after the machine was, and what went wrong is tried again as often.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// So long nothing has run when facts are distilled: then the owner is not about to write the next message.
const QUIET: Duration = Duration::from_secs(45);

/// Ends with status 0 on a signal; turns that run then stay open, and the next start goes on with them.
pub async fn run(args: ServeArgs) -> Result<ExitCode> {
    let context = Context::read()?;
    let turn = TurnArgs::of_model(args.model);
    let options = context.load_options(turn.model.as_deref())?;
    let store = context.store()?;
    say_if_demo(&context, &turn);
    let interrupt = parts::on_ctrl_c();
    let stop = interrupt.raised();
    tokio::pin!(stop);
    let mut printer = Printer::new(screen(Format::Text), io::stdout(), io::stderr());
    let engine = parts::load(options, &mut printer, &interrupt).await?;
    printer.settle()?;
    let agent = Arc::new(parts::agent(&context, &turn, store, engine).await?);
    let layers: Vec<&str> = context.sandbox().report().in_force.iter().map(|layer| layer.name()).collect();
    tell!("paguro: the sandbox around commands: {}", if layers.is_empty() { "none".to_owned() } else { layers.join(", ") });
    let mut serving = Serving::new(agent);
    serving.greet().await?;
    let mut changes = serving.store.changes();
    serving.agent.embed_in_background();
    let distils = context.config.memory.distil.unwrap_or(!context.is_demo(&turn)?);
    let mut active = Instant::now();
    loop {
        let sleep = serving.work().await?;
        if !serving.running.is_empty() {
            active = Instant::now();
        } else if distils && active.elapsed() >= QUIET {
            serving.agent.distil_in_background();
        }
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = serving.running.join_next_with_id() => serving.ended(ended)?,
            // An error is the store's end, which the next look at it tells.
            _ = changes.changed() => serving.resting.clear(),
            () = tokio::time::sleep(sleep) => serving.resting.clear(),
        }
    }
    // What runs is dropped: the model stops within a token and tools are killed.
    serving.running.shutdown().await;
    tell!("paguro: stopped");
    Ok(ExitCode::SUCCESS)
}

/// What runs, and what waits.
struct Serving {
    agent: Arc<Agent>,
    store: Store,
    running: JoinSet<Result<Outcome, AgentError>>,
    /// The turns of the running tasks.
    turns: HashMap<Id, TurnRow>,
    /// Open turns that cannot go on until something changes.
    resting: HashSet<i64>,
    /// The last line about an open turn, so that each stands there once.
    told: HashMap<i64, String>,
}

impl Serving {
    fn new(agent: Arc<Agent>) -> Self {
        let store = agent.store().clone();
        Self { agent, store, running: JoinSet::new(), turns: HashMap::new(), resting: HashSet::new(), told: HashMap::new() }
    }

    async fn greet(&self) -> Result<()> {
        let jobs = self.store.jobs().await?;
        let next = jobs.iter().filter(|job| job.enabled).find_map(|job| Some((job, job.next?)));
        let next = next.map(|(job, next)| format!(", next {} at {}", job.name, schedule::in_zone(next, &job.zone))).unwrap_or_default();
        tell!("paguro: ready; model {}, {} jobs{}", self.agent.engine().info().name, jobs.len(), visible(&next));
        Ok(())
    }

    /// Fires what is due and starts what can go on; how long there is nothing more to do.
    async fn work(&mut self) -> Result<Duration> {
        let sleep = match self.fire_due().await {
            Ok(sleep) => sleep,
            // A full disk, say. The jobs are still due when it has room.
            Err(error) => {
                tell!("paguro: {}", visible(&format!("{error:#}")));
                LONGEST_SLEEP
            }
        };
        self.start_turns().await?;
        Ok(sleep)
    }

    /// Does what is due; the time until the next job is.
    async fn fire_due(&mut self) -> Result<Duration> {
        let now = Timestamp::now();
        for job in self.store.due_jobs(now.as_millisecond()).await? {
            match schedule::firing(&job, now, checklist) {
                Ok(firing) => {
                    let start = firing.start.clone();
                    let fired = self.store.fire(firing).await?;
                    tell_fired(&job, &start, fired);
                }
                Err(error) => {
                    self.store.enable_job(&job.name, false, None).await?;
                    tell!("paguro: job {} is paused: {}", job.name, visible(&error.0));
                }
            }
        }
        let Some(next) = self.store.next_due().await? else { return Ok(LONGEST_SLEEP) };
        let milliseconds = u64::try_from(next - Timestamp::now().as_millisecond()).unwrap_or(0);
        Ok(LONGEST_SLEEP.min(Duration::from_millis(milliseconds)))
    }

    /// Starts open turns, oldest first, one of a session at a time.
    async fn start_turns(&mut self) -> Result<()> {
        let mut busy: HashSet<i64> = self.turns.values().map(|turn| turn.session).collect();
        // A task runs within the turn that started it.
        for turn in self.store.open_turns(None).await?.into_iter().filter(|turn| turn.parent.is_none()) {
            // A turn that waits holds up those behind it in its session, and nobody else's.
            if !busy.insert(turn.session) || self.resting.contains(&turn.id) || !self.has_place(&turn) {
                continue;
            }
            let (agent, id) = (Arc::clone(&self.agent), turn.id);
            let task = self.running.spawn(async move {
                // Nobody listens: the journal has what is said.
                let (events, _) = mpsc::channel(1);
                agent.run(id, &events, agent.deadline()).await
            });
            self.turns.insert(task.id(), turn);
        }
        Ok(())
    }

    /// Whether one more turn of this kind may run.
    fn has_place(&self, turn: &TurnRow) -> bool {
        let is_job = turn.channel == JOB_CHANNEL;
        let running = self.turns.values().filter(|running| (running.channel == JOB_CHANNEL) == is_job).count();
        running < if is_job { JOBS_AT_ONCE } else { TURNS_AT_ONCE }
    }

    /// A turn has ended, or cannot go on for now.
    fn ended(&mut self, ended: Result<(Id, Result<Outcome, AgentError>), JoinError>) -> Result<()> {
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, Some(outcome)),
            // A panic, which its hook has told of. The turn is open; the next one may do better.
            Err(error) => (error.id(), None),
        };
        let Some(turn) = self.turns.remove(&task) else { return Ok(()) };
        let line = match outcome {
            Some(Ok(Outcome::Finished(result))) => {
                self.told.remove(&turn.id);
                let how = if result.ok { "done".to_owned() } else { format!("ended: {}", result.text) };
                tell!("paguro: {}", visible(&one_line(&turn, &how)));
                return Ok(());
            }
            Some(Ok(Outcome::Waiting(question))) => {
                format!("waits for an approval, {}: {} {} ({})", question.id(), question.tool, question.arguments, question.reason)
            }
            // Without the model's thread nothing will run any more.
            Some(Err(error @ AgentError::Engine(EngineError::Gone, _))) => return Err(error.into()),
            Some(Err(error)) => format!("cannot go on: {error}"),
            None => "cannot go on: a fault in paguro".to_owned(),
        };
        self.resting.insert(turn.id);
        if self.told.get(&turn.id) != Some(&line) {
            tell!("paguro: {}", visible(&one_line(&turn, &line)));
            self.told.insert(turn.id, line);
        }
        Ok(())
    }
}

fn one_line(turn: &TurnRow, what: &str) -> String {
    format!("turn {} of {}/{} {}", turn.id, turn.channel, turn.session_name, what.replace('\n', " "))
}

/// One line for each thing that a job did.
fn tell_fired(job: &JobRow, start: &Start, fired: Fired) {
    let what = match (fired, start) {
        (Fired::Started { turn }, _) => format!("began turn {turn}"),
        (Fired::Said { .. }, _) => format!("said to {}/{}", job.channel, job.session),
        (Fired::Left, Start::Leave(_, why)) => format!("left out: {why}"),
        (Fired::Overlap, _) if job.missed == Missed::Once => "its last run is not finished; this one comes after it".to_owned(),
        (Fired::Overlap, _) => "left out: its last run is not finished".to_owned(),
        (Fired::Left | Fired::NotDue, _) => return,
    };
    tell!("paguro: job {}: {}", job.name, visible(&what));
}
