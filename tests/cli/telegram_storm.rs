//! A storm over Telegram: many chats, a bad network, floods, restarts and kills. Nothing is lost, doubled or put out of order.
//!
//! `PAGURO_STORM_MESSAGES` says how many messages there are; without it a number that suits every run.

#![allow(clippy::print_stderr, reason = "what the program said is told where a test fails")]

use std::collections::HashMap;
use std::fs::File;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::bot::{Bot, Fault, State, What};
use super::support::Home;

const SCRIPT: &str = r#"
{"when":"(slow [0-9.]+)","text":"You said: $1 ","delay_ms":150}
{"when":"(word [0-9.]+)","text":"You said: $1 "}
"#;

/// Chats, the last two of them groups.
const CHATS: i64 = 20;
const GROUPS: i64 = 2;

/// Messages to a group: Telegram lets a bot answer 20 a minute.
const OF_GROUP: usize = 8;

/// A message that was on its way when the process was killed had been taken by Telegram no longer ago than this.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// What is written down of a run of `paguro serve`.
pub struct Run {
    pub home: Home,
    process: Child,
}

impl Run {
    /// Starts it with a script for a model; does not wait for anything.
    pub fn start(home: Home, script: &str) -> Self {
        let script = home.file("storm.script", script);
        let mut command = home.command(&["serve", "--model", &format!("script:{}", script.display())]);
        // A pipe that nobody reads would hold it up.
        let log = File::options().create(true).append(true).open(home.path("storm.log")).unwrap();
        let process = command.stderr(log).spawn().unwrap();
        Self { home, process }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.pid().to_string()]).status().unwrap().success());
    }

    /// Ends it by a signal; its home, and how long that took.
    pub fn end(mut self, signal: &str) -> (Home, Duration) {
        let start = Instant::now();
        self.signal(signal);
        let status = self.process.wait().unwrap();
        let took = start.elapsed();
        assert!(signal == "-KILL" || status.success(), "{status}\n{}", self.log());
        (std::mem::replace(&mut self.home, Home::new()), took)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path("storm.log")).unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// Numbers that are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// The messages of a chat number; groups are negative.
fn chat(number: i64) -> i64 {
    if number > CHATS - GROUPS { -number } else { number }
}

/// What goes wrong in one round.
fn trouble(bot: &Bot, dice: &mut Dice) {
    let somebody = chat(1 + i64::try_from(dice.below(18)).unwrap());
    let fault = match dice.below(11) {
        0 => Fault::new(What::Flood(2)).on("sendMessage").in_chat(somebody),
        1 => Fault::new(What::FloodAll(2)).on("sendMessage"),
        2 => Fault::new(What::Gateway(502)).times(4),
        3 => Fault::new(What::ResetBefore).times(4),
        4 => Fault::new(What::HalfClosed).times(3),
        5 => Fault::new(What::Truncated).on("getUpdates").times(2),
        6 => Fault::new(What::BadJson).on("getUpdates").times(2),
        7 => Fault::new(What::CloseAfter).times(4),
        // It was sent, and the half that came says so.
        8 => Fault::new(What::Truncated).on("sendMessage").times(2),
        9 => Fault::new(What::BadJson).on("sendMessage").times(2),
        _ => Fault::new(What::ResetAfter).on("getUpdates").times(2),
    };
    bot.fault(fault);
}

/// Replies that are there, each counted once.
fn answered(state: &State, wanted: &HashMap<i64, Vec<String>>) -> usize {
    let of_chat = |(chat, wanted): (&i64, &Vec<String>)| {
        let texts = state.texts(*chat);
        wanted.iter().filter(|text| texts.contains(&text.as_str())).count()
    };
    wanted.iter().map(of_chat).sum()
}

/// A bot with its chats, and a home in which all in them may speak.
fn scene(messages: usize) -> (Bot, Home) {
    let mut bot = Bot::start();
    bot.patience = Duration::from_secs(60 + messages as u64 / 4);
    let private: Vec<i64> = (1..=CHATS - GROUPS).collect();
    private.iter().for_each(|id| bot.user(*id, "Anna"));
    let (home, mut groups) = (Home::new(), String::new());
    for id in CHATS - GROUPS + 1..=CHATS {
        bot.group(chat(id), "Friends");
        groups += &format!("[[telegram.groups]]\nid = {}\nwhen = \"always\"\n", chat(id));
    }
    bot.configure(&home, &private, &groups);
    (bot, home)
}

