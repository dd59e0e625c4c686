//! Writes the events of a turn: the reply to standard output, everything else to standard error.

use std::io::{self, Write};

use agent::{Event, TurnResult};

use super::settings::{Format, Screen};
use super::status::{Activity, Status};
use super::tool_lines::{call_line, one_line, result_lines};
use super::usage::usage_line;
use super::visible::visible;

const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Out,
    Err,
}

/// Consumes events. An error of kind `BrokenPipe` means that nobody reads any more; what to do then is the caller's choice.
#[derive(Debug)]
pub struct Printer<O, E> {
    screen: Screen,
    out: O,
    err: E,
    status: Status,
    /// Where a line has been begun and not ended.
    open: Option<Side>,
    /// Whether the reply that is being given has been shown as it came.
    streamed: bool,
    /// For [`Format::Json`].
    last: Option<Event>,
}

impl<O: Write, E: Write> Printer<O, E> {
    /// A printer to standard output `out` and standard error `err`.
    pub fn new(screen: Screen, out: O, err: E) -> Self {
        // With JSON for a person's eyes the line would stand among the events.
        let status = screen.stderr_is_terminal && (screen.format == Format::Text || !screen.stdout_is_terminal);
        let status = Status::new(status);
        Self { screen, out, err, status, open: None, streamed: false, last: None }
    }

