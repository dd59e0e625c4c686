//! The whole program from outside: the real executable in an empty home, its whole output compared. The model is `Scripted` where
//! the reply must be known, and the embedded demo model where only the loop around it matters.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod ask;
mod backup;
mod bot;
mod crash;
mod crown;
mod demo_model;
mod disk;
mod embed;
mod errors;
#[cfg(target_os = "linux")]
mod footprint;
mod forget;
#[path = "../../engine/tests/support/mod.rs"]
mod ggufs;
mod hub;
mod injection;
mod jobs;
mod mcp;
mod measure;
mod models;
mod notes;
mod plan;
mod policy;
mod recall;
mod sandbox;
mod serve;
#[cfg(target_os = "linux")]
mod service;
mod skills;
mod support;
mod telegram;
mod telegram_crown;
mod telegram_markdown;
mod telegram_people;
mod telegram_storm;
mod undo;
mod workers;
