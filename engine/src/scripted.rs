//! The `Scripted` backend plays given replies, so that everything around a model is tested without one (DESIGN §8).
//!
//! A script is JSON lines; blank lines are skipped. It keeps no state: the same request always gets the same reply. Only the
//! ledger (`reused`, `prefilled`) remembers the previous request, as a KV cache would.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use regex::{Captures, Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::backend::{Backend, Next, Sink};
use crate::thread::Progress;
use crate::{Delta, EngineError, Finish, FinishReason, Message, ModelInfo, Request, Role, Sampling, Timings, ToolCall, Usage};

/// Context of a script in tokens where the options name none; the same as the cap for real models.
const CONTEXT: u32 = 32_768;
/// What is said when no line matches.
const NO_RULE: &str = "no rule";

/// One line of a script.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Searched for in the last message's content; `^` and `$` match at every line. Absent: matches all.
    #[serde(default)]
    when: String,
    /// The last message's role.
    role: Option<Role>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    tool_calls: Vec<Call>,
    reasoning: Option<String>,
    /// Milliseconds before each word of reasoning and text.
    #[serde(default)]
    delay_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    name: String,
    #[serde(default)]
    arguments: Map<String, Value>,
}

/// A line with its pattern compiled.
#[derive(Debug)]
struct Rule {
    when: Regex,
    line: Line,
}

/// Plays the replies of a script. A token is a word: a run of characters that are not white space.
#[derive(Debug)]
pub(crate) struct Scripted {
    info: ModelInfo,
    rules: Vec<Rule>,
    /// What a KV cache would hold: the previous request's messages and its reply, with each one's tokens.
    held: Vec<Message>,
    playing: Vec<Playing>,
}

impl Scripted {
    /// Reads the script at `path`.
    pub(crate) fn load(path: &Path, context: Option<u32>, mut progress: Progress) -> Result<Self, EngineError> {
        let start = Instant::now();
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => EngineError::NoSuchModel { path: path.into() },
            _ => EngineError::BadModel { path: path.into(), reason: error.to_string() },
        })?;
        if progress(1.0).is_break() {
            return Err(EngineError::LoadCancelled);
        }
        let context = context.unwrap_or(CONTEXT);
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
        let rules = parse(path, &bytes)?;
        let info = ModelInfo {
            name,
            hash: String::new(),
            architecture: "script".into(),
            parameters: 0,
            weight_bytes: 0,
            context,
            trained_context: context,
            cache_type_k: None,
            cache_type_v: None,
            tools: true,
            sampling: Sampling::default(),
            load_ms: start.elapsed().as_secs_f64() * 1e3,
        };
        Ok(Self { info, rules, held: Vec::new(), playing: Vec::new() })
    }

    /// The reply to `messages` with captures filled in, and the time per word.
    fn reply(&self, messages: &[Message]) -> (Message, Duration) {
        let nothing = Message::new(Role::User, "");
        let last = messages.last().unwrap_or(&nothing);
        let matching = self.rules.iter().find_map(|rule| {
            let role = rule.line.role.is_none_or(|role| role == last.role);
            let captures = rule.when.captures(&last.content);
            captures.filter(|_| role).map(|captures| (&rule.line, captures))
        });
        let Some((line, captures)) = matching else {
            return (Message::new(Role::Assistant, NO_RULE), Duration::ZERO);
        };
        let mut message = Message::new(Role::Assistant, expand(&line.text, &captures));
        message.reasoning = line.reasoning.as_ref().map(|text| expand(text, &captures));
        let earlier: usize = messages.iter().map(|message| message.tool_calls.len()).sum();
        message.tool_calls = (earlier + 1..)
            .zip(&line.tool_calls)
            .map(|(number, call)| ToolCall {
                id: format!("call_{number}"),
                name: expand(&call.name, &captures),
                arguments: expand_value(&Value::Object(call.arguments.clone()), &captures),
            })
            .collect();
        (message, Duration::from_millis(line.delay_ms))
    }

    /// Counts the prompt and what of it the previous request left behind.
    fn ledger(&self, request: &Request) -> (Usage, Option<String>) {
        let common = std::iter::zip(&self.held, &request.messages).take_while(|(a, b)| a == b);
        let common = common.count();
        // The tools stand with the system block, so they are held as soon as anything is.
        let tools = request.tools.iter().map(|tool| words(&tool.name) + words(&tool.description) + words(&tool.parameters.to_string()));
        let tools: u32 = tools.sum();
        let sum = |messages: &[Message]| messages.iter().map(message_tokens).sum::<u32>();
        let prompt_tokens = tools + sum(&request.messages);
        let reused_tokens = match common {
            0 => 0,
            _ => tools + sum(&request.messages[..common]),
        };
        let miss = match common {
            _ if common == self.held.len() && common > 0 => None,
            _ if self.held.is_empty() => Some("first request".into()),
            0 => Some("another conversation".into()),
            _ => Some(format!("the conversation differs from message {}", common + 1)),
        };
        let prefilled_tokens = prompt_tokens - reused_tokens;
        (Usage { prompt_tokens, reused_tokens, prefilled_tokens, completion_tokens: 0 }, miss)
    }
}

