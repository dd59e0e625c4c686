//! How far a download is: a bar on a terminal, else a line at each tenth. On standard error only.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::bytes;

/// How often the bar moves while nothing comes.
const TICK: Duration = Duration::from_millis(500);

/// The bytes of one pull, all its files together.
pub struct Progress {
    total: u64,
    done: AtomicU64,
    /// The last tenth that was told.
    told: AtomicU64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of `total` bytes none are there yet.
    pub fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("{bar:30} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { total, done: AtomicU64::new(0), told: AtomicU64::new(0), bar }
    }

    /// What lay on the disk before; it does not count as speed, and no line tells of it.
    pub fn found(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.told.store(self.tenth(done), Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.reset_eta();
        }
    }

    /// So many bytes have come.
    pub fn add(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None => {
                let tenth = self.tenth(done);
                if tenth > self.told.fetch_max(tenth, Ordering::Relaxed) {
                    tell!("{:>3} % of {}", tenth * 10, bytes(self.total));
                }
            }
        }
    }

    /// So many bytes have to come again.
    pub fn take_back(&self, fewer: u64) {
        let done = self.done.fetch_sub(fewer, Ordering::Relaxed).saturating_sub(fewer);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// A line that the bar does not cut through.
    pub fn note(&self, text: &str) {
        let text = channels::visible(text);
        match &self.bar {
            Some(bar) => bar.suspend(|| tell!("{text}")),
            None => tell!("{text}"),
        }
    }

    fn tenth(&self, done: u64) -> u64 {
        // In u128: ten times a file's size may not fit.
        u64::try_from(u128::from(done) * 10 / u128::from(self.total.max(1))).unwrap_or(10)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
