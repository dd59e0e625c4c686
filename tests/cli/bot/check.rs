//! What a request may hold: the parameters of each method, and the rules of texts, keyboards and lists of commands.

use serde_json::{Value, json};

use super::entities::{Parsed, html, trimmed, units};
use super::http::{Answer, Input};
use super::state::number;

/// An error of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub status: u16,
    pub description: String,
    pub parameters: Value,
    /// A correct client never sends this.
    pub violation: bool,
}

pub type Outcome<T = Value> = Result<T, Refusal>;

impl Refusal {
    /// What may happen to anybody.
    pub fn new(status: u16, description: impl Into<String>) -> Self {
        Self { status, description: description.into(), parameters: Value::Null, violation: false }
    }

    /// 400 for what a correct client does not send.
    pub fn wrong(description: impl AsRef<str>) -> Self {
        Self { violation: true, ..Self::bad(description) }
    }

    /// 400 for what it may send without knowing better.
    pub fn bad(description: impl AsRef<str>) -> Self {
        Self::new(400, format!("Bad Request: {}", description.as_ref()))
    }

    pub fn too_fast(retry_after: u64) -> Self {
        let parameters = json!({ "retry_after": retry_after });
        Self { parameters, ..Self::new(429, format!("Too Many Requests: retry after {retry_after}")) }
    }

    pub fn answer(&self) -> Answer {
        let mut body = json!({ "ok": false, "error_code": self.status, "description": self.description });
        if !self.parameters.is_null() {
            body["parameters"] = self.parameters.clone();
        }
        Answer::json(self.status, &body)
    }
}

const SEND: &[&str] = &[
    "business_connection_id",
    "chat_id",
    "message_thread_id",
    "direct_messages_topic_id",
    "disable_notification",
    "protect_content",
    "allow_paid_broadcast",
    "message_effect_id",
    "suggested_post_parameters",
    "reply_parameters",
    "reply_markup",
];
const CAPTION: &[&str] = &["caption", "parse_mode", "caption_entities", "show_caption_above_media", "has_spoiler", "thumbnail"];
const TEXT: &[&str] = &["text", "parse_mode", "entities"];
const EDIT: &[&str] = &["business_connection_id", "chat_id", "message_id", "inline_message_id", "reply_markup"];
const SCOPE: &[&str] = &["scope", "language_code"];

/// The methods that the fake knows, with their parameters as the documentation has them.
const METHODS: [(&str, &[&[&str]]); 25] = [
    ("getMe", &[]),
    ("getUpdates", &[&["offset", "limit", "timeout", "allowed_updates"]]),
    ("setWebhook", &[&["url", "certificate", "ip_address", "max_connections", "allowed_updates", "drop_pending_updates", "secret_token"]]),
    ("deleteWebhook", &[&["drop_pending_updates"]]),
    ("getWebhookInfo", &[]),
    ("sendMessage", &[SEND, TEXT, &["link_preview_options"]]),
    ("sendMessageDraft", &[TEXT, &["chat_id", "message_thread_id", "draft_id", "can_stop", "keep_on_stop"]]),
    ("sendPhoto", &[SEND, CAPTION, &["photo"]]),
    ("sendDocument", &[SEND, CAPTION, &["document", "disable_content_type_detection"]]),
    ("sendVoice", &[SEND, CAPTION, &["voice", "duration"]]),
    ("sendAudio", &[SEND, CAPTION, &["audio", "duration", "performer", "title"]]),
    ("sendVideo", &[SEND, CAPTION, &["video", "duration", "width", "height", "cover", "start_timestamp", "supports_streaming"]]),
    ("sendChatAction", &[&["business_connection_id", "chat_id", "message_thread_id", "action"]]),
    ("setMessageReaction", &[&["chat_id", "message_id", "reaction", "is_big"]]),
    ("editMessageText", &[EDIT, TEXT, &["link_preview_options"]]),
    ("editMessageReplyMarkup", &[EDIT]),
    ("deleteMessage", &[&["chat_id", "message_id"]]),
    ("answerCallbackQuery", &[&["callback_query_id", "text", "show_alert", "url", "cache_time"]]),
    ("setMyCommands", &[SCOPE, &["commands"]]),
    ("getMyCommands", &[SCOPE]),
    ("deleteMyCommands", &[SCOPE]),
    ("getFile", &[&["file_id"]]),
    ("getChat", &[&["chat_id"]]),
    ("getChatMember", &[&["chat_id", "user_id"]]),
    ("leaveChat", &[&["chat_id"]]),
];

