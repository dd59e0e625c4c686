//! Recall through its handle.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use memory::{Found, Note, NoteKind, NoteRow, Search, Store, StoreError, limits};

fn note(id: &str, text: &str) -> Note {
    Note { id: Some(id.into()), text: text.into(), ..Note::default() }
}

fn with_vector(id: &str, text: &str, vector: &[f32]) -> Note {
    Note { vector: Some(vector.to_vec()), ..note(id, text) }
}

async fn search(store: &Store, text: &str, vector: &[f32], limit: usize) -> Result<Vec<Found>, StoreError> {
    store.search(Search { vector: Some(vector.to_vec()), ..Search::words(text, limit) }).await
}

async fn store(notes: &[(&str, &str)]) -> Store {
    let store = Store::in_memory().unwrap();
    store.add_notes(notes.iter().map(|(id, text)| note(id, text)).collect()).await.unwrap();
    store
}

/// `id (why)` of what was found, best first.
fn outline(found: &[Found]) -> Vec<String> {
    assert!(found.is_sorted_by(|a, b| a.score >= b.score), "{found:?}");
    found.iter().map(|found| format!("{} ({})", found.id, found.why)).collect()
}

#[tokio::test]
async fn words() {
    let store = store(&[
        ("bike", "my bike is green"),
        ("dog", "The dog's name is Rex; he likes berries."),
        ("wifi", "wifi password at the cabin: Tr0ub4dor&3"),
        ("cafe", "Café Zürich opens at 7, e.g. for Łukasz"),
        ("rome", "I live in Rome and have been painting since 1998"),
        ("bikes", "two bikes stand in the cellar"),
        ("car", "the car's a Škoda; door code 4711-B"),
        ("nul", "before\0after"),
        ("chinese", "自行车是绿色的"),
        ("long", "The bicycle shop, the baker, the butcher and the bank are all in the same street as the school"),
    ])
    .await;
    let check = async |query: &str, expected: &[&str]| {
        let found = store.search(Search::words(query, 10)).await.unwrap();
        assert_eq!(outline(&found), expected, "{query:?}");
    };
    // An exact match before a longer word, whatever the wording around it.
    for query in ["my bike", "what is my bike?", "What's the BIKE's colour?", "bike"] {
        check(query, &["bike (words: bike)", "bikes (words: bikes)"]).await;
    }
    check("bikes", &["bikes (words: bikes)", "bike (words: bike)"]).await;
    check("green bike", &["bike (words: green, bike)", "bikes (words: bikes)"]).await;
    // Simple morphology.
    check("what are my dogs called", &["dog (words: dog)"]).await;
    check("dog\u{2019}s", &["dog (words: dog)"]).await;
    check("berry", &["dog (words: berries)"]).await;
    check("liked", &["dog (words: likes)"]).await;
    check("where am I living?", &["rome (words: live)"]).await;
    check("paint", &["rome (words: painting)"]).await;
    check("painted", &["rome (words: painting)"]).await;
    check("passwords", &["wifi (words: password)"]).await;
    // Accents, composed or not; numbers; signs.
    check("cafe", &["cafe (words: café)"]).await;
    check("CAFE\u{301}", &["cafe (words: café)"]).await;
    check("zurich", &["cafe (words: zürich)"]).await;
    check("skoda", &["car (words: škoda)"]).await;
    check("4711-b", &["car (words: 4711, b)"]).await;
    check("1998?", &["rome (words: 1998)"]).await;
    check("Tr0ub4dor&3", &["wifi (words: tr0ub4dor, 3)"]).await;
    check("after", &["nul (words: after)"]).await;
    check("自行车", &["chinese (words: 自行, 行车)"]).await;
    // Nothing.
    check("volcano", &[]).await;
    check("", &[]).await;
    check(" ?! 🚲 \0", &[]).await;
    // Only stop words: better than nothing.
    check("who is he", &["dog (words: he, is)", "bike (words: is)"]).await;
    assert_eq!(store.search(Search::words("bike", 1)).await.unwrap().len(), 1);
    assert_eq!(store.search(Search::words("bike", 0)).await.unwrap(), []);
}

