//! Embeddings: what is asked for, and what comes back. How they are made stands in `llama/embed.rs`.

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::backend::{Backend, Interrupt, Next, Sink};
use crate::{EngineError, ModelInfo, ModelSource, Request, Sampling};

/// How long an unused embedder stays in memory. Longer than the pauses of a conversation; after it the memory serves better as the
/// system's file cache, from which a small embedder comes back in a fraction of a second.
const IDLE: Duration = Duration::from_secs(300);

/// What a text is, which says what is put before it and whether somebody waits for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbedKind {
    /// Something to look for: its batches run between the tokens of generations.
    Query,
    /// Something to be found: its batches run while no interactive generation does.
    #[default]
    Document,
}

/// Texts that become vectors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmbedRequest {
    /// Any number, in any lengths: they go through in batches.
    pub texts: Vec<String>,
    /// What all of them are.
    pub kind: EmbedKind,
    /// A text with more tokens than the embedder's context is cut to its beginning; without this it is an error.
    pub cut: bool,
}

/// How to load and use an embedder. It is loaded when it is first needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedderOptions {
    /// An embedding model: an encoder, or a decoder whose header says how its vectors are pooled.
    pub source: ModelSource,
    /// Most tokens of a text, up to what the model was trained for; `None`: 512, or what it was trained for if that is less.
    pub context: Option<u32>,
    /// What the model wants before a query, such as `query: `.
    pub query_prefix: String,
    /// What it wants before a document, such as `passage: `.
    pub document_prefix: String,
    /// Unused for so long it is unloaded; zero: as soon as nothing waits for it.
    pub idle: Duration,
    /// Layers on the GPU; `None`: all, when there is one.
    pub gpu_layers: Option<u32>,
    /// Threads; `None`: the physical cores.
    pub threads: Option<u32>,
    /// Most bytes of the machine's memory that it may take; `None`: what is available when it is loaded.
    pub memory_limit: Option<u64>,
    /// Load it even if it does not fit.
    pub ignore_plan: bool,
}

impl EmbedderOptions {
    /// The defaults for `source`.
    #[must_use]
    pub fn new(source: ModelSource) -> Self {
        Self {
            source,
            context: None,
            query_prefix: String::new(),
            document_prefix: String::new(),
            idle: IDLE,
            gpu_layers: None,
            threads: None,
            memory_limit: None,
            ignore_plan: false,
        }
    }

    /// What stands before a text of this kind.
    pub(crate) fn prefix(&self, kind: EmbedKind) -> &str {
        match kind {
            EmbedKind::Query => &self.query_prefix,
            EmbedKind::Document => &self.document_prefix,
        }
    }
}

/// The vector of one text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// Of length 1; all zero for a text without tokens.
    pub vector: Vec<f32>,
    /// Tokens that it was made from, prefix and the model's own marks among them.
    pub tokens: u32,
    /// The text had more tokens than the embedder takes; the vector stands for its beginning.
    pub cut: bool,
}

/// The vectors of some texts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Embeddings {
    /// The embedder's `general.name`, else its file's stem. Vectors of two models cannot be compared.
    pub model: String,
    /// Length of each vector, in numbers.
    pub dimensions: u32,
    /// In the order of the texts.
    pub embeddings: Vec<Embedding>,
    /// Milliseconds that loading the embedder took; 0: it was there already.
    pub load_ms: f64,
}

/// A request on its way through the model thread.
#[derive(Debug)]
pub(crate) struct EmbedJob {
    pub(crate) request: EmbedRequest,
    /// Dead when nobody waits any more.
    pub(crate) waiting: Weak<()>,
    pub(crate) reply: oneshot::Sender<Result<Embeddings, EngineError>>,
}

/// Somebody who waits for embeddings. When it is dropped before it is `answered`, the batch that runs ends early.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    alive: Option<Arc<()>>,
    interrupt: &'a Interrupt,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(interrupt: &'a Interrupt) -> Self {
        Self { alive: Some(Arc::new(())), interrupt }
    }

    /// What tells whether this is still there.
    pub(crate) fn watched(&self) -> Weak<()> {
        self.alive.as_ref().map_or_else(Weak::new, Arc::downgrade)
    }

    pub(crate) fn answered(mut self) {
        self.alive = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.alive.take().is_some() {
            self.interrupt.raise();
        }
    }
}

/// Stands where a model to talk to would: an engine for embeddings alone has none.
#[derive(Debug)]
pub(crate) struct NoChat {
    info: ModelInfo,
}

impl NoChat {
    pub(crate) fn new() -> Self {
        let info = ModelInfo {
            name: "none".into(),
            hash: String::new(),
            architecture: "none".into(),
            parameters: 0,
            weight_bytes: 0,
            context: 0,
            trained_context: 0,
            cache_type_k: None,
            cache_type_v: None,
            tools: false,
            sampling: Sampling::default(),
            load_ms: 0.0,
        };
        Self { info }
    }
}

impl Backend for NoChat {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, _: &str) -> Result<u32, EngineError> {
        Err(EngineError::NoChatModel)
    }

    fn begin(&mut self, _: Box<Request>, sink: Sink) {
        sink.finish(Err(EngineError::NoChatModel));
    }

    fn step(&mut self) -> Next {
        Next::Idle
    }
}
