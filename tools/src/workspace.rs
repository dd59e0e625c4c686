//! The workspace: the one folder that file tools may touch.
//!
//! The wall is `cap-std`: every path is opened beneath a handle of the workspace (`openat2` with `RESOLVE_BENEATH` on
//! Linux, step by step elsewhere), so there is no moment between a check and a use in which a link could be swapped.
//! The check of the path's text that comes first is only for a clearer message.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use agent::ToolError;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use cap_tempfile::TempFile;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::call::fail;

/// The folder under the workspace that is the program's own: saved outputs.
pub(crate) const OWN_FOLDER: &str = ".paguro";

/// Links that are followed on one path: Linux's own limit.
const MAX_LINKS: usize = 40;

/// Why there is no workspace.
#[derive(Debug, thiserror::Error)]
#[error("the workspace {} cannot be used: {source}", path.display())]
pub struct WorkspaceError {
    path: PathBuf,
    source: io::Error,
}

/// An existing folder beneath which every path of a tool must lie. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// Without links; the one that is opened.
    root: PathBuf,
    /// As it was configured, made absolute: the model may have been told this spelling.
    named: PathBuf,
}

impl Workspace {
    /// Opens the workspace at `path`, which is created with mode 0700 if it is missing, as are the folders above it.
    ///
    /// # Errors
    /// If it cannot be created, or is not a folder.
    pub fn open(path: &Path) -> Result<Self, WorkspaceError> {
        let open = || {
            let named = std::path::absolute(path)?;
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&named)?;
            let root = named.canonicalize()?;
            Ok(Self { root, named })
        };
        open().map_err(|source| WorkspaceError { path: path.to_owned(), source })
    }

    /// Where it is, without links.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether writing in the workspace could change what `path` is: it lies in the workspace or is the workspace itself, or
    /// the way to it leads through the workspace, by any link. `path` may be missing; so may folders above it. One that cannot
    /// be followed counts as inside. For the program's own files, which must stay out of the model's reach.
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        // By number rather than by name, which a second mount or a file system without case would deceive.
        let identity = |place: &Path| std::fs::metadata(place).map(|found| (found.dev(), found.ino()));
        let (Ok(path), Ok(root)) = (std::path::absolute(path), identity(&self.root)) else { return true };
        let mut place = PathBuf::new();
        let mut links = 0;
        let mut ahead: Vec<OsString> = backwards(&path);
        while let Some(name) = ahead.pop() {
            // `place` has no link in it, so what is above it is what is before it.
            if name == ".." {
                place.pop();
                continue;
            }
            place.push(name);
            if identity(&place).is_ok_and(|found| found == root) {
                return true;
            }
            if let Ok(target) = place.read_link() {
                links += 1;
                if links > MAX_LINKS {
                    return true;
                }
                place.pop();
                ahead.extend(backwards(&target));
            }
        }
        false
    }

    /// Where `path` leads when its links are followed, relative to the workspace, if that is another place than it names; as it
    /// stands if it leads out. For the policy: the wall is in the file tools themselves, at the time of use.
    #[must_use]
    pub fn leads_to(&self, path: &str) -> Option<String> {
        let relative = self.relative(path)?;
        // What is not there yet is made in the nearest folder that is.
        let there = relative.ancestors().find(|place| self.root.join(place).symlink_metadata().is_ok())?;
        let behind = relative.strip_prefix(there).ok()?;
        let found = self.root.join(there).canonicalize().unwrap_or_else(|_| PathBuf::from("/"));
        let place: PathBuf = found.join(behind).components().collect(); // an empty rest would leave a slash
        let inside = place.strip_prefix(&self.root).unwrap_or(&place);
        (inside != relative).then(|| inside.to_string_lossy().into_owned())
    }

    /// Finds what a model's `path` names: relative to the workspace, or absolute and inside it. `..` is taken from the
    /// text of the path, before any link is followed. Nothing is opened yet but the workspace itself.
    pub(crate) fn locate(&self, path: &str) -> Result<Target, ToolError> {
        if path.is_empty() {
            return Err(fail("the path is empty; `.` is the workspace itself"));
        }
        if path.contains('\0') {
            return Err(fail("the path contains a NUL byte"));
        }
        let relative = self.relative(path).ok_or_else(|| outside(path))?;
        let dir = Dir::open_ambient_dir(&self.root, ambient_authority())
            .map_err(|error| fail(format!("the workspace cannot be opened: {error}")))?;
        Ok(Target { dir, relative, shown: path.to_owned() })
    }

    fn relative(&self, path: &str) -> Option<PathBuf> {
        // Read as a file's name, `~/notes` would make a folder called `~`, and the answer would look as if it had gone to
        // the home folder.
        if path == "~" || path.starts_with("~/") {
            return None;
        }
        let path = Path::new(path);
        let inner = match path.is_absolute() {
            true => path.strip_prefix(&self.named).or_else(|_| path.strip_prefix(&self.root)).ok()?,
            false => path,
        };
        let mut relative = PathBuf::new();
        for component in inner.components() {
            match component {
                Component::CurDir => {}
                Component::Normal(name) => relative.push(name),
                Component::ParentDir if relative.pop() => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        Some(relative)
    }
}

/// The parts of a path, the last one first. A root among them replaces what it is pushed onto.
fn backwards(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
}

fn outside(shown: &str) -> ToolError {
    fail(format!("outside the workspace: {shown}"))
}

/// What stands where a file is about to be put.
pub(crate) struct Standing {
    /// Below the workspace, without links.
    pub(crate) path: PathBuf,
    /// The file that is there, with its permission bits.
    pub(crate) file: Option<(File, u32)>,
    /// Folders that were missing on the way, the nearest ones.
    pub(crate) made: u32,
}

/// One place in the workspace, not opened yet.
pub(crate) struct Target {
    dir: Dir,
    /// Below the workspace, without `.` and `..`; empty for the workspace itself.
    pub(crate) relative: PathBuf,
    /// As the model wrote it.
    pub(crate) shown: String,
}

impl Target {
    /// The workspace.
    pub(crate) fn workspace(&self) -> &Dir {
        &self.dir
    }

    /// Opens a file for reading.
    pub(crate) fn open_file(&self) -> Result<(File, Metadata), ToolError> {
        open_regular(&self.dir, self.path()).map_err(|error| self.describe(&error))
    }

    /// Opens a folder.
    pub(crate) fn open_dir(&self) -> Result<Dir, ToolError> {
        self.dir.open_dir(self.path()).map_err(|error| self.describe(&error))
    }

    /// What the place is, following links; None if there is nothing.
    pub(crate) fn metadata(&self) -> Result<Option<Metadata>, ToolError> {
        match self.dir.metadata(self.path()) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.describe(&error)),
        }
    }

    /// Puts a file with `content` here in one step: a reader sees the old or the new file, and so does a restart after
    /// a crash. An existing file keeps its mode; a link to a file inside the workspace stays a link. Missing folders
    /// are made with `folder_mode`, less the process's mask.
    pub(crate) fn replace(&self, content: &[u8], folder_mode: u32) -> Result<(), ToolError> {
        self.replace_after(content, folder_mode, |_| Ok(()))
    }

    /// [`Target::replace`], once `keep` has done with what is there now; if it fails nothing is replaced.
    pub(crate) fn replace_after(
        &self,
        content: &[u8],
        folder_mode: u32,
        keep: impl FnOnce(Standing) -> Result<(), ToolError>,
    ) -> Result<(), ToolError> {
        let path = self.behind_link()?;
        let made = self.missing_folders(&path);
        let (parent, name) = self.parent_and_name(&path, folder_mode)?;
        let mode = self.existing_mode(&parent, &name)?;
        let file = match mode {
            Some(mode) => Some((open_regular(&parent, &name).map_err(|error| self.describe(&error))?.0, mode)),
            None => None,
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.map(|folder| self.dir.canonicalize(folder)).transpose().map_err(|error| self.describe(&error))?;
        keep(Standing { path: folder.unwrap_or_default().join(&name), file, made })?;
        let write = || {
            let mut file = TempFile::new(&parent)?;
            file.write_all(content)?;
            if let Some(mode) = mode {
                file.as_file().set_permissions(Permissions::from_mode(mode))?;
            }
            file.as_file().sync_all()?;
            // A rename never follows a link in its last step, so a link put here since the check above is replaced, not followed.
            file.replace(&name)
        };
        write().map_err(|error| self.describe(&error))
    }

    /// The opened folder in which the file lies or will lie, and its name there.
    fn parent_and_name(&self, relative: &Path, folder_mode: u32) -> Result<(Dir, PathBuf), ToolError> {
        if self.shown.ends_with('/') {
            return Err(fail(format!("is a directory: {}", self.shown)));
        }
        let (Some(parent), Some(name)) = (relative.parent(), relative.file_name()) else {
            return Err(fail(format!("is a directory: {}", self.shown)));
        };
        if parent.as_os_str().is_empty() {
            let dir = self.dir.try_clone().map_err(|error| self.describe(&error))?;
            return Ok((dir, name.into()));
        }
        let mut builder = cap_std::fs::DirBuilder::new();
        cap_std::fs::DirBuilderExt::mode(builder.recursive(true), folder_mode);
        let made = self.dir.create_dir_with(parent, &builder);
        match (self.dir.open_dir(parent), made) {
            (Ok(dir), _) => Ok((dir, name.into())),
            // What keeps the folder from being opened (a link that leads out) says more than what kept it from being made (it exists).
            (Err(error), Ok(())) => Err(self.describe(&error)),
            (Err(opening), Err(making)) => Err(self.describe(if opening.kind() == io::ErrorKind::NotFound { &making } else { &opening })),
        }
    }

    /// The path to write to: for a link, the file that it leads to.
    fn behind_link(&self) -> Result<PathBuf, ToolError> {
        let is_link = self.dir.symlink_metadata(self.path()).is_ok_and(|metadata| metadata.is_symlink());
        if !is_link {
            return Ok(self.relative.clone());
        }
        match self.dir.canonicalize(&self.relative) {
            Ok(path) => Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(fail(format!("is a link that leads to nothing: {}", self.shown))),
            Err(error) => Err(self.describe(&error)),
        }
    }

    /// How many of the folders of `path`, the nearest ones, are not there.
    fn missing_folders(&self, path: &Path) -> u32 {
        let folders = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        let missing = folders.take_while(|folder| self.dir.symlink_metadata(folder).is_err());
        u32::try_from(missing.count()).unwrap_or(u32::MAX)
    }

    fn existing_mode(&self, parent: &Dir, name: &Path) -> Result<Option<u32>, ToolError> {
        let metadata = match parent.symlink_metadata(name) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.describe(&error)),
        };
        if metadata.is_dir() {
            return Err(fail(format!("is a directory: {}", self.shown)));
        }
        if !metadata.is_file() {
            return Err(fail(format!("not a regular file: {}", self.shown)));
        }
        // A rename asks only for the folder's permission; whoever made the file read-only meant the file.
        if metadata.permissions().readonly() {
            return Err(fail(format!("read-only: {}", self.shown)));
        }
        Ok(Some(metadata.permissions().mode() & 0o777))
    }

    fn path(&self) -> &Path {
        if self.relative.as_os_str().is_empty() { Path::new(".") } else { &self.relative }
    }

    /// An error of the file system in the model's words.
    pub(crate) fn describe(&self, error: &io::Error) -> ToolError {
        let shown = &self.shown;
        if led_outside(error) {
            return outside(shown);
        }
        if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) {
            return fail(format!("not a regular file: {shown}")); // a socket, or a device without a driver
        }
        match error.kind() {
            io::ErrorKind::NotFound => fail(format!("no such file: {shown}")),
            io::ErrorKind::NotADirectory => fail(format!("not a directory: {shown}")),
            io::ErrorKind::IsADirectory => fail(format!("is a directory: {shown}")),
            io::ErrorKind::PermissionDenied => fail(format!("permission denied: {shown}")),
            io::ErrorKind::StorageFull => fail(format!("no space left on the disk for {shown}")),
            io::ErrorKind::InvalidInput => fail(format!("not a regular file: {shown}")),
            _ => fail(format!("{shown}: {error}")),
        }
    }
}

/// `cap-std` makes this error itself, so it has no number of the system's.
fn led_outside(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

/// Opens a regular file beneath `dir` for reading.
///
/// Never waits: a FIFO is opened without blocking, and then refused like all that is not a regular file.
pub(crate) fn open_regular(dir: &Dir, path: &Path) -> io::Result<(File, Metadata)> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = dir.open_with(path, OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()))?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok((file, metadata))
}

#[cfg(test)]
mod tests;
