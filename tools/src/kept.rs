//! Keeps what the file tools are about to overwrite, so that it can be brought back: `restore.rs` does that.
//!
//! A content is a file named by its SHA-256, written whole before the tool writes; the journal says which change it belongs to. What
//! the shell overwrites is not seen here.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use agent::memory::{FileChange, Store, StoreError};
use agent::{ToolContext, ToolError};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::call::fail;
use crate::text::thousands;
use crate::workspace::{Standing, Target, Workspace};

/// Bytes that are kept unless the owner says otherwise. Beyond it the oldest contents are dropped.
pub const DEFAULT_KEPT_BYTES: u64 = 1 << 30;
/// What the last turns that changed files have changed is never dropped, whatever its size.
pub const KEPT_TURNS: usize = 20;
/// A file that no change speaks of (a crash came before the change was recorded) is dropped only after this time.
const STRAY_AGE: Duration = Duration::from_hours(1);
/// Only the owner may read what is kept.
const FOLDER_MODE: u32 = 0o700;
/// Bytes copied at a time.
const BLOCK: usize = 64 * 1024;
/// The total is not known yet.
const UNKNOWN: u64 = u64::MAX;

/// The store of what was overwritten. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Kept {
    folder: PathBuf,
    budget: u64,
    store: Store,
    /// Bytes in the folder, [`UNKNOWN`] until they have been counted.
    total: Arc<AtomicU64>,
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Contents.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Most bytes, but for what the last [`KEPT_TURNS`] turns changed.
    pub budget: u64,
}

impl Kept {
    /// The store in `folder`, which is made when it is first needed; `store` has the changes. At most `budget` bytes are kept: the
    /// oldest contents are dropped, never those of the last [`KEPT_TURNS`] turns that changed files. A single file that is larger is
    /// not overwritten at all.
    #[must_use]
    pub fn new(folder: PathBuf, budget: u64, store: Store) -> Self {
        Self { folder, budget, store, total: Arc::new(AtomicU64::new(UNKNOWN)) }
    }

