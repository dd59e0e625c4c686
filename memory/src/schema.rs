//! The format of the database: its migrations, and whether a file is ours.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::StoreError;
use crate::error::Failure;

/// The migrations, oldest first. The n-th takes a database from `user_version` n-1 to n; one that was released never changes.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_journal_and_recall.sql"),
    include_str!("../migrations/0002_trust_and_tasks.sql"),
    include_str!("../migrations/0003_jobs.sql"),
    include_str!("../migrations/0004_files.sql"),
    include_str!("../migrations/0005_skills.sql"),
    include_str!("../migrations/0006_kinds.sql"),
    include_str!("../migrations/0007_vectors.sql"),
    include_str!("../migrations/0008_forget.sql"),
    include_str!("../migrations/0009_words.sql"),
    include_str!("../migrations/0010_channels.sql"),
    include_str!("../migrations/0011_codes.sql"),
    include_str!("../migrations/0012_centres.sql"),
];

/// Written into every database of ours by the first migration.
const APPLICATION_ID: i64 = 0x5061_6775;

/// Bytes at the beginning of an SQLite file that say what it is.
pub(crate) const HEAD_BYTES: usize = 72;

/// Whether a file that begins like this is SQLite's and ours; <https://www.sqlite.org/fileformat.html>, section 1.3.
pub(crate) fn is_head_of_ours(head: &[u8; HEAD_BYTES]) -> bool {
    head.starts_with(b"SQLite format 3\0") && i64::from(u32::from_be_bytes([head[68], head[69], head[70], head[71]])) == APPLICATION_ID
}

/// Refuses a database of a newer version or of another program, before anything is written.
pub(crate) fn recognise(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = pragma("user_version")?;
    let application = pragma("application_id")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let empty = found == 0 && application == 0 && tables == 0;
    if !empty && application != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.into() }.into());
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { path: path.into(), found, known }.into());
    }
    Ok(())
}

/// Brings the database to the version that `migrations` end in: each in a transaction of its own, with its version.
pub(crate) fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (number, sql) in (1_i64..).zip(migrations).filter(|(number, _)| *number > version) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `migrations` on an empty database; the version and the tables it then has.
    fn check(runs: &[&[&str]], version: i64, tables: &str) {
        let mut connection = Connection::open_in_memory().unwrap();
        for migrations in runs {
            // A failing migration is part of the cases: what it leaves behind is what is checked.
            let _ = migrate(&mut connection, migrations);
        }
        let found: (i64, String) = connection
            .query_row(
                "SELECT user_version, (SELECT coalesce(group_concat(name ORDER BY name), '') FROM sqlite_schema)
                 FROM pragma_user_version",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!(found, (version, tables.to_owned()), "{runs:?}");
    }

    #[test]
    fn migrations() {
        const A: &str = "CREATE TABLE a (x);";
        const B: &str = "CREATE TABLE b (x); INSERT INTO b VALUES (1);";
        const BROKEN: &str = "CREATE TABLE c (x); CREATE TABLE a (x);";
        check(&[], 0, "");
        check(&[&[A]], 1, "a");
        check(&[&[A], &[A]], 1, "a");
        check(&[&[A], &[A, B]], 2, "a,b");
        check(&[&[A, B]], 2, "a,b");
        // Half of a migration never stays.
        check(&[&[A, BROKEN, B]], 1, "a");
        check(&[&[A, BROKEN], &[A, B]], 2, "a,b");
    }
}
