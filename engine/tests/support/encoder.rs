//! An encoder (`bert`) with random weights and a WordPiece vocabulary of letters and a few words.

use super::gguf::{Data, Gguf, Value};

/// The shape of an encoder.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub layers: u32,
    pub width: u32,
    pub heads: u32,
    pub feed_forward: u32,
    pub vocabulary: u32,
    pub context: u32,
}

/// Small enough for a test.
pub const TINY: Shape = Shape { layers: 2, width: 64, heads: 2, feed_forward: 128, vocabulary: 320, context: 128 };

/// The shape of all-MiniLM-L6-v2, for measurements.
pub const MINI_LM: Shape = Shape { layers: 6, width: 384, heads: 12, feed_forward: 1536, vocabulary: 30_522, context: 512 };

const MARKS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const WORDS: [&str; 8] = ["crab", "shell", "house", "sea", "sand", "the", "carries", "hermit"];

/// A model of `shape` whose vector of a text is the mean of its tokens'.
pub fn bert(shape: &Shape, seed: u64) -> Gguf {
    let mut gguf = Gguf { seed, ..Gguf::default() };
    metadata(&mut gguf, shape);
    vocabulary(&mut gguf, shape.vocabulary as usize);
    let (width, wide) = (u64::from(shape.width), u64::from(shape.feed_forward));
    let same = |value: f32, length: u64| Data::F32(vec![value; usize::try_from(length).unwrap()]);
    gguf.tensor("token_embd.weight", &[width, shape.vocabulary.into()], Data::RandomF32(1.0));
    gguf.tensor("token_types.weight", &[width, 2], Data::RandomF32(0.1));
    gguf.tensor("position_embd.weight", &[width, shape.context.into()], Data::RandomF32(0.5));
    let norm = |gguf: &mut Gguf, name: &str| {
        gguf.tensor(&format!("{name}.weight"), &[width], same(1.0, width));
        gguf.tensor(&format!("{name}.bias"), &[width], same(0.0, width));
    };
    norm(&mut gguf, "token_embd_norm");
    for layer in 0..shape.layers {
        for (name, dims) in [
            ("attn_q", [width, width]),
            ("attn_k", [width, width]),
            ("attn_v", [width, width]),
            ("attn_output", [width, width]),
            ("ffn_up", [width, wide]),
            ("ffn_down", [wide, width]),
        ] {
            gguf.tensor(&format!("blk.{layer}.{name}.weight"), &dims, Data::RandomF32(0.2));
            gguf.tensor(&format!("blk.{layer}.{name}.bias"), &[dims[1]], Data::RandomF32(0.1));
        }
        norm(&mut gguf, &format!("blk.{layer}.attn_output_norm"));
        norm(&mut gguf, &format!("blk.{layer}.layer_output_norm"));
    }
    gguf
}

fn metadata(gguf: &mut Gguf, shape: &Shape) {
    gguf.set("general.architecture", Value::Text("bert".into()));
    gguf.set("general.name", Value::Text("encoder".into()));
    for (key, value) in [
        ("context_length", shape.context),
        ("embedding_length", shape.width),
        ("block_count", shape.layers),
        ("feed_forward_length", shape.feed_forward),
        ("attention.head_count", shape.heads),
        // Mean.
        ("pooling_type", 1),
    ] {
        gguf.set(&format!("bert.{key}"), Value::U32(value));
    }
    gguf.set("bert.attention.layer_norm_epsilon", Value::F32(1e-12));
    gguf.set("bert.attention.causal", Value::Bool(false));
}

/// The marks, the letters at the beginning of a word and in it, some words, and fillers up to `size` tokens.
fn vocabulary(gguf: &mut Gguf, size: usize) {
    let mut tokens: Vec<String> = MARKS.map(str::to_owned).into();
    let mut kinds = vec![3, 2, 3, 3, 3];
    let letters = ('a'..='z').chain('0'..='9').chain(".,:!?-".chars());
    tokens.extend(letters.flat_map(|letter| [format!("\u{2581}{letter}"), letter.to_string()]));
    tokens.extend(WORDS.map(|word| format!("\u{2581}{word}")));
    for filler in tokens.len()..size {
        tokens.push(format!("[unused{filler}]"));
    }
    kinds.resize(tokens.len(), 1);
    gguf.set("tokenizer.ggml.model", Value::Text("bert".into()));
    gguf.set("tokenizer.ggml.tokens", Value::Texts(tokens));
    gguf.set("tokenizer.ggml.token_type", Value::I32s(kinds));
    gguf.set("tokenizer.ggml.token_type_count", Value::U32(2));
    for (key, id) in [("padding", 0), ("unknown", 1), ("bos", 2), ("cls", 2), ("seperator", 3), ("eos", 3), ("mask", 4)] {
        gguf.set(&format!("tokenizer.ggml.{key}_token_id"), Value::U32(id));
    }
}
