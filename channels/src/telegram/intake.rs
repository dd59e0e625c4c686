//! What is done about an update, in order: who it is from, what it is, the journal's commit. Only then is it acknowledged, by whoever
//! gave it to us.
//!
//! The same update again changes nothing: a message is known by its platform id, a command by what was said about it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent::AgentError;
use agent::memory::{Inbound, StoreError};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::api::Api;
use super::media::Shelf;
use super::pairing::{LIFE, Pairing, Tried};
use super::parcels::{Parcel, Parcels};
use super::place::Place;
use super::route::{Me, Route, Said, route, said};
use super::settings::{Hooks, Settings};
use super::update::{Kind, Message, Press, Stopped, Update, name};
use super::who::{Circle, Strangers, Who, has_paired, moved, pair};
use super::{CHANNEL, approvals, commands, reactions};
use crate::desk::Desk;

/// The store's setting with the last updates that answered a question, and the question's key, a line each.
const ANSWERING: &str = "answering";

/// Updates that may come again at once: as many as a poll gives.
const UPDATES: usize = 100;

/// The pause before a commit that failed is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(2);

/// What there is to take updates in with.
pub(super) struct Intake {
    pub(super) desk: Desk,
    pub(super) api: Api,
    pub(super) me: Me,
    pub(super) settings: watch::Receiver<Settings>,
    pub(super) hooks: Arc<Hooks>,
    pub(super) parcels: Parcels,
    pairing: Mutex<Pairing>,
    strangers: Mutex<Strangers>,
    /// What stops have ended ahead of their turn, by update.
    early: Mutex<HashMap<String, usize>>,
    /// Held while an update that was sent to us is taken in: one after the other, that is their order.
    pub(super) one: tokio::sync::Mutex<()>,
    /// Told when somebody has become an owner.
    pub(super) paired: Notify,
}

