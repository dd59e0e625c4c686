//! `find_tool` and `use_tool`: the way to tools that the model is not told of, because all of them would not fit in the block.
//!
//! A call by `use_tool` is taken for the call that it names before anything is decided ([`agent::Toolbox::resolve`]), so there is
//! deliberately no way here to run a tool: what reaches `use_tool` itself names none.

use std::cmp::Reverse;

use agent::engine::ToolSchema;
use agent::{Effect, Output, Tool, ToolContext, ToolFuture, USE_TOOL};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{fail, parse, schema};

/// Tools that are shown for one query.
const SHOWN: usize = 5;
/// Bytes of all that is shown: with fewer than two tokens for three bytes it stays below what a small context may see of a result.
const SHOWN_BYTES: usize = 6_000;
/// What a word counts in a tool's name, and in its description.
const IN_NAME: usize = 3;
const IN_DESCRIPTION: usize = 1;

/// The two tools by which `hidden` ones are found and called.
#[must_use]
pub fn finder(hidden: Vec<ToolSchema>) -> Vec<Box<dyn Tool>> {
    vec![Box::new(FindTool { hidden }), Box::new(UseTool)]
}

/// See the file's head.
struct FindTool {
    hidden: Vec<ToolSchema>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    query: String,
}

impl Tool for FindTool {
    fn schema(&self) -> ToolSchema {
        let description = format!("Look among {} more tools for what you need. Call one with {USE_TOOL}.", self.hidden.len());
        schema("find_tool", &description, 1, json!({"query": {"type": "string", "description": "a few words"}}))
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn run<'a>(&'a self, arguments: &'a Value, _context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let Arguments { query } = parse(arguments)?;
            Ok(Output::foreign(self.found(&query), "descriptions of MCP tools"))
        })
    }
}

impl FindTool {
    /// The best tools for `query` as JSON, one a line; without any that fits, all names.
    fn found(&self, query: &str) -> String {
        let words = words(query);
        let mut scored: Vec<(usize, &ToolSchema)> = self.hidden.iter().map(|tool| (score(&words, tool), tool)).collect();
        scored.retain(|(score, _)| *score > 0);
        // Stable, so that equals stay in the configured order.
        scored.sort_by_key(|(score, _)| Reverse(*score));
        let mut out = String::new();
        for (_, tool) in scored.into_iter().take(SHOWN) {
            let line = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters}).to_string();
            if !out.is_empty() && out.len() + line.len() > SHOWN_BYTES {
                break;
            }
            out += &line;
            out.push('\n');
        }
        if !out.is_empty() {
            return out;
        }
        let names: Vec<&str> = self.hidden.iter().map(|tool| tool.name.as_str()).collect();
        let mut names = names.join(", ");
        if names.len() > SHOWN_BYTES {
            names.truncate(names.floor_char_boundary(SHOWN_BYTES));
            names += ", …";
        }
        format!("nothing fits these words; there are: {names}")
    }
}

/// How well `tool` fits: each word counts where it, or a word that begins with it, stands.
fn score(query: &[String], tool: &ToolSchema) -> usize {
    let (name, description) = (words(&tool.name), words(&tool.description));
    let has = |text: &[String], word: &String| text.iter().any(|other| other.starts_with(word.as_str()) || is_plural(word, other));
    let of = |word: &String| IN_NAME * usize::from(has(&name, word)) + IN_DESCRIPTION * usize::from(has(&description, word));
    query.iter().map(of).sum()
}

/// `files` also finds `file`.
fn is_plural(word: &str, other: &str) -> bool {
    word.strip_suffix('s').is_some_and(|one| one == other)
}

/// The words of `text` in small letters; `getFile` and `get_file` are two.
fn words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut was_lower = false;
    let mut is_inside = false;
    for c in text.chars() {
        let is_word = c.is_alphanumeric();
        if is_word && (!is_inside || (was_lower && c.is_uppercase())) {
            out.push(String::new());
        }
        if let Some(word) = out.last_mut().filter(|_| is_word) {
            word.extend(c.to_lowercase());
        }
        is_inside = is_word;
        was_lower = c.is_lowercase();
    }
    out
}

/// See the file's head.
struct UseTool;

impl Tool for UseTool {
    fn schema(&self) -> ToolSchema {
        let properties = json!({"name": {"type": "string"}, "arguments": {"type": "object"}});
        schema(USE_TOOL, "Call a tool that find_tool has shown.", 2, properties)
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn run<'a>(&'a self, _arguments: &'a Value, _context: &'a ToolContext) -> ToolFuture<'a> {
        let says = "give the `name` of a tool that find_tool has shown, and its `arguments` as an object";
        Box::pin(async move { Err(fail(says)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn tool(name: &str, description: &str) -> ToolSchema {
        ToolSchema { name: name.into(), description: description.into(), parameters: json!({"type": "object"}) }
    }

    #[test]
    fn words_are_found_in_any_spelling() {
        for text in ["get_file Info", "getFileInfo", "get-file.info", "GET file\ninfo"] {
            assert_eq!(words(text), ["get", "file", "info"], "{text}");
        }
        assert_eq!(words("JSON"), ["json"]);
        assert_eq!(words(" - "), Vec::<String>::new());
    }

    #[test]
    fn the_best_come_first_and_nothing_fitting_shows_the_names() {
        let finder = FindTool {
            hidden: vec![
                tool("git_log", "Shows the commit log"),
                tool("time_convert", "Converts time between zones"),
                tool("fs_read_file", "Reads a file"),
                tool("fs_list", "Lists files"),
            ],
        };
        let names = |query: &str| {
            let text = finder.found(query);
            let name = |line: &str| serde_json::from_str::<Value>(line).map(|tool| tool["name"].as_str().unwrap().to_owned());
            text.lines().map(name).collect::<Result<Vec<_>, _>>().unwrap_or_else(|_| vec![text.clone()])
        };
        assert_eq!(names("read files"), ["fs_read_file", "fs_list"]);
        assert_eq!(names("commits"), ["git_log"]);
        assert_eq!(names("time zone"), ["time_convert"]);
        assert_eq!(names("weather"), ["nothing fits these words; there are: git_log, time_convert, fs_read_file, fs_list"]);
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let many: Vec<ToolSchema> = (0..2_000).map(|n| tool(&format!("server_tool_{n}"), &"word ".repeat(300))).collect();
        let finder = FindTool { hidden: many };
        for query in ["word", "nothing of the kind"] {
            let text = finder.found(query);
            assert!(text.len() < SHOWN_BYTES + 2_000, "{}", text.len());
        }
    }

    #[test]
    fn what_names_no_tool_runs_none() {
        let bench = Bench::new();
        let error = bench.run(&UseTool, json!({"name": "x"})).unwrap_err();
        assert!(error.text.contains("find_tool"), "{error}");
    }
}
