//! Changes of files: what each was before and after, so that a turn's can be taken back.
//!
//! The contents are not here, only their sums; whoever keeps them says what they were called.

use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use crate::journal::transact;
use crate::{Store, StoreError, limits};

/// One change of one file, as it is about to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The turn; one that does not exist is taken as none, and then no undo finds the change.
    pub turn: i64,
    /// The call's key.
    pub call: String,
    /// The workspace, without links.
    pub root: String,
    /// The file below it, without links.
    pub path: String,
    /// SHA-256 of what is there, in hexadecimal; `None`: there is no file.
    pub before: Option<String>,
    /// Permission bits of what is there.
    pub mode: Option<u32>,
    /// SHA-256 of what will be there; `None`: there will be no file.
    pub after: Option<String>,
    /// Folders that are made for the file, the nearest ones.
    pub made: u32,
}

/// A content that changes speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptHash {
    /// SHA-256 in hexadecimal.
    pub hash: String,
    /// One of the last turns that changed files speaks of it.
    pub recent: bool,
}

/// Changes of files.
impl Store {
    /// Records a change before it is made; it is on the disk when this returns. The same change of the same call is recorded once,
    /// so that a call that a crash cut off may run again. More than [`limits::TURN_CHANGES`] of one turn are refused.
    pub async fn record_change(&self, change: FileChange) -> Result<(), StoreError> {
        limits::check("call", &change.call, limits::NAME_BYTES)?;
        limits::check("path", &change.path, limits::PATH_BYTES)?;
        limits::check("path", &change.root, limits::PATH_BYTES)?;
        self.run(move |connection| {
            transact(connection, |transaction| {
                let FileChange { turn, call, root, path, before, mode, after, made } = change;
                let known = transaction.prepare_cached(KNOWN)?.exists(params![call, root, path, before, after])?;
                if known {
                    return Ok(());
                }
                let count: i64 = transaction.prepare_cached(COUNT)?.query_row([turn], |row| row.get(0))?;
                if count >= limits::rows(limits::TURN_CHANGES, limits::TURN_CHANGES) {
                    return Err(StoreError::TooManyChanges { turn, limit: limits::TURN_CHANGES }.into());
                }
                transaction.prepare_cached(RECORD)?.execute(params![turn, call, root, path, before, mode, after, made])?;
                Ok(())
            })
        })
        .await
    }

    /// The changes of a turn and of the tasks that it started, in order.
    pub async fn file_changes(&self, turn: i64) -> Result<Vec<FileChange>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(CHANGES)?;
            let rows = statement.query_map([turn], change)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Every content that a change speaks of, the one that was spoken of longest ago first. Those of the last `recent` turns that
    /// changed files are marked.
    pub async fn kept_hashes(&self, recent: usize) -> Result<Vec<KeptHash>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare(HASHES)?;
            let rows = statement
                .query_map([limits::rows(recent, limits::LIST_ROWS)], |row| Ok(KeptHash { hash: row.get(0)?, recent: row.get(1)? }))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

const KNOWN: &str = "SELECT 1 FROM files WHERE call = ?1 AND root = ?2 AND path = ?3 AND before IS ?4 AND after IS ?5";

const COUNT: &str = "SELECT count(*) FROM files WHERE turn = ?1";

const RECORD: &str = "INSERT INTO files (turn, call, root, path, before, mode, after, made)
     VALUES ((SELECT id FROM turns WHERE id = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const CHANGES: &str = "SELECT turn, call, root, path, before, mode, after, made FROM files
     WHERE turn = ?1 OR turn IN (SELECT id FROM turns WHERE parent = ?1) ORDER BY id";

const HASHES: &str = "WITH contents (hash, id, turn) AS (
         SELECT before, id, turn FROM files WHERE before IS NOT NULL
         UNION ALL SELECT after, id, turn FROM files WHERE after IS NOT NULL
     ),
     last (turn) AS (SELECT DISTINCT turn FROM files WHERE turn IS NOT NULL ORDER BY turn DESC LIMIT ?1)
     SELECT hash, max(coalesce(turn IN (SELECT turn FROM last), 0)) FROM contents GROUP BY hash ORDER BY max(id)";

fn change(row: &Row<'_>) -> rusqlite::Result<FileChange> {
    Ok(FileChange {
        turn: row.get(0)?,
        call: row.get(1)?,
        root: row.get(2)?,
        path: row.get(3)?,
        before: row.get(4)?,
        mode: row.get(5)?,
        after: row.get(6)?,
        made: row.get(7)?,
    })
}
