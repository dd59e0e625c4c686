//! What `serve` does for the clients of its socket.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use channels::Desk;
use channels::socket::{CommandLine, Hooks, Wire};
use clap::Parser as _;

use super::About;
use crate::args::Cli;
use crate::commands::{self, chat, remote};
use crate::exit;
use crate::out;
use crate::parts::Context;

pub fn hooks(context: &Context, desk: &Desk, about: &Arc<About>) -> Result<Hooks> {
    let undo_files = chat::undo_files(context.kept(&desk.store), context.open_workspace()?);
    let for_clients = (desk.clone(), Arc::clone(about));
    let run = move |command: CommandLine, wire: Wire| {
        let process = for_clients.clone();
        // A client that cannot have a thread sees that the connection ends.
        let _ = std::thread::Builder::new().name("command".to_owned()).spawn(move || out::serve_client(wire, command, process, carry_out));
    };
    Ok(Hooks { run: Box::new(run), undo_files, history_file: context.home.data.join("chat_history") })
}

/// Runs a command of the command line; its status.
fn carry_out(arguments: Vec<String>) -> u8 {
    let cli = match Cli::try_parse_from(std::iter::once("paguro".to_owned()).chain(arguments)) {
        Ok(cli) => cli,
        Err(error) => {
            tell!("paguro: {}", error.render());
            return exit::BAD_INPUT;
        }
    };
    let Some(command) = cli.command.filter(remote::is_carried_out) else {
        tell!("paguro: this command is not one that a running `paguro serve` carries out");
        return exit::BAD_INPUT;
    };
    let run = || -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let status = runtime.block_on(commands::run(command));
        runtime.shutdown_background();
        status
    };
    match run() {
        // The library shows a status to the system only.
        Ok(status) => u8::from(status != ExitCode::SUCCESS),
        Err(error) => crate::failed(&error),
    }
}
