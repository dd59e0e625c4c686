//! Brings back the files that a turn has changed.
//!
//! What somebody else has changed since is left alone, unless it is forced; then it is kept like all that is overwritten. The shell's
//! changes are not known here.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use agent::ToolError;
use agent::memory::FileChange;
use cap_std::fs::{Dir, DirBuilder, Permissions, PermissionsExt as _};
use cap_tempfile::TempFile;

use crate::call::fail;
use crate::kept::{Kept, copy};
use crate::text::one_line;
use crate::workspace::{Workspace, open_regular};

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Below the workspace.
    pub path: String,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done with a file. Its `Display` is a line for the owner, together with the path in [`Restored`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it was before the turn. With a place, what somebody else had made of it is kept there.
    Restored(Option<PathBuf>),
    /// It did not exist before the turn, and is gone. With a place, as above.
    Removed(Option<PathBuf>),
    /// It is already as it was before the turn.
    Unchanged,
    /// It stays as it is.
    LeftAlone {
        /// Why.
        reason: String,
        /// Where its content from before the turn is kept, if there was one and it is.
        before: Option<PathBuf>,
    },
}

impl Restored {
    /// Whether the file is not as it was before the turn.
    #[must_use]
    pub fn is_left_alone(&self) -> bool {
        matches!(self.outcome, Outcome::LeftAlone { .. })
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = one_line(&self.path);
        match &self.outcome {
            Outcome::Restored(None) => write!(f, "restored {path}"),
            Outcome::Restored(Some(place)) => write!(f, "restored {path}; what was there is kept in {}", place.display()),
            Outcome::Removed(None) => write!(f, "removed {path}"),
            Outcome::Removed(Some(place)) => write!(f, "removed {path}; what was there is kept in {}", place.display()),
            Outcome::Unchanged => write!(f, "unchanged {path}"),
            Outcome::LeftAlone { reason, before: None } => write!(f, "left alone {path}: {reason}"),
            Outcome::LeftAlone { reason, before: Some(place) } => {
                write!(f, "left alone {path}: {reason}; what it was before is kept in {}", place.display())
            }
        }
    }
}

impl Kept {
    /// Brings back the files that `turn` and its tasks have changed in `workspace`, the last one changed first. `force` also
    /// overwrites what somebody else has changed since. May be cut off at any moment and done again.
    ///
    /// # Errors
    /// If the journal cannot be read. What goes wrong with one file is in its [`Outcome`].
    pub async fn restore(&self, workspace: &Workspace, turn: i64, force: bool) -> Result<Vec<Restored>, ToolError> {
        let changes = self.changes(turn).await?;
        let (kept, workspace) = (self.clone(), workspace.clone());
        let work = move || {
            let files = by_file(changes);
            let restored: Vec<Restored> = files.iter().rev().map(|file| restore_file(&kept, &workspace, file, force)).collect();
            // Only now are the folders empty that several files were put into.
            for (restored, file) in restored.iter().zip(files.iter().rev()) {
                if let (Outcome::Removed(_) | Outcome::Unchanged, Some(FileChange { before: None, path, made, .. })) =
                    (&restored.outcome, file.first())
                {
                    remove_folders(&workspace, Path::new(path), *made);
                }
            }
            restored
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| fail(format!("undo broke: {error}")))
    }
}

/// The changes of each file, in the order of the files' last changes.
fn by_file(changes: Vec<FileChange>) -> Vec<Vec<FileChange>> {
    let mut files: Vec<Vec<FileChange>> = Vec::new();
    for change in changes {
        let same = |file: &Vec<FileChange>| file.first().is_some_and(|first| (&first.root, &first.path) == (&change.root, &change.path));
        let mut file = files.iter().position(same).map(|index| files.remove(index)).unwrap_or_default();
        file.push(change);
        files.push(file);
    }
    files
}

fn restore_file(kept: &Kept, workspace: &Workspace, changes: &[FileChange], force: bool) -> Restored {
    let Some(first) = changes.first() else { return Restored { path: String::new(), outcome: Outcome::Unchanged } };
    let outcome = put_back(kept, workspace, first, changes, force).unwrap_or_else(|Left(reason)| {
        let before = first.before.as_ref().map(|hash| kept.place(hash)).filter(|place| place.is_file());
        Outcome::LeftAlone { reason, before }
    });
    Restored { path: first.path.clone(), outcome }
}

