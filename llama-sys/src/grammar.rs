//! Grammars: from a JSON Schema, and in the sampler.

use std::marker::PhantomData;
use std::ptr::NonNull;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_cpp_sys_2::llama_token_data;
use serde_json::Value;

use crate::ffi::{self, borrow, call, call_handle};
use crate::{Rendered, ShimError};

/// The GBNF grammar of a JSON Schema, by llama.cpp's own conversion.
///
/// # Errors
/// The schema cannot be converted (an unresolved `$ref`, an unknown type, nested too deep).
pub fn json_schema_to_grammar(schema: &Value) -> Result<String, ShimError> {
    let schema = schema.to_string();
    call(|out| {
        // SAFETY: the text outlives the call.
        unsafe { ffi::paguro_schema_to_grammar(borrow(&schema), out) }
    })
}

/// The grammar of a [`Rendered`] over one model's vocabulary. It mirrors llama.cpp's `common_sampler`: triggers for a
/// lazy grammar, silence inside reasoning, the generation prompt taken in beforehand when the grammar is not lazy.
///
/// It stands beside the chain of samplers, not in it. For each token: sample with the chain; if `allows` says yes, that
/// is the token (the cheap way, one candidate); else `mask` all candidates, sample again. Then `accept` the token.
#[derive(Debug)]
pub struct GrammarSampler<'model> {
    raw: NonNull<ffi::paguro_grammar>,
    /// The grammar holds a pointer to the model's vocabulary.
    model: PhantomData<&'model LlamaModel>,
}

// SAFETY: the handle owns all it points to but the vocabulary, which nobody changes and which `'model` keeps alive.
unsafe impl Send for GrammarSampler<'_> {}

impl<'model> GrammarSampler<'model> {
    /// `None` if `rendered` has no grammar.
    ///
    /// # Errors
    /// The grammar does not parse, a trigger is no regular expression, a lazy grammar has no trigger, or the generation
    /// prompt does not match the grammar.
    pub fn new(model: &'model LlamaModel, rendered: &Rendered) -> Result<Option<Self>, ShimError> {
        if rendered.grammar.is_empty() {
            return Ok(None);
        }
        let input = serde_json::to_string(rendered).map_err(|error| ShimError::input(format!("not JSON: {error}")))?;
        let raw = call_handle(|grammar, out| {
            // SAFETY: the model is alive for `'model`, to which the handle is bound; the text outlives the call.
            unsafe { ffi::paguro_grammar_new(ffi::model_ptr(model), borrow(&input), grammar, out) }
        })?;
        Ok(Some(Self { raw, model: PhantomData }))
    }

    /// Whether the grammar permits `token` next. While a lazy grammar waits, it permits all but a token that completes the
    /// trigger and goes on with what the grammar forbids.
    ///
    /// # Errors
    /// A token outside the vocabulary; the sampler failed before.
    pub fn allows(&self, token: LlamaToken) -> Result<bool, ShimError> {
        let mut allowed = false;
        call(|out| {
            // SAFETY: the handle is alive as long as `self`; both places outlive the call.
            unsafe { ffi::paguro_grammar_allows(self.raw.as_ptr(), token.0, &raw mut allowed, out) }
        })?;
        Ok(allowed)
    }

    /// Sets the logit of each forbidden candidate to minus infinity.
    ///
    /// # Errors
    /// As [`GrammarSampler::allows`].
    pub fn mask(&self, candidates: &mut LlamaTokenDataArray) -> Result<(), ShimError> {
        const {
            assert!(size_of::<LlamaTokenData>() == size_of::<llama_token_data>());
        };
        candidates.sorted = false;
        candidates.selected = None;
        let data = candidates.data.as_mut_ptr().cast();
        let count = candidates.data.len();
        call(|out| {
            // SAFETY: `LlamaTokenData` is `repr(transparent)` over `llama_token_data` in the pinned version (its size is
            // checked above); the shim writes to the first `count` logits only.
            unsafe { ffi::paguro_grammar_mask(self.raw.as_ptr(), data, count, out) }
        })?;
        Ok(())
    }

    /// Moves on by one generated token. A forbidden token is an error and changes nothing.
    ///
    /// # Errors
    /// The grammar forbids the token; a token outside the vocabulary; the sampler failed before.
    pub fn accept(&mut self, token: LlamaToken) -> Result<(), ShimError> {
        call(|out| {
            // SAFETY: the handle is alive as long as `self`, and `&mut` keeps all others away.
            unsafe { ffi::paguro_grammar_accept(self.raw.as_ptr(), token.0, out) }
        })?;
        Ok(())
    }

    /// A copy at the same place, to go back to.
    ///
    /// # Errors
    /// Memory ran out.
    pub fn try_clone(&self) -> Result<Self, ShimError> {
        let raw = call_handle(|copy, out| {
            // SAFETY: the handle is alive as long as `self`.
            unsafe { ffi::paguro_grammar_clone(self.raw.as_ptr(), copy, out) }
        })?;
        Ok(Self { raw, model: PhantomData })
    }
}

impl Drop for GrammarSampler<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle came from paguro_grammar_new or _clone, and nobody else frees it.
        unsafe { ffi::paguro_grammar_free(self.raw.as_ptr()) }
    }
}
