//! `paguro model tune`: tries settings on this machine and says which are the fastest; with a text, without a loss of quality.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use engine::{Against, CacheType, Engine, EngineError, LoadOptions, Message, ModelSource, QualityTest, Speed, SpeedTest};
use serde_json::json;

use super::print_json;
use crate::args::{ListFormat, TuneArgs};
use crate::exit::BadInput;
use crate::measure::search::{Axis, Limits, Outcome, Setting, choose, seconds};
use crate::measure::table::{number, table};
use crate::measure::{Workbench, cut_to, or_own, progress, request, text_of, user};
use crate::models::configure;
use crate::parts::Context;

/// Tokens prefilled and decoded at each depth of a trial.
const PREFILL: u32 = 256;
const DECODE: u32 = 24;
/// Trials that should fit into the time.
const TRIALS: f64 = 16.0;
/// A depth below this is the same as none.
const LEAST_DEPTH: u32 = 256;

/// One line of the table.
struct Trial {
    outcome: Outcome,
    speeds: Vec<Speed>,
}

/// A search as it goes on.
struct Tuning<'a> {
    bench: Workbench,
    options: LoadOptions,
    text: String,
    /// The text that quality is measured on, and how many of its tokens are read.
    quality: Option<(&'a str, u32)>,
    depth: u32,
    until: Instant,
    /// The highest perplexity allowed.
    most: Option<f64>,
    trials: Vec<Trial>,
    /// Perplexities by flash attention and types: nothing else changes them.
    perplexities: Vec<((bool, CacheType, CacheType), f64)>,
}

pub async fn run(args: &TuneArgs) -> Result<ExitCode> {
    let text = text_of(args.text.as_deref())?;
    let context = Context::read()?;
    let options = LoadOptions { kv_folder: None, ..context.load_options(args.model.as_deref())? };
    if matches!(options.source, ModelSource::Script(_)) {
        return Err(BadInput("a script has no speed; give a model".into()).into());
    }
    let until = Instant::now() + Duration::from_secs_f64(args.minutes * 60.0);
    let mut tuning = Tuning {
        bench: Workbench::new(),
        options,
        text: or_own(text.as_deref()),
        quality: text.as_deref().map(|text| (text, args.text_tokens)),
        depth: args.depth,
        until,
        most: None,
        trials: Vec::new(),
        perplexities: Vec::new(),
    };
    let (limits, first) = tuning.first(args.minutes).await?;
    let best = tuning.search(&limits, first, args.bound).await?;
    let drafting = tuning.drafting(best.setting).await?;
    let draft = drafting.map_or(tuning.options.draft, |(plain, drafted)| drafted <= plain);
    report(args, &tuning, &best, draft, drafting)?;
    if args.write {
        if !tuning.is_good(&best) {
            anyhow::bail!("nothing was written: no setting that was tried stays within the bound; give more time with `--minutes`");
        }
        configure::write(&context.home.config, |document| edit(document, &best.setting, draft))?;
        say!("\nwritten to {}", context.home.config.display());
    }
    Ok(ExitCode::SUCCESS)
}

