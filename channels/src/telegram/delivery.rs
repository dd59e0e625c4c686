//! One message of the outbox on its way: its parts, and for each what Telegram's answer means.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent::AgentError;
use agent::memory::{OutboundRow, StoreError};

use super::CHANNEL;
use super::api::{Api, ApiError, Text};
use super::approvals::{self, Ask};
use super::draft::{Drafts, live_key, read_live};
use super::place::Place;
use super::reactions;
use super::text::{Piece, pieces};
use super::who::moved;
use crate::desk::Desk;

/// The pause before something is written again that could not be written.
const WRITE_PAUSE: Duration = Duration::from_secs(2);

/// The name of the file with a whole call.
const FILE: &str = "call.txt";

/// Most bytes of a picture that is sent as one; a larger one is a file.
const PICTURE_BYTES: u64 = 10_000_000;

/// Times that a message is tried which Telegram refuses for a reason that we do not know; then it is given up.
const REFUSALS: u32 = 3;

/// The pause between two tries of what Telegram refuses for a reason that we do not know.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Stands for the number of a file that Telegram does not take.
const REFUSED: &str = "refused";

/// See the top of this file.
pub(super) struct Delivery {
    pub(super) desk: Desk,
    pub(super) api: Api,
    pub(super) drafts: Drafts,
    pub(super) row: OutboundRow,
    /// Where it goes now.
    pub(super) place: Place,
    /// The message that it quotes.
    pub(super) quote: Option<i64>,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Ended {
    /// It is sent or given up; it had been written then.
    Done(String),
    /// The chat is to wait, by [`super::pace`].
    Waits,
    /// The group has another id now.
    Moved(i64),
    /// It may succeed later.
    Again(String),
    /// The channel cannot go on.
    Fatal(ApiError),
}

/// A message of Telegram's.
enum Part {
    Text(Piece),
    /// A file that is to be sent, and removed then.
    Sent(PathBuf),
    /// The whole of what a question is about.
    Whole(Vec<u8>),
    Ask(Box<Ask>),
}

/// What one request sends.
enum What<'a> {
    Text(Text<'a>),
    File(&'a [u8]),
    Path(&'a Path),
}

impl Delivery {
    pub(super) async fn run(self) -> Ended {
        if let Some(turn) = self.row.turn {
            // What shows the turn so far ends before its reply is there.
            self.drafts.settle(turn).await;
        }
        match self.all().await {
            Ok(ended) => ended,
            Err(error) => Ended::Again(error.to_string()),
        }
    }

    /// Sends the parts that were not sent yet.
    async fn all(&self) -> Result<Ended, AgentError> {
        let store = &self.desk.store;
        let Some(parts) = self.parts().await? else {
            tracing::debug!(outbound = self.row.id, "a question that needs no answer any more is not asked");
            return Ok(self.done(None).await?);
        };
        let sent = store.sent_parts(self.row.id).await?;
        let mut ids: Vec<String> = sent.iter().map(|(_, id)| id.clone()).collect();
        for (number, part) in (0..).zip(&parts) {
            if sent.iter().any(|(sent, _)| *sent == number) {
                continue;
            }
            if self.api.pace().take(self.place.chat, Instant::now()).is_err() {
                return Ok(Ended::Waits);
            }
            let can_be_read = !ids.iter().any(|id| id == REFUSED);
            let id = match (self.send(number, part, can_be_read).await, part) {
                (Ok(id), _) => id.to_string(),
                // What cannot be read whole can be refused here, and not allowed.
                (Err(ApiError::Refused(why) | ApiError::TooLong(why)), Part::Whole(_)) => {
                    tracing::warn!(outbound = self.row.id, "the file with the whole call was refused: {why}");
                    REFUSED.to_owned()
                }
                (Err(error), _) => return Ok(self.failed(error).await?),
            };
            if let Part::Ask(ask) = part {
                self.insist(|| approvals::asked(store, ask, self.place.chat, &id)).await?;
            }
            self.insist(|| store.confirm_part(self.row.id, number, &id)).await?;
            ids.push(id);
        }
        // A question is known by the message with its buttons.
        let id = if matches!(parts.last(), Some(Part::Ask(_))) { ids.last() } else { ids.first() };
        Ok(self.done(id.map(String::as_str)).await?)
    }

    /// `None`: nothing is to be said any more.
    async fn parts(&self) -> Result<Option<Vec<Part>>, AgentError> {
        if let Some(file) = self.file() {
            let text = pieces(&self.row.text).into_iter().map(Part::Text);
            return Ok(Some(std::iter::once(Part::Sent(file.to_owned())).chain(text).collect()));
        }
        let Some(key) = self.row.about.as_deref().and_then(approvals::key) else {
            return Ok(Some(pieces(&self.row.text).into_iter().map(Part::Text).collect()));
        };
        let Some(ask) = approvals::ask(&self.desk.store, key).await? else { return Ok(None) };
        let whole = ask.whole.clone().map(|whole| Part::Whole(whole.into_bytes()));
        Ok(Some(whole.into_iter().chain([Part::Ask(Box::new(ask))]).collect()))
    }

    async fn send(&self, number: u32, part: &Part, can_be_read: bool) -> Result<i64, ApiError> {
        match part {
            Part::Whole(content) => self.to_topic(&What::File(content)).await,
            Part::Sent(file) => self.to_topic(&What::Path(file)).await,
            Part::Ask(ask) => {
                let text = Text { text: &ask.html, html: true, reply_to: None, buttons: ask.buttons(can_be_read) };
                self.to_topic(&What::Text(text)).await
            }
            Part::Text(piece) => self.send_piece(number, piece).await,
        }
    }

    async fn send_piece(&self, number: u32, piece: &Piece) -> Result<i64, ApiError> {
        if number == 0
            && let Some(id) = self.in_place(piece).await?
        {
            return Ok(id);
        }
        let reply_to = self.quote.filter(|_| number == 0);
        let html = Text { text: &piece.html, html: true, reply_to, ..Text::default() };
        let plain = Text { text: &piece.plain, html: false, ..html };
        let mut refusals = 0;
        loop {
            let sent = match self.to_topic(&What::Text(html)).await {
                Err(error) if is_about_the_text(&error) => {
                    tracing::warn!(outbound = self.row.id, "the markup was refused, so the plain text is sent: {error}");
                    self.to_topic(&What::Text(plain)).await
                }
                sent => sent,
            };
            refusals += 1;
            if !matches!(sent, Err(ApiError::Refused(_))) || refusals >= REFUSALS {
                return sent;
            }
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
    }

    /// The first piece takes the place of what was shown of it while it was written. `None`: there is nothing in whose place it could be.
    async fn in_place(&self, piece: &Piece) -> Result<Option<i64>, ApiError> {
        let Some(turn) = self.row.turn else { return Ok(None) };
        let Some((chat, message)) = read_live(&self.desk.store, turn).await else { return Ok(None) };
        if chat != self.place.chat {
            return Ok(None);
        }
        let html = Text { text: &piece.html, html: true, ..Text::default() };
        let plain = Text { text: &piece.plain, ..Text::default() };
        let edited = match self.api.edit(chat, message, html).await {
            Err(error) if is_about_the_text(&error) => self.api.edit(chat, message, plain).await,
            edited => edited,
        };
        replaced(edited).map(|is_there| is_there.then_some(message))
    }

    /// A topic that is gone costs the topic, not the message.
    async fn to_topic(&self, what: &What<'_>) -> Result<i64, ApiError> {
        match self.to(self.place, what).await {
            Err(ApiError::NoTopic(why)) if self.place.topic.is_some() => {
                tracing::warn!(outbound = self.row.id, "the topic is gone, so this goes to the chat: {why}");
                self.to(Place { topic: None, ..self.place }, what).await
            }
            sent => sent,
        }
    }

    async fn to(&self, place: Place, what: &What<'_>) -> Result<i64, ApiError> {
        match what {
            What::Text(text) => self.api.send(place, *text).await,
            What::File(content) => self.api.send_document(place, FILE, content.to_vec()).await,
            What::Path(file) => {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                self.api.send_file(place, file, &name, is_picture(file)).await
            }
        }
    }

    async fn failed(&self, error: ApiError) -> Result<Ended, StoreError> {
        let store = &self.desk.store;
        match error {
            ApiError::Flood(wait) => {
                tracing::info!(chat = self.place.chat, "Telegram asks to wait {} s", wait.as_secs());
                Ok(Ended::Waits)
            }
            ApiError::Migrated(new) => {
                let (name, id) = (moved(self.place.chat), Some(new.to_string()));
                self.insist(|| store.set_setting(CHANNEL, &name, id.clone())).await?;
                Ok(Ended::Moved(new))
            }
            error @ ApiError::Unauthorized => Ok(Ended::Fatal(error)),
            ApiError::Server(why) | ApiError::Network(why) | ApiError::NotFound(why) | ApiError::Conflict(why) => Ok(Ended::Again(why)),
            error => {
                let why = error.to_string();
                tracing::warn!(outbound = self.row.id, chat = self.place.chat, "a message can never be delivered: {why}");
                self.insist(|| store.give_up(self.row.id, &why)).await?;
                self.tidy().await;
                Ok(Ended::Done(self.row.at.clone()))
            }
        }
    }

    async fn done(&self, id: Option<&str>) -> Result<Ended, StoreError> {
        self.insist(|| self.desk.store.confirm(self.row.id, id)).await?;
        self.tidy().await;
        Ok(Ended::Done(self.row.at.clone()))
    }

    /// The file that the message brings.
    fn file(&self) -> Option<&Path> {
        self.row.about.as_deref()?.strip_prefix("file ").map(Path::new)
    }

    /// What belonged to the turn while it ran goes. What is left of it after a kill does no harm.
    async fn tidy(&self) {
        if let Some(file) = self.file() {
            let _ = std::fs::remove_file(file);
            let _ = file.parent().map(std::fs::remove_dir);
        }
        let Some(turn) = self.row.turn else { return };
        if read_live(&self.desk.store, turn).await.is_some()
            && let Err(error) = self.desk.store.set_setting(CHANNEL, &live_key(turn), None).await
        {
            tracing::debug!(turn, "{error}");
        }
        if let Some(message) = self.row.message.as_deref().and_then(|message| message.parse().ok()) {
            reactions::done(&self.api, self.place.chat, message);
        }
    }

    /// What was sent must be written: until the journal takes it, it would be sent again.
    async fn insist<F>(&self, write: impl Fn() -> F) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        loop {
            match write().await {
                Err(
                    error @ (StoreError::DiskFull { .. }
                    | StoreError::Unwritable { .. }
                    | StoreError::Database { .. }
                    | StoreError::Locked { .. }),
                ) => {
                    tracing::warn!(outbound = self.row.id, "what was sent cannot be recorded yet: {error}");
                    tokio::time::sleep(WRITE_PAUSE).await;
                }
                written => return written,
            }
        }
    }
}

/// Whether Telegram can show it as a picture.
fn is_picture(file: &Path) -> bool {
    let is_small = file.metadata().is_ok_and(|found| found.len() <= PICTURE_BYTES);
    let ending = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    is_small && ["png", "jpg", "jpeg"].contains(&ending.as_str())
}

/// Without its markup it may be taken.
fn is_about_the_text(error: &ApiError) -> bool {
    matches!(error, ApiError::BadMarkup(_) | ApiError::TooLong(_) | ApiError::Refused(_))
}

/// Whether the text stands in the place of the other now; `false`: that is gone, so it is to be sent.
fn replaced(edited: Result<(), ApiError>) -> Result<bool, ApiError> {
    match edited {
        Ok(()) | Err(ApiError::NotModified) => Ok(true),
        Err(ApiError::Gone(_) | ApiError::Refused(_) | ApiError::BadMarkup(_) | ApiError::TooLong(_) | ApiError::NoTopic(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shown_is_replaced_or_sent_anew() {
        let check = |edited, expected| assert_eq!(replaced(edited), expected);
        check(Ok(()), Ok(true));
        check(Err(ApiError::NotModified), Ok(true));
        check(Err(ApiError::Gone("message to edit not found".into())), Ok(false));
        check(Err(ApiError::Refused("x".into())), Ok(false));
        check(Err(ApiError::Flood(WRITE_PAUSE)), Err(ApiError::Flood(WRITE_PAUSE)));
        check(Err(ApiError::Network("x".into())), Err(ApiError::Network("x".into())));
        check(Err(ApiError::Blocked("x".into())), Err(ApiError::Blocked("x".into())));
    }
}
