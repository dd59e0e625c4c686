//! The lock file: one process per home.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek as _, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::StoreError;

/// The lock on a home, with this process's id written into the file for the one that is turned away.
/// The kernel gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(File, bool);

/// Stands in the file when the one before closed a database: then one that is empty now has lost what it had.
const USED: &[u8] = b"closed\n";

impl Lock {
    /// Says, once the database is open, that there is one.
    pub(crate) fn used(&mut self) {
        self.1 = true;
    }

    /// Whether the one before closed a database. It stays so until another is opened: who finds it empty once, finds it so again.
    pub(crate) fn was_used(&self) -> bool {
        self.1
    }

    /// Takes the lock, or says who has it. Does not wait.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        let io = |error: std::io::Error| StoreError::from_io(&error, path);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                // Best effort: the holder may be just about to write it.
                let mut pid = String::new();
                let pid = file.read_to_string(&mut pid).ok().and_then(|_| pid.trim().parse().ok());
                return Err(StoreError::Locked { path: path.into(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let mut before = Vec::new();
        file.read_to_end(&mut before).map_err(io)?;
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self(file, before == USED))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A left-over id would mislead for a moment at most; the lock itself goes with the file handle.
        let _ = self.0.set_len(0);
        if self.1 {
            let _ = self.0.seek(std::io::SeekFrom::Start(0)).and_then(|_| self.0.write_all(USED));
        }
    }
}
