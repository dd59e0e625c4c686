//! Which of a server's tools become ours, under which names, with which words.
//!
//! Deliberately not here: any judgement of what a description says. It is a stranger's text, and bounded.

use std::sync::Arc;

use agent::engine::{ToolSchema, check_tools};
use agent::{Effect, Tool};
use serde_json::Value;

use super::Server;
use super::connection::Connection;
use super::tool::McpTool;
use crate::text::one_line;

/// Most characters of a tool's name here, the server's included: what the APIs of large models allow, and so what servers expect.
const NAME_CHARS: usize = 64;
/// Most characters of a description; the rest is cut.
const DESCRIPTION_CHARS: usize = 400;
/// Most bytes of a schema; a tool with a larger one is refused.
const SCHEMA_BYTES: usize = 16 * 1024;
/// Most tools of one server; the rest is refused.
pub(super) const TOOLS: usize = 500;

/// The tools of `listed` that can be used, and why the others cannot, one line each. `names` are taken already; the new ones are added.
pub(super) fn take(
    connection: &Arc<Connection>,
    listed: Vec<rmcp::model::Tool>,
    names: &mut Vec<String>,
) -> (Vec<Box<dyn Tool>>, Vec<String>) {
    let server = connection.server();
    let mut tools: Vec<Box<dyn Tool>> = Vec::new();
    let mut refused = Vec::new();
    if listed.len() > TOOLS {
        refused.push(format!("{} lists {} tools; only the first {TOOLS} are looked at", server.name, listed.len()));
    }
    for tool in listed.into_iter().take(TOOLS).filter(|tool| is_allowed(server, &tool.name)) {
        match schema(server, &tool).and_then(|schema| is_free(schema, names)) {
            Ok(schema) => {
                names.push(schema.name.clone());
                let effect = effect(server, &tool.name);
                tools.push(Box::new(McpTool::new(Arc::clone(connection), tool.name.into_owned(), schema, effect)));
            }
            Err(why) => refused.push(why),
        }
    }
    (tools, refused)
}

fn is_allowed(server: &Server, tool: &str) -> bool {
    server.allow.is_empty() || server.allow.iter().any(|glob| glob.is_match(tool))
}

/// The owner's word, else the careful one; the server's own hints are not looked at.
fn effect(server: &Server, tool: &str) -> Effect {
    server.effects.iter().find(|(glob, _)| glob.is_match(tool)).map_or(Effect::Network, |(_, effect)| *effect)
}

fn is_free(schema: ToolSchema, names: &[String]) -> Result<ToolSchema, String> {
    match names.contains(&schema.name) {
        true => Err(format!("`{}` is a name that another tool has already", schema.name)),
        false => Ok(schema),
    }
}

/// What the model will be told of `tool`.
fn schema(server: &Server, tool: &rmcp::model::Tool) -> Result<ToolSchema, String> {
    let shown = one_line(tool.name.get(..NAME_CHARS).unwrap_or(&tool.name));
    let name = full_name(&server.name, &tool.name).ok_or_else(|| {
        let most = NAME_CHARS - server.name.len() - 1;
        format!("`{}_{shown}`: the name is empty, or longer than the {most} characters that are left for it", server.name)
    })?;
    let bytes = serde_json::to_string(&tool.input_schema).map_or(usize::MAX, |text| text.len());
    if bytes > SCHEMA_BYTES {
        return Err(format!("`{name}`: its schema has {bytes} bytes; {SCHEMA_BYTES} are the most"));
    }
    let mut parameters = tool.input_schema.as_ref().clone();
    parameters.remove("$schema");
    let description = cut(tool.description.as_deref().unwrap_or_default());
    let schema = ToolSchema { name, description, parameters: Value::Object(parameters) };
    check_tools(std::slice::from_ref(&schema)).map_err(|error| error.to_string())?;
    Ok(schema)
}

/// `SERVER_TOOL`, other signs than letters, digits, `_` and `-` made `_`.
fn full_name(server: &str, tool: &str) -> Option<String> {
    let plain: String = tool.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let name = format!("{server}_{plain}");
    (plain.bytes().any(|b| b != b'_') && name.len() <= NAME_CHARS).then_some(name)
}

/// A description on one line, at most [`DESCRIPTION_CHARS`] characters.
fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = one_line(&line);
    match line.char_indices().nth(DESCRIPTION_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_bounded() {
        let check = |tool: &str, expected: Option<&str>| assert_eq!(full_name("srv", tool).as_deref(), expected, "{tool}");
        check("echo", Some("srv_echo"));
        check("get-Sum_2", Some("srv_get-Sum_2"));
        check("a.b/c d\n;é", Some("srv_a_b_c_d___"));
        for bad in ["", "_", "...", "日本"] {
            check(bad, None);
        }
        check(&"x".repeat(60), Some(&format!("srv_{}", "x".repeat(60))));
        check(&"x".repeat(61), None);
    }

    #[test]
    fn descriptions_are_one_short_line() {
        assert_eq!(cut(" a\n\n b\u{1b}[2J\tc "), "a b\u{fffd}[2J c");
        assert_eq!(cut(&"é".repeat(DESCRIPTION_CHARS)), "é".repeat(DESCRIPTION_CHARS));
        assert_eq!(cut(&"é".repeat(DESCRIPTION_CHARS + 1)), format!("{}…", "é".repeat(DESCRIPTION_CHARS)));
    }
}
