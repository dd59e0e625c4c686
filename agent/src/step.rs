//! The steps of a turn, as the journal keeps them, and the messages that they amount to.
//!
//! A turn's steps are the only truth about its progress: starting and restarting read the same list.

use engine::{FinishReason, Message, Role, Sampling, Timings, ToolCall, Usage};
use serde::{Deserialize, Serialize};

use crate::approval::Rule;
use crate::question::Scope;

/// What the model is told when the owner says no. The demo model is trained on this sentence.
pub const NOT_ALLOWED: &str = "error: the owner did not allow this";

/// What the model is told of a call that its turn's end cut off.
const CUT_OFF_CALL: &str = "error: cut off when the turn ended; it may have run, or run in part";

/// What the model is told of a call that had not begun when its turn ended.
const NOT_RUN: &str = "error: not run, the turn had ended";

/// Characters that are kept of a message that was too long to be read.
const TOO_LONG_CHARS: usize = 200;

/// One step of a turn. Written before an effect (intent) and after it (result), never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Step {
    /// The user's message as the model gets it, tail included, so that the next turn renders the same bytes.
    Began {
        /// Words, piped data, time and notes.
        content: String,
        /// Ids of the notes in the tail.
        notes: Vec<String>,
        /// The first turn of the history that this turn's context begins with.
        from: i64,
        /// The last turn for which a summary stands before that one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<i64>,
        /// Where what came with the message is from, if strangers may have written it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<String>,
        /// Milliseconds that looking for the notes took, the embedding of the message included.
        #[serde(default)]
        recall_ms: f64,
    },
    /// What the turn holds is too much for the context: later turns see only how it began and how it ended.
    TooLong,
    /// The model has spoken.
    Thought(Box<Thought>),
    /// What the owner wrote while the turn ran, taken into it.
    Steered {
        /// The turn that it had been.
        turn: i64,
        /// As [`Step::Began`]'s.
        content: String,
        /// As [`Step::Began`]'s.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<String>,
    },
    /// The policy let a call run.
    Allowed {
        /// The call's id.
        call: String,
        /// [`crate::approval::call_hash`] of what may run.
        hash: String,
        /// Which rule said so.
        rule: String,
    },
    /// The policy forbade a call.
    Refused {
        /// The call's id.
        call: String,
        /// In words, for the model and the owner.
        reason: String,
    },
    /// The owner was asked.
    Asked {
        /// The call's id.
        call: String,
        /// [`crate::approval::call_hash`] of what the answer will cover.
        hash: String,
        /// Why it needs an answer.
        reason: String,
        /// When no answer has become a no; seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<i64>,
        /// What a yes for longer than once would allow.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<Rule>,
    },
    /// The owner answered.
    Answered {
        /// The call's id.
        call: String,
        /// The hash that the answer named.
        hash: String,
        /// Yes or no.
        allowed: bool,
        /// For how long a yes holds.
        #[serde(default)]
        scope: Scope,
        /// What the owner said with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// Who gave it: a channel, or `time` when nobody did.
        #[serde(default)]
        by: String,
    },
    /// The call is about to run.
    Intent {
        /// The call's id.
        call: String,
    },
    /// The call has run.
    Result {
        /// The call's id.
        call: String,
        /// Whether the tool succeeded.
        ok: bool,
        /// What the model reads.
        content: String,
        /// Where the content is from, if strangers may have written it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<String>,
    },
}

/// One reply of the model, with what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thought {
    /// The reply.
    pub message: Message,
    /// Why it ended.
    pub reason: FinishReason,
    /// The model that made it.
    pub model: String,
    /// Its hash.
    #[serde(default)]
    pub model_hash: String,
    /// How it was sampled, where that is not the model's recommendation.
    #[serde(default)]
    pub sampling: Sampling,
    /// Its tokens.
    pub usage: Usage,
    /// Its times.
    pub timings: Timings,
    /// Why less than the whole prefix was reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_miss: Option<String>,
}

impl Step {
    /// The call that the step is about, if it is about one.
    #[must_use]
    pub fn call(&self) -> Option<&str> {
        match self {
            Self::Began { .. } | Self::TooLong | Self::Thought(_) | Self::Steered { .. } => None,
            Self::Allowed { call, .. }
            | Self::Refused { call, .. }
            | Self::Asked { call, .. }
            | Self::Answered { call, .. }
            | Self::Intent { call }
            | Self::Result { call, .. } => Some(call),
        }
    }

