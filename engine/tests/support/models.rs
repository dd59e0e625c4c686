//! The models: a shape with random weights, and a puppet that says what it is told to.

use super::gguf::{Data, Gguf, Value};
use super::vocabulary::{self, END, FIRST_PIECE, Piece};

/// The shape of a decoder with tied embeddings.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// `llama`, `qwen3` or `gemma3`.
    pub architecture: &'static str,
    pub layers: u32,
    pub width: u32,
    pub heads: u32,
    pub kv_heads: u32,
    pub head: u32,
    pub feed_forward: u32,
    pub vocabulary: u32,
    pub context: u32,
    /// `q4_0` matrices instead of `f32`.
    pub quantised: bool,
}

/// Small enough for a test to load in milliseconds.
pub const TINY: Shape = Shape {
    architecture: "llama",
    layers: 2,
    width: 64,
    heads: 2,
    kv_heads: 1,
    head: 32,
    feed_forward: 128,
    vocabulary: 272,
    context: 2048,
    quantised: false,
};

/// About the shape of the demo model.
pub const SMALL: Shape =
    Shape { layers: 5, width: 160, heads: 5, kv_heads: 5, feed_forward: 448, vocabulary: 512, quantised: true, ..TINY };

/// A real shape of 0.6 B parameters.
pub const BENCH: Shape = Shape {
    architecture: "qwen3",
    layers: 28,
    width: 1024,
    heads: 16,
    kv_heads: 8,
    head: 128,
    feed_forward: 3072,
    vocabulary: 151_936,
    context: 40_960,
    quantised: true,
};

/// A model of `shape` with random weights: its text is noise, its timing is real.
pub fn random(shape: &Shape, seed: u64) -> Gguf {
    let mut gguf = Gguf { seed, ..Gguf::default() };
    metadata(&mut gguf, shape, "random");
    vocabulary::write(&mut gguf, &[], shape.vocabulary as usize);
    let matrix = |input: u32| {
        // Spread so that what comes out is as large as what goes in.
        let spread = (3.0 / f64::from(input)).sqrt();
        #[allow(clippy::cast_possible_truncation, reason = "a spread")]
        let spread = spread as f32;
        if shape.quantised { Data::RandomQ4_0(spread) } else { Data::RandomF32(spread) }
    };
    tensors(&mut gguf, shape, &matrix);
    let embedding = if shape.quantised { Data::RandomQ4_0(0.5) } else { Data::RandomF32(1.0) };
    gguf.tensor("token_embd.weight", &[shape.width.into(), shape.vocabulary.into()], embedding);
    gguf
}

/// [`random`] with an output matrix of its own. With the embedding's rows it would say the same few tokens again and again.
pub fn untied(shape: &Shape, seed: u64) -> Gguf {
    let mut gguf = random(shape, seed);
    gguf.tensor("output.weight", &[shape.width.into(), shape.vocabulary.into()], Data::RandomF32(1.0));
    gguf
}

/// A real shape whose layers see 512 tokens back, but for each sixth.
pub fn sliding_window_bench(seed: u64) -> Gguf {
    let mut gguf = random(&Shape { architecture: "gemma3", ..BENCH }, seed);
    gguf.set("gemma3.attention.sliding_window", Value::U32(512));
    gguf
}

/// A real shape of a hybrid, of 0.35 B parameters.
pub fn hybrid_bench(seed: u64) -> Gguf {
    let shape = Shape { architecture: "lfm2", layers: 16, head: 64, feed_forward: 4608, vocabulary: 65_536, ..BENCH };
    hybrid_of(&shape, seed)
}

/// A model whose layers see `window` tokens back (`gemma3`, which has five such layers before one that sees all).
pub fn sliding_window(window: u32, seed: u64) -> Gguf {
    let mut gguf = untied(&Shape { architecture: "gemma3", ..TINY }, seed);
    gguf.set("gemma3.attention.sliding_window", Value::U32(window));
    gguf
}

