//! Tasks: turns that a turn starts to have something done beside it. A task has no more rights than the conversation it works for, its
//! result is that of the call that started it, and it starts no tasks itself.

use std::fmt::Write as _;
use std::pin::Pin;
use std::time::Instant;

use engine::{ToolCall, ToolSchema};
use futures_util::future::join_all;
use memory::{Inbound, StoreError, TurnRow, TurnState};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::agent::{Agent, AgentError, Outcome, parse_steps};
use crate::question::Question;
use crate::run::{Run, listed};
use crate::step::{Step, total_usage};
use crate::tool::{Effect, Output, Tool, ToolContext, ToolError, ToolFuture};

/// The tool that starts tasks.
pub const SPAWN: &str = "spawn";

/// The channel of tasks: nobody writes there, and nothing is sent there.
pub const TASK_CHANNEL: &str = "task";

/// Tasks that one call may start; a call for more is refused.
pub const TASKS: usize = 8;

/// What a fork is told in place of the call's result.
const FORK: &str = "You are a task of this conversation, started by the call above. Do only the following and reply with the result alone.";

/// What a task may do; kept with its turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Task {
    /// 1, 2, 3, … among those of its call.
    pub(crate) number: usize,
    /// The channel, session and session's number of the conversation that it works for: its rights are theirs.
    pub(crate) channel: String,
    pub(crate) session: String,
    pub(crate) session_id: i64,
    /// The call that started it.
    pub(crate) call: String,
    /// The tools that it may use; `None`: all but [`SPAWN`].
    pub(crate) tools: Option<Vec<String>>,
    /// Whether it begins with the conversation as it stood at the call.
    pub(crate) fork: bool,
    /// Most replies of the model.
    pub(crate) steps: usize,
    /// Most tokens generated.
    pub(crate) tokens: u32,
    /// Where untrusted text in the conversation came from.
    pub(crate) origin: Option<String>,
}

impl Task {
    /// The task that a turn is, if it is one. One that cannot be read may do nothing.
    pub(crate) fn of(row: &TurnRow) -> Option<Self> {
        let text = row.task.as_deref()?;
        Some(serde_json::from_str(text).unwrap_or_else(|_| Self {
            number: 0,
            channel: String::new(),
            session: String::new(),
            session_id: row.session,
            call: String::new(),
            tools: Some(Vec::new()),
            fork: false,
            steps: 1,
            tokens: 1,
            origin: None,
        }))
    }

    /// Whether it may use the tool `name`.
    pub(crate) fn may_use(&self, name: &str) -> bool {
        name != SPAWN && self.tools.as_ref().is_none_or(|tools| tools.iter().any(|tool| tool == name))
    }

    /// What the model reads of a task in place of a user's message, in a fork.
    pub(crate) fn fork_text(content: &str) -> String {
        format!("{FORK}\n\n{content}")
    }
}

/// `spawn`: what the model is told of it; the loop itself runs it.
pub struct Spawn;

impl Tool for Spawn {
    fn schema(&self) -> ToolSchema {
        ToolSchema {
            name: SPAWN.into(),
            description: "Have copies of yourself do tasks, all at once; gives results.".into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "tasks": {"type": "array", "items": {"type": "string"}, "maxItems": TASKS,
                        "description": "each says all that is needed"},
                    "tools": {"type": "array", "items": {"type": "string"}, "description": "only these tools"},
                    "fork": {"type": "boolean", "description": "they know this conversation"},
                    "steps": {"type": "integer", "minimum": 1, "maximum": 100},
                },
                "required": ["tasks"],
                "additionalProperties": false,
            }),
        }
    }

    /// Reading: a repeated call goes on with the tasks that it has started. What they do is approved for itself.
    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn run<'a>(&'a self, _: &'a Value, _: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async { Err("tasks can only be started in a conversation".into()) })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    tasks: Vec<String>,
    tools: Option<Vec<String>>,
    #[serde(default)]
    fork: bool,
    steps: Option<usize>,
}

/// What became of the tasks of a call.
pub(crate) enum Spawned {
    /// One waits for an answer.
    Waiting(Box<Question>),
    /// All have ended.
    Ended(Result<Output, ToolError>),
}

/// What became of one task.
enum Ended {
    Waiting(Box<Question>),
    Done(String, Option<String>),
    Failed(String, Option<String>),
}

