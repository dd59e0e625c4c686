//! Measuring models for `paguro model bench` and `paguro model tune`: loading one after another, progress, tables.

pub mod latency;
pub mod search;
pub mod table;

use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context as _, Result};
use channels::terminal::{Format, Interrupt, Printer};
use engine::{Engine, LoadOptions, Message, Priority, Request, Role, Sampling};

use crate::commands::ask::{OwnPrinter, screen};
use crate::exit::{BadInput, Interrupted};
use crate::parts::{self, on_ctrl_c};

/// What is read where no text is given. Its words hardly matter for speed.
const TEXT: &str = "The hermit crab looks for a shell that fits. It turns the shell around, measures it with its claws and its \
feelers, and only when the new house is better than the old one does it move, quickly, before anyone sees it without. Sometimes \
several crabs wait in a line, ordered by size; when the largest finds a new shell, each of the others moves into the one that its \
neighbour has just left. Nobody has told them to, and nobody loses by it.\n";

/// Loads and measures until Ctrl-C.
pub struct Workbench {
    printer: OwnPrinter,
    interrupt: Interrupt,
}

impl Workbench {
    pub fn new() -> Self {
        Self { printer: Printer::new(screen(Format::Text), io::stdout(), io::stderr()), interrupt: on_ctrl_c() }
    }

    pub async fn load(&mut self, options: LoadOptions) -> Result<Engine> {
        let engine = parts::load(options, &mut self.printer, &self.interrupt).await;
        self.printer.settle()?;
        engine
    }

    /// What comes of `work`, or that it was interrupted.
    pub async fn unless_stopped<T, E: Into<anyhow::Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T> {
        tokio::select! {
            result = work => result.map_err(Into::into),
            () = self.interrupt.raised() => Err(Interrupted.into()),
        }
    }
}

/// Shows `label` and how much is done, on a terminal; for a measurement to call.
pub fn progress(label: String) -> impl FnMut(f32) -> ControlFlow<()> + Send + 'static {
    let is_shown = io::stderr().is_terminal();
    let mut last = None;
    move |done| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
        let percent = (done * 100.0) as u8;
        if is_shown && last != Some(percent) {
            last = Some(percent);
            let end = if percent >= 100 { "\r\u{1b}[K" } else { "" };
            // That nobody sees it changes nothing.
            let _ = write!(io::stderr(), "\r{label} {percent:>3} %{end}");
        }
        ControlFlow::Continue(())
    }
}

/// The text of `--text`, or one to measure speed with.
pub fn text_of(file: Option<&Path>) -> Result<Option<String>> {
    let Some(file) = file else { return Ok(None) };
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()));
    let bytes = bytes.map_err(|error| BadInput(format!("{error:#}; give a text file")))?;
    let text = String::from_utf8(bytes).map_err(|_| BadInput(format!("{} is not UTF-8 text; give a text file", file.display())))?;
    Ok(Some(text))
}

/// `given`, or a text of our own.
pub fn or_own(given: Option<&str>) -> String {
    given.filter(|text| !text.trim().is_empty()).unwrap_or(TEXT).to_owned()
}

/// The beginning of `text`, repeated if need be, that has about so many tokens.
pub async fn cut_to(engine: &Engine, text: &str, tokens: u32) -> Result<String> {
    let counts = engine.count_tokens(vec![text.to_owned()]).await?;
    let count = counts.first().copied().unwrap_or(1).max(1) as usize;
    let wanted = text.len().saturating_mul(tokens as usize) / count;
    let mut out = text.repeat(wanted.div_ceil(text.len().max(1)));
    out.truncate(out.floor_char_boundary(wanted));
    Ok(out)
}

/// A greedy request of one message more.
pub fn request(transcript: &str, messages: &[Message], max_tokens: u32) -> Request {
    Request {
        messages: messages.to_vec(),
        transcript: Some(transcript.into()),
        priority: Priority::Interactive,
        sampling: Sampling { temperature: Some(0.0), ..Sampling::default() },
        max_tokens: Some(max_tokens),
        ..Request::default()
    }
}

pub fn user(text: impl Into<String>) -> Message {
    Message::new(Role::User, text)
}
