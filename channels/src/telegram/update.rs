//! What we read of an update. Fields that are missing, of another type, or of a kind that is newer than this program cost that field, not the
//! message: teloxide's types lose a whole text over one entity they do not know, so an update is taken as the JSON that came.
//!
//! It decides nothing.

use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::place::Place;

/// An update.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Update {
    pub(super) id: i64,
    pub(super) kind: Kind,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Message(Box<Message>),
    Edited(Box<Message>),
    Pressed(Box<Press>),
    /// The button under a draft: stop this reply.
    Stopped(Box<Stopped>),
    /// Somebody put the bot into a chat or out of it.
    Member(Box<Member>),
    /// Nothing that we know.
    Other,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    pub(super) message_id: i64,
    pub(super) chat: Chat,
    #[serde(deserialize_with = "lenient")]
    pub(super) from: Option<User>,
    #[serde(deserialize_with = "lenient")]
    pub(super) sender_chat: Option<Chat>,
    #[serde(deserialize_with = "lenient")]
    pub(super) message_thread_id: Option<i64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) is_topic_message: bool,
    #[serde(deserialize_with = "lenient")]
    pub(super) media_group_id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) text: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) caption: Option<String>,
    #[serde(deserialize_with = "each")]
    pub(super) entities: Vec<Entity>,
    #[serde(deserialize_with = "each")]
    pub(super) caption_entities: Vec<Entity>,
    #[serde(deserialize_with = "lenient")]
    pub(super) reply_to_message: Option<Box<Message>>,
    #[serde(deserialize_with = "lenient")]
    pub(super) quote: Option<Quote>,
    #[serde(deserialize_with = "lenient")]
    pub(super) forward_origin: Option<Value>,
    #[serde(deserialize_with = "each")]
    pub(super) photo: Vec<File>,
    #[serde(deserialize_with = "lenient")]
    pub(super) document: Option<File>,
    #[serde(deserialize_with = "lenient")]
    pub(super) animation: Option<File>,
    #[serde(deserialize_with = "lenient")]
    pub(super) audio: Option<File>,
    #[serde(deserialize_with = "lenient")]
    pub(super) video: Option<File>,
    #[serde(deserialize_with = "lenient")]
    pub(super) video_note: Option<File>,
    #[serde(deserialize_with = "lenient")]
    pub(super) voice: Option<File>,
    #[serde(deserialize_with = "lenient")]
    pub(super) sticker: Option<File>,
    #[serde(deserialize_with = "lenient")]
    pub(super) location: Option<Location>,
    #[serde(deserialize_with = "lenient")]
    pub(super) venue: Option<Venue>,
    #[serde(deserialize_with = "lenient")]
    pub(super) contact: Option<Contact>,
    #[serde(deserialize_with = "lenient")]
    pub(super) poll: Option<Poll>,
    #[serde(deserialize_with = "lenient")]
    pub(super) migrate_to_chat_id: Option<i64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) migrate_from_chat_id: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Chat {
    pub(super) id: i64,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) is_bot: bool,
    pub(super) first_name: String,
    pub(super) last_name: String,
}

/// A part of a text, in UTF-16 units.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Entity {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) offset: usize,
    pub(super) length: usize,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) user: Option<User>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Quote {
    pub(super) text: String,
}