impl Backend for Scripted {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> Result<u32, EngineError> {
        Ok(words(text))
    }

    fn begin(&mut self, request: Box<Request>, mut sink: Sink) {
        let (usage, cache_miss) = self.ledger(&request);
        let (tokens, context) = (usage.prompt_tokens, self.info.context);
        if tokens >= context {
            return sink.finish(Err(EngineError::PromptTooLong { tokens, context }));
        }
        sink.send(Delta::Prefill { done: usage.reused_tokens, total: tokens });
        sink.send(Delta::Prefill { done: tokens, total: tokens });
        let (reply, delay) = self.reply(&request.messages);
        let room = request.max_tokens.unwrap_or(u32::MAX).min(context - tokens);
        let said = Message::new(Role::Assistant, "");
        let due = Instant::now() + delay;
        let parts = parts(&reply);
        self.playing.push(Playing { sink, request, usage, cache_miss, parts, delay, due, room, tokens: 0, first_token_ms: None, said });
    }

    fn step(&mut self) -> Next {
        let now = Instant::now();
        let mut playing = Vec::new();
        for mut one in std::mem::take(&mut self.playing) {
            match one.play(now) {
                None => playing.push(one),
                Some(reason) => {
                    self.held.clone_from(&one.request.messages);
                    self.held.push(one.said.clone());
                    one.end(reason);
                }
            }
        }
        self.playing = playing;
        self.playing.iter().map(|playing| playing.due).min().map_or(Next::Idle, Next::At)
    }
}

/// A piece of a reply that is said at once.
#[derive(Debug)]
enum Part {
    Reasoning(String),
    Text(String),
    Call(ToolCall),
}

/// The pieces of `reply`, last first.
fn parts(reply: &Message) -> Vec<Part> {
    let reasoning = reply.reasoning.as_deref().unwrap_or_default();
    let reasoning = split_words(reasoning).map(|word| Part::Reasoning(word.into()));
    let text = split_words(&reply.content).map(|word| Part::Text(word.into()));
    let mut parts: Vec<Part> = reasoning.chain(text).chain(reply.tool_calls.iter().cloned().map(Part::Call)).collect();
    parts.reverse();
    parts
}

/// A reply on its way out, word by word.
#[derive(Debug)]
struct Playing {
    sink: Sink,
    request: Box<Request>,
    usage: Usage,
    cache_miss: Option<String>,
    /// What is still to be said, last first.
    parts: Vec<Part>,
    /// Before each word.
    delay: Duration,
    /// When the next word is said.
    due: Instant,
    /// Tokens that may be said.
    room: u32,
    tokens: u32,
    first_token_ms: Option<f64>,
    said: Message,
}

