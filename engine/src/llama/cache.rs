//! The context: what is decoded into which KV sequence, and taking it back.
#![allow(unsafe_code, reason = "llama-cpp-2 leaves it to its caller that the bytes of a state are sound")]

use std::sync::Arc;

use llama_sys::llama_cpp_2::DecodeError;
use llama_sys::llama_cpp_2::LlamaStateSeqFlags;
use llama_sys::llama_cpp_2::context::LlamaContext;
use llama_sys::llama_cpp_2::llama_batch::LlamaBatch;
use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::{Abort, sliding_window};

use crate::EngineError;

/// `llama_decode`'s answer when the abort was due.
const ABORTED: i32 = 2;

/// One token of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) sequence: usize,
    pub(super) token: LlamaToken,
    /// Tokens before it in its sequence.
    pub(super) position: usize,
    /// Whether the logits after it are wanted.
    pub(super) logits: bool,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoded {
    Done,
    /// The abort was due; what of the batch is in the cache must be taken back.
    Aborted,
    /// The cache has no room for it; nothing has changed.
    NoRoom,
}

/// What of a sequence's memory is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Whole,
    /// What cannot be cut at a token: recurrent state and sliding windows.
    Uncuttable,
}

impl Share {
    fn flags(self) -> LlamaStateSeqFlags {
        match self {
            Self::Whole => LlamaStateSeqFlags::empty(),
            Self::Uncuttable => LlamaStateSeqFlags::PARTIAL_ONLY,
        }
    }
}

/// A context with several sequences in it, which share its tokens.
pub(super) struct Cache<'model> {
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    batch_size: usize,
    outputs: usize,
    abort: Arc<Abort>,
    recurrent: bool,
    /// Tokens that a sliding window sees back; 0: no window.
    window: usize,
}

impl<'model> Cache<'model> {
    pub(super) fn new(model: &LlamaModel, context: LlamaContext<'model>, outputs: usize, abort: Arc<Abort>) -> Self {
        let batch_size = context.n_batch().max(1) as usize;
        Self {
            context,
            batch: LlamaBatch::new(batch_size, 1),
            batch_size,
            outputs: outputs.clamp(1, batch_size),
            abort,
            recurrent: model.is_recurrent() || model.is_hybrid(),
            window: sliding_window(model) as usize,
        }
    }

    /// Most rows in one batch.
    pub(super) fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Most rows of one batch that may ask for logits.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether a sequence can be cut at any token. Where it cannot, checkpoints are needed to go back.
    pub(super) fn is_cuttable(&self) -> bool {
        !self.recurrent && self.window == 0
    }

    /// Decodes `rows`, 1 to [`Cache::batch_size`] of them; the positions of each sequence go on from what it holds.
    pub(super) fn decode(&mut self, rows: &[Row]) -> Result<Decoded, EngineError> {
        let failed = |error: &dyn std::fmt::Display| EngineError::Decode(format!("llama.cpp says {error}"));
        self.batch.clear();
        for row in rows {
            let position = i32::try_from(row.position).map_err(|error| failed(&error))?;
            self.batch.add(row.token, position, &[id(row.sequence)], row.logits).map_err(|error| failed(&error))?;
        }
        match self.context.decode(&mut self.batch) {
            Ok(()) => Ok(Decoded::Done),
            Err(DecodeError::Unknown(ABORTED)) => Ok(Decoded::Aborted),
            Err(DecodeError::NoKvCacheSlot) => Ok(Decoded::NoRoom),
            // A decode that fails because it was aborted says so in other words on some backends.
            Err(_) if self.abort.is_due() => Ok(Decoded::Aborted),
            Err(error) => Err(failed(&error)),
        }
    }

    /// The logits after the row with this index in the last batch, one for each token of the vocabulary. The row must have
    /// asked for them.
    pub(super) fn logits(&self, row: usize) -> &[f32] {
        self.context.get_logits_ith(i32::try_from(row).unwrap_or(-1))
    }

