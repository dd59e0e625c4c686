//! The journal: inbox, turns, steps. The only truth about progress. What goes out is in `outbox.rs`.
//!
//! It does not know what a step means; `kind` and `body` are the agent's. Only the view `messages`, for people, reads them.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Failure;
use crate::outbox::{self, Outbound};
use crate::{Note, Store, StoreError, jobs, limits, notes};

/// A message that came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// The channel it came by, such as `terminal`.
    pub channel: String,
    /// The session's name, unique within the channel.
    pub session: String,
    /// The platform's own id: the same id on the same channel is the same message. `None`: always a new message.
    pub platform_id: Option<String>,
    /// The platform's id of the message, which its edits name; see [`Store::correct`].
    pub message: Option<String>,
    /// Who wrote it, where that is not the owner.
    pub person: Option<String>,
    /// What was written.
    pub text: String,
    /// Text piped along with the message.
    pub data: Option<String>,
    /// The turn that started this one, if it is a task.
    pub parent: Option<i64>,
    /// What the task may do; the agent's record.
    pub task: Option<String>,
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
    /// As [`Inbound::parent`].
    pub parent: Option<i64>,
    /// As [`Inbound::task`].
    pub task: Option<String>,
    /// As [`Inbound::message`].
    pub message: Option<String>,
    /// As [`Inbound::person`].
    pub person: Option<String>,
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

/// The journal.
impl Store {
    /// Commits a message: its session (made when new), the inbox row and an open turn, in one transaction.
    ///
    /// A message whose `platform_id` the channel has given before is not stored again; the first one's turn is returned.
    /// That memory goes with the session when it is removed.
    pub async fn accept(&self, inbound: Inbound) -> Result<Accepted, StoreError> {
        limits::check("channel", &inbound.channel, limits::NAME_BYTES)?;
        limits::check("session name", &inbound.session, limits::NAME_BYTES)?;
        limits::check("message", &inbound.text, limits::TEXT_BYTES)?;
        for (what, name) in [("platform id", &inbound.platform_id), ("message id", &inbound.message), ("person", &inbound.person)] {
            limits::check(what, name.as_deref().unwrap_or_default(), limits::NAME_BYTES)?;
        }
        if let Some(data) = &inbound.data {
            limits::check("data", data, limits::TEXT_BYTES)?;
        }
        let accepted = self.run(move |connection| transact(connection, |transaction| accept(transaction, &inbound))).await?;
        self.changed();
        Ok(accepted)
    }

    /// Unfinished turns, oldest first, of all sessions or of those called `session` (`name` or `channel/name`);
    /// at most [`limits::LIST_ROWS`].
    pub async fn open_turns(&self, session: Option<&str>) -> Result<Vec<TurnRow>, StoreError> {
        let session = session.map(str::to_owned);
        self.run(move |connection| {
            let most = limits::rows(limits::LIST_ROWS, limits::LIST_ROWS);
            turns(connection, OPEN_TURNS, params![session, most])
        })
        .await
    }

    /// The turn numbered `id`.
    pub async fn turn(&self, id: i64) -> Result<Option<TurnRow>, StoreError> {
        self.run(move |connection| Ok(turns(connection, ONE_TURN, params![id])?.pop())).await
    }

    /// The steps of a turn, in order. A turn that does not exist has none.
    pub async fn steps(&self, turn: i64) -> Result<Vec<StepRow>, StoreError> {
        self.run(move |connection| steps(connection, turn)).await
    }

    /// Adds a step to an open turn and returns its `seq`. It is on the disk when this returns.
    /// Refused with [`StoreError::TurnFinished`] when the turn is finished.
    pub async fn append(&self, turn: i64, kind: &str, body: Value) -> Result<i64, StoreError> {
        self.append_all(turn, vec![(kind.to_owned(), body)]).await
    }

    /// [`Store::append`] for several steps, each a kind and a body: all or none are on the disk. Returns the last one's `seq`; 0 without any.
    pub async fn append_all(&self, turn: i64, steps: Vec<(String, Value)>) -> Result<i64, StoreError> {
        let mut rows = Vec::new();
        for (kind, body) in steps {
            limits::check("kind of step", &kind, limits::NAME_BYTES)?;
            let body = body.to_string();
            limits::check("step", &body, limits::STEP_BYTES)?;
            // A value can be nested deeper than the parser follows; written, it would make its turn unreadable.
            serde_json::from_str::<Value>(&body).map_err(|_| StoreError::TooDeep)?;
            rows.push((kind, body));
        }
        self.run(move |connection| {
            transact(connection, |transaction| rows.iter().try_fold(0, |_, (kind, body)| append_step(transaction, turn, kind, body)))
        })
        .await
    }

    /// Ends an open turn as `Done` or `Failed`: its outcome and, if there is one, the message to be sent, in one transaction.
    /// Returns the message's number for [`Store::confirm`]. What a job's turn says goes to the session that asked for the job, and
    /// one that fails like the last one says nothing.
    pub async fn finish(
        &self,
        turn: i64,
        state: TurnState,
        outcome: impl Into<String>,
        outbound: Option<Outbound>,
    ) -> Result<Option<i64>, StoreError> {
        self.finish_and_keep(turn, state, outcome, outbound, Vec::new()).await
    }

