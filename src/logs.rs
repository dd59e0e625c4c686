//! The log of the always-on process: lines of text or JSON on standard error and, where nobody else keeps them, in a file that is
//! rotated by its size. Known secrets are replaced by their names before a line is written.
//!
//! Deliberately not here: llama.cpp's own lines, and what the other commands say. A line that cannot be written (a full disk) is lost, and
//! nothing waits for it.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use agent::Secrets;
use anyhow::{Result, anyhow};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Span};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{LogFormat, Logs as Settings};
use crate::exit::BadInput;
use crate::parts::Context;
use crate::secrets;

/// The file, from the data folder, unless the configuration names another.
const FILE: &str = "logs/paguro.log";

/// The running log.
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
    sink: Arc<Sink>,
}

/// Begins to log, for the rest of the process.
pub fn start(context: &Context) -> Result<Logs> {
    let settings = &context.config.logs;
    let journal = is_journal();
    let file = (!journal).then(|| context.home.resolve(settings.file.as_deref().unwrap_or(Path::new(FILE))));
    let rotated = file.clone().map(|path| Mutex::new(Rotated::new(path, settings)));
    let sink = Arc::new(Sink { secrets: RwLock::new(secrets::for_logs(context)?), journal, file: rotated });
    let (filter, handle) = reload::Layer::new(settings.filter().map_err(BadInput)?);
    let on_screen = To { sink: Arc::clone(&sink), place: Place::Screen };
    let kept = file.is_some().then(|| lines(settings.format, true, To { sink: Arc::clone(&sink), place: Place::File }));
    // On a terminal somebody reads.
    let format = if io::stderr().is_terminal() { LogFormat::Text } else { settings.format };
    let subscriber = Registry::default().with(filter).with(lines(format, !journal, on_screen)).with(kept);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(Logs { filter: handle, sink })
}

impl Logs {
    /// Takes over the level and the secrets of a configuration that has changed. Format and file stay until the next start.
    pub fn reload(&self, context: &Context) -> Result<()> {
        let known = secrets::for_logs(context)?;
        let filter = context.config.logs.filter().map_err(BadInput)?;
        *self.sink.secrets.write().unwrap_or_else(PoisonError::into_inner) = known;
        self.filter.reload(filter).map_err(|error| anyhow!("the level of the log cannot be changed: {error}"))
    }
}

/// What every line about a turn is written in. As high as an error, so that no level leaves it out.
pub fn turn_span(id: i64, channel: &str, session: &str) -> Span {
    tracing::error_span!("turn", id, channel, session)
}

/// One way of writing lines.
fn lines<S>(format: LogFormat, times: bool, to: To) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = fmt::layer().with_ansi(false).with_writer(to);
    match (format, times) {
        (LogFormat::Text, true) => layer.boxed(),
        (LogFormat::Text, false) => layer.without_time().boxed(),
        (LogFormat::Json, true) => layer.json().flatten_event(true).with_current_span(false).boxed(),
        (LogFormat::Json, false) => layer.json().flatten_event(true).with_current_span(false).without_time().boxed(),
    }
}

/// Whether standard error leads to systemd's journal, which keeps times itself.
fn is_journal() -> bool {
    #[cfg(target_os = "linux")]
    if let Ok(stream) = std::env::var("JOURNAL_STREAM") {
        let found = rustix::fs::fstat(rustix::stdio::stderr());
        return found.is_ok_and(|found| stream == format!("{}:{}", found.st_dev, found.st_ino));
    }
    false
}

/// Where lines end.
struct Sink {
    secrets: RwLock<Secrets>,
    journal: bool,
    file: Option<Mutex<Rotated>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Screen,
    File,
}

/// Makes a writer for each line.
struct To {
    sink: Arc<Sink>,
    place: Place,
}

/// The writer of one line, which comes whole.
struct Line<'a> {
    to: &'a To,
    level: Option<Level>,
}

impl<'a> MakeWriter<'a> for To {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { to: self, level: None }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line { to: self, level: Some(*meta.level()) }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let sink = &self.to.sink;
        let text = redacted(&sink.secrets.read().unwrap_or_else(PoisonError::into_inner), line);
        // A line that cannot be written is lost: whoever logs has other things to do.
        let _ = match (self.to.place, &sink.file) {
            (Place::File, Some(file)) => file.lock().unwrap_or_else(PoisonError::into_inner).write(text.as_bytes()),
            (Place::File, None) => Ok(()),
            (Place::Screen, _) if sink.journal => io::stderr().write_all(format!("{}{text}", priority(self.level)).as_bytes()),
            (Place::Screen, _) => io::stderr().write_all(text.as_bytes()),
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line without secrets, and without what could pass for another line or drive a terminal.
fn redacted(secrets: &Secrets, line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let one = secrets.redact(text.trim_end_matches('\n')).replace('\n', " ");
    channels::visible(&one).into_owned() + "\n"
}

/// What the journal takes for a line's priority.
fn priority(level: Option<Level>) -> &'static str {
    match level.map(LevelFilter::from_level) {
        Some(LevelFilter::ERROR) => "<3>",
        Some(LevelFilter::WARN) => "<4>",
        Some(LevelFilter::DEBUG | LevelFilter::TRACE) => "<7>",
        _ => "<6>",
    }
}

/// A file that is put aside when it is full: `paguro.log`, `paguro.log.1`, … Where it cannot be put aside nothing more is written, so that
/// it takes no more room than it may.
struct Rotated {
    path: PathBuf,
    /// Most bytes of one file.
    most: u64,
    files: u32,
    /// The file, with its size.
    open: Option<(File, u64)>,
    /// The last line may be cut off.
    torn: bool,
}

impl Rotated {
    fn new(path: PathBuf, settings: &Settings) -> Self {
        Self { path, most: settings.size_mb.saturating_mul(1_000_000), files: settings.files, open: None, torn: false }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let (mut file, mut size) = match self.open.take() {
            Some(open) => open,
            None => self.reopen()?,
        };
        if size > 0 && size.saturating_add(line.len() as u64) > self.most {
            drop(file);
            self.put_aside()?;
            (file, size) = self.reopen()?;
        }
        let text = if self.torn { &[b"\n", line].concat() } else { line };
        self.torn = true;
        // After an error the file is opened anew: its size is not known.
        file.write_all(text)?;
        self.torn = false;
        self.open = Some((file, size + text.len() as u64));
        Ok(())
    }

