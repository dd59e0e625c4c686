//! Jobs: what runs at a time, by itself. When that is, is worked out elsewhere: every moment is given, the clock is not looked at.
//!
//! A job runs in a session of its own, `job-NAME` on the channel `job`, and what it says goes to the session that asked for it. It
//! fires exactly once for each time that it is due: the inbound message, whose platform id holds job and time, its turn and the next
//! time are one transaction.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::journal::{Inbound, TurnState, accept, transact};
use crate::{Store, StoreError, limits, outbox};

/// The channel that the turns of jobs come by.
pub const JOB_CHANNEL: &str = "job";

/// The session, on [`JOB_CHANNEL`], that the job `name` runs in.
#[must_use]
pub fn job_session(name: &str) -> String {
    format!("job-{name}")
}

/// An enum that is a word in the database.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                match value.as_str()? {
                    $($word => Ok(Self::$variant),)+
                    other => Err(FromSqlError::other(std::io::Error::other(format!("{} {other}", stringify!($name))))),
                }
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(match self { $(Self::$variant => $word),+ }))
            }
        }
    };
}

words! {
    /// What a job does.
    JobKind {
        /// The model gets its text as a message.
        Prompt = "prompt",
        /// Its text is said as it is.
        Reminder = "reminder",
        /// The model gets a checklist, and may have nothing to say.
        Heartbeat = "heartbeat",
    }
}

words! {
    /// What becomes of the runs that could not be.
    Missed {
        /// However many there were, one comes as soon as it can.
        Once = "once",
        /// They are left out.
        Skip = "skip",
    }
}

words! {
    /// What came of one time that a job was due.
    RunState {
        /// A turn was begun.
        Started = "started",
        /// A reminder was given.
        Said = "said",
        /// Its last turn was not finished.
        Overlap = "overlap",
        /// Nothing ran at the time, and it was too late to begin.
        Missed = "missed",
        /// There was nothing to do.
        Nothing = "nothing",
    }
}

/// A job to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The same for every run of the call that makes it: a second run adds nothing.
    pub key: Option<String>,
    /// Its name, unique.
    pub name: String,
    /// What it does.
    pub kind: JobKind,
    /// When, in words.
    pub schedule: String,
    /// The name of the time zone that the words are about.
    pub zone: String,
    /// The prompt, the words of the reminder, or the checklist's file.
    pub text: String,
    /// The channel that what it says goes to.
    pub channel: String,
    /// The session that what it says goes to.
    pub session: String,
    /// What becomes of runs that could not be.
    pub missed: Missed,
    /// Where the untrusted text came from that was in the context when it was made.
    pub origin: Option<String>,
    /// Now.
    pub created: i64,
    /// When it is due first.
    pub next: i64,
}

/// A job. Moments are UTC, in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in `NewJob`")]
pub struct JobRow {
    /// Number, never reused.
    pub id: i64,
    pub name: String,
    pub kind: JobKind,
    pub schedule: String,
    pub zone: String,
    pub text: String,
    pub channel: String,
    pub session: String,
    pub missed: Missed,
    pub origin: Option<String>,
    /// `false`: it is paused.
    pub enabled: bool,
    pub created: i64,
    /// When it is due; `None`: never again.
    pub next: Option<i64>,
    /// When a missed run was due that is to be made up for.
    pub pending: Option<i64>,
    /// When it last did something.
    pub last: Option<i64>,
    /// The last run's turn.
    pub turn: Option<i64>,
    /// Runs that failed since the last one that did not.
    pub failures: i64,
    /// Whether that turn is not finished.
    pub running: bool,
}

/// One time that a job was due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRunRow {
    /// When it was due.
    pub due: i64,
    /// When that was seen to.
    pub at: i64,
    /// What came of it.
    pub state: RunState,
    /// In words, where there are any.
    pub why: Option<String>,
    /// The turn.
    pub turn: Option<i64>,
}

/// What is to be done about a job that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// The job.
    pub job: i64,
    /// When it was due: [`JobRow::next`], or [`JobRow::pending`]; `now` for a run by hand.
    pub due: i64,
    /// Now.
    pub now: i64,
    /// When it is due next. A run by hand changes nothing there.
    pub next: Option<i64>,
    /// The owner asked for this run.
    pub by_hand: bool,
    /// What to do.
    pub start: Start,
}

/// What a job does when it fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Begin a turn with this message.
    Turn(String),
    /// Say its text.
    Say,
    /// Do nothing, and note that.
    Leave(RunState, String),
}

