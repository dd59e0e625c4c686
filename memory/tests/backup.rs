//! Backup and restore: beside a running store, of damaged files, cut off.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

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
