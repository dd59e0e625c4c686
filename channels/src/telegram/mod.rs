//! Telegram: the Bot API as a channel.

pub mod text;