impl Playing {
    /// Says what is due; why it ended, if it has.
    fn play(&mut self, now: Instant) -> Option<FinishReason> {
        loop {
            if let Some(reason) = self.sink.limit(self.request.deadline) {
                return Some(reason);
            }
            let Some(part) = self.parts.last() else {
                return Some(if self.said.tool_calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls });
            };
            let waits = !self.delay.is_zero() && !matches!(part, Part::Call(_));
            if waits && self.due > now {
                // A deadline may come before the word.
                self.due = self.request.deadline.map_or(self.due, |deadline| self.due.min(deadline.max(now)));
                return None;
            }
            let tokens = match part {
                Part::Reasoning(word) | Part::Text(word) => words(word),
                Part::Call(call) => call_tokens(call),
            };
            if self.tokens + tokens > self.room {
                return Some(FinishReason::Length);
            }
            self.tokens += tokens;
            let asked = self.sink.asked();
            self.first_token_ms.get_or_insert_with(|| milliseconds(asked));
            self.say();
            self.due = now + self.delay;
        }
    }

    fn say(&mut self) {
        match self.parts.pop() {
            Some(Part::Reasoning(word)) => {
                self.said.reasoning.get_or_insert_default().push_str(&word);
                self.sink.send(Delta::Reasoning(word));
            }
            Some(Part::Text(word)) => {
                self.said.content.push_str(&word);
                self.sink.send(Delta::Text(word));
            }
            Some(Part::Call(call)) => self.said.tool_calls.push(call),
            None => {}
        }
    }

    fn end(self, reason: FinishReason) {
        let asked = self.sink.asked();
        let first_token_ms = self.first_token_ms.unwrap_or_else(|| milliseconds(asked));
        let decode_ms = milliseconds(asked) - first_token_ms;
        self.sink.finish(Ok(Finish {
            reason,
            message: self.said,
            usage: Usage { completion_tokens: self.tokens, ..self.usage },
            timings: Timings { first_token_ms, decode_ms, ..Timings::default() },
            cache_miss: self.cache_miss,
        }));
    }
}

/// Compiles a script; `path` is for the errors.
fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Rule>, EngineError> {
    let bad = |line: usize, reason: String| EngineError::BadScript { path: path.into(), line, reason };
    let mut rules = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = std::str::from_utf8(line).map_err(|_| bad(number, "it is not UTF-8".into()))?;
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(line).map_err(|error| bad(number, reason(&error)))?;
        let when = RegexBuilder::new(&line.when).multi_line(true).build().map_err(|error| {
            // The regex crate draws a picture over several lines; its last line says what is wrong.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            bad(number, format!("`when` is not a regular expression: {}", last.trim_start_matches("error: ")))
        })?;
        rules.push(Rule { when, line });
    }
    Ok(rules)
}

/// The text of `error` with the column only: each line of a script is parsed as a whole text of its own.
fn reason(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

/// Fills `$1` or `${1}` in with the captures, empty where a group did not match; `$$` is a dollar sign. Any other `$` stands for itself.
fn expand(template: &str, captures: &Captures<'_>) -> String {
    let group = |digits: &str| {
        let group = digits.parse().ok().and_then(|number| captures.get(number));
        group.map_or("", |group| group.as_str())
    };
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if digits > 0 {
            out.push_str(group(&after[..digits]));
            rest = &after[digits..];
        } else if let Some((inner, tail)) = braced.filter(|(inner, _)| is_number(inner)) {
            out.push_str(group(inner));
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out + rest
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// [`expand`] in every string inside `value`; keys stay.
fn expand_value(value: &Value, captures: &Captures<'_>) -> Value {
    match value {
        Value::String(text) => Value::String(expand(text, captures)),
        Value::Array(items) => items.iter().map(|item| expand_value(item, captures)).collect(),
        Value::Object(map) => {
            let fields = map.iter().map(|(key, item)| (key.clone(), expand_value(item, captures)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// `text` cut behind the white space that follows each word, nothing lost.
fn split_words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let word = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let end = rest[word..].find(char::is_whitespace).map_or(rest.len(), |at| word + at);
        let next = rest[end..].find(|c: char| !c.is_whitespace()).map_or(rest.len(), |at| end + at);
        let piece;
        (piece, rest) = rest.split_at(next);
        Some(piece)
    })
}

fn words(text: &str) -> u32 {
    u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX)
}

/// One for the role, then the words.
fn message_tokens(message: &Message) -> u32 {
    let reasoning = message.reasoning.as_deref().map_or(0, words);
    1 + words(&message.content) + reasoning + message.tool_calls.iter().map(call_tokens).sum::<u32>()
}

/// One for the name, then the words of the arguments.
fn call_tokens(call: &ToolCall) -> u32 {
    1 + words(&call.arguments.to_string())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests;
