//! The executable: parse arguments, build the parts, run them. The only reader of arguments, environment, clock and signals.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

/// A line on standard output; the function returns the error if it cannot be written.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        writeln!(crate::out::stdout(), $($words)*)?
    }};
}

/// A line on standard error. That nobody reads it changes nothing.
macro_rules! tell {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(crate::out::stderr(), $($words)*);
    }};
}

mod args;
mod commands;
mod config;
mod exit;
mod home;
mod logs;
mod measure;
mod models;
mod notify;
mod out;
mod parts;
mod secrets;
mod size;
#[allow(dead_code, reason = "`serve` takes it up")]
mod status;
mod toolbox;

use std::process::ExitCode;

use anyhow::Result;
use args::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    // The inside of a sandbox is this program too. Before anything else: it must have no thread, and be quick.
    if let Some(status) = tools::sandbox::enter_if_asked(std::env::args_os(), std::env::vars_os()) {
        return status;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(cli) {
        Ok(status) => status,
        Err(error) => ExitCode::from(failed(&error)),
    }
}

/// Says why a command failed; its status.
fn failed(error: &anyhow::Error) -> u8 {
    if is_broken_pipe(error) {
        return exit::ANSWERED; // the reader has had enough of a listing
    }
    let (status, _) = exit::of_error(error);
    if !error.is::<commands::ask::Shown>() {
        // One line, whatever the error's parts hold, and nothing in it that drives a terminal.
        let message = format!("{error:#}{}", commands::backup::way_back(error)).replace('\n', " ");
        tell!("paguro: {}", channels::visible(&message));
    }
    status
}

/// Help as it is; anything else is bad usage, told in one line.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed pipe is no failure of help.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    // What is wrong, and the values that are possible; then come usage and a hint, which `--help` has too.
    let wrong: Vec<&str> =
        text.lines().take_while(|line| !line.starts_with("Usage:")).map(str::trim).filter(|line| !line.is_empty()).collect();
    let wrong: Vec<&str> = wrong.into_iter().filter(|line| !line.starts_with("For more information")).collect();
    let wrong = wrong.join(" ");
    tell!("paguro: {} (`paguro --help` shows the commands)", wrong.trim_start_matches("error: "));
    ExitCode::from(exit::BAD_INPUT)
}

/// Whether standard output was closed while a listing was written. `ask` has a sentence of its own for that.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn run(cli: Cli) -> Result<ExitCode> {
    let Some(command) = cli.command else {
        return version();
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(async {
        match commands::remote::run(&command).await? {
            Some(status) => Ok(status),
            None => commands::run(command).await,
        }
    });
    // A thread that still waits for the terminal or for standard input must not hold up the end.
    runtime.shutdown_background();
    status
}

fn version() -> Result<ExitCode> {
    say!("paguro {} ({})", env!("CARGO_PKG_VERSION"), env!("PAGURO_COMMIT"));
    say!("llama.cpp {}", engine::llama_build());
    say!("backends: {}", engine::backends().join(", "));
    Ok(ExitCode::SUCCESS)
}
