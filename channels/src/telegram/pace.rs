//! When a chat may be sent to: below Telegram's limits by ourselves, and after the wait that it asks for where that was not enough.
//!
//! It knows no requests and no clock: the time is given. A chat that waits holds up no other.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Between two messages of one chat, after [`BURST`] at once. Telegram: "avoid sending more than one message per second" to a chat.
const GAP: Duration = Duration::from_secs(1);

/// Messages of a chat that may go at once.
const BURST: u32 = 3;

/// Messages to a group in [`GROUP_TIME`]. Telegram: 20 a minute; edits count.
const GROUP: usize = 20;

/// A minute, and what the way there may squeeze it by.
const GROUP_TIME: Duration = Duration::from_secs(61);

/// Of [`GROUP`], how many are kept for messages: what can be left out does not take the last ones.
const GROUP_SPARE: usize = 10;

/// Messages to all chats in [`ALL_TIME`]. Telegram: about 30 a second.
const ALL: usize = 28;

/// A second, and what the way there may squeeze it by.
const ALL_TIME: Duration = Duration::from_millis(1_050);

/// Of [`ALL`], how many are kept for messages.
const ALL_SPARE: usize = 10;

/// Between two drafts of one chat.
const DRAFT_GAP: Duration = Duration::from_secs(1);

/// So many chats that are told to wait within [`CROWD_TIME`], and nothing that went through between them: it is the bot that is to wait.
const CROWD: usize = 3;

/// See [`CROWD`].
const CROWD_TIME: Duration = Duration::from_secs(5);

/// How long all chats are held at first, until one of them tries again; twice as long after each try that fails. Short, so that a chat
/// that may be sent to loses little where only the others were meant.
const HOLD: Duration = Duration::from_millis(1_500);

/// Chats that are remembered; beyond, those that nothing holds are forgotten.
const CHATS: usize = 1_000;

/// What was sent and when, and what may be.
#[derive(Debug, Default)]
pub(super) struct Pace {
    chats: HashMap<i64, Chat>,
    /// When the last [`ALL`] went.
    all: VecDeque<Instant>,
    crowd: Crowd,
}

#[derive(Debug, Default)]
struct Chat {
    /// When the last [`GROUP`] went, of a group.
    sent: VecDeque<Instant>,
    /// When a message would be due if they went evenly.
    due: Option<Instant>,
    /// Telegram asked to wait until then.
    flood: Option<Instant>,
    /// The same for drafts, and for what else can be left out.
    draft: Option<Instant>,
}

/// What tells a bot that is to wait from chats that are.
#[derive(Debug, Default)]
struct Crowd {
    told: VecDeque<(Instant, i64)>,
    until: Option<Instant>,
    hold: Duration,
}

impl Pace {
    /// Takes the right to send one message to `chat`, or says when to ask again.
    ///
    /// # Errors
    /// That instant, later than `now`.
    pub(super) fn take(&mut self, chat: i64, now: Instant) -> Result<(), Instant> {
        if let Some(later) = self.later(chat, now) {
            return Err(later);
        }
        self.count(chat, now);
        // Of those that were held all at once, one tries.
        if self.crowd.until.is_some() {
            self.crowd.until = Some(now + self.crowd.hold);
        }
        Ok(())
    }

    /// When `chat` may be sent to; `None`: now.
    pub(super) fn later(&self, chat: i64, now: Instant) -> Option<Instant> {
        let of_chat = self.chats.get(&chat).and_then(|state| state.later(chat, now));
        let of_all = (self.all.len() >= ALL).then(|| self.all.front().map(|first| *first + ALL_TIME)).flatten();
        [of_chat, of_all, self.crowd.until].into_iter().flatten().filter(|at| *at > now).max()
    }

