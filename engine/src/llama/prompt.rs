//! From a [`Request`] to the prompt's tokens, and why less of them is in the cache than could be.

use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::llama_cpp_2::vocab::LlamaVocab;
use llama_sys::{Capabilities, ChatTemplate, RenderInput, Rendered};
use serde_json::{Map, Value, json};

use super::safe::{Found, Mark, Marking, OwnReply, SpecialTexts};
use crate::error::one_line;
use crate::{EngineError, Message, Request, Role, ToolSchema};

/// Tokens of each side that a cache miss quotes.
const QUOTED_TOKENS: usize = 4;

/// A rendered request.
pub(super) struct Prompt {
    pub(super) rendered: Rendered,
    pub(super) tokens: Vec<LlamaToken>,
}

/// Renders `request` and tokenizes it: the template's own markers as special tokens, and nothing else. `now` is what the template
/// takes for the time, in seconds since 1970.
pub(super) fn render(
    template: &ChatTemplate,
    capabilities: Capabilities,
    (model, specials): (&LlamaModel, &SpecialTexts),
    request: &Request,
    now: i64,
) -> Result<Prompt, EngineError> {
    let (mut found, mut found_in_tools) = (Found::default(), Found::default());
    let plain = Conversation {
        messages: messages_json(&request.messages, &mut |text| look(specials, text, &mut found)),
        tools: tools_json(&request.tools, &mut |text| look(specials, text, &mut found_in_tools)),
    };
    let render = |conversation: &Conversation| conversation.render(template, capabilities, request, now);
    let rendered = render(&plain)?;
    // What may form a marker with the template's text comes from messages; tools stand in JSON, between quotes.
    if !found.hit && !found.doubt && !found_in_tools.hit {
        let replies = own_replies((model, specials), &request.messages, &rendered);
        let tokens = specials.tokenize(model, &rendered.prompt, None, &replies);
        return Ok(Prompt { rendered, tokens });
    }
    let mark = Mark::choose(&strings(request));
    let safe = |marking| {
        let mut edit = |text: &str| specials.marked(text, mark, marking);
        let messages = messages_json(&request.messages, &mut edit);
        let tools = tools_json(&request.tools, &mut |text| specials.marked(text, mark, Marking::Hits));
        let mut marked = render(&Conversation { messages, tools })?;
        marked.prompt = mark.unescape(&marked.prompt);
        let replies = own_replies((model, specials), &request.messages, &marked);
        let tokens = specials.tokenize(model, &marked.prompt, Some(mark), &replies);
        Ok::<_, EngineError>((tokens, mark.remove(&marked.prompt)))
    };
    let (mut tokens, mut prompt) = safe(Marking::Hits)?;
    if found.doubt {
        let certain = safe(Marking::Doubts)?;
        // Marks at the ends of a string change how ordinary text is tokenized, so they stay only where they are needed.
        if specials.special(model, &certain.0) != specials.special(model, &tokens) {
            (tokens, prompt) = certain;
        }
    }
    // Grammar and parser come from the tools as they are.
    Ok(Prompt { rendered: Rendered { prompt, ..rendered }, tokens })
}

/// Messages and tools as the template gets them.
struct Conversation {
    messages: Value,
    tools: Value,
}

impl Conversation {
    fn render(&self, template: &ChatTemplate, capabilities: Capabilities, request: &Request, now: i64) -> Result<Rendered, EngineError> {
        let input = RenderInput {
            tools: Some(&self.tools).filter(|_| !request.tools.is_empty()),
            json_schema: request.json_schema.as_ref(),
            parallel_tool_calls: capabilities.parallel_tool_calls,
            now: Some(now),
            ..RenderInput::new(&self.messages)
        };
        template.render(&input).map_err(|error| {
            // The same conversation without tools tells whose fault it is.
            let plain = RenderInput { tools: None, ..input };
            match input.tools.is_some() && template.render(&plain).is_ok() {
                true => EngineError::ToolSchema(one_line(error)),
                false => EngineError::Template(one_line(error)),
            }
        })
    }
}

/// What is done to each string on its way into the template.
type Edit<'a> = dyn FnMut(&str) -> String + 'a;

/// Leaves `text` as it is and adds to `found` what it holds.
fn look(specials: &SpecialTexts, text: &str, found: &mut Found) -> String {
    let one = specials.look(text);
    *found = Found { hit: found.hit || one.hit, doubt: found.doubt || one.doubt };
    text.to_owned()
}

/// All strings of `request` that go into the template.
fn strings(request: &Request) -> Vec<String> {
    let mut strings = Vec::new();
    let mut keep = |text: &str| {
        strings.push(text.to_owned());
        String::new()
    };
    messages_json(&request.messages, &mut keep);
    tools_json(&request.tools, &mut keep);
    strings
}

/// Messages as in OpenAI's chat completions, every string but the roles edited.
fn messages_json(messages: &[Message], edit: &mut Edit<'_>) -> Value {
    messages.iter().map(|message| message_json(message, edit)).collect()
}

