//! From a [`ModelSource`] to a model and a context, every refusal in one sentence.

pub(super) mod plan;

use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom, Write};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use llama_sys::llama_cpp_2::context::LlamaContext;
use llama_sys::llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_sys::llama_cpp_2::llama_backend::LlamaBackend;
use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::model::params::LlamaModelParams;
use llama_sys::llama_cpp_sys_2 as sys;
use llama_sys::{Abort, LogLevel, build_info, log_lines_of, silence_logs, with_abort, with_max_outputs};

use super::disk::{Fingerprint, sampled_hash};
use super::draft::MOST as MOST_GUESSES;
use super::gguf::{Header, read_header};
use super::workers;
use crate::error::one_line;
use crate::facts::Split;
use crate::thread::Progress;
use crate::{CacheType, EngineError, LoadOptions, ModelSource};

/// The context where the options name none is the model's own, at most this many tokens: a larger one is mostly unused memory.
const MAX_DEFAULT_CONTEXT: u32 = 32_768;
/// More sequences than llama.cpp's own limit would be refused.
const MAX_SEQUENCES: u32 = 64;
/// Below so many parameters one thread is the default: several wait for each other longer than they compute.
const SMALL_MODEL: u64 = 20_000_000;

/// llama.cpp, started once for the process; its log goes nowhere unless asked for.
pub(crate) fn llama_backend() -> Result<&'static LlamaBackend, EngineError> {
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

/// What a saved state depends on: the model's hash and how its cache is laid out.
pub(super) fn fingerprint(model: String, options: &LoadOptions, cache_types: (CacheType, CacheType)) -> Fingerprint {
    let build = build_info();
    let build = format!("{} {}", build.version, build.crate_version);
    let cache = format!("{:?} {:?} {}", cache_types.0, cache_types.1, options.flash_attention);
    Fingerprint { model, build, cache }
}

impl ModelFile {
    /// Finds `source` and checks its header.
    pub(super) fn find(source: &ModelSource) -> Result<Self, EngineError> {
        match source {
            ModelSource::File(path) | ModelSource::Script(path) => Self::on_disk(path),
            ModelSource::Embedded { name, bytes } => Self::embedded(name, bytes),
        }
    }

    /// [`ModelFile::find`] for a model to talk to.
    pub(super) fn open(source: &ModelSource) -> Result<Self, EngineError> {
        let file = Self::find(source)?;
        match file.header.has_template {
            true => Ok(file),
            false => Err(EngineError::NoTemplate { path: file.name }),
        }
    }

    fn on_disk(path: &Path) -> Result<Self, EngineError> {
        let header = Header::read(path)?;
        if let Some(split) = header.split {
            check_parts(path, split)?;
        }
        Ok(Self { name: path.into(), header, path: path.into(), _held: None })
    }

    fn embedded(name: &str, bytes: &[u8]) -> Result<Self, EngineError> {
        let name = PathBuf::from(name);
        let header = read_header(Cursor::new(bytes), bytes.len() as u64).map_err(|reason| bad(&name, reason))?;
        if header.split.is_some() {
            return Err(bad(&name, "it is a part of a model in several files; a model in the executable is one file".into()));
        }
        let (path, held) = hold(bytes).map_err(|error| bad(&name, format!("it cannot be laid out for loading: {error}")))?;
        Ok(Self { name, header, path, _held: Some(held) })
    }

    /// [`sampled_hash`] of the file.
    pub(super) fn hash(&self, source: &ModelSource) -> Result<String, EngineError> {
        let hash = match source {
            ModelSource::Embedded { bytes, .. } => {
                let mut reader = Cursor::new(bytes);
                sampled_hash(bytes.len() as u64, |offset, buffer| {
                    reader.set_position(offset);
                    reader.read_exact(buffer)
                })
            }
            ModelSource::File(_) | ModelSource::Script(_) => File::open(&self.path).and_then(|mut file| {
                let length = file.metadata()?.len();
                sampled_hash(length, |offset, buffer| {
                    file.seek(SeekFrom::Start(offset))?;
                    file.read_exact(buffer)
                })
            }),
        };
        hash.map_err(|error| bad(&self.name, format!("it cannot be read: {error}")))
    }

    /// What the model calls itself, else the file's stem.
    pub(super) fn title(&self) -> String {
        let stem = || self.name.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        self.header.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or_else(stem)
    }
}

impl Header {
    /// Reads the header of the file `path`; the file's other parts, if it has some, are not looked at.
    ///
    /// # Errors
    /// [`EngineError::NoSuchModel`], or [`EngineError::BadModel`] with what is wrong and what to do.
    pub fn read(path: &Path) -> Result<Self, EngineError> {
        let unreadable = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => EngineError::NoSuchModel { path: path.into() },
            _ => bad(path, format!("it cannot be read: {error}")),
        };
        // Before it is opened: a named pipe would be waited for.
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(bad(path, "it is a directory; give the GGUF file in it".into()));
        }
        if !metadata.is_file() {
            return Err(bad(path, "it is no regular file; give a GGUF file".into()));
        }
        let file = File::open(path).map_err(unreadable)?;
        Self::from_reader(path, BufReader::new(file), metadata.len())
    }

    /// Reads the header of a GGUF of `size` bytes from `file`; `name` is what messages call it.
    ///
    /// # Errors
    /// [`EngineError::BadModel`] with what is wrong and what to do.
    pub fn from_reader(name: &Path, file: impl Read + Seek, size: u64) -> Result<Self, EngineError> {
        read_header(file, size).map_err(|reason| bad(name, reason))
    }
}

