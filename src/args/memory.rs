//! Arguments of `paguro memory`, `backup` and `restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{EvalArgs, ListArgs};

#[derive(Debug, Subcommand)]
pub enum MemoryCommand {
    /// Keep a note
    Add {
        /// The note; `-` reads it from standard input
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
    /// Find notes, facts and pieces of conversations
    Search {
        /// What to look for
        query: String,
        /// Most results
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=memory::limits::SEARCH_RESULTS as i64))]
        limit: u32,
        /// Only this kind
        #[arg(long, value_enum)]
        kind: Option<Kind>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show notes and facts, newest first
    List {
        /// Most notes
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=memory::limits::LIST_ROWS as i64))]
        limit: u32,
        /// Only this kind
        #[arg(long, value_enum)]
        kind: Option<Kind>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show all that is known of a note: where it comes from, what replaces it
    Show {
        /// As `list` and `search` show it
        id: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Give a note another text; its id and its time stay
    Edit {
        /// As `list` and `search` show it
        id: String,
        /// The new text; `-` reads it from standard input. Without it $VISUAL or $EDITOR opens
        text: Option<String>,
    },
    /// Remove notes, and what was said of them, for good
    Forget(ForgetArgs),
    /// Write all notes as JSON lines
    Export {
        /// Where to; without it standard output
        file: Option<PathBuf>,
        /// With their vectors
        #[arg(long)]
        vectors: bool,
    },
    /// Read notes: JSON lines as `export` writes them, a chat history as JSON lines, or a Markdown file or a folder of them
    Import {
        /// Where from; `-` is standard input
        file: PathBuf,
        /// It is all your own: without this, Markdown and chats count as text that strangers may have written
        #[arg(long)]
        trust: bool,
    },
    /// Make the vectors that notes lack, by the configured embedder; Ctrl-C stops, and the next call goes on
    Reindex {
        /// Those that there are as well
        #[arg(long)]
        all: bool,
    },
    /// Show what the memory holds, how it grows, and whether what it finds is used
    Stats {
        /// Draw it as an SVG
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Measure how well notes are found, on notes and questions of a file
    Eval(EvalArgs),
}

#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// Ids, as `list` and `search` show them
    #[arg(required_unless_present = "matching")]
    pub ids: Vec<String>,
    /// All notes with these words, and the words wherever they were said
    #[arg(long, value_name = "TEXT")]
    pub matching: Option<String>,
    /// All that was said in the turns that the notes come from, too
    #[arg(long)]
    pub with_turns: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Note,
    Fact,
    Turn,
}

impl From<Kind> for memory::NoteKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Note => Self::Note,
            Kind::Fact => Self::Fact,
            Kind::Turn => Self::Turn,
        }
    }
}

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where to
    pub file: PathBuf,
    /// Replace what is there
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup
    pub file: PathBuf,
}
