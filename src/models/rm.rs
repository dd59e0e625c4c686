//! Removing a model from the folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::choose::part_of;
use super::download::{origin_path, part_path};
use super::{bytes, disk};
use crate::exit::BadInput;
use crate::parts::Context;

/// Removes the model `name`, all its parts and what was left of fetching it; says what was freed, in bytes.
///
/// # Errors
/// [`BadInput`] for a name outside the folder, one that is not there, and the configured model without `force`.
pub fn remove(context: &Context, name: &str, force: bool) -> Result<u64> {
    let folder = disk::folder(context);
    let name = plain_name(name)?;
    let files = find(&folder, &name);
    if files.is_empty() {
        return Err(BadInput(format!("there is no model {name} in {}; `paguro model list` shows them", folder.display())).into());
    }
    let configured = disk::configured(context);
    let is_configured = |file: &PathBuf| configured.is_some() && file.canonicalize().ok() == configured;
    if !force && files.iter().any(is_configured) {
        return Err(BadInput(format!("{name} is the configured model; name another as `file` under [model] first, or give --force")).into());
    }
    let mut freed = 0;
    for file in &files {
        // Of a link, the link itself goes, and with it no more than its name.
        let metadata = file.symlink_metadata().with_context(|| format!("{} cannot be read", file.display()))?;
        if metadata.is_dir() {
            return Err(BadInput(format!("{} is a folder, not a model; remove it yourself", file.display())).into());
        }
        std::fs::remove_file(file).with_context(|| format!("{} cannot be removed; {} freed so far", file.display(), bytes(freed)))?;
        freed += metadata.len();
    }
    Ok(freed)
}

/// `name` as the name of a file in the folder.
fn plain_name(name: &str) -> Result<String> {
    let plain = name.strip_prefix("models/").unwrap_or(name);
    let is_plain = !plain.is_empty() && plain != "." && plain != ".." && !plain.contains(['/', '\\', '\0']);
    if !is_plain {
        let why = format!("`{name}` is not the name of a file in the models folder, and nothing else is removed; see `paguro model list`");
        return Err(BadInput(why).into());
    }
    Ok(plain.to_owned())
}

/// The files that `name` stands for: a file, a part of a model, or either without its ending.
fn find(folder: &Path, name: &str) -> Vec<PathBuf> {
    let name = name.strip_suffix(".part").unwrap_or(name);
    let mut targets: Vec<PathBuf> = Vec::new();
    for candidate in [name.to_owned(), format!("{name}.gguf")] {
        let files = if candidate.ends_with(".gguf") { with_parts(folder, &candidate) } else { Vec::new() };
        targets.extend(files);
        if !targets.is_empty() {
            break;
        }
    }
    let leftovers: Vec<PathBuf> = targets.iter().flat_map(|file| [part_path(file), origin_path(file)]).collect();
    targets.extend(leftovers);
    targets.retain(|file| file.symlink_metadata().is_ok());
    targets
}

/// All names that the model `name` may have files under, whether they are there or only parts of them.
fn with_parts(folder: &Path, name: &str) -> Vec<PathBuf> {
    match part_of(name) {
        Some((stem, _, count)) => (1..=count).map(|part| folder.join(format!("{stem}-{part:05}-of-{count:05}.gguf"))).collect(),
        None => vec![folder.join(name)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["m.gguf", "models/m.gguf", "m"] {
            assert!(plain_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../m.gguf", "/etc/passwd", "models/../x", "a/b", "models/", "a\\b"] {
            assert!(plain_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_belongs_together() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| std::fs::write(folder.path().join(name), "x").unwrap();
        for name in ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf.part", "m-00002-of-00002.gguf.part.from", "m.gguf", "other.txt"] {
            make(name);
        }
        let found = |name: &str| {
            let files = find(folder.path(), name);
            files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("m-00001-of-00002"), ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf.part", "m-00002-of-00002.gguf.part.from"]);
        assert_eq!(found("m"), ["m.gguf"]);
        assert_eq!(found("other.txt"), [""; 0]);
        assert_eq!(found("nothing"), [""; 0]);
    }
}
