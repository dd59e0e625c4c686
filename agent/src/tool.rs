//! What a tool is to the agent: a name, an argument schema, a declared effect, a run.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use engine::{EngineError, ToolSchema, check_tools};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// The tools of an agent, in the order in which the model is told of them.
#[derive(Default)]
pub struct Toolbox {
    tools: Vec<(ToolSchema, Box<dyn Tool>)>,
}

impl Toolbox {
    /// A toolbox of `tools`.
    #[must_use]
    pub fn new(tools: Vec<Box<dyn Tool>>) -> Self {
        Self { tools: tools.into_iter().map(|tool| (tool.schema(), tool)).collect() }
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

    /// The tool called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&dyn Tool> {
        self.tools.iter().find(|(schema, _)| schema.name == name).map(|(_, tool)| tool.as_ref())
    }

    /// What the model is told of the tools.
    #[must_use]
    pub fn schemas(&self) -> Vec<ToolSchema> {
        self.tools.iter().map(|(schema, _)| schema.clone()).collect()
    }
}
