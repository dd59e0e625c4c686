//! How the process is, put together from its parts: what `paguro status` and `/status` show.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use channels::telegram::Health;
use channels::{Desk, State};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::status::{self, Channel, Hot, Model, Readiness, Status};

/// Where a code for pairing is asked for.
type Pair = mpsc::Sender<oneshot::Sender<String>>;

/// How long a code for pairing is waited for: it needs the bot's name, which only Telegram knows.
const PAIR: Duration = Duration::from_secs(5);

/// What is known beside the journal.
pub struct About {
    started: Instant,
    /// What the model's plan is, in bytes.
    planned: Option<u64>,
    telegram: Mutex<Option<(watch::Receiver<Health>, Pair)>>,
}

impl About {
    pub fn new(planned: Option<u64>) -> Self {
        Self { started: Instant::now(), planned, telegram: Mutex::default() }
    }

    /// Telegram is there, and says how it is.
    pub fn telegram(&self, health: watch::Receiver<Health>, pair: Pair) {
        *self.telegram.lock().unwrap_or_else(PoisonError::into_inner) = Some((health, pair));
    }

    /// A new code by which somebody becomes an owner on Telegram, in a line that says what to do with it.
    pub async fn pair(&self) -> Result<String> {
        let telegram = self.telegram.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (health, pair) = telegram.context("no Telegram bot is configured here; `paguro config init` asks for its token")?;
        let (asks, code) = oneshot::channel();
        let asked = async {
            pair.send(asks).await.ok()?;
            code.await.ok()
        };
        let code = timeout(PAIR, asked).await.ok().flatten();
        code.with_context(|| format!("there is no code now: {}", health.borrow().state))
    }

    pub async fn status(&self, desk: &Desk) -> Result<Status> {
        let told = status::of_store(&desk.store).await?;
        let running = desk.live.running().len() as u64;
        let agent = desk.agent();
        let hot = match &agent {
            Some(agent) => agent.engine().hot().await?,
            None => Vec::new(),
        };
        let state = match &*desk.state.borrow() {
            State::Loading(done) => Readiness::Loading { done: *done },
            State::Ready(_) => Readiness::Ready,
            State::Stopping => Readiness::Unknown,
        };
        let telegram = self.telegram.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let telegram = telegram.map(|(health, _)| {
            let Health { state, is_well, errors, last_update, .. } = &*health.borrow();
            let last = last_update.map(|at| format!("; last update {} s ago", at.elapsed().as_secs())).unwrap_or_default();
            let errors = match errors {
                0 => String::new(),
                1 => "; one error since the start".to_owned(),
                errors => format!("; {errors} errors since the start"),
            };
            Channel { name: "telegram".to_owned(), ok: *is_well, says: format!("{state}{last}{errors}") }
        });
        Ok(Status {
            uptime_s: self.started.elapsed().as_secs(),
            state,
            model: agent.map(|agent| Model { name: agent.engine().info().name.clone(), context: agent.engine().info().context }),
            hot: hot.into_iter().map(|(session, tokens)| Hot { session, tokens: tokens.into() }).collect(),
            running,
            waiting: told.waiting.saturating_sub(running),
            memory: status::Memory { planned: self.planned, ..told.memory.clone() },
            channels: telegram.into_iter().collect(),
            ..told
        })
    }
}
