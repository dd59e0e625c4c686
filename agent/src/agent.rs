//! The agent: accepts messages, runs turns, takes answers. It decides; the rooms around it do.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use engine::{Engine, EngineError, Sampling};
use futures_util::future::join_all;
use memory::{Accepted, Inbound, Store, StoreError, TurnRow, TurnState};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use crate::approval::Rule;
use crate::event::{Event, TurnResult};
use crate::next::Failure;
use crate::question::{Answer, KeepRule, Question, Scope};
use crate::recall::pieces;
use crate::run::Run;
use crate::secrets::Secrets;
use crate::step::{Step, denied};
use crate::tool::Toolbox;

/// No turn may take longer, whatever the owner's limit says.
pub const LONGEST_TURN: Duration = Duration::from_hours(24 * 365);

/// Numbers that bound a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Most replies of the model, those with tool calls included.
    pub steps: usize,
    /// Most tokens generated.
    pub tokens: u32,
    /// Most tokens of reasoning in one reply; `None`: no limit but `tokens`.
    pub reasoning_tokens: Option<u32>,
    /// Most time between two answers of the owner.
    pub time: Duration,
    /// Most time for one tool call.
    pub tool_time: Duration,
    /// Most calls that cost money.
    pub spends: usize,
    /// How long a question waits; then it is a no.
    pub approval_time: Duration,
    /// Most notes at the tail of a message.
    pub recall_notes: usize,
    /// Most tokens that they take together.
    pub recall_tokens: u32,
    /// Whether pieces of old turns are among them, beside notes and facts.
    pub recall_turns: bool,
    /// Most tokens of a tool's output that the model gets to read, where the context is large: see [`Limits::shown_tokens`].
    pub output_tokens: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 20,
            tokens: 8_192,
            reasoning_tokens: None,
            time: Duration::from_mins(30),
            tool_time: Duration::from_mins(10),
            spends: 3,
            approval_time: Duration::from_hours(24),
            recall_notes: 3,
            recall_tokens: 400,
            recall_turns: true,
            output_tokens: 2_000,
        }
    }
}

impl Limits {
    /// Tokens of one tool output that the model gets to read when its context holds `context` tokens.
    #[must_use]
    pub fn shown_tokens(&self, context: u32) -> u32 {
        self.output_tokens.min(context / 8).max(1)
    }
}

/// Keeps a tool output that is too long: gets the call's key, the whole text and how many bytes of it may be shown, and returns the text to show.
pub type Overflow = Box<dyn Fn(&str, &str, usize) -> String + Send + Sync>;

/// What a new session's system block has behind [`crate::SYSTEM_BLOCK`].
pub type BlockTail = Box<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

/// What an agent is told at its making.
pub struct Settings {
    /// Rules for approval, first match wins.
    pub policy: Vec<Rule>,
    /// Bounds of a turn.
    pub limits: Limits,
    /// How to sample.
    pub sampling: Sampling,
    /// The current time in words, for the tail of a message.
    pub clock: fn() -> String,
    /// The current time in seconds since 1970.
    pub now: fn() -> i64,
    /// See [`Overflow`].
    pub overflow: Overflow,
    /// What must not be in a prompt, a step or a message that leaves.
    pub secrets: Secrets,
    /// How a rule is kept for good that the owner has agreed to.
    pub keep_rule: KeepRule,
    /// See [`BlockTail`].
    pub block_tail: BlockTail,
    /// Whether what is written while a turn runs is taken into it before the model reads results; else it is a turn of its own afterwards.
    pub steer: bool,
}

/// No rules, no secrets, no clock: for tests.
impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Vec::new(),
            limits: Limits::default(),
            sampling: Sampling::default(),
            clock: || "2026-11-21 09:41 Saturday".into(),
            now: || 0,
            overflow: Box::new(|_, text, bytes| text[..text.floor_char_boundary(bytes)].to_owned()),
            secrets: Secrets::default(),
            keep_rule: Box::new(|_| Err("rules cannot be kept here".into())),
            block_tail: Box::new(|| Box::pin(async { String::new() })),
            steer: false,
        }
    }
}

