//! Damaged GGUFs: 10,000 headers, each broken in its own way, are read or refused at once; what is read does not bring llama.cpp down.
//!
//! The mutations come from a fixed seed. One that ends the process leaves its file behind in a temporary folder, with its number for a
//! name.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use engine::{EmbedRequest, EmbedderOptions, Engine, GgufHeader, LoadOptions, Message, ModelSource, Request, Role};
use support::encoder;
use support::gguf::{Data, Gguf, Value};
use support::models::{self, Shape, TINY};

const MUTATIONS: u64 = 10_000;
/// Of the mutated files that are accepted, how many are loaded.
const LOADED: usize = 400;
/// Reading one header may take so long, on a machine that is busy with other things.
const SLOW: Duration = Duration::from_secs(2);

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// The smallest whole model: what is damaged is mostly its header.
fn small() -> Vec<u8> {
    let shape = Shape { layers: 1, width: 32, heads: 1, feed_forward: 32, ..TINY };
    let mut gguf = models::random(&shape, 1);
    gguf.set("general.alignment", Value::U32(32));
    gguf.set("general.file_type", Value::U32(0));
    gguf.to_bytes()
}

/// Where the header of `bytes` ends: before its tensors' data, which is nearly all of the rest.
fn header_end(bytes: &[u8]) -> usize {
    let last = b"output_norm.weight";
    let mut names = bytes.windows(last.len()).enumerate().rev().filter(|(_, window)| window == last);
    names.next().map_or(bytes.len(), |(at, _)| at + 100).min(bytes.len())
}

/// Breaks `bytes` in one to three places.
fn mutate(bytes: &mut Vec<u8>, header: usize, random: &mut Random) {
    const EXTREMES: [u64; 16] =
        [0, 1, 2, 3, 7, 8, 9, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 40, i64::MAX as u64, 1 << 63, u64::MAX];
    for _ in 0..=random.below(3) {
        let end = header.min(bytes.len());
        if end < 16 {
            return;
        }
        let at = random.below(end - 8);
        match random.below(8) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = random.next().to_le_bytes()[0],
            3 => bytes[at..at + 4].copy_from_slice(&random.one_of(&EXTREMES).to_le_bytes()[..4]),
            4 => bytes[at..at + 8].copy_from_slice(&random.one_of(&EXTREMES).to_le_bytes()),
            5 => {
                // A number a little larger or smaller than the one that is there.
                let value = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
                let value = value.wrapping_add(random.one_of(&[1, 2, 31, 32, 33, u32::MAX, u32::MAX - 1]));
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            6 => {
                let cut = random.below(bytes.len());
                bytes.truncate(cut);
            }
            _ => {
                // Bytes of one place at another: lengths become others that are possible.
                let from = random.below(end - 8);
                let moved: [u8; 8] = bytes[from..from + 8].try_into().unwrap();
                bytes[at..at + 8].copy_from_slice(&moved);
            }
        }
    }
}

fn read(bytes: &[u8]) -> Result<GgufHeader, String> {
    GgufHeader::from_reader(Path::new("m"), Cursor::new(bytes), bytes.len() as u64).map_err(|error| error.to_string())
}

/// Loads a model and lets it say two tokens; whether it could be loaded.
async fn load(path: &Path) -> bool {
    let options = LoadOptions { context: Some(64), threads: Some(1), ..LoadOptions::new(ModelSource::File(path.into())) };
    let Ok(engine) = Engine::load(options, |_| ControlFlow::Continue(())).await else { return false };
    let request = Request { messages: vec![Message::new(Role::User, "hi")], max_tokens: Some(2), ..Request::default() };
    let mut generation = engine.generate(request).await.unwrap();
    // An error is as good as a reply here.
    while generation.next().await.is_some() {}
    true
}

#[tokio::test]
async fn ten_thousand_damaged_headers() {
    let whole = small();
    let header = header_end(&whole);
    assert!(read(&whole).is_ok() && header < whole.len());
    let mut random = Random(0x5EED_0F9A_6E20);
    let folder = tempfile::tempdir().unwrap();
    let (mut accepted, mut loaded, mut refused) = (0, 0, 0);
    for number in 0..MUTATIONS {
        let mut bytes = whole.clone();
        mutate(&mut bytes, header, &mut random);
        let before = Instant::now();
        let result = read(&bytes);
        assert!(before.elapsed() < SLOW, "mutation {number} took {:?}", before.elapsed());
        match result {
            Ok(_) if bytes != whole => {
                accepted += 1;
                if accepted <= LOADED {
                    let path = folder.path().join(format!("{number}.gguf"));
                    std::fs::write(&path, &bytes).unwrap();
                    loaded += usize::from(load(&path).await);
                    std::fs::remove_file(&path).unwrap();
                }
            }
            Ok(_) => {}
            Err(told) => {
                refused += 1;
                assert!(told.lines().count() == 1 && told.starts_with("m is not a model that can be loaded: "), "{number}: {told}");
            }
        }
    }
    assert!(refused > 5_000 && accepted > LOADED && loaded > 50, "refused {refused}, accepted {accepted}, loaded {loaded}");
}

