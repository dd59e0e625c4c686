//! What cannot be loaded is refused in one sentence; what can be is loaded by every road.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::ops::ControlFlow;
use std::path::Path;

use engine::{CacheType, Delta, Engine, EngineError, LoadOptions, Message, ModelSource, Request, Role};
use support::gguf::{Gguf, Value};
use support::models::{self, Shape, TINY};

async fn load(path: &Path) -> Result<Engine, EngineError> {
    load_with(path, |_| {}).await
}

async fn load_with(path: &Path, change: impl FnOnce(&mut LoadOptions)) -> Result<Engine, EngineError> {
    let mut options = LoadOptions { context: Some(256), ..LoadOptions::new(ModelSource::File(path.into())) };
    change(&mut options);
    Engine::load(options, |_| ControlFlow::Continue(())).await
}

/// Loads `bytes` from a file and returns the sentence behind its name.
async fn refusal(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, bytes).unwrap();
    let told = load(&path).await.unwrap_err().to_string();
    assert_eq!(told.lines().count(), 1, "{told}");
    told.replace(&path.display().to_string(), "M")
}

fn changed(change: impl FnOnce(&mut Gguf)) -> Vec<u8> {
    let mut gguf = models::random(&TINY, 1);
    change(&mut gguf);
    gguf.to_bytes()
}

#[tokio::test]
async fn what_is_no_model_is_refused_in_words() {
    let missing = load(Path::new("no/such/model.gguf")).await.unwrap_err();
    assert_eq!(missing, EngineError::NoSuchModel { path: "no/such/model.gguf".into() });
    let directory = load(Path::new("/")).await.unwrap_err().to_string();
    assert_eq!(directory, "/ is not a model that can be loaded: it is a directory; give the GGUF file in it");

    let not = "M is not a model that can be loaded: it does not start with `GGUF`; give a model in the GGUF format";
    assert_eq!(refusal(b"").await, not);
    assert_eq!(refusal(b"GGU").await, not);
    assert_eq!(refusal(b"<html>").await, not);
    let old = [b"GGUF".as_slice(), &1_u32.to_le_bytes(), &[0; 16]].concat();
    let version = "M is not a model that can be loaded: its GGUF version is 1 and only 2 and 3 can be read; convert the model anew";
    assert_eq!(refusal(&old).await, version);

    let bytes = changed(|gguf| gguf.set("general.architecture", Value::Text("crustacean".into())));
    let unknown = "M is not a model that can be loaded: llama.cpp says \"unknown model architecture: 'crustacean'\"; choose another GGUF";
    assert_eq!(refusal(&bytes).await, unknown);
    let bytes = changed(|gguf| gguf.unset("tokenizer.chat_template"));
    let no_template = "M has no chat template, so it cannot be talked to; choose an instruction-tuned GGUF";
    assert_eq!(refusal(&bytes).await, no_template);
    let bytes = changed(|gguf| gguf.set("tokenizer.chat_template", Value::Text("{% if".into())));
    assert!(refusal(&bytes).await.contains("its chat template cannot be used ("));
    let bytes = changed(|gguf| gguf.tensors.retain(|tensor| tensor.name != "blk.1.ffn_up.weight"));
    let missing = "M is not a model that can be loaded: llama.cpp says \"tensor 'blk.1.ffn_up.weight' not found\"; choose another GGUF";
    assert_eq!(refusal(&bytes).await, missing);
}

#[tokio::test]
async fn a_model_cut_short_anywhere_is_refused() {
    let whole = models::random(&TINY, 1).to_bytes();
    let ends = (4..whole.len()).step_by(whole.len() / 300);
    for end in ends.chain([whole.len() - 33, whole.len() - 1]) {
        let told = refusal(&whole[..end]).await;
        let cut = format!("M is not a model that can be loaded: it is cut short: {end} bytes of at least ");
        assert!(told.starts_with(&cut), "cut at {end}: {told}");
    }
}

