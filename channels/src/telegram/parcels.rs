//! Messages that take time before they can be a turn: files are fetched, an album's other parts are waited for. Until then they are in
//! the store (settings `wait:UPDATE`), so their updates are acknowledged, nobody else waits, and nothing is lost.
//!
//! What is written in a place after such a message waits behind it: the order within a chat is kept.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent::memory::{Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::CHANNEL;
use super::intake::{Intake, RETRY, passes};
use super::media;
use super::place::Place;
use super::route::Said;
use super::update;

/// Beginning of the settings' names.
const WAIT: &str = "wait:";

/// How long after an album's last part another may come.
const ALBUM: Duration = Duration::from_secs(1);

/// Places that are worked on at once; more wait. Downloads share the line.
const AT_ONCE: usize = 4;

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Parcel {
    pub(super) update: i64,
    /// The session it was written in.
    pub(super) session: String,
    pub(super) said: Said,
    /// It is another text for a message that there was.
    pub(super) is_edit: bool,
}

impl Parcel {
    /// Whether it can be a turn at once.
    pub(super) fn is_ready(&self) -> bool {
        self.said.attached.is_empty()
    }

    fn key(&self) -> String {
        format!("{WAIT}{}", self.update)
    }

    fn album(&self) -> Option<&str> {
        self.said.album.as_deref()
    }
}

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    lines: Mutex<BTreeMap<Place, VecDeque<Waiting>>>,
    more: Notify,
}

#[derive(Debug, Clone)]
struct Waiting {
    parcel: Parcel,
    since: Instant,
}

impl Parcels {
    /// What waited when the process ended.
    pub(super) async fn load(store: &Store) -> Result<Self, StoreError> {
        let kept = store.settings(CHANNEL).await?;
        let kept = kept.iter().filter(|(name, _)| name.starts_with(WAIT));
        // One that cannot be read is of another version; it stays for that.
        let mut parcels: Vec<Parcel> = kept.filter_map(|(_, value)| serde_json::from_str(value).ok()).collect();
        parcels.sort_by_key(|parcel| parcel.update);
        let all = Self::default();
        for parcel in parcels {
            all.push(parcel);
        }
        Ok(all)
    }

    /// Whether something of this place waits.
    pub(super) fn waits(&self, place: Place) -> bool {
        self.lines().contains_key(&place)
    }

    /// Puts a message behind those of its place. It is kept when this returns; one that was put there before is not there twice.
    pub(super) async fn put(&self, store: &Store, parcel: Parcel) -> Result<(), StoreError> {
        if self.has(parcel.said.place, parcel.update) {
            return Ok(());
        }
        let value = serde_json::to_string(&parcel).unwrap_or_default();
        store.set_setting(CHANNEL, &parcel.key(), Some(value)).await?;
        if store.first_time(CHANNEL, &update::name(parcel.update)).await? {
            self.push(parcel);
            self.more.notify_one();
            return Ok(());
        }
        // It has been here, and is a turn already.
        store.set_setting(CHANNEL, &parcel.key(), None).await
    }

    /// Drops what waits in a place, of a guest's only his own; how many there were.
    pub(super) async fn drop_all(&self, store: &Store, place: Place, person: Option<i64>) -> Result<usize, StoreError> {
        let is_meant = |parcel: &Parcel| person.is_none() || parcel.said.person == person;
        let dropped: Vec<Parcel> = self.of(place).into_iter().map(|waiting| waiting.parcel).filter(is_meant).collect();
        self.remove(store, &dropped).await?;
        Ok(dropped.len())
    }

    /// Takes parcels away, also from the store.
    async fn remove(&self, store: &Store, parcels: &[Parcel]) -> Result<(), StoreError> {
        for parcel in parcels {
            store.set_setting(CHANNEL, &parcel.key(), None).await?;
            let mut lines = self.lines();
            let line = lines.entry(parcel.said.place).or_default();
            line.retain(|waiting| waiting.parcel.update != parcel.update);
            if line.is_empty() {
                lines.remove(&parcel.said.place);
            }
        }
        Ok(())
    }

    fn has(&self, place: Place, update: i64) -> bool {
        self.lines().get(&place).is_some_and(|line| line.iter().any(|waiting| waiting.parcel.update == update))
    }

    fn push(&self, parcel: Parcel) {
        let waiting = Waiting { since: Instant::now(), parcel };
        self.lines().entry(waiting.parcel.said.place).or_default().push_back(waiting);
    }

