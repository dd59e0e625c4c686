//! Transcripts on disk: one file each, written whole or not at all, taken only if nothing about it is in doubt.
//!
//! ```text
//! "paguro kv 1\n" | u32 length of the header | header as JSON | tokens, u32 each | state | checkpoints | u32 CRC of all before it
//! ```
//! Numbers are little-endian. What a file is worth is the time of a prefill, never an answer: any doubt drops it.
//!
//! llama.cpp writes a state into the mapped file, and reads it there: gigabytes of it never stand in the process's own memory.
#![allow(unsafe_code, reason = "a mapped file; each block says why it is sound")]

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use llama_sys::llama_cpp_2::token::LlamaToken;
use memmap2::{Mmap, MmapMut};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::transcripts::Checkpoint;
use crate::Message;

const MAGIC: &[u8] = b"paguro kv 1\n";
/// Longest header that is read, in bytes: the messages of a full context of any model.
const MAX_HEADER: u32 = 256 << 20;
/// Places of the weights that a fingerprint looks at, and the bytes it reads at each: a model of 95 GB is known in a moment.
const SAMPLES: u64 = 64;
const SAMPLE_BYTES: u64 = 64 << 10;
/// Most files: their beginnings are all looked at when a new conversation begins.
const FILES: usize = 64;

/// What a state depends on besides its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    /// SHA-256 of the GGUF's length, its first megabyte and samples of the rest.
    pub(super) model: String,
    /// llama.cpp's version.
    pub(super) build: String,
    /// Types of K and V, flash attention.
    pub(super) cache: String,
}

impl Fingerprint {
    /// Why a state of `other` cannot be used here.
    fn differs(&self, other: &Self) -> Option<&'static str> {
        match (self.model == other.model, self.build == other.build, self.cache == other.cache) {
            (false, _, _) => Some("the saved state is of another model"),
            (_, false, _) => Some("the saved state is of another build of llama.cpp"),
            (_, _, false) => Some("the saved state has other cache types"),
            _ => None,
        }
    }
}

/// SHA-256 over samples of `length` bytes that `read` fetches: (offset, bytes).
pub(super) fn sampled_hash(length: u64, mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(length.to_le_bytes());
    let head = length.min(1 << 20);
    let mut offsets = vec![(0, head)];
    let step = (length / SAMPLES).max(SAMPLE_BYTES);
    let mut offset = head;
    while offset < length {
        offsets.push((offset, SAMPLE_BYTES.min(length - offset)));
        offset += step;
    }
    offsets.push((length.saturating_sub(SAMPLE_BYTES), SAMPLE_BYTES.min(length)));
    let mut buffer = Vec::new();
    for (offset, count) in offsets {
        buffer.resize(usize::try_from(count).map_err(io::Error::other)?, 0);
        read(offset, &mut buffer)?;
        hash.update(&buffer);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What is kept of a transcript beside its state.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) tokens: Vec<LlamaToken>,
    pub(super) messages: Vec<Message>,
    pub(super) checkpoints: Vec<Checkpoint>,
}

/// The state of a transcript, where it lies on disk.
#[derive(Debug)]
pub(super) struct KeptState {
    file: Mmap,
    state: Range<usize>,
}

impl KeptState {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.file[self.state.clone()]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    fingerprint: Fingerprint,
    transcript: String,
    tokens: usize,
    state: usize,
    /// Tokens before each checkpoint, and its bytes.
    checkpoints: Vec<(usize, usize)>,
    messages: Vec<Message>,
}

/// Where a transcript lies in `folder`.
fn path_of(folder: &Path, transcript: &str) -> PathBuf {
    let hash = Sha256::digest(transcript.as_bytes());
    let name: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    folder.join(name + ".kv")
}

