//! `paguro job`: what runs at a time, for its owner. It runs where `paguro serve` does; here it is added, looked at and changed.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use channels::terminal::{Approver, CHANNEL, Printer, check_session_name};
use channels::visible;
use jiff::Timestamp;
use memory::{Fired, JobKind, JobRow, JobRunRow, Missed, RunState, Start, Store};
use serde_json::{Value, json};
use tools::schedule::{self, Wanted, WhenError, in_zone};

use super::ask::{one_turn, say_if_demo, screen};
use super::{chat, print_json};
use crate::args::{JobCommand, JobOptions, JobRunArgs, ListFormat, TurnArgs};
use crate::exit::{self, BadInput};
use crate::out;
use crate::parts::{self, Context};

/// Moments that `show` foretells.
const FORETOLD: usize = 3;

/// Runs that `show` looks back on.
const LOOKED_BACK: usize = 10;

pub async fn run(command: JobCommand) -> Result<ExitCode> {
    let context = Context::read()?;
    let store = context.store()?;
    match command {
        JobCommand::Add { name, when, text, reminder, options } => {
            let kind = if reminder { JobKind::Reminder } else { JobKind::Prompt };
            add(&context, &store, kind, [&name, &when, &text], Missed::Once, &options).await?;
        }
        JobCommand::Heartbeat { name, every, file, options } => {
            let file = std::path::absolute(out::path(&file))?;
            let file = file.to_str().ok_or_else(|| BadInput(format!("{} is not UTF-8; rename it", file.display())))?;
            // A heartbeat that comes late says what the next one would.
            add(&context, &store, JobKind::Heartbeat, [&name, &format!("every {every}"), file], Missed::Skip, &options).await?;
        }
        JobCommand::List(list) => list_jobs(&store, list.format).await?,
        JobCommand::Show { name, list } => show(&store, &find(&store, &name).await?, list.format).await?,
        JobCommand::Run(args) => return run_now(&context, store, args).await,
        JobCommand::Pause { name } => {
            let job = find(&store, &name).await?;
            store.enable_job(&job.name, false, None).await?;
            say!("paused; `paguro job resume {name}` lets it go on");
        }
        JobCommand::Resume { name } => {
            let job = find(&store, &name).await?;
            let next = schedule::next_after(&job, Timestamp::now()).map_err(bad)?;
            let next = next.ok_or_else(|| BadInput(format!("job {name} is over; its time was {}", job.schedule)))?;
            store.enable_job(&job.name, true, Some(next)).await?;
            say!("goes on; next {}", in_zone(next, &job.zone));
        }
        JobCommand::Rm { name } => {
            store.remove_job(&find(&store, &name).await?.name, schedule::REMOVED).await?;
            say!("removed; what it said is in the session {}", memory::job_session(&name));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The text of a heartbeat's checklist, and of a longer one so much that its length shows.
pub fn checklist(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(schedule::CHECKLIST_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn bad(error: WhenError) -> BadInput {
    BadInput(error.0)
}

async fn find(store: &Store, name: &str) -> Result<JobRow> {
    store.job(name).await?.ok_or_else(|| BadInput(format!("there is no job {name}; `paguro job list` shows them")).into())
}

async fn add(
    context: &Context,
    store: &Store,
    kind: JobKind,
    [name, when, text]: [&str; 3],
    missed: Missed,
    options: &JobOptions,
) -> Result<()> {
    let default = schedule::default_zone(context.config.schedule.zone.as_deref()).map_err(bad)?;
    let (channel, session) = match options.session.as_deref().unwrap_or(chat::SESSION) {
        name if name.contains('/') => name.split_once('/').unwrap_or((CHANNEL, name)),
        name => (CHANNEL, name),
    };
    check_session_name(session).map_err(|error| BadInput(error.to_string()))?;
    let wanted = Wanted {
        key: None,
        name,
        kind,
        when,
        zone: options.zone.as_deref().unwrap_or(&default),
        text,
        to: (channel.to_owned(), session.to_owned()),
        missed: options.missed.map_or(missed, Missed::from),
        origin: None,
    };
    let job = store.add_job(wanted.checked(Timestamp::now()).map_err(bad)?).await?;
    match options.list.format {
        ListFormat::Json => print_json(&as_json(&job)),
        ListFormat::Text => {
            let next = job.next.map(|next| in_zone(next, &job.zone)).unwrap_or_default();
            say!("added {}; next {next} (`paguro serve` runs it)", job.name);
            Ok(())
        }
    }
}

async fn list_jobs(store: &Store, format: ListFormat) -> Result<()> {
    let jobs = store.jobs().await?;
    match format {
        ListFormat::Json => print_json(&json!({ "jobs": jobs.iter().map(as_json).collect::<Vec<_>>() })),
        ListFormat::Text => {
            for job in &jobs {
                say!("{}", visible(&line(job)));
            }
            if jobs.is_empty() {
                tell!("there are no jobs yet");
            }
            Ok(())
        }
    }
}

/// All jobs, a line each, for people.
pub async fn text(store: &Store) -> Result<String> {
    let jobs: Vec<String> = store.jobs().await?.iter().map(|job| visible(&line(job)).into_owned()).collect();
    Ok(if jobs.is_empty() { "there are no jobs yet".to_owned() } else { jobs.join("\n") })
}

/// One line of a listing.
fn line(job: &JobRow) -> String {
    let failures = match job.failures {
        0 => String::new(),
        count => format!("  failed {count} times in a row"),
    };
    let next = job.next.map(|next| format!("  next {}", in_zone(next, &job.zone))).unwrap_or_default();
    let schedule = if job.schedule.starts_with("at ") { "once" } else { &job.schedule };
    format!("{}  {}  {schedule}  {}{next}{failures}", job.name, word(job.kind), state(job))
}

/// How far a job is.
fn state(job: &JobRow) -> &'static str {
    match (job.running, job.enabled, job.next.or(job.pending)) {
        (true, ..) => "running",
        (_, false, _) => "paused",
        (_, _, None) => "over",
        _ => "waiting",
    }
}

/// The word that the journal has for it.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// RFC 3339, with the zone's offset.
fn moment(milliseconds: i64, zone: &str) -> String {
    let zone = schedule::find_zone(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let moment = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    moment.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

fn as_json(job: &JobRow) -> Value {
    let moment = |milliseconds: Option<i64>| milliseconds.map(|milliseconds| moment(milliseconds, &job.zone));
    json!({
        "name": job.name,
        "kind": job.kind,
        "schedule": job.schedule,
        "zone": job.zone,
        "text": job.text,
        "session": format!("{}/{}", memory::JOB_CHANNEL, memory::job_session(&job.name)),
        "to": format!("{}/{}", job.channel, job.session),
        "missed": job.missed,
        "origin": job.origin,
        "state": state(job),
        "next": moment(job.next),
        "last": moment(job.last),
        "turn": job.turn,
        "failures": job.failures,
    })
}

async fn show(store: &Store, job: &JobRow, format: ListFormat) -> Result<()> {
    let upcoming = match job.enabled {
        true => schedule::upcoming(job, Timestamp::now(), FORETOLD).map_err(bad)?,
        false => Vec::new(),
    };
    let upcoming: Vec<i64> = upcoming.iter().map(|next| next.as_millisecond()).collect();
    let runs = store.job_runs(job.id, LOOKED_BACK).await?;
    match format {
        ListFormat::Json => {
            let mut value = as_json(job);
            value["upcoming"] = upcoming.iter().map(|next| moment(*next, &job.zone)).collect();
            value["runs"] = runs.iter().map(|run| run_json(run, &job.zone)).collect();
            print_json(&value)
        }
        ListFormat::Text => {
            say!("{}", visible(&line(job)));
            say!("to {}/{}; runs that could not be: {}", visible(&job.channel), visible(&job.session), word(job.missed));
            if let Some(origin) = &job.origin {
                say!("made while untrusted text was in the context, from {}", visible(origin));
            }
            say!("{}", visible(&job.text));
            for next in upcoming {
                say!("next  {}", in_zone(next, &job.zone));
            }
            for JobRunRow { due, state, why, turn, .. } in runs {
                let turn = turn.map(|turn| format!("  turn {turn}")).unwrap_or_default();
                let why = why.map(|why| format!("  {why}")).unwrap_or_default();
                say!("was   {}  {}{turn}{}", in_zone(due, &job.zone), in_words(state), visible(&why));
            }
            Ok(())
        }
    }
}

fn in_words(state: RunState) -> &'static str {
    match state {
        RunState::Started => "ran",
        RunState::Said => "said",
        RunState::Overlap => "not begun: the last run was not finished",
        RunState::Missed => "missed",
        RunState::Nothing => "nothing to do",
    }
}

fn run_json(run: &JobRunRow, zone: &str) -> Value {
    json!({ "due": moment(run.due, zone), "at": moment(run.at, zone), "state": run.state, "why": run.why, "turn": run.turn })
}

/// Has the running `paguro serve` run a job now.
async fn run_there(store: &Store, job: &JobRow) -> Result<ExitCode> {
    match store.fire(schedule::by_hand(job, Timestamp::now(), checklist)).await? {
        Fired::Started { turn } => say!("turn {turn} runs in the running `paguro serve`"),
        Fired::Overlap => say!("its last run is not finished"),
        Fired::Said { .. } => say!("said to {}/{}", visible(&job.channel), visible(&job.session)),
        Fired::Left | Fired::NotDue => tell!("paguro: nothing to do"),
    }
    store.tell_of_change();
    Ok(ExitCode::SUCCESS)
}

/// Runs a job here and now, whatever its schedule; the run of it that is not finished goes on. What it says is shown here.
async fn run_now(context: &Context, store: Store, args: JobRunArgs) -> Result<ExitCode> {
    let job = find(&store, &args.name).await?;
    if !out::is_here() {
        return run_there(&store, &job).await;
    }
    let turn_args = TurnArgs { approve: args.approve, ..TurnArgs::of_model(args.model) };
    // Nothing is begun for a model that cannot be loaded.
    let options = context.load_options(turn_args.model.as_deref())?;
    let firing = schedule::by_hand(&job, Timestamp::now(), checklist);
    let needs_model = job.running || matches!(firing.start, Start::Turn(_));
    let interrupt = parts::on_ctrl_c();
    let mut printer = Printer::new(screen(args.format), io::stdout(), io::stderr());
    let engine = match needs_model {
        true => {
            say_if_demo(context, &turn_args);
            Some(parts::load(options, &mut printer, &interrupt).await?)
        }
        false => None,
    };
    let why = match &firing.start {
        Start::Leave(_, why) => why.clone(),
        _ => String::new(),
    };
    let turn = match store.fire(firing).await? {
        Fired::Started { turn } => turn,
        Fired::Overlap => job.turn.ok_or_else(|| anyhow!("job {} has no turn", job.name))?,
        Fired::Said { outbound } => {
            say!("{}", visible(&job.text));
            store.confirm(outbound, None).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Fired::Left | Fired::NotDue => {
            tell!("paguro: nothing to do: {}", visible(&why));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let engine = engine.ok_or_else(|| anyhow!("job {} was changed meanwhile; try again", job.name))?;
    let agent = parts::agent(context, &turn_args, store, engine).await?;
    let approver = Approver::new(turn_args.approve, printer.screen());
    let session = format!("{}/{}", memory::JOB_CHANNEL, memory::job_session(&job.name));
    let ended = one_turn(&agent, turn, &session, &mut printer, &approver, &interrupt).await;
    printer.finish()?;
    ended.map(|ended| exit::of_turn(&ended))
}
