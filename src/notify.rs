//! Tells systemd how the service is: ready, what it does, that it ends, that it still turns. Without systemd nothing is told.
//!
//! The variables that systemd sets stay in the environment, because taking them out is unsafe in a process with threads. No child gets
//! them: every command is started with an environment of its own.

use std::time::Duration;

/// The way to the service's manager, if there is one.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nobody is told"))]
pub struct Notify {
    is_told: bool,
    interval: Option<Duration>,
}

impl Notify {
    /// As the environment says: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` with `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        let is_told = cfg!(target_os = "linux") && std::env::var_os("NOTIFY_SOCKET").is_some();
        Self { is_told, interval: watchdog().filter(|_| is_told).map(|most| most / 2) }
    }

    /// How often [`Notify::watchdog`] has to be called, half of what is granted; `None`: never.
    pub fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Messages can be answered.
    pub fn ready(&self) {
        self.tell(&["READY=1"]);
    }

    /// What it does, in a few words for people.
    pub fn status(&self, words: &str) {
        // One line: the next one would be a statement of its own.
        self.tell(&[&format!("STATUS={}", words.replace(char::is_control, " "))]);
    }

    /// It ends.
    pub fn stopping(&self) {
        self.tell(&["STOPPING=1"]);
    }

    /// It reads its configuration again; [`Notify::ready`] says that this is over.
    pub fn reloading(&self) {
        #[cfg(target_os = "linux")]
        if let Ok(now) = sd_notify::NotifyState::monotonic_usec_now() {
            self.tell(&["RELOADING=1", &now.to_string()]);
        }
    }

    /// It still turns.
    pub fn watchdog(&self) {
        self.tell(&["WATCHDOG=1"]);
    }

    /// Starting takes so much longer, from now.
    pub fn starting_takes(&self, more: Duration) {
        self.tell(&[&format!("EXTEND_TIMEOUT_USEC={}", more.as_micros())]);
    }

    #[cfg(target_os = "linux")]
    fn tell(&self, lines: &[&str]) {
        if self.is_told {
            let states: Vec<sd_notify::NotifyState<'_>> = lines.iter().map(|line| sd_notify::NotifyState::Custom(line)).collect();
            // Best effort: a manager that does not listen will do what it thinks right.
            let _ = sd_notify::notify(&states);
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn tell(&self, _: &[&str]) {}
}

#[cfg(target_os = "linux")]
fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|most| !most.is_zero())
}

#[cfg(not(target_os = "linux"))]
fn watchdog() -> Option<Duration> {
    None
}