    /// Counts what is kept.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn usage(&self) -> io::Result<Usage> {
        let files = self.contents()?;
        Ok(Usage { files: files.len() as u64, bytes: files.iter().map(|(_, content)| content.bytes).sum(), budget: self.budget })
    }

    /// Drops what no change speaks of any more, as after a session was removed.
    ///
    /// # Errors
    /// If the journal or the folder cannot be read.
    pub async fn sweep(&self) -> Result<(), ToolError> {
        let known = self.store.kept_hashes(KEPT_TURNS).await.map_err(failed)?;
        let known: HashMap<&str, ()> = known.iter().map(|kept| (kept.hash.as_str(), ())).collect();
        for (hash, content) in self.contents().map_err(|error| self.describe(&error))? {
            if !known.contains_key(hash.as_str()) {
                self.drop_content(&content);
            }
        }
        Ok(())
    }

    /// Puts `content` at `target`, after what is there is kept and the change is in the journal. Blocks; needs a tokio runtime.
    pub(crate) fn replace(
        &self,
        target: &Target,
        workspace: &Workspace,
        context: &ToolContext,
        content: &[u8],
        folder_mode: u32,
    ) -> Result<(), ToolError> {
        target.replace_after(content, folder_mode, |Standing { path, file, made }| {
            let Some(path) = path.to_str() else { return Err(fail(format!("its name is not UTF-8: {}", target.shown))) };
            let after = hex(&Sha256::digest(content));
            let (before, mode) = match file {
                Some((mut file, mode)) => (Some(self.keep(&mut file, &target.shown)?), Some(mode)),
                None => (None, None),
            };
            if before.as_ref() == Some(&after) {
                return Ok(()); // nothing changes: the call was cut off after it had written, or writes what is there
            }
            let (turn, call) = (context.turn, context.key.clone());
            let root = workspace.root().display().to_string();
            let change = FileChange { turn, call, root, path: path.to_owned(), before, mode, after: Some(after), made };
            // Nothing is written yet, and the store's sentence does not say which file it is about.
            let refused =
                |error: ToolError| fail(format!("{} is not written, because undo could not be prepared: {}", target.shown, error.text));
            self.record(change).map_err(refused)
        })
    }

    /// Writes a change into the journal.
    pub(crate) fn record(&self, change: FileChange) -> Result<(), ToolError> {
        tokio::runtime::Handle::current().block_on(self.store.record_change(change)).map_err(failed)
    }

    /// The changes of a turn and of its tasks, in order.
    pub(crate) async fn changes(&self, turn: i64) -> Result<Vec<FileChange>, ToolError> {
        self.store.file_changes(turn).await.map_err(failed)
    }

    /// Keeps a whole content and returns its hash; it is on the disk when this returns. `shown` names it in errors.
    pub(crate) fn keep(&self, content: &mut impl Read, shown: &str) -> Result<String, ToolError> {
        let mut keep = || -> io::Result<Option<String>> {
            make_folder(&self.folder)?;
            let mut file = NamedTempFile::new_in(&self.folder)?;
            let Some((hash, bytes)) = copy(content, file.as_file_mut(), self.budget)? else { return Ok(None) };
            let place = self.place(&hash);
            if !place.is_file() {
                let parent = place.parent().unwrap_or(&self.folder);
                make_folder(parent)?;
                file.as_file().sync_all()?;
                file.persist(&place)?;
                // The names too must be there after a loss of power.
                File::open(parent)?.sync_all()?;
                File::open(&self.folder)?.sync_all()?;
                let total = self.total.load(Ordering::Relaxed);
                if total != UNKNOWN {
                    self.total.store(total.saturating_add(bytes), Ordering::Relaxed);
                }
            }
            Ok(Some(hash))
        };
        match keep() {
            Ok(Some(hash)) => {
                self.prune();
                Ok(hash)
            }
            Ok(None) => {
                let most = thousands(self.budget);
                Err(fail(format!("{shown} has more than the {most} bytes that can be kept for undo, so it is not overwritten")))
            }
            Err(error) => Err(fail(format!("{shown} could not be kept for undo, so it is not overwritten: {error}"))),
        }
    }

    /// Where the content with `hash` is, whether it is there or not.
    pub(crate) fn place(&self, hash: &str) -> PathBuf {
        let (folder, name) = hash.split_at_checked(2).unwrap_or(("", hash));
        self.folder.join(folder).join(name)
    }

    /// Copies the content with `hash` to `to`; `false`: it is kept no longer, or is damaged.
    pub(crate) fn copy_to(&self, hash: &str, to: &mut impl Write) -> io::Result<bool> {
        let mut file = match File::open(self.place(hash)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(copy(&mut file, to, u64::MAX)?.is_some_and(|(found, _)| found == hash))
    }

    /// Drops the oldest contents while there are too many bytes. What goes wrong is tried again at the next content.
    fn prune(&self) {
        let mut total = self.total.load(Ordering::Relaxed);
        if total == UNKNOWN {
            let Ok(usage) = self.usage() else { return };
            total = usage.bytes;
        }
        if total > self.budget
            && let Ok(mut contents) = self.contents().map(HashMap::from_iter)
            && let Ok(known) = tokio::runtime::Handle::current().block_on(self.store.kept_hashes(KEPT_TURNS))
        {
            total = self.drop_oldest(&mut contents, known.iter().map(|kept| (kept.hash.as_str(), kept.recent)));
        }
        self.total.store(total, Ordering::Relaxed);
    }

    /// Drops strays, then the contents of `known`, oldest first and none that is recent, until the budget holds. The bytes that stay.
    fn drop_oldest<'a>(&self, contents: &mut HashMap<String, Content>, known: impl Iterator<Item = (&'a str, bool)>) -> u64 {
        let mut total: u64 = contents.values().map(|content| content.bytes).sum();
        let known: Vec<(Content, bool)> = known.filter_map(|(hash, recent)| Some((contents.remove(hash)?, recent))).collect();
        let old = |content: &Content| content.changed.elapsed().is_ok_and(|age| age >= STRAY_AGE);
        let strays = std::mem::take(contents).into_values().filter(old);
        let dropped = strays.chain(known.into_iter().filter(|(_, recent)| !recent).map(|(content, _)| content));
        for content in dropped {
            if total <= self.budget {
                break;
            }
            if self.drop_content(&content) {
                total = total.saturating_sub(content.bytes);
            }
        }
        total
    }

    fn drop_content(&self, content: &Content) -> bool {
        let dropped = fs::remove_file(&content.place).is_ok();
        self.total.store(UNKNOWN, Ordering::Relaxed);
        dropped
    }

    /// The contents by hash. Temporary files that a crash has left are among them, under names that no change speaks of.
    fn contents(&self) -> io::Result<Vec<(String, Content)>> {
        let mut out = Vec::new();
        for (folder, is_folder) in entries(&self.folder)? {
            let prefix = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !is_folder {
                out.extend(Content::of(folder).map(|content| (prefix, content)));
                continue;
            }
            for (place, _) in entries(&folder)? {
                let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
                out.extend(Content::of(place).map(|content| (format!("{prefix}{name}"), content)));
            }
        }
        Ok(out)
    }

    fn describe(&self, error: &io::Error) -> ToolError {
        fail(format!("what is kept for undo in {} cannot be read: {error}", self.folder.display()))
    }
}

/// A file of the store.
struct Content {
    place: PathBuf,
    bytes: u64,
    changed: SystemTime,
}

impl Content {
    /// None if it has gone meanwhile.
    fn of(place: PathBuf) -> Option<Self> {
        let metadata = fs::symlink_metadata(&place).ok()?;
        Some(Self { place, bytes: metadata.len(), changed: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH) })
    }
}

/// What is in a folder, and whether it is a folder itself. A folder that is not there has nothing in it.
fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries.map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?.is_dir())))).collect()
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

/// Copies all of `from` and returns its hash and its bytes; None if they are more than `most`.
pub(crate) fn copy(from: &mut impl Read, to: &mut impl Write, most: u64) -> io::Result<Option<(String, u64)>> {
    let (mut hash, mut bytes, mut block) = (Sha256::new(), 0, vec![0; BLOCK]);
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => return Ok(Some((hex(&hash.finalize()), bytes))),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        bytes += read as u64;
        if bytes > most {
            return Ok(None);
        }
        hash.update(&block[..read]);
        to.write_all(&block[..read])?;
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

pub(crate) fn failed(error: StoreError) -> ToolError {
    fail(error.to_string())
}

#[cfg(test)]
mod tests;
