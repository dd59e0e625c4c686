//! The embedder: a second model on the model thread, loaded when it is needed and unloaded when it has been idle. Which request comes
//! next and what goes into a batch is decided here; the batch itself is `model`'s.

mod model;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use llama_sys::llama_cpp_2::token::LlamaToken;
use tokio::sync::watch;

pub(super) use self::model::{Shape, find};

use self::model::{BATCH_TEXTS, Loaded};
use super::{count, milliseconds};
use crate::backend::{Interrupt, Next};
use crate::embed::EmbedJob;
use crate::{EmbedKind, EmbedderOptions, Embedding, Embeddings, EngineError};

/// Requests that wait; the mailbox is not read while there are so many.
const REQUESTS: usize = 64;
/// Bytes of text that are tokenized in one step.
const TOKENIZED_BYTES: usize = 64 << 10;

/// Works through requests for embeddings, one batch a step.
pub(crate) struct Embedder {
    options: Option<EmbedderOptions>,
    interrupt: Arc<Interrupt>,
    /// Closed when the last `Engine` is dropped.
    engine: watch::Receiver<()>,
    jobs: VecDeque<Job>,
    loaded: Option<Loaded>,
    /// When it has last done something.
    used: Instant,
}

/// A request and how far it is.
struct Job {
    asked: Box<EmbedJob>,
    /// How many of the request's texts have been tokenized.
    tokenized: usize,
    /// The tokenized texts without a vector; when all are tokenized, the shortest last.
    texts: Vec<Text>,
    /// One for each text that has been tokenized, all zero until it has its vector.
    embeddings: Vec<Embedding>,
    load_ms: f64,
}

/// A text as tokens, at least one.
struct Text {
    /// Its place in the request.
    index: usize,
    tokens: Vec<LlamaToken>,
}

impl Embedder {
    pub(crate) fn new(options: Option<EmbedderOptions>, interrupt: Arc<Interrupt>, engine: watch::Receiver<()>) -> Self {
        Self { options, interrupt, engine, jobs: VecDeque::new(), loaded: None, used: Instant::now() }
    }

    /// Whether [`Embedder::begin`] may be called.
    pub(crate) fn has_room(&self) -> bool {
        self.jobs.len() < REQUESTS
    }

    /// Takes a request; it is worked on with each [`Embedder::step`].
    pub(crate) fn begin(&mut self, asked: Box<EmbedJob>) {
        match &self.options {
            Some(_) => self.jobs.push_back(Job { asked, tokenized: 0, texts: Vec::new(), embeddings: Vec::new(), load_ms: 0.0 }),
            None => drop(asked.reply.send(Err(EngineError::NoEmbedder))),
        }
    }

    /// Loads the embedder, tokenizes some text or works for one batch; unloads the embedder when its time has come. `waited_for`:
    /// somebody waits for a generation, so documents pause.
    pub(crate) fn step(&mut self, waited_for: bool) -> Next {
        self.jobs.retain(|job| job.asked.waiting.strong_count() > 0);
        let query = self.jobs.iter().position(|job| job.asked.request.kind == EmbedKind::Query);
        if let Some(index) = query.or((!waited_for && !self.jobs.is_empty()).then_some(0)) {
            let done = self.work(index);
            self.used = Instant::now();
            match done {
                Ok(false) => {}
                Ok(true) => self.end(index, None),
                Err(error) => self.end(index, Some(error)),
            }
        }
        if self.jobs.is_empty() { self.rest() } else { Next::Now }
    }

    /// Nothing is to be done: when to look again.
    fn rest(&mut self) -> Next {
        let (Some(_), Some(options)) = (&self.loaded, &self.options) else { return Next::Idle };
        match self.used.checked_add(options.idle) {
            Some(until) if until <= Instant::now() => {
                self.loaded = None;
                Next::Idle
            }
            until => until.map_or(Next::Idle, Next::At),
        }
    }

