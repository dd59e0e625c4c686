//! The turns that `serve` runs: which may go on, and what became of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Agent, AgentError, Bounds, Event, Outcome};
use anyhow::Result;
use channels::{Live, visible};
use engine::EngineError;
use jiff::Timestamp;
use memory::{Fired, JOB_CHANNEL, JobRow, Missed, Start, Store, TurnRow};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tools::schedule;
use tracing::Instrument as _;

use crate::commands::job::checklist;
use crate::logs::turn_span;

/// Turns of jobs that run at once, each of another session; more wait. They share what the model has left.
const JOBS_AT_ONCE: usize = 4;

/// Other turns that run at once: somebody waits for those, so jobs do not take their places.
const TURNS_AT_ONCE: usize = 4;

/// The longest sleep. A job is so late at most after the machine was, and what went wrong is tried again as often.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// Events of a turn that wait to be passed on; the turn waits for room.
const EVENTS: usize = 64;

/// What runs, and what waits.
pub struct Serving {
    /// Runs what begins from now on.
    pub agent: Arc<Agent>,
    store: Store,
    live: Live,
    pub running: JoinSet<Result<Outcome, AgentError>>,
    /// The turns of the running tasks.
    turns: HashMap<Id, TurnRow>,
    /// Open turns that cannot go on until something changes.
    pub resting: HashSet<i64>,
    /// The last line about an open turn, so that each stands there once.
    told: HashMap<i64, String>,
}

impl Serving {
    pub fn new(agent: Arc<Agent>, live: Live) -> Self {
        let store = agent.store().clone();
        Self { agent, store, live, running: JoinSet::new(), turns: HashMap::new(), resting: HashSet::new(), told: HashMap::new() }
    }

    /// Fires what is due and starts what can go on; how long there is nothing more to do.
    pub async fn work(&mut self) -> Result<Duration> {
        let sleep = match self.fire_due().await {
            Ok(sleep) => sleep,
            // A full disk, say. The jobs are still due when it has room.
            Err(error) => {
                tracing::error!("{}", visible(&format!("{error:#}")));
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
                    tracing::error!("job {} is paused: {}", job.name, visible(&error.0));
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
            self.live.begin(&turn);
            let (agent, live, bounds) = (Arc::clone(&self.agent), self.live.clone(), self.bounds(&turn));
            let span = turn_span(turn.id, &turn.channel, &turn.session_name);
            let task = self.running.spawn(run(agent, live, turn.id, bounds).instrument(span));
            self.turns.insert(task.id(), turn);
        }
        Ok(())
    }

    fn bounds(&self, turn: &TurnRow) -> Bounds {
        let limits = self.live.limits(turn);
        let deadline = limits.time_ms.and_then(|time| Instant::now().checked_add(Duration::from_millis(time)));
        Bounds { deadline: deadline.unwrap_or_else(|| self.agent.deadline()), steps: limits.steps, tokens: limits.tokens }
    }

    /// Whether one more turn of this kind may run.
    fn has_place(&self, turn: &TurnRow) -> bool {
        let is_job = turn.channel == JOB_CHANNEL;
        let running = self.turns.values().filter(|running| (running.channel == JOB_CHANNEL) == is_job).count();
        running < if is_job { JOBS_AT_ONCE } else { TURNS_AT_ONCE }
    }

    /// Lets what runs finish for a while, and parks the rest: the model stops within a token and tools are killed; the next start goes on.
    pub async fn park(&mut self, patience: Duration) -> Result<()> {
        // Nobody waits for a job.
        let waited_for = self.turns.values().any(|turn| turn.channel != JOB_CHANNEL);
        let deadline = tokio::time::Instant::now() + if waited_for { patience } else { Duration::ZERO };
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.running.join_next_with_id()).await {
            self.ended(ended)?;
        }
        self.running.shutdown().await;
        for (_, turn) in self.turns.drain() {
            let message = "paguro is stopping; this goes on when it starts again".to_owned();
            self.live.end(turn.id, Event::Error { code: "stopping".to_owned(), message }, None);
        }
        Ok(())
    }

    /// A turn has ended, or cannot go on for now.
    pub fn ended(&mut self, ended: Result<(Id, Result<Outcome, AgentError>), JoinError>) -> Result<()> {
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, Some(outcome)),
            // A panic, which its hook has told of. The turn is open; the next one may do better.
            Err(error) => (error.id(), None),
        };
        let Some(turn) = self.turns.remove(&task) else { return Ok(()) };
        let span = turn_span(turn.id, &turn.channel, &turn.session_name);
        let line = match outcome {
            Some(Ok(Outcome::Finished(result))) => {
                self.told.remove(&turn.id);
                let usage = result.usage;
                span.in_scope(|| match &result.failure {
                    None => tracing::info!(steps = result.steps, reused = usage.reused_tokens, prefilled = usage.prefilled_tokens, "done"),
                    Some(failure) => tracing::info!(steps = result.steps, failure, "ended"),
                });
                let outbound = result.outbound;
                self.live.end(turn.id, Event::Result(result), outbound);
                return Ok(());
            }
            Some(Ok(Outcome::Waiting(question))) => {
                self.live.rest(turn.id);
                format!("waits for the approval {} of {}", question.id(), question.tool)
            }
            // Without the model's thread nothing will run any more.
            Some(Err(error @ AgentError::Engine(EngineError::Gone, _))) => return Err(error.into()),
            Some(Err(error)) => {
                let outbound = match error {
                    AgentError::Engine(_, outbound) => outbound,
                    _ => None,
                };
                let message = error.to_string();
                self.live.end(turn.id, Event::Error { code: error.code().to_owned(), message: message.clone() }, outbound);
                // Those are finished, and the journal says so.
                if outbound.is_some() || matches!(error, AgentError::Stopped(_)) {
                    self.told.remove(&turn.id);
                    span.in_scope(|| tracing::warn!("ended: {}", visible(&message)));
                    return Ok(());
                }
                format!("cannot go on: {message}")
            }
            None => {
                self.live.rest(turn.id);
                "cannot go on: a fault in paguro".to_owned()
            }
        };
        self.resting.insert(turn.id);
        if self.told.get(&turn.id) != Some(&line) {
            span.in_scope(|| tracing::info!("{}", visible(&line.replace('\n', " "))));
            self.told.insert(turn.id, line);
        }
        Ok(())
    }
}

/// Runs a turn and passes on what it shows.
async fn run(agent: Arc<Agent>, live: Live, turn: i64, bounds: Bounds) -> Result<Outcome, AgentError> {
    let (events, mut shown) = mpsc::channel(EVENTS);
    let run = agent.run(turn, &events, bounds);
    tokio::pin!(run);
    loop {
        tokio::select! {
            biased;
            Some(event) = shown.recv() => live.show(turn, event),
            outcome = &mut run => {
                while let Ok(event) = shown.try_recv() {
                    live.show(turn, event);
                }
                return outcome;
            }
        }
    }
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
    tracing::info!("job {}: {}", job.name, visible(&what));
}
