//! Questions of this channel's conversations: asked with buttons, answered by an owner's press or reply, and turned into a record of what
//! was decided, wherever it was.
//!
//! It decides nothing. A question is the journal's; what is kept here is which message asks it (`asked:…`), so that buttons work and go
//! away after a restart too.

use std::time::{Duration, Instant};

use agent::memory::{Store, StoreError};
use agent::{Answer, Question, Step, parse_steps, questions};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::api::{Api, ApiError, Text};
use super::call::{self, Shown};
use super::place::Place;
use super::update::{Message, Press, User};
use super::{CHANNEL, commands};
use crate::desk::Desk;
use crate::terminal::parse_answer;

/// Begins what an outbox row with a question is about.
const ABOUT: &str = "question ";

/// Begins the name of the setting with the message that asks.
const ASKED: &str = "asked:";

/// The pause before what failed is tried again: a read of the journal, a record.
const PAUSE: Duration = Duration::from_secs(3);

/// The least time between two looks: each reads all open turns, and many messages may come at once.
const GAP: Duration = Duration::from_millis(300);

/// Bytes of a call's id that stand in a name. Ids that begin alike are one question then.
const CALL_BYTES: usize = 200;

/// A question as it is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    key: String,
    question: Question,
    /// The message.
    pub(super) html: String,
    /// All of it, where the message is too small for it.
    pub(super) whole: Option<String>,
    buttons: Vec<Vec<(String, String)>>,
}

/// A message that asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Asked {
    chat: i64,
    message: i64,
    turn: i64,
    call: String,
    hash: String,
    times: usize,
    html: String,
}

impl Asked {
    /// Whether it is this question that was asked, and not the same call at another time.
    fn asks(&self, question: &Question) -> bool {
        (self.turn, &self.call, self.times) == (question.turn, &question.call, question.times)
    }
}

/// What an outbox row is about, if that is a question.
pub(super) fn key(about: &str) -> Option<&str> {
    about.strip_prefix(ABOUT)
}

/// A question's name: the same call may be asked about again in the same turn, as one that a crash cut off is.
fn key_of(question: &Question) -> String {
    let end = question.call.floor_char_boundary(CALL_BYTES);
    format!("{} {}", call::time_of(question), &question.call[..end])
}

/// The question with this key, if it waits still.
pub(super) async fn ask(store: &Store, key: &str) -> Result<Option<Ask>, agent::AgentError> {
    let found = questions(store).await?.into_iter().find(|question| key_of(question) == key);
    Ok(found.map(|question| {
        let Shown { html, whole } = call::shown(&question);
        let buttons = call::buttons(&question);
        Ask { key: key.to_owned(), question, html, whole, buttons }
    }))
}

impl Ask {
    /// Without having been able to read the whole call, one can only say no.
    pub(super) fn buttons(&self, can_be_read: bool) -> &[Vec<(String, String)>] {
        let last = self.buttons.len().saturating_sub(1);
        if can_be_read { &self.buttons } else { &self.buttons[last..] }
    }
}

/// A message asks it now. Written before the message is confirmed: without this its buttons would stay.
pub(super) async fn asked(store: &Store, ask: &Ask, chat: i64, message: &str) -> Result<(), StoreError> {
    let Question { turn, call, hash, times, .. } = ask.question.clone();
    let asked = Asked { chat, message: message.parse().unwrap_or_default(), turn, call, hash, times, html: ask.html.clone() };
    let value = serde_json::to_string(&asked).unwrap_or_default();
    store.set_setting(CHANNEL, &format!("{ASKED}{}", ask.key), Some(value)).await
}

/// Puts the questions that wait into the outbox, and makes records of those that do not. Ends when the process does.
pub(super) async fn run(desk: Desk, api: Api) {
    let (mut changes, mut live) = (desk.store.changes(), desk.live.changes());
    loop {
        changes.mark_unchanged();
        live.mark_unchanged();
        let is_done = match look(&desk, &api).await {
            Ok(is_done) => is_done,
            Err(error) => {
                tracing::warn!("the questions that wait cannot be read: {error}");
                false
            }
        };
        tokio::select! {
            // The senders are in `desk`, which is held here.
            _ = changes.changed() => {}
            _ = live.changed() => {}
            () = sleep(PAUSE), if !is_done => {}
        }
        sleep(GAP).await;
    }
}

