//! llama.cpp for the engine: the crates `llama-cpp-2` and `llama-cpp-sys-2`, and our shim over what they lack.
//!
//! The shim (`shim/*.cpp`) wraps llama.cpp's own `common` library: chat templates rendered with tools, grammar and
//! parser; replies parsed, whole or partial; grammars in a sampler that reports instead of throwing. It speaks JSON
//! text and status codes, one file per subject; every export catches everything, so nothing unwinds across the border.
//!
//! Deliberately not here: what to do with any of it. Loading, decoding and scheduling are the engine's.

#![allow(unsafe_code, reason = "this crate is the border to C++; each block says which rule makes it sound")]

mod abort;
mod chat;
mod error;
mod ffi;
mod grammar;
mod info;
mod log;
mod plan;
mod reply;
mod vocab;
mod worker;

pub use llama_cpp_2;
pub use llama_cpp_sys_2;

pub use abort::{Abort, with_abort};
pub use chat::{Capabilities, ChatTemplate, RenderInput, Rendered, ToolChoice, Trigger, TriggerKind};
pub use error::{ErrorKind, ShimError};
pub use grammar::{GrammarSampler, json_schema_to_grammar};
pub use info::{BuildInfo, build_info};
pub use log::{LogLevel, log_lines_of, send_logs_to, silence_logs};
pub use plan::{
    AttentionShape, BufferMemory, ContextMemory, DeviceMemory, Memory, attention_time, context_memory, is_windowed, with_max_outputs,
};
pub use reply::{ParsedReply, ParsedToolCall, ReplyParser};
pub use vocab::{preserved_tokens, sliding_window, special_token_texts};
pub use worker::{RPC_VERSION, RpcDevice, end_process, lent_devices, local_gpus, on_lost_worker, serve_worker, worker_devices};