impl Tuning<'_> {
    /// What is configured, measured; the depth becomes one that the time allows.
    async fn first(&mut self, minutes: f64) -> Result<(Limits, Setting)> {
        let start = Instant::now();
        let engine = self.bench.load(self.options.clone()).await?;
        let info = engine.info().clone();
        let physical = engine::physical_cores();
        let (key, value) = (self.options.cache_type_k, self.options.cache_type_v);
        let limits = Limits {
            physical_cores: physical,
            logical_cores: std::thread::available_parallelism().map_or(physical, |count| u32::try_from(count.get()).unwrap_or(physical)),
            context: info.context,
            least_types: self.quality.is_none().then_some((key, value)),
        };
        let setting = Setting {
            threads: self.options.threads.unwrap_or(physical),
            flash_attention: self.options.flash_attention,
            cache_type_k: info.cache_type_k.unwrap_or(key),
            cache_type_v: info.cache_type_v.unwrap_or(value),
            batch: self.options.batch,
        };
        let fits = info.context.saturating_sub(PREFILL + DECODE + 1);
        let shallow = self.speed(&engine, vec![0]).await?;
        let each = minutes * 60.0 / TRIALS - start.elapsed().as_secs_f64() * 2.0;
        let affordable = shallow.first().map_or(0.0, |speed| each * speed.prefill_tps());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of tokens")]
        let affordable = affordable.clamp(0.0, f64::from(u32::MAX)) as u32;
        let depth = self.depth.min(fits).min(affordable);
        let depth = if depth < LEAST_DEPTH { 0 } else { depth };
        if depth < self.depth {
            tell!("depth {depth} instead of {}: more does not fit into the time or the context", self.depth);
        }
        self.depth = depth;
        Ok((limits, setting))
    }

    async fn speed(&self, engine: &Engine, depths: Vec<u32>) -> Result<Vec<Speed>> {
        let room = engine.info().context.saturating_sub(DECODE + 1).max(1);
        let test = SpeedTest { text: self.text.clone(), depths, prefill: PREFILL.min(room), decode: DECODE };
        self.bench.unless_stopped(engine.speed(test, progress("speed".into()))).await
    }

    async fn search(&mut self, limits: &Limits, first: Setting, bound: f64) -> Result<Outcome> {
        let base = match self.quality {
            Some(_) => {
                let exact = Setting { flash_attention: true, cache_type_k: CacheType::F16, cache_type_v: CacheType::F16, ..first };
                Some(self.perplexity(exact).await?)
            }
            None => None,
        };
        self.most = base.map(|perplexity| perplexity * (1.0 + bound));
        let most = self.most;
        let mut best = self.trial(first, most).await?;
        for axis in Axis::ALL {
            // Threads change nothing of the quality, so that one which is not good enough may lead the way to the cache.
            let mut outcomes = vec![best];
            for setting in axis.candidates(best.setting, limits) {
                if Instant::now() >= self.until {
                    tell!("the time is up; what was not tried stays as it is (`--minutes` gives more)");
                    return Ok(choose(&outcomes, most).unwrap_or(best));
                }
                match self.trial(setting, most).await {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(error) if is_refusal(&error) => tell!("{}: {error:#}", words(&setting)),
                    Err(error) => return Err(error),
                }
            }
            best = choose(&outcomes, most).or_else(|| choose(&outcomes, None)).unwrap_or(best);
        }
        Ok(best)
    }

    /// Whether the perplexity is as low as was asked for.
    fn is_good(&self, outcome: &Outcome) -> bool {
        choose(std::slice::from_ref(outcome), self.most).is_some()
    }

    /// Loads and measures one setting.
    async fn trial(&mut self, setting: Setting, most: Option<f64>) -> Result<Outcome> {
        tell!("trying {}", words(&setting));
        let perplexity = match most {
            Some(_) => Some(self.perplexity(setting).await?),
            None => None,
        };
        let engine = self.bench.load(with(&self.options, &setting)).await?;
        check_types(&engine, &setting)?;
        let depths = if self.depth == 0 { vec![0] } else { vec![0, self.depth] };
        let speeds = self.speed(&engine, depths).await?;
        let seconds = seconds(speeds.iter().map(|speed| (speed.prefill_tps(), speed.decode_tps())));
        let outcome = Outcome { setting, seconds, perplexity };
        self.trials.push(Trial { outcome, speeds });
        Ok(outcome)
    }

    /// The perplexity of the text with a setting's cache.
    async fn perplexity(&mut self, setting: Setting) -> Result<f64> {
        let key = (setting.flash_attention, setting.cache_type_k, setting.cache_type_v);
        if let Some((_, known)) = self.perplexities.iter().find(|(other, _)| *other == key) {
            return Ok(*known);
        }
        let (text, most) = self.quality.unwrap_or((&self.text, u32::MAX));
        let engine = self.bench.load(with(&self.options, &setting)).await?;
        check_types(&engine, &setting)?;
        let test = QualityTest { text: text.into(), window: None, most: Some(most), against: Against::Text };
        let found = self.bench.unless_stopped(engine.quality(test, progress("perplexity".into()))).await?.perplexity();
        self.perplexities.push((key, found));
        Ok(found)
    }

    /// Milliseconds per token without and with guesses: the mean of a reply that repeats what was read and of one that does not.
    async fn drafting(&mut self, setting: Setting) -> Result<Option<(f64, f64)>> {
        if Instant::now() >= self.until {
            return Ok(None);
        }
        tell!("trying guesses");
        let mut times = [0.0; 2];
        for (time, draft) in times.iter_mut().zip([false, true]) {
            let engine = self.bench.load(LoadOptions { draft, ..with(&self.options, &setting) }).await?;
            let piece = cut_to(&engine, &self.text, 200.min(engine.info().context / 4)).await?;
            for words in [format!("Repeat this word for word:\n\n{piece}"), "Tell a story of a crab and a lighthouse.".to_owned()] {
                let messages: Vec<Message> = vec![user(words)];
                *time += self.bench.unless_stopped(token_ms(&engine, &messages)).await?;
            }
        }
        Ok(Some((times[0] / 2.0, times[1] / 2.0)))
    }
}

