//! How people reach the agent: the terminal, the local socket, Telegram.
//!
//! A channel takes messages and shows what becomes of them. It decides nothing: whether a call may run is the agent's
//! question, and only the answer comes from here.

mod commands;
pub mod desk;
pub mod live;
mod notes;
mod retell;
pub mod socket;
pub mod telegram;
pub mod terminal;

pub use desk::{Desk, State};
pub use live::{Follower, Live, Running};
pub use terminal::visible;
