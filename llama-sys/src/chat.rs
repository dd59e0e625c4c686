//! Chat templates: what a model's template can do, and a conversation rendered with it.

use std::ptr::NonNull;

use llama_cpp_2::model::LlamaModel;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ShimError;
use crate::ffi::{self, borrow, call_handle, call_json};

/// A model's chat template, parsed once. Rendering takes `&self` and keeps no state between calls.
#[derive(Debug)]
pub struct ChatTemplate {
    raw: NonNull<ffi::paguro_chat>,
    source: String,
    capabilities: Capabilities,
}

// SAFETY: the handle owns all it points to and has no tie to the thread that made it. (It is not `Sync`: llama.cpp does
// not promise that one parsed template may run on two threads at a time.)
unsafe impl Send for ChatTemplate {}

/// What a template has a place for, found by llama.cpp by rendering it with probes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// It describes the tools to the model. Without it llama.cpp has no text about the tools in the prompt.
    #[serde(rename = "supports_tools")]
    pub tools: bool,
    /// It renders the tool calls of an assistant message.
    #[serde(rename = "supports_tool_calls")]
    pub tool_calls: bool,
    /// More than one tool call in one assistant message.
    #[serde(rename = "supports_parallel_tool_calls")]
    pub parallel_tool_calls: bool,
    /// A system message. Without it llama.cpp puts the system text in front of the first user message.
    #[serde(rename = "supports_system_role")]
    pub system_role: bool,
    /// The reasoning of earlier assistant messages is rendered rather than stripped, when asked to.
    #[serde(rename = "supports_preserve_reasoning")]
    pub preserve_reasoning: bool,
    /// The template has reasoning markers and [`RenderInput::reasoning`] changes what is rendered or parsed.
    pub reasoning: bool,
}

/// Whether the model may, must or must not call a tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolChoice {
    /// It may; the grammar is lazy and sets in at the first marker of a call.
    #[default]
    Auto,
    /// It must; the grammar holds from the first token on.
    Required,
    /// It must not; no grammar.
    None,
}

/// One conversation to render.
#[derive(Debug, Clone, Serialize)]
pub struct RenderInput<'a> {
    /// Array of messages as in OpenAI's chat completions: `role`, `content`, `reasoning_content`, `tool_calls`
    /// (`[{"type":"function","id":…,"function":{"name":…,"arguments":TEXT or object}}]`), `tool_call_id`, `name`.
    pub messages: &'a Value,
    /// Array of tools as there (`[{"type":"function","function":{"name":…,"description":…,"parameters":SCHEMA}}]`);
    /// `None` or empty: none.
    pub tools: Option<&'a Value>,
    /// JSON Schema that the text of the reply must follow; not together with tools.
    pub json_schema: Option<&'a Value>,
    /// Whether a tool may be called.
    pub tool_choice: ToolChoice,
    /// Whether one reply may hold several calls.
    pub parallel_tool_calls: bool,
    /// Whether the model may reason first, where the template has a switch for it (`enable_thinking`). Reasoning is
    /// split off the reply either way.
    pub reasoning: bool,
    /// Whether the prompt ends with the assistant's opening.
    pub add_generation_prompt: bool,
    /// The clock that the template sees, in seconds since 1970, shown in the machine's time zone; `None`: the machine's clock.
    /// Fix it for a session: some templates write the date into the system block, and a new day would change the first tokens.
    pub now: Option<i64>,
    /// Further variables for the template, an object (`{"reasoning_effort":"low"}`).
    pub variables: Option<&'a Value>,
}

impl<'a> RenderInput<'a> {
    /// `messages` alone: no tools, reasoning allowed, the assistant's opening at the end, the machine's clock.
    #[must_use]
    pub fn new(messages: &'a Value) -> Self {
        Self {
            messages,
            tools: None,
            json_schema: None,
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: false,
            reasoning: true,
            add_generation_prompt: true,
            now: None,
            variables: None,
        }
    }
}

/// What kind of thing sets a lazy grammar going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    /// One token.
    Token,
    /// A text anywhere in the reply.
    Word,
    /// A regular expression that is searched in the reply.
    Pattern,
    /// A regular expression that must match the whole reply so far.
    PatternFull,
}

