//! Facts distilled from turns: what comes with its sources, in the place of what it says anew. Which turns are still to be looked at.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::error::Failure;
use crate::journal::transact;
use crate::{JOB_CHANNEL, Note, NoteKind, Store, StoreError, notes};

/// A fact to be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fact {
    /// A whole sentence.
    pub text: String,
    /// The turns that it comes from.
    pub sources: Vec<i64>,
    /// Id of the fact that it says anew: that one is found no more, and stays. Something that is no fact is not replaced.
    pub replaces: Option<String>,
    /// As [`Note::origin`].
    pub origin: Option<String>,
}

/// Distilled facts.
impl Store {
    /// The last well-finished turn of the session that has waited longest, and the turn up to which its facts were distilled before; `None`:
    /// there is nothing to distil. Sessions `without` are passed over. Jobs and tasks are no conversations; a session in which a turn is open is not at rest.
    pub async fn undistilled(&self, without: Vec<i64>) -> Result<Option<(i64, i64)>, StoreError> {
        let without = serde_json::Value::from(without).to_string();
        self.run(move |connection| {
            let row = connection.prepare_cached(UNDISTILLED)?.query_row([JOB_CHANNEL, &without], |row| Ok((row.get(0)?, row.get(1)?)));
            Ok(row.optional()?)
        })
        .await
    }

    /// Keeps the facts of a session's turns up to and with `upto`, all or none, so that they are distilled once. One that is there already
    /// gets the new sources.
    pub async fn distilled(&self, session: i64, upto: i64, facts: Vec<Fact>) -> Result<(), StoreError> {
        let note = |fact: &Fact| Note {
            kind: NoteKind::Fact,
            text: fact.text.clone(),
            source_turn: fact.sources.last().copied(),
            session: Some(session),
            origin: fact.origin.clone(),
            ..Note::default()
        };
        let facts: Vec<(Note, Fact)> = facts.into_iter().map(|fact| (note(&fact), fact)).collect();
        facts.iter().try_for_each(|(note, _)| notes::check(note))?;
        self.run(move |connection| {
            transact(connection, |transaction| {
                facts.into_iter().try_for_each(|(note, fact)| keep(transaction, note, &fact))?;
                transaction.execute("UPDATE sessions SET distilled = max(distilled, ?2) WHERE id = ?1", [session, upto])?;
                Ok(())
            })
        })
        .await
    }
}

const UNDISTILLED: &str = "SELECT max(t.id), s.distilled FROM sessions s JOIN turns t ON t.session = s.id AND t.id > s.distilled
     WHERE s.channel <> ?1 AND s.id NOT IN (SELECT value FROM json_each(?2)) AND t.state = 'done' AND t.undone IS NULL AND t.parent IS NULL
         AND NOT EXISTS (SELECT 1 FROM turns o WHERE o.session = s.id AND o.finished IS NULL)
     GROUP BY s.id ORDER BY 1 LIMIT 1";

const SAME: &str = "SELECT number FROM notes WHERE kind = 'fact' AND replaced IS NULL AND text = ?1 COLLATE NOCASE";

/// What strangers may have said does not hide what the owner did.
const REPLACE: &str = "UPDATE notes SET replaced = ?2
     WHERE id = ?1 AND kind = 'fact' AND number <> ?2 AND (?3 IS NULL OR origin IS NOT NULL)";

fn keep(transaction: &Transaction<'_>, note: Note, fact: &Fact) -> Result<(), Failure> {
    let same: Option<i64> = transaction.prepare_cached(SAME)?.query_row([&fact.text], |row| row.get(0)).optional()?;
    let number = match same {
        Some(number) => number,
        None => {
            let id = notes::add(transaction, note)?.id;
            transaction.prepare_cached("SELECT number FROM notes WHERE id = ?1")?.query_row([id], |row| row.get(0))?
        }
    };
    if let Some(replaced) = &fact.replaces {
        transaction.prepare_cached(REPLACE)?.execute(params![replaced, number, fact.origin])?;
    }
    let mut add = transaction.prepare_cached("INSERT OR IGNORE INTO note_sources (note, turn) SELECT ?1, id FROM turns WHERE id = ?2")?;
    for turn in &fact.sources {
        add.execute([number, *turn])?;
    }
    Ok(())
}
