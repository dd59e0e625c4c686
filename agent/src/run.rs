//! One run of one turn: does what [`next`] says until the turn ends or waits.

use std::time::Instant;

use engine::{Delta, EngineError, Finish, Message, Request, Role, ToolCall};
use memory::{Found, Outbound, StepRow, StoreError, TurnRow, TurnState};
use tokio::sync::mpsc;

use crate::agent::{Agent, AgentError, Outcome, Question, append, parse_steps};
use crate::approval::{Decision, call_hash, decide};
use crate::context::{NOTES, SYSTEM_BLOCK, user_message};
use crate::event::{Event, Stage, TurnResult, TurnTimings};
use crate::next::{Failure, Next, next};
use crate::step::{Step, Thought, finished_messages, messages, thoughts, total_usage};
use crate::tool::{Effect, Output, ToolContext, ToolError};

/// Most finished turns that a context can begin with.
pub const HISTORY_TURNS: usize = 200;

/// Sources of untrusted text that are named; more are `and others`.
const ORIGINS: usize = 3;

/// Where text came from that was piped along with a message.
const PIPED: &str = "piped data";

/// Why a call that a crash cut off is asked about.
const CUT_OFF: &str = "it was cut off before its result was recorded: it may have run already, or still be running";

/// A finished turn and its steps.
type Past = (TurnRow, Vec<Step>);

pub(crate) struct Run<'a> {
    agent: &'a Agent,
    turn: TurnRow,
    steps: Vec<Step>,
    /// The turns before this one, read once.
    history: Option<Vec<Past>>,
    events: &'a mpsc::Sender<Event>,
    deadline: Instant,
}

impl<'a> Run<'a> {
    pub(crate) fn new(agent: &'a Agent, turn: TurnRow, steps: Vec<Step>, events: &'a mpsc::Sender<Event>, deadline: Instant) -> Self {
        Self { agent, turn, steps, history: None, events, deadline }
    }

    pub(crate) async fn carry_on(mut self) -> Result<Outcome, AgentError> {
        match self.proceed().await {
            // The next try would be the same, and so would be its end: it ends here, and the history shows why.
            Err(AgentError::Engine(error, None)) if error != EngineError::Gone => {
                if matches!(error, EngineError::PromptTooLong { .. }) {
                    self.append(Step::TooLong).await?;
                }
                let outbound = self.record(TurnState::Failed, &error.to_string()).await?;
                Err(AgentError::Engine(error, outbound))
            }
            Err(AgentError::Store(error @ (StoreError::TooLong { .. } | StoreError::TooDeep))) => {
                let outbound = self.record(TurnState::Failed, &error.to_string()).await?;
                if let Some(outbound) = outbound {
                    self.agent.store.confirm(outbound, None).await?; // the caller shows the error itself
                }
                Err(error.into())
            }
            other => other,
        }
    }

    /// Does what [`next`] says until the turn ends or waits.
    async fn proceed(&mut self) -> Result<Outcome, AgentError> {
        loop {
            let next = next(&self.steps);
            if matches!(next, Next::Think | Next::Approve(_) | Next::Act(_))
                && let Some(failure) = self.limit(&next)
            {
                return self.fail(failure).await;
            }
            match next {
                Next::Begin => self.begin().await?,
                Next::Think => self.think().await?,
                Next::Approve(call) => self.approve(&call).await?,
                Next::Ask(call) => return Ok(Outcome::Waiting(self.ask_owner(call).await)),
                Next::Act(call) => self.act(&call).await?,
                Next::Recover(call) => self.recover(&call).await?,
                Next::Reply(text) => return self.finish(text, None).await,
                Next::Fail(failure) => return self.fail(failure).await,
            }
        }
    }

    /// Which of the owner's limits stands against what comes next.
    fn limit(&self, next: &Next) -> Option<Failure> {
        let limits = &self.agent.settings.limits;
        if Instant::now() >= self.deadline {
            Some(Failure::Time)
        } else if *next != Next::Think {
            None
        } else if thoughts(&self.steps).count() >= limits.steps {
            Some(Failure::Steps)
        } else if total_usage(&self.steps).completion_tokens >= limits.tokens {
            Some(Failure::Length)
        } else {
            None
        }
    }

