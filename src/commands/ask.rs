//! `paguro ask`: one turn, for scripts.

use std::io::{self, IsTerminal as _, Stderr, Stdout, Write};
use std::process::ExitCode;

use agent::{Agent, Event};
use anyhow::{Result, anyhow};
use channels::terminal::{
    Approver, CHANNEL, Ended, Format, Host, Interrupt, Printer, Screen, TurnError, deliver_unsent, open_turns, run_turn,
};
use memory::Inbound;

use super::input::{self, Input, Stdin};
use super::remote;
use crate::args::{AskArgs, TurnArgs};
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

/// An error that has been shown where the turn ran: only its status is left to give.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Shown(#[from] pub agent::AgentError);

/// What the printer needs to know of the world.
pub fn screen(format: Format) -> Screen {
    let stderr_is_terminal = io::stderr().is_terminal();
    Screen {
        format,
        colour: std::env::var_os("NO_COLOR").is_none() && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
        stdout_is_terminal: io::stdout().is_terminal(),
        stderr_is_terminal,
        details: stderr_is_terminal,
    }
}

async fn ask(args: &AskArgs, printer: &mut OwnPrinter) -> Result<ExitCode> {
    let kind = if io::stdin().is_terminal() { Stdin::Terminal } else { Stdin::Piped };
    let Input { text, data } = input::read(args.prompt.as_deref(), kind, io::stdin())?;
    let session = parts::session_name(args.turn.session.as_deref())?;
    let context = Context::read()?;
    if let Some(client) = remote::find(&context, &args.turn).await? {
        let interrupt = parts::on_ctrl_c();
        let turn = Host::Served(&client).accept(&session, text, data, remote::limits(&args.turn)).await?;
        deliver_unsent(Host::Served(&client), &session, printer).await?;
        let approver = Approver::new(args.turn.approve, printer.screen());
        let ended = one_turn(Host::Served(&client), turn, &session, printer, &approver, &interrupt).await;
        return ended.map(|ended| exit::of_turn(&ended));
    }
    let options = context.load_options(args.turn.model.as_deref())?;
    let store = context.store()?;
    say_if_demo(&context, &args.turn);
    let interrupt = parts::on_ctrl_c();
    let engine = parts::load(options, printer, &interrupt).await?;
    let agent = parts::agent(&context, &args.turn, store, engine).await?;
    let inbound = Inbound { channel: CHANNEL.into(), session: session.clone(), text, data, ..Inbound::default() };
    let accepted = agent.accept(inbound).await?;
    let approver = Approver::new(args.turn.approve, printer.screen());
    if catch_up(&agent, &session, accepted.turn, printer, &approver, &interrupt).await? == Caught::Up {
        let ended = one_turn(&agent, accepted.turn, &session, printer, &approver, &interrupt).await;
        // The answer is out; a summary of a long conversation may still be written. Ctrl-C goes without.
        tokio::select! {
            () = agent.settle() => {}
            () = interrupt.raised() => {}
        }
        return ended.map(|ended| exit::of_turn(&ended));
    }
    agent.stop(accepted.turn).await?;
    Err(Interrupted.into())
}

/// How far the older turns of a session are.
#[derive(PartialEq)]
enum Caught {
    Up,
    Interrupted,
}

/// What a crash left unfinished in this session comes first; its outcome belongs to the conversation. A turn that cannot be finished
/// well must not keep the new one waiting.
async fn catch_up(
    agent: &Agent,
    session: &str,
    new: i64,
    printer: &mut OwnPrinter,
    approver: &Approver,
    interrupt: &Interrupt,
) -> Result<Caught> {
    deliver_unsent(agent, session, printer).await?;
    let approver = approver.for_resumed();
    let screen = *printer.screen();
    for turn in open_turns(agent, session).await?.into_iter().filter(|turn| turn.id < new) {
        printer.notice(&format!("finishing the turn that was cut off: {}", turn.text))?;
        let ended = match screen.format {
            // Standard output is for the answer to this prompt.
            Format::Text => {
                let screen = Screen { stdout_is_terminal: screen.stderr_is_terminal, ..screen };
                let mut aside = Printer::new(screen, io::stderr(), io::stderr());
                one_turn(agent, turn.id, session, &mut aside, &approver, interrupt).await
            }
            Format::Json | Format::Jsonl => one_turn(agent, turn.id, session, printer, &approver, interrupt).await,
        };
        match ended {
            Ok(Ended::Stopped) => return Ok(Caught::Interrupted),
            Ok(Ended::Finished(_) | Ended::Waiting(_)) => {}
            Err(error) if error.is::<Shown>() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Caught::Up)
}

/// Without a configured model the demo model answers, and says what it is.
pub fn say_if_demo(context: &Context, turn: &TurnArgs) {
    if turn.model.is_none() && context.config.model.file.is_none() {
        tell!("paguro: no model is configured, so the embedded demo model answers; it can only show the tools (`paguro config init`)");
    }
}

/// Runs a turn to its end. If standard output closes, the turn goes on without it: the journal has the reply.
pub async fn one_turn<'a, O: Write, E: Write>(
    host: impl Into<Host<'a>>,
    turn: i64,
    session: &str,
    printer: &mut Printer<O, E>,
    approver: &Approver,
    interrupt: &Interrupt,
) -> Result<Ended> {
    match run_turn(host, turn, printer, approver, interrupt).await {
        Ok(ended) => Ok(ended),
        Err(TurnError::Agent(error)) => Err(Shown(error).into()),
        Err(TurnError::Output { error, ended }) => match *ended {
            Ok(_) => Err(closed(&error, Some(session))),
            Err(failed) => Err(failed.into()),
        },
    }
}

fn closed(error: &io::Error, session: Option<&str>) -> anyhow::Error {
    match session {
        Some(session) => anyhow!("standard output was closed ({error}); `paguro session show {session}` has the reply"),
        None => anyhow!("standard output was closed ({error})"),
    }
}
