//! The line editor: history, completion of commands, several lines.

use std::io;
use std::path::{Path, PathBuf};

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{
    Behavior, Cmd, CompletionType, ConditionalEventHandler, Config, Context, Editor, Event, EventContext, EventHandler, Helper, KeyCode,
    KeyEvent, Modifiers, RepeatCount,
};

use super::command::COMMANDS;
use super::input::{Line, Prompt};
use super::settings::Approve;

/// Lines that the history keeps; older ones are forgotten.
const HISTORY_LINES: usize = 1_000;

/// What [`Continue`] inserts: a newline with a mark that takes no room, so that the backslash of a continued line goes and
/// one that stands at a line's end in pasted text stays.
const CONTINUED: &str = "\u{2060}\n";

/// A line editor on the terminal. Its history file is made readable for the owner only.
pub(super) struct LineEditor {
    editor: Editor<Commands, FileHistory>,
    history_file: PathBuf,
    /// What the person has to be told with the next line.
    warning: Option<String>,
}

impl LineEditor {
    /// An editor that goes on with the history in `history_file`.
    pub(super) fn new(history_file: PathBuf) -> io::Result<Self> {
        let config = Config::builder()
            .max_history_size(HISTORY_LINES)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(into_io)?
            .history_ignore_space(true)
            // The terminal itself, so that the prompt is seen when standard output goes elsewhere.
            .behavior(Behavior::PreferTerm)
            .bracketed_paste(true)
            .completion_type(CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config).map_err(into_io)?;
        editor.set_helper(Some(Commands));
        editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), EventHandler::Simple(Cmd::Newline));
        editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::NONE), EventHandler::Conditional(Box::new(Continue)));
        let warning = match editor.load_history(&history_file) {
            Ok(()) => None,
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(history_warning("read", &history_file, &error)),
        };
        Ok(Self { editor, history_file, warning })
    }

    /// Lets the person write a line.
    pub(super) fn read(&mut self, prompt: &Prompt) -> io::Result<Line> {
        match self.editor.readline(&(prompt.plain.as_str(), prompt.styled.as_str())) {
            Ok(text) => {
                let text = text.replace(&format!("\\{CONTINUED}"), "\n");
                self.keep(&text);
                Ok(Line::Text { text, warning: self.warning.take() })
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Cleared),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(error) => Err(into_io(error)),
        }
    }

    /// Writes the history after each line: a crash forgets none.
    fn keep(&mut self, text: &str) {
        let kept = self.editor.add_history_entry(text).and_then(|new| match new {
            true => self.editor.append_history(&self.history_file),
            false => Ok(()),
        });
        if let Err(error) = kept {
            self.warning = Some(history_warning("write", &self.history_file, &error));
        }
    }
}

fn history_warning(verb: &str, path: &Path, error: &ReadlineError) -> String {
    format!("cannot {verb} the history {}: {error}; lines are kept only until you leave", path.display())
}

fn into_io(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// Enter behind a backslash begins another line.
struct Continue;

impl ConditionalEventHandler for Continue {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let continued = context.line().get(..context.pos())?.ends_with('\\');
        continued.then(|| Cmd::Insert(1, CONTINUED.to_owned()))
    }
}

/// Completes the names of commands and what follows `/approve`.
struct Commands;

impl Helper for Commands {}
impl Highlighter for Commands {}
impl Validator for Commands {}
impl Hinter for Commands {
    type Hint = String;
}

impl Completer for Commands {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(completions(line.get(..at).unwrap_or_default()))
    }
}

/// Where the completed word begins in `line`, and what it can become.
fn completions(line: &str) -> (usize, Vec<Pair>) {
    const APPROVE: &str = "/approve ";
    if let Some(mode) = line.strip_prefix(APPROVE) {
        let modes = Approve::WORDS.iter().filter(|word| word.starts_with(mode));
        return (APPROVE.len(), modes.map(|word| pair(word, word)).collect());
    }
    let Some(name) = line.strip_prefix('/') else { return (0, Vec::new()) };
    let commands = COMMANDS.iter().filter(|command| command.name.starts_with(name));
    let pairs = commands.map(|command| {
        let space = if command.arguments.is_empty() { "" } else { " " };
        pair(&format!("/{} {}", command.name, command.arguments), &format!("/{}{space}", command.name))
    });
    (0, pairs.collect())
}

fn pair(display: &str, replacement: &str) -> Pair {
    Pair { display: display.trim_end().to_owned(), replacement: replacement.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, start: usize, expected: &[&str]) {
        let (at, pairs) = completions(line);
        let words: Vec<&str> = pairs.iter().map(|pair| pair.replacement.as_str()).collect();
        assert_eq!((at, words.as_slice()), (start, expected), "{line:?}");
    }

    #[test]
    fn commands_are_completed() {
        check("/se", 0, &["/sessions", "/session "]);
        check("/q", 0, &["/quit"]);
        check("/approve ", 9, &["prompt", "deny", "all", "wait"]);
        check("/approve d", 9, &["deny"]);
        check("hello /se", 0, &[]);
        check("", 0, &[]);
    }
}
