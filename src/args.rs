//! What the user typed (DESIGN §8). What it means is worked out in `commands`.

use std::path::PathBuf;
use std::time::Duration;

use channels::terminal::{Approve, Format};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};
use engine::CacheType;

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
    /// Calls that wait for your approval, and your answers
    Approvals(ApprovalsArgs),
    /// What runs at a time, by itself
    #[command(subcommand)]
    Job(JobCommand),
    /// The always-on process: runs jobs, and goes on with what was cut off
    Serve(ServeArgs),
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
    /// Refuse a call, and go on with its turn
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
pub enum ModelCommand {
    /// Fetch a model; without a name, show good ones by the memory they need
    Pull {
        /// OWNER/NAME on the hub, OWNER/NAME:QUANT, or a name of the table
        #[arg(value_name = "REPO[:QUANT]")]
        model: Option<String>,
        /// Name it in the configuration at the end
        #[arg(long = "use", requires = "model")]
        r#use: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show the models that are here
    List(ListArgs),
    /// Remove a model
    Rm {
        /// Its name, as `list` shows it
        name: String,
        /// Also the one that is configured
        #[arg(long)]
        force: bool,
    },
    /// Load a model and say what it can do
    Check {
        /// A model's name or path; without it the configured one
        model: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Say what a model would take and whether it fits, without loading it
    Plan(PlanArgs),
    /// Print the vectors of texts as JSON, one line for each
    Embed(EmbedArgs),
    /// Measure how fast a model is here, and with a text what a smaller cache costs
    Bench(BenchArgs),
    /// Try settings on this machine and say which are the fastest
    Tune(TuneArgs),
}

#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// The texts; without any, the lines of standard input
    pub text: Vec<String>,
    /// They are texts to look for, not texts to be found
    #[arg(long)]
    pub query: bool,
    /// Cuts a text that is too long to its beginning
    #[arg(long)]
    pub cut: bool,
    /// An embedder's name or path; without it the configured one
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// A model's name or path; without it the configured one
    pub model: Option<String>,
    /// Tokens in the cache before prefill and decode are measured
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [0, 4096, 8192])]
    pub depth: Vec<u32>,
    /// Measures perplexity on this text, with caches of f16, q8_0 and q4_0
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Most tokens of the text that are read
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub text_tokens: u32,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// A model's name or path; without it the configured one
    pub model: Option<String>,
    /// Try another context, in tokens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(64..=i32::MAX as i64))]
    pub context: Option<u32>,
    /// Try another type of the K cache
    #[arg(long, value_name = "T", value_parser = cache_type())]
    pub cache_type_k: Option<CacheType>,
    /// Try another type of the V cache
    #[arg(long, value_name = "T", value_parser = cache_type())]
    pub cache_type_v: Option<CacheType>,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct TuneArgs {
    /// A model's name or path; without it the configured one
    pub model: Option<String>,
    /// A text that no setting may foretell worse than an f16 cache does, but for the bound
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Most tokens of the text that are read
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    pub text_tokens: u32,
    /// How much higher the perplexity may be, such as 1%
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    pub bound: f64,
    /// Tokens in the cache at which settings are compared, beside none
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub depth: u32,
    /// About how long to try; the trial that runs then is the last
    #[arg(long, value_name = "N", default_value = "5", value_parser = minutes)]
    pub minutes: f64,
    /// Writes the best settings into the configuration file
    #[arg(long)]
    pub write: bool,
    #[command(flatten)]
    pub list: ListArgs,
}

/// The names of cache types, as in the configuration.
fn cache_type() -> impl clap::builder::TypedValueParser<Value = CacheType> {
    let named = |name: String| CacheType::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or(CacheType::Q4_0);
    PossibleValuesParser::new(CacheType::ALL.map(CacheType::name)).map(named)
}

