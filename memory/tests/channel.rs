//! What a channel needs of the memory: corrections, messages of its own, parts, updates that it has seen, settings.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::path::Path;

use memory::{Corrected, Forget, Inbound, Outbound, OutboundRow, Store, StoreError, TurnState, limits};
use serde_json::json;

const CHANNEL: &str = "telegram";

fn inbound(session: &str, message: &str, text: &str) -> Inbound {
    let id = Some(format!("u{session}{message}{text}"));
    let message = Some(message.to_owned());
    Inbound { channel: CHANNEL.into(), session: session.into(), platform_id: id, message, text: text.into(), ..Inbound::default() }
}

async fn accept(store: &Store, session: &str, message: &str, text: &str) -> i64 {
    store.accept(inbound(session, message, text)).await.unwrap().turn
}

async fn unsent(store: &Store) -> Vec<i64> {
    store.unsent(CHANNEL).await.unwrap().into_iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn a_correction_comes_in_time_or_not() {
    let store = Store::in_memory().unwrap();
    let open = accept(&store, "123", "1", "gren bike").await;
    let begun = accept(&store, "123", "2", "begun").await;
    store.append(begun, "began", json!({})).await.unwrap();
    let done = accept(&store, "123", "3", "done").await;
    store.finish(done, TurnState::Done, "x", None).await.unwrap();
    accept(&store, "123", "4", "called the same").await;
    let newer = accept(&store, "123", "4", "called the same, newer").await;
    let mut changes = store.changes();
    changes.mark_unchanged();
    let mut check = async |session: &str, message: &str, expected: Corrected, turn: i64, text: &str| {
        let corrected = store.correct(CHANNEL, session, message, "corrected").await.unwrap();
        assert_eq!(corrected, expected, "{session} {message}");
        assert_eq!(store.turn(turn).await.unwrap().unwrap().text, text);
        let woken = changes.has_changed().unwrap();
        assert_eq!(woken, matches!(corrected, Corrected::Changed(_)), "{session} {message}");
        changes.mark_unchanged();
    };
    check("123", "2", Corrected::TooLate(begun), begun, "begun").await;
    check("123", "3", Corrected::TooLate(done), done, "done").await;
    check("123", "5", Corrected::Unknown, open, "gren bike").await;
    check("124", "1", Corrected::Unknown, open, "gren bike").await;
    check("123", "1", Corrected::Changed(open), open, "corrected").await;
    check("123", "1", Corrected::Changed(open), open, "corrected").await;
    check("123", "4", Corrected::Changed(newer), newer, "corrected").await;
    assert_eq!(store.correct("other", "123", "1", "x").await, Ok(Corrected::Unknown));
    let long = "x".repeat(limits::TEXT_BYTES + 1);
    assert!(matches!(store.correct(CHANNEL, "123", "1", &long).await, Err(StoreError::TooLong { .. })));
}

#[tokio::test]
async fn what_answers_no_turn_is_said_once() {
    let store = Store::in_memory().unwrap();
    let mut outgoing = store.outgoing();
    outgoing.mark_unchanged();
    let first = store.say(CHANNEL, "123", "may I?", Some("ask:7")).await.unwrap();
    assert!(outgoing.has_changed().unwrap());
    outgoing.mark_unchanged();
    // In whatever words and wherever: it has been said.
    assert_eq!(store.say(CHANNEL, "123", "may I?", Some("ask:7")).await, Ok(first));
    assert_eq!(store.say(CHANNEL, "124", "may I now?", Some("ask:7")).await, Ok(first));
    assert!(!outgoing.has_changed().unwrap());
    assert_eq!(store.find_session("124").await, Ok(None));
    let second = store.say("other", "123", "may I?", Some("ask:7")).await.unwrap();
    let third = store.say(CHANNEL, "123", "hello", None).await.unwrap();
    let fourth = store.say(CHANNEL, "123", "hello", None).await.unwrap();
    assert_eq!([first, second, third, fourth], [1, 2, 3, 4]);
    assert_eq!(unsent(&store).await, [first, third, fourth]);

    let row = store.outbound_about(CHANNEL, "ask:7").await.unwrap().unwrap();
    let session = store.find_session("telegram/123").await.unwrap().unwrap();
    let expected = OutboundRow {
        id: first,
        turn: None,
        session: session.id,
        session_name: "123".into(),
        channel: CHANNEL.into(),
        text: "may I?".into(),
        at: row.at.clone(),
        from: None,
        about: Some("ask:7".into()),
        platform_id: None,
        message: None,
    };
    assert_eq!(row, expected);
    store.confirm(first, Some("99")).await.unwrap();
    store.confirm(first, Some("100")).await.unwrap();
    let confirmed = OutboundRow { platform_id: Some("99".into()), ..expected };
    assert_eq!(store.outbound_about(CHANNEL, "ask:7").await, Ok(Some(confirmed)));
    assert_eq!(store.outbound_about(CHANNEL, "ask:8").await, Ok(None));
    assert_eq!(store.say(CHANNEL, "123", "may I?", Some("ask:7")).await, Ok(first));

    // With the session goes what was said there, and that it was.
    store.remove_session("telegram/123").await.unwrap();
    assert_eq!((unsent(&store).await, store.unsent("other").await.unwrap().len()), (vec![], 1));
    assert_eq!(store.say(CHANNEL, "123", "may I?", Some("ask:7")).await, Ok(5));
    store.check().await.unwrap();
}

#[tokio::test]
async fn whoever_delivers_is_woken_by_replies_and_knows_what_they_answer() {
    let store = Store::in_memory().unwrap();
    let mut outgoing = store.outgoing();
    outgoing.mark_unchanged();
    let silent = accept(&store, "123", "1", "hello").await;
    store.finish(silent, TurnState::Done, "x", None).await.unwrap();
    assert!(!outgoing.has_changed().unwrap());
    let turn = accept(&store, "123", "2", "hello").await;
    store.finish(turn, TurnState::Done, "x", Some(Outbound { text: "hi".into() })).await.unwrap();
    assert!(outgoing.has_changed().unwrap());
    let rows = store.unsent(CHANNEL).await.unwrap();
    let answers: Vec<_> = rows.iter().map(|row| (row.turn, row.message.as_deref())).collect();
    assert_eq!(answers, [(Some(turn), Some("2"))]);
}

/// What the disk holds at this moment, as after a kill.
fn killed(home: &Path) -> (tempfile::TempDir, Store) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["paguro.db", "paguro.db-wal"] {
        std::fs::copy(home.join(name), copy.path().join(name)).unwrap();
    }
    let store = Store::open(copy.path()).unwrap();
    (copy, store)
}

