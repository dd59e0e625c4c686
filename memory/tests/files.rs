//! Changes of files and accepted skills through the handle.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use memory::{FileChange, Inbound, KeptHash, Store, StoreError, TurnState, limits};

async fn turn(store: &Store, session: &str) -> i64 {
    let inbound = Inbound { channel: "terminal".into(), session: session.into(), text: "hello".into(), ..Inbound::default() };
    let accepted = store.accept(inbound).await.unwrap();
    store.finish(accepted.turn, TurnState::Done, "replied", None).await.unwrap();
    accepted.turn
}

/// `a→b` of `path`; `-` is no file.
fn change(turn: i64, call: &str, path: &str, change: &str) -> FileChange {
    let (before, after) = change.split_once('→').unwrap();
    let sum = |text: &str| (text != "-").then(|| text.to_owned());
    let (before, after) = (sum(before), sum(after));
    FileChange {
        turn,
        call: call.into(),
        root: "/w".into(),
        path: path.into(),
        mode: before.as_ref().map(|_| 0o640),
        before,
        after,
        made: 2,
    }
}

#[tokio::test]
async fn a_change_is_recorded_once_for_its_call() {
    let store = Store::in_memory().unwrap();
    let one = turn(&store, "main").await;
    let first = change(one, "1-a", "x", "-→b");
    let others = [change(one, "1-a", "x", "c→b"), change(one, "1-b", "x", "-→b"), change(one, "1-b", "y", "-→b")];
    for recorded in [&first, &first, &others[0], &others[1], &others[2], &first, &others[0]] {
        store.record_change(recorded.clone()).await.unwrap();
    }
    assert_eq!(store.file_changes(one).await.unwrap(), [vec![first], others.to_vec()].concat());
    assert_eq!(store.file_changes(one + 1).await.unwrap(), []);
}

#[tokio::test]
async fn a_turn_answers_for_its_tasks() {
    let store = Store::in_memory().unwrap();
    let one = turn(&store, "main").await;
    let task = Inbound { channel: "task".into(), session: "helper".into(), parent: Some(one), ..Inbound::default() };
    let task = store.accept(task).await.unwrap().turn;
    let changes = [change(one, "a", "x", "1→2"), change(task, "b", "x", "2→3"), change(one, "c", "x", "3→4")];
    for recorded in &changes {
        store.record_change(recorded.clone()).await.unwrap();
    }
    assert_eq!(store.file_changes(one).await.unwrap(), changes);
    assert_eq!(store.file_changes(task).await.unwrap(), changes[1..2]);
}

#[tokio::test]
async fn contents_are_listed_oldest_first() {
    let store = Store::in_memory().unwrap();
    let (one, two) = (turn(&store, "main").await, turn(&store, "other").await);
    let three = turn(&store, "main").await;
    // One that no turn is known of is kept as well.
    for recorded in
        [change(99, "z", "x", "o→p"), change(one, "a", "x", "a→b"), change(two, "b", "y", "c→a"), change(three, "c", "x", "b→-")]
    {
        store.record_change(recorded).await.unwrap();
    }
    let check = async |recent, expected: &[(&str, bool)]| {
        let expected: Vec<KeptHash> = expected.iter().map(|&(hash, recent)| KeptHash { hash: hash.into(), recent }).collect();
        let mut found = store.kept_hashes(recent).await.unwrap();
        // Two of one change are as old as each other.
        found.sort_by_key(|kept| expected.iter().position(|other| other.hash == kept.hash));
        assert_eq!(found, expected, "{recent}");
    };
    check(0, &[("o", false), ("p", false), ("a", false), ("c", false), ("b", false)]).await;
    check(1, &[("o", false), ("p", false), ("a", false), ("c", false), ("b", true)]).await;
    check(2, &[("o", false), ("p", false), ("a", true), ("c", true), ("b", true)]).await;
    let order: Vec<String> = store.kept_hashes(0).await.unwrap().into_iter().map(|kept| kept.hash).collect();
    assert!(order[..2].contains(&"o".to_owned()) && order[4] == "b", "{order:?}");
    // What a removed session spoke of is spoken of no longer.
    store.remove_session("main").await.unwrap();
    check(9, &[("o", false), ("p", false), ("c", true), ("a", true)]).await;
}

#[tokio::test]
async fn a_turn_has_so_many_changes() {
    let store = Store::in_memory().unwrap();
    let one = turn(&store, "main").await;
    for number in 0..limits::TURN_CHANGES {
        store.record_change(change(one, &number.to_string(), "x", "a→b")).await.unwrap();
    }
    let error = store.record_change(change(one, "more", "x", "a→b")).await.unwrap_err();
    assert_eq!(error, StoreError::TooManyChanges { turn: one, limit: limits::TURN_CHANGES });
}

#[tokio::test]
async fn skills_are_accepted_asked_about_and_forgotten() {
    let store = Store::in_memory().unwrap();
    let one = turn(&store, "main").await;
    let accepted = async |name: &str| store.accepted_skill(name).await.unwrap().map(|skill| (skill.hash, skill.text));
    assert_eq!(accepted("pdf").await, None);
    store.accept_skill("pdf", "h1", "one").await.unwrap();
    store.accept_skill("pdf", "h2", "two").await.unwrap();
    store.accept_skill("csv", "h3", "three").await.unwrap();
    assert_eq!(accepted("pdf").await, Some(("h2".into(), "two".into())));
    let names: Vec<String> = store.accepted_skills().await.unwrap().into_iter().map(|skill| skill.name).collect();
    assert_eq!(names, ["csv", "pdf"]);
    assert_eq!((store.forget_skill("pdf").await, store.forget_skill("pdf").await), (Ok(true), Ok(false)));

    store.ask_skill(one, "1-a", "pdf", "h1").await.unwrap();
    store.ask_skill(one, "1-a", "pdf", "h2").await.unwrap();
    store.ask_skill(99, "z", "pdf", "h3").await.unwrap();
    let cases = [("1-a", "pdf", Some("h2")), ("1-a", "csv", None), ("1-b", "pdf", None), ("z", "pdf", Some("h3"))];
    for (call, name, expected) in cases {
        assert_eq!(store.asked_skill(call, name).await.unwrap().as_deref(), expected, "{call} {name}");
    }
    store.remove_session("main").await.unwrap();
    assert_eq!(store.asked_skill("1-a", "pdf").await, Ok(None));
}
