//! What the owner has accepted of skills, by hash, and what was asked about.
//!
//! It knows nothing of folders and files: a name, a hash and a text come in.

use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::journal::transact;
use crate::{Store, StoreError, limits};

/// What was accepted under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedSkill {
    /// The name.
    pub name: String,
    /// SHA-256 over all that was accepted, in hexadecimal.
    pub hash: String,
    /// As the owner saw it.
    pub text: String,
    /// When; RFC 3339, UTC.
    pub at: String,
}

/// Skills.
impl Store {
    /// What was accepted, by name; at most [`limits::LIST_ROWS`].
    pub async fn accepted_skills(&self) -> Result<Vec<AcceptedSkill>, StoreError> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(ALL)?;
            let rows = statement.query_map([limits::rows(limits::LIST_ROWS, limits::LIST_ROWS)], accepted)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// What was accepted under `name`.
    pub async fn accepted_skill(&self, name: &str) -> Result<Option<AcceptedSkill>, StoreError> {
        let name = name.to_owned();
        self.run(move |connection| Ok(connection.prepare_cached(ONE)?.query_row([name], accepted).optional()?)).await
    }

    /// The owner accepts `text` with `hash` under `name`, in place of what was accepted before.
    pub async fn accept_skill(&self, name: &str, hash: &str, text: impl Into<String>) -> Result<(), StoreError> {
        let text = text.into();
        limits::check("name", name, limits::NAME_BYTES)?;
        limits::check("text", &text, limits::TEXT_BYTES)?;
        let (name, hash) = (name.to_owned(), hash.to_owned());
        self.run(move |connection| Ok(connection.prepare_cached(ACCEPT)?.execute(params![name, hash, text]).map(drop)?)).await
    }

    /// Takes back what was accepted under `name`. `false`: nothing was.
    pub async fn forget_skill(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.run(move |connection| Ok(connection.execute("DELETE FROM skills WHERE name = ?1", [name])? > 0)).await
    }

    /// Keeps what the owner is asked about before `call` runs; a later question takes an earlier one's place.
    pub async fn ask_skill(&self, turn: i64, call: &str, name: &str, hash: &str) -> Result<(), StoreError> {
        limits::check("call", call, limits::NAME_BYTES)?;
        limits::check("name", name, limits::NAME_BYTES)?;
        let (call, name, hash) = (call.to_owned(), name.to_owned(), hash.to_owned());
        self.run(move |connection| {
            transact(connection, |transaction| {
                transaction.prepare_cached(ASK)?.execute(params![call, turn, name, hash])?;
                Ok(())
            })
        })
        .await
    }

    /// The hash that the owner was asked about before `call`, if it was about `name`.
    pub async fn asked_skill(&self, call: &str, name: &str) -> Result<Option<String>, StoreError> {
        let (call, name) = (call.to_owned(), name.to_owned());
        self.run(move |connection| Ok(connection.prepare_cached(ASKED)?.query_row([call, name], |row| row.get(0)).optional()?)).await
    }
}

const ALL: &str = "SELECT name, hash, text, at FROM skills ORDER BY name LIMIT ?1";

const ONE: &str = "SELECT name, hash, text, at FROM skills WHERE name = ?1";

const ACCEPT: &str = "INSERT OR REPLACE INTO skills (name, hash, text) VALUES (?1, ?2, ?3)";

const ASK: &str = "INSERT OR REPLACE INTO skill_questions (call, turn, name, hash)
     VALUES (?1, (SELECT id FROM turns WHERE id = ?2), ?3, ?4)";

const ASKED: &str = "SELECT hash FROM skill_questions WHERE call = ?1 AND name = ?2";

fn accepted(row: &Row<'_>) -> rusqlite::Result<AcceptedSkill> {
    Ok(AcceptedSkill { name: row.get(0)?, hash: row.get(1)?, text: row.get(2)?, at: row.get(3)? })
}
