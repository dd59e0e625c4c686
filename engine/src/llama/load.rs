//! From a [`ModelSource`] to a model and a context, every refusal in one sentence.

mod plan;

use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Write};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use llama_sys::llama_cpp_2::context::LlamaContext;
use llama_sys::llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_sys::llama_cpp_2::llama_backend::LlamaBackend;
use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::model::params::LlamaModelParams;
use llama_sys::llama_cpp_sys_2 as sys;
use llama_sys::{LogLevel, log_lines_of, silence_logs, with_abort_flag, with_max_outputs};

use super::gguf::{Header, read_header};
use crate::error::one_line;
use crate::thread::Progress;
use crate::{CacheType, EngineError, LoadOptions, ModelSource};

/// The context where the options name none is the model's own, at most this many tokens: a larger one is mostly unused memory.
const MAX_DEFAULT_CONTEXT: u32 = 32_768;
/// Sequences in the cache.
const SEQUENCES: u32 = 1;
/// Tokens of one sequence that one batch may ask logits for: the next one, and as many as are drafted at once. A batch with more of
/// them aborts the process (`with_max_outputs`).
const OUTPUTS_PER_SEQUENCE: u32 = 16;
/// Below so many parameters one thread is the default: several wait for each other longer than they compute.
const SMALL_MODEL: u64 = 20_000_000;

/// llama.cpp, started once for the process; its log goes nowhere unless asked for.
pub(super) fn llama_backend() -> Result<&'static LlamaBackend, EngineError> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    let start = || {
        silence_logs();
        LlamaBackend::init().map_err(|error| error.to_string())
    };
    BACKEND.get_or_init(start).as_ref().map_err(|error| EngineError::Thread(format!("llama.cpp does not start: {error}")))
}

/// A model that llama.cpp can open by path, checked as far as its header says.
pub(super) struct ModelFile {
    /// What messages call it.
    pub(super) name: PathBuf,
    pub(super) header: Header,
    /// What llama.cpp opens.
    path: PathBuf,
    /// An embedded model lies here until it is loaded.
    _held: Option<Held>,
}

enum Held {
    #[cfg(target_os = "linux")]
    Memory {
        _file: File,
    },
    Disk {
        _file: tempfile::NamedTempFile,
    },
}

impl ModelFile {
    /// Finds `source` and checks its header.
    pub(super) fn open(source: &ModelSource) -> Result<Self, EngineError> {
        let file = match source {
            ModelSource::File(path) | ModelSource::Script(path) => Self::on_disk(path)?,
            ModelSource::Embedded { name, bytes } => Self::embedded(name, bytes)?,
        };
        match file.header.has_template {
            true => Ok(file),
            false => Err(EngineError::NoTemplate { path: file.name }),
        }
    }

    fn on_disk(path: &Path) -> Result<Self, EngineError> {
        let unreadable = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => EngineError::NoSuchModel { path: path.into() },
            _ => bad(path, format!("it cannot be read: {error}")),
        };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(bad(path, "it is a directory; give the GGUF file in it".into()));
        }
        let header = read_header(BufReader::new(file), metadata.len()).map_err(|reason| bad(path, reason))?;
        Ok(Self { name: path.into(), header, path: path.into(), _held: None })
    }

    fn embedded(name: &str, bytes: &[u8]) -> Result<Self, EngineError> {
        let name = PathBuf::from(name);
        let header = read_header(Cursor::new(bytes), bytes.len() as u64).map_err(|reason| bad(&name, reason))?;
        let (path, held) = hold(bytes).map_err(|error| bad(&name, format!("it cannot be laid out for loading: {error}")))?;
        Ok(Self { name, header, path, _held: Some(held) })
    }

    /// What the model calls itself, else the file's stem.
    pub(super) fn title(&self) -> String {
        let stem = || self.name.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        self.header.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or_else(stem)
    }
}

