//! The model is loaded while everything else is at work already.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use channels::State;
use engine::{Engine, EngineError, LoadOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A model that is being loaded.
pub struct Loading {
    task: JoinHandle<Result<Engine, EngineError>>,
    cancelled: Arc<AtomicBool>,
}

impl Loading {
    /// Begins; `state` says how far it is.
    pub fn start(options: LoadOptions, state: watch::Sender<State>) -> Self {
        let cancelled = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&cancelled);
        let progress = move |done: f32| {
            state.send_replace(State::Loading(done));
            if seen.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        Self { task: tokio::spawn(Engine::load(options, progress)), cancelled }
    }

    /// Waits for the model. Dropping the future changes nothing.
    pub async fn ended(&mut self) -> Result<Engine> {
        Ok((&mut self.task).await??)
    }

    /// Gives it up, and waits until it is.
    pub async fn cancel(self) {
        self.cancelled.store(true, Ordering::Relaxed);
        let _ = self.task.await; // that it was cancelled is what it says
    }
}
