//! The arguments of `paguro memory eval`.

use std::path::PathBuf;

use clap::Args;

use super::ListArgs;

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// JSON lines in any order: notes `{"id":…,"text":…}`, with `at` if it counts, and questions `{"question":…,"expected":[ids]}`, with
    /// a `category` if it is to be counted apart; either with a `vector` if it has one. `-` is standard input
    pub file: PathBuf,
    /// The embedding model, a name or a file; without it the configured one
    #[arg(long, value_name = "NAME|PATH")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub list: ListArgs,
}
