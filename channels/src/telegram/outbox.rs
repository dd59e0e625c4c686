//! Delivery: what stands in the outbox for this channel goes out, a chat's messages in their order, each part confirmed by itself.
//!
//! The journal is the queue: nothing is kept here that a restart would miss. What is confirmed is not sent again; what was sent and not
//! confirmed is, so a message may come twice around a kill, or where Telegram's answer to it was lost.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use agent::memory::{OutboundRow, StoreError};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep_until;

use super::api::{Api, ApiError};
use super::delivery::{Delivery, Ended};
use super::draft::Drafts;
use super::place::Place;
use super::{CHANNEL, approvals, draft, who};
use crate::desk::{Desk, State};

/// Chats that are sent to at the same moment. More wait for one of them; a chat that is to wait itself takes no place.
const AT_ONCE: usize = 16;

/// The pause after something failed that may succeed later, at first; twice as long each time.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pause before the journal is asked again.
const JOURNAL_PAUSE: Duration = Duration::from_secs(5);

/// Delivers what there is to say, shows what is being said and asks what is to be asked. Ends with an error that ends the channel (the
/// token is no longer good), or without one when the process stops and nothing is left to do at once. Dropping it may send a message
/// again at the next start.
pub(super) async fn run(desk: Desk, api: Api) -> Option<ApiError> {
    let drafts = Drafts::default();
    let (shows, asks) = (draft::run(desk.clone(), api.clone(), drafts.clone()), approvals::run(desk.clone(), api.clone()));
    let deliver = Outbox::new(desk, api, drafts).deliver();
    tokio::select! {
        ended = deliver => ended,
        () = async { tokio::join!(shows, asks); } => None,
    }
}

struct Outbox {
    desk: Desk,
    api: Api,
    drafts: Drafts,
    chats: HashMap<i64, Chat>,
    tasks: JoinSet<Ended>,
    /// The chat of each task.
    busy: HashMap<tokio::task::Id, i64>,
    jitter: RandomState,
}

/// What is known of a chat, until the process ends.
#[derive(Default)]
struct Chat {
    /// The group has become this supergroup.
    moved: Option<i64>,
    /// Nothing before.
    later: Option<Instant>,
    /// Failures in a row.
    failures: u32,
    /// When the last message that went out had been written.
    last: Option<String>,
}

/// What starts, or when there is something to start.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Now,
    At(Instant),
    /// Only when something else ends.
    Later,
}

impl Outbox {
    fn new(desk: Desk, api: Api, drafts: Drafts) -> Self {
        let (chats, tasks, busy) = (HashMap::new(), JoinSet::new(), HashMap::new());
        Self { desk, api, drafts, chats, tasks, busy, jitter: RandomState::new() }
    }

    async fn deliver(mut self) -> Option<ApiError> {
        let (mut outgoing, mut live) = (self.desk.store.outgoing(), self.desk.live.changes());
        let mut state = self.desk.state.clone();
        loop {
            outgoing.mark_unchanged();
            live.mark_unchanged();
            let stops = matches!(*state.borrow_and_update(), State::Stopping);
            let due = self.start().await.unwrap_or_else(|error| {
                tracing::warn!("what there is to deliver cannot be read: {error}");
                Some(Instant::now() + JOURNAL_PAUSE)
            });
            if stops && self.tasks.is_empty() && self.desk.live.running().is_empty() {
                return None;
            }
            let wake = sleep_until(due.unwrap_or_else(Instant::now).into());
            tokio::select! {
                // The senders are in `desk`, which is held here.
                _ = outgoing.changed() => {}
                _ = live.changed(), if stops => {}
                _ = state.changed(), if !stops => {}
                Some(ended) = self.tasks.join_next_with_id() => {
                    if let Some(error) = self.ended(ended) {
                        return Some(error);
                    }
                }
                () = wake, if due.is_some() => {}
            }
        }
    }

    /// Starts what can go out now; when there will be more, if time alone decides.
    async fn start(&mut self) -> Result<Option<Instant>, StoreError> {
        let mut wake: Option<Instant> = None;
        let mut seen = HashSet::new();
        for row in self.desk.store.unsent(CHANNEL).await? {
            let Some(place) = Place::of(&row.session_name) else {
                tracing::warn!(outbound = row.id, "a message for a session that is no chat's is given up");
                self.desk.store.give_up(row.id, "the session is no chat's").await?;
                continue;
            };
            let place = self.resolve(place).await?;
            // Of each chat the first; the others come after it.
            if !seen.insert(place.chat) {
                continue;
            }
            match self.due(place.chat, Instant::now()) {
                Due::Now => self.begin(row, place).await?,
                Due::At(at) => wake = Some(wake.map_or(at, |other| other.min(at))),
                Due::Later => {}
            }
        }
        Ok(wake)
    }

