//! What the channel is told by the executable, and what it tells: settings, hooks, health. It reads no file and no environment.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Instant;

use tokio::sync::{Mutex, mpsc, oneshot};
use url::Url;

use crate::terminal::UndoFiles;

/// Most bytes of one file that `getFile` gives, and the default of [`Settings::media_bytes`].
pub const MEDIA_BYTES: u64 = 20 << 20;

/// How the channel is set up. New owners and groups hold at once; anything else begins the channel anew.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The bot's token. It is never shown.
    pub token: String,
    /// The Bot API server.
    pub api_url: Url,
    /// Everything goes through this proxy.
    pub proxy: Option<Url>,
    /// Owners by the configuration; those who paired are in the store's setting `owners`.
    pub owners: Vec<i64>,
    /// Groups in which the bot answers.
    pub groups: Vec<Group>,
    /// Updates are sent to us; `None`: we ask for them.
    pub webhook: Option<Webhook>,
    /// Files go to `media/` in here.
    pub workspace: PathBuf,
    /// Most bytes of one file; a larger one is named and not fetched.
    pub media_bytes: u64,
}

/// A group in which the bot answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The group's chat id.
    pub id: i64,
    /// When it answers there.
    pub when: When,
}

/// When the bot answers in a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum When {
    /// When it is mentioned, replied to, or given a command with its name.
    #[default]
    Mention,
    /// To every message.
    Always,
}

/// Where updates are sent to.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The public address, which Telegram is told. A proxy in front of us ends its TLS.
    pub url: Url,
    /// Where we listen.
    pub listen: SocketAddr,
    /// What Telegram must send with each update: 1 to 256 letters, digits, `_`, `-`. It is never shown.
    pub secret: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address of a proxy may have a password in it.
        f.debug_struct("Settings").field("owners", &self.owners).field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("url", &self.url.as_str()).field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl Settings {
    /// Whether both lead to the same bot in the same way, so that the channel need not begin anew.
    pub(super) fn is_same_way(&self, other: &Self) -> bool {
        let way = |settings: &Self| Self { owners: Vec::new(), groups: Vec::new(), ..settings.clone() };
        way(self) == way(other)
    }
}

/// A text that takes time to make.
pub type Telling = Pin<Box<dyn Future<Output = String> + Send>>;

/// What the channel has the executable do.
pub struct Hooks {
    /// Brings back the files that a turn has changed, for `/undo`.
    pub undo_files: UndoFiles,
    /// What made the answer of a turn, for `/why`.
    pub why: Box<dyn Fn(i64) -> Telling + Send + Sync>,
    /// How the process is, for `/status`.
    pub status: Box<dyn Fn() -> Telling + Send + Sync>,
    /// The jobs, for `/jobs`.
    pub jobs: Box<dyn Fn() -> Telling + Send + Sync>,
    /// Shows a line to whoever is at the machine: the code for pairing.
    pub show: Box<dyn Fn(&str) + Send + Sync>,
    /// A random number, which nobody can guess.
    pub random: fn() -> u64,
    /// Somebody at the machine wants a new code for pairing, and reads what to do with it. Without any owner there is one at the start.
    pub pair: Mutex<mpsc::Receiver<oneshot::Sender<String>>>,
}

/// How the channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// One line.
    pub state: String,
    /// Whether that is as it should be.
    pub is_well: bool,
    /// Since when it is so.
    pub since: Instant,
    /// When the last update came.
    pub last_update: Option<Instant>,
    /// What went wrong since the start: failed requests for updates, commits that had to be tried again.
    pub errors: u64,
}

impl Health {
    /// The state of a channel that begins.
    #[must_use]
    pub fn new() -> Self {
        Self { state: "starting".to_owned(), is_well: true, since: Instant::now(), last_update: None, errors: 0 }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
impl Settings {
    /// One owner, 1, and nothing else.
    pub(super) fn for_tests() -> Self {
        Self {
            token: "12:secret".into(),
            api_url: "https://api.telegram.org".parse().unwrap(),
            proxy: Some("http://u:secret@proxy:1".parse().unwrap()),
            owners: vec![1],
            groups: vec![],
            webhook: None,
            workspace: "w".into(),
            media_bytes: MEDIA_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", Settings::for_tests()), "Settings { owners: [1], groups: [], .. }");
        let webhook = Webhook { url: "https://a.example/x".parse().unwrap(), listen: ([127, 0, 0, 1], 80).into(), secret: "secret".into() };
        assert!(!format!("{webhook:?}").contains("secret"));
    }

    #[test]
    fn owners_and_groups_change_nothing_else() {
        let other = Settings { owners: vec![2], groups: vec![Group { id: -5, when: When::Always }], ..Settings::for_tests() };
        assert!(Settings::for_tests().is_same_way(&other));
        assert!(!Settings::for_tests().is_same_way(&Settings { token: "13:x".into(), ..Settings::for_tests() }));
    }
}