fn message_json(message: &Message, edit: &mut Edit<'_>) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut fields = Map::new();
    fields.insert("role".into(), role.into());
    fields.insert("content".into(), edit(&message.content).into());
    let optional = [("reasoning_content", &message.reasoning), ("tool_call_id", &message.tool_call_id), ("name", &message.name)];
    for (key, value) in optional {
        if let Some(value) = value {
            fields.insert(key.into(), edit(value).into());
        }
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let arguments = edit_value(&call.arguments, edit).to_string();
            let function = json!({ "name": edit(&call.name), "arguments": arguments });
            json!({ "type": "function", "id": edit(&call.id), "function": function })
        });
        let calls: Value = calls.collect();
        fields.insert("tool_calls".into(), calls);
    }
    Value::Object(fields)
}

/// Tools as there, every string and key edited.
fn tools_json(tools: &[ToolSchema], edit: &mut Edit<'_>) -> Value {
    let tool = |tool: &ToolSchema| {
        let parameters = edit_value(&tool.parameters, edit);
        let function = json!({ "name": edit(&tool.name), "description": edit(&tool.description), "parameters": parameters });
        json!({ "type": "function", "function": function })
    };
    tools.iter().map(tool).collect()
}

/// `value` with its strings and keys edited.
fn edit_value(value: &Value, edit: &mut Edit<'_>) -> Value {
    match value {
        Value::String(text) => edit(text).into(),
        Value::Array(items) => items.iter().map(|item| edit_value(item, edit)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (edit(key), edit_value(value, edit))).collect(),
        other => other.clone(),
    }
}

/// Where the replies whose tokens are known stand in the prompt, and the tokens.
///
/// Each must stand right behind what the template puts in front of a reply, and that must hold a special token, which no text from
/// outside can be. A template that tells the past in other words has none, and its text is tokenized.
fn own_replies((model, specials): (&LlamaModel, &SpecialTexts), messages: &[Message], rendered: &Rendered) -> Vec<OwnReply> {
    let opening = rendered.generation_prompt.as_str();
    let replies = || messages.iter().filter(|message| message.role == Role::Assistant);
    if replies().all(|reply| reply.tokens.is_empty()) || !specials.look(opening).hit {
        return Vec::new();
    }
    let begins: Vec<usize> = rendered.prompt.match_indices(opening).map(|(at, _)| at + opening.len()).collect();
    // The last one is where the next reply begins.
    if begins.len() != replies().count() + 1 {
        return Vec::new();
    }
    let vocabulary = model.vocab();
    let own = |(begin, reply): (usize, &Message)| {
        let known = |token: u32| i32::try_from(token).ok().filter(|token| *token < vocabulary.n_tokens()).map(LlamaToken);
        let tokens: Vec<LlamaToken> = reply.tokens.iter().map(|token| known(*token)).collect::<Option<_>>()?;
        let text = text_of(&vocabulary, &tokens);
        let stands = !text.is_empty() && rendered.prompt[begin..].starts_with(&text);
        stands.then(|| OwnReply { range: begin..begin + text.len(), tokens })
    };
    std::iter::zip(begins, replies()).filter_map(own).collect()
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
    let quote = |tokens: &[LlamaToken]| text_of(vocabulary, &tokens[common..tokens.len().min(common + QUOTED_TOKENS)]);
    if let Some(reply) = stripped_reply(vocabulary, messages, &prompt[..common]).filter(|_| !quote(held).trim().is_empty()) {
        return Some(format!("the template removed the reasoning from reply {reply} at token {common}"));
    }
    Some(format!("the conversation differs from token {common}: {:?} where {:?} was", quote(prompt), quote(held)))
}

/// The number of the reply that follows `before`, if it had reasoning.
fn stripped_reply(vocabulary: &LlamaVocab<'_>, messages: &[Message], before: &[LlamaToken]) -> Option<usize> {
    let ended = before.iter().filter(|token| vocabulary.is_eog(**token)).count();
    // The system block is a message of its own in some templates and a part of the first in others.
    let candidates = [ended, ended + 1].into_iter().filter_map(|index| messages.get(index).map(|message| (index, message)));
    let (index, _) = candidates.into_iter().find(|(_, message)| message.role == Role::Assistant && message.reasoning.is_some())?;
    Some(messages[..=index].iter().filter(|message| message.role == Role::Assistant).count())
}

/// The text that `tokens` stand for, special tokens too.
fn text_of(vocabulary: &LlamaVocab<'_>, tokens: &[LlamaToken]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| vocabulary.token_to_piece(*token, true, None)).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether `messages` go on with the conversation of `previous`: the first message that is not the system block is the same.
fn same_conversation(previous: &[Message], messages: &[Message]) -> bool {
    let first = |messages: &[Message]| messages.iter().find(|message| message.role != Role::System).cloned();
    first(previous) == first(messages)
}