/// Checks that `path` is the first of its parts, and that the others lie beside it and are what their names say: llama.cpp opens them by
/// name (`llama_get_list_splits`).
fn check_parts(path: &Path, split: Split) -> Result<(), EngineError> {
    let Split { number, count } = split;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let of = |number: u16| format!("-{:05}-of-{count:05}.gguf", u32::from(number) + 1);
    if number != 0 {
        let reason = format!("it is part {} of {count}; give the first part, whose name ends with `{}`", u32::from(number) + 1, of(0));
        return Err(bad(path, reason));
    }
    let Some(stem) = name.strip_suffix(&of(0)) else {
        return Err(bad(path, format!("it is the first of {count} parts, so its name must end with `{}`; rename the parts", of(0))));
    };
    for number in 1..count {
        let part = path.with_file_name(format!("{stem}{}", of(number)));
        let header = match Header::read(&part) {
            Err(EngineError::NoSuchModel { .. }) => {
                return Err(bad(path, format!("its part {} is not beside it; fetch it", part.display())));
            }
            header => header?,
        };
        if header.split != Some(Split { number, count }) {
            return Err(bad(&part, format!("it is not part {} of {count} as its name says; fetch it again", u32::from(number) + 1)));
        }
    }
    Ok(())
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
    let params = model_params(options, file)?.with_use_mmap(options.mmap).with_progress_callback(callback);
    match open_model(backend, file, &params) {
        _ if cancelled.get() => Err(EngineError::LoadCancelled),
        model => model,
    }
}

/// How the model is spread, for loading and for planning.
fn model_params(options: &LoadOptions, file: &ModelFile) -> Result<LlamaModelParams, EngineError> {
    workers::spread(local_params(options), options, file.header.layers)
}

/// How a model is spread that goes to no worker.
fn local_params(options: &LoadOptions) -> LlamaModelParams {
    let params = workers::stay(LlamaModelParams::default());
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
    abort: &Arc<Abort>,
) -> Result<NewContext<'model>, EngineError> {
    let size = context_size(model, options)?;
    let (context, cache_types) = with_cache_types(size, options, |cache_types| {
        let params = context_params(
            options,
            model.n_params(),
            &Shape { size, cache_types, sequences: u32::try_from(sequences(options)).unwrap_or(1) },
        );
        model.new_context(backend, with_abort(params, Arc::clone(abort))).ok()
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
    let threads = threads(options.threads, parameters);
    // llama.cpp has room for one row of logits of each sequence, and aborts where a batch has fewer rows than that.
    let batch = options.batch.max(sequences).clamp(1, size);
    let outputs = u32::try_from(outputs(options)).unwrap_or(u32::MAX).min(batch);
    with_max_outputs(LlamaContextParams::default(), outputs)
        .with_n_ctx(NonZeroU32::new(size))
        .with_n_batch(batch)
        .with_n_ubatch(batch)
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_flash_attention_policy(flash)
        .with_type_k(kv_type(key))
        .with_type_v(kv_type(value))
        // The sequences share the tokens of one cache. A sliding-window model keeps its window only; checkpoints lead back.
        .with_n_seq_max(sequences)
        .with_kv_unified(true)
        .with_swa_full(false)
        .with_no_perf(true)
}

/// Threads for a model of so many parameters, if nothing else is `asked` for.
pub(super) fn threads(asked: Option<u32>, parameters: u64) -> i32 {
    let threads = asked.unwrap_or_else(|| if parameters < SMALL_MODEL { 1 } else { physical_cores() });
    i32::try_from(threads.max(1)).unwrap_or(i32::MAX)
}

/// Transcripts that may be in the cache at once.
pub(super) fn sequences(options: &LoadOptions) -> usize {
    // Each has a token at least.
    let context = options.context.unwrap_or(MAX_SEQUENCES).max(1);
    options.hot.clamp(1, MAX_SEQUENCES.min(context)) as usize
}

/// Rows of one batch that may ask for logits: one for each sequence, or one and the guesses behind it where a reply runs alone.
/// llama.cpp reserves memory for them, and aborts where a batch has more.
pub(super) fn outputs(options: &LoadOptions) -> usize {
    sequences(options).max(1 + MOST_GUESSES)
}

/// Physical cores, but no more than this process may use: a second thread on a core slows decoding down.
pub fn physical_cores() -> u32 {
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
pub(super) fn told(lines: &[String]) -> String {
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

pub(super) fn bad(path: &Path, reason: String) -> EngineError {
    EngineError::BadModel { path: path.into(), reason }
}
