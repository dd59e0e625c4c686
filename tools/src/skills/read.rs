//! Reads a skill's folder: all its files, in memory, within bounds, so that what is hashed is what is used.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use sha2::{Digest as _, Sha256};

use super::front::{self, is_name};
use super::{AGENTS, MAX_SKILLS, Place, Skills};
use crate::kept::hex;
use crate::text::{one_line, thousands};
use crate::workspace::open_regular;

/// The file that makes a folder a skill.
const SKILL_FILE: &str = "SKILL.md";
/// Folders of the workspace that hold skills; the first that has a name is the one that counts.
const WORKSPACE_FOLDERS: [&str; 2] = ["skills", ".agents/skills"];
/// Skills in the executable.
const BUILT_IN: [(&str, &str); 1] = [("writing-skills", include_str!("built_in/writing-skills.md"))];
/// Files of one skill; one with more is refused.
const MAX_FILES: usize = 100;
/// Bytes of all files of one skill, and of an `AGENTS.md`; one with more is refused.
const MAX_BYTES: u64 = 1 << 20;
/// Folders within folders of a skill; one that is deeper is refused.
const MAX_DEPTH: usize = 5;
/// Entries of a folder of skills that are looked at.
const MAX_ENTRIES: usize = 1_000;

/// A skill as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill {
    /// Its name: its folder's.
    pub name: String,
    /// What it does and when to use it, on one line.
    pub description: String,
    /// Where it comes from.
    pub place: Place,
    /// Its folder: below the workspace, or absolute; empty for one in the executable.
    pub folder: PathBuf,
    /// SHA-256 over all its files, in hexadecimal.
    pub hash: String,
    /// Its files, by path.
    pub files: Vec<SkillFile>,
}

/// One file of a skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkillFile {
    /// Below the skill's folder.
    pub path: String,
    /// All of it.
    pub content: Vec<u8>,
}

impl Skill {
    fn is_main(&self, file: &SkillFile) -> bool {
        file.path == if self.name == AGENTS { AGENTS } else { SKILL_FILE }
    }

    /// The instructions: `SKILL.md` without its head.
    pub(super) fn body(&self) -> &str {
        let main = self.files.iter().find(|file| self.is_main(file));
        let text = main.and_then(|file| std::str::from_utf8(&file.content).ok()).unwrap_or_default();
        front::read(text).map_or(text, |(_, body)| body)
    }

    /// The file at `path`.
    pub(super) fn file(&self, path: &str) -> Option<&SkillFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The files besides `SKILL.md`, with their sizes.
    pub(super) fn others(&self) -> impl Iterator<Item = String> {
        let others = self.files.iter().filter(|file| !self.is_main(file));
        others.map(|file| format!("{} ({} bytes)", one_line(&file.path), thousands(file.content.len() as u64)))
    }

    /// All of it as one text, for its owner. What is no text is named with its hash.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for SkillFile { path, content } in &self.files {
            out.push_str(&format!("==> {} <==\n", one_line(path)));
            match std::str::from_utf8(content) {
                Ok(text) if !text.contains('\0') => out.push_str(text),
                _ => {
                    out.push_str(&format!("(binary, {} bytes, sha256 {})", thousands(content.len() as u64), hex(&Sha256::digest(content))))
                }
            }
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
        out
    }

    fn new(name: &str, place: Place, folder: PathBuf, mut files: Vec<SkillFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut hash = Sha256::new();
        for SkillFile { path, content } in &files {
            // Lengths, so that no two skills have the same bytes.
            hash.update((path.len() as u64).to_le_bytes());
            hash.update(path);
            hash.update((content.len() as u64).to_le_bytes());
            hash.update(content);
        }
        Self { name: name.to_owned(), description: String::new(), place, folder, hash: hex(&hash.finalize()), files }
    }

    /// With what its head says, which must fit its name.
    fn described(self) -> Result<Self, String> {
        let file = self.file(SKILL_FILE).ok_or("it has no SKILL.md")?;
        let text = std::str::from_utf8(&file.content).map_err(|_| "SKILL.md is not UTF-8")?;
        let (front, _) = front::read(text)?;
        if front.name != self.name {
            return Err(format!("its folder is called {} and its `name` is {}", self.name, front.name));
        }
        Ok(Self { description: front.description, ..self })
    }
}

