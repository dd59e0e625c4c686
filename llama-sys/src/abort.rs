//! Stopping a running `llama_decode` from another thread.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_sys_2::llama_context_params;

/// `params` for a context whose `decode` ends early, with an error, once `flag` is true. On the CPU the flag is read
/// before each operation of the graph; GPU backends do not read it. After an aborted decode, remove the batch's
/// positions from the KV cache.
///
/// One count of the `Arc` is never given back: a context holds the pointer for its whole life and has no hook for its end.
/// Use the same flag for each context, then nothing grows.
#[must_use]
pub fn with_abort_flag(mut params: LlamaContextParams, flag: Arc<AtomicBool>) -> LlamaContextParams {
    const {
        assert!(size_of::<LlamaContextParams>() == size_of::<llama_context_params>());
    };
    // SAFETY: in the exact version that Cargo.toml pins, `LlamaContextParams` has one field, a `llama_context_params`. The
    // two are of the same size, so that field fills it. `&mut` keeps all others away.
    let raw = unsafe { &mut *(&raw mut params).cast::<llama_context_params>() };
    raw.abort_callback = Some(is_set);
    raw.abort_callback_data = Arc::into_raw(flag).cast_mut().cast();
    params
}

/// llama.cpp asks this before each operation.
extern "C" fn is_set(flag: *mut c_void) -> bool {
    // SAFETY: `flag` is the `AtomicBool` whose `Arc` count `with_abort_flag` gave away for good, so it is alive.
    unsafe { &*flag.cast::<AtomicBool>() }.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn the_flag_is_what_llama_asks() {
        let flag = Arc::new(AtomicBool::new(false));
        let params = LlamaContextParams::default().with_n_ctx(NonZeroU32::new(77)).with_n_batch(55);
        let mut params = with_abort_flag(params, Arc::clone(&flag));
        assert_eq!((params.n_ctx(), params.n_batch()), (NonZeroU32::new(77), 55));

        // SAFETY: as in `with_abort_flag`.
        let raw = unsafe { &*(&raw mut params).cast::<llama_context_params>() };
        assert_eq!((raw.n_ctx, raw.n_batch), (77, 55));
        let asked = |raw: &llama_context_params| {
            // SAFETY: the function is `is_set`, and its data the flag.
            unsafe { raw.abort_callback.unwrap()(raw.abort_callback_data) }
        };
        assert!(!asked(raw));
        flag.store(true, Ordering::Relaxed);
        assert!(asked(raw));
    }
}
