//! The agent: accepts messages, runs turns, takes answers. It decides; the rooms around it do.

use std::pin::Pin;
use std::time::{Duration, Instant};

use engine::{Engine, EngineError, Sampling};
use memory::{Accepted, Inbound, Store, StoreError, TurnRow};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::approval::Rule;
use crate::event::{Event, TurnResult};
use crate::next::{Failure, Next, next};
use crate::run::Run;
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
    /// See [`Overflow`].
    pub overflow: Overflow,
    /// See [`BlockTail`].
    pub block_tail: BlockTail,
}

/// Something that the owner must answer before a turn goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The turn that waits.
    pub turn: i64,
    /// The call's id.
    pub call: String,
    /// The tool.
    pub tool: String,
    /// Exactly what will run.
    pub arguments: Value,
    /// What the answer must name: see [`crate::approval::call_hash`].
    pub hash: String,
    /// Why it needs an answer.
    pub reason: String,
    /// The call was cut off by a crash and may have run already: a yes repeats it.
    pub cut_off: bool,
}

/// The owner's answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Yes or no.
    pub allowed: bool,
    /// What the model is told with a no.
    pub why: Option<String>,
}

/// Where a run of a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It waits for an answer; nothing is held meanwhile.
    Waiting(Question),
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
}

impl From<EngineError> for AgentError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error, None)
    }
}

impl AgentError {
    /// For events: a word that scripts may match.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Engine(EngineError::PromptTooLong { .. }, _) => "prompt_too_long",
            Self::Engine(..) => "model",
            Self::Store(StoreError::DiskFull { .. }) => "disk_full",
            Self::Store(_) => "memory",
            Self::BadStep { .. } => "bad_step",
            Self::NoTurn(_) => "no_turn",
            Self::NotAsked(_) => "not_asked",
        }
    }
}

/// The agent of one home.
pub struct Agent {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) toolbox: Toolbox,
    pub(crate) settings: Settings,
}

impl Agent {
    /// Puts the parts together.
    #[must_use]
    pub fn new(engine: Engine, store: Store, toolbox: Toolbox, settings: Settings) -> Self {
        Self { engine, store, toolbox, settings }
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

    /// Commits a message. Once this returns the message cannot be lost; a repeated platform id is the turn it already was.
    pub async fn accept(&self, inbound: Inbound) -> Result<Accepted, AgentError> {
        Ok(self.store.accept(inbound).await?)
    }

    /// Runs a turn to its end: [`Agent::run`], with `ask` answering what it waits for. Events go to `events`; nobody need listen.
    pub async fn drive(
        &self,
        turn: i64,
        events: &mpsc::Sender<Event>,
        mut ask: impl AsyncFnMut(&Question) -> Answer,
    ) -> Result<TurnResult, AgentError> {
        let row = self.turn(turn).await?;
        let init = Event::Init { session: row.session_name.clone(), turn: turn.to_string(), model: self.engine.info().name.clone() };
        // A closed receiver is nobody listening: the turn goes on, the journal has it.
        let _ = events.send(init).await;
        let mut deadline = self.deadline();
        loop {
            match self.run(turn, events, deadline).await? {
                Outcome::Finished(result) => return Ok(*result),
                Outcome::Waiting(question) => {
                    let asked = Instant::now();
                    let answer = ask(&question).await;
                    // A person's time does not count.
                    deadline += asked.elapsed();
                    self.answer(&question, answer.clone()).await?;
                    if !answer.allowed {
                        let content = denied(answer.why.as_deref());
                        let _ = events.send(Event::ToolResult { id: question.call, ok: false, content }).await;
                    }
                }
            }
        }
    }

    /// Takes a turn from wherever its steps left it to its end or to a question. Starting and restarting are the same.
    /// Dropping the future stops the model within one token and kills a running tool; the turn stays open.
    pub async fn run(&self, turn: i64, events: &mpsc::Sender<Event>, deadline: Instant) -> Result<Outcome, AgentError> {
        let row = self.turn(turn).await?;
        let steps = self.steps(turn).await?;
        Run::new(self, row, steps, events, deadline).carry_on().await
    }

    /// When a turn that goes on now must end.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.settings.limits.time.min(LONGEST_TURN)
    }

    /// Records the owner's answer. It must name the hash of exactly what is asked.
    pub async fn answer(&self, question: &Question, answer: Answer) -> Result<(), AgentError> {
        let steps = self.steps(question.turn).await?;
        let asked = steps.iter().rev().find_map(|step| match step {
            Step::Asked { call, hash, .. } if *call == question.call => Some(hash.as_str()),
            _ => None,
        });
        let waits = matches!(next(&steps), Next::Ask(call) if call.id == question.call);
        if !waits || asked != Some(question.hash.as_str()) {
            return Err(AgentError::NotAsked(question.turn));
        }
        let Answer { allowed, why } = answer;
        let step = Step::Answered { call: question.call.clone(), hash: question.hash.clone(), allowed, why };
        append(&self.store, question.turn, &step).await
    }

    /// Ends an open turn because the owner said so.
    pub async fn stop(&self, turn: i64) -> Result<(), AgentError> {
        let outcome = Failure::Stopped.sentence();
        self.store.finish(turn, memory::TurnState::Failed, outcome, None).await?;
        Ok(())
    }

    async fn turn(&self, turn: i64) -> Result<TurnRow, AgentError> {
        self.store.turn(turn).await?.ok_or(AgentError::NoTurn(turn))
    }

    async fn steps(&self, turn: i64) -> Result<Vec<Step>, AgentError> {
        parse_steps(turn, self.store.steps(turn).await?)
    }
}

/// The journal's rows as steps.
pub fn parse_steps(turn: i64, rows: Vec<memory::StepRow>) -> Result<Vec<Step>, AgentError> {
    rows.into_iter().map(|row| serde_json::from_value(row.body).map_err(|e| AgentError::BadStep { turn, reason: e.to_string() })).collect()
}

/// Writes one step; it is durable when this returns.
pub(crate) async fn append(store: &Store, turn: i64, step: &Step) -> Result<(), AgentError> {
    let body = serde_json::to_value(step).map_err(|e| AgentError::BadStep { turn, reason: e.to_string() })?;
    let kind = body["kind"].as_str().unwrap_or_default().to_owned();
    store.append(turn, &kind, body).await?;
    Ok(())
}
