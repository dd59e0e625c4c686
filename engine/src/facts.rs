//! What llama.cpp was built as, for `--version`, and what a model's header says. Starts nothing.

use serde::Serialize;

/// Version and build of the llama.cpp inside, and of the crate that carries it.
#[must_use]
pub fn llama_build() -> String {
    let info = llama_sys::build_info();
    let build = info.build.map(|build| format!(" ({build})")).unwrap_or_default();
    format!("{}{build}, llama-cpp-sys-2 {}, ggml {}", info.version, info.crate_version, info.ggml_version)
}

/// The compute backends compiled in: `CPU`, `CUDA`, …
#[must_use]
pub fn backends() -> Vec<&'static str> {
    llama_sys::build_info().backends
}

/// What the header of a GGUF says, read within bounds and without loading anything.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GgufHeader {
    /// `general.architecture`.
    pub architecture: Option<String>,
    /// `general.name`.
    pub name: Option<String>,
    /// There is a chat template that is not empty.
    pub has_template: bool,
    /// How the chat template writes a tool call, where it is of a known family: the marker that begins one.
    pub tool_format: Option<String>,
    /// How the weights are quantised, such as `Q4_K_M`; the commonest type where the file does not say.
    pub quant: Option<String>,
    /// The context the model was trained for, in tokens.
    pub trained_context: Option<u64>,
    /// Repeating layers.
    #[serde(skip)]
    pub layers: u64,
    /// Elements of all tensors in this file.
    pub parameters: u64,
    /// It recommends how to sample.
    pub sampling: bool,
    /// Entries of `tokenizer.ggml.tokens`.
    pub tokens: u64,
    /// Entries of `tokenizer.ggml.merges`.
    pub merges: u64,
    /// Bytes of each tensor.
    #[serde(skip)]
    pub tensors: Vec<u64>,
    /// Which part of a model in several files it is.
    pub split: Option<Split>,
}

/// Part `number` (from 0) of `count` files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the sentence above says it")]
pub struct Split {
    pub number: u16,
    pub count: u16,
}
