//! The bare loop: `llama_decode` and an argmax with nothing around them. What the engine does is measured against it.

use std::time::Instant;

use llama_sys::llama_cpp_2::token::LlamaToken;

use super::cache::{Cache, Decoded, Row};
use super::sample::greedy;
use crate::{BareTimes, EngineError};

/// Fills the emptied sequence with `prompt`, then generates `tokens` tokens, greedily and whatever they are. The prompt is
/// a real one because the time depends on it: flash attention rescales its sums whenever a later key fits better.
pub(super) fn bare_loop(cache: &mut Cache<'_>, prompt: &[LlamaToken], tokens: usize) -> Result<BareTimes, EngineError> {
    let start = Instant::now();
    let (mut held, mut last) = (0, 0);
    for batch in prompt.chunks(cache.batch_size()) {
        last = append(cache, held, batch)?;
        held += batch.len();
    }
    // Some backends compute until the logits are read.
    greedy(cache.logits(last))?;
    let prefill = start.elapsed();
    let start = Instant::now();
    for _ in 0..tokens {
        let token = greedy(cache.logits(last))?;
        last = append(cache, held, &[token])?;
        held += 1;
    }
    Ok(BareTimes { prefill, decode: start.elapsed() })
}

/// Decodes `tokens` behind the `held` ones of the first sequence; the row of the last one.
pub(super) fn append(cache: &mut Cache<'_>, held: usize, tokens: &[LlamaToken]) -> Result<usize, EngineError> {
    let last = tokens.len().saturating_sub(1);
    let row = |(index, token): (usize, &LlamaToken)| Row { sequence: 0, token: *token, position: held + index, logits: index == last };
    match cache.decode(&tokens.iter().enumerate().map(row).collect::<Vec<_>>())? {
        Decoded::Done => Ok(last),
        Decoded::Aborted => Err(EngineError::Decode("it was aborted".into())),
        Decoded::NoRoom => Err(EngineError::Decode("the context is full".into())),
    }
}
