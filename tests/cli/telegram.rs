//! Telegram from outside: the real executable against a Bot API that keeps the real one's rules.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use super::bot::{Bot, Fault, What};
use super::serve::Serve;
use super::support::Home;

/// The owner's id, which is that of the chat with him too.
const OWNER: i64 = 4_711;

/// A process that serves a bot.
fn serve(bot: &Bot, owners: &[i64]) -> Serve {
    let home = Home::new();
    bot.configure(&home, owners, "");
    Serve::start(home)
}

#[test]
fn a_message_is_answered_and_strangers_get_nothing() {
    let bot = Bot::start();
    bot.user(OWNER, "Anna");
    bot.user(5, "Eve");
    let serve = serve(&bot, &[OWNER]);
    bot.says(5, "let me in");
    bot.says(OWNER, "hello");
    bot.wait_for(OWNER, "You said: hello");
    assert!(bot.texts(5).is_empty());
    drop(serve.stop());
    assert_eq!(bot.texts(OWNER), ["You said: hello"]);
    assert!(bot.violations().is_empty(), "{:#?}", bot.violations());
}

#[test]
fn nothing_is_lost_or_doubled_over_kills() {
    let bot = Bot::start_unlimited();
    for chat in 1..=5 {
        bot.user(chat, "owner");
    }
    let mut home = Home::new();
    bot.configure(&home, &[1, 2, 3, 4, 5], "");
    for round in 0..6 {
        for chat in 1..=5 {
            for number in 0..4 {
                bot.says(chat, &format!("word {round}.{number}"));
            }
        }
        let serve = Serve::start(home);
        bot.wait_for(round % 5 + 1, &format!("You said: word {round}.{}", round % 4));
        home = serve.kill();
    }
    let serve = Serve::start(home);
    for chat in 1..=5 {
        let wanted: Vec<String> = (0..6).flat_map(|round| (0..4).map(move |number| format!("You said: word {round}.{number}"))).collect();
        bot.wait_for(chat, wanted.last().unwrap());
        let mut got = bot.texts(chat);
        let all = got.len();
        got.dedup();
        assert_eq!(got, wanted, "chat {chat}");
        // Each kill may double what was on its way.
        assert!(all <= wanted.len() + 6, "{all} messages");
    }
    drop(serve.stop());
    assert!(bot.violations().is_empty(), "{:#?}", bot.violations());
}

#[test]
fn approvals_are_buttons_that_work_after_a_restart() {
    let bot = Bot::start();
    bot.user(OWNER, "Anna");
    bot.user(5, "Eve");
    let serve = serve(&bot, &[OWNER]);
    bot.says(OWNER, "run echo one");
    let asked = bot.wait_for(OWNER, "echo one");
    assert_eq!(asked.buttons(), ["Once", "Session", "Always", "No"]);
    let (home, _) = serve.stop();
    let serve = Serve::start(home);
    // Who is nobody here gets nothing, and decides nothing.
    bot.presses(5, OWNER, asked.id, "Once");
    bot.presses(OWNER, OWNER, asked.id, "Once");
    bot.wait_for(OWNER, "It said: one");
    bot.wait_until(|state| state.message(OWNER, asked.id).is_some_and(|message| message.edits > 0), "a record of the answer");
    drop(serve.stop());
    let record = bot.sent().into_iter().find(|message| message.id == asked.id).unwrap();
    assert_eq!(bot.calls().iter().filter(|call| call.method == "answerCallbackQuery").count(), 1);
    assert_eq!(bot.texts(OWNER).len(), 2, "{}", bot.look(super::bot::State::seen));
    assert!(record.buttons().is_empty(), "{record:?}");
    assert!(bot.violations().is_empty(), "{:#?}", bot.violations());
}

#[test]
fn the_model_asks_and_a_button_or_any_words_answer() {
    let bot = Bot::start();
    bot.user(OWNER, "Anna");
    let serve = serve(&bot, &[OWNER]);
    bot.says(OWNER, "choose tea or milk");
    let asked = bot.wait_for(OWNER, "Which one?");
    assert_eq!(asked.buttons(), ["tea", "milk", "No answer"]);
    bot.presses(OWNER, OWNER, asked.id, "milk");
    bot.wait_for(OWNER, "It said: milk");
    bot.says(OWNER, "choose this or that");
    bot.wait_for(OWNER, "1. this");
    let (home, _) = serve.stop();
    let serve = Serve::start(home);
    bot.says(OWNER, "neither of them");
    bot.wait_for(OWNER, "It said: neither of them");
    bot.says(OWNER, "choose red or blue");
    bot.wait_for(OWNER, "1. red");
    let id = serve.home.run(&["approvals"]).stdout.split(' ').next().unwrap().to_owned();
    let yes = serve.home.run(&["approvals", "yes", &id]);
    assert!(yes.status == Some(2) && yes.stderr.contains("is a question"), "{yes:?}");
    assert_eq!(serve.home.run(&["approvals", "answer", &id, "2"]).status, Some(0));
    bot.wait_for(OWNER, "It said: blue");
    bot.says(OWNER, "hello");
    bot.wait_for(OWNER, "You said: hello");
    drop(serve.stop());
    assert!(bot.violations().is_empty(), "{:#?}", bot.violations());
}

