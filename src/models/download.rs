//! One file from the hub to the disk: into `NAME.part`, going on where an earlier try stopped, its sum checked before it gets its name.
//!
//! Beside the part lies `NAME.part.from`, which says of what file it is a part: the sum, and the tag that the hub gave. A part of
//! another file is begun anew.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use sha2::{Digest as _, Sha256};

use super::choose::RemoteFile;
use super::hub::{Failure, Hub};
use super::progress::Progress;

/// Tries without a step forward before it is given up; the delays between them are 0.5, 1, 2 and 4 seconds.
const TRIES: u32 = 5;
/// The first delay.
const DELAY: Duration = Duration::from_millis(500);
/// What counts as a step forward, after which the tries are counted anew, in bytes.
const STEP: u64 = 1 << 20;
/// Bytes read from the disk at once.
const BLOCK: usize = 1 << 20;

/// A file that is to be fetched, and the part of it that is there. Locked: no other process fetches the same file meanwhile.
pub struct Download {
    remote: RemoteFile,
    sha256: String,
    target: PathBuf,
    part: PathBuf,
    file: File,
    /// Bytes of the part.
    have: u64,
    etag: Option<String>,
}

/// The part's own name: `NAME.part`.
pub fn part_path(target: &Path) -> PathBuf {
    with_suffix(target, ".part")
}

/// Where a part's origin is written down: `NAME.part.from`.
pub fn origin_path(target: &Path) -> PathBuf {
    with_suffix(target, ".part.from")
}

