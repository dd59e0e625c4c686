//! `paguro backup` and `paguro restore`: the whole database as one file, and back.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent::AgentError;
use anyhow::{Context as _, Result};
use memory::StoreError;

use super::ask::Shown;
use crate::args::{BackupArgs, RestoreArgs};
use crate::exit::{BadInput, Interrupted};
use crate::home::Home;
use crate::models::bytes;
use crate::parts::{Context, on_ctrl_c};

/// How often the progress of a long copy is told, and how long one may take in silence.
const TELL: Duration = Duration::from_secs(2);

/// Names where the last backup went, for a day on which the database cannot be read.
const LAST: &str = "last-backup";

pub fn backup(args: &BackupArgs) -> Result<ExitCode> {
    let context = Context::read()?;
    let stop = stop();
    let copied = memory::backup(&context.home.data, &args.file, args.force, &mut progress(&stop));
    let size = copied.map_err(sorted)?;
    if let Ok(path) = std::path::absolute(&args.file) {
        // Only a hint; the backup is made.
        let _ = std::fs::write(context.home.data.join(LAST), path.as_os_str().as_encoded_bytes());
    }
    say!("{} backed up to {}; models, workspace and configuration are files of yours", bytes(size), args.file.display());
    Ok(ExitCode::SUCCESS)
}

pub fn restore(args: &RestoreArgs) -> Result<ExitCode> {
    let context = Context::read()?;
    let stop = stop();
    let word = jiff::Zoned::now().strftime("before-%Y%m%d-%H%M%S").to_string();
    let kept = memory::restore(&context.home.data, &args.file, &word, &mut progress(&stop)).map_err(sorted)?;
    // What models had read belongs to the conversations of before. They would be found to differ; this way they take no room.
    match std::fs::remove_dir_all(context.kv_folder()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("restored, but {} cannot be emptied", context.kv_folder().display()));
        }
        _ => {}
    }
    say!("restored from {}", args.file.display());
    if let Some(kept) = kept {
        say!("what was there is kept as {}", kept.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Raised by Ctrl-C. The copy runs on this thread; the signal is waited for on another.
fn stop() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            on_ctrl_c().raised().await;
            raised.store(true, Ordering::Relaxed);
        });
    });
    stop
}

fn progress(stop: &AtomicBool) -> impl FnMut(u64, u64) -> ControlFlow<()> {
    let mut told = Instant::now();
    move |done, all| {
        if told.elapsed() >= TELL {
            told = Instant::now();
            tell!("{:>3} % copied", done * 100 / all.max(1));
        }
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// What the owner can put right by another command is bad input.
fn sorted(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Cancelled => Interrupted.into(),
        StoreError::BackupExists { .. }
        | StoreError::BackupOntoDatabase { .. }
        | StoreError::NoDatabase { .. }
        | StoreError::BadBackup { .. }
        | StoreError::Foreign { .. } => BadInput(error.to_string()).into(),
        error => error.into(),
    }
}

/// What an error's line ends with if the database was found damaged: where the newest backup is.
pub fn way_back(error: &anyhow::Error) -> String {
    let agent = error.downcast_ref::<Shown>().map(|shown| &shown.0).or(error.downcast_ref());
    let store = match agent {
        Some(AgentError::Store(store)) => Some(store),
        _ => error.downcast_ref(),
    };
    if !matches!(store, Some(StoreError::Corrupt { .. })) {
        return String::new();
    }
    let file = Home::find(|name| std::env::var_os(name)).ok().and_then(|home| newest(&home));
    file.map_or(String::new(), |file| format!("; the newest backup that was found: paguro restore {}", file.display()))
}

/// The newest backup that can be found: where the last one went, beside the database, or in `backups`.
fn newest(home: &Home) -> Option<PathBuf> {
    let last = std::fs::read_to_string(home.data.join(LAST)).ok().map(PathBuf::from);
    let here = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = last.into_iter().chain(here(home.data.clone())).chain(here(home.data.join("backups")));
    let is_copy =
        |path: &PathBuf| path.file_name().is_some_and(|name| may_be_backup(&name.to_string_lossy())) && memory::looks_like_ours(path);
    let age = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    all.filter(is_copy).max_by_key(|path| age(path))
}

/// By its name: not the database itself, what a restore set aside, or a copy that was not finished.
fn may_be_backup(name: &str) -> bool {
    !(name == "paguro.db" || name == "paguro.db.restored" || name.starts_with("paguro.db.before-") || name.ends_with(".partial"))
}

#[cfg(test)]
mod tests {
    use super::may_be_backup;

    #[test]
    fn what_is_no_backup_is_known_by_its_name() {
        let check = |name: &str, expected: bool| assert_eq!(may_be_backup(name), expected, "{name}");
        check("paguro-2026.db", true);
        check("paguro.db.bak", true);
        check("paguro.db", false);
        check("paguro.db.restored", false);
        check("paguro.db.before-20261122-001122", false);
        check("paguro-2026.db.partial", false);
    }
}