    /// [`Store::finish`], and keeps notes in the same transaction: the turn's pieces.
    pub async fn finish_and_keep(
        &self,
        turn: i64,
        state: TurnState,
        outcome: impl Into<String>,
        outbound: Option<Outbound>,
        notes: Vec<Note>,
    ) -> Result<Option<i64>, StoreError> {
        notes.iter().try_for_each(notes::check)?;
        let outcome = outcome.into();
        limits::check("outcome", &outcome, limits::TEXT_BYTES)?;
        if let Some(outbound) = &outbound {
            limits::check("message", &outbound.text, limits::TEXT_BYTES)?;
        }
        if state == TurnState::Open {
            return Err(StoreError::NotAnEnding { turn });
        }
        let work = move |connection: &mut Connection| {
            transact(connection, |transaction| {
                let ended = transaction.prepare_cached(FINISH)?.execute(params![turn, state.name(), outcome])?;
                if ended == 0 {
                    return Err(not_open(transaction, turn));
                }
                for note in notes {
                    notes::add(transaction, note)?;
                }
                let Some(job) = jobs::finished(transaction, turn, state)? else { return Ok(None) };
                let Some(outbound) = outbound else { return Ok(None) };
                outbox::send(transaction, turn, job, &outbound.text).map(Some)
            })
        };
        let number = self.run(work).await?;
        if number.is_some() {
            self.sends();
        }
        Ok(number)
    }

    /// The last `limit_turns` finished turns of a session with their steps, oldest first, undone turns left out.
    /// Costs in proportion to what it returns, not to the history; at most [`limits::LIST_ROWS`] turns.
    pub async fn history(&self, session: i64, limit_turns: usize) -> Result<Vec<(TurnRow, Vec<StepRow>)>, StoreError> {
        self.run(move |connection| {
            let turns = turns(connection, HISTORY, params![session, most(limit_turns)])?;
            turns.into_iter().rev().map(|turn| with_steps(connection, turn)).collect()
        })
        .await
    }

    /// The first `limit` turns of a session, finished and open, whose number is greater than `after_turn`, with their steps,
    /// oldest first, undone turns left out; at most [`limits::LIST_ROWS`]. For reading a whole conversation page by page: start
    /// with 0, go on with the last turn's number until nothing comes. A page costs the same in a short and a long history.
    pub async fn turns_after(&self, session: i64, after_turn: i64, limit: usize) -> Result<Vec<(TurnRow, Vec<StepRow>)>, StoreError> {
        self.run(move |connection| {
            let turns = turns(connection, TURNS_AFTER, params![session, after_turn, most(limit)])?;
            turns.into_iter().map(|turn| with_steps(connection, turn)).collect()
        })
        .await
    }

    /// Takes the session's last finished turn out of the history and returns it; it stays in the file.
    pub async fn undo(&self, session: i64) -> Result<Option<TurnRow>, StoreError> {
        self.run(move |connection| {
            transact(connection, |transaction| {
                let undone: Option<i64> = transaction.prepare_cached(UNDO)?.query_row([session], |row| row.get(0)).optional()?;
                let Some(turn) = undone else { return Ok(None) };
                Ok(turns(transaction, ONE_TURN, params![turn])?.pop())
            })
        })
        .await
    }
}

macro_rules! turn_sql {
    ($rest:literal) => {
        concat!(
            "SELECT t.id, t.session, s.name, s.channel, i.text, i.data, i.at, t.state, t.outcome, t.parent, t.task, i.message,
                 i.person
             FROM turns t JOIN inbox i ON i.id = t.inbound JOIN sessions s ON s.id = t.session ",
            $rest
        )
    };
}

pub(crate) use turn_sql;

pub(crate) const ONE_TURN: &str = turn_sql!("WHERE t.id = ?1");

pub(crate) const OPEN_TURNS: &str =
    turn_sql!("WHERE t.finished IS NULL AND (?1 IS NULL OR ?1 IN (s.name, s.channel || '/' || s.name)) ORDER BY t.id LIMIT ?2");

pub(crate) const HISTORY: &str =
    turn_sql!("WHERE t.session = ?1 AND t.finished IS NOT NULL AND t.undone IS NULL ORDER BY t.id DESC LIMIT ?2");

pub(crate) const TURNS_AFTER: &str = turn_sql!("WHERE t.session = ?1 AND t.id > ?2 AND t.undone IS NULL ORDER BY t.id LIMIT ?3");

pub(crate) const ACCEPTED: &str = "SELECT t.id, t.session FROM inbox i JOIN turns t ON t.inbound = i.id
     WHERE i.channel = ?1 AND i.platform_id = ?2";

const KNOWN_SESSION: &str = "UPDATE sessions SET last = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
     WHERE channel = ?1 AND name = ?2 RETURNING id";

