//! How long somebody waits: for the first token, between tokens, for the whole reply; cold, warm, restored and forked.

use std::time::Instant;

use anyhow::{Result, bail};
use engine::{Delta, Engine, Finish, ForkPoint, LoadOptions, Message, Request, Role};
use serde::Serialize;

use super::{Workbench, cut_to, request, user};

/// Most tokens of a reply.
const REPLY: u32 = 64;

/// One reply, timed from outside.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// `cold`, `warm`, `forked` or `restored`.
    pub state: &'static str,
    pub reused_tokens: u32,
    pub prefilled_tokens: u32,
    /// From the request to the first token, in milliseconds; loading the model is not in it.
    pub first_token_ms: f64,
    /// Between two pieces of the reply, in milliseconds; `None` where it had only one.
    pub between_ms_median: Option<f64>,
    pub between_ms_p95: Option<f64>,
    /// From the request to the end, in milliseconds.
    pub total_ms: f64,
}

/// Four replies in a conversation of about `depth` tokens: without anything in the cache, one turn later, from a fork, after a restart.
pub async fn measure(bench: &mut Workbench, options: &LoadOptions, text: &str, depth: u32) -> Result<Vec<Latency>> {
    let folder = tempfile::tempdir()?;
    let options = LoadOptions { kv_folder: Some(folder.path().to_owned()), ..options.clone() };
    let engine = bench.load(options.clone()).await?;
    let text = cut_to(&engine, text, depth).await?;
    let mut messages = vec![Message::new(Role::System, "Answer in full sentences."), user(format!("{text}\n\nWhat is this about?"))];
    let mut found = Vec::new();
    for (state, question) in [("cold", "Say it in other words."), ("warm", "What is missing?"), ("forked", "What comes next?")] {
        let name = if state == "forked" { "fork" } else { "bench" };
        if state == "forked" {
            engine.fork("bench", name, ForkPoint::End).await?;
        }
        let (latency, finish) = bench.unless_stopped(reply(&engine, state, request(name, &messages, REPLY))).await?;
        found.push(latency);
        messages.extend([finish.message, user(question)]);
    }
    // The fork's turn is not the conversation's.
    messages.truncate(messages.len() - 2);
    drop(engine);
    let engine = bench.load(options).await?;
    let (latency, _) = bench.unless_stopped(reply(&engine, "restored", request("bench", &messages, REPLY))).await?;
    found.push(latency);
    Ok(found)
}

async fn reply(engine: &Engine, state: &'static str, request: Request) -> Result<(Latency, Finish)> {
    let start = Instant::now();
    let mut generation = engine.generate(request).await?;
    let mut times = Vec::new();
    while let Some(delta) = generation.next().await {
        match delta? {
            Delta::Text(_) | Delta::Reasoning(_) => times.push(start.elapsed().as_secs_f64() * 1e3),
            Delta::Finish(finish) => {
                let latency = latency(state, &times, &finish, start.elapsed().as_secs_f64() * 1e3);
                return Ok((latency, *finish));
            }
            Delta::Prefill { .. } => {}
        }
    }
    bail!("the generation ended without a finish")
}

fn latency(state: &'static str, times: &[f64], finish: &Finish, total_ms: f64) -> Latency {
    let mut gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    Latency {
        state,
        reused_tokens: finish.usage.reused_tokens,
        prefilled_tokens: finish.usage.prefilled_tokens,
        first_token_ms: finish.timings.first_token_ms,
        between_ms_median: quantile(&gaps, 0.5),
        between_ms_p95: quantile(&gaps, 0.95),
        total_ms,
    }
}

/// The value of rank `share` among ascending ones (nearest rank).
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank among few")]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.95), quantile(&[], 0.5)), (Some(10.0), Some(19.0), None));
        assert_eq!(quantile(&[7.0], 0.95), Some(7.0));
    }
}