    /// Takes the right to send something that can be left out and that counts as a message: an edit of what is being written.
    pub(super) fn spare(&mut self, chat: i64, now: Instant) -> bool {
        let used = self.chats.get(&chat).map_or(0, |state| state.within(now));
        if !self.may_be_left_out(chat, now) || self.later(chat, now).is_some() || (chat < 0 && used + GROUP_SPARE >= GROUP) {
            return false;
        }
        self.count(chat, now);
        true
    }

    /// Takes the right to show a draft in `chat`.
    pub(super) fn spare_draft(&mut self, chat: i64, now: Instant) -> bool {
        if !self.may_be_left_out(chat, now) {
            return false;
        }
        self.of(chat, now).draft = Some(now + DRAFT_GAP);
        self.all.push_back(now);
        self.forget_old(now);
        true
    }

    /// Whether `chat` may be told that somebody types, or be given a reaction: neither counts, both wait with the chat.
    pub(super) fn may_be_left_out(&self, chat: i64, now: Instant) -> bool {
        let state = self.chats.get(&chat);
        let held = [state.and_then(|state| state.flood), state.and_then(|state| state.draft), self.crowd.until];
        let used = self.all.iter().filter(|at| **at + ALL_TIME > now).count();
        used + ALL_SPARE < ALL && held.into_iter().flatten().all(|until| until <= now)
    }

    /// Telegram asks to wait before the next message to `chat`.
    pub(super) fn flood(&mut self, chat: i64, wait: Duration, now: Instant) {
        self.of(chat, now).flood = Some(now + wait);
        let crowd = &mut self.crowd;
        crowd.told.retain(|(at, other)| *at + CROWD_TIME > now && *other != chat);
        crowd.told.push_back((now, chat));
        if crowd.until.is_some() || crowd.told.len() >= CROWD {
            let hold = if crowd.until.is_some() { crowd.hold * 2 } else { HOLD };
            crowd.hold = hold.min(wait);
            crowd.until = Some(now + crowd.hold);
        }
    }

    /// Telegram asks to wait before the next draft or the like in `chat`.
    pub(super) fn flood_draft(&mut self, chat: i64, wait: Duration, now: Instant) {
        self.of(chat, now).draft = Some(now + wait);
    }

    /// A message went through: it was not the bot that was to wait.
    pub(super) fn went(&mut self) {
        self.crowd = Crowd::default();
    }

    fn of(&mut self, chat: i64, now: Instant) -> &mut Chat {
        if self.chats.len() >= CHATS && !self.chats.contains_key(&chat) {
            self.chats.retain(|_, state| state.counts(now));
        }
        self.chats.entry(chat).or_default()
    }

    fn count(&mut self, chat: i64, now: Instant) {
        let state = self.of(chat, now);
        state.due = Some(state.due.filter(|due| *due > now).unwrap_or(now) + GAP);
        if chat < 0 {
            state.sent.push_back(now);
            while state.sent.len() > GROUP {
                state.sent.pop_front();
            }
        }
        self.all.push_back(now);
        self.forget_old(now);
    }

    fn forget_old(&mut self, now: Instant) {
        while self.all.len() > ALL || self.all.front().is_some_and(|first| *first + ALL_TIME <= now) {
            self.all.pop_front();
        }
    }
}

impl Chat {
    fn later(&self, chat: i64, now: Instant) -> Option<Instant> {
        let evenly = self.due.and_then(|due| due.checked_sub(GAP * (BURST - 1)));
        let group = if chat < 0 && self.within(now) >= GROUP { self.sent.front().map(|first| *first + GROUP_TIME) } else { None };
        [evenly, group, self.flood].into_iter().flatten().filter(|at| *at > now).max()
    }

    /// Messages within [`GROUP_TIME`].
    fn within(&self, now: Instant) -> usize {
        self.sent.iter().filter(|at| **at + GROUP_TIME > now).count()
    }

    /// Whether what is kept here matters still.
    fn counts(&self, now: Instant) -> bool {
        self.within(now) > 0 || [self.due, self.flood, self.draft].into_iter().flatten().any(|at| at > now)
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
