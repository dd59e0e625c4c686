//! The model thread: a bounded mailbox in front of one [`Backend`].

use std::ops::ControlFlow;

use crate::{Delta, EngineError, Finish, Generation, LoadOptions, ModelInfo, Request};

/// What a model can do. Lives on the model thread; implementations need not be `Send`.
pub trait Backend {
    /// What is known of the model.
    fn info(&self) -> &ModelInfo;
    /// Tokens of `text` by the model's own tokenizer, no special tokens added.
    fn count_tokens(&self, text: &str) -> Result<u32, EngineError>;
    /// Generates one reply. `sink` gets every delta but the finish; `Break` stops within one token.
    fn generate(
        &mut self,
        request: &Request,
        sink: &mut dyn FnMut(Delta) -> ControlFlow<()>,
    ) -> Result<Finish, EngineError>;
}

/// Handle to the model thread: cheap to clone, the last drop ends and joins the thread.
#[derive(Debug, Clone)]
pub struct Engine {}

impl Engine {
    /// Loads the model on its own thread. `progress` gets 0.0 to 1.0 on that thread; `Break` cancels.
    pub async fn load(
        options: LoadOptions,
        progress: impl FnMut(f32) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Self, EngineError> {
        let _ = (options, progress);
        Err(EngineError::Gone)
    }

    /// What is known of the model.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        unimplemented!()
    }

    /// Tokens of each text by the model's own tokenizer.
    pub async fn count_tokens(&self, texts: Vec<String>) -> Result<Vec<u32>, EngineError> {
        let _ = texts;
        Err(EngineError::Gone)
    }

    /// Starts a generation; waits while the mailbox is full.
    pub async fn generate(&self, request: Request) -> Result<Generation, EngineError> {
        let _ = request;
        Err(EngineError::Gone)
    }
}
