//! Which settings to try, and which of those tried to take. Pure: the trials themselves are `commands/tune.rs`.
//!
//! One thing is varied at a time and the best kept, because the full product would be some hundred loads of the model. Threads come first:
//! all else is measured with them. Then cache and flash attention, which belong together, then the batch.

use engine::CacheType;

/// A time within this share of the best counts as equal to it: timings of a machine that does other things too spread by about as much.
const NOISE: f64 = 0.02;
/// Tokens of the turn that settings are compared by: a tool result or a page is read, a few sentences are said.
pub const TURN_PREFILL: f64 = 512.0;
pub const TURN_DECODE: f64 = 128.0;

/// What is tuned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    pub threads: u32,
    pub flash_attention: bool,
    pub cache_type_k: CacheType,
    pub cache_type_v: CacheType,
    pub batch: u32,
}

/// What may be tried.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub physical_cores: u32,
    pub logical_cores: u32,
    /// Tokens of context.
    pub context: u32,
    /// Least exact types for K and V; with a text to measure, none.
    pub least_types: Option<(CacheType, CacheType)>,
}

/// What is varied, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    Threads,
    Cache,
    Batch,
}

impl Axis {
    pub const ALL: [Self; 3] = [Self::Threads, Self::Cache, Self::Batch];

    /// What differs from `best` along this axis only; `best` itself is not among them.
    pub fn candidates(self, best: Setting, limits: &Limits) -> Vec<Setting> {
        let all: Vec<Setting> = match self {
            Self::Threads => threads(limits).into_iter().map(|threads| Setting { threads, ..best }).collect(),
            Self::Cache => caches(best, limits),
            Self::Batch => {
                let fits = |batch: &u32| *batch <= limits.context;
                [128, 256, 512, 1024].into_iter().filter(fits).map(|batch| Setting { batch, ..best }).collect()
            }
        };
        all.into_iter().filter(|setting| *setting != best).collect()
    }
}

/// Up to eight cores: each count. Beyond that the halves down from all of them. Last, the hyperthreads.
fn threads(limits: &Limits) -> Vec<u32> {
    let physical = limits.physical_cores.max(1);
    let mut counts: Vec<u32> = match physical {
        0..=8 => (1..=physical).rev().collect(),
        _ => std::iter::successors(Some(physical), |count| Some(count / 2).filter(|count| *count > 0)).collect(),
    };
    if limits.logical_cores > physical {
        counts.push(limits.logical_cores);
    }
    counts
}

fn caches(best: Setting, limits: &Limits) -> Vec<Setting> {
    use CacheType::{F16, Q4_0, Q8_0};
    // llama.cpp takes a quantised V only with flash attention.
    let pairs = [
        (true, F16, F16),
        (true, Q8_0, Q8_0),
        (true, Q8_0, Q4_0),
        (true, Q4_0, Q4_0),
        (false, F16, F16),
        (false, Q8_0, F16),
        (false, Q4_0, F16),
    ];
    let exact = |key: CacheType, value: CacheType| {
        limits.least_types.is_none_or(|least| key.block_bytes() >= least.0.block_bytes() && value.block_bytes() >= least.1.block_bytes())
    };
    let allowed = pairs.into_iter().filter(|(_, key, value)| exact(*key, *value));
    allowed.map(|(flash_attention, cache_type_k, cache_type_v)| Setting { flash_attention, cache_type_k, cache_type_v, ..best }).collect()
}

/// What came of a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    pub setting: Setting,
    /// Seconds for a turn of [`TURN_PREFILL`] and [`TURN_DECODE`] tokens.
    pub seconds: f64,
    /// With a text.
    pub perplexity: Option<f64>,
}

/// Seconds of a turn at some speeds, in tokens per second: the mean over the depths.
pub fn seconds(speeds: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let turns: Vec<f64> = speeds.into_iter().map(|(prefill, decode)| TURN_PREFILL / prefill + TURN_DECODE / decode).collect();
    #[expect(clippy::cast_precision_loss, reason = "two or three")]
    let count = turns.len() as f64;
    turns.iter().sum::<f64>() / count
}

