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
pub mod pair;
pub mod plan;
pub mod remote;
pub mod serve;
pub mod service;
pub mod session;
pub mod skill;
pub mod status;
pub mod tool;
pub mod tune;
pub mod why;
pub mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use crate::args::Command;

/// Runs a command in this process.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Ask(args) => ask::run(args).await,
        Command::Chat(args) => chat::run(args).await,
        Command::Demo => demo::run().await,
        Command::Model(command) => model::run(&command).await,
        Command::Memory(command) => memory::run(&command).await,
        Command::Session(command) => session::run(&command).await,
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Approvals(args) => approvals::run(args).await,
        Command::Job(command) => job::run(command).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Pair => pair::run().await,
        Command::Service(command) => service::run(&command),
        Command::Status(list) => status::run(&list).await,
        Command::Skill(command) => skill::run(&command).await,
        Command::Config(command) => config::run(&command).await,
        Command::Tool(command) => tool::run(&command).await,
        Command::Doctor(args) => doctor::run(&args).await,
        Command::Worker(args) => worker::run(&args).await,
    }
}

/// Prints one JSON value on one line.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = crate::out::stdout();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}