/// Milliseconds per token of a reply.
async fn token_ms(engine: &Engine, messages: &[Message]) -> Result<f64> {
    let mut generation = engine.generate(request("tune", messages, 96)).await?;
    while let Some(delta) = generation.next().await {
        if let engine::Delta::Finish(finish) = delta? {
            return Ok(finish.timings.decode_ms / f64::from(finish.usage.completion_tokens.max(1)));
        }
    }
    Err(EngineError::Gone.into())
}

fn with(options: &LoadOptions, setting: &Setting) -> LoadOptions {
    LoadOptions {
        threads: Some(setting.threads),
        flash_attention: setting.flash_attention,
        cache_type_k: setting.cache_type_k,
        cache_type_v: setting.cache_type_v,
        batch: setting.batch,
        ..options.clone()
    }
}

/// The engine takes f16 where a model's shape does not allow a type; that was tried already.
fn check_types(engine: &Engine, setting: &Setting) -> Result<()> {
    let info = engine.info();
    let is_other = |used: Option<CacheType>, wanted: CacheType| used.is_some_and(|used| used != wanted);
    if is_other(info.cache_type_k, setting.cache_type_k) || is_other(info.cache_type_v, setting.cache_type_v) {
        return Err(EngineError::NoContext { context: info.context, reason: "the model's shape does not allow this cache".into() }.into());
    }
    Ok(())
}

/// Whether a setting is impossible here, rather than the search.
fn is_refusal(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(EngineError::NoContext { .. } | EngineError::Decode(_)))
}

fn words(setting: &Setting) -> String {
    let Setting { threads, flash_attention, cache_type_k, cache_type_v, batch } = *setting;
    let flash = if flash_attention { "on" } else { "off" };
    format!("threads {threads}, cache {}/{}, flash attention {flash}, batch {batch}", cache_type_k.name(), cache_type_v.name())
}

fn report(args: &TuneArgs, tuning: &Tuning<'_>, best: &Outcome, draft: bool, drafting: Option<(f64, f64)>) -> Result<()> {
    let lines = config_lines(&best.setting, draft)?;
    if args.list.format == ListFormat::Json {
        let trials: Vec<_> = tuning.trials.iter().map(trial_json).collect();
        let drafting = drafting.map(|(plain, drafted)| json!({ "plain_ms": plain, "drafted_ms": drafted }));
        let best = json!({ "setting": words(&best.setting), "turn_s": best.seconds, "perplexity": best.perplexity, "draft": draft });
        return print_json(&json!({ "depth": tuning.depth, "trials": trials, "drafting": drafting, "best": best, "config": lines }));
    }
    let rows: Vec<_> = tuning.trials.iter().map(|trial| row(trial, best)).collect();
    let head =
        ["threads", "cache K/V", "flash", "batch", "prefill t/s", "decode t/s", "deep prefill", "deep decode", "turn s", "perplexity", ""];
    for line in table(head, &rows) {
        say!("{line}");
    }
    say!("(deep: behind {} tokens; a turn: 512 tokens read and 128 said)", tuning.depth);
    match drafting {
        Some((plain, drafted)) => say!("guesses: {plain:.1} ms a token without, {drafted:.1} ms with them"),
        None => say!("guesses were not tried: the time was up"),
    }
    let bound = args.bound * 100.0;
    match (best.perplexity, tuning.is_good(best)) {
        (Some(_), true) => say!("perplexity stays within {bound} % of that of an f16 cache"),
        (Some(_), false) => say!("perplexity is more than {bound} % above that of an f16 cache; give more time with `--minutes`"),
        (None, _) => say!("quality was not measured: no cache less exact than the configured one was tried (`--text FILE` measures it)"),
    }
    say!("\n{lines}");
    Ok(())
}

