//! What the methods do, one function each.

use std::time::Instant;

use serde_json::{Value, json};

use super::check::{Outcome, Params, Refusal, commands, markup, scope, text};
use super::entities::{Parsed, units};
use super::http::{Input, Upload};
use super::state::{BOT, ChatState, Draft, Drafts, Message, State};

/// Units of a text, and of a caption.
const LONGEST: usize = 4096;
const LONGEST_CAPTION: usize = 1024;
/// Bytes that a bot may fetch, and send.
const LARGEST_FETCHED: usize = 20 << 20;
const LARGEST_PHOTO: usize = 10 << 20;
const LARGEST_SENT: usize = 50 << 20;

/// Those that a bot may react with.
const REACTIONS: &str = "👍 👎 ❤ 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤‍🔥 🌚 🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 👨‍💻 \
                         👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷‍♂ 🤷 🤷‍♀ 😡";

const ACTIONS: [&str; 11] = [
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
];

/// Everything but the getting of updates.
pub fn call(state: &mut State, method: &str, input: &Input) -> Outcome {
    let params = Params(input);
    if input.params.contains_key("chat_id") {
        open(state, params.needed("chat_id")?)?;
    }
    match method {
        "getMe" => Ok(me(state)),
        "sendMessage" => send_message(state, params),
        "sendMessageDraft" => send_draft(state, params),
        "sendPhoto" | "sendDocument" | "sendVoice" | "sendAudio" | "sendVideo" => send_file(state, params, &method[4..].to_lowercase()),
        "sendChatAction" => chat_action(params),
        "setMessageReaction" => react(state, params),
        "editMessageText" => edit_text(state, params),
        "editMessageReplyMarkup" => edit_markup(state, params),
        "deleteMessage" => delete(state, params),
        "answerCallbackQuery" => answer_query(state, params),
        "setMyCommands" => {
            let list = params.json("commands")?;
            commands(&list)?;
            state.commands.insert(scope(&params.json("scope")?)?, list);
            Ok(json!(true))
        }
        "getMyCommands" => Ok(state.commands.get(&scope(&params.json("scope")?)?).cloned().unwrap_or(json!([]))),
        "deleteMyCommands" => {
            state.commands.remove(&scope(&params.json("scope")?)?);
            Ok(json!(true))
        }
        "getFile" => get_file(state, params),
        "getChat" => get_chat(state, params),
        "getChatMember" => {
            let (user, bot) = (params.needed("user_id")?, BOT);
            Ok(json!({ "user": state.user(user), "status": if user == bot { "member" } else { "creator" }, "is_anonymous": false }))
        }
        "leaveChat" => {
            state.chats.get_mut(&params.needed("chat_id")?).unwrap().state = ChatState::Blocked;
            Ok(json!(true))
        }
        other => Err(Refusal { violation: true, ..Refusal::new(404, format!("Not Found: {other}")) }),
    }
}

fn me(state: &State) -> Value {
    let mut me = state.user(BOT);
    let more = json!({
        "can_join_groups": true, "can_read_all_group_messages": true, "supports_inline_queries": false,
        "can_connect_to_business": false, "has_main_web_app": false,
    });
    me.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    me
}

fn open(state: &State, id: i64) -> Outcome<()> {
    let gone = Refusal::bad("chat not found");
    match state.chats.get(&id).map(|chat| chat.state) {
        Some(ChatState::Open) => Ok(()),
        Some(ChatState::Gone) => Err(gone),
        None => Err(Refusal { violation: true, ..gone }),
        Some(ChatState::Blocked) if id > 0 => Err(Refusal::new(403, "Forbidden: bot was blocked by the user")),
        Some(ChatState::Blocked) => Err(Refusal::new(403, "Forbidden: bot was kicked from the supergroup chat")),
        Some(ChatState::Migrated(to)) => {
            let parameters = json!({ "migrate_to_chat_id": to });
            Err(Refusal { parameters, ..Refusal::bad("group chat was upgraded to a supergroup chat") })
        }
    }
}

