//! One embedding model and its context: what shape they have, and the vectors of a batch.
#![allow(unsafe_code, reason = "a model and a context on it stand in one value")]

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use llama_sys::llama_cpp_2::DecodeError;
use llama_sys::llama_cpp_2::context::LlamaContext;
use llama_sys::llama_cpp_2::context::params::{LlamaContextParams, LlamaPoolingType};
use llama_sys::llama_cpp_2::llama_batch::LlamaBatch;
use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::{Abort, LogLevel, log_lines_of, with_abort};

use crate::llama::count;
use crate::llama::load::{ModelFile, bad, llama_backend, load_model, plan, threads, told};
use crate::thread::Progress;
use crate::{EmbedderOptions, EngineError, LoadOptions};

/// Texts in one batch. llama.cpp keeps a row of logits for each, even if none is in use.
pub(super) const BATCH_TEXTS: usize = 16;
/// Tokens in one batch of several texts: interactive generations wait for one batch at most.
const BATCH_TOKENS: usize = 512;
/// Most tokens of a text where the options say nothing: that of most encoders, and more than a note has.
const DEFAULT_CONTEXT: u32 = 512;
/// Bytes that a batch of several texts may take for logits. llama.cpp keeps a row of them for each token of an embedding batch, as
/// long as the vocabulary, whether or not the model computes any (`llama_context::output_reserve`).
const BATCH_LOGITS: usize = 64 << 20;
/// Least tokens in a batch, however large the vocabulary.
const LEAST_TOKENS: usize = 32;
/// `llama_decode`'s answer when the abort was due.
const ABORTED: i32 = 2;

/// Finds the embedder's file and checks its header.
pub(in crate::llama) fn find(options: &EmbedderOptions) -> Result<ModelFile, EngineError> {
    ModelFile::find(&options.source).map_err(|error| match error {
        EngineError::NoSuchModel { path } => EngineError::NoSuchEmbedder { path },
        error => error,
    })
}

/// What an embedder's context is like: the same for the plan and for the load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::llama) struct Shape {
    /// Most tokens of a text.
    pub(in crate::llama) context: u32,
    pooling: LlamaPoolingType,
    /// Whether the tokens of a text may come in several decodes: a token sees only those before it, and the last one is the vector.
    in_parts: bool,
    /// Most tokens of several texts together.
    batch_tokens: usize,
    threads: i32,
}

impl Shape {
    /// The shape for `model`, which may be without its weights.
    ///
    /// # Errors
    /// It is no embedding model, or was not trained for so long a context.
    pub(in crate::llama) fn new(model: &LlamaModel, file: &ModelFile, options: &EmbedderOptions) -> Result<Self, EngineError> {
        let architecture = file.header.architecture.as_deref().unwrap_or_default();
        check_vocabulary(model, &file.name)?;
        let pooling = pooling(model, architecture, &file.name)?;
        let trained = match model.n_ctx_train() {
            // It does not say.
            0 => DEFAULT_CONTEXT,
            trained => trained,
        };
        let context = options.context.unwrap_or(DEFAULT_CONTEXT.min(trained)).max(1);
        if context > trained {
            let reason = format!("its context is {context} tokens and it was trained for {trained}; lower `context` in [embedder]");
            return Err(bad(&file.name, reason));
        }
        let vocabulary = usize::try_from(model.n_vocab()).unwrap_or(0).max(1);
        // llama.cpp rounds the tokens of the graph that it reserves up to a multiple of the sequences, but not the rows of its output;
        // where the two differ, the product for mean pooling ends the process.
        let batch_tokens = (BATCH_LOGITS / size_of::<f32>() / vocabulary).clamp(LEAST_TOKENS, BATCH_TOKENS) / BATCH_TEXTS * BATCH_TEXTS;
        let in_parts = pooling == LlamaPoolingType::Last && is_causal(model, architecture);
        Ok(Self { context, pooling, in_parts, batch_tokens, threads: threads(options.threads, model.n_params()) })
    }

    /// Tokens that the context holds: one text, or several short ones.
    fn cells(&self) -> usize {
        self.batch_tokens.max(self.context as usize).next_multiple_of(BATCH_TEXTS)
    }

    /// Most tokens of one decode. A model that looks at all tokens of a text at once gets them at once.
    fn rows(&self) -> usize {
        if self.in_parts { self.batch_tokens } else { self.cells() }
    }

