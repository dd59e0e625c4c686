//! `paguro model pull`: from what was typed to a checked model in the folder.
//!
//! In order: the repository's list, the choice, the locks, the free space, the files (several at once), and at the end the line for the
//! configuration. Whatever stops it, what has come is kept and the same command goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use channels::terminal::Interrupt;
use tokio::task::JoinSet;

use super::choose::{RemoteFile, Wanted, choose};
use super::download::{Download, remove_part, sum_of};
use super::hub::{Failure, Hub};
use super::progress::Progress;
use super::{CONNECTIONS, bytes, disk};
use crate::config;
use crate::exit::{BadInput, Interrupted};
use crate::parts::Context;
use crate::secrets;

/// Longest token, in bytes; a larger file is not one.
const MAX_TOKEN: usize = 4096;

/// A model that is there now.
pub struct Pulled {
    /// The file to name in the configuration: the model, or its first part.
    pub file: PathBuf,
    /// Of all parts, in bytes.
    pub size: u64,
    /// All parts were there already, with the right sums.
    pub was_there: bool,
}

/// Fetches `wanted` into the models folder. `interrupt` stops it and keeps what has come.
///
/// # Errors
/// What went wrong, and the way out.
pub async fn pull(context: &Context, wanted: &Wanted, interrupt: &Interrupt) -> Result<Pulled> {
    let hub = hub(context)?;
    let work = pull_from(context, &hub, wanted);
    tokio::select! {
        pulled = work => pulled,
        // Dropping the work closes connections and files; what was written stays.
        () = interrupt.raised() => Err(anyhow::Error::new(Interrupted).context("what has come is kept, the same command goes on")),
    }
}

async fn pull_from(context: &Context, hub: &Hub, wanted: &Wanted) -> Result<Pulled> {
    let files = list(hub, &wanted.repo).await?;
    let files = choose(wanted, &files)?;
    let folder = disk::folder(context);
    std::fs::create_dir_all(&folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let size = files.iter().map(|file| file.size).fold(0, u64::saturating_add);
    let first = folder.join(checked_name(&files[0])?);
    let mut downloads = Vec::new();
    let mut there = 0;
    for file in files {
        let target = folder.join(checked_name(&file)?);
        match already_there(&file, &target).await? {
            true => there += file.size,
            false => downloads.push(Download::open(file, target)?),
        }
    }
    let was_there = downloads.is_empty();
    if !was_there {
        if let Err(error) = check_space(&folder, &downloads) {
            // The locks made empty parts.
            downloads.into_iter().filter(|download| download.have() == 0).for_each(Download::discard);
            return Err(error);
        }
        let progress = Progress::new(size);
        progress.note(&format!("{}: {} to {}", wanted.repo, bytes(size), folder.display()));
        progress.found(there + downloads.iter().map(Download::have).sum::<u64>());
        fetch_all(hub, &wanted.repo, downloads, progress).await?;
    }
    Ok(Pulled { file: first, size, was_there })
}

/// The hub of the configuration, with the owner's token.
fn hub(context: &Context) -> Result<Hub> {
    let settings = &context.config.models;
    let variable = |name: &str| std::env::var(name).ok().map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
    let token = match (variable(config::MODELS_TOKEN), &settings.token_file) {
        (Some(token), _) => Some(token),
        (None, Some(file)) => Some(token_in(&secrets::place(&context.home, file))?),
        (None, None) => variable("HF_TOKEN"),
    };
    Hub::new(&settings.url, token.as_deref())
}

fn token_in(file: &Path) -> Result<String> {
    let told = |why: &str| BadInput(format!("the token in {} cannot be used: {why}; see `token_file` under [models]", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| told(&e.to_string()))?;
    match text.trim() {
        "" => Err(told("the file is empty").into()),
        token if token.len() > MAX_TOKEN => Err(told("the file is too long for one").into()),
        token => Ok(token.to_owned()),
    }
}

/// The repository's files; a passing failure is tried once more.
async fn list(hub: &Hub, repo: &str) -> Result<Vec<RemoteFile>> {
    match hub.files(repo).await {
        Err(Failure::Passing(_, wait)) => {
            tokio::time::sleep(wait.unwrap_or(std::time::Duration::from_secs(1))).await;
            hub.files(repo).await
        }
        other => other,
    }
    .map_err(|failure| match failure {
        Failure::Passing(says, _) => anyhow!("{says}; try again later, or check `url` in [models]"),
        Failure::Final(error) => error,
    })
}

/// The name that `file` gets in the folder: the last part of its path, if that is a sane name.
fn checked_name(file: &RemoteFile) -> Result<&str> {
    let name = file.name();
    let is_sane = !name.starts_with('.') && name.len() <= 200 && !name.contains(['\\', ':']) && !name.chars().any(char::is_control);
    if is_sane { Ok(name) } else { Err(anyhow!("the hub calls a file `{}`, which is no name for one here", name.escape_debug())) }
}

/// Whether `target` is `file` already; its sum is checked, because that is what pulling again is for.
async fn already_there(file: &RemoteFile, target: &Path) -> Result<bool> {
    let metadata = match std::fs::metadata(target) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e).with_context(|| format!("{} cannot be read", target.display())),
    };
    let name = file.name();
    if metadata.len() == file.size && Some(sum_of(target).await?) == file.sha256 {
        remove_part(target);
        return Ok(true);
    }
    Err(BadInput(format!("{} is there and is another file; `paguro model rm {name}` removes it", target.display())).into())
}

/// Refuses what would not fit, before the first byte comes.
fn check_space(folder: &Path, downloads: &[Download]) -> Result<()> {
    let needed = downloads.iter().map(Download::missing).fold(0, u64::saturating_add);
    match disk::free_space(folder) {
        Some(free) if free < needed => Err(anyhow!(
            "{} needed and {} free in {}: make room, or set PAGURO_HOME to a larger disk",
            bytes(needed),
            bytes(free),
            folder.display()
        )),
        _ => Ok(()),
    }
}

/// Fetches all, at most [`CONNECTIONS`] at once. The first failure ends the others, whose parts are kept.
async fn fetch_all(hub: &Hub, repo: &str, downloads: Vec<Download>, progress: Progress) -> Result<()> {
    let progress = Arc::new(progress);
    let mut waiting = downloads.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < CONNECTIONS {
            let Some(download) = waiting.next() else { break };
            let (hub, repo, progress) = (hub.clone(), repo.to_owned(), Arc::clone(&progress));
            running.spawn(async move { download.run(&hub, &repo, &progress).await });
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(done) => done??,
        }
    }
}
