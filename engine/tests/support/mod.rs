//! Small GGUFs written for tests and benches: a writer and several kinds of model.
#![allow(dead_code, reason = "each test target uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at what should not happen")]

pub mod encoder;
pub mod gguf;
pub mod models;
pub mod vocabulary;
