//! What a tool is to the agent: a name, an argument schema, a declared effect, a run.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use engine::{EngineError, ToolCall, ToolSchema, check_tools};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::task::SPAWN;

/// What a tool may do to the world. Decides the default approval, and what happens to a call that a crash cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Changes nothing that running it a second time would change again; may be repeated after a crash.
    Read,
    /// Changes something: files, processes. Never repeated without asking.
    Write,
    /// Reaches other machines.
    Network,
    /// Costs money.
    Spend,
}

impl Effect {
    /// Whether it could carry data out.
    #[must_use]
    pub fn carries_out(self) -> bool {
        matches!(self, Self::Network | Self::Spend)
    }
}

/// What a run may use.
#[derive(Debug, Clone, Default)]
pub struct ToolContext {
    /// The same for every run of the same call, also after a crash: `turn-call`, such as `7-call_2`. Makes a repeated write recognisable.
    pub key: String,
    /// The turn, for provenance.
    pub turn: i64,
    /// The channel that the turn's message came by.
    pub channel: String,
    /// The session's name.
    pub session: String,
    /// Where untrusted text in the context came from, if there is any: what the run keeps for later is untrusted, too.
    pub foreign: Option<String>,
    /// What the owner said with the yes that lets it run, if anything.
    pub answer: Option<String>,
    /// How long the run may take.
    pub timeout: Duration,
}

/// What a run gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What the model reads; the agent caps it.
    pub text: String,
    /// Where the text came from if strangers may have written it, such as `https://example.org/` or `MCP server time`. While it
    /// is in the context, what could carry data out needs approval.
    pub origin: Option<String>,
}

impl Output {
    /// `text` that strangers may have written.
    pub fn foreign(text: impl Into<String>, origin: impl Into<String>) -> Self {
        Self { text: text.into(), origin: Some(origin.into()) }
    }
}

impl<T: Into<String>> From<T> for Output {
    /// Text of the owner's own machine.
    fn from(text: T) -> Self {
        Self { text: text.into(), origin: None }
    }
}

/// A failure that the model is told of, so that it can do something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ToolError {
    /// A sentence without a prefix; the agent puts `error: ` before it.
    pub text: String,
    /// As [`Output::origin`].
    pub origin: Option<String>,
}

impl<T: Into<Output>> From<T> for ToolError {
    fn from(output: T) -> Self {
        let Output { text, origin } = output.into();
        Self { text, origin }
    }
}

/// A running tool. Dropping it stops whatever it has started.
pub type ToolFuture<'a> = Pin<Box<dyn Future<Output = Result<Output, ToolError>> + Send + 'a>>;

/// What the owner must be asked, see [`Tool::concern`].
pub type ConcernFuture<'a> = Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>>;

/// One thing the agent can do.
pub trait Tool: Send + Sync {
    /// The name, the description and the argument schema that the model gets.
    fn schema(&self) -> ToolSchema;
    /// The declared effect.
    fn effect(&self) -> Effect;
    /// Where the argument `path` leads when links are followed, relative to the workspace, if that is not what it says. For the policy.
    fn leads_to(&self, _arguments: &Value) -> Option<String> {
        None
    }
    /// The effect of one call, where some calls do less than others.
    fn effect_of(&self, _arguments: &Value) -> Effect {
        self.effect()
    }
    /// What the owner must be asked about before this call, even if the policy allows it: the reason in words, several lines perhaps.
    /// The run must then do what was asked about and nothing else.
    fn concern<'a>(&'a self, _arguments: &'a Value, _context: &'a ToolContext) -> ConcernFuture<'a> {
        Box::pin(async { None })
    }
    /// Runs a call whose arguments fit the schema.
    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a>;
}

/// The tool by which a model calls one that it was not told of: `{"name": …, "arguments": {…}}`. See [`Toolbox::resolve`].
pub const USE_TOOL: &str = "use_tool";

/// The tools of an agent, in the order in which the model is told of them.
#[derive(Default)]
pub struct Toolbox {
    tools: Vec<(ToolSchema, Box<dyn Tool>)>,
    /// How many of `tools` the model is told of; the others it finds, and calls by [`USE_TOOL`].
    listed: usize,
}

impl Toolbox {
    /// A toolbox of `tools`.
    #[must_use]
    pub fn new(tools: Vec<Box<dyn Tool>>) -> Self {
        let tools: Vec<_> = tools.into_iter().map(|tool| (tool.schema(), tool)).collect();
        Self { listed: tools.len(), tools }
    }

    /// A toolbox of `tools`, each of which can be offered to a model.
    ///
    /// # Errors
    /// [`EngineError::ToolSchema`], which names the tool and the property.
    pub fn checked(tools: Vec<Box<dyn Tool>>) -> Result<Self, EngineError> {
        let toolbox = Self::new(tools);
        check_tools(&toolbox.schemas())?;
        Ok(toolbox)
    }

    /// The same with tools that the model is not told of; it must have one to find them with.
    #[must_use]
    pub fn with_hidden(mut self, hidden: Vec<Box<dyn Tool>>) -> Self {
        self.tools.extend(hidden.into_iter().map(|tool| (tool.schema(), tool)));
        self
    }

    /// The call that `call` means: the one that [`USE_TOOL`] names, else itself. Policy, question, hash and run are about this one, so
    /// that nothing is approved under another name than its own.
    #[must_use]
    pub fn resolve(call: ToolCall) -> ToolCall {
        let inner = (call.name == USE_TOOL).then(|| {
            // A task is looked up by the call that began it, so that one is made under its own name.
            let name = call.arguments.get("name")?.as_str().filter(|name| *name != SPAWN)?;
            let arguments = call.arguments.get("arguments").filter(|arguments| arguments.is_object())?;
            Some(ToolCall { id: call.id.clone(), name: name.to_owned(), arguments: arguments.clone() })
        });
        inner.flatten().unwrap_or(call)
    }

    /// The tool called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&dyn Tool> {
        self.tools.iter().find(|(schema, _)| schema.name == name).map(|(_, tool)| tool.as_ref())
    }

    /// What the model is told of the tools.
    #[must_use]
    pub fn schemas(&self) -> Vec<ToolSchema> {
        self.tools[..self.listed].iter().map(|(schema, _)| schema.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(name: &str, arguments: Value, expected: (&str, Value)) {
        let call = ToolCall { id: "1".into(), name: name.into(), arguments };
        let resolved = Toolbox::resolve(call);
        assert_eq!((resolved.id.as_str(), resolved.name.as_str(), resolved.arguments), ("1", expected.0, expected.1));
    }

    #[test]
    fn a_call_by_another_is_the_call_that_it_names() {
        let inner = json!({"name": "git_log", "arguments": {"n": 3}});
        check("shell", inner.clone(), ("shell", inner.clone()));
        check(USE_TOOL, inner, ("git_log", json!({"n": 3})));
        // One layer: the inner one is a call of `use_tool` itself, which only says how it is used.
        let twice = json!({"name": USE_TOOL, "arguments": {"name": "shell", "arguments": {"command": "x"}}});
        check(USE_TOOL, twice, (USE_TOOL, json!({"name": "shell", "arguments": {"command": "x"}})));
        for bad in [json!({}), json!({"name": "shell"}), json!({"name": 1, "arguments": {}}), json!({"name": "a", "arguments": "{}"})] {
            check(USE_TOOL, bad.clone(), (USE_TOOL, bad));
        }
    }
}
