//! What a model will take, measured by llama.cpp on an empty model: all of its tensors and buffers, none of their memory.
//!
//! Only the file's header is read. What llama.cpp does not count (the vocabulary, the cells of the cache) is estimated from
//! counts in the header; `benches/plan.rs` compares the whole with the memory that a loaded model really takes.

use std::path::Path;

use llama_sys::llama_cpp_2::llama_backend::LlamaBackend;
use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::{AttentionShape, ContextMemory, Memory, ShimError, attention_time, context_memory, is_windowed};

use super::{
    ModelFile, Shape, bad, context_params, context_size, kv_type, llama_backend, local_params, model_params, open_model, sequences,
};
use super::{threads, trained_context, with_cache_types};
use crate::llama::embed;
use crate::{AttentionTime, CacheType, DevicePlan, EmbedderOptions, EngineError, LoadOptions, Machine, ModelSource, Plan};

/// A smaller context is not offered: system block and tools alone are some 1,000 tokens.
const LEAST_CONTEXT: u32 = 2048;
/// llama.cpp rounds contexts up to a multiple of this (`GGML_PAD(cparams.n_ctx, 256)`).
const CONTEXT_STEP: u32 = 256;
/// Most contexts that are measured to find the largest that fits. Memory is nearly a straight line, so three do for most.
const MEASUREMENTS: u32 = 6;
/// Tokens in the cache when attention is timed.
const ATTENTION_DEPTH: u32 = 2048;

// What llama.cpp does not count, measured by `benches/plan.rs` (glibc 2.36, x86-64) on the demo model, which has nearly no vocabulary,
// and on models with random weights and 151,936 words, without and with as many merges.
/// Bytes of a word of the vocabulary: its text, once in a list and once as a key, what it decodes to, and the header it came from.
const TOKEN_BYTES: u64 = 176;
/// Bytes of a merge: two texts in a tree (`bpe_ranks`), and the header it came from.
const MERGE_BYTES: u64 = 180;
/// Bytes of a cell of the cache beside keys and values: position, shift, the set of its sequences (`llama_kv_cells`).
const CELL_BYTES: u64 = 56;
/// A tensor that is rearranged while it is loaded is first read into memory of its own. What is larger than this is given back to the
/// system at once, what is smaller stays with the process (glibc's `DEFAULT_MMAP_THRESHOLD_MAX`).
const KEPT_STAGING_BYTES: u64 = 32 << 20;
/// Bytes whatever the model: code that is paged in, stacks, the template, graphs.
const FIXED_BYTES: u64 = 6 << 20;

impl Plan {
    /// Plans what `options` name: what it would take, whether that fits, and the largest context that does. Reads the header of the
    /// file and allocates nothing of the model but its vocabulary, so a file of 95 GB takes about as long as one of 1 GB.
    ///
    /// # Errors
    /// Those of a load that gets no further than the header, and of its context. A script takes no memory and has an empty plan.
    pub fn of(options: &LoadOptions) -> Result<Self, EngineError> {
        let machine = Machine::read().at_most(options.memory_limit);
        if let ModelSource::Script(path) = &options.source {
            return Ok(Self::empty(path, machine));
        }
        let file = ModelFile::open(&options.source)?;
        let backend = llama_backend()?;
        let planner = Planner {
            embedder: options.embedder.as_ref().map(|options| embedder_memory(backend, options)).transpose()?.unwrap_or_default(),
            ..Planner::new(backend, &file, options, machine)?
        };
        let (memory, cache_types) = planner.measure_asked()?;
        let mut plan = planner.plan(&memory, planner.asked, cache_types);
        plan.largest_context = planner.largest(cache_types)?;
        plan.attention = planner.attention(cache_types);
        if !plan.fits() {
            plan.way_out = Some(planner.way_out(&plan, cache_types)?);
        }
        Ok(plan)
    }

    fn empty(script: &Path, machine: Machine) -> Self {
        Self {
            model: script.display().to_string(),
            context: 0,
            trained_context: 0,
            cache_type_k: None,
            cache_type_v: None,
            weights: 0,
            mapped: false,
            kv: 0,
            checkpoints: 0,
            compute: 0,
            embedder: 0,
            overhead: 0,
            devices: Vec::new(),
            attention: None,
            machine,
            largest_context: None,
            way_out: None,
        }
    }
}

