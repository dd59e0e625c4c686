//! Decides: turns, context, approval. No I/O of its own.

mod agent;
mod approval;
mod ask_user;
mod context;
mod ending;
mod event;
mod next;
mod prompt;
mod question;
mod recall;
mod run;
mod secrets;
mod speaker;
mod step;
mod task;
mod tool;

pub use agent::{Agent, AgentError, BlockTail, Bounds, LONGEST_TURN, Limits, Outcome, Overflow, Settings, accept, parse_steps, stop};
pub use approval::{CallFacts, Decision, Rule, Verdict, call_hash, decide, propose};
pub use ask_user::{ASK_USER, AskUser, Wording};
pub use context::{NOTHING, SYSTEM_BLOCK, says_nothing, user_message};
pub use event::{Event, Stage, TurnResult, TurnTimings};
pub use next::{Failure, Next, next};
pub use prompt::Filling;
pub use question::{Answer, KeepRule, Question, Scope, answer, questions};
pub use recall::{FULL_PERCENT, embed_missing, look_up};
pub use run::{listed, transcripts};
pub use secrets::Secrets;
pub use speaker::OWNER;
pub use step::{Step, Thought, denied, messages, thoughts, total_usage};

pub use task::{SPAWN, Spawn, TASK_CHANNEL};
pub use tool::{ConcernFuture, Effect, Output, Tool, ToolContext, ToolError, ToolFuture, Toolbox, USE_TOOL};
// `engine` and `memory` types stand in this crate's own interface, so those who use it need not name them as dependencies.
pub use {engine, memory};
