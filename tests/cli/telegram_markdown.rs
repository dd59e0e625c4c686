//! A hundred replies in Markdown, of all that a model may write and some that it should not, through the whole program to Telegram.
//! Every word arrives, in order, in messages that the server takes.

use serde_json::json;

use super::bot::Bot;
use super::support::Home;
use super::telegram_storm::{Dice, Run};

const VOCABULARY: &[&str] = &["alpha", "Straße", "naïve", "سلام", "שלום", "привет", "你好", "नमस्ते", "x_y", "tail"];
const EMOJI: &[&str] = &["😀", "👨‍👩‍👧‍👦", "🇩🇪", "👍🏽", "❤️"];

/// A reply, and the words that must be read of it.
#[derive(Default)]
struct Reply {
    source: String,
    words: Vec<String>,
    emoji: usize,
}

impl Reply {
    /// A word that no other is.
    fn word(&mut self) -> String {
        let number = self.words.len();
        let word = format!("{}{number}", VOCABULARY[number % VOCABULARY.len()]);
        self.words.push(word.clone());
        word
    }

    fn words(&mut self, number: usize) -> String {
        (0..number).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }

    /// A word that is in the text anyhow.
    fn has(&mut self, word: &str) -> String {
        self.words.push(word.to_owned());
        word.to_owned()
    }

    fn add(&mut self, block: &str) {
        self.source += block;
        self.source += "\n\n";
    }

    fn block(&mut self, kind: usize) {
        let block = match kind {
            0 => {
                let emoji = EMOJI[self.words.len() % EMOJI.len()];
                self.emoji += 1;
                let (a, b, c, d) = (self.words(2), self.word(), self.word(), self.words(2));
                format!("**{a} _{b}_** ~~{c}~~ `{d}` {emoji} [{}](https://example.com/a_b?x=1&y=2), {}", self.words(2), self.words(9))
            }
            1 => format!("## {} **{}**", self.words(2), self.word()),
            2 => {
                let (a, b, c) = (self.words(3), self.word(), self.word());
                let (one, d) = (self.has("1"), self.words(2));
                let (two, e) = (self.has("2"), self.words(2));
                format!("- {a}\n  - {b} **{c}**\n    {one}. {d}\n    {two}. `{e}`\n- [ ] {}\n- [x] {}", self.word(), self.word())
            }
            3 => format!("> {}\n> > {}\n>\n> ```\n> {}\n> ```", self.words(3), self.words(2), self.words(3)),
            4 => {
                let (a, b, c) = (self.word(), self.word(), self.word());
                format!("```rust\n{a}(\"<{b}> & {c}\"); // ``` ** __ {}\n```", self.words(4))
            }
            5 => {
                let head = format!("| {} | {} |\n|---|:-:|\n", self.word(), self.word());
                let row = format!("| {} | **{}** |\n", self.words(2), self.word());
                format!("{head}{row}| `{}` | {} |", self.word(), self.word())
            }
            6 => format!(
                "**{} `{} [{}](  ~~{} __{} *{} ||{} <",
                self.word(),
                self.word(),
                self.word(),
                self.word(),
                self.word(),
                self.word(),
                self.word()
            ),
            7 => {
                let (open, a) = (self.has("b"), self.word());
                let (close, b) = (self.has("b"), self.word());
                format!("<{open}>{a}</{close}> &amp; &lt;{b}&gt; 1 < {} > {} && \\*{}\\*", self.word(), self.word(), self.word())
            }
            8 => {
                let deep = "> ".repeat(12) + &"- ".repeat(6);
                format!("{deep}{}\n\n***__~~{}~~__***\n\n---", self.words(3), self.word())
            }
            _ => format!("{}  \n{} <{}://{}>", self.words(20), self.words(20), self.has("https"), self.has("localhost")),
        };
        if kind == 7 {
            // The number in it stands before the last three words.
            let at = self.words.len() - 3;
            self.words.insert(at, "1".to_owned());
        }
        self.add(&block);
    }

    /// A reply of one of ten sorts.
    fn make(number: usize, dice: &mut Dice) -> Self {
        let mut reply = Self::default();
        match number {
            97 => {
                while reply.source.chars().count() < 30_000 {
                    reply.block(dice.below(10));
                }
            }
            98 => {
                let lines: Vec<String> = (0..).map(|_| reply.words(6)).take(230).collect();
                reply.add(&format!("```python\n{}\n```", lines.join("\n")));
                assert!(reply.source.chars().count() > 10_000);
            }
            // A fence that never ends, and a text without a blank.
            99 => {
                let long = "z".repeat(9_000);
                let lines = reply.words(900);
                reply.words.push(long.clone());
                reply.add(&format!("```\n{lines}\n{long}"));
            }
            96 => {
                let long = reply.words(3_000);
                reply.add(&format!("**{long}**"));
            }
            _ => {
                reply.block(number % 10);
                for _ in 0..dice.below(12) {
                    reply.block(dice.below(10));
                }
            }
        }
        reply
    }
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

#[test]
fn a_hundred_replies_arrive_whole() {
    let mut dice = Dice(3);
    let replies: Vec<Reply> = (0..100).map(|number| Reply::make(number, &mut dice)).collect();
    let lines = replies.iter().enumerate().map(|(number, reply)| {
        let text = reply.source.replace('$', "$$");
        format!("{}\n", json!({ "when": format!("^reply {number}$"), "text": text }))
    });
    let script: String = lines.collect();
    let mut bot = Bot::start();
    bot.patience = std::time::Duration::from_secs(120);
    let home = Home::new();
    bot.configure(&home, &(1..=100).collect::<Vec<_>>(), "");
    let run = Run::start(home, &script);
    for number in 0..100 {
        bot.user(number + 1, "Anna");
        bot.says(number + 1, &format!("reply {number}"));
    }
    let mut wrong = Vec::new();
    for (number, reply) in (1..).zip(&replies) {
        let last = letters(reply.words.last().unwrap());
        let end = &last[last.len() - last.len().min(40)..];
        bot.wait_until(|state| state.texts(number).last().is_some_and(|text| letters(text).ends_with(end)), "end of a reply");
        let texts = bot.texts(number);
        let (got, wanted) = (letters(&texts.concat()), letters(&reply.words.concat()));
        if got != wanted {
            let at = got.chars().zip(wanted.chars()).take_while(|(a, b)| a == b).count();
            let part = |text: &str| text.chars().skip(at.saturating_sub(30)).take(90).collect::<String>();
            wrong.push(format!("reply {}: got {:?}, wanted {:?} of\n{}", number - 1, part(&got), part(&wanted), reply.source));
        }
        let cut = reply.words.iter().find(|word| word.len() < 100 && !texts.iter().any(|text| text.contains(word.as_str())));
        wrong.extend(cut.map(|word| format!("reply {}: {word} is cut", number - 1)));
        let emoji: usize = texts.iter().map(|text| EMOJI.iter().map(|emoji| text.matches(emoji).count()).sum::<usize>()).sum();
        if emoji != reply.emoji {
            wrong.push(format!("reply {}: {emoji} emoji of {}", number - 1, reply.emoji));
        }
    }
    if let Ok(path) = std::env::var("PAGURO_STORM_TEXTS") {
        let texts = (1..=100).map(|chat| bot.texts(chat).join("\n~~~~~~~~\n") + "\n========\n");
        std::fs::write(path, texts.collect::<String>()).unwrap();
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
    run.end("-TERM");
    assert!(bot.violations().is_empty(), "{:#?}", bot.violations());
    assert!(bot.oddities().is_empty(), "{:#?}", bot.oddities());
}
