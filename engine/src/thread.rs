//! The model thread: it owns the backend and works through the mailbox.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::backend::{Backend, Ending, Interrupt, Next, Sink};
use crate::embed::EmbedJob;
use crate::llama::Embedder;
use crate::measure::{Quality, QualityTest, Speed, SpeedTest};
use crate::scripted::Scripted;
use crate::{BareTimes, Delta, EngineError, ForkPoint, LoadOptions, ModelSource, Request};

/// Commands that wait; the next sender waits for room.
pub(crate) const MAILBOX: usize = 16;
/// Deltas that wait in one generation's channel; further ones are merged.
pub(crate) const DELTAS: usize = 64;

/// Gets 0.0 to 1.0 while a model loads; `Break` cancels.
pub(crate) type Progress = Box<dyn FnMut(f32) -> ControlFlow<()>>;
/// Gets the backend when it is ready. A backend may borrow from locals of the function that made it: `LlamaContext` does.
pub(crate) type Serve<'a> = &'a mut dyn FnMut(&mut dyn Backend);

/// Hears how much of a measurement is done; `Break` ends it.
pub(crate) struct Hearer(pub(crate) Box<dyn FnMut(f32) -> ControlFlow<()> + Send>);

impl fmt::Debug for Hearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hearer")
    }
}

impl Hearer {
    /// Also ends what nobody waits for any more.
    fn while_wanted<'a, T>(
        &'a mut self,
        reply: &'a oneshot::Sender<T>,
        engine: &'a watch::Receiver<()>,
    ) -> impl FnMut(f32) -> ControlFlow<()> + 'a {
        move |done| match reply.is_closed() || engine.has_changed().is_err() {
            true => ControlFlow::Break(()),
            false => (self.0)(done),
        }
    }
}

/// What the thread can be asked for; the way to answer rides inside.
#[derive(Debug)]
pub(crate) enum Command {
    CountTokens { texts: Vec<String>, reply: oneshot::Sender<Result<Vec<u32>, EngineError>> },
    BareLoop { request: Box<Request>, tokens: u32, reply: oneshot::Sender<Result<BareTimes, EngineError>> },
    Speed { test: SpeedTest, heard: Hearer, reply: oneshot::Sender<Result<Vec<Speed>, EngineError>> },
    Quality { test: QualityTest, heard: Hearer, reply: oneshot::Sender<Result<Quality, EngineError>> },
    Generate { request: Box<Request>, asked: Instant, deltas: mpsc::Sender<Delta>, ending: oneshot::Sender<Ending> },
    Fork { from: String, to: String, at: ForkPoint, reply: oneshot::Sender<Result<u32, EngineError>> },
    Forget { name: String, reply: oneshot::Sender<()> },
    Hot { reply: oneshot::Sender<Vec<(String, u32)>> },
    Embed(Box<EmbedJob>),
}

/// Makes the backend that `options` name and gives it to `serve`.
pub(crate) fn with_backend(
    options: &LoadOptions,
    interrupt: &Arc<Interrupt>,
    progress: Progress,
    serve: Serve<'_>,
) -> Result<(), EngineError> {
    match &options.source {
        ModelSource::Script(path) => {
            serve(&mut Scripted::load(path, options.context, progress)?);
            Ok(())
        }
        ModelSource::File(_) | ModelSource::Embedded { .. } => crate::llama::with_llama(options, interrupt, progress, serve),
    }
}

/// Works through `commands` until the last `Engine` is dropped, which closes both channels.
pub(crate) fn run(
    backend: &mut dyn Backend,
    embedder: &mut Embedder,
    commands: &mut mpsc::Receiver<Command>,
    engine: &watch::Receiver<()>,
    interrupt: &Interrupt,
) -> std::io::Result<()> {
    // Only a wait for a moment or a command runs on it.
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let mut next = Next::Idle;
    while engine.has_changed().is_ok() {
        // Before the mailbox and the limits are looked at: what is raised later than that ends the next batch.
        interrupt.abort.lower();
        let command = match (backend.has_room() && embedder.has_room(), next) {
            (false, _) => None,
            (true, Next::Idle) => match commands.blocking_recv() {
                None => break,
                some => some,
            },
            (true, Next::Now) => match commands.try_recv() {
                Err(TryRecvError::Disconnected) => break,
                received => received.ok(),
            },
            (true, Next::At(time)) => wait(&runtime, commands, interrupt, time),
        };
        if let Some(command) = command {
            obey(backend, embedder, command, engine);
        }
        let embedding = embedder.step(backend.is_waited_for());
        next = backend.step().or_sooner(embedding);
    }
    // What still runs ends as cancelled.
    backend.step();
    backend.close();
    Ok(())
}

/// The next command, or none when `time` has come or somebody does not wait any more.
fn wait(runtime: &Runtime, commands: &mut mpsc::Receiver<Command>, interrupt: &Interrupt, time: Instant) -> Option<Command> {
    runtime.block_on(async {
        tokio::select! {
            biased;
            command = commands.recv() => command,
            () = interrupt.woken.notified() => None,
            () = tokio::time::sleep_until(time.into()) => None,
        }
    })
}

fn obey(backend: &mut dyn Backend, embedder: &mut Embedder, command: Command, engine: &watch::Receiver<()>) {
    match command {
        Command::CountTokens { texts, reply } => {
            let counts = texts.iter().map(|text| backend.count_tokens(text)).collect();
            let _ = reply.send(counts);
        }
        Command::BareLoop { request, tokens, reply } => {
            let _ = reply.send(backend.bare_loop(&request, tokens));
        }
        Command::Speed { test, mut heard, reply } => {
            let result = backend.speed(&test, &mut heard.while_wanted(&reply, engine));
            let _ = reply.send(result);
        }
        Command::Quality { test, mut heard, reply } => {
            let result = backend.quality(&test, &mut heard.while_wanted(&reply, engine));
            let _ = reply.send(result);
        }
        Command::Generate { request, asked, deltas, ending } => {
            let sink = Sink::new(deltas, ending, engine.clone(), asked);
            if !sink.stopped() {
                backend.begin(request, sink);
            }
        }
        Command::Fork { from, to, at, reply } => {
            let _ = reply.send(backend.fork(&from, &to, at));
        }
        Command::Forget { name, reply } => {
            backend.forget(&name);
            let _ = reply.send(());
        }
        Command::Hot { reply } => {
            let _ = reply.send(backend.hot());
        }
        Command::Embed(job) => embedder.begin(job),
    }
}