/// `gguf` with the value `index` of its metadata replaced by each of a list of bad ones.
fn with_bad_value(gguf: &Gguf, index: usize) -> Vec<Gguf> {
    let numbers = [0, 1, 2, 3, 5, 31, 33, 64, 127, 512, 513, 4096, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let floats = [0.0, -1.0, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE, f32::MAX];
    let mut values: Vec<Value> = match &gguf.metadata[index].1 {
        Value::Texts(texts) => {
            let shorter = Value::Texts(texts[..texts.len() / 2].to_vec());
            let other = Value::Texts(texts.iter().enumerate().map(|(number, _)| format!("\u{1}{number}")).collect());
            vec![shorter, other]
        }
        Value::I32s(all) => vec![Value::I32s(all[..1].to_vec()), Value::I32s(vec![-1; all.len()]), Value::I32s(vec![6; all.len()])],
        _ => numbers.map(Value::U32).to_vec(),
    };
    values.extend(floats.map(Value::F32));
    values.extend([Value::Bool(false), Value::Text(String::new()), Value::Text("\u{1}\u{10ffff}".into())]);
    values.extend([Value::Texts(Vec::new()), Value::I32s(Vec::new()), Value::I32s(vec![0; 3]), Value::I32s(vec![-1; 600])]);
    let replaced = |value: Value| {
        let mut gguf = gguf.clone();
        gguf.metadata[index].1 = value;
        gguf
    };
    values.into_iter().map(replaced).collect()
}

/// Gives every value of the header of each of `kinds` that is bad and accepted to `works`; how many were accepted, and worked.
async fn with_bad_values(kinds: impl IntoIterator<Item = Gguf>, works: impl AsyncFn(&Path) -> bool) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let (mut accepted, mut worked) = (0, 0);
    for gguf in kinds {
        let architecture = read(&gguf.to_bytes()).unwrap().architecture.unwrap();
        for index in 0..gguf.metadata.len() {
            for (number, bad) in with_bad_value(&gguf, index).into_iter().enumerate() {
                let bytes = bad.to_bytes();
                if read(&bytes).is_err() {
                    continue;
                }
                accepted += 1;
                let path = folder.path().join(format!("{architecture} {} {number}.gguf", gguf.metadata[index].0));
                std::fs::write(&path, bytes).unwrap();
                worked += usize::from(works(&path).await);
                std::fs::remove_file(&path).unwrap();
            }
        }
    }
    (accepted, worked)
}

#[tokio::test]
async fn every_value_at_its_worst() {
    let shape = Shape { layers: 1, width: 32, heads: 1, feed_forward: 32, ..TINY };
    let kinds = ["llama", "qwen3", "gemma3"].map(|architecture| models::random(&Shape { architecture, ..shape }, 1));
    let (accepted, loaded) = with_bad_values(kinds.into_iter().chain([models::recurrent(1)]), load).await;
    assert!(accepted > 500 && loaded > 100, "accepted {accepted}, loaded {loaded}");
}

/// Loads an embedder and embeds two texts, one of them longer than it takes; whether it could.
async fn embed(path: &Path) -> bool {
    let options = EmbedderOptions { threads: Some(1), ..EmbedderOptions::new(ModelSource::File(path.into())) };
    let engine = Engine::embedding_only(options).await.unwrap();
    let texts = vec!["crab".to_owned(), "crab ".repeat(600)];
    engine.embed(EmbedRequest { texts, cut: true, ..EmbedRequest::default() }).await.is_ok()
}

#[tokio::test]
async fn every_value_of_an_embedder_at_its_worst() {
    let shape = Shape { layers: 1, width: 32, heads: 1, feed_forward: 32, architecture: "qwen3", ..TINY };
    let mut decoder = models::random(&shape, 1);
    decoder.set("qwen3.pooling_type", Value::U32(3));
    let encoder = encoder::bert(&encoder::Shape { layers: 1, width: 32, heads: 1, feed_forward: 64, ..encoder::TINY }, 1);
    let (accepted, embedded) = with_bad_values([encoder, decoder], embed).await;
    assert!(accepted > 500 && embedded > 100, "accepted {accepted}, embedded {embedded}");
}

