//! Forgetting: what was said is gone from every table, and from the bytes of the files.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::path::Path;

use memory::{FORGOTTEN, Fact, Forget, Inbound, Note, NoteKind, NoteRow, Outbound, Store, SummaryRow, TurnState};
use serde_json::{Value, json};

/// The note, as it is forgotten, and two ways to say it.
const NOTE: &str = "the vault opens with \"quixotry-4711\"\nand Ölkännchen";
const SAID: &str = "please remember: The vault  opens with \"quixotry-4711\" and Ölkännchen. And feed the cat.";
const TOLD: &str = "Done. The code quixotry-4711 is kept! Anything else?";

/// What no file may hold afterwards: parts of the note in UTF-8 and as JSON writes them.
const BYTES: [&str; 4] = ["quixotry", "opens with", "lkännchen", "\\u00d6lk"];

fn on_disk(home: &Path, text: &[u8]) -> bool {
    ["paguro.db", "paguro.db-wal"].iter().any(|name| {
        let bytes = std::fs::read(home.join(name)).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text)
    })
}

/// A home with a turn of everything, the note, and a fact that was distilled from the turn.
async fn told(home: &Path) -> (Store, NoteRow, i64) {
    let store = Store::open(home).unwrap();
    let session = |name: &str, text: &str| Inbound {
        channel: "terminal".into(),
        session: name.into(),
        text: text.into(),
        data: Some(format!("a file says {NOTE}, twice {NOTE}")),
        ..Inbound::default()
    };
    let accepted = store.accept(session("main", SAID)).await.unwrap();
    let turn = accepted.turn;
    let note = Note { text: NOTE.into(), source_turn: Some(turn), vector: Some(vec![0.625, 0.25, 0.125]), pinned: true, ..Note::default() };
    let note = store.add_note(note).await.unwrap();
    let fact = Note { text: "The vault's code is quixotry-4711".into(), kind: NoteKind::Fact, source_turn: Some(turn), ..Note::default() };
    store.add_note(fact).await.unwrap();
    let piece = Note { text: format!("you: {SAID}\npaguro: {TOLD}"), kind: NoteKind::Turn, source_turn: Some(turn), ..Note::default() };
    store.add_note(piece).await.unwrap();
    store.add_note(Note { text: "the cat is grey".into(), ..Note::default() }).await.unwrap();
    let thought = json!({"kind": "thought", "message": {"role": "assistant", "content": TOLD, "tokens": [71, 72], "tool_calls": [
        {"id": "c1", "name": "remember", "arguments": {"text": NOTE}}]}, "reason": "stop"});
    let ascii = r#"["the vault opens with \"quixotry-4711\"\nand \u00d6lk\u00e4nnchen"]"#;
    for (kind, body) in [
        ("began", json!({"kind": "began", "content": SAID, "notes": [], "from": turn})),
        ("thought", thought),
        ("asked", json!({"kind": "asked", "call": "c1", "hash": "h", "reason": format!("it would keep {NOTE}"), "rule": {"text": NOTE}})),
        ("result", json!({"kind": "result", "call": "c1", "ok": true, "content": format!("kept {ascii} and {}", json!({"text": NOTE}))})),
    ] {
        store.append(turn, kind, body).await.unwrap();
    }
    store.finish(turn, TurnState::Done, TOLD, Some(Outbound { text: TOLD.into() })).await.unwrap();
    store.undo(accepted.session).await.unwrap();
    // In another session it came up, shortened.
    let other = store.accept(session("other", "what about the vault?")).await.unwrap();
    let line = NOTE.split_whitespace().collect::<Vec<_>>().join(" ");
    let tail: String = line.chars().take(30).collect();
    let began = json!({"kind": "began", "content": format!("hi\n\n[time: x]\n[note: {tail}…]"), "notes": [note.id], "from": turn});
    store.append(other.turn, "began", began).await.unwrap();
    let told = json!({"kind": "thought", "message": {"role": "assistant", "content": TOLD}, "reason": "stop"});
    store.append(other.turn, "thought", told).await.unwrap();
    let summary = SummaryRow { upto: other.turn, text: format!("They spoke of cats. {TOLD}"), origin: None };
    store.add_summary(other.session, summary).await.unwrap();
    store.set_system_block(other.session, format!("You are x.\n- {line}\n")).await.unwrap();
    store.grant(other.session, json!({"tool": "shell", "command": NOTE})).await.unwrap();
    (store, note, turn)
}