/// What sets a lazy grammar going. [`crate::GrammarSampler`] reads these; nobody else need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// How to read `value`.
    pub kind: TriggerKind,
    /// The text or the expression.
    pub value: String,
    /// The token, for [`TriggerKind::Token`].
    pub token: Option<i32>,
}

/// A rendered conversation, and how to constrain and read the reply to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// The text to tokenize with `parse_special`. Does it start with the BOS token? Not when the vocabulary adds one by
    /// itself: tokenize with `add_special` and there is exactly one.
    pub prompt: String,
    /// The end of `prompt` that already belongs to the reply (`<|im_start|>assistant\n<think>\n`). The parser and the
    /// grammar take it into account: pass them the generated text and tokens only.
    pub generation_prompt: String,
    /// GBNF; empty: unconstrained.
    pub grammar: String,
    /// The grammar sets in at a trigger, not at the first token.
    pub grammar_lazy: bool,
    /// What sets it going.
    pub triggers: Vec<Trigger>,
    /// Special tokens that the parser needs to see in the text: detokenize these with `special`, all others without
    /// (see [`crate::preserved_tokens`]).
    pub preserved_tokens: Vec<String>,
    /// Texts that end the reply besides the end-of-generation tokens; not part of the reply.
    pub stops: Vec<String>,
    /// The template marks reasoning.
    pub supports_thinking: bool,
    /// The marker that opens reasoning (`<think>`); empty: none.
    pub thinking_start: String,
    /// The markers that close it.
    pub thinking_end: Vec<String>,
    /// llama.cpp's name of the reply's format.
    pub format: String,
    /// llama.cpp's number of it, valid for this llama.cpp only.
    pub format_id: i32,
    /// The parser, serialised by llama.cpp; empty: all text is content. [`crate::ReplyParser`] reads it.
    pub parser: String,
}

impl ChatTemplate {
    /// The template of `model`, or `template_override` in its place. Without a model, `bos` and `eos` are the texts that
    /// the template sees as `bos_token` and `eos_token`; with one they are ignored, its vocabulary knows better.
    ///
    /// # Errors
    /// Neither a model with a template nor an override; a template that does not parse.
    pub fn new(model: Option<&LlamaModel>, template_override: Option<&str>, bos: &str, eos: &str) -> Result<Self, ShimError> {
        let model = model.map_or(std::ptr::null(), ffi::model_ptr);
        let source = borrow(template_override.unwrap_or_default());
        let raw = call_handle(|chat, out| {
            // SAFETY: the texts are borrowed and outlive the call, `model` is null or a live model, and the shim keeps none of them.
            unsafe { ffi::paguro_chat_new(model, source, borrow(bos), borrow(eos), chat, out) }
        })?;
        let mut template = Self { raw, source: String::new(), capabilities: Capabilities::default() };
        let info: Info = call_json(|out| {
            // SAFETY: the handle is alive as long as `template`.
            unsafe { ffi::paguro_chat_info(template.raw.as_ptr(), out) }
        })?;
        template.source = info.source;
        template.capabilities = info.capabilities;
        Ok(template)
    }

    /// What the template has a place for.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The template's text, as it was given.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Renders a conversation.
    ///
    /// # Errors
    /// Messages, tools or schema of the wrong shape or nested too deep; the template raised an exception or cannot do
    /// what is asked; llama.cpp found no parser for it.
    pub fn render(&self, input: &RenderInput<'_>) -> Result<Rendered, ShimError> {
        let input = serde_json::to_string(input).map_err(|error| ShimError::input(format!("the input is not JSON: {error}")))?;
        self.render_json(&input)
    }

    /// As [`ChatTemplate::render`], from the text that the shim reads.
    fn render_json(&self, input: &str) -> Result<Rendered, ShimError> {
        call_json(|out| {
            // SAFETY: the handle is alive as long as `self`, the text as long as the call.
            unsafe { ffi::paguro_chat_render(self.raw.as_ptr(), borrow(input), out) }
        })
    }
}

impl Drop for ChatTemplate {
    fn drop(&mut self) {
        // SAFETY: the handle came from paguro_chat_new, and nobody else frees it.
        unsafe { ffi::paguro_chat_free(self.raw.as_ptr()) }
    }
}

#[derive(Deserialize)]
struct Info {
    source: String,
    capabilities: Capabilities,
}
