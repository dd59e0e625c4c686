//! A reply, whole or partial, taken apart into content, reasoning and tool calls.

use std::ptr::NonNull;

use serde::{Deserialize, Serialize};

use crate::ffi::{self, borrow, call_handle, call_json};
use crate::{ErrorKind, Rendered, ShimError};

/// The parser for the replies to one [`Rendered`], deserialised once: a partial parse per token costs only the parse (of
/// 1 KB 15 µs, of 40 KB 0.4 ms).
#[derive(Debug)]
pub struct ReplyParser {
    raw: NonNull<ffi::paguro_reply>,
    /// No grammar kept the model to the format, so a reply may fall outside it.
    loose: bool,
    thinking_start: String,
    thinking_end: Vec<String>,
}

// SAFETY: the handle owns all it points to and has no tie to the thread that made it.
unsafe impl Send for ReplyParser {}

/// One call in a reply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedToolCall {
    /// The model's own id; empty in the many formats that have none.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// JSON text of the arguments; in a partial parse, a beginning of it.
    pub arguments: String,
}

/// What a reply says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedReply {
    /// Text for the person. White space that stood before a tool call is still at its end.
    pub content: String,
    /// Reasoning, without its markers; a line feed before the closing one is still at its end.
    pub reasoning: String,
    /// Calls in order.
    pub tool_calls: Vec<ParsedToolCall>,
}

impl ReplyParser {
    /// The parser for replies to `rendered`.
    ///
    /// # Errors
    /// `rendered.parser` is not what this llama.cpp wrote.
    pub fn new(rendered: &Rendered) -> Result<Self, ShimError> {
        let input = serde_json::json!({
            "format_id": rendered.format_id,
            "generation_prompt": rendered.generation_prompt,
            "parser": rendered.parser,
        })
        .to_string();
        let raw = call_handle(|reply, out| {
            // SAFETY: the text outlives the call, and the shim keeps none of it.
            unsafe { ffi::paguro_reply_new(borrow(&input), reply, out) }
        })?;
        Ok(Self {
            raw,
            loose: rendered.grammar.is_empty(),
            thinking_start: rendered.thinking_start.clone(),
            thinking_end: rendered.thinking_end.clone(),
        })
    }

    /// Takes `text` apart: the generated text, without [`Rendered::generation_prompt`], special tokens as
    /// [`Rendered::preserved_tokens`] says, without the end-of-generation token and the texts of [`Rendered::stops`].
    /// `partial`: more may follow or the reply was cut off, so a half marker at the end is held back and arguments may be
    /// incomplete.
    ///
    /// Where no grammar constrained the model, whatever does not parse is content: Llama 3's format has no marker for a call
    /// but `{`, and a person may well be told about braces.
    ///
    /// # Errors
    /// A whole reply that does not match the format although a grammar held the model to it; more than 256 nested brackets.
    pub fn parse(&self, text: &str, partial: bool) -> Result<ParsedReply, ShimError> {
        let parsed = call_json(|out| {
            // SAFETY: the handle is alive as long as `self`, the text as long as the call.
            unsafe { ffi::paguro_reply_parse(self.raw.as_ptr(), borrow(text), partial, out) }
        });
        match parsed {
            Err(error) if self.loose && error.kind == ErrorKind::Refused => Ok(self.as_content(text)),
            parsed => parsed,
        }
    }

    /// `text` as content, but for reasoning in front.
    fn as_content(&self, text: &str) -> ParsedReply {
        let split = self.thinking_end.iter().find_map(|end| text.split_once(end.as_str()));
        let (reasoning, content) = split.unwrap_or(("", text));
        let reasoning = reasoning.trim_start();
        ParsedReply {
            content: content.trim_start().to_owned(),
            reasoning: reasoning.strip_prefix(self.thinking_start.as_str()).unwrap_or(reasoning).trim_start().to_owned(),
            tool_calls: Vec::new(),
        }
    }
}

impl Drop for ReplyParser {
    fn drop(&mut self) {
        // SAFETY: the handle came from paguro_reply_new, and nobody else frees it.
        unsafe { ffi::paguro_reply_free(self.raw.as_ptr()) }
    }
}
