//! Special tokens of a model's vocabulary.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;

use crate::Rendered;

/// The texts of all control and user-defined tokens: what tokenizing with `parse_special` would turn into control.
#[must_use]
pub fn special_token_texts(model: &LlamaModel) -> Vec<(LlamaToken, String)> {
    let vocab = model.vocab();
    (0..vocab.n_tokens())
        .map(LlamaToken)
        .filter(|&token| {
            let attributes = vocab.attr(token);
            attributes.contains(LlamaTokenAttr::Control) || attributes.contains(LlamaTokenAttr::UserDefined)
        })
        .filter_map(|token| {
            let text = vocab.text(token)?.to_string_lossy().into_owned();
            Some((token, text))
        })
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

/// The tokens of `rendered.preserved_tokens` that are one token in this vocabulary: their text belongs to the reply.
#[must_use]
pub fn preserved_tokens(model: &LlamaModel, rendered: &Rendered) -> Vec<LlamaToken> {
    let vocab = model.vocab();
    rendered
        .preserved_tokens
        .iter()
        .filter_map(|text| match vocab.tokenize(text.as_bytes(), false, true)[..] {
            [token] => Some(token),
            _ => None,
        })
        .collect()
}

/// Tokens that the model's sliding window sees back; 0: it has none.
#[must_use]
pub fn sliding_window(model: &LlamaModel) -> u32 {
    // SAFETY: the model is alive, and the call reads one number of it.
    let window = unsafe { llama_cpp_sys_2::llama_model_n_swa(crate::ffi::model_ptr(model)) };
    u32::try_from(window).unwrap_or(0)
}