    /// Puts the user's message together, once; from then on its bytes stay.
    async fn begin(&mut self) -> Result<(), AgentError> {
        let found = self.agent.store.search(&self.turn.text, None, NOTES).await?;
        let time = (self.agent.settings.clock)();
        let (text, data) = (self.turn.text.clone(), self.turn.data.clone());
        let message = |notes: &[Found]| {
            let texts: Vec<String> = notes.iter().map(|note| note.text.clone()).collect();
            user_message(&text, data.as_deref(), &time, &texts)
        };
        let from = self.window_start(&message(&found)).await?;
        // A note is given once, as long as the message that it came with is in the context.
        let window = self.history().await?.iter().filter(|(row, _)| row.id >= from);
        let seen: Vec<&String> = window.flat_map(|(_, steps)| notes_of(steps)).collect();
        let fresh: Vec<Found> = found.into_iter().filter(|note| !seen.contains(&&note.id)).collect();
        let content = message(&fresh);
        let piped = self.turn.data.is_some().then_some(PIPED);
        let origin = listed(piped.into_iter().chain(fresh.iter().filter_map(|note| note.origin.as_deref())));
        self.append(Step::Began { content, notes: fresh.into_iter().map(|note| note.id).collect(), from, origin }).await
    }

    /// The turn that the context begins with: the one the last turn began with, as long as all fits in three quarters of the
    /// context; else the oldest with which the history fits in half of it, so that the prefix is given up seldom.
    async fn window_start(&mut self, content: &str) -> Result<i64, AgentError> {
        let Agent { engine, toolbox, .. } = self.agent;
        let context = engine.info().context;
        let this = self.turn.id;
        let mut texts = vec![content.to_owned()];
        let block = self.block().await?;
        let history = self.history().await?;
        let oldest = history.first().map_or(this, |(row, _)| row.id);
        if let Some((from, used)) = history.last().and_then(|(row, steps)| window_of(row, steps))
            && from >= oldest
            && used + engine.count_tokens(texts.clone()).await?.iter().sum::<u32>() <= context / 4 * 3
        {
            return Ok(from);
        }
        let newest = &history[history.len().saturating_sub(HISTORY_TURNS / 2)..];
        let ids: Vec<i64> = newest.iter().map(|(row, _)| row.id).collect();
        // Block and tools are there in any case.
        let schemas = serde_json::to_string(&toolbox.schemas()).unwrap_or_default();
        texts.push(block + &schemas);
        texts.extend(newest.iter().map(|(row, steps)| text_of(&past_messages(row, steps))));
        let counts = engine.count_tokens(texts).await?;
        let mut sum = counts[0] + counts[1];
        let fitting = ids.iter().zip(&counts[2..]).rev().take_while(|(_, count)| {
            sum += **count;
            sum <= context / 2
        });
        Ok(fitting.last().map_or(this, |(id, _)| *id))
    }

    async fn think(&mut self) -> Result<(), AgentError> {
        let limits = &self.agent.settings.limits;
        let left = limits.tokens - total_usage(&self.steps).completion_tokens;
        let request = Request {
            messages: self.prompt().await?,
            transcript: Some(transcript_name(&self.turn.channel, &self.turn.session_name)),
            tools: self.agent.toolbox.schemas(),
            sampling: self.agent.settings.sampling.clone(),
            max_tokens: Some(left),
            reasoning_tokens: limits.reasoning_tokens,
            deadline: Some(self.deadline),
            ..Request::default()
        };
        let mut generation = self.agent.engine.generate(request).await?;
        while let Some(delta) = generation.next().await {
            match delta? {
                Delta::Prefill { done, total } => {
                    #[expect(clippy::cast_precision_loss, reason = "a share for a progress bar")]
                    let done = done as f32 / total.max(1) as f32;
                    self.emit(Event::Progress { stage: Stage::Prefill, done }).await;
                }
                Delta::Text(delta) => self.emit(Event::Text { delta }).await,
                Delta::Reasoning(delta) => self.emit(Event::Reasoning { delta }).await,
                Delta::Finish(finish) => return self.thought(*finish).await,
            }
        }
        Err(EngineError::Gone.into())
    }

