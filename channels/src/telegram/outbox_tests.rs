use serde_json::{Value, json};

use super::*;
use crate::telegram::draft::live_key;
use crate::telegram::fake::{Fake, Reply, accepted, desk, replied};

#[test]
fn pauses_grow_to_a_cap_and_differ() {
    let check = |failures, random, expected: f64| {
        let seconds = pause(failures, random).as_secs_f64();
        assert!((seconds - expected).abs() < 0.05, "{failures} failures: {seconds} s");
    };
    check(1, 0, 0.5);
    check(1, 1_023, 1.0);
    check(2, 0, 1.0);
    check(4, 512, 6.0);
    check(7, 0, 30.0);
    check(u32::MAX, 1_023, 60.0);
}

/// What was sent: where to, and what.
fn texts(calls: &[Value]) -> Vec<(i64, &str)> {
    calls.iter().map(|fields| (fields["chat_id"].as_i64().unwrap(), fields["text"].as_str().unwrap())).collect()
}

fn calls(fake: &Fake, method: &str) -> Vec<Value> {
    fake.asked().into_iter().filter(|(name, _)| name == method).map(|(_, fields)| fields).collect()
}

/// A server that numbers messages from 100 on.
fn numbering() -> Fake {
    let mut number = 99;
    Fake::start(move |_, _| {
        number += 1;
        Reply::ok(json!({ "message_id": number }))
    })
}