/// Whether the same may succeed later, so that the update must wait; otherwise it is skipped.
pub(super) fn passes(error: &AgentError) -> bool {
    let AgentError::Store(error) = error else { return false };
    matches!(
        error,
        StoreError::DiskFull { .. }
            | StoreError::Unwritable { .. }
            | StoreError::Database { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Locked { .. }
            | StoreError::TooManySettings { .. }
            | StoreError::Gone
    )
}

impl Intake {
    pub(super) fn new(desk: Desk, api: Api, me: Me, settings: watch::Receiver<Settings>, hooks: Arc<Hooks>, parcels: Parcels) -> Self {
        Self {
            desk,
            api,
            me,
            settings,
            hooks,
            parcels,
            pairing: Mutex::default(),
            strangers: Mutex::default(),
            early: Mutex::default(),
            one: tokio::sync::Mutex::default(),
            paired: Notify::new(),
        }
    }

    /// Takes an update in. When this returns it may be acknowledged, or the error [`passes`] and it may not.
    ///
    /// # Errors
    /// The journal's.
    pub(super) async fn take(&self, raw: &Value) -> Result<(), AgentError> {
        let Some(update) = Update::read(raw) else {
            tracing::warn!("an update without a number was skipped");
            return Ok(());
        };
        let circle = self.circle().await?;
        match &update.kind {
            Kind::Message(message) => self.message(&update, message, &circle).await,
            Kind::Edited(message) => self.edited(&update, message, &circle).await,
            Kind::Pressed(press) => self.pressed(press, &circle).await,
            Kind::Stopped(stopped) => match button(stopped, &circle) {
                Some(place) => commands::stop(self, place, None, &update.name()).await,
                None => Ok(()),
            },
            Kind::Member(member) => {
                let status = member.new_chat_member.as_ref().map_or("", |member| &member.status);
                tracing::info!(chat = member.chat.id, "the bot's place in a chat is now: {status:?}");
                Ok(())
            }
            Kind::Other => {
                tracing::debug!(update = update.id, "an update of no use was skipped");
                Ok(())
            }
        }
    }

    /// Ends what an update that is a stop ends, ahead of the updates before it. It is taken in again when its turn comes.
    ///
    /// # Errors
    /// The journal's.
    pub(super) async fn stop_early(&self, raw: &Value) -> Result<(), AgentError> {
        let Some(update) = Update::read(raw) else { return Ok(()) };
        let circle = self.circle().await?;
        let (place, person) = match &update.kind {
            Kind::Message(message) => {
                let who = circle.who(&message.chat, message.from.as_ref(), message.sender_chat.is_some());
                match self.route(message, who, &circle) {
                    Some(Route::Stop { place, person }) => (place, person),
                    _ => return Ok(()),
                }
            }
            Kind::Stopped(stopped) => match button(stopped, &circle) {
                Some(place) => (place, None),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        if let Some(count) = commands::stop_turns(self, place, person, &update.name()).await? {
            locked(&self.early).insert(update.name(), count);
        }
        Ok(())
    }

    /// How much an update has stopped ahead of its turn.
    pub(super) fn stopped_early(&self, update: &str) -> usize {
        locked(&self.early).remove(update).unwrap_or(0)
    }

    /// Who may speak now.
    pub(super) async fn circle(&self) -> Result<Circle, StoreError> {
        let settings = self.settings.borrow().clone();
        Circle::read(&self.desk.store, &settings).await
    }

    /// The current session of a place.
    pub(super) async fn session(&self, place: Place) -> Result<String, StoreError> {
        Ok(self.chosen(place).await?.map_or_else(|| place.session(1), |(session, _)| session))
    }

    /// The session that was chosen for a place, and the update that chose it.
    pub(super) async fn chosen(&self, place: Place) -> Result<Option<(String, String)>, StoreError> {
        let chosen = self.desk.store.setting(CHANNEL, &session_key(place)).await?;
        Ok(chosen.and_then(|value| value.split_once(' ').map(|(session, update)| (session.to_owned(), update.to_owned()))))
    }

    /// Goes on with another session in a place.
    pub(super) async fn choose(&self, place: Place, session: &str, update: &str) -> Result<(), StoreError> {
        self.desk.store.set_setting(CHANNEL, &session_key(place), Some(format!("{session} {update}"))).await
    }

    /// Where files go.
    pub(super) fn shelf(&self) -> Shelf {
        let settings = self.settings.borrow();
        Shelf { workspace: settings.workspace.clone(), most: settings.media_bytes }
    }

    /// A new code for pairing, in a line for whoever is at the machine.
    pub(super) fn open_pairing(&self) -> String {
        let code = locked(&self.pairing).open((self.hooks.random)(), Instant::now());
        let minutes = LIFE.as_secs() / 60;
        format!("to become an owner, send this code to @{} on Telegram within {minutes} minutes: {code}", self.me.username)
    }

    /// Puts a whole message into the journal.
    pub(super) async fn commit(&self, parcel: &Parcel) -> Result<(), AgentError> {
        let Parcel { update, session, said, is_edit } = parcel.clone();
        let message = said.message.to_string();
        if is_edit {
            return self.correct(said.place, &message, &said.text).await;
        }
        let accepted = self
            .desk
            .accept(Inbound {
                channel: CHANNEL.into(),
                session,
                platform_id: Some(name(update)),
                message: Some(message),
                person: said.person.map(|id| id.to_string()),
                text: said.text,
                data: said.data,
                ..Inbound::default()
            })
            .await?;
        if !accepted.repeated {
            reactions::received(&self.api, said.place.chat, said.message);
        }
        tracing::debug!(turn = accepted.turn, update, repeated = accepted.repeated, "a message was accepted");
        Ok(())
    }

    async fn message(&self, update: &Update, message: &Message, circle: &Circle) -> Result<(), AgentError> {
        if let Some((old, new)) = message.moved() {
            return if circle.group(old).is_some() { self.follow(old, new, &update.name()).await } else { Ok(()) };
        }
        let who = circle.who(&message.chat, message.from.as_ref(), message.sender_chat.is_some());
        if let Who::Stranger(chat) = who {
            return self.stranger(update, message, chat).await;
        }
        if message.chat.is_private() && has_paired(&self.desk.store, &update.name(), message.chat.id).await? {
            return self.welcome(update, message.chat.id).await;
        }
        if who == Who::Owner && self.answered(update, message).await? {
            return Ok(());
        }
        match self.route(message, who, circle) {
            Some(Route::Said(said)) => self.said(update.id, said, false).await,
            Some(Route::Command(command)) => commands::run(self, &command, &update.name()).await,
            Some(Route::Stop { place, person }) => commands::stop(self, place, person, &update.name()).await,
            Some(Route::Nothing(why)) => {
                tracing::debug!(update = update.id, "nothing to do: {why}");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether an owner's message was the answer to a question.
    async fn answered(&self, update: &Update, message: &Message) -> Result<bool, AgentError> {
        let (store, name) = (&self.desk.store, update.name());
        let session = self.session(message.place()).await?;
        let answering = store.setting(CHANNEL, ANSWERING).await?.unwrap_or_default();
        // Cut off after the answer, the same update finds that question no more, and is no message nor the answer to another for that.
        let before = answering.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        let meant = approvals::meant(&self.desk, message, &session).await?;
        let Some((key, question, answer)) = meant.filter(|(key, ..)| before.is_none_or(|before| before == key)) else {
            return Ok(before.is_some());
        };
        if before.is_none() {
            let kept: Vec<&str> = answering.lines().take(UPDATES).collect();
            store.set_setting(CHANNEL, ANSWERING, Some(format!("{name} {key}\n{}", kept.join("\n")))).await?;
        }
        match self.desk.answer(&question, answer).await {
            Ok(()) => Ok(true),
            Err(error) if passes(&error) => Err(error),
            Err(AgentError::NotAsked(_)) if before.is_some() => Ok(true),
            // It was answered in this moment, from elsewhere.
            Err(AgentError::NotAsked(_)) => {
                store.set_setting(CHANNEL, ANSWERING, Some(answering.clone())).await?;
                Ok(false)
            }
            Err(error) => {
                store.say(CHANNEL, &session, &error.to_string(), Some(&name)).await?;
                Ok(true)
            }
        }
    }

    /// `None`: not somebody who may speak.
    fn route(&self, message: &Message, who: Who, circle: &Circle) -> Option<Route> {
        let may_speak = matches!(who, Who::Owner | Who::Guest(_));
        let when = circle.group(message.chat.id);
        may_speak.then(|| route(message, who, when, &self.me))
    }

    /// Another text for a message whose turn has not begun. One that was sent with others stays as it was.
    async fn edited(&self, update: &Update, message: &Message, circle: &Circle) -> Result<(), AgentError> {
        let who = circle.who(&message.chat, message.from.as_ref(), message.sender_chat.is_some());
        let may_speak = matches!(who, Who::Owner | Who::Guest(_)) && message.media_group_id.is_none();
        match said(message, who, &self.me).filter(|_| may_speak) {
            Some(said) => self.said(update.id, said, true).await,
            None => Ok(()),
        }
    }

    async fn said(&self, update: i64, said: Said, is_edit: bool) -> Result<(), AgentError> {
        let parcel = Parcel { update, session: self.session(said.place).await?, said, is_edit };
        if parcel.is_ready() && !self.parcels.waits(parcel.said.place) {
            return self.commit(&parcel).await;
        }
        Ok(self.parcels.put(&self.desk.store, parcel).await?)
    }

    async fn correct(&self, place: Place, message: &str, text: &str) -> Result<(), AgentError> {
        let store = &self.desk.store;
        let open = store.open_turns(None).await?;
        let meant = open
            .iter()
            .find(|row| row.channel == CHANNEL && row.message.as_deref() == Some(message) && Place::of(&row.session_name) == Some(place));
        if let Some(row) = meant {
            let text = self.desk.secrets.borrow().redact(text);
            let corrected = store.correct(CHANNEL, &row.session_name, message, &text).await?;
            tracing::debug!(turn = row.id, "an edited message: {corrected:?}");
        }
        Ok(())
    }

    async fn pressed(&self, press: &Press, circle: &Circle) -> Result<(), AgentError> {
        let Some(message) = &press.message else { return Ok(()) };
        match circle.who(&message.chat, Some(&press.from), false) {
            who @ (Who::Owner | Who::Guest(_)) => {
                approvals::pressed(&self.desk, &self.api, press, who == Who::Owner).await;
            }
            Who::Stranger(chat) => self.note_stranger(chat),
            Who::Nobody => {}
        }
        Ok(())
    }

    /// The group has become a supergroup: its conversation goes on there.
    async fn follow(&self, old: i64, new: i64, update: &str) -> Result<(), AgentError> {
        tracing::info!(old, new, "a group has become a supergroup");
        let store = &self.desk.store;
        store.set_setting(CHANNEL, &moved(old), Some(new.to_string())).await?;
        let (from, to) = (Place { chat: old, topic: None }, Place { chat: new, topic: None });
        if self.chosen(to).await?.is_none() {
            let session = self.session(from).await?;
            self.choose(to, &session, update).await?;
        }
        Ok(())
    }

    async fn stranger(&self, update: &Update, message: &Message, chat: i64) -> Result<(), AgentError> {
        let tried = match message.chat.is_private() {
            true => locked(&self.pairing).attempt(message.words().0, Instant::now()),
            false => Tried::NoCode,
        };
        match tried {
            Tried::Right => {
                pair(&self.desk.store, &update.name(), chat).await?;
                locked(&self.pairing).close();
                self.paired.notify_one();
                tracing::info!(person = chat, "a person has become an owner");
                (self.hooks.show)(&format!("the person {chat} on Telegram is an owner now"));
                self.welcome(update, chat).await
            }
            Tried::Wrong(left) => {
                tracing::warn!(person = chat, left, "a wrong code for pairing");
                (self.hooks.show)(&format!("a wrong code came from {chat} on Telegram; {left} more tries"));
                Ok(())
            }
            Tried::NoCode => {
                self.note_stranger(chat);
                Ok(())
            }
        }
    }

    fn note_stranger(&self, chat: i64) {
        if locked(&self.strangers).is_new(chat) {
            tracing::warn!(chat, "somebody who is no owner wrote, or in a group that is not in the list; it gets nothing");
        }
    }

    async fn welcome(&self, update: &Update, chat: i64) -> Result<(), AgentError> {
        let session = self.session(Place { chat, topic: None }).await?;
        self.desk.store.say(CHANNEL, &session, commands::WELCOME, Some(&update.name())).await?;
        Ok(())
    }
}

/// Where an owner has pressed the stop button of a draft. Drafts are shown in private chats only.
fn button(stopped: &Stopped, circle: &Circle) -> Option<Place> {
    let is_owner = stopped.chat.is_private() && circle.owners.contains(&stopped.chat.id);
    is_owner.then_some(Place { chat: stopped.chat.id, topic: stopped.message_thread_id })
}

fn session_key(place: Place) -> String {
    format!("session:{place}")
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic elsewhere has left behind is as good as it was: each change is one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "intake_tests.rs"]
pub(super) mod tests;
