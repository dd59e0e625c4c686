//! `paguro model`: look at a model before using it.

use std::process::ExitCode;

use anyhow::Result;

use super::print_json;
use crate::args::{ListFormat, ModelCommand};
use crate::parts::{Context, load_quietly};

pub async fn run(command: &ModelCommand) -> Result<ExitCode> {
    let (model, list) = match command {
        ModelCommand::Check { model, list } => (model, list),
        ModelCommand::Bench(args) => return super::bench::run(args).await,
        ModelCommand::Tune(args) => return super::tune::run(args).await,
    };
    let context = Context::read()?;
    let engine = load_quietly(context.load_options(model.as_deref())?).await?;
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