    /// Records a reply, then shows its calls: nothing is shown that a restart would forget.
    async fn thought(&mut self, finish: Finish) -> Result<(), AgentError> {
        let Finish { reason, message, usage, timings, cache_miss } = finish;
        let model = self.agent.engine.info().name.clone();
        let calls = message.tool_calls.clone();
        self.append(Step::Thought(Box::new(Thought { message, reason, model, usage, timings, cache_miss }))).await?;
        for ToolCall { id, name, arguments } in calls {
            self.emit(Event::ToolCall { id, name, arguments }).await;
        }
        Ok(())
    }

    async fn approve(&mut self, call: &ToolCall) -> Result<(), AgentError> {
        let effect = self.effect(call);
        let verdict = decide(&self.agent.settings.policy, &call.name, effect, &call.arguments);
        let (id, hash) = (call.id.clone(), call_hash(&call.name, &call.arguments));
        let tool = self.agent.toolbox.get(&call.name).filter(|_| verdict.decision != Decision::Deny);
        if let Some(tool) = tool
            && let Some(concern) = tool.concern(&call.arguments, &self.context(call).await?).await
        {
            return self.ask(call, hash, concern).await;
        }
        match verdict.decision {
            Decision::Allow => self.append(Step::Allowed { call: id, hash, rule: verdict.rule }).await,
            Decision::Ask => self.ask(call, hash, verdict.reason).await,
            Decision::Deny => self.end_call(Step::Refused { call: id, reason: verdict.reason }, false).await,
        }
    }

    async fn ask(&mut self, call: &ToolCall, hash: String, reason: String) -> Result<(), AgentError> {
        self.append(Step::Asked { call: call.id.clone(), hash, reason }).await
    }

    /// Shows the question that the turn waits for.
    async fn ask_owner(&self, call: ToolCall) -> Question {
        let asked = self.steps.iter().rev().find_map(|step| match step {
            Step::Asked { call: id, hash, reason } if *id == call.id => Some((hash.clone(), reason.clone())),
            _ => None,
        });
        let (hash, reason) = asked.unwrap_or_default();
        let cut_off = self.steps.iter().any(|step| matches!(step, Step::Intent { call: id } if *id == call.id));
        let ToolCall { id, name, arguments } = call;
        let event = Event::Approval { id: id.clone(), tool: name.clone(), arguments: arguments.clone(), reason: reason.clone() };
        self.emit(event).await;
        Question { turn: self.turn.id, call: id, tool: name, arguments, hash, reason, cut_off }
    }

    /// Intent, effect, result. What runs is what was approved: the hash is checked once more.
    async fn act(&mut self, call: &ToolCall) -> Result<(), AgentError> {
        let approved = self.steps.iter().rev().find_map(|step| match step {
            Step::Allowed { call: id, hash, .. } | Step::Answered { call: id, hash, allowed: true, .. } if *id == call.id => Some(hash),
            _ => None,
        });
        if approved.is_none_or(|hash| *hash != call_hash(&call.name, &call.arguments)) {
            let reason = "what was approved is not what was to run".to_owned();
            return self.end_call(Step::Refused { call: call.id.clone(), reason }, false).await;
        }
        self.append(Step::Intent { call: call.id.clone() }).await?;
        self.perform(call).await
    }

    async fn recover(&mut self, call: &ToolCall) -> Result<(), AgentError> {
        match self.effect(call) {
            Some(Effect::Read) => self.perform(call).await,
            _ => self.ask(call, call_hash(&call.name, &call.arguments), CUT_OFF.to_owned()).await,
        }
    }

    /// Runs the tool and records what came of it.
    async fn perform(&mut self, call: &ToolCall) -> Result<(), AgentError> {
        let Some(tool) = self.agent.toolbox.get(&call.name) else {
            let reason = format!("there is no tool called `{}`", call.name);
            return self.end_call(Step::Refused { call: call.id.clone(), reason }, false).await;
        };
        let context = self.context(call).await?;
        let result = tool.run(&call.arguments, &context).await;
        let ok = result.is_ok();
        let Output { text, origin } = match result {
            Ok(output) => output,
            Err(ToolError { text, origin }) => Output { text: format!("error: {text}"), origin },
        };
        let content = self.capped(&context.key, text).await?;
        self.end_call(Step::Result { call: call.id.clone(), ok, content, origin }, ok).await
    }