const NEW_SESSION: &str = "INSERT INTO sessions (channel, name) VALUES (?1, ?2) RETURNING id";

const INBOUND: &str = "INSERT INTO inbox (session, channel, platform_id, message, person, text, data)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id";

const TURN: &str = "INSERT INTO turns (session, inbound, parent, task) VALUES (?1, ?2, ?3, ?4) RETURNING id";

pub(crate) const STEPS: &str = "SELECT seq, at, kind, body FROM steps WHERE turn = ?1 ORDER BY seq";

const APPEND: &str = "INSERT INTO steps (turn, seq, kind, body)
     SELECT id, 1 + coalesce((SELECT max(seq) FROM steps WHERE turn = ?1), 0), ?2, ?3
     FROM turns WHERE id = ?1 AND finished IS NULL RETURNING seq";

const FINISH: &str = "UPDATE turns SET state = ?2, outcome = ?3, finished = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
     WHERE id = ?1 AND finished IS NULL";

const UNDO: &str = "UPDATE turns SET undone = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
     WHERE id = (SELECT id FROM turns WHERE session = ?1 AND finished IS NOT NULL AND undone IS NULL ORDER BY id DESC LIMIT 1)
     RETURNING id";

/// Runs `work` in a transaction that is committed when it succeeds and rolled back when it does not.
pub(crate) fn transact<T>(connection: &mut Connection, work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let result = work(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

/// Adds a step to an open turn; its `seq`.
pub(crate) fn append_step(transaction: &Transaction<'_>, turn: i64, kind: &str, body: &str) -> Result<i64, Failure> {
    let added = transaction.prepare_cached(APPEND)?.query_row(params![turn, kind, body], |row| row.get(0)).optional()?;
    added.ok_or_else(|| not_open(transaction, turn))
}

pub(crate) fn accept(transaction: &Transaction<'_>, inbound: &Inbound) -> Result<Accepted, Failure> {
    let Inbound { channel, session, platform_id, message, person, text, data, parent, task } = inbound;
    if let Some(platform_id) = platform_id {
        let accepted = transaction
            .prepare_cached(ACCEPTED)?
            .query_row([channel, platform_id], |row| Ok(Accepted { turn: row.get(0)?, session: row.get(1)?, repeated: true }))
            .optional()?;
        if let Some(accepted) = accepted {
            return Ok(accepted);
        }
    }
    let known: Option<i64> = transaction.prepare_cached(KNOWN_SESSION)?.query_row([channel, session], |row| row.get(0)).optional()?;
    let session = match known {
        Some(session) => session,
        None => transaction.prepare_cached(NEW_SESSION)?.query_row([channel, session], |row| row.get(0))?,
    };
    let values = params![session, channel, platform_id, message, person, text, data];
    let number: i64 = transaction.prepare_cached(INBOUND)?.query_row(values, |row| row.get(0))?;
    let turn = transaction.prepare_cached(TURN)?.query_row(params![session, number, parent, task], |row| row.get(0))?;
    Ok(Accepted { turn, session, repeated: false })
}

pub(crate) fn turns(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<TurnRow>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row: &Row<'_>| {
        Ok(TurnRow {
            id: row.get(0)?,
            session: row.get(1)?,
            session_name: row.get(2)?,
            channel: row.get(3)?,
            text: row.get(4)?,
            data: row.get(5)?,
            at: row.get(6)?,
            state: row.get(7)?,
            outcome: row.get(8)?,
            parent: row.get(9)?,
            task: row.get(10)?,
            message: row.get(11)?,
            person: row.get(12)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn with_steps(connection: &Connection, turn: TurnRow) -> Result<(TurnRow, Vec<StepRow>), Failure> {
    steps(connection, turn.id).map(|steps| (turn, steps))
}

/// Rows of one listing as SQL wants them.
pub(crate) fn most(wanted: usize) -> i64 {
    limits::rows(wanted, limits::LIST_ROWS)
}

fn steps(connection: &Connection, turn: i64) -> Result<Vec<StepRow>, Failure> {
    let mut statement = connection.prepare_cached(STEPS)?;
    let rows = statement.query_map([turn], |row| {
        let Body(body) = row.get(3)?;
        Ok(StepRow { seq: row.get(0)?, at: row.get(1)?, kind: row.get(2)?, body })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Why a turn that should be open is not.
fn not_open(transaction: &Transaction<'_>, turn: i64) -> Failure {
    match transaction.prepare_cached("SELECT 1 FROM turns WHERE id = ?1").and_then(|mut one| one.exists([turn])) {
        Ok(true) => StoreError::TurnFinished { turn }.into(),
        Ok(false) => StoreError::NoSuchTurn { turn }.into(),
        Err(error) => error.into(),
    }
}

/// A step's body as it stands in its column.
struct Body(Value);

impl FromSql for Body {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

impl TurnState {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl FromSql for TurnState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "open" => Ok(Self::Open),
            "done" => Ok(Self::Done),
            "failed" => Ok(Self::Failed),
            other => Err(FromSqlError::other(std::io::Error::other(format!("turn state {other}")))),
        }
    }
}
