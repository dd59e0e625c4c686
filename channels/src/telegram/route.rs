//! What a message is: words for the model, a command, a stop, or nothing for us; and how its words are put for the model.
//!
//! Pure: who wrote it has been found out, and what is to be done about it others do.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::place::Place;
use super::settings::When;
use super::update::{File, Message, User, utf16_range};
use super::who::Who;

/// Characters of a message that another replies to.
const QUOTED: usize = 300;

/// Characters of a stranger's message that another replies to: there it may be what the question is about.
const QUOTED_FOREIGN: usize = 4_000;

/// Commands of those who are not owners.
const GUESTS: &[&str] = &["start", "help", "stop"];

/// The bot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Me {
    pub(super) id: i64,
    /// Without the `@`.
    pub(super) username: String,
}

/// What there is to do about a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Route {
    /// It becomes a turn.
    Said(Said),
    Command(Command),
    /// End what runs here; of a guest's only his own.
    Stop {
        place: Place,
        person: Option<i64>,
    },
    /// Nothing, and why.
    Nothing(&'static str),
}

/// Words for the model, and what came with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) place: Place,
    /// Telegram's number of the message.
    pub(super) message: i64,
    /// Who wrote it, unless an owner did.
    pub(super) person: Option<i64>,
    pub(super) text: String,
    /// What others wrote: forwarded, or replied to.
    pub(super) data: Option<String>,
    pub(super) attached: Vec<Attached>,
    /// Messages with the same are one.
    pub(super) album: Option<String>,
}

/// A file that came with a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Attached {
    pub(super) what: Media,
    pub(super) file: File,
}

/// What sort of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Media {
    Photo,
    Document,
    Animation,
    Audio,
    Video,
    VideoNote,
    Voice,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) argument: String,
    pub(super) person: Option<i64>,
}

/// What `message` is. `when`: when we answer in its group; `None` in a chat with one person.
pub(super) fn route(message: &Message, who: Who, when: Option<When>, me: &Me) -> Route {
    let (words, is_mentioned) = without_mention(message, me);
    let command = if message.forward_origin.is_none() && message.text.is_some() { command(&words) } else { None };
    if let Some((_, Some(to), _)) = command
        && !to.eq_ignore_ascii_case(&me.username)
    {
        return Route::Nothing("a command for another bot");
    }
    let replies = message.replied_to().is_some_and(|other| is_from(other, me));
    let is_meant = is_mentioned || replies || matches!(command, Some((_, Some(_), _)));
    if when == Some(When::Mention) && !is_meant {
        return Route::Nothing("not for us");
    }
    let (place, person) = (message.place(), person(who));
    match command {
        Some((name, ..)) if person.is_some() && !GUESTS.contains(&name) => Route::Nothing("not a guest's command"),
        Some(("stop", ..)) => Route::Stop { place, person },
        Some((name, _, argument)) => Route::Command(Command { place, name: name.to_owned(), argument: argument.to_owned(), person }),
        None => said(message, who, me).map_or(Route::Nothing("nothing was said"), Route::Said),
    }
}

/// The words of a message for the model; `None`: there are none, as in "X has joined".
pub(super) fn said(message: &Message, who: Who, me: &Me) -> Option<Said> {
    let (words, _) = without_mention(message, me);
    let mut data = Vec::new();
    let mut lines = Vec::new();
    let attached = attached(message);
    match &message.forward_origin {
        Some(origin) if words.is_empty() => lines.push(format!("(forwarded from {})", origin_name(origin))),
        Some(origin) => {
            let from = origin_name(origin);
            lines.push(format!("(forwarded from {from})"));
            data.push(format!("{from} wrote:\n{words}"));
        }
        None if words.is_empty() => {}
        None => lines.push(words),
    }
    lines.extend(facts(message));
    if lines.is_empty() && attached.is_empty() {
        return None;
    }
    match replied_to(message, me) {
        Some((None, text)) => lines.push(format!("[in reply to: {text}]")),
        Some((Some(name), text)) => {
            lines.push(format!("[in reply to what {name} wrote]"));
            data.push(format!("{name} wrote:\n{text}"));
        }
        None => {}
    }
    let mut text = lines.join("\n");
    if let Some(from) = message.from.as_ref().filter(|_| !message.chat.is_private()) {
        text = format!("{}: {text}", from.name());
    }
    Some(Said {
        place: message.place(),
        message: message.message_id,
        person: person(who),
        text,
        data: (!data.is_empty()).then(|| data.join("\n\n")),
        attached,
        album: message.media_group_id.clone(),
    })
}

fn person(who: Who) -> Option<i64> {
    match who {
        Who::Guest(id) => Some(id),
        Who::Owner | Who::Stranger(_) | Who::Nobody => None,
    }
}

fn is_from(message: &Message, me: &Me) -> bool {
    message.from.as_ref().is_some_and(|from| from.id == me.id)
}

