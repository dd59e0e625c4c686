//! Calls of the Bot API: teloxide's types and URLs, our own transport, which knows the status of an answer, waits for nothing by itself
//! and never shows the token.
//!
//! Each call is one try. When to try again is the caller's business (`outbox`); what Telegram said about waiting is kept here, for all.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, Proxy, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use teloxide_core::requests::Payload;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use url::Url;

pub use super::errors::ApiError;
use super::errors::result;
use super::pace::Pace;
use super::place::Place;
use super::reactions::Eyes;

/// For a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// For a call and its answer. Longer, and it is not known whether it was done.
const CALL: Duration = Duration::from_secs(30);

/// On top of the time that a poll is asked to wait.
const POLL_MORE: Duration = Duration::from_secs(15);

/// For sending a file: 50 MB on a slow line.
const UPLOAD: Duration = Duration::from_mins(10);

/// Between two pieces of a file that is fetched.
const READ: Duration = Duration::from_secs(60);

/// Idle connections are closed before what stands between forgets them.
const IDLE: Duration = Duration::from_secs(30);

/// Bytes of an answer. A hundred updates have less; more is refused.
const ANSWER: usize = 16 << 20;

/// Ways to a proxy: the schemes of its URL. By `socks5h` the proxy resolves names.
pub const PROXIES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

/// The Bot API. Cheap to clone; all clones know of the same waits.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    /// `https://api.telegram.org`
    url: Url,
    token: String,
    pace: Mutex<Pace>,
    eyes: Eyes,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("url", &self.shared.url.as_str()).finish_non_exhaustive()
    }
}

/// A text to send, or to put in another's place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Text<'a> {
    /// With Telegram's HTML or without any markup.
    pub text: &'a str,
    /// Whether it is HTML.
    pub html: bool,
    /// The message that it answers.
    pub reply_to: Option<i64>,
    /// The rows of buttons: text and data.
    pub buttons: &'a [Vec<(String, String)>],
}

impl Text<'_> {
    fn fields(self, fields: &mut Value) {
        fields["text"] = self.text.into();
        fields["link_preview_options"] = json!({ "is_disabled": true });
        if self.html {
            fields["parse_mode"] = "HTML".into();
        }
        if let Some(message) = self.reply_to {
            fields["reply_parameters"] = json!({ "message_id": message, "allow_sending_without_reply": true });
        }
        if !self.buttons.is_empty() {
            let button = |(text, data): &(String, String)| json!({ "text": text, "callback_data": data });
            let rows: Vec<Vec<Value>> = self.buttons.iter().map(|row| row.iter().map(button).collect()).collect();
            fields["reply_markup"] = json!({ "inline_keyboard": rows });
        }
    }
}

impl Api {
    /// For the bot with this token, at a Bot API server, perhaps through a proxy. It connects to nothing yet.
    ///
    /// # Errors
    /// [`ApiError::Refused`] for a proxy of a kind that is not known.
    pub fn new(token: &str, url: &Url, proxy: Option<&Url>) -> Result<Self, ApiError> {
        let unusable = |error: reqwest::Error| ApiError::Refused(format!("no connection can be made: {}", words(&error)));
        let mut builder = Client::builder().connect_timeout(CONNECT).pool_idle_timeout(IDLE).tcp_keepalive(IDLE).tcp_nodelay(true);
        builder = match proxy {
            Some(proxy) if !PROXIES.contains(&proxy.scheme()) => {
                return Err(ApiError::Refused(format!("a proxy by {} is not known: {} are", proxy.scheme(), PROXIES.join(", "))));
            }
            Some(proxy) => builder.proxy(Proxy::all(proxy.as_str()).map_err(unusable)?),
            None => builder.no_proxy(),
        };
        let client = builder.redirect(reqwest::redirect::Policy::none()).build().map_err(unusable)?;
        let shared = Shared { client, url: url.clone(), token: token.to_owned(), pace: Mutex::default(), eyes: Eyes::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// One of teloxide's calls.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn call<P>(&self, payload: &P) -> Result<P::Output, ApiError>
    where
        P: Payload + Serialize + Sync,
        P::Output: DeserializeOwned,
    {
        parsed(self.post(P::NAME, payload, CALL).await?)
    }

    /// A call that teloxide does not know, and its result as it came.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn call_raw(&self, method: &str, fields: &Value) -> Result<Value, ApiError> {
        self.post(method, fields, CALL).await
    }

    /// The updates from `offset` on as they came, of the kinds that are named; those before it are acknowledged. Waits up to `wait` for the
    /// first.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn get_updates(&self, offset: i64, wait: Duration, allowed: &[&str]) -> Result<Vec<Value>, ApiError> {
        let fields = json!({ "offset": offset, "timeout": wait.as_secs(), "allowed_updates": allowed });
        let result = self.post("getUpdates", &fields, wait + POLL_MORE).await?;
        let Value::Array(all) = result else { return Err(ApiError::Server("updates that are no list".into())) };
        Ok(all)
    }

