//! Measuring the loaded model: speed at a depth, and how well it foretells a text. Both have the model for themselves, and what the
//! cache held is lost.

use std::ops::ControlFlow;
use std::time::Instant;

use llama_sys::llama_cpp_2::token::LlamaToken;

use super::bare::append;
use super::cache::{Cache, Decoded, Row};
use super::sample::greedy;
use super::{Llama, count};
use crate::backend::Heard;
use crate::measure::{Against, Divergence, Quality, QualityTest, Reference, Speed, SpeedTest};
use crate::{BareTimes, EngineError, Request};

/// Most bytes of logits that one batch may ask for.
const LOGIT_BYTES: usize = 64 << 20;
/// Fewer tokens in a window tell nothing.
const LEAST_WINDOW: usize = 8;

impl Llama<'_> {
    pub(super) fn measure_bare_loop(&mut self, request: &Request, tokens: u32) -> Result<BareTimes, EngineError> {
        let prompt = self.prompt(request)?;
        let (total, context) = (count(prompt.tokens.len()).saturating_add(tokens), self.info.context);
        if total > context {
            return Err(EngineError::PromptTooLong { tokens: total, context });
        }
        self.alone(|cache| super::bare::bare_loop(cache, &prompt.tokens, tokens as usize))
    }

    pub(super) fn measure_speed(&mut self, test: &SpeedTest, heard: Heard<'_>) -> Result<Vec<Speed>, EngineError> {
        let tokens = self.tokens(&test.text);
        if tokens.is_empty() {
            return Err(EngineError::Measure("the text is empty".into()));
        }
        let (most, context) = (test.depths.iter().max().copied().unwrap_or(0), self.info.context);
        let total = most.saturating_add(test.prefill.max(1)).saturating_add(test.decode);
        if total > context {
            return Err(EngineError::Measure(format!(
                "depth {most} needs {total} tokens and the context holds {context}; give less, or raise `context` in [model]"
            )));
        }
        self.alone(|cache| speeds(cache, &tokens, test, heard))
    }

    pub(super) fn measure_quality(&mut self, test: &QualityTest, heard: Heard<'_>) -> Result<Quality, EngineError> {
        let mut tokens = self.tokens(&test.text);
        tokens.truncate(test.most.map_or(usize::MAX, |most| most as usize));
        let vocabulary = self.model.vocab();
        let first = vocabulary.should_add_bos().then(|| vocabulary.bos());
        let half = self.info.context as usize / 2;
        let window = test.window.map_or(half, |window| half.min(window as usize));
        let windows = windows(&tokens, window, first);
        if windows.is_empty() {
            let reason = format!("{} tokens of text in windows of {window} tell nothing; give more text or context", tokens.len());
            return Err(EngineError::Measure(reason));
        }
        let size = usize::try_from(vocabulary.n_tokens()).unwrap_or(0);
        self.alone(|cache| quality(cache, size, &windows, &test.against, heard))
    }

    /// Text, in which no markers are seen.
    fn tokens(&self, text: &str) -> Vec<LlamaToken> {
        self.model.vocab().tokenize(text.as_bytes(), false, false)
    }

    fn alone<T>(&mut self, work: impl FnOnce(&mut Cache<'_>) -> Result<T, EngineError>) -> Result<T, EngineError> {
        if !self.jobs.is_empty() {
            return Err(EngineError::Measure("other generations run; it needs the model for itself".into()));
        }
        self.transcripts.discard_all();
        let result = work(self.transcripts.cache());
        self.transcripts.discard_all();
        result
    }
}

fn go_on(heard: Heard<'_>, done: usize, total: usize) -> Result<(), EngineError> {
    #[expect(clippy::cast_precision_loss, reason = "a share of work")]
    match heard(done as f32 / total.max(1) as f32) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(EngineError::Measure("it was cancelled".into())),
    }
}

