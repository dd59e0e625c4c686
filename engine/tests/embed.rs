//! Embeddings over small GGUFs: what comes back, in which order, how it stops and when it is unloaded.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use engine::{
    Delta, EmbedKind, EmbedRequest, EmbedderOptions, Embedding, Embeddings, Engine, EngineError, LoadOptions, Message, ModelSource, Plan,
    Priority, Request, Role, Sampling,
};
use support::gguf::{Gguf, Value};
use support::{encoder, models};
use tempfile::TempDir;

/// How far the elements of a vector may be apart that come from batches of different shape.
const TOLERANCE: f32 = 1e-4;
const DOCUMENT: EmbedKind = EmbedKind::Document;

async fn embed(engine: &Engine, texts: Vec<String>, kind: EmbedKind) -> Result<Embeddings, EngineError> {
    engine.embed(EmbedRequest { texts, kind, cut: false }).await
}

/// An engine for embeddings alone; the model's file is there while the folder is.
async fn embedder(gguf: &Gguf, change: impl FnOnce(&mut EmbedderOptions)) -> (Engine, TempDir) {
    let (mut options, dir) = options(gguf);
    change(&mut options);
    (Engine::embedding_only(options).await.unwrap(), dir)
}

fn options(gguf: &Gguf) -> (EmbedderOptions, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("embed.gguf");
    gguf.write(&path).unwrap();
    let options = EmbedderOptions { threads: Some(1), ..EmbedderOptions::new(ModelSource::File(path)) };
    (options, dir)
}

/// Texts from no word to some 200 tokens.
fn texts(count: usize) -> Vec<String> {
    let words = ["crab", "shell", "the", "sea", "q7x", "sand", "carries", "house", "hermit"];
    (0..count).map(|n| (0..n * 7 % 40).map(|word| words[(n + word * word) % words.len()]).collect::<Vec<_>>().join(" ")).collect()
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|x| x * x).sum::<f32>().sqrt()
}

