//! `paguro chat`: the same agent, interactive.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::Result;
use channels::terminal::{ChatError, ChatOptions, Format, Host, Printer, UndoFiles};
use tools::{Kept, Workspace};

use super::ask::{say_if_demo, screen};
use super::remote;
use crate::args::TurnArgs;
use crate::exit::Interrupted;
use crate::parts::{self, Context};

/// The conversation that `chat` goes on with unless another is named.
pub const SESSION: &str = "main";

pub async fn run(args: TurnArgs) -> Result<ExitCode> {
    let session = parts::session_name(Some(args.session.as_deref().unwrap_or(SESSION)))?;
    let context = Context::read()?;
    if let Some(client) = remote::find(&context, &args).await? {
        return hold(Host::Served(&client), &context, &args, session, Box::new(|_| Box::pin(async { Ok(Vec::new()) }))).await;
    }
    let options = context.load_options(args.model.as_deref())?;
    let store = context.store()?;
    say_if_demo(&context, &args);
    let screen = screen(Format::Text);
    let interrupt = parts::on_ctrl_c();
    let mut printer = Printer::new(screen, io::stdout(), io::stderr());
    let engine = parts::load(options, &mut printer, &interrupt).await?;
    printer.settle()?;
    let undo_files = undo_files(context.kept(&store), context.open_workspace()?);
    let agent = parts::agent(&context, &args, store, engine).await?;
    hold(Host::Own(&agent), &context, &args, session, undo_files).await
}

/// Holds the conversation.
async fn hold(host: Host<'_>, context: &Context, args: &TurnArgs, session: String, undo_files: UndoFiles) -> Result<ExitCode> {
    let (screen, interrupt) = (screen(Format::Text), parts::on_ctrl_c());
    let history_file = context.home.data.join("chat_history");
    let stdin_is_terminal = io::stdin().is_terminal();
    let options = ChatOptions { session, approve: args.approve, history_file, screen, stdin_is_terminal, undo_files };
    match channels::terminal::chat(host, options, &interrupt).await {
        Err(ChatError::Interrupted) => Err(Interrupted.into()),
        ended => {
            ended?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What `/undo` does to files.
pub fn undo_files(kept: Kept, workspace: Workspace) -> UndoFiles {
    Box::new(move |turn| {
        let (kept, workspace) = (kept.clone(), workspace.clone());
        Box::pin(async move {
            let restored = kept.restore(&workspace, turn, false).await.map_err(|error| error.to_string())?;
            Ok(restored.iter().map(ToString::to_string).collect())
        })
    })
}
