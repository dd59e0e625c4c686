//! What the server knows: chats and their messages, updates not acknowledged yet, drafts, files, and the log of what was asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::faults::Fault;
use super::http::Upload;
use super::limits::{Limits, Rates};

/// The bot itself.
pub const BOT: i64 = 4_242;
pub const BOT_NAME: &str = "paguro_test_bot";

/// How the server answers `sendMessageDraft`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drafts {
    Known,
    /// A server of an earlier version: 404.
    Unknown,
    /// 400.
    Refused,
}

/// What a test may set.
#[derive(Debug, Clone)]
pub struct Rules {
    pub rates: Rates,
    pub drafts: Drafts,
    pub draft_life: Duration,
    /// How long after its press a query may be answered.
    pub query_life: Duration,
    /// How long after a chat was told to wait a request still counts as under way, which is not held against the bot.
    pub under_way: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            rates: Rates::default(),
            drafts: Drafts::Known,
            draft_life: Duration::from_secs(30),
            query_life: Duration::from_secs(15 * 60),
            under_way: Duration::from_millis(300),
        }
    }
}

pub struct Chat {
    pub name: String,
    pub kind: &'static str,
    pub topics: BTreeSet<i64>,
    pub state: ChatState,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ChatState {
    Open,
    Blocked,
    Gone,
    Migrated(i64),
}

/// A message as the chat shows it now.
#[derive(Debug, Clone, Default)]
pub struct Message {
    pub id: i64,
    pub chat: i64,
    pub topic: Option<i64>,
    pub from: i64,
    pub date: u64,
    /// Without tags; the caption where there is a file.
    pub text: String,
    /// As it was sent.
    pub raw: String,
    pub entities: Vec<Value>,
    /// The keyboard, or null.
    pub markup: Value,
    pub reply_to: Option<i64>,
    pub edits: u32,
    /// Every text that it had, in order.
    pub versions: Vec<String>,
    pub deleted: bool,
    /// The bot's own.
    pub reactions: Vec<String>,
    /// Fields of another kind than text.
    pub media: Map<String, Value>,
    pub file: Option<Upload>,
}

impl Message {
    pub fn is_bots(&self) -> bool {
        self.from == BOT
    }

