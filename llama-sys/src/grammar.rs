//! Grammars: from a JSON Schema, and in the sampler.

use std::marker::PhantomData;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use serde_json::Value;

use crate::{Rendered, ShimError};

/// The GBNF grammar of a JSON Schema, by llama.cpp's own conversion.
///
/// # Errors
/// The schema cannot be converted (an unresolved `$ref`, an unknown type, nested too deep).
pub fn json_schema_to_grammar(schema: &Value) -> Result<String, ShimError> {
    let _ = schema;
    Err(ShimError::input("not built yet"))
}

/// The grammar of a [`Rendered`] over one model's vocabulary. It mirrors llama.cpp's `common_sampler`: triggers for a
/// lazy grammar, silence inside reasoning, the generation prompt taken in beforehand when the grammar is not lazy.
///
/// It stands beside the chain of samplers, not in it. For each token: sample with the chain; if `allows` says yes, that
/// is the token (the cheap way, one candidate); else `mask` all candidates, sample again. Then `accept` the token.
/// After an error the state is undefined and every further call is an error, never an abort.
#[derive(Debug)]
pub struct GrammarSampler<'model> {
    model: PhantomData<&'model LlamaModel>,
}

impl<'model> GrammarSampler<'model> {
    /// `None` if `rendered` has no grammar.
    ///
    /// # Errors
    /// The grammar does not parse, a trigger is no regular expression, a lazy grammar has no trigger, or the generation
    /// prompt does not match the grammar.
    pub fn new(model: &'model LlamaModel, rendered: &Rendered) -> Result<Option<Self>, ShimError> {
        let _ = (model, rendered);
        Err(ShimError::input("not built yet"))
    }

    /// Whether the grammar permits `token` next. Always, while a lazy grammar waits for its trigger.
    ///
    /// # Errors
    /// A token outside the vocabulary; the sampler failed before.
    pub fn allows(&mut self, token: LlamaToken) -> Result<bool, ShimError> {
        let _ = token;
        Err(ShimError::input("not built yet"))
    }

    /// Sets the logit of each forbidden candidate to minus infinity.
    ///
    /// # Errors
    /// As [`GrammarSampler::allows`].
    pub fn mask(&mut self, candidates: &mut LlamaTokenDataArray) -> Result<(), ShimError> {
        let _ = candidates;
        Err(ShimError::input("not built yet"))
    }

    /// Moves on by one generated token.
    ///
    /// # Errors
    /// The grammar forbids the token; the sampler failed before.
    pub fn accept(&mut self, token: LlamaToken) -> Result<(), ShimError> {
        let _ = token;
        Err(ShimError::input("not built yet"))
    }

    /// A copy at the same place, to go back to.
    ///
    /// # Errors
    /// The sampler failed before.
    pub fn try_clone(&self) -> Result<Self, ShimError> {
        Err(ShimError::input("not built yet"))
    }
}