/// Puts `bytes` where llama.cpp can open them: in memory where there is a way, else in a temporary file.
fn hold(bytes: &[u8]) -> std::io::Result<(PathBuf, Held)> {
    #[cfg(target_os = "linux")]
    if let Ok(file) = in_memory(bytes) {
        use std::os::fd::AsRawFd;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        if path.exists() {
            return Ok((path, Held::Memory { _file: file }));
        }
    }
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(bytes)?;
    Ok((file.path().into(), Held::Disk { _file: file }))
}

#[cfg(target_os = "linux")]
fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("model", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// Loads the weights of `file`, if there is room for them and all that comes after.
pub(super) fn load_model(
    backend: &LlamaBackend,
    file: &ModelFile,
    options: &LoadOptions,
    mut progress: Progress,
) -> Result<LlamaModel, EngineError> {
    if !options.ignore_plan {
        plan::check(backend, file, options)?;
    }
    let cancelled = Rc::new(Cell::new(false));
    let cancel = cancelled.clone();
    // llama.cpp calls it through C, where a panic would end the process: it cancels instead.
    let callback = move |done: f32| {
        let go_on = catch_unwind(AssertUnwindSafe(|| progress(done).is_continue())).unwrap_or(false);
        cancel.set(cancel.get() || !go_on);
        go_on
    };
    let params = model_params(options).with_use_mmap(options.mmap).with_progress_callback(callback);
    match open_model(backend, file, &params) {
        _ if cancelled.get() => Err(EngineError::LoadCancelled),
        model => model,
    }
}

/// How the model is spread, for loading and for planning.
fn model_params(options: &LoadOptions) -> LlamaModelParams {
    let params = LlamaModelParams::default();
    match options.gpu_layers {
        Some(layers) => params.with_n_gpu_layers(layers),
        None => params,
    }
}

fn open_model(backend: &LlamaBackend, file: &ModelFile, params: &LlamaModelParams) -> Result<LlamaModel, EngineError> {
    if file.path.to_str().is_none() {
        return Err(bad(&file.name, "its path is not UTF-8; rename it".into()));
    }
    let (model, lines) = log_lines_of(LogLevel::Error, || LlamaModel::load_from_file(backend, &file.path, params));
    model.map_err(|_| bad(&file.name, format!("llama.cpp says \"{}\"; choose another GGUF", told(&lines))))
}

/// A context on `model`, and what it is like.
pub(super) struct NewContext<'model> {
    pub(super) context: LlamaContext<'model>,
    /// Tokens it holds.
    pub(super) size: u32,
    /// Types of the caches in use.
    pub(super) cache_types: (CacheType, CacheType),
}

/// Makes a context.
pub(super) fn new_context<'model>(
    backend: &LlamaBackend,
    model: &'model LlamaModel,
    options: &LoadOptions,
    abort: &Arc<AtomicBool>,
) -> Result<NewContext<'model>, EngineError> {
    let size = context_size(model, options)?;
    let (context, cache_types) = with_cache_types(size, options, |cache_types| {
        let params = context_params(options, model.n_params(), &Shape { size, cache_types, sequences: SEQUENCES });
        model.new_context(backend, with_abort_flag(params, Arc::clone(abort))).ok()
    })?;
    Ok(NewContext { context, size, cache_types })
}

/// The size of the context, in tokens: what the options name, if the model can do that.
fn context_size(model: &LlamaModel, options: &LoadOptions) -> Result<u32, EngineError> {
    let trained = trained_context(model);
    let size = options.context.unwrap_or(trained.min(MAX_DEFAULT_CONTEXT)).max(1);
    if size > trained {
        let reason = format!("the model was trained for {trained}, beyond that it talks nonsense");
        return Err(EngineError::NoContext { context: size, reason });
    }
    Ok(size)
}

fn trained_context(model: &LlamaModel) -> u32 {
    match model.n_ctx_train() {
        // It does not say.
        0 => MAX_DEFAULT_CONTEXT,
        trained => trained,
    }
}