#[tokio::test]
async fn what_there_is_to_say_goes_out_in_order_and_once() {
    let (desk, _state) = desk(State::Stopping);
    let fake = numbering();
    for (session, text) in [("1", "a"), ("2", "b"), ("1#2", "c **d**"), ("-3:4", "e"), ("nowhere", "f"), ("1", "")] {
        desk.store.say(CHANNEL, session, text, None).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(run(desk.clone(), fake.api()).await, None);
    }
    let sent = calls(&fake, "sendMessage");
    let mut sent = texts(&sent);
    assert!(sent.iter().position(|text| *text == (1, "a")) < sent.iter().position(|text| *text == (1, "c <b>d</b>")));
    sent.sort_unstable();
    assert_eq!(sent, [(-3, "e"), (1, "a"), (1, "c <b>d</b>"), (2, "b")]);
    assert!(desk.store.unsent(CHANNEL).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_chat_in_a_wait_holds_up_no_other() {
    let (desk, _state) = desk(State::Loading(0.0));
    let fake = Fake::start(|_, fields| if fields["chat_id"] == 1 { Reply::flood(30) } else { Reply::ok(json!({ "message_id": 1 })) });
    desk.store.say(CHANNEL, "1", "a", None).await.unwrap();
    let running = tokio::spawn(run(desk.clone(), fake.api()));
    fake.calls("sendMessage", 1).await;
    let start = Instant::now();
    desk.store.say(CHANNEL, "2", "b", None).await.unwrap();
    let sent = fake.calls("sendMessage", 2).await;
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(texts(&sent), [(1, "a"), (2, "b")]);
    running.abort();
}

#[tokio::test]
async fn parts_that_arrived_are_not_sent_again() {
    let (desk, _state) = desk(State::Loading(0.0));
    let mut count = 0;
    let fake = Fake::start(move |_, _| {
        count += 1;
        if count == 2 { Reply::error(502, "Bad Gateway") } else { Reply::ok(json!({ "message_id": count })) }
    });
    let text = format!("{}\n\n{}", "a".repeat(4_000), "b".repeat(4_000));
    let row = desk.store.say(CHANNEL, "1", &text, None).await.unwrap();
    let running = tokio::spawn(run(desk.clone(), fake.api()));
    let sent = fake.calls("sendMessage", 3).await;
    let first: Vec<&str> = texts(&sent).iter().map(|(_, text)| &text[..1]).collect();
    assert_eq!(first, ["a", "b", "b"]);
    let parts = loop {
        let parts = desk.store.sent_parts(row).await.unwrap();
        if parts.len() == 2 {
            break parts;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(parts, [(0, "1".to_owned()), (1, "3".to_owned())]);
    running.abort();
}

#[tokio::test]
async fn a_refused_markup_costs_the_markup_and_a_gone_topic_the_topic() {
    let (desk, _state) = desk(State::Stopping);
    let fake = Fake::start(|_, fields| match (&fields["parse_mode"], &fields["message_thread_id"]) {
        (_, topic) if !topic.is_null() => Reply::error(400, "Bad Request: message thread not found"),
        (mode, _) if mode == "HTML" => Reply::error(400, "Bad Request: can't parse entities: unclosed"),
        _ => Reply::ok(json!({ "message_id": 5 })),
    });
    desk.store.say(CHANNEL, "-1:2", "**bold**", None).await.unwrap();
    assert_eq!(run(desk.clone(), fake.api()).await, None);
    let last = calls(&fake, "sendMessage").pop().unwrap();
    assert_eq!((last["text"].as_str(), &last["parse_mode"], &last["message_thread_id"]), (Some("bold"), &Value::Null, &Value::Null));
    assert!(desk.store.unsent(CHANNEL).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_chat_that_is_gone_is_given_up_and_one_that_moved_is_followed() {
    let (desk, _state) = desk(State::Stopping);
    let fake = Fake::start(|_, fields| match fields["chat_id"].as_i64() {
        Some(1) => Reply::error(403, "Forbidden: bot was blocked by the user"),
        Some(-5) => {
            Reply::Is(400, json!({ "ok": false, "error_code": 400, "description": "x", "parameters": { "migrate_to_chat_id": -1005 } }))
        }
        _ => Reply::ok(json!({ "message_id": 5 })),
    });
    for (session, text) in [("1", "a"), ("1", "b"), ("-5", "c"), ("-5", "d"), ("2", "e")] {
        desk.store.say(CHANNEL, session, text, None).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(run(desk.clone(), fake.api()).await, None);
    }
    let sent = calls(&fake, "sendMessage");
    let mut sent = texts(&sent);
    sent.sort_unstable();
    assert_eq!(sent, [(-1005, "c"), (-1005, "d"), (-5, "c"), (1, "a"), (1, "b"), (2, "e")]);
    assert_eq!(desk.store.setting(CHANNEL, "moved:-5").await.unwrap().as_deref(), Some("-1005"));
    assert!(desk.store.unsent(CHANNEL).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_reply_takes_the_place_of_what_was_shown_of_it() {
    for gone in [false, true] {
        let (desk, _state) = desk(State::Stopping);
        let fake = Fake::start(move |method, _| match method {
            "editMessageText" if gone => Reply::error(400, "Bad Request: message to edit not found"),
            "sendMessage" => Reply::ok(json!({ "message_id": 9 })),
            _ => Reply::ok(json!(true)),
        });
        let turn = accepted(&desk, "-1", "33").await.id;
        desk.store.set_setting(CHANNEL, &live_key(turn), Some("-1 8".into())).await.unwrap();
        let row = replied(&desk, turn, "done").await;
        assert_eq!(run(desk.clone(), fake.api()).await, None);
        let edits = calls(&fake, "editMessageText");
        assert_eq!((edits[0]["message_id"].as_i64(), edits[0]["text"].as_str()), (Some(8), Some("done")));
        assert_eq!(calls(&fake, "sendMessage").len(), usize::from(gone));
        let id = if gone { "9" } else { "8" };
        assert_eq!(desk.store.sent_parts(row).await.unwrap(), [(0, id.to_owned())]);
        assert_eq!(desk.store.setting(CHANNEL, &live_key(turn)).await.unwrap(), None);
        let eyes = fake.calls("setMessageReaction", 1).await;
        assert_eq!(eyes[0], json!({ "chat_id": -1, "message_id": 33, "reaction": [] }));
    }
}

#[tokio::test]
async fn a_reply_quotes_its_message_where_several_are_in_flight() {
    let (desk, _state) = desk(State::Stopping);
    let fake = numbering();
    let first = accepted(&desk, "1", "31").await.id;
    let second = accepted(&desk, "1", "32").await.id;
    replied(&desk, first, "one").await;
    assert_eq!(run(desk.clone(), fake.api()).await, None);
    replied(&desk, second, "two").await;
    assert_eq!(run(desk.clone(), fake.api()).await, None);
    let quoted: Vec<Option<i64>> =
        calls(&fake, "sendMessage").iter().map(|fields| fields["reply_parameters"]["message_id"].as_i64()).collect();
    // The second one's neighbour was forgotten with the process that delivered it.
    assert_eq!(quoted, [Some(31), None]);
}

#[tokio::test]
async fn a_token_that_is_no_longer_good_ends_the_channel() {
    let (desk, _state) = desk(State::Loading(0.0));
    let fake = Fake::start(|_, _| Reply::error(401, "Unauthorized"));
    desk.store.say(CHANNEL, "1", "a", None).await.unwrap();
    assert_eq!(run(desk.clone(), fake.api()).await, Some(ApiError::Unauthorized));
    assert_eq!(desk.store.unsent(CHANNEL).await.unwrap().len(), 1);
}
