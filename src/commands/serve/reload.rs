//! The configuration while `serve` runs: read again on SIGHUP and when its file changes. A good one applies, a bad one is refused with the
//! reason and the old one stays.

use std::sync::Arc;

use agent::{Agent, Secrets};
use anyhow::Result;
use channels::visible;
use tokio::sync::watch;

use crate::args::TurnArgs;
use crate::config::Config;
use crate::logs::{self, Logs};
use crate::parts::{self, Context};
use crate::secrets;

/// The configuration in use.
pub struct Reload {
    pub context: Context,
    pub turn: TurnArgs,
    /// Whether facts are distilled when nothing runs.
    pub distils: bool,
    secrets: watch::Sender<Secrets>,
    logs: Logs,
}

impl Reload {
    pub fn new(context: Context, turn: TurnArgs) -> Result<Self> {
        let secrets = watch::Sender::new(secrets::known(&context)?);
        let distils = distils(&context, &turn)?;
        let logs = logs::start(&context)?;
        Ok(Self { context, turn, distils, secrets, logs })
    }

    /// The secrets as they are.
    pub fn secrets(&self) -> watch::Receiver<Secrets> {
        self.secrets.subscribe()
    }

    /// Reads the configuration again before there is an agent.
    pub async fn changed(&mut self) {
        if let Some(old) = self.read() {
            self.settle(&old);
        }
    }

    /// Reads the configuration again: the agent by the new one, if there is one and it is another.
    pub async fn renew(&mut self, agent: &Agent) -> Option<Arc<Agent>> {
        let old = self.read()?;
        match parts::renewed(&self.context, &self.turn, &old, agent).await {
            Ok(agent) => {
                self.settle(&old);
                Some(Arc::new(agent))
            }
            Err(error) => {
                refused(&error);
                self.context.config = old;
                None
            }
        }
    }

    /// Takes the file's configuration, and gives back the one before if it was another.
    fn read(&mut self) -> Option<Config> {
        match Context::read() {
            Ok(read) if read.config == self.context.config => None,
            Ok(read) => Some(std::mem::replace(&mut self.context, read).config),
            Err(error) => {
                refused(&error);
                None
            }
        }
    }

    /// The new configuration holds.
    fn settle(&mut self, old: &Config) {
        let logs = self.logs.reload(&self.context);
        match (logs.and_then(|()| secrets::known(&self.context)), distils(&self.context, &self.turn)) {
            (Ok(secrets), Ok(distils)) => {
                self.secrets.send_replace(secrets);
                self.distils = distils;
            }
            (Err(error), _) | (_, Err(error)) => refused(&error),
        }
        let new = &self.context.config;
        let late: Vec<&str> =
            [("[model]", old.model == new.model), ("[engine]", old.engine == new.engine), ("[embedder]", old.embedder == new.embedder)]
                .into_iter()
                .filter_map(|(section, same)| (!same).then_some(section))
                .collect();
        if late.is_empty() {
            tracing::info!("the configuration was read again and holds");
        } else {
            tracing::warn!("the configuration was read again and holds; what changed in {} does from the next start on", late.join(", "));
        }
    }
}

fn refused(error: &anyhow::Error) {
    let error = format!("{error:#}").replace('\n', " ");
    tracing::error!("the configuration was read again and is refused, the old one stays: {}", visible(&error));
}

fn distils(context: &Context, turn: &TurnArgs) -> Result<bool> {
    Ok(context.config.memory.distil.unwrap_or(!context.is_demo(turn)?))
}
