//! What a channel has of the process that it runs in: a place to put messages down before the model is there to read them, and to
//! see what becomes of them.
//!
//! It runs no turns: `serve` does. What is accepted here is in the journal, and that is enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agent::memory::{Accepted, Inbound, Store, StoreError};
use agent::{Agent, AgentError, Answer, Event, KeepRule, Question, Secrets};
use tokio::sync::watch;

use crate::live::Live;
use crate::socket::TurnLimits;

/// Numbers the messages of this process that have no id of a platform.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// How far the process is.
#[derive(Clone)]
pub enum State {
    /// The model is being loaded: 0 to 1.
    Loading(f32),
    /// The model can decode.
    Ready(Arc<Agent>),
    /// The process ends: turns that run are being parked.
    Stopping,
}

/// See the top of this file. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    /// The journal and the notes.
    pub store: Store,
    /// The events of the turns that run.
    pub live: Live,
    /// What is kept out of messages.
    pub secrets: watch::Receiver<Secrets>,
    /// How far the process is.
    pub state: watch::Receiver<State>,
    /// How a rule is kept that the owner agrees to before the agent is there.
    pub keep_rule: Arc<KeepRule>,
}

impl Desk {
    /// The agent, once the model is loaded.
    #[must_use]
    pub fn agent(&self) -> Option<Arc<Agent>> {
        match &*self.state.borrow() {
            State::Ready(agent) => Some(Arc::clone(agent)),
            State::Loading(_) | State::Stopping => None,
        }
    }

    /// Commits a message: as [`Agent::accept`], also before there is one.
    pub async fn accept(&self, inbound: Inbound) -> Result<Accepted, AgentError> {
        let secrets = self.secrets.borrow().clone();
        agent::accept(&self.store, &secrets, inbound).await
    }

    /// [`Desk::accept`], with bounds for the turn. The message gets an id of its own.
    pub(crate) async fn accept_with(&self, inbound: Inbound, limits: TurnLimits) -> Result<Accepted, AgentError> {
        let message = format!("{}-{}", std::process::id(), ASKED.fetch_add(1, Ordering::Relaxed));
        if limits != TurnLimits::default() {
            self.live.bound(&message, limits);
        }
        self.accept(Inbound { message: Some(message), ..inbound }).await
    }

    /// Records an answer, and has its turn go on.
    pub async fn answer(&self, question: &Question, answer: Answer) -> Result<(), AgentError> {
        let refused = (!answer.allowed && question.task.is_none()).then(|| agent::denied(answer.why.as_deref()));
        match self.agent() {
            Some(agent) => agent.answer(question, answer).await?,
            None => {
                let secrets = self.secrets.borrow().clone();
                agent::answer(&self.store, &secrets, &self.keep_rule, question, answer).await?;
            }
        }
        if let Some(content) = refused {
            self.live.show(question.turn, Event::ToolResult { id: question.call.clone(), ok: false, content });
        }
        self.store.tell_of_change();
        Ok(())
    }

    /// Ends an open turn and its tasks because the owner said so; whether it was open still.
    pub async fn stop(&self, turn: i64) -> Result<bool, AgentError> {
        let stopped = match self.agent() {
            Some(agent) => agent.stop(turn).await,
            None => agent::stop(&self.store, turn).await.map(|_| ()),
        };
        match stopped {
            Ok(()) => {
                self.store.tell_of_change();
                Ok(true)
            }
            Err(AgentError::Store(StoreError::TurnFinished { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