#[tokio::test]
async fn any_text_is_a_query() {
    let store = store(&[("bike", "my bike is green")]).await;
    let long = "bike ".repeat(100_000);
    let many: String = (0..1_000).map(|number| format!("running{number} ")).collect();
    let wide = "x".repeat(1 << 20);
    let hostile = [
        "\"",
        "\"\"\"",
        "'",
        "bike\"",
        "bike AND",
        "AND",
        "OR NOT",
        "NEAR(bike green, 5)",
        "NEAR(",
        "bike*",
        "*",
        "^bike",
        "text:bike",
        "{text}:bike",
        "- bike",
        "bike + green",
        "(bike",
        ")",
        "bike;--",
        "\\",
        "bike\0green",
        "\0",
        "%",
        "_",
        "\u{2460}",
        "\u{24b6}",
        "\u{301}",
        "\u{5d0}\u{5b0}",
        "हिन्दी",
        "ไทย",
        "\u{202e}",
        "\u{feff}",
        "\u{10ffff}",
        "İ",
        "ß",
        "ﬁ",
        "Ⅳ",
        "²",
        "a'b'c'",
        "''''s",
        "s's's",
        &long,
        &many,
        &wide,
    ];
    for query in hostile {
        let found = store.search(Search::words(query, 5)).await;
        let short: String = query.chars().take(20).collect();
        assert!(found.is_ok(), "{short:?}: {found:?}");
        let sought = query.contains("bike");
        assert_eq!(!found.unwrap().is_empty(), sought, "{short:?}");
    }
}

#[tokio::test]
async fn notes_are_kept_once() {
    let store = Store::in_memory().unwrap();
    let keyed = |text: &str| Note { key: Some("7/1".into()), text: text.into(), ..Note::default() };
    let first = store.add_note(keyed("my bike is green")).await.unwrap();
    assert_eq!((first.id.len(), first.at.len()), (16, 24));
    assert_eq!(store.add_note(keyed("my bike is green")).await.unwrap(), first);
    // The key decides: a repeated call is the same call.
    assert_eq!(store.add_note(keyed("my bike is red")).await.unwrap(), first);
    let other = store.add_note(Note { text: "my bike is green".into(), ..Note::default() }).await.unwrap();
    assert_ne!(other.id, first.id);

    // An import is idempotent by id, and the last word on it.
    let dated = |text: &str, at: &str| Note { at: Some(at.into()), ..note("n1", text) };
    for text in ["the cat is grey", "the cat is grey", "the cat is white"] {
        let row = store.add_note(dated(text, "2024-02-29")).await.unwrap();
        assert_eq!(
            row,
            NoteRow {
                id: "n1".into(),
                kind: NoteKind::Note,
                text: text.into(),
                at: "2024-02-29".into(),
                origin: None,
                pinned: false,
                source_turn: None
            }
        );
    }
    assert_eq!(store.add_note(note("n1", "the cat is black")).await.unwrap().at, "2024-02-29");
    assert_eq!(store.list(10, 0).await.unwrap().len(), 3);
    assert_eq!(store.search(Search::words("white grey", 5)).await.unwrap(), []);
    assert_eq!(outline(&store.search(Search::words("cats", 5)).await.unwrap()), ["n1 (words: cat)"]);
    store.check().await.unwrap();
}

