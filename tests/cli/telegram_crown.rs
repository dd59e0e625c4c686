//! The worst in turn with Telegram at the wire: kill -9 at each request, whether it arrives or not, and after each journal write. Each
//! message has exactly one finished turn, its reply comes once, or twice where the kill fell between its sending and its confirmation.
//!
//! Two chats are led to their end at the same time: an approval by button, a reply of several messages, an edited message, `/undo`. By
//! default some points are tried; `PAGURO_CROWN_STEP=1` takes them all, `PAGURO_CROWN_FROM` says where to begin.
#![allow(clippy::print_stderr, reason = "which lives went how is read where many are tried")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bot::{Bot, Call, Fault, Message, Moment, State, What};
use super::support::{Home, Writes};

/// The owners' chats.
const ANN: i64 = 1;
const BEN: i64 = 2;

/// The effect comes first, so that a kill while it runs leaves it behind.
const COMMAND: &str = "echo x >> log; sleep 0.2; echo logged";

/// Points left out between two that are tried in an ordinary run. Odd: every second one is of the other kind.
const STEP: usize = 21;

/// Lives of one test, unless `PAGURO_CROWN_STEP` asks for more.
const LIVES: usize = 12;

/// Lives at once: each waits most of its time.
const AT_ONCE: usize = 2;

/// A late kill comes up to so many milliseconds after the journal write.
const LATEST: usize = 24;

/// The longest pause between two looks at the program.
const LOOK: Duration = Duration::from_millis(2);

/// The program ends within so long when it is told to.
const END: Duration = Duration::from_secs(10);

/// What was sent so long before the kill had been confirmed.
const CONFIRMED: Duration = Duration::from_secs(3);

/// When the kill comes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Blow {
    /// At the n-th request, which never arrives.
    Lost(usize),
    /// At the n-th request: it is carried out, and its answer never arrives.
    Done(usize),
    /// After so many journal writes and somewhat later.
    Write(usize, Duration),
}

/// The program, and what has befallen it.
struct Life {
    home: Home,
    bot: Bot,
    blow: Blow,
    model: String,
    child: Mutex<Child>,
    requests: AtomicUsize,
    /// Whether the kill is still to come.
    armed: AtomicBool,
    killed: AtomicBool,
    /// The request that was under way, once the program has been killed.
    struck: Mutex<Option<Option<Call>>>,
}

/// What the chats had shown when the program was killed.
#[derive(Debug, Default)]
struct Kill {
    call: Option<Call>,
    /// The bot's last message of each chat that may not have been confirmed.
    last: BTreeMap<i64, i64>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// More than three messages hold.
fn long() -> String {
    (1..=1_800).map(|number| format!("w{number}")).collect::<Vec<_>>().join(" ")
}

fn script() -> Vec<Value> {
    vec![
        json!({"when": "^slow", "text": "one two three four five six", "delay_ms": 60}),
        json!({"when": "^long", "text": long()}),
        json!({"when": "^run it", "role": "user", "tool_calls": [{"name": "shell", "arguments": {"command": COMMAND}}]}),
        json!({"when": "^error", "role": "tool", "text": "Not done."}),
        json!({"when": "logged", "role": "tool", "text": "Done."}),
        json!({"when": "(.*)", "role": "user", "text": "You said: $1"}),
    ]
}

fn start(home: &Home, model: &str) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(home.path("stderr")).unwrap();
    home.command(&["serve", "--model", model]).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

impl Life {
    fn new(blow: Blow) -> Arc<Self> {
        let (bot, home) = (Bot::start_unlimited(), Home::new());
        bot.user(ANN, "Ann");
        bot.user(BEN, "Ben");
        bot.configure(&home, &[ANN, BEN], "");
        let model = home.script(&script());
        let child = Mutex::new(start(&home, &model));
        let (requests, armed, killed, struck) = (AtomicUsize::new(0), AtomicBool::new(true), AtomicBool::new(false), Mutex::default());
        let life = Arc::new(Self { home, bot, blow, model, child, requests, armed, killed, struck });
        let hooked = Arc::downgrade(&life);
        life.bot.on_request(move |call, moment| {
            if let Some(life) = hooked.upgrade() {
                life.asked(call, moment);
            }
        });
        life
    }