    fn reopen(&self) -> io::Result<(File, u64)> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    /// The name of an older file; 0 is the newest.
    fn older(&self, age: u32) -> PathBuf {
        match age {
            0 => self.path.clone(),
            age => {
                let mut name = self.path.clone().into_os_string();
                name.push(format!(".{age}"));
                name.into()
            }
        }
    }

    fn put_aside(&self) -> io::Result<()> {
        if self.files == 1 {
            return std::fs::remove_file(&self.path);
        }
        for age in (0..self.files - 1).rev() {
            match std::fs::rename(self.older(age), self.older(age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn a_full_file_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/a.log");
        let mut file = Rotated { most: 8, ..Rotated::new(path.clone(), &Settings { files: 3, ..Settings::default() }) };
        for line in ["one\n", "two\n", "three\n", "four\n", "longer than a file\n", "six\n"] {
            file.write(line.as_bytes()).unwrap();
        }
        assert_eq!([0, 1, 2, 3].map(|age| read(&file.older(age))), ["six\n", "longer than a file\n", "four\n", ""]);
        // The next process goes on with it.
        let mut file = Rotated { most: 8, ..Rotated::new(path, &Settings { files: 1, ..Settings::default() }) };
        file.write(b"7\n").unwrap();
        assert_eq!(read(&file.older(0)), "six\n7\n");
        file.write(b"eight\n").unwrap();
        assert_eq!(read(&file.older(0)), "eight\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let settings = Settings::default();
        let mut file = Rotated::new("/dev/full".into(), &settings);
        assert!(file.write(b"lost\n").is_err());
        let folder = tempfile::tempdir().unwrap();
        file.path = folder.path().join("a.log");
        file.write(b"written\n").unwrap();
        file.write(b"again\n").unwrap();
        assert_eq!(read(&file.path), "\nwritten\nagain\n", "what was cut off ends before the next line");
    }

    #[test]
    fn what_cannot_be_put_aside_grows_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut file = Rotated { most: 8, ..Rotated::new(path.clone(), &Settings { files: 2, ..Settings::default() }) };
        std::fs::create_dir_all(folder.path().join("a.log.1/in the way")).unwrap();
        file.write(b"12345678\n").unwrap();
        assert!(file.write(b"9\n").is_err() && file.write(b"10\n").is_err());
        assert_eq!(read(&path), "12345678\n");
    }

    /// What a log of these settings writes into its file, for one event inside a turn.
    fn logged(settings: &Settings, secrets: Secrets) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let file = Some(Mutex::new(Rotated::new(path.clone(), settings)));
        let sink = Arc::new(Sink { secrets: RwLock::new(secrets), journal: false, file });
        let layer = lines(settings.format, false, To { sink, place: Place::File });
        let subscriber = Registry::default().with(settings.filter().unwrap()).with(layer);
        tracing::subscriber::with_default(subscriber, || {
            turn_span(7, "telegram", "123:4").in_scope(|| {
                tracing::info!("not at this level");
                tracing::warn!(key = "sk-\"Proj\"_4f9a", "said\nsk-\"Proj\"_4f9a \u{1b}[31m");
            });
        });
        read(&path)
    }

    #[test]
    fn lines_name_their_turn_and_no_secret() {
        let secret = "sk-\"Proj\"_4f9a".to_owned();
        let secrets = Secrets::new([("mail".into(), secret.clone()), ("mail".into(), secret.replace('"', "\\\""))]);
        let settings = Settings { level: "warn".to_owned(), ..Settings::default() };
        let text = logged(&settings, secrets.clone());
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("turn{id=7 channel=\"telegram\" session=\"123:4\"}"), "{text}");
        let json = logged(&Settings { format: LogFormat::Json, ..settings }, secrets);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["level"], &value["spans"][0]["id"], &value["spans"][0]["name"]), (&"WARN".into(), &7.into(), &"turn".into()));
        for written in [text, json] {
            assert!(!written.contains("4f9a") && !written.contains('\u{1b}') && written.contains("[secret: mail]"), "{written}");
        }
    }

    #[test]
    fn priorities() {
        let check = |level, expected| assert_eq!(priority(level), expected);
        check(Some(Level::ERROR), "<3>");
        check(Some(Level::WARN), "<4>");
        check(Some(Level::INFO), "<6>");
        check(Some(Level::TRACE), "<7>");
        check(None, "<6>");
    }
}