#[tokio::test]
async fn lists_and_pages() {
    let store = Store::in_memory().unwrap();
    let dated = |number: usize| Note { at: Some(format!("2024-01-01T00:00:{:02}Z", number % 60)), ..note(&format!("n{number}"), "x") };
    let count = 2 * limits::LIST_ROWS + 7;
    store.add_notes((0..count).map(dated).collect()).await.unwrap();
    let ids = |notes: &[NoteRow]| notes.iter().map(|note| note.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&store.list(2, 0).await.unwrap()), ["n1979", "n1919"]);
    assert_eq!(ids(&store.list(1, 1).await.unwrap()), ["n1919"]);
    assert_eq!(store.list(usize::MAX, 0).await.unwrap().len(), limits::LIST_ROWS);
    assert_eq!(store.list(10, usize::MAX).await.unwrap(), []);
    assert_eq!(store.search(Search::words("x", usize::MAX)).await.unwrap().len(), limits::SEARCH_RESULTS);
    // What is exported comes back the same in another store.
    let copy = Store::in_memory().unwrap();
    let (mut after, mut pages) = (Some(0), 0);
    while let Some(number) = after {
        let (notes, next) = store.export_all(number, false).await.unwrap();
        pages += 1;
        after = next;
        copy.import(notes).await.unwrap();
    }
    assert_eq!(pages, 3);
    for offset in [0, limits::LIST_ROWS, 2 * limits::LIST_ROWS] {
        assert_eq!(copy.list(usize::MAX, offset).await, store.list(usize::MAX, offset).await);
    }
    // One bad note and none is kept.
    let bad = note("bad", &"x".repeat(limits::NOTE_BYTES + 1));
    assert!(copy.add_notes(vec![note("good", "x"), bad]).await.is_err());
    let bad = with_vector("bad", "x", &[f32::NAN]);
    assert!(copy.add_notes(vec![note("good", "x"), bad]).await.is_err());
    assert_eq!(copy.forget("good").await, Ok(false));
}

#[tokio::test]
async fn vectors() {
    let store = Store::in_memory().unwrap();
    // Before there is one, a vector finds nothing.
    assert_eq!(search(&store, "x", &[1.0, 0.0], 5).await.unwrap(), []);
    store
        .add_notes(vec![
            with_vector("north", "my bike is green", &[0.0, 2.0]),
            with_vector("east", "the cellar is damp", &[3.0, 0.0]),
            with_vector("between", "a vehicle with two wheels", &[1.0, 1.0]),
            note("none", "another bike"),
        ])
        .await
        .unwrap();
    let check = async |query: &str, vector: &[f32], expected: &[&str]| {
        let found = search(&store, query, vector, 10).await.unwrap();
        assert_eq!(outline(&found), expected, "{query:?} {vector:?}");
    };
    check("", &[0.0, 1.0], &["north (vector 1.00)", "between (vector 0.71)", "east (vector 0.00)"]).await;
    check("wheels", &[1.0, 0.9], &["between (words: wheels; vector 1.00)", "east (vector 0.74)", "north (vector 0.67)"]).await;
    // What has no vector yet stands by its words.
    check("bike", &[0.0, 1.0], &["north (words: bike; vector 1.00)", "none (words: bike)", "between (vector 0.71)", "east (vector 0.00)"])
        .await;

    // A new text makes the old vector worthless; the same text keeps it; a new vector replaces it.
    store.add_note(note("east", "the cellar is dry")).await.unwrap();
    store.add_note(note("between", "a vehicle with two wheels")).await.unwrap();
    check("", &[0.0, 1.0], &["north (vector 1.00)", "between (vector 0.71)"]).await;
    store.add_note(with_vector("between", "a vehicle with two wheels", &[0.0, -1.0])).await.unwrap();
    assert_eq!(store.forget("north").await, Ok(true));
    assert_eq!(store.forget("north").await, Ok(false));
    check("", &[0.0, 1.0], &["between (vector -1.00)"]).await;

    let refuse = async |vector: &[f32], message: &str| {
        let refused = search(&store, "x", vector, 5).await.map(|_| ()).unwrap_err();
        let add = store.add_note(with_vector("bad", "x", vector)).await.map(|_| ()).unwrap_err();
        assert_eq!((refused.to_string(), add.to_string()), (message.to_owned(), message.to_owned()));
    };
    let wrong = "a vector of 3 numbers was given and the notes' vectors have 2; use the embedder that made those, or drop them";
    refuse(&[1.0, 0.0, 0.0], wrong).await;
    refuse(&[], "a vector cannot be used: it must have 1 to 8192 numbers").await;
    refuse(&[1.0; 8_193], "a vector cannot be used: it must have 1 to 8192 numbers").await;
    refuse(&[1.0, f32::NAN], "a vector cannot be used: it contains NaN or infinity").await;
    refuse(&[1.0, f32::INFINITY], "a vector cannot be used: it contains NaN or infinity").await;
    refuse(&[0.0, 0.0], "a vector cannot be used: its length is zero or too large").await;
    refuse(&[f32::MAX, 0.0], "a vector cannot be used: its length is zero or too large").await;
    // Nothing of a refused note stays.
    assert_eq!(store.forget("bad").await, Ok(false));

    store.drop_vectors().await.unwrap();
    store.drop_vectors().await.unwrap();
    store.add_note(with_vector("east", "the cellar is dry", &[1.0, 0.0, 0.0])).await.unwrap();
    check("", &[1.0, 0.0, 0.0], &["east (vector 1.00)"]).await;
    assert!(matches!(search(&store, "", &[1.0, 0.0], 5).await, Err(StoreError::WrongDimension { .. })));
    store.check().await.unwrap();
}