#[derive(Debug, Subcommand)]
pub enum MemoryCommand {
    /// Keep a note
    Add {
        /// The note
        text: String,
        /// It holds in every conversation, and stands at the beginning of each
        #[arg(long)]
        pin: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Let a note stand at the beginning of every new conversation
    Pin {
        /// As `paguro memory list` shows it
        id: String,
        /// Take the pin away
        #[arg(long)]
        off: bool,
    },
    /// Find notes
    Search {
        /// What to look for
        query: String,
        /// Most results
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=memory::limits::SEARCH_RESULTS as i64))]
        limit: u32,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show notes, newest first
    List {
        /// Most notes
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=memory::limits::LIST_ROWS as i64))]
        limit: u32,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Remove a note
    Forget {
        /// Its id, as `list` and `search` show it
        id: String,
    },
    /// Write all notes as JSON lines
    Export {
        /// Where to; without it standard output
        file: Option<PathBuf>,
    },
    /// Read notes from JSON lines: `text`, and `id` and `at` if they are to be kept
    Import {
        /// Where from; `-` is standard input
        file: PathBuf,
    },
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

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Add a job: `add disk "every day at 9:00" "Is the disk full? Tell me only if it is."`
    Add {
        /// Its name
        name: String,
        /// `in 20 minutes`, `at 2027-01-31 09:00`, `every 30 minutes`, `every weekday at 8:30`, or five fields of cron
        when: String,
        /// What the model is to do; with --reminder, what to say
        text: String,
        /// Say the text as it is, without a model
        #[arg(long)]
        reminder: bool,
        #[command(flatten)]
        options: JobOptions,
    },
    /// Look through a checklist again and again, and say something only where it is needed
    Heartbeat {
        /// Its name
        #[arg(long, default_value = "heartbeat")]
        name: String,
        /// How often
        #[arg(long, value_name = "TIME", default_value = "30m")]
        every: String,
        /// The checklist. One that is empty or not there costs nothing
        #[arg(long, value_name = "FILE", default_value = "HEARTBEAT.md")]
        file: PathBuf,
        #[command(flatten)]
        options: JobOptions,
    },
    /// Show the jobs, the next one first
    List(ListArgs),
    /// Show a job, when it runs next, and what came of its last runs
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Run a job here and now
    Run(JobRunArgs),
    /// Let a job rest
    Pause {
        /// Its name
        name: String,
    },
    /// Let a job go on
    Resume {
        /// Its name
        name: String,
    },
    /// Remove a job; its conversation stays
    Rm {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct JobOptions {
    /// The time zone that the times are in, such as Europe/Berlin; by default the configured one, else the machine's
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// The session that hears of it, NAME of the terminal or CHANNEL/NAME; by default the one that `chat` goes on with
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// When runs could not be (nothing ran, or the last one was not finished): run once as soon as it can be, or skip them
    #[arg(long, value_enum)]
    pub missed: Option<MissedRuns>,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MissedRuns {
    Once,
    Skip,
}

impl From<MissedRuns> for memory::Missed {
    fn from(missed: MissedRuns) -> Self {
        match missed {
            MissedRuns::Once => Self::Once,
            MissedRuns::Skip => Self::Skip,
        }
    }
}

#[derive(Debug, Args)]
pub struct JobRunArgs {
    /// Its name
    pub name: String,
    /// A model's name or path, `demo`, or `script:FILE`
    #[arg(long, value_name = "NAME|PATH")]
    pub model: Option<String>,
    /// What to do when a tool call needs approval: prompt (without a terminal the answer is no), deny or all
    #[arg(long, default_value_t = Approve::Prompt)]
    pub approve: Approve,
    /// How to print the answer: text, json (the last event) or jsonl (one event a line)
    #[arg(long, default_value_t = Format::Text)]
    pub format: Format,
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

/// `1%`, or `0.01`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().map(|number| number / unit).ok();
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "not a share; give one such as 1%".to_owned())
}

/// More than nothing, at most a day.
fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse::<f64>().ok();
    minutes.filter(|minutes| *minutes > 0.0 && *minutes <= 1440.0).ok_or_else(|| "give a number of minutes up to 1440".to_owned())
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
    fn shares() {
        let check = |text: &str, expected: Option<f64>| assert_eq!(share(text).ok(), expected, "{text}");
        check("1%", Some(0.01));
        check("0.5 %", Some(0.005));
        check("0.02", Some(0.02));
        for bad in ["", "%", "-1%", "101%", "much", "NaN"] {
            check(bad, None);
        }
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
