//! The models folder: what is in it, and how much room there is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use engine::{GgufHeader, ModelSource};
use serde::Serialize;

use super::choose::part_of;
use crate::parts::Context;

/// A model in the folder; one in several files is one model.
#[derive(Debug, Serialize)]
pub struct OnDisk {
    /// The file's name, or that of its first part.
    pub file: String,
    /// Of all parts, in bytes.
    pub size: u64,
    /// How many files it is.
    pub parts: usize,
    /// It is the one that the configuration names.
    pub configured: bool,
    /// What its header says.
    #[serde(flatten)]
    pub header: Option<GgufHeader>,
    /// Why it cannot be used.
    pub error: Option<String>,
}

/// Where models are kept.
pub fn folder(context: &Context) -> PathBuf {
    context.home.data.join("models")
}

/// The models in the folder, by name.
///
/// # Errors
/// The folder cannot be read; one that is not there is empty.
pub fn list(context: &Context) -> Result<Vec<OnDisk>> {
    let folder = folder(context);
    let names = names(&folder)?;
    let configured = configured(context);
    let firsts = names.iter().filter(|name| name.ends_with(".gguf") && part_of(name).is_none_or(|(_, part, _)| part == 1));
    Ok(firsts.map(|name| look(&folder, name, configured.as_deref())).collect())
}

/// Names of parts that wait to be gone on with, with their sizes in bytes.
///
/// # Errors
/// The folder cannot be read.
pub fn unfinished(context: &Context) -> Result<Vec<(String, u64)>> {
    let folder = folder(context);
    let parts = names(&folder)?.into_iter().filter(|name| name.ends_with(".part"));
    Ok(parts.map(|name| (name.clone(), size(&folder.join(&name)))).collect())
}

fn look(folder: &Path, name: &str, configured: Option<&Path>) -> OnDisk {
    let files = files_of(folder, name);
    let header = GgufHeader::read(&folder.join(name));
    let missing = part_of(name).map(|(_, _, count)| count as usize).filter(|count| *count != files.len());
    let error = match (&header, missing) {
        (Err(error), _) => Some(error.to_string()),
        (Ok(_), Some(count)) => Some(format!("{} of {count} parts are there; pull it again", files.len())),
        (Ok(_), None) => None,
    };
    let is_configured = |file: &PathBuf| configured.is_some_and(|configured| file.canonicalize().is_ok_and(|file| file == configured));
    OnDisk {
        file: name.to_owned(),
        size: files.iter().map(|file| size(file)).sum(),
        parts: files.len(),
        configured: files.iter().any(is_configured),
        header: header.ok(),
        error,
    }
}

/// The files that belong to the file `name`: itself, or all parts of its model that are there.
pub fn files_of(folder: &Path, name: &str) -> Vec<PathBuf> {
    match part_of(name) {
        None => vec![folder.join(name)],
        Some((stem, _, count)) => {
            let part = |part: u32| folder.join(format!("{stem}-{part:05}-of-{count:05}.gguf"));
            (1..=count).map(part).filter(|path| path.symlink_metadata().is_ok()).collect()
        }
    }
}

/// The file that the configuration names, if it names one that is there.
pub fn configured(context: &Context) -> Option<PathBuf> {
    match context.source(None) {
        Ok(ModelSource::File(file)) => file.canonicalize().ok(),
        _ => None,
    }
}

/// Names in `folder`, sorted; those that are not UTF-8 are nobody's models.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("{} cannot be read", folder.display())),
    };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// Bytes that this user may still write on the disk of `folder`; `None`: the system does not say.
#[cfg(unix)]
pub fn free_space(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes that this user may still write on the disk of `folder`; `None`: the system does not say.
#[cfg(not(unix))]
pub fn free_space(_: &Path) -> Option<u64> {
    None
}
