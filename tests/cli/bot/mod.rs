//! A fake of Telegram's Bot API at the wire, for tests of the whole program. It keeps the real server's rules (offsets acknowledge,
//! one poller, lengths after parsing, rates, queries that time out, drafts that expire), checks each request that it gets, plays the
//! people in the chats, and fails on demand as networks do.
//!
//! A request that a correct client would never send is a *violation*, beside its error; what the server would accept and show
//! otherwise than meant is an *oddity*. Deliberately not here: inline mode, payments, stickers, channels, MarkdownV2.
#![allow(dead_code, unused_imports, reason = "the fake is whole; not every test binary's tests use all of it")]

mod check;
mod entities;
mod faults;
mod http;
mod limits;
mod methods;
mod people;
mod receive;
mod server;
mod state;
#[cfg(test)]
mod tests;

use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::Home;

pub use faults::{Fault, What};
pub use limits::{Rates, Window};
pub use people::{Post, Said, mention};
pub use state::{BOT, BOT_NAME, Call, Draft, Drafts, Message, Rules, State};

/// When a callback of a request is called.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// It is read and logged, nothing is done.
    Before,
    /// It is done, the answer is not written yet.
    After,
}

type Hook = Arc<dyn Fn(&Call, Moment) + Send + Sync>;

struct Shared {
    token: String,
    state: Mutex<State>,
    changed: Condvar,
    hook: Mutex<Option<Hook>>,
}

pub struct Bot {
    /// `http://127.0.0.1:PORT`: what stands in the configuration as the API's address.
    pub url: String,
    pub token: String,
    /// How long a wait may last.
    pub patience: Duration,
    shared: Arc<Shared>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, at most until `until`.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, until: Instant) -> MutexGuard<'a, State> {
        let left = until.saturating_duration_since(Instant::now());
        self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Bot {
    /// Writes the bot's token and a configuration for these owners into a home, with `more` behind it in `[telegram]`.
    pub fn configure(&self, home: &Home, owners: &[i64], more: &str) {
        home.file("telegram.token", &self.token);
        let telegram = format!("[telegram]\ntoken_file = \"telegram.token\"\napi_url = \"{}\"\nowners = {owners:?}\n{more}", self.url);
        home.file("paguro.toml", telegram);
    }

    pub fn start() -> Self {
        Self::start_with(Rules::default())
    }

    /// Without limits on how fast the bot may be.
    pub fn start_unlimited() -> Self {
        Self::start_with(Rules { rates: Rates::none(), ..Rules::default() })
    }

    pub fn start_with(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let token = format!("{BOT}:AAF-the_bots-secret_token-0123456789");
        let state = Mutex::new(State { rules, ..State::default() });
        let shared = Arc::new(Shared { token: token.clone(), state, changed: Condvar::new(), hook: Mutex::default() });
        let server = Arc::clone(&shared);
        // Ends with the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                std::thread::spawn(move || server.serve(stream));
            }
        });
        Self { url, token, patience: Duration::from_secs(30), shared }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let out = change(&mut self.shared.lock());
        self.shared.changed.notify_all();
        out
    }

    /// Looks at everything at one moment.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.shared.lock())
    }

    /// Changes rates, lives and what the server knows.
    pub fn rules(&self, change: impl FnOnce(&mut Rules)) {
        self.change(|state| change(&mut state.rules));
    }

    /// Waits until there is what is looked for. Fails with all that was seen.
    pub fn wait<T>(&self, mut find: impl FnMut(&State) -> Option<T>, what: &str) -> T {
        let end = Instant::now() + self.patience;
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = find(&state) {
                return found;
            }
            assert!(Instant::now() < end, "in {:?} there was no {what}\n{}", self.patience, state.seen());
            // Drafts expire without anybody changing anything.
            state = self.shared.wait(state, end.min(Instant::now() + Duration::from_millis(100)));
        }
    }

    pub fn wait_until(&self, mut holds: impl FnMut(&State) -> bool, what: &str) {
        self.wait(|state| holds(state).then_some(()), what);
    }

    /// Waits for a message of the bot in this chat with `part` in its text.
    pub fn wait_for(&self, chat: i64, part: &str) -> Message {
        let find = |state: &State| state.sent_to(chat).into_iter().find(|message| message.text.contains(part)).cloned();
        self.wait(find, &format!("message with {part:?} in {chat}"))
    }

    /// The bot's messages as they are shown now.
    pub fn sent(&self) -> Vec<Message> {
        self.look(|state| state.sent().into_iter().cloned().collect())
    }

    /// The texts of the bot's messages in a chat that are not deleted.
    pub fn texts(&self, chat: i64) -> Vec<String> {
        self.look(|state| state.texts(chat).into_iter().map(str::to_owned).collect())
    }

    /// Every request so far.
    pub fn calls(&self) -> Vec<Call> {
        self.look(|state| state.calls.clone())
    }

    pub fn drafts(&self, chat: i64) -> Vec<Draft> {
        self.look(|state| state.drafts(chat))
    }

    /// What the bot did that it must not. A test of a program asserts that there is none.
    pub fn violations(&self) -> Vec<String> {
        self.look(|state| state.violations.clone())
    }

    /// What the server accepts and shows otherwise than it was meant.
    pub fn oddities(&self) -> Vec<String> {
        self.look(|state| state.oddities.clone())
    }

    /// The answers to a pressed button, as their parameters.
    pub fn answers(&self, query: &str) -> Vec<Value> {
        self.look(|state| state.queries[query].answers.clone())
    }

    pub fn fault(&self, fault: Fault) {
        self.change(|state| state.faults.push(fault));
    }

    /// Faults that were not used up are over.
    pub fn no_faults(&self) {
        self.change(|state| state.faults.clear());
    }

    /// Calls this for every request before it is processed and after, before the answer is written.
    pub fn on_request(&self, hook: impl Fn(&Call, Moment) + Send + Sync + 'static) {
        *self.shared.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    pub fn no_hook(&self) {
        *self.shared.hook.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
