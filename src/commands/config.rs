//! `paguro config`: write, check and show the configuration, and try the policy out.

mod bot;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::print_json;
use crate::args::{CallArgs, ConfigCommand, ListArgs, ListFormat};
use crate::config::{TEMPLATE, flat};
use crate::exit::BadInput;
use crate::home::Home;
use crate::parts::Context;
use crate::toolbox;

pub async fn run(command: &ConfigCommand) -> Result<ExitCode> {
    match command {
        ConfigCommand::Init => init().await,
        ConfigCommand::Check => check(),
        ConfigCommand::Show(list) => show(list),
        ConfigCommand::Policy { tool, arguments, call, list } => policy(tool, arguments, call, list),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the file, and asks for the bot's token and its owner where somebody answers.
async fn init() -> Result<()> {
    let file = Home::find(|name| std::env::var_os(name))?.config;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = match options.open(&file) {
        Ok(out) => out,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return again(&file).await,
        Err(e) => return Err(e).with_context(|| format!("{} cannot be written", file.display())),
    };
    out.write_all(TEMPLATE.as_bytes()).with_context(|| format!("{} cannot be written", file.display()))?;
    say!("wrote {}; every key in it shows its default", file.display());
    if !bot::ask(&Context::read()?).await? {
        say!("next: `paguro model pull NAME --use` for a model, `paguro chat` to talk");
    }
    Ok(())
}

/// A file that is there stays as it is, but a bot that it has none of can be added.
async fn again(file: &Path) -> Result<()> {
    let there = || BadInput(format!("{} is there already; edit it, or move it away first", file.display()));
    let context = Context::read()?;
    if context.config.telegram.is_configured() || !bot::ask(&context).await? {
        return Err(there().into());
    }
    Ok(())
}

fn check() -> Result<()> {
    let context = Context::read()?;
    context.source(None)?;
    context.open_workspace()?;
    let file = &context.home.config;
    if file.exists() {
        say!("{} is good", file.display());
    } else {
        say!("there is no {}; the defaults are in use (`paguro config init` writes a file to start from)", file.display());
    }
    Ok(())
}

fn show(list: &ListArgs) -> Result<()> {
    let context = Context::read()?;
    let keys = flat(&context.config);
    match list.format {
        ListFormat::Json => print_json(&keys),
        ListFormat::Text => {
            say!("# {}", context.home.config.display());
            say!("{}", context.config.to_toml().trim_end());
            Ok(())
        }
    }
}

fn policy(tool: &str, arguments: &str, call: &CallArgs, list: &ListArgs) -> Result<()> {
    let context = Context::read()?;
    let arguments: serde_json::Value = serde_json::from_str(arguments).ok().filter(serde_json::Value::is_object).ok_or_else(|| {
        BadInput(format!("{arguments} is not a JSON object; give the tool's arguments, such as '{{\"command\":\"ls\"}}'"))
    })?;
    let path = arguments.get("path").and_then(serde_json::Value::as_str);
    let leads_to = path.and_then(|path| context.open_workspace().ok()?.leads_to(path));
    let facts = agent::CallFacts {
        tool,
        effect: toolbox::effect_of(&context.config, tool, &arguments).or(call.effect),
        arguments: &arguments,
        session: &call.session,
        channel: &call.channel,
        foreign: call.foreign.as_deref(),
        leads_to: leads_to.as_deref(),
    };
    let verdict = agent::decide(&context.config.policy, &facts);
    match list.format {
        ListFormat::Json => print_json(&verdict),
        ListFormat::Text => {
            let decision = serde_json::to_value(verdict.decision)?;
            say!("{} ({}): {}", decision.as_str().unwrap_or_default(), verdict.rule, verdict.reason);
            Ok(())
        }
    }
}
