//! The rules of DESIGN §2 and §7 that a reader could only trust otherwise: the edges between rooms, the budgets, where `unsafe` may stand.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod budgets;
mod edges;
mod words;

use std::path::{Path, PathBuf};

/// Every Rust file of the workspace that is ours, as (path from the root, text).
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut out = Vec::new();
    let rooms = ["src", "build.rs", "llama-sys", "engine", "memory", "agent", "tools", "channels", "tests", "benches"];
    for room in rooms {
        collect(&root.join(room), root, &mut out);
    }
    assert!(out.len() > 30, "only {} files found: the walk is broken", out.len());
    out
}

fn collect(path: &Path, root: &Path, out: &mut Vec<(PathBuf, String)>) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| !path.ends_with("target")).for_each(|path| collect(&path, root, out));
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        out.push((path.strip_prefix(root).unwrap().to_owned(), std::fs::read_to_string(path).unwrap()));
    }
}
