//! `paguro demo`: a guided tour on real input. Everything in it is the real thing: the embedded model, the journal, the tools,
//! a second process. It happens in a folder of its own, which is removed afterwards.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use agent::Agent;
use anyhow::{Context as _, Result};
use channels::terminal::{Approve, Approver, CHANNEL, Ended, Format, Printer, Screen, run_turn};
use memory::Inbound;

use super::ask::screen;
use crate::args::TurnArgs;
use crate::config::Config;
use crate::exit::Interrupted;
use crate::home::Home;
use crate::parts::{self, Context};

/// One stop of the tour.
struct Stop {
    title: &'static str,
    says: &'static str,
    approve: Approve,
}

const FIRST: [Stop; 5] = [
    Stop { title: "A greeting", says: "hello, who are you?", approve: Approve::Deny },
    Stop { title: "A command. It needs approval; the tour says yes", says: "run uname -a", approve: Approve::All },
    Stop { title: "A file is written", says: "write hello world to greeting.txt", approve: Approve::All },
    Stop { title: "and read. Reading needs no approval", says: "read greeting.txt", approve: Approve::Deny },
    Stop { title: "A fact is remembered", says: "remember that my bike is green", approve: Approve::Deny },
];

const SECOND_PROCESS: &str = "what is my bike?";

const LAST: Stop = Stop { title: "A command that the owner does not allow", says: "run rm -r notes", approve: Approve::Deny };

/// The tour's folder; removed at its end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing in it is the owner's; a leftover in the system's temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub async fn run() -> Result<ExitCode> {
    let path = std::env::temp_dir().join(format!("paguro-demo-{}", std::process::id()));
    std::fs::create_dir(&path).with_context(|| format!("the folder {} cannot be made", path.display()))?;
    let folder = Folder(path.clone());
    let home = Home { config: path.join("paguro.toml"), data: path.clone(), cache: path.join("cache") };
    let context = Context { home, config: Config::default() };
    say!("A tour of paguro on its embedded demo model, in {}.", path.display());
    say!("The model is tiny: it shows how tools, approvals and memory work, and knows nothing else.");
    {
        let agent = agent(&context).await?;
        for stop in &FIRST {
            take(&agent, stop).await?;
        }
        agent.settle().await;
    }
    say!("\n── A second process asks for the fact ──\nyou: {SECOND_PROCESS}");
    io::stdout().flush()?;
    let program = std::env::current_exe().context("this program's own path is not known")?;
    let status = Command::new(program)
        .args(["ask", SECOND_PROCESS, "--model", "demo"])
        .env("PAGURO_HOME", &path)
        .stdin(std::process::Stdio::null())
        .status()
        .context("the second process cannot be started")?;
    let agent = agent(&context).await?;
    take(&agent, &LAST).await?;
    drop(agent);
    say!("\nThat was all. `paguro config init` writes a configuration; name your model there, then `paguro chat`.");
    drop(folder);
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn arguments() -> TurnArgs {
    TurnArgs { approve: Approve::Deny, ..TurnArgs::of_model(Some("demo".to_owned())) }
}

async fn agent(context: &Context) -> Result<Agent> {
    let engine = parts::load_quietly(context.load_options(Some("demo"))?).await?;
    let arguments = TurnArgs { model: Some("demo".into()), ..arguments() };
    parts::agent(context, &arguments, context.store()?, engine).await
}

/// One stop: the words, the turn as it runs, and what it cost.
async fn take(agent: &Agent, stop: &Stop) -> Result<()> {
    say!("\n── {} ──\nyou: {}", stop.title, stop.says);
    let inbound = Inbound { channel: CHANNEL.into(), session: "tour".into(), text: stop.says.into(), ..Inbound::default() };
    let accepted = agent.accept(inbound).await?;
    // Tool calls and costs are what the tour is about, so all of it goes to standard output.
    let stdout_is_terminal = io::stdout().is_terminal();
    let screen = Screen { stdout_is_terminal, stderr_is_terminal: stdout_is_terminal, details: true, ..screen(Format::Text) };
    let mut printer = Printer::new(screen, io::stdout(), io::stdout());
    let approver = Approver::new(stop.approve, &screen);
    let ended = run_turn(agent, accepted.turn, &mut printer, &approver, &parts::on_ctrl_c()).await?;
    printer.finish()?;
    match ended {
        Ended::Finished(_) => Ok(()),
        Ended::Stopped | Ended::Waiting(_) => Err(Interrupted.into()),
    }
}
