//! What can go wrong in the engine, in sentences for the owner.

use std::path::PathBuf;

use crate::Bytes;

/// Tokens of the context that a prompt may not take, so that there can be a reply.
pub(crate) const RESERVED_REPLY: u32 = 16;

/// An error of the engine. Each message says what was wrong, with which value, and what to do.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum EngineError {
    #[error("no model at {}; give a GGUF file, or run without --model for the demo model", path.display())]
    NoSuchModel { path: PathBuf },
    #[error("{} is not a model that can be loaded: {reason}", path.display())]
    BadModel { path: PathBuf, reason: String },
    #[error("a context of {context} tokens cannot be made: {reason}; lower `context` or choose smaller cache types in [model]")]
    NoContext { context: u32, reason: String },
    #[error(
        "{} does not fit: with a context of {context} tokens it takes {}, and {} are {place}; {way_out}",
        path.display(), Bytes(*needs), Bytes(*has)
    )]
    DoesNotFit { path: PathBuf, context: u32, needs: u64, has: u64, place: String, way_out: String },
    #[error("the worker {address} cannot be used: {reason}")]
    Worker { address: String, reason: String },
    #[error("a worker cannot listen on {address}: {reason}")]
    Listen { address: String, reason: String },
    #[error("{} has no chat template, so it cannot be talked to; choose an instruction-tuned GGUF", path.display())]
    NoTemplate { path: PathBuf },
    #[error(
        "the prompt has {tokens} tokens and the context holds {context}, {RESERVED_REPLY} of them kept for the reply; shorten it or raise `context` in [model]"
    )]
    PromptTooLong { tokens: u32, context: u32 },
    #[error("the script {} is wrong in line {line}: {reason}", path.display())]
    BadScript { path: PathBuf, line: usize, reason: String },
    #[error("there is no transcript called `{name}`")]
    NoTranscript { name: String },
    #[error("the chat template failed: {0}")]
    Template(String),
    #[error("a tool cannot be offered to the model: {0}")]
    ToolSchema(String),
    #[error("the model made a tool call that cannot be used, {tries} times over: {reason}; ask again, or choose another model")]
    ToolCall { tries: u32, reason: String },
    #[error("decoding failed: {0}")]
    Decode(String),
    #[error("nothing could be measured: {0}")]
    Measure(String),
    #[error("no embedder is configured; set `file` in [embedder] to an embedding GGUF, or fetch one with `paguro model pull`")]
    NoEmbedder,
    #[error("there is no embedder at {}; set `file` in [embedder] to an embedding GGUF, or fetch one with `paguro model pull`", path.display())]
    NoSuchEmbedder { path: PathBuf },
    #[error("text {number} has {tokens} tokens and the embedder takes {most}; shorten it, let it be cut, or raise `context` in [embedder]")]
    TextTooLong { number: usize, tokens: u32, most: u32 },
    #[error("embedding failed: {0}")]
    Embed(String),
    #[error("there is no model to talk to, only an embedder")]
    NoChatModel,
    #[error("the model thread cannot be started: {0}")]
    Thread(String),
    #[error("loading was cancelled")]
    LoadCancelled,
    #[error("the model thread has ended")]
    Gone,
}

/// A foreign message as part of one of ours: one line, at most 300 characters.
pub(crate) fn one_line(text: impl std::fmt::Display) -> String {
    let text = text.to_string();
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(300) {
        line.truncate(end);
        line.push('…');
    }
    line
}