#[tokio::test]
async fn parts_are_confirmed_each_for_itself() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let turn = accept(&store, "123", "1", "tell me all").await;
    let long = store.finish(turn, TurnState::Done, "x", Some(Outbound { text: "a b c".into() })).await.unwrap().unwrap();
    let after = store.say(CHANNEL, "123", "after it", None).await.unwrap();
    let mut sent = Vec::new();
    for (part, id) in [(0, "10"), (1, "11"), (2, "12")] {
        // Killed between two parts, the next start goes on with the first that is not there.
        let (_copy, next) = killed(home.path());
        assert_eq!((next.sent_parts(long).await.unwrap(), unsent(&next).await), (sent.clone(), vec![long, after]));
        store.confirm_part(long, part, id).await.unwrap();
        store.confirm_part(long, part, "twice").await.unwrap();
        sent.push((part, id.to_owned()));
    }
    assert_eq!(unsent(&store).await, [long, after]);
    store.confirm(long, Some("10")).await.unwrap();
    let (_copy, next) = killed(home.path());
    assert_eq!((next.sent_parts(long).await.unwrap(), unsent(&next).await), (sent, vec![after]));

    assert_eq!(store.sent_parts(after).await, Ok(vec![]));
    assert_eq!(store.confirm_part(77, 0, "1").await, Err(StoreError::NoSuchOutbound { id: 77 }));
    let part = u32::try_from(limits::PARTS).unwrap();
    assert_eq!(store.confirm_part(long, part, "1").await, Err(StoreError::TooManyParts { part, limit: limits::PARTS }));
    store.remove_session("123").await.unwrap();
    assert_eq!(store.sent_parts(long).await, Ok(vec![]));
}

#[tokio::test]
async fn what_cannot_be_delivered_is_given_up() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let sent = store.say(CHANNEL, "123", "one", None).await.unwrap();
    let blocked = store.say(CHANNEL, "123", "two", None).await.unwrap();
    store.confirm(sent, Some("9")).await.unwrap();
    store.give_up(sent, "too late to give up").await.unwrap();
    store.give_up(blocked, "the bot was blocked").await.unwrap();
    store.give_up(blocked, "again").await.unwrap();
    assert_eq!(store.give_up(77, "x").await, Err(StoreError::NoSuchOutbound { id: 77 }));
    assert_eq!(unsent(&store).await, [0_i64; 0]);
    drop(store);
    let connection = rusqlite::Connection::open(home.path().join("paguro.db")).unwrap();
    let mut statement = connection.prepare("SELECT given_up, platform_id FROM outbox ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let rows: Vec<(Option<String>, Option<String>)> = rows.map(Result::unwrap).collect();
    assert_eq!(rows, [(None, Some("9".into())), (Some("the bot was blocked".into()), None)]);
}

