//! `[logs]`: what the always-on process writes down about itself, and where.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    pub format: LogFormat,
    /// A level, or levels by part: `info,channels=debug`.
    pub level: String,
    /// By default `logs/paguro.log`; not used under systemd, whose journal has the lines then.
    pub file: Option<PathBuf>,
    /// Most megabytes of one file.
    pub size_mb: u64,
    /// Files that are kept, with the one that is written.
    pub files: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    /// One object a line.
    Json,
}

impl Default for Logs {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned(), file: None, size_mb: 10, files: 5 }
    }
}

impl Logs {
    /// Values that the types alone let through.
    pub fn check(&self) -> Result<(), String> {
        for (key, value, most) in [("size_mb", self.size_mb, 1 << 20), ("files", self.files.into(), 100)] {
            if !(1..=most).contains(&value) {
                return Err(format!("`logs.{key}` is {value}; give a number from 1 to {most}"));
            }
        }
        self.filter().map(drop)
    }

    /// What is let through.
    pub fn filter(&self) -> Result<EnvFilter, String> {
        let wrong =
            || format!("`logs.level` is {:?}; give error, warn, info, debug or trace, also by part: info,channels=debug", self.level);
        let parts: Vec<&str> = self.level.split(',').map(str::trim).collect();
        // A bare word is a part's name to the parser; here it is a misspelt level.
        let known =
            |part: &&str| !part.is_empty() && (part.contains(['=', '[']) || part.parse::<tracing::level_filters::LevelFilter>().is_ok());
        if !parts.iter().all(known) {
            return Err(wrong());
        }
        EnvFilter::try_new(parts.join(",")).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        let check = |level: &str, good: bool| {
            let logs = Logs { level: level.to_owned(), ..Logs::default() };
            assert_eq!(logs.check().is_ok(), good, "{level}");
        };
        for good in ["info", "WARN", "off", "info,channels=debug", "error, paguro=trace"] {
            check(good, true);
        }
        for bad in ["", "loud", "info,chanels", "channels=loud", "channels=[", "info,,"] {
            check(bad, false);
        }
        assert!(Logs { files: 0, ..Logs::default() }.check().is_err());
        assert!(Logs { size_mb: 0, ..Logs::default() }.check().is_err());
    }
}