    /// Goes on with a job; whether it is done.
    fn work(&mut self, index: usize) -> Result<bool, EngineError> {
        let (Some(options), Some(job)) = (&self.options, self.jobs.get_mut(index)) else { return Ok(true) };
        let Some(loaded) = &mut self.loaded else {
            let start = Instant::now();
            let (engine, waiting) = (self.engine.clone(), job.asked.waiting.clone());
            // A load goes on for as long as the one who needed it waits.
            let progress = move |_| match engine.has_changed().is_ok() && waiting.strong_count() > 0 {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            };
            self.loaded = Some(Loaded::load(options, &self.interrupt.abort, Box::new(progress))?);
            job.load_ms = milliseconds(start);
            return Ok(false);
        };
        let kind = job.asked.request.kind;
        if job.tokenized < job.asked.request.texts.len() {
            job.tokenize_some(loaded, options.prefix(kind))?;
            return Ok(false);
        }
        let batch = take_batch(&mut job.texts, loaded.batch_tokens());
        if batch.is_empty() {
            return Ok(true);
        }
        // A document's batch is given up for the owner. No generation's deadline counts here.
        self.interrupt.abort.set_deadline(None);
        self.interrupt.preemptable.store(kind == EmbedKind::Document, Ordering::Relaxed);
        let tokens: Vec<&[LlamaToken]> = batch.iter().map(|text| text.tokens.as_slice()).collect();
        let vectors = loaded.vectors(&tokens, &self.interrupt.abort);
        self.interrupt.preemptable.store(false, Ordering::Relaxed);
        match vectors? {
            None => job.texts.extend(batch),
            Some(vectors) => {
                for (text, vector) in batch.iter().zip(vectors) {
                    job.embeddings[text.index].vector = vector;
                }
            }
        }
        Ok(job.texts.is_empty())
    }

    /// Answers a job.
    fn end(&mut self, index: usize, error: Option<EngineError>) {
        let Some(job) = self.jobs.remove(index) else { return };
        let answer = match (error, &self.loaded) {
            (Some(error), _) => Err(error),
            (None, None) => Err(EngineError::NoEmbedder),
            (None, Some(loaded)) => Ok(Embeddings {
                model: loaded.name().into(),
                dimensions: loaded.dimensions(),
                embeddings: job.embeddings,
                load_ms: job.load_ms,
            }),
        };
        // Whoever does not wait any more misses nothing.
        let _ = job.asked.reply.send(answer);
    }
}

impl Job {
    /// Tokenizes the next texts, each with what the vocabulary puts around it. A text without tokens has its vector then.
    fn tokenize_some(&mut self, loaded: &Loaded, prefix: &str) -> Result<(), EngineError> {
        let request = &self.asked.request;
        let (most, dimensions) = (loaded.text_tokens(), loaded.dimensions() as usize);
        let mut bytes = 0;
        for (index, text) in request.texts.iter().enumerate().skip(self.tokenized) {
            if bytes > TOKENIZED_BYTES {
                return Ok(());
            }
            bytes += text.len();
            self.tokenized += 1;
            let mut tokens = loaded.tokenize(&[prefix, text.as_str()].concat());
            let cut = tokens.len() > most;
            if cut && !request.cut {
                return Err(EngineError::TextTooLong { number: index + 1, tokens: count(tokens.len()), most: count(most) });
            }
            if cut {
                loaded.cut(&mut tokens);
            }
            self.embeddings.push(Embedding { vector: vec![0.0; dimensions], tokens: count(tokens.len()), cut });
            if !tokens.is_empty() {
                self.texts.push(Text { index, tokens });
            }
        }
        // Texts of one length make the fullest batches.
        self.texts.sort_by_key(|text| std::cmp::Reverse(text.tokens.len()));
        Ok(())
    }
}

/// Takes texts from the end of `texts`, at least one if there is one, at most `most` tokens otherwise.
fn take_batch(texts: &mut Vec<Text>, most: usize) -> Vec<Text> {
    let (mut batch, mut tokens) = (Vec::new(), 0);
    while batch.len() < BATCH_TEXTS {
        match texts.pop_if(|text| batch.is_empty() || tokens + text.tokens.len() <= most) {
            Some(text) => {
                tokens += text.tokens.len();
                batch.push(text);
            }
            None => break,
        }
    }
    // Put back as they are they come in the same order again.
    batch.reverse();
    batch
}