/// What bounds one run of a turn.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// When it must end.
    pub deadline: Instant,
    /// Most replies of the model, in the place of [`Limits::steps`].
    pub steps: Option<usize>,
    /// Most tokens generated, in the place of [`Limits::tokens`].
    pub tokens: Option<u32>,
}

impl From<Instant> for Bounds {
    fn from(deadline: Instant) -> Self {
        Self { deadline, steps: None, tokens: None }
    }
}

/// Where a run of a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It waits for an answer; nothing is held meanwhile.
    Waiting(Box<Question>),
    /// It is finished, and the journal says so.
    Finished(Box<TurnResult>),
}

/// What can go wrong around a turn. The turn stays open unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The model could not reply. With an outbox id the turn is finished as failed and the id is that of this sentence, to be
    /// confirmed once it has been shown; without one the turn is open.
    #[error("{0}")]
    Engine(EngineError, Option<i64>),
    /// The journal could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A step in the journal is not one of this program's.
    #[error("turn {turn} has a step that this version cannot read ({reason}); update paguro, or remove the session")]
    BadStep {
        /// The turn.
        turn: i64,
        /// What the parser said.
        reason: String,
    },
    /// No such turn.
    #[error("there is no turn {0}")]
    NoTurn(i64),
    /// An answer to something that is not asked.
    #[error("nothing in turn {0} waits for this answer; it may have been answered already")]
    NotAsked(i64),
    /// A rule that the owner agreed to could not be kept, so the answer was not taken.
    #[error("the rule could not be kept ({0}); answer for once or for this session")]
    Rule(String),
    /// The owner stopped the turn; the journal says so.
    #[error("turn {0} was stopped")]
    Stopped(i64),
    /// The agent is in another process, which says this.
    #[error("{message}")]
    Elsewhere {
        /// As [`AgentError::code`] there.
        code: String,
        /// One sentence.
        message: String,
    },
}

impl From<EngineError> for AgentError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error, None)
    }
}

impl AgentError {
    /// For events: a word that scripts may match.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Elsewhere { code, .. } => code,
            Self::Engine(EngineError::PromptTooLong { .. }, _) => "prompt_too_long",
            Self::Engine(..) => "model",
            Self::Store(StoreError::DiskFull { .. }) => "disk_full",
            Self::Store(_) => "memory",
            Self::BadStep { .. } => "bad_step",
            Self::NoTurn(_) => "no_turn",
            Self::NotAsked(_) => "not_asked",
            Self::Rule(_) => "rule",
            Self::Stopped(_) => "stopped",
        }
    }
}

/// The agent of one home.
pub struct Agent {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) toolbox: Arc<Toolbox>,
    pub(crate) settings: Settings,
    /// The rules that there are now: those of the settings, and those that were kept since.
    policy: RwLock<Vec<Rule>>,
    /// Turns that were stopped, for those who run them.
    stops: broadcast::Sender<i64>,
    /// What goes on in the background, by session.
    background: Mutex<HashMap<i64, JoinHandle<()>>>,
    /// Sessions whose facts could not be distilled since the start.
    pub(crate) undistillable: Mutex<Vec<i64>>,
}

/// Turns stopped at once that a run hears of; one that misses some looks into the journal.
const STOPS: usize = 64;

impl Agent {
    /// Puts the parts together.
    #[must_use]
    pub fn new(engine: Engine, store: Store, toolbox: Toolbox, settings: Settings) -> Self {
        let policy = RwLock::new(settings.policy.clone());
        let (stops, _) = broadcast::channel(STOPS);
        let toolbox = Arc::new(toolbox);
        Self { engine, store, toolbox, settings, policy, stops, background: Mutex::default(), undistillable: Mutex::default() }
    }

