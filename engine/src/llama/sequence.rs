//! One KV sequence and the tokens in it.

use llama_sys::llama_cpp_2::DecodeError;
use llama_sys::llama_cpp_2::context::LlamaContext;
use llama_sys::llama_cpp_2::llama_batch::LlamaBatch;
use llama_sys::llama_cpp_2::token::LlamaToken;

use crate::EngineError;

/// The sequence's number in the context; part 2 gives each hot transcript its own.
const ID: u32 = 0;
/// `llama_decode`'s answer when the abort flag was up.
const ABORTED: i32 = 2;

/// A context with one sequence in it.
pub(super) struct Sequence<'model> {
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    /// Most tokens that are decoded at once.
    batch_size: usize,
    /// The tokens whose keys and values are in the cache; the index is the position.
    held: Vec<LlamaToken>,
}

/// Whether a batch was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appended {
    Done,
    /// The abort flag was up; the sequence is as it was before.
    Aborted,
}

impl<'model> Sequence<'model> {
    pub(super) fn new(context: LlamaContext<'model>) -> Self {
        let batch_size = context.n_batch().max(1) as usize;
        Self { context, batch: LlamaBatch::new(batch_size, 1), batch_size, held: Vec::new() }
    }

    /// The tokens in the cache.
    pub(super) fn held(&self) -> &[LlamaToken] {
        &self.held
    }

    /// Most tokens that [`Sequence::append`] takes.
    pub(super) fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Drops what is behind the first `keep` tokens and says how many are left: none, where the memory cannot drop a
    /// tail (recurrent, hybrid, or a sliding window that has moved on).
    pub(super) fn truncate(&mut self, keep: usize) -> usize {
        if keep >= self.held.len() {
            return self.held.len();
        }
        // A window that has left position 0 behind may lack keys that the tokens before `keep` would attend to.
        let whole = self.context.kv_cache_seq_pos_min(ID.cast_signed()) == 0;
        let position = u32::try_from(keep).ok().filter(|_| whole && keep > 0);
        let removed = position.is_some_and(|keep| self.context.clear_kv_cache_seq(Some(ID), Some(keep), None) == Ok(true));
        if removed {
            self.held.truncate(keep);
        } else {
            self.clear();
        }
        self.held.len()
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.context.clear_kv_cache();
        self.held.clear();
    }

    /// Decodes `tokens`, 1 to [`Sequence::batch_size`] of them, behind those that are there; the logits after the last
    /// one can be read then.
    pub(super) fn append(&mut self, tokens: &[LlamaToken]) -> Result<Appended, EngineError> {
        self.batch.clear();
        for (index, token) in tokens.iter().enumerate() {
            let position = i32::try_from(self.held.len() + index).map_err(|error| EngineError::Decode(error.to_string()))?;
            let is_last = index + 1 == tokens.len();
            let added = self.batch.add(*token, position, &[ID.cast_signed()], is_last);
            added.map_err(|error| EngineError::Decode(error.to_string()))?;
        }
        let result = self.context.decode(&mut self.batch);
        let before = self.held.len();
        self.held.extend_from_slice(tokens);
        match result {
            Ok(()) => return Ok(Appended::Done),
            Err(_) => self.truncate(before),
        };
        match result {
            Err(DecodeError::Unknown(ABORTED)) => Ok(Appended::Aborted),
            Err(DecodeError::NoKvCacheSlot) => Err(EngineError::Decode("the context is full".into())),
            Err(error) => Err(EngineError::Decode(format!("llama.cpp says {error}"))),
            Ok(()) => Ok(Appended::Done),
        }
    }

    /// The logits after the last token, one for each token of the vocabulary.
    pub(super) fn logits(&self) -> &[f32] {
        self.context.get_logits_ith(-1)
    }
}
