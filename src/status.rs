//! How the always-on process is: what `paguro status` shows, here and over the socket, and `/status` in a chat.
//!
//! Deliberately not here: asking the engine and the channels, which `serve` does; this has the shape, the words, and what the journal and
//! the system say.

use std::fmt::Write as _;

use anyhow::Result;
use engine::Bytes;
use jiff::Zoned;
use memory::Store;
use serde::{Deserialize, Serialize};
use tools::schedule::in_zone;

/// Jobs that are shown, and conversations that are.
const JOBS: usize = 3;
const HOT: usize = 8;

/// Everything.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub version: String,
    pub process: u32,
    pub uptime_s: u64,
    pub state: Readiness,
    pub model: Option<Model>,
    /// Conversations in memory, the last used first.
    pub hot: Vec<Hot>,
    /// Turns that run now.
    pub running: u64,
    /// Turns that are not finished and do not run: they wait for their place, or for an answer.
    pub waiting: u64,
    pub today: Today,
    pub memory: Memory,
    pub channels: Vec<Channel>,
    /// The next ones first.
    pub jobs: Vec<Job>,
    pub database_bytes: u64,
    pub last_error: Option<LastError>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Readiness {
    /// The model is loaded and can decode.
    Ready,
    /// From 0 to 1.
    Loading { done: f32 },
    /// It could not be loaded.
    Failed { why: String },
    #[default]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Model {
    pub name: String,
    /// Tokens of the context, which the conversations in memory share.
    pub context: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hot {
    /// `CHANNEL/NAME`.
    pub session: String,
    pub tokens: u64,
}

/// Since local midnight.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Today {
    pub turns: u64,
    pub failed: u64,
    pub reused_tokens: u64,
    pub prefilled_tokens: u64,
    pub completion_tokens: u64,
    pub decode_tps: Option<f64>,
    /// There was more than was counted.
    pub at_least: bool,
}

/// Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// What this process has in memory now.
    pub resident: Option<u64>,
    /// What the model was planned to need.
    pub planned: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Channel {
    pub name: String,
    pub ok: bool,
    /// In a line.
    pub says: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Job {
    pub name: String,
    /// In the job's zone.
    pub next: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LastError {
    /// When, as it is to be shown.
    pub at: String,
    pub says: String,
}

/// What the journal and the system say; the rest is as by default.
pub async fn of_store(store: &Store) -> Result<Status> {
    let midnight = Zoned::now().start_of_day()?.timestamp();
    let activity = store.activity(&midnight.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()).await?;
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let decode_tps = (activity.decode_ms > 0.0).then(|| activity.completion_tokens as f64 / activity.decode_ms * 1_000.0);
    let jobs = store.jobs().await?;
    let due = jobs.iter().filter(|job| job.enabled).filter_map(|job| Some((job, job.next?)));
    let jobs = due.take(JOBS).map(|(job, next)| Job { name: job.name.clone(), next: in_zone(next, &job.zone) });
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        process: std::process::id(),
        waiting: activity.open,
        today: Today {
            turns: activity.turns,
            failed: activity.failed,
            reused_tokens: activity.reused_tokens,
            prefilled_tokens: activity.prefilled_tokens,
            completion_tokens: activity.completion_tokens,
            decode_tps,
            at_least: activity.cut,
        },
        memory: Memory { resident: resident(), planned: None },
        jobs: jobs.collect(),
        database_bytes: activity.bytes,
        ..Status::default()
    })
}

/// Bytes of this process that are in memory, where the system says so.
pub fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    resident_in(&status)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