/// Refuses what does not fit.
pub(super) fn check(backend: &LlamaBackend, file: &ModelFile, options: &LoadOptions) -> Result<(), EngineError> {
    let machine = Machine::read().at_most(options.memory_limit);
    // An embedder that cannot be opened takes no memory, and it is no reason against this model.
    let embedder = options.embedder.as_ref().and_then(|options| embedder_memory(backend, options).ok()).unwrap_or_default();
    let planner = Planner { embedder, ..Planner::new(backend, file, options, machine)? };
    let (memory, cache_types) = planner.measure_asked()?;
    let plan = planner.plan(&memory, planner.asked, cache_types);
    if plan.fits() {
        return Ok(());
    }
    let (needs, has, place) = plan.tightest();
    let way_out = planner.way_out(&plan, cache_types)?;
    Err(EngineError::DoesNotFit { path: file.name.clone(), context: plan.context, needs, has, place, way_out })
}

/// A model without its weights, on which contexts are measured.
struct Planner<'a> {
    file: &'a ModelFile,
    options: &'a LoadOptions,
    machine: Machine,
    model: LlamaModel,
    /// The context that the options ask for.
    asked: u32,
    checkpoints: u64,
    embedder: EmbedderMemory,
}

impl<'a> Planner<'a> {
    fn new(backend: &LlamaBackend, file: &'a ModelFile, options: &'a LoadOptions, machine: Machine) -> Result<Self, EngineError> {
        let model = open_model(backend, file, &model_params(options, file)?.with_no_alloc(true))?;
        let asked = context_size(&model, options)?;
        // These cannot drop a tail (DESIGN §5).
        let needs_checkpoints = model.is_recurrent() || model.is_hybrid() || is_windowed(&model);
        let checkpoints = if needs_checkpoints { options.checkpoint_bytes } else { 0 };
        Ok(Self { file, options, machine, model, asked, checkpoints, embedder: EmbedderMemory::default() })
    }

    /// The context that was asked for, with the cache types that it will have.
    fn measure_asked(&self) -> Result<(ContextMemory, (CacheType, CacheType)), EngineError> {
        with_cache_types(self.asked, self.options, |cache_types| self.measure(self.asked, cache_types).ok())
    }

    fn measure(&self, size: u32, cache_types: (CacheType, CacheType)) -> Result<ContextMemory, ShimError> {
        let shape = Shape { size, cache_types, sequences: u32::try_from(sequences(self.options)).unwrap_or(1) };
        context_memory(&self.model, context_params(self.options, self.model.n_params(), &shape))
    }

    fn plan(&self, memory: &ContextMemory, context: u32, (key, value): (CacheType, CacheType)) -> Plan {
        let host = share(memory, None);
        let cells = u64::from(context.next_multiple_of(CONTEXT_STEP)) * CELL_BYTES;
        let staging = if self.options.mmap { 0 } else { staging_bytes(self.file) };
        Plan {
            model: self.file.title(),
            context,
            trained_context: trained_context(&self.model),
            cache_type_k: Some(key),
            cache_type_v: Some(value),
            weights: host.weights,
            mapped: self.options.mmap,
            kv: host.kv,
            checkpoints: self.checkpoints,
            compute: host.compute + memory.logits,
            embedder: self.embedder.host,
            overhead: vocabulary_bytes(self.file) + cells + staging + FIXED_BYTES,
            devices: devices(memory, &self.embedder.memory),
            attention: None,
            machine: self.machine,
            largest_context: None,
            way_out: None,
        }
    }

    /// What these cache types cost in time. Layers without attention, or with a window, are no such layers. Several machines have no one
    /// time.
    fn attention(&self, types: (CacheType, CacheType)) -> Option<AttentionTime> {
        if !self.options.workers.is_empty() {
            return None;
        }
        let model = &self.model;
        if self.checkpoints > 0 || model.n_head() == 0 {
            return None;
        }
        let key = format!("{}.attention.key_length", self.file.header.architecture.as_deref().unwrap_or_default());
        let head = model.meta_val_str(&key).ok().and_then(|length| length.parse().ok());
        let shape = AttentionShape {
            head: head.unwrap_or(u32::try_from(model.n_embd()).unwrap_or(0) / model.n_head()),
            heads: model.n_head(),
            kv_heads: model.n_head_kv(),
            depth: ATTENTION_DEPTH,
            types: (kv_type(types.0), kv_type(types.1)),
            flash: self.options.flash_attention,
            threads: threads(self.options.threads, model.n_params()).unsigned_abs(),
        };
        let time = |shape: &AttentionShape| Some(attention_time(shape).ok()?.as_secs_f64() * 1000.0 * f64::from(model.n_layer()));
        let f16_ms = time(&AttentionShape { types: (kv_type(CacheType::F16), kv_type(CacheType::F16)), ..shape })?;
        let planned_ms = if types == (CacheType::F16, CacheType::F16) { f16_ms } else { time(&shape)? };
        Some(AttentionTime { depth: ATTENTION_DEPTH, planned_ms, f16_ms })
    }

