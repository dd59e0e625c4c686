//! Where the messages of a chat come from: the line editor, or lines of standard input. Reading blocks, so it has its own
//! thread, which reads only when a line is wanted.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;

use tokio::sync::mpsc;

use super::editor::LineEditor;

/// Most bytes of a message that comes as a line.
const LINE_BYTES: usize = 1 << 20;

/// The prompt, without and with colours; both of the same width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) plain: String,
    pub(super) styled: String,
}

/// What came of waiting for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end; it may hold several.
    Text {
        text: String,
        /// What the person has to be told besides.
        warning: Option<String>,
    },
    /// Ctrl-C.
    Cleared,
    /// A line that cannot be a message; why.
    Refused(String),
    /// There are no more.
    End,
}

/// The thread's end of the two channels, at most one prompt and one line in each.
#[derive(Debug)]
pub(super) struct Input {
    prompts: mpsc::Sender<Prompt>,
    lines: mpsc::Receiver<io::Result<Line>>,
    is_editor: bool,
}

impl Input {
    /// Lines from the line editor on the terminal.
    pub(super) fn editor(history_file: PathBuf) -> io::Result<Self> {
        Self::start(true, move || {
            let mut editor = LineEditor::new(history_file)?;
            Ok(move |prompt: &Prompt| editor.read(prompt))
        })
    }

    /// Lines of `reader`, one message each.
    pub(super) fn lines(mut reader: impl BufRead + Send + 'static) -> io::Result<Self> {
        Self::start(false, move || {
            let mut number = 0;
            Ok(move |_: &Prompt| {
                number += 1;
                read_line(&mut reader, number)
            })
        })
    }

    /// Whether a person writes in the editor.
    pub(super) fn is_editor(&self) -> bool {
        self.is_editor
    }

    /// The next line. If the future is dropped, the line that was waited for is lost.
    pub(super) async fn next(&mut self, prompt: Prompt) -> io::Result<Line> {
        // The thread ends with the last line, or with a panic that its hook has reported.
        if self.prompts.send(prompt).await.is_err() {
            return Ok(Line::End);
        }
        self.lines.recv().await.unwrap_or(Ok(Line::End))
    }

    /// Starts the thread; `make` runs on it, since an editor stays where it was made.
    fn start<R>(is_editor: bool, make: impl FnOnce() -> io::Result<R> + Send + 'static) -> io::Result<Self>
    where
        R: FnMut(&Prompt) -> io::Result<Line>,
    {
        let (prompts, mut wanted): (mpsc::Sender<Prompt>, _) = mpsc::channel(1);
        let (sender, lines) = mpsc::channel(1);
        std::thread::Builder::new().name("input".into()).spawn(move || {
            let mut read = match make() {
                Ok(read) => read,
                Err(error) => return drop(sender.blocking_send(Err(error))),
            };
            while let Some(prompt) = wanted.blocking_recv() {
                let line = read(&prompt);
                let last = matches!(line, Ok(Line::End) | Err(_));
                if sender.blocking_send(line).is_err() || last {
                    break;
                }
            }
        })?;
        Ok(Self { prompts, lines, is_editor })
    }
}

fn read_line(reader: &mut impl BufRead, number: usize) -> io::Result<Line> {
    let mut bytes = Vec::new();
    reader.by_ref().take(LINE_BYTES as u64 + 1).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(Line::End);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else if bytes.len() > LINE_BYTES {
        skip_line(reader)?;
        return Ok(Line::Refused(format!("line {number} has more than {LINE_BYTES} bytes; shorten it")));
    }
    if bytes.contains(&0) {
        return Ok(Line::Refused(format!("line {number} holds a NUL character; remove it")));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Line::Text { text: text.trim_end_matches('\r').to_owned(), warning: None },
        Err(_) => Line::Refused(format!("line {number} is not UTF-8; convert it")),
    })
}

/// Reads to the end of the line and keeps nothing of it.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (read, done) = (end.map_or(buffer.len(), |at| at + 1), end.is_some() || buffer.is_empty());
        reader.consume(read);
        if done {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: &[Line]) {
        let mut reader = input;
        let mut lines = Vec::new();
        for number in 1.. {
            lines.push(read_line(&mut reader, number).unwrap());
            if lines.last() == Some(&Line::End) {
                break;
            }
        }
        assert_eq!(lines, expected);
    }

    fn text(text: &str) -> Line {
        Line::Text { text: text.into(), warning: None }
    }

    fn refused(why: &str) -> Line {
        Line::Refused(why.into())
    }

    #[test]
    fn each_line_is_a_message_or_is_refused() {
        check(b"", &[Line::End]);
        check(b"one\r\n\ntwo", &[text("one"), text(""), text("two"), Line::End]);
        check(b"a\0b\nc\n", &[refused("line 1 holds a NUL character; remove it"), text("c"), Line::End]);
        check(b"\xff\nc\n", &[refused("line 1 is not UTF-8; convert it"), text("c"), Line::End]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_whole() {
        let longest = "x".repeat(LINE_BYTES);
        check(format!("{longest}\nc").as_bytes(), &[text(&longest), text("c"), Line::End]);
        check(format!("{longest}xx\nc").as_bytes(), &[refused("line 1 has more than 1048576 bytes; shorten it"), text("c"), Line::End]);
    }
}