/// Where a message goes: the topic, and the message that it answers.
fn place(state: &State, params: Params<'_>) -> Outcome<(i64, Option<i64>, Option<i64>)> {
    let chat = params.needed("chat_id")?;
    let topic = params.integer("message_thread_id")?;
    if topic.is_some_and(|topic| !state.chats[&chat].topics.contains(&topic)) {
        return Err(Refusal::wrong("message thread not found"));
    }
    let reply = params.json("reply_parameters")?;
    if reply.is_null() {
        return Ok((chat, topic, None));
    }
    let id = reply["message_id"].as_i64().ok_or_else(|| Refusal::wrong("can't parse reply parameters: message_id"))?;
    if state.message(chat, id).is_some() {
        return Ok((chat, topic, Some(id)));
    }
    if reply["allow_sending_without_reply"] == true {
        return Ok((chat, topic, None));
    }
    Err(Refusal { violation: !state.knew(chat, id), ..Refusal::bad("message to be replied not found") })
}

fn odd(state: &mut State, method: &str, parsed: &Parsed) {
    state.oddities.extend(parsed.oddities.iter().map(|oddity| format!("{method}: {oddity}")));
}

/// Keeps a message of the bot; the drafts of its chat are over.
fn keep(state: &mut State, message: Message) -> Value {
    let kept = state.keep(Message { from: BOT, ..message });
    for draft in state.drafts.iter_mut().filter(|draft| (draft.chat, draft.topic) == (kept.chat, kept.topic)) {
        draft.alive = false;
    }
    state.json(&kept)
}

fn send_message(state: &mut State, params: Params<'_>) -> Outcome {
    let parsed = text(params, "text", "entities")?;
    if parsed.text.is_empty() {
        return Err(Refusal::wrong("message text is empty"));
    }
    if units(&parsed.text) > LONGEST {
        return Err(Refusal::wrong("message is too long"));
    }
    params.json("link_preview_options")?;
    let markup = markup(params)?;
    let (chat, topic, reply_to) = place(state, params)?;
    odd(state, "sendMessage", &parsed);
    let raw = params.text("text")?.to_owned();
    let message = Message { chat, topic, text: parsed.text, raw, entities: parsed.entities, markup, reply_to, ..Message::default() };
    Ok(keep(state, message))
}

fn send_draft(state: &mut State, params: Params<'_>) -> Outcome {
    match state.rules.drafts {
        Drafts::Known => {}
        Drafts::Unknown => return Err(Refusal::new(404, "Not Found")),
        Drafts::Refused => return Err(Refusal::bad("TEXTDRAFT_PEER_INVALID")),
    }
    let (chat, id) = (params.needed("chat_id")?, params.needed("draft_id")?);
    if chat < 0 {
        return Err(Refusal::wrong("TEXTDRAFT_PEER_INVALID: drafts are for private chats"));
    }
    if id == 0 {
        return Err(Refusal::wrong("draft_id must be non-zero"));
    }
    let parsed = text(params, "text", "entities")?;
    if units(&parsed.text) > LONGEST {
        return Err(Refusal::wrong("message is too long"));
    }
    odd(state, "sendMessageDraft", &parsed);
    let (can_stop, keep_on_stop) = (params.flag("can_stop")?, params.flag("keep_on_stop")?);
    let topic = params.integer("message_thread_id")?;
    let until = Instant::now() + state.rules.draft_life;
    // A draft with another number takes the place of the one before.
    for other in state.drafts.iter_mut().filter(|draft| (draft.chat, draft.topic) == (chat, topic) && draft.id != id) {
        other.alive = false;
    }
    match state.drafts.iter_mut().find(|draft| (draft.chat, draft.topic, draft.id) == (chat, topic, id)) {
        Some(draft) => {
            if draft.stopped {
                state.oddities.push(format!("sendMessageDraft: draft {id} in {chat} goes on after it was stopped"));
            }
            draft.texts.push(parsed.text);
            (draft.can_stop, draft.keep_on_stop, draft.until, draft.alive) = (can_stop, keep_on_stop, until, !draft.stopped);
        }
        None => {
            let texts = vec![parsed.text];
            state.drafts.push(Draft { id, chat, topic, texts, can_stop, keep_on_stop, stopped: false, alive: true, until });
        }
    }
    Ok(json!(true))
}

