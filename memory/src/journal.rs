//! The journal: sessions, inbox, turns, steps, outbox. The only truth about progress.
//!
//! It does not know what a step means; `kind` and `body` are the agent's.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Store, StoreError};

/// A message that came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// The channel it came by, such as `terminal`.
    pub channel: String,
    /// The session's name, unique within the channel.
    pub session: String,
    /// The platform's own id: the same id on the same channel is the same message. `None`: always a new message.
    pub platform_id: Option<String>,
    /// What was written.
    pub text: String,
    /// Text piped along with the message.
    pub data: Option<String>,
}

/// A message that is to go out to the session it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbound {
    /// What to say.
    pub text: String,
}

/// An inbound message is in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The turn that it started.
    pub turn: i64,
    /// Its session.
    pub session: i64,
    /// It had been accepted before; nothing was written.
    pub repeated: bool,
}

/// How far a turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TurnState {
    /// Not finished: takes steps.
    Open,
    /// Finished well.
    Done,
    /// Finished with a recorded failure.
    Failed,
}

/// How a turn ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// Well.
    Done,
    /// With a recorded failure.
    Failed,
}

/// A turn: one inbound message and what became of it. Times are RFC 3339, UTC, milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRow {
    /// Number, ascending, never reused.
    pub id: i64,
    /// Session.
    pub session: i64,
    /// The session's name.
    pub session_name: String,
    /// Channel.
    pub channel: String,
    /// What was written.
    pub text: String,
    /// Text piped along with the message.
    pub data: Option<String>,
    /// When it was accepted.
    pub at: String,
    /// How far it is.
    pub state: TurnState,
    /// What became of it; `None` while it is open.
    pub outcome: Option<String>,
}

/// A step of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// 1, 2, 3, … within the turn.
    pub seq: i64,
    /// When it was written; RFC 3339, UTC.
    pub at: String,
    /// The agent's word for what it is.
    pub kind: String,
    /// The agent's record.
    pub body: Value,
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundRow {
    /// Number, ascending, never reused.
    pub id: i64,
    /// The turn it answers.
    pub turn: i64,
    /// Session.
    pub session: i64,
    /// The session's name.
    pub session_name: String,
    /// Channel.
    pub channel: String,
    /// What to say.
    pub text: String,
    /// When it was written; RFC 3339, UTC.
    pub at: String,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Number, never reused.
    pub id: i64,
    /// Channel.
    pub channel: String,
    /// Name, unique within the channel.
    pub name: String,
    /// Time of its first message; RFC 3339, UTC.
    pub created: String,
    /// Time of its last message; RFC 3339, UTC.
    pub last: String,
    /// Turns, undone ones left out.
    pub turns: i64,
}

/// The journal. A call whose future is dropped may still take effect; what it returned `Ok` for is on the disk.
impl Store {
    /// Commits a message: its session (made when new), the inbox row and an open turn, in one transaction.
    /// A message whose `platform_id` the channel has given before is not stored again; the first one's turn is returned.
    pub async fn accept(&self, inbound: Inbound) -> Result<Accepted, StoreError> {
        let _ = inbound;
        Err(StoreError::Gone)
    }

    /// Unfinished turns, oldest first, of all sessions or of those called `session` (`name` or `channel/name`).
    pub async fn open_turns(&self, session: Option<&str>) -> Result<Vec<TurnRow>, StoreError> {
        let _ = session;
        Err(StoreError::Gone)
    }

    /// The turn numbered `id`.
    pub async fn turn(&self, id: i64) -> Result<Option<TurnRow>, StoreError> {
        let _ = id;
        Err(StoreError::Gone)
    }

    /// The steps of a turn, in order. A turn that does not exist has none.
    pub async fn steps(&self, turn: i64) -> Result<Vec<StepRow>, StoreError> {
        let _ = turn;
        Err(StoreError::Gone)
    }

    /// Adds a step to an open turn and returns its `seq`. It is on the disk when this returns.
    /// Refused with [`StoreError::TurnFinished`] when the turn is finished.
    pub async fn append(&self, turn: i64, kind: &str, body: Value) -> Result<i64, StoreError> {
        let _ = (turn, kind, body);
        Err(StoreError::Gone)
    }

    /// Ends an open turn: its outcome and, if there is one, the message to be sent, in one transaction.
    /// Returns the message's number for [`Store::confirm`].
    pub async fn finish(&self, turn: i64, ending: Ending, outcome: &str, outbound: Option<Outbound>) -> Result<Option<i64>, StoreError> {
        let _ = (turn, ending, outcome, outbound);
        Err(StoreError::Gone)
    }

    /// Marks a message as sent, with the platform's id for it if the platform gave one. Twice is harmless.
    pub async fn confirm(&self, outbound: i64, platform_id: Option<&str>) -> Result<(), StoreError> {
        let _ = (outbound, platform_id);
        Err(StoreError::Gone)
    }

    /// Messages of a channel that are not confirmed, oldest first.
    pub async fn unsent(&self, channel: &str) -> Result<Vec<OutboundRow>, StoreError> {
        let _ = channel;
        Err(StoreError::Gone)
    }

    /// The last `limit_turns` finished turns of a session with their steps, oldest first, undone turns left out.
    pub async fn history(&self, session: i64, limit_turns: usize) -> Result<Vec<(TurnRow, Vec<StepRow>)>, StoreError> {
        let _ = (session, limit_turns);
        Err(StoreError::Gone)
    }

    /// The session's system block, once it has one.
    pub async fn system_block(&self, session: i64) -> Result<Option<String>, StoreError> {
        let _ = session;
        Err(StoreError::Gone)
    }

    /// Gives the session its system block and returns the one that holds: the first one given stays for good.
    pub async fn set_system_block(&self, session: i64, text: &str) -> Result<String, StoreError> {
        let _ = (session, text);
        Err(StoreError::Gone)
    }

    /// Sessions, the one with the latest message first.
    pub async fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        Err(StoreError::Gone)
    }

    /// The session called `name`, or `channel/name`. Several channels may have one called `name`:
    /// then [`StoreError::AmbiguousSession`] names them.
    pub async fn find_session(&self, name: &str) -> Result<Option<SessionRow>, StoreError> {
        let _ = name;
        Err(StoreError::Gone)
    }

    /// Removes a session (`name` or `channel/name`) and everything of it but the notes, for good.
    /// `false`: there was none.
    pub async fn remove_session(&self, name: &str) -> Result<bool, StoreError> {
        let _ = name;
        Err(StoreError::Gone)
    }

    /// Takes the session's last finished turn out of the history and returns it; it stays in the file.
    pub async fn undo(&self, session: i64) -> Result<Option<TurnRow>, StoreError> {
        let _ = session;
        Err(StoreError::Gone)
    }
}
