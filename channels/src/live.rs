//! The events of turns that run, from their start, for whoever follows: a client of the socket, a draft in a chat.
//!
//! Nobody who follows holds a turn up: what is said is kept here, and each reads at his own pace. Nothing here outlives the process; of
//! a turn that has ended the journal tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent::Event;
use agent::memory::TurnRow;
use tokio::sync::watch;

use crate::socket::TurnLimits;

/// Turns that are kept here. Of more, those begun longest ago that do not run are dropped: who comes later is told by the journal.
const TURNS: usize = 256;

/// Bytes of one turn's events. What comes beyond is counted and not kept, but for the last event.
const BYTES: usize = 8 << 20;

/// The turns that run, and those that wait for an answer. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Live {
    turns: Arc<Turns>,
}

#[derive(Debug)]
struct Turns {
    by_id: Mutex<BTreeMap<i64, Arc<Shown>>>,
    /// Is changed whenever a turn begins or ends.
    changed: watch::Sender<()>,
    /// Bounds of turns, by the id of the message that asked for them.
    limits: Mutex<BTreeMap<String, TurnLimits>>,
}

/// What a turn has shown so far.
#[derive(Debug)]
struct Shown {
    row: TurnRow,
    said: Mutex<Said>,
    /// Is changed with each event.
    more: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Said {
    events: Vec<Event>,
    bytes: usize,
    runs: bool,
    ended: bool,
    outbound: Option<i64>,
}

/// A turn that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The turn.
    pub turn: i64,
    /// Its channel.
    pub channel: String,
    /// Its session's name.
    pub session: String,
    /// The platform's id of the message that it answers.
    pub message: Option<String>,
}

impl Default for Live {
    fn default() -> Self {
        Self { turns: Arc::new(Turns { by_id: Mutex::default(), changed: watch::Sender::new(()), limits: Mutex::default() }) }
    }
}

/// What a panic elsewhere has left behind is as good as it was: each change is one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// The turn runs now, for the first time or again: what it showed before stands.
    pub fn begin(&self, row: &TurnRow) {
        let mut turns = locked(&self.turns.by_id);
        let shown = turns.entry(row.id).or_insert_with(|| Arc::new(Shown::new(row.clone())));
        locked(&shown.said).runs = true;
        while turns.len() > TURNS {
            let idle = turns.iter().find(|(_, shown)| !locked(&shown.said).runs).map(|(id, _)| *id);
            let Some(idle) = idle else { break };
            turns.remove(&idle);
        }
        drop(turns);
        self.turns.changed.send_replace(());
    }

    /// The turn shows something. One that has not begun shows nothing.
    pub fn show(&self, turn: i64, event: Event) {
        let shown = locked(&self.turns.by_id).get(&turn).cloned();
        if let Some(shown) = shown {
            locked(&shown.said).push(event);
            shown.more.send_replace(());
        }
    }

    /// The turn runs no longer: it waits for an answer, or cannot go on for now. Those who follow stay.
    pub fn rest(&self, turn: i64) {
        if let Some(shown) = locked(&self.turns.by_id).get(&turn) {
            locked(&shown.said).runs = false;
        }
        self.turns.changed.send_replace(());
    }

    /// Whether the turn waits, and has not gone on since.
    pub(crate) fn rests(&self, turn: i64) -> bool {
        locked(&self.turns.by_id).get(&turn).is_some_and(|shown| !locked(&shown.said).runs)
    }

    /// The turn has ended, with `last` as its last event and `outbound` as the message that goes out. Those who follow read to the end.
    pub fn end(&self, turn: i64, last: Event, outbound: Option<i64>) {
        let shown = locked(&self.turns.by_id).remove(&turn);
        if let Some(shown) = shown {
            if let Some(message) = &shown.row.message {
                locked(&self.turns.limits).remove(message);
            }
            let mut said = locked(&shown.said);
            said.events.push(last);
            (said.ended, said.outbound) = (true, outbound);
            drop(said);
            shown.more.send_replace(());
        }
        self.turns.changed.send_replace(());
    }

    /// Follows a turn from its start; `None`: it does not run and waits for nothing here.
    #[must_use]
    pub fn follow(&self, turn: i64) -> Option<Follower> {
        let shown = locked(&self.turns.by_id).get(&turn).cloned()?;
        let more = shown.more.subscribe();
        Some(Follower { shown, more, next: 0, offset: 0 })
    }

    /// Bounds the turn of the message that will be called `message`. They are gone with the process.
    pub(crate) fn bound(&self, message: &str, limits: TurnLimits) {
        locked(&self.turns.limits).insert(message.to_owned(), limits);
    }

    /// What bounds the turn, in the place of what is configured.
    #[must_use]
    pub fn limits(&self, row: &TurnRow) -> TurnLimits {
        row.message.as_ref().and_then(|message| locked(&self.turns.limits).get(message).copied()).unwrap_or_default()
    }

    /// How many follow the turn.
    #[must_use]
    pub fn followers(&self, turn: i64) -> usize {
        locked(&self.turns.by_id).get(&turn).map_or(0, |shown| shown.more.receiver_count())
    }

    /// The turns that run now, oldest first.
    #[must_use]
    pub fn running(&self) -> Vec<Running> {
        let turns = locked(&self.turns.by_id);
        let running = turns.values().filter(|shown| locked(&shown.said).runs);
        running
            .map(|shown| Running {
                turn: shown.row.id,
                channel: shown.row.channel.clone(),
                session: shown.row.session_name.clone(),
                message: shown.row.message.clone(),
            })
            .collect()
    }

    /// Tells that turns have begun, rested or ended.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.turns.changed.subscribe()
    }
}

