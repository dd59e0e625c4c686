//! `paguro ask`: one turn, for scripts.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use agent::{Agent, Answer, Event, Question, TurnResult};
use anyhow::Result;
use channels::terminal::{Format, Printer, Screen, Terminal};
use memory::Inbound;
use tokio::sync::mpsc;

use super::input::{self, Input, Stdin};
use crate::args::{self, Approve, AskArgs, TurnArgs};
use crate::exit::{self, Interrupted};
use crate::parts::{self, Context};

/// Events between a turn and its printer; a slow terminal holds the turn up at this many.
pub const EVENTS: usize = 256;

pub async fn run(args: AskArgs) -> Result<ExitCode> {
    let screen = screen(args.format);
    let (events, receiver) = mpsc::channel(EVENTS);
    let turn = async move {
        let result = ask(&args, &events).await;
        if let Err(error) = &result {
            let (_, code) = exit::of_error(error);
            let _ = events.send(Event::Error { code: code.into(), message: format!("{error:#}") }).await;
        }
        result
    };
    let (result, shown) = tokio::join!(turn, show(receiver, screen));
    let result = result?;
    if let Err(e) = shown {
        let way = format!("`paguro session show {}` has the reply", result.session);
        anyhow::bail!("standard output was closed ({e}); {way}");
    }
    Ok(exit::of_result(&result))
}

/// What the printer needs to know of the world.
pub fn screen(format: args::Format) -> Screen {
    let stdout_is_terminal = io::stdout().is_terminal();
    let stderr_is_terminal = io::stderr().is_terminal();
    Screen {
        format: match format {
            args::Format::Text => Format::Text,
            args::Format::Json => Format::Json,
            args::Format::Jsonl => Format::Jsonl,
        },
        colour: stderr_is_terminal && stdout_is_terminal && std::env::var_os("NO_COLOR").is_none(),
        stdout_is_terminal,
        stderr_is_terminal,
    }
}

/// Prints events until the turn has no more of them.
pub async fn show(mut events: mpsc::Receiver<Event>, screen: Screen) -> io::Result<()> {
    let mut printer = Printer::new(screen, io::stdout(), io::stderr());
    while let Some(event) = events.recv().await {
        printer.event(&event)?;
    }
    printer.finish()
}

async fn ask(args: &AskArgs, events: &mpsc::Sender<Event>) -> Result<TurnResult> {
    let kind = if io::stdin().is_terminal() { Stdin::Terminal } else { Stdin::Piped };
    let Input { text, data } = input::read(args.prompt.as_deref(), kind, io::stdin())?;
    let session = parts::session_name(args.turn.session.as_deref())?;
    let context = Context::read()?;
    let store = context.store()?;
    let options = context.load_options(args.turn.model.as_deref())?;
    say_if_demo(&context, &args.turn);
    let engine = parts::load(options, events).await?;
    let agent = parts::agent(&context, &args.turn, store, engine)?;
    // What a crash left unfinished in this session comes first; its outcome belongs to the conversation.
    for turn in agent.store().open_turns(Some(&session)).await? {
        eprintln!("paguro: finishing the turn that was cut off: {}", channels::visible(&turn.text));
        one_turn(&agent, turn.id, args.turn.approve, events).await?;
    }
    let inbound = Inbound { channel: "terminal".into(), session, platform_id: None, text, data };
    let accepted = agent.accept(inbound).await?;
    one_turn(&agent, accepted.turn, args.turn.approve, events).await
}

/// Without a configured model the demo model answers, and says what it is.
pub fn say_if_demo(context: &Context, turn: &TurnArgs) {
    if turn.model.is_none() && context.config.model.file.is_none() {
        eprintln!("paguro: no model is configured, so the embedded demo model answers; it can only show the tools (`paguro config init`)");
    }
}

/// Runs a turn to its end; Ctrl-C ends it as stopped.
pub async fn one_turn(agent: &Agent, turn: i64, approve: Approve, events: &mpsc::Sender<Event>) -> Result<TurnResult> {
    let result = tokio::select! {
        result = agent.drive(turn, events, async |question| answer(question, approve).await) => result?,
        _ = tokio::signal::ctrl_c() => {
            agent.stop(turn).await?;
            return Err(Interrupted.into());
        }
    };
    let _ = events.send(Event::Result(Box::new(result.clone()))).await;
    Ok(result)
}

async fn answer(question: &Question, approve: Approve) -> Answer {
    match approve {
        Approve::All => Answer { allowed: true, why: None },
        Approve::Deny => Answer { allowed: false, why: None },
        Approve::Prompt => match Terminal::open() {
            Some(terminal) => terminal.ask(question).await,
            None => {
                let what = channels::visible(&question.arguments.to_string());
                eprintln!(
                    "paguro: {} {what} needs approval, and there is no terminal to ask on; `--approve all` would run it",
                    question.tool
                );
                Answer { allowed: false, why: None }
            }
        },
    }
}
