//! Turns that run, as they are seen in their chats: as a draft where Telegram has drafts (a private chat), elsewhere as one message that is
//! edited and becomes the reply.
//!
//! All of this can be left out: nothing here holds up a turn or its reply, and nothing queues up. What is shown is what there is when it
//! may be shown. The number of a message that is edited is in the journal (`live:TURN`) before anybody relies on it: delivery puts the
//! reply in its place, after a kill too.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent::Event;
use agent::memory::{Store, TurnRow, TurnState};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::api::{Api, ApiError, Text};
use super::place::Place;
use super::text::{escape, preview};
use super::view::View;
use super::{CHANNEL, loading, reactions};
use crate::desk::Desk;
use crate::live::{Follower, Running};

/// How often it is looked whether there is something new to show.
const LOOK: Duration = Duration::from_millis(250);

/// A draft lives for 30 s; it is shown again before.
pub(super) const REFRESH: Duration = Duration::from_secs(20);

/// Text is there for so long before a message is begun that will be edited: a short reply comes whole.
const FIRST: Duration = Duration::from_secs(1);

/// Between two edits in a private chat; in a group, which may have 20 messages a minute, half as often.
const EDIT: Duration = Duration::from_secs(3);

/// Between two signs that somebody types: one lasts 5 s.
const TYPING: Duration = Duration::from_secs(4);

/// A draft that is on its way when the reply is ready is waited for so long.
const LAST_DRAFT: Duration = Duration::from_secs(1);

/// Tries to tidy up a message whose turn ended without a reply, and the pause between them.
const TIDY: (u32, Duration) = (5, Duration::from_secs(3));

/// What is shown of turns. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(super) struct Drafts {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    turns: Mutex<BTreeMap<i64, watch::Sender<Stage>>>,
    /// Whether this server has drafts: see [`Known`].
    known: AtomicU8,
}

/// How far showing a turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is shown.
    Shown,
    /// Its reply is ready: nothing more is to be shown.
    Over,
    /// Nothing more will be shown.
    Done,
}

/// What is known about drafts on this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Works,
    Refused,
}

/// The name of the setting with the message that will be edited into the reply of a turn.
pub(super) fn live_key(turn: i64) -> String {
    format!("live:{turn}")
}

/// Chat and number of the message that the reply of a turn takes the place of.
pub(super) async fn read_live(store: &Store, turn: i64) -> Option<(i64, i64)> {
    let value = store.setting(CHANNEL, &live_key(turn)).await.ok()??;
    let (chat, message) = value.split_once(' ')?;
    Some((chat.parse().ok()?, message.parse().ok()?))
}

impl Drafts {
    /// Ends what is shown of a turn, and waits until nothing more can come after its reply.
    pub(super) async fn settle(&self, turn: i64) {
        let mut stage = {
            let mut turns = self.turns();
            let sender = turns.entry(turn).or_insert_with(|| watch::Sender::new(Stage::Done));
            sender.send_if_modified(|stage| *stage == Stage::Shown && std::mem::replace(stage, Stage::Over) == Stage::Shown);
            sender.subscribe()
        };
        // The one who shows it has gone, if there is an error.
        let _ = stage.wait_for(|stage| *stage == Stage::Done).await;
    }

    /// Begins to show a turn, unless that is done or over.
    fn begin(&self, turn: i64) -> Option<Showing> {
        let mut turns = self.turns();
        if turns.contains_key(&turn) {
            return None;
        }
        let (sender, stage) = watch::channel(Stage::Shown);
        turns.insert(turn, sender);
        Some(Showing { drafts: self.clone(), turn, stage })
    }

    /// Forgets turns that are done and do not run.
    fn forget(&self, running: &[Running]) {
        let running: HashSet<i64> = running.iter().map(|running| running.turn).collect();
        self.turns().retain(|turn, sender| *sender.borrow() != Stage::Done || running.contains(turn));
    }

