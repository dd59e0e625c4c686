//! Those who wait for the model are told how far it is: after some seconds by what goes again, after a minute by a message.
//!
//! It accepts and answers nothing.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use agent::memory::TurnRow;
use tokio::time::{sleep, timeout};

use super::CHANNEL;
use super::api::Api;
use super::draft::{Drafts, REFRESH};
use super::place::Place;
use super::view::percent;
use crate::desk::{Desk, State};

/// A message that waits for the model for longer than this is told how far that is.
const LONG_LOAD: Duration = Duration::from_secs(3);

/// A message that waits for the model for longer than this is told so by a message that stays.
const VERY_LONG_LOAD: Duration = Duration::from_secs(60);

/// Between two looks while the model loads.
const LOAD_LOOK: Duration = Duration::from_secs(2);

/// While the model loads, tells those who wait how far it is. Ends when it is loaded.
pub(super) async fn tell(desk: &Desk, api: &Api, drafts: &Drafts) {
    let mut waiting: HashMap<Place, Instant> = HashMap::new();
    let mut told: HashMap<Place, (String, Instant)> = HashMap::new();
    loop {
        let State::Loading(done) = *desk.state.borrow() else { return };
        let now = Instant::now();
        let Ok(open) = desk.store.open_turns(None).await else { return };
        for row in first_of_each(&open) {
            let Some(place) = Place::of(&row.session_name) else { continue };
            let waits = now.duration_since(*waiting.entry(place).or_insert(now));
            if waits >= VERY_LONG_LOAD {
                let text = format!("The model is still loading ({}). Your message is answered as soon as it is there.", percent(done));
                // It is said once for a message, however often the process starts.
                let _ = desk.store.say(CHANNEL, &row.session_name, &text, Some(&format!("loading {}", row.id))).await;
            }
            if waits < LONG_LOAD || !api.pace().may_be_left_out(place.chat, now) {
                continue;
            }
            if !drafts.are_for(place) {
                let _ = timeout(LOAD_LOOK, api.typing(place)).await;
                continue;
            }
            let html = format!("<i>the model is loading, {}</i>", percent(done));
            let is_old = told.get(&place).is_none_or(|(last, at)| *last != html || now.duration_since(*at) >= REFRESH);
            if is_old && api.pace().spare_draft(place.chat, now) {
                if let Ok(shown) = timeout(LOAD_LOOK, api.draft(place, row.id, &html)).await {
                    drafts.learn(&shown);
                }
                told.insert(place, (html, now));
            }
        }
        sleep(LOAD_LOOK).await;
    }
}

/// Of each place the message that has waited longest.
fn first_of_each(open: &[TurnRow]) -> impl Iterator<Item = &TurnRow> {
    let mut seen = HashSet::new();
    open.iter().filter(move |row| row.channel == CHANNEL && Place::of(&row.session_name).is_some_and(|place| seen.insert(place)))
}
