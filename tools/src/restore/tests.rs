//! What one turn's undo does to files that have met various fates since.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use agent::memory::{Inbound, TurnState};
use serde_json::json;

use super::*;
use crate::edit_file::EditFile;
use crate::testing::{Bench, wait};
use crate::write_file::WriteFile;

/// What the turn and others do, one after another.
enum Do<'a> {
    /// The tool `write_file`.
    Write(&'a str, &'a str),
    /// The tool `edit_file`: path, old, new.
    Edit(&'a str, &'a str, &'a str),
    /// Somebody else writes, with this mode.
    Put(&'a str, &'a str, u32),
    /// Somebody else removes a file or a folder.
    Remove(&'a str),
    /// Somebody else puts a link: target, name.
    Link(&'a str, &'a str),
}
use Do::{Edit, Link, Put, Remove, Write};

fn turn(bench: &mut Bench) -> i64 {
    let inbound = Inbound { channel: "terminal".into(), session: "main".into(), text: "hello".into(), ..Inbound::default() };
    let turn = wait(async {
        let turn = bench.store.accept(inbound).await.unwrap().turn;
        bench.store.finish(turn, TurnState::Done, "replied", None).await.unwrap();
        turn
    });
    bench.context.turn = turn;
    turn
}

fn act(bench: &mut Bench, number: usize, deed: &Do<'_>) {
    bench.context.key = format!("{}-{number}", bench.context.turn);
    let (workspace, kept) = (bench.workspace.clone(), bench.kept.clone());
    match deed {
        Write(path, content) => {
            bench.run(&WriteFile::new(workspace, kept), json!({"path": path, "content": content})).unwrap();
        }
        Edit(path, old, new) => {
            bench.run(&EditFile::new(workspace, kept), json!({"path": path, "old": old, "new": new})).unwrap();
        }
        Put(path, content, mode) => {
            bench.write(path, content);
            fs::set_permissions(bench.path(path), fs::Permissions::from_mode(*mode)).unwrap();
        }
        Remove(path) => match bench.path(path).is_dir() {
            true => fs::remove_dir_all(bench.path(path)).unwrap(),
            false => fs::remove_file(bench.path(path)).unwrap(),
        },
        Link(target, name) => bench.link(*target, name),
    }
}

/// Files and links of the workspace with content and mode, folders with a slash.
fn tree(bench: &Bench) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, out: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_symlink() {
                out.push(format!("{name} → {}", fs::read_link(&path).unwrap().display()));
            } else if metadata.is_dir() {
                out.push(format!("{name}/"));
                walk(root, &path, out);
            } else {
                out.push(format!("{name} {} {:o}", fs::read_to_string(&path).unwrap(), metadata.permissions().mode() & 0o777));
            }
        }
    }
    let mut out = Vec::new();
    walk(bench.workspace.root(), bench.workspace.root(), &mut out);
    out.sort();
    out
}

/// `before`, then a turn of `deeds`, then its undo: what is said, and what is there then.
#[track_caller]
fn check(before: &[Do<'_>], deeds: &[Do<'_>], force: bool, said: &[&str], there: &[&str]) {
    let mut bench = Bench::new();
    for deed in before {
        act(&mut bench, 0, deed);
    }
    let turn = turn(&mut bench);
    for (number, deed) in deeds.iter().enumerate() {
        act(&mut bench, number, deed);
    }
    let kept = bench.outside("").parent().unwrap().join("kept").display().to_string();
    let undo = || {
        let restored = wait(bench.kept.restore(&bench.workspace, turn, force)).unwrap();
        restored.iter().map(|file| file.to_string().replace(&kept, "KEPT")).collect::<Vec<_>>()
    };
    let lines: Vec<String> = undo().iter().map(|line| line.split_inclusive("KEPT").next().unwrap_or_default().to_owned()).collect();
    assert_eq!(lines, said);
    assert_eq!(tree(&bench), there);
    // Cut off at its end and done again it changes nothing more.
    for line in undo() {
        assert!(line.starts_with("unchanged ") || line.starts_with("left alone "), "{line}");
    }
    assert_eq!(tree(&bench), there);
}

#[test]
fn files_are_as_they_were_before_the_turn() {
    let old = || Put("a.txt", "old", 0o640);
    check(&[old()], &[Write("a.txt", "new")], false, &["restored a.txt"], &["a.txt old 640"]);
    check(
        &[old()],
        &[Edit("a.txt", "old", "x"), Write("a.txt", "y"), Edit("a.txt", "y", "z")],
        false,
        &["restored a.txt"],
        &["a.txt old 640"],
    );
    check(&[], &[Write("a.txt", "new")], false, &["removed a.txt"], &[]);
    check(&[], &[Write("a.txt", "new"), Edit("a.txt", "new", "x")], false, &["removed a.txt"], &[]);
    // The last one changed is the first one brought back; folders that were made go, others stay.
    let both = [Write("x/y/a", "1"), Write("x/y/b", "2"), Write("x/c", "3"), Edit("x/y/a", "1", "4")];
    check(&[], &both, false, &["removed x/y/a", "removed x/c", "removed x/y/b"], &[]);
    check(&[Put("x/old", "o", 0o644)], &both, false, &["removed x/y/a", "removed x/c", "removed x/y/b"], &["x/", "x/old o 644"]);
    // Written twice with the same content is not changed at all.
    check(&[old()], &[Write("a.txt", "old")], false, &[], &["a.txt old 640"]);
}

