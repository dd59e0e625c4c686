//! The file and its folder: opening, closing, damage, and being killed.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use memory::{Inbound, Note, Store, StoreError, TurnState, limits};
use serde_json::json;

/// Tells a copy of this test program that it is the one to be killed, and its home.
const CHILD_HOME: &str = "MEMORY_TEST_CHILD_HOME";

fn inbound(text: &str) -> Inbound {
    Inbound { channel: "terminal".into(), session: "main".into(), platform_id: Some(text.into()), text: text.into(), ..Inbound::default() }
}

async fn steps(store: &Store, turn: i64) -> Vec<serde_json::Value> {
    store.steps(turn).await.unwrap().into_iter().map(|step| step.body).collect()
}

/// Not a test of its own: what the child process of the tests below does. It never closes its store.
#[tokio::test]
async fn child() {
    let Some(home) = std::env::var_os(CHILD_HOME) else { return };
    let store = Store::open(Path::new(&home)).unwrap();
    let turn = store.accept(inbound("hello")).await.unwrap().turn;
    for number in 1..=3 {
        store.append(turn, "x", json!(number)).await.unwrap();
    }
    println!("ready");
    std::thread::sleep(std::time::Duration::from_secs(120));
}

/// Starts the child and waits until all that it writes is committed.
fn start_child(home: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD_HOME, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("ready")));
    child
}

