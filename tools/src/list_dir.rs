//! `list_dir`: the names in a folder.

use std::ffi::OsString;

use agent::engine::ToolSchema;
use agent::{Effect, Tool, ToolContext, ToolError, ToolFuture};
use cap_std::fs::{Dir, DirEntry};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{Deadline, blocking, parse, schema};
use crate::text::{one_line, thousands};
use crate::workspace::{OWN_FOLDER, Target, Workspace};

/// Entries that are shown; a note tells how many there are.
const MAX_SHOWN: usize = 500;
/// Entries that are read and sorted; in a larger folder the shown ones are the first of these, and the note says "more than".
const MAX_READ: usize = 100_000;

/// See the file's head.
pub(crate) struct ListDir {
    workspace: Workspace,
}

impl ListDir {
    pub(crate) fn new(workspace: Workspace) -> Self {
        Self { workspace }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(default = "workspace_itself")]
    path: String,
}

fn workspace_itself() -> String {
    ".".to_owned()
}

impl Tool for ListDir {
    fn schema(&self) -> ToolSchema {
        schema(
            "list_dir",
            "List a directory of the workspace (`.` is the workspace). Directories end in `/`.",
            0,
            json!({"path": {"type": "string"}}),
        )
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn leads_to(&self, arguments: &Value) -> Option<String> {
        self.workspace.leads_to(arguments.get("path")?.as_str()?)
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        let workspace = self.workspace.clone();
        let arguments = parse::<Arguments>(arguments);
        blocking(context, move |deadline| list(&workspace.locate(&arguments?.path)?, deadline))
    }
}

fn list(target: &Target, deadline: &Deadline) -> Result<String, ToolError> {
    let dir = target.open_dir()?;
    let failed = |error: std::io::Error| target.describe(&error);
    // The program's own folder is not part of what the person and the model work on.
    let hidden = target.relative.as_os_str().is_empty().then_some(OWN_FOLDER);
    let mut entries = Vec::new();
    let mut more = false;
    for entry in dir.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if hidden.is_some_and(|own| name == own) {
            continue;
        }
        if entries.len() == MAX_READ || deadline.passed() {
            more = true;
            break;
        }
        let is_dir = is_dir(&dir, &entry, &name);
        entries.push((name, is_dir));
    }
    if entries.is_empty() {
        return Ok("(empty directory)".to_owned());
    }
    entries.sort();
    let mut text = String::new();
    for (name, is_dir) in entries.iter().take(MAX_SHOWN) {
        text.push_str(&one_line(&name.to_string_lossy()));
        text.push_str(if *is_dir { "/\n" } else { "\n" });
    }
    if more || entries.len() > MAX_SHOWN {
        let shown = entries.len().min(MAX_SHOWN);
        let than = if more { "more than " } else { "" };
        text.push_str(&format!("[{shown} of {than}{} entries shown]\n", thousands(entries.len() as u64)));
    }
    text.pop();
    Ok(text)
}

/// A link counts as what it leads to, if that lies inside the workspace.
fn is_dir(dir: &Dir, entry: &DirEntry, name: &OsString) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => dir.metadata(name).is_ok_and(|metadata| metadata.is_dir()),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[track_caller]
    fn check(bench: &Bench, arguments: Value, expected: Result<&str, &str>) {
        let result = bench.run(&ListDir::new(bench.workspace.clone()), arguments);
        assert_eq!(result.as_ref().map(String::as_str).map_err(|e| e.text.as_str()), expected);
    }

    #[test]
    fn names_are_sorted_and_directories_marked() {
        let bench = Bench::new();
        check(&bench, json!({}), Ok("(empty directory)"));
        for name in ["b.txt", "A", "ünï.txt", ".hidden", "d/x", ".paguro/output/7-2.txt", "two\nlines"] {
            bench.write(name, "");
        }
        bench.link("d", "to-dir");
        bench.link("nowhere", "dangling");
        bench.link(bench.outside(""), "way-out");
        bench.fifo("fifo");
        let all = ".hidden\nA\nb.txt\nd/\ndangling\nfifo\nto-dir/\ntwo\u{fffd}lines\nway-out\nünï.txt";
        check(&bench, json!({}), Ok(all));
        check(&bench, json!({"path": "."}), Ok(all));
        check(&bench, json!({"path": bench.workspace.root()}), Ok(all));
        check(&bench, json!({"path": "to-dir/"}), Ok("x"));
        check(&bench, json!({"path": ".paguro"}), Ok("output/"));
        check(&bench, json!({"path": "A"}), Err("not a directory: A"));
        check(&bench, json!({"path": "fifo"}), Err("not a directory: fifo"));
        check(&bench, json!({"path": "gone"}), Err("no such file: gone"));
        check(&bench, json!({"path": "way-out"}), Err("outside the workspace: way-out"));
    }

    #[test]
    fn a_large_directory_is_cut() {
        let bench = Bench::new();
        for n in 0..1_234 {
            bench.write(&format!("f{n:04}"), "");
        }
        let mut expected: String = (0..500).map(|n| format!("f{n:04}\n")).collect();
        expected.push_str("[500 of 1,234 entries shown]");
        check(&bench, json!({}), Ok(&expected));
    }
}