    /// Sends a text; its number.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn send(&self, to: Place, text: Text<'_>) -> Result<i64, ApiError> {
        let mut fields = place_fields(to);
        text.fields(&mut fields);
        let sent = self.post("sendMessage", &fields, CALL).await;
        self.number(to.chat, sent)
    }

    /// Puts a text in the place of another; without buttons, its buttons go.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn edit(&self, chat: i64, message: i64, text: Text<'_>) -> Result<(), ApiError> {
        let mut fields = json!({ "chat_id": chat, "message_id": message });
        text.fields(&mut fields);
        let edited = self.post("editMessageText", &fields, CALL).await;
        self.heard(chat, edited).map(|_| ())
    }

    /// Sends a file's content under a name, as a document; its number.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn send_document(&self, to: Place, name: &str, content: Vec<u8>) -> Result<i64, ApiError> {
        self.upload(to, "sendDocument", "document", Part::bytes(content).file_name(name.to_owned())).await
    }

    /// Sends a file as a document, or as a photo; its number. It is read while it is sent.
    ///
    /// # Errors
    /// See [`ApiError`]; a file that cannot be read is [`ApiError::Refused`].
    pub async fn send_file(&self, to: Place, path: &Path, name: &str, as_photo: bool) -> Result<i64, ApiError> {
        let unreadable = |error: std::io::Error| ApiError::Refused(format!("{} cannot be read: {error}", path.display()));
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let bytes = file.metadata().await.map_err(unreadable)?.len();
        let part = Part::stream_with_length(Body::from(file), bytes).file_name(name.to_owned());
        let (method, field) = if as_photo { ("sendPhoto", "photo") } else { ("sendDocument", "document") };
        self.upload(to, method, field, part).await
    }

    async fn upload(&self, to: Place, method: &str, field: &'static str, part: Part) -> Result<i64, ApiError> {
        let mut form = Form::new().text("chat_id", to.chat.to_string()).part(field, part);
        if let Some(topic) = to.topic {
            form = form.text("message_thread_id", topic.to_string());
        }
        let request = self.shared.client.post(self.method(method)).multipart(form);
        let sent = answer(request.timeout(UPLOAD)).await;
        self.number(to.chat, sent)
    }

    /// Shows a draft in a private chat: what there is so far of a message that comes. It can be left out.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::NotFound`] where the server knows no drafts.
    pub async fn draft(&self, to: Place, draft: i64, html: &str) -> Result<(), ApiError> {
        let mut fields = place_fields(to);
        Text { text: html, html: true, ..Text::default() }.fields(&mut fields);
        (fields["draft_id"], fields["can_stop"], fields["keep_on_stop"]) = (draft.into(), true.into(), true.into());
        if let Value::Object(fields) = &mut fields {
            fields.remove("link_preview_options");
        }
        let shown = self.post("sendMessageDraft", &fields, CALL).await;
        self.unimportant(to.chat, shown)
    }

    /// Shows for some seconds that somebody types. It can be left out.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn typing(&self, to: Place) -> Result<(), ApiError> {
        let mut fields = place_fields(to);
        fields["action"] = "typing".into();
        let shown = self.post("sendChatAction", &fields, CALL).await;
        self.unimportant(to.chat, shown)
    }

    /// Puts a reaction on a message, or takes it away. It can be left out.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn react(&self, chat: i64, message: i64, emoji: Option<&str>) -> Result<(), ApiError> {
        let reaction: Vec<Value> = emoji.iter().map(|emoji| json!({ "type": "emoji", "emoji": emoji })).collect();
        let fields = json!({ "chat_id": chat, "message_id": message, "reaction": reaction });
        let shown = self.post("setMessageReaction", &fields, CALL).await;
        self.unimportant(chat, shown)
    }

    /// Answers the press of a button, quietly or with a text that must be closed.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::TooOld`] after some time.
    pub async fn answer_press(&self, query: &str, text: Option<&str>, alert: bool) -> Result<(), ApiError> {
        let mut fields = json!({ "callback_query_id": query });
        if let Some(text) = text {
            (fields["text"], fields["show_alert"]) = (text.into(), alert.into());
        }
        self.post("answerCallbackQuery", &fields, CALL).await.map(|_| ())
    }

    /// Fetches a file that `getFile` gave a path for; its bytes. More than `most` is refused.
    ///
    /// # Errors
    /// See [`ApiError`]; what cannot be written is [`ApiError::Refused`].
    pub async fn download(&self, path: &str, to: &mut (dyn AsyncWrite + Send + Unpin), most: u64) -> Result<u64, ApiError> {
        let mut url = self.shared.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("file").push(&format!("bot{}", self.shared.token)).extend(path.split('/'));
        }
        let mut response = timed(self.shared.client.get(url).send()).await?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            let (body, _) = body(response).await?;
            return Err(result(status, &body).err().unwrap_or(ApiError::Server(format!("status {status}"))));
        }
        let mut bytes = 0;
        while let Some(chunk) = timed(response.chunk()).await? {
            bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if bytes > most {
                return Err(ApiError::Refused(format!("the file has more than {most} bytes")));
            }
            to.write_all(&chunk).await.map_err(|error| ApiError::Refused(format!("the file cannot be written: {error}")))?;
        }
        to.flush().await.map_err(|error| ApiError::Refused(format!("the file cannot be written: {error}")))?;
        Ok(bytes)
    }

    /// When may be sent to whom.
    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        // What a panic elsewhere has left behind is as good as it was.
        self.shared.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose eyes are under way.
    pub(super) fn eyes(&self) -> &Eyes {
        &self.shared.eyes
    }

    fn method(&self, method: &str) -> Url {
        let mut url = self.shared.url.clone();
        // An address that cannot have a path is no address of a server; the call says so.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(&format!("bot{}", self.shared.token)).push(method);
        }
        url
    }

    async fn post(&self, method: &str, fields: &(impl Serialize + Sync + ?Sized), limit: Duration) -> Result<Value, ApiError> {
        answer(self.shared.client.post(self.method(method)).json(fields).timeout(limit)).await
    }

    /// What became of a message to a chat is remembered.
    fn heard<T>(&self, chat: i64, answer: Result<T, ApiError>) -> Result<T, ApiError> {
        match &answer {
            Err(ApiError::Flood(wait)) => self.pace().flood(chat, *wait, Instant::now()),
            Ok(_) => self.pace().went(),
            Err(_) => {}
        }
        answer
    }

    /// The number of the message that was sent. Nothing else of it is read: a message that teloxide cannot read was sent as well.
    fn number(&self, chat: i64, sent: Result<Value, ApiError>) -> Result<i64, ApiError> {
        let sent = self.heard(chat, sent)?;
        sent["message_id"].as_i64().ok_or_else(|| ApiError::Server("a message without a number".into()))
    }

    fn unimportant(&self, chat: i64, answer: Result<Value, ApiError>) -> Result<(), ApiError> {
        if let Err(ApiError::Flood(wait)) = &answer {
            self.pace().flood_draft(chat, *wait, Instant::now());
        }
        answer.map(|_| ())
    }
}

