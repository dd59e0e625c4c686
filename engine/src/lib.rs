//! One thread owns the model: load, render, tokenize, prefill, sample, stream.
//!
//! Deliberately not here: what to say to the model and what to do with its answer (`agent`), and anything kept on disk (`memory`).

mod backend;
mod embed;
mod engine;
mod error;
mod facts;
mod generation;
mod llama;
mod machine;
mod measure;
mod message;
mod options;
mod plan;
mod schema;
mod scripted;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod thread;
mod worker;

pub use embed::{EmbedKind, EmbedRequest, EmbedderOptions, Embedding, Embeddings};
pub use engine::Engine;
pub use error::EngineError;
pub use facts::{GgufHeader, Split, backends, llama_build};
pub use generation::{BareTimes, Delta, Finish, FinishReason, Generation, Timings, Usage};
pub use llama::{check_worker_address, physical_cores, remove_transcript};
pub use machine::{Bound, Machine};
pub use measure::{Against, Divergence, Quality, QualityTest, Reference, Speed, SpeedTest};
pub use message::{Message, Role, ToolCall, ToolSchema};
pub use options::{CacheType, ForkPoint, LoadOptions, ModelInfo, ModelSource, Priority, Request, Sampling};
pub use plan::{AttentionTime, Bytes, DevicePlan, Plan};
pub use schema::{check_arguments, check_tools};
pub use worker::{LentDevice, Worker};