/// Why a file is left alone.
struct Left(String);

impl From<ToolError> for Left {
    fn from(error: ToolError) -> Self {
        Self(error.text)
    }
}

impl From<io::Error> for Left {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

fn left<T>(reason: &str) -> Result<T, Left> {
    Err(Left(reason.to_owned()))
}

fn put_back(kept: &Kept, workspace: &Workspace, first: &FileChange, changes: &[FileChange], force: bool) -> Result<Outcome, Left> {
    if Path::new(&first.root) != workspace.root() {
        return left(&format!("it is in another workspace, {}", first.root));
    }
    let target = workspace.locate(&format!("./{}", first.path))?;
    let (dir, path) = (target.workspace(), Path::new(&first.path));
    for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
        if dir.symlink_metadata(folder).is_ok_and(|found| !found.is_dir()) {
            return left("its folder is no folder any more");
        }
    }
    let current = current(dir, path)?;
    if current == first.before {
        return Ok(Outcome::Unchanged);
    }
    // A content that the turn found or made is nobody else's, and what it found is kept.
    let is_own = |hash: &String| changes.iter().any(|change| [&change.before, &change.after].contains(&&Some(hash.clone())));
    let is_foreign = current.as_ref().is_some_and(|hash| !is_own(hash));
    if is_foreign && !force {
        return left("changed since");
    }
    let mut foreign_place = None;
    if let Some(hash) = &current {
        let (mut file, metadata) = open_regular(dir, path)?;
        if kept.keep(&mut file, &first.path)? != *hash {
            return left("changed since"); // just now
        }
        if is_foreign {
            let call = format!("undo-{}", first.turn);
            let mode = Some(metadata.permissions().mode() & 0o777);
            kept.record(FileChange { call, before: Some(hash.clone()), mode, after: first.before.clone(), made: 0, ..first.clone() })?;
            foreign_place = Some(kept.place(hash));
        }
    }
    match &first.before {
        Some(hash) => {
            write(kept, dir, path, hash, first.mode)?;
            Ok(Outcome::Restored(foreign_place))
        }
        None => {
            dir.remove_file(path)?;
            Ok(Outcome::Removed(foreign_place))
        }
    }
}

/// Folders that were made for a file go with it, unless there is something else in them by now.
fn remove_folders(workspace: &Workspace, path: &Path, made: u32) {
    let Ok(target) = workspace.locate(".") else { return };
    let folders = path.ancestors().skip(1).take(made as usize).filter(|folder| !folder.as_os_str().is_empty());
    let _ = folders.map(|folder| target.workspace().remove_dir(folder)).take_while(Result::is_ok).count();
}

/// The hash of the file at `path`; None if there is none.
fn current(dir: &Dir, path: &Path) -> Result<Option<String>, Left> {
    match dir.symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(metadata) if !metadata.is_file() => return left("it is no file any more"),
        Ok(_) => {}
    }
    let (mut file, _) = open_regular(dir, path)?;
    Ok(copy(&mut file, &mut io::sink(), u64::MAX)?.map(|(hash, _)| hash))
}

/// Puts the kept content at `path` in one step, with the folders on the way.
fn write(kept: &Kept, dir: &Dir, path: &Path, hash: &str, mode: Option<u32>) -> Result<(), Left> {
    let parent = match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => {
            dir.create_dir_with(parent, DirBuilder::new().recursive(true))?;
            dir.open_dir(parent)?
        }
        None => dir.try_clone()?,
    };
    let Some(name) = path.file_name() else { return left("it has no name") };
    let mut file = TempFile::new(&parent)?;
    if !kept.copy_to(hash, file.as_file_mut())? {
        return left("what it was before is no longer kept");
    }
    if let Some(mode) = mode {
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    file.as_file().sync_all()?;
    Ok(file.replace(name)?)
}

#[cfg(test)]
mod tests;
