//! The values of a header on which llama.cpp ends the process (an assertion, a division by zero) instead of returning an error. Each
//! check names the place in llama.cpp. What llama.cpp refuses by itself is left to it: its sentence is the better one.

use std::collections::BTreeMap;

use super::reader::{Value, damaged};

/// `LLAMA_MAX_LAYERS`.
const MAX_LAYERS: u64 = 512;
/// `LLAMA_MAX_EXPERTS`.
const MAX_EXPERTS: u64 = 1024;

/// Architectures whose graph asserts `n_embd_head == n_rot` (llama.cpp's `src/models/*.cpp`, by
/// `grep -l '^ *GGML_ASSERT(n_embd_head == n_rot)'`).
const WHOLE_HEADS: [&str; 61] = [
    "apertus",
    "arcee",
    "arctic",
    "baichuan",
    "chameleon",
    "codeshell",
    "cogvlm",
    "cohere2moe",
    "dbrx",
    "deci",
    "deepseek",
    "dots1",
    "dream",
    "ernie4_5",
    "ernie4_5-moe",
    "exaone",
    "exaone-moe",
    "exaone4",
    "falcon",
    "granite",
    "granite_swa",
    "granitemoe",
    "graniteswitch",
    "grok",
    "grovemoe",
    "hunyuan-dense",
    "hunyuan-moe",
    "hunyuan_vl",
    "hy_v3",
    "internlm2",
    "jais2",
    "llada",
    "llada-moe",
    "llama",
    "llama-embed",
    "llama4",
    "maincoder",
    "mellum",
    "mistral3",
    "olmo",
    "olmo2",
    "olmoe",
    "orion",
    "paddleocr",
    "pangu-embedded",
    "plamo",
    "pockettts",
    "qwen2",
    "qwen2moe",
    "qwen2vl",
    "qwen3",
    "qwen3moe",
    "qwen3vl",
    "qwen3vlmoe",
    "rnd1",
    "seed_oss",
    "smallthinker",
    "smollm3",
    "starcoder2",
    "talkie",
    "xverse",
];
/// Others that turn a part of each head, and so at least something.
const PARTS_OF_HEADS: [&str; 20] = [
    "chatglm",
    "command-r",
    "cohere2",
    "deepseek2",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3n",
    "gemma4",
    "glm4",
    "glm4moe",
    "gpt-oss",
    "lfm2",
    "minimax-01",
    "minimax-m2",
    "nemotron",
    "phi2",
    "phi3",
    "qwen",
    "stablelm",
];

/// The values of one architecture, by the key behind its name.
struct Own<'a> {
    values: &'a BTreeMap<String, Value>,
    architecture: &'a str,
}

impl Own<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(&format!("{}.{key}", self.architecture))
    }

    /// The number, or the largest of the list.
    fn number(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Value::Number(number, _) => Some(*number),
            Value::Numbers(numbers) => numbers.iter().max().copied(),
            Value::Float(_) | Value::Text(_) | Value::Other(_) => None,
        }
    }

    fn wrong(&self, key: &str, says: &str) -> String {
        let value = self.number(key).map_or_else(|| "of no use".to_owned(), |number| number.to_string());
        damaged(&format!("`{}.{key}` is {value}; {says}", self.architecture.escape_debug()))
    }

    /// That `key`, if it is there, is between `least` and `most`.
    fn between(&self, key: &str, least: u64, most: u64) -> Result<(), String> {
        match self.number(key) {
            Some(number) if !(least..=most).contains(&number) => Err(self.wrong(key, &format!("it can be {least} to {most}"))),
            _ => Ok(()),
        }
    }
}

/// Checks what only a real model can have in `values`.
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub(super) fn check(values: &BTreeMap<String, Value>) -> Result<(), String> {
    let Some(Value::Text(architecture)) = values.get("general.architecture") else {
        return Ok(());
    };
    let own = Own { values, architecture };
    // `llama_model_base::load_hparams`
    own.between("block_count", 1, MAX_LAYERS)?;
    // Read as a signed number in several places.
    own.between("context_length", 0, u64::from(i32::MAX.unsigned_abs()))?;
    own.between("nextn_predict_layers", 0, own.number("block_count").unwrap_or(MAX_LAYERS))?;
    experts(&own)?;
    heads(&own)?;
    vocabulary(values)?;
    if let Some(Value::Text(scaling)) = own.get("rope.scaling.type")
        && !["none", "linear", "yarn", "longrope"].contains(&scaling.as_str())
    {
        return Err(damaged(&format!("`{architecture}.rope.scaling.type` is `{}`", scaling.escape_debug())));
    }
    Ok(())
}