/// Every chat has its answers in their order; how many came twice, which only a kill may cause.
fn check(bot: &Bot, home: &Home, wanted: &HashMap<i64, Vec<String>>, kills: &[Instant]) -> usize {
    for (chat, wanted) in wanted {
        // The first of each, in their order.
        let mut got: Vec<String> = Vec::new();
        for text in bot.texts(*chat) {
            if !got.contains(&text) {
                got.push(text);
            }
        }
        assert_eq!(&got, wanted, "chat {chat}");
    }
    let calls = bot.calls();
    let mut first: HashMap<(i64, &str), Instant> = HashMap::new();
    let mut doubled = 0;
    for call in calls.iter().filter(|call| call.method == "sendMessage" && call.status == Some(200)) {
        let Some(earlier) = first.insert((call.chat().unwrap(), call.params["text"].as_str().unwrap()), call.at) else { continue };
        doubled += 1;
        let killed = kills.iter().any(|kill| earlier <= *kill && *kill <= call.at && *kill - earlier < UNDER_WAY);
        let (apart, log) = (call.at - earlier, std::fs::read_to_string(home.path("storm.log")).unwrap());
        let warned: Vec<&str> = log.lines().filter(|line| line.contains("WARN") || line.contains("rror")).collect();
        assert!(killed, "sent twice in {apart:?} without a kill between: {}\n{}", call.params, warned.join("\n"));
    }
    doubled
}

#[test]
fn a_storm_loses_nothing() {
    let messages: usize = std::env::var("PAGURO_STORM_MESSAGES").map_or(200, |number| number.parse().unwrap());
    let (bot, home) = scene(messages);
    let mut dice = Dice(6);
    let mut wanted: HashMap<i64, Vec<String>> = HashMap::new();
    let mut updates = Vec::new();
    let mut kills = Vec::new();
    let mut posted = 0;
    let mut run = Run::start(home, SCRIPT);
    while posted < messages {
        for _ in 0..(5 + dice.below(25)).min(messages - posted) {
            let mut to = chat(1 + i64::try_from(dice.below(20)).unwrap());
            if to < 0 && wanted.get(&to).is_some_and(|all| all.len() >= OF_GROUP) {
                to = -to - CHATS + GROUPS + 1;
            }
            let kind = if dice.below(10) == 0 { "slow" } else { "word" };
            let word = format!("{kind} {}.{posted}", to.abs());
            let said = if to < 0 { bot.says_in_group(to, None, 1, &word) } else { bot.says(to, &word) };
            wanted.entry(to).or_default().push(format!("You said: {word}"));
            updates.push(said.update);
            posted += 1;
        }
        trouble(&bot, &mut dice);
        for _ in 0..dice.below(4) {
            bot.repeats(updates[dice.below(updates.len())]);
        }
        if dice.below(2) == 0 {
            bot.reverses();
        }
        // Something has been answered of what was asked in this round, or is just being.
        let before = bot.look(|state| state.calls_of("sendMessage").len());
        let more = dice.below(12);
        bot.wait_until(|state| state.calls_of("sendMessage").len() >= before + more, "message");
        let home = match dice.below(4) {
            0 => run.end("-TERM").0,
            1 | 2 => {
                let home = run.end("-KILL").0;
                kills.push(Instant::now());
                home
            }
            _ => continue,
        };
        run = Run::start(home, SCRIPT);
    }
    bot.wait_until(|state| answered(state, &wanted) == messages, "answer to every message");
    let (home, _) = run.end("-TERM");

    let doubled = check(&bot, &home, &wanted, &kills);
    let mut violations = bot.violations();
    let strict = violations.len();
    // Telegram does not say whether a chat or the bot is to wait: some others learn it for themselves.
    violations.retain(|violation| !violation.starts_with("ignored_retry_after"));
    assert!(violations.is_empty(), "{violations:#?}");
    eprintln!("{messages} messages, {} kills, {doubled} doubled, {strict} learned of a wait of all", kills.len());
}
