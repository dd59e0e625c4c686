//! The handle to the model thread.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use crate::backend::Interrupt;
use crate::embed::{EmbedJob, NoChat, Waiting};
use crate::llama::Embedder;
use crate::measure::{Quality, QualityTest, Speed, SpeedTest};
use crate::thread::{Command, DELTAS, Hearer, MAILBOX, Progress, Serve, run, with_backend};
use crate::{
    BareTimes, EmbedKind, EmbedRequest, EmbedderOptions, Embeddings, EngineError, ForkPoint, Generation, LoadOptions, ModelInfo, Priority,
    Request,
};

/// Stack of the model thread. Some of llama.cpp's pre-tokenizers are regular expressions that recurse for each character of
/// a word; a page that is never touched costs nothing.
const STACK_BYTES: usize = 64 << 20;

/// Handle to the model thread: cheap to clone. The last drop stops all generations within one token, lets the transcripts be
/// kept on disk, and joins the thread; generations still waiting end with [`EngineError::Gone`].
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    info: ModelInfo,
    has_embedder: bool,
    /// `None` only while dropping.
    mailbox: Option<mpsc::Sender<Command>>,
    /// Its drop tells the thread to stop.
    alive: Option<watch::Sender<()>>,
    interrupt: Arc<Interrupt>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Loads the model on its own thread. `progress` gets 0.0 to 1.0 on that thread; `Break` cancels, and so does
    /// dropping the future.
    ///
    /// # Errors
    /// What is wrong with the model, or [`EngineError::LoadCancelled`].
    pub async fn load(options: LoadOptions, progress: impl FnMut(f32) -> ControlFlow<()> + Send + 'static) -> Result<Self, EngineError> {
        let embedder = options.embedder.clone();
        Self::start(embedder, progress, move |interrupt, progress, serve| with_backend(&options, interrupt, progress, serve)).await
    }

    /// An engine that makes embeddings and has no model to talk to: generations end with [`EngineError::NoChatModel`]. The embedder
    /// is loaded when it is first needed, so a file that cannot be used is told then.
    ///
    /// # Errors
    /// [`EngineError::Thread`].
    pub async fn embedding_only(embedder: EmbedderOptions) -> Result<Self, EngineError> {
        let load = |_: &Arc<Interrupt>, _: Progress, serve: Serve<'_>| {
            serve(&mut NoChat::new());
            Ok(())
        };
        Self::start(Some(embedder), |_| ControlFlow::Continue(()), load).await
    }

    /// Starts the thread around the backend that `load` makes there.
    pub(crate) async fn start<L>(
        embedder: Option<EmbedderOptions>,
        mut progress: impl FnMut(f32) -> ControlFlow<()> + Send + 'static,
        load: L,
    ) -> Result<Self, EngineError>
    where
        L: FnOnce(&Arc<Interrupt>, Progress, Serve<'_>) -> Result<(), EngineError> + Send + 'static,
    {
        let (mailbox, mut commands) = mpsc::channel(MAILBOX);
        let (alive, watcher) = watch::channel(());
        let (ready, loaded) = oneshot::channel::<Result<ModelInfo, EngineError>>();
        let interrupt = Arc::new(Interrupt::default());
        let shared = Arc::clone(&interrupt);
        let has_embedder = embedder.is_some();
        let body = move || {
            let engine = watcher.clone();
            // The sending half is in the future that waits for the load, so a dropped future cancels too.
            let progress = Box::new(move |done: f32| match engine.has_changed() {
                Ok(_) => progress(done),
                Err(_) => ControlFlow::Break(()),
            });
            let mut ready = Some(ready);
            let mut embedder = Embedder::new(embedder, Arc::clone(&shared), watcher.clone());
            let result = load(&shared, progress, &mut |backend| {
                let info = backend.info().clone();
                if ready.take().is_some_and(|ready| ready.send(Ok(info)).is_ok()) {
                    // Without a runtime for its waits the thread ends, and every caller is told `Gone`.
                    let _ = run(backend, &mut embedder, &mut commands, &watcher, &shared);
                }
            });
            if let (Some(ready), Err(error)) = (ready, result) {
                let _ = ready.send(Err(error));
            }
        };
        let thread = std::thread::Builder::new().name("model".into()).stack_size(STACK_BYTES).spawn(body);
        let thread = thread.map_err(|error| EngineError::Thread(error.to_string()))?;
        let info = loaded.await.map_err(|_| EngineError::Gone)??;
        let (mailbox, alive, thread) = (Some(mailbox), Some(alive), Some(thread));
        Ok(Self { inner: Arc::new(Inner { info, has_embedder, mailbox, alive, interrupt, thread }) })
    }

    /// What is known of the model.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.inner.info
    }

    /// Whether an embedder is configured. It may still turn out not to be there.
    #[must_use]
    pub fn has_embedder(&self) -> bool {
        self.inner.has_embedder
    }

    /// Tokens of each text by the model's own tokenizer, no special tokens added. Waits for a running generation.
    ///
    /// # Errors
    /// [`EngineError::Gone`] when the thread has ended.
    pub async fn count_tokens(&self, texts: Vec<String>) -> Result<Vec<u32>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::CountTokens { texts, reply }).await?;
        answer.await.map_err(|_| EngineError::Gone)?
    }

    /// The vectors of some texts, in their order. Loads the embedder if it is not in memory, which generations wait for; then they
    /// wait for one batch at a time at most. Dropping the future ends the work on it, the batch that runs included.
    ///
    /// # Errors
    /// [`EngineError::NoEmbedder`], what is wrong with the embedder's file, [`EngineError::TextTooLong`], [`EngineError::Embed`].
    pub async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, EngineError> {
        let is_query = request.kind == EmbedKind::Query;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting::new(&self.inner.interrupt);
        self.send(Command::Embed(Box::new(EmbedJob { request, waiting: waiting.watched(), reply }))).await?;
        if is_query {
            self.inner.interrupt.preempt();
        }
        let answer = answer.await;
        waiting.answered();
        answer.map_err(|_| EngineError::Gone)?
    }

    /// Measures a bare loop of `llama_decode` and argmax on this model, thread and cache: the prompt of `request` from the
    /// start, then `tokens` tokens. It is what the engine's own speed is compared with. The cache is empty afterwards.
    ///
    /// # Errors
    /// As those of a generation, and [`EngineError::Measure`] for a script.
    pub async fn bare_loop(&self, request: Request, tokens: u32) -> Result<BareTimes, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::BareLoop { request: Box::new(request), tokens, reply }).await?;
        answer.await.map_err(|_| EngineError::Gone)?
    }

    /// Measures prefill and decode at some depths. `heard` gets 0.0 to 1.0 on the model's thread; `Break` ends the measurement, and so
    /// does dropping the future. The transcripts in memory are lost, and no generation may run.
    ///
    /// # Errors
    /// [`EngineError::Measure`], or what is wrong with decoding.
    pub async fn speed(
        &self,
        test: SpeedTest,
        heard: impl FnMut(f32) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Vec<Speed>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Speed { test, heard: Hearer(Box::new(heard)), reply }).await?;
        answer.await.map_err(|_| EngineError::Gone)?
    }

    /// Measures how well the model foretells a text, as [`Engine::speed`] measures speed.
    ///
    /// # Errors
    /// [`EngineError::Measure`], or what is wrong with decoding.
    pub async fn quality(
        &self,
        test: QualityTest,
        heard: impl FnMut(f32) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Quality, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Quality { test, heard: Hearer(Box::new(heard)), reply }).await?;
        answer.await.map_err(|_| EngineError::Gone)?
    }

    /// Makes a transcript `to` that begins as `from` does, up to `at`. The two share what they have in common and are apart from
    /// then on. Returns the tokens they share; fewer than asked for where the model cannot go back to just there.
    ///
    /// # Errors
    /// [`EngineError::NoTranscript`] when there is no `from`.
    pub async fn fork(&self, from: &str, to: &str, at: ForkPoint) -> Result<u32, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Fork { from: from.into(), to: to.into(), at, reply }).await?;
        answer.await.map_err(|_| EngineError::Gone)?
    }

    /// Drops the transcript `name` from memory and disk, if there is one.
    ///
    /// # Errors
    /// [`EngineError::Gone`] when the thread has ended.
    pub async fn forget(&self, name: &str) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Forget { name: name.into(), reply }).await?;
        answer.await.map_err(|_| EngineError::Gone)
    }

    /// The transcripts in memory, the last used first: name and tokens.
    ///
    /// # Errors
    /// [`EngineError::Gone`] when the thread has ended.
    pub async fn hot(&self) -> Result<Vec<(String, u32)>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Hot { reply }).await?;
        answer.await.map_err(|_| EngineError::Gone)
    }

    /// Starts a generation; waits while the mailbox is full. What is wrong with the request comes by the stream.
    ///
    /// # Errors
    /// [`EngineError::Gone`] when the thread has ended.
    pub async fn generate(&self, request: Request) -> Result<Generation, EngineError> {
        let (deltas, stream) = mpsc::channel(DELTAS);
        let (ending, end) = oneshot::channel();
        let interactive = request.priority == Priority::Interactive;
        self.send(Command::Generate { request: Box::new(request), asked: Instant::now(), deltas, ending }).await?;
        if interactive {
            self.inner.interrupt.preempt();
        }
        Ok(Generation::new(stream, end, Arc::clone(&self.inner.interrupt)))
    }

    async fn send(&self, command: Command) -> Result<(), EngineError> {
        let mailbox = self.inner.mailbox.as_ref().ok_or(EngineError::Gone)?;
        mailbox.send(command).await.map_err(|_| EngineError::Gone)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.alive.take());
        drop(self.mailbox.take());
        self.interrupt.raise();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by the hook and told to every caller as `Gone`.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
