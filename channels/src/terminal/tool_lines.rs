//! Tool calls and their results in short, for following along. What is to be approved is shown whole elsewhere (`ask`).

use serde_json::Value;
use unicode_width::UnicodeWidthChar;

use super::visible::visible;

/// Most lines of a result.
pub(super) const RESULT_LINES: usize = 3;

/// Most columns of a call or of one line of a result.
const LINE_COLUMNS: usize = 120;

/// A call on one line: `shell: uname -a`, or `write_file: path=notes.txt content=…`.
pub(crate) fn call_line(name: &str, arguments: &Value) -> String {
    let text = match arguments {
        Value::Object(map) if map.is_empty() => return one_line(name),
        Value::Object(map) if map.len() == 1 => map.values().map(value_text).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| format!("{key}={}", value_text(value))).collect::<Vec<_>>().join(" "),
        other => value_text(other),
    };
    one_line(&format!("{name}: {text}"))
}

/// The first lines of a result, and how many there are besides.
pub(super) fn result_lines(content: &str) -> Vec<String> {
    let total = content.trim_end().lines().count();
    let shown = if total > RESULT_LINES { RESULT_LINES - 1 } else { RESULT_LINES };
    let mut lines: Vec<String> = content.lines().take(shown.min(total)).map(|line| cut(&visible(line))).collect();
    if total > RESULT_LINES {
        lines.push(format!("… {} more lines", total - shown));
    }
    lines
}

/// A string as it is, anything else as JSON.
pub(crate) fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `text` on one line, cut.
pub(crate) fn one_line(text: &str) -> String {
    cut(&visible(text).replace('\n', "␊").replace('\t', " "))
}

fn cut(text: &str) -> String {
    let mut columns = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        columns += c.width().unwrap_or(0);
        (columns > LINE_COLUMNS).then_some(at)
    });
    match end {
        Some(end) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_call(arguments: &Value, expected: &str) {
        assert_eq!(call_line("tool", arguments), expected);
    }

    #[test]
    fn a_call_is_one_line() {
        check_call(&json!({}), "tool");
        check_call(&json!({ "command": "uname -a" }), "tool: uname -a");
        check_call(&json!({ "path": "a.txt", "content": "one\ntwo\n", "n": 3 }), "tool: path=a.txt content=one␊two␊ n=3");
        check_call(&json!({ "command": "echo \u{1b}[31m\rx" }), "tool: echo ␛[31m␍x");
        let long = "ä".repeat(LINE_COLUMNS);
        check_call(&json!({ "command": long }), &format!("tool: {}…", "ä".repeat(LINE_COLUMNS - 6)));
        let wide = "漢".repeat(LINE_COLUMNS);
        check_call(&json!({ "command": wide }), &format!("tool: {}…", "漢".repeat((LINE_COLUMNS - 6) / 2)));
    }

    fn check_result(content: &str, expected: &[&str]) {
        assert_eq!(result_lines(content), expected, "{content:?}");
    }

    #[test]
    fn a_result_is_at_most_three_lines() {
        check_result("", &[]);
        check_result("one\n", &["one"]);
        check_result("1\n2\n3\n\n", &["1", "2", "3"]);
        check_result("1\n2\n3\n4\n5\n", &["1", "2", "… 3 more lines"]);
        check_result("\u{1b}[2Jgone\r\n", &["␛[2Jgone"]);
    }
}