/// The name of a method as the documentation writes it; the server does not look at capitals.
pub fn method(name: &str) -> Option<&'static str> {
    METHODS.iter().map(|(method, _)| *method).find(|method| method.eq_ignore_ascii_case(name))
}

/// Parameters that the method does not have; the real server passes over them, and so hides what was meant.
pub fn unknown<'a>(method: &str, input: &'a Input) -> Vec<&'a str> {
    let lists = METHODS.iter().find(|(name, _)| *name == method).map_or(&[][..], |(_, lists)| lists);
    let known = |name: &str| lists.iter().any(|list| list.contains(&name));
    let values = input.params.values().filter_map(Value::as_str).collect::<Vec<_>>();
    let attached = |name: &str| values.contains(&format!("attach://{name}").as_str());
    let params = input.params.keys().filter(|name| !known(name));
    params.chain(input.files.keys().filter(|name| !known(name) && !attached(name))).map(String::as_str).collect()
}

/// The parameters of a request, read as the server reads them: numbers and JSON also as text.
#[derive(Clone, Copy)]
pub struct Params<'a>(pub &'a Input);

impl<'a> Params<'a> {
    pub fn integer(self, name: &str) -> Outcome<Option<i64>> {
        match self.0.params.get(name) {
            None => Ok(None),
            Some(value) => number(value).map(Some).ok_or_else(|| Refusal::wrong(format!("{name} must be an integer: {value}"))),
        }
    }

    pub fn needed(self, name: &str) -> Outcome<i64> {
        self.integer(name)?.ok_or_else(|| Refusal::wrong(format!("{name} is empty")))
    }

    pub fn text(self, name: &str) -> Outcome<&'a str> {
        match self.0.params.get(name) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(Refusal::wrong(format!("{name} must be a string: {other}"))),
        }
    }

    pub fn flag(self, name: &str) -> Outcome<bool> {
        match self.0.params.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) => Ok(text == "true" || text == "True" || text == "1"),
            Some(other) => Err(Refusal::wrong(format!("{name} must be a boolean: {other}"))),
        }
    }

    /// An object or a list; null where it is not there.
    pub fn json(self, name: &str) -> Outcome {
        match self.0.params.get(name) {
            None => Ok(Value::Null),
            Some(Value::String(text)) => {
                serde_json::from_str(text).map_err(|error| Refusal::wrong(format!("can't parse {name} JSON object: {error}")))
            }
            Some(value @ (Value::Object(_) | Value::Array(_))) => Ok(value.clone()),
            Some(other) => Err(Refusal::wrong(format!("{name} must be an object: {other}"))),
        }
    }
}

/// A text or a caption, parsed and trimmed, of any length.
pub fn text(params: Params<'_>, name: &str, entities: &str) -> Outcome<Parsed> {
    let raw = params.text(name)?;
    let given = params.json(entities)?;
    let parsed = match params.text("parse_mode")?.to_lowercase().as_str() {
        "" => {
            let list = given.as_array().cloned().unwrap_or_default();
            let end = units(raw) as u64;
            let reach = |entity: &Value| Some(entity["offset"].as_u64()? + entity["length"].as_u64()?);
            if let Some(entity) = list.iter().find(|entity| reach(entity).is_none_or(|reach| reach > end) || entity["type"].is_null()) {
                return Err(Refusal::wrong(format!("can't parse MessageEntity: {entity} in a text of {end}")));
            }
            Parsed { text: raw.to_owned(), entities: list, ..Parsed::default() }
        }
        "html" => html(raw).map_err(|error| Refusal::wrong(format!("can't parse entities: {error}")))?,
        other => return Err(Refusal::wrong(format!("unsupported parse_mode {other:?}: this fake knows HTML only"))),
    };
    Ok(trimmed(parsed))
}

