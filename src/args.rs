//! What the user typed (DESIGN §8). What it means is worked out in `commands`.

mod eval;
mod job;
mod memory;
mod model;
mod service;

use std::path::PathBuf;
use std::time::Duration;

use channels::terminal::{Approve, Format};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::eval::EvalArgs;
pub use self::job::{JobCommand, JobOptions, JobRunArgs};
pub use self::memory::{BackupArgs, ForgetArgs, MemoryCommand, RestoreArgs};
pub use self::model::{BenchArgs, EmbedArgs, ModelCommand, PlanArgs, TuneArgs};
pub use self::service::{ScopeArgs, ServiceCommand};

#[derive(Debug, Parser)]
#[command(name = "paguro", about = "A personal agent in one executable", disable_version_flag = true, arg_required_else_help = true)]
pub struct Cli {
    /// Print version, commit, llama.cpp build and backends
    #[arg(short = 'V', long)]
    pub version: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// One turn, for scripts
    Ask(AskArgs),
    /// Talk to the agent
    Chat(TurnArgs),
    /// A guided tour on the embedded demo model
    Demo,
    /// Fetch, list, check and remove models
    #[command(subcommand)]
    Model(ModelCommand),
    /// Notes that the agent keeps
    #[command(subcommand)]
    Memory(MemoryCommand),
    /// Conversations
    #[command(subcommand)]
    Session(SessionCommand),
    /// Copy the database to a file, also while `serve` runs
    Backup(BackupArgs),
    /// Put a backup in the place of the database; what was there is kept beside it
    Restore(RestoreArgs),
    /// Calls that wait for your approval, and your answers
    Approvals(ApprovalsArgs),
    /// What runs at a time, by itself
    #[command(subcommand)]
    Job(JobCommand),
    /// The always-on process: Telegram, the socket for the other commands, jobs, and what was cut off
    Serve(ServeArgs),
    /// Have the system run `serve`: systemd, or launchd on macOS
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Show a new code by which a person becomes an owner on Telegram
    Pair,
    /// How the running `paguro serve` is: model, context, queue, memory, channels, next jobs
    Status(ListArgs),
    /// Instructions for kinds of tasks, and what you have accepted of them
    #[command(subcommand)]
    Skill(SkillCommand),
    /// The configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What the agent can do, and one of it by hand, without a model
    #[command(subcommand)]
    Tool(ToolCommand),
    /// Check that everything is in place
    Doctor(DoctorArgs),
    /// Lend this machine's memory and compute to another Paguro, which names it under `workers` in its configuration
    Worker(WorkerArgs),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ApprovalsArgs {
    #[command(flatten)]
    pub list: ListArgs,
    #[command(subcommand)]
    pub command: Option<ApprovalsCommand>,
}

#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// What waits
    List(ListArgs),
    /// Allow a call, and go on with its turn
    Yes {
        /// As `paguro approvals` shows it
        id: String,
        /// Allow it for the rest of its session
        #[arg(long, conflicts_with = "always")]
        for_session: bool,
        /// Allow it always: the rule that is shown goes into the configuration
        #[arg(long)]
        always: bool,
        /// Only record the answer
        #[arg(long)]
        later: bool,
        #[command(flatten)]
        turn: TurnArgs,
    },
    /// Answer a question of the model's, and go on with its turn
    Answer {
        /// As `paguro approvals` shows it
        id: String,
        /// Your answer, or the number of one that it offers
        #[arg(value_name = "TEXT")]
        words: String,
        /// Only record the answer
        #[arg(long)]
        later: bool,
        #[command(flatten)]
        turn: TurnArgs,
    },
    /// Refuse a call, or leave a question without an answer, and go on with its turn
    No {
        /// As `paguro approvals` shows it
        id: String,
        /// What to tell the model
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        /// Only record the answer
        #[arg(long)]
        later: bool,
        #[command(flatten)]
        turn: TurnArgs,
    },
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// One part only, looked at closely: `sandbox` tries to break each of its layers
    #[arg(value_enum, value_name = "PART")]
    pub part: Option<DoctorPart>,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DoctorPart {
    Sandbox,
}

#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Where to listen, HOST:PORT. There is no password: whoever reaches the port can use it, and may take the process over
    #[arg(long, value_name = "ADDR", value_parser = listen)]
    pub listen: String,
    /// Threads on the CPU; by default the physical cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
}

/// `HOST:PORT`.
fn listen(text: &str) -> Result<String, String> {
    engine::check_worker_address(text).map(|()| text.to_owned())
}

