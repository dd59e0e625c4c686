//! What a job is made of and what its firing does: from a row of the journal and a moment to the journal's next. Pure, but for the
//! checklist, which the caller reads.

use std::io::{Error, ErrorKind};
use std::path::Path;

use agent::NOTHING;
use agent::memory::{Firing, JobKind, JobRow, Missed, NewJob, RunState, Start};
use jiff::{SignedDuration, Timestamp};

use super::when::{When, WhenError};
use super::zone::find_zone;

/// A run that could not begin within this after its time was missed.
pub const ON_TIME: SignedDuration = SignedDuration::from_secs(90);

/// Bytes of a heartbeat's checklist. A longer one is not read.
pub const CHECKLIST_BYTES: usize = 16 << 10;

/// Characters of a job's name. More is refused.
pub const NAME_CHARS: usize = 40;

/// A job as it was asked for.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// As in [`NewJob`].
    pub key: Option<String>,
    /// Its name.
    pub name: &'a str,
    /// What it does.
    pub kind: JobKind,
    /// When, in words.
    pub when: &'a str,
    /// The name of its zone.
    pub zone: &'a str,
    /// The prompt, the words of the reminder, or the checklist's file.
    pub text: &'a str,
    /// Where what it says goes.
    pub to: (String, String),
    /// What becomes of runs that could not be.
    pub missed: Missed,
    /// As in [`NewJob`].
    pub origin: Option<String>,
}

impl Wanted<'_> {
    /// The job, if all of it can be.
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub fn checked(self, now: Timestamp) -> Result<NewJob, WhenError> {
        let Wanted { key, name, kind, when: words, zone, text, to: (channel, session), missed, origin } = self;
        check_name(name)?;
        let text = text.trim();
        if text.is_empty() {
            return Err(WhenError("the text is empty; write what is to be done or said".to_owned()));
        }
        let zone = find_zone(zone)?;
        let when = When::parse(words, &zone, now)?;
        let next = when.next(now, now, &zone).ok_or_else(|| match when {
            When::At(_) => WhenError(format!("`{words}` is over already")),
            _ => WhenError(format!("`{words}` never comes")),
        })?;
        Ok(NewJob {
            key,
            name: name.to_owned(),
            kind,
            schedule: when.words(words),
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            text: text.to_owned(),
            channel,
            session,
            missed,
            origin,
            created: now.as_millisecond(),
            next: next.as_millisecond(),
        })
    }
}

/// Checks a job's name, which is part of its session's.
///
/// # Errors
/// It cannot be one.
pub fn check_name(name: &str) -> Result<(), WhenError> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    match name.chars().count() {
        1..=NAME_CHARS if name.chars().all(fits) => Ok(()),
        _ => Err(WhenError(format!(
            "`{}` cannot be a job's name; use 1 to {NAME_CHARS} letters, digits, `-`, `_` and `.`",
            name.escape_debug()
        ))),
    }
}

/// What is to be done about a job that is due at `now`. `read` reads a heartbeat's checklist.
///
/// # Errors
/// Its schedule or its zone cannot be read, as after a change of the time zones' database.
pub fn firing(job: &JobRow, now: Timestamp, read: impl FnOnce(&Path) -> Result<String, Error>) -> Result<Firing, WhenError> {
    let at = now.as_millisecond();
    let due = job.next.filter(|next| *next <= at).or(job.pending).unwrap_or(at);
    let next = match job.next {
        Some(next) if next > at => Some(next),
        _ => next_after(job, now)?,
    };
    let late = SignedDuration::from_millis(at - due) > ON_TIME;
    let start = if late && job.missed == Missed::Skip && job.pending.is_none() {
        Start::Leave(RunState::Missed, "nothing ran at the time".to_owned())
    } else {
        start(job, read)
    };
    Ok(Firing { job: job.id, due, now: at, next, by_hand: false, start })
}

/// The same for a run that the owner asks for.
pub fn by_hand(job: &JobRow, now: Timestamp, read: impl FnOnce(&Path) -> Result<String, Error>) -> Firing {
    let at = now.as_millisecond();
    Firing { job: job.id, due: at, now: at, next: job.next, by_hand: true, start: start(job, read) }
}

/// When a job is due again after `now`; intervals keep their beat.
///
/// # Errors
/// As [`firing`].
pub fn next_after(job: &JobRow, now: Timestamp) -> Result<Option<i64>, WhenError> {
    Ok(upcoming(job, now, 1)?.first().map(|next| next.as_millisecond()))
}

/// The next `count` moments at which a job is due after `now`.
///
/// # Errors
/// As [`firing`].
pub fn upcoming(job: &JobRow, now: Timestamp, count: usize) -> Result<Vec<Timestamp>, WhenError> {
    let zone = find_zone(&job.zone)?;
    let anchor = Timestamp::from_millisecond(job.next.unwrap_or(job.created)).unwrap_or(now);
    let when = When::parse(&job.schedule, &zone, now)?;
    if anchor > now && job.next.is_some() {
        let rest = when.upcoming(anchor, anchor, &zone, count.saturating_sub(1));
        return Ok(std::iter::once(anchor).chain(rest).take(count).collect());
    }
    Ok(when.upcoming(now, anchor, &zone, count))
}

fn start(job: &JobRow, read: impl FnOnce(&Path) -> Result<String, Error>) -> Start {
    match job.kind {
        JobKind::Reminder => Start::Say,
        JobKind::Prompt => Start::Turn(format!(
            "{}\n\n[job: {}; it runs by itself and nobody can answer a question; the reply goes to the owner]",
            job.text, job.name
        )),
        JobKind::Heartbeat => heartbeat(&job.text, read(Path::new(&job.text))),
    }
}

/// A checklist in which nothing stands costs nothing.
fn heartbeat(file: &str, checklist: Result<String, Error>) -> Start {
    let nothing = |why: String| Start::Leave(RunState::Nothing, why);
    match checklist {
        Err(error) if error.kind() == ErrorKind::NotFound => nothing(format!("there is no {file}")),
        Err(error) => nothing(format!("{file} cannot be read: {error}")),
        Ok(text) if text.len() > CHECKLIST_BYTES => {
            nothing(format!("{file} has {} bytes; a checklist has at most {CHECKLIST_BYTES}", text.len()))
        }
        Ok(text) if text.lines().all(is_blank) => nothing(format!("{file} is empty")),
        Ok(text) => Start::Turn(format!(
            "This is your heartbeat; nobody has written. Go through the owner's checklist below, and use the tools where it takes a look. \
             If something in it needs the owner now, reply with that, in a few words. If nothing does, reply with {NOTHING} and not a \
             word more.\n\n{}",
            text.trim()
        )),
    }
}

/// A line of a checklist in which nothing is asked: blank, or a heading.
fn is_blank(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
