//! Telegram.

pub mod api;
mod errors;
#[cfg(test)]
mod fake;
mod pace;
