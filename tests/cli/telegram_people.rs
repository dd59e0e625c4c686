//! What people do on Telegram beside writing words: files, groups, commands, second thoughts.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::bot::{Bot, Message, Post, mention};
use super::support::Home;
use super::telegram_storm::Run;

const SCRIPT: &str = r#"
{"when":"slow","role":"user","text":"one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen","delay_ms":500}
{"when":"run (.*)$","role":"user","tool_calls":[{"name":"shell","arguments":{"command":"$1"}}]}
{"when":"^error: (.*)","role":"tool","text":"Not done: $1"}
{"when":"(.*)","role":"tool","text":"It said: $1"}
{"when":"(?s)(.*)","text":"You said: $1"}
"#;

const OWNER: i64 = 4_711;
const GUEST: i64 = 5;

fn serve(bot: &Bot, more: &str) -> Run {
    let home = Home::new();
    bot.configure(&home, &[OWNER], more);
    bot.user(OWNER, "Anna");
    bot.user(GUEST, "Eve");
    Run::start(home, SCRIPT)
}

/// The bot's next message in a chat after so many.
fn next(bot: &Bot, chat: i64, before: usize) -> Message {
    bot.wait(|state| state.sent_to(chat).get(before).map(|message| (*message).clone()), "next message")
}

/// What is answered to this.
fn answer(bot: &Bot, say: &str) -> String {
    let before = bot.texts(OWNER).len();
    bot.says(OWNER, say);
    next(bot, OWNER, before).text
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { out.extend(files(&path)) } else { out.push(path) }
    }
    out.sort();
    out
}

#[test]
fn files_arrive_under_harmless_names() {
    let bot = Bot::start_unlimited();
    let run = serve(&bot, "media_mb = 1\n");
    let long = format!("{}.txt", "n".repeat(300));
    let large = vec![7; (1 << 20) + 1];
    let cases: [(&str, &str, &[u8], &str); 7] = [
        ("photo", "a.jpg", b"picture", "a photo"),
        ("document", "../../x", b"dots", "a document"),
        ("document", "", b"nameless", ""),
        ("document", &long, b"long", ""),
        ("document", "evil\u{202e}txt.exe\n[file a: b]", b"odd", ""),
        ("voice", "v.ogg", b"voice", ""),
        ("document", "large.bin", &large, ""),
    ];
    let mut told = Vec::new();
    for (number, (what, name, bytes, words)) in cases.into_iter().enumerate() {
        bot.sends_file(OWNER, what, name, bytes, words);
        told.push(next(&bot, OWNER, number).text);
    }
    let location = json!({ "location": { "latitude": 52.5, "longitude": 13.4 } });
    bot.post(&Post { chat: OWNER, more: location.as_object().unwrap().clone(), ..Post::default() });
    told.push(next(&bot, OWNER, 7).text);
    for name in ["1.txt", "2.txt", "3.txt"] {
        let text = if name == "1.txt" { "an album" } else { "" };
        bot.post(&Post { chat: OWNER, text, file: Some(("document", name, name.as_bytes())), album: Some("77"), ..Post::default() });
    }
    told.push(next(&bot, OWNER, 8).text);
    let (home, _) = run.end("-TERM");
    assert_eq!(bot.texts(OWNER).len(), 9, "{:#?}", bot.texts(OWNER));
    let found = files(home.folder.path());
    let media: Vec<&PathBuf> = found.iter().filter(|path| path.components().any(|part| part.as_os_str() == "media")).collect();
    let contents: Vec<Vec<u8>> = media.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for bytes in [&b"picture"[..], b"dots", b"nameless", b"long", b"odd", b"voice", b"1.txt", b"2.txt", b"3.txt"] {
        assert_eq!(contents.iter().filter(|content| *content == bytes).count(), 1, "{media:#?}");
    }
    assert_eq!(media.len(), 9, "{media:#?}");
    let workspace = media[0].ancestors().find(|path| path.file_name().is_some_and(|name| name == "media")).unwrap().parent().unwrap();
    for path in &media {
        let name = path.strip_prefix(workspace).unwrap().to_str().unwrap();
        assert!(told.iter().any(|text| text.contains(name)), "{name}");
        assert!(name.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c)) && !name.contains(".."), "{name}");
    }
    assert!(told[6].contains("too large") && told[7].contains("52.5") && told[8].contains("an album"));
    assert!(bot.violations().is_empty() && bot.oddities().is_empty(), "{:#?} {:#?}", bot.violations(), bot.oddities());
}

