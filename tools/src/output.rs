//! Where the part of a long output goes that the model is not shown.

use std::time::SystemTime;

use agent::ToolError;
use cap_std::fs::Dir;

use crate::text::thousands;
use crate::workspace::{OWN_FOLDER, Workspace};

/// Outputs that are kept; the oldest are removed when there are more.
const MAX_KEPT: usize = 100;
/// Mode of the folders: an output may hold what only the owner should read.
const FOLDER_MODE: u32 = 0o700;

/// The folder of the workspace in which whole outputs are saved, for `read_file` to page through.
#[derive(Debug, Clone)]
pub struct OutputFolder {
    workspace: Workspace,
}

impl OutputFolder {
    /// The folder `.paguro/output` of `workspace`; made when it is first needed.
    #[must_use]
    pub fn new(workspace: Workspace) -> Self {
        Self { workspace }
    }

    /// Brings `text` to about `bytes` bytes: its beginning and its end, and a note that says how much is shown and
    /// where the whole is (the note is not counted). A text that fits is returned as it is, and not saved.
    ///
    /// `key` is the call's key; a text saved with the same key takes the other's place. If saving fails the note says so:
    /// a full disk must not take away what can be shown.
    #[must_use]
    pub fn fit(&self, key: &str, text: &str, bytes: usize) -> String {
        if text.len() <= bytes {
            return text.to_owned();
        }
        let (head, tail, whole_lines) = ends(text, bytes);
        let (shown, total, unit) = match whole_lines {
            true => (lines(head) + lines(tail), lines(text), "lines"),
            false => (head.len() + tail.len(), text.len(), "bytes"),
        };
        let place = match self.save(key, text) {
            Ok(path) => format!("the whole output is in {path}, read it with read_file"),
            Err(error) => format!("the rest is lost, it could not be saved: {error}"),
        };
        let (head, tail) = (head.trim_end_matches('\n'), tail.trim_end_matches('\n'));
        let note = format!("[{} of {} {unit} shown; {place}]", thousands(shown as u64), thousands(total as u64));
        [head, "[…]", tail, &note].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Saves `text`, and returns its path relative to the workspace, such as `.paguro/output/7-call-2.txt` for the key `7-call_2`.
    ///
    /// # Errors
    /// If it cannot be written; the sentence says why.
    pub fn save(&self, key: &str, text: &str) -> Result<String, ToolError> {
        let name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = format!("{OWN_FOLDER}/output/{name}.txt");
        self.workspace.locate(&path)?.replace(text.as_bytes(), FOLDER_MODE)?;
        // Keeps an owner's `git status` clean. Without it nothing is wrong.
        let _ = self.workspace.locate(&format!("{OWN_FOLDER}/.gitignore"))?.replace(b"*\n", FOLDER_MODE);
        if let Ok(dir) = self.workspace.locate(&format!("{OWN_FOLDER}/output"))?.open_dir() {
            remove_oldest(&dir, &format!("{name}.txt"));
        }
        Ok(path)
    }
}

/// Removes what is too much, never `newest` (its time may equal another's). What cannot be removed now is tried again at the next save.
fn remove_oldest(dir: &Dir, newest: &str) {
    let Ok(entries) = dir.entries() else { return };
    let mut files: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name() != newest)
        .map(|entry| {
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            (changed.map_or(SystemTime::UNIX_EPOCH, cap_std::time::SystemTime::into_std), entry.file_name())
        })
        .collect();
    files.sort();
    let surplus = (files.len() + 1).saturating_sub(MAX_KEPT);
    for (_, name) in &files[..surplus] {
        let _ = dir.remove_file(name);
    }
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

/// The first and the last half of `bytes` bytes, cut between lines where there are any, else between characters.
/// The third says whether both cuts lie between lines.
fn ends(text: &str, bytes: usize) -> (&str, &str, bool) {
    let half = bytes / 2;
    let head = &text[..text.floor_char_boundary(half)];
    let tail = &text[text.ceil_char_boundary(text.len() - half)..];
    // Newlines at the end end the last line; they are no place to cut.
    let inner = tail.trim_end_matches('\n').len();
    match (head.rfind('\n'), tail[..inner].find('\n')) {
        (Some(last), Some(first)) => (&head[..=last], &tail[first + 1..], true),
        _ => (head, tail, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[track_caller]
    fn check(text: &str, bytes: usize, expected: &str) {
        let bench = Bench::new();
        assert_eq!(OutputFolder::new(bench.workspace.clone()).fit("7/2", text, bytes), expected);
        let saved = bench.path(".paguro/output/7-2.txt");
        match expected.contains("shown;") {
            true => assert_eq!(std::fs::read_to_string(saved).unwrap(), text),
            false => assert!(!saved.exists()),
        }
    }

    #[test]
    fn head_and_tail_are_shown_and_the_whole_is_saved() {
        let place = "the whole output is in .paguro/output/7-2.txt, read it with read_file]";
        check("short", 5, "short");
        let text: String = (1..=5_600).map(|n| format!("{n:04}\n")).collect();
        let text = text.trim_end();
        check(text, 20, &format!("0001\n0002\n[…]\n5599\n5600\n[4 of 5,600 lines shown; {place}"));
        check(&"é".repeat(3_000), 9, &format!("éé\n[…]\néé\n[8 of 6,000 bytes shown; {place}"));
        check("ab\ncd", 0, &format!("[…]\n[0 of 5 bytes shown; {place}"));
    }

    #[test]
    fn what_cannot_be_saved_is_still_shown() {
        let bench = Bench::new();
        bench.link(bench.outside(""), ".paguro");
        let shown = OutputFolder::new(bench.workspace.clone()).fit("1/1", "abcdef", 4);
        let expected = "ab\n[…]\nef\n[4 of 6 bytes shown; the rest is lost, it could not be saved: \
                        outside the workspace: .paguro/output/1-1.txt]";
        assert_eq!(shown, expected);
        assert!(!bench.outside("output").exists());
    }

    #[test]
    fn old_outputs_are_removed() {
        let bench = Bench::new();
        let folder = OutputFolder::new(bench.workspace.clone());
        for n in 0..MAX_KEPT + 5 {
            folder.save(&format!("1/{n}"), "x").unwrap();
        }
        assert_eq!(std::fs::read_dir(bench.path(".paguro/output")).unwrap().count(), MAX_KEPT);
        assert!(bench.path(&format!(".paguro/output/1-{}.txt", MAX_KEPT + 4)).exists());
        assert_eq!(bench.read(".paguro/.gitignore"), b"*\n");
    }
}