/// The words without the bot's name, and whether it was there.
fn without_mention(message: &Message, me: &Me) -> (String, bool) {
    let (words, entities) = message.words();
    let mut found = mentions(words, &me.username);
    let is_me = |user: &Option<User>| user.as_ref().is_some_and(|user| user.id == me.id);
    let by_id = entities.iter().filter(|entity| entity.kind == "text_mention" && is_me(&entity.user));
    found.extend(by_id.filter_map(|entity| utf16_range(words, entity.offset, entity.length)));
    if found.is_empty() || message.chat.is_private() {
        return (words.trim().to_owned(), !found.is_empty());
    }
    found.sort_by_key(|range| range.start);
    let (mut out, mut at) = (String::new(), 0);
    for range in found {
        out.push_str(words.get(at..range.start).unwrap_or_default().trim_end_matches(' '));
        at = range.end.max(at);
    }
    out.push_str(&words[at..]);
    (out.trim_start_matches([' ', ',', ':']).trim().to_owned(), true)
}

/// Where `@username` stands, and not as a part of something longer. In a command it is no mention.
fn mentions(words: &str, username: &str) -> Vec<std::ops::Range<usize>> {
    let (lower, name) = (words.to_ascii_lowercase(), format!("@{}", username.to_ascii_lowercase()));
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let stands_alone = |at: usize| {
        let before = words[..at].chars().next_back();
        let after = words[at + name.len()..].chars().next();
        !before.is_some_and(|c| is_part(c) || c == '/' || c == '.') && !after.is_some_and(is_part)
    };
    let starts = lower.match_indices(&name).map(|(at, _)| at).filter(|at| name.len() > 1 && stands_alone(*at));
    starts.map(|at| at..at + name.len()).collect()
}

/// `/name[@bot] argument`. `/etc/hosts …` is none.
fn command(words: &str) -> Option<(&str, Option<&str>, &str)> {
    let rest = words.strip_prefix('/')?;
    let (head, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (name, to) = match head.split_once('@') {
        Some((name, to)) => (name, Some(to)),
        None => (head, None),
    };
    let is_name =
        (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    is_name.then_some((name, to, argument.trim()))
}

/// What was replied to: by whom, unless it was the bot or the same person, and the words.
fn replied_to(message: &Message, me: &Me) -> Option<(Option<String>, String)> {
    let other = message.replied_to()?;
    let words = message.quote.as_ref().map_or(other.words().0, |quote| &quote.text).trim();
    if words.is_empty() {
        return None;
    }
    let same = other.forward_origin.is_none() && other.from.as_ref().map(|from| from.id) == message.from.as_ref().map(|from| from.id);
    if same || is_from(other, me) {
        return Some((None, shortened(&words.split_whitespace().collect::<Vec<_>>().join(" "), QUOTED)));
    }
    let name = other.from.as_ref().map_or_else(|| "somebody".to_owned(), User::name);
    Some((Some(name), shortened(words, QUOTED_FOREIGN)))
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// Who wrote what was forwarded.
fn origin_name(origin: &Value) -> String {
    let named = |key: &str| origin.get(key).and_then(Value::as_str).map(str::to_owned);
    let title = |key: &str| origin.get(key)?.get("title")?.as_str().map(str::to_owned);
    let user = origin.get("sender_user").and_then(|user| serde_json::from_value::<User>(user.clone()).ok()).map(|user| user.name());
    let name = user.or_else(|| named("sender_user_name")).or_else(|| title("sender_chat")).or_else(|| title("chat"));
    // A title may be anything; it becomes one short line.
    User { first_name: name.unwrap_or_else(|| "somebody".into()), ..User::default() }.name()
}

/// What is not a file, in words.
fn facts(message: &Message) -> Vec<String> {
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = Vec::new();
    if let Some(venue) = &message.venue {
        let (at, title, address) = (venue.location, one_line(&venue.title), one_line(&venue.address));
        out.push(format!("[place: {title}, {address}, at {:.6}, {:.6}]", at.latitude, at.longitude));
    } else if let Some(at) = message.location {
        out.push(format!("[location: {:.6}, {:.6}]", at.latitude, at.longitude));
    }
    if let Some(contact) = &message.contact {
        let name = one_line(&format!("{} {}", contact.first_name, contact.last_name));
        out.push(format!("[contact: {name}, {}]", one_line(&contact.phone_number)));
    }
    if let Some(poll) = &message.poll {
        let options: Vec<String> = poll.options.iter().map(|option| one_line(&option.text)).collect();
        out.push(format!("[poll: {} ({})]", one_line(&poll.question), options.join(" / ")));
    }
    if let Some(sticker) = &message.sticker {
        out.push(format!("[sticker {}]", sticker.emoji.as_deref().map_or_else(String::new, one_line)).replace(" ]", "]"));
    }
    out
}

fn attached(message: &Message) -> Vec<Attached> {
    // The sizes of one picture.
    let photo = message.photo.iter().max_by_key(|size| size.width.unwrap_or(0) * size.height.unwrap_or(0));
    // An animation comes as a document, too.
    let document = message.document.as_ref().filter(|_| message.animation.is_none());
    let all = [
        (Media::Photo, photo),
        (Media::Document, document),
        (Media::Animation, message.animation.as_ref()),
        (Media::Audio, message.audio.as_ref()),
        (Media::Video, message.video.as_ref()),
        (Media::VideoNote, message.video_note.as_ref()),
        (Media::Voice, message.voice.as_ref()),
    ];
    all.into_iter().filter_map(|(what, file)| Some(Attached { what, file: file?.clone() })).collect()
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
