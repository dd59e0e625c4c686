//! What can go wrong at the border, converted once, at the call.

/// Which side was at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was passed in cannot be used: not JSON, nested too deep, a sampler that already failed.
    Input,
    /// llama.cpp refused it: a broken template, a template's own `raise_exception`, a schema or grammar that does not
    /// compile, a reply that does not match its format, a token that the grammar forbids.
    Refused,
    /// Something was thrown that says nothing of itself, or memory ran out.
    Unknown,
}

/// An error from the shim: which side was at fault, and llama.cpp's own text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ShimError {
    /// Which side was at fault.
    pub kind: ErrorKind,
    /// One sentence, llama.cpp's own where it gave one.
    pub message: String,
}

impl ShimError {
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Input, message: message.into() }
    }
}