/// Removes what is kept of `transcript` in `folder`, without a model. Nothing there is no error.
///
/// # Errors
/// What the file system says.
pub fn remove_transcript(folder: &Path, transcript: &str) -> io::Result<()> {
    match fs::remove_file(path_of(folder, transcript)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The folder with the files.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    budget: u64,
    fingerprint: Fingerprint,
}

impl Disk {
    /// A folder that holds at most `budget` bytes; it is made when the first file is.
    pub(super) fn new(folder: PathBuf, budget: u64, fingerprint: Fingerprint) -> Self {
        Self { folder, budget, fingerprint }
    }

    fn path(&self, transcript: &str) -> PathBuf {
        path_of(&self.folder, transcript)
    }

    /// Keeps a transcript with a state of `size` bytes, which `write` fills in. A crash in between leaves the file of before, and a
    /// power cut a file whose checksum is wrong.
    pub(super) fn save(&self, transcript: &str, kept: &Kept, size: usize, write: impl FnOnce(&mut [u8]) -> bool) -> io::Result<()> {
        let checkpoints = kept.checkpoints.iter().map(|checkpoint| (checkpoint.tokens, checkpoint.state.len()));
        let head = Head {
            fingerprint: self.fingerprint.clone(),
            transcript: transcript.into(),
            tokens: kept.tokens.len(),
            state: size,
            checkpoints: checkpoints.collect(),
            messages: kept.messages.clone(),
        };
        let head = serde_json::to_vec(&head)?;
        let tokens: Vec<u8> = kept.tokens.iter().flat_map(|token| token.0.to_le_bytes()).collect();
        let length = u32::try_from(head.len()).ok().filter(|length| *length <= MAX_HEADER).ok_or(io::ErrorKind::FileTooLarge)?;
        let start = [MAGIC, &length.to_le_bytes(), &head, &tokens].concat();
        let content = start.len() + size + checkpoint_bytes(&kept.checkpoints);
        let total = content as u64 + 4;
        if total > self.budget {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        fs::create_dir_all(&self.folder)?;
        self.make_room(total, &self.path(transcript))?;
        let file = tempfile::Builder::new().prefix(".kv").tempfile_in(&self.folder)?;
        reserve(file.as_file(), total)?;
        // SAFETY: the file is new and has a random name: nobody else writes to it or cuts it while it is mapped.
        let mut map = unsafe { MmapMut::map_mut(file.as_file()) }?;
        let (beginning, rest) = map.split_at_mut(start.len());
        beginning.copy_from_slice(&start);
        let (state, mut rest) = rest.split_at_mut(size);
        if !write(state) {
            return Err(io::Error::other("the state cannot be read"));
        }
        for checkpoint in &kept.checkpoints {
            let place;
            (place, rest) = rest.split_at_mut(checkpoint.state.len());
            place.copy_from_slice(&checkpoint.state);
        }
        let crc = crc32fast::hash(&map[..content]);
        map[content..].copy_from_slice(&crc.to_le_bytes());
        drop(map);
        file.persist(self.path(transcript))?;
        Ok(())
    }

    /// Removes the least recently used files until `size` more bytes fit, `replaced` not counted.
    fn make_room(&self, size: u64, replaced: &Path) -> io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for path in self.files() {
            let metadata = fs::metadata(&path)?;
            if path != replaced {
                files.push((metadata.modified()?, metadata.len(), path));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
        let mut left = files.len();
        for (_, length, path) in files {
            if total + size <= self.budget && left < FILES {
                break;
            }
            fs::remove_file(path)?;
            total -= length;
            left -= 1;
        }
        Ok(())
    }

    /// The files there are.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "kv")).collect()
    }

    /// The tokens of a transcript, if it is kept and can be used. `Err`: why it cannot.
    pub(super) fn tokens(&self, transcript: &str) -> Result<Option<Vec<LlamaToken>>, String> {
        self.tokens_at(&self.path(transcript))
    }

    fn tokens_at(&self, path: &Path) -> Result<Option<Vec<LlamaToken>>, String> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("the saved state cannot be read ({error})")),
        };
        let mut file = BufReader::new(file);
        let head = self.head(&mut file)?;
        let mut tokens = vec![0; head.tokens.saturating_mul(4)];
        file.read_exact(&mut tokens).map_err(|_| DAMAGED)?;
        Ok(Some(tokens_of(&tokens)))
    }

    /// Reads a header and checks that it is of this model and settings, and of no more bytes than the file has.
    fn head(&self, file: &mut BufReader<File>) -> Result<Head, String> {
        let mut start = [0; MAGIC.len() + 4];
        file.read_exact(&mut start).map_err(|_| DAMAGED)?;
        let (magic, length) = start.split_at(MAGIC.len());
        let length = u32::from_le_bytes(length.try_into().map_err(|_| DAMAGED)?);
        let total = file.get_ref().metadata().map_err(|_| DAMAGED)?.len();
        if magic != MAGIC || length > MAX_HEADER || u64::from(length) > total {
            return Err(DAMAGED.into());
        }
        let mut head = vec![0; length as usize];
        file.read_exact(&mut head).map_err(|_| DAMAGED)?;
        let head: Head = serde_json::from_slice(&head).map_err(|_| DAMAGED)?;
        if let Some(reason) = self.fingerprint.differs(&head.fingerprint) {
            return Err(reason.into());
        }
        let parts = head.checkpoints.iter().map(|(_, bytes)| *bytes).chain([head.state, head.tokens.saturating_mul(4)]);
        let rest = parts.fold(0_usize, usize::saturating_add) as u64;
        match (start.len() as u64 + u64::from(length) + 4).checked_add(rest) == Some(total) {
            true => Ok(head),
            false => Err(DAMAGED.into()),
        }
    }

    /// The transcript whose beginning is the longest of `prompt`, and how long that is.
    pub(super) fn best(&self, prompt: &[LlamaToken]) -> Option<(PathBuf, usize)> {
        let common = |path: PathBuf| {
            let tokens = self.tokens_at(&path).ok().flatten()?;
            Some((path, super::prompt::common_prefix(&tokens, prompt)))
        };
        self.files().into_iter().filter_map(common).max_by_key(|(_, common)| *common)
    }

    /// All that is kept of a transcript. `Err`: why it is not used; the file is removed then.
    pub(super) fn load(&self, transcript: &str) -> Result<(Kept, KeptState), String> {
        self.load_at(&self.path(transcript))
    }

    pub(super) fn load_at(&self, path: &Path) -> Result<(Kept, KeptState), String> {
        let kept = self.read(path);
        match &kept {
            // For the budget, this is when it was last used.
            Ok(_) => drop(File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()))),
            Err(_) => drop(fs::remove_file(path)),
        }
        kept
    }

    fn read(&self, path: &Path) -> Result<(Kept, KeptState), String> {
        let unreadable = |error: io::Error| format!("the saved state cannot be read ({error})");
        let file = File::open(path).map_err(unreadable)?;
        // SAFETY: these files are only ever replaced or removed, never written again or cut. Whoever cuts one by hand while it is
        // mapped ends this process, as with any mapped file.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        let (content, crc) = map.split_last_chunk::<4>().ok_or(DAMAGED)?;
        if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return Err(DAMAGED.into());
        }
        let head = self.head(&mut BufReader::new(file))?;
        let bodies = head.tokens * 4 + head.state + head.checkpoints.iter().map(|(_, bytes)| bytes).sum::<usize>();
        let start = content.len().checked_sub(bodies).ok_or(DAMAGED)?;
        let state = start + head.tokens * 4..start + head.tokens * 4 + head.state;
        let tokens = tokens_of(&content[start..state.start]);
        let mut rest = &content[state.end..];
        let checkpoints = head.checkpoints.iter().map(|(tokens, bytes)| {
            let (state, others) = rest.split_at(*bytes);
            rest = others;
            Checkpoint { tokens: *tokens, state: state.into() }
        });
        let kept = Kept { tokens, checkpoints: checkpoints.collect(), messages: head.messages };
        Ok((kept, KeptState { file: map, state }))
    }

    /// Makes `to` another name of `from`. `false`: there is no `from`.
    pub(super) fn copy(&self, from: &str, to: &str) -> bool {
        let (from, to) = (self.path(from), self.path(to));
        let _ = fs::remove_file(&to);
        // The files are never written again, so one may have two names.
        fs::hard_link(&from, &to).is_ok() || fs::copy(&from, &to).is_ok()
    }

    /// Drops what is kept of a transcript.
    pub(super) fn remove(&self, transcript: &str) {
        let _ = remove_transcript(&self.folder, transcript);
    }
}