#[tokio::test]
async fn nothing_is_left_of_it() {
    let home = tempfile::tempdir().unwrap();
    let (store, note, turn) = told(home.path()).await;
    let vector: Vec<u8> = [0.625_f32, 0.25, 0.125].iter().flat_map(|number| number.to_ne_bytes()).collect();
    assert!(on_disk(home.path(), b"quixotry") && on_disk(home.path(), &vector[..8]));

    let forget = Forget { ids: vec![note.id.clone(), "nobody".into()], ..Forget::default() };
    let would = store.would_forget(forget.clone()).await.unwrap();
    assert!(on_disk(home.path(), b"quixotry"));
    let forgotten = store.forget_all(forget).await.unwrap();
    assert_eq!(forgotten, would);
    let texts: Vec<&str> = forgotten.notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!((texts, forgotten.unknown), (vec![NOTE, "The vault's code is quixotry-4711"], vec!["nobody".to_owned()]));
    let sessions = ["main", "other"].map(|name| ("terminal".to_owned(), name.to_owned()));
    assert_eq!(forgotten.sessions, sessions);
    assert_eq!(forgotten.sources, [(turn, format!("please remember: {FORGOTTEN}. And feed the cat."))]);

    for bytes in BYTES {
        assert!(!on_disk(home.path(), bytes.as_bytes()), "{bytes}");
    }
    assert!(!on_disk(home.path(), &vector[..8]), "the vector");
    assert!(on_disk(home.path(), b"the cat is grey") && on_disk(home.path(), b"And feed the cat"));
    store.check().await.unwrap();

    // What is left can be read, and says what it said elsewhere.
    let steps: Vec<Value> = store.steps(turn).await.unwrap().into_iter().map(|step| step.body).collect();
    let said = format!("please remember: {FORGOTTEN}. And feed the cat.");
    assert_eq!(steps[0], json!({"kind": "began", "content": said, "notes": [], "from": turn}));
    let told = format!("Done. {FORGOTTEN} Anything else?");
    let thought = json!({"kind": "thought", "message": {"role": "assistant", "content": told, "tool_calls": [
        {"id": "c1", "name": "remember", "arguments": {"text": FORGOTTEN}}]}, "reason": "stop"});
    assert_eq!(steps[1], thought);
    assert_eq!(steps[2], json!({"kind": "asked", "call": "c1", "hash": "h", "reason": format!("it would keep {FORGOTTEN}")}));
    // Steps are append-only again.
    drop(store);
    let connection = rusqlite::Connection::open(home.path().join("paguro.db")).unwrap();
    let refused = connection.execute("UPDATE steps SET body = '1'", []).unwrap_err().to_string();
    assert_eq!(refused, "steps are append-only");
}

#[tokio::test]
async fn words_and_whole_turns() {
    async fn check(forget: impl FnOnce(&NoteRow, i64) -> Forget, left: &str) {
        let home = tempfile::tempdir().unwrap();
        let (store, note, turn) = told(home.path()).await;
        store.forget_all(forget(&note, turn)).await.unwrap();
        assert_eq!(store.turn(turn).await.unwrap().unwrap().text, left);
        assert!(!on_disk(home.path(), b"quixotry"));
    }
    let matching = |text: &str| Forget { matching: Some(text.into()), ..Forget::default() };
    check(|_, _| matching("QUIXOTRY-4711"), "please remember: [forgotten]. And feed the cat.").await;
    let whole = |note: &NoteRow, _| Forget { ids: vec![note.id.clone()], with_turns: true, ..Forget::default() };
    check(whole, FORGOTTEN).await;
}

#[tokio::test]
async fn what_was_drawn_from_forgotten_turns_goes_with_them() {
    async fn check(with_turns: bool) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let say = async |text: &str| {
            let inbound = Inbound { channel: "c".into(), session: "s".into(), text: text.into(), ..Inbound::default() };
            let accepted = store.accept(inbound).await.unwrap();
            store.finish(accepted.turn, TurnState::Done, "noted", Some(Outbound { text: "noted".into() })).await.unwrap();
            accepted
        };
        let first = say("my sister Zymurgia lives in Reykjavik").await;
        let second = say("she likes tea").await;
        let piece = Note { id: Some("turn-1-1".into()), kind: NoteKind::Turn, text: "you: my sister Zymurgia".into(), ..Note::default() };
        store.add_note(Note { source_turn: Some(first.turn), ..piece }).await.unwrap();
        let note = |text: &str, turn: i64| Note { text: text.into(), source_turn: Some(turn), ..Note::default() };
        let told = store.add_note(note("the owner's sister is in Reykjavik", first.turn)).await.unwrap();
        store.add_note(note("buy bread tomorrow", first.turn)).await.unwrap();
        let fact = |text: &str, sources: &[i64]| Fact { text: text.into(), sources: sources.to_vec(), ..Fact::default() };
        let facts = vec![
            fact("Zymurgia is kin", &[first.turn]),
            fact("Someone visited Iceland", &[first.turn]),
            fact("She enjoys hot drinks", &[first.turn, second.turn]),
        ];
        store.distilled(first.session, second.turn, facts).await.unwrap();
        let summary = SummaryRow { upto: second.turn, text: "They spoke of Zymurgia.".into(), origin: None };
        store.add_summary(first.session, summary).await.unwrap();

        let id = if with_turns { told.id } else { "turn-1-1".into() };
        let forgotten = store.forget_all(Forget { ids: vec![id], with_turns, ..Forget::default() }).await.unwrap();
        assert_eq!(forgotten.notes.len(), if with_turns { 3 } else { 4 }, "{forgotten:?}");
        let mut left: Vec<String> = store.list(10, 0).await.unwrap().into_iter().map(|note| note.text).collect();
        left.sort();
        assert_eq!(left, ["She enjoys hot drinks", "buy bread tomorrow"]);
        assert_eq!(store.summary(first.session).await.unwrap(), None);
        assert_eq!(store.turn(second.turn).await.unwrap().unwrap().text, "she likes tea");
        for word in ["Zymurgia", "Reykjavik", "Iceland"] {
            assert!(!on_disk(home.path(), word.as_bytes()), "{word}");
        }
    }
    check(false).await;
    check(true).await;
}