/// Whether everything is as it should be.
async fn look(desk: &Desk, api: &Api) -> Result<bool, agent::AgentError> {
    let waiting: Vec<Question> = questions(&desk.store).await?.into_iter().filter(is_here).collect();
    for question in &waiting {
        // What a row says, for those who read the journal.
        let text = question.wording().map_or_else(
            || format!("{} needs your approval: {}", question.tool, question.reason),
            |wording| format!("the model asks: {}", wording.question),
        );
        desk.store.say(CHANNEL, &question.session, &text, Some(&format!("{ABOUT}{}", key_of(question)))).await?;
    }
    let mut is_done = true;
    for (name, asked) in all_asked(&desk.store).await? {
        let waits = waiting.iter().any(|question| asked.asks(question));
        if !waits && !record(desk, api, &name, &asked).await? {
            is_done = false;
        }
    }
    Ok(is_done)
}

fn is_here(question: &Question) -> bool {
    question.channel == CHANNEL && Place::of(&question.session).is_some()
}

async fn all_asked(store: &Store) -> Result<Vec<(String, Asked)>, StoreError> {
    let settings = store.settings(CHANNEL).await?.into_iter();
    let asked = settings.filter_map(|(name, value)| Some((name.strip_prefix(ASKED)?.to_owned(), serde_json::from_str(&value).ok()?)));
    Ok(asked.collect())
}

/// Puts what was decided into the message that asked, and takes its buttons away; whether that is done, or never can be.
async fn record(desk: &Desk, api: &Api, name: &str, asked: &Asked) -> Result<bool, agent::AgentError> {
    if api.pace().take(asked.chat, Instant::now()).is_err() {
        return Ok(false);
    }
    let steps = parse_steps(asked.turn, desk.store.steps(asked.turn).await?)?;
    let text = format!("{}\n\n<b>{}</b>", asked.html, super::text::escape(&decided(&steps, asked)));
    let edited = api.edit(asked.chat, asked.message, Text { text: &text, html: true, ..Text::default() }).await;
    match edited {
        Err(error) if error.passes() => return Ok(false),
        Err(error) if error != ApiError::NotModified => tracing::info!(chat = asked.chat, "no record of a decision in the chat: {error}"),
        _ => {}
    }
    desk.store.set_setting(CHANNEL, &format!("{ASKED}{name}"), None).await?;
    Ok(true)
}

/// One line: what was decided, and by whom.
fn decided(steps: &[Step], asked: &Asked) -> String {
    let mut answers = steps.iter().filter_map(|step| match step {
        Step::Answered { call, hash, allowed, scope, why, by } if *call == asked.call && *hash == asked.hash => {
            Some(Answer { allowed: *allowed, scope: *scope, why: why.clone(), by: by.clone() })
        }
        _ => None,
    });
    // Each time has one.
    let answer = answers.nth(asked.times.saturating_sub(1));
    answer.map_or_else(|| "No longer needed.".to_owned(), |answer| call::answer_line(&answer))
}

/// A button was pressed. Everybody hears something; only an owner decides.
pub(super) async fn pressed(desk: &Desk, api: &Api, press: &Press, is_owner: bool) {
    let (text, alert) = match press.data.as_deref().and_then(call::read_button) {
        None => (Some("This button is of no use any more.".to_owned()), false),
        Some(_) if !is_owner => (Some("Only an owner can answer this.".to_owned()), true),
        Some((id, choice)) => answer_pressed(desk, api, press, id, choice).await,
    };
    match api.answer_press(&press.id, text.as_deref(), alert).await {
        Ok(()) | Err(ApiError::TooOld(_)) => {}
        Err(error) => tracing::info!("the press of a button could not be answered: {error}"),
    }
}

