//! `[telegram]`: the bot, and who may talk to it.

use std::net::SocketAddr;
use std::path::PathBuf;

use channels::telegram::PROXIES;
use serde::{Deserialize, Serialize};
use url::Url;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telegram {
    /// The file with the bot's token; or the variable `PAGURO_TELEGRAM_TOKEN`.
    pub token_file: Option<PathBuf>,
    /// Numeric ids of those who may do everything.
    pub owners: Vec<i64>,
    pub api_url: Url,
    pub proxy: Option<Url>,
    /// Most megabytes of a file that somebody sends.
    pub media_mb: u64,
    /// The groups in which it answers.
    pub groups: Vec<TelegramGroup>,
    /// Telegram sends updates here; else they are asked for.
    pub webhook: Option<TelegramWebhook>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelegramGroup {
    pub id: i64,
    #[serde(default)]
    pub when: GroupWhen,
}

/// When it answers in a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupWhen {
    /// When it is mentioned or replied to.
    #[default]
    Mention,
    Always,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelegramWebhook {
    /// What Telegram is told; a proxy there ends its TLS.
    pub url: Url,
    /// Where we listen.
    pub listen: SocketAddr,
    /// The file with what Telegram must say each time.
    pub secret_file: PathBuf,
}

impl Default for Telegram {
    fn default() -> Self {
        // A constant that is a URL; without it there would be no default at all.
        #[expect(clippy::unwrap_used, reason = "a constant")]
        let api_url = Url::parse("https://api.telegram.org").unwrap();
        Self { token_file: None, owners: Vec::new(), api_url, proxy: None, media_mb: 20, groups: Vec::new(), webhook: None }
    }
}

impl Telegram {
    /// Whether there is a token.
    pub fn is_configured(&self) -> bool {
        self.token_file.is_some() || std::env::var_os(super::TELEGRAM_TOKEN).is_some_and(|token| !token.is_empty())
    }

    /// Values that the types alone let through.
    pub fn check(&self) -> Result<(), String> {
        if let Some(owner) = self.owners.iter().find(|owner| **owner <= 0) {
            return Err(format!("`telegram.owners` has {owner}; a person's id is a positive number"));
        }
        if let Some(group) = self.groups.iter().find(|group| group.id >= 0) {
            return Err(format!("`telegram.groups` has {}; a group's id is a negative number", group.id));
        }
        if !(1..=2_000).contains(&self.media_mb) {
            return Err(format!("`telegram.media_mb` is {}; give a number from 1 to 2000", self.media_mb));
        }
        let webhook = self.webhook.as_ref().map(|webhook| &webhook.url);
        let web: &[&str] = &["https", "http"];
        let (addresses, proxy) = ([("api_url", Some(&self.api_url)), ("webhook.url", webhook)], ("proxy", self.proxy.as_ref()));
        for ((key, url), known) in addresses.into_iter().map(|address| (address, web)).chain([(proxy, &PROXIES[..])]) {
            if let Some(url) = url.filter(|url| !known.contains(&url.scheme())) {
                let known = known.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ");
                return Err(format!("`telegram.{key}` begins with {}:; give a URL that begins with {known}", url.scheme()));
            }
        }
        Ok(())
    }
}
