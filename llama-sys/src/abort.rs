//! Stopping a running `llama_decode` from another thread.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_sys_2::llama_context_params;

/// Ends a running `llama_decode`: at once when it is raised, or when its deadline has passed.
#[derive(Debug)]
pub struct Abort {
    raised: AtomicBool,
    /// Milliseconds after `start`; 0: none.
    deadline: AtomicU64,
    start: Instant,
}

impl Default for Abort {
    fn default() -> Self {
        Self { raised: AtomicBool::new(false), deadline: AtomicU64::new(0), start: Instant::now() }
    }
}

impl Abort {
    /// Ends the decode that runs, or the next one.
    pub fn raise(&self) {
        self.raised.store(true, Ordering::Relaxed);
    }

    /// Takes back what was raised.
    pub fn lower(&self) {
        self.raised.store(false, Ordering::Relaxed);
    }

    /// When the next decodes must end.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        let after = |deadline: Instant| u64::try_from(deadline.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
        self.deadline.store(deadline.map_or(0, |deadline| after(deadline).max(1)), Ordering::Relaxed);
    }

    /// Whether a decode must end now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let deadline = self.deadline.load(Ordering::Relaxed);
        self.raised.load(Ordering::Relaxed) || (deadline > 0 && self.start.elapsed() >= Duration::from_millis(deadline))
    }
}

/// `params` for a context whose `decode` ends early, with an error, once `abort` is due. On the CPU that is asked
/// before each operation of the graph; GPU backends do not ask. After an aborted decode, remove the batch's
/// positions from the KV cache.
///
/// One count of the `Arc` is never given back: a context holds the pointer for its whole life and has no hook for its end.
/// Use the same one for each context, then nothing grows.
#[must_use]
pub fn with_abort(mut params: LlamaContextParams, abort: Arc<Abort>) -> LlamaContextParams {
    const {
        assert!(size_of::<LlamaContextParams>() == size_of::<llama_context_params>());
    };
    // SAFETY: in the exact version that Cargo.toml pins, `LlamaContextParams` has one field, a `llama_context_params`. The
    // two are of the same size, so that field fills it. `&mut` keeps all others away.
    let raw = unsafe { &mut *(&raw mut params).cast::<llama_context_params>() };
    raw.abort_callback = Some(is_due);
    raw.abort_callback_data = Arc::into_raw(abort).cast_mut().cast();
    params
}

/// llama.cpp asks this before each operation.
extern "C" fn is_due(abort: *mut c_void) -> bool {
    // SAFETY: `abort` is the `Abort` whose `Arc` count `with_abort` gave away for good, so it is alive.
    unsafe { &*abort.cast::<Abort>() }.is_due()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn an_abort_is_what_llama_asks() {
        let abort = Arc::new(Abort::default());
        let params = LlamaContextParams::default().with_n_ctx(NonZeroU32::new(77)).with_n_batch(55);
        let mut params = with_abort(params, Arc::clone(&abort));
        assert_eq!((params.n_ctx(), params.n_batch()), (NonZeroU32::new(77), 55));

        // SAFETY: as in `with_abort`.
        let raw = unsafe { &*(&raw mut params).cast::<llama_context_params>() };
        assert_eq!((raw.n_ctx, raw.n_batch), (77, 55));
        let asked = |raw: &llama_context_params| {
            // SAFETY: the function is `is_due`, and its data the `Abort`.
            unsafe { raw.abort_callback.unwrap()(raw.abort_callback_data) }
        };
        assert!(!asked(raw));
        abort.raise();
        assert!(asked(raw));
        abort.lower();
        abort.set_deadline(Some(Instant::now() + Duration::from_secs(3600)));
        assert!(!asked(raw));
        abort.set_deadline(Some(Instant::now()));
        std::thread::sleep(Duration::from_millis(2));
        assert!(asked(raw));
        abort.set_deadline(None);
        assert!(!asked(raw));
    }
}