fn place_fields(to: Place) -> Value {
    match to.topic {
        Some(topic) => json!({ "chat_id": to.chat, "message_thread_id": topic }),
        None => json!({ "chat_id": to.chat }),
    }
}

fn parsed<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(|error| ApiError::Server(format!("an answer that is not what it should be: {error}")))
}

async fn answer(request: RequestBuilder) -> Result<Value, ApiError> {
    let response = request.send().await.map_err(network)?;
    let status = response.status().as_u16();
    match body(response).await? {
        (body, None) => result(status, &body),
        // What was cut off may say all the same that it was done.
        (body, Some(error)) => result(status, &body).map_err(|_| network(error)),
    }
}

/// What came of an answer, and what ended it early.
async fn body(mut response: Response) -> Result<(Vec<u8>, Option<reqwest::Error>), ApiError> {
    let mut out = Vec::new();
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok((out, None)),
            Err(error) => return Ok((out, Some(error))),
        };
        if out.len() + chunk.len() > ANSWER {
            return Err(ApiError::Server(format!("an answer of more than {ANSWER} bytes")));
        }
        out.extend_from_slice(&chunk);
    }
}

/// A file may take as long as it takes, as long as something comes.
async fn timed<T>(step: impl Future<Output = Result<T, reqwest::Error>>) -> Result<T, ApiError> {
    match tokio::time::timeout(READ, step).await {
        Ok(done) => done.map_err(network),
        Err(_) => Err(ApiError::Network(format!("nothing came for {} s", READ.as_secs()))),
    }
}

fn network(error: reqwest::Error) -> ApiError {
    ApiError::Network(words(&error))
}

/// An error and what is behind it, without the address: the token stands in that.
fn words(error: &reqwest::Error) -> String {
    let kind = match error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "no connection",
        _ => "the connection broke",
    };
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| kind.to_owned(), |cause| format!("{kind}: {cause}"))
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
