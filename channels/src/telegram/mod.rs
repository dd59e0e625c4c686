//! Telegram.

mod place;
mod settings;

pub use settings::{Group, Health, Hooks, MEDIA_BYTES, Settings, Telling, Webhook, When};

/// The channel's name in the journal.
pub const CHANNEL: &str = "telegram";
