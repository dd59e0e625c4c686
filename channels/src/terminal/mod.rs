//! The terminal: shows the events of a turn, asks for approvals, holds a conversation.
//!
//! It reads neither arguments nor environment and looks at no signal: the executable does and says what it found
//! ([`Screen`], [`Approve`], [`Interrupt`]).

mod ask;
mod chat;
mod command;
mod commands;
mod editor;
mod input;
mod printer;
mod settings;
mod status;
mod tool_lines;
mod tty;
mod turn;
mod usage;
mod visible;

pub use chat::{ChatError, ChatOptions, chat};
pub use printer::Printer;
pub use settings::{Approve, Format, Interrupt, Screen, UnknownWord};
pub use status::TICK;
pub use tty::Terminal;
pub use turn::{Approver, Ended, TurnError, deliver_unsent, error_event, run_turn};
pub use usage::usage_line;
pub use visible::{visible, visible_exact};

/// The channel's name in the journal, for `ask` and `chat` alike.
pub const CHANNEL: &str = "terminal";
