//! A reply, whole or partial, taken apart into content, reasoning and tool calls.

use std::ptr::NonNull;

use serde::{Deserialize, Serialize};

use crate::ffi::{self, borrow, call_handle, call_json};
use crate::{Rendered, ShimError};

/// The parser for the replies to one [`Rendered`], deserialised once: a partial parse per token costs only the parse.
#[derive(Debug)]
pub struct ReplyParser {
    raw: NonNull<ffi::paguro_reply>,
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
    /// Text for the person.
    pub content: String,
    /// Reasoning, without its markers.
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
        Ok(Self { raw })
    }

    /// Takes `text` apart: the generated text, without [`Rendered::generation_prompt`], special tokens as
    /// [`Rendered::preserved_tokens`] says. `partial`: more may follow, so a half marker at the end is held back and
    /// arguments may be cut off. Each partial result extends the one before it.
    ///
    /// # Errors
    /// The text does not match the format (only with `partial` false, save for nesting beyond what is read).
    pub fn parse(&self, text: &str, partial: bool) -> Result<ParsedReply, ShimError> {
        call_json(|out| {
            // SAFETY: the handle is alive as long as `self`, the text as long as the call.
            unsafe { ffi::paguro_reply_parse(self.raw.as_ptr(), borrow(text), partial, out) }
        })
    }
}

impl Drop for ReplyParser {
    fn drop(&mut self) {
        // SAFETY: the handle came from paguro_reply_new, and nobody else frees it.
        unsafe { ffi::paguro_reply_free(self.raw.as_ptr()) }
    }
}
