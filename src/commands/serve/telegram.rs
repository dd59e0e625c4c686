//! Telegram as `serve` has it: its settings from the configuration, and what the channel has the executable do.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use channels::Desk;
use channels::telegram::{Group, Health, Hooks, Settings, TelegramError, Webhook, When};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::about::About;
use crate::commands::{chat, job, why};
use crate::config::{GroupWhen, TELEGRAM_TOKEN};
use crate::exit::BadInput;
use crate::parts::Context;
use crate::{secrets, status};

/// The channel, if a token is configured.
pub struct Telegram {
    running: Option<(watch::Sender<Settings>, AbortHandle)>,
}

impl Telegram {
    /// Begins it beside the turns, if there is a token.
    pub fn start(context: &Context, desk: &Desk, about: &Arc<About>, beside: &mut JoinSet<()>) -> Result<Self> {
        let mut telegram = Self { running: None };
        telegram.renew(context, desk, about, beside)?;
        Ok(telegram)
    }

    /// Takes over what the configuration says now.
    pub fn renew(&mut self, context: &Context, desk: &Desk, about: &Arc<About>, beside: &mut JoinSet<()>) -> Result<()> {
        let Some(new) = settings(context)? else {
            // One that runs goes on until the next start: who takes the token away has stopped wanting answers, not losing messages.
            return Ok(());
        };
        // One that has ended, by a wrong token, begins again.
        if let Some((settings, _)) = self.running.as_ref().filter(|(_, task)| !task.is_finished()) {
            settings.send_if_modified(|old| {
                *old != new && {
                    *old = new;
                    true
                }
            });
            return Ok(());
        }
        let (sender, receiver) = watch::channel(new);
        let health = watch::Sender::new(Health::new());
        let (pair, asked) = mpsc::channel(1);
        about.telegram(health.subscribe(), pair);
        let (desk, hooks) = (desk.clone(), hooks(context, desk, about, asked)?);
        let task = beside.spawn(async move {
            let error = channels::telegram::run(desk, receiver, health, hooks).await;
            match error {
                TelegramError::Stopped => tracing::info!("telegram: {error}"),
                error => tracing::error!("telegram: {error}; everything else goes on"),
            }
        });
        self.running = Some((sender, task));
        Ok(())
    }
}

/// What is configured; `None`: no token is.
pub fn settings(context: &Context) -> Result<Option<Settings>> {
    let telegram = &context.config.telegram;
    let Some(token) = token(context)? else { return Ok(None) };
    let webhook = match &telegram.webhook {
        Some(webhook) => {
            let secret = read_secret(context, &webhook.secret_file)?;
            Some(Webhook { url: webhook.url.clone(), listen: webhook.listen, secret })
        }
        None => None,
    };
    let when = |when| match when {
        GroupWhen::Mention => When::Mention,
        GroupWhen::Always => When::Always,
    };
    Ok(Some(Settings {
        token,
        api_url: telegram.api_url.clone(),
        proxy: telegram.proxy.clone(),
        owners: telegram.owners.clone(),
        groups: telegram.groups.iter().map(|group| Group { id: group.id, when: when(group.when) }).collect(),
        webhook,
        workspace: context.open_workspace()?.root().to_owned(),
        media_bytes: telegram.media_mb << 20,
    }))
}

/// The bot's token: the variable, else the file.
fn token(context: &Context) -> Result<Option<String>> {
    if let Some(token) = std::env::var(TELEGRAM_TOKEN).ok().filter(|token| !token.trim().is_empty()) {
        return Ok(Some(token.trim().to_owned()));
    }
    context.config.telegram.token_file.as_deref().map(|file| read_secret(context, file)).transpose()
}

fn read_secret(context: &Context, file: &Path) -> Result<String> {
    let place = secrets::place(&context.home, file);
    let text = std::fs::read_to_string(&place).with_context(|| format!("{} of [telegram] cannot be read", place.display()))?;
    match text.trim() {
        "" => Err(BadInput(format!("{} of [telegram] is empty", place.display())).into()),
        text => Ok(text.to_owned()),
    }
}

fn hooks(context: &Context, desk: &Desk, about: &Arc<About>, pair: mpsc::Receiver<oneshot::Sender<String>>) -> Result<Hooks> {
    let undo_files = chat::undo_files(context.kept(&desk.store), context.open_workspace()?);
    let (for_why, for_jobs, for_status, about) = (desk.clone(), desk.clone(), desk.clone(), Arc::clone(about));
    let or_error = |told: Result<String>| told.unwrap_or_else(|error| format!("{error:#}"));
    Ok(Hooks {
        undo_files,
        why: Box::new(move |turn| {
            let desk = for_why.clone();
            Box::pin(async move { or_error(why::text(&desk.store, turn).await) })
        }),
        status: Box::new(move || {
            let (desk, about) = (for_status.clone(), Arc::clone(&about));
            Box::pin(async move { or_error(about.status(&desk).await.map(|status| status::text(&status))) })
        }),
        jobs: Box::new(move || {
            let desk = for_jobs.clone();
            Box::pin(async move { or_error(job::text(&desk.store).await) })
        }),
        show: Box::new(|line| tell!("paguro: {}", channels::visible(line))),
        random: || RandomState::new().build_hasher().finish(),
        pair: Mutex::new(pair),
    })
}
