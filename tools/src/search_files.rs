//! `search_files`: the lines that match a pattern.

mod walk;

use std::io::{self, BufReader};
use std::ops::ControlFlow;
use std::path::Path;

use agent::engine::ToolSchema;
use agent::{Effect, Tool, ToolContext, ToolError, ToolFuture};
use cap_std::fs::File;
use ignore::overrides::{Override, OverrideBuilder};
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use self::walk::Walk;
use crate::call::{Deadline, blocking, fail, parse, schema};
use crate::lines::{BLOCK, is_binary, next_line};
use crate::text::{count, one_line};
use crate::workspace::{Target, Workspace};

/// Matching lines that are shown; the search ends at the next one, and a note says so.
const MAX_MATCHES: usize = 200;
/// Bytes of a line that are searched; what lies beyond them in a longer line is not found.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// Characters of a matching line that are shown; more are cut around the match and marked with `…`.
const MAX_SHOWN_CHARS: usize = 200;
/// Of these, how many may stand before the match.
const SHOWN_BEFORE: usize = 60;
/// Bytes a compiled pattern may take; a larger one is refused.
const MAX_PATTERN_BYTES: usize = 1024 * 1024;

/// See the file's head.
pub(crate) struct SearchFiles {
    workspace: Workspace,
}

impl SearchFiles {
    pub(crate) fn new(workspace: Workspace) -> Self {
        Self { workspace }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    pattern: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    glob: Option<String>,
}

impl Tool for SearchFiles {
    fn schema(&self) -> ToolSchema {
        schema(
            "search_files",
            "Search the workspace's text files for a regular expression or plain text. Skips hidden and ignored files.",
            1,
            json!({
                "pattern": {"type": "string"},
                "path": {"type": "string", "description": "file or directory to search in"},
                "glob": {"type": "string", "description": "file names, like `*.rs`"},
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
        let workspace = self.workspace.clone();
        let arguments = parse::<Arguments>(arguments);
        blocking(context, move |deadline| {
            let arguments = arguments?;
            let target = workspace.locate(arguments.path.as_deref().unwrap_or("."))?;
            let search = Search { pattern: pattern(&arguments.pattern)?, deadline, matches: Vec::new(), capped: false, unread: 0 };
            search.run(&target, &glob(arguments.glob.as_deref())?)
        })
    }
}

/// A regular expression that also finds the text itself: models write `f(x)` or `$5` and mean just that.
fn pattern(pattern: &str) -> Result<Regex, ToolError> {
    if pattern.is_empty() {
        return Err(fail("the pattern is empty"));
    }
    let literal = regex::escape(pattern);
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build();
    let valid = build(pattern).is_ok();
    let either = valid.then(|| build(&format!("(?:{pattern})|(?:{literal})")).ok()).flatten();
    match either {
        Some(regex) => Ok(regex),
        None => build(if valid { pattern } else { &literal }).map_err(|_| fail("the pattern is too large")),
    }
}

fn glob(glob: Option<&str>) -> Result<Override, ToolError> {
    let Some(glob) = glob else { return Ok(Override::empty()) };
    let wrong = |error: ignore::Error| fail(format!("argument `glob`: {error}"));
    let mut builder = OverrideBuilder::new("");
    builder.add(glob).map_err(wrong)?;
    builder.build().map_err(wrong)
}

struct Search<'a> {
    pattern: Regex,
    deadline: &'a Deadline,
    matches: Vec<String>,
    capped: bool,
    unread: u64,
}

impl Search<'_> {
    fn run(mut self, target: &Target, glob: &Override) -> Result<String, ToolError> {
        let mut walk = Walk::new(glob, self.deadline);
        let is_file = target.metadata()?.is_some_and(|metadata| !metadata.is_dir());
        let flow = if is_file {
            // A file that is named is searched, whatever the rules say.
            self.file(target.open_file()?.0, &target.relative)
        } else {
            let dir = target.open_dir()?;
            walk.rules_above(target.workspace(), &target.relative);
            walk.run(&dir, &target.relative, &mut |file, path| self.file(file, path))
        };
        self.unread += walk.unread;
        Ok(self.present(flow.is_break()))
    }

    fn file(&mut self, file: File, path: &Path) -> ControlFlow<()> {
        match self.lines(file, path) {
            Ok(flow) => flow,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => ControlFlow::Break(()),
            Err(_) => {
                self.unread += 1;
                ControlFlow::Continue(())
            }
        }
    }

    fn lines(&mut self, file: File, path: &Path) -> io::Result<ControlFlow<()>> {
        let mut reader = BufReader::with_capacity(BLOCK, file);
        if is_binary(&mut reader)? {
            return Ok(ControlFlow::Continue(()));
        }
        let mut line = Vec::new();
        let mut number = 0u64;
        while next_line(&mut reader, MAX_LINE_BYTES, &mut line, self.deadline)?.is_some() {
            number += 1;
            let text = line.strip_suffix(b"\r").unwrap_or(&line);
            if let Some(found) = self.pattern.find(text) {
                if self.matches.len() == MAX_MATCHES {
                    self.capped = true;
                    return Ok(ControlFlow::Break(()));
                }
                let path = one_line(&path.to_string_lossy());
                self.matches.push(format!("{path}:{number}: {}", excerpt(text, found.start())));
            }
            if number.is_multiple_of(1_024) && self.deadline.passed() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn present(self, broke_off: bool) -> String {
        let mut out = self.matches;
        if out.is_empty() {
            out.push("no match".to_owned());
        }
        if self.capped {
            out.push(format!("[the first {MAX_MATCHES} matches; narrow the pattern or the path]"));
        } else if broke_off {
            out.push("[stopped: out of time; narrow the path]".to_owned());
        }
        if self.unread > 0 {
            out.push(format!("[{} could not be read]", count(self.unread, "entry").replace("entrys", "entries")));
        }
        out.join("\n")
    }
}

/// The line, or the part of a long line that holds the match.
fn excerpt(line: &[u8], found: usize) -> String {
    let before: Vec<char> = String::from_utf8_lossy(&line[..found]).chars().collect();
    let line: Vec<char> = String::from_utf8_lossy(line).chars().collect();
    if line.len() <= MAX_SHOWN_CHARS {
        return line.into_iter().collect();
    }
    let start = match before.len() <= SHOWN_BEFORE {
        true => 0,
        false => (before.len() - SHOWN_BEFORE).min(line.len() - MAX_SHOWN_CHARS),
    };
    let end = start + MAX_SHOWN_CHARS;
    let mut text = String::new();
    text.extend((start > 0).then_some('…'));
    text.extend(&line[start..end]);
    text.extend((end < line.len()).then_some('…'));
    text
}

#[cfg(test)]
mod tests;