impl Shown {
    fn new(row: TurnRow) -> Self {
        Self { row, said: Mutex::default(), more: watch::Sender::new(()) }
    }
}

impl Said {
    /// Adds an event; text goes to the text before it, so that a reply is one event however it came.
    fn push(&mut self, event: Event) {
        // A turn that is looked at again asks again what it asks already.
        if matches!(event, Event::Approval { .. }) && self.events.contains(&event) {
            return;
        }
        let bytes = match &event {
            Event::Text { delta } | Event::Reasoning { delta } => delta.len(),
            Event::ToolResult { content, .. } => content.len(),
            Event::ToolCall { arguments, .. } => arguments.to_string().len(),
            _ => 0,
        };
        if self.bytes + bytes > BYTES {
            return;
        }
        self.bytes += bytes;
        match (self.events.last_mut(), event) {
            (Some(Event::Text { delta }), Event::Text { delta: more })
            | (Some(Event::Reasoning { delta }), Event::Reasoning { delta: more }) => delta.push_str(&more),
            (_, event) => self.events.push(event),
        }
    }
}

/// Follows one turn. Dropping it is going away.
#[derive(Debug)]
pub struct Follower {
    shown: Arc<Shown>,
    more: watch::Receiver<()>,
    /// The event that is next, and how much of its text was read.
    next: usize,
    offset: usize,
}

impl Follower {
    /// The next event; what a reader was too slow for comes in one. `None`: the turn has ended and all is read. Dropping the future
    /// loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            self.more.mark_unchanged();
            if let Some(event) = self.read() {
                return Some(event);
            }
            let ended = locked(&self.shown.said).ended;
            // The last event is no text, so what has been read is behind it.
            if ended && self.next >= locked(&self.shown.said).events.len() {
                return None;
            }
            // The sender is in `shown`, which is held here.
            self.more.changed().await.ok()?;
        }
    }

    /// The message that goes out, once the turn has ended with one.
    #[must_use]
    pub fn outbound(&self) -> Option<i64> {
        locked(&self.shown.said).outbound
    }

    fn read(&mut self) -> Option<Event> {
        let shown = Arc::clone(&self.shown);
        let said = locked(&shown.said);
        loop {
            let event = said.events.get(self.next)?;
            let (Event::Text { delta } | Event::Reasoning { delta }) = event else {
                (self.next, self.offset) = (self.next + 1, 0);
                return Some(event.clone());
            };
            let rest = delta.get(self.offset..).unwrap_or_default().to_owned();
            let is_last = self.next + 1 == said.events.len();
            (self.next, self.offset) = if is_last { (self.next, delta.len()) } else { (self.next + 1, 0) };
            match (rest.is_empty(), event) {
                (true, _) if is_last => return None,
                (true, _) => {}
                (false, Event::Text { .. }) => return Some(Event::Text { delta: rest }),
                (false, _) => return Some(Event::Reasoning { delta: rest }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(delta: &str) -> Event {
        Event::Text { delta: delta.into() }
    }

    fn last(message: &str) -> Event {
        Event::Error { code: "x".into(), message: message.into() }
    }

    fn row(id: i64) -> TurnRow {
        TurnRow {
            id,
            session: 1,
            session_name: "s".into(),
            channel: "terminal".into(),
            text: String::new(),
            data: None,
            at: String::new(),
            state: agent::memory::TurnState::Open,
            outcome: None,
            parent: None,
            task: None,
            message: None,
            person: None,
        }
    }

    async fn rest_of(mut follower: Follower) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = follower.next().await {
            events.push(event);
        }
        events
    }

    #[tokio::test]
    async fn each_reads_from_the_start_at_his_own_pace() {
        let live = Live::default();
        live.begin(&row(7));
        let mut early = live.follow(7).unwrap();
        live.show(7, text("He"));
        assert_eq!(early.next().await, Some(text("He")));
        live.show(7, text("llo"));
        live.show(7, text(" you"));
        assert_eq!(early.next().await, Some(text("llo you")));
        live.rest(7);
        assert_eq!((live.running(), live.followers(7)), (vec![], 1));
        live.begin(&row(7));
        live.show(7, text("!"));
        let late = live.follow(7).unwrap();
        live.end(7, last("end"), None);
        assert_eq!(rest_of(late).await, [text("Hello you!"), last("end")]);
        assert_eq!(rest_of(early).await, [text("!"), last("end")]);
        assert!(live.follow(7).is_none());
    }

    #[tokio::test]
    async fn what_is_too_much_is_not_kept_and_what_rests_longest_goes() {
        let live = Live::default();
        live.begin(&row(1));
        live.show(1, text("a"));
        live.show(1, text(&"b".repeat(BYTES)));
        let follower = live.follow(1).unwrap();
        live.end(1, last("end"), None);
        assert_eq!(rest_of(follower).await, [text("a"), last("end")]);
        for id in 0..=i64::try_from(TURNS).unwrap() {
            live.begin(&row(id));
            if id > 0 {
                live.rest(id);
            }
        }
        assert!(live.follow(0).is_some() && live.follow(1).is_none() && live.follow(2).is_some());
    }
}
