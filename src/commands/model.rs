//! `paguro model`: look at a model before using it.

use std::process::ExitCode;

use anyhow::Result;
use engine::{Bytes, CacheType, DevicePlan, Plan};

use super::print_json;
use crate::args::{ListArgs, ListFormat, ModelCommand, PlanArgs};
use crate::exit;
use crate::parts::{self, Context, load_quietly};

pub async fn run(command: &ModelCommand) -> Result<ExitCode> {
    match command {
        ModelCommand::Check { model, list } => check(model.as_deref(), list).await,
        ModelCommand::Plan(args) => plan(args).await,
    }
}

/// Status 1 if it does not fit.
async fn plan(args: &PlanArgs) -> Result<ExitCode> {
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
    for DevicePlan { name, weights, kv, compute, free, .. } in &plan.devices {
        let free = free.map_or_else(|| "free memory unknown".to_owned(), |free| format!("of {} free", Bytes(free)));
        let parts = format!("{free}: weights {}, K/V cache {}, compute {}", Bytes(*weights), Bytes(*kv), Bytes(*compute));
        row(name, weights + kv + compute, &parts)?;
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

async fn check(model: Option<&str>, list: &ListArgs) -> Result<ExitCode> {
    let context = Context::read()?;
    let engine = load_quietly(context.load_options(model)?).await?;
    let info = engine.info();
    match list.format {
        ListFormat::Json => print_json(info)?,
        ListFormat::Text => {
            say!("name          {}", info.name);
            say!("architecture  {}", info.architecture);
            say!("parameters    {}", count(info.parameters));
            say!("weights       {}B", count(info.weight_bytes));
            say!("context       {} tokens, trained for {}", info.context, info.trained_context);
            say!("tools         {}", if info.tools { "yes, by the template's own format" } else { "the template has no place for them" });
            say!("loaded in     {:.0} ms", info.load_ms);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `1.7 M`, `95.1 G`.
pub fn count(n: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut rest = n as f64;
    for unit in ["", "k", "M", "G"] {
        if rest < 1000.0 {
            return if unit.is_empty() { format!("{n} ") } else { format!("{rest:.1} {unit}") };
        }
        rest /= 1000.0;
    }
    format!("{rest:.1} T")
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts() {
        let check = |n: u64, expected: &str| assert_eq!(super::count(n), expected);
        check(0, "0 ");
        check(999, "999 ");
        check(1_700_000, "1.7 M");
        check(95_100_000_000, "95.1 G");
        check(u64::MAX, "18446744.1 T");
    }
}
