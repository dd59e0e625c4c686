//! What a session has beside its turns: summaries that stand for old ones, rules that the owner granted for its time, messages
//! that steer a running turn. And the notes that stand in every new context.

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::{append_step, most, transact, turns};
use crate::notes::note_row;
use crate::{NoteRow, Store, StoreError, TurnRow, limits};

/// What stands in a new context for the older turns of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRow {
    /// The last turn that it stands for.
    pub upto: i64,
    /// The summary.
    pub text: String,
    /// Where untrusted text in those turns came from.
    pub origin: Option<String>,
}

/// Conversations.
impl Store {
    /// Keeps a summary of a session's turns up to and with `summary.upto`. A second one up to the same turn replaces the first.
    pub async fn add_summary(&self, session: i64, summary: SummaryRow) -> Result<(), StoreError> {
        limits::check("summary", &summary.text, limits::TEXT_BYTES)?;
        self.run(move |connection| {
            connection.prepare_cached(ADD_SUMMARY)?.execute(params![session, summary.upto, summary.text, summary.origin])?;
            Ok(())
        })
        .await
    }

    /// The session's latest summary, if it has one.
    pub async fn summary(&self, session: i64) -> Result<Option<SummaryRow>, StoreError> {
        self.run(move |connection| {
            let row = connection
                .prepare_cached(SUMMARY)?
                .query_row([session], |row| Ok(SummaryRow { upto: row.get(0)?, text: row.get(1)?, origin: row.get(2)? }));
            Ok(row.optional()?)
        })
        .await
    }

    /// The session's summary of its turns up to and with `upto`.
    pub async fn summary_upto(&self, session: i64, upto: i64) -> Result<Option<SummaryRow>, StoreError> {
        self.run(move |connection| {
            let row = connection
                .prepare_cached("SELECT upto, text, origin FROM summaries WHERE session = ?1 AND upto = ?2")?
                .query_row([session, upto], |row| Ok(SummaryRow { upto: row.get(0)?, text: row.get(1)?, origin: row.get(2)? }));
            Ok(row.optional()?)
        })
        .await
    }

    /// Allows something for the rest of a session; `rule` is the agent's. Twice is once.
    pub async fn grant(&self, session: i64, rule: Value) -> Result<(), StoreError> {
        let rule = rule.to_string();
        limits::check("rule", &rule, limits::STEP_BYTES)?;
        self.run(move |connection| {
            connection.prepare_cached("INSERT OR IGNORE INTO grants (session, rule) VALUES (?1, ?2)")?.execute(params![session, rule])?;
            Ok(())
        })
        .await
    }

    /// What was allowed for the session, oldest first; at most [`limits::LIST_ROWS`].
    pub async fn grants(&self, session: i64) -> Result<Vec<Value>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached("SELECT rule FROM grants WHERE session = ?1 ORDER BY id LIMIT ?2")?;
            let rows = statement.query_map(params![session, most(limits::LIST_ROWS)], |row| row.get::<_, String>(0))?;
            // One that cannot be read allows nothing.
            Ok(rows.filter_map(|row| row.map(|text| serde_json::from_str(&text).ok()).transpose()).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Notes that stand in every new context, oldest first; at most [`limits::PINNED`].
    pub async fn pinned(&self) -> Result<Vec<NoteRow>, StoreError> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(PINNED)?;
            let rows = statement.query_map([limits::rows(limits::PINNED, limits::PINNED)], note_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Pins a note, or takes the pin away. `false`: there is no such note.
    pub async fn pin(&self, id: &str, pinned: bool) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.run(move |connection| Ok(connection.execute("UPDATE notes SET pinned = ?2 WHERE id = ?1", params![id, pinned])? > 0)).await
    }

    /// Turns that `turn` has started, oldest first; at most [`limits::LIST_ROWS`].
    pub async fn tasks(&self, turn: i64) -> Result<Vec<TurnRow>, StoreError> {
        self.run(move |connection| turns(connection, TASKS, params![turn, most(limits::LIST_ROWS)])).await
    }

    /// Unfinished turns of `session` after `turn`, oldest first: what was written while `turn` runs.
    pub async fn waiting_after(&self, session: i64, turn: i64) -> Result<Vec<TurnRow>, StoreError> {
        self.run(move |connection| turns(connection, WAITING_AFTER, params![session, turn, most(limits::LIST_ROWS)])).await
    }

    /// Takes the open turn `other` into `turn`: adds the step to `turn` and ends `other` with `outcome`, in one transaction. `false`:
    /// `other` had been ended, and nothing was written.
    pub async fn absorb(&self, turn: i64, kind: &str, body: Value, other: i64, outcome: &str) -> Result<bool, StoreError> {
        let (kind, body, outcome) = (kind.to_owned(), body.to_string(), outcome.to_owned());
        limits::check("step", &body, limits::STEP_BYTES)?;
        self.run(move |connection| {
            transact(connection, |transaction| {
                let begun = transaction.prepare_cached("SELECT 1 FROM steps WHERE turn = ?1")?.exists([other])?;
                if begun || transaction.prepare_cached(ABSORBED)?.execute(params![other, outcome])? == 0 {
                    return Ok(false);
                }
                append_step(transaction, turn, &kind, &body)?;
                Ok(true)
            })
        })
        .await
    }
}

const ADD_SUMMARY: &str = "INSERT INTO summaries (session, upto, text, origin) VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT (session, upto) DO UPDATE SET text = excluded.text, origin = excluded.origin";

const SUMMARY: &str = "SELECT upto, text, origin FROM summaries WHERE session = ?1 ORDER BY upto DESC LIMIT 1";

const PINNED: &str = "SELECT id, kind, text, at, origin, pinned, source_turn FROM notes WHERE pinned ORDER BY number LIMIT ?1";

const TASKS: &str = crate::journal::turn_sql!("WHERE t.parent = ?1 ORDER BY t.id LIMIT ?2");

const WAITING_AFTER: &str = crate::journal::turn_sql!("WHERE t.session = ?1 AND t.id > ?2 AND t.finished IS NULL ORDER BY t.id LIMIT ?3");

/// An undone turn is in no history: its words stand in the turn that took them.
const ABSORBED: &str = "UPDATE turns SET state = 'done', outcome = ?2, finished = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
         undone = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
     WHERE id = ?1 AND finished IS NULL";
