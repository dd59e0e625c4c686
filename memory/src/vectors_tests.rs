//! Tests of the search by meaning against one that compares everything.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::*;

/// Numbers that look like chance and are the same every time (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    /// About normally distributed.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.below(1 << 20) as f32 / (1 << 20) as f32).sum::<f32>() - 6.0
    }

    fn vector(&mut self, dimension: usize) -> Vec<f32> {
        (0..dimension).map(|_| self.normal()).collect()
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A note as the test knows it: kind, text, vector.
type Known = BTreeMap<String, (NoteKind, Option<Vec<f32>>)>;

/// Ids and similarities of the nearest.
async fn nearest(store: &Store, vector: &[f32], kind: Option<NoteKind>, most: usize) -> Result<Vec<(String, f64)>, StoreError> {
    let vector = vector.to_vec();
    store
        .look(move |connection: &Connection, codes| {
            let found = vectors::nearest(connection, codes, &vector, kind, most)?;
            let id = |number| connection.query_row("SELECT id FROM notes WHERE number = ?1", [number], |row| row.get(0));
            Ok(found.into_iter().map(|(number, similarity)| Ok((id(number)?, similarity))).collect::<rusqlite::Result<_>>()?)
        })
        .await
}

async fn agrees(store: &Store, known: &Known, query: &[f32], kind: Option<NoteKind>, what: &str) {
    let mut expected: Vec<f64> = known
        .values()
        .filter(|(of, _)| kind.is_none_or(|kind| kind == *of))
        .filter_map(|(_, vector)| Some(cosine(vector.as_ref()?, query)))
        .collect();
    expected.sort_by(|a, b| b.total_cmp(a));
    expected.truncate(20);
    let found = nearest(store, query, kind, 20).await.unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    for ((id, similarity), expected) in found.iter().zip(expected) {
        let (_, vector) = &known[id];
        let own = cosine(vector.as_ref().unwrap(), query);
        assert!((similarity - expected).abs() < 1e-5 && (similarity - own).abs() < 1e-5, "{what}: {id} {similarity} {own} {expected}");
    }
}

#[tokio::test]
async fn it_agrees_with_comparing_everything() {
    const KINDS: [NoteKind; 3] = [NoteKind::Note, NoteKind::Turn, NoteKind::Fact];
    for dimension in [1, 2, 63, 64, 65, 384, 8_192] {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path()).unwrap();
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15 + dimension as u64);
        let mut known = Known::new();
        for round in 0..if dimension > 1_000 { 20 } else { 120 } {
            let id = format!("n{}", chance.below(60));
            let kind = KINDS[usize::try_from(chance.below(3)).unwrap()];
            let vector = chance.vector(dimension);
            let note = |vector| Note { id: Some(id.clone()), kind, text: format!("{id} {round}"), vector, ..Note::default() };
            match chance.below(10) {
                0..6 => {
                    store.add_note(note(Some(vector.clone()))).await.unwrap();
                    known.insert(id.clone(), (kind, Some(vector.clone())));
                }
                // A new text: the vector goes.
                6 => {
                    store.add_note(note(None)).await.unwrap();
                    known.insert(id.clone(), (kind, None));
                }
                7 => {
                    let there = store.forget(&id).await.unwrap();
                    assert_eq!(there, known.remove(&id).is_some());
                }
                // Taken back: the second has another dimension.
                8 => {
                    let bad = Note { vector: Some(vec![1.0; dimension + 1]), ..note(None) };
                    assert!(store.add_notes(vec![note(Some(vector.clone())), bad]).await.is_err() || known.is_empty());
                }
                _ => {
                    drop(store);
                    store = Store::open(home.path()).unwrap();
                }
            }
            if known.is_empty() {
                continue;
            }
            let kind = [None, None, Some(NoteKind::Note), Some(NoteKind::Fact)][usize::try_from(chance.below(4)).unwrap()];
            let query = if chance.below(2) == 0 { vector } else { chance.vector(dimension) };
            agrees(&store, &known, &query, kind, &format!("dimension {dimension}, round {round}")).await;
        }
        store.check().await.unwrap();
    }
}

