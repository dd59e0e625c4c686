//! The line that says what is going on while nothing else is written. It is drawn over itself with nothing but carriage
//! returns and spaces, so any terminal can show it, and it is gone before anything else is written.

use std::io::{self, Write};
use std::time::Duration;

use agent::Stage;

/// How often [`super::Printer::tick`] wants to be called.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Ticks before the line is shown, so that short work does not flicker.
const PATIENCE: u32 = 3;

/// Ticks before the line says how long it has been.
const LONG: u32 = 20;

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// What is going on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Activity {
    /// Nothing that takes time.
    #[default]
    Idle,
    /// The model works, nothing is known of how far it is.
    Thinking,
    /// The reply comes, and goes where it is not seen.
    Writing,
    /// A stage has got so far, in per cent.
    Stage(Stage, u8),
    /// A tool runs.
    Running(String),
}

/// The line and what it shows.
#[derive(Debug, Default)]
pub(super) struct Status {
    enabled: bool,
    activity: Activity,
    ticks: u32,
    /// Columns that are drawn; 0: the line is not there.
    columns: usize,
}

impl Status {
    /// A line that is drawn only if `enabled`.
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled, ..Self::default() }
    }

    /// Notes what is going on now. A percentage is drawn at once, anything else when it has lasted.
    pub(super) fn set(&mut self, activity: Activity, err: &mut impl Write) -> io::Result<()> {
        if activity == self.activity {
            return Ok(());
        }
        self.activity = activity;
        self.ticks = 0;
        self.clear(err)?;
        match self.activity {
            Activity::Stage(_, percent) if percent < 100 => self.draw(err),
            _ => Ok(()),
        }
    }

    /// A [`TICK`] has passed.
    pub(super) fn tick(&mut self, err: &mut impl Write) -> io::Result<()> {
        self.ticks += 1;
        if self.activity == Activity::Idle || self.ticks < PATIENCE { Ok(()) } else { self.draw(err) }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self, err: &mut impl Write) -> io::Result<()> {
        if self.columns > 0 {
            write!(err, "\r{:1$}\r", "", self.columns)?;
            err.flush()?;
            self.columns = 0;
        }
        Ok(())
    }

    fn draw(&mut self, err: &mut impl Write) -> io::Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let mut line = format!("{} {}", FRAMES[self.ticks as usize % FRAMES.len()], self.words());
        if self.ticks >= LONG {
            line += &format!(" {} s", u128::from(self.ticks) * TICK.as_millis() / 1_000);
        }
        let columns = line.chars().count();
        write!(err, "\r{line}{:1$}", "", self.columns.saturating_sub(columns))?;
        self.columns = columns.max(self.columns);
        err.flush()
    }

    fn words(&self) -> String {
        match &self.activity {
            Activity::Idle => String::new(),
            Activity::Thinking => "thinking".into(),
            Activity::Writing => "writing".into(),
            Activity::Stage(Stage::Load, percent) => format!("loading the model {percent} %"),
            Activity::Stage(Stage::Prefill, percent) => format!("reading the prompt {percent} %"),
            Activity::Running(tool) => format!("running {tool}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written for each of `actions`: `None` is a tick.
    fn check(actions: &[Option<Activity>], expected: &str) {
        let (mut status, mut out) = (Status::new(true), Vec::new());
        for action in actions {
            match action {
                Some(activity) => status.set(activity.clone(), &mut out).unwrap(),
                None => status.tick(&mut out).unwrap(),
            }
        }
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn it_waits_turns_and_goes_away() {
        let think = || Some(Activity::Thinking);
        check(&[think(), None, None, Some(Activity::Idle)], "");
        check(&[think(), None, None, None, None, Some(Activity::Idle), None], "\r⠸ thinking\r⠼ thinking\r          \r");
    }

    #[test]
    fn a_percentage_is_drawn_at_once() {
        let load = |percent| Some(Activity::Stage(Stage::Load, percent));
        let blank = " ".repeat("⠋ loading the model 42 %".chars().count());
        check(&[load(42), load(100)], &format!("\r⠋ loading the model 42 %\r{blank}\r"));
    }

    #[test]
    fn long_work_says_how_long() {
        let mut actions = vec![Some(Activity::Running("shell".into()))];
        actions.extend(std::iter::repeat_n(None, LONG as usize));
        let (mut status, mut out) = (Status::new(true), Vec::new());
        for action in actions {
            match action {
                Some(activity) => status.set(activity, &mut out).unwrap(),
                None => status.tick(&mut out).unwrap(),
            }
        }
        assert!(String::from_utf8(out).unwrap().ends_with("\r⠋ running shell 2 s"));
    }
}