/// The keyboard of a request as it is kept: null where it has no button.
pub fn markup(params: Params<'_>) -> Outcome {
    let markup = params.json("reply_markup")?;
    let Some(rows) = markup.get("inline_keyboard") else {
        let other = ["keyboard", "remove_keyboard", "force_reply"].iter().any(|name| markup.get(name).is_some());
        return if markup.is_null() || other { Ok(markup) } else { Err(Refusal::wrong("object expected as reply markup")) };
    };
    let wrong = || Refusal::wrong("can't parse inline keyboard button: rows of buttons expected");
    let mut buttons = 0;
    for row in rows.as_array().ok_or_else(wrong)? {
        for button in row.as_array().ok_or_else(wrong)? {
            buttons += 1;
            check_button(button)?;
        }
    }
    if buttons > 100 {
        return Err(Refusal::wrong("REPLY_MARKUP_TOO_LONG"));
    }
    Ok(if buttons == 0 { Value::Null } else { json!({ "inline_keyboard": rows }) })
}

fn check_button(button: &Value) -> Outcome<()> {
    if button["text"].as_str().is_none_or(str::is_empty) {
        return Err(Refusal::wrong("can't parse inline keyboard button: Button text must be non-empty"));
    }
    match (&button["callback_data"], &button["url"]) {
        (Value::String(data), Value::Null) if (1..=64).contains(&data.len()) => Ok(()),
        (Value::Null, Value::String(url)) if url.contains("://") => Ok(()),
        (Value::Null, Value::String(_)) => Err(Refusal::wrong("BUTTON_URL_INVALID")),
        (Value::Null, Value::Null) => {
            Err(Refusal::wrong("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"))
        }
        _ => Err(Refusal::wrong("BUTTON_DATA_INVALID")),
    }
}

/// A list of commands as `setMyCommands` takes it.
pub fn commands(list: &Value) -> Outcome<()> {
    let list = list.as_array().ok_or_else(|| Refusal::wrong("can't parse commands JSON object"))?;
    if list.len() > 100 {
        return Err(Refusal::wrong("too many commands specified"));
    }
    for command in list {
        let (name, says) = (command["command"].as_str().unwrap_or_default(), command["description"].as_str().unwrap_or_default());
        let valid = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !valid || !(1..=32).contains(&name.len()) {
            return Err(Refusal::wrong(format!("BOT_COMMAND_INVALID: {name:?}")));
        }
        if !(1..=256).contains(&says.chars().count()) {
            return Err(Refusal::wrong(format!("BOT_COMMAND_DESCRIPTION_INVALID: {name}")));
        }
    }
    Ok(())
}

pub fn scope(scope: &Value) -> Outcome<String> {
    let number = |name: &str| number(&scope[name]).is_some();
    let valid = match scope["type"].as_str() {
        _ if scope.is_null() => true,
        Some("default" | "all_private_chats" | "all_group_chats" | "all_chat_administrators") => true,
        Some("chat" | "chat_administrators") => number("chat_id"),
        Some("chat_member") => number("chat_id") && number("user_id"),
        _ => false,
    };
    let name = if scope.is_null() { json!({ "type": "default" }) } else { scope.clone() };
    if valid { Ok(name.to_string()) } else { Err(Refusal::wrong(format!("can't parse BotCommandScope: {scope}"))) }
}
