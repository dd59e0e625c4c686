//! How a model is loaded and what a generation may do.

use std::path::PathBuf;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::{EmbedderOptions, Message, ToolSchema};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A GGUF file.
    File(PathBuf),
    /// A GGUF inside the executable.
    Embedded {
        /// What the model is called in events and messages.
        name: &'static str,
        /// The whole GGUF.
        bytes: &'static [u8],
    },
    /// Given replies instead of a model, for tests and for showing things (DESIGN §8).
    Script(PathBuf),
}

/// Element type of the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are llama.cpp's own")]
pub enum CacheType {
    F32,
    F16,
    Bf16,
    Q8_0,
    Q5_1,
    Q5_0,
    Q4_1,
    Q4_0,
}

impl CacheType {
    /// All of them, the largest first.
    pub const ALL: [Self; 8] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0, Self::Q5_1, Self::Q5_0, Self::Q4_1, Self::Q4_0];

    /// llama.cpp's name of it, which is also the configuration's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q5_1 => "q5_1",
            Self::Q5_0 => "q5_0",
            Self::Q4_1 => "q4_1",
            Self::Q4_0 => "q4_0",
        }
    }

    /// Bytes of 32 elements (`ggml-common.h`: the blocks of each type).
    #[must_use]
    pub fn block_bytes(self) -> u64 {
        match self {
            Self::F32 => 128,
            Self::F16 | Self::Bf16 => 64,
            Self::Q8_0 => 34,
            Self::Q5_1 => 24,
            Self::Q5_0 => 22,
            Self::Q4_1 => 20,
            Self::Q4_0 => 18,
        }
    }
}

/// How to load a model. The defaults are those of a box that runs day and night (DESIGN §5).
#[derive(Debug, Clone, PartialEq)]
pub struct LoadOptions {
    /// The model.
    pub source: ModelSource,
    /// Context length in tokens; `None`: the smaller of the model's own and 32,768.
    pub context: Option<u32>,
    /// Type of the K cache.
    pub cache_type_k: CacheType,
    /// Type of the V cache; a quantised one needs flash attention.
    pub cache_type_v: CacheType,
    /// Map the file instead of reading it.
    pub mmap: bool,
    /// Flash attention.
    pub flash_attention: bool,
    /// Layers on GPUs and workers; `None`: all, when there is a GPU, and with workers alone a share by free memory.
    pub gpu_layers: Option<u32>,
    /// Threads; `None`: the physical cores.
    pub threads: Option<u32>,
    /// Tokens in one prefill batch.
    pub batch: u32,
    /// Most transcripts whose keys and values are in memory at once, 1 to 64. They share the context's tokens.
    pub hot: u32,
    /// Where transcripts are kept that are not in memory; `None`: nowhere.
    pub kv_folder: Option<PathBuf>,
    /// Most bytes in `kv_folder`; the least recently used transcripts go first.
    pub kv_disk_bytes: u64,
    /// Guess tokens that repeat the context and verify them in one batch. The text stays the same.
    pub draft: bool,
    /// Most bytes of the machine's memory that model, caches and buffers may take; `None`: what is available.
    pub memory_limit: Option<u64>,
    /// Load even if the [`Plan`](crate::Plan) says that it does not fit.
    pub ignore_plan: bool,
    /// Bytes set aside for checkpoints, with models that need them: recurrent, hybrid and sliding-window ones.
    pub checkpoint_bytes: u64,
    /// A second model, for embeddings: loaded beside this one when it is first needed, and counted in the plan from the start.
    pub embedder: Option<EmbedderOptions>,
    /// Other machines that take layers, `HOST:PORT` of each `paguro worker`, at most 16; see [`check_worker_address`](crate::check_worker_address).
    pub workers: Vec<String>,
}

impl LoadOptions {
    /// The defaults for `source`.
    #[must_use]
    pub fn new(source: ModelSource) -> Self {
        Self {
            source,
            context: None,
            cache_type_k: CacheType::Q4_0,
            cache_type_v: CacheType::Q4_0,
            mmap: false,
            flash_attention: true,
            gpu_layers: None,
            threads: None,
            batch: 512,
            hot: 8,
            kv_folder: None,
            kv_disk_bytes: 8 << 30,
            draft: true,
            memory_limit: None,
            ignore_plan: false,
            checkpoint_bytes: 256 << 20,
            embedder: None,
            workers: Vec::new(),
        }
    }
}

/// What is known of a loaded model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// `general.name` of the GGUF, else the file's stem.
    pub name: String,
    /// SHA-256 over the file's length and samples of it, in hexadecimal; the same for the same file. Empty for a script.
    pub hash: String,
    /// `general.architecture`, or `script`.
    pub architecture: String,
    /// Parameters, in units.
    pub parameters: u64,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// The context in use, in tokens.
    pub context: u32,
    /// The context the model was trained for, in tokens.
    pub trained_context: u32,
    /// Type of the K cache in use: what was asked for, or f16 where the model's shape does not allow that. `None`: no cache.
    pub cache_type_k: Option<CacheType>,
    /// Type of the V cache in use, likewise; f16 also where a quantised one was asked for without flash attention.
    pub cache_type_v: Option<CacheType>,
    /// Whether the template has a place for tools.
    pub tools: bool,
    /// What to fall back on where a [`Sampling`] field is `None`: from the GGUF, else the engine's own.
    pub sampling: Sampling,
    /// Milliseconds from the command to load to the model being ready.
    pub load_ms: f64,
}

/// How the next token is chosen. `None`: the model's recommendation from its GGUF, else the engine's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: Option<f32>,
    /// Nucleus, 0 to 1.
    pub top_p: Option<f32>,
    /// Candidates kept; 0 keeps all.
    pub top_k: Option<i32>,
    /// Least probability relative to the best, 0 to 1.
    pub min_p: Option<f32>,
    /// 1 is off.
    pub repeat_penalty: Option<f32>,
    /// Seed of the sampler.
    pub seed: Option<u32>,
}

/// One generation.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The conversation, system block first.
    pub messages: Vec<Message>,
    /// The transcript that the conversation is kept in; `None`: one that all such requests share.
    pub transcript: Option<String>,
    /// Whose turn comes first.
    pub priority: Priority,
    /// The tools that may be called; empty: none.
    pub tools: Vec<ToolSchema>,
    /// How to sample.
    pub sampling: Sampling,
    /// Most tokens to generate; `None`: up to the end of the context.
    pub max_tokens: Option<u32>,
    /// Most tokens of reasoning; then it is closed with the template's own marker and the reply goes on. `None`: no limit.
    pub reasoning_tokens: Option<u32>,
    /// When to stop.
    pub deadline: Option<Instant>,
    /// JSON Schema that the text must follow; not together with tools.
    pub json_schema: Option<serde_json::Value>,
}

/// Whose turn comes first. Among equals the model's time is shared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// Goes on only while nobody waits: it pauses between two tokens and keeps what it has.
    Background,
}

/// Where a transcript is forked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForkPoint {
    /// At its end.
    #[default]
    End,
    /// After so many messages, as the template's end-of-turn tokens count them.
    Messages(usize),
}
