//! The model thread: it owns the backend and works through the mailbox.

use std::ops::ControlFlow;
use std::time::Instant;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};

use crate::backend::{Backend, Ending, Sink};
use crate::scripted::Scripted;
use crate::{Delta, EngineError, LoadOptions, ModelSource, Request};

/// Commands that wait; the next sender waits for room.
pub(crate) const MAILBOX: usize = 16;
/// Deltas that wait in one generation's channel; further ones are merged.
pub(crate) const DELTAS: usize = 64;

/// Gets 0.0 to 1.0 while a model loads; `Break` cancels.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(f32) -> ControlFlow<()>;

/// What the thread can be asked for; the way to answer rides inside.
#[derive(Debug)]
pub(crate) enum Command {
    CountTokens { texts: Vec<String>, reply: oneshot::Sender<Result<Vec<u32>, EngineError>> },
    Generate { request: Box<Request>, deltas: mpsc::Sender<Delta>, ending: oneshot::Sender<Ending> },
}

/// Makes the backend that `options` name.
pub(crate) fn load_backend(options: &LoadOptions, progress: Progress<'_>) -> Result<Box<dyn Backend>, EngineError> {
    let start = Instant::now();
    match &options.source {
        ModelSource::Script(path) => Ok(Box::new(Scripted::load(path, options.context, start, progress)?)),
        ModelSource::File(path) => Err(EngineError::BadModel { path: path.clone(), reason: "not built yet".into() }),
        ModelSource::Embedded { name, .. } => Err(EngineError::BadModel { path: name.into(), reason: "not built yet".into() }),
    }
}

/// Works through `commands` until the last `Engine` is dropped, which closes both channels.
pub(crate) fn run(mut backend: Box<dyn Backend>, mut commands: mpsc::Receiver<Command>, engine: &watch::Receiver<()>) {
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
            Command::Generate { request, deltas, ending } => match &runtime {
                Ok(runtime) => {
                    let mut sink = Sink::new(deltas, ending, engine.clone(), runtime);
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
