//! What a model will take is known before it is loaded, and what does not fit is not loaded.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/child.rs"]
mod child;
mod support;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use child::take;
use engine::{Bound, CacheType, Engine, EngineError, LoadOptions, ModelSource, Plan};
use support::gguf::Gguf;
use support::models::{self, SMALL, Shape, TINY};

/// [`TINY`] with room for long contexts.
const LONG: Shape = Shape { context: 65_536, ..TINY };

/// A model in a file of its own.
struct Model {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Model {
    fn new(gguf: &Gguf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        gguf.write(&path).unwrap();
        Self { _folder: folder, path }
    }

    fn options(&self) -> LoadOptions {
        LoadOptions::new(ModelSource::File(self.path.clone()))
    }

    fn plan(&self, change: impl FnOnce(&mut LoadOptions)) -> Plan {
        let mut options = self.options();
        change(&mut options);
        Plan::of(&options).unwrap()
    }
}

fn set_types(options: &mut LoadOptions, cache_type: CacheType) {
    (options.cache_type_k, options.cache_type_v) = (cache_type, cache_type);
}

#[test]
fn weights_and_cache_are_what_the_shapes_say() {
    let model = Model::new(&models::random(&LONG, 1));
    let f32s = |count: u64| count * 4;
    // Per layer: norm 64, q 64x64, k and v 64x32, o 64x64, norm 64, feed-forward 3 x 64x128; then the last norm and the embedding.
    let layer = 64 + 64 * 64 + 2 * 64 * 32 + 64 * 64 + 64 + 3 * 64 * 128;
    let weights = f32s(2 * layer + 64 + 272 * 64);
    for (cache_type, context) in [(CacheType::F16, 4096), (CacheType::Q8_0, 4096), (CacheType::Q4_0, 16_384)] {
        let plan = model.plan(|options| {
            options.context = Some(context);
            set_types(options, cache_type);
        });
        // Two layers, one head of 32 for K and one for V.
        let kv = 2 * u64::from(context) * 2 * cache_type.block_bytes();
        assert_eq!((plan.kv, plan.context, plan.cache_type_k), (kv, context, Some(cache_type)));
        assert!(plan.weights.abs_diff(weights) < 4096, "{} is not about {weights}", plan.weights);
        assert!(plan.compute > 0 && plan.overhead > 0 && plan.fits(), "{plan:?}");
        assert_eq!((plan.checkpoints, plan.embedder, plan.mapped, plan.devices.len()), (0, 0, false, 0));
        assert_eq!((plan.largest_context, plan.way_out), (Some(65_536), None));
    }
    // The default is q4_0, and a mapped file counts the same.
    let plan = model.plan(|options| options.mmap = true);
    assert_eq!((plan.cache_type_k, plan.cache_type_v, plan.mapped), (Some(CacheType::Q4_0), Some(CacheType::Q4_0), true));
    assert!(plan.weights.abs_diff(weights) < 4096);
    assert_eq!(
        plan,
        model.plan(|options| options.mmap = true).tap(|again| (again.machine, again.attention) = (plan.machine, plan.attention))
    );
}

trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tap for Plan {}

#[test]
fn the_largest_context_fits_and_a_larger_one_does_not() {
    let model = Model::new(&models::random(&LONG, 1));
    let mut contexts = Vec::new();
    for limit in [30_000_000, 50_000_000, 80_000_000] {
        let fits = |context: u32| {
            let plan = model.plan(|options| (options.context, options.memory_limit) = (Some(context), Some(limit)));
            plan.fits()
        };
        let plan = model.plan(|options| options.memory_limit = Some(limit));
        let largest = plan.largest_context.unwrap();
        assert!(fits(largest), "{largest} of {limit}");
        assert!(!fits(largest + 512), "{largest} of {limit}");
        contexts.push(largest);
    }
    assert!(contexts.is_sorted() && contexts[0] >= 2048 && contexts[2] < 65_536, "{contexts:?}");
}

#[test]
fn models_that_cannot_drop_a_tail_have_checkpoints_and_an_embedder_counts() {
    let bytes = 256 << 20;
    assert_eq!(Model::new(&models::recurrent(1)).plan(|_| {}).checkpoints, bytes);
    assert_eq!(Model::new(&models::sliding_window(64, 1)).plan(|options| options.checkpoint_bytes = 7).checkpoints, 7);
    let mut embedder = models::random(&TINY, 1);
    embedder.unset("tokenizer.chat_template");
    let embedder = Model::new(&embedder);
    let plan = Model::new(&models::random(&TINY, 1)).plan(|options| options.embedder = Some(embedder.path.clone()));
    assert!(plan.embedder > plan.weights, "{plan:?}");
}

async fn refusal(options: LoadOptions) -> EngineError {
    Engine::load(options, |_| ControlFlow::Continue(())).await.unwrap_err()
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_settings_that_fit() {
    let model = Model::new(&models::random(&LONG, 1));
    let options = |context: u32, cache_type: CacheType, limit: u64| {
        let mut options = LoadOptions { context: Some(context), memory_limit: Some(limit), ..model.options() };
        set_types(&mut options, cache_type);
        options
    };
    let told = async |options: &LoadOptions| {
        let EngineError::DoesNotFit { context, needs, has, place, way_out, .. } = refusal(options.clone()).await else { panic!() };
        assert_eq!((Some(context), Some(has)), (options.context, options.memory_limit));
        assert!(needs > has && place == Bound::Setting.words(), "{needs} {has} {place}");
        assert_eq!(Plan::of(options).unwrap().way_out, Some(way_out.clone()));
        way_out
    };

    // The types are the smallest already.
    let small = options(65_536, CacheType::Q4_0, 60_000_000);
    let largest = Plan::of(&small).unwrap().largest_context.unwrap();
    let smallest = "; the cache types are the smallest already, so for a longer context choose a smaller quantisation";
    assert_eq!(told(&small).await, format!("in [model], set `context = {largest}`{smallest}"));
    let fitting = options(largest, CacheType::Q4_0, 60_000_000);
    assert_eq!(Engine::load(fitting, |_| ControlFlow::Continue(())).await.unwrap().info().context, largest);

    // With a smaller type the context would fit: between what f16 and what q8_0 takes.
    let needs = |cache_type| Plan::of(&options(32_768, cache_type, u64::MAX)).unwrap().needs();
    let between = needs(CacheType::F16).midpoint(needs(CacheType::Q8_0));
    let typed = options(32_768, CacheType::F16, between);
    let largest = Plan::of(&typed).unwrap().largest_context.unwrap();
    let way_out = format!("in [model], set `context = {largest}`, or `cache_type_k = \"q8_0\"` and `cache_type_v = \"q8_0\"`");
    assert_eq!(told(&typed).await, way_out);

    // Not even a small context.
    let tiny = options(4096, CacheType::F16, 1_000_000);
    assert_eq!(told(&tiny).await, "even a small context is too much: choose a smaller quantisation of the model, or a smaller model");
    assert_eq!(Plan::of(&tiny).unwrap().largest_context, None);
    let ignored = LoadOptions { ignore_plan: true, ..tiny };
    assert_eq!(Engine::load(ignored, |_| ControlFlow::Continue(())).await.unwrap().info().context, 4096);
}

#[test]
fn what_cannot_be_loaded_cannot_be_planned_and_a_script_takes_nothing() {
    let missing = Plan::of(&LoadOptions::new(ModelSource::File("no/such.gguf".into())));
    assert_eq!(missing, Err(EngineError::NoSuchModel { path: "no/such.gguf".into() }));
    let model = Model::new(&models::random(&TINY, 1));
    let long = Plan::of(&LoadOptions { context: Some(4096), ..model.options() });
    assert!(matches!(long, Err(EngineError::NoContext { context: 4096, .. })), "{long:?}");
    let script = Plan::of(&LoadOptions::new(ModelSource::Script("replies.jsonl".into()))).unwrap();
    assert_eq!((script.needs(), script.fits()), (0, true));
}

/// A model of about 30 MB, so that what is estimated weighs more than it does with real ones; `benches/plan.rs` holds these to 5 %.
const MIDDLE: Shape = Shape { layers: 4, width: 512, heads: 8, kv_heads: 8, head: 64, feed_forward: 1536, vocabulary: 32_000, ..SMALL };

#[cfg(target_os = "linux")]
#[test]
fn a_process_takes_what_was_planned() {
    let model = Model::new(&models::random(&MIDDLE, 1));
    let plan = model.plan(|options| options.context = Some(768));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_a_child", "--ignored", "--nocapture"])
        .env("PLANNED_MODEL", &model.path)
        .output()
        .unwrap();
    let text = String::from_utf8(child.stdout).unwrap();
    let taken: u64 = text.lines().find_map(|line| line.strip_prefix("taken ")?.parse().ok()).unwrap_or_else(|| panic!("{text}"));
    let needs = plan.needs();
    assert!(taken > needs * 4 / 5 && taken < needs * 11 / 10, "{taken} of {plan:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "a process of its own, started by `a_process_takes_what_was_planned`"]
#[allow(clippy::print_stdout, reason = "the other process reads it")]
async fn in_a_child() {
    let path = std::env::var_os("PLANNED_MODEL").unwrap();
    let options = LoadOptions { context: Some(768), ..LoadOptions::new(ModelSource::File(Path::new(&path).into())) };
    let taken = take(options).await;
    println!("\ntaken {}", taken.peak - taken.before);
}