    fn turns(&self) -> MutexGuard<'_, BTreeMap<i64, watch::Sender<Stage>>> {
        // What a panic elsewhere has left behind is as good as it was.
        self.shared.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Known {
        match self.shared.known.load(Ordering::Relaxed) {
            0 => Known::Nothing,
            1 => Known::Works,
            _ => Known::Refused,
        }
    }

    /// Whether drafts are shown in this chat.
    pub(super) fn are_for(&self, place: Place) -> bool {
        place.is_private() && self.known() != Known::Refused
    }

    /// Learns from a draft whether the server has them. One that was refused after others worked says nothing.
    pub(super) fn learn(&self, shown: &Result<(), ApiError>) {
        let known = match (shown, self.known()) {
            (Ok(()), _) => Known::Works,
            (Err(ApiError::NotFound(why) | ApiError::Refused(why)), Known::Nothing) => {
                tracing::info!("this Bot API server shows no drafts, so messages are edited: {why}");
                Known::Refused
            }
            (_, known) => known,
        };
        self.shared.known.store(known as u8, Ordering::Relaxed);
    }
}

/// That a turn is shown. Dropping it is having done so.
struct Showing {
    drafts: Drafts,
    turn: i64,
    stage: watch::Receiver<Stage>,
}

impl Showing {
    async fn is_over(&mut self) {
        let _ = self.stage.wait_for(|stage| *stage != Stage::Shown).await;
    }
}

impl Drop for Showing {
    fn drop(&mut self) {
        if let Some(sender) = self.drafts.turns().get(&self.turn) {
            sender.send_replace(Stage::Done);
        }
    }
}

/// Shows the turns of the channel that run, and has those told who wait for the model. Ends when the process does.
pub(super) async fn run(desk: Desk, api: Api, drafts: Drafts) {
    tidy_all(&desk.store).await;
    let mut changes = desk.live.changes();
    let mut shown = JoinSet::new();
    let loads = loading::tell(&desk, &api, &drafts);
    tokio::pin!(loads);
    let mut is_loading = true;
    loop {
        changes.mark_unchanged();
        let running = desk.live.running();
        drafts.forget(&running);
        for running in running.into_iter().filter(|running| running.channel == CHANNEL) {
            let Some(place) = Place::of(&running.session) else { continue };
            if let Some(showing) = drafts.begin(running.turn)
                && let Some(follower) = desk.live.follow(running.turn)
            {
                let turn = Turn::new(desk.clone(), api.clone(), drafts.clone(), running, place);
                shown.spawn(turn.show(showing, follower));
            }
        }
        tokio::select! {
            // The sender is in `desk`, which is held here.
            _ = changes.changed() => {}
            Some(_) = shown.join_next() => {}
            () = &mut loads, if is_loading => is_loading = false,
        }
    }
}

/// A turn that is shown.
struct Turn {
    desk: Desk,
    api: Api,
    drafts: Drafts,
    running: Running,
    place: Place,
    view: View,
    /// What was shown last, and when.
    last: Option<(String, Instant)>,
    /// When text was there first.
    text_since: Option<Instant>,
    typed: Option<Instant>,
    /// The message that is edited.
    live: Option<i64>,
    /// No message is edited: it is not known whether one was sent.
    is_in_doubt: bool,
    /// The chat takes nothing.
    is_blocked: bool,
}

impl Turn {
    fn new(desk: Desk, api: Api, drafts: Drafts, running: Running, place: Place) -> Self {
        let view = View::new(Instant::now());
        let (last, text_since, typed, live, is_in_doubt, is_blocked) = (None, None, None, None, false, false);
        Self { desk, api, drafts, running, place, view, last, text_since, typed, live, is_in_doubt, is_blocked }
    }

