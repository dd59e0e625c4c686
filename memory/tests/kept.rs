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
    let pinned = Note { key: Some("k".into()), origin: Some("web".into()), pinned: true, source_turn: turn, ..note("a \0 \u{1f980}\n") };
    let fact = Note { kind: NoteKind::Fact, session, vector: Some(vec![0.1, -2.5e-7, 3.0]), at: Some("long ago".into()), ..note("old") };
    let piece = Note { kind: NoteKind::Turn, source_turn: turn, session, ..note("a piece") };
    for note in [pinned, fact, piece] {
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
