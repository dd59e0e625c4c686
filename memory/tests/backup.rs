//! Backup and restore: beside a running store, of damaged files, cut off.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use memory::{Note, Store, StoreError, backup, looks_like_ours, restore};

fn on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

async fn home_with(notes: usize) -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let note = |number| Note { text: format!("note {number}"), vector: Some(vec![1.0, 2.0]), ..Note::default() };
    store.add_notes((0..notes).map(note).collect()).await.unwrap();
    (home, store)
}

async fn count(home: &Path) -> usize {
    Store::open(home).unwrap().list(1_000, 0).await.unwrap().len()
}

#[tokio::test]
async fn a_backup_beside_a_running_store_comes_back() {
    let (home, store) = home_with(300).await;
    let file = home.path().join("copy");
    let mut last = (0, 0);
    let mut seen = |done, all| {
        last = (done, all);
        ControlFlow::Continue(())
    };
    let bytes = backup(home.path(), &file, false, &mut seen).unwrap();
    assert_eq!((bytes, last.0), (file.metadata().unwrap().len(), last.1));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(looks_like_ours(&file));
    let exists = StoreError::BackupExists { path: file.clone() };
    assert_eq!(backup(home.path(), &file, false, &mut on), Err(exists));
    // The store goes on, and what comes later is not in the copy.
    store.add_note(Note { text: "later".into(), ..Note::default() }).await.unwrap();
    let locked = restore(home.path(), &file, "x", &mut on).unwrap_err();
    assert!(matches!(locked, StoreError::Locked { .. }), "{locked}");
    drop(store);
    let kept = restore(home.path(), &file, "before", &mut on).unwrap().unwrap();
    assert_eq!(count(home.path()).await, 300);
    // What was there is kept, and can come back as well.
    restore(home.path(), &kept, "again", &mut on).unwrap();
    assert_eq!(count(home.path()).await, 301);
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(restore(&elsewhere.path().join("new"), &file, "x", &mut on), Ok(None));
    assert_eq!(count(&elsewhere.path().join("new")).await, 300);
}

#[tokio::test]
async fn the_database_is_not_written_over_by_its_own_backup() {
    let (home, store) = home_with(3).await;
    let link = home.path().join("link");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    for name in ["paguro.db", "paguro.db-wal", "paguro.db-shm", "paguro.lock", "link/paguro.db"] {
        let path = home.path().join(name);
        let refused = StoreError::BackupOntoDatabase { path: path.clone() };
        assert_eq!(backup(home.path(), &path, true, &mut on), Err(refused));
    }
    drop(store);
    // The log is not there now; its name is still the database's.
    let log = home.path().join("paguro.db-wal");
    assert!(!log.exists());
    assert_eq!(backup(home.path(), &log, true, &mut on), Err(StoreError::BackupOntoDatabase { path: log.clone() }));
    backup(home.path(), &home.path().join("link/copy"), true, &mut on).unwrap();
    assert_eq!(count(home.path()).await, 3);
}

#[tokio::test]
async fn a_stopped_backup_leaves_nothing() {
    let (home, _store) = home_with(3).await;
    let before = std::fs::read_dir(home.path()).unwrap().count();
    let stopped = backup(home.path(), &home.path().join("copy"), false, &mut |_, _| ControlFlow::Break(()));
    assert_eq!(stopped, Err(StoreError::Cancelled));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), before);
    let nothing = tempfile::tempdir().unwrap();
    let none = StoreError::NoDatabase { path: nothing.path().join("paguro.db") };
    assert_eq!(backup(nothing.path(), &home.path().join("copy"), false, &mut on), Err(none));
}

