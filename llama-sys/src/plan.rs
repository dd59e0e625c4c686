//! What a model and a context take, counted by llama.cpp itself and, for a model loaded with `no_alloc`, without allocating it.

use std::time::Duration;

use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2::{ggml_type, llama_context_params};
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

/// The attention of one layer of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Values of one head.
    pub head: u32,
    /// Heads of the queries.
    pub heads: u32,
    /// Heads of keys and values; a divisor of `heads`.
    pub kv_heads: u32,
    /// Tokens in the cache.
    pub depth: u32,
    /// Types of the K and of the V cache; their blocks must fill heads exactly.
    pub types: (KvCacheType, KvCacheType),
    /// Flash attention; without it V must not be quantised.
    pub flash: bool,
    /// Threads, where the device is the CPU.
    pub threads: u32,
}

/// How long such a layer takes for one new token, measured on this machine, with zeros.
///
/// # Errors
/// The shape makes no attention, or the device has none over these types.
pub fn attention_time(shape: &AttentionShape) -> Result<Duration, ShimError> {
    let int = |number: u32| i32::try_from(number).unwrap_or(0);
    let type_of = |kind: KvCacheType| i32::try_from(ggml_type::from(kind)).unwrap_or(-1);
    let shape = ffi::paguro_attention {
        head: int(shape.head),
        heads: int(shape.heads),
        kv_heads: int(shape.kv_heads),
        depth: int(shape.depth),
        type_k: type_of(shape.types.0),
        type_v: type_of(shape.types.1),
        flash: shape.flash,
        threads: int(shape.threads.max(1)),
    };
    let mut seconds = 0.0;
    // SAFETY: both live until the call is over, and the export keeps neither.
    ffi::call(|out| unsafe { ffi::paguro_attention_seconds(&raw const shape, &raw mut seconds, out) })?;
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
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
    fn attention_takes_time_or_is_refused() {
        let types = (KvCacheType::Q4_0, KvCacheType::F16);
        let shape = AttentionShape { head: 64, heads: 4, kv_heads: 2, depth: 256, types, flash: true, threads: 1 };
        let check = |shape: AttentionShape, expected: bool| {
            let time = attention_time(&shape);
            assert_eq!(time.as_ref().is_ok_and(|time| *time > Duration::ZERO), expected, "{shape:?}: {time:?}");
        };
        check(shape, true);
        check(AttentionShape { flash: false, ..shape }, true);
        check(AttentionShape { types: (KvCacheType::F16, KvCacheType::F16), ..shape }, true);
        check(AttentionShape { head: 24, ..shape }, false);
        check(AttentionShape { types: (types.1, types.0), flash: false, ..shape }, false);
        check(AttentionShape { kv_heads: 3, ..shape }, false);
        check(AttentionShape { depth: 0, ..shape }, false);
    }

    #[test]
    fn outputs_are_what_was_given() {
        let params = LlamaContextParams::default().with_n_ctx(NonZeroU32::new(77)).with_n_seq_max(3);
        let mut params = with_max_outputs(params, 5);
        assert_eq!((params.n_ctx(), params.n_seq_max(), raw(&mut params).n_outputs_max), (NonZeroU32::new(77), 3, 5));
    }
}
