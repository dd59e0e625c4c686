//! `schedule`: reminders and jobs, for the model; and what the command line and the always-on process need for them.
//!
//! Deliberately not here: the clock (its reader is given), running a job (that is a turn like any other), and whether adding one is
//! allowed. A job gets the rights of the channel `job` and no others, whoever asked for it.

mod cron;
mod plan;
mod when;
mod zone;

pub use plan::{CHECKLIST_BYTES, ON_TIME, Wanted, by_hand, check_name, firing, next_after, upcoming};
pub use when::{When, WhenError};
pub use zone::{default_zone, find_zone};

use agent::engine::ToolSchema;
use agent::memory::{JOB_CHANNEL, JobKind, JobRow, Missed, Store, StoreError, job_session};
use agent::{Effect, Output, Tool, ToolContext, ToolError, ToolFuture};
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{fail, parse, schema};

/// The tool's name.
pub const NAME: &str = "schedule";

/// Words of the text that make the name of a job without one.
const NAME_WORDS: usize = 4;

/// Jobs that `list` shows; of more, those that are due first.
const LISTED: usize = 50;

/// What the turn of a removed job ends with.
pub const REMOVED: &str = "the job was removed";

/// See the file's head.
pub struct Schedule {
    store: Store,
    zone: String,
    now: fn() -> Timestamp,
}

impl Schedule {
    /// Jobs are kept in `store`; times are those of `zone` unless a call names another; `now` reads the clock.
    #[must_use]
    pub fn new(store: Store, zone: String, now: fn() -> Timestamp) -> Self {
        Self { store, zone, now }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    action: Action,
    name: Option<String>,
    when: Option<String>,
    text: Option<String>,
    kind: Option<Kind>,
    zone: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Action {
    Add,
    List,
    Remove,
}

/// A heartbeat names a file, which a model may not choose: its text would be read without asking.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Reminder,
    Prompt,
}

impl Tool for Schedule {
    fn schema(&self) -> ToolSchema {
        schema(
            NAME,
            "Remind the user later (kind reminder: text is said to them) or do something later (kind prompt: text is your order then). \
             action add needs when and text; remove needs name.",
            1,
            json!({
                "action": {"type": "string", "enum": ["add", "list", "remove"]},
                "when": {"type": "string", "description": "in 20 minutes | tomorrow at 9:00 | 2027-01-31 09:00 | every weekday at 8:30 | cron fields"},
                "text": {"type": "string"},
                "kind": {"type": "string", "enum": ["reminder", "prompt"]},
                "name": {"type": "string", "description": "one short word"},
                "zone": {"type": "string", "description": "only if another time zone is meant"},
            }),
        )
    }

    fn effect(&self) -> Effect {
        Effect::Write
    }

    fn effect_of(&self, arguments: &Value) -> Effect {
        effect_of(arguments)
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let arguments: Arguments = parse(arguments)?;
            match arguments.action {
                Action::Add => self.add(arguments, context).await,
                Action::List => self.list().await,
                Action::Remove => self.remove(arguments.name, context).await,
            }
        })
    }
}

/// The effect of one call: a look at the list changes nothing.
#[must_use]
pub fn effect_of(arguments: &Value) -> Effect {
    if arguments["action"] == "list" { Effect::Read } else { Effect::Write }
}

impl Schedule {
    async fn add(&self, arguments: Arguments, context: &ToolContext) -> Result<Output, ToolError> {
        let Arguments { name, when, text, kind, zone, .. } = arguments;
        let when = when.ok_or_else(|| fail("`when` is missing: `in 20 minutes`, `every day at 9:00`, …"))?;
        let text = text.ok_or_else(|| fail("`text` is missing: what is to be said or done"))?;
        let name = match name {
            Some(name) => name.trim().replace(' ', "-"),
            None => self.free_name(&text).await?,
        };
        let wanted = Wanted {
            key: Some(context.key.clone()),
            name: &name,
            kind: match kind {
                Some(Kind::Prompt) => JobKind::Prompt,
                Some(Kind::Reminder) | None => JobKind::Reminder,
            },
            when: &when,
            zone: zone.as_deref().unwrap_or(&self.zone),
            text: &text,
            to: self.asker(context).await?,
            missed: Missed::Once,
            origin: context.foreign.clone(),
        };
        let new = wanted.checked((self.now)()).map_err(|error| fail(error.0))?;
        let job = self.store.add_job(new).await.map_err(told)?;
        Ok(format!("added {}", line(&job)).into())
    }

