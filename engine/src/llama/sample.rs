//! The next token from the logits.

use llama_sys::GrammarSampler;
use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::sampling::LlamaSampler;
use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::llama_cpp_2::token::data::LlamaTokenData;
use llama_sys::llama_cpp_2::token::data_array::LlamaTokenDataArray;

use crate::{EngineError, Sampling};

/// The engine's own values where neither request nor model names one: llama.cpp's defaults.
const DEFAULTS: Sampling = Sampling {
    temperature: Some(0.8),
    top_p: Some(0.95),
    top_k: Some(40),
    min_p: Some(0.05),
    repeat_penalty: Some(1.0),
    seed: Some(u32::MAX),
};
/// Tokens that a repeat penalty looks back on, as in llama.cpp.
const PENALTY_TOKENS: i32 = 64;
/// The logits that are compared in one go; their best is remembered, so only one block is searched for its place.
const BLOCK: usize = 1024;

/// Each value of `wanted` that is there, else that of `recommended`, else the engine's own.
pub(super) fn resolve(wanted: &Sampling, recommended: &Sampling) -> Sampling {
    let either = |pick: fn(&Sampling) -> Option<f32>| pick(wanted).or(pick(recommended)).or(pick(&DEFAULTS));
    Sampling {
        temperature: either(|sampling| sampling.temperature),
        top_p: either(|sampling| sampling.top_p),
        top_k: wanted.top_k.or(recommended.top_k).or(DEFAULTS.top_k),
        min_p: either(|sampling| sampling.min_p),
        repeat_penalty: either(|sampling| sampling.repeat_penalty),
        seed: wanted.seed.or(recommended.seed).or(DEFAULTS.seed),
    }
}

/// What the GGUF recommends (`general.sampling.*`).
pub(super) fn recommended(model: &LlamaModel) -> Sampling {
    let value = |key: &str| {
        model.meta_val_str(&format!("general.sampling.{key}")).ok()?.trim().parse::<f32>().ok().filter(|value| value.is_finite())
    };
    Sampling {
        temperature: value("temp"),
        top_p: value("top_p"),
        // A saturating cast: a recommendation beyond `i32` means "all".
        #[allow(clippy::cast_possible_truncation, reason = "saturates")]
        top_k: value("top_k").map(|k| k as i32),
        min_p: value("min_p"),
        repeat_penalty: value("penalty_repeat"),
        seed: None,
    }
}

/// Chooses tokens, one after another, of one reply.
pub(super) struct Sampler {
    /// `None`: greedy, which needs no candidates.
    chain: Option<LlamaSampler>,
    /// Reused from token to token.
    candidates: LlamaTokenDataArray,
}

impl Sampler {
    /// A sampler over `vocabulary` tokens; `sampling` as [`resolve`] gives it. The order of the steps is llama.cpp's.
    pub(super) fn new(sampling: &Sampling, vocabulary: i32) -> Self {
        let penalty = sampling.repeat_penalty.filter(|penalty| *penalty > 0.0 && *penalty != 1.0);
        let temperature = sampling.temperature.filter(|temperature| *temperature > 0.0);
        let mut steps = Vec::new();
        if let Some(penalty) = penalty {
            steps.push(LlamaSampler::penalties(vocabulary, PENALTY_TOKENS, penalty, 0.0, 0.0));
        }
        match temperature {
            None if steps.is_empty() => {}
            None => steps.push(LlamaSampler::greedy()),
            Some(temperature) => {
                // At least one candidate stays; `top_k` comes first because it makes all others cheap.
                steps.extend(sampling.top_k.filter(|k| *k > 0).map(LlamaSampler::top_k));
                steps.extend(sampling.top_p.filter(|p| *p < 1.0).map(|p| LlamaSampler::top_p(p, 1)));
                steps.extend(sampling.min_p.filter(|p| *p > 0.0).map(|p| LlamaSampler::min_p(p, 1)));
                steps.push(LlamaSampler::temp(temperature));
                steps.push(LlamaSampler::dist(sampling.seed.unwrap_or(u32::MAX)));
            }
        }
        let chain = (!steps.is_empty()).then(|| LlamaSampler::chain(steps, true));
        Self { chain, candidates: LlamaTokenDataArray::new(Vec::new(), false) }
    }

    /// The next token, accepted by `grammar` too. The grammar judges the one token that was chosen freely; only if it
    /// refuses is the whole vocabulary masked and sampled again, as llama.cpp's `common_sampler_sample` does.
    pub(super) fn sample(&mut self, logits: &[f32], grammar: Option<&mut GrammarSampler<'_>>) -> Result<LlamaToken, EngineError> {
        let mut token = match &mut self.chain {
            None => greedy(logits)?,
            Some(_) => {
                self.fill(logits);
                self.choose()?
            }
        };
        if let Some(grammar) = grammar {
            let failed = |error: llama_sys::ShimError| EngineError::Decode(format!("the grammar failed: {error}"));
            if !grammar.allows(token).map_err(failed)? {
                self.fill(logits);
                grammar.mask(&mut self.candidates).map_err(failed)?;
                token = self.choose()?;
            }
            grammar.accept(token).map_err(failed)?;
        }
        if let Some(chain) = &mut self.chain {
            chain.accept(token);
        }
        Ok(token)
    }