async fn answer_pressed(desk: &Desk, api: &Api, press: &Press, id: &str, choice: call::Choice) -> (Option<String>, bool) {
    let waiting = match questions(&desk.store).await {
        Ok(waiting) => waiting,
        Err(error) => return (Some(format!("This could not be read, try again: {error}")), true),
    };
    // The same call may be asked about again in a turn: a press is for the message that it is under.
    let under = match asked_by(&desk.store, press).await {
        Ok(under) => under,
        Err(error) => return (Some(format!("This could not be read, try again: {error}")), true),
    };
    let is_meant =
        |question: &Question| is_here(question) && call::time_of(question) == id && under.as_ref().is_none_or(|asked| asked.asks(question));
    let Some(question) = waiting.into_iter().find(is_meant) else {
        take_buttons(api, press).await;
        return (Some("This has been decided, or is no longer needed.".to_owned()), false);
    };
    let Some(answer) = choice.answer(&question, by(&press.from)) else {
        return (Some("This button is of no use any more.".to_owned()), false);
    };
    let line = call::answer_line(&answer);
    match desk.answer(&question, answer).await {
        Ok(()) => (Some(cut(line)), false),
        Err(agent::AgentError::NotAsked(_)) => (Some("This has been decided already.".to_owned()), false),
        Err(error) => (Some(cut(format!("This could not be recorded: {error}"))), true),
    }
}

/// What the message asks that a press is under, if that is known still.
async fn asked_by(store: &Store, press: &Press) -> Result<Option<Asked>, StoreError> {
    let Some(message) = &press.message else { return Ok(None) };
    let mut all = all_asked(store).await?.into_iter();
    Ok(all.find_map(|(_, asked)| ((asked.chat, asked.message) == (message.chat.id, message.message_id)).then_some(asked)))
}

/// Characters of the answer to a press.
const PRESS: usize = 200;

fn cut(line: String) -> String {
    line.chars().take(PRESS).collect()
}

/// A message whose question is over has no buttons, if it is one that nothing is known of.
async fn take_buttons(api: &Api, press: &Press) {
    let Some(message) = &press.message else { return };
    let fields = serde_json::json!({ "chat_id": message.chat.id, "message_id": message.message_id });
    if let Err(error) = api.call_raw("editMessageReplyMarkup", &fields).await {
        tracing::debug!("buttons stay: {error}");
    }
}

/// Who answers, as the journal says it.
fn by(user: &User) -> String {
    format!("telegram, {} ({})", user.first_name, user.id)
}

/// What an owner's message answers, if it is an answer: what it replies to, such as with "no, because it is the wrong folder"; in a chat
/// alone with the owner, where the model has asked last, any words that were sent after the question. With the question's key.
///
/// # Errors
/// The journal's.
pub(super) async fn meant(desk: &Desk, message: &Message, session: &str) -> Result<Option<(String, Question, Answer)>, agent::AgentError> {
    let (words, place) = (message.words().0.trim(), message.place());
    let (Some(from), false) = (&message.from, words.is_empty() || commands::is_command(words)) else { return Ok(None) };
    let replied = message.replied_to().map(|other| other.message_id);
    let is_plain = replied.is_none() && place.is_private() && message.forward_origin.is_none();
    let mut asked: Vec<Asked> = all_asked(&desk.store).await?.into_iter().map(|(_, asked)| asked).collect();
    asked.retain(|asked| asked.chat == place.chat && (is_plain && asked.message < message.message_id || Some(asked.message) == replied));
    asked.sort_by_key(|asked| asked.message);
    let Some(last) = asked.pop() else { return Ok(None) };
    let question = questions(&desk.store).await?.into_iter().find(|question| last.asks(question));
    // A picture is no answer to the model; to an approval the words under it are.
    let takes = |question: &Question| match question.wording() {
        Some(_) => message.text.is_some() && question.session == session,
        None => !is_plain,
    };
    Ok(question.filter(takes).and_then(|question| {
        let answer = parse_answer(words, &question)?;
        Some((key_of(&question), question, Answer { by: by(from), ..answer }))
    }))
}

#[cfg(test)]
#[path = "approvals_tests.rs"]
mod tests;
