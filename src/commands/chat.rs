//! `paguro chat`: the same agent, interactive.

use std::process::ExitCode;

use anyhow::Result;
use tokio::sync::mpsc;

use super::ask::{EVENTS, say_if_demo, screen, show};
use crate::args::{Approve, Format, TurnArgs};
use crate::parts::{self, Context};

/// The conversation that `chat` goes on with unless another is named.
const SESSION: &str = "main";

pub async fn run(args: TurnArgs) -> Result<ExitCode> {
    let session = parts::session_name(Some(args.session.as_deref().unwrap_or(SESSION)))?;
    let context = Context::read()?;
    let store = context.store()?;
    let options = context.load_options(args.model.as_deref())?;
    say_if_demo(&context, &args);
    let screen = screen(Format::Text);
    let (events, receiver) = mpsc::channel(EVENTS);
    let loading = async move { parts::load(options, &events).await };
    let (engine, shown) = tokio::join!(loading, show(receiver, screen));
    shown?;
    let agent = parts::agent(&context, &args, store, engine?)?;
    let approve = match args.approve {
        Approve::Prompt => channels::terminal::Approve::Prompt,
        Approve::Deny => channels::terminal::Approve::Deny,
        Approve::All => channels::terminal::Approve::All,
    };
    channels::terminal::chat(&agent, session, screen, approve, &context.home.data.join("chat_history")).await?;
    Ok(ExitCode::SUCCESS)
}