/// The fastest of those whose perplexity is at most `most`. Among equals the smallest cache, then the fewest threads, then the smallest
/// batch: what is not needed is left to others.
pub fn choose(outcomes: &[Outcome], most: Option<f64>) -> Option<Outcome> {
    let good = |outcome: &&Outcome| {
        let is_close = match (most, outcome.perplexity) {
            (Some(most), Some(perplexity)) => perplexity <= most,
            (Some(_), None) => false,
            (None, _) => true,
        };
        is_close && outcome.seconds.is_finite()
    };
    let fastest = outcomes.iter().filter(good).map(|outcome| outcome.seconds).min_by(f64::total_cmp)?;
    let cost = |outcome: &Outcome| {
        let Setting { threads, cache_type_k, cache_type_v, batch, .. } = outcome.setting;
        (cache_type_k.block_bytes() + cache_type_v.block_bytes(), threads, batch)
    };
    outcomes.iter().filter(good).filter(|outcome| outcome.seconds <= fastest * (1.0 + NOISE)).min_by_key(|outcome| cost(outcome)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Setting =
        Setting { threads: 4, flash_attention: true, cache_type_k: CacheType::Q4_0, cache_type_v: CacheType::Q4_0, batch: 512 };
    const LIMITS: Limits = Limits { physical_cores: 4, logical_cores: 8, context: 600, least_types: None };

    fn outcome(change: impl FnOnce(&mut Setting), seconds: f64, perplexity: Option<f64>) -> Outcome {
        let mut setting = BASE;
        change(&mut setting);
        Outcome { setting, seconds, perplexity }
    }

    #[test]
    fn threads_up_to_the_cores_and_the_hyperthreads() {
        let check = |physical_cores, logical_cores, expected: &[u32]| {
            assert_eq!(threads(&Limits { physical_cores, logical_cores, ..LIMITS }), expected);
        };
        check(4, 8, &[4, 3, 2, 1, 8]);
        check(1, 1, &[1]);
        check(48, 96, &[48, 24, 12, 6, 3, 1, 96]);
        let tried: Vec<u32> = Axis::Threads.candidates(BASE, &LIMITS).iter().map(|setting| setting.threads).collect();
        assert_eq!(tried, [3, 2, 1, 8]);
    }

    #[test]
    fn a_quantised_value_needs_flash_attention() {
        let tried = Axis::Cache.candidates(BASE, &LIMITS);
        assert_eq!(tried.len(), 6);
        assert!(tried.iter().all(|setting| setting.flash_attention || setting.cache_type_v == CacheType::F16));
    }

    #[test]
    fn without_a_text_no_type_is_less_exact_than_the_configured_one() {
        let least = |least_types| Limits { least_types: Some(least_types), ..LIMITS };
        let pairs = |limits: &Limits| Axis::Cache.candidates(BASE, limits).len();
        assert_eq!(pairs(&least((CacheType::F16, CacheType::F16))), 2);
        assert_eq!(pairs(&least((CacheType::Q8_0, CacheType::Q8_0))), 4);
        assert_eq!(pairs(&least((CacheType::Q4_0, CacheType::Q4_0))), 6);
    }

    #[test]
    fn batches_fit_into_the_context() {
        let tried: Vec<u32> = Axis::Batch.candidates(BASE, &LIMITS).iter().map(|setting| setting.batch).collect();
        assert_eq!(tried, [128, 256]);
    }

    #[test]
    fn the_fastest_good_one_is_taken_and_the_cheapest_of_equals() {
        let four = outcome(|_| {}, 10.0, Some(8.0));
        let two = outcome(|setting| setting.threads = 2, 10.1, Some(8.0));
        let slow = outcome(|setting| setting.threads = 1, 14.0, Some(8.0));
        assert_eq!(choose(&[four, two, slow], None), Some(two));
        let coarse = outcome(|setting| setting.batch = 128, 5.0, Some(9.0));
        assert_eq!(choose(&[four, coarse], Some(8.08)), Some(four));
        assert_eq!(choose(&[four, coarse], None), Some(coarse));
        assert_eq!(choose(&[outcome(|_| {}, 1.0, None)], Some(8.0)), None);
        assert_eq!(choose(&[outcome(|_| {}, f64::NAN, None)], None), None);
    }

    #[test]
    fn a_turn_is_prefill_and_decode() {
        assert!((seconds([(512.0, 128.0), (256.0, 64.0)]) - 3.0).abs() < 1e-9);
    }
}