impl Run<'_> {
    /// Starts the tasks of `call`, or goes on with them, and runs them side by side.
    pub(crate) async fn spawn(&mut self, call: &ToolCall) -> Result<Spawned, AgentError> {
        let (agent, deadline) = (self.agent, self.bounds.deadline);
        let rows = match self.start(call).await? {
            Ok(rows) => rows,
            Err(error) => return Ok(Spawned::Ended(Err(error))),
        };
        let running = rows.into_iter().map(|row| run(agent, row, deadline));
        let ended = join_all(running).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (mut texts, mut origins, mut done) = (Vec::new(), Vec::new(), false);
        for outcome in ended {
            match outcome {
                Ended::Waiting(question) => {
                    self.emit_question(&question).await;
                    return Ok(Spawned::Waiting(question));
                }
                Ended::Done(text, origin) => {
                    done = true;
                    texts.push(text);
                    origins.extend(origin);
                }
                Ended::Failed(text, origin) => {
                    texts.push(format!("error: {text}"));
                    origins.extend(origin);
                }
            }
        }
        let text = match texts.as_slice() {
            [text] => text.strip_prefix("error: ").filter(|_| !done).unwrap_or(text).to_owned(),
            texts => texts.iter().enumerate().fold(String::new(), |mut out, (index, text)| {
                let _ = write!(out, "{}task {}: {text}", if index == 0 { "" } else { "\n\n" }, index + 1);
                out
            }),
        };
        let output = Output { text, origin: listed(origins.iter().map(String::as_str)) };
        Ok(Spawned::Ended(if done { Ok(output) } else { Err(output.into()) }))
    }

    /// The turns of the tasks of `call`; the same ones for the same call. The inner error is for the model.
    async fn start(&mut self, call: &ToolCall) -> Result<Result<Vec<TurnRow>, ToolError>, AgentError> {
        let arguments: Arguments = match serde_json::from_value(call.arguments.clone()) {
            Ok(arguments) => arguments,
            Err(error) => return Ok(Err(error.to_string().into())),
        };
        let Arguments { tasks, tools, fork, steps } = arguments;
        if tasks.is_empty() || tasks.len() > TASKS {
            return Ok(Err(format!("{} tasks; between 1 and {TASKS} can be started at once", tasks.len()).into()));
        }
        let unknown = tools.iter().flatten().find(|name| self.agent.toolbox.get(name).is_none());
        if let Some(name) = unknown {
            return Ok(Err(format!("there is no tool called `{name}`").into()));
        }
        let (count, limits) = (tasks.len(), &self.agent.settings.limits);
        let left = limits.tokens.saturating_sub(total_usage(&self.steps).completion_tokens);
        let spec = Task {
            number: 0,
            channel: self.turn.channel.clone(),
            session: self.turn.session_name.clone(),
            session_id: self.turn.session,
            call: call.id.clone(),
            tools,
            fork,
            steps: steps.unwrap_or(limits.steps).clamp(1, limits.steps),
            tokens: left / u32::try_from(count).unwrap_or(1),
            origin: self.foreign().await?,
        };
        let mut rows = Vec::new();
        for (index, text) in tasks.into_iter().enumerate() {
            let name = format!("{}-{}-{}", self.turn.id, call.id, index + 1);
            let task = Task { number: index + 1, ..spec.clone() };
            let inbound = Inbound {
                channel: TASK_CHANNEL.into(),
                session: name.clone(),
                platform_id: Some(name),
                text,
                parent: Some(self.turn.id),
                task: serde_json::to_string(&task).ok(),
                person: self.turn.person.clone(),
                ..Inbound::default()
            };
            let accepted = self.agent.accept(inbound).await?;
            rows.push(self.agent.turn(accepted.turn).await?);
        }
        Ok(Ok(rows))
    }
}

/// Runs a task from wherever it is to its end or to a question.
fn run(agent: &Agent, row: TurnRow, deadline: Instant) -> Pin<Box<dyn Future<Output = Result<Ended, AgentError>> + Send + '_>> {
    Box::pin(run_task(agent, row, deadline))
}

async fn run_task(agent: &Agent, row: TurnRow, deadline: Instant) -> Result<Ended, AgentError> {
    let turn = row.id;
    if row.state == TurnState::Open {
        // Nobody watches a task; what it asks is shown where it was started.
        let (events, _) = mpsc::channel(1);
        let outcome = agent.run(turn, &events, deadline).await;
        match outcome {
            Ok(Outcome::Waiting(question)) => return Ok(Ended::Waiting(question)),
            // Its turn has ended with the error's sentence; the others go on.
            Ok(Outcome::Finished(_)) | Err(AgentError::Stopped(_) | AgentError::Store(StoreError::TurnFinished { .. })) => {}
            // A prompt that is too long, say, has ended its own turn only.
            Err(AgentError::Engine(..)) if agent.turn(turn).await?.state != TurnState::Open => {}
            Err(error) => return Err(error),
        }
    }
    let row = agent.turn(turn).await?;
    let steps = parse_steps(turn, agent.store.steps(turn).await?)?;
    let origin = listed(steps.iter().filter_map(Step::origin));
    let text = row.outcome.unwrap_or_default();
    Ok(if row.state == TurnState::Done { Ended::Done(text, origin) } else { Ended::Failed(text, origin) })
}
