//! The demo model through the engine: it calls a tool, quotes the result, and each turn finds the one before in the cache.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::ops::ControlFlow;
use std::path::Path;

use engine::{Delta, Engine, Finish, FinishReason, LoadOptions, Message, ModelSource, Request, Role, ToolSchema};
use serde_json::{Map, Value, json};

fn tools() -> Vec<ToolSchema> {
    let tool = |name: &str, keys: &[&str]| {
        let properties: Map<String, Value> = keys.iter().map(|key| ((*key).into(), json!({"type": "string"}))).collect();
        let parameters = json!({"type": "object", "properties": properties, "required": keys});
        ToolSchema { name: name.into(), description: name.into(), parameters }
    };
    let two: [&[&str]; 2] = [&["path", "content"], &["path", "old", "new"]];
    let one = [
        ("shell", "command"),
        ("read_file", "path"),
        ("list_dir", "path"),
        ("search_files", "pattern"),
        ("remember", "text"),
        ("recall", "query"),
    ];
    let one = one.iter().map(|(name, key)| tool(name, &[key]));
    one.chain([tool("write_file", two[0]), tool("edit_file", two[1])]).collect()
}

async fn turn(engine: &Engine, messages: &[Message]) -> Finish {
    let request = Request { messages: messages.to_vec(), tools: tools(), ..Request::default() };
    let mut generation = engine.generate(request).await.unwrap();
    let mut said = String::new();
    loop {
        match generation.next().await.unwrap().unwrap() {
            Delta::Text(text) => said.push_str(&text),
            Delta::Finish(finish) => {
                assert_eq!(said, finish.message.content);
                return *finish;
            }
            Delta::Prefill { .. } | Delta::Reasoning(_) => {}
        }
    }
}

#[tokio::test]
async fn a_dialogue_with_a_tool() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo/demo.gguf");
    let engine = Engine::load(LoadOptions::new(ModelSource::File(path)), |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!((engine.info().tools, engine.info().sampling.temperature), (true, Some(0.0)));
    let tail = "\n\n[time: 2026-11-21 09:41 Saturday]";
    let mut messages = vec![Message::new(Role::System, "You are Paguro."), Message::new(Role::User, format!("run uname -a{tail}"))];
    let call = turn(&engine, &messages).await;
    assert_eq!((call.reason, call.cache_miss.as_deref()), (FinishReason::ToolCalls, Some("first request")));
    let shell = &call.message.tool_calls[0];
    assert_eq!((shell.id.as_str(), shell.name.as_str(), &shell.arguments), ("call_1", "shell", &json!({"command": "uname -a"})));

    messages.extend([call.message.clone(), Message::tool(shell, "Linux shell 6.1")]);
    let reply = turn(&engine, &messages).await;
    assert!(reply.message.content.contains("Linux shell 6.1"), "{}", reply.message.content);
    let held = call.usage.prompt_tokens + call.usage.completion_tokens;
    assert_eq!((reply.reason, reply.cache_miss, reply.usage.reused_tokens), (FinishReason::Stop, None, held));

    messages.extend([reply.message.clone(), Message::new(Role::User, format!("thank you{tail}"))]);
    let thanks = turn(&engine, &messages).await;
    let held = reply.usage.prompt_tokens + reply.usage.completion_tokens;
    assert_eq!((thanks.cache_miss, thanks.usage.reused_tokens), (None, held));
}
