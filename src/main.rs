//! The executable: parse arguments, build the parts, run them. The only reader of arguments, environment, clock and signals.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

mod args;
mod commands;
mod config;
mod exit;
mod home;
mod parts;

use std::process::ExitCode;

use anyhow::Result;
use args::{Cli, Command};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(status) => status,
        Err(error) => {
            let (status, _) = exit::of_error(&error);
            // One line, whatever the error's parts hold.
            let message = format!("{error:#}").replace('\n', " ");
            eprintln!("paguro: {message}");
            ExitCode::from(status)
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let Some(command) = cli.command else {
        version();
        return Ok(ExitCode::SUCCESS);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(async {
        match command {
            Command::Ask(args) => commands::ask::run(args).await,
            Command::Chat(args) => commands::chat::run(args).await,
            Command::Demo => commands::demo::run().await,
            Command::Model(command) => commands::model::run(&command).await,
            Command::Memory(command) => commands::memory::run(&command).await,
            Command::Session(command) => commands::session::run(&command).await,
            Command::Config(command) => commands::config::run(&command),
            Command::Doctor(list) => commands::doctor::run(&list).await,
        }
    });
    // A thread that still waits for the terminal or for standard input must not hold up the end.
    runtime.shutdown_background();
    status
}

fn version() {
    println!("paguro {} ({})", env!("CARGO_PKG_VERSION"), env!("PAGURO_COMMIT"));
    println!("llama.cpp {}", engine::llama_build());
    println!("backends: {}", engine::backends().join(", "));
}
