//! `paguro ask`: one turn, for scripts.

use std::io::{self, IsTerminal as _, Stderr, Stdout, Write};
use std::process::ExitCode;

use agent::{Agent, Event};
use anyhow::{Result, anyhow};
use channels::terminal::{self, Approver, CHANNEL, Ended, Interrupt, Printer, Screen, Terminal, TurnError, deliver_unsent, run_turn};
use memory::Inbound;

use super::input::{self, Input, Stdin};
use crate::args::{Approve, AskArgs, Format, TurnArgs};
use crate::exit::{self, Interrupted};
use crate::parts::{self, Context};

/// Writes events to this process's own streams.
pub type OwnPrinter = Printer<Stdout, Stderr>;

pub async fn run(args: AskArgs) -> Result<ExitCode> {
    let mut printer = Printer::new(screen(args.format), io::stdout(), io::stderr());
    let result = ask(&args, &mut printer).await;
    if let Err(error) = &result
        && !error.is::<Shown>()
    {
        let (_, code) = exit::of_error(error);
        // The error is what matters now; that it cannot be written does not change it.
        let _ = printer.event(&Event::Error { code: code.into(), message: format!("{error:#}") });
    }
    let finished = printer.finish();
    let status = result?;
    finished.map_err(|e| closed(&e, None))?;
    Ok(status)
}

/// Wraps an error whose event has been printed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Shown(#[from] pub agent::AgentError);

/// What the printer needs to know of the world.
pub fn screen(format: Format) -> Screen {
    let stdout_is_terminal = io::stdout().is_terminal();
    let stderr_is_terminal = io::stderr().is_terminal();
    Screen {
        format: match format {
            Format::Text => terminal::Format::Text,
            Format::Json => terminal::Format::Json,
            Format::Jsonl => terminal::Format::Jsonl,
        },
        colour: std::env::var_os("NO_COLOR").is_none() && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
        stdout_is_terminal,
        stderr_is_terminal,
    }
}

/// Who answers questions.
pub fn approver(approve: Approve, screen: Screen) -> Approver {
    let mode = match approve {
        Approve::All => terminal::Approve::All,
        Approve::Deny => terminal::Approve::Deny,
        Approve::Prompt => terminal::Approve::Prompt,
    };
    // A script whose own output nobody watches must not wait for somebody at the controlling terminal.
    let terminal = if screen.stderr_is_terminal { Terminal::open().map(|terminal| terminal.with_colour(screen.colour)) } else { None };
    Approver { mode, terminal }
}

async fn ask(args: &AskArgs, printer: &mut OwnPrinter) -> Result<ExitCode> {
    let kind = if io::stdin().is_terminal() { Stdin::Terminal } else { Stdin::Piped };
    let Input { text, data } = input::read(args.prompt.as_deref(), kind, io::stdin())?;
    let session = parts::session_name(args.turn.session.as_deref())?;
    let context = Context::read()?;
    let options = context.load_options(args.turn.model.as_deref())?;
    let store = context.store()?;
    say_if_demo(&context, &args.turn);
    let interrupt = parts::on_ctrl_c();
    let engine = parts::load(options, printer, &interrupt).await?;
    let agent = parts::agent(&context, &args.turn, store, engine)?;
    let approver = approver(args.turn.approve, *printer.screen());
    // What a crash left unfinished in this session comes first; its outcome belongs to the conversation.
    deliver_unsent(&agent, &session, printer).await?;
    for turn in agent.store().open_turns(Some(&session)).await? {
        printer.notice(&format!("finishing the turn that was cut off: {}", turn.text))?;
        match args.format {
            // Standard output is for the answer to this prompt.
            Format::Text => {
                let screen = Screen { stdout_is_terminal: printer.screen().stderr_is_terminal, ..*printer.screen() };
                let mut aside = Printer::new(screen, io::stderr(), io::stderr());
                one_turn(&agent, turn.id, &session, &mut aside, &approver, &interrupt).await?
            }
            Format::Json | Format::Jsonl => one_turn(&agent, turn.id, &session, printer, &approver, &interrupt).await?,
        };
    }
    let inbound = Inbound { channel: CHANNEL.into(), session: session.clone(), platform_id: None, text, data };
    let accepted = agent.accept(inbound).await?;
    one_turn(&agent, accepted.turn, &session, printer, &approver, &interrupt).await
}

/// Without a configured model the demo model answers, and says what it is.
pub fn say_if_demo(context: &Context, turn: &TurnArgs) {
    if turn.model.is_none() && context.config.model.file.is_none() {
        eprintln!("paguro: no model is configured, so the embedded demo model answers; it can only show the tools (`paguro config init`)");
    }
}

/// Runs a turn to its end and gives its status. If standard output closes, the turn goes on without it: the journal has the reply.
async fn one_turn<O: Write, E: Write>(
    agent: &Agent,
    turn: i64,
    session: &str,
    printer: &mut Printer<O, E>,
    approver: &Approver,
    interrupt: &Interrupt,
) -> Result<ExitCode> {
    match run_turn(agent, turn, printer, approver, interrupt).await {
        Ok(Ended::Finished(result)) => Ok(exit::of_result(&result)),
        Ok(Ended::Stopped) => Err(Interrupted.into()),
        Err(TurnError::Agent(error)) => Err(Shown(error).into()),
        Err(TurnError::Output(error)) => {
            let mut nowhere = Printer::new(*printer.screen(), io::sink(), io::sink());
            // The reply stays unsent in the journal: the next `ask` in this session shows it.
            let _ = run_turn(agent, turn, &mut nowhere, approver, interrupt).await;
            Err(closed(&error, Some(session)))
        }
    }
}

fn closed(error: &io::Error, session: Option<&str>) -> anyhow::Error {
    match session {
        Some(session) => anyhow!("standard output was closed ({error}); `paguro session show {session}` has the reply"),
        None => anyhow!("standard output was closed ({error})"),
    }
}
