//! Models on disk: finding, fetching, listing and removing them.
//!
//! Deliberately not here: what a model can do once it is loaded (`engine`), and which one is used (`parts`). Everything is fetched from
//! a hub with Hugging Face's interface; nothing else of the program talks to it.

pub mod catalogue;
pub mod choose;
pub mod configure;
pub mod disk;
pub mod download;
pub mod hub;
pub mod prefix;
pub mod progress;
pub mod pull;
pub mod rm;

/// Most connections to the hub at once.
pub const CONNECTIONS: usize = 4;

/// `2.5 GB`.
pub fn bytes(n: u64) -> String {
    format!("{}B", crate::commands::model::count(n))
}