/// A recurrent model without attention (`mamba`).
pub fn recurrent(seed: u64) -> Gguf {
    let mut gguf = Gguf { seed, ..Gguf::default() };
    let (width, inner, state, rank) = (64, 128, 16, 4);
    metadata(&mut gguf, &Shape { architecture: "mamba", heads: 0, kv_heads: 0, feed_forward: 0, ..TINY }, "recurrent");
    for (key, value) in [("conv_kernel", 4), ("inner_size", 128), ("state_size", 16), ("time_step_rank", 4)] {
        gguf.set(&format!("mamba.ssm.{key}"), Value::U32(value));
    }
    vocabulary::write(&mut gguf, &[], TINY.vocabulary as usize);
    let same = |value: f32, length: u64| Data::F32(vec![value; usize::try_from(length).unwrap()]);
    for layer in 0..TINY.layers {
        let mut add = |name: &str, dims: &[u64], data: Data| gguf.tensor(&format!("blk.{layer}.{name}"), dims, data);
        add("attn_norm.weight", &[width], same(1.0, width));
        add("ssm_in.weight", &[width, 2 * inner], Data::RandomF32(0.2));
        add("ssm_conv1d.weight", &[4, inner], Data::RandomF32(0.8));
        add("ssm_conv1d.bias", &[inner], Data::RandomF32(0.1));
        add("ssm_x.weight", &[inner, rank + 2 * state], Data::RandomF32(0.2));
        add("ssm_dt.weight", &[rank, inner], Data::RandomF32(0.5));
        add("ssm_dt.bias", &[inner], Data::RandomF32(0.5));
        add("ssm_a", &[state, inner], same(-1.0, state * inner));
        add("ssm_d", &[inner], same(1.0, inner));
        add("ssm_out.weight", &[inner, width], Data::RandomF32(0.2));
    }
    gguf.tensor("output_norm.weight", &[width], same(1.0, width));
    gguf.tensor("token_embd.weight", &[width, u64::from(TINY.vocabulary)], Data::RandomF32(1.0));
    gguf.tensor("output.weight", &[width, u64::from(TINY.vocabulary)], Data::RandomF32(1.0));
    gguf
}

/// A hybrid (`lfm2`): layers with a short convolution, whose state cannot be cut, between layers with attention.
pub fn hybrid(seed: u64) -> Gguf {
    hybrid_of(&Shape { architecture: "lfm2", layers: 4, kv_heads: 1, ..TINY }, seed)
}

fn hybrid_of(shape: &Shape, seed: u64) -> Gguf {
    let mut gguf = Gguf { seed, ..Gguf::default() };
    metadata(&mut gguf, shape, "hybrid");
    let kv_heads = i32::try_from(shape.kv_heads).unwrap();
    let kv_heads = (0..shape.layers).map(|layer| if layer % 2 == 0 { 0 } else { kv_heads }).collect();
    gguf.set("lfm2.attention.head_count_kv", Value::I32s(kv_heads));
    gguf.set("lfm2.shortconv.l_cache", Value::U32(3));
    gguf.set("lfm2.vocab_size", Value::U32(shape.vocabulary));
    vocabulary::write(&mut gguf, &[], shape.vocabulary as usize);
    let (width, head, wide) = (u64::from(shape.width), u64::from(shape.head), u64::from(shape.feed_forward));
    let key = head * u64::from(shape.kv_heads);
    let ones = |length: u64| Data::F32(vec![1.0; usize::try_from(length).unwrap()]);
    #[allow(clippy::cast_possible_truncation, reason = "a spread")]
    let matrix = |input: u64, spread: f32| match shape.quantised {
        true => Data::RandomQ4_0((3.0 / input as f64).sqrt() as f32),
        false => Data::RandomF32(spread),
    };
    for layer in 0..shape.layers {
        let mut add = |name: &str, dims: &[u64], data: Data| gguf.tensor(&format!("blk.{layer}.{name}.weight"), dims, data);
        add("attn_norm", &[width], ones(width));
        if layer % 2 == 0 {
            add("shortconv.conv", &[3, width], Data::RandomF32(0.8));
            add("shortconv.in_proj", &[width, 3 * width], matrix(width, 0.3));
            add("shortconv.out_proj", &[width, width], matrix(width, 0.3));
        } else {
            add("attn_q", &[width, width], matrix(width, 0.3));
            add("attn_k", &[width, key], matrix(width, 0.3));
            add("attn_v", &[width, key], matrix(width, 0.3));
            add("attn_output", &[width, width], matrix(width, 0.3));
            add("attn_q_norm", &[head], ones(head));
            add("attn_k_norm", &[head], ones(head));
        }
        add("ffn_norm", &[width], ones(width));
        add("ffn_gate", &[width, wide], matrix(width, 0.2));
        add("ffn_up", &[width, wide], matrix(width, 0.2));
        add("ffn_down", &[wide, width], matrix(wide, 0.2));
    }
    gguf.tensor("token_embd_norm.weight", &[width], ones(width));
    let embedding = if shape.quantised { Data::RandomQ4_0(0.5) } else { Data::RandomF32(1.0) };
    gguf.tensor("token_embd.weight", &[width, u64::from(shape.vocabulary)], embedding);
    gguf
}