/// For people; lines without the last line's end.
pub fn text(status: &Status) -> String {
    let mut lines: Vec<(&str, String)> = Vec::new();
    let model = status.model.as_ref().map(|model| format!("; {}", model.name)).unwrap_or_default();
    let state = match &status.state {
        Readiness::Ready => format!("ready{model}"),
        Readiness::Loading { done } => format!("loading, {:.0} %{model}", done * 100.0),
        Readiness::Failed { why } => format!("the model is not loaded: {why}"),
        Readiness::Unknown => format!("unknown{model}"),
    };
    lines.push(("state", format!("{state}; running for {}", span(status.uptime_s))));
    lines.push(("context", context(status)));
    lines.push(("queue", format!("{} running, {} waiting", status.running, status.waiting)));
    lines.push(("today", today(&status.today)));
    let memory = match (status.memory.resident, status.memory.planned) {
        (Some(resident), Some(planned)) => format!("{} resident; the model's plan is {}", Bytes(resident), Bytes(planned)),
        (Some(resident), None) => format!("{} resident", Bytes(resident)),
        (None, Some(planned)) => format!("the model's plan is {}", Bytes(planned)),
        (None, None) => "unknown".to_owned(),
    };
    lines.push(("memory", memory));
    for channel in &status.channels {
        let trouble = if channel.ok { "" } else { "TROUBLE: " };
        lines.push(("channel", format!("{}: {trouble}{}", channel.name, channel.says)));
    }
    for job in &status.jobs {
        lines.push(("next job", format!("{} at {}", job.name, job.next)));
    }
    lines.push(("database", Bytes(status.database_bytes).to_string()));
    if let Some(error) = &status.last_error {
        lines.push(("last error", format!("{} {}", error.at, error.says)));
    }
    let version = format!("paguro {}, process {}", status.version, status.process);
    lines.iter().fold(version, |mut out, (name, words)| {
        let _ = write!(out, "\n{name:<10}  {}", one_line(words));
        out
    })
}

fn context(status: &Status) -> String {
    let used: u64 = status.hot.iter().map(|hot| hot.tokens).sum();
    let size = status.model.as_ref().map(|model| format!(" of {}", model.context)).unwrap_or_default();
    if status.hot.is_empty() {
        return format!("0{size} tokens");
    }
    let shown: Vec<String> = status.hot.iter().take(HOT).map(|hot| format!("{} {}", hot.session, hot.tokens)).collect();
    let more = if status.hot.len() > HOT { format!(", {} more", status.hot.len() - HOT) } else { String::new() };
    format!("{used}{size} tokens: {}{more}", shown.join(", "))
}

fn today(today: &Today) -> String {
    let least = if today.at_least { "at least " } else { "" };
    let failed = if today.failed > 0 { format!(" ({} failed)", today.failed) } else { String::new() };
    let speed = today.decode_tps.map(|tps| format!(" at {tps:.1} tokens/s")).unwrap_or_default();
    format!(
        "{least}{} turns{failed}; {} tokens reused, {} prefilled, {} written{speed}",
        today.turns, today.reused_tokens, today.prefilled_tokens, today.completion_tokens
    )
}

/// On one line, without what could drive a terminal.
fn one_line(words: &str) -> String {
    channels::visible(&words.replace('\n', " ")).into_owned()
}

/// A time in its two largest units.
fn span(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, length)| seconds >= *length).unwrap_or(units.len() - 1);
    let (name, length) = units[first];
    let rest = units.get(first + 1).map(|(name, next)| (name, seconds % length / next)).filter(|(_, count)| *count > 0);
    let rest = rest.map(|(name, count)| format!(" {count} {name}")).unwrap_or_default();
    format!("{} {name}{rest}", seconds / length)
}

#[cfg(test)]
mod tests {
    use memory::{Inbound, JobKind, Missed, NewJob};

    use super::*;

    #[test]
    fn what_is_shown() {
        let hot = |session: &str, tokens| Hot { session: session.into(), tokens };
        let status = Status {
            version: "0.1.0".into(),
            process: 42,
            uptime_s: 93_784,
            state: Readiness::Ready,
            model: Some(Model { name: "Qwen3 4B".into(), context: 32_768 }),
            hot: vec![hot("telegram/123", 8_000), hot("terminal/main", 192)],
            running: 1,
            waiting: 2,
            today: Today {
                turns: 12,
                failed: 1,
                reused_tokens: 90_000,
                prefilled_tokens: 3_000,
                completion_tokens: 1_500,
                decode_tps: Some(23.45),
                at_least: false,
            },
            memory: Memory { resident: Some(3_100_000_000), planned: Some(3_000_000_000) },
            channels: vec![
                Channel { name: "telegram".into(), ok: true, says: "last poll 3 s ago".into() },
                Channel { name: "socket".into(), ok: false, says: "cannot\nlisten\u{1b}".into() },
            ],
            jobs: vec![Job { name: "news".into(), next: "Mon 2026-11-23 09:00 CET".into() }],
            database_bytes: 12_000_000,
            last_error: Some(LastError { at: "02:14".into(), says: "turn 7: timeout".into() }),
        };
        let expected = "paguro 0.1.0, process 42\n\
             state       ready; Qwen3 4B; running for 1 d 2 h\n\
             context     8192 of 32768 tokens: telegram/123 8000, terminal/main 192\n\
             queue       1 running, 2 waiting\n\
             today       12 turns (1 failed); 90000 tokens reused, 3000 prefilled, 1500 written at 23.4 tokens/s\n\
             memory      3.1 GB resident; the model's plan is 3.0 GB\n\
             channel     telegram: last poll 3 s ago\n\
             channel     socket: TROUBLE: cannot listen␛\n\
             next job    news at Mon 2026-11-23 09:00 CET\n\
             database    12.0 MB\n\
             last error  02:14 turn 7: timeout";
        assert_eq!(text(&status), expected);
        let there_and_back: Status = serde_json::from_value(serde_json::to_value(&status).unwrap()).unwrap();
        assert_eq!(there_and_back, status);
    }

