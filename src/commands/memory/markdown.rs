//! Markdown notes of another agent: each list item, paragraph or block is a note under its headings, of the file's or heading's date.

use memory::KeptNote;

use memory::pieces;

/// Between headings, and before what stands under them.
const UNDER: &str = " › ";

/// The notes of a file called `name`, ids and origins left out.
pub fn notes(name: &str, text: &str) -> Vec<KeptNote> {
    let mut reader = Reader { at: date(name), headings: Vec::new(), block: String::new(), fence: None, out: Vec::new() };
    for line in without_front_matter(text).lines() {
        reader.line(line);
    }
    reader.end();
    reader.out
}

struct Reader {
    /// The date that holds here.
    at: Option<String>,
    /// Level and words of the headings that this stands under, and the date that held before each.
    headings: Vec<(usize, String, Option<String>)>,
    block: String,
    /// What closes a block of code.
    fence: Option<&'static str>,
    out: Vec<KeptNote>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let bare = line.trim();
        if let Some(fence) = self.fence {
            self.push(line);
            if bare.starts_with(fence) {
                self.fence = None;
                self.end();
            }
            return;
        }
        if let Some(fence) = ["```", "~~~"].into_iter().find(|fence| bare.starts_with(fence)) {
            // Code belongs to the words before it.
            self.push(line);
            self.fence = Some(fence);
        } else if let Some((level, words)) = heading(bare) {
            self.end();
            self.under(level, words);
        } else if bare.is_empty() {
            // An item goes on after an empty line if what follows is indented; a paragraph does not.
            if !is_item(&self.block) {
                self.end();
            }
        } else if !line.starts_with([' ', '\t']) && (is_item(line) || is_item(&self.block)) {
            self.end();
            self.push(line);
        } else {
            self.push(line);
        }
    }

    fn push(&mut self, line: &str) {
        if !self.block.is_empty() {
            self.block.push('\n');
        }
        self.block.push_str(line.trim_end());
    }

    fn under(&mut self, level: usize, words: &str) {
        while self.headings.last().is_some_and(|(above, ..)| *above >= level) {
            if let Some((.., at)) = self.headings.pop() {
                self.at = at;
            }
        }
        self.headings.push((level, words.to_owned(), self.at.clone()));
        self.at = date(words).or(self.at.take());
    }

    fn end(&mut self) {
        let block = std::mem::take(&mut self.block);
        let text = block.trim_start();
        let text = text.strip_prefix(['-', '*', '+']).filter(|_| is_item(text)).unwrap_or(text).trim();
        if text.is_empty() || text.chars().all(|char| "-*_=".contains(char)) {
            return; // nothing, or a line across
        }
        // A heading that is only a date says no more than the time does.
        let path: Vec<&str> =
            self.headings.iter().map(|(_, words, _)| words.as_str()).filter(|words| date(words).as_deref() != Some(*words)).collect();
        let prefix = if path.is_empty() { String::new() } else { format!("{}: ", path.join(UNDER)) };
        let note = |piece: &str| KeptNote { text: format!("{prefix}{piece}"), at: self.at.clone(), ..KeptNote::default() };
        self.out.extend(pieces(text).into_iter().map(note));
    }
}

/// `## Words ##`: level and words.
fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let words = line.get(level..)?.strip_prefix([' ', '\t'])?.trim().trim_end_matches('#').trim_end();
    ((1..=6).contains(&level) && !words.is_empty()).then_some((level, words))
}

/// Whether a text begins as a list's item.
fn is_item(text: &str) -> bool {
    let text = text.trim_start();
    if text.strip_prefix(['-', '*', '+']).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return true;
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=4).contains(&digits)
        && text[digits..].strip_prefix(['.', ')']).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// The first date in a text, `2026-03-14`.
fn date(text: &str) -> Option<String> {
    let is_date = |part: &&str| {
        let bytes = part.as_bytes();
        bytes[4] == b'-' && bytes[7] == b'-' && part.parse::<jiff::civil::Date>().is_ok()
    };
    let is_digit = |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
    (0..text.len().saturating_sub(9))
        .filter(|at| !is_digit(at.checked_sub(1)) && !is_digit(Some(at + 10)))
        .filter_map(|at| text.get(at..at + 10))
        .find(is_date)
        .map(str::to_owned)
}

/// What stands before the text between two `---` is about the file.
fn without_front_matter(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}');
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else { return text };
    match rest.find("\n---") {
        Some(end) => rest[end + 4..].split_once('\n').map_or("", |(_, text)| text),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_a_file() {
        let check = |name: &str, text: &str, expected: &[(&str, Option<&str>)]| {
            let notes = notes(name, text);
            let found: Vec<(&str, Option<&str>)> = notes.iter().map(|note| (note.text.as_str(), note.at.as_deref())).collect();
            assert_eq!(found, expected, "{name}: {text}");
        };
        let day = Some("2026-03-14");
        check(
            "2026-03-14.md",
            "- one\n- two\n  more of two\n\n  still two\n- three\n",
            &[("one", day), ("two\n  more of two\n  still two", day), ("three", day)],
        );
        check(
            "MEMORY.md",
            "# Owner\n\nLikes tea.\nAnd cake.\n\n## Pets ##\n* a cat\n1. a dog\n",
            &[("Owner: Likes tea.\nAnd cake.", None), ("Owner › Pets: a cat", None), ("Owner › Pets: 1. a dog", None)],
        );
        check(
            "log.md",
            "# Log\n## 2026-03-14\nx\n## 2026-03-15 Sunday\ny\n# Rest\nz",
            &[("Log: x", day), ("Log › 2026-03-15 Sunday: y", Some("2026-03-15")), ("Rest: z", None)],
        );
        check(
            "a.md",
            "---\ntitle: 2026-03-14\n---\nRun:\n```sh\n# not a heading\n\n- no item\n```\nafter",
            &[("Run:\n```sh\n# not a heading\n\n- no item\n```", None), ("after", None)],
        );
        check("a.md", "- item\nparagraph\n\n---\n\n- \n#hashtag\n", &[("item", None), ("paragraph", None), ("#hashtag", None)]);
        check("12026-03-14.md", "x", &[("x", None)]);
        check("2026-13-14.md", "ü", &[("ü", None)]);
        check("empty.md", "\n# Only a heading\n", &[]);
    }
}
