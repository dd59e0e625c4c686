//! The outbox: what is to be said, from the moment that it is decided on until the platform has it, or never will.
//!
//! It sends nothing. Whoever does confirms each message after it; what is not confirmed is sent again.

use rusqlite::{Connection, Params, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::journal::{most, transact};
use crate::{Store, StoreError, limits};

/// A message that is to go out to the session it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbound {
    /// What to say.
    pub text: String,
}

/// A message in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundRow {
    /// Number, ascending, never reused.
    pub id: i64,
    /// The turn it answers; `None`: the program says it of its own.
    pub turn: Option<i64>,
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
    /// The session that it comes from, where that is another one: a job's.
    pub from: Option<String>,
    /// What it is about; see [`Store::say`].
    pub about: Option<String>,
    /// The platform's id of it, once it is confirmed.
    pub platform_id: Option<String>,
    /// The message it answers: that one's [`crate::Inbound::message`].
    pub message: Option<String>,
}

/// The outbox.
impl Store {
    /// Says something that answers no turn, in a session that is made when it is new; the message's number for [`Store::confirm`].
    /// What it is `about` is said once in a channel: a second call gives the first one's number and writes nothing. That memory goes
    /// with the session when it is removed.
    pub async fn say(&self, channel: &str, session_name: &str, text: &str, about: Option<&str>) -> Result<i64, StoreError> {
        limits::check("channel", channel, limits::NAME_BYTES)?;
        limits::check("session name", session_name, limits::NAME_BYTES)?;
        limits::check("message", text, limits::TEXT_BYTES)?;
        limits::check("subject", about.unwrap_or_default(), limits::NAME_BYTES)?;
        let (channel, name, text, about) = (channel.to_owned(), session_name.to_owned(), text.to_owned(), about.map(str::to_owned));
        let work = move |transaction: &Transaction<'_>| {
            if let Some(about) = &about
                && let Some(first) = outbounds(transaction, ABOUT, [&channel, about])?.pop()
            {
                return Ok((first.id, false));
            }
            let session = session(transaction, &channel, &name)?;
            let number = transaction.prepare_cached(SAY)?.query_row(params![session, channel, text, about], |row| row.get(0))?;
            Ok((number, true))
        };
        let (number, is_new) = self.run(move |connection| transact(connection, work)).await?;
        if is_new {
            self.sends();
        }
        Ok(number)
    }

    /// The message of a channel that says something `about` this, sent or not.
    pub async fn outbound_about(&self, channel: &str, about: &str) -> Result<Option<OutboundRow>, StoreError> {
        let (channel, about) = (channel.to_owned(), about.to_owned());
        self.run(move |connection| Ok(outbounds(connection, ABOUT, [channel, about])?.pop())).await
    }

    /// Marks a message as sent, with the platform's id for it if the platform gave one. Twice is harmless: the first stays.
    pub async fn confirm(&self, outbound: i64, platform_id: Option<&str>) -> Result<(), StoreError> {
        limits::check("platform id", platform_id.unwrap_or_default(), limits::NAME_BYTES)?;
        let platform_id = platform_id.map(str::to_owned);
        self.run(move |connection| match connection.prepare_cached(CONFIRM)?.execute(params![outbound, platform_id])? {
            0 => Err(StoreError::NoSuchOutbound { id: outbound }.into()),
            _ => Ok(()),
        })
        .await
    }

    /// Keeps that one part of a long message was sent; the message itself is confirmed after its last part. Twice is harmless: the
    /// first stays.
    ///
    /// # Errors
    /// [`StoreError::NoSuchOutbound`]; [`StoreError::TooManyParts`] from part [`limits::PARTS`] on.
    pub async fn confirm_part(&self, outbound: i64, part: u32, platform_id: &str) -> Result<(), StoreError> {
        limits::check("platform id", platform_id, limits::NAME_BYTES)?;
        if usize::try_from(part).map_or(true, |part| part >= limits::PARTS) {
            return Err(StoreError::TooManyParts { part, limit: limits::PARTS });
        }
        let platform_id = platform_id.to_owned();
        self.run(move |connection| {
            transact(connection, |transaction| {
                if !transaction.prepare_cached("SELECT 1 FROM outbox WHERE id = ?1")?.exists([outbound])? {
                    return Err(StoreError::NoSuchOutbound { id: outbound }.into());
                }
                transaction.prepare_cached(CONFIRM_PART)?.execute(params![outbound, part, platform_id])?;
                Ok(())
            })
        })
        .await
    }

    /// The parts of a message that were sent, in order: number and the platform's id.
    pub async fn sent_parts(&self, outbound: i64) -> Result<Vec<(u32, String)>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(PARTS)?;
            let rows = statement.query_map([outbound], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Keeps that a message can never be delivered, and why: it is not unsent any more. One that was sent, or given up before, stays
    /// as it is.
    pub async fn give_up(&self, outbound: i64, why: &str) -> Result<(), StoreError> {
        limits::check("reason", why, limits::TEXT_BYTES)?;
        let why = why.to_owned();
        self.run(move |connection| match connection.prepare_cached(GIVE_UP)?.execute(params![outbound, why])? {
            0 => Err(StoreError::NoSuchOutbound { id: outbound }.into()),
            _ => Ok(()),
        })
        .await
    }

    /// Messages of a channel that are neither confirmed nor given up, oldest first; at most [`limits::LIST_ROWS`].
    pub async fn unsent(&self, channel: &str) -> Result<Vec<OutboundRow>, StoreError> {
        let channel = channel.to_owned();
        self.run(move |connection| outbounds(connection, UNSENT, params![channel, most(limits::LIST_ROWS)])).await
    }

    /// Messages of one session that are neither confirmed nor given up, oldest first; at most [`limits::LIST_ROWS`].
    pub async fn unsent_of(&self, session: i64) -> Result<Vec<OutboundRow>, StoreError> {
        self.run(move |connection| outbounds(connection, UNSENT_OF, params![session, most(limits::LIST_ROWS)])).await
    }
}