    #[test]
    fn before_the_model_is_there() {
        let status = Status { state: Readiness::Loading { done: 0.401 }, uptime_s: 59, ..Status::default() };
        let shown = text(&status);
        assert!(shown.contains("\nstate       loading, 40 %; running for 59 s\ncontext     0 tokens\n"), "{shown}");
        assert!(shown.ends_with("memory      unknown\ndatabase    0 B"), "{shown}");
        let failed = Status { state: Readiness::Failed { why: "no such file".into() }, ..Status::default() };
        assert!(text(&failed).contains("the model is not loaded: no such file"), "{}", text(&failed));
        let long = Today { turns: 9, at_least: true, ..Today::default() };
        assert_eq!(today(&long), "at least 9 turns; 0 tokens reused, 0 prefilled, 0 written");
        // An older program's answer lacks what a newer one knows.
        assert_eq!(serde_json::from_str::<Status>(r#"{"uptime_s": 3, "new": 1}"#).unwrap().uptime_s, 3);
    }

    #[test]
    fn spans() {
        let check = |seconds, expected| assert_eq!(span(seconds), expected);
        check(0, "0 s");
        check(59, "59 s");
        check(60, "1 min");
        check(3_661, "1 h 1 min");
        check(86_400, "1 d");
        check(200_000, "2 d 7 h");
    }

    #[test]
    fn resident_memory() {
        assert_eq!(resident_in("VmSize:\t 9 kB\nVmRSS:\t   40960 kB\n"), Some(40 << 20));
        assert_eq!(resident_in("VmSize:\t 9 kB\n"), None);
        assert_eq!(resident().is_some(), cfg!(target_os = "linux"));
    }

    #[tokio::test]
    async fn what_the_journal_says() {
        let store = Store::in_memory().unwrap();
        let inbound = Inbound { channel: "terminal".into(), session: "a".into(), text: "hello".into(), ..Inbound::default() };
        let turn = store.accept(inbound).await.unwrap().turn;
        let usage = serde_json::json!({ "reused_tokens": 10, "prefilled_tokens": 4, "completion_tokens": 30 });
        store.append(turn, "thought", serde_json::json!({ "usage": usage, "timings": { "decode_ms": 2_000.0 } })).await.unwrap();
        let job = NewJob {
            key: None,
            name: "tea".into(),
            kind: JobKind::Reminder,
            schedule: "every day at 9:00".into(),
            zone: "UTC".into(),
            text: "tea".into(),
            channel: "terminal".into(),
            session: "main".into(),
            missed: Missed::Once,
            origin: None,
            created: 0,
            next: 1_800_000_000_000,
        };
        store.add_job(job).await.unwrap();
        let status = of_store(&store).await.unwrap();
        let expected =
            Today { turns: 1, reused_tokens: 10, prefilled_tokens: 4, completion_tokens: 30, decode_tps: Some(15.0), ..Today::default() };
        assert_eq!((status.waiting, status.today), (1, expected));
        assert_eq!(status.jobs, [Job { name: "tea".into(), next: "Fri 2027-01-15 08:00 UTC".into() }]);
        assert!(status.database_bytes > 0 && status.process == std::process::id());
    }
}
