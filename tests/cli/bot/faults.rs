//! What goes wrong on demand.

use std::time::Duration;

use serde_json::{Value, json};

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum What {
    /// 429: wait so many seconds, in this chat.
    Flood(u64),
    /// 429: wait so many seconds, everywhere.
    FloodAll(u64),
    /// 500, 502, 504: the page of a gateway. Nothing is processed.
    Gateway(u16),
    /// An error of the API.
    Refuse(u16, &'static str, Value),
    /// The connection is reset and nothing is processed.
    ResetBefore,
    /// It is processed and the connection is reset: the answer is lost.
    ResetAfter,
    /// Held for so long, then processed and answered.
    Hang(Duration),
    /// Held for so long, then the connection is closed. Nothing is processed.
    Stall(Duration),
    /// The server closes its side without an answer and listens on. Nothing is processed.
    HalfClosed,
    /// Processed; the answer's body ends in the middle and then the connection.
    Truncated,
    /// Processed; of the answer's JSON only a half is there, in a body that is whole as far as HTTP goes.
    BadJson,
    /// Processed and answered; then the connection is closed without being announced, so the next request on it fails.
    CloseAfter,
}

impl What {
    pub fn blocked() -> Self {
        Self::Refuse(403, "Forbidden: bot was blocked by the user", Value::Null)
    }

    pub fn chat_gone() -> Self {
        Self::Refuse(400, "Bad Request: chat not found", Value::Null)
    }

    pub fn migrated(to: i64) -> Self {
        Self::Refuse(400, "Bad Request: group chat was upgraded to a supergroup chat", json!({ "migrate_to_chat_id": to }))
    }

    pub fn bad_markup() -> Self {
        Self::Refuse(400, "Bad Request: can't parse entities: Unsupported start tag \"x\" at byte offset 0", Value::Null)
    }
}

/// A fault and the requests that it is for: of one method, of one chat, so many, after so many, each n-th.
#[derive(Debug, Clone)]
pub struct Fault {
    what: What,
    method: Option<&'static str>,
    chat: Option<i64>,
    skip: u32,
    every: u32,
    times: u32,
    seen: u32,
}

impl Fault {
    /// For the next request of any kind.
    pub fn new(what: What) -> Self {
        Self { what, method: None, chat: None, skip: 0, every: 1, times: 1, seen: 0 }
    }

    /// Only for requests of this method; `download` for files.
    pub fn on(self, method: &'static str) -> Self {
        Self { method: Some(method), ..self }
    }

    pub fn in_chat(self, chat: i64) -> Self {
        Self { chat: Some(chat), ..self }
    }

    /// For so many requests rather than one.
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    pub fn for_ever(self) -> Self {
        self.times(u32::MAX)
    }

    /// The first so many pass.
    pub fn skip(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// Only each n-th.
    pub fn every(self, every: u32) -> Self {
        Self { every, ..self }
    }

    fn hits(&mut self, method: &str, chat: Option<i64>) -> bool {
        if self.method.is_some_and(|own| own != method) || self.chat.is_some_and(|own| Some(own) != chat) || self.times == 0 {
            return false;
        }
        self.seen += 1;
        let hit = self.seen > self.skip && (self.seen - self.skip).is_multiple_of(self.every);
        self.times -= u32::from(hit && self.times != u32::MAX);
        hit
    }
}

/// The first fault that hits this request.
pub fn hit(faults: &mut Vec<Fault>, method: &str, chat: Option<i64>) -> Option<What> {
    let what = faults.iter_mut().find_map(|fault| fault.hits(method, chat).then(|| fault.what.clone()));
    faults.retain(|fault| fault.times > 0);
    what
}
