//! The terminal: shows the events of a turn, asks for approvals, holds a conversation.
//!
//! It reads neither arguments nor environment and looks at no signal: the executable does and says what it found
//! ([`Screen`], [`Approve`], [`Interrupt`]).

mod approver;
mod ask;
mod chat;
mod command;
mod commands;
mod editor;
mod host;
mod input;
mod printer;
mod session;
mod settings;
mod status;
#[cfg(test)]
mod test_support;
mod tool_lines;
mod tty;
mod turn;
mod usage;
mod visible;

pub use crate::notes::forget_typed;
pub use approver::Approver;
pub use ask::question_text;
pub(crate) use ask::{parse_answer, rule_text};
pub use chat::{ChatError, ChatOptions, UndoFiles, carry_out_line, chat};
pub use host::Host;
pub use printer::Printer;
pub use session::{check_session_name, open_turns};
pub use settings::{Approve, Format, Interrupt, Screen};
pub(crate) use tool_lines::{call_line, one_line, value_text};
pub use turn::{Ended, TurnError, deliver_unsent, run_turn};
pub use visible::visible;
pub(crate) use visible::visible_exact;

/// The channel's name in the journal, for `ask` and `chat` alike.
pub const CHANNEL: &str = "terminal";