#[tokio::test]
async fn dates_slips_and_other_scripts() {
    let store = store(&[
        ("iso", "2026-03-14: dentist, a filling"),
        ("named", "Met Farid on 15 March 2026, he stammers"),
        ("yearless", "Anna's birthday: March 14th"),
        ("other", "2025-03-14 dentist, nothing to do"),
        ("chinese", "钥匙在邻居王阿姨那里"),
        ("japanese", "保険証は机の二番目の引き出しにある"),
        ("korean", "엄마 약은 냉장고 문에 있다"),
        ("greek", "Η θεία Ελένη έρχεται"),
        ("compound", "Kellerschlüssel hängt hinter dem Kalender"),
    ])
    .await;
    let check = async |query: &str, expected: &[&str]| {
        let found = store.search(Search::words(query, 10)).await.unwrap();
        assert_eq!(outline(&found), expected, "{query:?}");
    };
    // The very day first, then the day without a year; another year's is not it.
    for query in ["14 March 2026", "14.3.2026", "what was on March 14th, 2026?"] {
        let found = store.search(Search::words(query, 10)).await.unwrap();
        let ids: Vec<&str> = found.iter().map(|found| found.id.as_str()).collect();
        assert_eq!(ids, ["iso", "yearless"], "{query:?}");
    }
    check("2026-03-15", &["named (words: 2026-03-15)"]).await;
    check("Fraid", &["named (words: farid (for fraid))"]).await;
    check("brithday", &["yearless (words: birthday (for brithday))"]).await;
    check("ebirthday", &["yearless (words: birthday (for ebirthday))"]).await;
    check("Kellerschlussel", &["compound (words: kellerschlüssel)"]).await;
    check("Keller", &["compound (words: kellerschlüssel)"]).await;
    check("ΘΕΊΑ Ελενη", &["greek (words: θεία, ελένη)"]).await;
    check("邻居", &["chinese (words: 邻居)"]).await;
    check("引き出し", &["japanese (words: 引き, き出, 出し)"]).await;
    check("냉장고", &["korean (words: 냉장, 장고)"]).await;
    check("药", &[]).await;
    check("xqzw", &[]).await;
}

