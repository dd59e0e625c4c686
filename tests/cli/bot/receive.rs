//! How updates reach the bot: by polls that acknowledge, one at a time, or posted to its webhook until it takes them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Shared;
use super::check::{Outcome, Params, Refusal};
use super::state::{State, Webhook};

/// Between two tries of a webhook that did not take an update.
const AGAIN: Duration = Duration::from_millis(200);
const LONGEST_POLL: i64 = 50;

fn conflict(says: &str) -> Refusal {
    Refusal::new(409, format!("Conflict: {says}"))
}

fn id(update: &Value) -> i64 {
    update["update_id"].as_i64().unwrap()
}

impl Shared {
    /// A poll. `None` where whoever asked is gone.
    pub fn get_updates(&self, params: Params<'_>, mut alive: impl FnMut() -> bool) -> Option<Outcome> {
        let mut state = self.lock();
        let (limit, timeout) = match state.begin_poll(params) {
            Ok(begun) => begun,
            Err(refusal) => return Some(Err(refusal)),
        };
        state.poll += 1;
        let mine = state.poll;
        self.changed.notify_all();
        let end = Instant::now() + timeout;
        loop {
            if state.poll != mine {
                let there = alive();
                state.conflicts += u32::from(there);
                let says = "terminated by other getUpdates request; make sure that only one bot instance is running";
                return there.then(|| Err(conflict(says)));
            }
            if state.webhook.is_some() {
                return Some(Err(conflict("terminated by setWebhook request")));
            }
            if !(state.updates.is_empty() && state.repeats.is_empty()) || Instant::now() >= end {
                return alive().then(|| Ok(state.batch(limit)));
            }
            state = self.wait(state, end);
        }
    }

    /// Posts updates to the webhook with this number, as long as it is the one.
    pub fn deliver(&self, number: u64) {
        loop {
            let (update, url, secret) = {
                let mut state = self.lock();
                loop {
                    let Some(webhook) = state.webhook.as_ref().filter(|webhook| webhook.number == number) else { return };
                    let next = state.repeats.first().or(state.updates.front()).cloned();
                    match next {
                        Some(update) => break (update, webhook.url.clone(), webhook.secret.clone()),
                        None => state = self.wait(state, Instant::now() + Duration::from_secs(1)),
                    }
                }
            };
            let status = post(&url, secret.as_deref(), &update).unwrap_or(0);
            let mut state = self.lock();
            state.deliveries.push((id(&update), status));
            if (200..300).contains(&status) {
                if state.repeats.first() == Some(&update) {
                    state.repeats.remove(0);
                }
                state.updates.retain(|other| other != &update);
                state.given.insert(id(&update));
            } else {
                drop(self.wait(state, Instant::now() + AGAIN));
                continue;
            }
            self.changed.notify_all();
        }
    }
}

/// The status of the answer.
fn post(url: &str, secret: Option<&str>, update: &Value) -> Option<u16> {
    let (host, path) = url.strip_prefix("http://")?.split_once('/')?;
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let body = update.to_string();
    let secret = secret.map(|secret| format!("X-Telegram-Bot-Api-Secret-Token: {secret}\r\n")).unwrap_or_default();
    let head = format!("POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    stream.write_all(format!("{head}{secret}Connection: close\r\n\r\n{body}").as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}

impl State {
    /// Checks a poll's parameters and acknowledges what its offset says. How many updates it takes, and how long it waits.
    fn begin_poll(&mut self, params: Params<'_>) -> Outcome<(usize, Duration)> {
        if self.webhook.is_some() {
            return Err(conflict("can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"));
        }
        let limit = params.integer("limit")?.unwrap_or(100);
        if !(1..=100).contains(&limit) {
            self.violation(format!("getUpdates: a limit of {limit}"));
        }
        let timeout = params.integer("timeout")?.unwrap_or(0);
        if !(0..=LONGEST_POLL).contains(&timeout) {
            self.violation(format!("getUpdates: a timeout of {timeout} s"));
        }
        self.allow(params)?;
        match params.integer("offset")?.unwrap_or(0) {
            0 => {}
            offset if offset < 0 => {
                let leaves = usize::try_from(-offset).unwrap().min(self.updates.len());
                self.updates.drain(..self.updates.len() - leaves);
            }
            offset => self.acknowledge(offset),
        }
        let timeout = timeout.clamp(0, LONGEST_POLL).unsigned_abs();
        Ok((usize::try_from(limit.clamp(1, 100)).unwrap(), Duration::from_secs(timeout)))
    }

    fn allow(&mut self, params: Params<'_>) -> Outcome<()> {
        let list = params.json("allowed_updates")?;
        if let Some(list) = list.as_array() {
            let names: Vec<String> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            self.allowed = Some(names).filter(|names| !names.is_empty());
        }
        Ok(())
    }

    fn acknowledge(&mut self, offset: i64) {
        if offset > self.last_update + 1 {
            self.violation(format!("getUpdates: the offset {offset} acknowledges updates that are not there yet"));
        }
        let unseen: Vec<i64> = self.updates.iter().map(id).filter(|id| *id < offset && !self.given.contains(id)).collect();
        for id in unseen {
            self.violation(format!("getUpdates: the offset {offset} acknowledges update {id}, which was never given"));
        }
        self.updates.retain(|update| id(update) >= offset);
    }

    fn batch(&mut self, limit: usize) -> Value {
        let mut batch = std::mem::take(&mut self.repeats);
        batch.extend(self.updates.iter().take(limit).cloned());
        batch.truncate(limit);
        if std::mem::take(&mut self.reversed) {
            batch.reverse();
        }
        self.given.extend(batch.iter().map(id));
        batch.into()
    }

    pub fn set_webhook(&mut self, params: Params<'_>) -> Outcome {
        let (url, secret) = (params.text("url")?, params.text("secret_token")?);
        let valid = secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if !valid || secret.len() > 256 {
            return Err(Refusal::wrong("secret token contains unallowed characters"));
        }
        if !url.is_empty() && !url.starts_with("http") {
            return Err(Refusal::wrong("bad webhook: invalid URL"));
        }
        self.allow(params)?;
        if params.flag("drop_pending_updates")? {
            self.updates.clear();
        }
        self.webhooks += 1;
        let secret = Some(secret.to_owned()).filter(|secret| !secret.is_empty());
        let webhook = Webhook { url: url.to_owned(), secret, number: self.webhooks };
        self.webhook = Some(webhook).filter(|_| !url.is_empty());
        Ok(json!(true))
    }

    pub fn delete_webhook(&mut self, params: Params<'_>) -> Outcome {
        if params.flag("drop_pending_updates")? {
            self.updates.clear();
        }
        self.webhook = None;
        Ok(json!(true))
    }

    pub fn webhook_info(&self) -> Value {
        let url = self.webhook.as_ref().map_or("", |webhook| webhook.url.as_str());
        json!({ "url": url, "has_custom_certificate": false, "pending_update_count": self.updates.len() })
    }
}
