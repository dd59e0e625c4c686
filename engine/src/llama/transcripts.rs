//! The transcripts: which are in the cache, what they hold, how one comes to begin as another does.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::llama_cpp_2::vocab::LlamaVocab;

use super::cache::{Cache, Decoded, Row, Share};
use super::disk::{Disk, Kept, KeptState};
use super::prompt::{cache_miss, common_prefix};
use super::{count, milliseconds};
use crate::{EngineError, ForkPoint, Message};

/// A transcript begins as another one rather than as it did itself if that saves at least so many tokens of prefill.
const WORTH_SHARING: usize = 32;
/// A transcript of fewer tokens is not worth a file.
const WORTH_KEEPING: usize = 16;
/// A file is not written anew for so few tokens more, nor for a new conversation that has so few tokens of its own: a file can
/// have hundreds of megabytes, and each call from a script would write one.
const WORTH_WRITING: (usize, usize) = (64, 256);
/// Checkpoints of one transcript; beyond that the second oldest goes: the oldest stands behind the system block.
const CHECKPOINTS: usize = 8;
/// A transcript goes to disk when nothing has happened for so long. It stays in the cache too.
const KEEP_AFTER: Duration = Duration::from_secs(2);

/// The memory of a sequence that cannot be cut at any token, as it was after so many tokens.
#[derive(Debug, Clone)]
pub(super) struct Checkpoint {
    pub(super) tokens: usize,
    pub(super) state: Rc<[u8]>,
}

/// A transcript in the cache. Its index is the number of its sequence.
#[derive(Debug)]
struct Transcript {
    name: String,
    /// The tokens whose keys and values are in the cache; the index is the position.
    tokens: Vec<LlamaToken>,
    /// The messages of the request that they come from.
    messages: Vec<Message>,
    checkpoints: Vec<Checkpoint>,
    used: Instant,
    /// Whether the disk has it as it is.
    kept: bool,
    /// Whether a generation works on it.
    busy: bool,
}

/// A transcript that is ready for a generation.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) sequence: usize,
    /// Time in bringing it back from disk, in milliseconds.
    pub(super) restore_ms: f64,
    /// Why not all that it held is reused.
    pub(super) miss: Option<String>,
}

/// Where the beginning of a prompt is found.
#[derive(Debug)]
enum Source {
    Nowhere,
    /// Another sequence.
    Hot(usize),
    /// A file.
    Disk(PathBuf),
    OwnFile,
}

/// All transcripts that are in the cache.
pub(super) struct Transcripts<'model> {
    cache: Cache<'model>,
    all: Vec<Option<Transcript>>,
    disk: Option<Disk>,
    vocabulary: LlamaVocab<'model>,
}

impl<'model> Transcripts<'model> {
    /// No transcripts yet, and room for `hot` of them in `cache`.
    pub(super) fn new(cache: Cache<'model>, hot: usize, disk: Option<Disk>, vocabulary: LlamaVocab<'model>) -> Self {
        Self { cache, all: (0..hot).map(|_| None).collect(), disk, vocabulary }
    }

    /// Name and tokens of each that is in the cache, the last used first.
    pub(super) fn hot(&self) -> Vec<(String, u32)> {
        let mut hot: Vec<&Transcript> = self.all.iter().flatten().collect();
        hot.sort_by_key(|transcript| std::cmp::Reverse(transcript.used));
        hot.into_iter().map(|transcript| (transcript.name.clone(), u32::try_from(transcript.tokens.len()).unwrap_or(u32::MAX))).collect()
    }