    /// Bytes of what is kept of each row for reading.
    pub(in crate::llama) fn output_bytes(&self, model: &LlamaModel) -> u64 {
        let numbers = u64::try_from(model.n_vocab()).unwrap_or(0) + u64::from(dimensions(model));
        self.rows() as u64 * numbers * size_of::<f32>() as u64
    }

    pub(in crate::llama) fn params(&self) -> LlamaContextParams {
        let rows = count(self.rows());
        LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(count(self.cells())))
            .with_n_batch(rows)
            .with_n_ubatch(rows)
            .with_n_seq_max(count(BATCH_TEXTS))
            .with_n_threads(self.threads)
            .with_n_threads_batch(self.threads)
            .with_pooling_type(self.pooling)
            .with_embeddings(true)
            .with_kv_unified(true)
            .with_no_perf(true)
    }
}

/// An embedding model in memory.
pub(super) struct Loaded {
    /// On `model`. Dropped first: fields are dropped in their order.
    context: LlamaContext<'static>,
    model: LlamaModel,
    batch: LlamaBatch<'static>,
    shape: Shape,
    name: String,
}

impl Loaded {
    pub(super) fn load(options: &EmbedderOptions, abort: &Arc<Abort>, progress: Progress) -> Result<Self, EngineError> {
        let file = find(options)?;
        let backend = llama_backend()?;
        // What it takes has been looked at by then, with a context of another kind than that of a model to talk to.
        plan::check_embedder(backend, &file, options)?;
        let loading = LoadOptions { gpu_layers: options.gpu_layers, ignore_plan: true, ..LoadOptions::new(options.source.clone()) };
        let model = load_model(backend, &file, &loading, progress)?;
        let shape = Shape::new(&model, &file, options)?;
        let params = with_abort(shape.params(), Arc::clone(abort));
        let (context, lines) = log_lines_of(LogLevel::Error, || model.new_context(backend, params));
        let context = context.map_err(|_| bad(&file.name, format!("llama.cpp makes no context for it: {}", told(&lines))))?;
        // SAFETY: the lifetime stands for a borrow of the model that llama.cpp holds, which lies where llama.cpp has put it, wherever
        // the handle `model` is moved to. `Loaded` keeps that handle for as long as the context, drops it after the context, and gives
        // neither away.
        let context = unsafe { std::mem::transmute::<LlamaContext<'_>, LlamaContext<'static>>(context) };
        Ok(Self { context, batch: LlamaBatch::new(shape.rows(), 1), shape, name: file.title(), model })
    }

    /// What the model calls itself, else its file's stem.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Length of a vector.
    pub(super) fn dimensions(&self) -> u32 {
        dimensions(&self.model)
    }

    /// Most tokens of a text.
    pub(super) fn text_tokens(&self) -> usize {
        self.shape.context as usize
    }

    /// Most tokens of several texts together.
    pub(super) fn batch_tokens(&self) -> usize {
        self.shape.batch_tokens
    }

    /// The tokens of `text`, with the model's own marks.
    pub(super) fn tokenize(&self, text: &str) -> Vec<LlamaToken> {
        self.model.vocab().tokenize(text.as_bytes(), true, false)
    }

    /// Drops what is more than a text may have. A closing mark stays: some models take their vector from it.
    pub(super) fn cut(&self, tokens: &mut Vec<LlamaToken>) {
        let last = tokens.last().copied().filter(|last| self.model.vocab().is_control(*last));
        tokens.truncate(self.text_tokens());
        if let (Some(mark), Some(end)) = (last, tokens.last_mut()) {
            *end = mark;
        }
    }

    /// The vectors of a batch, of length 1; `None`: it was aborted. At most [`BATCH_TEXTS`] texts, none empty, of
    /// [`Loaded::batch_tokens`] together, or one of [`Loaded::text_tokens`].
    pub(super) fn vectors(&mut self, texts: &[&[LlamaToken]], abort: &Abort) -> Result<Option<Vec<Vec<f32>>>, EngineError> {
        let vectors = self.decode(texts, abort);
        self.context.clear_kv_cache();
        vectors
    }

