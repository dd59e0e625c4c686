//! What can go wrong in the store, in sentences for the owner.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ffi;

/// An error of the store. Each message says what was wrong, with which value, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum StoreError {
    #[error(
        "{} is in use by another paguro{}; stop that one, or set PAGURO_HOME to another folder",
        path.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked { path: PathBuf, pid: Option<u32> },
    #[error("cannot write to {}: {reason}; make it writable, or set PAGURO_HOME to another folder", path.display())]
    Unwritable { path: PathBuf, reason: String },
    #[error("the disk with {} is full; free some space and try again, what was stored before is safe", path.display())]
    DiskFull { path: PathBuf },
    #[error(
        "{} has format {found} and this paguro knows formats up to {known}; use a newer paguro, nothing was changed",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{} is the database of another program; move it away, or set PAGURO_HOME to another folder", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "{} is damaged ({reason}); `paguro restore FILE` brings a backup back, or move the file away to start with an empty memory; nothing was deleted",
        path.display()
    )]
    Corrupt { path: PathBuf, reason: String },
    #[error(
        "the database {} failed: {reason}; close other programs that have it open and try again, what was stored before is safe",
        path.display()
    )]
    Database { path: PathBuf, reason: String },
    #[error("turn {turn} is finished, so it takes no more steps")]
    TurnFinished { turn: i64 },
    #[error("turn {turn} cannot end as open")]
    NotAnEnding { turn: i64 },
    #[error("there is no turn {turn}")]
    NoSuchTurn { turn: i64 },
    #[error("there is no session {session}")]
    NoSuchSession { session: i64 },
    #[error("several sessions are called {name:?}; name one of {}", candidates.join(", "))]
    AmbiguousSession { name: String, candidates: Vec<String> },
    #[error("there is no job {name}")]
    NoSuchJob { name: String },
    #[error("there is a job {name} already; remove it first, or choose another name")]
    JobExists { name: String },
    #[error("there are {limit} jobs already; remove some first")]
    TooManyJobs { limit: usize },
    #[error("there is no outgoing message {id}")]
    NoSuchOutbound { id: i64 },
    #[error("an outgoing message is sent in at most {limit} parts, and part {part} was given")]
    TooManyParts { part: u32, limit: usize },
    #[error("the channel {channel} has {limit} settings already; remove some first")]
    TooManySettings { channel: String, limit: usize },
    #[error("the {what} has {bytes} bytes and at most {limit} can be stored; shorten it")]
    TooLong { what: &'static str, bytes: usize, limit: usize },
    #[error("turn {turn} has changed files {limit} times, and no more can be kept for undo; go on in a new message")]
    TooManyChanges { turn: i64, limit: usize },
    #[error("a step's body is nested deeper than can be read back; make it flatter")]
    TooDeep,
    #[error("a vector of {given} numbers was given and the notes' vectors have {expected}; use the embedder that made those, or drop them")]
    WrongDimension { given: usize, expected: usize },
    #[error("vectors of the embedder {given} were given and the one in use is {known}; choose it first")]
    OtherEmbedder { given: String, known: String },
    #[error("the vectors of another embedder are being deleted; try again when that is done")]
    EmbedderChanges,
    #[error("a vector cannot be used: {reason}")]
    BadVector { reason: &'static str },
    #[error(
        "it is out of the memory, and its bytes are still in the write-ahead log, which another program is reading; do it once more when that (a backup?) is done"
    )]
    LogInUse,
    #[error("there is a file {} already; choose another name, or replace it with --force", path.display())]
    BackupExists { path: PathBuf },
    #[error("{} belongs to the database that is to be backed up; choose another name", path.display())]
    BackupOntoDatabase { path: PathBuf },
    #[error("there is no database {} yet, so there is nothing to back up", path.display())]
    NoDatabase { path: PathBuf },
    #[error("{} cannot be restored: {reason}; nothing was changed", path.display())]
    BadBackup { path: PathBuf, reason: String },
    #[error("cancelled; nothing was changed")]
    Cancelled,
    #[error("the memory thread has ended, which is a fault in paguro; start it again, what was stored before is safe")]
    Gone,
}

impl StoreError {
    /// What an error of the file system at `path` means.
    pub(crate) fn from_io(error: &io::Error, path: &Path) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Unwritable { path, reason: error.to_string() },
        }
    }

    /// What an error of SQLite on the database at `path` means.
    pub(crate) fn from_sqlite(error: &rusqlite::Error, path: &Path) -> Self {
        use rusqlite::{Error, ErrorCode};
        let path = path.to_owned();
        let reason = error.to_string();
        match error {
            // What stands in a row is not what was written there.
            Error::FromSqlConversionFailure(..)
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..) => return Self::Corrupt { path, reason },
            _ => {}
        }
        let Some(cause) = error.sqlite_error() else { return Self::Database { path, reason } };
        match cause.code {
            ErrorCode::DiskFull => Self::DiskFull { path },
            // The index of the write-ahead log could not be made longer, which only ever fails for want of space.
            _ if cause.extended_code == ffi::SQLITE_IOERR_SHMSIZE => Self::DiskFull { path },
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt { path, reason },
            ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => Self::Unwritable { path, reason },
            _ => Self::Database { path, reason },
        }
    }
}

/// Why work on the memory thread failed: SQLite's error still wants the path of the file.
pub(crate) enum Failure {
    Store(StoreError),
    Sqlite(rusqlite::Error),
}

impl Failure {
    /// The error for the caller.
    pub(crate) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sqlite(error) => StoreError::from_sqlite(&error, path),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}
