//! `paguro model plan`: what a model would take here, before it is loaded.

use std::process::ExitCode;

use anyhow::Result;
use engine::{Bytes, CacheType, DevicePlan, Plan};

use super::print_json;
use crate::args::{ListFormat, PlanArgs};
use crate::exit;
use crate::parts::{self, Context};

/// Status 1 if it does not fit.
pub async fn run(args: &PlanArgs) -> Result<ExitCode> {
    let mut options = Context::read()?.load_options(args.model.as_deref())?;
    options.context = args.context.or(options.context);
    options.cache_type_k = args.cache_type_k.unwrap_or(options.cache_type_k);
    options.cache_type_v = args.cache_type_v.unwrap_or(options.cache_type_v);
    let plan = parts::plan(options).await?;
    match args.list.format {
        ListFormat::Json => {
            let mut value = serde_json::to_value(&plan)?;
            value["needs"] = plan.needs().into();
            value["fits"] = plan.fits().into();
            print_json(&value)?;
        }
        ListFormat::Text => print_plan(&plan)?,
    }
    Ok(ExitCode::from(if plan.fits() { exit::ANSWERED } else { exit::FAILED }))
}

fn print_plan(plan: &Plan) -> Result<()> {
    let row = |name: &str, bytes: u64, words: &str| {
        say!("{name:<13} {:>9}{}{words}", Bytes(bytes), if words.is_empty() { "" } else { "  " });
        anyhow::Ok(())
    };
    say!("model         {}", plan.model);
    say!("context       {} tokens, trained for {}", plan.context, plan.trained_context);
    row("weights", plan.weights, if plan.mapped { "mapped from the file, so the system may drop and reread them" } else { "" })?;
    row("K/V cache", plan.kv, &cache_types(plan))?;
    row("checkpoints", plan.checkpoints, "")?;
    row("compute", plan.compute, "")?;
    row("embedder", plan.embedder, "")?;
    row("overhead", plan.overhead, "vocabulary and bookkeeping, an estimate")?;
    row("needs", plan.needs(), "")?;
    row("has", plan.machine.available, &format!("{}; the machine has {}", plan.machine.bound.words(), Bytes(plan.machine.total)))?;
    for device @ DevicePlan { name, weights, kv, compute, embedder, free, .. } in &plan.devices {
        let place = device.worker.as_ref().map_or_else(String::new, |_| format!(" on {}", device.place()));
        let free = free.map_or_else(|| format!("free memory{place} unknown"), |free| format!("of {} free{place}", Bytes(free)));
        let parts = format!(
            "{free}: weights {}, K/V cache {}, compute {}, embedder {}",
            Bytes(*weights),
            Bytes(*kv),
            Bytes(*compute),
            Bytes(*embedder)
        );
        row(name, device.needs(), &parts)?;
    }
    if let Some(attention) = plan.attention {
        say!("attention     {attention}");
    }
    match (&plan.way_out, plan.largest_context) {
        (Some(way_out), _) => say!("fits          no: {way_out}"),
        (None, Some(largest)) => say!("fits          yes; the largest context that does is {largest} tokens"),
        (None, None) => say!("fits          yes"),
    }
    Ok(())
}

/// The types, against f16, the type in which llama.cpp itself keeps the cache unless told otherwise.
fn cache_types(plan: &Plan) -> String {
    let (Some(k), Some(v)) = (plan.cache_type_k, plan.cache_type_v) else { return String::new() };
    let percent = 100 * (k.block_bytes() + v.block_bytes()) / (2 * CacheType::F16.block_bytes());
    let default = if (k, v) == (CacheType::Q4_0, CacheType::Q4_0) { ", the default" } else { "" };
    format!("{}/{}{default}: {percent} % of f16", k.name(), v.name())
}