#[tokio::test]
async fn a_damaged_header_is_refused() {
    let whole = models::random(&TINY, 1).to_bytes();
    // Counts of tensors and of keys, the first key's length, the first value's type.
    for (at, bytes) in [(8, 8), (16, 8), (24, 8), (52, 4)] {
        for value in [0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at..at + bytes].fill(value);
            let told = refusal(&damaged).await;
            assert!(told.contains("damaged") || told.contains("cut short"), "{value:#x} at {at}: {told}");
        }
    }
}

#[tokio::test]
async fn progress_is_told_and_can_cancel() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    models::random(&TINY, 1).write(&path).unwrap();
    let (tell, told) = std::sync::mpsc::sync_channel(1000);
    let options = LoadOptions::new(ModelSource::File(path.clone()));
    let engine = Engine::load(options.clone(), move |done| {
        tell.send(done).unwrap();
        ControlFlow::Continue(())
    });
    assert_eq!(engine.await.unwrap().info().name, "random");
    let told: Vec<f32> = told.iter().collect();
    assert!(told.is_sorted() && told.last() == Some(&1.0), "{told:?}");
    assert_eq!(Engine::load(options.clone(), |_| ControlFlow::Break(())).await.unwrap_err(), EngineError::LoadCancelled);
    assert_eq!(Engine::load(options, |_| panic!("asked to")).await.unwrap_err(), EngineError::LoadCancelled);
}

#[tokio::test]
async fn an_embedded_model_is_loaded_by_the_same_road() {
    let bytes: &'static [u8] = models::puppet_of(&["shell ", "game"]).to_bytes().leak();
    for mmap in [false, true] {
        let options = LoadOptions { mmap, ..LoadOptions::new(ModelSource::Embedded { name: "inside", bytes }) };
        let engine = Engine::load(options, |_| ControlFlow::Continue(())).await.unwrap();
        let info = engine.info();
        assert_eq!((info.name.as_str(), info.architecture.as_str(), info.context), ("puppet", "llama", 2048));
        assert_eq!((info.trained_context, info.tools, info.parameters > 0), (2048, true, true));
        let request = Request { messages: vec![Message::new(Role::User, "hi")], ..Request::default() };
        let mut generation = engine.generate(request).await.unwrap();
        let text = loop {
            if let Delta::Finish(finish) = generation.next().await.unwrap().unwrap() {
                break finish.message.content;
            }
        };
        assert_eq!(text, "shell game");
    }
    let cut = ModelSource::Embedded { name: "inside", bytes: &bytes[..500] };
    let error = Engine::load(LoadOptions::new(cut), |_| ControlFlow::Continue(())).await.unwrap_err();
    assert!(error.to_string().starts_with("inside is not a model that can be loaded: it is cut short: 500 bytes"));
}

#[tokio::test]
async fn a_cache_that_cannot_be_quantised_becomes_f16() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    models::random(&Shape { head: 48, ..TINY }, 1).write(&path).unwrap();
    let info = load(&path).await.unwrap().info().clone();
    assert_eq!((info.cache_type_k, info.cache_type_v), (Some(CacheType::F16), Some(CacheType::F16)));
    models::random(&TINY, 1).write(&path).unwrap();
    let info = load_with(&path, |options| options.flash_attention = false).await.unwrap().info().clone();
    assert_eq!((info.cache_type_k, info.cache_type_v), (Some(CacheType::Q4_0), Some(CacheType::F16)));
    let info = load_with(&path, |options| options.cache_type_v = CacheType::Q8_0).await.unwrap().info().clone();
    assert_eq!((info.cache_type_k, info.cache_type_v), (Some(CacheType::Q4_0), Some(CacheType::Q8_0)));
}

#[tokio::test]
async fn a_context_beyond_the_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    models::random(&TINY, 1).write(&path).unwrap();
    let error = load_with(&path, |options| options.context = Some(u32::MAX)).await.unwrap_err().to_string();
    let told = "a context of 4294967295 tokens cannot be made: the model was trained for 2048, beyond that it talks nonsense; \
                lower `context` or choose smaller cache types in [model]";
    assert_eq!(error, told);
    let engine = load_with(&path, |options| options.context = None).await.unwrap();
    assert_eq!(engine.info().context, 2048);
}
