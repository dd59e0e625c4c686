//! Where llama.cpp's log lines go. Before the first call here they go to stderr, llama.cpp's default.
//!
//! llama.cpp has two logs: the core's (`llama_log_set`, ggml's included) and `common`'s, which has a thread of its own and no
//! callback. The shim switches the second off before its first line, so that thread never starts.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, RwLock};

use llama_cpp_sys_2::ggml_log_level;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are the usual ones")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// Lines that one [`log_lines_of`] keeps.
const KEPT_LINES: usize = 64;

type Sink = dyn Fn(LogLevel, &str) + Send + Sync;

struct Capture {
    id: u64,
    level: LogLevel,
    lines: VecDeque<String>,
}

static SINK: RwLock<Option<Arc<Sink>>> = RwLock::new(None);
static CAPTURES: Mutex<Vec<Capture>> = Mutex::new(Vec::new());

thread_local! {
    /// The line that this thread has begun.
    static BEGUN: RefCell<(LogLevel, String)> = const { RefCell::new((LogLevel::Info, String::new())) };
}

/// Sends each whole line, without its line end, to `sink`, from whichever thread it comes. Replaces the sink before.
/// A panic in `sink` goes no further.
pub fn send_logs_to(sink: impl Fn(LogLevel, &str) + Send + Sync + 'static) {
    set_sink(Some(Arc::new(sink)));
}

/// Drops all log lines.
pub fn silence_logs() {
    set_sink(None);
}

/// Runs `work` and gives back the lines of at least `level` that any thread logged meanwhile, at most 64, the last ones.
/// llama.cpp tells in its log alone why a model does not load. The sink gets the lines too.
pub fn log_lines_of<T>(level: LogLevel, work: impl FnOnce() -> T) -> (T, Vec<String>) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    install();
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let end = End(id);
    captures(|all| {
        all.push(Capture { id, level, lines: VecDeque::new() });
    });
    let result = work();
    let lines = end.take();
    (result, lines)
}

/// Ends a capture, also when `work` panics.
struct End(u64);

impl End {
    fn take(&self) -> Vec<String> {
        captures(|all| {
            let at = all.iter().position(|capture| capture.id == self.0);
            at.map(|at| all.swap_remove(at).lines.into()).unwrap_or_default()
        })
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.take();
    }
}

fn captures<T>(work: impl FnOnce(&mut Vec<Capture>) -> T) -> T {
    work(&mut CAPTURES.lock().unwrap_or_else(PoisonError::into_inner))
}

fn set_sink(sink: Option<Arc<Sink>>) {
    install();
    *SINK.write().unwrap_or_else(PoisonError::into_inner) = sink;
}

fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: `receive` is a function for the whole life of the process and uses no data pointer. This sets ggml's log too.
        unsafe { llama_cpp_sys_2::llama_log_set(Some(receive), std::ptr::null_mut()) }
    });
}

/// llama.cpp's log callback.
extern "C" fn receive(level: ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a C string that lives as long as this call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // Nothing may unwind into C++.
    let _ = catch_unwind(AssertUnwindSafe(|| add(level, &text)));
}

/// Puts pieces together to lines: llama.cpp ends a line with a line feed and goes on with one at the level CONT.
fn add(level: ggml_log_level, text: &str) {
    let line = BEGUN.with_borrow_mut(|(begun, line)| {
        *begun = match level {
            llama_cpp_sys_2::GGML_LOG_LEVEL_CONT => *begun,
            llama_cpp_sys_2::GGML_LOG_LEVEL_DEBUG => LogLevel::Debug,
            llama_cpp_sys_2::GGML_LOG_LEVEL_WARN => LogLevel::Warn,
            llama_cpp_sys_2::GGML_LOG_LEVEL_ERROR => LogLevel::Error,
            _ => LogLevel::Info,
        };
        line.push_str(text);
        line.ends_with('\n').then(|| (*begun, std::mem::take(line)))
    });
    let Some((level, line)) = line else { return };
    let line = line.trim_end();
    captures(|all| {
        for capture in all.iter_mut().filter(|capture| level >= capture.level) {
            if capture.lines.len() == KEPT_LINES {
                capture.lines.pop_front();
            }
            capture.lines.push_back(line.to_owned());
        }
    });
    let sink = SINK.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(sink) = sink {
        sink(level, line);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use llama_cpp_sys_2::{GGML_LOG_LEVEL_CONT, GGML_LOG_LEVEL_ERROR, GGML_LOG_LEVEL_INFO};

    use super::{LogLevel, add, log_lines_of, send_logs_to, silence_logs};

    #[test]
    fn lines_are_put_together_captured_and_sent() {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&sent);
        send_logs_to(move |level, line| {
            sink.lock().unwrap().push((level, line.to_owned()));
        });
        let ((), kept) = log_lines_of(LogLevel::Warn, || {
            add(GGML_LOG_LEVEL_INFO, "loading ");
            add(GGML_LOG_LEVEL_CONT, "...");
            add(GGML_LOG_LEVEL_CONT, " done\n");
            add(GGML_LOG_LEVEL_ERROR, "no such file\n");
        });
        silence_logs();
        add(GGML_LOG_LEVEL_ERROR, "unheard\n");
        assert_eq!(kept, ["no such file"]);
        assert_eq!(*sent.lock().unwrap(), [(LogLevel::Info, "loading ... done".to_owned()), (LogLevel::Error, "no such file".to_owned()),]);
    }
}
