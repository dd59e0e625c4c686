//! Does a model's chat template leave the past alone? Three turns with a tool call, of which each goes on from the one before: what is
//! found again in the KV cache of what was there is the figure. A template that rewrites earlier turns (takes their reasoning out, moves
//! the tools) makes every turn prefill anew.

use anyhow::{Result, anyhow};
use engine::{Delta, Engine, Finish, Message, Request, Role, Sampling, ToolCall, ToolSchema};
use serde::Serialize;
use serde_json::json;

/// A prompt of which less than this part is found again counts as rewritten. A template may end a prompt with a few tokens (an empty
/// thought, say) that its next rendering does not have.
const STABLE: f64 = 0.9;

/// How much of each prompt the next turn found again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prefix {
    pub stable: bool,
    pub turns: Vec<Turn>,
}

/// One of the turns after the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// Tokens of the prompt before this one.
    pub before: u32,
    /// Of those, how many were found again.
    pub reused: u32,
    /// Tokens of this prompt.
    pub prompt: u32,
    /// The engine's word for why not all were.
    pub cache_miss: Option<String>,
}

/// Measures `engine` with a short conversation: three prefills and one token after each.
///
/// # Errors
/// Those of a generation.
pub async fn measure(engine: &Engine) -> Result<Prefix> {
    let mut turns = Vec::new();
    let mut before = 0;
    for messages in conversation() {
        let finish = generate(engine, messages).await?;
        let usage = finish.usage;
        if before > 0 {
            // More than the last prompt can be found again: the token that was generated on it.
            let reused = usage.reused_tokens.min(before);
            turns.push(Turn { before, reused, prompt: usage.prompt_tokens, cache_miss: finish.cache_miss });
        }
        before = usage.prompt_tokens;
    }
    let stable = turns.iter().all(|turn| f64::from(turn.reused) >= STABLE * f64::from(turn.before));
    Ok(Prefix { stable, turns })
}

impl Prefix {
    /// One line for people.
    pub fn says(&self) -> String {
        let found: Vec<String> = self.turns.iter().map(|turn| format!("{} of {}", turn.reused, turn.before)).collect();
        let found = found.join(" and ");
        match self.stable {
            true => format!("yes: {found} tokens found again in three turns with a tool"),
            false => {
                format!("NO: only {found} tokens found again in three turns with a tool; each turn reads much of the conversation anew")
            }
        }
    }
}

/// The prompts of three turns: the person asks, a tool answers, the person asks again.
fn conversation() -> [Vec<Message>; 3] {
    let call = ToolCall { id: "call_1".to_owned(), name: "list_dir".to_owned(), arguments: json!({ "path": "notes" }) };
    let thinking =
        |message: Message| Message { reasoning: Some("They want to know what is in the folder, so I look.".to_owned()), ..message };
    let mut messages = vec![
        Message::new(Role::System, "You are a helpful agent. Use the tools to look things up; say what you found in one sentence."),
        Message::new(Role::User, "Which notes do I have about the garden?"),
    ];
    let first = messages.clone();
    messages.push(thinking(Message { tool_calls: vec![call.clone()], ..Message::new(Role::Assistant, "") }));
    messages.push(Message::tool(&call, "garden-2024.md\ngarden-2025.md\nbicycle.md"));
    let second = messages.clone();
    messages.push(thinking(Message::new(Role::Assistant, "You have two notes about the garden, from 2024 and from 2025.")));
    messages.push(Message::new(Role::User, "And which is the newer one?"));
    [first, second, messages]
}

async fn generate(engine: &Engine, messages: Vec<Message>) -> Result<Finish> {
    let tool = ToolSchema {
        name: "list_dir".to_owned(),
        description: "Lists the files of a folder.".to_owned(),
        parameters: json!({ "type": "object", "properties": { "path": { "type": "string" } }, "required": ["path"] }),
    };
    let tools = if engine.info().tools { vec![tool] } else { Vec::new() };
    let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    let request = Request { messages, tools, sampling, max_tokens: Some(1), ..Request::default() };
    let mut generation = engine.generate(request).await?;
    while let Some(delta) = generation.next().await {
        if let Delta::Finish(finish) = delta? {
            return Ok(*finish);
        }
    }
    Err(anyhow!("the model ended without an answer"))
}
