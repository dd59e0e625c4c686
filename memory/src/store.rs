//! The handle to the memory thread, which owns the one connection.

use std::path::Path;

use crate::StoreError;

/// Handle to the memory thread: cheap to clone, the last drop closes the database and joins the thread.
#[derive(Debug, Clone)]
pub struct Store {}

impl Store {
    /// Opens `home/paguro.db`, making folder and file when they are missing. Blocks: call it once, at the start.
    /// One process per home: a second one gets [`StoreError::Locked`].
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        let _ = home;
        Err(StoreError::Gone)
    }

    /// A store in memory, for tests.
    pub fn in_memory() -> Result<Self, StoreError> {
        Err(StoreError::Gone)
    }

    /// Checks the whole file, in time proportional to its size: [`StoreError::Corrupt`] says what is wrong.
    pub async fn check(&self) -> Result<(), StoreError> {
        Err(StoreError::Gone)
    }
}
