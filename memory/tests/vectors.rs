//! Whose vectors they are, what has none, and what is left of them when they go.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use memory::{Note, Search, Store, StoreError, Unembedded};

/// Tells a copy of this test program that it is the one to be killed, and its home.
const CHILD_HOME: &str = "MEMORY_TEST_EMBEDDER_HOME";

fn note(id: &str, text: &str) -> Note {
    Note { id: Some(id.into()), text: text.into(), ..Note::default() }
}

/// The texts of what has no vector.
async fn wanted(store: &Store, limit: usize) -> Vec<String> {
    store.without_vector(limit).await.unwrap().into_iter().map(|note| note.text).collect()
}

fn embedded(notes: Vec<Unembedded>, vector: &[f32]) -> Vec<(Unembedded, Vec<f32>)> {
    notes.into_iter().map(|note| (note, vector.to_vec())).collect()
}

async fn near(store: &Store, vector: &[f32]) -> Vec<String> {
    let search = Search { vector: Some(vector.to_vec()), ..Search::words("", 10) };
    let mut ids: Vec<String> = store.search(search).await.unwrap().into_iter().map(|found| found.id).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn vectors_are_one_embedders() {
    let store = Store::in_memory().unwrap();
    assert_eq!(store.embedder().await, Ok(None));
    store.add_notes(vec![note("a", "first"), note("b", "second"), note("c", "third"), note("d", "fourth")]).await.unwrap();
    assert_eq!(wanted(&store, 3).await, ["fourth", "third", "second"]);
    let other = StoreError::OtherEmbedder { given: "mini".into(), known: "none".into() };
    assert_eq!(store.put_vectors("mini", vec![]).await, Err(other));
    assert_eq!(store.use_embedder("mini", 2).await, Ok(true));
    assert_eq!(store.use_embedder("mini", 2).await, Ok(false));
    assert_eq!(store.embedder().await, Ok(Some(("mini".into(), 2))));

    // Between the asking and the answer one has gone and one has another text.
    let asked = store.without_vector(10).await.unwrap();
    store.forget("a").await.unwrap();
    store.add_note(note("b", "second, changed")).await.unwrap();
    assert_eq!(store.put_vectors("mini", embedded(asked.clone(), &[1.0, 0.0])).await, Ok(2));
    assert_eq!(store.put_vectors("mini", embedded(asked, &[0.0, 1.0])).await, Ok(0));
    assert_eq!((near(&store, &[1.0, 0.0]).await, wanted(&store, 10).await), (vec!["c".into(), "d".into()], vec!["second, changed".into()]));
    assert_eq!(store.vector_counts().await, Ok((2, 3)));

    // One that has no direction is not asked for again; one of another dimension is refused with all of its batch.
    let wrong = embedded(store.without_vector(10).await.unwrap(), &[1.0, 0.0, 0.0]);
    assert_eq!(store.put_vectors("mini", wrong).await, Err(StoreError::WrongDimension { given: 3, expected: 2 }));
    for bad in [[f32::NAN, 1.0], [f32::INFINITY, 1.0], [0.0, 0.0]] {
        store.add_note(note("e", &format!("{bad:?}"))).await.unwrap();
        let asked = store.without_vector(1).await.unwrap();
        assert_eq!(store.put_vectors("mini", embedded(asked, &bad)).await, Ok(0));
        assert_eq!(wanted(&store, 10).await, ["second, changed"]);
    }
    // Another embedder: everything is wanted, and found by words meanwhile.
    assert_eq!(store.use_embedder("large", 3).await, Ok(true));
    assert_eq!((wanted(&store, 10).await.len(), store.vector_counts().await), (4, Ok((0, 4))));
    assert_eq!(near(&store, &[1.0, 0.0, 0.0]).await, Vec::<String>::new());
    assert_eq!(store.search(Search::words("third", 5)).await.unwrap().len(), 1);
    let other = StoreError::OtherEmbedder { given: "mini".into(), known: "large".into() };
    assert_eq!(store.put_vectors("mini", vec![]).await, Err(other));
    let asked = store.without_vector(10).await.unwrap();
    assert_eq!(store.put_vectors("large", embedded(asked, &[0.0, 1.0, 0.0])).await, Ok(4));
    assert_eq!(near(&store, &[0.0, 1.0, 0.0]).await.len(), 4);
    for (name, dimension) in [("x", 0), ("x", 8_193)] {
        assert!(matches!(store.use_embedder(name, dimension).await, Err(StoreError::BadVector { .. })));
    }
    // What an import brings is nobody's that is known.
    store.drop_vectors().await.unwrap();
    store.add_note(Note { vector: Some(vec![1.0]), ..note("f", "x") }).await.unwrap();
    assert_eq!(store.embedder().await, Ok(Some(("given".into(), 1))));
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_deleted_vector_is_gone_from_the_disk() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let vector = |seed: u16| -> Vec<f32> { (0..384_u16).map(|index| f32::from(index.wrapping_mul(seed)) * 1.618 - 3.0).collect() };
    let on_disk = |vector: &[f32]| {
        let part: Vec<u8> = vector[100..116].iter().flat_map(|number| number.to_le_bytes()).collect();
        ["paguro.db", "paguro.db-wal"].iter().any(|name| {
            let bytes = std::fs::read(home.path().join(name)).unwrap_or_default();
            bytes.windows(part.len()).any(|window| window == part)
        })
    };
    for (id, seed) in [("a", 3), ("b", 5), ("c", 7), ("d", 11)] {
        store.add_note(Note { vector: Some(vector(seed)), ..note(id, id) }).await.unwrap();
    }
    assert!([3, 5, 7, 11].iter().all(|seed| on_disk(&vector(*seed))));
    store.forget("a").await.unwrap();
    assert_eq!([3, 5, 7, 11].map(|seed| on_disk(&vector(seed))), [false, true, true, true]);
    // They are taken for those of the first embedder of their dimension.
    assert_eq!(store.use_embedder("first", 384).await, Ok(false));
    assert_eq!(store.use_embedder("other", 384).await, Ok(true));
    assert_eq!([3, 5, 7, 11].map(|seed| on_disk(&vector(seed))), [false; 4]);
}

/// Notes of the test of being killed: more than are deleted at once.
const MANY: usize = 6_000;

/// Not a test of its own: the child that changes its embedder again and again until it is killed.
#[tokio::test]
async fn child() {
    let Some(home) = std::env::var_os(CHILD_HOME) else { return };
    let store = Store::open(Path::new(&home)).unwrap();
    println!("ready");
    for name in ["b", "a"].iter().cycle() {
        store.use_embedder(name, 64).await.unwrap();
        loop {
            let asked = store.without_vector(500).await.unwrap();
            if asked.is_empty() {
                break;
            }
            store.put_vectors(name, embedded(asked, &[1.0; 64])).await.unwrap();
            println!("a step");
        }
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_a_change_it_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let vector = || Some(vec![1.0; 64]);
    store.add_notes((0..MANY).map(|number| Note { vector: vector(), ..note(&number.to_string(), "x") }).collect()).await.unwrap();
    drop(store);
    for (round, steps) in [1, 0, 2, 6, 13, 0].into_iter().enumerate() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD_HOME, home.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Somewhere in the middle: while the old vectors are deleted, or after so many batches of new ones.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("ready")));
        for _ in 0..steps {
            assert!(lines.any(|line| line.contains("a step")));
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let store = Store::open(home.path()).unwrap();
        store.check().await.unwrap();
        let (with, all) = store.vector_counts().await.unwrap();
        assert!(all == MANY as u64 && with <= all, "{with} of {all}");
        if let Some((name, dimension)) = store.embedder().await.unwrap() {
            assert_eq!((name.len(), dimension, store.use_embedder(&name, dimension).await), (name.len(), 64, Ok(false)));
        }
        // Another one each time: the child may have been killed before it changed anything.
        let name = format!("whole {round}");
        store.use_embedder(&name, 64).await.unwrap();
        assert_eq!(store.vector_counts().await, Ok((0, MANY as u64)));
        let asked = store.without_vector(MANY).await.unwrap();
        assert_eq!(store.put_vectors(&name, embedded(asked, &[1.0; 64])).await, Ok(1_000));
        store.check().await.unwrap();
    }
}