#[tokio::test]
async fn clusters_are_found_and_identical_ones_do_no_harm() {
    let store = Store::in_memory().unwrap();
    let mut chance = Chance(7);
    let centres: Vec<Vec<f32>> = (0..20).map(|_| chance.vector(384)).collect();
    let near = |chance: &mut Chance, centre: usize| -> Vec<f32> { centres[centre].iter().map(|x| x + 0.3 * chance.normal()).collect() };
    let vectors: Vec<Vec<f32>> = (0..20_000).map(|index| near(&mut chance, index % 20)).collect();
    let note = |index: usize, kind, vector: &[f32]| Note {
        id: Some(format!("{index}")),
        kind,
        text: String::new(),
        vector: Some(vector.to_vec()),
        ..Note::default()
    };
    let all = vectors.iter().enumerate().map(|(index, vector)| note(index, NoteKind::Turn, vector)).collect();
    store.add_notes(all).await.unwrap();
    let mut hits = 0;
    for query in 0..40 {
        let query = near(&mut chance, query % 20);
        let mut exact: Vec<(f64, usize)> = vectors.iter().enumerate().map(|(index, vector)| (cosine(vector, &query), index)).collect();
        exact.sort_by(|a, b| b.0.total_cmp(&a.0));
        let found = nearest(&store, &query, None, 10).await.unwrap();
        hits += exact[..10].iter().filter(|(_, index)| found.iter().any(|(id, _)| *id == index.to_string())).count();
    }
    assert!(hits >= 380, "{hits} of 400 in clusters of 1,000");

    // As many with one and the same vector, in whose midst the others must still be found.
    let same = vec![1.0; 384];
    let many = (20_000..120_000).map(|index| note(index, NoteKind::Turn, &same)).collect();
    store.add_notes(many).await.unwrap();
    let found = nearest(&store, &same, None, 1_000).await.unwrap();
    assert!(found.len() == 1_000 && found.iter().all(|(_, similarity)| (similarity - 1.0).abs() < 1e-6));
    assert_eq!(nearest(&store, &vectors[17], None, 5).await.unwrap()[0].0, "17");
    // A kind of which there is one: found behind 100,000 nearer ones.
    store.add_note(note(200_000, NoteKind::Fact, &vectors[3])).await.unwrap();
    let found = nearest(&store, &same, Some(NoteKind::Fact), 10).await.unwrap();
    assert_eq!(found.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["200000"]);
    // What a newer fact replaces is found no more, and again when that is taken back.
    let replaced = async |sql: &'static str| store.run(move |connection| Ok(connection.execute(sql, [])?)).await.unwrap();
    replaced("UPDATE notes SET replaced = 1 WHERE id = '200000'").await;
    assert_eq!(nearest(&store, &same, Some(NoteKind::Fact), 10).await.unwrap(), []);
    replaced("UPDATE notes SET replaced = NULL WHERE id = '200000'").await;
    assert_eq!(nearest(&store, &same, Some(NoteKind::Fact), 10).await.unwrap().len(), 1);
    // All gone: nothing is in the way of the others.
    replaced("DELETE FROM notes WHERE CAST(id AS INTEGER) BETWEEN 20000 AND 119999").await;
    let found = nearest(&store, &same, None, 10).await.unwrap();
    assert!(found.len() == 10 && found.iter().all(|(_, similarity)| *similarity < 0.9), "{found:?}");
    store.check().await.unwrap();
}

#[tokio::test]
async fn while_vectors_are_deleted_none_are_taken() {
    let store = Store::in_memory().unwrap();
    let note = || Note { text: "x".into(), vector: Some(vec![1.0]), ..Note::default() };
    // As a process leaves it that was killed there.
    store.run(|connection| vectors::set_fact(connection, vectors::STALE, "1")).await.unwrap();
    assert_eq!(store.add_note(note()).await, Err(StoreError::EmbedderChanges));
    assert_eq!(store.embedder().await, Ok(None));
    assert_eq!(store.use_embedder("mini", 1).await, Ok(true));
    store.add_note(note()).await.unwrap();
}

