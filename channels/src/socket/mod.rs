//! The local socket: one process has the model, and whoever may use its home uses that model.
//!
//! A connection is one request, one JSON object on one line, and its answers, one JSON object a line. A turn's answers are the events
//! of `--format jsonl`, between [`Reply`]s. There is no password: the socket's file is for its owner alone (mode 0600).

mod client;
mod place;
mod server;

use std::time::Duration;

use agent::memory::OutboundRow;
use agent::{Answer, Event, Question};
use serde::{Deserialize, Serialize};

pub use self::client::{Client, ClientError};
pub use self::place::Listener;
pub use self::server::{CommandLine, Hooks, Wire, serve};

/// Bytes of one line. A longer one ends the connection. A prompt with piped data is 16 MiB at most; JSON may double it.
pub const LINE_BYTES: usize = 40 << 20;

/// Connections at once; more wait to be taken.
pub const CONNECTIONS: usize = 256;

/// How long a new connection may take to say what it wants.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// How far the process is: [`Reply::Health`]. Answered at once.
    Health,
    /// A new message: [`Reply::Accepted`], then as [`Request::Watch`].
    Ask {
        /// The session's name.
        session: String,
        /// What is said.
        text: String,
        /// Text piped along.
        #[serde(default)]
        data: Option<String>,
        /// Bounds of this turn, in the place of the configured ones.
        #[serde(default)]
        limits: TurnLimits,
    },
    /// A turn's events from its start to its end. Who goes away without [`Word::Leave`] stops it, unless others watch it too.
    Watch {
        /// The turn.
        turn: i64,
    },
    /// Ends a turn: [`Reply::Done`].
    Stop {
        /// The turn.
        turn: i64,
    },
    /// The replies of a session of the terminal that nobody has been shown: [`Reply::Unsent`].
    Unsent {
        /// The session's name.
        session: String,
    },
    /// A reply was shown: [`Reply::Done`].
    Confirm {
        /// Its number.
        outbound: i64,
    },
    /// Unfinished turns of a session of the terminal: [`Reply::Open`].
    Open {
        /// The session's name.
        session: String,
    },
    /// A line of a chat that begins with `/`: [`Reply::Said`].
    Command {
        /// The chat's session.
        session: String,
        /// The line.
        line: String,
    },
    /// A command of the command line, run in the process: [`Reply::Output`] and [`Reply::Exit`].
    Run(CommandLine),
}

/// Bounds of one turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnLimits {
    /// Most replies of the model.
    pub steps: Option<usize>,
    /// Most tokens generated.
    pub tokens: Option<u32>,
    /// Most milliseconds.
    pub time_ms: Option<u64>,
}

/// What a client says while it watches a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The answer to a [`Reply::Question`], by its id.
    Answer {
        /// [`Question::id`].
        question: String,
        /// The answer.
        answer: Answer,
    },
    /// It goes away, and the turn goes on.
    Leave,
    /// What standard input gives, for [`Reply::Input`]; nothing: it has ended.
    Input(Option<String>),
}

/// What the process says besides events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// The message is in the journal.
    Accepted {
        /// The turn.
        turn: i64,
    },
    /// The turn waits for this answer: [`Word::Answer`].
    Question(Box<Question>),
    /// How far the process is.
    Health {
        /// `loading`, `ready` or `stopping`.
        state: String,
        /// How much of the model is loaded, 0 to 1.
        done: f32,
        /// The model's name, once it is loaded.
        model: Option<String>,
        /// The process.
        pid: u32,
    },
    /// Messages that wait to be shown.
    Unsent {
        /// The oldest first.
        rows: Vec<OutboundRow>,
    },
    /// Unfinished turns.
    Open {
        /// Number and words of each, the oldest first.
        turns: Vec<(i64, String)>,
    },
    /// What a command of the chat says.
    Said {
        /// The text.
        text: String,
        /// The session to go on with.
        session: Option<String>,
    },
    /// What was asked is done.
    Done,
    /// What a command writes.
    Output {
        /// 1: standard output, 2: standard error.
        stream: u8,
        /// The text.
        text: String,
    },
    /// A command reads standard input: [`Word::Input`].
    Input {
        /// A line, or all of it.
        line: bool,
    },
    /// A command has ended.
    Exit {
        /// Its status.
        status: u8,
    },
}

/// One line from the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// An event of a turn.
    Event(Event),
    /// Anything else.
    Reply(Reply),
}
