//! Telegram: the Bot API as a channel.

pub mod api;
mod errors;
#[cfg(test)]
mod fake;
mod pace;
pub mod text;
