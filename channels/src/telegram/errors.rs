//! What Telegram answers when it does not do what was asked, sorted by what there is to do about it.
//!
//! It asks nothing and waits for nothing.

use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;

/// The wait where Telegram says "too many requests" and not for how long.
const FLOOD: Duration = Duration::from_secs(5);

/// The longest wait that is believed.
const LONGEST_FLOOD: Duration = Duration::from_hours(24);

/// Characters of a description that are kept.
const DESCRIPTION: usize = 300;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApiError {
    /// 429: nothing of this kind before so much time has passed.
    #[error("Telegram asks to wait {} s", .0.as_secs())]
    Flood(Duration),
    /// Nothing can be delivered to this chat: the bot was blocked or removed, the account or the group is gone.
    #[error("{0}")]
    Blocked(String),
    /// The message that was meant is gone, or can no longer be changed.
    #[error("{0}")]
    Gone(String),
    /// The topic that was meant is closed or gone; the chat is there.
    #[error("{0}")]
    NoTopic(String),
    /// The group has another id now.
    #[error("the group has become the supergroup {0}")]
    Migrated(i64),
    /// The message says that already.
    #[error("the message is as it was")]
    NotModified,
    /// Telegram cannot read the markup.
    #[error("{0}")]
    BadMarkup(String),
    /// The text is longer than a message may be.
    #[error("{0}")]
    TooLong(String),
    /// The button was pressed too long ago to be answered.
    #[error("{0}")]
    TooOld(String),
    /// 404: there is no such method, or the token is none.
    #[error("{0}")]
    NotFound(String),
    /// 401: the token is not, or no longer, that of a bot.
    #[error("Telegram does not take the bot's token: it is wrong, or was revoked (@BotFather gives a new one)")]
    Unauthorized,
    /// 409: somebody else asks for this bot's updates, or a webhook does.
    #[error("{0}")]
    Conflict(String),
    /// 5xx, or no answer of Telegram's. It may have been done or not.
    #[error("{0}")]
    Server(String),
    /// No answer. It may have been done or not.
    #[error("{0}")]
    Network(String),
    /// Anything else that Telegram refuses.
    #[error("{0}")]
    Refused(String),
}

impl ApiError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Flood(_) | Self::Server(_) | Self::Network(_))
    }
}

/// Beginnings and parts of descriptions, in lower case. The texts are those of the Bot API server (`telegram-bot-api/Client.cpp`), as
/// collected in teloxide-core's `ApiError`; a part of each is enough, since they change in detail.
const TOPIC: &[&str] = &["message thread not found", "topic_deleted", "topic_closed", "topic_id_invalid", "topic closed"];

const BLOCKED: &[&str] = &[
    "chat not found",
    "user not found",
    "user is deactivated",
    "group is deactivated",
    "group chat was deactivated",
    "group chat was deleted",
    "bot was blocked",
    "bot was kicked",
    "bot is not a member",
    "can't initiate conversation",
    "can't send messages to bots",
    "can't send messages to the user",
    "peer_id_invalid",
    "user_is_blocked",
    "input_user_deactivated",
    "not enough rights to send",
    "have no rights to send",
    "chat_write_forbidden",
    "chat_restricted",
    "need administrator rights",
];

const GONE: &[&str] = &[
    "message to edit not found",
    "message to delete not found",
    "message to be replied not found",
    "message to react not found",
    "message can't be edited",
    "message can't be deleted",
    "message_id_invalid",
    "message not found",
];

const MARKUP: &[&str] = &["can't parse entities", "can't parse message text", "entity_", "entities_too_long", "entity_bounds_invalid"];

const LONG: &[&str] = &["message is too long", "message_too_long", "text is too long", "caption is too long", "media_caption_too_long"];

