//! Decides: turns, context, approval. No I/O of its own.

mod agent;
mod approval;
mod context;
mod event;
mod known_programs;
mod next;
mod run;
mod step;
mod tool;

pub use agent::{Agent, AgentError, Answer, BlockTail, LONGEST_TURN, Limits, Outcome, Overflow, Question, Settings, parse_steps};
pub use approval::{Decision, Rule, Verdict, call_hash, decide};
pub use context::{SYSTEM_BLOCK, user_message};
pub use event::{Event, Stage, TurnResult, TurnTimings};
pub use next::{Failure, Next, next};
pub use run::transcript_name;
pub use step::{Step, Thought, messages, thoughts, total_usage};
pub use tool::{ConcernFuture, Effect, Output, Tool, ToolContext, ToolError, ToolFuture, Toolbox};
// `engine` and `memory` types stand in this crate's own interface, so those who use it need not name them as dependencies.
pub use {engine, memory};
