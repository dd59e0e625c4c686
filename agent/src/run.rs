//! One run of one turn: does what [`next`] says until the turn ends or waits.

use std::time::{Duration, Instant};

use engine::{Delta, EngineError, Finish, Priority, Request, ToolCall};
use memory::{JOB_CHANNEL, StoreError, TurnRow, TurnState};
use tokio::sync::mpsc;

use crate::agent::{Agent, AgentError, Bounds, Outcome, append};
use crate::approval::{CallFacts, Decision, Rule, Verdict, call_hash, decide, propose};
use crate::event::{Event, Stage};
use crate::next::{Failure, Next, next};
use crate::question::{Question, Scope};
use crate::speaker::{decide_for_guest, guest};
use crate::step::{Step, Thought, find_call, thoughts, total_usage};
use crate::task::{SPAWN, Spawned, Task};
use crate::tool::{Effect, Output, ToolContext, ToolError, Toolbox};

/// Sources of untrusted text that are named; more are `and others`.
const ORIGINS: usize = 3;

/// What stands for a rule's number where a grant allows.
const GRANTED: &str = "granted for this session";

/// What the model is told when nobody has answered in time.
const NOBODY: &str = "nobody answered in time";

/// How much longer than its time a tool is waited for: it looks at the time itself and may say more than that it was stopped.
const TOOL_GRACE: Duration = Duration::from_secs(5);

/// Why a call that a crash cut off is asked about.
const CUT_OFF: &str = "it was cut off before its result was recorded: it may have run already, or still be running";

/// A finished turn and its steps.
pub(crate) type Past = (TurnRow, Vec<Step>);

pub(crate) struct Run<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) turn: TurnRow,
    /// The task that the turn is, if it is one.
    pub(crate) task: Option<Task>,
    pub(crate) steps: Vec<Step>,
    /// How many of the steps the journal has, and what is to be shown once it has the others.
    written: usize,
    unshown: Vec<Event>,
    /// The turns before this one, read once.
    pub(crate) history: Option<Vec<Past>>,
    pub(crate) events: &'a mpsc::Sender<Event>,
    pub(crate) bounds: Bounds,
}

impl<'a> Run<'a> {
    pub(crate) fn new(agent: &'a Agent, turn: TurnRow, steps: Vec<Step>, events: &'a mpsc::Sender<Event>, bounds: Bounds) -> Self {
        let task = Task::of(&turn);
        let written = steps.len();
        Self { agent, turn, task, steps, written, unshown: Vec::new(), history: None, events, bounds }
    }

