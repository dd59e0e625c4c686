//! The eyes on a message: seen, and being answered. They come and go as they can; nothing waits for them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::api::Api;
use super::intake::locked;

/// Put on a message that was accepted.
const SEEN: &str = "👀";

/// Messages whose eyes are under way at once; of more they are left as they are.
const AT_ONCE: usize = 32;

/// Tries to take them away, and the pause between two.
const TRIES: (u32, Duration) = (4, Duration::from_secs(3));

/// Chat and message of those whose eyes are under way, and whether they are to go again.
#[derive(Default)]
pub(super) struct Eyes(Mutex<BTreeMap<(i64, i64), bool>>);

/// The message was accepted.
pub(super) fn received(api: &Api, chat: i64, message: i64) {
    if api.pace().may_be_left_out(chat, Instant::now()) && api.eyes().begin(chat, message, false) {
        tokio::spawn(work(api.clone(), chat, message, true));
    }
}

/// The message is answered, or its turn has ended.
pub(super) fn done(api: &Api, chat: i64, message: i64) {
    if api.eyes().begin(chat, message, true) {
        tokio::spawn(work(api.clone(), chat, message, false));
    }
}

impl Eyes {
    /// Whether the message is new among those under way, and there is room. Of one that is there it is kept that its eyes are to go.
    fn begin(&self, chat: i64, message: i64, goes: bool) -> bool {
        let mut under_way = locked(&self.0);
        if let Some(is_to_go) = under_way.get_mut(&(chat, message)) {
            *is_to_go |= goes;
            return false;
        }
        under_way.len() < AT_ONCE && under_way.insert((chat, message), goes).is_none()
    }

    /// Whether the eyes stay for now; then nothing is under way any more.
    fn stay(&self, chat: i64, message: i64) -> bool {
        let mut under_way = locked(&self.0);
        let stay = under_way.get(&(chat, message)) != Some(&true);
        if stay {
            under_way.remove(&(chat, message));
        }
        stay
    }

    fn end(&self, chat: i64, message: i64) {
        locked(&self.0).remove(&(chat, message));
    }
}

async fn work(api: Api, chat: i64, message: i64, comes: bool) {
    if comes && let Err(error) = api.react(chat, message, Some(SEEN)).await {
        tracing::debug!(chat, "no reaction: {error}");
    }
    let (tries, pause) = TRIES;
    for _ in 0..tries {
        // Asked each time: an answer may be there while the eyes come.
        if api.eyes().stay(chat, message) {
            return;
        }
        let may = api.pace().may_be_left_out(chat, Instant::now());
        if may && !matches!(api.react(chat, message, None).await, Err(error) if error.passes()) {
            break;
        }
        sleep(pause).await;
    }
    api.eyes().end(chat, message);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::telegram::fake::{Fake, Reply};

    #[tokio::test]
    async fn the_eyes_go_after_they_came() {
        let fake = Fake::start(|_, _| Reply::ok(json!(true)));
        let api = fake.api();
        received(&api, 41, 1);
        done(&api, 41, 1);
        let emoji: Vec<usize> =
            fake.calls("setMessageReaction", 2).await.iter().map(|call| call["reaction"].as_array().unwrap().len()).collect();
        assert_eq!(emoji, [1, 0]);
    }
}
