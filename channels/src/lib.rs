//! How people reach the agent. Part 1 has one channel: the terminal.
//!
//! A channel takes messages and shows what becomes of them. It decides nothing: whether a call may run is the agent's
//! question, and only the answer comes from here.

pub mod telegram;
pub mod terminal;

pub use terminal::visible;