    /// The same agent with other settings, and with other tools if there are any. Turns that run keep those that they began with;
    /// [`Agent::stop`] reaches them too.
    #[must_use]
    pub fn renewed(&self, toolbox: Option<Toolbox>, settings: Settings) -> Self {
        Self {
            engine: self.engine.clone(),
            store: self.store.clone(),
            toolbox: toolbox.map_or_else(|| Arc::clone(&self.toolbox), Arc::new),
            policy: RwLock::new(settings.policy.clone()),
            settings,
            stops: self.stops.clone(),
            background: Mutex::default(),
            undistillable: Mutex::default(),
        }
    }

    /// The model.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The journal and the notes.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// [`accept`], with this agent's secrets.
    pub async fn accept(&self, inbound: Inbound) -> Result<Accepted, AgentError> {
        accept(&self.store, &self.settings.secrets, inbound).await
    }

    /// Runs a turn to its end: [`Agent::run`], with `ask` answering what it waits for, or leaving it with `None` to wait for an answer
    /// that comes another way. Events go to `events`; nobody need listen.
    pub async fn drive(
        &self,
        turn: i64,
        events: &mpsc::Sender<Event>,
        mut ask: impl AsyncFnMut(&Question) -> Option<Answer>,
    ) -> Result<Outcome, AgentError> {
        let row = self.turn(turn).await?;
        let init = Event::Init { session: row.session_name.clone(), turn: turn.to_string(), model: self.engine.info().name.clone() };
        // A closed receiver is nobody listening: the turn goes on, the journal has it.
        let _ = events.send(init).await;
        let mut deadline = self.deadline();
        loop {
            let question = match self.run(turn, events, deadline).await? {
                Outcome::Waiting(question) => question,
                finished => return Ok(finished),
            };
            let asked = Instant::now();
            let Some(answer) = ask(&question).await else { return Ok(Outcome::Waiting(question)) };
            // A person's time does not count.
            deadline += asked.elapsed();
            self.answer(&question, answer.clone()).await?;
            if !answer.allowed && question.task.is_none() {
                let content = denied(answer.why.as_deref());
                let _ = events.send(Event::ToolResult { id: question.call, ok: false, content }).await;
            }
        }
    }

    /// Takes a turn from wherever its steps left it to its end or to a question. Starting and restarting are the same.
    /// Dropping the future stops the model within one token and kills a running tool; the turn stays open. [`Agent::stop`] ends it with
    /// [`AgentError::Stopped`].
    pub async fn run(&self, turn: i64, events: &mpsc::Sender<Event>, bounds: impl Into<Bounds>) -> Result<Outcome, AgentError> {
        let mut stops = self.stops.subscribe();
        let row = self.turn(turn).await?;
        let steps = self.steps(turn).await?;
        let run = Run::new(self, row, steps, events, bounds.into()).carry_on();
        tokio::pin!(run);
        loop {
            tokio::select! {
                biased;
                stopped = stops.recv() => {
                    let missed = matches!(stopped, Err(RecvError::Lagged(_)));
                    if stopped == Ok(turn) || missed && self.turn(turn).await?.state != TurnState::Open {
                        return Err(AgentError::Stopped(turn));
                    }
                }
                outcome = &mut run => return outcome,
            }
        }
    }