    /// Drops what is behind the first `keep` tokens of a sequence. `false`: its memory cannot be cut there; nothing has changed.
    pub(super) fn cut(&mut self, sequence: usize, keep: usize) -> bool {
        if keep == 0 {
            self.clear(sequence);
            return true;
        }
        // A window that has moved on lacks keys that a token at `keep` would look at.
        let first = self.context.kv_cache_seq_pos_min(id(sequence));
        let needed = keep.saturating_sub(self.window.max(1));
        let whole = self.is_cuttable() || usize::try_from(first).is_ok_and(|first| first <= needed);
        whole && self.remove_tail(sequence, keep)
    }

    fn remove_tail(&mut self, sequence: usize, keep: usize) -> bool {
        let (Ok(sequence), Ok(keep)) = (u32::try_from(sequence), u32::try_from(keep)) else { return false };
        self.context.clear_kv_cache_seq(Some(sequence), Some(keep), None) == Ok(true)
    }

    /// Empties a sequence.
    pub(super) fn clear(&mut self, sequence: usize) {
        let removed = u32::try_from(sequence).map(|sequence| self.context.clear_kv_cache_seq(Some(sequence), None, None));
        debug_assert!(matches!(removed, Ok(Ok(true))), "removing all always succeeds");
    }

    /// Empties all sequences.
    pub(super) fn clear_all(&mut self) {
        self.context.clear_kv_cache();
    }

    /// Makes the empty sequence `to` a copy of `from`: the same cells, not their contents twice.
    pub(super) fn copy(&mut self, from: usize, to: usize) {
        let copied = self.context.copy_kv_cache_seq(id(from), id(to), None, None);
        debug_assert!(copied.is_ok(), "no positions, so none is too large");
    }

    /// Bytes of the memory of a sequence.
    pub(super) fn state_size(&self, sequence: usize, share: Share) -> usize {
        self.context.state_seq_get_size_ext(id(sequence), share.flags())
    }

    /// Fills `bytes`, [`Cache::state_size`] of them, with the memory of a sequence. `false`: there is none, or of another size.
    pub(super) fn write_state(&self, sequence: usize, share: Share, bytes: &mut [u8]) -> bool {
        if bytes.is_empty() || bytes.len() != self.state_size(sequence, share) {
            return false;
        }
        // SAFETY: the buffer has the bytes that llama.cpp has just said it writes for this sequence and these flags.
        let written = unsafe { self.context.state_seq_get_data_ext(bytes.as_mut_ptr(), id(sequence), share.flags()) };
        written == bytes.len()
    }

    /// The memory of a sequence as bytes.
    pub(super) fn state(&self, sequence: usize, share: Share) -> Option<Vec<u8>> {
        let mut bytes = vec![0_u8; self.state_size(sequence, share)];
        self.write_state(sequence, share, &mut bytes).then_some(bytes)
    }

    /// Fills a sequence from what [`Cache::state`] gave. `false`: it does not fit in, and the sequence is empty.
    ///
    /// The whole memory goes into an empty sequence; the uncuttable share replaces that of a sequence, whose tail behind
    /// `tokens` is then cut off.
    pub(super) fn restore(&mut self, sequence: usize, share: Share, bytes: &[u8], tokens: usize) -> bool {
        let (number, flags) = (id(sequence), share.flags());
        // SAFETY: the bytes are what `state` gave, in this process or in a file whose checksum was right. llama.cpp reads no more than
        // their length, checks counts and shapes as it reads, and catches its own exceptions.
        let read = unsafe { self.context.state_seq_set_data_ext(bytes, number, flags) };
        let whole = read && (share == Share::Whole || self.remove_tail(sequence, tokens));
        // What is left must end where the tokens end.
        let last = self.context.kv_cache_seq_pos_max(number);
        let fits = whole && usize::try_from(last).is_ok_and(|last| last + 1 == tokens);
        if !fits {
            self.clear(sequence);
        }
        fits
    }
}

/// llama.cpp's number of a sequence.
fn id(sequence: usize) -> i32 {
    i32::try_from(sequence).unwrap_or(i32::MAX)
}
