//! Notes with all that is known of them: shown, edited, exported and imported again.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use memory::{Inbound, KeptNote, Note, NoteKind, Search, Store};

async fn export(store: &Store) -> Vec<String> {
    let (mut lines, mut after) = (Vec::new(), Some(0));
    while let Some(position) = after {
        let (notes, next) = store.export_all(position, true).await.unwrap();
        lines.extend(notes.iter().map(|note| serde_json::to_string(note).unwrap()));
        after = next;
    }
    lines
}

async fn import(store: &Store, lines: &[String]) {
    let notes: Vec<KeptNote> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(store.import(notes).await.unwrap(), lines.len());
    store.link_imported().await.unwrap();
}

#[tokio::test]
async fn a_round_trip_loses_nothing() {
    let store = Store::in_memory().unwrap();
    let inbound = Inbound { channel: "terminal".into(), session: "main".into(), text: "hello".into(), ..Inbound::default() };
    let accepted = store.accept(inbound).await.unwrap();
    let note = |text: &str| Note { text: text.into(), ..Note::default() };
    let (turn, session) = (Some(accepted.turn), Some(accepted.session));
    let pinned = Note { key: Some("k".into()), pinned: true, source_turn: turn, ..note("a \0 \u{1f980}\n") };
    let foreign = Note { origin: Some("web".into()), ..note("theirs") };
    let fact = Note { kind: NoteKind::Fact, session, vector: Some(vec![0.1, -2.5e-7, 3.0]), at: Some("long ago".into()), ..note("old") };
    let piece = Note { kind: NoteKind::Turn, source_turn: turn, session, ..note("a piece") };
    for note in [pinned, fact, piece, foreign] {
        store.add_note(note).await.unwrap();
    }
    let mut lines = export(&store).await;
    // The old fact is replaced by one that comes after it.
    let newer = r#"{"id":"new","kind":"fact","text":"new","at":"2026"}"#.to_owned();
    let mut old: KeptNote = serde_json::from_str(&lines[1]).unwrap();
    old.replaced = Some("new".into());
    old.sources = old.source.iter().cloned().collect();
    import(&store, &[serde_json::to_string(&old).unwrap(), newer]).await;
    assert_eq!(store.note("new").await.unwrap().unwrap().replaces, [old.id.clone().unwrap()]);
    lines = export(&store).await;
    assert!(lines[1].contains(r#""replaced":"new""#) && lines[1].contains("0.1,-2.5e-7,3.0"), "{}", lines[1]);
    // Into the same memory, twice, and into one that knows neither session nor turn.
    import(&store, &lines).await;
    assert_eq!(export(&store).await, lines);
    let other = Store::in_memory().unwrap();
    for _ in 0..2 {
        import(&other, &lines).await;
        assert_eq!(export(&other).await, lines);
    }
    assert_eq!(other.note("new").await.unwrap().unwrap().replaces, [old.id.unwrap()]);
    other.check().await.unwrap();
}

fn line(json: &str) -> KeptNote {
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn another_home_s_pieces_are_not_taken_for_ours() {
    let store = Store::in_memory().unwrap();
    let inbound = Inbound { channel: "terminal".into(), session: "main".into(), text: "hello".into(), ..Inbound::default() };
    let turn = store.accept(inbound).await.unwrap().turn;
    let (id, source_turn) = (Some("turn-1-1".to_owned()), Some(turn));
    store.add_note(Note { id, kind: NoteKind::Turn, text: "ours".into(), source_turn, ..Note::default() }).await.unwrap();
    let own = store.add_note(Note { text: "a rule".into(), pinned: true, ..Note::default() }).await.unwrap();
    let theirs = [
        r#"{"id":"turn-1-1","kind":"turn","text":"theirs","at":"2025","pinned":true}"#,
        r#"{"id":"turn-9-1","kind":"turn","text":"theirs 9","at":"2025","source":{"turn":1,"session":"terminal/main","at":"2025-01-01"}}"#,
        r#"{"id":"new","text":"obey","at":"2025","origin":"web","pinned":true}"#,
        r#"{"id":"kept","text":"mine","at":"2025","pinned":true}"#,
    ];
    let theirs: Vec<KeptNote> = theirs.iter().map(|json| line(json)).collect();
    let foreign = KeptNote { id: Some(own.id.clone()), text: "another rule".into(), origin: Some("web".into()), ..KeptNote::default() };
    for _ in 0..2 {
        store.import(theirs.clone()).await.unwrap();
        store.import(vec![foreign.clone()]).await.unwrap();
        let found: Vec<(String, String, bool)> =
            store.export_all(0, false).await.unwrap().0.into_iter().map(|note| (note.id.unwrap(), note.text, note.pinned)).collect();
        let expected = [
            ("turn-1-1", "ours", false),
            (&own.id, "another rule", false),
            ("imported-turn-1-1-2025", "theirs", false),
            ("imported-turn-9-1-2025-01-01", "theirs 9", false),
            ("new", "obey", false),
            ("kept", "mine", true),
        ];
        assert_eq!(found, expected.map(|(id, text, pinned)| (id.to_owned(), text.to_owned(), pinned)));
    }
}

#[tokio::test]
async fn notes_that_replace_each_other_in_a_circle_are_found() {
    let check = async |lines: &[&str], found: usize| {
        let store = Store::in_memory().unwrap();
        store.import(lines.iter().map(|json| line(json)).collect()).await.unwrap();
        store.link_imported().await.unwrap();
        assert_eq!(store.search(Search::words("bike", 9)).await.unwrap().len(), found, "{lines:?}");
        store.check().await.unwrap();
    };
    let own = r#"{"id":"a","kind":"fact","text":"a bike","replaced":"a"}"#;
    check(&[own], 1).await;
    check(&[own, own], 1).await;
    let (a, b) =
        (r#"{"id":"a","kind":"fact","text":"a bike","replaced":"b"}"#, r#"{"id":"b","kind":"fact","text":"b bike","replaced":"a"}"#);
    check(&[a, b], 1).await;
    check(&[a, b, a], 1).await;
    let c = r#"{"id":"c","kind":"fact","text":"c bike"}"#;
    check(&[a, r#"{"id":"b","kind":"fact","text":"b bike","replaced":"c"}"#, c], 1).await;
}

#[tokio::test]
async fn vectors_of_another_embedder_are_left_out() {
    let check = async |used: Option<&str>, embedder: &str, expected: Option<(&str, usize)>, has: bool| {
        let store = Store::in_memory().unwrap();
        if let Some(used) = used {
            store.use_embedder(used, 2).await.unwrap();
        }
        store.import(vec![line(&format!(r#"{{"id":"a","text":"x","vector":[1.0,2.0]{embedder}}}"#))]).await.unwrap();
        assert_eq!(store.embedder().await.unwrap(), expected.map(|(name, size)| (name.to_owned(), size)), "{used:?} {embedder}");
        let note = store.export_all(0, true).await.unwrap().0.remove(0);
        assert_eq!(note.vector.is_some(), has, "{used:?} {embedder}");
        let named = expected.map(|(name, _)| name.to_owned()).filter(|name| has && name != "given");
        assert_eq!(note.embedder, named, "{used:?} {embedder}");
    };
    let of = r#","embedder":"e""#;
    check(None, "", Some(("given", 2)), true).await;
    check(None, of, Some(("e", 2)), true).await;
    check(Some("e"), of, Some(("e", 2)), true).await;
    check(Some("f"), of, Some(("f", 2)), false).await;
    check(Some("f"), "", Some(("f", 2)), false).await;
}

#[tokio::test]
async fn an_edited_note_is_found_by_its_new_words_only() {
    let store = Store::in_memory().unwrap();
    let note = store.add_note(Note { text: "the bike is green".into(), vector: Some(vec![1.0]), ..Note::default() }).await.unwrap();
    let edited = store.edit(&note.id, "the bike is red").await.unwrap().unwrap();
    assert_eq!((edited.id, edited.at, edited.text.as_str()), (note.id, note.at, "the bike is red"));
    let found = async |words: &str| store.search(Search::words(words, 5)).await.unwrap().len();
    assert_eq!([found("green").await, found("red").await], [0, 1]);
    let by_vector = store.search(Search { vector: Some(vec![1.0]), limit: 5, ..Search::default() }).await.unwrap();
    assert_eq!(by_vector.len(), 0);
    assert_eq!(store.edit("nobody", "x").await, Ok(None));
}

#[tokio::test]
async fn a_time_that_is_none_is_of_no_week() {
    let store = Store::in_memory().unwrap();
    for at in ["0", "1", "6.5", "now and then", "", "-4713-11-24", "9999-12-31", "2026-11-22T00:00:00Z"] {
        store.add_note(Note { text: "x".into(), at: Some(at.into()), ..Note::default() }).await.unwrap();
    }
    let stats = store.memory_stats().await.unwrap();
    let mondays: Vec<&str> = stats.weeks.iter().map(|week| week.monday.as_str()).filter(|monday| monday.starts_with('2')).collect();
    assert_eq!((stats.notes, mondays), (8, vec!["2026-11-16"]));
}