    /// By how many bytes a context of `size` is too large; negative: what it leaves.
    fn excess(&self, size: u32, cache_types: (CacheType, CacheType)) -> Result<i64, EngineError> {
        let memory = self.measure(size, cache_types);
        let memory = memory.map_err(|error| EngineError::NoContext { context: size, reason: error.message })?;
        Ok(self.plan(&memory, size, cache_types).excess())
    }

    /// The largest context that fits; `None`: not even a small one.
    ///
    /// Memory grows with the context along a line, or along several of which the greatest counts. So a chord between a size that
    /// fits and one that does not lies above it, and where the chord crosses zero, the size fits; beyond the chord through two sizes
    /// that fit, nothing does where that crosses zero.
    fn largest(&self, cache_types: (CacheType, CacheType)) -> Result<Option<u32>, EngineError> {
        let trained = trained_context(&self.model);
        let measured = |size: u32| Ok::<_, EngineError>((size, self.excess(size, cache_types)?));
        let mut low = measured(LEAST_CONTEXT.min(trained))?;
        if low.1 > 0 {
            return Ok(None);
        }
        let mut high = measured(low.0.saturating_mul(4).min(trained))?;
        for _ in 0..MEASUREMENTS {
            let fits = high.1 <= 0;
            let next = rounded(crossing(low, high), trained);
            if fits {
                if high.0 == trained {
                    return Ok(Some(trained));
                }
                (low, high) = (high, measured(next.max(high.0 + 1).next_multiple_of(CONTEXT_STEP).min(trained))?);
            } else if next > low.0 {
                let next = measured(next)?;
                *(if next.1 > 0 { &mut high } else { &mut low }) = next;
            } else {
                break;
            }
        }
        Ok(Some(if high.1 <= 0 { high.0 } else { low.0 }))
    }

    /// The settings that would make it fit, as the end of a sentence.
    fn way_out(&self, plan: &Plan, cache_types: (CacheType, CacheType)) -> Result<String, EngineError> {
        let mut ways = Vec::new();
        if let Some(context) = self.largest(cache_types)? {
            ways.push(format!("`context = {context}`"));
        }
        let present = cache_types.0.block_bytes().max(cache_types.1.block_bytes());
        let smaller = [CacheType::Q8_0, CacheType::Q4_0].into_iter().filter(|smaller| smaller.block_bytes() < present);
        let mut smallest = None;
        for cache_type in smaller {
            // A type that this model's shape does not allow is none that would help.
            let Ok(excess) = self.excess(plan.context, (cache_type, cache_type)) else { continue };
            smallest = Some(cache_type);
            if excess <= 0 {
                ways.push(types_setting(cache_type));
                break;
            }
        }
        if let (true, Some(cache_type)) = (ways.is_empty(), smallest)
            && let Some(context) = self.largest((cache_type, cache_type))?
        {
            return Ok(format!("in [model], set {} and `context = {context}`", types_setting(cache_type)));
        }
        let quantisation = match smallest {
            None => "; the cache types are the smallest already, so for a longer context choose a smaller quantisation",
            Some(_) => "",
        };
        Ok(match ways.is_empty() {
            true => "even a small context is too much: choose a smaller quantisation of the model, or a smaller model".to_owned(),
            false => format!("in [model], set {}{quantisation}", ways.join(", or ")),
        })
    }
}

fn types_setting(cache_type: CacheType) -> String {
    let name = cache_type.name();
    format!("`cache_type_k = \"{name}\"` and `cache_type_v = \"{name}\"`")
}

/// The shares of the devices of either.
fn devices(memory: &ContextMemory, embedder: &ContextMemory) -> Vec<DevicePlan> {
    let others = embedder.devices.iter().filter(|other| memory.devices.iter().all(|device| device.name != other.name));
    let plan = memory.devices.iter().chain(others).map(|device| {
        let Memory { weights, kv, compute } = share(memory, Some(&device.name));
        let free = (device.total > 0).then_some(device.free);
        // Metal's devices call themselves GPUs, and have the machine's memory all the same.
        let unified = device.worker.is_none() && (device.integrated || cfg!(target_os = "macos"));
        let embedder = sum(share(embedder, Some(&device.name)));
        DevicePlan { name: device.name.clone(), worker: device.worker.clone(), weights, kv, compute, embedder, free, unified }
    });
    plan.collect()
}