#[tokio::test]
async fn an_update_is_new_once() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let check = async |channel: &str, id: &str, expected: bool| {
        assert_eq!(store.first_time(channel, id).await, Ok(expected), "{channel} {id}");
    };
    check(CHANNEL, "u1", true).await;
    check(CHANNEL, "u1", false).await;
    check("other", "u1", true).await;
    check(CHANNEL, "u2", true).await;
    let (_copy, next) = killed(home.path());
    assert_eq!(next.first_time(CHANNEL, "u1").await, Ok(false));
}

#[tokio::test]
async fn the_newest_updates_are_remembered() {
    let store = Store::in_memory().unwrap();
    for number in 0..=limits::UPDATES {
        assert!(store.first_time(CHANNEL, &number.to_string()).await.unwrap());
    }
    for (number, expected) in [(1, false), (limits::UPDATES, false), (0, true)] {
        assert_eq!(store.first_time(CHANNEL, &number.to_string()).await, Ok(expected), "{number}");
    }
}

#[tokio::test]
async fn settings_are_a_channel_s() {
    let store = Store::in_memory().unwrap();
    let set =
        async |channel: &str, name: &str, value: Option<&str>| store.set_setting(channel, name, value.map(str::to_owned)).await.unwrap();
    set(CHANNEL, "offset", Some("7")).await;
    set(CHANNEL, "offset", Some("8")).await;
    set(CHANNEL, "chat:1", Some("\0 '\"")).await;
    set("other", "offset", Some("9")).await;
    set(CHANNEL, "gone", Some("x")).await;
    set(CHANNEL, "gone", None).await;
    set(CHANNEL, "never", None).await;
    assert_eq!(store.setting(CHANNEL, "offset").await, Ok(Some("8".into())));
    assert_eq!(store.setting(CHANNEL, "gone").await, Ok(None));
    let expected = [("chat:1", "\0 '\""), ("offset", "8")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(store.settings(CHANNEL).await.unwrap(), expected);
    let long = Some("x".repeat(limits::SETTING_BYTES + 1));
    assert!(matches!(store.set_setting(CHANNEL, "long", long).await, Err(StoreError::TooLong { .. })));
    for number in 2..limits::SETTINGS {
        set(CHANNEL, &number.to_string(), Some("")).await;
    }
    let full = StoreError::TooManySettings { channel: CHANNEL.into(), limit: limits::SETTINGS };
    assert_eq!(store.set_setting(CHANNEL, "one more", Some(String::new())).await, Err(full));
    set(CHANNEL, "offset", Some("10")).await;
    set("other", "one more", Some("x")).await;
    assert_eq!(store.settings(CHANNEL).await.unwrap().len(), limits::SETTINGS);
}

#[tokio::test]
async fn forgetting_reaches_what_answers_no_turn() {
    let store = Store::in_memory().unwrap();
    let before = store.say(CHANNEL, "123", "before it all", Some("a")).await.unwrap();
    let turn = accept(&store, "123", "1", "run quixotry").await;
    let asked = store.say(CHANNEL, "123", "may I run that?", Some("b")).await.unwrap();
    let shown = store.say(CHANNEL, "125", "quixotry elsewhere", Some("quixotry")).await.unwrap();
    store.give_up(shown, "no chat called quixotry").await.unwrap();
    store.set_setting(CHANNEL, "title", Some("quixotry".into())).await.unwrap();
    let forgotten = store.forget_all(Forget { matching: Some("quixotry".into()), ..Forget::default() }).await.unwrap();
    let places: Vec<_> = forgotten.places.iter().map(|place| (place.what, place.turn)).collect();
    assert_eq!(places, [("message", Some(turn)), ("reply", None), ("trouble with a reply", None)]);
    let stays: Vec<_> = forgotten.stays.iter().map(|place| place.what).collect();
    assert_eq!(stays, ["what a reply is about", "setting of a channel"]);
    let text = async |about: &str| store.outbound_about(CHANNEL, about).await.unwrap().unwrap().text;
    assert_eq!([text("a").await, text("b").await, text("quixotry").await], ["before it all", "may I run that?", "[forgotten] elsewhere"]);

    // With all of a turn goes what was said while it ran.
    let note = memory::Note { text: "that it ran".into(), source_turn: Some(turn), ..memory::Note::default() };
    let note = store.add_note(note).await.unwrap();
    store.forget_all(Forget { ids: vec![note.id], with_turns: true, ..Forget::default() }).await.unwrap();
    assert_eq!([text("a").await, text("b").await], ["before it all", "[forgotten]"]);
    assert_eq!((before, asked), (1, 2));
}
