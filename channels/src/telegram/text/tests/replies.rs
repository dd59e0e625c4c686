//! Replies of many kinds: what comes out is what Telegram takes, and it is all there.

use super::checker::parse;
use super::*;

/// The next of a fixed sequence of numbers (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % most as u64) as usize
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// `pieces` of `markdown`, each checked as the Bot API would; their plain texts.
fn checked(markdown: &str) -> Vec<String> {
    let pieces = pieces(markdown);
    for piece in &pieces {
        let (text, entities) = parse(&piece.html).unwrap_or_else(|error| panic!("{error} in {:?} of {markdown:?}", piece.html));
        assert_eq!(text, piece.plain);
        let length: usize = text.encode_utf16().count();
        assert_eq!(length, units(&piece.html));
        assert!(length <= LIMIT, "{length} units");
        assert!(entities.len() <= ENTITIES, "{} entities", entities.len());
        assert!(rich::shows(&text), "{text:?}");
        assert!(text.trim_end() == text && text.trim_start_matches('\n') == text, "{text:?}");
        assert!(text.trim_start() == text || piece.html.starts_with("<pre>"), "{text:?}");
    }
    assert_eq!(preview(markdown), pieces.last().cloned().unwrap_or_default());
    pieces.into_iter().map(|piece| piece.plain).collect()
}

/// Letters and digits in order: what must not be lost, whatever becomes of the markup.
fn essence(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Fails with what stands where the two begin to differ.
fn same(found: &str, expected: &str) {
    let at = found.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
    let rest = |text: &str| text.chars().skip(at.saturating_sub(20)).take(60).collect::<String>();
    assert!(found == expected, "{:?} instead of {:?}", rest(found), rest(expected));
}

const WORDS: &[&str] = &[
    "alpha",
    "Beta",
    "gamma;",
    "Ünïcode,",
    "delta.",
    "日本語のテキスト。",
    "שלום",
    "مرحبا",
    "👩‍👩‍👧‍👦",
    "🇩🇪🇫🇷",
    "e\u{301}te\u{301}",
    "👍🏽",
    "x_y_z",
    "a<b",
    "R&D",
    "\"quoted\"",
    "https://example.com/a_b?c=d&e=f",
    "3.14",
];

const TOKENS: &[&str] = &[
    "*",
    "**",
    "***",
    "_",
    "__",
    "~~",
    "`",
    "``",
    "[",
    "]",
    "](https://a.example/x)",
    "](x y)",
    "![",
    "(",
    ")",
    "\n",
    "\n\n",
    "\n> ",
    "\n>> ",
    "\n- ",
    "\n  - ",
    "\n    - ",
    "\n1. ",
    "\n```rust\n",
    "\n```\n",
    "\n~~~\n",
    "\n# ",
    "\n---\n",
    "\n| a | b |\n|---|---|\n| c | d |\n",
    " | ",
    "<b>",
    "</b>",
    "<br>",
    "&amp;",
    "&#0;",
    "&#8238;",
    "\\",
    "\\*",
    "\0",
    "\u{7}",
    "\t",
    "\r\n",
    "  \n",
    "[^1]",
    "\n[^1]: ",
    "- [ ] ",
    "- [x] ",
    "\u{200d}",
    "\u{200b}",
    "<!-- ",
    "-->",
    "\n[r]: https://r.example\n",
    "[r]",
    "    ",
    "<https://auto.example>",
    "\u{feff}",
    "||",
];

/// Text of at least `units` UTF-16 units, in sentences and paragraphs.
fn prose(dice: &mut Dice, units: usize) -> String {
    let mut text = String::new();
    let mut length = 0;
    while length < units {
        let word = dice.of(WORDS);
        let after = dice.of(&[" ", " ", " ", " ", " ", " ", " ", ". ", "\n", "\n\n"]);
        length += word.encode_utf16().count() + after.len();
        text.push_str(word);
        text.push_str(after);
    }
    text
}

fn code(lines: usize) -> String {
    (0..lines).map(|line| format!("{}let value_{line} = compute(\"{line}\", &x[{line}..]);\n", "    ".repeat(line % 4))).collect()
}

#[test]
fn any_tokens_give_what_telegram_takes() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let mut text = String::new();
        for _ in 0..dice.below(400) {
            text.push_str(if dice.below(2) == 0 { dice.of(TOKENS) } else { dice.of(WORDS) });
            if dice.below(3) == 0 {
                text.push(' ');
            }
        }
        checked(&text);
    }
}

#[test]
fn any_tokens_leave_every_word() {
    for seed in 0..1000 {
        let mut dice = Dice(5000 + seed);
        let mut text = String::new();
        let words: Vec<String> = (0..dice.below(60)).map(|number| format!("w{number:02}w")).collect();
        for word in &words {
            for _ in 0..dice.below(4) {
                text.push_str(dice.of(TOKENS));
            }
            text.push_str(word);
            text.push_str(dice.of(&["", " "]));
        }
        checked(&text);
        // A block's language and a link's address are told, too.
        let shown: String = pieces(&text).into_iter().map(|piece| piece.html).collect();
        let mut rest = shown.as_str();
        for word in words {
            let at = rest.find(&word).unwrap_or_else(|| panic!("{word} is not where it was in {text:?}, shown as {shown:?}"));
            rest = &rest[at + word.len()..];
        }
    }
}

