//! What a turn shows while it runs: the events of `--format jsonl` (DESIGN §8). Fields may be added, never renamed.

use engine::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Reading the weights.
    Load,
    /// Reading the prompt.
    Prefill,
}

/// One event of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The turn starts, or goes on after a restart.
    Init {
        /// The session's name.
        session: String,
        /// The turn's id.
        turn: String,
        /// The model's name.
        model: String,
    },
    /// Something long is going on.
    Progress {
        /// What.
        stage: Stage,
        /// 0 to 1.
        done: f32,
    },
    /// More text of the reply.
    Text {
        /// Whole characters.
        delta: String,
    },
    /// More reasoning.
    Reasoning {
        /// Whole characters.
        delta: String,
    },
    /// The model calls a tool.
    ToolCall {
        /// The call's id.
        id: String,
        /// The tool.
        name: String,
        /// A JSON object.
        arguments: Value,
    },
    /// The owner is asked about a call.
    Approval {
        /// The call's id.
        id: String,
        /// The tool.
        tool: String,
        /// Exactly what will run.
        arguments: Value,
        /// Why it needs an answer.
        reason: String,
        /// What `paguro approvals` calls the question.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        question: Option<String>,
        /// The task that asks, if it is not the conversation itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<String>,
    },
    /// A call has ended.
    ToolResult {
        /// The call's id.
        id: String,
        /// Whether the tool succeeded.
        ok: bool,
        /// What the model reads.
        content: String,
    },
    /// The turn has ended.
    Result(Box<TurnResult>),
    /// The turn could not be run or ended in a failure.
    Error {
        /// A word that scripts may match.
        code: String,
        /// One sentence.
        message: String,
    },
}

/// The end of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnResult {
    /// Whether the turn ended with the reply that was wanted and the owner refused nothing.
    pub ok: bool,
    /// The reply, or why there is none.
    pub text: String,
    /// The session's name.
    pub session: String,
    /// The turn's id.
    pub turn: String,
    /// The model's name.
    pub model: String,
    /// Replies of the model, those with tool calls included.
    pub steps: usize,
    /// Tokens of all replies together.
    pub usage: Usage,
    /// Times of the turn.
    pub timings: TurnTimings,
    /// Why less than the whole prefix was reused, for the first reply for which that is so.
    pub cache_miss: Option<String>,
    /// Whether a limit that the owner set ended the turn.
    pub limit: bool,
    /// The outbound message with the text, to be confirmed once it has been shown.
    #[serde(skip)]
    pub outbound: Option<i64>,
    /// Whether `text` is a reply of the model, and not the sentence that stands in its place.
    #[serde(default)]
    pub replied: bool,
    /// Why the turn ended without the reply that was wanted: `denied` or a code of [`crate::Failure`].
    pub failure: Option<String>,
}

/// Times of a turn, in milliseconds; rates in tokens per second, `None` where nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of DESIGN §8")]
pub struct TurnTimings {
    pub load_ms: f64,
    pub restore_ms: f64,
    pub first_token_ms: f64,
    pub prefill_tps: Option<f64>,
    pub decode_tps: Option<f64>,
}
