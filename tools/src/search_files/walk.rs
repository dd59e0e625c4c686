//! The files beneath a folder, in the order of their names, without those that are hidden or ignored.
//!
//! Not `ignore::WalkBuilder`, which opens by path: here every folder is opened beneath the one above it, so that a
//! link put in its place leads nowhere, and no FIFO called `.gitignore` is waited for. The rules are `ignore`'s.

use std::ffi::OsString;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

use cap_std::fs::{Dir, File};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ignore::{Match, overrides::Override};

use crate::call::Deadline;
use crate::workspace::open_regular;

/// Folders within folders that are gone into; deeper ones are left out and counted as unread. Bounds the open handles.
const MAX_DEPTH: usize = 64;
/// Bytes of a `.gitignore` that are read; rules after them do not count.
const MAX_RULES_BYTES: u64 = 1024 * 1024;

/// A walk from one folder.
pub(crate) struct Walk<'a> {
    glob: &'a Override,
    deadline: &'a Deadline,
    /// The rules of the folders above, outermost first.
    rules: Vec<Gitignore>,
    /// Files and folders that could not be opened, or lay too deep.
    pub(crate) unread: u64,
}

impl<'a> Walk<'a> {
    /// A walk that visits the files which `glob` does not leave out, until the deadline.
    pub(crate) fn new(glob: &'a Override, deadline: &'a Deadline) -> Self {
        Self { glob, deadline, rules: Vec::new(), unread: 0 }
    }

    /// Takes on the rules of the folders above `start`, from the workspace down.
    pub(crate) fn rules_above(&mut self, workspace: &Dir, start: &Path) {
        let mut above: Vec<_> = start.ancestors().skip(1).collect();
        above.reverse();
        for folder in above {
            self.rules.push(rules_of(workspace, &folder.join(".gitignore"), folder));
        }
    }

    /// Visits the files beneath `dir`, which is `at` of the workspace. Breaks when the visitor does or the time is over.
    pub(crate) fn run(&mut self, dir: &Dir, at: &Path, visit: &mut dyn FnMut(File, &Path) -> ControlFlow<()>) -> ControlFlow<()> {
        self.rules.push(rules_of(dir, Path::new(".gitignore"), at));
        let flow = self.folder(dir, at, visit);
        self.rules.pop();
        flow
    }

    fn folder(&mut self, dir: &Dir, at: &Path, visit: &mut dyn FnMut(File, &Path) -> ControlFlow<()>) -> ControlFlow<()> {
        for (name, is_dir) in self.names(dir, at) {
            if self.deadline.passed() {
                return ControlFlow::Break(());
            }
            let path = at.join(&name);
            if is_dir {
                match (self.rules.len() <= MAX_DEPTH).then(|| dir.open_dir(&name)) {
                    Some(Ok(inner)) => self.run(&inner, &path, visit)?,
                    _ => self.unread += 1,
                }
            } else {
                match open_regular(dir, Path::new(&name)) {
                    Ok((file, _)) => visit(file, &path)?,
                    Err(_) => self.unread += 1,
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// What is to be gone into or visited, sorted.
    fn names(&mut self, dir: &Dir, at: &Path) -> Vec<(OsString, bool)> {
        let Ok(entries) = dir.entries() else {
            self.unread += 1;
            return Vec::new();
        };
        let mut names = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue };
            // Links, FIFOs, sockets, devices: not gone into.
            if !(kind.is_dir() || kind.is_file()) || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = at.join(&name);
            if !self.ignored(&path, kind.is_dir()) && !self.glob.matched(&path, kind.is_dir()).is_ignore() {
                names.push((name, kind.is_dir()));
            }
            if self.deadline.passed() {
                break;
            }
        }
        names.sort();
        names
    }

    /// The innermost rule that says something decides, as in git.
    fn ignored(&self, path: &Path, is_dir: bool) -> bool {
        let mut rules = self.rules.iter().rev().map(|rules| rules.matched(path, is_dir));
        matches!(rules.find(|found| !found.is_none()), Some(Match::Ignore(_)))
    }
}

/// The rules in a `.gitignore`; none if there is no such regular file. A line that is no rule is passed over, as git does.
fn rules_of(dir: &Dir, file: &Path, at: &Path) -> Gitignore {
    let mut text = Vec::new();
    let read = open_regular(dir, file).and_then(|(file, _)| file.take(MAX_RULES_BYTES).read_to_end(&mut text));
    if read.is_err() {
        return Gitignore::empty();
    }
    let mut builder = GitignoreBuilder::new(at);
    for line in String::from_utf8_lossy(&text).lines() {
        let _ = builder.add_line(None, line);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}