/// What came of a firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fired {
    /// A turn is open.
    Started {
        /// The turn.
        turn: i64,
    },
    /// The message is in the outbox.
    Said {
        /// Its number, for [`Store::confirm`].
        outbound: i64,
    },
    /// Its last turn is not finished, so no other was begun.
    Overlap,
    /// It was left out.
    Left,
    /// It was not due: it fired before, or it has been changed or removed.
    NotDue,
}

/// Jobs.
impl Store {
    /// Adds a job. A finished one of that name, which will not run again, makes room.
    ///
    /// # Errors
    /// [`StoreError::JobExists`], [`StoreError::TooManyJobs`] at [`limits::JOBS`], [`StoreError::TooLong`].
    pub async fn add_job(&self, job: NewJob) -> Result<JobRow, StoreError> {
        for (what, text) in [("name", &job.name), ("schedule", &job.schedule), ("zone", &job.zone), ("session name", &job.session)] {
            limits::check(what, text, limits::NAME_BYTES)?;
        }
        limits::check("text", &job.text, limits::JOB_BYTES)?;
        let row = self.run(move |connection| transact(connection, |transaction| add(transaction, &job))).await?;
        self.changed();
        Ok(row)
    }

    /// All jobs, the one that is due first before the others; those that never run again last.
    pub async fn jobs(&self) -> Result<Vec<JobRow>, StoreError> {
        self.run(|connection| jobs(connection, LIST, [])).await
    }

    /// The job called `name`.
    pub async fn job(&self, name: &str) -> Result<Option<JobRow>, StoreError> {
        let name = name.to_owned();
        self.run(move |connection| Ok(jobs(connection, BY_NAME, [name])?.pop())).await
    }

    /// The last runs of a job, newest first; at most [`limits::JOB_RUNS`].
    pub async fn job_runs(&self, job: i64, limit: usize) -> Result<Vec<JobRunRow>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(RUNS)?;
            let rows = statement.query_map(params![job, limits::rows(limit, limits::JOB_RUNS)], |row| {
                Ok(JobRunRow { due: row.get(0)?, at: row.get(1)?, state: row.get(2)?, why: row.get(3)?, turn: row.get(4)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Where the untrusted text came from that was in the context when the job was made that `turn` is a run of.
    pub async fn job_origin(&self, turn: i64) -> Result<Option<String>, StoreError> {
        self.run(move |connection| Ok(connection.prepare_cached(ORIGIN)?.query_row([turn], |row| row.get(0)).optional()?.flatten())).await
    }

    /// The jobs that something is to be done about at `now`: due, or with a missed run to make up for and free. Paused ones are not.
    pub async fn due_jobs(&self, now: i64) -> Result<Vec<JobRow>, StoreError> {
        self.run(move |connection| jobs(connection, DUE, [now])).await
    }

    /// When the next job is due that is not paused.
    pub async fn next_due(&self) -> Result<Option<i64>, StoreError> {
        self.run(|connection| Ok(connection.prepare_cached(NEXT_DUE)?.query_row([], |row| row.get(0))?)).await
    }

    /// Does what `firing` says, once for each time that the job is due.
    pub async fn fire(&self, firing: Firing) -> Result<Fired, StoreError> {
        if let Start::Turn(text) = &firing.start {
            limits::check("message", text, limits::TEXT_BYTES)?;
        }
        let fired = self.run(move |connection| transact(connection, |transaction| fire(transaction, &firing))).await?;
        self.changed();
        if matches!(fired, Fired::Said { .. }) {
            self.sends();
        }
        Ok(fired)
    }

    /// Pauses a job (`next` is not looked at), or lets it go on, due at `next`. What was missed meanwhile is not made up for.
    /// `false`: there is no such job.
    pub async fn enable_job(&self, name: &str, enabled: bool, next: Option<i64>) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let found = self.run(move |connection| Ok(connection.prepare_cached(ENABLE)?.execute(params![name, enabled, next])? > 0)).await?;
        self.changed();
        Ok(found)
    }

    /// Removes a job; a turn of it that is open ends with `outcome`. Its session stays. `false`: there is no such job.
    pub async fn remove_job(&self, name: &str, outcome: &str) -> Result<bool, StoreError> {
        let (name, outcome) = (name.to_owned(), outcome.to_owned());
        let found = self
            .run(move |connection| {
                transact(connection, |transaction| {
                    transaction.prepare_cached(END_TURN)?.execute(params![name, outcome])?;
                    Ok(transaction.prepare_cached("DELETE FROM jobs WHERE name = ?1")?.execute([name])? > 0)
                })
            })
            .await?;
        self.changed();
        Ok(found)
    }
}

/// The session that what a turn says goes to, if it is a job's; and the count of failures is kept. A job that fails again and again
/// says so once: `None`, there is nothing to send.
pub(crate) fn finished(transaction: &Transaction<'_>, turn: i64, state: TurnState) -> Result<Option<Option<i64>>, Failure> {
    let failed = state == TurnState::Failed;
    let job: Option<(i64, Option<i64>)> =
        transaction.prepare_cached(FINISHED)?.query_row(params![turn, failed], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(match job {
        Some((failures, _)) if failures > 1 => None,
        Some((_, session)) => Some(session),
        None => Some(None),
    })
}

macro_rules! job_sql {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, kind, schedule, zone, text, channel, session, missed, origin, enabled, created, next, pending, last, turn,
                 failures, EXISTS (SELECT 1 FROM turns t WHERE t.id = jobs.turn AND t.finished IS NULL)
             FROM jobs ",
            $rest
        )
    };
}

const LIST: &str = job_sql!("ORDER BY next IS NULL, next, id");

const BY_NAME: &str = job_sql!("WHERE name = ?1");

const BY_ID: &str = job_sql!("WHERE id = ?1");

const BY_KEY: &str = job_sql!("WHERE key = ?1");

const DUE: &str = job_sql!(
    "WHERE enabled AND (next <= ?1
         OR pending IS NOT NULL AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.id = jobs.turn AND t.finished IS NULL))
     ORDER BY coalesce(pending, next), id"
);

