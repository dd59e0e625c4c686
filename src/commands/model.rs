//! `paguro model`: fetch, list, check and remove models.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use channels::visible;
use engine::{GgufHeader, ModelInfo, ModelSource, Sampling};
use serde_json::json;

use super::print_json;
use crate::args::{ListFormat, ModelCommand};
use crate::models::catalogue::catalogue;
use crate::models::choose::Wanted;
use crate::models::disk::OnDisk;
use crate::models::prefix::{self, Prefix};
use crate::models::pull::{Pulled, pull};
use crate::models::{bytes, configure, disk, rm};
use crate::parts::{Context, load_quietly, on_ctrl_c};

pub async fn run(command: &ModelCommand) -> Result<ExitCode> {
    match command {
        ModelCommand::Pull { model: None, list, .. } => show_catalogue(list.format)?,
        ModelCommand::Pull { model: Some(model), r#use, list } => fetch(model, *r#use, list.format).await?,
        ModelCommand::List(list) => show_list(list.format)?,
        ModelCommand::Rm { name, force } => {
            let freed = rm::remove(&Context::read()?, name, *force)?;
            say!("removed {}, {} freed", visible(name), bytes(freed));
        }
        ModelCommand::Check { model, list } => check(model.as_deref(), list.format).await?,
        ModelCommand::Plan(args) => return super::plan::run(args).await,
        ModelCommand::Embed(args) => return super::embed::run(args).await,
        ModelCommand::Bench(args) => return super::bench::run(args).await,
        ModelCommand::Tune(args) => return super::tune::run(args).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn show_catalogue(format: ListFormat) -> Result<()> {
    match format {
        ListFormat::Json => print_json(catalogue()),
        ListFormat::Text => {
            for line in catalogue().lines() {
                say!("{line}");
            }
            say!("");
            say!("`paguro model pull NAME` fetches one of these, `paguro model pull OWNER/NAME:QUANT` any other.");
            Ok(())
        }
    }
}

async fn fetch(model: &str, use_it: bool, format: ListFormat) -> Result<()> {
    let wanted = Wanted::parse(model)?;
    let context = Context::read()?;
    let Pulled { file, size, was_there } = pull(&context, &wanted, &on_ctrl_c()).await?;
    let header = GgufHeader::read(&file)?;
    let section = section_of(&wanted, &header);
    let named = configure::as_configured(&context, &file);
    let config = &context.home.config;
    if use_it {
        configure::write(config, |document| configure::set_file(document, section, &named))?;
    }
    if format == ListFormat::Json {
        let line = configure::line(&named);
        let pulled = json!({ "file": file, "size": size, "was_there": was_there, "section": section, "line": line, "configured": use_it, "header": header });
        return print_json(&pulled);
    }
    let how = if was_there { "was there already, sum checked" } else { "fetched, sum checked" };
    say!("{}: {}, {how}", file.display(), facts(size, &header));
    if use_it {
        say!("{} names it now under [{section}]", config.display());
    } else {
        say!("to use it, write in {} under [{section}] (or pull with --use):", config.display());
        say!("{}", configure::line(&named));
    }
    Ok(())
}

/// Which section of the configuration names such a model: one that is not made for talking is an embedder.
fn section_of(wanted: &Wanted, header: &GgufHeader) -> &'static str {
    let is_listed = catalogue().embedders.iter().any(|entry| entry.repo == wanted.repo);
    let is_bert = header.architecture.as_deref().is_some_and(|name| name.contains("bert") || name.contains("embed"));
    if is_listed || is_bert || !header.has_template { "embedder" } else { "model" }
}

/// `2.5 GB, qwen3, Q4_K_M, context 40960`.
fn facts(size: u64, header: &GgufHeader) -> String {
    let mut facts = vec![bytes(size)];
    facts.extend(header.architecture.clone());
    facts.extend(header.quant.clone());
    facts.extend(header.trained_context.map(|tokens| format!("context {tokens}")));
    visible(&facts.join(", ")).into_owned()
}

fn show_list(format: ListFormat) -> Result<()> {
    let context = Context::read()?;
    let (models, unfinished) = (disk::list(&context)?, disk::unfinished(&context)?);
    if format == ListFormat::Json {
        let unfinished: Vec<_> = unfinished.iter().map(|(file, size)| json!({ "file": file, "size": size })).collect();
        return print_json(&json!({ "folder": disk::folder(&context), "models": models, "unfinished": unfinished }));
    }
    for OnDisk { file, size, parts, configured, header, error } in &models {
        let mut says = match header {
            Some(header) => facts(*size, header),
            None => bytes(*size),
        };
        if *parts > 1 {
            says += &format!(", {parts} files");
        }
        if *configured {
            says += ", configured";
        }
        if let Some(error) = error {
            says += &format!("; CANNOT BE USED: {error}");
        }
        say!("{}  {}", visible(file), visible(&says));
    }
    for (file, size) in &unfinished {
        say!("{}  {} of a download that was not finished; pull it again, or remove it", visible(file), bytes(*size));
    }
    if models.is_empty() && unfinished.is_empty() {
        tell!("there are no models in {} yet; `paguro model pull` shows good ones", disk::folder(&context).display());
    }
    Ok(())
}

async fn check(model: Option<&str>, format: ListFormat) -> Result<()> {
    let context = Context::read()?;
    let options = context.load_options(model)?;
    let header = header_of(&options.source)?;
    let engine = load_quietly(options).await?;
    let prefix = prefix::measure(&engine).await;
    let info = engine.info();
    match format {
        ListFormat::Json => {
            let mut all = serde_json::to_value(info)?;
            // A model that loads is of an architecture that this llama.cpp knows, and has a template.
            all["supported"] = true.into();
            all["header"] = serde_json::to_value(header)?;
            all["prefix"] = match prefix {
                Ok(prefix) => serde_json::to_value(prefix)?,
                Err(error) => json!({ "error": format!("{error:#}") }),
            };
            print_json(&all)
        }
        ListFormat::Text => show_check(info, header.as_ref(), prefix),
    }
}

/// The header of what is about to be loaded; a script has none.
fn header_of(source: &ModelSource) -> Result<Option<GgufHeader>> {
    Ok(match source {
        ModelSource::File(file) => Some(GgufHeader::read(file)?),
        ModelSource::Embedded { name, bytes } => {
            Some(GgufHeader::from_reader(Path::new(name), std::io::Cursor::new(bytes), bytes.len() as u64)?)
        }
        ModelSource::Script(_) => None,
    })
}

fn show_check(info: &ModelInfo, header: Option<&GgufHeader>, prefix: Result<Prefix>) -> Result<()> {
    let tools = match header.and_then(|header| header.tool_format.as_deref()) {
        _ if !info.tools => "the template has no place for them".to_owned(),
        Some(marker) => format!("yes, by the template's own format, with {marker}"),
        None => "yes, by the template's own format".to_owned(),
    };
    let from =
        if header.is_some_and(|header| header.sampling) { "recommended by the file" } else { "Paguro's own, the file recommends nothing" };
    let prefix = prefix.map_or_else(|error| format!("could not be measured: {error:#}"), |prefix| prefix.says());
    say!("name          {}", visible(&info.name));
    say!("architecture  {}, supported", visible(&info.architecture));
    say!("parameters    {}", count(info.parameters));
    say!("weights       {}", bytes(info.weight_bytes));
    if let Some(quant) = header.and_then(|header| header.quant.as_deref()) {
        say!("quantised     {}", visible(quant));
    }
    say!("context       {} tokens, trained for {}", info.context, info.trained_context);
    say!("template      {}", if header.is_none_or(|header| header.has_template) { "yes" } else { "none" });
    say!("tools         {}", visible(&tools));
    say!("sampling      {} ({from})", sampling(&info.sampling));
    say!("prefix stable {}", visible(&prefix));
    say!("loaded in     {:.0} ms", info.load_ms);
    Ok(())
}

/// `temperature 0.7, top_p 0.8`.
fn sampling(sampling: &Sampling) -> String {
    let Sampling { temperature, top_p, top_k, min_p, repeat_penalty, seed: _ } = sampling;
    let float = |name: &str, value: &Option<f32>| value.map(|value| format!("{name} {value}"));
    let top_k = top_k.map(|value| format!("top_k {value}"));
    let all =
        [float("temperature", temperature), float("top_p", top_p), top_k, float("min_p", min_p), float("repeat_penalty", repeat_penalty)];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
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