    async fn list(&self) -> Result<Output, ToolError> {
        let jobs = self.store.jobs().await.map_err(told)?;
        let lines: Vec<String> = jobs.iter().take(LISTED).map(line).collect();
        let text = match (lines.is_empty(), jobs.len() > LISTED) {
            (true, _) => "there are none".to_owned(),
            (false, false) => lines.join("\n"),
            (false, true) => format!("{}\nand {} more", lines.join("\n"), jobs.len() - LISTED),
        };
        Ok(Output { text, origin: jobs.into_iter().find_map(|job| job.origin) })
    }

    async fn remove(&self, name: Option<String>, context: &ToolContext) -> Result<Output, ToolError> {
        let name = name.ok_or_else(|| fail("`name` is missing: the name of the job to remove"))?;
        let running = self.store.job(&name).await.map_err(told)?.is_some_and(|job| job.turn == Some(context.turn));
        if running {
            return Err(fail("a job cannot remove itself while it runs; tell the owner to run `paguro job rm`"));
        }
        match self.store.remove_job(&name, REMOVED).await.map_err(told)? {
            true => Ok("removed".into()),
            false => Err(fail(format!("there is no job {name}; action list shows the names"))),
        }
    }

    /// The channel and the session that the call comes from; where that is a job, those that the job speaks to.
    async fn asker(&self, context: &ToolContext) -> Result<(String, String), ToolError> {
        let own = (context.channel.clone(), context.session.clone());
        if context.channel != JOB_CHANNEL {
            return Ok(own);
        }
        let jobs = self.store.jobs().await.map_err(told)?;
        let job = jobs.into_iter().find(|job| job_session(&job.name) == context.session);
        Ok(job.map_or(own, |job| (job.channel, job.session)))
    }

    /// A name made of the first words of `text`.
    async fn free_name(&self, text: &str) -> Result<String, ToolError> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(NAME_WORDS);
        let words: String = words.collect::<Vec<_>>().join("-").to_lowercase().chars().take(plan::NAME_CHARS - 4).collect();
        let words = if words.is_empty() { "job".to_owned() } else { words };
        let jobs = self.store.jobs().await.map_err(told)?;
        let is_free = |name: &String| jobs.iter().all(|job| job.name != *name || (job.next.is_none() && !job.running));
        let mut names = std::iter::once(words.clone()).chain((2..).map(|number| format!("{words}-{number}")));
        // There are fewer jobs than numbers.
        names.find(is_free).ok_or_else(|| fail("no name is free"))
    }
}

fn told(error: StoreError) -> ToolError {
    fail(error.to_string())
}