    /// What it was told of the screen.
    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Shows an event.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        match self.screen.format {
            Format::Text => self.text(event),
            Format::Json => {
                self.activity(event)?;
                self.last = Some(event.clone());
                Ok(())
            }
            Format::Jsonl => {
                self.activity(event)?;
                self.status.clear(&mut self.err)?;
                self.json(event)
            }
        }
    }

    /// To be called every [`super::status::TICK`] while a turn runs: turns the spinner.
    pub(super) fn tick(&mut self) -> io::Result<()> {
        if self.open.is_some() { Ok(()) } else { self.status.tick(&mut self.err) }
    }

    /// Ends an unfinished line and takes the spinner away: to be called before anything else writes to the terminal.
    pub fn settle(&mut self) -> io::Result<()> {
        self.status.set(Activity::Idle, &mut self.err)?;
        self.end_line()
    }

    /// One line of the program's own for the person, dim, on standard error; text format only.
    pub fn notice(&mut self, text: &str) -> io::Result<()> {
        if self.screen.format == Format::Text { self.err_line(text, DIM) } else { Ok(()) }
    }

    /// What went wrong, on one line of standard error.
    pub fn complain(&mut self, message: &str) -> io::Result<()> {
        self.err_line(&format!("paguro: {}", message.replace('\n', " ")), RED)
    }

    /// What a command of `chat` has to say, on standard output; text format only.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        if self.screen.format != Format::Text {
            return Ok(());
        }
        self.settle()?;
        let text = shown(text, self.screen.stdout_is_terminal);
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// The end of all events: writes what [`Format::Json`] has kept.
    pub fn finish(&mut self) -> io::Result<()> {
        self.settle()?;
        if let Some(event) = self.last.take() {
            self.json(&event)?;
        }
        self.out.flush()
    }

    /// The two writers.
    #[cfg(test)]
    pub(super) fn into_writers(self) -> (O, E) {
        (self.out, self.err)
    }

    fn json(&mut self, event: &Event) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, event)?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }

    fn text(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Init { .. } => self.streamed = false,
            // Who finds an error also complains, since it does so in every format.
            Event::Progress { .. } | Event::Error { .. } => {}
            Event::Text { delta } => self.reply(delta)?,
            Event::Reasoning { delta } => self.reasoning(delta)?,
            Event::ToolCall { name, arguments, .. } => {
                self.streamed = false;
                self.err_line(&format!("→ {}", call_line(name, arguments)), DIM)?;
            }
            Event::Approval { tool, reason, .. } => {
                // On a terminal the question itself is about to be shown.
                if !self.screen.stderr_is_terminal {
                    self.err_line(&one_line(&format!("{tool} needs an approval: {reason}")), DIM)?;
                }
            }
            Event::ToolResult { ok, content, .. } => self.tool_result(*ok, content)?,
            Event::Result(result) => self.result(result)?,
        }
        self.activity(event)
    }

    /// What is going on after `event`.
    fn activity(&mut self, event: &Event) -> io::Result<()> {
        let activity = match event {
            Event::Progress { done, .. } if !(0.0..1.0).contains(done) => Activity::Thinking,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100")]
            Event::Progress { stage, done } => Activity::Stage(*stage, (done * 100.0) as u8),
            Event::ToolCall { name, .. } => Activity::Running(one_line(name)),
            Event::Text { .. } => Activity::Writing,
            Event::Init { .. } | Event::Reasoning { .. } | Event::ToolResult { .. } => Activity::Thinking,
            Event::Approval { .. } | Event::Result(_) | Event::Error { .. } => Activity::Idle,
        };
        if self.open.is_some() { Ok(()) } else { self.status.set(activity, &mut self.err) }
    }

    /// A person reads along; a script gets the whole reply at the end.
    fn reply(&mut self, delta: &str) -> io::Result<()> {
        if !self.screen.stdout_is_terminal {
            return Ok(());
        }
        // Models like to begin with empty lines.
        let delta = if self.streamed { delta } else { delta.trim_start_matches(['\n', '\r']) };
        if delta.is_empty() {
            return Ok(());
        }
        self.streamed = true;
        self.begin(Side::Out)?;
        self.out.write_all(visible(delta).as_bytes())?;
        self.out.flush()?;
        self.open = (!delta.ends_with('\n')).then_some(Side::Out);
        Ok(())
    }

    fn reasoning(&mut self, delta: &str) -> io::Result<()> {
        if !self.screen.details || delta.is_empty() {
            return Ok(());
        }
        self.begin(Side::Err)?;
        let (on, off) = self.styles(DIM);
        let text = shown(delta, self.screen.stderr_is_terminal);
        write!(self.err, "{on}{text}{off}")?;
        self.err.flush()?;
        self.open = (!delta.ends_with('\n')).then_some(Side::Err);
        Ok(())
    }

    fn tool_result(&mut self, ok: bool, content: &str) -> io::Result<()> {
        let lines = result_lines(content);
        let count = match (self.screen.details, ok) {
            (true, _) => lines.len(),
            (false, true) => 0,
            (false, false) => 1,
        };
        for line in lines.iter().take(count) {
            self.err_line(&format!("  {line}"), DIM)?;
        }
        Ok(())
    }

    fn result(&mut self, result: &TurnResult) -> io::Result<()> {
        if !result.replied {
            self.complain(&result.text)?;
        } else if !self.streamed {
            self.settle()?;
            let text = shown(&result.text, self.screen.stdout_is_terminal);
            self.out.write_all(text.as_bytes())?;
            if !text.ends_with('\n') {
                self.out.write_all(b"\n")?;
            }
            self.out.flush()?;
        }
        self.streamed = false;
        if self.screen.details {
            self.err_line(&usage_line(result), DIM)?;
        }
        Ok(())
    }

    /// A whole line on standard error.
    fn err_line(&mut self, text: &str, style: &'static str) -> io::Result<()> {
        self.settle()?;
        let (on, off) = self.styles(style);
        let text = shown(text, self.screen.stderr_is_terminal);
        writeln!(self.err, "{on}{text}{off}")?;
        self.err.flush()
    }

    /// `style` for standard error, and its end.
    fn styles(&self, style: &'static str) -> (&'static str, &'static str) {
        if self.screen.colour && self.screen.stderr_is_terminal { (style, PLAIN) } else { ("", "") }
    }

    /// Gets ready to write to `side`, where a line may be open already.
    fn begin(&mut self, side: Side) -> io::Result<()> {
        self.status.clear(&mut self.err)?;
        if self.open == Some(side) { Ok(()) } else { self.end_line() }
    }

    fn end_line(&mut self) -> io::Result<()> {
        match self.open.take() {
            None => Ok(()),
            Some(Side::Out) => self.out.write_all(b"\n").and_then(|()| self.out.flush()),
            Some(Side::Err) => self.err.write_all(b"\n").and_then(|()| self.err.flush()),
        }
    }
}

/// `text` as it is, or for a terminal made visible.
fn shown(text: &str, is_terminal: bool) -> std::borrow::Cow<'_, str> {
    if is_terminal { visible(text) } else { text.into() }
}

#[cfg(test)]
#[path = "printer_tests.rs"]
mod tests;
