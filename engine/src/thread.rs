//! The model thread: it owns the backend and works through the mailbox.

use std::ops::ControlFlow;
use std::time::Instant;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};

use crate::backend::{Backend, Ending, Sink};
use crate::scripted::Scripted;
use crate::{BareTimes, Delta, EngineError, LoadOptions, ModelSource, Request};

/// Commands that wait; the next sender waits for room.
pub(crate) const MAILBOX: usize = 16;
/// Deltas that wait in one generation's channel; further ones are merged.
pub(crate) const DELTAS: usize = 64;

/// Gets 0.0 to 1.0 while a model loads; `Break` cancels.
pub(crate) type Progress = Box<dyn FnMut(f32) -> ControlFlow<()>>;
/// Gets the backend when it is ready. A backend may borrow from locals of the function that made it: `LlamaContext` does.
pub(crate) type Serve<'a> = &'a mut dyn FnMut(&mut dyn Backend);

/// What the thread can be asked for; the way to answer rides inside.
#[derive(Debug)]
pub(crate) enum Command {
    CountTokens { texts: Vec<String>, reply: oneshot::Sender<Result<Vec<u32>, EngineError>> },
    BareLoop { request: Box<Request>, tokens: u32, reply: oneshot::Sender<Result<BareTimes, EngineError>> },
    Generate { request: Box<Request>, asked: Instant, deltas: mpsc::Sender<Delta>, ending: oneshot::Sender<Ending> },
}

/// Makes the backend that `options` name and gives it to `serve`.
pub(crate) fn with_backend(options: &LoadOptions, progress: Progress, serve: Serve<'_>) -> Result<(), EngineError> {
    match &options.source {
        ModelSource::Script(path) => {
            serve(&mut Scripted::load(path, options.context, progress)?);
            Ok(())
        }
        ModelSource::File(_) | ModelSource::Embedded { .. } => crate::llama::with_llama(options, progress, serve),
    }
}

/// Works through `commands` until the last `Engine` is dropped, which closes both channels.
pub(crate) fn run(backend: &mut dyn Backend, commands: &mut mpsc::Receiver<Command>, engine: &watch::Receiver<()>) {
    // Only the timer of `Sink::pause` runs on it.
    let runtime = Builder::new_current_thread().enable_time().build();
    while let Some(command) = commands.blocking_recv() {
        if engine.has_changed().is_err() {
            break;
        }
        match command {
            Command::CountTokens { texts, reply } => {
                let counts = texts.iter().map(|text| backend.count_tokens(text)).collect();
                let _ = reply.send(counts);
            }
            Command::BareLoop { request, tokens, reply } => {
                let _ = reply.send(backend.bare_loop(&request, tokens));
            }
            Command::Generate { request, asked, deltas, ending } => match &runtime {
                Ok(runtime) => {
                    let mut sink = Sink::new(deltas, ending, engine.clone(), asked, runtime);
                    if !sink.stopped() {
                        let result = backend.generate(&request, &mut sink);
                        sink.finish(result);
                    }
                }
                Err(error) => {
                    let result = Err(EngineError::Thread(error.to_string()));
                    let _ = ending.send(Ending { rest: Vec::new(), result });
                }
            },
        }
    }
}
