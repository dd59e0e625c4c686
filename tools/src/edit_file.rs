//! `edit_file`: replaces a text in a file and leaves every other byte as it is.

use std::io::Read;

use agent::engine::ToolSchema;
use agent::{Effect, Tool, ToolContext, ToolError, ToolFuture};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{blocking, fail, parse, schema};
use crate::kept::Kept;
use crate::text::{count, thousands};
use crate::workspace::{Target, Workspace};
use crate::write_file::FOLDER_MODE;

/// Bytes of a file that can be edited, and of what it becomes; more is refused, since both are held in memory.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// See the file's head.
pub(crate) struct EditFile {
    workspace: Workspace,
    kept: Kept,
}

impl EditFile {
    pub(crate) fn new(workspace: Workspace, kept: Kept) -> Self {
        Self { workspace, kept }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    old: String,
    new: String,
    #[serde(default)]
    all: bool,
}

impl Tool for EditFile {
    fn schema(&self) -> ToolSchema {
        schema(
            "edit_file",
            "Replace a text in a file. `old` must occur exactly once, unless `all` is true.",
            3,
            json!({
                "path": {"type": "string"},
                "old": {"type": "string"},
                "new": {"type": "string"},
                "all": {"type": "boolean"},
            }),
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
            let arguments = arguments?;
            let target = workspace.locate(&arguments.path)?;
            let text = read_text(&target)?;
            let (text, replaced) = edit(&text, &arguments)?;
            kept.replace(&target, &workspace, &call, text.as_bytes(), FOLDER_MODE)?;
            Ok(format!("edited {}: {}", arguments.path, count(replaced, "replacement")))
        })
    }
}

fn read_text(target: &Target) -> Result<String, ToolError> {
    let (file, metadata) = target.open_file()?;
    let too_large = |bytes| {
        fail(format!("{} has {} bytes; at most {} can be edited, use the shell", target.shown, thousands(bytes), thousands(MAX_BYTES)))
    };
    if metadata.len() > MAX_BYTES {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    // The file may have grown since.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| target.describe(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(fail(format!("not a text file in UTF-8: {}", target.shown))),
    }
}

fn edit(text: &str, arguments: &Arguments) -> Result<(String, u64), ToolError> {
    let Arguments { path, old, new, all } = arguments;
    if old.is_empty() {
        return Err(fail("the old text is empty"));
    }
    if old == new {
        return Err(fail("the old and the new text are the same"));
    }
    if !text.contains(old.as_str()) && text.contains("\r\n") && old.contains('\n') && !old.contains('\r') {
        // Models write plain newlines; in a file of CRLF lines they mean those.
        let crlf = |text: &str| text.replace('\n', "\r\n");
        return replace(text, path, &crlf(old), &crlf(&new.replace("\r\n", "\n")), *all);
    }
    replace(text, path, old, new, *all)
}

fn replace(text: &str, path: &str, old: &str, new: &str, all: bool) -> Result<(String, u64), ToolError> {
    let found = match all {
        true => text.matches(old).count() as u64,
        false => occurrences(text, old),
    };
    match found {
        0 => Err(fail(format!("the old text does not occur in {path}"))),
        n if n > 1 && !all => Err(fail(format!("the old text occurs {n} times in {path}; give more of the text around it, or set `all`"))),
        n => {
            // Not too large for a number: each length is that of a text in memory, and `n` is at most the first of them.
            let bytes = text.len() as u64 - n * old.len() as u64 + n * new.len() as u64;
            if bytes > MAX_BYTES {
                let (bytes, most) = (thousands(bytes), thousands(MAX_BYTES));
                return Err(fail(format!("{path} would have {bytes} bytes then; at most {most} can be written, use the shell")));
            }
            Ok((text.replace(old, new), n))
        }
    }
}

