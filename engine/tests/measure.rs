//! Speed and quality as they are measured, against what can be computed by hand.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use engine::{Against, CacheType, Engine, EngineError, LoadOptions, ModelSource, Quality, QualityTest, SpeedTest};
use support::gguf::Gguf;
use support::models::{self, TINY};

async fn load(model: &Gguf, change: impl FnOnce(&mut LoadOptions)) -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    model.write(&path).unwrap();
    let mut options = LoadOptions {
        context: Some(256),
        batch: 32,
        threads: Some(1),
        cache_type_k: CacheType::F16,
        cache_type_v: CacheType::F16,
        ..LoadOptions::new(ModelSource::File(path))
    };
    change(&mut options);
    Engine::load(options, |_| ControlFlow::Continue(())).await.unwrap()
}

async fn quality(engine: &Engine, text: &str, window: Option<u32>, against: Against) -> Result<Quality, EngineError> {
    engine.quality(QualityTest { text: text.into(), window, most: None, against }, |_| ControlFlow::Continue(())).await
}

/// The puppet foretells its first piece after a line feed and the end after anything else, each with the same logit; so of a text in
/// bytes it foretells nothing, and its loss is known.
#[tokio::test]
async fn the_loss_of_a_puppet_is_what_a_pencil_says() {
    let engine = load(&models::puppet_of(&["hi"]), |_| {}).await;
    let vocabulary = 288.0_f64;
    // A unit vector, scaled by the norm: over the root of the mean square, with the model's epsilon.
    let logit = 1.0 / (1.0 / vocabulary + 1e-6).sqrt();
    let expected = (logit.exp() + vocabulary - 1.0).ln();
    let found = quality(&engine, &"xyz ".repeat(50), Some(64), Against::Text).await.unwrap();
    // 200 tokens: three windows of 64, of which the places 32 to 62 are foretold.
    assert_eq!(found.tokens, 3 * 31);
    assert!((found.mean_nll - expected).abs() < 1e-3, "{} {expected}", found.mean_nll);
    assert!((found.perplexity() - expected.exp()).abs() / expected.exp() < 1e-3);
}

/// One token at a time is the naive way; batches must agree with it.
#[tokio::test]
async fn batches_foretell_as_single_tokens_do() {
    let model = models::untied(&TINY, 3);
    let text: String = (0..300_u32).map(|number| char::from(b'a' + u8::try_from(number * number % 23).unwrap())).collect();
    let mut losses = Vec::new();
    // A batch of fewer rows than sequences is made as large as these.
    for (batch, hot) in [(1, 1), (2, 8), (64, 8)] {
        let engine = load(&model, |options| (options.batch, options.hot) = (batch, hot)).await;
        losses.push(quality(&engine, &text, None, Against::Text).await.unwrap().mean_nll);
    }
    assert!(losses.iter().all(|loss| (loss - losses[0]).abs() < 1e-3), "{losses:?}");
    // Random weights foretell no better than chance.
    assert!(losses[0] > f64::from(TINY.vocabulary).ln(), "{losses:?}");
}

#[tokio::test]
async fn a_cache_of_four_bits_is_further_away_than_one_of_eight() {
    let model = models::untied(&TINY, 4);
    let text = "once upon a time there was a crab that carried its house about ".repeat(8);
    let engine = load(&model, |_| {}).await;
    let base = quality(&engine, &text, None, Against::Keep(40)).await.unwrap();
    let reference = base.reference.unwrap();
    assert!(reference.positions() > 20 && reference.positions() <= 40, "{reference:?}");
    let mut means = Vec::new();
    for cache_type in [CacheType::F16, CacheType::Q8_0, CacheType::Q4_0] {
        let engine = load(&model, |options| (options.cache_type_k, options.cache_type_v) = (cache_type, cache_type)).await;
        let found = quality(&engine, &text, None, Against::Kept(Arc::clone(&reference))).await.unwrap().divergence.unwrap();
        assert_eq!(found.positions as usize, reference.positions());
        means.push(found.mean);
    }
    assert!(means[0].abs() < 1e-4 && means[0] < means[1] && means[1] < means[2], "{means:?}");
}

#[tokio::test]
async fn what_cannot_be_measured_is_refused() {
    let engine = load(&models::random(&TINY, 1), |_| {}).await;
    let short = quality(&engine, "abc", None, Against::Text).await.unwrap_err().to_string();
    assert_eq!(short, "nothing could be measured: 3 tokens of text in windows of 128 tell nothing; give more text or context");
    let test = SpeedTest { text: "abc".into(), depths: vec![250], prefill: 8, decode: 8 };
    let deep = engine.speed(test.clone(), |_| ControlFlow::Continue(())).await.unwrap_err().to_string();
    assert!(deep.starts_with("nothing could be measured: depth 250 needs 266 tokens and the context holds 256"), "{deep}");
    let cancelled = engine.speed(SpeedTest { depths: vec![0], ..test }, |_| ControlFlow::Break(())).await;
    assert_eq!(cancelled, Err(EngineError::Measure("it was cancelled".into())));
}

#[tokio::test]
async fn speed_is_measured_at_each_depth() {
    for model in [models::random(&TINY, 1), models::recurrent(2)] {
        let engine = load(&model, |_| {}).await;
        let test = SpeedTest { text: "some words".into(), depths: vec![100, 0, 20], prefill: 40, decode: 8 };
        let found = engine.speed(test, |_| ControlFlow::Continue(())).await.unwrap();
        assert_eq!(found.iter().map(|speed| speed.depth).collect::<Vec<_>>(), [0, 20, 100]);
        assert!(found.iter().all(|speed| speed.prefill_tps() > 0.0 && speed.decode_tps() > 0.0));
    }
}