fn send_file(state: &mut State, params: Params<'_>, what: &str) -> Outcome {
    let parsed = text(params, "caption", "caption_entities")?;
    if units(&parsed.text) > LONGEST_CAPTION {
        return Err(Refusal::wrong("message caption is too long"));
    }
    let named = params.text(what)?;
    let upload = match (named.strip_prefix("attach://"), params.0.files.get(what)) {
        (Some(part), _) => params.0.files.get(part).cloned(),
        (None, Some(upload)) => Some(upload.clone()),
        (None, None) => state.files.get(named).cloned(),
    };
    let Some(upload) = upload else {
        return Err(Refusal::wrong(format!("there is no {what} in the request")));
    };
    let largest = if what == "photo" { LARGEST_PHOTO } else { LARGEST_SENT };
    match upload.bytes.len() {
        0 => return Err(Refusal::wrong("file must be non-empty")),
        size if size > largest => return Err(Refusal { violation: true, ..Refusal::new(413, "Request Entity Too Large") }),
        _ => {}
    }
    let markup = markup(params)?;
    let (chat, topic, reply_to) = place(state, params)?;
    odd(state, what, &parsed);
    let (raw, media, file) = (params.text("caption")?.to_owned(), state.media(what, upload.clone()), Some(upload));
    let message =
        Message { chat, topic, text: parsed.text, raw, entities: parsed.entities, markup, reply_to, media, file, ..Message::default() };
    Ok(keep(state, message))
}

fn chat_action(params: Params<'_>) -> Outcome {
    let action = params.text("action")?;
    if !ACTIONS.contains(&action) {
        return Err(Refusal::wrong(format!("wrong parameter action in request: {action:?}")));
    }
    Ok(json!(true))
}

fn react(state: &mut State, params: Params<'_>) -> Outcome {
    let (chat, id) = (params.needed("chat_id")?, params.needed("message_id")?);
    let list = params.json("reaction")?;
    let mut reactions = Vec::new();
    for reaction in list.as_array().into_iter().flatten() {
        let emoji = reaction["emoji"].as_str().filter(|emoji| reaction["type"] == "emoji" && REACTIONS.split(' ').any(|one| one == *emoji));
        reactions.push(emoji.ok_or_else(|| Refusal::wrong("REACTION_INVALID"))?.to_owned());
    }
    if reactions.len() > 1 {
        return Err(Refusal::wrong("REACTIONS_TOO_MANY"));
    }
    let known = state.knew(chat, id);
    let Some(message) = state.message_mut(chat, id) else {
        return Err(Refusal { violation: !known, ..Refusal::bad("message to react not found") });
    };
    message.reactions = reactions;
    Ok(json!(true))
}

/// The message that an edit names: the bot's own, and there.
fn editable<'a>(state: &'a mut State, params: Params<'_>) -> Outcome<&'a mut Message> {
    let (chat, id) = (params.needed("chat_id")?, params.needed("message_id")?);
    let known = state.knew(chat, id);
    match state.message_mut(chat, id) {
        None => Err(Refusal { violation: !known, ..Refusal::bad("message to edit not found") }),
        Some(message) if !message.is_bots() => Err(Refusal::wrong("message can't be edited")),
        Some(message) => Ok(message),
    }
}

fn not_modified() -> Refusal {
    Refusal::bad(
        "message is not modified: specified new message content and reply markup are exactly the same as a current content and reply \
         markup of the message",
    )
}

