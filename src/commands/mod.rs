//! One file a command: what the arguments mean, and the doing of it.

pub mod approvals;
pub mod ask;
pub mod backup;
pub mod bench;
pub mod chat;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod embed;
pub mod eval;
pub mod input;
pub mod job;
pub mod memory;
pub mod model;
pub mod plan;
pub mod serve;
pub mod service;
pub mod session;
pub mod skill;
pub mod tool;
pub mod tune;
pub mod why;
pub mod worker;

use std::io::{self, Write as _};

use serde::Serialize;

/// Prints one JSON value on one line.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}