#[test]
fn a_chat_in_a_flood_wait_holds_up_no_other() {
    let bot = Bot::start();
    bot.user(1, "one");
    bot.user(2, "two");
    bot.fault(Fault::new(What::Flood(30)).on("sendMessage").in_chat(1).times(1));
    bot.fault(Fault::new(What::Flood(30)).on("sendMessageDraft").in_chat(1).for_ever());
    let serve = serve(&bot, &[1, 2]);
    bot.says(1, "hello");
    bot.wait_until(|state| !state.calls_of("sendMessage").is_empty(), "a message to the first chat");
    bot.says(2, "hello");
    let start = std::time::Instant::now();
    bot.wait_for(2, "You said: hello");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(serve.stop());
    assert!(bot.violations().is_empty(), "{:#?}", bot.violations());
}

#[test]
fn trouble_on_the_way_is_borne() {
    let bot = Bot::start();
    bot.user(OWNER, "Anna");
    for what in [What::Gateway(502), What::ResetBefore, What::Truncated, What::HalfClosed] {
        bot.fault(Fault::new(what).on("getUpdates").times(1));
    }
    bot.fault(Fault::new(What::Gateway(500)).on("sendMessage").times(2));
    let serve = serve(&bot, &[OWNER]);
    bot.update(json!({ "update_id": 900_000, "something_new": { "a": 1 } }));
    bot.says(OWNER, "hello");
    bot.wait_for(OWNER, "You said: hello");
    drop(serve.stop());
    assert_eq!(bot.texts(OWNER), ["You said: hello"]);
    assert!(bot.violations().is_empty(), "{:#?}", bot.violations());
}

#[test]
fn a_code_on_the_machine_lets_its_owner_in() {
    let bot = Bot::start();
    bot.user(OWNER, "Anna");
    let home = Home::new();
    bot.configure(&home, &[], "");
    let (serve, line) = Serve::start_until(home, "send this code");
    let code = line.trim().rsplit(' ').next().unwrap().to_owned();
    bot.says(OWNER, "hello");
    bot.says(OWNER, "/start 1");
    bot.says(OWNER, &format!("/start {code}"));
    bot.wait_until(|state| !state.sent_to(OWNER).is_empty(), "a welcome");
    bot.says(OWNER, "hello again");
    bot.wait_for(OWNER, "You said: hello again");
    assert!(!bot.texts(OWNER).iter().any(|text| text == "You said: hello"));
    // Another person, with a code of their own.
    bot.user(5, "Eve");
    let pair = serve.home.run(&["pair"]);
    let code = pair.stdout.trim().rsplit(' ').next().unwrap().to_owned();
    bot.says(5, &code);
    bot.wait_until(|state| !state.sent_to(5).is_empty(), "a welcome");
    drop(serve.stop());
    assert!(bot.violations().is_empty(), "{:#?}", bot.violations());
}

#[test]
fn three_commands_lead_to_a_conversation() {
    let bot = Bot::start();
    bot.user(OWNER, "Anna");
    let mut home = Home::new();
    home.variables.push(("PAGURO_TELEGRAM_API_URL".into(), bot.url.clone()));
    let wrong = home.pipe(&["config", "init"], "1:nonsense\n");
    assert_eq!(wrong.status, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("Telegram does not know this token"), "{wrong:?}");
    // The file is there now; the bot is added to it.
    let init = home.pipe(&["config", "init"], format!("{}\n{OWNER}\n", bot.token));
    assert_eq!(init.status, Some(0), "{init:?}");
    assert!(!init.stdout.contains(&bot.token) && init.stderr.contains("That is Anna."), "{init:?}");
    for file in ["telegram.token", "paguro.toml"] {
        assert_eq!(std::fs::metadata(home.path(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let serve = Serve::start(home);
    bot.says(OWNER, "hello");
    bot.wait_for(OWNER, "You said: hello");
    drop(serve.stop());
    assert!(bot.violations().is_empty(), "{:#?}", bot.violations());
}

#[test]
fn a_file_of_the_workspace_is_sent_once_it_is_approved() {
    let bot = Bot::start();
    bot.user(OWNER, "Anna");
    let serve = serve(&bot, &[OWNER]);
    serve.home.file("workspace/plan.txt", "at four");
    bot.says(OWNER, "send plan.txt");
    let asked = bot.wait_for(OWNER, "send_file");
    assert!(!bot.calls().iter().any(|call| call.method == "sendDocument"));
    bot.presses(OWNER, OWNER, asked.id, "Once");
    bot.wait_until(|state| state.sent_to(OWNER).iter().any(|message| message.file.is_some()), "the file");
    bot.wait_for(OWNER, "It said: plan.txt is on its way (7 bytes)");
    let (home, _) = serve.stop();
    assert!(std::fs::read_dir(home.path("outgoing")).unwrap().next().is_none(), "the copy is gone");
    assert!(bot.violations().is_empty(), "{:#?}", bot.violations());
}