/// Goes from depth to depth. What was measured at one is part of what lies before the next: to fill the cache anew would take longer
/// than to measure.
fn speeds(cache: &mut Cache<'_>, tokens: &[LlamaToken], test: &SpeedTest, heard: Heard<'_>) -> Result<Vec<Speed>, EngineError> {
    let mut depths: Vec<usize> = test.depths.iter().map(|depth| *depth as usize).collect();
    depths.sort_unstable();
    depths.dedup();
    let prefill = test.prefill.max(1) as usize;
    let last = depths.last().map_or(0, |depth| depth + prefill + test.decode as usize);
    let mut text = tokens.iter().copied().cycle();
    let (mut held, mut found) = (0, Vec::new());
    for depth in depths {
        if held > depth {
            cache.clear(0);
            held = 0;
        }
        fill(cache, &mut text, &mut held, depth, &mut |held| go_on(heard, held, last))?;
        let start = Instant::now();
        let row = fill(cache, &mut text, &mut held, depth + prefill, &mut |_| Ok(()))?;
        // Some backends compute until the logits are read.
        let mut next = greedy(cache.logits(row))?;
        let prefill_time = start.elapsed();
        go_on(heard, held, last)?;
        let start = Instant::now();
        for _ in 0..test.decode {
            let row = append(cache, held, &[next])?;
            next = greedy(cache.logits(row))?;
            held += 1;
        }
        found.push(Speed {
            depth: count(depth),
            prefill_tokens: count(prefill),
            prefill: prefill_time,
            decode_tokens: test.decode,
            decode: start.elapsed(),
        });
        go_on(heard, held, last)?;
    }
    Ok(found)
}

/// Decodes tokens of `text` until `to` of them are held; the last row.
fn fill(
    cache: &mut Cache<'_>,
    text: &mut impl Iterator<Item = LlamaToken>,
    held: &mut usize,
    to: usize,
    heard: &mut dyn FnMut(usize) -> Result<(), EngineError>,
) -> Result<usize, EngineError> {
    let mut row = 0;
    while *held < to {
        heard(*held)?;
        let batch: Vec<LlamaToken> = text.take(cache.batch_size().min(to - *held)).collect();
        row = append(cache, *held, &batch)?;
        *held += batch.len();
    }
    Ok(row)
}

/// Cuts `tokens` into windows of the same size, each beginning with `first`. A text that fills none is one by itself.
fn windows(tokens: &[LlamaToken], window: usize, first: Option<LlamaToken>) -> Vec<Vec<LlamaToken>> {
    let own = window.saturating_sub(usize::from(first.is_some())).min(tokens.len());
    if own < LEAST_WINDOW {
        return Vec::new();
    }
    tokens.chunks_exact(own).map(|chunk| first.into_iter().chain(chunk.iter().copied()).collect()).collect()
}

/// What is summed up over a text.
struct Score<'a> {
    against: &'a Against,
    kept: Option<Reference>,
    /// Places so far.
    places: usize,
    nll: f64,
    compared: u32,
    divergence: f64,
    same_best: u32,
}

fn quality(
    cache: &mut Cache<'_>,
    vocabulary: usize,
    windows: &[Vec<LlamaToken>],
    against: &Against,
    heard: Heard<'_>,
) -> Result<Quality, EngineError> {
    let places = windows.iter().map(|window| window.len() - 1 - window.len() / 2).sum();
    let kept = match against {
        Against::Keep(most) => Some(Reference::new(vocabulary, places, *most as usize)),
        Against::Text | Against::Kept(_) => None,
    };
    let mut score = Score { against, kept, places: 0, nll: 0.0, compared: 0, divergence: 0.0, same_best: 0 };
    let rows_with_logits = (LOGIT_BYTES / (vocabulary * size_of::<f32>()).max(1)).clamp(1, cache.outputs());
    let total = windows.iter().map(Vec::len).sum();
    let mut done = 0;
    for window in windows {
        cache.clear(0);
        let first = window.len() / 2;
        let mut held = 0;
        while held + 1 < window.len() {
            go_on(heard, done + held, total)?;
            let (end, wanted) = if held < first { (first, false) } else { (window.len() - 1, true) };
            let end = end.min(held + if wanted { rows_with_logits } else { cache.batch_size() });
            let rows: Vec<Row> =
                (held..end).map(|position| Row { sequence: 0, token: window[position], position, logits: wanted }).collect();
            if cache.decode(&rows)? != Decoded::Done {
                return Err(EngineError::Measure("decoding was interrupted".into()));
            }
            if wanted {
                for (row, next) in window[held + 1..=end].iter().enumerate() {
                    score.add(cache.logits(row), *next)?;
                }
            }
            held = end;
        }
        done += window.len();
    }
    Ok(score.end())
}