/// A model that, whatever it is asked, answers with `pieces`, one token each, and then ends. Where a grammar forbids the
/// next piece and another token takes its place, it goes on with what follows that token in `pieces`, else it ends.
///
/// Its layers do nothing; each token's embedding is a unit vector, and the output matrix maps it to the next token.
pub fn puppet(pieces: &[Piece]) -> Gguf {
    let vocabulary = (FIRST_PIECE + pieces.len()).next_multiple_of(32);
    let size = u32::try_from(vocabulary).unwrap();
    let shape = Shape { layers: 1, width: size, heads: size / 32, kv_heads: 1, vocabulary: size, ..TINY };
    let mut gguf = Gguf::default();
    metadata(&mut gguf, &shape, "puppet");
    gguf.set("general.sampling.temp", Value::F32(0.0));
    vocabulary::write(&mut gguf, pieces, vocabulary);
    tensors(&mut gguf, &shape, &|_| Data::RandomF32(0.0));
    let next = |token: usize| match token {
        // The last token of the prompt is a line feed.
        0x0a if !pieces.is_empty() => FIRST_PIECE,
        token if token >= FIRST_PIECE && token + 1 < FIRST_PIECE + pieces.len() => token + 1,
        _ => END,
    };
    let mut embedding = vec![0.0; vocabulary * vocabulary];
    let mut output = vec![0.0; vocabulary * vocabulary];
    for token in 0..vocabulary {
        embedding[token * vocabulary + token] = 1.0;
        output[next(token) * vocabulary + token] = 1.0;
    }
    let square = [u64::from(size), u64::from(size)];
    gguf.tensor("token_embd.weight", &square, Data::F32(embedding));
    gguf.tensor("output.weight", &square, Data::F32(output));
    gguf
}

/// [`puppet`] from texts: each becomes one token; texts in angle brackets become markers.
pub fn puppet_of(texts: &[&'static str]) -> Gguf {
    let piece = |text: &&'static str| match text.starts_with('<') && text.ends_with('>') {
        true => Piece::Marker(text),
        false => Piece::Normal(text.as_bytes().to_vec()),
    };
    puppet(&texts.iter().map(piece).collect::<Vec<_>>())
}