    fn due(&self, chat: i64, now: Instant) -> Due {
        let later = self.chats.get(&chat).and_then(|state| state.later).filter(|at| *at > now);
        let waits = later.max(self.api.pace().later(chat, now));
        match waits {
            _ if self.tasks.len() >= AT_ONCE || self.busy.values().any(|other| *other == chat) => Due::Later,
            Some(at) => Due::At(at),
            None => Due::Now,
        }
    }

    /// Where a place is now.
    async fn resolve(&mut self, place: Place) -> Result<Place, StoreError> {
        if place.is_private() {
            return Ok(place);
        }
        let moved = match self.chats.get(&place.chat) {
            Some(state) => state.moved,
            None => {
                let moved = self.desk.store.setting(CHANNEL, &who::moved(place.chat)).await?.and_then(|id| id.parse().ok());
                self.chats.insert(place.chat, Chat { moved, ..Chat::default() });
                moved
            }
        };
        // Topics are others there.
        Ok(moved.map_or(place, |chat| Place { chat, topic: None }))
    }

    async fn begin(&mut self, row: OutboundRow, place: Place) -> Result<(), StoreError> {
        let quote = self.quoted(&row, place).await?;
        let delivery = Delivery { desk: self.desk.clone(), api: self.api.clone(), drafts: self.drafts.clone(), row, place, quote };
        let task = self.tasks.spawn(delivery.run());
        self.busy.insert(task.id(), place.chat);
        Ok(())
    }

    /// The message that the reply quotes, so that it is seen what it answers: where others of the chat are open, came later, or came
    /// before the last reply was there.
    async fn quoted(&self, row: &OutboundRow, place: Place) -> Result<Option<i64>, StoreError> {
        let (Some(turn), Some(message)) = (row.turn, row.message.as_deref().and_then(|message| message.parse().ok())) else {
            return Ok(None);
        };
        let store = &self.desk.store;
        let last = self.chats.get(&place.chat).and_then(|state| state.last.as_deref());
        let crossed = match (last, store.turn(turn).await?) {
            (Some(last), Some(turn)) => turn.at.as_str() < last,
            _ => false,
        };
        let several = crossed
            || !store.turns_after(row.session, turn, 1).await?.is_empty()
            || others_open(&store.open_turns(None).await?, turn, place.chat);
        Ok(several.then_some(message))
    }

    /// What became of a delivery; an error that ends the channel.
    fn ended(&mut self, ended: Result<(tokio::task::Id, Ended), JoinError>) -> Option<ApiError> {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, ended),
            // A panic, which its hook has told of. It is tried again like what fails.
            Err(error) => (error.id(), Ended::Again("a fault in paguro".into())),
        };
        let chat = self.busy.remove(&id)?;
        let state = self.chats.entry(chat).or_default();
        match ended {
            Ended::Done(at) => *state = Chat { moved: state.moved, last: Some(at), ..Chat::default() },
            // The waits of chats are kept by the `Api`.
            Ended::Waits => {}
            Ended::Moved(new) => {
                tracing::info!(chat, new, "a group has become a supergroup");
                state.moved = Some(new);
            }
            Ended::Again(why) => {
                state.failures = state.failures.saturating_add(1);
                let pause = pause(state.failures, self.jitter.hash_one((chat, state.failures)));
                tracing::warn!(chat, "a message could not be sent: {why}; it is tried again in {:.1} s", pause.as_secs_f32());
                state.later = Some(Instant::now() + pause);
            }
            Ended::Fatal(error) => return Some(error),
        }
        None
    }
}

/// Whether a turn of the chat other than `turn` is open.
fn others_open(open: &[agent::memory::TurnRow], turn: i64, chat: i64) -> bool {
    let of_chat =
        |row: &agent::memory::TurnRow| row.channel == CHANNEL && Place::of(&row.session_name).is_some_and(|place| place.chat == chat);
    open.iter().any(|row| row.id != turn && of_chat(row))
}

/// How long to wait after so many failures in a row: between half of it and all of it, by `random`, so that not all chats come at once.
fn pause(failures: u32, random: u64) -> Duration {
    let whole = PAUSE.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST_PAUSE);
    whole / 2 + (whole / 2).mul_f64((random % 1_024) as f64 / 1_024.0)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