    pub(super) fn cache(&mut self) -> &mut Cache<'model> {
        &mut self.cache
    }

    pub(super) fn logits(&self, row: usize) -> &[f32] {
        self.cache.logits(row)
    }

    pub(super) fn decode(&mut self, rows: &[Row]) -> Result<Decoded, EngineError> {
        self.cache.decode(rows)
    }

    /// The tokens of the transcript in `sequence`.
    pub(super) fn held(&self, sequence: usize) -> &[LlamaToken] {
        self.all[sequence].as_ref().map_or(&[], |transcript| &transcript.tokens)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|transcript| transcript.as_ref().is_some_and(|transcript| transcript.name == name))
    }

    /// Whether a generation works on `name`.
    pub(super) fn is_busy(&self, name: &str) -> bool {
        self.all.iter().flatten().any(|transcript| transcript.busy && transcript.name == name)
    }

    /// Puts `name` into a sequence that holds as much of the beginning of `prompt` as there is anywhere, but not its last token:
    /// that one is decoded anew for its logits. `None`: all sequences are in use.
    pub(super) fn place(&mut self, name: &str, prompt: &[LlamaToken], messages: &[Message]) -> Option<Placed> {
        let start = Instant::now();
        let own = self.find(name);
        let (mut source, common, mut lost) = self.look(own, name, prompt);
        let Some(sequence) = own.or_else(|| self.free(&source)) else {
            // The source itself may be the only one that can go: it is found on disk then.
            return if self.evict() { self.place(name, prompt, messages) } else { None };
        };
        let previous = match own {
            Some(own) => self.all[own].take().map(|own| (own.messages, own.tokens, own.checkpoints, own.kept)),
            None => None,
        };
        let mut transcript =
            Transcript { name: name.into(), tokens: vec![], messages: vec![], checkpoints: vec![], used: start, kept: false, busy: true };
        let mut words = None;
        if let Some((messages_before, tokens, checkpoints, kept)) = previous {
            words = Some(cache_miss(&self.vocabulary, (&messages_before, &tokens), (messages, prompt)));
            match source {
                Source::Nowhere => (transcript.tokens, transcript.checkpoints, transcript.kept) = (tokens, checkpoints, kept),
                _ => self.cache.clear(sequence),
            }
        }
        let mut restore_ms = 0.0;
        if let Source::Hot(other) = source {
            if let Some(other_transcript) = &self.all[other] {
                transcript.tokens.clone_from(&other_transcript.tokens);
                transcript.checkpoints.clone_from(&other_transcript.checkpoints);
                self.cache.copy(other, sequence);
            }
            source = Source::Nowhere;
        }
        let loaded = match (&source, &self.disk) {
            (Source::OwnFile, Some(disk)) => Some(disk.load(name)),
            (Source::Disk(path), Some(disk)) => Some(disk.load_at(path)),
            _ => None,
        };
        match loaded.map(|loaded| loaded.and_then(|kept| self.restore(sequence, kept, &mut transcript))) {
            Some(Ok(before)) => {
                restore_ms = milliseconds(start);
                transcript.kept = matches!(source, Source::OwnFile);
                if transcript.kept {
                    words = Some(cache_miss(&self.vocabulary, (&before, &transcript.tokens), (messages, prompt)));
                }
            }
            Some(Err(reason)) => lost = Some(reason),
            None => {}
        }
        self.all[sequence] = Some(transcript);
        // What made room may have been written into the very file that was chosen.
        let common = common.min(common_prefix(self.held(sequence), prompt));
        let reached = self.back_to(sequence, common);
        if let Some(transcript) = &mut self.all[sequence] {
            transcript.messages = messages.to_vec();
        }
        let mut miss = words.unwrap_or_else(|| Some(lost.unwrap_or_else(|| "first request".into())));
        if reached < common {
            let words = format!("this model can go back from there only to token {reached}");
            miss = Some(miss.map_or_else(|| words.clone(), |miss| format!("{miss}; {words}")));
        }
        Some(Placed { sequence, restore_ms, miss })
    }

    /// Where `name` finds the beginning of `prompt`, how much of it, and why its file is of no use.
    fn look(&self, own: Option<usize>, name: &str, prompt: &[LlamaToken]) -> (Source, usize, Option<String>) {
        let (kept, lost) = match (own, &self.disk) {
            (None, Some(disk)) => disk.tokens(name).map_or_else(|lost| (None, Some(lost)), |kept| (kept, None)),
            _ => (None, None),
        };
        let most = prompt.len().saturating_sub(1);
        let own_common = own.map(|own| self.held(own)).or(kept.as_deref()).map_or(0, |tokens| common_prefix(tokens, prompt)).min(most);
        let (source, common) = self.best_source(own, kept.is_some(), own_common, prompt);
        (source, common, lost)
    }

    /// Where the longest beginning of `prompt` is, and how long it is, where that is worth leaving what `own` holds.
    fn best_source(&self, own: Option<usize>, kept: bool, own_common: usize, prompt: &[LlamaToken]) -> (Source, usize) {
        let most = prompt.len().saturating_sub(1);
        let others = self.all.iter().enumerate().filter(|(index, _)| Some(*index) != own);
        let commons = others.filter_map(|(index, other)| Some((index, common_prefix(&other.as_ref()?.tokens, prompt).min(most))));
        let hot = commons.max_by_key(|(_, common)| *common);
        let mut best = match (own, kept) {
            (None, true) => (Source::OwnFile, own_common),
            _ => (Source::Nowhere, own_common),
        };
        if let Some((index, common)) = hot.filter(|(_, common)| *common >= best.1 + if own.is_some() || kept { WORTH_SHARING } else { 1 }) {
            best = (Source::Hot(index), common);
        }
        if own.is_none()
            && !kept
            && let Some((path, common)) = self.disk.as_ref().and_then(|disk| disk.best(prompt))
        {
            let common = common.min(most);
            if common >= best.1 + WORTH_SHARING {
                best = (Source::Disk(path), common);
            }
        }
        best
    }

    /// Fills an empty sequence from what was kept; the messages that were kept with it.
    fn restore(&mut self, sequence: usize, (kept, state): (Kept, KeptState), transcript: &mut Transcript) -> Result<Vec<Message>, String> {
        loop {
            if self.cache.restore(sequence, Share::Whole, state.bytes(), kept.tokens.len()) {
                transcript.tokens = kept.tokens;
                transcript.checkpoints = kept.checkpoints;
                return Ok(kept.messages);
            }
            // It may have lacked room only.
            if !self.evict() {
                return Err("the saved state does not fit into the cache".into());
            }
        }
    }

    /// A sequence that nothing is in, at the cost of the least recently used transcript if need be, but not of `source`.
    fn free(&mut self, source: &Source) -> Option<usize> {
        if let Some(free) = self.all.iter().position(Option::is_none) {
            return Some(free);
        }
        let spared = match source {
            Source::Hot(sequence) => Some(*sequence),
            _ => None,
        };
        let sequence = self.least_recent(spared)?;
        self.spill(sequence);
        Some(sequence)
    }

    fn least_recent(&self, spared: Option<usize>) -> Option<usize> {
        let idle = self.all.iter().enumerate().filter_map(|(index, transcript)| Some((index, transcript.as_ref()?)));
        let idle = idle.filter(|(index, transcript)| !transcript.busy && Some(*index) != spared);
        idle.min_by_key(|(_, transcript)| transcript.used).map(|(index, _)| index)
    }

    /// Makes room: the least recently used transcript goes to disk. `false`: all are in use.
    pub(super) fn evict(&mut self) -> bool {
        let found = self.least_recent(None);
        found.into_iter().for_each(|sequence| self.spill(sequence));
        found.is_some()
    }

    /// Takes a transcript out of the cache, onto the disk.
    pub(super) fn spill(&mut self, sequence: usize) {
        self.keep(sequence);
        self.cache.clear(sequence);
        self.all[sequence] = None;
    }

    /// Writes a transcript to disk, if that is worth it. Where it fails the next prefill is longer, nothing else.
    fn keep(&mut self, sequence: usize) {
        let (Some(disk), Some(transcript)) = (&self.disk, &mut self.all[sequence]) else { return };
        if transcript.kept || transcript.tokens.len() < WORTH_KEEPING {
            return;
        }
        transcript.kept = true;
        if is_covered(disk, &transcript.name, &transcript.tokens, self.cache.is_cuttable()) {
            return;
        }
        let kept =
            Kept { tokens: transcript.tokens.clone(), messages: transcript.messages.clone(), checkpoints: transcript.checkpoints.clone() };
        let size = self.cache.state_size(sequence, Share::Whole);
        let _ = disk.save(&transcript.name, &kept, size, |state| self.cache.write_state(sequence, Share::Whole, state));
    }

    /// Writes one transcript to disk that has been idle for a while; when to call again.
    pub(super) fn keep_idle(&mut self) -> Option<Instant> {
        self.disk.as_ref()?;
        let worth = |transcript: &Transcript| !transcript.busy && !transcript.kept && transcript.tokens.len() >= WORTH_KEEPING;
        let waiting = self.all.iter().enumerate().filter_map(|(index, transcript)| Some((index, transcript.as_ref()?)));
        let (sequence, used) = waiting
            .filter(|(_, transcript)| worth(transcript))
            .map(|(index, transcript)| (index, transcript.used))
            .min_by_key(|(_, used)| *used)?;
        let due = used + KEEP_AFTER;
        if due <= Instant::now() {
            self.keep(sequence);
            return Some(Instant::now());
        }
        Some(due)
    }

    /// Writes all transcripts to disk.
    pub(super) fn keep_all(&mut self) {
        (0..self.all.len()).for_each(|sequence| self.keep(sequence));
    }

    /// The tokens that were decoded behind those that a transcript holds.
    pub(super) fn extend(&mut self, sequence: usize, tokens: &[LlamaToken]) {
        if let Some(transcript) = &mut self.all[sequence] {
            transcript.tokens.extend_from_slice(tokens);
            transcript.kept = false;
        }
    }

    /// Remembers the memory as it is now, where it cannot be cut.
    pub(super) fn checkpoint(&mut self, sequence: usize) {
        if self.cache.is_cuttable() {
            return;
        }
        let Some(state) = self.cache.state(sequence, Share::Uncuttable) else { return };
        let Some(transcript) = &mut self.all[sequence] else { return };
        if transcript.checkpoints.len() >= CHECKPOINTS {
            transcript.checkpoints.remove(1);
        }
        transcript.checkpoints.push(Checkpoint { tokens: transcript.tokens.len(), state: state.into() });
    }

    /// Whether checkpoints are needed.
    pub(super) fn is_cuttable(&self) -> bool {
        self.cache.is_cuttable()
    }

    /// Makes a transcript hold its first `keep` tokens, or fewer where its memory can only go back further; how many it is.
    pub(super) fn back_to(&mut self, sequence: usize, keep: usize) -> usize {
        let Some(transcript) = &mut self.all[sequence] else { return 0 };
        if keep < transcript.tokens.len() {
            transcript.kept = false;
            Self::cut(&mut self.cache, transcript, sequence, keep);
        }
        transcript.tokens.len()
    }

    /// Takes what a batch may have left in the cache behind the transcript's tokens.
    pub(super) fn recover(&mut self, sequence: usize) {
        if let Some(transcript) = &mut self.all[sequence] {
            let keep = transcript.tokens.len();
            Self::cut(&mut self.cache, transcript, sequence, keep);
        }
    }

    fn cut(cache: &mut Cache<'model>, transcript: &mut Transcript, sequence: usize, keep: usize) {
        transcript.checkpoints.retain(|checkpoint| checkpoint.tokens <= keep);
        if cache.cut(sequence, keep) {
            transcript.tokens.truncate(keep);
            return;
        }
        let restored = match transcript.checkpoints.last() {
            Some(last) => cache.restore(sequence, Share::Uncuttable, &last.state, last.tokens).then_some(last.tokens),
            None => None,
        };
        if restored.is_none() {
            cache.clear(sequence);
            transcript.checkpoints.clear();
        }
        transcript.tokens.truncate(restored.unwrap_or(0));
    }

    /// A generation has ended.
    pub(super) fn release(&mut self, sequence: usize) {
        if let Some(transcript) = &mut self.all[sequence] {
            transcript.busy = false;
            transcript.used = Instant::now();
        }
    }

    /// Drops what a failed batch may have spoilt.
    pub(super) fn discard(&mut self, sequence: usize) {
        self.cache.clear(sequence);
        self.all[sequence] = None;
    }

    /// Empties the cache.
    pub(super) fn discard_all(&mut self) {
        self.cache.clear_all();
        self.all.iter_mut().for_each(|transcript| *transcript = None);
    }

    pub(super) fn forget(&mut self, name: &str) {
        if let Some(sequence) = self.find(name).filter(|_| !self.is_busy(name)) {
            self.discard(sequence);
        }
        if let Some(disk) = &self.disk {
            disk.remove(name);
        }
    }

    /// Makes `to` begin as `from` does; the tokens they share.
    pub(super) fn fork(&mut self, from: &str, to: &str, at: ForkPoint) -> Result<u32, EngineError> {
        let missing = || EngineError::NoTranscript { name: from.into() };
        if self.is_busy(to) || from == to {
            return Err(EngineError::Decode(format!("`{to}` is in use, so it cannot become a fork of `{from}`")));
        }
        self.forget(to);
        let Some(source) = self.find(from) else {
            let disk = self.disk.as_ref().filter(|disk| disk.copy(from, to)).ok_or_else(missing)?;
            let tokens = disk.tokens(to).ok().flatten().ok_or_else(missing)?;
            return Ok(count(self.keep_of(&tokens, at)));
        };
        let Some(sequence) = self.free(&Source::Hot(source)).filter(|sequence| *sequence != source) else {
            return Err(EngineError::Decode("all transcripts in memory are in use; fork later".into()));
        };
        let Some(original) = &self.all[source] else { return Err(missing()) };
        let copy = Transcript {
            name: to.into(),
            tokens: original.tokens.clone(),
            messages: original.messages.clone(),
            checkpoints: original.checkpoints.clone(),
            used: Instant::now(),
            kept: false,
            busy: false,
        };
        let keep = self.keep_of(&copy.tokens, at);
        self.cache.copy(source, sequence);
        self.all[sequence] = Some(copy);
        Ok(count(self.back_to(sequence, keep)))
    }

    /// How many of `tokens` stand before `at`.
    fn keep_of(&self, tokens: &[LlamaToken], at: ForkPoint) -> usize {
        match at {
            ForkPoint::End => tokens.len(),
            ForkPoint::Messages(0) => 0,
            ForkPoint::Messages(messages) => self.boundaries(tokens).nth(messages - 1).unwrap_or(tokens.len()),
        }
    }

    /// The places behind the end-of-turn tokens of `tokens`.
    pub(super) fn boundaries(&self, tokens: &[LlamaToken]) -> impl Iterator<Item = usize> {
        tokens.iter().enumerate().filter(|(_, token)| self.vocabulary.is_eog(**token)).map(|(index, _)| index + 1)
    }
}

/// Whether the disk has nearly all of `tokens`.
fn is_covered(disk: &Disk, name: &str, tokens: &[LlamaToken], cuttable: bool) -> bool {
    if let Ok(Some(own)) = disk.tokens(name) {
        return tokens.starts_with(&own) && tokens.len() - own.len() <= WORTH_WRITING.0;
    }
    let others = disk.best(tokens).filter(|_| cuttable);
    others.is_some_and(|(_, common)| tokens.len() - common <= WORTH_WRITING.1)
}
