//! The wall, from both sides: each case is tried through every tool that takes a path.

use serde_json::{Value, json};

use super::*;
use crate::edit_file::EditFile;
use crate::list_dir::ListDir;
use crate::read_file::ReadFile;
use crate::search_files::SearchFiles;
use crate::testing::Bench;
use crate::write_file::WriteFile;

fn attempts(bench: &Bench, path: &str) -> Vec<(&'static str, Result<String, ToolError>)> {
    let workspace = || bench.workspace.clone();
    let call = |tool: &dyn agent::Tool, arguments: Value| bench.run(tool, arguments);
    vec![
        ("read", call(&ReadFile::new(workspace(), 6_000), json!({"path": path}))),
        ("write", call(&WriteFile::new(workspace(), bench.kept.clone()), json!({"path": path, "content": "x"}))),
        ("edit", call(&EditFile::new(workspace(), bench.kept.clone()), json!({"path": path, "old": "secret", "new": "x"}))),
        ("list", call(&ListDir::new(workspace()), json!({"path": path}))),
        ("search", call(&SearchFiles::new(workspace()), json!({"pattern": "secret", "path": path}))),
    ]
}

#[test]
fn nothing_outside_is_reached() {
    let bench = Bench::new();
    let secret = bench.outside("secret.txt").display().to_string();
    bench.write("dir/file", "x");
    bench.link(bench.outside(""), "absolute");
    bench.link("../outside", "relative");
    bench.link(&secret, "file");
    bench.link("../outside/secret.txt", "dir2");
    bench.link(bench.outside("new.txt"), "dangling");
    bench.link("absolute", "chain");
    bench.link("..", "up");
    bench.link("/proc/self/root", "magic");
    let through_root = format!("magic{secret}");
    let beside = format!("{}-2/x", bench.workspace.root().display());
    let paths = [
        "..",
        "../outside",
        "../outside/secret.txt",
        "dir/../../outside/secret.txt",
        "/",
        "/etc/passwd",
        "//etc/passwd",
        "~",
        "~/.bashrc",
        "absolute/secret.txt",
        "absolute/new.txt",
        "absolute/new/deep.txt",
        "relative/secret.txt",
        "file",
        "dir2",
        "dangling",
        "chain/secret.txt",
        "up/outside/secret.txt",
        &secret,
        &through_root,
        &beside,
    ];
    for path in paths {
        for (tool, result) in attempts(&bench, path) {
            assert_eq!(result, Err(fail(format!("outside the workspace: {path}"))), "{tool} {path}");
        }
    }
    let outside: Vec<_> = std::fs::read_dir(bench.outside("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(outside, ["secret.txt"]);
    assert_eq!(std::fs::read(&secret).unwrap(), b"secret\n");
}

#[test]
fn links_inside_are_followed() {
    let bench = Bench::new();
    bench.write("real/file.txt", "hello\n");
    bench.link("real", "by-dir");
    bench.link("../real/file.txt", "real/back");
    bench.link("by-dir/file.txt", "by-file");
    let read = ReadFile::new(bench.workspace.clone(), 6_000);
    for path in ["by-dir/file.txt", "real/back", "by-file", "./real//file.txt", "gone/../real/file.txt"] {
        assert_eq!(bench.run(&read, json!({"path": path})), Ok("hello".into()), "{path}");
    }
}

#[test]
fn a_missing_workspace_is_made_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let path = bench.outside("home/workspace");
    Workspace::open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let file = bench.outside("secret.txt");
    let error = Workspace::open(&file).unwrap_err().to_string();
    assert!(error.starts_with(&format!("the workspace {} cannot be used: ", file.display())), "{error}");
}

#[test]
fn both_spellings_of_the_workspace_are_inside() {
    let bench = Bench::new();
    bench.write("a.txt", "hello\n");
    let link = bench.outside("by-link");
    std::os::unix::fs::symlink(bench.workspace.root(), &link).unwrap();
    let read = ReadFile::new(Workspace::open(&link).unwrap(), 6_000);
    for path in [link.join("a.txt"), bench.path("a.txt")] {
        assert_eq!(bench.run(&read, json!({"path": path})), Ok("hello".into()));
    }
}

#[test]
fn the_programs_own_files_are_seen_through_links() {
    let bench = Bench::new();
    let root = bench.workspace.root().to_owned();
    let home = root.parent().unwrap().to_owned();
    bench.write("dir/paguro.toml", "x");
    bench.link(bench.outside(""), "leads-out");
    let link = |target: &Path, name: &str| {
        std::os::unix::fs::symlink(target, bench.outside(name)).unwrap();
        bench.outside(name)
    };
    link(Path::new("loop"), "loop");
    let check = |path: &Path, expected: bool| assert_eq!(bench.workspace.contains(path), expected, "{}", path.display());
    // The usual place: the workspace lies in the home and the home not in it.
    check(&home, false);
    check(&home.join("paguro.toml"), false);
    check(&home.join("workspace-2/paguro.toml"), false);
    check(&bench.outside("missing/paguro.toml"), false);
    check(&root.join("../paguro.toml"), true);
    check(Path::new("/"), false);
    check(&root, true);
    check(&root.join("dir/paguro.toml"), true);
    check(&root.join("missing/paguro.toml"), true);
    check(&bench.outside("../workspace/dir"), true);
    // A link that the model could change, though what it leads to is out of reach; and the other way round.
    check(&root.join("leads-out/secret.txt"), true);
    check(&link(&root.join("dir/paguro.toml"), "file"), true);
    check(&link(&root.join("dir/missing.toml"), "dangling"), true);
    check(&link(Path::new("../workspace/dir"), "folder").join("missing.toml"), true);
    check(&link(&root.join("leads-out/secret.txt"), "through"), true);
    check(&link(&home, "home").join("paguro.toml"), false);
    check(&bench.outside("loop"), true);
    // Above everything.
    let all = Workspace::open(Path::new("/")).unwrap();
    assert!(all.contains(&home) && all.contains(Path::new("/")));
    // The workspace by another name.
    let by_link = Workspace::open(&link(&root, "workspace")).unwrap();
    assert!(by_link.contains(&root.join("dir")) && !by_link.contains(&bench.outside("secret.txt")));
}

#[test]
fn where_a_path_leads() {
    let bench = Bench::new();
    bench.write("dir/file", "x");
    bench.link("dir", "to-dir");
    bench.link("to-dir/file", "to-file");
    bench.link(bench.outside("secret.txt"), "out");
    bench.link("dir/missing", "dangling");
    let cases = [
        ("dir/file", None),
        ("./dir//new", None),
        (".", None),
        ("new/x", None),
        ("../x", None),
        ("to-dir/file", Some("dir/file".to_owned())),
        ("to-dir/new/x", Some("dir/new/x".to_owned())),
        ("to-file", Some("dir/file".to_owned())),
        ("out", Some(bench.outside("secret.txt").canonicalize().unwrap().display().to_string())),
        ("dangling", Some("/".to_owned())),
    ];
    for (path, expected) in cases {
        assert_eq!(bench.workspace.leads_to(path), expected, "{path}");
    }
}
