//! Telegram: takes messages in and delivers what is said, with the Bot API.
//!
//! Everything that must not be lost is in the journal: an update is there before it is acknowledged, a reply before it is sent. It runs no
//! turns, reads no file but those it sends, and prints nothing.

pub mod api;
mod approvals;
mod call;
mod commands;
mod delivery;
mod draft;
mod errors;
#[cfg(test)]
mod fake;
mod health;
mod intake;
mod loading;
mod media;
mod outbox;
mod pace;
mod pairing;
mod parcels;
mod place;
mod poll;
mod reactions;
mod route;
mod settings;
pub mod text;
mod update;
mod view;
mod webhook;
mod who;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent::AgentError;
use tokio::sync::watch;
use tokio::time::sleep;

pub use api::{Api, ApiError, PROXIES};
pub use settings::{Group, Health, Hooks, MEDIA_BYTES, Settings, Telling, Webhook, When};

use crate::desk::Desk;
use health::Reporter;
use intake::Intake;
use parcels::Parcels;
use poll::pause;
use route::Me;

/// The channel's name in the journal.
pub const CHANNEL: &str = "telegram";

/// Why the channel cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TelegramError {
    /// The token is not, or no longer, that of a bot.
    #[error("Telegram does not take the bot's token: it is wrong, or was revoked; @BotFather gives a new one")]
    Unauthorized,
    /// The Bot API cannot be reached by these settings at all.
    #[error("Telegram cannot be used by these settings: {0}")]
    Settings(ApiError),
    /// Telegram does not take the webhook.
    #[error("Telegram does not take the webhook: {0}")]
    Webhook(ApiError),
    /// The webhook's address cannot be listened on.
    #[error("the webhook cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The process stops, and nothing is on its way any more.
    #[error("stopped")]
    Stopped,
    /// The journal cannot be read at the start.
    #[error(transparent)]
    Journal(#[from] AgentError),
}

/// Holds the channel until it cannot go on; dropping the future ends it at any moment without loss. Other owners and groups in `settings`
/// hold at once; with anything else changed it begins anew.
pub async fn run(desk: Desk, mut settings: watch::Receiver<Settings>, health: watch::Sender<Health>, hooks: Hooks) -> TelegramError {
    let (hooks, health) = (Arc::new(hooks), Reporter::new(health));
    loop {
        let now = settings.borrow_and_update().clone();
        tokio::select! {
            ended = hold(&desk, &now, &settings, &health, &hooks) => match ended {
                Err(TelegramError::Stopped) => return TelegramError::Stopped,
                Err(error) => {
                    health.trouble(&error.to_string());
                    return error;
                }
                Ok(never) => match never {},
            },
            () = changed(settings.clone(), &now) => health.well("the settings have changed; beginning anew"),
        }
    }
}

/// Until the settings lead another way.
async fn changed(mut settings: watch::Receiver<Settings>, now: &Settings) {
    while settings.borrow_and_update().is_same_way(now) {
        if settings.changed().await.is_err() {
            // Nobody is there who could change them.
            std::future::pending::<()>().await;
        }
    }
}

async fn hold(
    desk: &Desk,
    now: &Settings,
    settings: &watch::Receiver<Settings>,
    health: &Reporter,
    hooks: &Arc<Hooks>,
) -> Result<Infallible, TelegramError> {
    let api = Api::new(&now.token, &now.api_url, now.proxy.as_ref()).map_err(TelegramError::Settings)?;
    let parcels = Parcels::load(&desk.store).await.map_err(AgentError::from)?;
    let me = me(&api, health, hooks).await?;
    let intake = Arc::new(Intake::new(desk.clone(), api.clone(), me, settings.clone(), Arc::clone(hooks), parcels));
    let take_in = async {
        match &now.webhook {
            Some(webhook) => webhook::listen(Arc::clone(&intake), webhook, health).await,
            None => poll::poll(&intake, health).await,
        }
    };
    tokio::select! {
        error = take_in => Err(error),
        ended = outbox::run(desk.clone(), api) => Err(ended.map_or(TelegramError::Stopped, |_| TelegramError::Unauthorized)),
        never = parcels::work(Arc::clone(&intake)) => Ok(never),
        never = pair(&intake) => Ok(never),
        never = register(&intake) => Ok(never),
    }
}

/// Who we are, as soon as Telegram can be reached.
async fn me(api: &Api, health: &Reporter, hooks: &Hooks) -> Result<Me, TelegramError> {
    let mut failures = 0;
    loop {
        let error = match api.call_raw("getMe", &serde_json::json!({})).await {
            Ok(me) => {
                let username = me["username"].as_str().unwrap_or_default().to_owned();
                return Ok(Me { id: me["id"].as_i64().unwrap_or_default(), username });
            }
            Err(ApiError::Unauthorized | ApiError::NotFound(_)) => return Err(TelegramError::Unauthorized),
            Err(error) => error,
        };
        failures += 1;
        health.trouble(&format!("Telegram cannot be reached yet: {error}"));
        let asked = if let ApiError::Flood(asked) = error { asked } else { Duration::ZERO };
        sleep(asked.max(pause(failures, (hooks.random)()))).await;
    }
}

/// Shows a code for pairing where nobody is an owner yet, and whenever one is asked for at the machine.
async fn pair(intake: &Intake) -> Infallible {
    // What cannot be read now the first update will tell of.
    if intake.circle().await.is_ok_and(|circle| circle.owners.is_empty()) {
        (intake.hooks.show)(&intake.open_pairing());
    }
    let mut asked = intake.hooks.pair.lock().await;
    while let Some(asks) = asked.recv().await {
        // Who does not wait any more wants none, and the code that was shown last stays good.
        if !asks.is_closed() {
            let _ = asks.send(intake.open_pairing());
        }
    }
    std::future::pending().await
}

/// Keeps the commands that Telegram shows as the owners and groups are.
async fn register(intake: &Intake) -> Infallible {
    let mut settings = intake.settings.clone();
    let mut shown = None;
    let mut failures = 0;
    loop {
        settings.mark_unchanged();
        let circle = intake.circle().await.unwrap_or_default();
        if shown.as_ref() != Some(&circle) {
            match commands::register(intake, &circle).await {
                Ok(()) => (shown, failures) = (Some(circle), 0),
                Err(error) => {
                    failures += 1;
                    tracing::info!("the commands cannot be shown yet: {error}");
                }
            }
        }
        let again =
            async { if failures == 0 { std::future::pending().await } else { sleep(pause(failures, (intake.hooks.random)())).await } };
        tokio::select! {
            () = again => {}
            () = intake.paired.notified() => {}
            changed = settings.changed() => if changed.is_err() {
                // Nobody is there who could change them.
                intake.paired.notified().await;
            }
        }
    }
}