    fn decode(&mut self, texts: &[&[LlamaToken]], abort: &Abort) -> Result<Option<Vec<Vec<f32>>>, EngineError> {
        let failed = |error: &dyn std::fmt::Display| EngineError::Embed(format!("llama.cpp says {error}"));
        let mut vectors = vec![Vec::new(); texts.len()];
        let mut ended = Vec::new();
        let rows = texts.iter().enumerate().flat_map(|(sequence, text)| {
            text.iter().enumerate().map(move |(position, token)| (sequence, position, *token, position + 1 == text.len()))
        });
        let rows: Vec<_> = rows.collect();
        for part in rows.chunks(self.shape.rows()) {
            self.batch.clear();
            for &(sequence, position, token, is_last) in part {
                self.batch.add(token, number(position)?, &[number(sequence)?], true).map_err(|error| failed(&error))?;
                if is_last {
                    ended.push(sequence);
                }
            }
            match self.context.decode(&mut self.batch) {
                Ok(()) => {}
                Err(DecodeError::Unknown(ABORTED)) => return Ok(None),
                // Some backends say it in other words.
                Err(_) if abort.is_due() => return Ok(None),
                Err(error) => return Err(failed(&error)),
            }
            for sequence in ended.drain(..) {
                let vector = self.context.embeddings_seq_ith(number(sequence)?).map_err(|error| failed(&error))?;
                vectors[sequence] = normalised(vector)?;
            }
        }
        Ok(Some(vectors))
    }
}

fn dimensions(model: &LlamaModel) -> u32 {
    u32::try_from(model.n_embd_out()).unwrap_or(0)
}

/// Refuses what llama.cpp's tokenizer would end the process for.
fn check_vocabulary(model: &LlamaModel, path: &Path) -> Result<(), EngineError> {
    let vocab = model.vocab();
    let is_known = |token: LlamaToken| (0..vocab.n_tokens()).contains(&token.0);
    // The binding's `vocab_type` panics at a WordPiece vocabulary.
    let kind = model.meta_val_str("tokenizer.ggml.model").unwrap_or_default();
    let lacks = (vocab.should_add_bos() && !is_known(vocab.bos()))
        || (vocab.should_add_eos() && !is_known(vocab.eos()))
        || (kind == "bert" && !(is_known(vocab.bos()) && is_known(vocab.sep())));
    match (kind.as_str(), lacks) {
        ("" | "none" | "no_vocab", _) => Err(bad(path, "it has no vocabulary, so it cannot read text; choose an embedding GGUF".into())),
        (_, true) => Err(bad(path, "its vocabulary lacks the marks that it asks for; choose another GGUF".into())),
        (_, false) => Ok(()),
    }
}

/// Architectures that are made for embeddings alone, whether or not the header says so.
fn is_encoder(architecture: &str) -> bool {
    architecture.contains("bert") || architecture == "gemma-embedding"
}

/// Whether a token sees only those before it.
fn is_causal(model: &LlamaModel, architecture: &str) -> bool {
    let told = model.meta_val_str(&format!("{architecture}.attention.causal")).ok();
    told.map_or(!is_encoder(architecture), |told| told.trim() != "false")
}

/// How the vectors of a text's tokens become one: as the header says, else their mean for an encoder. A decoder whose header says
/// nothing is made for talking.
fn pooling(model: &LlamaModel, architecture: &str, path: &Path) -> Result<LlamaPoolingType, EngineError> {
    let refused = |what: &str| Err(bad(path, format!("{what}; choose an embedding GGUF")));
    if architecture.starts_with("t5") {
        return refused("it is of the T5 family, which cannot be used for embeddings here");
    }
    let told = model.meta_val_str(&format!("{architecture}.pooling_type")).ok();
    let told = told.and_then(|told| told.trim().parse::<i32>().ok()).map_or(LlamaPoolingType::Unspecified, LlamaPoolingType::from);
    match told {
        LlamaPoolingType::Mean | LlamaPoolingType::Cls | LlamaPoolingType::Last => Ok(told),
        LlamaPoolingType::Rank => refused("it is a reranker, which gives scores instead of vectors"),
        LlamaPoolingType::None | LlamaPoolingType::Unspecified if is_encoder(architecture) => Ok(LlamaPoolingType::Mean),
        LlamaPoolingType::None | LlamaPoolingType::Unspecified => refused("it is no embedding model: its header has no `pooling_type`"),
    }
}

/// `vector` with length 1; one that is all zero stays so.
fn normalised(vector: &[f32]) -> Result<Vec<f32>, EngineError> {
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if !length.is_finite() {
        return Err(EngineError::Embed("the model's vector has values that are no numbers; choose another GGUF".into()));
    }
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    #[allow(clippy::cast_possible_truncation, reason = "between -1 and 1")]
    Ok(vector.iter().map(|x| (f64::from(*x) * scale) as f32).collect())
}

fn number(index: usize) -> Result<i32, EngineError> {
    i32::try_from(index).map_err(|error| EngineError::Embed(error.to_string()))
}
