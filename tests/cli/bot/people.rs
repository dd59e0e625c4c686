//! What people do: they write, edit, press, send files, leave.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::Bot;
use super::entities::units;
use super::http::Upload;
use super::state::{BOT, BOT_NAME, Chat, ChatState, Message, Query, State, unix};

/// A message that somebody writes; the short ways below make most of them.
#[derive(Debug, Clone, Default)]
pub struct Post<'a> {
    pub chat: i64,
    /// Who writes; zero is the one whose private chat it is.
    pub user: i64,
    pub topic: Option<i64>,
    pub text: &'a str,
    pub reply_to: Option<i64>,
    /// What it is (`document`, `photo`, `voice`, `audio`, `video`), its name, its bytes.
    pub file: Option<(&'a str, &'a str, &'a [u8])>,
    /// Files of one album share this.
    pub album: Option<&'a str>,
    /// Other fields of the message: a location, a contact, where it was forwarded from.
    pub more: Map<String, Value>,
}

/// What came of it. The update is zero where the bot did not ask for its kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    pub update: i64,
    pub message: i64,
}

impl Bot {
    /// Somebody who has started the bot: the private chat has the same number.
    pub fn user(&self, id: i64, name: &str) {
        self.chat_of(id, name, "private");
    }

    /// A supergroup; its number is negative.
    pub fn group(&self, id: i64, title: &str) {
        self.chat_of(id, title, "supergroup");
    }

    /// A supergroup with topics, which come into being with the first message in them.
    pub fn forum(&self, id: i64, title: &str) {
        self.chat_of(id, title, "forum");
    }

    /// A plain group, which may migrate.
    pub fn small_group(&self, id: i64, title: &str) {
        self.chat_of(id, title, "group");
    }

    fn chat_of(&self, id: i64, name: &str, kind: &'static str) {
        let chat = Chat { name: name.to_owned(), kind, topics: [].into(), state: ChatState::Open };
        self.change(|state| state.chats.insert(id, chat));
    }

    pub fn post(&self, post: &Post<'_>) -> Said {
        self.change(|state| {
            let message = state.post(post);
            let written = state.json(&message);
            Said { update: state.update("message", written), message: message.id }
        })
    }

    /// In a private chat.
    pub fn says(&self, chat: i64, text: &str) -> Said {
        self.post(&Post { chat, text, ..Post::default() })
    }

    pub fn says_in_group(&self, chat: i64, topic: Option<i64>, user: i64, text: &str) -> Said {
        self.post(&Post { chat, topic, user, text, ..Post::default() })
    }

    pub fn replies(&self, chat: i64, user: i64, to: i64, text: &str) -> Said {
        self.post(&Post { chat, user, text, reply_to: Some(to), ..Post::default() })
    }

    /// `what` is `document`, `photo`, `voice`, `audio` or `video`; `text` its caption.
    pub fn sends_file(&self, chat: i64, what: &str, name: &str, bytes: &[u8], text: &str) -> Said {
        self.post(&Post { chat, text, file: Some((what, name, bytes)), ..Post::default() })
    }

    pub fn edits(&self, chat: i64, message: i64, text: &str) -> i64 {
        self.change(|state| {
            let Some(old) = state.message_mut(chat, message) else { panic!("nobody wrote {chat}/{message}") };
            (old.text, old.entities, old.edits) = (text.to_owned(), found(text), old.edits + 1);
            old.versions.push(text.to_owned());
            let old = old.clone();
            let written = state.json(&old);
            state.update("edited_message", written)
        })
    }

    /// Presses a button that the message has now. The number of the query.
    pub fn presses(&self, user: i64, chat: i64, message: i64, button: &str) -> String {
        let data = self.look(|state| {
            let Some(message) = state.message(chat, message) else { panic!("no message {chat}/{message}\n{}", state.seen()) };
            let rows = message.markup["inline_keyboard"].as_array().into_iter().flatten();
            let mut buttons = rows.flat_map(|row| row.as_array().into_iter().flatten());
            let Some(found) = buttons.find(|other| other["text"] == button) else {
                panic!("no button {button:?} among {:?} of {:?}", message.buttons(), message.text)
            };
            found["callback_data"].as_str().unwrap_or_else(|| panic!("{button} has no data")).to_owned()
        });
        self.presses_data(user, chat, message, &data)
    }

    /// Presses a button that the message may have no longer: another device shows it still.
    pub fn presses_data(&self, user: i64, chat: i64, message: i64, data: &str) -> String {
        self.change(|state| {
            let id = (7_000_000_001 + state.queries.len()).to_string();
            state.queries.insert(id.clone(), Query { at: Instant::now(), answers: Vec::new() });
            let written = match state.message(chat, message).cloned() {
                Some(message) => state.json(&message),
                None => json!({ "chat": state.chat(chat), "message_id": message, "date": 0 }),
            };
            let body = json!({ "id": id, "from": state.user(user), "message": written, "chat_instance": "1", "data": data });
            state.update("callback_query", body);
            id
        })
    }

    /// Presses the stop button of the draft that the chat shows.
    pub fn stops(&self, chat: i64) -> i64 {
        self.change(|state| {
            let now = Instant::now();
            let seen = state.seen();
            let shown = state.drafts.iter_mut().rev().find(|draft| draft.chat == chat && draft.alive && draft.until > now);
            let Some(draft) = shown.filter(|draft| draft.can_stop) else { panic!("no draft with a stop button\n{seen}") };
            (draft.stopped, draft.alive) = (true, draft.keep_on_stop);
            let (id, topic) = (draft.id, draft.topic);
            let mut body = json!({ "chat": state.chat(chat), "draft_id": id });
            if let Some(topic) = topic {
                body["message_thread_id"] = topic.into();
            }
            state.update("stopped_message_generation", body)
        })
    }

