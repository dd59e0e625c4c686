//! `paguro service …` as it is typed.

use clap::{Args, Subcommand};

use super::ListArgs;

#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Have the system run `paguro serve`: writes the unit, enables and starts it
    Install {
        #[command(flatten)]
        scope: ScopeArgs,
        /// The user that a system service runs as; by default you
        #[arg(long, value_name = "NAME", requires = "system")]
        user: Option<String>,
        /// Only print what would be written
        #[arg(long)]
        dry_run: bool,
    },
    /// Say whether it is installed, as it would be written now, enabled and running
    Status {
        #[command(flatten)]
        scope: ScopeArgs,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Stop it and remove the unit; what it has written stays
    Uninstall {
        #[command(flatten)]
        scope: ScopeArgs,
    },
}

#[derive(Debug, Clone, Copy, Args)]
pub struct ScopeArgs {
    /// A service of the machine, which starts with it (as root); without it one of yours
    #[arg(long)]
    pub system: bool,
}