/// Makes `file` so long, with all of its blocks: a mapped file that finds the disk full ends the process.
fn reserve(mut file: &File, length: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, length) {
        Err(rustix::io::Errno::OPNOTSUPP) => {}
        result => return Ok(result?),
    }
    io::copy(&mut io::repeat(0).take(length), &mut file).map(drop)
}

const DAMAGED: &str = "the saved state is damaged";

fn checkpoint_bytes(checkpoints: &[Checkpoint]) -> usize {
    checkpoints.iter().map(|checkpoint| checkpoint.state.len()).sum()
}

fn tokens_of(bytes: &[u8]) -> Vec<LlamaToken> {
    bytes.chunks_exact(4).map(|bytes| LlamaToken(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    fn disk(folder: &Path, budget: u64) -> Disk {
        let fingerprint = Fingerprint { model: "m".into(), build: "b".into(), cache: "c".into() };
        Disk::new(folder.join("kv"), budget, fingerprint)
    }

    fn kept(count: i32) -> Kept {
        Kept {
            tokens: (0..count).map(LlamaToken).collect(),
            messages: vec![Message::new(Role::User, "hi")],
            checkpoints: vec![Checkpoint { tokens: 2, state: vec![1; 10].into() }, Checkpoint { tokens: 3, state: vec![2; 20].into() }],
        }
    }

    /// Keeps `count` tokens with a state of `size` sevens.
    fn save(disk: &Disk, name: &str, count: i32, size: usize) -> io::Result<()> {
        disk.save(name, &kept(count), size, |state| {
            state.fill(7);
            true
        })
    }

    #[test]
    fn what_is_kept_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(folder.path(), 1 << 20);
        assert_eq!(disk.tokens("a"), Ok(None));
        assert!(disk.best(&[LlamaToken(0)]).is_none());
        save(&disk, "a", 5, 1000).unwrap();
        save(&disk, "b", 9, 1000).unwrap();
        assert_eq!(disk.tokens("a").unwrap().unwrap().len(), 5);
        let prompt: Vec<_> = (0..8).map(LlamaToken).collect();
        assert_eq!(disk.best(&prompt).unwrap().1, 8);
        let (back, state) = disk.load("b").unwrap();
        let checkpoints: Vec<_> = back.checkpoints.iter().map(|checkpoint| (checkpoint.tokens, checkpoint.state.len())).collect();
        assert_eq!(
            (back.tokens, back.messages, state.bytes(), checkpoints),
            (kept(9).tokens, kept(9).messages, &[7; 1000][..], vec![(2, 10), (3, 20)])
        );
        assert!(disk.copy("b", "c") && !disk.copy("x", "y"));
        disk.remove("b");
        assert_eq!(disk.load("c").unwrap().0.tokens.len(), 9);
    }

    #[test]
    fn any_flipped_bit_and_any_lost_byte_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(folder.path(), 1 << 20);
        save(&disk, "a", 5, 1000).unwrap();
        let whole = fs::read(disk.path("a")).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            fs::write(disk.path("a"), &bytes).unwrap();
            let _ = disk.tokens("a");
            assert!(disk.load("a").is_err(), "byte {place}");
            assert!(!disk.path("a").exists());
        }
        for length in (0..whole.len()).step_by(7) {
            fs::write(disk.path("a"), &whole[..length]).unwrap();
            assert!(disk.tokens("a").is_err());
            assert!(disk.load("a").is_err(), "{length} bytes");
        }
    }

    #[test]
    fn another_model_build_or_cache_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = disk(folder.path(), 1 << 20);
        for (field, words) in [(0, "another model"), (1, "another build"), (2, "other cache types")] {
            save(&disk, "a", 5, 1000).unwrap();
            let right = disk.fingerprint.clone();
            let changed = [&mut disk.fingerprint.model, &mut disk.fingerprint.build, &mut disk.fingerprint.cache];
            changed.into_iter().nth(field).unwrap().push('x');
            assert!(disk.tokens("a").unwrap_err().contains(words));
            assert!(disk.load("a").unwrap_err().contains(words));
            disk.fingerprint = right;
        }
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(folder.path(), 4000);
        for (age, name) in [(30, "a"), (20, "b"), (10, "c")] {
            save(&disk, name, 5, 1000).unwrap();
            let file = File::options().append(true).open(disk.path(name)).unwrap();
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        }
        disk.load("a").unwrap();
        save(&disk, "d", 5, 1000).unwrap();
        let left: Vec<bool> = ["a", "b", "c", "d"].iter().map(|name| disk.path(name).exists()).collect();
        assert_eq!(left.iter().filter(|there| **there).count() as u64, 4000 / fs::metadata(disk.path("d")).unwrap().len());
        assert!(left[0] && !left[1] && left[3]);
        assert!(save(&disk, "e", 5, 5000).is_err(), "larger than all there is room for");
        assert!(disk.save("f", &kept(5), 10, |_| false).is_err() && !disk.path("f").exists());
        assert_eq!(fs::read_dir(folder.path().join("kv")).unwrap().count(), disk.files().len(), "nothing half done is left");
    }

    #[test]
    fn a_changed_weight_changes_the_hash() {
        let hash = |bytes: &[u8]| {
            let read = |offset: u64, buffer: &mut [u8]| {
                let start = usize::try_from(offset).unwrap();
                buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
                Ok(())
            };
            sampled_hash(bytes.len() as u64, read).unwrap()
        };
        let mut bytes = vec![3; 3 << 20];
        let before = hash(&bytes);
        bytes[2 << 20] = 4;
        assert_ne!(before, hash(&bytes));
        assert_ne!(hash(&bytes[..100]), hash(&bytes[..101]));
    }
}