/// A model that answers with the text it gives, one token for each of `words`, and then ends. Unlike those of [`puppet`] its tokens are
/// what text is tokenized to, so the answer can stand in the prompt. Its layers have the size of `shape` and cost what they cost
/// there, but add nothing: what leads back from them is zero. Its vocabulary is as large as its width.
pub fn parrot(shape: &Shape, words: usize) -> (Gguf, String) {
    let size = shape.width as usize;
    assert!(FIRST_PIECE + words <= size && words <= 26 * 26, "one dimension and one pair of letters for each word");
    assert!(shape.width != shape.feed_forward && shape.width != shape.head * shape.heads, "the ways back are told by their inputs");
    let shape = Shape { vocabulary: shape.width, ..*shape };
    let letters = |word: usize| {
        let letter = |first: u8, number: usize| char::from(first + u8::try_from(number).unwrap());
        (letter(b'a', word % 26), letter(b'A', word / 26))
    };
    let texts: Vec<String> = (0..words).map(|word| [letters(word).0, letters(word).1].iter().collect()).collect();
    let pieces: Vec<Piece> = texts.iter().map(|text| Piece::Normal(text.clone().into_bytes())).collect();
    let mut gguf = Gguf { seed: 1, ..Gguf::default() };
    metadata(&mut gguf, &shape, "parrot");
    vocabulary::write(&mut gguf, &pieces, size);
    let merges = (0..words).map(|word| format!("{} {}", letters(word).0, letters(word).1)).collect();
    gguf.set("tokenizer.ggml.merges", Value::Texts(merges));
    let is_back = |input: u32| input != shape.width;
    tensors(&mut gguf, &shape, &|input| if is_back(input) { Data::RandomQ4_0(0.0) } else { Data::RandomQ4_0(0.05) });
    let next = |token: usize| match token {
        0x0a => FIRST_PIECE,
        token if (FIRST_PIECE..FIRST_PIECE + words - 1).contains(&token) => token + 1,
        _ => END,
    };
    let (mut embedding, mut output) = (vec![0.0; size * size], vec![0.0; size * size]);
    for token in 0..size {
        embedding[token * size + token] = 1.0;
        output[next(token) * size + token] = 1.0;
    }
    let square = [u64::from(shape.width), u64::from(shape.width)];
    gguf.tensor("token_embd.weight", &square, Data::F32(embedding));
    gguf.tensor("output.weight", &square, Data::F32(output));
    (gguf, texts.concat())
}

fn metadata(gguf: &mut Gguf, shape: &Shape, name: &str) {
    let architecture = shape.architecture;
    gguf.set("general.architecture", Value::Text(architecture.into()));
    gguf.set("general.name", Value::Text(name.into()));
    for (key, value) in [
        ("context_length", shape.context),
        ("embedding_length", shape.width),
        ("block_count", shape.layers),
        ("feed_forward_length", shape.feed_forward),
        ("attention.head_count", shape.heads),
        ("attention.head_count_kv", shape.kv_heads),
        ("attention.key_length", shape.head),
        ("attention.value_length", shape.head),
        ("rope.dimension_count", shape.head),
    ] {
        gguf.set(&format!("{architecture}.{key}"), Value::U32(value));
    }
    gguf.set(&format!("{architecture}.attention.layer_norm_rms_epsilon"), Value::F32(1e-6));
    gguf.set(&format!("{architecture}.rope.freq_base"), Value::F32(10_000.0));
}

/// The layers and the last norm; `matrix` gives a matrix with so many inputs.
fn tensors(gguf: &mut Gguf, shape: &Shape, matrix: &dyn Fn(u32) -> Data) {
    let (width, head) = (u64::from(shape.width), u64::from(shape.head));
    let (query, key) = (head * u64::from(shape.heads), head * u64::from(shape.kv_heads));
    let ones = |length: u64| Data::F32(vec![1.0; usize::try_from(length).unwrap()]);
    let wide = u64::from(shape.feed_forward);
    for layer in 0..shape.layers {
        let mut add = |name: &str, dims: &[u64], data: Data| gguf.tensor(&format!("blk.{layer}.{name}.weight"), dims, data);
        add("attn_norm", &[width], ones(width));
        add("attn_q", &[width, query], matrix(shape.width));
        add("attn_k", &[width, key], matrix(shape.width));
        add("attn_v", &[width, key], matrix(shape.width));
        add("attn_output", &[query, width], matrix(shape.head * shape.heads));
        if shape.architecture != "llama" {
            add("attn_q_norm", &[head], ones(head));
            add("attn_k_norm", &[head], ones(head));
        }
        if shape.architecture == "gemma3" {
            add("post_attention_norm", &[width], ones(width));
            add("post_ffw_norm", &[width], ones(width));
        }
        add("ffn_norm", &[width], ones(width));
        add("ffn_gate", &[width, wide], matrix(shape.width));
        add("ffn_up", &[width, wide], matrix(shape.width));
        add("ffn_down", &[wide, width], matrix(shape.feed_forward));
    }
    gguf.tensor("output_norm.weight", &[width], ones(width));
}