    /// A request has come, or has been carried out.
    fn asked(&self, call: &Call, moment: Moment) {
        let due = match (self.blow, moment) {
            (Blow::Lost(number), Moment::Before) | (Blow::Done(number), Moment::After) => {
                self.requests.fetch_add(1, Ordering::SeqCst) + 1 == number
            }
            _ => false,
        };
        if !due || !self.kill(Some(call.clone())) {
            return;
        }
        if moment == Moment::Before {
            let fault = Fault::new(What::ResetBefore).on(call.method.clone().leak());
            self.bot.fault(call.chat().map_or(fault.clone(), |chat| fault.in_chat(chat)));
        }
    }

    /// Whether this was the kill.
    fn kill(&self, call: Option<Call>) -> bool {
        if !self.armed.swap(false, Ordering::SeqCst) {
            return false;
        }
        let mut child = locked(&self.child);
        child.kill().unwrap();
        child.wait().unwrap();
        *locked(&self.struck) = Some(call);
        self.killed.store(true, Ordering::SeqCst);
        true
    }

    /// Starts the program again if it was killed.
    fn again(&self) -> Option<Kill> {
        let call = locked(&self.struck).take()?;
        let lost = call.as_ref().filter(|call| matches!(self.blow, Blow::Lost(_)) && call.method == "sendMessage").and_then(Call::chat);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let recent = |message: &Message| now - message.date <= CONFIRMED.as_secs();
        let sent = self.bot.sent();
        // Before a request of its chat, the one before that was confirmed.
        let last = sent.iter().filter(|message| Some(message.chat) != lost && recent(message)).map(|message| (message.chat, message.id));
        let kill = Kill { call, last: last.collect() };
        *locked(&self.child) = start(&self.home, &self.model);
        Some(kill)
    }

    /// Leads the chats to their end; the kill, if it came.
    fn live(self: &Arc<Self>) -> Option<Kill> {
        let talks = [ann as fn(&Bot, &Path), ben].map(|talk| {
            let life = Arc::clone(self);
            std::thread::spawn(move || talk(&life.bot, &life.home.path("workspace/log")))
        });
        let (mut writes, mut due, mut kill) = (Writes::default(), None, None);
        while talks.iter().any(|talk| !talk.is_finished()) {
            match self.blow {
                Blow::Write(after, later) if self.armed.load(Ordering::SeqCst) => {
                    std::thread::yield_now();
                    if due.is_none() && writes.look(&self.home) >= after {
                        due = Some(Instant::now() + later);
                    }
                    if due.is_some_and(|due| Instant::now() >= due) {
                        self.kill(None);
                    }
                }
                _ => std::thread::sleep(LOOK),
            }
            kill = self.again().or(kill);
        }
        self.armed.store(false, Ordering::SeqCst);
        // A kill that was under way has happened when the lock is free.
        drop(locked(&self.child));
        kill = self.again().or(kill);
        for talk in talks {
            talk.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        // Whatever was behind the last reply is done when another one is there.
        for chat in [ANN, BEN] {
            self.bot.says(chat, "bye");
            self.bot.wait_for(chat, "You said: bye");
        }
        self.bot.wait_until(|state| are_recorded(state, kill.is_some()), "record of each decision");
        self.stop();
        kill
    }

    fn stop(&self) {
        let mut child = locked(&self.child);
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < END, "it does not end");
            std::thread::sleep(LOOK);
        };
        assert!(status.success(), "{status}");
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let run = self.home.run(&[arguments, &["--format", "json"]].concat());
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {arguments:?} {run:?}"))
    }

