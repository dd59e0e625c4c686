//! What can go wrong in the store, in sentences for the owner.

use std::path::PathBuf;

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
        "{} is damaged ({reason}); restore a backup, or move the file away to start with an empty memory; nothing was deleted",
        path.display()
    )]
    Corrupt { path: PathBuf, reason: String },
    #[error("the database {} failed: {reason}", path.display())]
    Database { path: PathBuf, reason: String },
    #[error("turn {turn} is finished, so it takes no more steps")]
    TurnFinished { turn: i64 },
    #[error("there is no turn {turn}")]
    NoSuchTurn { turn: i64 },
    #[error("there is no session {session}")]
    NoSuchSession { session: i64 },
    #[error("several sessions are called {name:?}; name one of {}", candidates.join(", "))]
    AmbiguousSession { name: String, candidates: Vec<String> },
    #[error("there is no outgoing message {id}")]
    NoSuchOutbound { id: i64 },
    #[error("the {what} has {bytes} bytes and at most {limit} can be stored; shorten it")]
    TooLong { what: &'static str, bytes: usize, limit: usize },
    #[error("a step's body is nested deeper than can be read back; make it flatter")]
    TooDeep,
    #[error("a vector of {given} numbers was given and the notes' vectors have {expected}; use the embedder that made those, or drop them")]
    WrongDimension { given: usize, expected: usize },
    #[error("a vector cannot be used: {reason}")]
    BadVector { reason: &'static str },
    #[error("the memory thread has ended")]
    Gone,
}
