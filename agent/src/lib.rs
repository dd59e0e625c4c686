//! Decides: turns, context, approval. No I/O of its own.

pub mod tool;

pub use tool::{Effect, Tool, ToolContext, ToolError, ToolFuture, Toolbox};
// `engine` and `memory` types stand in this crate's own interface, so those who use it need not name them as dependencies.
pub use {engine, memory};
