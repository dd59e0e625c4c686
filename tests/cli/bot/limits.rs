//! How fast a bot may be: so many messages in a while, in one chat and in all; and that it waits as long as it was told to.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// So many in so long.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub most: usize,
    pub within: Duration,
}

impl Window {
    pub const fn new(most: usize, seconds: u64) -> Self {
        Self { most, within: Duration::from_secs(seconds) }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Rates {
    pub private: Window,
    pub group: Window,
    pub bot: Window,
}

impl Default for Rates {
    /// About one message a second with small bursts, 20 a minute in a group, 30 a second in all.
    fn default() -> Self {
        Self { private: Window::new(5, 5), group: Window::new(20, 60), bot: Window::new(30, 1) }
    }
}

impl Rates {
    /// As fast as it likes.
    pub fn none() -> Self {
        let all = Window::new(usize::MAX, 1);
        Self { private: all, group: all, bot: all }
    }
}

/// A wait that was imposed.
struct Hold {
    told: Instant,
    until: Instant,
}

#[derive(Default)]
pub struct Limits {
    chats: HashMap<i64, VecDeque<Instant>>,
    all: VecDeque<Instant>,
    /// Of a chat, or of everything.
    holds: HashMap<Option<i64>, Hold>,
}

/// A refusal for being too fast.
#[derive(Debug, PartialEq)]
pub struct TooFast {
    pub retry_after: u64,
    /// The bot had been told to wait, and did not.
    pub ignored: bool,
}

impl Limits {
    /// The bot is told to wait, in one chat or everywhere.
    pub fn hold(&mut self, chat: Option<i64>, seconds: u64, now: Instant) {
        self.holds.insert(chat, Hold { told: now, until: now + Duration::from_secs(seconds) });
    }

    /// Whether a wait is still on for this chat. What comes within `under_way` of the telling was sent before it was heard.
    pub fn held(&self, chat: Option<i64>, under_way: Duration, now: Instant) -> Option<TooFast> {
        let own = chat.and_then(|chat| self.holds.get(&Some(chat)));
        let hold = own.into_iter().chain(self.holds.get(&None)).filter(|hold| hold.until > now).max_by_key(|hold| hold.until)?;
        Some(TooFast { retry_after: seconds(hold.until - now), ignored: now > hold.told + under_way })
    }

    /// Counts one request: every one against the bot's rate, and what is shown in `chat` against the chat's too.
    pub fn count(&mut self, rates: &Rates, chat: Option<i64>, shown: bool, now: Instant) -> Result<(), TooFast> {
        if let Some(seconds) = full(&mut self.all, rates.bot, now) {
            self.hold(None, seconds, now);
            return Err(TooFast { retry_after: seconds, ignored: false });
        }
        if let Some(chat) = chat.filter(|_| shown) {
            let window = if chat > 0 { rates.private } else { rates.group };
            let times = self.chats.entry(chat).or_default();
            if let Some(seconds) = full(times, window, now) {
                self.hold(Some(chat), seconds, now);
                return Err(TooFast { retry_after: seconds, ignored: false });
            }
            times.push_back(now);
        }
        self.all.push_back(now);
        Ok(())
    }
}

/// How long to wait where the window is full.
fn full(times: &mut VecDeque<Instant>, window: Window, now: Instant) -> Option<u64> {
    while times.front().is_some_and(|time| now - *time >= window.within) {
        times.pop_front();
    }
    let oldest = times.front().filter(|_| times.len() >= window.most)?;
    Some(seconds(*oldest + window.within - now))
}

fn seconds(left: Duration) -> u64 {
    (left.as_millis().div_ceil(1000)).max(1).try_into().unwrap_or(u64::MAX)
}
