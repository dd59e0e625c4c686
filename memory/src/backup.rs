//! Backup and restore: the whole file, page by page, by SQLite's own online backup.
//!
//! A backup reads by a connection of its own, so it needs no lock and runs beside whoever has the home. A restore takes the lock. Neither
//! ever leaves half a file under the name that was asked for.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::error::Failure;
use crate::lock::Lock;
use crate::{StoreError, database, limits, schema};

/// How far a copy is: pages done, pages in all. Told often; `Break` ends it with [`StoreError::Cancelled`].
pub type CopyProgress<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

/// Writes what the database of `home` is at this moment to `file`, with mode 0600, and returns its bytes. `replace`: there may be such
/// a file already. The copy is checked before it gets its name.
pub fn backup(home: &Path, file: &Path, replace: bool, progress: CopyProgress<'_>) -> Result<u64, StoreError> {
    let from = home.join("paguro.db");
    if is_of_database(home, file) {
        return Err(StoreError::BackupOntoDatabase { path: file.into() });
    }
    if !replace && file.symlink_metadata().is_ok() {
        return Err(StoreError::BackupExists { path: file.into() });
    }
    if from.metadata().map_or(0, |data| data.len()) == 0 {
        return Err(StoreError::NoDatabase { path: from });
    }
    let copy = copy_of(&from, &beside(file, "partial"), progress, "PRAGMA quick_check(1)")?;
    copy.become_file(file)
}

/// Whether `file`, by whatever way it is named, is the database or one of the files that belong to it.
fn is_of_database(home: &Path, file: &Path) -> bool {
    let real = |path: &Path| {
        fs::canonicalize(path).ok().or_else(|| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(fs::canonicalize(folder).ok()?.join(path.file_name()?))
        })
    };
    let database = home.join("paguro.db");
    let own = [log_of(&database), index_of(&database), database, home.join("paguro.lock")];
    real(file).is_some_and(|file| own.iter().any(|own| real(own).as_ref() == Some(&file)))
}

/// Puts a backup in the place of the database of `home`, after a check of all of it. What was there is kept beside it as
/// `paguro.db.KEPT_AS`; returned if there was something.
pub fn restore(home: &Path, file: &Path, kept_as: &str, progress: CopyProgress<'_>) -> Result<Option<PathBuf>, StoreError> {
    file.metadata().map_err(|error| StoreError::BadBackup { path: file.into(), reason: error.to_string() })?;
    fs::create_dir_all(home).map_err(|error| StoreError::from_io(&error, home))?;
    let _lock = Lock::take(&home.join("paguro.lock"))?;
    let database = home.join("paguro.db");
    let copy = copy_of(file, &home.join("paguro.db.restored"), progress, "PRAGMA integrity_check(1)").map_err(|error| match error {
        StoreError::Corrupt { reason, .. } => StoreError::BadBackup { path: file.into(), reason: format!("it is damaged ({reason})") },
        error => error,
    })?;
    let kept = set_aside(&database, &beside(&database, kept_as))?;
    copy.become_file(&database)?;
    Ok(kept)
}

/// A checked copy that has no name of its own yet; dropped, it is removed.
struct Checked {
    path: PathBuf,
    done: bool,
}

impl Drop for Checked {
    fn drop(&mut self) {
        if !self.done {
            // What is left of a copy that failed is no backup, and the next one writes over it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Checked {
    /// Gives the copy its name, when all of it is on the disk; its bytes.
    fn become_file(mut self, file: &Path) -> Result<u64, StoreError> {
        let rename = || -> io::Result<u64> {
            let copy = File::open(&self.path)?;
            copy.sync_all()?;
            let bytes = copy.metadata()?.len();
            fs::rename(&self.path, file)?;
            sync_folder(file)?;
            Ok(bytes)
        };
        let bytes = rename().map_err(|error| StoreError::from_io(&error, file))?;
        self.done = true;
        Ok(bytes)
    }
}

fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn beside(file: &Path, word: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(word);
    name.into()
}

/// Copies the database `from` to `to`, as one file without a log, and checks the copy.
fn copy_of(from: &Path, to: &Path, progress: CopyProgress<'_>, check: &str) -> Result<Checked, StoreError> {
    let io = |error: io::Error| StoreError::from_io(&error, to);
    for left_over in [to.to_owned(), log_of(to), index_of(to)] {
        match fs::remove_file(&left_over) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(io)?;
    let copy = Checked { path: to.into(), done: false };
    let read = || -> Result<Connection, Failure> {
        let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        source.busy_timeout(limits::BUSY_TIMEOUT)?;
        schema::recognise(&source, from)?;
        if source.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? == 0 {
            return Err(StoreError::BadBackup { path: from.into(), reason: "it is empty".into() }.into());
        }
        // One moment is copied, however long it takes and whatever is written meanwhile.
        source.execute_batch("BEGIN")?;
        source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(source)
    };
    let source = read().map_err(|failure| failure.at(from))?;
    let mut write = || -> Result<(), Failure> {
        let mut target = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        copy_pages(&source, &mut target, progress)?;
        // One file and no log beside it.
        target.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
        // Said of the file that it was read from: the copy is as good as that one.
        database::expect_ok(&target, check, from)
    };
    write().map_err(|failure| failure.at(to))?;
    Ok(copy)
}

fn copy_pages(source: &Connection, target: &mut Connection, progress: CopyProgress<'_>) -> Result<(), Failure> {
    let copying = Backup::new(source, target)?;
    loop {
        let step = copying.step(limits::COPY_PAGES)?;
        let pages = copying.progress();
        let count = |pages: i32| u64::try_from(pages).unwrap_or_default();
        let (left, all) = (count(pages.remaining), count(pages.pagecount));
        if progress(all - left, all).is_break() {
            return Err(StoreError::Cancelled.into());
        }
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Somebody holds a lock for a moment; the bar shows that nothing moves.
            _ => std::thread::sleep(limits::COPY_PAUSE),
        }
    }
}

fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn index_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-shm");
    name.into()
}

/// Gives the present database a second name, with its log, so that another can take its place. Cut off in between, the present one is
/// still in its place.
fn set_aside(database: &Path, kept: &Path) -> Result<Option<PathBuf>, StoreError> {
    if !database.exists() {
        return Ok(None);
    }
    // A sound one takes its log in; a damaged one keeps it beside it.
    if let Ok(connection) = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX) {
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    let io = |error: io::Error| StoreError::from_io(&error, kept);
    for (from, to) in [(database.to_owned(), kept.to_owned()), (log_of(database), log_of(kept))] {
        if from.exists() {
            // Not every file system has second names.
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).map_err(io)?;
        }
    }
    sync_folder(kept).map_err(io)?;
    for beside in [log_of(database), index_of(database)] {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StoreError::from_io(&error, &beside)),
            _ => {}
        }
    }
    Ok(Some(kept.into()))
}

/// Whether `file` is a database of ours by its first bytes. Reads nothing else.
#[must_use]
pub fn looks_like_ours(file: &Path) -> bool {
    use std::io::Read as _;
    let mut head = [0; schema::HEAD_BYTES];
    File::open(file).and_then(|mut file| file.read_exact(&mut head)).is_ok() && schema::is_head_of_ours(&head)
}
