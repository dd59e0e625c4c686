//! The stream that a generation is, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::backend::{Ending, Interrupt};
use crate::{EngineError, Message};

/// One piece of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// Prefill has got this far; sent at the start of each prefill batch and at the end of the last.
    Prefill {
        /// Tokens in the cache.
        done: u32,
        /// Tokens of the prompt.
        total: u32,
    },
    /// Text of the reply; whole UTF-8 characters, markers removed.
    Text(String),
    /// Reasoning; whole UTF-8 characters, markers removed.
    Reasoning(String),
    /// The generation is over; the last delta.
    Finish(Box<Finish>),
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn.
    Stop,
    /// The model ended its turn with tool calls.
    ToolCalls,
    /// `max_tokens` was reached.
    Length,
    /// The context is full.
    ContextFull,
    /// The deadline passed.
    Deadline,
    /// The receiver was dropped.
    Cancelled,
}

/// The end of a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// Why it ended.
    pub reason: FinishReason,
    /// The whole reply, as it goes into the next request.
    pub message: Message,
    /// Tokens.
    pub usage: Usage,
    /// Times and rates.
    pub timings: Timings,
    /// Why less of the prompt was reused than the previous request held; `None`: all of it was.
    pub cache_miss: Option<String>,
}

/// Tokens of one generation, or of all generations of a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt: reused + prefilled.
    pub prompt_tokens: u32,
    /// Found in the KV cache.
    pub reused_tokens: u32,
    /// Decoded to fill the KV cache.
    pub prefilled_tokens: u32,
    /// Generated.
    pub completion_tokens: u32,
}

/// Times of one generation. Rates are `None` where nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// From the request to the first generated token, in milliseconds.
    pub first_token_ms: f64,
    /// Time in bringing the transcript back from disk, in milliseconds.
    #[serde(default)]
    pub restore_ms: f64,
    /// Time in prefill, in milliseconds.
    pub prefill_ms: f64,
    /// Time in decode and sampling, in milliseconds.
    pub decode_ms: f64,
}

/// Times of a bare loop of `llama_decode` and argmax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BareTimes {
    /// Filling the empty cache.
    pub prefill: Duration,
    /// Generating.
    pub decode: Duration,
}

/// A running generation. Dropping it stops decoding within one token.
///
/// Reading slowly does not slow the model: deltas that wait are merged.
#[derive(Debug)]
pub struct Generation {
    deltas: mpsc::Receiver<Delta>,
    rest: std::vec::IntoIter<Delta>,
    end: End,
    interrupt: Arc<Interrupt>,
}

impl Drop for Generation {
    fn drop(&mut self) {
        if matches!(self.end, End::Pending(_)) {
            self.deltas.close();
            self.interrupt.raise();
        }
    }
}

/// Where the end of a generation comes from.
#[derive(Debug)]
enum End {
    Pending(oneshot::Receiver<Ending>),
    Arrived(Box<Result<Finish, EngineError>>),
    Told,
}

impl Generation {
    pub(crate) fn new(deltas: mpsc::Receiver<Delta>, ending: oneshot::Receiver<Ending>, interrupt: Arc<Interrupt>) -> Self {
        Self { deltas, rest: Vec::new().into_iter(), end: End::Pending(ending), interrupt }
    }

    /// The next delta; `None` after [`Delta::Finish`] or an error. May be cancelled at any time without losing a delta.
    pub async fn next(&mut self) -> Option<Result<Delta, EngineError>> {
        if let Some(delta) = self.deltas.recv().await {
            return Some(Ok(delta));
        }
        if let End::Pending(ending) = &mut self.end {
            // The ending is dropped unsent only when the thread ends, by a panic or because the last `Engine` is gone.
            let (rest, result) = match ending.await {
                Ok(ending) => (ending.rest, ending.result),
                Err(_) => (Vec::new(), Err(EngineError::Gone)),
            };
            self.rest = rest.into_iter();
            self.end = End::Arrived(Box::new(result));
        }
        if let Some(delta) = self.rest.next() {
            return Some(Ok(delta));
        }
        match std::mem::replace(&mut self.end, End::Told) {
            End::Arrived(result) => Some((*result).map(|finish| Delta::Finish(Box::new(finish)))),
            End::Pending(_) | End::Told => None,
        }
    }
}
