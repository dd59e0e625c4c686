//! The bare loop: `llama_decode` and an argmax with nothing around them. What the engine does is measured against it.

use std::time::Instant;

use llama_sys::llama_cpp_2::token::LlamaToken;

use super::sample::greedy;
use super::sequence::{Appended, Sequence};
use crate::{BareTimes, EngineError};

/// Fills the emptied sequence with `prompt`, then generates `tokens` tokens, greedily and whatever they are. The prompt is
/// a real one because the time depends on it: flash attention rescales its sums whenever a later key fits better.
pub(super) fn bare_loop(sequence: &mut Sequence<'_>, prompt: &[LlamaToken], tokens: usize) -> Result<BareTimes, EngineError> {
    sequence.clear();
    let start = Instant::now();
    for batch in prompt.chunks(sequence.batch_size()) {
        append(sequence, batch)?;
    }
    // Some backends compute until the logits are read.
    greedy(sequence.logits())?;
    let prefill = start.elapsed();
    let start = Instant::now();
    for _ in 0..tokens {
        let token = greedy(sequence.logits())?;
        append(sequence, &[token])?;
    }
    Ok(BareTimes { prefill, decode: start.elapsed() })
}

fn append(sequence: &mut Sequence<'_>, tokens: &[LlamaToken]) -> Result<(), EngineError> {
    match sequence.append(tokens)? {
        Appended::Done => Ok(()),
        Appended::Aborted => Err(EngineError::Decode("it was aborted".into())),
    }
}
