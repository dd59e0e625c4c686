//! A Bot API server for tests of one call or one chat: plays the answers it is given and keeps what it was asked. The one that knows
//! the real one's rules is in `tests/cli/bot`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use agent::memory::{Inbound, Outbound, Store, TurnRow, TurnState};
use agent::{KeepRule, Secrets};
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

use super::CHANNEL;
use super::api::Api;
use crate::desk::{Desk, State};
use crate::live::Live;

pub(super) const TOKEN: &str = "123:AAF7-secret";

/// What the server does with a request.
pub(super) enum Reply {
    /// Status and body.
    Is(u16, Value),
    /// Nothing, and the connection ends.
    Closed,
    /// Bytes that are no JSON.
    Bytes(Vec<u8>),
}

impl Reply {
    pub(super) fn ok(result: Value) -> Self {
        Self::Is(200, json!({ "ok": true, "result": result }))
    }

    pub(super) fn error(code: u16, description: &str) -> Self {
        Self::Is(code, json!({ "ok": false, "error_code": code, "description": description }))
    }

    pub(super) fn flood(seconds: u64) -> Self {
        Self::Is(
            429,
            json!({ "ok": false, "error_code": 429, "description": "Too Many Requests", "parameters": { "retry_after": seconds } }),
        )
    }
}

type Answer = Box<dyn FnMut(&str, &Value) -> Reply + Send>;

struct Shared {
    answer: Mutex<Answer>,
    asked: watch::Sender<Vec<(String, Value)>>,
}

pub(super) struct Fake {
    pub(super) url: Url,
    state: Arc<Shared>,
}

impl Fake {
    /// A server that answers with what `answer` makes of method and fields; a file's are `{"form": …}`.
    pub(super) fn start(answer: impl FnMut(&str, &Value) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let state = Arc::new(Shared { answer: Mutex::new(Box::new(answer)), asked: watch::Sender::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { url, state }
    }

    pub(super) fn api(&self) -> Api {
        Api::new(TOKEN, &self.url, None).unwrap()
    }

    /// All that was asked so far.
    pub(super) fn asked(&self) -> Vec<(String, Value)> {
        self.state.asked.borrow().clone()
    }

    /// All that was asked, once it is what is waited for.
    pub(super) async fn until(&self, enough: impl Fn(&[(String, Value)]) -> bool) -> Vec<(String, Value)> {
        let mut asked = self.state.asked.subscribe();
        let patience = std::time::Duration::from_secs(60);
        match tokio::time::timeout(patience, asked.wait_for(|asked| enough(asked))).await {
            Ok(asked) => asked.unwrap().clone(),
            Err(_) => panic!("only this was asked: {:#?}", self.asked()),
        }
    }

    /// [`Fake::until`] a method was called so many times; the fields of these calls.
    pub(super) async fn calls(&self, method: &str, count: usize) -> Vec<Value> {
        let all = self.until(|asked| asked.iter().filter(|(name, _)| name == method).count() >= count).await;
        all.into_iter().filter(|(name, _)| name == method).map(|(_, fields)| fields).collect()
    }
}

fn serve(stream: &TcpStream, state: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = request(&mut reader) {
        let method = path.rsplit('/').next().unwrap_or_default().to_owned();
        let fields = serde_json::from_slice(&body).unwrap_or_else(|_| json!({ "form": String::from_utf8_lossy(&body) }));
        let answer = if path.starts_with(&format!("/bot{TOKEN}/")) || path.starts_with(&format!("/file/bot{TOKEN}/")) {
            let mut answer = state.answer.lock().unwrap();
            answer(&method, &fields)
        } else {
            Reply::error(404, "Not Found")
        };
        state.asked.send_modify(|asked| asked.push((method, fields)));
        let (status, body) = match answer {
            Reply::Is(status, body) => (status, body.to_string().into_bytes()),
            Reply::Bytes(bytes) => (200, bytes),
            Reply::Closed => return,
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut stream = stream;
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_err() {
            return;
        }
    }
}

/// The next request's path and body.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

/// A process around a chat: an empty journal, nothing runs. It stays as it is for as long as the sender is there.
pub(super) fn desk(state: State) -> (Desk, watch::Sender<State>) {
    let (state, watched) = watch::channel(state);
    let (_, secrets) = watch::channel(Secrets::default());
    let keep_rule: Arc<KeepRule> = Arc::new(Box::new(|_| Ok(())));
    let desk = Desk { store: Store::in_memory().unwrap(), live: Live::default(), secrets, state: watched, keep_rule };
    (desk, state)
}

/// A message was accepted; its turn.
pub(super) async fn accepted(desk: &Desk, session: &str, message: &str) -> TurnRow {
    let inbound = Inbound { channel: CHANNEL.into(), session: session.into(), message: Some(message.into()), ..Inbound::default() };
    let turn = desk.accept(inbound).await.unwrap().turn;
    desk.store.turn(turn).await.unwrap().unwrap()
}

/// The turn has ended with a reply; the message's number.
pub(super) async fn replied(desk: &Desk, turn: i64, text: &str) -> i64 {
    let outbound = Some(Outbound { text: text.into() });
    desk.store.finish(turn, TurnState::Done, text, outbound).await.unwrap().unwrap()
}