    pub(crate) async fn carry_on(mut self) -> Result<Outcome, AgentError> {
        match self.proceed().await {
            // The next try would be the same, and so would be its end: it ends here, and the history shows why.
            Err(AgentError::Engine(error, None)) if error != EngineError::Gone => {
                if matches!(error, EngineError::PromptTooLong { .. }) {
                    self.append(Step::TooLong);
                }
                let outbound = self.record(TurnState::Failed, &error.to_string()).await?;
                Err(AgentError::Engine(error, outbound))
            }
            Err(AgentError::Store(error @ (StoreError::TooLong { .. } | StoreError::TooDeep))) => {
                self.steps.truncate(self.written);
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
            let waits = match next {
                Next::Begin => self.begin().await.map(|()| None)?,
                Next::Think => {
                    self.steer().await?;
                    self.think().await.map(|()| None)?
                }
                Next::Approve(call) => self.approve(&Toolbox::resolve(call)).await.map(|()| None)?,
                Next::Ask(call) => self.ask_owner(&Toolbox::resolve(call)).await?,
                Next::Act(call) => self.act(&Toolbox::resolve(call)).await?,
                Next::Recover(call) => self.recover(&Toolbox::resolve(call)).await?,
                Next::Reply(text) => return self.finish(text, None).await,
                Next::Fail(failure) => return self.fail(failure).await,
            };
            if let Some(question) = waits {
                self.flush().await?;
                return Ok(Outcome::Waiting(Box::new(question)));
            }
        }
    }

    /// Which of the owner's limits stands against what comes next.
    fn limit(&self, next: &Next) -> Option<Failure> {
        if Instant::now() >= self.bounds.deadline {
            return Some(Failure::Time);
        }
        match next {
            Next::Think if thoughts(&self.steps).count() >= self.most_steps() => Some(Failure::Steps),
            Next::Think if self.tokens_left() == 0 => Some(Failure::Length),
            Next::Act(call) if self.effect(call) == Some(Effect::Spend) => {
                let begun = self.steps.iter().filter_map(|step| match step {
                    Step::Intent { call } => find_call(&self.steps, call),
                    _ => None,
                });
                let spent = begun.filter(|call| self.effect(call) == Some(Effect::Spend)).count();
                (spent >= self.agent.settings.limits.spends).then_some(Failure::Spend)
            }
            _ => None,
        }
    }

    fn most_steps(&self) -> usize {
        self.task.as_ref().map_or(self.bounds.steps.unwrap_or(self.agent.settings.limits.steps), |task| task.steps)
    }

    /// Tokens that may still be generated.
    fn tokens_left(&self) -> u32 {
        let most = self.task.as_ref().map_or(self.bounds.tokens.unwrap_or(self.agent.settings.limits.tokens), |task| task.tokens);
        most.saturating_sub(total_usage(&self.steps).completion_tokens)
    }

    async fn think(&mut self) -> Result<(), AgentError> {
        let request = Request {
            messages: self.prompt().await?,
            transcript: Some(transcript_name(&self.turn.channel, &self.turn.session_name)),
            priority: if self.place().0 == JOB_CHANNEL { Priority::Background } else { Priority::Interactive },
            tools: self.tools(),
            sampling: self.agent.settings.sampling.clone(),
            max_tokens: Some(self.tokens_left()),
            reasoning_tokens: self.agent.settings.limits.reasoning_tokens,
            deadline: Some(self.bounds.deadline),
            ..Request::default()
        };
        self.flush().await?;
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
        let info = self.agent.engine.info();
        let (model, model_hash, sampling) = (info.name.clone(), info.hash.clone(), self.agent.settings.sampling.clone());
        let calls = message.tool_calls.clone();
        self.append(Step::Thought(Box::new(Thought { message, reason, model, model_hash, sampling, usage, timings, cache_miss })));
        for ToolCall { id, name, arguments } in calls {
            self.emit(Event::ToolCall { id, name, arguments }).await;
        }
        Ok(())
    }

    /// The one place in front of every tool: what a task may use, what the policy says of it, what of the owner's secrets it holds.
    async fn approve(&mut self, call: &ToolCall) -> Result<(), AgentError> {
        let (id, hash) = (call.id.clone(), call_hash(&call.name, &call.arguments));
        let effect = self.effect(call);
        if let Some(reason) = self.forbidden(call) {
            return self.end_call(Step::Refused { call: id, reason }, false).await;
        }
        let context = self.context(call).await?;
        let tool = self.agent.toolbox.get(&call.name);
        let leads_to = tool.and_then(|tool| tool.leads_to(&call.arguments));
        let facts = CallFacts {
            tool: &call.name,
            effect,
            arguments: &call.arguments,
            channel: &context.channel,
            session: &context.session,
            foreign: context.foreign.as_deref(),
            leads_to: leads_to.as_deref(),
        };
        let policy = self.agent.policy();
        let mut verdict = if guest(&self.turn).is_some() { decide_for_guest(&policy, &facts) } else { decide(&policy, &facts) };
        if verdict.decision == Decision::Ask {
            let grants = self.agent.store.grants(self.place().2).await?;
            let grants: Vec<Rule> = grants.into_iter().filter_map(|grant| serde_json::from_value(grant).ok()).collect();
            if decide(&grants, &facts).decision == Decision::Allow {
                verdict = Verdict { decision: Decision::Allow, rule: GRANTED.into(), ..verdict };
            }
        }
        if let Some(tool) = tool.filter(|_| verdict.decision != Decision::Deny)
            && let Some(concern) = tool.concern(&call.arguments, &context).await
        {
            if guest(&self.turn).is_some() {
                let reason = format!("nobody is asked for a guest: {concern}");
                return self.end_call(Step::Refused { call: id, reason }, false).await;
            }
            self.ask(call, hash, concern, None);
            return Ok(());
        }
        match verdict.decision {
            Decision::Allow => {
                self.append(Step::Allowed { call: id, hash, rule: verdict.rule });
                Ok(())
            }
            Decision::Ask => {
                let rule = propose(&facts).filter(|_| facts.foreign.is_none() || effect.is_some_and(|effect| !effect.carries_out()));
                self.ask(call, hash, verdict.reason, rule);
                Ok(())
            }
            Decision::Deny => self.end_call(Step::Refused { call: id, reason: verdict.reason }, false).await,
        }
    }

    /// Why the call is out of the question, whatever the policy says.
    fn forbidden(&self, call: &ToolCall) -> Option<String> {
        if self.task.as_ref().is_some_and(|task| !task.may_use(&call.name)) {
            return Some(format!("`{}` is not for this task", call.name));
        }
        // Whatever the effect: what a server or a program makes of its arguments is not known here, and nobody needs one in a call.
        let secret = self.agent.settings.secrets.find(&call.arguments)?;
        Some(format!("it would give the secret `{secret}` away"))
    }

    /// Channel, session and session's number of the conversation that the turn belongs to; a task has no more rights than that.
    fn place(&self) -> (&str, &str, i64) {
        match &self.task {
            Some(task) => (&task.channel, &task.session, task.session_id),
            None => (&self.turn.channel, &self.turn.session_name, self.turn.session),
        }
    }

    fn ask(&mut self, call: &ToolCall, hash: String, reason: String, rule: Option<Rule>) {
        let patience = i64::try_from(self.agent.settings.limits.approval_time.as_secs()).unwrap_or(i64::MAX);
        let until = (self.agent.settings.now)().saturating_add(patience);
        self.append(Step::Asked { call: call.id.clone(), hash, reason, until: Some(until), rule });
    }

    /// Shows the question that the turn waits for; `None`: its time is over, and that was a no.
    async fn ask_owner(&mut self, call: &ToolCall) -> Result<Option<Question>, AgentError> {
        let question = Question::about(&self.turn, &self.steps, call).ok_or(AgentError::NotAsked(self.turn.id))?;
        if question.until.is_some_and(|until| (self.agent.settings.now)() >= until) {
            let (hash, why) = (question.hash, Some(NOBODY.to_owned()));
            let step = Step::Answered { call: question.call, hash, allowed: false, scope: Scope::Once, why, by: "time".into() };
            return self.end_call(step, false).await.map(|()| None);
        }
        self.emit_question(&question).await;
        Ok(Some(question))
    }

    pub(crate) async fn emit_question(&mut self, question: &Question) {
        let id = Some(question.id());
        let Question { call, tool, arguments, reason, task, .. } = question.clone();
        self.emit(Event::Approval { id: call, tool, arguments, reason, question: id, task }).await;
    }

    /// Intent, effect, result. What runs is what was approved: the hash is checked once more.
    async fn act(&mut self, call: &ToolCall) -> Result<Option<Question>, AgentError> {
        let approved = self.steps.iter().rev().find_map(|step| match step {
            Step::Allowed { call: id, hash, .. } | Step::Answered { call: id, hash, allowed: true, .. } if *id == call.id => Some(hash),
            _ => None,
        });
        if approved.is_none_or(|hash| *hash != call_hash(&call.name, &call.arguments)) {
            let reason = "what was approved is not what was to run".to_owned();
            return self.end_call(Step::Refused { call: call.id.clone(), reason }, false).await.map(|()| None);
        }
        self.append(Step::Intent { call: call.id.clone() });
        self.perform(call).await
    }

    async fn recover(&mut self, call: &ToolCall) -> Result<Option<Question>, AgentError> {
        match self.effect(call) {
            Some(Effect::Read) => self.perform(call).await,
            _ => {
                let hash = call_hash(&call.name, &call.arguments);
                self.ask(call, hash, CUT_OFF.to_owned(), None);
                Ok(None)
            }
        }
    }

    /// Runs the tool and records what came of it; a question of a task's comes instead.
    async fn perform(&mut self, call: &ToolCall) -> Result<Option<Question>, AgentError> {
        let agent = self.agent;
        let Some(tool) = agent.toolbox.get(&call.name) else {
            let reason = format!("there is no tool called `{}`", call.name);
            return self.end_call(Step::Refused { call: call.id.clone(), reason }, false).await.map(|()| None);
        };
        self.flush().await?;
        let key = format!("{}-{}", self.turn.id, call.id);
        let result = if call.name == SPAWN {
            match self.spawn(call).await? {
                Spawned::Waiting(question) => return Ok(Some(*question)),
                Spawned::Ended(result) => result,
            }
        } else {
            let context = self.context(call).await?;
            // A tool that does not keep to its time is left.
            match tokio::time::timeout(context.timeout.saturating_add(TOOL_GRACE), tool.run(&call.arguments, &context)).await {
                Ok(result) => result,
                Err(_) => Err(format!("stopped after {} s", context.timeout.as_secs()).into()),
            }
        };
        let ok = result.is_ok();
        let Output { text, origin } = match result {
            Ok(output) => output,
            Err(ToolError { text, origin }) => Output { text: format!("error: {text}"), origin },
        };
        // What is kept of a text that is too long must not hold a secret either.
        let content = self.capped(&key, agent.settings.secrets.redact(&text)).await?;
        self.end_call(Step::Result { call: call.id.clone(), ok, content, origin }, ok).await.map(|()| None)
    }

    /// What a run of `call` may use.
    async fn context(&mut self, call: &ToolCall) -> Result<ToolContext, AgentError> {
        let foreign = self.foreign().await?;
        let left = self.bounds.deadline.saturating_duration_since(Instant::now());
        let (channel, session, _) = self.place();
        let answer = self.steps.iter().rev().find_map(|step| match step {
            Step::Answered { call: id, allowed: true, why, .. } if *id == call.id => why.clone(),
            _ => None,
        });
        Ok(ToolContext {
            key: format!("{}-{}", self.turn.id, call.id),
            turn: self.turn.id,
            channel: channel.to_owned(),
            session: session.to_owned(),
            foreign,
            answer,
            timeout: self.agent.settings.limits.tool_time.min(left),
        })
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
        let id = step.call().unwrap_or_default().to_owned();
        self.append(step);
        let content = self.steps.last().and_then(Step::ending).unwrap_or_default();
        self.emit(Event::ToolResult { id, ok, content }).await;
        Ok(())
    }

    fn effect(&self, call: &ToolCall) -> Option<Effect> {
        let call = Toolbox::resolve(call.clone());
        self.agent.toolbox.get(&call.name).map(|tool| tool.effect_of(&call.arguments))
    }

    /// Adds a step. The journal has it before anything that it allows, and before it is shown: see [`Run::flush`].
    pub(crate) fn append(&mut self, step: Step) {
        self.steps.push(self.agent.settings.secrets.redact_step(step));
    }

    /// Writes the steps that have been added, all in one transaction, and then shows what was to be shown. Comes before the model reads,
    /// before a tool runs and before the run ends: one write to the disk for what led to a call, and one for what came of it.
    pub(crate) async fn flush(&mut self) -> Result<(), AgentError> {
        if self.written < self.steps.len() {
            append(&self.agent.store, self.turn.id, &self.steps[self.written..]).await?;
            self.written = self.steps.len();
        }
        for event in std::mem::take(&mut self.unshown) {
            self.emit(event).await;
        }
        Ok(())
    }

    /// Shows an event. A closed receiver is nobody listening: the turn goes on, the journal has it.
    async fn emit(&mut self, event: Event) {
        if self.written < self.steps.len() {
            self.unshown.push(event);
        } else {
            let _ = self.events.send(event).await;
        }
    }
}

/// What the engine calls all transcripts of a session: whoever removes one removes these.
#[must_use]
pub fn transcripts(channel: &str, session: &str) -> [String; 3] {
    let transcript = transcript_name(channel, session);
    [summary_name(&transcript), facts_name(&transcript), transcript]
}

/// What the engine calls the transcript of a session.
pub(crate) fn transcript_name(channel: &str, session: &str) -> String {
    format!("{channel}/{session}")
}

/// What it calls the one in which facts are distilled from a session.
pub(crate) fn facts_name(transcript: &str) -> String {
    format!("{transcript}/facts")
}

/// What it calls the one in which the summaries of a session are made.
pub(crate) fn summary_name(transcript: &str) -> String {
    format!("{transcript}/summary")
}

/// Each of `origins` once, in words; `None`: there are none.
#[must_use]
pub fn listed<'a>(origins: impl Iterator<Item = &'a str>) -> Option<String> {
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
