//! What is kept, what is dropped, and that nothing is overwritten that is not kept.

use std::os::unix::fs::PermissionsExt as _;

use agent::Tool as _;
use agent::memory::{Inbound, TurnState};
use serde_json::json;

use super::*;
use crate::testing::{Bench, wait};
use crate::write_file::WriteFile;

fn sum(content: &str) -> String {
    hex(&Sha256::digest(content))
}

/// A finished turn, in which the next calls are.
fn turn(bench: &mut Bench, call: &str) -> i64 {
    let inbound = Inbound { channel: "terminal".into(), session: "main".into(), text: "hello".into(), ..Inbound::default() };
    let turn = wait(async {
        let turn = bench.store.accept(inbound).await.unwrap().turn;
        bench.store.finish(turn, TurnState::Done, "replied", None).await.unwrap();
        turn
    });
    bench.context.turn = turn;
    bench.context.key = format!("{turn}-{call}");
    turn
}

fn write(bench: &Bench, kept: &Kept, path: &str, content: &str) -> Result<String, String> {
    let tool = WriteFile::new(bench.workspace.clone(), kept.clone());
    bench.run(&tool, json!({"path": path, "content": content})).map_err(|error| error.text)
}

#[test]
fn what_is_overwritten_is_kept_before() {
    let mut bench = Bench::new();
    let kept = bench.kept.clone();
    let one = turn(&mut bench, "a");
    bench.write("a.txt", "old");
    write(&bench, &kept, "a.txt", "new").unwrap();
    let place = kept.place(&sum("old"));
    assert_eq!(fs::read_to_string(&place).unwrap(), "old");
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(place.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    // A call that a crash cut off runs again: what it had written is not what was before.
    write(&bench, &kept, "a.txt", "new").unwrap();
    // Somebody was there in between: that is kept as well.
    bench.write("a.txt", "between");
    write(&bench, &kept, "a.txt", "new").unwrap();
    write(&bench, &kept, "b/c/d.txt", "new").unwrap();
    let changes = wait(bench.store.file_changes(one)).unwrap();
    let changes: Vec<_> = changes.iter().map(|c| (c.path.as_str(), c.before.clone(), c.after.clone(), c.made)).collect();
    let new = Some(sum("new"));
    let expected =
        [("a.txt", Some(sum("old")), new.clone(), 0), ("a.txt", Some(sum("between")), new.clone(), 0), ("b/c/d.txt", None, new, 2)];
    assert_eq!(changes, expected);
    // What the repeated call found is kept all the same: it was there.
    assert_eq!(kept.usage().unwrap(), Usage { files: 3, bytes: 13, budget: DEFAULT_KEPT_BYTES });
}

#[test]
fn what_cannot_be_kept_is_not_overwritten() {
    let mut bench = Bench::new();
    turn(&mut bench, "a");
    bench.write("large", "12345");
    let small = Kept::new(bench.outside("kept"), 4, bench.store.clone());
    let expected = "large has more than the 4 bytes that can be kept for undo, so it is not overwritten";
    assert_eq!(write(&bench, &small, "large", "x"), Err(expected.to_owned()));
    let nowhere = Kept::new(bench.outside("secret.txt"), 1_000, bench.store.clone());
    let error = write(&bench, &nowhere, "large", "x").unwrap_err();
    assert!(error.starts_with("large could not be kept for undo, so it is not overwritten: "), "{error}");
    assert_eq!(bench.read("large"), b"12345");
    // The journal has no word of a change that was not made.
    assert_eq!(wait(bench.store.file_changes(bench.context.turn)).unwrap(), []);
}

/// A budget of 100 bytes, and more turns than are safe from it, each of which overwrites 10 bytes.
#[test]
fn the_oldest_is_dropped_but_nothing_recent() {
    let mut bench = Bench::new();
    let kept = Kept::new(bench.outside("kept"), 100, bench.store.clone());
    let content = |number: usize| format!("{number:010}");
    let turns = KEPT_TURNS + 15;
    for number in 0..turns {
        turn(&mut bench, "a");
        bench.write("a.txt", content(number));
        write(&bench, &kept, "a.txt", "x").unwrap();
    }
    let there: Vec<usize> = (0..turns).filter(|number| kept.place(&sum(&content(*number))).exists()).collect();
    // The newest was not in the journal yet when room was made for it, so one more than `KEPT_TURNS` is there.
    assert_eq!(there, (turns - KEPT_TURNS - 1..turns).collect::<Vec<_>>());
    assert!(kept.usage().unwrap().bytes > 100);
}

#[test]
fn what_no_change_speaks_of_is_swept() {
    let mut bench = Bench::new();
    let kept = bench.kept.clone();
    turn(&mut bench, "a");
    bench.write("a.txt", "old");
    write(&bench, &kept, "a.txt", "new").unwrap();
    kept.keep(&mut "stray".as_bytes(), "x").unwrap();
    wait(kept.sweep()).unwrap();
    assert_eq!((kept.place(&sum("old")).exists(), kept.place(&sum("stray")).exists()), (true, false));
    wait(bench.store.remove_session("main")).unwrap();
    wait(kept.sweep()).unwrap();
    assert_eq!(kept.usage().unwrap().files, 0);
}

#[test]
fn a_damaged_content_is_not_taken_for_the_old_one() {
    let bench = Bench::new();
    let hash = bench.kept.keep(&mut "old".as_bytes(), "x").unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::new();
    assert!(bench.kept.copy_to(&hash, &mut out).unwrap());
    assert_eq!(out, b"old");
    fs::write(bench.kept.place(&hash), "odd").unwrap();
    assert!(!bench.kept.copy_to(&hash, &mut Vec::new()).unwrap());
    assert!(!bench.kept.copy_to(&sum("never"), &mut Vec::new()).unwrap());
    assert_eq!(WriteFile::new(bench.workspace.clone(), bench.kept.clone()).effect(), agent::Effect::Write);
}

#[test]
fn a_change_that_cannot_be_recorded_is_not_made() {
    let mut bench = Bench::new();
    turn(&mut bench, "a");
    bench.write("a.txt", "old");
    // The journal refuses such a name, as it refuses everything on a full disk.
    bench.context.key = "k".repeat(2_000);
    for path in ["a.txt", "b.txt"] {
        let error = write(&bench, &bench.kept.clone(), path, "new").unwrap_err();
        assert!(error.starts_with(&format!("{path} is not written, because undo could not be prepared: the ")), "{error}");
    }
    assert_eq!(bench.read("a.txt"), b"old");
    assert!(!bench.path("b.txt").exists());
}