/// Counts also those that overlap: "aa" stands at two places of "aaa", and which one is meant is open.
fn occurrences(text: &str, old: &str) -> u64 {
    let step = old.chars().next().map_or(1, char::len_utf8);
    let (mut from, mut found) = (0, 0);
    while let Some(at) = text[from..].find(old) {
        found += 1;
        from += at + step;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::Bench;

    fn check(before: &[u8], arguments: Value, expected: Result<&str, &str>, after: &[u8]) {
        let bench = Bench::new();
        bench.write("a.txt", before);
        std::fs::set_permissions(bench.path("a.txt"), std::fs::Permissions::from_mode(0o640)).unwrap();
        let result = bench.run(&EditFile::new(bench.workspace.clone(), bench.kept.clone()), arguments);
        assert_eq!(result.as_ref().map(String::as_str).map_err(|e| e.text.as_str()), expected);
        assert_eq!(bench.read("a.txt"), after);
        assert_eq!(std::fs::metadata(bench.path("a.txt")).unwrap().permissions().mode() & 0o777, 0o640);
    }

    fn arguments(old: &str, new: &str) -> Value {
        json!({"path": "a.txt", "old": old, "new": new})
    }

    fn everywhere(old: &str, new: &str) -> Value {
        json!({"path": "a.txt", "old": old, "new": new, "all": true})
    }

    #[test]
    fn only_the_old_text_changes() {
        let once = Ok("edited a.txt: 1 replacement");
        check(b"a red bike\n", arguments("red", "green"), once, b"a green bike\n");
        check(b"no newline at end", arguments(" at end", ""), once, b"no newline");
        check("\u{feff}é 🦀\tx ".as_bytes(), arguments("🦀", "ü"), once, "\u{feff}é ü\tx ".as_bytes());
        check(b"a\r\nb\r\nc\nd", arguments("b", "x\ny"), once, b"a\r\nx\ny\r\nc\nd");
        check(b"a\r\nb\r\nc", arguments("a\nb", "x\ny"), once, b"x\r\ny\r\nc");
        check(b"aaaa", everywhere("aa", "b"), Ok("edited a.txt: 2 replacements"), b"bb");
    }

    #[test]
    fn an_unclear_edit_changes_nothing() {
        let unclear = |n| format!("the old text occurs {n} times in a.txt; give more of the text around it, or set `all`");
        check(b"x x x", arguments("x", "y"), Err(&unclear(3)), b"x x x");
        check(b"aaa", arguments("aa", "y"), Err(&unclear(2)), b"aaa");
        let absent = Err("the old text does not occur in a.txt");
        check(b"abc", arguments("B", "y"), absent, b"abc");
        check(b"", everywhere("x", "y"), absent, b"");
        check(b"abc", arguments("", "y"), Err("the old text is empty"), b"abc");
        check(b"abc", arguments("b", "b"), Err("the old and the new text are the same"), b"abc");
    }

    #[test]
    fn what_would_become_too_large_is_refused() {
        const HALF: usize = MAX_BYTES as usize / 2;
        let half = vec![b'x'; HALF];
        check(&half, everywhere("x", "yy"), Ok("edited a.txt: 8388608 replacements"), &vec![b'y'; 2 * HALF]);
        let expected = |bytes| format!("a.txt would have {bytes} bytes then; at most 16,777,216 can be written, use the shell");
        check(&half, everywhere("x", "yyy"), Err(&expected("25,165,824")), &half);
        check(&half, everywhere("x", &"y".repeat(10_000)), Err(&expected("83,886,080,000")), &half);
        check(b"x", arguments("x", &"y".repeat(2 * HALF + 1)), Err(&expected("16,777,217")), b"x");
    }

    #[test]
    fn what_is_not_text_is_refused() {
        let refused = Err("not a text file in UTF-8: a.txt");
        check(b"caf\xe9", arguments("caf", "x"), refused, b"caf\xe9");
        check(b"a\0b", arguments("a", "x"), refused, b"a\0b");
        let large = vec![b'x'; MAX_BYTES as usize + 1];
        let expected = "a.txt has 16,777,217 bytes; at most 16,777,216 can be edited, use the shell";
        check(&large, arguments("a", "x"), Err(expected), &large);
    }
}