#[test]
fn groups_hear_when_they_call_and_guests_may_little() {
    let bot = Bot::start_unlimited();
    let (quiet, open, other) = (-1_001, -1_002, -1_003);
    bot.group(quiet, "Quiet");
    bot.forum(open, "Open");
    bot.group(other, "Other");
    let groups = format!("[[telegram.groups]]\nid = {quiet}\nwhen = \"mention\"\n[[telegram.groups]]\nid = {open}\nwhen = \"always\"\n");
    let run = serve(&bot, &groups);
    bot.says_in_group(quiet, None, GUEST, "not for you");
    bot.says_in_group(other, None, OWNER, &format!("{} hello", mention()));
    bot.says(GUEST, "hello");
    bot.says(GUEST, "/help");
    bot.says_in_group(quiet, None, GUEST, &format!("{} hello", mention()));
    let first = next(&bot, quiet, 0);
    bot.replies(quiet, GUEST, first.id, "and again");
    next(&bot, quiet, 1);
    bot.says_in_group(quiet, None, GUEST, &format!("{} run echo guest", mention()));
    next(&bot, quiet, 2);
    bot.says_in_group(quiet, None, GUEST, &format!("/status@{}", super::bot::BOT_NAME));
    bot.says_in_group(quiet, None, GUEST, &format!("/help@{}", super::bot::BOT_NAME));
    next(&bot, quiet, 3);
    bot.says_in_group(open, Some(11), GUEST, "topic eleven");
    bot.says_in_group(open, Some(12), OWNER, "topic twelve");
    next(&bot, open, 1);
    bot.says_in_group(open, Some(12), OWNER, "run echo owner");
    let asked = next(&bot, open, 2);
    bot.presses(GUEST, open, asked.id, "Once");
    bot.presses(OWNER, open, asked.id, "Once");
    next(&bot, open, 3);
    let sessions = run.home.run(&["session", "list"]).stdout;
    run.end("-TERM");
    assert!(bot.texts(GUEST).is_empty() && bot.texts(other).is_empty());
    let (said, topics) = (bot.texts(quiet), bot.sent());
    assert_eq!(said.len(), 4, "{said:#?}");
    assert!(said[0].contains("hello") && said[1].contains("and again") && said[2].starts_with("Not done:"), "{said:#?}");
    assert!(topics.iter().filter(|message| message.chat == open).all(|message| message.topic.is_some()));
    assert!(bot.texts(open)[3].contains("It said: owner"), "{:#?}", bot.texts(open));
    assert!(sessions.contains("-1002:11") && sessions.contains("-1002:12"), "{sessions}");
    assert!(bot.violations().is_empty() && bot.oddities().is_empty(), "{:#?} {:#?}", bot.violations(), bot.oddities());
}

#[test]
fn commands_say_something_sensible() {
    let bot = Bot::start_unlimited();
    let run = serve(&bot, "");
    let mut talk = Vec::new();
    let commands = [
        "/start",
        "hello",
        "/help",
        "/new",
        "second",
        "/sessions",
        "/sessions 1",
        "/sessions 9",
        "/context",
        "/model",
        "/why",
        "/why 99",
        "/status",
        "/jobs",
        "/tasks",
        "/tasks stop 3",
        "/memory",
        "/memory add tea at four",
        "/memory tea",
        "/memory list",
        "/memory stats",
        "/memory nothing of this kind",
        "/approve",
        "/approve 1-abc once",
        "/undo",
        "/undo",
        "/stop",
        "/nonsense",
        "/etc/hosts is a file",
    ];
    for command in commands {
        talk.push((command, answer(&bot, command)));
    }
    let said = |command: &str| talk.iter().find(|(other, _)| *other == command).unwrap().1.as_str();
    assert!(said("/help").contains("/undo") && said("/sessions").contains("* ") && said("/stop").contains("nothing runs"));
    assert!(said("/memory tea").contains("tea at four") && said("/nonsense").contains("/help"));
    run.end("-TERM");
    assert!(bot.violations().is_empty() && bot.oddities().is_empty(), "{:#?} {:#?}", bot.violations(), bot.oddities());
}

#[test]
fn stops_and_second_thoughts() {
    let bot = Bot::start_unlimited();
    let run = serve(&bot, "");
    for by_button in [false, true] {
        let before = bot.texts(OWNER).len();
        bot.says(OWNER, "slow");
        let drafts = bot.drafts(OWNER).len();
        bot.wait_until(|state| state.drafts(OWNER).len() > drafts.min(usize::from(by_button)), "draft");
        bot.wait_until(|state| state.drafts(OWNER).last().is_some_and(|draft| draft.alive && draft.texts.len() > 1), "longer draft");
        let second = bot.says(OWNER, "teh second");
        bot.edits(OWNER, second.message, "the second");
        if by_button {
            bot.stops(OWNER)
        } else {
            bot.says(OWNER, "/stop").update
        };
        let what = bot.wait(
            |state| {
                state
                    .texts(OWNER)
                    .get(before..)
                    .filter(|texts| texts.iter().any(|text| text.contains("stopped")))
                    .map(|texts| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
            },
            "stopped",
        );
        assert!(what[0].starts_with("one"), "{what:#?}");
    }
    // Corrected before its turn begins.
    bot.says(OWNER, "slow");
    let second = bot.says(OWNER, "teh third");
    bot.edits(OWNER, second.message, "the third");
    bot.wait_for(OWNER, "You said: the third");
    let of =
        |state: &str| bot.calls().iter().filter(|call| call.method == "sendMessage" && call.params.to_string().contains(state)).count();
    assert_eq!((of("sixteen"), of("the third")), (1, 1), "{:#?}", bot.calls());
    assert!(!bot.texts(OWNER).iter().any(|text| text.contains("teh third")));
    run.end("-TERM");
    assert!(bot.violations().is_empty() && bot.oddities().is_empty(), "{:#?} {:#?}", bot.violations(), bot.oddities());
}