/// `tea (reminder): in 20 minutes, next Sat 2026-11-21 10:20 Europe/Berlin: drink tea`
fn line(job: &JobRow) -> String {
    let kind = match job.kind {
        JobKind::Reminder => "reminder",
        JobKind::Prompt => "prompt",
        JobKind::Heartbeat => "heartbeat",
    };
    let schedule = if job.schedule.starts_with("at ") { String::new() } else { format!("{}, ", job.schedule) };
    let next = match job.next {
        Some(_) if !job.enabled => "paused".to_owned(),
        Some(next) => format!("next {}", in_zone(next, &job.zone)),
        None => "over".to_owned(),
    };
    format!("{} ({kind}): {schedule}{next}: {}", job.name, job.text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A moment as the clock of `zone` shows it, with the zone: `Sat 2026-11-21 10:20 Europe/Berlin`.
#[must_use]
pub fn in_zone(milliseconds: i64, zone: &str) -> String {
    let moment = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    let known = find_zone(zone).unwrap_or(TimeZone::UTC);
    let seconds = if moment.as_second() % 60 == 0 { "" } else { ":%S" };
    moment.to_zoned(known).strftime(&format!("%a %Y-%m-%d %H:%M{seconds} %Q")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, wait};

    fn now() -> Timestamp {
        "2026-11-21T09:00:00Z".parse().unwrap()
    }

    /// A bench whose turn is one of `channel/session`.
    fn bench(channel: &str, session: &str) -> (Bench, Schedule) {
        let mut bench = Bench::new();
        (bench.context.channel, bench.context.session) = (channel.into(), session.into());
        let tool = Schedule::new(bench.store.clone(), "Europe/Berlin".into(), now);
        (bench, tool)
    }

    #[test]
    fn jobs_are_added_listed_and_removed() {
        let (mut bench, tool) = bench("telegram", "anna");
        let mut call = 0;
        let mut check = |arguments: Value, expected: Result<&str, &str>| {
            call += 1;
            bench.context.key = format!("7-call_{call}");
            let result = bench.run(&tool, arguments.clone());
            assert_eq!(result.as_ref().map(String::as_str).map_err(|e| e.text.as_str()), expected, "{arguments}");
        };
        check(json!({"action": "list"}), Ok("there are none"));
        check(
            json!({"action": "add", "when": "in 20 minutes", "text": "Take the tea out!", "name": "tea"}),
            Ok("added tea (reminder): next Sat 2026-11-21 10:20 Europe/Berlin: Take the tea out!"),
        );
        check(
            json!({"action": "add", "when": "every day at 9:00", "text": "Is the disk full?\nLook.", "kind": "prompt"}),
            Ok("added is-the-disk-full (prompt): every day at 9:00, next Sun 2026-11-22 09:00 Europe/Berlin: Is the disk full? Look."),
        );
        check(
            json!({"action": "add", "when": "0 9 * * 1", "text": "Is the disk full?", "zone": "America/New_York"}),
            Ok("added is-the-disk-full-2 (reminder): 0 9 * * 1, next Mon 2026-11-23 09:00 America/New_York: Is the disk full?"),
        );
        check(
            json!({"action": "add", "when": "in 1 hour", "text": "x", "name": "tea"}),
            Err("there is a job tea already; remove it first, or choose another name"),
        );
        check(json!({"action": "remove", "name": "is-the-disk-full-2"}), Ok("removed"));
        check(json!({"action": "remove", "name": "coffee"}), Err("there is no job coffee; action list shows the names"));
        check(json!({"action": "remove"}), Err("`name` is missing: the name of the job to remove"));
        check(json!({"action": "add", "text": "x"}), Err("`when` is missing: `in 20 minutes`, `every day at 9:00`, …"));
        check(json!({"action": "add", "when": "at 2026-11-21 09:00", "text": "x"}), Err("`at 2026-11-21 09:00` is over already"));
        check(
            json!({"action": "add", "when": "0 9 * * *", "text": "/etc/passwd", "kind": "heartbeat"}),
            Err("argument `kind`: unknown variant `heartbeat`, expected `reminder` or `prompt`"),
        );
        let to: Vec<_> =
            wait(bench.store.jobs()).unwrap().into_iter().map(|job| format!("{} {}/{}", job.name, job.channel, job.session)).collect();
        assert_eq!(to, ["tea telegram/anna", "is-the-disk-full telegram/anna"]);
    }

    #[test]
    fn the_same_call_adds_one_job() {
        let (bench, tool) = bench("terminal", "main");
        for _ in 0..2 {
            bench.run(&tool, json!({"action": "add", "when": "in 20 minutes", "text": "tea"})).unwrap();
        }
        assert_eq!(wait(bench.store.jobs()).unwrap().len(), 1);
    }

    #[test]
    fn a_jobs_job_speaks_to_whom_the_job_speaks_to() {
        let (mut bench, tool) = bench("telegram", "anna");
        bench.run(&tool, json!({"action": "add", "when": "every day at 9:00", "text": "look", "name": "disk", "kind": "prompt"})).unwrap();
        let disk = wait(bench.store.job("disk")).unwrap().unwrap();
        wait(bench.store.fire(by_hand(&disk, now(), |_| unreachable!()))).unwrap();
        bench.context.turn = wait(bench.store.job("disk")).unwrap().unwrap().turn.unwrap();
        bench.context.key = "other".into();
        (bench.context.channel, bench.context.session) = (JOB_CHANNEL.into(), job_session("disk"));
        bench.context.foreign = Some("https://example.org/".into());
        bench.run(&tool, json!({"action": "add", "when": "in 1 hour", "text": "look again", "name": "again"})).unwrap();
        let again = wait(bench.store.job("again")).unwrap().unwrap();
        assert_eq!((again.channel.as_str(), again.session.as_str()), ("telegram", "anna"));
        // What strangers may have written stays theirs.
        assert_eq!(again.origin.as_deref(), Some("https://example.org/"));
        let arguments = json!({"action": "list"});
        assert_eq!(wait(tool.run(&arguments, &bench.context)).unwrap().origin, again.origin);
        let error = bench.run(&tool, json!({"action": "remove", "name": "disk"})).unwrap_err();
        assert!(error.text.starts_with("a job cannot remove itself"), "{error}");
    }

    #[test]
    fn only_a_look_is_a_read() {
        let effects = ["list", "add", "remove", ""].map(|action| effect_of(&json!({"action": action})));
        assert_eq!(effects, [Effect::Read, Effect::Write, Effect::Write, Effect::Write]);
    }
}