/// What `status` and `body` say: the result, or why there is none.
///
/// # Errors
/// See [`ApiError`].
pub(super) fn result(status: u16, body: &[u8]) -> Result<Value, ApiError> {
    let Ok(Value::Object(mut answer)) = serde_json::from_slice::<Value>(body) else {
        return cut_off(status, body).ok_or_else(|| without_words(status));
    };
    if answer.get("ok") == Some(&Value::Bool(true)) {
        return answer.remove("result").ok_or_else(|| ApiError::Server("an answer without a result".into()));
    }
    let code = answer.get("error_code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()).unwrap_or(status);
    let description: String = answer.get("description").and_then(Value::as_str).unwrap_or_default().chars().take(DESCRIPTION).collect();
    let parameter = |name: &str| answer.get("parameters").and_then(|all| all.get(name)).and_then(Value::as_i64);
    if let Some(id) = parameter("migrate_to_chat_id") {
        return Err(ApiError::Migrated(id));
    }
    let wait = parameter("retry_after").and_then(|seconds| u64::try_from(seconds).ok());
    if wait.is_some() || code == 429 {
        return Err(flood(wait.or_else(|| seconds_in(&description))));
    }
    Err(sorted(code, description))
}

/// What the beginning of an answer says of a message that was sent: sent again, it would be there twice.
fn cut_off(status: u16, body: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.strip_prefix(r#"{"ok":true,"#).filter(|_| status == 200)?.split_once(r#""message_id":"#)?;
    // A number with nothing behind it may be cut, too.
    let (number, _) = rest.split_once([',', '}'])?;
    Some(json!({ "message_id": number.trim().parse::<i64>().ok()? }))
}

fn flood(seconds: Option<u64>) -> ApiError {
    // A wait of no time is no wait; the next try comes at once and finds the same.
    ApiError::Flood(seconds.map_or(FLOOD, |seconds| Duration::from_secs(seconds.max(1))).min(LONGEST_FLOOD))
}

/// `Too Many Requests: retry after 7`
fn seconds_in(description: &str) -> Option<u64> {
    let (_, seconds) = description.rsplit_once("retry after ")?;
    seconds.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// What is between here and Telegram answers in words of its own.
fn without_words(status: u16) -> ApiError {
    match status {
        401 => ApiError::Unauthorized,
        404 => ApiError::NotFound("404 without Telegram's words: the address of the Bot API server may be wrong".into()),
        429 => flood(None),
        413 => ApiError::Refused("413: the file is too large".into()),
        _ => ApiError::Server(format!("status {status} without Telegram's words")),
    }
}

fn sorted(code: u16, description: String) -> ApiError {
    let lower = description.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    match code {
        401 if says(BLOCKED) => ApiError::Blocked(description),
        401 => ApiError::Unauthorized,
        403 => ApiError::Blocked(description),
        404 => ApiError::NotFound(description),
        409 => ApiError::Conflict(description),
        500..=599 => ApiError::Server(description),
        _ if says(&["message is not modified"]) => ApiError::NotModified,
        _ if says(&["query is too old", "query id is invalid", "query_id_invalid"]) => ApiError::TooOld(description),
        _ if says(TOPIC) => ApiError::NoTopic(description),
        _ if says(GONE) => ApiError::Gone(description),
        _ if says(LONG) => ApiError::TooLong(description),
        _ if says(MARKUP) => ApiError::BadMarkup(description),
        _ if says(BLOCKED) => ApiError::Blocked(description),
        _ => ApiError::Refused(description),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, expected: &ApiError) {
        assert_eq!(result(status, body.as_bytes()).as_ref(), Err(expected), "{status} {body}");
    }

    /// A description of the Bot API, as it comes, and the kind that it is.
    fn check_words(code: u16, description: &str, kind: fn(String) -> ApiError) {
        let body = serde_json::json!({ "ok": false, "error_code": code, "description": description }).to_string();
        check(code, &body, &kind(description.into()));
    }

    #[test]
    fn what_telegram_says_is_sorted_by_what_to_do() {
        check_words(403, "Forbidden: bot was blocked by the user", ApiError::Blocked);
        check_words(403, "Forbidden: user is deactivated", ApiError::Blocked);
        check_words(403, "Forbidden: bot was kicked from the supergroup chat", ApiError::Blocked);
        check_words(403, "Forbidden: bot can't initiate conversation with a user", ApiError::Blocked);
        check_words(401, "Unauthorized: bot was kicked from a chat", ApiError::Blocked);
        check_words(400, "Bad Request: chat not found", ApiError::Blocked);
        check_words(400, "Bad Request: group is deactivated", ApiError::Blocked);
        check_words(400, "Bad Request: not enough rights to send text messages to the chat", ApiError::Blocked);
        check_words(400, "Bad Request: message thread not found", ApiError::NoTopic);
        check_words(400, "Bad Request: TOPIC_CLOSED", ApiError::NoTopic);
        check_words(400, "Bad Request: message to edit not found", ApiError::Gone);
        check_words(400, "Bad Request: message can't be edited", ApiError::Gone);
        check_words(400, "Bad Request: MESSAGE_ID_INVALID", ApiError::Gone);
        check_words(400, "Bad Request: message is too long", ApiError::TooLong);
        check_words(400, "Bad Request: MESSAGE_TOO_LONG", ApiError::TooLong);
        check_words(
            400,
            "Bad Request: can't parse entities: Can't find end tag corresponding to start tag \"b\"; byte offset 7",
            ApiError::BadMarkup,
        );
        check_words(400, "Bad Request: ENTITY_TEXT_INVALID", ApiError::BadMarkup);
        check_words(400, "Bad Request: query is too old and response timeout expired or query ID is invalid", ApiError::TooOld);
        check_words(400, "Bad Request: message text is empty", ApiError::Refused);
        check_words(404, "Not Found: method not found", ApiError::NotFound);
        check_words(
            409,
            "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            ApiError::Conflict,
        );
        check_words(
            409,
            "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete it",
            ApiError::Conflict,
        );
        check_words(502, "Bad Gateway", ApiError::Server);
        let same = r#"{"ok":false,"error_code":400,"description":"Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message"}"#;
        check(400, same, &ApiError::NotModified);
        check(401, r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#, &ApiError::Unauthorized);
    }

    #[test]
    fn waits_and_moves_are_numbers() {
        let seconds = |seconds| ApiError::Flood(Duration::from_secs(seconds));
        check(
            429,
            r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#,
            &seconds(7),
        );
        check(429, r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 12"}"#, &seconds(12));
        check(429, r#"{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{"retry_after":0}}"#, &seconds(1));
        check(429, "<html>slow down</html>", &ApiError::Flood(FLOOD));
        check(429, r#"{"ok":false,"parameters":{"retry_after":99999999999}}"#, &ApiError::Flood(LONGEST_FLOOD));
        let moved = r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1001234567890}}"#;
        check(400, moved, &ApiError::Migrated(-1_001_234_567_890));
    }

    #[test]
    fn what_is_not_telegram_is_no_result() {
        check(200, "<html>log in to the wireless network</html>", &ApiError::Server("status 200 without Telegram's words".into()));
        check(504, "", &ApiError::Server("status 504 without Telegram's words".into()));
        check(200, r#"{"ok":true}"#, &ApiError::Server("an answer without a result".into()));
        check(401, "", &ApiError::Unauthorized);
        assert_eq!(result(200, br#"{"ok":true,"result":[1]}"#), Ok(json!([1])));
        assert_eq!(result(200, br#"{"ok":true,"result":{"message_id":17,"te"#), Ok(json!({ "message_id": 17 })));
        check(200, r#"{"ok":true,"result":{"message_id":17"#, &ApiError::Server("status 200 without Telegram's words".into()));
    }
}
