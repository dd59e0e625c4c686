//! What the tests of conversations and of turns share: an agent whose model is a script and whose store is in memory.

use std::fs::File;
use std::io::{PipeWriter, Write as _, pipe};
use std::os::fd::OwnedFd;

use agent::engine::{Engine, LoadOptions, ModelSource, Sampling, ToolSchema};
use agent::memory::{Inbound, Store};
use agent::{Agent, Effect, Limits, Settings, Tool, ToolContext, ToolFuture, Toolbox};
use serde_json::{Value, json};

use super::CHANNEL;
use super::approver::Approver;
use super::settings::{Approve, Format, Screen};
use super::tty::Terminal;

const SCRIPT: &str = r#"
{"when":"^run (.*)$","role":"user","tool_calls":[{"name":"shell","arguments":{"command":"$1"}}]}
{"when":"^error: the owner did not allow this(.*)","role":"tool","text":"Not allowed$1."}
{"when":"^ran (.*)","role":"tool","text":"It said: $1"}
{"when":"^slow","text":"one two three four five six seven eight nine ten","delay_ms":100}
{"when":"^(hello|hi)","text":"Hello there."}
"#;

/// Says what it was told to run.
struct Shell;

impl Tool for Shell {
    fn schema(&self) -> ToolSchema {
        ToolSchema { name: "shell".into(), description: "Runs a command.".into(), parameters: json!({ "type": "object" }) }
    }

    fn effect(&self) -> Effect {
        Effect::Write
    }

    fn run<'a>(&'a self, arguments: &'a Value, _: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move { Ok(format!("ran {}", arguments["command"].as_str().unwrap_or_default()).into()) })
    }
}

pub(super) async fn agent() -> Agent {
    let mut script = tempfile::NamedTempFile::new().unwrap();
    script.write_all(SCRIPT.as_bytes()).unwrap();
    let options = LoadOptions { context: Some(4_096), ..LoadOptions::new(ModelSource::Script(script.path().into())) };
    let engine = Engine::load(options, |_| std::ops::ControlFlow::Continue(())).await.unwrap();
    let settings = Settings {
        policy: Vec::new(),
        limits: Limits::default(),
        sampling: Sampling::default(),
        clock: || "2026-11-21 09:41 Saturday".into(),
        overflow: Box::new(|_, text, _| text.into()),
        block_tail: Box::new(|| Box::pin(async { String::new() })),
    };
    Agent::new(engine, Store::in_memory().unwrap(), Toolbox::new(vec![Box::new(Shell)]), settings)
}

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Both streams go to files.
pub(super) const SCREEN: Screen =
    Screen { format: Format::Text, colour: false, stdout_is_terminal: false, stderr_is_terminal: false, details: false };

/// A terminal on which `typed` is typed, and what keeps it from ending there.
pub(super) fn terminal(typed: &str) -> (Terminal, PipeWriter) {
    let (input, mut writer) = pipe().unwrap();
    writer.write_all(typed.as_bytes()).unwrap();
    let nowhere = File::options().write(true).open("/dev/null").unwrap();
    (Terminal::new(File::from(OwnedFd::from(input)), nowhere), writer)
}

/// One who asks on a terminal on which `typed` is typed.
pub(super) fn owner(mode: Approve, typed: &str) -> Approver {
    Approver { terminal: Some(terminal(typed).0), ..nobody(mode) }
}

pub(super) fn nobody(mode: Approve) -> Approver {
    Approver::new(mode, &SCREEN)
}

/// Accepts a message and runs nothing; the turn.
pub(super) async fn accepted(agent: &Agent, session: &str, text: &str) -> i64 {
    let inbound = Inbound { channel: CHANNEL.into(), session: session.into(), text: text.into(), ..Inbound::default() };
    agent.accept(inbound).await.unwrap().turn
}
