//! What a model and a context take, counted by llama.cpp itself and, for a model loaded with `no_alloc`, without allocating it.

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2::llama_context_params;
use serde::Deserialize;

use crate::{ShimError, ffi};

/// Bytes of one place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Memory {
    /// The model's tensors.
    pub weights: u64,
    /// The KV cache, and the state of recurrent layers.
    pub kv: u64,
    /// What a batch needs while it is computed.
    pub compute: u64,
}

/// One of ggml's kinds of buffers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BufferMemory {
    /// ggml's name: `CPU`, `CPU_REPACK`, `CUDA0`, …
    pub name: String,
    /// The device whose memory it is; `None`: the machine's own.
    pub device: Option<String>,
    /// Bytes.
    #[serde(flatten)]
    pub memory: Memory,
}

/// A device that the model is spread over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeviceMemory {
    /// ggml's name: `CUDA0`, `RPC0`, …
    pub name: String,
    /// The address of the worker whose device it is; `None`: it is this machine's.
    pub worker: Option<String>,
    /// It has no memory of its own: what it holds is the machine's.
    pub integrated: bool,
    /// Bytes free now.
    pub free: u64,
    /// Bytes in all; 0 where the driver does not say.
    pub total: u64,
}

/// What a model and one context on it take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ContextMemory {
    /// By kind of buffer.
    pub buffers: Vec<BufferMemory>,
    /// The devices; none: all is in the machine's own memory.
    pub devices: Vec<DeviceMemory>,
    /// Bytes of the logits that are kept for reading, in the machine's own memory; in no buffer above.
    pub logits: u64,
}

/// What `model` and a context by `params` take. A context is made for it and freed: with a model loaded by `no_alloc` that
/// allocates neither KV cache nor compute buffers, only the state of recurrent layers.
///
/// # Errors
/// llama.cpp makes no such context; its log says why.
pub fn context_memory(model: &LlamaModel, mut params: LlamaContextParams) -> Result<ContextMemory, ShimError> {
    let raw: *const llama_context_params = raw(&mut params);
    ffi::call_json(|out| {
        // SAFETY: `model` is alive, and making a context changes nothing that a shared reference shows: `llama-cpp-2` does the
        // same. `raw` points into `params`, which lives until the end of this function, and the context is freed before that.
        unsafe { ffi::paguro_context_memory(ffi::model_ptr(model).cast_mut(), raw, out) }
    })
}

/// Whether some of the model's layers see only the last tokens.
#[must_use]
pub fn is_windowed(model: &LlamaModel) -> bool {
    // SAFETY: the model is alive; the function reads a number of it.
    unsafe { llama_cpp_sys_2::llama_model_n_swa(ffi::model_ptr(model)) > 0 }
}

/// `params` for a context that gives logits for at most `outputs` tokens of one batch. llama.cpp sets memory aside for as many;
/// by itself it does so for each token of a batch (512 tokens and 150,000 words: 300 MB). **A batch that asks for more aborts the
/// process**, so whoever fills batches must keep below.
#[must_use]
pub fn with_max_outputs(mut params: LlamaContextParams, outputs: u32) -> LlamaContextParams {
    raw(&mut params).n_outputs_max = outputs;
    params
}

/// The field of `params` that `llama-cpp-2` does not show.
fn raw(params: &mut LlamaContextParams) -> &mut llama_context_params {
    const {
        assert!(size_of::<LlamaContextParams>() == size_of::<llama_context_params>());
        assert!(align_of::<LlamaContextParams>() == align_of::<llama_context_params>());
    };
    // SAFETY: in the exact version that Cargo.toml pins, `LlamaContextParams` has one field, a `llama_context_params`. The two are
    // of the same size, so that field fills it. The result borrows `params`, so nobody else has it meanwhile.
    unsafe { &mut *std::ptr::from_mut(params).cast::<llama_context_params>() }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn outputs_are_what_was_given() {
        let params = LlamaContextParams::default().with_n_ctx(NonZeroU32::new(77)).with_n_seq_max(3);
        let mut params = with_max_outputs(params, 5);
        assert_eq!((params.n_ctx(), params.n_seq_max(), raw(&mut params).n_outputs_max), (NonZeroU32::new(77), 3, 5));
    }
}