    async fn context(&mut self, call: &ToolCall) -> Result<ToolContext, AgentError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        Ok(ToolContext {
            key: format!("{}-{}", self.turn.id, call.id),
            turn: self.turn.id,
            channel: self.turn.channel.clone(),
            session: self.turn.session_name.clone(),
            foreign: self.foreign().await?,
            timeout: self.agent.settings.limits.tool_time.min(left),
        })
    }

    /// Where the untrusted text in the context came from, if there is any.
    async fn foreign(&mut self) -> Result<Option<String>, AgentError> {
        let from = window_from(&self.steps);
        self.history().await?;
        let past = self.history.iter().flatten().filter(|(row, _)| Some(row.id) >= from);
        Ok(listed(past.flat_map(|(_, steps)| steps).chain(&self.steps).filter_map(Step::origin)))
    }

    /// `text`, or as much of it as the model may read in one go; the rest is kept where a tool can page through it.
    async fn capped(&self, key: &str, text: String) -> Result<String, AgentError> {
        let cap = self.agent.settings.limits.shown_tokens(self.agent.engine.info().context) as usize;
        if text.len() <= cap {
            return Ok(text); // a token is at least a byte
        }
        let length = text.len();
        let tokens = self.agent.engine.count_tokens(vec![text.clone()]).await?[0] as usize;
        if tokens <= cap {
            return Ok(text);
        }
        Ok((self.agent.settings.overflow)(key, &text, length * cap / tokens))
    }

    async fn end_call(&mut self, step: Step, ok: bool) -> Result<(), AgentError> {
        let (id, content) = (step.call().unwrap_or_default().to_owned(), step.ending().unwrap_or_default());
        self.append(step).await?;
        self.emit(Event::ToolResult { id, ok, content }).await;
        Ok(())
    }

    async fn fail(&mut self, failure: Failure) -> Result<Outcome, AgentError> {
        if failure == Failure::Context {
            self.append(Step::TooLong).await?;
        }
        self.finish(failure.sentence().to_owned(), Some(failure)).await
    }

    /// Outcome and outbound message in one transaction; the message's id in the outbox.
    async fn record(&self, state: TurnState, text: &str) -> Result<Option<i64>, AgentError> {
        let outbound = Outbound { text: text.to_owned() };
        Ok(self.agent.store.finish(self.turn.id, state, text, Some(outbound)).await?)
    }

    /// Ends the turn with a reply, or with the sentence of a failure in its place.
    async fn finish(&mut self, text: String, failure: Option<Failure>) -> Result<Outcome, AgentError> {
        let state = if failure.is_none() { TurnState::Done } else { TurnState::Failed };
        let outbound = self.record(state, &text).await?;
        let denied = self.steps.iter().any(|step| matches!(step, Step::Answered { allowed: false, .. }));
        // A refusal explains an odd end better than what the model made of it; a limit of the owner's does not follow from it.
        let code = match failure {
            Some(failure) if failure.is_limit() || !denied => Some(failure.code()),
            _ => denied.then_some("denied"),
        };
        let result = TurnResult {
            ok: code.is_none(),
            text,
            session: self.turn.session_name.clone(),
            turn: self.turn.id.to_string(),
            model: self.agent.engine.info().name.clone(),
            steps: thoughts(&self.steps).count(),
            usage: total_usage(&self.steps),
            timings: self.timings(),
            cache_miss: thoughts(&self.steps).find_map(|thought| thought.cache_miss.clone()),
            failure: code.map(str::to_owned),
            limit: failure.is_some_and(Failure::is_limit),
            replied: failure.is_none(),
            outbound,
        };
        Ok(Outcome::Finished(Box::new(result)))
    }

    fn timings(&self) -> TurnTimings {
        let (mut prefill_ms, mut decode_ms) = (0.0, 0.0);
        for thought in thoughts(&self.steps) {
            prefill_ms += thought.timings.prefill_ms;
            decode_ms += thought.timings.decode_ms;
        }
        let usage = total_usage(&self.steps);
        let rate = |tokens: u32, ms: f64| (ms > 0.0 && tokens > 0).then(|| f64::from(tokens) * 1_000.0 / ms);
        TurnTimings {
            load_ms: self.agent.engine.info().load_ms,
            restore_ms: thoughts(&self.steps).map(|thought| thought.timings.restore_ms).sum(),
            first_token_ms: thoughts(&self.steps).next().map_or(0.0, |thought| thought.timings.first_token_ms),
            prefill_tps: rate(usage.prefilled_tokens, prefill_ms),
            decode_tps: rate(usage.completion_tokens, decode_ms),
        }
    }

    /// The whole conversation for the model: the frozen block, the history from where this turn's context begins, this turn.
    async fn prompt(&mut self) -> Result<Vec<Message>, AgentError> {
        let block = self.block().await?;
        let from = window_from(&self.steps);
        let mut out = vec![Message::new(Role::System, block)];
        let history = self.history().await?.iter().filter(|(row, _)| Some(row.id) >= from);
        out.extend(history.flat_map(|(row, steps)| past_messages(row, steps)));
        out.extend(messages(&self.steps));
        Ok(out)
    }

    /// The session's system block; put together for its first turn, and from then on its bytes stay.
    async fn block(&self) -> Result<String, AgentError> {
        let Agent { store, settings, .. } = self.agent;
        Ok(match store.system_block(self.turn.session).await? {
            Some(block) => block,
            None => store.set_system_block(self.turn.session, SYSTEM_BLOCK.to_owned() + &(settings.block_tail)().await).await?,
        })
    }

    /// The finished turns before this one, oldest first, read from the journal once.
    async fn history(&mut self) -> Result<&[Past], AgentError> {
        if self.history.is_none() {
            let rows = self.agent.store.history(self.turn.session, HISTORY_TURNS).await?;
            let parse = |(row, steps): (TurnRow, Vec<StepRow>)| Ok((parse_steps(row.id, steps)?, row)).map(|(s, r)| (r, s));
            let past = rows.into_iter().filter(|(row, _)| row.id < self.turn.id).map(parse);
            self.history = Some(past.collect::<Result<Vec<_>, AgentError>>()?);
        }
        Ok(self.history.as_deref().unwrap_or_default())
    }

    fn effect(&self, call: &ToolCall) -> Option<Effect> {
        self.agent.toolbox.get(&call.name).map(crate::Tool::effect)
    }

    async fn append(&mut self, step: Step) -> Result<(), AgentError> {
        append(&self.agent.store, self.turn.id, &step).await?;
        self.steps.push(step);
        Ok(())
    }

    /// Shows an event. A closed receiver is nobody listening: the turn goes on, the journal has it.
    async fn emit(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

/// What the engine calls the transcript of a session.
#[must_use]
pub fn transcript_name(channel: &str, session: &str) -> String {
    format!("{channel}/{session}")
}

fn past_messages(row: &TurnRow, steps: &[Step]) -> Vec<Message> {
    finished_messages(steps, row.outcome.as_deref().unwrap_or("no reply"))
}

/// The turn that the context of the turn with these steps begins with.
fn window_from(steps: &[Step]) -> Option<i64> {
    steps.iter().find_map(|step| match step {
        Step::Began { from, .. } => Some(*from),
        _ => None,
    })
}

/// Each of `origins` once, in words; `None`: there are none.
fn listed<'a>(origins: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut named: Vec<&str> = Vec::new();
    let mut more = false;
    for origin in origins {
        if !named.contains(&origin) {
            more |= named.len() == ORIGINS;
            named.truncate(ORIGINS);
            named.push(origin);
        }
    }
    named.truncate(ORIGINS);
    (!named.is_empty()).then(|| named.join(", ") + if more { " and others" } else { "" })
}

/// The turn that a finished turn's context began with, and the tokens that it came to. Not known of a turn that failed: what it read
/// last may be what did not fit.
fn window_of(row: &TurnRow, steps: &[Step]) -> Option<(i64, u32)> {
    let Some(Step::Began { from, .. }) = steps.first() else { return None };
    let last = thoughts(steps).next_back().filter(|_| row.state == TurnState::Done)?;
    Some((*from, last.usage.prompt_tokens + last.usage.completion_tokens))
}

fn notes_of(steps: &[Step]) -> &[String] {
    match steps.first() {
        Some(Step::Began { notes, .. }) => notes,
        _ => &[],
    }
}

/// All that the messages hold, for counting.
fn text_of(messages: &[Message]) -> String {
    let mut out = String::new();
    for message in messages {
        out.push_str(&message.content);
        for call in &message.tool_calls {
            out.push_str(&call.name);
            out.push_str(&call.arguments.to_string());
        }
    }
    out
}