/// `llama_vocab::impl::token_to_byte` has no bytes in a vocabulary of word pieces.
fn vocabulary(values: &BTreeMap<String, Value>) -> Result<(), String> {
    match (values.get("tokenizer.ggml.model"), values.get("tokenizer.ggml.token_type")) {
        (Some(Value::Text(model)), Some(Value::Number(1.., _))) if model == "bert" => {
            Err(damaged("its vocabulary is one of word pieces and has bytes"))
        }
        _ => Ok(()),
    }
}

/// Heads as the graph needs them: `ggml_mul_mat` asserts that query heads share KV heads evenly, and `ggml_rms_norm` that its epsilon is
/// not negative. Neither is asserted at loading; the first reply would end the process.
fn heads(own: &Own<'_>) -> Result<(), String> {
    let list = |key: &str| match own.get(key) {
        Some(Value::Number(number, _)) => vec![*number],
        Some(Value::Numbers(numbers)) => numbers.clone(),
        _ => Vec::new(),
    };
    let (heads, kv_heads) = (list("attention.head_count"), list("attention.head_count_kv"));
    // One number is that of every layer; a layer without heads has none to share.
    for layer in 0..heads.len().max(kv_heads.len()) {
        let of = |list: &[u64]| if list.len() == 1 { list.first().copied() } else { list.get(layer).copied() };
        if let (Some(heads), Some(kv_heads)) = (of(&heads), of(&kv_heads))
            && kv_heads > 0
            && !heads.is_multiple_of(kv_heads)
        {
            let says = format!("{heads} heads cannot share {kv_heads}");
            return Err(damaged(&format!("`{}.attention.head_count_kv`: {says}", own.architecture.escape_debug())));
        }
    }
    rope(own)?;
    for key in ["attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"] {
        if let Some(Value::Float(epsilon)) = own.get(key)
            && !(0.0..1.0).contains(epsilon)
        {
            let says = format!("`{}.{key}` is {epsilon}; it is a small number above 0", own.architecture.escape_debug());
            return Err(damaged(&says));
        }
    }
    Ok(())
}

/// What is turned by position in each head: `ggml_compute_forward_rope` asserts pairs inside a head and does not end for none of them, and
/// the graphs of many architectures assert whole heads.
fn rope(own: &Own<'_>) -> Result<(), String> {
    let width = || match (own.get("embedding_length"), own.get("attention.head_count")) {
        (Some(Value::Number(width, _)), Some(Value::Number(heads, _))) => width.checked_div(*heads),
        _ => None,
    };
    let (key, value) = (own.number("attention.key_length").or_else(width), own.number("attention.value_length").or_else(width));
    let turns_whole = WHOLE_HEADS.contains(&own.architecture);
    if turns_whole && key.is_some() && value.is_some() && key != value {
        return Err(own.wrong("attention.value_length", "in this architecture it is that of the keys"));
    }
    match own.number("rope.dimension_count") {
        Some(rope) if !rope.is_multiple_of(2) || key.is_some_and(|key| rope > key) => {
            Err(own.wrong("rope.dimension_count", "it is even and no more than a head has"))
        }
        Some(rope) if turns_whole && key.is_some_and(|key| rope != key) => {
            Err(own.wrong("rope.dimension_count", "in this architecture it is the whole head"))
        }
        Some(0) if turns_whole || PARTS_OF_HEADS.contains(&own.architecture) => {
            Err(own.wrong("rope.dimension_count", "this architecture needs it"))
        }
        _ => Ok(()),
    }
}

/// Experts as `llama_model_base::load_hparams` asserts them.
fn experts(own: &Own<'_>) -> Result<(), String> {
    let experts = own.number("expert_count").unwrap_or(0);
    let used = own.number("expert_used_count").unwrap_or(0);
    let (groups, groups_used) = (own.number("expert_group_count").unwrap_or(0), own.number("expert_group_used_count").unwrap_or(0));
    own.between("expert_count", 0, MAX_EXPERTS)?;
    if own.architecture.starts_with("hunyuan") && experts <= 1 {
        // llama.cpp itself sets aside what the dense models of this family say.
        return Ok(());
    }
    own.between("expert_used_count", u64::from(experts > 0), experts)?;
    if experts > 0 && used == 0 {
        return Err(own.wrong("expert_used_count", "a model with experts uses some"));
    }
    if groups > 0 && (groups >= experts || groups > 1 && (!experts.is_multiple_of(groups) || groups_used == 0 || groups_used >= groups)) {
        return Err(own.wrong("expert_group_count", "the experts cannot be parted so"));
    }
    Ok(())
}