impl Skills {
    /// The names that `place` has, whether they can be used or not.
    pub(super) fn folders(&self, place: Place) -> Vec<String> {
        if place == Place::BuiltIn {
            return BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
        }
        let mut out = Vec::new();
        for (_, dir) in self.open(place) {
            let Ok(entries) = dir.entries() else { continue };
            let names = entries.flatten().take(MAX_ENTRIES).filter_map(|entry| entry.file_name().into_string().ok());
            // A name that can be no skill's is not even said.
            out.extend(names.filter(|name| is_name(name) && dir.metadata(Path::new(name).join(SKILL_FILE)).is_ok()).take(MAX_SKILLS));
        }
        out
    }

    /// The skill `name` of `place`; the error says why it cannot be used.
    pub(super) fn read(&self, name: &str, place: Place) -> Result<Skill, String> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| place == Place::BuiltIn && *known == name) {
            let file = SkillFile { path: SKILL_FILE.to_owned(), content: text.as_bytes().to_vec() };
            return Skill::new(name, place, PathBuf::new(), vec![file]).described();
        }
        let has = |(_, dir): &(PathBuf, Dir)| dir.metadata(Path::new(name).join(SKILL_FILE)).is_ok();
        let (folder, dir) = self.open(place).into_iter().find(has).ok_or("it has gone")?;
        let dir = dir.open_dir(name).map_err(|error| format!("its folder cannot be opened: {error}"))?;
        let mut reader = Reader { files: Vec::new(), bytes: 0 };
        reader.read(&dir, "", 0)?;
        Skill::new(name, place, folder.join(name), reader.files).described()
    }

    /// The workspace's `AGENTS.md`, if there is one.
    pub(super) fn read_agents(&self) -> Option<Result<Skill, String>> {
        let dir = Dir::open_ambient_dir(self.workspace.root(), ambient_authority()).ok()?;
        dir.symlink_metadata(AGENTS).ok()?;
        let mut reader = Reader { files: Vec::new(), bytes: 0 };
        let read = reader.read_file(&dir, AGENTS, AGENTS.to_owned()).map_err(|reason| format!("AGENTS.md cannot be used: {reason}"));
        Some(read.map(|()| Skill::new(AGENTS, Place::Workspace, PathBuf::new(), reader.files)))
    }

    /// The folders of `place` that are there. Those of the workspace are opened behind its wall.
    fn open(&self, place: Place) -> Vec<(PathBuf, Dir)> {
        match place {
            Place::BuiltIn => Vec::new(),
            Place::User => Dir::open_ambient_dir(&self.user, ambient_authority()).map(|dir| (self.user.clone(), dir)).into_iter().collect(),
            Place::Workspace => {
                let Ok(root) = Dir::open_ambient_dir(self.workspace.root(), ambient_authority()) else { return Vec::new() };
                WORKSPACE_FOLDERS.iter().filter_map(|folder| Some((folder.into(), root.open_dir(folder).ok()?))).collect()
            }
        }
    }
}

/// What has been read of one skill.
struct Reader {
    files: Vec<SkillFile>,
    bytes: u64,
}

impl Reader {
    fn read(&mut self, dir: &Dir, prefix: &str, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("it has folders more than {MAX_DEPTH} deep"));
        }
        let failed = |error: std::io::Error| format!("it cannot be read: {error}");
        for entry in dir.entries().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().into_string().map_err(|_| "a file's name is not UTF-8")?;
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                self.read(&dir.open_dir(&name).map_err(failed)?, &format!("{path}/"), depth + 1)?;
            } else if kind.is_file() {
                self.read_file(dir, &name, path)?;
            } else {
                return Err(format!("{} is a link or no file, which a skill cannot have", one_line(&path)));
            }
        }
        Ok(())
    }

    fn read_file(&mut self, dir: &Dir, name: &str, path: String) -> Result<(), String> {
        if self.files.len() == MAX_FILES {
            return Err(format!("it has more than {MAX_FILES} files"));
        }
        let failed = |error: std::io::Error| format!("{} cannot be read: {error}", one_line(&path));
        if dir.symlink_metadata(name).map_err(failed)?.is_symlink() {
            return Err(format!("{} is a link", one_line(&path)));
        }
        let (file, _) = open_regular(dir, Path::new(name)).map_err(failed)?;
        let mut content = Vec::new();
        file.take(MAX_BYTES - self.bytes + 1).read_to_end(&mut content).map_err(failed)?;
        self.bytes += content.len() as u64;
        if self.bytes > MAX_BYTES {
            return Err(format!("it has more than {} bytes", thousands(MAX_BYTES)));
        }
        self.files.push(SkillFile { path, content });
        Ok(())
    }
}
