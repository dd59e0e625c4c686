//! From a [`Request`] to the prompt's tokens, and why less of them is in the cache than could be.

use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::llama_cpp_2::vocab::LlamaVocab;
use llama_sys::{Capabilities, ChatTemplate, RenderInput, Rendered};
use serde_json::{Map, Value, json};

use crate::error::one_line;
use crate::{EngineError, Message, Request, Role, ToolSchema};

/// Tokens of each side that a cache miss quotes.
const QUOTED_TOKENS: usize = 4;

/// A rendered request.
pub(super) struct Prompt {
    pub(super) rendered: Rendered,
    pub(super) tokens: Vec<LlamaToken>,
}

/// Renders `request` and tokenizes it, the template's own markers as special tokens. `now` is what the template takes for
/// the time, in seconds since 1970.
pub(super) fn render(
    template: &ChatTemplate,
    capabilities: Capabilities,
    model: &LlamaModel,
    request: &Request,
    now: i64,
) -> Result<Prompt, EngineError> {
    let messages = Value::Array(request.messages.iter().map(message_json).collect());
    let tools = Value::Array(request.tools.iter().map(tool_json).collect());
    let input = RenderInput {
        tools: Some(&tools).filter(|_| !request.tools.is_empty()),
        json_schema: request.json_schema.as_ref(),
        parallel_tool_calls: capabilities.parallel_tool_calls,
        now: Some(now),
        ..RenderInput::new(&messages)
    };
    let rendered = template.render(&input).map_err(|error| {
        // The same conversation without tools tells whose fault it is.
        let plain = RenderInput { tools: None, ..input };
        match input.tools.is_some() && template.render(&plain).is_ok() {
            true => EngineError::ToolSchema(one_line(error)),
            false => EngineError::Template(one_line(error)),
        }
    })?;
    let tokens = model.vocab().tokenize(rendered.prompt.as_bytes(), true, true);
    Ok(Prompt { rendered, tokens })
}

/// A message as in OpenAI's chat completions.
fn message_json(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut fields = Map::new();
    fields.insert("role".into(), role.into());
    fields.insert("content".into(), message.content.as_str().into());
    let mut optional = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            fields.insert(key.into(), value.as_str().into());
        }
    };
    optional("reasoning_content", &message.reasoning);
    optional("tool_call_id", &message.tool_call_id);
    optional("name", &message.name);
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let function = json!({ "name": call.name, "arguments": call.arguments.to_string() });
            json!({ "type": "function", "id": call.id, "function": function })
        });
        fields.insert("tool_calls".into(), calls.collect());
    }
    Value::Object(fields)
}

fn tool_json(tool: &ToolSchema) -> Value {
    let function = json!({ "name": tool.name, "description": tool.description, "parameters": tool.parameters });
    json!({ "type": "function", "function": function })
}

/// Tokens at the start that `held` and `prompt` have in common.
pub(super) fn common_prefix(held: &[LlamaToken], prompt: &[LlamaToken]) -> usize {
    std::iter::zip(held, prompt).take_while(|(a, b)| a == b).count()
}

/// Why not all of `held`, which the request with the messages `previous` left behind, is the start of `prompt`, whose messages
/// are `messages`; `None`: all of it is.
pub(super) fn cache_miss(
    vocabulary: &LlamaVocab<'_>,
    (previous, held): (&[Message], &[LlamaToken]),
    (messages, prompt): (&[Message], &[LlamaToken]),
) -> Option<String> {
    let common = common_prefix(held, prompt);
    if held.is_empty() {
        return Some(if previous.is_empty() { "first request" } else { "the cache was emptied" }.into());
    }
    if common == held.len() {
        return None;
    }
    if !same_conversation(previous, messages) {
        return Some("another conversation".into());
    }
    let quote = |tokens: &[LlamaToken]| {
        let tokens = &tokens[common..tokens.len().min(common + QUOTED_TOKENS)];
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| vocabulary.token_to_piece(*token, true, None)).collect();
        format!("{:?}", String::from_utf8_lossy(&bytes))
    };
    Some(format!("the conversation differs from token {common}: {} where {} was", quote(prompt), quote(held)))
}

/// Whether `messages` go on with the conversation of `previous`: the first message that is not the system block is the same.
fn same_conversation(previous: &[Message], messages: &[Message]) -> bool {
    let first = |messages: &[Message]| messages.iter().find(|message| message.role != Role::System).cloned();
    first(previous) == first(messages)
}