/// What `make` makes with the cache types of the options. Where llama.cpp refuses a quantised cache (a head size that is not a
/// multiple of 32, or no flash attention), the cache becomes f16: slower to run out of memory than to give up.
fn with_cache_types<T>(
    context: u32,
    options: &LoadOptions,
    mut make: impl FnMut((CacheType, CacheType)) -> Option<T>,
) -> Result<(T, (CacheType, CacheType)), EngineError> {
    let (key, value) = (options.cache_type_k, options.cache_type_v);
    let mut tries = vec![(key, value), (key, CacheType::F16), (CacheType::F16, CacheType::F16)];
    tries.dedup();
    let mut reason = None;
    for cache_types in tries {
        let (made, lines) = log_lines_of(LogLevel::Error, || make(cache_types));
        if let Some(made) = made {
            return Ok((made, cache_types));
        }
        // The first refusal is of what was asked for.
        reason.get_or_insert_with(|| told(&lines));
    }
    Err(EngineError::NoContext { context, reason: reason.unwrap_or_default() })
}

/// What a context must hold.
struct Shape {
    /// Tokens, of all sequences together.
    size: u32,
    cache_types: (CacheType, CacheType),
    /// Sequences that share the cache's cells; a recurrent state has each its own.
    sequences: u32,
}

/// The parameters of a context, the same for the plan and for the load: what differs would be missing from the plan.
fn context_params(options: &LoadOptions, parameters: u64, shape: &Shape) -> LlamaContextParams {
    let &Shape { size, cache_types: (key, value), sequences } = shape;
    let flash = match options.flash_attention {
        true => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
        false => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
    };
    let threads = options.threads.unwrap_or_else(|| if parameters < SMALL_MODEL { 1 } else { physical_cores() });
    let threads = i32::try_from(threads.max(1)).unwrap_or(i32::MAX);
    let batch = options.batch.clamp(1, size);
    let outputs = sequences.saturating_mul(OUTPUTS_PER_SEQUENCE).min(batch);
    with_max_outputs(LlamaContextParams::default(), outputs)
        .with_n_ctx(NonZeroU32::new(size))
        .with_n_batch(batch)
        .with_n_ubatch(batch)
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_flash_attention_policy(flash)
        .with_type_k(kv_type(key))
        .with_type_v(kv_type(value))
        // A sliding-window model keeps all positions until there are checkpoints to go back to.
        .with_swa_full(true)
        .with_n_seq_max(sequences)
        .with_kv_unified(sequences > 1)
        .with_no_perf(true)
}

/// Physical cores, but no more than this process may use: a second thread on a core slows decoding down.
fn physical_cores() -> u32 {
    let usable = std::thread::available_parallelism().map_or(usize::MAX, std::num::NonZero::get);
    u32::try_from(num_cpus::get_physical().min(usable)).unwrap_or(1)
}

fn kv_type(cache_type: CacheType) -> KvCacheType {
    match cache_type {
        CacheType::F32 => KvCacheType::F32,
        CacheType::F16 => KvCacheType::F16,
        CacheType::Bf16 => KvCacheType::BF16,
        CacheType::Q8_0 => KvCacheType::Q8_0,
        CacheType::Q5_1 => KvCacheType::Q5_1,
        CacheType::Q5_0 => KvCacheType::Q5_0,
        CacheType::Q4_1 => KvCacheType::Q4_1,
        CacheType::Q4_0 => KvCacheType::Q4_0,
    }
}

/// What llama.cpp's error lines say: the first names the cause, the ones after it only that it was fatal.
fn told(lines: &[String]) -> String {
    let line = lines.first().map_or("nothing", |line| line.as_str());
    // `llama_model_load: error loading model: unknown model architecture: 'x'`
    let cause = line.rsplit_once("error loading model: ").map_or(line, |(_, cause)| cause);
    let function = |(name, rest): (&str, &'_ str)| {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':');
        is_name.then(|| rest.to_owned())
    };
    let cause = cause.split_once(": ").and_then(function).unwrap_or_else(|| cause.to_owned());
    one_line(cause)
}

fn bad(path: &Path, reason: String) -> EngineError {
    EngineError::BadModel { path: path.into(), reason }
}
