//! The eyes on a message: seen, and being answered. They come and go as they can; nothing waits for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::api::Api;

/// Put on a message that was accepted.
const SEEN: &str = "👀";

/// Calls of this kind that are under way at once; more are left out.
const AT_ONCE: usize = 8;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// The message was accepted.
pub(super) fn received(api: &Api, chat: i64, message: i64) {
    set(api, chat, message, Some(SEEN));
}

/// The message is answered, or its turn has ended.
pub(super) fn done(api: &Api, chat: i64, message: i64) {
    set(api, chat, message, None);
}

fn set(api: &Api, chat: i64, message: i64, emoji: Option<&'static str>) {
    if !api.pace().may_be_left_out(chat, Instant::now()) {
        return;
    }
    if UNDER_WAY.fetch_add(1, Ordering::Relaxed) >= AT_ONCE {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let api = api.clone();
    tokio::spawn(async move {
        if let Err(error) = api.react(chat, message, emoji).await {
            tracing::debug!(chat, "no reaction: {error}");
        }
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    });
}