fn with_suffix(target: &Path, suffix: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Download {
    /// Opens and locks the part of `remote` that is to become `target`.
    ///
    /// # Errors
    /// Another process has it, the hub gives no sum, or the disk says no.
    pub fn open(remote: RemoteFile, target: PathBuf) -> Result<Self> {
        let name = remote.name();
        let sha256 = remote.sha256.clone();
        let sha256 =
            sha256.ok_or_else(|| anyhow!("the hub gives no sha256 of {name}, so it could not be checked; choose another repository"))?;
        let part = part_path(&target);
        let file = lock(&part).with_context(|| format!("{} cannot be fetched", target.display()))?;
        let mut have = file.metadata()?.len();
        let origin = std::fs::read_to_string(origin_path(&target)).unwrap_or_default();
        let mut lines = origin.lines();
        let is_same = lines.next() == Some(sha256.as_str());
        if have > 0 && (!is_same || have > remote.size) {
            file.set_len(0)?;
            have = 0;
        }
        let etag = lines.next().filter(|etag| is_same && !etag.is_empty()).map(str::to_owned);
        let download = Self { remote, sha256, target, part, file, have, etag };
        download.write_origin()?;
        Ok(download)
    }

    /// Bytes that have still to come.
    pub fn missing(&self) -> u64 {
        self.remote.size.saturating_sub(self.have)
    }

    /// Bytes that are there.
    pub fn have(&self) -> u64 {
        self.have
    }

    fn write_origin(&self) -> Result<()> {
        let path = origin_path(&self.target);
        let text = format!("{}\n{}\n", self.sha256, self.etag.as_deref().unwrap_or_default());
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Takes the part away, and what says where it is from.
    pub fn discard(self) {
        remove_part(&self.target);
    }

    /// Fetches what is missing, checks the sum and gives the file its name.
    ///
    /// # Errors
    /// What went wrong; the part is kept, but not one with a wrong sum.
    pub async fn run(mut self, hub: &Hub, repo: &str, progress: &Progress) -> Result<()> {
        let mut hash = self.hash_of_part().await?;
        let mut tries = 0;
        while self.missing() > 0 {
            let before = self.have;
            let (says, wait) = match self.fetch(hub, repo, progress, &mut hash).await {
                Ok(()) if self.missing() == 0 => break,
                Ok(()) => ("the connection ended too early".to_owned(), None),
                Err(Failure::Passing(says, wait)) => (says, wait),
                Err(Failure::Final(error)) => return Err(error),
            };
            tries = if self.have >= before + STEP { 1 } else { tries + 1 };
            if tries == TRIES {
                let name = self.remote.name();
                return Err(anyhow!("{name}: {says}; what has come is kept, the same command goes on from there"));
            }
            let delay = wait.unwrap_or(DELAY * 2_u32.pow(tries - 1));
            progress.note(&format!("{}: {says}; trying again in {:.1} s", self.remote.name(), delay.as_secs_f64()));
            tokio::time::sleep(delay).await;
        }
        self.finish(hash)
    }

    /// The state of the sum over the part, read from the disk.
    async fn hash_of_part(&mut self) -> Result<Sha256> {
        self.file.seek(SeekFrom::Start(self.have))?;
        if self.have == 0 {
            return Ok(Sha256::new());
        }
        let part = self.part.clone();
        let have = self.have;
        // On another thread: a large part takes a while, and Ctrl-C must be heard meanwhile.
        tokio::task::spawn_blocking(move || hash_file(&part, have)).await?
    }

    /// One connection: from where the part ends to the end of what comes.
    async fn fetch(&mut self, hub: &Hub, repo: &str, progress: &Progress, hash: &mut Sha256) -> Result<(), Failure> {
        let mut stream = hub.open(repo, &self.remote.path, self.have, self.etag.as_deref()).await?;
        let disk = |error: std::io::Error, part: &Path| Failure::Final(anyhow!("{} cannot be written: {error}", part.display()));
        if stream.from != self.have {
            progress.take_back(self.have);
            self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0))).map_err(|e| disk(e, &self.part))?;
            (self.have, *hash) = (0, Sha256::new());
        }
        if self.etag != stream.etag {
            self.etag = stream.etag.take();
            self.write_origin().map_err(Failure::Final)?;
        }
        while let Some(chunk) = stream.chunk().await? {
            if chunk.len() as u64 > self.missing() {
                let (name, size) = (self.remote.name(), self.remote.size);
                return Err(Failure::Final(anyhow!("the hub sends more of {name} than the {size} bytes that it lists; try again later")));
            }
            // A chunk is some kilobytes, which the system keeps in memory: there is nothing to wait for worth a thread.
            self.file.write_all(&chunk).map_err(|e| disk(e, &self.part))?;
            hash.update(&chunk);
            self.have += chunk.len() as u64;
            progress.add(chunk.len() as u64);
        }
        Ok(())
    }

    /// Checks the sum and the header, and gives the part its name.
    fn finish(self, hash: Sha256) -> Result<()> {
        let sum = hex(hash);
        let name = self.remote.name();
        if sum != self.sha256 {
            let error = anyhow!(
                "{name} is not what the hub lists: its sha256 is {sum} and should be {}; the part is deleted, try again",
                self.sha256
            );
            self.discard();
            return Err(error);
        }
        if let Err(error) = engine::GgufHeader::read(&self.part) {
            // Not as its cause: that would be bad input, and the owner gave nothing bad.
            let error = anyhow!("{name} is what the hub has, but of no use, and the part is deleted: {error}");
            self.discard();
            return Err(error);
        }
        let put = || -> std::io::Result<()> {
            self.file.sync_all()?;
            std::fs::rename(&self.part, &self.target)?;
            sync_folder(&self.target)
        };
        put().with_context(|| format!("{} cannot be written", self.target.display()))?;
        let _ = std::fs::remove_file(origin_path(&self.target));
        Ok(())
    }
}

/// Removes the part of `target` and what says where it is from.
pub fn remove_part(target: &Path) {
    // One that is not there is removed already.
    let _ = std::fs::remove_file(part_path(target));
    let _ = std::fs::remove_file(origin_path(target));
}

/// The sum of the file `path`, in hexadecimal digits.
pub async fn sum_of(path: &Path) -> Result<String> {
    let path: Arc<Path> = path.into();
    let size = std::fs::metadata(&path)?.len();
    Ok(hex(tokio::task::spawn_blocking(move || hash_file(&path, size)).await??))
}

/// The state of the sum over the first `bytes` of `path`.
fn hash_file(path: &Path, bytes: u64) -> Result<Sha256> {
    let read = || -> std::io::Result<Sha256> {
        let mut file = File::open(path)?.take(bytes);
        let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK]);
        loop {
            match file.read(&mut block)? {
                0 => return Ok(hash),
                count => hash.update(&block[..count]),
            }
        }
    };
    read().with_context(|| format!("{} cannot be read", path.display()))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens `part` for going on, locked against other processes; the lock goes with the file handle, even after kill -9.
fn lock(part: &Path) -> Result<File> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(anyhow!("another paguro is fetching it now; wait for it or stop it")),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // Whoever had the lock may have renamed or removed the file between our opening and locking it.
        if is_still(&file, part) {
            let mut file = file;
            file.seek(SeekFrom::End(0))?;
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_still(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Makes the new name of `path` last through a power cut.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
