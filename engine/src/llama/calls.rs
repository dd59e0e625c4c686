//! Tool calls of a finished reply: taken only if they can be run as they stand.

use std::collections::HashSet;

use llama_sys::ParsedToolCall;
use serde_json::Value;

use crate::schema::check_arguments;
use crate::{Message, ToolCall, ToolSchema};

/// The calls with their arguments parsed and ids that are unique in the conversation.
///
/// # Errors
/// What is wrong with the first call that names no tool of `tools`, or whose arguments are no object or not what its schema asks for.
pub(super) fn check_calls(parsed: &[ParsedToolCall], tools: &[ToolSchema], messages: &[Message]) -> Result<Vec<ToolCall>, String> {
    let mut ids: HashSet<String> = messages.iter().flat_map(|message| &message.tool_calls).map(|call| call.id.clone()).collect();
    let earlier = ids.len();
    let mut calls = Vec::new();
    for (number, call) in (earlier + 1..).zip(parsed) {
        let Some(tool) = tools.iter().find(|tool| tool.name == call.name) else {
            return Err(format!("there is no tool `{}`", call.name));
        };
        let arguments = parse_arguments(tool, &call.arguments)?;
        // Some templates insist on the model's own form of id.
        let own = Some(call.id.clone()).filter(|id| !id.is_empty() && !ids.contains(id));
        let made = (number..).map(|number| format!("call_{number}"));
        let id = own.or_else(|| made.into_iter().find(|id| !ids.contains(id))).unwrap_or_default();
        ids.insert(id.clone());
        calls.push(ToolCall { id, name: call.name.clone(), arguments });
    }
    Ok(calls)
}

fn parse_arguments(tool: &ToolSchema, text: &str) -> Result<Value, String> {
    let name = &tool.name;
    let text = if text.trim().is_empty() { "{}" } else { text };
    let arguments: Value = serde_json::from_str(text).map_err(|error| format!("the arguments of `{name}` are not JSON: {error}"))?;
    if !arguments.is_object() {
        return Err(format!("the arguments of `{name}` are not an object"));
    }
    match check_arguments(&tool.parameters, &arguments) {
        Err(problem) => Err(format!("the arguments of `{name}` {problem}")),
        Ok(()) => Ok(arguments),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Role;

    fn tools() -> Vec<ToolSchema> {
        let parameters = json!({"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]});
        let tool =
            |name: &str, parameters: &Value| ToolSchema { name: name.into(), description: String::new(), parameters: parameters.clone() };
        vec![tool("shell", &parameters), tool("now", &json!({"type": "object"}))]
    }

    fn call(id: &str, name: &str, arguments: &str) -> ParsedToolCall {
        ParsedToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
    }

    #[track_caller]
    fn check(parsed: &[ParsedToolCall], earlier: &[&str], expected: Result<&[(&str, &str)], &str>) {
        let calls = earlier.iter().map(|id| ToolCall { id: (*id).into(), name: "now".into(), arguments: json!({}) });
        let message = Message { tool_calls: calls.collect(), ..Message::new(Role::Assistant, "") };
        let calls = check_calls(parsed, &tools(), &[message]);
        let seen = calls.as_ref().map(|calls| calls.iter().map(|call| (call.id.as_str(), call.name.as_str())).collect::<Vec<_>>());
        assert_eq!(seen.as_deref().map_err(|error| error.as_str()), expected);
    }

    #[test]
    fn only_calls_that_can_be_run_are_taken() {
        check(&[call("", "shell", r#"{"command":"ls"}"#), call("", "now", "")], &[], Ok(&[("call_1", "shell"), ("call_2", "now")]));
        check(&[call("", "now", "{}")], &["call_1", "call_3"], Ok(&[("call_4", "now")]));
        check(&[call("", "now", "{}")], &["call_2"], Ok(&[("call_3", "now")]));
        check(&[call("Ab3dEf6hI", "now", "{}"), call("Ab3dEf6hI", "now", "{}")], &[], Ok(&[("Ab3dEf6hI", "now"), ("call_2", "now")]));
        check(&[call("", "rm", "{}")], &[], Err("there is no tool `rm`"));
        check(&[call("", "shell", "{}")], &[], Err("the arguments of `shell` lack `command`"));
        let number = "the arguments of `shell` are wrong at `command`: it is number, not string";
        check(&[call("", "shell", r#"{"command":1}"#)], &[], Err(number));
        check(&[call("", "shell", "[1]")], &[], Err("the arguments of `shell` are not an object"));
        let cut = "the arguments of `shell` are not JSON: EOF while parsing an object at line 1 column 1";
        check(&[call("", "shell", "{")], &[], Err(cut));
    }
}
