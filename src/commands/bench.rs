//! `paguro model bench`: how fast a model is here, how long one waits for it, and what a smaller cache costs.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use engine::{Against, CacheType, Engine, LoadOptions, ModelSource, QualityTest, Reference, Speed, SpeedTest};
use serde::Serialize;
use serde_json::json;

use super::print_json;
use crate::args::{BenchArgs, ListFormat};
use crate::exit::BadInput;
use crate::measure::latency::{self, Latency};
use crate::measure::table::{number, table};
use crate::measure::{Workbench, or_own, progress, text_of};
use crate::parts::Context;

/// Tokens prefilled and decoded at each depth.
const PREFILL: u32 = 512;
const DECODE: u32 = 32;
/// Foretellings that are compared between cache types.
pub const KL_POSITIONS: u32 = 512;

/// What one type of cache makes of a text.
#[derive(Debug, Serialize)]
pub struct CacheQuality {
    /// The type that was asked for, for K and V.
    cache: &'static str,
    /// The types in use: a model's shape may not allow what was asked for.
    used: String,
    tokens: u32,
    pub perplexity: f64,
    kl_from_f16: Option<f64>,
    same_best_as_f16: Option<f64>,
    kl_positions: Option<u32>,
}

pub async fn run(args: &BenchArgs) -> Result<ExitCode> {
    let text = text_of(args.text.as_deref())?;
    let context = Context::read()?;
    let options = LoadOptions { kv_folder: None, ..context.load_options(args.model.as_deref())? };
    if matches!(options.source, ModelSource::Script(_)) {
        return Err(BadInput("a script has no speed; give a model".into()).into());
    }
    let mut bench = Workbench::new();
    let engine = bench.load(options.clone()).await?;
    let info = engine.info().clone();
    let own = or_own(text.as_deref());
    let speeds = speeds(&bench, &engine, &args.depth, &own).await?;
    drop(engine);
    // A conversation of a real length, with room for what is said.
    let depth = speeds.iter().map(|speed| speed.depth).find(|depth| *depth > 0).unwrap_or(512).min(info.context / 2);
    tell!("replies in a conversation of {depth} tokens");
    let latencies = latency::measure(&mut bench, &options, &own, depth).await?;
    let mut qualities = Vec::new();
    if let Some(text) = &text {
        qualities = quality(&mut bench, &options, text, args.text_tokens).await?;
    }
    match args.list.format {
        ListFormat::Json => print_json(&json!({
            "model": info,
            "threads": options.threads,
            "batch": options.batch,
            "speed": speeds.iter().map(speed_json).collect::<Vec<_>>(),
            "latency_depth": depth,
            "latency": latencies,
            "quality": qualities,
        }))?,
        ListFormat::Text => {
            say!("{}: {} tokens of context, batches of {}\n", info.name, info.context, options.batch);
            print(&speeds, &latencies, &qualities)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Speed at those of `depths` that the context has room for.
async fn speeds(bench: &Workbench, engine: &Engine, depths: &[u32], text: &str) -> Result<Vec<Speed>> {
    let room = engine.info().context.saturating_sub(DECODE + 1);
    let (fits, over): (Vec<u32>, Vec<u32>) = depths.iter().partition(|depth| depth.saturating_add(PREFILL.min(room)) <= room);
    if let Some(least) = over.iter().min() {
        tell!("depth {least} and more do not fit into a context of {} tokens and are left out", engine.info().context);
    }
    let test = SpeedTest { text: text.into(), depths: fits, prefill: PREFILL.min(room), decode: DECODE };
    bench.unless_stopped(engine.speed(test, progress("speed".into()))).await
}

fn speed_json(speed: &Speed) -> serde_json::Value {
    json!({
        "depth": speed.depth,
        "prefill_tokens": speed.prefill_tokens,
        "prefill_tps": speed.prefill_tps(),
        "decode_tokens": speed.decode_tokens,
        "decode_tps": speed.decode_tps(),
    })
}

/// Perplexity with each type of cache, and how far it is from that of f16. The engines are loaded one after another.
async fn quality(bench: &mut Workbench, options: &LoadOptions, text: &str, most: u32) -> Result<Vec<CacheQuality>> {
    let mut found = Vec::new();
    let mut reference: Option<Arc<Reference>> = None;
    for cache in [CacheType::F16, CacheType::Q8_0, CacheType::Q4_0] {
        let name = cache.name();
        tell!("perplexity with a cache of {name}");
        let options = LoadOptions { cache_type_k: cache, cache_type_v: cache, ..options.clone() };
        let engine = bench.load(options).await?;
        let against = reference.clone().map_or(Against::Keep(KL_POSITIONS), Against::Kept);
        let test = QualityTest { text: text.into(), window: None, most: Some(most), against };
        let quality = bench.unless_stopped(engine.quality(test, progress(format!("perplexity, {name}")))).await?;
        let used = [engine.info().cache_type_k, engine.info().cache_type_v].map(|used| used.map_or("none", CacheType::name));
        found.push(CacheQuality {
            cache: name,
            used: used.join("/"),
            tokens: quality.tokens,
            perplexity: quality.perplexity(),
            kl_from_f16: quality.divergence.map(|divergence| divergence.mean),
            same_best_as_f16: quality.divergence.map(|divergence| divergence.same_best),
            kl_positions: quality.divergence.map(|divergence| divergence.positions),
        });
        reference = reference.or(quality.reference);
    }
    Ok(found)
}

fn print(speeds: &[Speed], latencies: &[Latency], qualities: &[CacheQuality]) -> Result<()> {
    let rows: Vec<_> =
        speeds.iter().map(|speed| [speed.depth.to_string(), number(Some(speed.prefill_tps())), number(Some(speed.decode_tps()))]).collect();
    let mut lines = table(["depth", "prefill tokens/s", "decode tokens/s"], &rows);
    let rows: Vec<_> = latencies
        .iter()
        .map(|one| {
            [
                one.state.to_owned(),
                one.reused_tokens.to_string(),
                one.prefilled_tokens.to_string(),
                number(Some(one.first_token_ms)),
                number(one.between_ms_median),
                number(one.between_ms_p95),
                number(Some(one.total_ms)),
            ]
        })
        .collect();
    lines.push(String::new());
    lines.extend(table(["reply", "reused", "prefilled", "first token ms", "between ms", "95 %", "total ms"], &rows));
    if !qualities.is_empty() {
        let rows: Vec<_> = qualities
            .iter()
            .map(|one| {
                let same = one.same_best_as_f16.map(|share| share * 100.0);
                [one.cache.to_owned(), one.used.clone(), number(Some(one.perplexity)), number(one.kl_from_f16), number(same)]
            })
            .collect();
        lines.push(String::new());
        lines.extend(table(["cache", "in use (K/V)", "perplexity", "KL from f16 (nats)", "same best token %"], &rows));
        let compared = qualities.iter().find_map(|one| one.kl_positions).unwrap_or(0);
        let tokens = qualities.first().map_or(0, |one| one.tokens);
        lines.push(format!("({tokens} tokens foretold, {compared} of them compared with f16)"));
    }
    for line in lines {
        say!("{line}");
    }
    Ok(())
}