#[test]
fn no_word_is_lost_or_cut() {
    for seed in 0..100 {
        let mut dice = Dice(1000 + seed);
        let length = 1 + dice.below(30_000);
        let text = prose(&mut dice, length);
        let texts = checked(&text);
        let found: Vec<&str> = texts.iter().flat_map(|text| text.split_whitespace()).collect();
        assert_eq!(found, text.split_whitespace().collect::<Vec<_>>());
    }
}

/// Blocks of all kinds; what their markup is made of has no letters but what is shown too.
fn reply(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..1 + dice.below(12) {
        let length = 1 + dice.below(1500);
        let words = prose(dice, length);
        match dice.below(9) {
            0 => text.push_str(&format!("{} {}\n\n", "#".repeat(1 + dice.below(4)), words.replace('\n', " "))),
            1 => text.push_str(&words.split("\n\n").map(|item| format!("- {}\n", item.replace('\n', " "))).collect::<String>()),
            2 => text.push_str(
                &words.split('\n').enumerate().map(|(i, item)| format!("{}. **{}** x\n", i + 1, item.trim())).collect::<String>(),
            ),
            3 => text.push_str(&format!("```\n{}```\n", code(dice.below(150)))),
            4 => text.push_str(&words.lines().map(|line| format!("> {line}\n")).collect::<String>()),
            5 => text.push_str(&format!("| {} | b |\n|---|--:|\n| {} | 2 |\n", "head", words.replace(['\n', '|'], " "))),
            6 => text.push_str(&format!("**{}**", words.replace("\n\n", " ").trim())),
            7 => text.push_str(&format!("*{}* ~~{}~~ `{}`", dice.of(WORDS), words.replace('\n', " ").trim(), words.replace('\n', " "))),
            _ => text.push_str(&words),
        }
        text.push_str("\n\n");
    }
    text
}

#[test]
fn whole_replies_arrive_whole() {
    for seed in 0..150 {
        let text = reply(&mut Dice(2000 + seed));
        same(&essence(&checked(&text).concat()), &essence(&text));
    }
}

#[test]
fn what_is_long_in_one_way_is_whole() {
    let cases = [
        "word".repeat(5000),
        "👩‍👩‍👧‍👦".repeat(2000),
        "🇩🇪".repeat(5000),
        "日本語のテキスト".repeat(2000),
        "漢字。".repeat(4000),
        "שלום עולם. ".repeat(1500),
        format!("**{}**", "bold words ".repeat(1000).trim()),
        format!("> {}", "a quotation. ".repeat(1000)),
        format!("[{}](https://example.com)", "link ".repeat(2000).trim()),
        format!("`{}`", "span ".repeat(2000)),
        format!("```\n{}\n```", "x".repeat(10_000)),
        format!("https://example.com/{}", "path/".repeat(2000)),
        "**b** `c` *i* ~~s~~ ".repeat(500),
        "e\u{301}".repeat(5000),
        "a\n".repeat(5000),
        format!("intro\n\n```\n{}```\nafter", code(90)),
    ];
    for text in cases {
        let texts = checked(&text);
        same(&essence(&texts.concat()).replace("httpsexamplecom", ""), &essence(&text).replace("httpsexamplecom", ""));
        let most = text.encode_utf16().count().div_ceil(LIMIT) * 2 + 1;
        assert!(texts.len() <= most || text.contains("~~"), "{} pieces of {text:.20}", texts.len());
    }
}

#[test]
fn clusters_are_not_cut() {
    for cluster in ["👩‍👩‍👧‍👦", "🇩🇪", "e\u{301}", "👍🏽", "❤\u{fe0f}", "1\u{fe0f}\u{20e3}"] {
        for before in 0..cluster.encode_utf16().count() {
            for text in checked(&format!("{}{}", "x".repeat(before), cluster.repeat(3000))) {
                let rest = text.trim_start_matches('x').replace(cluster, "");
                assert_eq!(rest, "", "{cluster}");
            }
        }
    }
}

#[test]
fn a_text_that_shows_nothing_gives_no_message() {
    for text in ["", " \n\t\r\n", "\u{200b}", "\u{200e}\u{2060}", "\u{feff}", "\0\u{1}", "\u{3000}"] {
        assert_eq!(checked(text), [""; 0], "{text:?}");
    }
}

#[test]
fn hostile_texts_take_no_time() {
    let begin = std::time::Instant::now();
    for token in
        [">", "*", "[", "- ", "_a ", "**a", "`", "``a`", "![", "](", "<", "<a ", "&", "|", "| a ", "\n>", "1. ", "~~a", "[a]: b\n", "x\n\n"]
    {
        for text in [token.repeat(100_000), format!("a\n{}\nb", token.repeat(100_000))] {
            assert!(pieces(&text).len() < 10_000);
        }
    }
    // Fractions of a second each; anything quadratic takes minutes.
    assert!(begin.elapsed().as_secs() < 120, "{:?}", begin.elapsed());
}
