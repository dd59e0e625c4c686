//! Special tokens of a model's vocabulary.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::Rendered;

/// The texts of all control and user-defined tokens: what tokenizing with `parse_special` would turn into control.
#[must_use]
pub fn special_token_texts(model: &LlamaModel) -> Vec<(LlamaToken, String)> {
    let _ = model;
    Vec::new()
}

/// The tokens of `rendered.preserved_tokens` that are one token in this vocabulary: their text belongs to the reply.
#[must_use]
pub fn preserved_tokens(model: &LlamaModel, rendered: &Rendered) -> Vec<LlamaToken> {
    let _ = (model, rendered);
    Vec::new()
}
