//! What can be measured of a loaded model: how fast it is at some depth, and how well it foretells a text.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// A measurement of prefill and decode behind so many tokens. The tokens are those of `text`, again and again.
#[derive(Debug, Clone, Default)]
pub struct SpeedTest {
    /// What is prefilled. Its time depends on it: flash attention rescales its sums whenever a later key fits better.
    pub text: String,
    /// Tokens that are in the cache before, ascending.
    pub depths: Vec<u32>,
    /// Tokens prefilled at each depth.
    pub prefill: u32,
    /// Tokens decoded then, greedily and whatever they are.
    pub decode: u32,
}

/// What a [`SpeedTest`] found at one depth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Speed {
    /// Tokens in the cache at the start.
    pub depth: u32,
    /// Tokens prefilled.
    pub prefill_tokens: u32,
    /// Their time.
    #[serde(skip)]
    pub prefill: Duration,
    /// Tokens decoded.
    pub decode_tokens: u32,
    /// Their time.
    #[serde(skip)]
    pub decode: Duration,
}

impl Speed {
    /// Tokens per second.
    #[must_use]
    pub fn prefill_tps(&self) -> f64 {
        f64::from(self.prefill_tokens) / self.prefill.as_secs_f64()
    }

    /// Tokens per second.
    #[must_use]
    pub fn decode_tps(&self) -> f64 {
        f64::from(self.decode_tokens) / self.decode.as_secs_f64()
    }
}

/// A measurement of how well the model foretells a text.
///
/// The text is cut into windows of at most half the context. Each is read from an empty cache, and the tokens of its second half are
/// foretold, as llama.cpp's `perplexity` has it: those of the first half have too little before them to tell one cache from another.
/// A last window that is shorter than the others is left out.
#[derive(Debug, Clone, Default)]
pub struct QualityTest {
    /// The text; no markers are seen in it.
    pub text: String,
    /// Tokens of a window; `None`, and what is more than that: half the context.
    pub window: Option<u32>,
    /// Most tokens of the text that are read; `None`: all.
    pub most: Option<u32>,
    /// What the foretellings are compared with.
    pub against: Against,
}

/// What the foretellings of a [`QualityTest`] are compared with.
#[derive(Debug, Clone, Default)]
pub enum Against {
    /// With the text only.
    #[default]
    Text,
    /// With the text; a sample of them is kept, at most so many and at most 256 MiB.
    Keep(u32),
    /// Also with those that were kept when the same text was measured.
    Kept(Arc<Reference>),
}

/// What a [`QualityTest`] found.
#[derive(Debug, Clone)]
pub struct Quality {
    /// Tokens that were foretold.
    pub tokens: u32,
    /// Mean of the negative logarithms of what was foretold for the tokens that came, in nats.
    pub mean_nll: f64,
    /// With [`Against::Keep`]: what was kept.
    pub reference: Option<Arc<Reference>>,
    /// With [`Against::Kept`]: how far from it.
    pub divergence: Option<Divergence>,
}

impl Quality {
    /// The exponential of the mean: among so many tokens the model was undecided, as it were.
    #[must_use]
    pub fn perplexity(&self) -> f64 {
        self.mean_nll.exp()
    }
}

/// How far two foretellings are apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Divergence {
    /// Places compared.
    pub positions: u32,
    /// Mean Kullback-Leibler divergence from the kept ones, in nats.
    pub mean: f64,
    /// Share of places at which both have the same likeliest token.
    pub same_best: f64,
}

/// Logarithms of probabilities are kept in steps of this size, in nats, down to -32: what is less likely than 1e-14 adds nothing.
const STEP: f64 = 32.0 / u16::MAX as f64;
/// Most bytes of a reference.
const REFERENCE_BYTES: usize = 256 << 20;

/// Foretellings for a sample of places in a text: a logarithm of the probability of each token of the vocabulary, in two bytes.
#[derive(Clone)]
pub struct Reference {
    vocabulary: usize,
    /// One of so many places is kept.
    stride: usize,
    steps: Vec<u16>,
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reference").field("positions", &self.positions()).field("vocabulary", &self.vocabulary).finish_non_exhaustive()
    }
}

impl Reference {
    /// An empty one for `places` foretellings, of which at most `most` are kept.
    pub(crate) fn new(vocabulary: usize, places: usize, most: usize) -> Self {
        let room = REFERENCE_BYTES / (vocabulary.max(1) * size_of::<u16>());
        Self { vocabulary, stride: places.div_ceil(most.min(room).max(1)).max(1), steps: Vec::new() }
    }

    /// Foretellings that it holds.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.steps.len() / self.vocabulary.max(1)
    }

    /// Keeps the foretelling for `place`, if it is one of the sample. `log_probs` are in nats.
    pub(crate) fn keep(&mut self, place: usize, log_probs: impl Iterator<Item = f64>) {
        if place.is_multiple_of(self.stride) {
            // A cast from a float saturates.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at what is less likely than 1e-14")]
            self.steps.extend(log_probs.map(|log| (-log / STEP).round() as u16));
        }
    }

    /// What was kept for `place`, in nats.
    pub(crate) fn at(&self, place: usize) -> Option<impl Iterator<Item = f64> + Clone + '_> {
        let start = place.is_multiple_of(self.stride).then(|| place / self.stride * self.vocabulary)?;
        let row = self.steps.get(start..start + self.vocabulary)?;
        Some(row.iter().map(|steps| -f64::from(*steps) * STEP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_sample() {
        let mut reference = Reference::new(2, 5, 2);
        for place in 0..5_u8 {
            reference.keep(place.into(), [-f64::from(place), -50.0].into_iter());
        }
        assert_eq!(reference.positions(), 2);
        assert!(reference.at(1).is_none() && reference.at(6).is_none());
        let row: Vec<f64> = reference.at(3).unwrap().collect();
        assert!((row[0] + 3.0).abs() <= STEP / 2.0 && row[1] == -32.0, "{row:?}");
    }

    #[test]
    fn a_reference_is_bounded() {
        let reference = Reference::new(150_000, 100_000, 100_000);
        assert!(100_000_usize.div_ceil(reference.stride) * 150_000 * 2 <= REFERENCE_BYTES);
    }
}