    /// The texts of its buttons, in order.
    pub fn buttons(&self) -> Vec<String> {
        let rows = self.markup["inline_keyboard"].as_array().into_iter().flatten();
        rows.flat_map(|row| row.as_array().into_iter().flatten())
            .map(|button| button["text"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Call {
    pub number: usize,
    /// As the documentation writes it; `download` for a file.
    pub method: String,
    pub params: Value,
    pub at: Instant,
    /// The status of the answer, once there is one.
    pub status: Option<u16>,
}

impl Call {
    pub fn chat(&self) -> Option<i64> {
        number(&self.params["chat_id"])
    }
}

/// An integer, also where it came as text.
pub fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[derive(Debug, Clone)]
pub struct Draft {
    pub id: i64,
    pub chat: i64,
    pub topic: Option<i64>,
    /// Everything it said, in order.
    pub texts: Vec<String>,
    pub can_stop: bool,
    pub keep_on_stop: bool,
    pub stopped: bool,
    /// Still shown: not expired, not replaced by a message, not stopped.
    pub alive: bool,
    pub until: Instant,
}

pub struct Query {
    pub at: Instant,
    /// The parameters of each answer.
    pub answers: Vec<Value>,
}

pub struct Webhook {
    pub url: String,
    pub secret: Option<String>,
    pub number: u64,
}

#[derive(Default)]
pub struct State {
    pub rules: Rules,
    pub chats: BTreeMap<i64, Chat>,
    pub messages: Vec<Message>,
    pub updates: VecDeque<Value>,
    /// Delivered again with the next batch, though acknowledged.
    pub repeats: Vec<Value>,
    /// The next batch is turned round.
    pub reversed: bool,
    pub last_update: i64,
    /// Every update that there was.
    pub history: BTreeMap<i64, Value>,
    /// What a webhook's server answered: the update, and the status or 0.
    pub deliveries: Vec<(i64, u16)>,
    /// Updates that an answer held.
    pub given: BTreeSet<i64>,
    /// Kinds that the bot wants, where it said.
    pub allowed: Option<Vec<String>>,
    /// Kinds that were held back for that.
    pub withheld: Vec<String>,
    /// Counts the polls: whoever waits and is not the last is told of the conflict.
    pub poll: u64,
    pub conflicts: u32,
    pub webhook: Option<Webhook>,
    pub webhooks: u64,
    pub files: BTreeMap<String, Upload>,
    pub queries: BTreeMap<String, Query>,
    pub drafts: Vec<Draft>,
    /// By scope, as JSON.
    pub commands: BTreeMap<String, Value>,
    pub calls: Vec<Call>,
    pub violations: Vec<String>,
    pub oddities: Vec<String>,
    pub faults: Vec<Fault>,
    pub limits: Limits,
    pub counters: BTreeMap<i64, i64>,
}

pub fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl State {
    /// The bot's messages as they are shown now, in the order of their sending; deleted ones are marked.
    pub fn sent(&self) -> Vec<&Message> {
        self.messages.iter().filter(|message| message.is_bots()).collect()
    }

    /// The bot's messages in one chat that are not deleted.
    pub fn sent_to(&self, chat: i64) -> Vec<&Message> {
        self.sent().into_iter().filter(|message| message.chat == chat && !message.deleted).collect()
    }

    /// Their texts.
    pub fn texts(&self, chat: i64) -> Vec<&str> {
        self.sent_to(chat).into_iter().map(|message| message.text.as_str()).collect()
    }

    pub fn calls_of(&self, method: &str) -> Vec<&Call> {
        self.calls.iter().filter(|call| call.method == method).collect()
    }

    /// The drafts of a chat, in the order of their beginning.
    pub fn drafts(&self, chat: i64) -> Vec<Draft> {
        let now = Instant::now();
        let own = self.drafts.iter().filter(|draft| draft.chat == chat);
        own.map(|draft| Draft { alive: draft.alive && draft.until > now, ..draft.clone() }).collect()
    }

    pub fn message(&self, chat: i64, id: i64) -> Option<&Message> {
        self.messages.iter().find(|message| (message.chat, message.id) == (chat, id) && !message.deleted)
    }

    pub fn message_mut(&mut self, chat: i64, id: i64) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| (message.chat, message.id) == (chat, id) && !message.deleted)
    }

    /// Whether there was ever such a message.
    pub fn knew(&self, chat: i64, id: i64) -> bool {
        self.messages.iter().any(|message| (message.chat, message.id) == (chat, id))
    }

    /// Numbers a message and keeps it. Private chats share one row of numbers, each group has its own.
    pub fn keep(&mut self, mut message: Message) -> Message {
        let counter = self.counters.entry(message.chat.min(0)).or_insert(100);
        *counter += 1;
        message.id = *counter;
        message.date = unix();
        message.versions = vec![message.text.clone()];
        self.messages.push(message.clone());
        message
    }

    pub fn user(&self, id: i64) -> Value {
        if id == BOT {
            return json!({ "id": BOT, "is_bot": true, "first_name": "Paguro", "username": BOT_NAME });
        }
        let name = self.chats.get(&id).map_or("Somebody", |chat| chat.name.as_str());
        json!({ "id": id, "is_bot": false, "first_name": name, "username": format!("user{id}"), "language_code": "en" })
    }

    pub fn chat(&self, id: i64) -> Value {
        let Some(chat) = self.chats.get(&id) else { panic!("there is no chat {id}; use Bot::user or Bot::group first") };
        match chat.kind {
            "private" => json!({ "id": id, "type": "private", "first_name": chat.name, "username": format!("user{id}") }),
            "forum" => json!({ "id": id, "type": "supergroup", "title": chat.name, "is_forum": true }),
            kind => json!({ "id": id, "type": kind, "title": chat.name }),
        }
    }

    /// A message as the API writes it.
    pub fn json(&self, message: &Message) -> Value {
        let mut out = json!({
            "message_id": message.id,
            "from": self.user(message.from),
            "chat": self.chat(message.chat),
            "date": message.date,
        });
        if let Some(topic) = message.topic {
            out["message_thread_id"] = topic.into();
            out["is_topic_message"] = true.into();
        }
        if message.edits > 0 {
            out["edit_date"] = unix().into();
        }
        if let Some(replied) = message.reply_to.and_then(|id| self.message(message.chat, id)) {
            let replied = Message { reply_to: None, ..replied.clone() };
            out["reply_to_message"] = self.json(&replied);
        }
        let (text, entities) = if message.media.is_empty() { ("text", "entities") } else { ("caption", "caption_entities") };
        if !message.text.is_empty() {
            out[text] = message.text.clone().into();
        }
        if !message.entities.is_empty() {
            out[entities] = message.entities.clone().into();
        }
        if !message.markup.is_null() {
            out["reply_markup"] = message.markup.clone();
        }
        out.as_object_mut().unwrap().extend(message.media.clone());
        out
    }

    /// Queues an update of a kind, unless the bot did not ask for that kind. Its number.
    pub fn update(&mut self, kind: &str, body: Value) -> i64 {
        let not_by_default = ["chat_member", "message_reaction", "message_reaction_count"];
        let wanted = match &self.allowed {
            Some(allowed) => allowed.iter().any(|name| name == kind),
            None => !not_by_default.contains(&kind),
        };
        if !wanted {
            self.withheld.push(kind.to_owned());
            return 0;
        }
        let mut update = json!({});
        update[kind] = body;
        self.queue(update)
    }

    /// Queues an update as it is, numbered where it has no number.
    pub fn queue(&mut self, mut update: Value) -> i64 {
        if let Some(id) = update["update_id"].as_i64() {
            self.last_update = self.last_update.max(id);
            self.history.insert(id, update.clone());
            self.updates.push_back(update);
            return id;
        }
        self.last_update = self.last_update.max(815_000_000) + 1;
        // The number comes first, as the server writes it.
        let mut out = json!({ "update_id": self.last_update });
        out.as_object_mut().unwrap().extend(std::mem::take(update.as_object_mut().unwrap()));
        self.history.insert(self.last_update, out.clone());
        self.updates.push_back(out);
        self.last_update
    }

    /// Keeps a file; how the API writes it.
    pub fn file(&mut self, upload: Upload) -> Value {
        let id = format!("file{:04}AgADBAADqacxGw", self.files.len() + 1);
        let written = json!({ "file_id": id, "file_unique_id": format!("u{}", self.files.len() + 1), "file_size": upload.bytes.len() });
        self.files.insert(id, upload);
        written
    }

    pub fn violation(&mut self, says: impl Into<String>) {
        self.violations.push(says.into());
    }

    /// What a failed wait shows.
    pub fn seen(&self) -> String {
        let lines =
            |title: &str, lines: Vec<String>| format!("{title}:\n{}", lines.iter().map(|line| format!("  {line}\n")).collect::<String>());
        let shown = self.messages.iter().map(|m| {
            let who = if m.is_bots() { "bot" } else { "user" };
            let more = if m.deleted { ", deleted" } else { "" };
            format!(
                "{}/{} {who}, {} edits{more}: {:?} {:?}",
                m.chat,
                m.id,
                m.edits,
                m.text.chars().take(120).collect::<String>(),
                m.buttons()
            )
        });
        let calls = self.calls.iter().rev().take(40).rev();
        let calls = calls
            .map(|c| format!("{} {} {:?}: {}", c.number, c.method, c.status, c.params.to_string().chars().take(160).collect::<String>()));
        let drafts = self.drafts.iter().map(|draft| format!("{}: {:?}", draft.chat, draft.texts.last()));
        [
            lines("messages", shown.collect()),
            lines("drafts", drafts.collect()),
            lines("the last requests", calls.collect()),
            lines("updates not acknowledged", self.updates.iter().map(Value::to_string).collect()),
            lines("kinds of updates that the bot did not ask for", self.withheld.clone()),
            lines("violations", self.violations.clone()),
        ]
        .concat()
    }
}