    async fn show(mut self, mut showing: Showing, mut follower: Follower) {
        let before = read_live(&self.desk.store, self.running.turn).await;
        self.live = before.filter(|(chat, _)| *chat == self.place.chat).map(|(_, message)| message);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut live, mut journal) = (self.desk.live.changes(), self.desk.store.changes());
        let mut runs = true;
        loop {
            tokio::select! {
                () = showing.is_over() => return,
                event = follower.next() => match event {
                    Some(event) => {
                        let end = end_of(&event);
                        self.take(event);
                        if let Some(why) = end {
                            // A reply that stands in the outbox takes the place of what was shown.
                            if follower.outbound().is_none() {
                                self.ended(&why).await;
                            }
                            return;
                        }
                    }
                    None => return,
                },
                _ = look.tick(), if runs && !self.is_blocked => self.look(&mut showing).await,
                _ = live.changed() => runs = self.runs(),
                // One that rests may be ended by somebody else. One that has ended by itself has a last event, which says how.
                _ = journal.changed(), if !runs => {
                    if self.has_ended().await && self.desk.live.rests(self.running.turn) {
                        return self.ended("stopped").await;
                    }
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        let now = Instant::now();
        self.view.take(event, now);
        if self.text_since.is_none() && self.view.has_text() {
            self.text_since = Some(now);
        }
    }

    fn runs(&self) -> bool {
        self.desk.live.running().iter().any(|running| running.turn == self.running.turn)
    }

    async fn has_ended(&self) -> bool {
        let row = self.desk.store.turn(self.running.turn).await;
        matches!(row, Ok(Some(TurnRow { state: TurnState::Done | TurnState::Failed, .. })))
    }

    /// Shows what there is to show.
    async fn look(&mut self, showing: &mut Showing) {
        let now = Instant::now();
        let html = self.view.html(&self.desk.secrets.borrow(), now);
        let is_draft = self.drafts.are_for(self.place);
        let is_new = self.last.as_ref().is_none_or(|(last, _)| *last != html);
        let since_last = self.last.as_ref().map(|(_, at)| now.duration_since(*at));
        if html.is_empty() || (!is_draft && self.text_since.is_none()) {
            return self.type_on(now).await;
        }
        if is_draft {
            if (is_new || since_last.is_some_and(|since| since >= REFRESH)) && self.api.pace().spare_draft(self.place.chat, now) {
                self.draft(showing, html, now).await;
            }
        } else if is_new && !self.is_in_doubt && self.may_edit(since_last, now) {
            self.edit(html, now).await;
        } else if self.live.is_none() {
            self.type_on(now).await;
        }
    }

    fn may_edit(&self, since_last: Option<Duration>, now: Instant) -> bool {
        let gap = if self.place.is_private() { EDIT } else { EDIT * 2 };
        let is_time = match self.live {
            Some(_) => since_last.is_none_or(|since| since >= gap),
            None => self.text_since.is_some_and(|since| now.duration_since(since) >= FIRST),
        };
        is_time && self.api.pace().spare(self.place.chat, now)
    }

    async fn draft(&mut self, showing: &mut Showing, html: String, now: Instant) {
        let shown = {
            let draft = self.api.draft(self.place, self.running.turn, &html);
            tokio::pin!(draft);
            tokio::select! {
                shown = &mut draft => shown,
                // One that is on its way must not come after the reply.
                () = showing.is_over() => match timeout(LAST_DRAFT, &mut draft).await {
                    Ok(shown) => shown,
                    Err(_) => return,
                },
            }
        };
        self.drafts.learn(&shown);
        if let Err(error) = &shown {
            tracing::debug!(turn = self.running.turn, "no draft: {error}");
            self.is_blocked = matches!(error, ApiError::Blocked(_));
        }
        // Where there are no drafts this text is shown in the other way.
        self.last = Some((html, now)).filter(|_| self.drafts.are_for(self.place));
    }

    /// Not to be dropped on the way: a message whose number is not known stays, an edit that comes late would undo the reply.
    async fn edit(&mut self, html: String, now: Instant) {
        let marked = format!("{html} …");
        let text = Text { text: &marked, html: true, reply_to: None, buttons: &[] };
        let turn = self.running.turn;
        let shown = match self.live {
            Some(message) => self.api.edit(self.place.chat, message, text).await,
            None => match self.api.send(self.place, text).await {
                Ok(message) => {
                    self.live = Some(message);
                    let value = Some(format!("{} {message}", self.place.chat));
                    if let Err(error) = self.desk.store.set_setting(CHANNEL, &live_key(turn), value).await {
                        tracing::warn!(turn, "the message that shows a reply cannot be recorded: {error}");
                    }
                    Ok(())
                }
                // Telegram's word that there is none is no doubt.
                Err(error) => {
                    self.is_in_doubt = !matches!(error, ApiError::Flood(_));
                    Err(error)
                }
            },
        };
        if let Err(error) = &shown {
            tracing::debug!(turn, "a reply cannot be shown while it is written: {error}");
            self.is_in_doubt |= matches!(error, ApiError::Gone(_));
            self.is_blocked = matches!(error, ApiError::Blocked(_));
        }
        self.last = Some((html, now));
    }

    async fn type_on(&mut self, now: Instant) {
        let is_due = self.typed.is_none_or(|at| now.duration_since(at) >= TYPING);
        if is_due && self.api.pace().may_be_left_out(self.place.chat, now) {
            self.typed = Some(now);
            // Nobody waits for it, so it must not hold up what is.
            let (api, place) = (self.api.clone(), self.place);
            tokio::spawn(async move {
                let _ = timeout(TYPING, api.typing(place)).await;
            });
        }
    }

    /// The turn has ended and no reply will come: what was shown stands, and says why.
    async fn ended(&mut self, why: &str) {
        if !self.has_ended().await {
            return; // The process stops, or it cannot go on for now: it goes on later.
        }
        if let Some(message) = self.running.message.as_deref().and_then(|message| message.parse().ok()) {
            reactions::done(&self.api, self.place.chat, message);
        }
        let text = self.view.text(&self.desk.secrets.borrow());
        if let Some(message) = self.live {
            let html = format!("{}\n\n<i>{}</i>", preview(&text).html, escape(why));
            tidy(&self.desk, &self.api, self.running.turn, self.place.chat, message, html.trim()).await;
        } else if !text.is_empty() && self.last.is_some() && self.drafts.are_for(self.place) {
            // The draft goes by itself, so what there was of the reply is said for good.
            let about = format!("stopped {}", self.running.turn);
            if let Err(error) = self.desk.store.say(CHANNEL, &self.running.session, &text, Some(&about)).await {
                tracing::warn!(turn = self.running.turn, "what there was of a reply cannot be said: {error}");
            }
        }
    }
}

/// Why a turn has ended, if this is its last event.
fn end_of(event: &Event) -> Option<String> {
    match event {
        Event::Result(result) => Some(result.text.clone()),
        Event::Error { message, .. } => Some(message.clone()),
        _ => None,
    }
}

/// Puts a last text into a message that no reply takes the place of, and forgets the message.
async fn tidy(desk: &Desk, api: &Api, turn: i64, chat: i64, message: i64, html: &str) {
    let (tries, pause) = TIDY;
    for _ in 0..tries {
        let may = api.pace().take(chat, Instant::now()).is_ok();
        if may {
            match api.edit(chat, message, Text { text: html, html: true, ..Text::default() }).await {
                Err(error) if error.passes() => {}
                _ => break,
            }
        }
        sleep(pause).await;
    }
    if let Err(error) = desk.store.set_setting(CHANNEL, &live_key(turn), None).await {
        tracing::debug!(turn, "{error}");
    }
}

/// Messages of turns that ended, while nobody looked, without a reply that takes their place.
async fn tidy_all(store: &Store) {
    let (Ok(settings), Ok(unsent)) = (store.settings(CHANNEL).await, store.unsent(CHANNEL).await) else { return };
    let turns = settings.iter().filter_map(|(name, _)| name.strip_prefix("live:")?.parse::<i64>().ok());
    for turn in turns.filter(|turn| !unsent.iter().any(|row| row.turn == Some(*turn))) {
        let is_over = matches!(store.turn(turn).await, Ok(None | Some(TurnRow { state: TurnState::Done | TurnState::Failed, .. })));
        // It may have become the reply, so nothing is written over it.
        if is_over && let Err(error) = store.set_setting(CHANNEL, &live_key(turn), None).await {
            tracing::debug!(turn, "{error}");
        }
    }
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
