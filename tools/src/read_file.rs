//! `read_file`: the lines of a text file, page by page.

use std::io::{BufReader, Read};

use agent::engine::ToolSchema;
use agent::{Effect, Tool, ToolContext, ToolError, ToolFuture};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{Deadline, blocking, fail, parse, schema};
use crate::lines::{BLOCK, is_binary, next_line};
use crate::text::{decode, thousands};
use crate::workspace::{Target, Workspace};

/// Lines of a page when none are asked for.
const DEFAULT_LINES: u64 = 200;
/// Lines of a page at most; asking for more is refused by the schema, and taken as this by the tool.
const MAX_LINES: u64 = 2_000;
/// Bytes of one line that are shown; of a longer line, a note says how much is left out.
const MAX_LINE_BYTES: usize = 4_000;
/// Bytes after the page that are read to count the file's lines; in a larger file their number is not told.
const MAX_COUNTED_BYTES: u64 = 256 * 1024 * 1024;

/// See the file's head.
pub(crate) struct ReadFile {
    workspace: Workspace,
    /// Bytes of text in a page: a page ends before the line that would pass it, but has one line at least.
    page_bytes: usize,
}

impl ReadFile {
    pub(crate) fn new(workspace: Workspace, page_bytes: usize) -> Self {
        Self { workspace, page_bytes }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    #[serde(default = "first_line")]
    offset: u64,
    #[serde(default = "default_lines")]
    limit: u64,
}

fn first_line() -> u64 {
    1
}

fn default_lines() -> u64 {
    DEFAULT_LINES
}

impl Tool for ReadFile {
    fn schema(&self) -> ToolSchema {
        schema(
            "read_file",
            "Read a text file of the workspace. Long files come in pages.",
            1,
            json!({
                "path": {"type": "string"},
                "offset": {"type": "integer", "minimum": 1, "description": "first line"},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LINES, "description": "lines"},
            }),
        )
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn leads_to(&self, arguments: &Value) -> Option<String> {
        self.workspace.leads_to(arguments.get("path")?.as_str()?)
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        let (workspace, page_bytes) = (self.workspace.clone(), self.page_bytes);
        let arguments = parse::<Arguments>(arguments);
        blocking(context, move |deadline| {
            let arguments = arguments?;
            let target = workspace.locate(&arguments.path)?;
            let page = Page { first: arguments.offset.max(1), lines: arguments.limit.clamp(1, MAX_LINES), bytes: page_bytes };
            read(&target, &page, deadline)
        })
    }
}

struct Page {
    first: u64,
    lines: u64,
    bytes: usize,
}

fn read(target: &Target, page: &Page, deadline: &Deadline) -> Result<String, ToolError> {
    let (file, metadata) = target.open_file()?;
    let binary = || Ok(format!("binary file, {} bytes", thousands(metadata.len())));
    let failed = |error: std::io::Error| target.describe(&error);
    let mut reader = BufReader::with_capacity(BLOCK, file);
    if is_binary(&mut reader).map_err(failed)? {
        return binary();
    }
    let mut line = Vec::new();
    let mut before = 0;
    while before + 1 < page.first && next_line(&mut reader, 0, &mut line, deadline).map_err(failed)?.is_some() {
        before += 1;
    }
    let mut shown = Vec::new();
    let mut bytes = 0;
    let mut pending = false;
    let keep = MAX_LINE_BYTES;
    while let Some(length) = next_line(&mut reader, keep, &mut line, deadline).map_err(failed)? {
        let full = bytes + line.len() > page.bytes && !shown.is_empty();
        if full || shown.len() as u64 == page.lines {
            pending = true;
            break;
        }
        let left_out = length - line.len() as u64;
        let Some(text) = decode(&line, left_out > 0).filter(|text| !text.contains('\0')) else {
            return binary();
        };
        bytes += line.len() + 1;
        shown.push(match left_out {
            0 => text.to_owned(),
            n => format!("{text} [… {} bytes of this line left out]", thousands(n)),
        });
    }
    let last = before + shown.len() as u64;
    let total = match pending {
        true => count_on(&mut reader, deadline).map(|more| last + 1 + more),
        false => Some(last),
    };
    present(target, page.first, &shown, last, total)
}

/// Lines that are left in the file; None if it is too large to say.
fn count_on(reader: &mut BufReader<impl Read>, deadline: &Deadline) -> Option<u64> {
    let mut rest = reader.take(MAX_COUNTED_BYTES);
    let (mut lines, mut line) = (0, Vec::new());
    while next_line(&mut rest, 0, &mut line, deadline).ok()?.is_some() {
        lines += 1;
        if deadline.passed() {
            return None;
        }
    }
    (rest.limit() > 0).then_some(lines)
}

fn present(target: &Target, first: u64, shown: &[String], last: u64, total: Option<u64>) -> Result<String, ToolError> {
    if shown.is_empty() {
        return match (first, last) {
            (1, _) => Ok("(empty file)".to_owned()),
            (_, last) => Err(fail(format!("{} has {last} lines, none from {first} on", target.shown))),
        };
    }
    let text = shown.join("\n");
    let whole = first == 1 && total == Some(last);
    let note = match total {
        _ if whole && text.is_empty() => return Ok("(one empty line)".to_owned()),
        _ if whole => return Ok(text),
        Some(total) if total == last => format!("[lines {first}-{last} of {total}]"),
        Some(total) => format!("[lines {first}-{last} of {total}; read on with offset {}]", last + 1),
        None => format!("[lines {first}-{last} of many; read on with offset {}]", last + 1),
    };
    Ok(format!("{text}\n{note}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn numbered(lines: std::ops::RangeInclusive<u32>) -> String {
        lines.map(|n| format!("line {n}\n")).collect()
    }

    fn check(content: &[u8], arguments: Value, expected: Result<&str, &str>) {
        let bench = Bench::new();
        bench.write("a.txt", content);
        let tool = ReadFile::new(bench.workspace.clone(), 6_000);
        let result = bench.run(&tool, arguments);
        assert_eq!(result.as_ref().map(String::as_str).map_err(|e| e.text.as_str()), expected);
    }

    #[test]
    fn text_comes_as_it_is() {
        let path = || json!({"path": "a.txt"});
        check(b"hello\nworld\n", path(), Ok("hello\nworld"));
        check(b"no newline at end", path(), Ok("no newline at end"));
        check(b"", path(), Ok("(empty file)"));
        check(b"\n", path(), Ok("(one empty line)"));
        check(b"\n\n", path(), Ok("\n"));
        check(b"crlf\r\nkept\r\n", path(), Ok("crlf\r\nkept\r"));
        check("zażółć 🦀\n".as_bytes(), path(), Ok("zażółć 🦀"));
    }

    #[test]
    fn what_is_not_text_is_named() {
        check(b"a\0b", json!({"path": "a.txt"}), Ok("binary file, 3 bytes"));
        check(b"caf\xe9\n", json!({"path": "a.txt"}), Ok("binary file, 5 bytes"));
        let mut late = vec![b'\n'; BLOCK];
        late.push(0);
        check(&late, json!({"path": "a.txt", "offset": BLOCK + 1}), Ok("binary file, 65,537 bytes"));
    }

    #[test]
    fn long_files_come_in_pages() {
        let text = numbered(1..=940);
        let page = |from, to, note: &str| format!("{}{note}", numbered(from..=to));
        let at = |offset: u64| json!({"path": "a.txt", "offset": offset});
        let first = page(1, 200, "[lines 1-200 of 940; read on with offset 201]");
        check(text.as_bytes(), json!({"path": "a.txt"}), Ok(&first));
        check(text.as_bytes(), at(901), Ok(&page(901, 940, "[lines 901-940 of 940]")));
        let two = json!({"path": "a.txt", "offset": 7, "limit": 2});
        check(text.as_bytes(), two, Ok("line 7\nline 8\n[lines 7-8 of 940; read on with offset 9]"));
        check(text.as_bytes(), at(941), Err("a.txt has 940 lines, none from 941 on"));
        // 6,000 bytes are fewer than 940 lines of this.
        let full = page(1, 678, "[lines 1-678 of 940; read on with offset 679]");
        check(text.as_bytes(), json!({"path": "a.txt", "limit": 940}), Ok(&full));
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let mut text = "x".to_owned();
        text.push_str(&"é".repeat(500_000));
        let expected = format!("x{} [… 996,001 bytes of this line left out]\nend", "é".repeat(1_999));
        check(format!("{text}\nend\n").as_bytes(), json!({"path": "a.txt"}), Ok(&expected));
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let bench = Bench::new();
        bench.write("dir/file", b"x");
        bench.fifo("fifo");
        let _socket = std::os::unix::net::UnixListener::bind(bench.path("socket")).unwrap();
        let tool = ReadFile::new(bench.workspace.clone(), 6_000);
        let cases = [
            ("missing", "no such file: missing"),
            ("dir", "is a directory: dir"),
            (".", "is a directory: ."),
            ("dir/file/x", "not a directory: dir/file/x"),
            ("fifo", "not a regular file: fifo"),
            ("socket", "not a regular file: socket"),
            ("", "the path is empty; `.` is the workspace itself"),
            ("a\0b", "the path contains a NUL byte"),
        ];
        for (path, expected) in cases {
            assert_eq!(bench.run(&tool, json!({"path": path})).unwrap_err().text, expected);
        }
    }
}
