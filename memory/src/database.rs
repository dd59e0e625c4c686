//! The connection: how it is opened, checked and closed. Lives on the memory thread.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::codes::Codes;
use crate::error::Failure;
use crate::lock::Lock;
use crate::{StoreError, limits, schema, vectors, words};

/// The one connection, and the lock that makes it the only one.
///
/// Dropping it closes the database: SQLite moves the write-ahead log into the file and deletes it. Where that fails (a full
/// disk) the log stays and the next open reads it: nothing is lost.
pub(crate) struct Database {
    // Fields drop in this order: the lock must outlive the connection.
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    /// The codes of the vectors, from the first search by meaning on.
    pub(crate) codes: Option<Codes>,
    _lock: Option<Lock>,
}

impl Database {
    /// Opens `home/paguro.db`, making what is missing.
    pub(crate) fn open(home: &Path) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(|error| StoreError::from_io(&error, home))?;
        let (path, lock) = (home.join("paguro.db"), home.join("paguro.lock"));
        let mut lock = Lock::take(&lock)?;
        if lock.was_used() && std::fs::metadata(&path).is_ok_and(|file| file.len() == 0) {
            return Err(StoreError::Corrupt { path, reason: "it is empty, and was not when it was closed".into() });
        }
        // SQLite would make the file readable for others; its helper files take this one's permissions.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| StoreError::from_io(&error, &path))?;
        let check = wants_check(&path);
        let open = || -> Result<Connection, Failure> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut connection = Connection::open_with_flags(&path, flags)?;
            prepare(&mut connection, &path, check)?;
            Ok(connection)
        };
        let connection = open().map_err(|failure| failure.at(&path))?;
        lock.used();
        Ok(Self { connection, path, codes: None, _lock: Some(lock) })
    }

    /// A database in memory.
    pub(crate) fn in_memory() -> Result<Self, StoreError> {
        let path = PathBuf::from(":memory:");
        let open = || -> Result<Connection, Failure> {
            let mut connection = Connection::open_in_memory()?;
            prepare(&mut connection, &path, false)?;
            Ok(connection)
        };
        let connection = open().map_err(|failure| failure.at(&path))?;
        Ok(Self { connection, path, codes: None, _lock: None })
    }
}

/// Whether the file is to be checked before it is used. SQLite deletes the write-ahead log when it closes a database, so a
/// log with something in it says that the last process was cut off.
fn wants_check(path: &Path) -> bool {
    let bytes = |path: &Path| std::fs::metadata(path).map(|file| file.len()).unwrap_or(0);
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let limit = match bytes(Path::new(&log)) {
        0 => limits::CHECK_ALWAYS_BYTES,
        _ => limits::CHECK_UNCLEAN_BYTES,
    };
    bytes(path) <= limit
}

/// Makes an open connection ours: recognised, checked, set up and migrated, in this order.
fn prepare(connection: &mut Connection, path: &Path, check: bool) -> Result<(), Failure> {
    connection.busy_timeout(limits::BUSY_TIMEOUT)?;
    schema::recognise(connection, path)?;
    if check {
        expect_ok(connection, "PRAGMA quick_check(1)", path)?;
    }
    // Of a new file only: five vectors of 384 numbers fill a page of 8 KiB, in one of 4 KiB two leave a quarter empty.
    connection.pragma_update(None, "page_size", limits::PAGE_BYTES)?;
    let wal_bytes = i64::try_from(limits::WAL_BYTES).unwrap_or(i64::MAX);
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", wal_bytes, |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is deleted is overwritten, not only unlinked.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    connection.pragma_update(None, "temp_store", "memory")?;
    words::register(connection)?;
    vectors::register(connection)?;
    connection.set_prepared_statement_cache_capacity(limits::PREPARED);
    schema::migrate(connection, schema::MIGRATIONS)?;
    words::refill(connection)
}

/// Checks everything: pages, indexes, references, the word index against the notes.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<(), Failure> {
    expect_ok(connection, "PRAGMA integrity_check(1)", path)?;
    let dangling: i64 = connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    if dangling > 0 {
        let reason = format!("{dangling} rows refer to rows that are not there");
        return Err(StoreError::Corrupt { path: path.into(), reason }.into());
    }
    let apart: i64 = connection.query_row(APART, [], |row| row.get(0))?;
    if apart > 0 {
        let reason = format!("{apart} notes have a vector and no code for it, or the other way round");
        return Err(StoreError::Corrupt { path: path.into(), reason }.into());
    }
    connection.execute("INSERT INTO notes_words (notes_words, rank) VALUES ('integrity-check', 1)", [])?;
    Ok(())
}

/// Vectors and codes that are without each other; notes that have a vector and are waited on for one.
const APART: &str = "
    SELECT (SELECT count(*) FROM vectors) + (SELECT count(*) FROM vector_codes)
        - 2 * (SELECT count(*) FROM vectors JOIN vector_codes USING (note))
        + (SELECT count(*) FROM vectors JOIN vectors_wanted USING (note))";

pub(crate) fn expect_ok(connection: &Connection, sql: &str, path: &Path) -> Result<(), Failure> {
    let reason: String = connection.query_row(sql, [], |row| row.get(0))?;
    match reason.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Corrupt { path: path.into(), reason }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_is_never_slow_for_a_large_file() {
        const MIB: u64 = 1 << 20;
        let home = tempfile::tempdir().unwrap();
        let check = |megabytes: u64, log_bytes: u64, expected: bool| {
            let path = home.path().join("paguro.db");
            // Files with holes: large, and no trouble to make.
            std::fs::File::create(&path).unwrap().set_len(megabytes * MIB).unwrap();
            std::fs::File::create(home.path().join("paguro.db-wal")).unwrap().set_len(log_bytes).unwrap();
            assert_eq!(wants_check(&path), expected, "{megabytes} MiB, log of {log_bytes}");
        };
        check(0, 0, true);
        check(8, 0, true);
        check(9, 0, false);
        check(9, 32, true);
        check(128, 32, true);
        check(129, 32, false);
    }

    #[test]
    fn settings_hold() {
        let home = tempfile::tempdir().unwrap();
        let database = Database::open(home.path()).unwrap();
        let check = |name: &str, expected: &str| {
            let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
            let found: String = database.connection.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(found, expected, "{name}");
        };
        check("journal_mode", "wal");
        check("synchronous", "2");
        check("foreign_keys", "1");
        check("secure_delete", "1");
        check("user_version", &schema::MIGRATIONS.len().to_string());
        check("application_id", "1348560757");
    }
}