/// A file of any kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct File {
    pub(super) file_id: String,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub(super) file_size: Option<u64>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub(super) file_name: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub(super) mime_type: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<u64>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub(super) width: Option<u64>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub(super) height: Option<u64>,
    /// Of a sticker.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub(super) emoji: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Location {
    pub(super) latitude: f64,
    pub(super) longitude: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Venue {
    pub(super) location: Location,
    pub(super) title: String,
    pub(super) address: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Contact {
    pub(super) phone_number: String,
    pub(super) first_name: String,
    pub(super) last_name: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Poll {
    pub(super) question: String,
    #[serde(default, deserialize_with = "each")]
    pub(super) options: Vec<PollOption>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct PollOption {
    pub(super) text: String,
}

/// A button of ours that was pressed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Press {
    pub(super) id: String,
    pub(super) from: User,
    #[serde(deserialize_with = "lenient")]
    pub(super) message: Option<Box<Message>>,
    #[serde(deserialize_with = "lenient")]
    pub(super) data: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Stopped {
    pub(super) chat: Chat,
    #[serde(deserialize_with = "lenient")]
    pub(super) message_thread_id: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Member {
    pub(super) chat: Chat,
    pub(super) from: User,
    #[serde(deserialize_with = "lenient")]
    pub(super) new_chat_member: Option<Status>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) status: String,
}

/// The kinds that Telegram is asked for.
pub(super) const ALLOWED: &[&str] = &["message", "edited_message", "callback_query", "my_chat_member", "stopped_message_generation"];

impl Update {
    /// Reads an update; `None`: it has no number, so there is nothing to acknowledge.
    pub(super) fn read(raw: &Value) -> Option<Self> {
        let id = raw.get("update_id")?.as_i64()?;
        let message = |value| part(value).filter(|message: &Message| message.message_id != 0 && message.chat.id != 0).map(Box::new);
        let mut kinds = raw.as_object()?.iter().filter_map(|(name, value)| match name.as_str() {
            "message" => message(value).map(Kind::Message),
            "edited_message" => message(value).map(Kind::Edited),
            "callback_query" => part(value).map(|press| Kind::Pressed(Box::new(press))),
            "stopped_message_generation" => part(value).map(|stopped| Kind::Stopped(Box::new(stopped))),
            "my_chat_member" => part(value).map(|member| Kind::Member(Box::new(member))),
            _ => None,
        });
        Some(Self { id, kind: kinds.next().unwrap_or(Kind::Other) })
    }

    /// What the journal calls it.
    pub(super) fn name(&self) -> String {
        name(self.id)
    }
}

/// What the journal calls an update.
pub(super) fn name(id: i64) -> String {
    format!("u{id}")
}

impl Message {
    /// Where it was written.
    pub(super) fn place(&self) -> Place {
        Place { chat: self.chat.id, topic: self.message_thread_id.filter(|_| self.is_topic_message) }
    }

    /// What it replies to.
    pub(super) fn replied_to(&self) -> Option<&Self> {
        // In a topic each message is a reply to the topic's beginning.
        let beginning = self.message_thread_id.filter(|_| self.is_topic_message);
        self.reply_to_message.as_deref().filter(|other| Some(other.message_id) != beginning)
    }

    /// The old and the new id of a group that has become a supergroup, where the message tells of that.
    pub(super) fn moved(&self) -> Option<(i64, i64)> {
        let to = self.migrate_to_chat_id.map(|new| (self.chat.id, new));
        to.or_else(|| self.migrate_from_chat_id.map(|old| (old, self.chat.id)))
    }

    /// Its words, those under a picture included, and their entities.
    pub(super) fn words(&self) -> (&str, &[Entity]) {
        match (&self.text, &self.caption) {
            (Some(text), _) => (text, &self.entities),
            (None, Some(caption)) => (caption, &self.caption_entities),
            (None, None) => ("", &[]),
        }
    }
}

impl Chat {
    pub(super) fn is_private(&self) -> bool {
        self.kind == "private"
    }

    pub(super) fn is_group(&self) -> bool {
        matches!(self.kind.as_str(), "group" | "supergroup")
    }
}

impl User {
    /// First and last name, on one line.
    pub(super) fn name(&self) -> String {
        let name = format!("{} {}", self.first_name, self.last_name);
        let plain: String = name.chars().map(|c| if c.is_control() || c == ':' { ' ' } else { c }).collect();
        let words: String = plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(NAME).collect();
        if words.is_empty() { format!("user {}", self.id) } else { words }
    }
}

/// Characters of a person's name that are shown.
const NAME: usize = 64;

/// Where the UTF-16 units are in `text`, in bytes; `None`: not at characters, or not in it.
pub(super) fn utf16_range(text: &str, offset: usize, length: usize) -> Option<Range<usize>> {
    let mut ends = [None, None];
    let (start, end) = (offset, offset.checked_add(length)?);
    let mut units = 0;
    for (at, c) in text.char_indices().map(|(at, c)| (at, c.len_utf16())).chain([(text.len(), 0)]) {
        for (wanted, found) in [start, end].into_iter().zip(&mut ends) {
            if wanted == units && found.is_none() {
                *found = Some(at);
            }
        }
        units += c;
    }
    Some(ends[0]?..ends[1]?)
}

fn part<T: for<'a> Deserialize<'a>>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

/// What cannot be read is as if it were not there.
fn lenient<'de, D: Deserializer<'de>, T: Default + for<'a> Deserialize<'a>>(deserializer: D) -> Result<T, D::Error> {
    Ok(part(&Value::deserialize(deserializer)?).unwrap_or_default())
}

/// Of a list, those that can be read.
fn each<'de, D: Deserializer<'de>, T: for<'a> Deserialize<'a>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_array().into_iter().flatten().filter_map(part).collect())
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