fn edit_text(state: &mut State, params: Params<'_>) -> Outcome {
    let parsed = text(params, "text", "entities")?;
    if parsed.text.is_empty() {
        return Err(Refusal::wrong("message text is empty"));
    }
    if units(&parsed.text) > LONGEST {
        return Err(Refusal::wrong("MESSAGE_TOO_LONG"));
    }
    params.json("link_preview_options")?;
    let (markup, raw) = (markup(params)?, params.text("text")?.to_owned());
    let message = editable(state, params)?;
    if !message.media.is_empty() {
        return Err(Refusal::wrong("there is no text in the message to edit"));
    }
    if (&message.text, &message.entities, &message.markup) == (&parsed.text, &parsed.entities, &markup) {
        return Err(not_modified());
    }
    message.versions.push(parsed.text.clone());
    (message.text, message.raw, message.entities, message.markup) = (parsed.text.clone(), raw, parsed.entities.clone(), markup);
    message.edits += 1;
    let message = message.clone();
    odd(state, "editMessageText", &parsed);
    Ok(state.json(&message))
}

fn edit_markup(state: &mut State, params: Params<'_>) -> Outcome {
    let markup = markup(params)?;
    let message = editable(state, params)?;
    if message.markup == markup {
        return Err(not_modified());
    }
    message.markup = markup;
    message.edits += 1;
    let message = message.clone();
    Ok(state.json(&message))
}

fn delete(state: &mut State, params: Params<'_>) -> Outcome {
    let (chat, id) = (params.needed("chat_id")?, params.needed("message_id")?);
    let known = state.knew(chat, id);
    match state.message_mut(chat, id) {
        None => Err(Refusal { violation: !known, ..Refusal::bad("message to delete not found") }),
        Some(message) if !message.is_bots() && chat < 0 => Err(Refusal::wrong("message can't be deleted")),
        Some(message) => {
            message.deleted = true;
            Ok(json!(true))
        }
    }
}

fn answer_query(state: &mut State, params: Params<'_>) -> Outcome {
    let id = params.text("callback_query_id")?;
    if params.text("text")?.chars().count() > 200 {
        return Err(Refusal::wrong("MESSAGE_TOO_LONG"));
    }
    let life = state.rules.query_life;
    let old = Refusal::bad("query is too old and response timeout expired or query ID is invalid");
    match state.queries.get_mut(id) {
        None => Err(Refusal { violation: true, ..old }),
        Some(query) if query.at.elapsed() >= life => Err(old),
        Some(query) => {
            query.answers.push(Value::Object(params.0.params.clone()));
            Ok(json!(true))
        }
    }
}

/// Where a file is fetched: its number is in the path.
pub fn file_path(id: &str, file: &Upload) -> String {
    let harmless = |extension: &str| extension.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>();
    let extension = file.name.rsplit_once('.').map(|(_, extension)| format!(".{}", harmless(extension))).unwrap_or_default();
    format!("documents/{id}{extension}")
}

fn get_file(state: &State, params: Params<'_>) -> Outcome {
    let id = params.text("file_id")?;
    let Some(file) = state.files.get(id) else {
        return Err(Refusal::wrong("wrong file_id or the file is temporarily unavailable"));
    };
    if file.bytes.len() > LARGEST_FETCHED {
        return Err(Refusal::bad("file is too big"));
    }
    Ok(json!({ "file_id": id, "file_unique_id": format!("u{id}"), "file_size": file.bytes.len(), "file_path": file_path(id, file) }))
}

fn get_chat(state: &State, params: Params<'_>) -> Outcome {
    let mut chat = state.chat(params.needed("chat_id")?);
    let gifts = json!({
        "unlimited_gifts": false, "limited_gifts": false, "unique_gifts": false, "premium_subscription": false, "gifts_from_channels": false,
    });
    let more = json!({ "accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts });
    chat.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Ok(chat)
}