#[derive(Debug, Args)]
pub struct AskArgs {
    /// What to ask; `-` reads it from standard input. Piped text is added to the prompt as data
    pub prompt: Option<String>,
    #[command(flatten)]
    pub turn: TurnArgs,
    /// How to print the answer: text, json (the last event) or jsonl (one event a line)
    #[arg(long, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
pub struct TurnArgs {
    /// The conversation to go on with; without it `ask` starts a new one
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// What to do when a tool call needs approval: prompt (without a terminal the answer is no), deny, all, or wait
    /// (`paguro approvals` answers)
    #[arg(long, default_value_t = Approve::Prompt)]
    pub approve: Approve,
    /// A model's name or path, `demo`, or `script:FILE`
    #[arg(long, value_name = "NAME|PATH")]
    pub model: Option<String>,
    /// Most replies of the model in one turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_steps: Option<u32>,
    /// Most tokens generated in one turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: Option<u32>,
    /// Most time for one turn, such as 90s, 5m or 1h
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub timeout: Option<Duration>,
}

#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// `json` for scripts
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// Show the sessions
    List(ListArgs),
    /// Show a conversation
    Show {
        /// The session
        name: String,
        /// Show what made the answer of one turn (a number, or `last`): model, tokens, notes, calls, approvals, files, times
        #[arg(long, value_name = "TURN")]
        why: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Write a conversation as JSON lines
    Export {
        /// The session
        name: String,
        /// Where to; without it standard output
        file: Option<PathBuf>,
    },
    /// Take the last turn out of the conversation and bring back the files that it changed
    Undo {
        /// The session
        name: String,
        /// Also files that somebody else has changed since; what they are now is kept
        #[arg(long)]
        force: bool,
    },
    /// Remove a conversation
    Rm {
        /// The session
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// A model's name or path, `demo`, or `script:FILE`
    #[arg(long, value_name = "NAME|PATH")]
    pub model: Option<String>,
}

impl TurnArgs {
    /// Those of a turn that nobody typed.
    pub fn of_model(model: Option<String>) -> Self {
        Self { session: None, approve: Approve::Prompt, model, max_steps: None, max_tokens: None, timeout: None }
    }
}

#[derive(Debug, Subcommand)]
pub enum SkillCommand {
    /// Show the skills and AGENTS.md, and whether you have accepted them as they are
    List(ListArgs),
    /// Show a skill's text, or how it has changed since you accepted it
    Show {
        /// The skill, or AGENTS.md
        name: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Accept a skill as it is now: its text may tell the model what to do
    Accept {
        /// The skill, or AGENTS.md
        name: String,
    },
    /// Accept a skill no longer
    Forget {
        /// The skill, or AGENTS.md
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum ToolCommand {
    /// Show the tools, with their effect and where they come from
    List(ListArgs),
    /// Run one tool, with the same approval as for a model
    Run {
        /// The tool
        name: String,
        /// Its arguments, a JSON object
        arguments: String,
        /// What to do when the call needs approval: prompt (without a terminal the answer is no), deny or all
        #[arg(long, default_value_t = Approve::Prompt)]
        approve: Approve,
        #[command(flatten)]
        list: ListArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a configuration file to start from
    Init,
    /// Check the configuration file
    Check,
    /// Show the configuration in use, defaults included
    Show(ListArgs),
    /// Say what the policy decides on a tool call, without running it
    Policy {
        /// The tool
        tool: String,
        /// Its arguments, a JSON object
        arguments: String,
        #[command(flatten)]
        call: CallArgs,
        #[command(flatten)]
        list: ListArgs,
    },
}

/// What else a policy may look at in a tool call.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// The session it would be in
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub session: String,
    /// The channel it would come by
    #[arg(long, value_name = "NAME", default_value = "terminal")]
    pub channel: String,
    /// Take untrusted text from here to be in the context
    #[arg(long, value_name = "ORIGIN")]
    pub foreign: Option<String>,
    /// What a tool that is not built in may do: read, write, network or spend
    #[arg(long, value_name = "EFFECT", value_parser = effect)]
    pub effect: Option<agent::Effect>,
}

fn effect(text: &str) -> Result<agent::Effect, String> {
    serde_json::from_value(text.into()).map_err(|_| "give read, write, network or spend".to_owned())
}

/// `90s`, `5m`, `1h30m`, or bare seconds; more than nothing.
fn duration(text: &str) -> Result<Duration, String> {
    let example = "give a time such as 90s, 5m or 1h";
    let time = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|e| format!("{e}; {example}"))?,
        Err(_) => {
            let span: jiff::SignedDuration = text.parse().map_err(|_| format!("not a time; {example}"))?;
            Duration::try_from(span).map_err(|_| format!("not a time from now on; {example}"))?
        }
    };
    match time {
        time if time.is_zero() => Err(format!("no time at all; {example}")),
        time if time > agent::LONGEST_TURN => Err("more than a year; give less".to_owned()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, seconds: Option<f64>| {
            assert_eq!(duration(text).ok().map(|d| d.as_secs_f64()), seconds, "{text}");
        };
        check("90s", Some(90.0));
        check("90", Some(90.0));
        check("1.5", Some(1.5));
        check("1h30m", Some(5400.0));
        check("500ms", Some(0.5));
        for bad in ["0", "0s", "-5s", "-1", "soon", "", "NaN", "inf", "1e300", "1e19", "366d"] {
            check(bad, None);
        }
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