    /// What a chat has shown of the bot's, questions left out, without what the kill has doubled.
    fn shown(&self, chat: i64, kill: &Kill) -> Vec<String> {
        let sent: Vec<Message> = self.bot.sent().into_iter().filter(|message| message.chat == chat).collect();
        let mut out: Vec<&Message> = Vec::new();
        for message in &sent {
            let doubled = out.last().is_some_and(|before| {
                kill.last.get(&chat) == Some(&before.id) && before.id < message.id && before.versions[0] == message.versions[0]
            });
            if !doubled {
                out.push(message);
            }
        }
        out.into_iter().map(|message| &message.versions[0]).filter(|text| !text.contains(COMMAND)).cloned().collect()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let mut child = locked(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn ann(bot: &Bot, log: &Path) {
    bot.says(ANN, "hello");
    bot.says(ANN, "run it");
    approve(bot, log);
    bot.says(ANN, "long");
    bot.says(ANN, "oops");
    bot.wait_for(ANN, "You said: oops");
    bot.says(ANN, "/undo");
    bot.wait_for(ANN, "taken out of the history");
    bot.says(ANN, "last");
    bot.wait_for(ANN, "You said: last");
}

fn ben(bot: &Bot, _: &Path) {
    bot.says(BEN, "mistake");
    bot.wait_for(BEN, "You said: mistake");
    bot.says(BEN, "/undo");
    bot.wait_for(BEN, "taken out of the history");
    bot.says(BEN, "slow");
    let said = bot.says(BEN, "wrong");
    bot.edits(BEN, said.message, "right");
    bot.wait(|state| state.texts(BEN).iter().any(|text| ["You said: right", "You said: wrong"].contains(text)).then_some(()), "a reply");
}

/// Presses a button of each question, as somebody who looks first, until there is a reply.
fn approve(bot: &Bot, log: &Path) {
    let mut pressed = Vec::new();
    loop {
        let next = bot.wait(
            |state| {
                let sent = state.sent_to(ANN);
                if sent.iter().any(|message| ["Done.", "Not done."].contains(&message.text.as_str())) {
                    return Some(None);
                }
                let asks = sent.into_iter().find(|message| !message.buttons().is_empty() && !pressed.contains(&message.id));
                asks.map(|message| Some((message.id, message.markup.clone())))
            },
            "question or reply",
        );
        let Some((message, markup)) = next else { return };
        let happened = std::fs::read_to_string(log).is_ok_and(|text| !text.is_empty());
        let rows = markup["inline_keyboard"].as_array().unwrap();
        let button = if happened { rows.last() } else { rows.first() }.unwrap();
        bot.presses_data(ANN, ANN, message, button[0]["callback_data"].as_str().unwrap());
        pressed.push(message);
    }
}

/// Whether the questions have become records. Of one that was sent and not confirmed nothing is known: its buttons stay until one of them
/// is pressed again.
fn are_recorded(state: &State, was_killed: bool) -> bool {
    let asked: Vec<&Message> = state.sent_to(ANN).into_iter().filter(|message| message.versions[0].contains(COMMAND)).collect();
    let open = asked.iter().filter(|message| !message.buttons().is_empty()).count();
    asked.len() <= 1 + usize::from(was_killed) && open <= usize::from(was_killed)
}

/// Everything is done, and done once.
fn check(life: &Life, kill: Option<&Kill>) {
    let nothing = Kill::default();
    let long = long();
    let long = [long.as_str()];
    let talks = [
        (
            ANN,
            &["hello", "run it", "long", "last", "bye"][..],
            vec![
                &["You said: hello"][..],
                &["Done.", "Not done."],
                &long,
                &["You said: oops"],
                &["taken out of the history: oops", "taken out of the history"],
                &["You said: last"],
                &["You said: bye"],
            ],
        ),
        (
            BEN,
            &["slow", "right", "bye"],
            vec![
                &["You said: mistake"][..],
                &["taken out of the history: mistake", "taken out of the history"],
                &["one two three four five six"],
                &["You said: right", "You said: wrong"],
                &["You said: bye"],
            ],
        ),
    ];
    for (chat, said, replies) in talks {
        let session = life.json(&["session", "show", &chat.to_string()]);
        let turns: Vec<&Value> = session["turns"].as_array().unwrap().iter().map(|turn| &turn["turn"]).collect();
        let texts = turns.iter().map(|turn| turn["text"].as_str().unwrap());
        // An edit that comes after a kill may come too late.
        let texts: Vec<&str> = texts.map(|text| if kill.is_some() && text == "wrong" { "right" } else { text }).collect();
        assert_eq!(texts, said, "{turns:#?}");
        assert!(turns.iter().all(|turn| turn["state"] == "done"), "{turns:#?}");
        let shown = life.shown(chat, kill.unwrap_or(&nothing));
        let words = shown.join(" ");
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut rest = words.as_str();
        for reply in replies {
            let found = reply.iter().find_map(|reply| rest.strip_prefix(reply));
            rest =
                found.unwrap_or_else(|| panic!("in {chat} no {reply:?} at {:?}", rest.chars().take(80).collect::<String>())).trim_start();
        }
        assert_eq!(rest, "", "chat {chat}");
    }
    assert_eq!(std::fs::read_to_string(life.home.path("workspace/log")).unwrap(), "x\n");
    assert_eq!(life.json(&["approvals"])["approvals"], json!([]));
    assert!(life.bot.look(|state| are_recorded(state, kill.is_some())));
    assert_eq!(life.bot.violations(), [""; 0]);
    let told = std::fs::read_to_string(life.home.path("stderr")).unwrap();
    assert!(!told.contains("panicked"), "{told}");
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Lives with one blow after the other, until one is over before its blow; how many kills there were.
fn lives(blow: impl Fn(usize) -> Blow + Sync) -> usize {
    let step = number("PAGURO_CROWN_STEP").unwrap_or(STEP);
    let most = number("PAGURO_CROWN_STEP").map_or(LIVES, |_| usize::MAX);
    let begun = AtomicUsize::new(0);
    let next = AtomicUsize::new(number("PAGURO_CROWN_FROM").unwrap_or(1));
    let (over, felt, wrong) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while !over.load(Ordering::SeqCst) && begun.fetch_add(1, Ordering::SeqCst) < most {
            let index = next.fetch_add(step, Ordering::SeqCst);
            let (start, life) = (Instant::now(), Life::new(blow(index)));
            let mut kill = None;
            let well = catch_unwind(AssertUnwindSafe(|| {
                kill = life.live();
                check(&life, kill.as_ref());
            }));
            let was_killed = life.killed.load(Ordering::SeqCst);
            felt.fetch_add(usize::from(was_killed), Ordering::SeqCst);
            over.fetch_or(!was_killed, Ordering::SeqCst);
            if well.is_err() {
                locked(&wrong).push(index);
                let told = std::fs::read_to_string(life.home.path("stderr")).unwrap_or_default();
                eprintln!("{told}\n{}", life.bot.look(State::seen));
            }
            let fate = if well.is_ok() { "well" } else { "WRONG" };
            let call = kill.as_ref().and_then(|kill| kill.call.as_ref()).map(|call| (call.number, call.method.clone()));
            eprintln!("{index}: {:?} {call:?}, killed: {was_killed}, {:.1} s, {fate}", life.blow, start.elapsed().as_secs_f32());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let (wrong, felt) = (locked(&wrong).clone(), felt.into_inner());
    assert!(wrong.is_empty(), "wrong at {wrong:?}; there were {felt} kills");
    felt
}

#[test]
fn killed_at_each_request() {
    let blow = |index: usize| if index % 2 == 1 { Blow::Lost(index.div_ceil(2)) } else { Blow::Done(index / 2) };
    let felt = lives(blow);
    assert!(felt >= 4, "only {felt} requests were met");
}

#[test]
fn killed_after_each_journal_write_with_telegram() {
    let blow = |index: usize| {
        let late = if index % 2 == 1 { 0 } else { 1 + index * 5 % LATEST };
        Blow::Write(index.div_ceil(2), Duration::from_millis(late as u64))
    };
    let felt = lives(blow);
    assert!(felt >= 4, "only {felt} points of kill were met");
}
