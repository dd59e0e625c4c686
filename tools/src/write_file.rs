//! `write_file`: a whole file, in one step.

use agent::engine::ToolSchema;
use agent::{Effect, Tool, ToolContext, ToolFuture};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{blocking, parse, schema};
use crate::kept::Kept;
use crate::text::count;
use crate::workspace::Workspace;

/// Mode of folders that are made on the way, less the process's mask.
pub(crate) const FOLDER_MODE: u32 = 0o777;

/// See the file's head.
pub(crate) struct WriteFile {
    workspace: Workspace,
    kept: Kept,
}

impl WriteFile {
    pub(crate) fn new(workspace: Workspace, kept: Kept) -> Self {
        Self { workspace, kept }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    content: String,
}

impl Tool for WriteFile {
    fn schema(&self) -> ToolSchema {
        schema(
            "write_file",
            "Create or replace a file of the workspace. Makes missing folders.",
            2,
            json!({"path": {"type": "string"}, "content": {"type": "string"}}),
        )
    }

    fn effect(&self) -> Effect {
        Effect::Write
    }

    fn leads_to(&self, arguments: &Value) -> Option<String> {
        self.workspace.leads_to(arguments.get("path")?.as_str()?)
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        let (workspace, kept, call) = (self.workspace.clone(), self.kept.clone(), context.clone());
        let arguments = parse::<Arguments>(arguments);
        blocking(context, move |_| {
            let Arguments { path, content } = arguments?;
            kept.replace(&workspace.locate(&path)?, &workspace, &call, content.as_bytes(), FOLDER_MODE)?;
            Ok(format!("wrote {} to {path}", count(content.len() as u64, "byte")))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::Bench;

    fn write(bench: &Bench, path: &str, content: &str) -> Result<String, String> {
        let tool = WriteFile::new(bench.workspace.clone(), bench.kept.clone());
        bench.run(&tool, json!({"path": path, "content": content})).map_err(|error| error.text)
    }

    #[track_caller]
    fn check(bench: &Bench, path: &str, content: &str, expected: &str) {
        assert_eq!(write(bench, path, content), Ok(expected.to_owned()));
        assert_eq!(bench.read(path), content.as_bytes());
    }

    #[test]
    fn files_are_made_and_replaced() {
        let bench = Bench::new();
        check(&bench, "notes.txt", "buy milk and bread today", "wrote 24 bytes to notes.txt");
        check(&bench, "notes.txt", "", "wrote 0 bytes to notes.txt");
        check(&bench, "a/b/c.txt", "é\r\n", "wrote 4 bytes to a/b/c.txt");
        check(&bench, "a/../d/./e.txt", "x", "wrote 1 byte to a/../d/./e.txt");
        let inside = bench.path("f.txt").display().to_string();
        check(&bench, &inside, "x", &format!("wrote 1 byte to {inside}"));
        let mut names: Vec<_> = std::fs::read_dir(bench.workspace.root()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "d", "f.txt", "notes.txt"], "no temporary file stays behind");
    }

    #[test]
    fn the_mode_of_an_existing_file_is_kept() {
        let bench = Bench::new();
        bench.write("run.sh", "old");
        std::fs::set_permissions(bench.path("run.sh"), std::fs::Permissions::from_mode(0o750)).unwrap();
        check(&bench, "run.sh", "new", "wrote 3 bytes to run.sh");
        assert_eq!(std::fs::metadata(bench.path("run.sh")).unwrap().permissions().mode() & 0o7777, 0o750);
    }

    #[test]
    fn a_link_inside_stays_a_link() {
        let bench = Bench::new();
        bench.write("real/file.txt", "old");
        bench.link("real/file.txt", "link.txt");
        check(&bench, "link.txt", "new", "wrote 3 bytes to link.txt");
        assert!(bench.path("link.txt").is_symlink());
        assert_eq!(bench.read("real/file.txt"), b"new");
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let bench = Bench::new();
        bench.write("dir/file", "x");
        bench.fifo("fifo");
        bench.link("nowhere", "dangling");
        bench.write("fixed", "x");
        std::fs::set_permissions(bench.path("fixed"), std::fs::Permissions::from_mode(0o444)).unwrap();
        let cases = [
            ("dir", "is a directory: dir"),
            (".", "is a directory: ."),
            ("new/", "is a directory: new/"),
            ("dir/file/x", "not a directory: dir/file/x"),
            ("fifo", "not a regular file: fifo"),
            ("dangling", "is a link that leads to nothing: dangling"),
            ("fixed", "read-only: fixed"),
        ];
        for (path, expected) in cases {
            assert_eq!(write(&bench, path, "new"), Err(expected.to_owned()));
        }
        assert!(!bench.path("nowhere").exists());
    }
}