const NEXT_DUE: &str = "SELECT min(next) FROM jobs WHERE enabled AND next IS NOT NULL";

const ORIGIN: &str = "SELECT origin FROM jobs WHERE turn = ?1";

const RUNS: &str = "SELECT due, at, state, why, turn FROM job_runs WHERE job = ?1 ORDER BY id DESC LIMIT ?2";

const ADD: &str = "INSERT INTO jobs (key, name, kind, schedule, zone, text, channel, session, missed, origin, created, next)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) RETURNING id";

/// Those that never run again: the one of the name that is wanted, and all when there are too many.
const MAKE_ROOM: &str = "DELETE FROM jobs WHERE next IS NULL AND pending IS NULL
         AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.id = jobs.turn AND t.finished IS NULL)
         AND (name = ?1 OR (SELECT count(*) FROM jobs) >= ?2)";

const ENABLE: &str = "UPDATE jobs SET enabled = ?2, pending = NULL, next = CASE WHEN ?2 THEN ?3 ELSE next END WHERE name = ?1";

const END_TURN: &str = "UPDATE turns SET state = 'failed', outcome = ?2, finished = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
     WHERE finished IS NULL AND id = (SELECT turn FROM jobs WHERE name = ?1)";

const SAY: &str = "UPDATE turns SET state = 'done', outcome = ?2, finished = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = ?1";

const FIRED: &str = "UPDATE jobs SET last = ?2, turn = coalesce(?3, turn), pending = NULL,
         next = CASE WHEN ?4 THEN next ELSE ?5 END WHERE id = ?1";

const NOT_FIRED: &str = "UPDATE jobs SET next = ?2, pending = ?3 WHERE id = ?1";

const RUN: &str = "INSERT INTO job_runs (job, due, at, state, why, turn) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const FORGET_RUNS: &str = "DELETE FROM job_runs WHERE job = ?1
     AND id <= (SELECT id FROM job_runs WHERE job = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";

/// The oldest turns of a session beyond a number, those left alone that have something to say still. With the message goes its turn.
const FORGET_TURNS: &str = "DELETE FROM inbox WHERE id IN (
         SELECT t.inbound FROM turns t WHERE t.session = ?1 AND t.finished IS NOT NULL
             AND t.id <= (SELECT id FROM turns WHERE session = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
             AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.turn = t.id AND o.sent IS NULL)
         ORDER BY t.id LIMIT ?3)";

const FINISHED: &str = "UPDATE jobs SET failures = CASE WHEN ?2 THEN failures + 1 ELSE 0 END WHERE turn = ?1
     RETURNING failures, (SELECT s.id FROM sessions s WHERE s.channel = jobs.channel AND s.name = jobs.session)";