fn sum(Memory { weights, kv, compute }: Memory) -> u64 {
    weights + kv + compute
}

/// What lies on `device`, or in the machine's own memory.
fn share(memory: &ContextMemory, device: Option<&str>) -> Memory {
    let buffers = memory.buffers.iter().filter(|buffer| buffer.device.as_deref() == device);
    buffers.fold(Memory::default(), |sum, buffer| Memory {
        weights: sum.weights + buffer.memory.weights,
        kv: sum.kv + buffer.memory.kv,
        compute: sum.compute + buffer.memory.compute,
    })
}

fn vocabulary_bytes(file: &ModelFile) -> u64 {
    file.header.tokens * TOKEN_BYTES + file.header.merges * MERGE_BYTES
}

/// What stays with the process of the memory that tensors are read into while they are rearranged.
fn staging_bytes(file: &ModelFile) -> u64 {
    file.header.tensors.iter().copied().filter(|bytes| *bytes <= KEPT_STAGING_BYTES).max().unwrap_or(0)
}

/// Where the line through two measurements crosses zero, in tokens; without slope, nowhere near.
fn crossing((low, below): (u32, i64), (high, above): (u32, i64)) -> u32 {
    let rise = i128::from(above) - i128::from(below);
    if rise <= 0 {
        return u32::MAX;
    }
    let beyond = i128::from(high - low) * -i128::from(below) / rise;
    u32::try_from(i128::from(low) + beyond).unwrap_or(u32::MAX)
}

/// A context that llama.cpp would not round up.
fn rounded(size: u32, trained: u32) -> u32 {
    if size >= trained { trained } else { size / CONTEXT_STEP * CONTEXT_STEP }
}

/// What an embedding model takes, with its context.
#[derive(Debug, Default)]
struct EmbedderMemory {
    /// Bytes of the machine's own memory.
    host: u64,
    /// By kind of buffer, those on devices too.
    memory: ContextMemory,
    /// Most tokens of a text.
    context: u32,
}

fn embedder_memory(backend: &LlamaBackend, options: &EmbedderOptions) -> Result<EmbedderMemory, EngineError> {
    let file = embed::find(options)?;
    let loading = LoadOptions { gpu_layers: options.gpu_layers, ..LoadOptions::new(options.source.clone()) };
    let model = open_model(backend, &file, &local_params(&loading).with_no_alloc(true))?;
    let shape = embed::Shape::new(&model, &file, options)?;
    let memory = context_memory(&model, shape.params());
    let memory = memory.map_err(|error| bad(&file.name, format!("llama.cpp makes no context for it: {}", error.message)))?;
    // One row of logits for each text is counted there, and each row that a batch has is kept here.
    let host = sum(share(&memory, None)) + shape.output_bytes(&model) + vocabulary_bytes(&file) + staging_bytes(&file);
    Ok(EmbedderMemory { host, memory, context: shape.context })
}

/// Refuses an embedder for which there is no room now.
pub(in crate::llama) fn check_embedder(backend: &LlamaBackend, file: &ModelFile, options: &EmbedderOptions) -> Result<(), EngineError> {
    if options.ignore_plan {
        return Ok(());
    }
    let needed = embedder_memory(backend, options)?;
    let machine = Machine::read().at_most(options.memory_limit);
    let devices = devices(&ContextMemory::default(), &needed.memory);
    let plan = Plan { embedder: needed.host, devices, ..Plan::empty(&file.name, machine) };
    if plan.fits() {
        return Ok(());
    }
    let (needs, has, place) = plan.tightest();
    let way_out = "lower `context` in [embedder], or choose a smaller embedder".to_owned();
    Err(EngineError::DoesNotFit { path: file.name.clone(), context: needed.context, needs, has, place, way_out })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cross_zero() {
        let check = |low, high, expected| assert_eq!(crossing(low, high), expected, "{low:?} {high:?}");
        check((100, -50), (200, 50), 150);
        check((100, -50), (200, -25), 300);
        check((100, -50), (200, -50), u32::MAX);
        check((100, 0), (200, 50), 100);
        check((0, i64::MIN), (u32::MAX, i64::MAX), u32::MAX / 2);
    }

    #[test]
    fn contexts_are_rounded_down_but_not_the_models_own() {
        assert_eq!([300, 1000, 1500].map(|size| rounded(size, 1000)), [256, 1000, 1000]);
    }
}