fn refusal(change: impl FnOnce(&mut Gguf)) -> String {
    let mut gguf = models::random(&TINY, 1);
    change(&mut gguf);
    read(&gguf.to_bytes()).map(|_| ()).unwrap_err().replace("m is not a model that can be loaded: ", "")
}

#[test]
fn what_would_end_the_process_is_refused() {
    let check = |change: &dyn Fn(&mut Gguf), expected: &str| {
        let told = refusal(change);
        assert!(told.contains(expected), "{expected:?} is not in {told:?}");
    };
    let number = |key: &'static str, value: u32| move |gguf: &mut Gguf| gguf.set(key, Value::U32(value));
    check(&number("llama.block_count", 0), "`llama.block_count` is 0; it can be 1 to 512");
    check(&number("llama.block_count", 513), "`llama.block_count` is 513");
    check(&number("llama.expert_count", 2000), "`llama.expert_count` is 2000");
    check(&number("llama.expert_used_count", 2), "`llama.expert_used_count` is 2");
    check(&number("llama.attention.head_count_kv", 3), "2 heads cannot share 3");
    check(&number("llama.rope.dimension_count", 31), "`llama.rope.dimension_count` is 31");
    check(&number("llama.rope.dimension_count", 64), "`llama.rope.dimension_count` is 64");
    check(&number("llama.rope.dimension_count", 16), "`llama.rope.dimension_count` is 16");
    check(&number("llama.attention.value_length", 16), "`llama.attention.value_length` is 16");
    check(&number("llama.context_length", u32::MAX), "`llama.context_length` is 4294967295");
    let mut gemma = models::sliding_window(64, 1);
    gemma.set("gemma3.rope.dimension_count", Value::U32(0));
    assert!(read(&gemma.to_bytes()).unwrap_err().contains("`gemma3.rope.dimension_count` is 0; this architecture needs it"));
    let mut pieces = encoder::bert(&encoder::TINY, 1);
    pieces.set("tokenizer.ggml.token_type", Value::I32s(vec![6; 320]));
    assert!(read(&pieces.to_bytes()).unwrap_err().contains("its vocabulary is one of word pieces and has bytes"));
    check(&|gguf| gguf.set("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::NAN)), "is NaN");
    check(&number("general.alignment", 24), "no power of two");
    check(&number("general.alignment", 0), "no power of two");
    check(&|gguf| gguf.set("general.alignment", Value::Text("32".into())), "no power of two");
    check(&|gguf| gguf.set("llama.rope.scaling.type", Value::Text("wild".into())), "`wild`");
    check(&|gguf| gguf.metadata.push(gguf.metadata[0].clone()), "the key `general.architecture` twice");
    check(&|gguf| gguf.tensors[1].name = gguf.tensors[0].name.clone(), "twice");
    check(&|gguf| gguf.set("", Value::Bool(true)), "no name");
    let twice = |gguf: &mut Gguf| gguf.set("tokenizer.ggml.tokens", Value::Texts(vec!["a".into(), "b".into(), "a".into()]));
    check(&twice, "its token 2 is there twice");
    check(&|gguf| gguf.set("split.count", Value::U32(2)), "`split.count` is no 16-bit number");
    check(&|gguf| gguf.tensor("none", &[0], Data::F32(vec![])), "the tensor `none` has an impossible size");
    check(&|gguf| gguf.tensor(&"n".repeat(64), &[1], Data::F32(vec![1.0])), "a name or text in it has 64 bytes");
}

#[test]
fn a_header_says_what_the_file_is() {
    let mut gguf = models::random(&TINY, 1);
    let header = read(&gguf.to_bytes()).unwrap();
    assert_eq!(
        (header.architecture.as_deref(), header.name.as_deref(), header.quant.as_deref()),
        (Some("llama"), Some("random"), Some("F32"))
    );
    assert_eq!((header.has_template, header.tool_format.as_deref(), header.trained_context), (true, Some("<tool_call>"), Some(2048)));
    assert!(header.parameters > 10_000 && !header.sampling && header.split.is_none());
    gguf.set("general.file_type", Value::U32(15));
    gguf.set("general.sampling.temp", Value::F32(0.5));
    let header = read(&gguf.to_bytes()).unwrap();
    assert_eq!((header.quant.as_deref(), header.sampling), (Some("Q4_K_M"), true));
}
