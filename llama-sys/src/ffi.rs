//! The C interface of the shim, and the few rules for calling it.

use std::ptr::NonNull;

use llama_cpp_2::model::LlamaModel;
use serde::de::DeserializeOwned;

use crate::{ErrorKind, ShimError};

#[allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    dead_code,
    clippy::all,
    reason = "bindgen's output; shim/paguro.h has the words"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/shim.rs"));
}

pub(crate) use bindings::*;

/// `text` as the shim takes it: borrowed, so it must outlive the call.
pub(crate) fn borrow(text: &str) -> paguro_str {
    paguro_str { data: text.as_ptr().cast(), size: text.len() }
}

/// Runs one export. It gets the place for its text, which is the result, or the reason.
pub(crate) fn call(export: impl FnOnce(*mut paguro_text) -> paguro_status::Type) -> Result<String, ShimError> {
    let mut text = paguro_text { data: std::ptr::null_mut(), size: 0 };
    let status = export(&raw mut text);
    let message = take(text);
    let kind = match status {
        paguro_status::PAGURO_OK => return Ok(message),
        paguro_status::PAGURO_INPUT => ErrorKind::Input,
        paguro_status::PAGURO_REFUSED => ErrorKind::Refused,
        _ => ErrorKind::Unknown,
    };
    Err(ShimError { kind, message })
}

/// As [`call`], for an export whose text is JSON.
pub(crate) fn call_json<T: DeserializeOwned>(export: impl FnOnce(*mut paguro_text) -> paguro_status::Type) -> Result<T, ShimError> {
    let text = call(export)?;
    serde_json::from_str(&text)
        .map_err(|error| ShimError { kind: ErrorKind::Unknown, message: format!("the shim's answer is not what was asked for: {error}") })
}

/// As [`call`], for an export that makes a handle.
pub(crate) fn call_handle<T>(export: impl FnOnce(*mut *mut T, *mut paguro_text) -> paguro_status::Type) -> Result<NonNull<T>, ShimError> {
    let mut handle = std::ptr::null_mut();
    call(|out| export(&raw mut handle, out))?;
    NonNull::new(handle).ok_or_else(|| ShimError { kind: ErrorKind::Unknown, message: "the shim gave no handle".to_owned() })
}

/// Copies the shim's text and frees it.
fn take(text: paguro_text) -> String {
    if text.data.is_null() {
        return String::new();
    }
    // SAFETY: `data` is not null, so by the header it points to `size` bytes that the shim wrote and nobody else frees.
    let bytes = unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), text.size) };
    let copy = String::from_utf8_lossy(bytes).into_owned();
    // SAFETY: the shim allocated it, and `bytes` is not used any more.
    unsafe { paguro_text_free(text) };
    copy
}

/// llama.cpp's model behind `model`. `llama-cpp-2` keeps the pointer private.
pub(crate) fn model_ptr(model: &LlamaModel) -> *const llama_cpp_sys_2::llama_model {
    const {
        assert!(size_of::<LlamaModel>() == size_of::<*const llama_cpp_sys_2::llama_model>());
    };
    // SAFETY: `LlamaModel` is `repr(transparent)` over one pointer to `llama_model`, in the exact version that
    // Cargo.toml pins; its size is checked above.
    unsafe { *std::ptr::from_ref(model).cast::<*const llama_cpp_sys_2::llama_model>() }
}

#[cfg(test)]
#[allow(clippy::undocumented_unsafe_blocks, reason = "each call passes null or borrowed text, which is what it tests")]
mod tests {
    use std::ptr::{null, null_mut};

    use super::*;

    /// Null in every place for a handle or an answer, and bytes that are no UTF-8: an error each time.
    #[test]
    fn garbage_is_an_error() {
        let garbage = b"\xff\xfe{\"\x80";
        let garbage = paguro_str { data: garbage.as_ptr().cast(), size: garbage.len() };
        let empty = paguro_str { data: null(), size: 0 };
        for text in [garbage, empty, borrow("{}"), borrow("null"), borrow("[1")] {
            check(|out| unsafe { paguro_chat_new(null(), text, text, text, null_mut(), out) });
            check(|out| unsafe { paguro_chat_info(null(), out) });
            check(|out| unsafe { paguro_chat_render(null(), text, out) });
            check(|out| unsafe { paguro_reply_new(text, null_mut(), out) });
            check(|out| unsafe { paguro_reply_parse(null(), text, false, out) });
            check(|out| unsafe { paguro_grammar_new(null(), text, null_mut(), out) });
            let mut reply = null_mut();
            check(|out| unsafe { paguro_reply_new(text, &raw mut reply, out) });
        }
        for text in [garbage, empty, borrow("[1")] {
            check(|out| unsafe { paguro_schema_to_grammar(text, out) });
        }
        let mut allowed = false;
        check(|out| unsafe { paguro_grammar_clone(null(), null_mut(), out) });
        check(|out| unsafe { paguro_grammar_allows(null(), 0, &raw mut allowed, out) });
        check(|out| unsafe { paguro_grammar_mask(null(), null_mut(), 1, out) });
        check(|out| unsafe { paguro_grammar_accept(null_mut(), 0, out) });
        check(|out| unsafe { paguro_context_memory(null_mut(), null(), out) });
        check(|out| unsafe { paguro_lent_devices(None, out) });
        check(|out| unsafe { paguro_worker_serve(empty, 1, None, out) });
        check(|out| unsafe { paguro_worker_devices(garbage, out) });
        check(|out| unsafe { paguro_attention_seconds(null(), null_mut(), out) });

        unsafe {
            assert_eq!(paguro_build_info(null_mut()), paguro_status::PAGURO_INPUT);
            paguro_chat_free(null_mut());
            paguro_reply_free(null_mut());
            paguro_grammar_free(null_mut());
            paguro_text_free(paguro_text { data: null_mut(), size: 0 });
        }
    }

    fn check(export: impl FnOnce(*mut paguro_text) -> paguro_status::Type) {
        let error = call(export).unwrap_err();
        assert!(!error.message.is_empty());
    }
}