#[tokio::test]
async fn what_is_no_backup_is_refused_and_nothing_changes() {
    async fn check(damage: impl FnOnce(&Path, Vec<u8>), expected: &str) {
        let (home, store) = home_with(300).await;
        let file = home.path().join("copy");
        backup(home.path(), &file, false, &mut on).unwrap();
        drop(store);
        damage(&file, std::fs::read(&file).unwrap());
        let error = restore(home.path(), &file, "before", &mut on).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nexpected {expected}");
        assert_eq!(count(home.path()).await, 300);
        let left: Vec<String> =
            std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(!left.iter().any(|name| name.contains("restored") || name.contains("before")), "{left:?}");
    }
    check(|file, _| std::fs::write(file, "").unwrap(), "it is empty").await;
    check(|file, _| std::fs::write(file, "a,b\n".repeat(4_000)).unwrap(), "file is not a database").await;
    check(|file, bytes| std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap(), "is damaged").await;
    check(|file, _| std::fs::remove_file(file).unwrap(), "cannot be restored: No such file").await;
    let foreign = |file: &Path, _| {
        std::fs::remove_file(file).unwrap();
        rusqlite::Connection::open(file).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    };
    check(foreign, "another program").await;
    let newer = |file: &Path, _| rusqlite::Connection::open(file).unwrap().pragma_update(None, "user_version", 999).unwrap();
    check(newer, "format 999").await;
    // The pages from several places on: what SQLite reads there is not what it wrote.
    for part in 1..5 {
        let flip = |file: &Path, mut bytes: Vec<u8>| {
            let page = bytes.len() / 4_096 * part / 5 * 4_096;
            bytes[page..].chunks_mut(4_096).flat_map(|page| &mut page[..200]).for_each(|byte| *byte ^= 0xff);
            std::fs::write(file, bytes).unwrap();
        };
        check(flip, "is damaged").await;
    }
}

/// Tells a copy of this test program that it is the one to be killed, and its home.
const CHILD_HOME: &str = "MEMORY_BACKUP_CHILD_HOME";

/// Notes that the child adds in one transaction.
const BATCH: usize = 40;

/// Not tests of their own: what the child processes of the tests below do until they are killed.
#[tokio::test]
async fn child_that_adds() {
    let Some(home) = std::env::var_os(CHILD_HOME) else { return };
    let store = Store::open(Path::new(&home)).unwrap();
    loop {
        let note = |number| Note { text: format!("green bike {number}"), vector: Some(vec![1.0, 2.0]), ..Note::default() };
        store.add_notes((0..BATCH).map(note).collect()).await.unwrap();
        println!("a step");
    }
}

#[test]
fn child_that_copies() {
    let Some(home) = std::env::var_os(CHILD_HOME) else { return };
    let home = Path::new(&home);
    let copied = backup(home, &home.join("copy"), true, &mut |_, _| {
        println!("a step");
        std::thread::sleep(std::time::Duration::from_secs(120));
        ControlFlow::Continue(())
    });
    panic!("it was not killed: {copied:?}");
}

/// Starts a child and kills it after so many steps.
fn killed(home: &Path, name: &str, steps: usize) {
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD_HOME, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    for _ in 0..steps {
        assert!(lines.any(|line| line.contains("a step")));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn killed_while_adding_all_that_was_added_is_there() {
    let home = tempfile::tempdir().unwrap();
    for steps in [1, 2, 5] {
        let before = count(home.path()).await;
        killed(home.path(), "child_that_adds", steps);
        let store = Store::open(home.path()).unwrap();
        store.check().await.unwrap();
        let (with, all) = store.vector_counts().await.unwrap();
        let all = usize::try_from(all).unwrap();
        assert!(all % BATCH == 0 && all >= before + steps * BATCH && with == all as u64, "{before}, {steps}: {with} of {all}");
    }
}

#[tokio::test]
async fn killed_while_copying_the_last_backup_stays() {
    let (home, store) = home_with(300).await;
    let file = home.path().join("copy");
    killed(home.path(), "child_that_copies", 1);
    assert!(!file.exists());
    backup(home.path(), &file, false, &mut on).unwrap();
    store.add_note(Note { text: "later".into(), ..Note::default() }).await.unwrap();
    let bytes = std::fs::read(&file).unwrap();
    killed(home.path(), "child_that_copies", 1);
    assert!(std::fs::read(&file).unwrap() == bytes);
    // What the killed one left is in nobody's way.
    backup(home.path(), &file, true, &mut on).unwrap();
    drop(store);
    restore(home.path(), &file, "before", &mut on).unwrap();
    assert_eq!(count(home.path()).await, 301);
}