    fn of(&self, place: Place) -> Vec<Waiting> {
        self.lines().get(&place).into_iter().flatten().cloned().collect()
    }

    fn places(&self) -> Vec<Place> {
        self.lines().keys().copied().collect()
    }

    /// The first message of a place with all its parts, once they are there.
    async fn first(&self, place: Place) -> Option<Vec<Parcel>> {
        loop {
            match first_message(&self.of(place), Instant::now()) {
                First::None => return None,
                First::Whole(parcels) => return Some(parcels),
                First::Until(at) => tokio::time::sleep_until(at.into()).await,
            }
        }
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<Place, VecDeque<Waiting>>> {
        // What a panic elsewhere has left behind is as good as it was: each change is one step.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands first in a line.
#[derive(Debug, PartialEq)]
enum First {
    None,
    /// All parts of a message.
    Whole(Vec<Parcel>),
    /// Another part may come until then.
    Until(Instant),
}

fn first_message(line: &[Waiting], now: Instant) -> First {
    let Some(first) = line.first() else { return First::None };
    let Some(album) = first.parcel.album() else { return First::Whole(vec![first.parcel.clone()]) };
    let parts: Vec<&Waiting> = line.iter().take_while(|waiting| waiting.parcel.album() == Some(album)).collect();
    let until = parts.last().map_or(now, |last| last.since + ALBUM);
    // What stands behind an album ends it.
    if parts.len() == line.len() && now < until {
        return First::Until(until);
    }
    First::Whole(parts.into_iter().map(|waiting| waiting.parcel.clone()).collect())
}

/// Makes turns of what waits, for as long as it is polled.
pub(super) async fn work(intake: Arc<Intake>) -> Infallible {
    let mut running: JoinSet<Place> = JoinSet::new();
    let mut busy: Vec<Place> = Vec::new();
    loop {
        for place in intake.parcels.places() {
            if busy.len() < AT_ONCE && !busy.contains(&place) {
                busy.push(place);
                let intake = Arc::clone(&intake);
                running.spawn(async move {
                    work_off(&intake, place).await;
                    place
                });
            }
        }
        tokio::select! {
            () = intake.parcels.more.notified() => {}
            Some(done) = running.join_next() => match done {
                Ok(place) => busy.retain(|other| *other != place),
                // A fault in this program; the place is tried again after the next start.
                Err(error) => tracing::error!("a message that waits was not worked on: {error}"),
            },
        }
    }
}

/// Makes turns of all that waits in a place.
async fn work_off(intake: &Intake, place: Place) {
    while let Some(parcels) = intake.parcels.first(place).await {
        let whole = fetched(intake, &parcels).await;
        while let Err(error) = hand_over(intake, &parcels, &whole).await {
            tracing::error!("a message cannot be written down: {error}");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// The parts of a message as one, with its files fetched.
async fn fetched(intake: &Intake, parcels: &[Parcel]) -> Option<Parcel> {
    let shelf = intake.shelf();
    let mut whole = parcels.first()?.clone();
    let (mut words, mut data, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for parcel in parcels {
        words.extend((!parcel.said.text.is_empty()).then(|| parcel.said.text.clone()));
        data.extend(parcel.said.data.clone());
        for attached in &parcel.said.attached {
            lines.push(media::fetch(&intake.api, &shelf, &parcel.session, parcel.said.message, attached).await);
        }
    }
    words.extend(lines);
    whole.said.text = words.join("\n");
    whole.said.data = (!data.is_empty()).then(|| data.join("\n\n"));
    Some(whole)
}

async fn hand_over(intake: &Intake, parcels: &[Parcel], whole: &Option<Parcel>) -> Result<(), agent::AgentError> {
    let store = &intake.desk.store;
    // Those that a stop has dropped meanwhile are no message any more.
    let is_there = parcels.first().is_some_and(|first| intake.parcels.has(first.said.place, first.update));
    if let Some(whole) = whole.as_ref().filter(|_| is_there)
        && let Err(error) = intake.commit(whole).await
    {
        if passes(&error) {
            return Err(error);
        }
        tracing::error!("a message cannot be kept and is left out: {error}");
    }
    for parcel in parcels {
        // As it was when it came, unless the process ended just then.
        store.first_time(CHANNEL, &update::name(parcel.update)).await?;
    }
    Ok(intake.parcels.remove(store, parcels).await?)
}

#[cfg(test)]
#[path = "parcels_tests.rs"]
mod tests;