    /// Takes a token that was not sampled. Returns `false`, and changes nothing, if `grammar` forbids it.
    pub(super) fn accept(&mut self, token: LlamaToken, grammar: Option<&mut GrammarSampler<'_>>) -> Result<bool, EngineError> {
        if let Some(grammar) = grammar {
            let failed = |error: llama_sys::ShimError| EngineError::Decode(format!("the grammar failed: {error}"));
            if !grammar.allows(token).map_err(failed)? {
                return Ok(false);
            }
            grammar.accept(token).map_err(failed)?;
        }
        if let Some(chain) = &mut self.chain {
            chain.accept(token);
        }
        Ok(true)
    }

    /// All tokens with their logits.
    fn fill(&mut self, logits: &[f32]) {
        let data = &mut self.candidates.data;
        data.clear();
        data.extend((0..).zip(logits).map(|(id, logit)| LlamaTokenData::new(LlamaToken(id), *logit, 0.0)));
        self.candidates.sorted = false;
        self.candidates.selected = None;
    }

    /// One of the candidates.
    fn choose(&mut self) -> Result<LlamaToken, EngineError> {
        let chosen = match &mut self.chain {
            Some(chain) => {
                chain.apply(&mut self.candidates);
                self.candidates.selected.and_then(|index| self.candidates.data.get(index))
            }
            None => self.candidates.data.iter().max_by(|a, b| a.logit().total_cmp(&b.logit())),
        };
        let possible = chosen.filter(|chosen| chosen.logit() > f32::NEG_INFINITY);
        possible.map(LlamaTokenData::id).ok_or_else(|| EngineError::Decode("no token can follow here".into()))
    }
}

/// The token with the highest logit, the first of equals.
pub(super) fn greedy(logits: &[f32]) -> Result<LlamaToken, EngineError> {
    let mut best = (f32::NEG_INFINITY, 0);
    for (index, block) in logits.chunks(BLOCK).enumerate() {
        let highest = highest(block);
        if highest > best.0 {
            best = (highest, index);
        }
    }
    let start = best.1 * BLOCK;
    let place = logits.iter().skip(start).position(|logit| *logit == best.0);
    let place = place.filter(|_| best.0.is_finite()).and_then(|place| i32::try_from(start + place).ok());
    place.map(LlamaToken).ok_or_else(|| EngineError::Decode("the model computed no usable logits; its file may be damaged".into()))
}

/// The highest of `logits`, NaN passed over. Sixteen lanes, so that the compiler uses vector registers.
fn highest(logits: &[f32]) -> f32 {
    let max = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; 16];
    let chunks = logits.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, logit) in lanes.iter_mut().zip(chunk) {
            *lane = max(*lane, *logit);
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| max(a, *b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_greedy(logits: &[f32], expected: Option<i32>) {
        assert_eq!(greedy(logits).ok(), expected.map(LlamaToken));
    }

    #[test]
    fn greedy_takes_the_first_highest() {
        check_greedy(&[], None);
        check_greedy(&[1.0], Some(0));
        check_greedy(&[1.0, 3.0, 3.0, 2.0], Some(1));
        check_greedy(&[f32::NAN, -5.0, f32::NEG_INFINITY], Some(1));
        check_greedy(&[f32::NAN, f32::NAN], None);
        check_greedy(&[f32::NEG_INFINITY; 40], None);
        for place in [0, 15, 16, 1023, 1024, 5000, 9999] {
            let mut logits: Vec<f32> = (0..10_000_u16).map(|index| f32::from(index % 97)).collect();
            logits[place] = 1e6;
            check_greedy(&logits, i32::try_from(place).ok());
        }
    }

    #[test]
    fn a_request_goes_before_the_model_and_the_model_before_the_engine() {
        let wanted = Sampling { top_p: Some(0.5), ..Sampling::default() };
        let model = Sampling { top_p: Some(0.6), temperature: Some(0.0), ..Sampling::default() };
        let expected = Sampling { top_p: Some(0.5), temperature: Some(0.0), ..DEFAULTS };
        assert_eq!(resolve(&wanted, &model), expected);
    }

    #[test]
    fn a_seed_makes_sampling_repeatable() {
        let logits: Vec<f32> = (0..1000_u16).map(|index| f32::from(index % 7)).collect();
        let draw = |seed| {
            let wanted = Sampling { temperature: Some(2.0), seed: Some(seed), ..Sampling::default() };
            let mut sampler = Sampler::new(&resolve(&wanted, &Sampling::default()), 1000);
            (0..20).map(|_| sampler.sample(&logits, None).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_repeat_penalty_works_without_temperature() {
        let wanted = Sampling { temperature: Some(0.0), repeat_penalty: Some(2.0), ..Sampling::default() };
        let mut sampler = Sampler::new(&resolve(&wanted, &Sampling::default()), 3);
        let tokens: Vec<_> = (0..3).map(|_| sampler.sample(&[3.0, 2.0, 1.2], None).unwrap().0).collect();
        assert_eq!(tokens, [0, 1, 0]);
    }
}
