//! The owner's secrets that are known: tokens in files and variables. What is known is kept out of prompts, steps and what leaves.

use std::path::Path;

use agent::Secrets;
use anyhow::{Context as _, Result};

use crate::parts::Context;

/// Ends of the names of variables that hold secrets.
const ENDS: [&str; 6] = ["TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS"];

/// All of them.
pub fn known(context: &Context) -> Result<Secrets> {
    let config = &context.config;
    let mut values: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| ENDS.iter().any(|end| name.to_uppercase().ends_with(end)))
        .collect();
    let of_servers = config.mcp.iter().flat_map(|server| server.environment_files.values().chain(server.header_files.values()));
    let own = [&config.telegram.token_file, &config.models.token_file, &config.web.key_file].into_iter().flatten();
    for file in own.chain(of_servers) {
        // One that is not there is an error where it is needed.
        if let Ok(text) = std::fs::read_to_string(context.home.resolve(file)) {
            values.push((name_of(file), text));
        }
    }
    for file in &config.tools.secret_files {
        let path = context.home.resolve(file);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("{} of `secret_files` in [tools] cannot be read", path.display()))?;
        values.extend(text.lines().filter(|line| !line.trim().is_empty()).map(|line| (name_of(file), line.to_owned())));
    }
    Ok(Secrets::new(values))
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}
