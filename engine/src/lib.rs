//! One thread owns the model: load, render, tokenize, prefill, sample, stream.
//!
//! Deliberately not here: what to say to the model and what to do with its answer (`agent`), and anything kept on disk (`memory`).

mod backend;
mod engine;
mod error;
mod facts;
mod generation;
mod llama;
mod machine;
mod message;
mod options;
mod plan;
mod scripted;
mod thread;

pub use engine::Engine;
pub use error::EngineError;
pub use facts::{backends, llama_build};
pub use generation::{BareTimes, Delta, Finish, FinishReason, Generation, Timings, Usage};
pub use machine::{Bound, Machine};
pub use message::{Message, Role, ToolCall, ToolSchema};
pub use options::{CacheType, LoadOptions, ModelInfo, ModelSource, Request, Sampling};
pub use plan::{Bytes, DevicePlan, Plan};
