//! Updates that Telegram sends to us: HTTP/1.1 on the configured address, behind something that does the TLS.
//!
//! One update a request; it is answered with 200 once the journal has it, and with 500 while it cannot be written: then Telegram sends it
//! again. Requests without the secret get 401 and nothing is read of them but the head. Connections are not kept.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::TelegramError;
use super::api::ApiError;
use super::health::Reporter;
use super::intake::{Intake, passes};
use super::poll::pause;
use super::settings::Webhook;
use super::update::ALLOWED;

/// Bytes of a request's head; more is refused.
const HEAD: usize = 16 << 10;

/// Bytes of an update; more is refused. Telegram's have some thousand.
const BODY: usize = 1 << 20;

/// Connections at once; more wait.
const CONNECTIONS: usize = 16;

/// For a request to come whole.
const REQUEST: Duration = Duration::from_secs(30);

/// The header with the secret, in lower case.
const SECRET: &str = "x-telegram-bot-api-secret-token";

/// Tells Telegram where to send updates, and takes in what comes. Ends when it cannot go on.
pub(super) async fn listen(intake: Arc<Intake>, webhook: &Webhook, health: &Reporter) -> TelegramError {
    let listener = match TcpListener::bind(webhook.listen).await {
        Ok(listener) => listener,
        Err(error) => return TelegramError::Listen { address: webhook.listen, error },
    };
    if let Err(error) = set(&intake, webhook, health).await {
        return error;
    }
    health.well("updates are sent to the webhook");
    let secret = Arc::<str>::from(webhook.secret.as_str());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((mut stream, _)) => {
                    let (intake, secret, health) = (Arc::clone(&intake), Arc::clone(&secret), health.clone());
                    connections.spawn(async move {
                        let answer = match timeout(REQUEST, request(&mut stream, &secret)).await {
                            Ok(Ok(raw)) => {
                                let _turn = intake.one.lock().await;
                                taken(&intake, &health, &raw).await
                            }
                            Ok(Err(status)) => status,
                            Err(_) => "408 Request Timeout",
                        };
                        let _ = timeout(REQUEST, answered(&mut stream, answer)).await; // who does not read it sends it again
                    });
                }
                Err(error) => {
                    health.trouble(&format!("the webhook takes no connections: {error}"));
                    sleep(pause(1, (intake.hooks.random)())).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn set(intake: &Intake, webhook: &Webhook, health: &Reporter) -> Result<(), TelegramError> {
    // One connection: updates come in their order.
    let fields = json!({
        "url": webhook.url.as_str(), "secret_token": webhook.secret, "max_connections": 1, "allowed_updates": ALLOWED,
    });
    let mut failures = 0;
    loop {
        match intake.api.call_raw("setWebhook", &fields).await {
            Ok(_) => return Ok(()),
            Err(ApiError::Unauthorized) => return Err(TelegramError::Unauthorized),
            Err(error) if !error.passes() => return Err(TelegramError::Webhook(error)),
            Err(error) => {
                failures += 1;
                health.trouble(&format!("the webhook cannot be set yet: {error}"));
                let asked = if let ApiError::Flood(asked) = error { asked } else { Duration::ZERO };
                sleep(asked.max(pause(failures, (intake.hooks.random)()))).await;
            }
        }
    }
}

async fn taken(intake: &Intake, health: &Reporter, raw: &Value) -> &'static str {
    health.updates();
    match intake.take(raw).await {
        Ok(()) => "200 OK",
        Err(error) if passes(&error) => {
            health.trouble(&format!("messages wait with Telegram, because they cannot be written down: {error}"));
            "500 Internal Server Error"
        }
        Err(error) => {
            tracing::error!("an update was skipped: {error}");
            "200 OK"
        }
    }
}

/// Reads a request; the update, or the status that refuses it.
async fn request(stream: &mut (impl AsyncRead + Unpin), secret: &str) -> Result<Value, &'static str> {
    const BAD: &str = "400 Bad Request";
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > HEAD {
            return Err("431 Request Header Fields Too Large");
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return Err(BAD);
        }
    };
    let head = str::from_utf8(&bytes[..end]).map_err(|_| BAD)?.to_owned();
    let mut lines = head.split("\r\n");
    let is_post = lines.next().is_some_and(|line| line.starts_with("POST "));
    let header =
        |name: &str| head.split("\r\n").skip(1).filter_map(|line| line.split_once(':')).find(|(key, _)| key.eq_ignore_ascii_case(name));
    let given = header(SECRET).map_or("", |(_, value)| value.trim());
    if !same(given.as_bytes(), secret.as_bytes()) {
        return Err("401 Unauthorized");
    }
    if !is_post {
        return Err("405 Method Not Allowed");
    }
    let Some(length) = header("content-length").and_then(|(_, value)| value.trim().parse::<usize>().ok()) else {
        return Err("411 Length Required");
    };
    if length > BODY {
        return Err("413 Content Too Large");
    }
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return Err(BAD);
        }
    }
    serde_json::from_slice(&bytes[end..end + length]).map_err(|_| BAD)
}

async fn answered(stream: &mut (impl AsyncWrite + Unpin), status: &str) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    stream.shutdown().await
}

/// Whether both are the same, in a time that does not tell how much of them is. An empty secret is none.
fn same(given: &[u8], secret: &[u8]) -> bool {
    let differing = given.iter().zip(secret).fold(0, |sum, (a, b)| sum | (a ^ b));
    !secret.is_empty() && given.len() == secret.len() && std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_whole_updates_with_the_secret_are_taken() {
        async fn check(text: &str, expected: Result<Value, &'static str>) {
            assert_eq!(request(&mut text.as_bytes(), "s3cret").await, expected, "{text}");
        }
        let post = |secret: &str, body: &str| {
            format!(
                "POST /x HTTP/1.1\r\nHost: a\r\nX-Telegram-Bot-Api-Secret-Token: {secret}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        check(&post("s3cret", "{\"update_id\":1}"), Ok(json!({ "update_id": 1 }))).await;
        check(&post("s3creT", "{}"), Err("401 Unauthorized")).await;
        check(&post("", "{}"), Err("401 Unauthorized")).await;
        check(&post("s3cret1", "{}"), Err("401 Unauthorized")).await;
        check("POST /x HTTP/1.1\r\n\r\n", Err("401 Unauthorized")).await;
        check(&post("s3cret", "{").replace("POST", "GET"), Err("405 Method Not Allowed")).await;
        check(&post("s3cret", "{"), Err("400 Bad Request")).await;
        check(&post("s3cret", "{}").replace("Length: 2", "Length: 3"), Err("400 Bad Request")).await;
        check(&post("s3cret", "{}").replace("Length: 2", "Length: 9999999"), Err("413 Content Too Large")).await;
        check(&post("s3cret", "{}").replace("Content-Length: 2", "A: b"), Err("411 Length Required")).await;
        check(&format!("POST / HTTP/1.1\r\nA: {}", "b".repeat(HEAD)), Err("431 Request Header Fields Too Large")).await;
        check("", Err("400 Bad Request")).await;
    }

    #[test]
    fn an_empty_secret_is_none() {
        assert!(!same(b"", b"") && same(b"a", b"a") && !same(b"a", b"ab"));
    }
}