#[tokio::test]
async fn words_beside_the_texts_go_and_names_stay() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let inbound = Inbound { channel: "c".into(), session: "on quixotry".into(), text: "hello".into(), ..Inbound::default() };
    let accepted = store.accept(inbound).await.unwrap();
    for number in 0..2 {
        let (origin, key) = (Some("quixotry.example".to_owned()), Some(format!("quixotry {number}")));
        store.add_note(Note { text: "the cat is grey".into(), origin, key, ..Note::default() }).await.unwrap();
    }
    let imported = r#"{"id":"a","text":"x","session":"c/quixotry"}"#;
    store.import(vec![serde_json::from_str(imported).unwrap()]).await.unwrap();
    let origin = Some("quixotry.example".to_owned());
    store.add_summary(accepted.session, SummaryRow { upto: accepted.turn, text: "tea".into(), origin }).await.unwrap();

    let forget = Forget { matching: Some("quixotry".into()), ..Forget::default() };
    let forgotten = store.forget_all(forget).await.unwrap();
    let what: Vec<&str> = forgotten.places.iter().map(|place| place.what).collect();
    assert_eq!(what, ["origin of a note", "key of a note", "source of an imported note", "origin of a summary"]);
    assert_eq!(forgotten.stays.iter().map(|place| place.what).collect::<Vec<_>>(), ["name of a session"]);
    let (notes, _) = store.export_all(0, false).await.unwrap();
    let rest: Vec<_> = notes.into_iter().map(|note| (note.origin, note.key, note.session)).collect();
    let some = |text: &str| Some(text.to_owned());
    let note = (some("[forgotten].example"), None, None);
    assert_eq!(rest, [note.clone(), note, (None, None, some("c/[forgotten]"))]);
}

/// Tells a copy of this test program that it is the one to be killed, and its home.
const CHILD_HOME: &str = "MEMORY_FORGET_CHILD_HOME";

/// Not a test of its own: what the child process of the test below does.
#[tokio::test]
async fn child() {
    let Some(home) = std::env::var_os(CHILD_HOME) else { return };
    let store = Store::open(Path::new(&home)).unwrap();
    println!("ready");
    store.forget("the-note").await.unwrap();
}

#[tokio::test]
async fn killed_in_the_middle_all_or_nothing_is_gone() {
    let mut seen = [0, 0];
    // How long the write-ahead log is when the kill falls; of one that never gets so long the end is waited for.
    for bytes in [0, 1, 10_000, 100_000, 200_000, 300_000, 400_000, u64::MAX] {
        let home = tempfile::tempdir().unwrap();
        let (store, _, turn) = told(home.path()).await;
        store.add_note(Note { id: Some("the-note".into()), text: "a Quixotry of its own".into(), ..Note::default() }).await.unwrap();
        for _ in 0..200 {
            let inbound = Inbound { channel: "c".into(), session: "s".into(), text: "a Quixotry of its own".into(), ..Inbound::default() };
            store.accept(inbound).await.unwrap();
        }
        drop(store);
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD_HOME, home.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap())).map_while(Result::ok);
        assert!(lines.any(|line| line.contains("ready")));
        let log = home.path().join("paguro.db-wal");
        while std::fs::metadata(&log).map_or(0, |log| log.len()) < bytes && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let store = Store::open(home.path()).unwrap();
        store.check().await.unwrap();
        let is_there = store.note("the-note").await.unwrap().is_some();
        seen[usize::from(is_there)] += 1;
        for row in store.open_turns(Some("c/s")).await.unwrap() {
            assert_eq!(row.text.contains("Quixotry"), is_there);
        }
        assert!(store.turn(turn).await.unwrap().is_some());
        // The second try finishes what is left to do.
        assert_eq!(store.forget("the-note").await, Ok(is_there));
        assert!(!on_disk(home.path(), b"Quixotry"));
    }
    assert!(seen[0] > 0, "no forgetting came to its end: {seen:?}");
}
