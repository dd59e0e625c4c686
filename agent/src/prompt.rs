//! What the model reads in a turn: the frozen block, what stands for old turns, the history, this turn. Everything here is a function of
//! the journal, so that the same turn gives the same prompt, and what varies is put in once, at the tail.

use engine::{Message, Request, Role, ToolSchema};
use memory::{Found, StepRow, StoreError, SummaryRow, TurnRow, TurnState};

use crate::agent::{Agent, AgentError, parse_steps};
use crate::context::{SYSTEM_BLOCK, user_message};
use crate::recall::summary::{READ, Summary, due, rules};
use crate::recall::tail_line;
use crate::run::{Past, Run, listed, transcript_name};
use crate::speaker::{guest, is_shared};
use crate::step::{Step, find_call, finished_messages, messages, thoughts};
use crate::task::Task;

/// Most finished turns that a context can begin with.
pub const HISTORY_TURNS: usize = 200;

/// Share of the context, in percent, that a conversation may fill while no summary has been made of its older part.
const CUT_PERCENT: u32 = 90;

/// Where text came from that was piped along with a message.
const PIPED: &str = "piped data";

/// What became of a message that a running turn took in.
const TAKEN: &str = "taken into the turn that ran";

impl Run<'_> {
    /// Puts the user's message together, once; from then on its bytes stay.
    pub(crate) async fn begin(&mut self) -> Result<(), AgentError> {
        let recalled = self.recall().await?;
        let time = (self.agent.settings.clock)();
        let (text, data) = (self.turn.text.clone(), self.turn.data.clone());
        let message = |notes: &[Found]| {
            let texts: Vec<String> = notes.iter().map(tail_line).collect();
            user_message(&text, data.as_deref(), &time, &texts)
        };
        let room = if recalled.notes.is_empty() { 0 } else { self.recall_room() };
        let (from, summary) = self.window_start(&message(&[]), room).await?;
        // A note is given once, as long as the message that it came with is in the context.
        self.history().await?;
        let window: Vec<&Past> = self.history.iter().flatten().filter(|(row, _)| row.id >= from).collect();
        let fresh = self.fitting(recalled.notes, &window).await?;
        let content = message(&fresh);
        let piped = self.turn.data.is_some().then_some(PIPED);
        let given = self.task.as_ref().and_then(|task| task.origin.as_deref());
        // What a job is to do may have been written by strangers, too.
        let job = if self.is_job() { self.agent.store.job_origin(self.turn.id).await? } else { None };
        let summarised = summary.as_ref().and_then(|summary| summary.origin.as_deref());
        let noted = fresh.iter().filter_map(|note| note.origin.as_deref());
        let guest = guest(&self.turn);
        let origin = listed(guest.as_deref().into_iter().chain(piped).chain(given).chain(job.as_deref()).chain(summarised).chain(noted));
        let notes = fresh.iter().map(|note| note.id.clone()).collect();
        self.append(Step::Began { content, notes, from, summary: summary.map(|summary| summary.upto), origin, recall_ms: recalled.ms });
        Ok(())
    }

    /// The turn that the context begins with, and the summary before it: what the newest summary leaves; else what the last turn began
    /// with, as long as all fits in [`CUT_PERCENT`] of the context, so that the prefix is given up seldom; else the oldest turn with
    /// which the history fits in half of the context.
    async fn window_start(&mut self, content: &str, room: u32) -> Result<(i64, Option<SummaryRow>), AgentError> {
        let Agent { engine, toolbox, store, .. } = self.agent;
        let context = engine.info().context;
        let this = self.turn.id;
        let latest = store.summary(self.turn.session).await?;
        let mut texts = vec![content.to_owned()];
        let block = self.block().await?;
        let history = self.history().await?;
        let oldest = history.first().map_or(this, |(row, _)| row.id);
        let last = history.last().and_then(|(row, steps)| window_of(row, steps));
        // A summary that was made since: its turns leave the context now.
        if let Some(latest) = latest.as_ref().filter(|latest| last.is_none_or(|window| window.summary < Some(latest.upto))) {
            let from = history.iter().map(|(row, _)| row.id).find(|id| *id > latest.upto).unwrap_or(this);
            return Ok((from, Some(latest.clone())));
        }
        if let Some(window) = last
            && window.from >= oldest
            && window.tokens + room + engine.count_tokens(texts.clone()).await?.iter().sum::<u32>() <= context * CUT_PERCENT / 100
        {
            return Ok((window.from, latest.filter(|latest| window.summary == Some(latest.upto))));
        }
        let newest = &history[history.len().saturating_sub(HISTORY_TURNS / 2)..];
        let ids: Vec<i64> = newest.iter().map(|(row, _)| row.id).collect();
        // Block and tools are there in any case.
        let schemas = serde_json::to_string(&toolbox.schemas()).unwrap_or_default();
        texts.push(block + &schemas + latest.as_ref().map_or("", |latest| latest.text.as_str()));
        texts.extend(newest.iter().map(|(row, steps)| text_of(&past_messages(row, steps))));
        let counts = engine.count_tokens(texts).await?;
        let mut sum = counts[0] + counts[1] + room;
        let fitting = ids.iter().zip(&counts[2..]).rev().take_while(|(_, count)| {
            sum += **count;
            sum <= context / 2
        });
        // What has left the context does not come back: its place in the cache is gone.
        let from = fitting.last().map_or(this, |(id, _)| *id);
        Ok((from.max(last.map_or(0, |window| window.from)), latest))
    }

    /// Takes in what the owner has written meanwhile, if the settings say so and the model is about to read results.
    pub(crate) async fn steer(&mut self) -> Result<(), AgentError> {
        let reads_results = self.steps.last().is_some_and(|step| step.ending().is_some());
        if !self.agent.settings.steer || self.task.is_some() || !reads_results {
            return Ok(());
        }
        self.flush().await?;
        for other in self.agent.store.waiting_after(self.turn.session, self.turn.id).await? {
            // What others say is theirs, with their rights.
            if other.person != self.turn.person {
                continue;
            }
            let content = user_message(&other.text, other.data.as_deref(), &(self.agent.settings.clock)(), &[]);
            let origin = other.data.is_some().then(|| PIPED.to_owned());
            let step = Step::Steered { turn: other.id, content, origin };
            let body = serde_json::to_value(&step).map_err(|e| AgentError::BadStep { turn: other.id, reason: e.to_string() })?;
            match self.agent.store.absorb(self.turn.id, "steered", body, other.id, TAKEN).await {
                Ok(true) => self.steps.push(step),
                Ok(false) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The whole conversation for the model.
    pub(crate) async fn prompt(&mut self) -> Result<Vec<Message>, AgentError> {
        if let Some(task) = self.task.clone().filter(|task| task.fork) {
            return self.fork_prompt(&task).await;
        }
        let block = self.block().await?;
        let store = &self.agent.store;
        let mut out = vec![Message::new(Role::System, block)];
        let (from, summary) = beginning(&self.steps).unwrap_or_default();
        if let Some(upto) = summary {
            let session = self.turn.session;
            let summary = store.summary_upto(session, upto).await?.ok_or(StoreError::NoSuchSession { session })?;
            out.extend([Message::new(Role::User, summary.text), Message::new(Role::Assistant, READ)]);
        }
        let history = self.history().await?.iter().filter(|(row, _)| row.id >= from);
        out.extend(history.flat_map(|(row, steps)| past_messages(row, steps)));
        out.extend(messages(&self.steps));
        Ok(out)
    }

    /// The session's system block; put together for its first turn, and from then on its bytes stay.
    async fn block(&self) -> Result<String, AgentError> {
        let Agent { store, settings, .. } = self.agent;
        if let Some(block) = store.system_block(self.turn.session).await? {
            return Ok(block);
        }
        // What the owner has pinned is his own, and others read along.
        let pinned = if is_shared(&self.turn) { Vec::new() } else { store.pinned().await? };
        let (more, rules) = ((settings.block_tail)().await, rules(&pinned));
        let parts = [SYSTEM_BLOCK, &more, &rules].map(str::trim);
        let block: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Ok(store.set_system_block(self.turn.session, block.join("\n\n") + "\n").await?)
    }

    /// The conversation as it stood when the task was started, then the task in place of its call's result.
    async fn fork_prompt(&mut self, task: &Task) -> Result<Vec<Message>, AgentError> {
        let parent = self.agent.turn(self.turn.parent.unwrap_or_default()).await?;
        let steps = parse_steps(parent.id, self.agent.store.steps(parent.id).await?)?;
        let call = find_call(&steps, &task.call).cloned();
        let mut run = Run::new(self.agent, parent, steps, self.events, self.bounds);
        let mut out = Box::pin(run.prompt()).await?;
        // The call's own result, which it has when the task is read again later, is not yet there for the task.
        let end = out.iter().position(|message| message.tool_call_id.as_deref() == Some(&task.call)).unwrap_or(out.len());
        out.truncate(end);
        let mut own = messages(&self.steps);
        if let (Some(first), Some(call)) = (own.first_mut(), call) {
            *first = Message::tool(&call, Task::fork_text(&first.content));
        }
        out.extend(own);
        Ok(out)
    }

    /// The tools that the model is told of. A fork is told of all, since it begins with the conversation's own prompt.
    pub(crate) fn tools(&self) -> Vec<ToolSchema> {
        let mut schemas = self.agent.toolbox.schemas();
        match &self.task {
            Some(task) if !task.fork => schemas.retain(|schema| task.may_use(&schema.name)),
            _ => {}
        }
        schemas
    }

    /// Where the untrusted text in the context came from, if there is any.
    pub(crate) async fn foreign(&mut self) -> Result<Option<String>, AgentError> {
        let (from, _) = beginning(&self.steps).unwrap_or_default();
        self.history().await?;
        let past = self.history.iter().flatten().filter(|(row, _)| row.id >= from);
        Ok(listed(past.flat_map(|(_, steps)| steps).chain(&self.steps).filter_map(Step::origin)))
    }

    /// The finished turns before this one, oldest first, read from the journal once.
    pub(crate) async fn history(&mut self) -> Result<&[Past], AgentError> {
        if self.is_job() {
            return Ok(&[]);
        }
        if self.history.is_none() {
            let rows = self.agent.store.history(self.turn.session, HISTORY_TURNS).await?;
            let parse = |(row, steps): (TurnRow, Vec<StepRow>)| Ok((parse_steps(row.id, steps)?, row)).map(|(s, r)| (r, s));
            let past = rows.into_iter().filter(|(row, _)| row.id < self.turn.id).map(parse);
            self.history = Some(past.collect::<Result<Vec<_>, AgentError>>()?);
        }
        Ok(self.history.as_deref().unwrap_or_default())
    }

    /// Has a summary made, once this turn has ended, if the context is getting full.
    pub(crate) async fn summarise(&mut self) -> Result<(), AgentError> {
        let (from, _) = beginning(&self.steps).unwrap_or_default();
        let info = self.agent.engine.info();
        let mut window: Vec<Past> = self.history().await?.iter().filter(|(row, _)| row.id >= from).cloned().collect();
        window.push((self.turn.clone(), self.steps.clone()));
        let Some(upto) = due(&window, info.context).filter(|_| self.task.is_none()) else { return Ok(()) };
        let ready = self.agent.store.summary(self.turn.session).await?;
        if ready.is_some_and(|ready| ready.upto >= from) {
            return Ok(()); // the next turn begins with it
        }
        let old: Vec<&Past> = window.iter().filter(|(row, _)| row.id <= upto).collect();
        let summary = Summary {
            engine: self.agent.engine.clone(),
            store: self.agent.store.clone(),
            secrets: self.agent.settings.secrets.clone(),
            origin: listed(old.iter().flat_map(|(_, steps)| steps).filter_map(Step::origin)),
            // The turn that has just ended is not among them.
            turns: old.iter().map(|(row, _)| row.clone()).collect(),
            request: Request {
                messages: self.prompt().await?,
                transcript: Some(transcript_name(&self.turn.channel, &self.turn.session_name)),
                tools: self.tools(),
                sampling: self.agent.settings.sampling.clone(),
                ..Request::default()
            },
            session: self.turn.session,
            upto,
        };
        self.agent.in_background(self.turn.session, summary.make());
        Ok(())
    }
}

/// What fills the context of a session, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filling {
    /// The system block.
    pub block: u32,
    /// What the model is told of the tools, as JSON; a template may need more or less for it.
    pub tools: u32,
    /// The summary of older turns.
    pub summary: u32,
    /// The turns: what is left of `used`.
    pub turns: u32,
    /// All of it after the last reply; without one, block and tools.
    pub used: u32,
    /// The context.
    pub context: u32,
}

/// Turns looked back on for a reply: one that was stopped may have none.
const RECENT_TURNS: usize = 5;

impl Agent {
    /// What fills the context of a session; `None`: of one that is about to begin.
    ///
    /// # Errors
    /// If the journal cannot be read or the model's thread is gone.
    pub async fn filling(&self, session: Option<i64>) -> Result<Filling, AgentError> {
        let (mut block, mut last) = (None, None);
        if let Some(session) = session {
            block = self.store.system_block(session).await?;
            for (row, steps) in self.store.history(session, RECENT_TURNS).await?.into_iter().rev() {
                let steps = parse_steps(row.id, steps)?;
                let thought = thoughts(&steps).next_back().map(|last| last.usage.prompt_tokens + last.usage.completion_tokens);
                last = last.or(thought.map(|used| (used, beginning(&steps).and_then(|(_, summary)| summary))));
            }
        }
        let summary = match (session, last) {
            (Some(session), Some((_, Some(upto)))) => self.store.summary_upto(session, upto).await?.map(|summary| summary.text),
            _ => None,
        };
        let schemas = serde_json::to_string(&self.toolbox.schemas()).unwrap_or_default();
        let texts = vec![block.unwrap_or_else(|| SYSTEM_BLOCK.to_owned()), schemas, summary.unwrap_or_default()];
        let counts = self.engine.count_tokens(texts).await?;
        let (block, tools, summary) = (counts[0], counts[1], counts[2]);
        let used = last.map_or(block + tools, |(used, _)| used);
        let turns = used.saturating_sub(block + tools + summary);
        Ok(Filling { block, tools, summary, turns, used, context: self.engine.info().context })
    }
}

/// The turn that the context of the turn with these steps begins with, and the summary before it.
pub(crate) fn beginning(steps: &[Step]) -> Option<(i64, Option<i64>)> {
    steps.iter().find_map(|step| match step {
        Step::Began { from, summary, .. } => Some((*from, *summary)),
        _ => None,
    })
}

fn past_messages(row: &TurnRow, steps: &[Step]) -> Vec<Message> {
    finished_messages(steps, row.outcome.as_deref().unwrap_or("no reply"))
}

/// What a finished turn's context began with, and the tokens that it came to.
#[derive(Clone, Copy)]
struct Window {
    from: i64,
    summary: Option<i64>,
    tokens: u32,
}

/// Not known of a turn that failed: what it read last may be what did not fit.
fn window_of(row: &TurnRow, steps: &[Step]) -> Option<Window> {
    let (from, summary) = beginning(steps)?;
    let last = thoughts(steps).next_back().filter(|_| row.state == TurnState::Done)?;
    Some(Window { from, summary, tokens: last.usage.prompt_tokens + last.usage.completion_tokens })
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