#[tokio::test]
async fn equals_are_ranked_and_copies_go_last() {
    let store = Store::in_memory().unwrap();
    let dated = |id: &str, text: &str, at: &str| Note { at: Some(at.into()), ..note(id, text) };
    store
        .add_notes(vec![
            dated("new", "the boiler was serviced by Krüger", "2026-05-01"),
            dated("old", "the boiler was bled by Wendt", "2020-05-01"),
            dated("copy", "The boiler was serviced, by Kruger!", "2020-06-01"),
            dated("dated", "the boiler was serviced by Krüger 2", "2020-06-01"),
            Note { kind: NoteKind::Fact, ..dated("fact", "the boiler is from 1998", "2020-07-01") },
        ])
        .await
        .unwrap();
    let ids = async |search: Search| -> Vec<String> { store.search(search).await.unwrap().into_iter().map(|found| found.id).collect() };
    // The newest, and what says the same as a better one at the end.
    assert_eq!(ids(Search::words("boiler", 10)).await, ["new", "fact", "dated", "old", "copy"]);
    assert_eq!(ids(Search::words("boiler", 2)).await, ["new", "fact"]);
    assert_eq!(ids(Search { kind: Some(NoteKind::Fact), ..Search::words("boiler", 10) }).await, ["fact"]);
    assert_eq!(ids(Search { without: vec!["new".into(), "fact".into()], ..Search::words("boiler", 2) }).await, ["dated", "copy"]);
}

#[tokio::test]
async fn a_hundred_thousand_copies_are_one_answer() {
    let store = Store::in_memory().unwrap();
    for batch in 0..20 {
        let copies = (0..5_000).map(|number| Note { vector: Some(vec![1.0, 0.0]), ..note(&format!("{batch}-{number}"), "the roof leaks") });
        store.add_notes(copies.collect()).await.unwrap();
    }
    store.add_note(with_vector("bike", "my bike is green, the roof is not", &[0.0, 1.0])).await.unwrap();
    let found = search(&store, "roof bike", &[0.5, 0.5], 5).await.unwrap();
    assert_eq!((found[0].id.as_str(), found.len()), ("bike", 5));
    assert!(found[1..].iter().all(|found| found.text == "the roof leaks"));
    // Large notes are found by what stands at their end, too.
    let long = format!("{} zanzibar", "word ".repeat(200_000));
    store.add_note(note("long", &long)).await.unwrap();
    let found = store.search(Search::words("zanzibar", 5)).await.unwrap();
    assert_eq!(outline(&found), ["long (words: zanzibar)"]);
    assert_eq!(store.forget("long").await, Ok(true));
    assert_eq!(store.search(Search::words("zanzibar", 5)).await.unwrap(), []);
    store.check().await.unwrap();
}

/// A text is looked at only when its note could come next: what is found must not depend on how many are wanted.
#[tokio::test]
async fn few_are_the_first_of_many() {
    const WORDS: [&str; 12] = ["bike", "green", "rome", "tea", "march", "14", "anna", "invoice", "bikes", "the", "is", "vault"];
    let store = Store::in_memory().unwrap();
    let mut chance = 7_u32;
    let mut below = |most: u32| {
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (chance >> 16) % most
    };
    let mut notes = Vec::new();
    for number in 0..900 {
        let said: Vec<&str> = (0..1 + below(6)).map(|_| WORDS[below(12) as usize]).collect();
        let vector = (below(10) > 0).then(|| (0..8).map(|_| below(1_000) as f32 - 500.0).collect());
        let at = Some(format!("2026-0{}-1{}T00:00:00.000Z", 1 + below(9), below(10)));
        notes.push(Note { id: Some(format!("n{number}")), text: format!("{} x{number}", said.join(" ")), vector, at, ..Note::default() });
    }
    store.add_notes(notes).await.unwrap();
    for round in 0..60 {
        let text = (0..below(5)).map(|_| WORDS[below(12) as usize]).collect::<Vec<_>>().join(" ");
        let vector = (round % 3 > 0).then(|| (0..8).map(|_| below(1_000) as f32 - 500.0).collect());
        let ask = async |limit: usize| {
            let search = Search { vector: vector.clone(), ..Search::words(text.clone(), limit) };
            store.search(search).await.unwrap()
        };
        // As many as there are candidates: every text is looked at.
        let all = ask(100).await;
        for few in [1, 3, 10] {
            assert_eq!(ask(few).await, all[..few.min(all.len())], "{text:?} {few}");
        }
    }
}
