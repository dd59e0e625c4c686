//! Backup, restore, and a damaged database, from outside.

use std::io::{BufRead as _, BufReader};

use serde_json::json;

use super::support::Home;

fn notes(home: &Home) -> usize {
    home.run(&["memory", "list", "--format", "json"]).last()["notes"].as_array().unwrap().len()
}

#[test]
fn there_and_back() {
    let home = Home::new();
    assert_eq!(home.run(&["backup", "x"]).status, Some(2), "there is nothing yet");
    home.run(&["memory", "add", "one"]);
    let file = home.path("backups/mine.db");
    std::fs::create_dir(home.path("backups")).unwrap();
    let file = file.to_str().unwrap();
    let made = home.run(&["backup", file]);
    assert_eq!(made.status, Some(0), "{made:?}");
    assert_eq!(home.run(&["backup", file]).status, Some(2));
    assert_eq!(home.run(&["backup", file, "--force"]).status, Some(0));
    home.run(&["memory", "add", "two"]);
    let restored = home.run(&["restore", file]);
    assert_eq!((restored.status, notes(&home)), (Some(0), 1), "{restored:?}");
    let kept = restored.stdout.lines().find_map(|line| line.strip_prefix("what was there is kept as ")).unwrap();
    assert_eq!((home.run(&["restore", kept]).status, notes(&home)), (Some(0), 2));
    assert_eq!(home.run(&["restore", "/dev/null"]).status, Some(2));
}

#[test]
fn a_backup_is_made_while_serve_runs_and_a_restore_is_not() {
    let home = Home::new();
    home.run(&["memory", "add", "one"]);
    let script = home.script(&[json!({"when": ".", "text": "ok"})]);
    let mut serve = home.command(&["serve", "--model", &script]).spawn().unwrap();
    // It has the database by then.
    let mut lines = BufReader::new(serve.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("the sandbox around commands")));
    let file = home.path("copy.db");
    let made = home.run(&["backup", file.to_str().unwrap()]);
    let refused = home.run(&["restore", file.to_str().unwrap()]);
    serve.kill().unwrap();
    serve.wait().unwrap();
    assert_eq!(made.status, Some(0), "{made:?}");
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("is in use by another paguro"), "{refused:?}");
    assert_eq!(home.run(&["restore", file.to_str().unwrap()]).status, Some(0));
    assert_eq!(notes(&home), 1);
}

#[test]
fn a_damaged_database_is_told_with_the_way_back() {
    let check = |damage: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let home = Home::new();
        home.run(&["memory", "add", "one"]);
        let without = |home: &Home| home.run(&["memory", "list"]);
        let backup = home.path("copy of it.db");
        assert_eq!(home.run(&["backup", backup.to_str().unwrap()]).status, Some(0));
        let database = home.path("paguro.db");
        let bytes = damage(std::fs::read(&database).unwrap());
        std::fs::write(&database, &bytes).unwrap();
        without(&home);
        // The second time, too.
        let run = without(&home);
        assert_eq!(run.status, Some(1), "{run:?}");
        assert!(run.stderr.contains("is damaged (") && run.stderr.contains(&format!("paguro restore {}", backup.display())), "{run:?}");
        assert_eq!(std::fs::read(&database).unwrap(), bytes, "nothing is papered over");
        assert_eq!(home.run(&["restore", backup.to_str().unwrap()]).status, Some(0));
        assert_eq!(notes(&home), 1);
    };
    check(&|_| Vec::new());
    check(&|_| b"not a database\n".repeat(1_000));
    check(&|bytes| bytes[..bytes.len() / 2].to_vec());
    for part in 0..6 {
        check(&|mut bytes| {
            let page = bytes.len() / 4_096 * part / 6 * 4_096;
            bytes[page..].chunks_mut(4_096).flat_map(|page| &mut page[..300]).for_each(|byte| *byte ^= 0xff);
            bytes
        });
    }
}