fn jobs(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<JobRow>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row: &Row<'_>| {
        Ok(JobRow {
            id: row.get(0)?,
            name: row.get(1)?,
            kind: row.get(2)?,
            schedule: row.get(3)?,
            zone: row.get(4)?,
            text: row.get(5)?,
            channel: row.get(6)?,
            session: row.get(7)?,
            missed: row.get(8)?,
            origin: row.get(9)?,
            enabled: row.get(10)?,
            created: row.get(11)?,
            next: row.get(12)?,
            pending: row.get(13)?,
            last: row.get(14)?,
            turn: row.get(15)?,
            failures: row.get(16)?,
            running: row.get(17)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn add(transaction: &Transaction<'_>, job: &NewJob) -> Result<JobRow, Failure> {
    if let Some(key) = &job.key
        && let Some(first) = jobs(transaction, BY_KEY, [key])?.pop()
    {
        return Ok(first);
    }
    let most = limits::rows(limits::JOBS, limits::JOBS);
    transaction.prepare_cached(MAKE_ROOM)?.execute(params![job.name, most])?;
    if !jobs(transaction, BY_NAME, [&job.name])?.is_empty() {
        return Err(StoreError::JobExists { name: job.name.clone() }.into());
    }
    let count: i64 = transaction.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0))?;
    if count >= most {
        return Err(StoreError::TooManyJobs { limit: limits::JOBS }.into());
    }
    let NewJob { key, name, kind, schedule, zone, text, channel, session, missed, origin, created, next } = job;
    let values = params![key, name, kind, schedule, zone, text, channel, session, missed, origin, created, next];
    let id: i64 = transaction.prepare_cached(ADD)?.query_row(values, |row| row.get(0))?;
    jobs(transaction, BY_ID, [id])?.pop().ok_or_else(|| StoreError::NoSuchJob { name: name.clone() }.into())
}

fn fire(transaction: &Transaction<'_>, firing: &Firing) -> Result<Fired, Failure> {
    let Firing { job, due, now, next, by_hand, start } = firing;
    let Some(job) = jobs(transaction, BY_ID, [job])?.pop() else { return Ok(Fired::NotDue) };
    let is_due = *by_hand || (job.enabled && [job.next, job.pending].contains(&Some(*due)));
    if !is_due {
        return Ok(Fired::NotDue);
    }
    let note = |state: RunState, why: Option<&str>, turn: Option<i64>| -> Result<(), Failure> {
        transaction.prepare_cached(RUN)?.execute(params![job.id, due, now, state, why, turn])?;
        transaction.prepare_cached(FORGET_RUNS)?.execute(params![job.id, limits::rows(limits::JOB_RUNS, limits::JOB_RUNS)])?;
        Ok(())
    };
    if job.running {
        if !by_hand {
            let pending = Some(*due).filter(|_| job.missed == Missed::Once);
            transaction.prepare_cached(NOT_FIRED)?.execute(params![job.id, next, pending])?;
            note(RunState::Overlap, None, None)?;
        }
        return Ok(Fired::Overlap);
    }
    let text = match start {
        Start::Turn(text) => text.clone(),
        Start::Say => job.text.clone(),
        Start::Leave(state, why) => {
            let (last, turn) = (job.last, None::<i64>);
            transaction.prepare_cached(FIRED)?.execute(params![job.id, last, turn, by_hand, next])?;
            note(*state, Some(why), None)?;
            return Ok(Fired::Left);
        }
    };
    let platform_id = format!("{JOB_CHANNEL}-{}-{due}{}", job.id, if *by_hand { "-by-hand" } else { "" });
    let inbound = Inbound {
        channel: JOB_CHANNEL.to_owned(),
        session: job_session(&job.name),
        platform_id: Some(platform_id),
        text,
        ..Inbound::default()
    };
    let accepted = accept(transaction, &inbound)?;
    transaction.prepare_cached(FIRED)?.execute(params![job.id, now, accepted.turn, by_hand, next])?;
    if accepted.repeated {
        return Ok(Fired::NotDue);
    }
    let target = outbox::session(transaction, &job.channel, &job.session)?;
    let fired = if *start == Start::Say {
        transaction.prepare_cached(SAY)?.execute(params![accepted.turn, job.text])?;
        let outbound = outbox::send(transaction, accepted.turn, Some(target), &job.text)?;
        note(RunState::Said, None, Some(accepted.turn))?;
        Fired::Said { outbound }
    } else {
        note(RunState::Started, None, Some(accepted.turn))?;
        Fired::Started { turn: accepted.turn }
    };
    let (kept, at_once) = (limits::JOB_TURNS, limits::JOB_TURNS_AT_ONCE);
    let forgotten = params![accepted.session, limits::rows(kept, kept), limits::rows(at_once, at_once)];
    transaction.prepare_cached(FORGET_TURNS)?.execute(forgotten)?;
    Ok(fired)
}
