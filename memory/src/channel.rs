//! What a channel keeps beside its messages: corrections of them, updates that it has seen, its own settings.
//!
//! It knows no platform: ids and settings are the channel's words.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::journal::transact;
use crate::{Store, StoreError, limits};

/// What became of a correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corrected {
    /// The message of this turn says it the new way.
    Changed(i64),
    /// This turn has begun or is finished; nothing was changed.
    TooLate(i64),
    /// No turn of the session has this message.
    Unknown,
}

/// Channels.
impl Store {
    /// Gives a message another text, if its turn is open and has no steps yet. `message` is what the platform calls it
    /// ([`crate::Inbound::message`]); where several are called that, the newest is meant.
    pub async fn correct(&self, channel: &str, session_name: &str, message: &str, text: &str) -> Result<Corrected, StoreError> {
        limits::check("message", text, limits::TEXT_BYTES)?;
        let values = [channel.to_owned(), session_name.to_owned(), message.to_owned()];
        let text = text.to_owned();
        let work = move |transaction: &Transaction<'_>| {
            let found: Option<(i64, i64, bool)> =
                transaction.prepare_cached(CORRECTED)?.query_row(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
            let Some((turn, inbound, waits)) = found else { return Ok(Corrected::Unknown) };
            if !waits {
                return Ok(Corrected::TooLate(turn));
            }
            transaction.prepare_cached("UPDATE inbox SET text = ?2 WHERE id = ?1")?.execute(params![inbound, text])?;
            Ok(Corrected::Changed(turn))
        };
        let corrected = self.run(move |connection| transact(connection, work)).await?;
        if matches!(corrected, Corrected::Changed(_)) {
            self.changed();
        }
        Ok(corrected)
    }

    /// Whether a channel's update that starts no turn (a command, a button) comes for the first time: `true` exactly once. The newest
    /// [`limits::UPDATES`] are remembered.
    pub async fn first_time(&self, channel: &str, platform_id: &str) -> Result<bool, StoreError> {
        limits::check("channel", channel, limits::NAME_BYTES)?;
        limits::check("platform id", platform_id, limits::NAME_BYTES)?;
        let values = [channel.to_owned(), platform_id.to_owned()];
        self.run(move |connection| {
            transact(connection, |transaction| {
                if transaction.prepare_cached(SEEN)?.exists([&values[0], &values[1]])? {
                    return Ok(false);
                }
                let number: i64 = transaction.prepare_cached(SEE)?.query_row(values, |row| row.get(0))?;
                let oldest = number - limits::rows(limits::UPDATES, limits::UPDATES);
                transaction.prepare_cached("DELETE FROM updates WHERE id <= ?1")?.execute([oldest])?;
                Ok(true)
            })
        })
        .await
    }

    /// A setting of a channel's.
    pub async fn setting(&self, channel: &str, name: &str) -> Result<Option<String>, StoreError> {
        let values = [channel.to_owned(), name.to_owned()];
        self.run(move |connection| Ok(connection.prepare_cached(SETTING)?.query_row(values, |row| row.get(0)).optional()?)).await
    }

    /// Gives a channel's setting a value, or takes it away.
    ///
    /// # Errors
    /// [`StoreError::TooManySettings`] at [`limits::SETTINGS`]; [`StoreError::TooLong`] beyond [`limits::SETTING_BYTES`].
    pub async fn set_setting(&self, channel: &str, name: &str, value: Option<String>) -> Result<(), StoreError> {
        limits::check("channel", channel, limits::NAME_BYTES)?;
        limits::check("name", name, limits::NAME_BYTES)?;
        limits::check("setting", value.as_deref().unwrap_or_default(), limits::SETTING_BYTES)?;
        let (channel, name) = (channel.to_owned(), name.to_owned());
        let work = move |transaction: &Transaction<'_>| {
            let Some(value) = value else {
                transaction.prepare_cached("DELETE FROM settings WHERE channel = ?1 AND name = ?2")?.execute([channel, name])?;
                return Ok(());
            };
            if transaction.prepare_cached(CHANGE_SETTING)?.execute([&channel, &name, &value])? > 0 {
                return Ok(());
            }
            let count: i64 = transaction.prepare_cached(COUNT_SETTINGS)?.query_row([&channel], |row| row.get(0))?;
            if count >= limits::rows(limits::SETTINGS, limits::SETTINGS) {
                return Err(StoreError::TooManySettings { channel, limit: limits::SETTINGS }.into());
            }
            transaction
                .prepare_cached("INSERT INTO settings (channel, name, value) VALUES (?1, ?2, ?3)")?
                .execute([channel, name, value])?;
            Ok(())
        };
        self.run(move |connection| transact(connection, work)).await
    }

    /// All settings of a channel by name, each with its value; at most [`limits::SETTINGS`].
    pub async fn settings(&self, channel: &str) -> Result<Vec<(String, String)>, StoreError> {
        let channel = channel.to_owned();
        self.run(move |connection| {
            let mut statement = connection.prepare_cached("SELECT name, value FROM settings WHERE channel = ?1 ORDER BY name")?;
            let rows = statement.query_map([channel], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

const CORRECTED: &str = "SELECT t.id, i.id, t.finished IS NULL AND NOT EXISTS (SELECT 1 FROM steps p WHERE p.turn = t.id)
     FROM sessions s JOIN inbox i ON i.session = s.id JOIN turns t ON t.inbound = i.id
     WHERE s.channel = ?1 AND s.name = ?2 AND i.message = ?3 ORDER BY i.id DESC LIMIT 1";

const SEEN: &str = "SELECT 1 FROM updates WHERE channel = ?1 AND platform_id = ?2";

const SEE: &str = "INSERT INTO updates (channel, platform_id) VALUES (?1, ?2) RETURNING id";

const SETTING: &str = "SELECT value FROM settings WHERE channel = ?1 AND name = ?2";

const CHANGE_SETTING: &str = "UPDATE settings SET value = ?3 WHERE channel = ?1 AND name = ?2";

const COUNT_SETTINGS: &str = "SELECT count(*) FROM settings WHERE channel = ?1";