fn row(trial: &Trial, best: &Outcome) -> [String; 11] {
    let Trial { outcome, speeds } = trial;
    let setting = &outcome.setting;
    let speed = |index: usize, pick: fn(&Speed) -> f64| number(speeds.get(index).map(pick));
    [
        setting.threads.to_string(),
        format!("{}/{}", setting.cache_type_k.name(), setting.cache_type_v.name()),
        if setting.flash_attention { "on" } else { "off" }.to_owned(),
        setting.batch.to_string(),
        speed(0, Speed::prefill_tps),
        speed(0, Speed::decode_tps),
        speed(1, Speed::prefill_tps),
        speed(1, Speed::decode_tps),
        number(Some(outcome.seconds)),
        number(outcome.perplexity),
        if outcome.setting == best.setting { "best" } else { "" }.to_owned(),
    ]
}

fn trial_json(trial: &Trial) -> serde_json::Value {
    let Setting { threads, flash_attention, cache_type_k, cache_type_v, batch } = trial.outcome.setting;
    let speeds = trial
        .speeds
        .iter()
        .map(|speed| json!({"depth": speed.depth, "prefill_tps": speed.prefill_tps(), "decode_tps": speed.decode_tps()}));
    json!({
        "threads": threads,
        "flash_attention": flash_attention,
        "cache_type_k": cache_type_k,
        "cache_type_v": cache_type_v,
        "batch": batch,
        "speed": speeds.collect::<Vec<_>>(),
        "turn_s": trial.outcome.seconds,
        "perplexity": trial.outcome.perplexity,
    })
}

/// The lines for the configuration.
fn config_lines(setting: &Setting, draft: bool) -> Result<String> {
    let mut document = toml_edit::DocumentMut::new();
    edit(&mut document, setting, draft)?;
    Ok(document.to_string().trim().to_owned())
}

/// Sets what was tuned and leaves all else, comments too, as it is.
fn edit(document: &mut toml_edit::DocumentMut, setting: &Setting, draft: bool) -> Result<()> {
    configure::set(document, "model", "threads", i64::from(setting.threads))?;
    configure::set(document, "model", "cache_type_k", setting.cache_type_k.name())?;
    configure::set(document, "model", "cache_type_v", setting.cache_type_v.name())?;
    configure::set(document, "model", "flash_attention", setting.flash_attention)?;
    configure::set(document, "model", "batch", i64::from(setting.batch))?;
    configure::set(document, "engine", "draft", draft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SETTING: Setting =
        Setting { threads: 3, flash_attention: true, cache_type_k: CacheType::Q8_0, cache_type_v: CacheType::Q4_0, batch: 256 };

    const LINES: &str = "[model]\nthreads = 3\ncache_type_k = \"q8_0\"\ncache_type_v = \"q4_0\"\nflash_attention = true\nbatch = 256\n\n\
                         [engine]\ndraft = false";

    #[test]
    fn the_lines_are_a_configuration() {
        assert_eq!(config_lines(&SETTING, false).unwrap(), LINES);
    }

    #[test]
    fn comments_and_other_keys_stay() {
        let before = "# mine\n[model]\nfile = \"a.gguf\" # the good one\nthreads = 9\n\n[tools]\nworkspace = \"w\"\n";
        let mut document: toml_edit::DocumentMut = before.parse().unwrap();
        edit(&mut document, &SETTING, true).unwrap();
        let after = document.to_string();
        assert!(after.starts_with("# mine\n[model]\nfile = \"a.gguf\" # the good one\nthreads = 3\n"), "{after}");
        assert!(after.contains("[tools]\nworkspace = \"w\"\n") && after.contains("[engine]\ndraft = true"), "{after}");
    }

    #[test]
    fn the_template_can_be_edited() {
        let mut document: toml_edit::DocumentMut = crate::config::TEMPLATE.parse().unwrap();
        edit(&mut document, &SETTING, true).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), document.to_string()).unwrap();
        let config = Config::load(file.path(), std::iter::empty()).unwrap();
        assert_eq!((config.model.threads, config.model.cache_type_v, config.engine.draft), (Some(3), Some(CacheType::Q4_0), true));
    }
}