    /// When a turn that goes on now must end.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.settings.limits.time.min(LONGEST_TURN)
    }

    /// Records the owner's answer: [`crate::answer`].
    pub async fn answer(&self, question: &Question, answer: Answer) -> Result<(), AgentError> {
        let rule = question.rule.clone().filter(|_| answer.allowed && answer.scope == Scope::Always);
        crate::question::answer(&self.store, &self.settings.secrets, &self.settings.keep_rule, question, answer).await?;
        if let (Some(rule), Ok(mut policy)) = (rule, self.policy.write()) {
            policy.insert(0, rule);
        }
        Ok(())
    }

    /// The rules that hold now. Without them, should they be lost, everything is asked about.
    pub(crate) fn policy(&self) -> Vec<Rule> {
        self.policy.read().map(|policy| policy.clone()).unwrap_or_default()
    }

    /// [`stop`]; whoever runs them hears of it: decoding stops within one token, and what a tool has started is killed.
    pub async fn stop(&self, turn: i64) -> Result<(), AgentError> {
        for turn in stop(&self.store, turn).await? {
            let _ = self.stops.send(turn); // nobody runs it: nobody need hear
        }
        Ok(())
    }

    /// Has `work` done beside the turns that come; one at a time for a session, so more is not begun.
    pub(crate) fn in_background(&self, session: i64, work: impl Future<Output = Option<()>> + Send + 'static) {
        if let Ok(mut background) = self.background.lock()
            && background.get(&session).is_none_or(JoinHandle::is_finished)
        {
            background.insert(session, tokio::spawn(async { _ = work.await }));
        }
    }

    /// Waits for what goes on in the background. Dropping the future ends only the waiting.
    pub async fn settle(&self) {
        let running = self.background.lock().map(|mut background| std::mem::take(&mut *background)).unwrap_or_default();
        // One that failed has left everything as it was.
        join_all(running.into_values()).await;
    }

    pub(crate) async fn turn(&self, turn: i64) -> Result<TurnRow, AgentError> {
        self.store.turn(turn).await?.ok_or(AgentError::NoTurn(turn))
    }

    pub(crate) async fn steps(&self, turn: i64) -> Result<Vec<Step>, AgentError> {
        parse_steps(turn, self.store.steps(turn).await?)
    }
}

/// Commits a message. Once this returns the message cannot be lost; a repeated platform id is the turn it already was.
///
/// # Errors
/// The store's; nothing is written then.
pub async fn accept(store: &Store, secrets: &Secrets, mut inbound: Inbound) -> Result<Accepted, AgentError> {
    inbound.text = secrets.redact(&inbound.text);
    inbound.data = inbound.data.map(|data| secrets.redact(&data));
    Ok(store.accept(inbound).await?)
}

/// Ends an open turn and its tasks because the owner said so; all that were ended. Where there is an agent, [`Agent::stop`] does it.
///
/// # Errors
/// The store's, [`StoreError::TurnFinished`] among them.
pub async fn stop(store: &Store, turn: i64) -> Result<Vec<i64>, AgentError> {
    let outcome = Failure::Stopped.sentence();
    let row = store.turn(turn).await?.ok_or(AgentError::NoTurn(turn))?;
    // What was said was said.
    store.finish_and_keep(turn, TurnState::Failed, outcome, None, pieces(&row, &[], None, None)).await?;
    let mut ended = vec![turn];
    for task in store.tasks(turn).await?.into_iter().filter(|task| task.state == TurnState::Open) {
        store.finish(task.id, TurnState::Failed, outcome, None).await?;
        ended.push(task.id);
    }
    Ok(ended)
}

/// The journal's rows as steps.
pub fn parse_steps(turn: i64, rows: Vec<memory::StepRow>) -> Result<Vec<Step>, AgentError> {
    rows.into_iter().map(|row| serde_json::from_value(row.body).map_err(|e| AgentError::BadStep { turn, reason: e.to_string() })).collect()
}

/// Writes steps, all or none; they are durable when this returns.
pub(crate) async fn append(store: &Store, turn: i64, steps: &[Step]) -> Result<(), AgentError> {
    let row = |step: &Step| {
        let body = serde_json::to_value(step).map_err(|e| AgentError::BadStep { turn, reason: e.to_string() })?;
        Ok((body["kind"].as_str().unwrap_or_default().to_owned(), body))
    };
    let rows = steps.iter().map(row).collect::<Result<Vec<_>, AgentError>>()?;
    store.append_all(turn, rows).await?;
    Ok(())
}