#[tokio::test]
async fn a_killed_process_loses_nothing_and_leaves_no_lock() {
    let home = tempfile::tempdir().unwrap();
    let mut child = start_child(home.path());
    let locked = StoreError::Locked { path: home.path().join("paguro.lock"), pid: Some(child.id()) };
    assert_eq!(Store::open(home.path()).map(|_| ()), Err(locked));
    child.kill().unwrap();
    child.wait().unwrap();

    let store = Store::open(home.path()).unwrap();
    let open = store.open_turns(None).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(steps(&store, open[0].id).await, [json!(1), json!(2), json!(3)]);
    // The platform sends it again: it is known.
    assert!(store.accept(inbound("hello")).await.unwrap().repeated);
    assert_eq!(store.append(open[0].id, "x", json!(4)).await, Ok(4));
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_copy_taken_in_the_middle_is_whole() {
    let (home, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(home.path()).unwrap();
    let turn = store.accept(inbound("hello")).await.unwrap().turn;
    store.append(turn, "x", json!("committed")).await.unwrap();
    // What the disk holds at this moment, as after a power cut.
    for name in ["paguro.db", "paguro.db-wal"] {
        std::fs::copy(home.path().join(name), copy.path().join(name)).unwrap();
    }
    store.append(turn, "x", json!("later")).await.unwrap();
    let copied = Store::open(copy.path()).unwrap();
    assert_eq!(steps(&copied, turn).await, [json!("committed")]);
    copied.check().await.unwrap();
}

#[tokio::test]
async fn a_home_is_made_locked_and_released() {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("a/b");
    let store = Store::open(&home).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    store.accept(inbound("hello")).await.unwrap();
    for name in ["paguro.db", "paguro.db-wal", "paguro.db-shm", "paguro.lock"] {
        assert_eq!(mode(&home.join(name)), 0o600, "{name}");
    }
    let error = Store::open(&home).unwrap_err().to_string();
    let expected = format!(
        "{} is in use by another paguro (process {}); stop that one, or set PAGURO_HOME to another folder",
        home.join("paguro.lock").display(),
        std::process::id()
    );
    assert_eq!(error, expected);
    // The last clone closes: the log is gone, the lock is free.
    let clone = store.clone();
    drop(store);
    assert!(Store::open(&home).is_err());
    drop(clone);
    assert!(!home.join("paguro.db-wal").exists());
    let store = Store::open(&home).unwrap();
    assert_eq!(store.open_turns(None).await.unwrap().len(), 1);
}

/// A closed home with some turns in it.
async fn closed_home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    for number in 0..20 {
        let turn = store.accept(inbound(&number.to_string())).await.unwrap().turn;
        store.append(turn, "x", json!("y".repeat(8_000))).await.unwrap();
        store.finish(turn, TurnState::Done, "x", None).await.unwrap();
    }
    home
}

/// Opens a home whose database `damage` has been at: the error, and the file as it was.
async fn check(damage: impl FnOnce(&Path), expected: &str) {
    let home = closed_home().await;
    let path = home.path().join("paguro.db");
    damage(&path);
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(home.path()).map(|_| ()).unwrap_err().to_string();
    let again = Store::open(home.path()).map(|_| ()).unwrap_err().to_string();
    assert_eq!(again, error, "the second time");
    let shown = error.replace(&path.display().to_string(), "DB");
    let expected = expected.replace(
        "DAMAGED",
        "`paguro restore FILE` brings a backup back, or move the file away to start with an empty memory; nothing was deleted",
    );
    let (start, end) = expected.split_once('…').unwrap_or((&expected, ""));
    assert!(shown.starts_with(start) && shown.ends_with(end), "{shown}\nis not\n{expected}");
    assert!(std::fs::read(&path).unwrap() == before, "the file was changed: {expected}");
    // The lock is not held by the failure.
    std::fs::remove_file(&path).unwrap();
    Store::open(home.path()).unwrap();
}

fn execute(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn overwrite(path: &Path, from: usize, to: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    assert!(bytes.len() > to, "{}", bytes.len());
    bytes[from..to].fill(0x5a);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_left_alone() {
    check(
        |path| execute(path, "PRAGMA user_version = 99"),
        "DB has format 99 and this paguro knows formats up to 12; use a newer paguro, nothing was changed",
    )
    .await;
    let foreign = "DB is the database of another program; move it away, or set PAGURO_HOME to another folder";
    check(|path| execute(path, "PRAGMA application_id = 7"), foreign).await;
    let other = |path: &Path| {
        std::fs::remove_file(path).unwrap();
        execute(path, "CREATE TABLE theirs (x)");
    };
    check(other, foreign).await;
    check(|path| std::fs::write(path, "not a database\n".repeat(1_000)).unwrap(), "DB is damaged (file is not a database); DAMAGED").await;
    check(|path| std::fs::write(path, "").unwrap(), "DB is damaged (it is empty, and was not when it was closed); DAMAGED").await;
    check(|path| std::fs::write(path, "short").unwrap(), "DB is damaged (file is not a database); DAMAGED").await;
    check(|path| overwrite(path, 0, 100), "DB is damaged (file is not a database); DAMAGED").await;
    check(|path| overwrite(path, 100, 4_096), "DB is damaged (…); DAMAGED").await;
    // A page that opening has no need of.
    let page = |path: &Path| {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'inbox_session'";
        let connection = rusqlite::Connection::open(path).unwrap();
        let number: usize = connection.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap() as usize;
        drop(connection);
        overwrite(path, (number - 1) * limits::PAGE_BYTES as usize, number * limits::PAGE_BYTES as usize);
    };
    check(page, "DB is damaged (…); DAMAGED").await;
    let half = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    check(half, "DB is damaged (…); DAMAGED").await;
}

#[test]
fn a_home_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let check = |home: &Path, path: &Path, reason: &str| {
        let expected = format!("cannot write to {}: {reason}; make it writable, or set PAGURO_HOME to another folder", path.display());
        assert_eq!(Store::open(home).map(|_| ()).unwrap_err().to_string(), expected);
    };
    check(&file, &file, "File exists (os error 17)");
    let below = file.join("home");
    check(&below, &below, "Not a directory (os error 20)");
    let database = folder.path().join("paguro.db");
    std::fs::create_dir(&database).unwrap();
    check(folder.path(), &database, "Is a directory (os error 21)");
}

#[tokio::test]
async fn what_is_deleted_is_gone_from_the_disk() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let on_disk = |text: &str| {
        ["paguro.db", "paguro.db-wal"].iter().any(|name| {
            let bytes = std::fs::read(home.path().join(name)).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
    };
    let note = store.add_note(Note { text: "the word is xylophone".into(), ..Note::default() }).await.unwrap();
    store.add_note(Note { text: "another xylograph".into(), ..Note::default() }).await.unwrap();
    let turn = store.accept(inbound("zymurgy in a message")).await.unwrap().turn;
    store.append(turn, "x", json!("quixotry in a step")).await.unwrap();
    assert!(on_disk("xylophone") && on_disk("zymurgy") && on_disk("quixotry"));
    assert!(store.forget(&note.id).await.unwrap());
    assert_eq!(store.remove_session("main").await.unwrap().len(), 1);
    for word in ["xylophone", "ophone", "zymurgy", "quixotry"] {
        assert!(!on_disk(word), "{word}");
    }
    assert!(on_disk("xylograph"));
}