/// How many of the ten nearest are found.
async fn found_of_ten(store: &Store, known: &Known, query: &[f32]) -> usize {
    let mut all: Vec<(f64, &str)> = known.iter().map(|(id, (_, vector))| (cosine(vector.as_ref().unwrap(), query), id.as_str())).collect();
    all.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let found = nearest(store, query, None, 10).await.unwrap();
    all[..10].iter().filter(|(_, id)| found.iter().any(|(found, _)| found == id)).count()
}

/// Notes in clusters, so many that centres are learned.
#[tokio::test]
async fn with_centres_the_same_is_found() {
    const DIMENSION: usize = 384;
    let store = Store::in_memory().unwrap();
    let mut chance = Chance(77);
    let clusters: Vec<Vec<f32>> = (0..50).map(|_| chance.vector(DIMENSION)).collect();
    let mut noises = Chance(78);
    let mut vector = |index: usize| -> Vec<f32> {
        let noise = noises.vector(DIMENSION);
        clusters[index % clusters.len()].iter().zip(noise).map(|(centre, noise)| 3.0 * (centre + 0.4 * noise)).collect()
    };
    let (mut known, mut found) = (Known::new(), 0);
    let centres =
        async || store.run(|connection| Ok(connection.query_row("SELECT count(*) FROM vector_centres", [], |row| row.get(0))?)).await;
    for start in (0..4_500).step_by(500) {
        let mut notes = Vec::new();
        for index in start..start + 500 {
            let (id, vector) = (format!("n{index}"), vector(index));
            known.insert(id.clone(), (NoteKind::Note, Some(vector.clone())));
            notes.push(Note { id: Some(id), text: format!("subject{index:05}"), vector: Some(vector), ..Note::default() });
        }
        store.add_notes(notes).await.unwrap();
        // A search in between: what it has in memory are the codes of before.
        let query = vector(start);
        found += found_of_ten(&store, &known, &query).await;
        let learned: i64 = centres().await.unwrap();
        assert_eq!(learned > 20, start >= 4_000, "{learned} centres after {start} notes");
    }
    for index in 0..20 {
        store.forget(&format!("n{}", index * 50)).await.unwrap();
        known.remove(&format!("n{}", index * 50));
        found += found_of_ten(&store, &known, &vector(index)).await;
    }
    assert!(found > 285, "{found} of 290");
    // A whole cluster is forgotten: no centre is as it was.
    let kept = async || {
        store
            .run(|connection| {
                let mut statement = connection.prepare("SELECT vector FROM vector_centres")?;
                let all: Vec<Vec<u8>> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
                Ok(all.iter().map(|vector| vectors::numbers(vector)).collect::<Vec<_>>())
            })
            .await
            .unwrap()
    };
    let topic = clusters[7].clone();
    let near = |centres: Vec<Vec<f32>>| {
        centres.iter().filter(|centre| centre.iter().any(|number| *number != 0.0) && cosine(centre, &topic) > 0.8).count()
    };
    assert!(near(kept().await) > 0);
    let ids: Vec<String> = (0..4_500).filter(|index| index % 50 == 7).map(|index| format!("n{index}")).collect();
    store.forget_all(Forget { ids, ..Forget::default() }).await.unwrap();
    assert_eq!(near(kept().await), 0);
    known.retain(|id, _| id[1..].parse::<usize>().unwrap() % 50 != 7);
    // From within a cluster and from far away of all.
    let (mut near, mut far) = (0, 0);
    for index in 8..28 {
        near += found_of_ten(&store, &known, &vector(index)).await;
        far += found_of_ten(&store, &known, &chance.vector(DIMENSION)).await;
    }
    assert!(near > 195 && far > 180, "{near} and {far} of 200");
    store.use_embedder("another", 8).await.unwrap();
    assert_eq!(centres().await.unwrap(), 0_i64);
}
