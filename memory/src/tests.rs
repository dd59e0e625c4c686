//! Tests that look behind the handle: the cost of statements, a full disk, the view for people.

use rusqlite::{Connection, StatementStatus, params};
use serde_json::json;

use crate::*;

fn inbound(session: &str, text: &str) -> Inbound {
    Inbound { channel: "terminal".into(), session: session.into(), text: text.into(), ..Inbound::default() }
}

async fn finished_turn(store: &Store, session: &str, text: &str) -> Accepted {
    let accepted = store.accept(inbound(session, text)).await.unwrap();
    store.append(accepted.turn, "reply", json!({"text": format!("{text}!")})).await.unwrap();
    let outbound = Some(Outbound { text: format!("{text}!") });
    store.finish(accepted.turn, TurnState::Done, "replied", outbound).await.unwrap();
    accepted
}

/// Virtual-machine steps of one run of `sql` with `params`.
fn cost(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> i32 {
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query(params).unwrap();
    while rows.next().unwrap().is_some() {}
    drop(rows);
    statement.get_status(StatementStatus::VmStep)
}

/// What the calls of every turn cost, now.
async fn costs(store: &Store, Accepted { turn, session, .. }: Accepted) -> Vec<i32> {
    store
        .run(move |connection| {
            Ok(vec![
                cost(connection, journal::HISTORY, params![session, 10]),
                cost(connection, journal::STEPS, params![turn]),
                cost(connection, journal::ONE_TURN, params![turn]),
                cost(connection, journal::OPEN_TURNS, params![None::<String>, 10]),
                cost(connection, journal::ACCEPTED, params!["terminal", "17"]),
                cost(connection, outbox::UNSENT, params!["terminal", 10]),
                cost(connection, outbox::UNSENT_OF, params![session, 10]),
                cost(connection, outbox::ABOUT, params!["terminal", "x"]),
                cost(connection, journal::TURNS_AFTER, params![session, 0, 10]),
                cost(connection, journal::TURNS_AFTER, params![session, turn - 40, 10]),
            ])
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_turn_costs_the_same_after_ten_thousand() {
    let store = Store::in_memory().unwrap();
    // A session that goes to sleep early, and two in turn, so that none lies in one piece.
    let mut asleep = finished_turn(&store, "asleep", "0").await;
    for _ in 0..20 {
        asleep = finished_turn(&store, "asleep", "0").await;
    }
    let mut last = asleep;
    let mut early = Vec::new();
    for number in 1..=10_000 {
        last = finished_turn(&store, ["odd", "even"][number % 2], &number.to_string()).await;
        if number == 100 {
            early = vec![costs(&store, last).await, costs(&store, asleep).await];
        }
    }
    assert_eq!(vec![costs(&store, last).await, costs(&store, asleep).await], early);
    let history = store.history(last.session, 3).await.unwrap();
    let texts: Vec<&str> = history.iter().map(|(turn, _)| turn.text.as_str()).collect();
    assert_eq!(texts, ["9996", "9998", "10000"]);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_passes() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let kept = store.accept(inbound("main", "before")).await.unwrap();
    let pages = |most: &'static str| {
        store.run(move |connection| {
            let sql = format!("PRAGMA max_page_count = {most}");
            Ok(connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?)
        })
    };
    // One page is less than there are, so SQLite takes what there are.
    let used = pages("1").await.unwrap();
    let full = StoreError::DiskFull { path: home.path().join("paguro.db") };
    let large = "x".repeat(1 << 20);
    let note = || Note { text: large.clone(), ..Note::default() };
    let refused = [
        store.accept(inbound("main", &large)).await.unwrap_err(),
        store.append(kept.turn, "reply", json!({"text": large})).await.unwrap_err(),
        store.finish(kept.turn, TurnState::Done, large.clone(), None).await.unwrap_err(),
        store.add_note(note()).await.unwrap_err(),
    ];
    assert!(refused.iter().all(|error| *error == full), "{refused:?}");
    // Half of a refused transaction never shows, and what was there can be read.
    let open = store.open_turns(None).await.unwrap();
    assert_eq!(open.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>(), ["before"]);
    assert_eq!(store.steps(kept.turn).await.unwrap(), []);
    assert_eq!(store.list(10, 0).await.unwrap(), []);
    // Space is back.
    assert!(pages("1000000").await.unwrap() > used);
    assert_eq!(store.append(kept.turn, "reply", json!({"text": large})).await, Ok(1));
    store.finish(kept.turn, TurnState::Done, "replied", None).await.unwrap();
    store.add_note(note()).await.unwrap();
    store.check().await.unwrap();
}

/// Steps as the agent writes them; see `Step` there.
fn thought(message: serde_json::Value) -> serde_json::Value {
    json!({
        "kind": "thought", "message": message, "reason": "stop", "model": "demo",
        "usage": {"prompt_tokens": 9, "reused_tokens": 0, "prefilled_tokens": 9, "completion_tokens": 3},
        "timings": {"restore_ms": 0.0, "first_token_ms": 1.0, "prefill_tps": 1.0, "decode_tps": 1.0},
    })
}

/// Accepts `text` and writes `steps`, the first of them `began`.
async fn turn_of(store: &Store, text: &str, steps: &[serde_json::Value]) -> Accepted {
    let accepted = store.accept(inbound("main", text)).await.unwrap();
    let began = json!({"kind": "began", "content": format!("{text}\n\n[time]"), "notes": [], "from": accepted.turn});
    for step in std::iter::once(&began).chain(steps) {
        store.append(accepted.turn, step["kind"].as_str().unwrap(), step.clone()).await.unwrap();
    }
    accepted
}

#[tokio::test]
async fn the_view_for_people() {
    let store = Store::in_memory().unwrap();
    let calls = json!([
        {"id": "call_1", "name": "list_dir", "arguments": {"path": "."}},
        {"id": "call_2", "name": "shell", "arguments": {"command": "ls"}},
        {"id": "call_3", "name": "shell", "arguments": {"command": "rm x"}},
        {"id": "call_4", "name": "fly", "arguments": {}},
    ]);
    let steps = [
        thought(json!({"role": "assistant", "content": "I look.", "reasoning": "hm", "tool_calls": calls})),
        json!({"kind": "allowed", "call": "call_1", "hash": "h1", "rule": "reads"}),
        json!({"kind": "intent", "call": "call_1"}),
        json!({"kind": "result", "call": "call_1", "ok": true, "content": "a\nb"}),
        json!({"kind": "asked", "call": "call_2", "hash": "h2", "reason": "it writes"}),
        json!({"kind": "answered", "call": "call_2", "hash": "h2", "allowed": true}),
        json!({"kind": "intent", "call": "call_2"}),
        json!({"kind": "result", "call": "call_2", "ok": false, "content": "error: lost"}),
        json!({"kind": "asked", "call": "call_3", "hash": "h3", "reason": "it writes"}),
        json!({"kind": "answered", "call": "call_3", "hash": "h3", "allowed": false, "why": "not now"}),
        json!({"kind": "refused", "call": "call_4", "reason": "there is no tool called `fly`"}),
        thought(json!({"role": "assistant", "content": " \n"})),
        thought(json!({"role": "assistant", "content": "Two files."})),
    ];
    let replied = turn_of(&store, "what is there?", &steps).await;
    let outbound = |text: &str| Some(Outbound { text: text.into() });
    store.finish(replied.turn, TurnState::Done, "Two files.", outbound("Two files.")).await.unwrap();
    let undone = turn_of(&store, "undone", &[]).await;
    store.finish(undone.turn, TurnState::Failed, "x", outbound("x")).await.unwrap();
    store.undo(undone.session).await.unwrap();
    let failed = turn_of(&store, "again", &[json!({"kind": "too_long"})]).await;
    let open = [
        thought(json!({"role": "assistant", "content": "", "tool_calls": [calls[1]]})),
        json!({"kind": "answered", "call": "call_2", "hash": "h2", "allowed": false}),
    ];
    turn_of(&store, "and now?", &open).await;
    store.finish(failed.turn, TurnState::Failed, "too long", outbound("That was too long.")).await.unwrap();
    let rows: Vec<String> = store
        .run(|connection| {
            // Without an order of its own: the view has one.
            let sql = "SELECT concat_ws('|', session, channel, turn, seq, role, text, calls) FROM messages
                WHERE session = 'main' AND at LIKE '2%Z'";
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
        .unwrap();
    let expected = [
        "main|terminal|1|0|user|what is there?".to_owned(),
        format!("main|terminal|1|2|assistant|I look.|{calls}"),
        "main|terminal|1|5|tool|a\nb".to_owned(),
        "main|terminal|1|9|tool|error: lost".to_owned(),
        "main|terminal|1|11|tool|error: the owner did not allow this: not now".to_owned(),
        "main|terminal|1|12|tool|error: there is no tool called `fly`".to_owned(),
        "main|terminal|1|14|assistant|Two files.".to_owned(),
        "main|terminal|3|0|user|again".to_owned(),
        "main|terminal|3|3|assistant|That was too long.".to_owned(),
        "main|terminal|4|0|user|and now?".to_owned(),
        format!("main|terminal|4|2|assistant||[{}]", calls[1]),
        "main|terminal|4|3|tool|error: the owner did not allow this".to_owned(),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn steps_are_append_only_and_damage_is_told() {
    let store = Store::in_memory().unwrap();
    let turn = finished_turn(&store, "main", "one").await.turn;
    let sql = |sql: &'static str| store.run(move |connection| Ok(connection.execute(sql, [])?));
    let Err(StoreError::Database { reason, .. }) = sql("UPDATE steps SET kind = 'x'").await else { panic!("a step was changed") };
    assert_eq!(reason, "steps are append-only");
    sql("DROP TRIGGER steps_append_only").await.unwrap();
    sql("UPDATE steps SET body = '{'").await.unwrap();
    assert!(matches!(store.steps(turn).await, Err(StoreError::Corrupt { .. })));
    // The word index no longer fits the notes.
    store.check().await.unwrap();
    store.add_note(Note { text: "a green bike".into(), ..Note::default() }).await.unwrap();
    sql("DELETE FROM notes_words_data WHERE id > 10").await.unwrap();
    assert!(matches!(store.check().await, Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn what_another_program_is_reading_is_forgotten_and_said_to_be_in_the_log() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let note = store.add_note(Note { text: "the word is xylophone".into(), ..Note::default() }).await.unwrap();
    let reader = Connection::open(home.path().join("paguro.db")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
    // Otherwise it would wait for the reader.
    store.run(|connection| Ok(connection.busy_timeout(std::time::Duration::ZERO)?)).await.unwrap();
    let is_in_log = || {
        let bytes = std::fs::read(home.path().join("paguro.db-wal")).unwrap_or_default();
        bytes.windows(9).any(|window| window == b"xylophone")
    };
    let forgotten = store.forget_all(Forget { ids: vec![note.id.clone()], ..Forget::default() }).await.unwrap();
    assert_eq!((forgotten.notes.len(), forgotten.log_in_use, is_in_log()), (1, true, true));
    assert_eq!(store.forget(&note.id).await, Err(StoreError::LogInUse));
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(store.forget(&note.id).await, Ok(false));
    assert!(!is_in_log());
}