/// Puts what a turn says into the outbox, for its own session or for `session`; the message's number.
pub(crate) fn send(transaction: &Transaction<'_>, turn: i64, session: Option<i64>, text: &str) -> Result<i64, Failure> {
    Ok(transaction.prepare_cached(SEND)?.query_row(params![turn, text, session], |row| row.get(0))?)
}

/// The number of a session, which is made when it is new. That something is said there is no message of its owner's.
pub(crate) fn session(transaction: &Transaction<'_>, channel: &str, name: &str) -> Result<i64, Failure> {
    Ok(transaction.prepare_cached(SESSION)?.query_row([channel, name], |row| row.get(0))?)
}

macro_rules! outbound_sql {
    ($rest:literal) => {
        concat!(
            "SELECT o.id, o.turn, s.id, s.name, o.channel, o.text, o.at, CASE WHEN f.id <> s.id THEN f.name END, o.about,
                 o.platform_id, i.message
             FROM outbox o JOIN sessions s ON s.id = o.session LEFT JOIN turns t ON t.id = o.turn
                 LEFT JOIN inbox i ON i.id = t.inbound LEFT JOIN sessions f ON f.id = t.session
             WHERE ",
            $rest
        )
    };
}

pub(crate) const UNSENT: &str = outbound_sql!("o.channel = ?1 AND o.sent IS NULL ORDER BY o.id LIMIT ?2");

pub(crate) const UNSENT_OF: &str = outbound_sql!("o.session = ?1 AND o.sent IS NULL ORDER BY o.id LIMIT ?2");

pub(crate) const ABOUT: &str = outbound_sql!("o.channel = ?1 AND o.about = ?2");

const SESSION: &str =
    "INSERT INTO sessions (channel, name) VALUES (?1, ?2) ON CONFLICT (channel, name) DO UPDATE SET name = excluded.name RETURNING id";

const SEND: &str = "INSERT INTO outbox (turn, session, channel, text)
     SELECT t.id, s.id, s.channel, ?2 FROM turns t JOIN sessions s ON s.id = coalesce(?3, t.session) WHERE t.id = ?1 RETURNING id";

const SAY: &str = "INSERT INTO outbox (session, channel, text, about, beside)
     VALUES (?1, ?2, ?3, ?4, (SELECT max(id) FROM turns WHERE session = ?1)) RETURNING id";

const CONFIRM: &str = "UPDATE outbox SET platform_id = coalesce(platform_id, ?2),
     sent = coalesce(sent, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) WHERE id = ?1";

const CONFIRM_PART: &str = "INSERT INTO outbox_parts (outbound, part, platform_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

const PARTS: &str = "SELECT part, platform_id FROM outbox_parts WHERE outbound = ?1 ORDER BY part";

const GIVE_UP: &str = "UPDATE outbox SET given_up = CASE WHEN sent IS NULL THEN ?2 ELSE given_up END,
     sent = coalesce(sent, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) WHERE id = ?1";

fn outbounds(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<OutboundRow>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| {
        Ok(OutboundRow {
            id: row.get(0)?,
            turn: row.get(1)?,
            session: row.get(2)?,
            session_name: row.get(3)?,
            channel: row.get(4)?,
            text: row.get(5)?,
            at: row.get(6)?,
            from: row.get(7)?,
            about: row.get(8)?,
            platform_id: row.get(9)?,
            message: row.get(10)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
