//! One tool of a server, as one of ours.

use std::sync::Arc;

use agent::engine::{ToolSchema, check_arguments};
use agent::{Effect, Tool, ToolContext, ToolFuture};
use serde_json::Value;

use super::connection::Connection;
use super::result::output_of;
use crate::call::fail;

/// See the file's head.
pub(super) struct McpTool {
    connection: Arc<Connection>,
    /// What the server calls it.
    name: String,
    schema: ToolSchema,
    effect: Effect,
}

impl McpTool {
    pub(super) fn new(connection: Arc<Connection>, name: String, schema: ToolSchema, effect: Effect) -> Self {
        Self { connection, name, schema, effect }
    }
}

impl Tool for McpTool {
    fn schema(&self) -> ToolSchema {
        self.schema.clone()
    }

    fn effect(&self) -> Effect {
        self.effect
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            // A call by `use_tool` was not held to this schema when it was written.
            check_arguments(&self.schema.parameters, arguments).map_err(|why| fail(format!("the arguments {why}")))?;
            let arguments = arguments.as_object().cloned().ok_or_else(|| fail("the arguments are no object"))?;
            let result = self.connection.call(&self.name, arguments, context.timeout).await?;
            output_of(result, &self.connection.origin())
        })
    }
}
