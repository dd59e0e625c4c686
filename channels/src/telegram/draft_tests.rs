use serde_json::{Value, json};

use super::*;
use crate::desk::State;
use crate::telegram::fake::{Fake, Reply, accepted, desk};

#[tokio::test]
async fn a_turn_is_shown_until_its_reply_is_ready() {
    let drafts = Drafts::default();
    drafts.settle(1).await;
    assert!(drafts.begin(1).is_none());
    let mut showing = drafts.begin(2).unwrap();
    assert!(drafts.begin(2).is_none());
    let other = drafts.clone();
    let settled = tokio::spawn(async move { other.settle(2).await });
    showing.is_over().await;
    assert!(!settled.is_finished());
    drop(showing);
    settled.await.unwrap();
    drafts.forget(&[]);
    assert!(drafts.turns().is_empty());
}

#[test]
fn a_server_without_drafts_is_asked_once() {
    let place = |chat| Place { chat, topic: None };
    let drafts = Drafts::default();
    assert!(drafts.are_for(place(1)) && !drafts.are_for(place(-1)));
    drafts.learn(&Err(ApiError::Network("x".into())));
    assert!(drafts.are_for(place(1)));
    drafts.learn(&Err(ApiError::NotFound("x".into())));
    assert!(!drafts.are_for(place(1)));
    let drafts = Drafts::default();
    drafts.learn(&Ok(()));
    drafts.learn(&Err(ApiError::Refused("x".into())));
    assert!(drafts.are_for(place(1)));
}

fn text(delta: &str) -> Event {
    Event::Text { delta: delta.into() }
}

fn answers(method: &str, drafts: bool) -> Reply {
    match method {
        "sendMessageDraft" if !drafts => Reply::error(404, "Not Found: method not found"),
        "sendMessage" => Reply::ok(json!({ "message_id": 70 })),
        _ => Reply::ok(json!(true)),
    }
}

fn shown(calls: &[Value]) -> Vec<&str> {
    calls.iter().map(|fields| fields["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn in_a_private_chat_the_reply_grows_as_a_draft() {
    let (desk, _state) = desk(State::Stopping);
    let fake = Fake::start(|method, _| answers(method, true));
    let row = accepted(&desk, "5:6", "33").await;
    let drafts = Drafts::default();
    let running = tokio::spawn(run(desk.clone(), fake.api(), drafts.clone()));
    desk.live.begin(&row);
    fake.calls("sendChatAction", 1).await;
    desk.live.show(row.id, text("Hel"));
    fake.calls("sendMessageDraft", 1).await;
    desk.live.show(row.id, text("lo"));
    let calls = fake.calls("sendMessageDraft", 2).await;
    assert_eq!(shown(&calls), ["Hel", "Hello"]);
    assert_eq!((&calls[0]["draft_id"], &calls[0]["message_thread_id"]), (&json!(row.id), &json!(6)));
    drafts.settle(row.id).await;
    // Nothing comes after the reply.
    desk.live.show(row.id, text("!"));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(fake.calls("sendMessageDraft", 2).await.len(), 2);
    running.abort();
}

#[tokio::test]
async fn elsewhere_one_message_is_edited_and_known() {
    // A group, and a private chat at a server without drafts.
    for session in ["-5", "5"] {
        let (desk, _state) = desk(State::Stopping);
        let fake = Fake::start(|method, _| answers(method, false));
        let row = accepted(&desk, session, "33").await;
        let drafts = Drafts::default();
        let running = tokio::spawn(run(desk.clone(), fake.api(), drafts.clone()));
        desk.live.begin(&row);
        desk.live.show(row.id, text("Hello"));
        assert_eq!(shown(&fake.calls("sendMessage", 1).await), ["Hello …"]);
        desk.live.show(row.id, text(" you"));
        if session == "5" {
            assert_eq!(shown(&fake.calls("editMessageText", 1).await), ["Hello you …"]);
            assert_eq!(fake.calls("sendMessageDraft", 1).await.len(), 1);
        }
        drafts.settle(row.id).await;
        assert_eq!(read_live(&desk.store, row.id).await, Some((session.parse().unwrap(), 70)));
        running.abort();
    }
}

#[tokio::test]
async fn what_was_shown_of_a_turn_without_a_reply_says_why() {
    let (desk, _state) = desk(State::Stopping);
    let fake = Fake::start(|method, _| answers(method, true));
    let (group, private) = (accepted(&desk, "-5", "33").await, accepted(&desk, "5", "34").await);
    let running = tokio::spawn(run(desk.clone(), fake.api(), Drafts::default()));
    for row in [&group, &private] {
        desk.live.begin(row);
        desk.live.show(row.id, text("Hello"));
    }
    fake.calls("sendMessage", 1).await;
    fake.calls("sendMessageDraft", 1).await;
    // One rests when it is stopped, the other runs.
    desk.live.rest(group.id);
    for row in [&group, &private] {
        assert!(desk.stop(row.id).await.unwrap());
    }
    let last = Event::Error { code: "stopped".into(), message: "turn was stopped".into() };
    desk.live.end(private.id, last, None);
    assert_eq!(shown(&fake.calls("editMessageText", 1).await), ["Hello\n\n<i>stopped</i>"]);
    fake.calls("setMessageReaction", 2).await;
    let said = loop {
        let said = desk.store.unsent(CHANNEL).await.unwrap();
        if !said.is_empty() && read_live(&desk.store, group.id).await.is_none() {
            break said;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((said[0].text.as_str(), said[0].session_name.as_str(), said.len()), ("Hello", "5", 1));
    running.abort();
}

#[tokio::test]
async fn while_the_model_loads_those_who_wait_are_told() {
    let (desk, state) = desk(State::Loading(0.4));
    let fake = Fake::start(|method, _| answers(method, true));
    accepted(&desk, "5", "33").await;
    accepted(&desk, "-5", "34").await;
    let running = tokio::spawn(run(desk.clone(), fake.api(), Drafts::default()));
    assert_eq!(shown(&fake.calls("sendMessageDraft", 1).await), ["<i>the model is loading, 40 %</i>"]);
    assert_eq!(fake.calls("sendChatAction", 1).await[0]["chat_id"], -5);
    state.send_replace(State::Stopping);
    running.abort();
}

#[tokio::test]
async fn messages_of_turns_that_are_over_are_forgotten_at_the_start() {
    let (desk, _state) = desk(State::Stopping);
    let (open, stopped) = (accepted(&desk, "5", "33").await.id, accepted(&desk, "6", "34").await.id);
    for turn in [open, stopped] {
        desk.store.set_setting(CHANNEL, &live_key(turn), Some("5 70".into())).await.unwrap();
    }
    desk.stop(stopped).await.unwrap();
    tidy_all(&desk.store).await;
    assert_eq!((read_live(&desk.store, open).await, read_live(&desk.store, stopped).await), (Some((5, 70)), None));
}
