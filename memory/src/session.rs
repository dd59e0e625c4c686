//! Sessions: listing, finding, removing them, and their frozen system block.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::centres;
use crate::error::Failure;
use crate::journal::transact;
use crate::{Store, StoreError, limits};

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

/// Sessions.
impl Store {
    /// Sessions, the one with the latest message first; at most [`limits::LIST_ROWS`]. Those of tasks are left out: each belongs to the
    /// turn that started it.
    pub async fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        self.run(|connection| {
            let most = limits::rows(limits::LIST_ROWS, limits::LIST_ROWS);
            let mut statement = connection.prepare_cached(SESSIONS)?;
            let rows = statement.query_map([most], session_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The session called `channel/name` or `name`. Several channels may have one called `name`:
    /// then [`StoreError::AmbiguousSession`] names them.
    pub async fn find_session(&self, name: &str) -> Result<Option<SessionRow>, StoreError> {
        let name = name.to_owned();
        self.run(move |connection| find(connection, &name)).await
    }

    /// Removes a session, named as for [`Store::find_session`], and everything of it for good, from the file too, with the sessions of
    /// its tasks. Notes that were taken in it stay. What was removed, itself first; empty: there was none.
    pub async fn remove_session(&self, name: &str) -> Result<Vec<SessionRow>, StoreError> {
        let name = name.to_owned();
        self.run(move |connection| {
            let removed = transact(connection, |transaction| {
                let Some(session) = find(transaction, &name)? else { return Ok(Vec::new()) };
                let mut statement = transaction.prepare_cached(TASKS)?;
                let mut removed = statement.query_map([session.id], session_row)?.collect::<Result<Vec<_>, _>>()?;
                removed.insert(0, session);
                for session in &removed {
                    transaction.execute("DELETE FROM sessions WHERE id = ?1", [session.id])?;
                }
                centres::mend(transaction)?;
                Ok(removed)
            })?;
            scrub(connection)?;
            Ok(removed)
        })
        .await
    }

    /// The session's system block, once it has one.
    pub async fn system_block(&self, session: i64) -> Result<Option<String>, StoreError> {
        self.run(move |connection| block(connection, session)).await
    }

    /// Gives the session its system block and returns the one that holds: the first one given stays for good.
    pub async fn set_system_block(&self, session: i64, text: impl Into<String>) -> Result<String, StoreError> {
        let text = text.into();
        limits::check("system block", &text, limits::TEXT_BYTES)?;
        self.run(move |connection| {
            transact(connection, |transaction| {
                if let Some(first) = block(transaction, session)? {
                    return Ok(first);
                }
                transaction.execute("UPDATE sessions SET system_block = ?2 WHERE id = ?1", params![session, text])?;
                Ok(text)
            })
        })
        .await
    }
}

/// Takes what was deleted out of the write-ahead log too. Runs also after a deletion that found nothing: it may be the
/// second try of one whose log could not be emptied.
pub(crate) fn scrub(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

const SESSIONS: &str = "SELECT id, channel, name, created, last,
         (SELECT count(*) FROM turns WHERE session = sessions.id AND undone IS NULL)
     FROM sessions WHERE NOT EXISTS (SELECT 1 FROM turns WHERE session = sessions.id AND parent IS NOT NULL)
     ORDER BY last DESC, id DESC LIMIT ?1";

const TASKS: &str = "SELECT id, channel, name, created, last, 1 FROM sessions WHERE id IN
         (SELECT task.session FROM turns AS task JOIN turns AS parent ON parent.id = task.parent WHERE parent.session = ?1)
     ORDER BY id";

const FIND: &str = "SELECT id, channel, name, created, last,
         (SELECT count(*) FROM turns WHERE session = sessions.id AND undone IS NULL),
         channel || '/' || name
     FROM sessions WHERE ?1 IN (name, channel || '/' || name)
     ORDER BY channel || '/' || name = ?1 DESC, channel, name LIMIT ?2";

fn find(connection: &Connection, name: &str) -> Result<Option<SessionRow>, Failure> {
    let most = limits::rows(limits::LIST_ROWS, limits::LIST_ROWS);
    let mut statement = connection.prepare_cached(FIND)?;
    let rows = statement
        .query_map(params![name, most], |row| Ok((session_row(row)?, row.get::<_, String>(6)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    // The full name says which one is meant, even where another channel's session is called just that.
    let exact = rows.first().is_some_and(|(_, full)| full == name);
    if rows.len() > 1 && !exact {
        let candidates = rows.into_iter().map(|(_, full)| full).collect();
        return Err(StoreError::AmbiguousSession { name: name.to_owned(), candidates }.into());
    }
    Ok(rows.into_iter().next().map(|(session, _)| session))
}

fn session_row(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow { id: row.get(0)?, channel: row.get(1)?, name: row.get(2)?, created: row.get(3)?, last: row.get(4)?, turns: row.get(5)? })
}

fn block(connection: &Connection, session: i64) -> Result<Option<String>, Failure> {
    connection
        .prepare_cached("SELECT system_block FROM sessions WHERE id = ?1")?
        .query_row([session], |row| row.get(0))
        .optional()?
        .ok_or_else(|| StoreError::NoSuchSession { session }.into())
}
