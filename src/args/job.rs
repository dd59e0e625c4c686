//! `paguro job …` as it is typed.

use std::path::PathBuf;

use channels::terminal::{Approve, Format};
use clap::{Args, Subcommand, ValueEnum};

use super::ListArgs;

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
