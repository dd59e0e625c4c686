//! What the memory holds, how it grows, and whether what it puts forward is of use.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::erase::{tells, words};
use crate::error::Failure;
use crate::{Store, StoreError, limits};

/// Numbers about the memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// Notes that somebody took.
    pub notes: u64,
    /// Facts that were distilled from turns.
    pub facts: u64,
    /// Pieces of turns.
    pub turns: u64,
    /// Notes of all kinds that newer ones have replaced.
    pub replaced: u64,
    /// Notes that stand in every new context.
    pub pinned: u64,
    /// Bytes of the database, the conversations with it.
    pub bytes: u64,
    /// Notes of all kinds that have a vector.
    pub vectors: u64,
    /// What came in which week, oldest first; at most [`limits::STATS_WEEKS`], weeks without anything left out.
    pub weeks: Vec<Week>,
    /// Notes that came with messages, in the last [`limits::STATS_TURNS`] turns that some came with.
    pub recalled: u64,
    /// Of those, the ones that were used: a later reply or call of the turn has a telling word of theirs (four letters or more, or a
    /// number) that the message itself had not.
    pub used: u64,
    /// How long recall took before each of those turns, in milliseconds, where that is recorded; sorted.
    pub recall_ms: Vec<f64>,
}

/// What came in one week.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Week {
    /// Its Monday, `2026-11-16`.
    pub monday: String,
    /// As [`MemoryStats::notes`].
    pub notes: u64,
    /// As [`MemoryStats::facts`].
    pub facts: u64,
    /// As [`MemoryStats::turns`].
    pub turns: u64,
}

/// Statistics.
impl Store {
    /// Numbers about the memory. Reads all notes' times, and the last turns.
    pub async fn memory_stats(&self) -> Result<MemoryStats, StoreError> {
        self.run(|connection| {
            let mut stats = MemoryStats { weeks: weeks(connection)?, ..counts(connection)? };
            recalled(connection, &mut stats)?;
            stats.recall_ms.sort_by(f64::total_cmp);
            Ok(stats)
        })
        .await
    }

    /// What was asked last, newest first: for measuring searches by something that is really asked.
    pub async fn last_questions(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached("SELECT text FROM inbox WHERE text <> '' ORDER BY id DESC LIMIT ?1")?;
            let rows = statement.query_map([limits::rows(limit, limits::LIST_ROWS)], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

const COUNTS: &str = "SELECT count(*) FILTER (WHERE kind = 'note'), count(*) FILTER (WHERE kind = 'fact'),
         count(*) FILTER (WHERE kind = 'turn'), count(replaced), count(*) FILTER (WHERE pinned) FROM notes";

/// A time that is none is of no week, nor is one that no calendar reaches.
const WEEKS: &str = "SELECT date(at, '-6 days', 'weekday 1'), count(*) FILTER (WHERE kind = 'note'),
         count(*) FILTER (WHERE kind = 'fact'), count(*) FILTER (WHERE kind = 'turn')
     FROM notes WHERE date(at, '-6 days', 'weekday 1') IS NOT NULL GROUP BY 1 ORDER BY 1 DESC LIMIT ?1";

const BEGAN: &str = "SELECT p.turn, p.seq, p.body -> '$.notes', p.body ->> '$.recall_ms', i.text
     FROM steps p JOIN turns t ON t.id = p.turn JOIN inbox i ON i.id = t.inbound
     WHERE p.kind = 'began' AND t.finished IS NOT NULL ORDER BY p.turn DESC LIMIT ?1";

const LATER: &str = "SELECT body FROM steps WHERE turn = ?1 AND seq > ?2 AND kind = 'thought'";

fn counts(connection: &Connection) -> Result<MemoryStats, Failure> {
    let (notes, facts, turns, replaced, pinned) = connection
        .query_row(COUNTS, [], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?, unsigned(row, 2)?, unsigned(row, 3)?, unsigned(row, 4)?)))?;
    let bytes = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let bytes = connection.query_row(bytes, [], |row| unsigned(row, 0))?;
    let vectors = connection.query_row("SELECT count(*) FROM vectors", [], |row| unsigned(row, 0))?;
    Ok(MemoryStats { notes, facts, turns, replaced, pinned, bytes, vectors, ..MemoryStats::default() })
}

fn unsigned(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or_default())
}

fn weeks(connection: &Connection) -> Result<Vec<Week>, Failure> {
    let mut statement = connection.prepare(WEEKS)?;
    let week = |row: &rusqlite::Row<'_>| {
        Ok(Week { monday: row.get(0)?, notes: unsigned(row, 1)?, facts: unsigned(row, 2)?, turns: unsigned(row, 3)? })
    };
    let most = limits::rows(limits::STATS_WEEKS, limits::STATS_WEEKS);
    let mut weeks = statement.query_map([most], week)?.collect::<Result<Vec<_>, _>>()?;
    weeks.reverse();
    Ok(weeks)
}

fn recalled(connection: &Connection, stats: &mut MemoryStats) -> Result<(), Failure> {
    let mut statement = connection.prepare(BEGAN)?;
    let mut rows = statement.query([limits::rows(limits::STATS_TURNS, limits::STATS_TURNS)])?;
    while let Some(row) = rows.next()? {
        let (turn, seq): (i64, i64) = (row.get(0)?, row.get(1)?);
        let took: Option<f64> = row.get::<_, Option<f64>>(3).unwrap_or_default();
        stats.recall_ms.extend(took.filter(|took| *took > 0.0));
        let ids: Vec<String> = row.get::<_, Option<String>>(2)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        if ids.is_empty() {
            continue;
        }
        let asked: Vec<String> = words(&row.get::<_, String>(4)?).collect();
        let said = said_later(connection, turn, seq)?;
        for id in ids {
            let text: Option<String> =
                connection.prepare_cached("SELECT text FROM notes WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()?;
            // Of one that is gone nothing can be said.
            let Some(text) = text else { continue };
            stats.recalled += 1;
            let is_used = words(&text).any(|word| tells(&word) && !asked.contains(&word) && said.contains(&word));
            stats.used += u64::from(is_used);
        }
    }
    Ok(())
}

/// The words of the replies and calls of a turn after step `seq`.
fn said_later(connection: &Connection, turn: i64, seq: i64) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare_cached(LATER)?;
    let rows = statement.query_map(params![turn, seq], |row| row.get::<_, String>(0))?;
    let mut out = Vec::new();
    for body in rows {
        let body: Value = serde_json::from_str(&body?).unwrap_or_default();
        let message = &body["message"];
        out.extend(words(message["content"].as_str().unwrap_or_default()));
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            out.extend(words(&call["arguments"].to_string()));
        }
    }
    Ok(out)
}