impl Score<'_> {
    /// Takes the foretelling for one place, and what came there.
    fn add(&mut self, logits: &[f32], came: LlamaToken) -> Result<(), EngineError> {
        let normaliser = log_sum_exp(logits).ok_or_else(unusable)?;
        let came = usize::try_from(came.0).ok().and_then(|came| logits.get(came)).ok_or_else(unusable)?;
        self.nll += normaliser - f64::from(*came);
        let logs = logits.iter().map(|logit| f64::from(*logit) - normaliser);
        if let Some(kept) = &mut self.kept {
            kept.keep(self.places, logs.clone());
        }
        if let Against::Kept(reference) = self.against
            && let Some(before) = reference.at(self.places)
        {
            self.divergence += std::iter::zip(before.clone(), logs.clone()).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            self.same_best += u32::from(best(before) == best(logs));
            self.compared += 1;
        }
        self.places += 1;
        Ok(())
    }

    fn end(self) -> Quality {
        let tokens = count(self.places);
        let compared = f64::from(self.compared);
        let divergence = (self.compared > 0).then(|| Divergence {
            positions: self.compared,
            mean: self.divergence / compared,
            same_best: f64::from(self.same_best) / compared,
        });
        Quality { tokens, mean_nll: self.nll / f64::from(tokens), reference: self.kept.map(Into::into), divergence }
    }
}

fn unusable() -> EngineError {
    EngineError::Decode("the model computed no usable logits; its file may be damaged".into())
}

/// The logarithm of the sum of the exponentials: what is taken from a logit to get the logarithm of a probability.
fn log_sum_exp(logits: &[f32]) -> Option<f64> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - highest).exp())).sum();
    let log = f64::from(highest) + sum.ln();
    log.is_finite().then_some(log)
}

/// The place of the highest value, the last of equals.
fn best(values: impl Iterator<Item = f64>) -> Option<usize> {
    values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_windows() {
        let check = |tokens: i32, window: usize, first: Option<i32>, expected: &[(i32, usize)]| {
            let tokens: Vec<LlamaToken> = (0..tokens).map(LlamaToken).collect();
            let found = windows(&tokens, window, first.map(LlamaToken));
            let found: Vec<(i32, usize)> = found.iter().map(|window| (window[0].0, window.len())).collect();
            assert_eq!(found, expected);
        };
        check(35, 16, None, &[(0, 16), (16, 16)]);
        check(35, 16, Some(-7), &[(-7, 16), (-7, 16)]);
        check(10, 16, None, &[(0, 10)]);
        check(10, 16, Some(-7), &[(-7, 11)]);
        check(7, 16, None, &[]);
        check(100, 4, None, &[]);
    }

    #[test]
    fn logits_become_logarithms() {
        assert!(log_sum_exp(&[0.0; 4]).is_some_and(|log| (log - 4.0_f64.ln()).abs() < 1e-9));
        assert!(log_sum_exp(&[900.0, 900.0]).is_some_and(|log| (log - 900.0 - 2.0_f64.ln()).abs() < 1e-9));
        assert_eq!((log_sum_exp(&[f32::NAN]), log_sum_exp(&[])), (None, None));
    }
}