    /// Where untrusted text in this step came from.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        match self {
            Self::Began { origin, .. } | Self::Steered { origin, .. } | Self::Result { origin, .. } => origin.as_deref(),
            _ => None,
        }
    }

    /// What the model reads of the call, if this step ends it.
    #[must_use]
    pub fn ending(&self) -> Option<String> {
        match self {
            Self::Result { content, .. } => Some(content.clone()),
            Self::Refused { reason, .. } => Some(format!("error: {reason}")),
            Self::Answered { allowed: false, why, .. } => Some(denied(why.as_deref())),
            _ => None,
        }
    }
}

/// What the model is told when the owner says no, perhaps with a reason.
#[must_use]
pub fn denied(why: Option<&str>) -> String {
    why.map_or_else(|| NOT_ALLOWED.to_owned(), |why| format!("{NOT_ALLOWED}: {why}"))
}

/// The replies of the model among `steps`, oldest first.
pub fn thoughts(steps: &[Step]) -> impl DoubleEndedIterator<Item = &Thought> {
    steps.iter().filter_map(|step| match step {
        Step::Thought(thought) => Some(thought.as_ref()),
        _ => None,
    })
}

/// The call `id` among `steps`.
#[must_use]
pub fn find_call<'a>(steps: &'a [Step], id: &str) -> Option<&'a ToolCall> {
    thoughts(steps).flat_map(|thought| &thought.message.tool_calls).find(|call| call.id == id)
}

/// Tokens of all replies together.
#[must_use]
pub fn total_usage(steps: &[Step]) -> Usage {
    thoughts(steps).fold(Usage::default(), |sum, thought| Usage {
        prompt_tokens: sum.prompt_tokens + thought.usage.prompt_tokens,
        reused_tokens: sum.reused_tokens + thought.usage.reused_tokens,
        prefilled_tokens: sum.prefilled_tokens + thought.usage.prefilled_tokens,
        completion_tokens: sum.completion_tokens + thought.usage.completion_tokens,
    })
}

/// The messages that the steps of one turn amount to. Empty replies are left out: the model is asked again without them.
#[must_use]
pub fn messages(steps: &[Step]) -> Vec<Message> {
    let mut out = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Began { content, .. } | Step::Steered { content, .. } => out.push(Message::new(Role::User, content)),
            Step::Thought(thought) if !is_empty(&thought.message) => out.push(thought.message.clone()),
            _ if is_late(steps, index) => {}
            _ => {
                if let (Some(content), Some(call)) = (step.ending(), step.call().and_then(|id| find_call(steps, id))) {
                    out.push(Message::tool(call, content));
                }
            }
        }
    }
    out
}

/// The messages of a finished turn: [`messages`], closed by `outcome` in the model's place if the turn ended without a reply,
/// since a template expects the roles to alternate.
#[must_use]
pub fn finished_messages(steps: &[Step], outcome: &str) -> Vec<Message> {
    if steps.contains(&Step::TooLong) {
        return too_long(steps, outcome);
    }
    let mut out = messages(steps);
    if out.last().is_none_or(|last| last.role == Role::Assistant && last.tool_calls.is_empty()) {
        return out;
    }
    // Calls that never ended would leave the template without their results.
    let calls = thoughts(steps).next_back().map_or(&[][..], |last| &last.message.tool_calls);
    for call in calls {
        let of_call = || steps.iter().filter(|step| step.call() == Some(&call.id));
        if of_call().all(|step| step.ending().is_none()) {
            let begun = of_call().any(|step| matches!(step, Step::Intent { .. }));
            out.push(Message::tool(call, if begun { CUT_OFF_CALL } else { NOT_RUN }));
        }
    }
    out.push(Message::new(Role::Assistant, format!("({outcome})")));
    out
}

/// How a turn that was too long began and ended.
fn too_long(steps: &[Step], outcome: &str) -> Vec<Message> {
    let Some(Step::Began { content, .. }) = steps.first() else { return Vec::new() };
    let beginning: String = content.chars().take(TOO_LONG_CHARS).collect();
    vec![Message::new(Role::User, format!("{beginning}…")), Message::new(Role::Assistant, format!("({outcome})"))]
}

/// Whether the step is an answer to what has one already: two may come at one moment, and the first is the answer.
#[must_use]
pub(crate) fn is_late(steps: &[Step], index: usize) -> bool {
    let Step::Answered { call, .. } = &steps[index] else { return false };
    let before = steps[..index].iter().rev().find(|step| step.call() == Some(call));
    !matches!(before, Some(Step::Asked { .. }))
}

/// Whether a reply has neither text nor calls.
#[must_use]
pub fn is_empty(message: &Message) -> bool {
    message.tool_calls.is_empty() && message.content.trim().is_empty()
}
