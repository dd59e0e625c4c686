//! Facts and pieces of turns: where they come from, and what becomes of them.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use memory::{Fact, Inbound, Note, NoteKind, Search, Store, TurnState};

async fn turn(store: &Store, session: &str, text: &str) -> i64 {
    let inbound = Inbound { channel: "terminal".into(), session: session.into(), text: text.into(), ..Inbound::default() };
    let turn = store.accept(inbound).await.unwrap().turn;
    let piece =
        Note { id: Some(format!("turn-{turn}-1")), kind: NoteKind::Turn, text: text.into(), source_turn: Some(turn), ..Note::default() };
    store.finish_and_keep(turn, TurnState::Done, "noted", None, vec![piece]).await.unwrap();
    turn
}

async fn found(store: &Store, text: &str) -> Vec<String> {
    store.search(Search::words(text, 10)).await.unwrap().into_iter().map(|found| found.text).collect()
}

fn fact(text: &str, turn: i64, replaces: Option<String>) -> Fact {
    Fact { text: text.into(), sources: vec![turn], replaces, origin: None }
}

#[tokio::test]
async fn a_fact_is_distilled_once_and_replaced_by_a_newer_one() {
    let store = Store::in_memory().unwrap();
    assert_eq!(store.undistilled(vec![]).await, Ok(None));
    let first = turn(&store, "a", "Ada moved to Oslo").await;
    let other = turn(&store, "b", "nothing of note").await;
    assert_eq!(store.undistilled(vec![]).await, Ok(Some((first, 0))));
    store.distilled(1, first, vec![fact("Ada lives in Oslo.", first, None)]).await.unwrap();
    assert_eq!(store.undistilled(vec![]).await, Ok(Some((other, 0))));
    store.distilled(2, other, vec![]).await.unwrap();
    assert_eq!(store.undistilled(vec![]).await, Ok(None));

    let second = turn(&store, "a", "Ada moved to Bergen").await;
    assert_eq!(store.undistilled(vec![]).await, Ok(Some((second, first))));
    let notes = store.list(10, 0).await.unwrap();
    let [oslo] = notes.as_slice() else { panic!("{notes:?}") };
    let again = vec![fact("ada lives in oslo.", second, None), fact("Ada lives in Bergen.", second, Some(oslo.id.clone()))];
    store.distilled(1, second, again).await.unwrap();
    assert_eq!(
        found(&store, "where does Ada live").await.iter().filter(|text| text.contains("lives in")).count(),
        1,
        "the newer one alone"
    );
    // Without the newer one the older one holds again.
    let bergen = store.list(10, 0).await.unwrap().into_iter().find(|note| note.text.contains("Bergen")).unwrap();
    store.forget(&bergen.id).await.unwrap();
    assert!(found(&store, "where does Ada live").await.contains(&"Ada lives in Oslo.".to_owned()));
}

#[tokio::test]
async fn pieces_go_with_their_turn_and_facts_stay() {
    let store = Store::in_memory().unwrap();
    let first = turn(&store, "a", "the heron is grey").await;
    let second = turn(&store, "a", "the heron is tall").await;
    store.distilled(1, first, vec![fact("Herons are grey birds.", first, None)]).await.unwrap();
    assert_eq!(found(&store, "heron").await.len(), 3);
    assert_eq!(store.undo(1).await.unwrap().map(|turn| turn.id), Some(second));
    assert_eq!(found(&store, "heron").await.len(), 2, "an undone turn was never said");
    store.remove_session("a").await.unwrap();
    assert_eq!(found(&store, "heron").await, ["Herons are grey birds."]);
}
