//! The bare loop: `llama_decode` and an argmax with nothing around them. What the engine does is measured against it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::load::{ModelFile, llama_backend, load_model, new_context};
use super::sample::greedy;
use super::sequence::{Appended, Sequence};
use crate::{EngineError, LoadOptions};

/// A model loaded as the engine loads it, and nothing but the loop. Lives inside [`BareLoop::with`].
pub struct BareLoop<'model> {
    sequence: Sequence<'model>,
    token: llama_sys::llama_cpp_2::token::LlamaToken,
}

impl std::fmt::Debug for BareLoop<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BareLoop").field("held", &self.sequence.held().len()).finish_non_exhaustive()
    }
}

impl BareLoop<'_> {
    /// Loads the model of `options` on this thread and gives it to `work`.
    ///
    /// # Errors
    /// As [`crate::Engine::load`].
    pub fn with<T>(options: &LoadOptions, work: impl FnOnce(&mut BareLoop<'_>) -> T) -> Result<T, EngineError> {
        let file = ModelFile::open(&options.source)?;
        let backend = llama_backend()?;
        let model = load_model(backend, &file, options, Box::new(|_| std::ops::ControlFlow::Continue(())))?;
        let context = new_context(backend, &model, options, &Arc::new(AtomicBool::new(false)))?.context;
        let token = model.vocab().tokenize(b"a", false, false).first().copied();
        let token = token.ok_or_else(|| EngineError::Decode("the vocabulary has no `a`".into()))?;
        Ok(work(&mut BareLoop { sequence: Sequence::new(context), token }))
    }

    /// Fills the empty cache with `tokens` tokens and returns the time.
    ///
    /// # Errors
    /// What llama.cpp refuses.
    pub fn prefill(&mut self, tokens: usize) -> Result<Duration, EngineError> {
        self.sequence.clear();
        let prompt = vec![self.token; tokens];
        let start = Instant::now();
        for batch in prompt.chunks(self.sequence.batch_size()) {
            self.append(batch)?;
        }
        // Some backends compute until the logits are read.
        greedy(self.sequence.logits())?;
        Ok(start.elapsed())
    }

    /// Generates `tokens` tokens behind a prefill, greedily and whatever they are, and returns the time.
    ///
    /// # Errors
    /// What llama.cpp refuses.
    pub fn decode(&mut self, tokens: usize) -> Result<Duration, EngineError> {
        let start = Instant::now();
        for _ in 0..tokens {
            let token = greedy(self.sequence.logits())?;
            self.append(&[token])?;
        }
        Ok(start.elapsed())
    }

    fn append(&mut self, tokens: &[llama_sys::llama_cpp_2::token::LlamaToken]) -> Result<(), EngineError> {
        match self.sequence.append(tokens)? {
            Appended::Done => Ok(()),
            Appended::Aborted => Err(EngineError::Decode("it was aborted".into())),
        }
    }
}
