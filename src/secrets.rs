//! The owner's secrets that are known: tokens in files and variables. What is known is kept out of prompts, steps, logs and what leaves.
//!
//! As a service the program is given its secret files as credentials (`LoadCredential=` of systemd); [`place`] finds them there.

use std::path::{Path, PathBuf};

use agent::Secrets;
use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::home::Home;
use crate::parts::Context;

/// Ends of the names of variables that hold secrets.
const ENDS: [&str; 6] = ["TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS"];

/// Where systemd has put the credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Bytes of a file's name that its credential's name shows.
const SHOWN_NAME: usize = 48;

/// All of them.
pub fn known(context: &Context) -> Result<Secrets> {
    values(context).map(Secrets::new)
}

/// All of them as they are, and as they stand in JSON, by name.
pub fn for_logs(context: &Context) -> Result<Secrets> {
    let mut values = values(context)?;
    let in_json = |value: &str| Some(serde_json::to_string(value.trim()).ok()?.trim_matches('"').to_owned());
    let others: Vec<(String, String)> =
        values.iter().filter_map(|(name, value)| Some((name.clone(), in_json(value).filter(|text| text != value.trim())?))).collect();
    values.extend(others);
    Ok(Secrets::new(values))
}

fn values(context: &Context) -> Result<Vec<(String, String)>> {
    let (config, home) = (&context.config, &context.home);
    let mut values: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| ENDS.iter().any(|end| name.to_uppercase().ends_with(end)))
        .collect();
    for file in single(config) {
        // One that is not there is an error where it is needed.
        if let Ok(text) = std::fs::read_to_string(place(home, file)) {
            values.push((name_of(file), text));
        }
    }
    for file in &config.tools.secret_files {
        let path = place(home, file);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("{} of `secret_files` in [tools] cannot be read", path.display()))?;
        values.extend(text.lines().filter(|line| !line.trim().is_empty()).map(|line| (name_of(file), line.to_owned())));
    }
    Ok(values)
}

/// The files that hold one secret each.
fn single(config: &Config) -> impl Iterator<Item = &PathBuf> {
    let of_servers = config.mcp.iter().flat_map(|server| server.environment_files.values().chain(server.header_files.values()));
    let own = [&config.telegram.token_file, &config.models.token_file, &config.web.key_file];
    own.into_iter().flatten().chain(config.telegram.webhook.iter().map(|webhook| &webhook.secret_file)).chain(of_servers)
}

/// Every file with secrets that the configuration names.
pub fn files(config: &Config) -> impl Iterator<Item = &PathBuf> {
    single(config).chain(&config.tools.secret_files)
}

/// Where the secret file that is configured as `file` is read: the credential of it if the process was given one, else the file itself.
pub fn place(home: &Home, file: &Path) -> PathBuf {
    place_in(std::env::var_os(CREDENTIALS).map(PathBuf::from).as_deref(), home.resolve(file))
}

fn place_in(credentials: Option<&Path>, file: PathBuf) -> PathBuf {
    let given = credentials.map(|folder| folder.join(credential_name(&file))).filter(|given| given.is_file());
    given.unwrap_or(file)
}

/// What the credential of `file` is called: as the file, in letters that need no quotes, and different for files of the same name.
pub fn credential_name(file: &Path) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    let name: String = name_of(file).chars().filter(is_plain).take(SHOWN_NAME).collect();
    let sum = Sha256::digest(file.as_os_str().as_encoded_bytes());
    format!("{}-{:02x}{:02x}{:02x}{:02x}", name.trim_start_matches('.'), sum[0], sum[1], sum[2], sum[3])
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_read_in_the_place_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let (mine, other) = (PathBuf::from("/h/telegram.token"), PathBuf::from("/g/telegram.token"));
        let given = folder.path().join(credential_name(&mine));
        std::fs::write(&given, "x").unwrap();
        assert_eq!(place_in(Some(folder.path()), mine.clone()), given);
        assert_eq!(place_in(Some(folder.path()), other.clone()), other);
        assert_eq!(place_in(None, mine.clone()), mine);
    }

    #[test]
    fn names_of_credentials() {
        let name = credential_name(Path::new("/a b/.my: 100% token"));
        assert_eq!(name.rsplit_once('-').map(|(name, sum)| (name, sum.len())), Some(("my100token", 8)));
        assert_ne!(credential_name(Path::new("/a/t")), credential_name(Path::new("/b/t")));
    }
}