    /// A user deletes a message; bots are not told.
    pub fn deletes(&self, chat: i64, message: i64) {
        self.change(|state| state.message_mut(chat, message).unwrap().deleted = true);
    }

    /// The user blocks the bot: an update says it, and everything sent there is refused.
    pub fn blocks(&self, user: i64) -> i64 {
        self.member(user, "member", "kicked", ChatState::Blocked)
    }

    pub fn unblocks(&self, user: i64) -> i64 {
        self.member(user, "kicked", "member", ChatState::Open)
    }

    /// The bot is put out of a group.
    pub fn puts_out(&self, group: i64) -> i64 {
        self.member(group, "member", "kicked", ChatState::Blocked)
    }

    fn member(&self, chat: i64, old: &str, new: &str, then: ChatState) -> i64 {
        self.change(|state| {
            state.chats.get_mut(&chat).unwrap().state = then;
            let was = |status: &str, user: Value| match status {
                "kicked" => json!({ "user": user, "status": status, "until_date": 0 }),
                _ => json!({ "user": user, "status": status }),
            };
            let bot = state.user(BOT);
            let (old, new) = (was(old, bot.clone()), was(new, bot));
            let who = state.user(chat.abs());
            let body = json!({ "chat": state.chat(chat), "from": who, "date": unix(), "old_chat_member": old, "new_chat_member": new });
            state.update("my_chat_member", body)
        })
    }

    /// The chat is gone, without an update.
    pub fn vanishes(&self, chat: i64) {
        self.change(|state| state.chats.get_mut(&chat).unwrap().state = ChatState::Gone);
    }

    /// A group becomes a supergroup with another number, and the bot hears of it only by what it tries to send.
    pub fn migrates_silently(&self, from: i64, to: i64) {
        self.change(|state| {
            let name = state.chats[&from].name.clone();
            state.chats.insert(to, Chat { name, kind: "supergroup", topics: [].into(), state: ChatState::Open });
            state.chats.get_mut(&from).unwrap().state = ChatState::Migrated(to);
        });
    }

    /// The same with both service messages.
    pub fn migrates(&self, from: i64, to: i64) {
        self.migrates_silently(from, to);
        let more = |name: &str, id: i64| [(name.to_owned(), json!(id))].into_iter().collect();
        self.post(&Post { chat: from, user: 1, more: more("migrate_to_chat_id", to), ..Post::default() });
        self.post(&Post { chat: to, user: 1, more: more("migrate_from_chat_id", from), ..Post::default() });
    }

    /// An update as it is, of whatever kind, numbered where it has no number. It is not held back for its kind.
    pub fn update(&self, update: Value) -> i64 {
        self.change(|state| state.queue(update))
    }

    /// This update once more, though it may be acknowledged.
    pub fn repeats(&self, update: i64) {
        self.change(|state| state.repeats.push(state.history[&update].clone()));
    }

    /// The next batch of updates comes in the opposite order.
    pub fn reverses(&self) {
        self.change(|state| state.reversed = true);
    }
}

impl State {
    fn post(&mut self, post: &Post<'_>) -> Message {
        if let (Some(topic), Some(chat)) = (post.topic, self.chats.get_mut(&post.chat)) {
            chat.topics.insert(topic);
        }
        let mut media = post.more.clone();
        if let Some((what, name, bytes)) = post.file {
            let upload = Upload { name: name.to_owned(), bytes: bytes.to_vec() };
            media.extend(self.media(what, upload));
        }
        if let Some(album) = post.album {
            media.insert("media_group_id".to_owned(), json!(album));
        }
        let from = if post.user == 0 { post.chat } else { post.user };
        self.keep(Message {
            chat: post.chat,
            topic: post.topic,
            from,
            text: post.text.to_owned(),
            raw: post.text.to_owned(),
            entities: found(post.text),
            reply_to: post.reply_to,
            media,
            ..Message::default()
        })
    }

    /// The field of a message that has this file.
    pub fn media(&mut self, what: &str, upload: Upload) -> Map<String, Value> {
        let name = upload.name.clone();
        let mut file = self.file(upload);
        let more = match what {
            "photo" => json!({ "width": 640, "height": 480 }),
            "voice" => json!({ "duration": 2, "mime_type": "audio/ogg" }),
            "audio" => json!({ "duration": 2, "mime_type": "audio/mpeg", "file_name": name }),
            "video" | "animation" => json!({ "width": 640, "height": 480, "duration": 2, "mime_type": "video/mp4", "file_name": name }),
            _ => json!({ "file_name": name, "mime_type": if name.ends_with(".txt") { "text/plain" } else { "application/octet-stream" } }),
        };
        file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        if what == "photo" {
            // A small one comes first, with a file of its own.
            let mut small = self.file(Upload { name, bytes: b"small".to_vec() });
            small.as_object_mut().unwrap().extend(json!({ "width": 64, "height": 48 }).as_object().unwrap().clone());
            file = json!([small, file]);
        }
        [(what.to_owned(), file)].into_iter().collect()
    }
}

/// The commands and mentions that the server finds in what people write.
fn found(text: &str) -> Vec<Value> {
    let mut out = Vec::new();
    let mut at = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
        let kind = match bare.chars().next() {
            Some('/') if bare.len() > 1 => Some("bot_command"),
            Some('@') if bare.len() > 1 => Some("mention"),
            _ => None,
        };
        if let Some(kind) = kind {
            out.push(json!({ "type": kind, "offset": at, "length": units(bare) }));
        }
        at += units(word);
    }
    out
}

/// How people call the bot in a group.
pub fn mention() -> String {
    format!("@{BOT_NAME}")
}