#[test]
fn what_was_removed_comes_back() {
    let before = || [Put("d/e/a.txt", "old", 0o600), Put("d/run", "r", 0o755)];
    let deeds = [Write("d/e/a.txt", "new"), Write("d/run", "x"), Remove("d")];
    check(&before(), &deeds, false, &["restored d/run", "restored d/e/a.txt"], &["d/", "d/e/", "d/e/a.txt old 600", "d/run r 755"]);
    check(&[], &[Write("a.txt", "new"), Remove("a.txt")], false, &["unchanged a.txt"], &[]);
}

#[test]
fn what_somebody_else_changed_is_left_alone() {
    let old = || Put("a.txt", "old", 0o644);
    let changed = [Write("a.txt", "new"), Put("a.txt", "mine", 0o600)];
    let line = "left alone a.txt: changed since; what it was before is kept in KEPT";
    check(&[old()], &changed, false, &[line], &["a.txt mine 600"]);
    check(&[old()], &changed, true, &["restored a.txt; what was there is kept in KEPT"], &["a.txt old 644"]);
    check(&[], &changed, false, &["left alone a.txt: changed since"], &["a.txt mine 600"]);
    check(&[], &changed, true, &["removed a.txt; what was there is kept in KEPT"], &[]);
    // The others are brought back all the same.
    let two = [Write("a.txt", "new"), Write("b.txt", "new"), Put("a.txt", "mine", 0o600)];
    check(&[], &two, false, &["removed b.txt", "left alone a.txt: changed since"], &["a.txt mine 600"]);
    // A folder where the file was.
    let folder = [Write("a", "new"), Remove("a"), Put("a/b", "mine", 0o600)];
    check(&[], &folder, true, &["left alone a: it is no file any more"], &["a/", "a/b mine 600"]);
}

#[test]
fn links_stay_links_and_lead_nowhere_else() {
    let linked = || [Put("real/a.txt", "old", 0o644), Link("real/a.txt", "link")];
    check(&linked(), &[Write("link", "new")], false, &["restored real/a.txt"], &["link → real/a.txt", "real/", "real/a.txt old 644"]);
    let folder = || [Put("real/a.txt", "old", 0o644), Link("real", "way")];
    check(&folder(), &[Write("way/a.txt", "new")], false, &["restored real/a.txt"], &["real/", "real/a.txt old 644", "way → real"]);
    // The file's place is now a link, to the same content even.
    let moved = [Write("a.txt", "new"), Put("b.txt", "new", 0o644), Remove("a.txt"), Link("b.txt", "a.txt")];
    check(&[], &moved, true, &["left alone a.txt: it is no file any more"], &["a.txt → b.txt", "b.txt new 644"]);
    // The folder is now a link to another.
    let swapped = [Write("d/a.txt", "new"), Put("other/a.txt", "new", 0o644), Remove("d"), Link("other", "d")];
    let said = ["left alone d/a.txt: its folder is no folder any more"];
    check(&[], &swapped, true, &said, &["d → other", "other/", "other/a.txt new 644"]);
}

#[test]
fn undo_goes_further_back_turn_by_turn() {
    let mut bench = Bench::new();
    bench.write("a.txt", "1");
    let mut turns = Vec::new();
    for content in ["2", "3", "4"] {
        turns.push(turn(&mut bench));
        act(&mut bench, 1, &Write("a.txt", content));
    }
    for (turn, expected) in turns.iter().rev().zip(["3", "2", "1"]) {
        wait(bench.kept.restore(&bench.workspace, *turn, false)).unwrap();
        assert_eq!(bench.read("a.txt"), expected.as_bytes());
    }
    // Nothing is lost by it: every content is kept.
    assert_eq!(bench.kept.usage().unwrap().files, 4);
}

#[test]
fn what_is_not_kept_or_elsewhere_is_said() {
    let mut bench = Bench::new();
    bench.write("a.txt", "old");
    let turn = turn(&mut bench);
    act(&mut bench, 1, &Write("a.txt", "new"));
    let said = |bench: &Bench, workspace: &Workspace| wait(bench.kept.restore(workspace, turn, true)).unwrap()[0].to_string();
    let other = Workspace::open(&bench.outside("other")).unwrap();
    let expected = format!("left alone a.txt: it is in another workspace, {}", bench.workspace.root().display());
    assert!(said(&bench, &other).starts_with(&expected));
    for folder in fs::read_dir(bench.outside("").parent().unwrap().join("kept")).unwrap() {
        let folder = folder.unwrap().path();
        if folder.is_dir() {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    assert_eq!(said(&bench, &bench.workspace), "left alone a.txt: what it was before is no longer kept");
    assert_eq!(bench.read("a.txt"), b"new");
}