fn distance(a: &Embedding, b: &Embedding) -> f32 {
    assert_eq!((a.vector.len(), a.tokens, a.cut), (b.vector.len(), b.tokens, b.cut));
    a.vector.iter().zip(&b.vector).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Each text's vector from a batch is the one that it gets alone.
async fn check_batch_equals_single(gguf: &Gguf) {
    let (engine, _dir) = embedder(gguf, |_| {}).await;
    let texts = texts(50);
    let all = embed(&engine, texts.clone(), DOCUMENT).await.unwrap();
    assert_eq!((all.embeddings.len(), all.dimensions), (50, 64));
    for (text, embedding) in texts.into_iter().zip(&all.embeddings) {
        let alone = embed(&engine, vec![text.clone()], EmbedKind::Query).await.unwrap();
        assert_eq!((alone.model, alone.dimensions, alone.load_ms), (all.model.clone(), 64, 0.0));
        let distance = distance(&alone.embeddings[0], embedding);
        assert!(distance < TOLERANCE, "{distance} for {text:?}");
        let expected = if embedding.tokens == 0 { 0.0 } else { 1.0 };
        assert!((length(&embedding.vector) - expected).abs() < 1e-5, "{text:?}");
    }
    // Texts that differ have vectors that differ, so that an order not kept would be seen.
    assert!(distance_of(&all.embeddings[1], &all.embeddings[2]) > 1e-2);
}

fn distance_of(a: &Embedding, b: &Embedding) -> f32 {
    a.vector.iter().zip(&b.vector).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[tokio::test]
async fn an_encoder_gives_the_same_in_a_batch_and_alone() {
    let model = encoder::bert(&encoder::TINY, 1);
    check_batch_equals_single(&model).await;
    // CLS pooling, and none in the file.
    let mut cls = model.clone();
    cls.set("bert.pooling_type", Value::U32(2));
    check_batch_equals_single(&cls).await;
    let mut none = model.clone();
    none.unset("bert.pooling_type");
    let (one, _dir) = embedder(&model, |_| {}).await;
    let (other, _other_dir) = embedder(&none, |_| {}).await;
    let (one, other) = (embed(&one, texts(5), DOCUMENT).await.unwrap(), embed(&other, texts(5), DOCUMENT).await.unwrap());
    assert_eq!(one.embeddings, other.embeddings, "an encoder without a word about it takes the mean");
}

/// A decoder whose header says how its vectors are pooled; 1 is the mean, 3 the last.
fn decoder(shape: &models::Shape, pooling: u32) -> Gguf {
    let mut gguf = models::random(shape, 1);
    gguf.set(&format!("{}.pooling_type", shape.architecture), Value::U32(pooling));
    gguf
}

#[tokio::test]
async fn a_decoder_gives_the_same_in_a_batch_and_alone() {
    let qwen3 = models::Shape { architecture: "qwen3", ..models::TINY };
    check_batch_equals_single(&decoder(&qwen3, 3)).await;
    check_batch_equals_single(&decoder(&models::TINY, 3)).await;
    check_batch_equals_single(&decoder(&models::TINY, 1)).await;
    let mut closed = decoder(&qwen3, 3);
    closed.set("tokenizer.ggml.add_eos_token", Value::Bool(true));
    check_batch_equals_single(&closed).await;
}

#[tokio::test]
async fn a_long_text_is_refused_or_cut_and_says_so() {
    let (engine, _dir) = embedder(&encoder::bert(&encoder::TINY, 1), |_| {}).await;
    let texts = vec!["crab ".repeat(126), "crab ".repeat(500), "crab ".repeat(127), String::new()];
    let told = embed(&engine, texts.clone(), DOCUMENT).await.unwrap_err();
    assert_eq!(told, EngineError::TextTooLong { number: 2, tokens: 502, most: 128 });
    let says = "text 2 has 502 tokens and the embedder takes 128; shorten it, let it be cut, or raise `context` in [embedder]";
    assert_eq!(told.to_string(), says);
    let embeddings = engine.embed(EmbedRequest { texts, kind: DOCUMENT, cut: true }).await.unwrap().embeddings;
    let told: Vec<(u32, bool)> = embeddings.iter().map(|embedding| (embedding.tokens, embedding.cut)).collect();
    // The marks at both ends count, and stay.
    assert_eq!(told, [(128, false), (128, true), (128, true), (2, false)]);
    assert_eq!(embeddings[1].vector, embeddings[2].vector);
    assert!(distance_of(&embeddings[0], &embeddings[1]) < 1e-5);
}

#[tokio::test]
async fn the_context_is_what_was_asked_for() {
    let model = encoder::bert(&encoder::TINY, 1);
    let (engine, _dir) = embedder(&model, |options| options.context = Some(10)).await;
    assert_eq!(embed(&engine, vec!["crab ".repeat(8)], DOCUMENT).await.unwrap().embeddings[0].tokens, 10);
    let told = embed(&engine, vec!["crab ".repeat(9)], DOCUMENT).await.unwrap_err();
    assert_eq!(told, EngineError::TextTooLong { number: 1, tokens: 11, most: 10 });
    let (engine, _dir) = embedder(&model, |options| options.context = Some(129)).await;
    let told = embed(&engine, texts(1), DOCUMENT).await.unwrap_err().to_string();
    assert!(told.contains("its context is 129 tokens and it was trained for 128; lower `context` in [embedder]"), "{told}");
}

#[tokio::test]
async fn a_decoder_takes_a_text_in_parts() {
    // The vocabulary makes a batch 64 tokens; the text has 300.
    let shape = models::Shape { vocabulary: 260_000, ..models::TINY };
    let (engine, _dir) = embedder(&decoder(&shape, 3), |_| {}).await;
    let small = models::Shape { vocabulary: 272, ..models::TINY };
    let (whole, _whole_dir) = embedder(&decoder(&small, 3), |_| {}).await;
    let text = vec!["x".repeat(300), "y".into(), "z".repeat(100)];
    let (engine, whole) = (embed(&engine, text.clone(), DOCUMENT).await.unwrap(), embed(&whole, text, DOCUMENT).await.unwrap());
    for (parts, whole) in engine.embeddings.iter().zip(&whole.embeddings) {
        let distance = distance(parts, whole);
        assert!(distance < TOLERANCE, "{distance} for {} tokens", parts.tokens);
    }
}

#[tokio::test]
async fn prefixes_stand_before_their_kind() {
    let model = encoder::bert(&encoder::TINY, 1);
    let (plain, _dir) = embedder(&model, |_| {}).await;
    let (engine, _other) = embedder(&model, |options| {
        options.query_prefix = "the ".into();
        options.document_prefix = "sea ".into();
    })
    .await;
    for (kind, text) in [(EmbedKind::Query, "the crab"), (DOCUMENT, "sea crab")] {
        let with = embed(&engine, vec!["crab".into()], kind).await.unwrap();
        assert_eq!(with.embeddings, embed(&plain, vec![text.into()], kind).await.unwrap().embeddings);
    }
}

#[tokio::test]
async fn no_texts_are_no_vectors() {
    let (engine, _dir) = embedder(&encoder::bert(&encoder::TINY, 1), |_| {}).await;
    let none = embed(&engine, Vec::new(), DOCUMENT).await.unwrap();
    assert_eq!((none.model.as_str(), none.dimensions, none.embeddings.len()), ("encoder", 64, 0));
}

#[tokio::test]
async fn a_dropped_request_stops_and_the_next_is_served() {
    let (engine, _dir) = embedder(&encoder::bert(&encoder::TINY, 1), |_| {}).await;
    let one = embed(&engine, texts(1), DOCUMENT).await.unwrap();
    // Some seconds of work.
    let many = vec!["crab ".repeat(126); 20_000];
    let start = Instant::now();
    let cut = tokio::time::timeout(Duration::from_millis(300), embed(&engine, many, DOCUMENT)).await;
    assert!(cut.is_err(), "it was over in {:?}", start.elapsed());
    let again = tokio::time::timeout(Duration::from_secs(2), embed(&engine, texts(1), DOCUMENT)).await.expect("it still works");
    assert_eq!(again.unwrap().embeddings, one.embeddings);
    // So does the drop of the engine.
    let many = vec!["crab ".repeat(126); 20_000];
    let _ = tokio::time::timeout(Duration::from_millis(300), embed(&engine, many, DOCUMENT)).await;
    let start = Instant::now();
    drop(engine);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_embedder_is_loaded_once_and_again_when_it_was_unloaded() {
    let model = encoder::bert(&encoder::TINY, 1);
    let loads = async |engine: &Engine| embed(engine, texts(2), DOCUMENT).await.unwrap().load_ms > 0.0;
    let (engine, dir) = embedder(&model, |_| {}).await;
    let path = dir.path().join("embed.gguf");
    assert!(loads(&engine).await);
    std::fs::remove_file(&path).unwrap();
    assert!(!loads(&engine).await, "it is in memory");
    // With no patience it is gone when it has answered.
    let (engine, dir) = embedder(&model, |options| options.idle = Duration::ZERO).await;
    let path = dir.path().join("embed.gguf");
    assert!(loads(&engine).await && loads(&engine).await);
    std::fs::remove_file(&path).unwrap();
    let told = embed(&engine, texts(2), DOCUMENT).await.unwrap_err();
    assert_eq!(told, EngineError::NoSuchEmbedder { path });
}

fn background(text: &str, tokens: u32) -> Request {
    let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    let messages = vec![Message::new(Role::User, text)];
    Request { messages, sampling, max_tokens: Some(tokens), priority: Priority::Background, ..Request::default() }
}

async fn said(engine: &Engine, request: Request) -> (String, u32) {
    let mut generation = engine.generate(request).await.unwrap();
    loop {
        if let Delta::Finish(finish) = generation.next().await.unwrap().unwrap() {
            return (finish.message.content, finish.usage.completion_tokens);
        }
    }
}

#[tokio::test]
async fn generations_and_embeddings_do_not_disturb_each_other() {
    let (options, dir) = options(&encoder::bert(&encoder::TINY, 1));
    let chat = dir.path().join("chat.gguf");
    models::untied(&models::TINY, 2).write(&chat).unwrap();
    let load = LoadOptions { context: Some(1024), threads: Some(1), embedder: Some(options), ..LoadOptions::new(ModelSource::File(chat)) };
    let engine = Engine::load(load, |_| ControlFlow::Continue(())).await.unwrap();
    let (many, one) = (texts(200), vec!["hermit crab".to_owned()]);
    let alone = (
        said(&engine, background("Hello", 300)).await,
        embed(&engine, many.clone(), DOCUMENT).await.unwrap().embeddings,
        embed(&engine, one.clone(), EmbedKind::Query).await.unwrap().embeddings,
    );
    for priority in [Priority::Background, Priority::Interactive] {
        let request = Request { priority, transcript: Some(format!("{priority:?}")), ..background("Hello", 300) };
        let (text, documents, query) =
            tokio::join!(said(&engine, request), embed(&engine, many.clone(), DOCUMENT), embed(&engine, one.clone(), EmbedKind::Query));
        assert_eq!(text, alone.0);
        assert_eq!((documents.unwrap().embeddings, query.unwrap().embeddings), (alone.1.clone(), alone.2.clone()));
    }
}

#[tokio::test]
async fn documents_wait_for_the_owner_and_queries_do_not() {
    let (options, dir) = options(&encoder::bert(&encoder::TINY, 1));
    let chat = dir.path().join("chat.gguf");
    models::untied(&models::TINY, 2).write(&chat).unwrap();
    let load = LoadOptions { context: Some(2048), threads: Some(1), embedder: Some(options), ..LoadOptions::new(ModelSource::File(chat)) };
    let engine = Engine::load(load, |_| ControlFlow::Continue(())).await.unwrap();
    embed(&engine, texts(1), DOCUMENT).await.unwrap();
    let request = Request { priority: Priority::Interactive, ..background("Hello", 1500) };
    let ended = async {
        let _ = said(&engine, request).await;
        Instant::now()
    };
    let embedded = async |kind| {
        // The generation has begun by then.
        tokio::time::sleep(Duration::from_millis(50)).await;
        embed(&engine, texts(4), kind).await.unwrap();
        Instant::now()
    };
    let (ended, query, document) = tokio::join!(ended, embedded(EmbedKind::Query), embedded(DOCUMENT));
    assert!(query < ended && document > ended, "query {:?} before, document {:?} after", ended - query, document - ended);
}

#[tokio::test]
async fn what_makes_no_embeddings_is_refused_in_words() {
    let refusal = async |gguf: &Gguf| {
        let (engine, dir) = embedder(gguf, |_| {}).await;
        let told = embed(&engine, texts(1), DOCUMENT).await.unwrap_err().to_string();
        told.replace(&dir.path().join("embed.gguf").display().to_string(), "M")
    };
    let mut reranker = encoder::bert(&encoder::TINY, 1);
    reranker.set("bert.pooling_type", Value::U32(4));
    let told = "M is not a model that can be loaded: it is a reranker, which gives scores instead of vectors; choose an embedding GGUF";
    assert_eq!(refusal(&reranker).await, told);
    let mut mute = encoder::bert(&encoder::TINY, 1);
    mute.set("tokenizer.ggml.seperator_token_id", Value::U32(9_999));
    mute.set("tokenizer.ggml.model", Value::Text("no_vocab".into()));
    mute.set("bert.vocab_size", Value::U32(encoder::TINY.vocabulary));
    let told = "M is not a model that can be loaded: it has no vocabulary, so it cannot read text; choose an embedding GGUF";
    assert_eq!(refusal(&mute).await, told);

    let (engine, _dir) = embedder(&encoder::bert(&encoder::TINY, 1), |_| {}).await;
    let error = engine.generate(background("hi", 5)).await.unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(error, EngineError::NoChatModel);
    let script = tempfile::NamedTempFile::new().unwrap();
    let engine = Engine::load(LoadOptions::new(ModelSource::Script(script.path().into())), |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!(embed(&engine, texts(1), DOCUMENT).await, Err(EngineError::NoEmbedder));
}
