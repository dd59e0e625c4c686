//! Databases of older versions with something in them, opened by this one.

use rusqlite::Connection;

use crate::*;

/// A home whose database is of `version`, filled by `fill`.
fn home(version: usize, fill: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let mut connection = Connection::open(home.path().join("paguro.db")).unwrap();
    connection.pragma_update(None, "foreign_keys", true).unwrap();
    words::register(&connection).unwrap();
    schema::migrate(&mut connection, &schema::MIGRATIONS[..version]).unwrap();
    connection.execute_batch(fill).unwrap();
    home
}

/// Two sessions and one that is gone, three turns in all states, replies sent and unsent, a job's among them; a note.
const JOURNAL: &str = r#"
    INSERT INTO sessions (id, channel, name) VALUES (1, 'terminal', 'main'), (2, 'job', 'job-tea');
    INSERT INTO inbox (id, session, channel, platform_id, text) VALUES
        (1, 1, 'terminal', 'p1', 'what is green?'), (2, 1, 'terminal', NULL, 'and red?'), (3, 2, 'job', 'j1', 'tea');
    INSERT INTO turns (id, session, inbound, state, outcome, finished) VALUES
        (1, 1, 1, 'done', 'The bike.', '2026-01-02T03:04:05.678Z'), (2, 1, 2, 'open', NULL, NULL),
        (3, 2, 3, 'failed', 'lost', '2026-01-02T03:04:05.678Z');
    INSERT INTO steps (turn, seq, kind, body) VALUES (1, 1, 'thought', '{"kind":"thought","message":{"content":"The bike."}}');
    INSERT INTO outbox (id, turn, session, channel, text, sent, platform_id) VALUES
        (1, 1, 1, 'terminal', 'The bike.', '2026-01-02T03:04:05.678Z', '99'), (2, 3, 1, 'terminal', 'The tea is lost.', NULL, NULL),
        (3, 3, 77, 'terminal', 'To a session that is gone.', NULL, NULL), (9, 1, 1, 'terminal', 'deleted', NULL, NULL);
    DELETE FROM outbox WHERE id = 9;
    INSERT INTO grants (session, rule) VALUES (1, '{"tool":"shell"}');
    INSERT INTO summaries (session, upto, text) VALUES (1, 1, 'Of a bike.');
    INSERT INTO jobs (name, kind, schedule, zone, text, channel, session, missed, created, next, turn)
        VALUES ('tea', 'reminder', '0 8 * * *', 'UTC', 'tea', 'terminal', 'main', 'once', 1, 2, 3);
    INSERT INTO files (turn, call, root, path, made) VALUES (1, 'c1', '/w', 'a.txt', 1);
    INSERT INTO skills (name, hash, text) VALUES ('bake', 'h', 'Bake.');
    INSERT INTO notes (id, key, text, at, source_turn, pinned) VALUES ('n1', 'k', 'my bike is green', '2026-01-02T03:04:05.678Z', 1, 1);
"#;

async fn check(version: usize, more: &str) {
    let home = home(version, &format!("{JOURNAL}{more}"));
    let store = Store::open(home.path()).unwrap();
    store.check().await.unwrap();

    let unsent = store.unsent("terminal").await.unwrap();
    let unsent: Vec<_> = unsent.iter().map(|row| (row.id, row.turn, row.text.as_str(), row.from.as_deref())).collect();
    assert_eq!(unsent, [(2, Some(3), "The tea is lost.", Some("job-tea"))], "version {version}");
    let open = store.open_turns(None).await.unwrap();
    assert_eq!(open.iter().map(|turn| (turn.id, turn.text.as_str())).collect::<Vec<_>>(), [(2, "and red?")]);
    assert_eq!((open[0].message.as_ref(), open[0].person.as_ref()), (None, None));
    assert_eq!(store.steps(1).await.unwrap().len(), 1);
    let repeated = Inbound { channel: "terminal".into(), session: "main".into(), platform_id: Some("p1".into()), ..Inbound::default() };
    assert!(store.accept(repeated).await.unwrap().repeated);
    let said: Vec<String> = store
        .run(|connection| {
            let mut statement = connection.prepare("SELECT concat_ws('|', session, turn, seq, role, text) FROM messages")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
        .unwrap();
    let expected = [
        "main|1|0|user|what is green?",
        "main|1|1|assistant|The bike.",
        "main|2|0|user|and red?",
        "job-tea|3|0|user|tea",
        "job-tea|3|1|assistant|The tea is lost.",
    ];
    assert_eq!(said, expected, "version {version}");
    let found = store.search(Search::words("green bike", 5)).await.unwrap();
    assert_eq!(found.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), ["n1"], "version {version}");
    assert_eq!(store.jobs().await.unwrap().len(), 1);
    let near = Search { vector: Some(vec![1.0, 0.0]), ..Search::words("", 5) };
    let near: Vec<String> = store.search(near).await.unwrap().into_iter().map(|found| found.why).collect();
    assert_eq!(near, if version == 9 { vec!["vector 1.00"] } else { vec![] }, "version {version}");

    // Numbers go on where they were: the last one given was 9.
    assert_eq!(store.finish(2, TurnState::Done, "x", Some(Outbound { text: "Roses.".into() })).await, Ok(Some(10)));
    assert_eq!(store.say("terminal", "main", "hello", Some("x")).await, Ok(11));
    store.remove_session("main").await.unwrap();
    assert_eq!(store.unsent("terminal").await, Ok(vec![]));
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_filled_database_of_an_older_version_is_brought_up_to_date() {
    check(5, "").await;
    let vector = "
        INSERT INTO facts (name, value) VALUES ('embedder', 'mini'), ('vector_dimension', '2');
        DELETE FROM vectors_wanted;
        INSERT INTO vectors (note, vector) VALUES (1, x'0000803f00000000');
        INSERT INTO vector_codes (note, class, code) VALUES (1, 0, x'01');";
    check(9, vector).await;
}
