//! Writes values into the configuration, and leaves everything else in it as it is.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use agent::Rule;
use anyhow::{Context as _, Result, anyhow};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value, value};

use crate::config::{Config, TEMPLATE};
use crate::parts::Context;

/// `file` as it stands in the configuration: from the home, if it is there.
pub fn as_configured(context: &Context, file: &Path) -> PathBuf {
    file.strip_prefix(&context.home.data).unwrap_or(file).to_owned()
}

/// The line for the configuration.
pub fn line(file: &Path) -> String {
    format!("file = {}", toml::Value::String(file.display().to_string()))
}

/// Changes the configuration file at `path`, which is written anew as a whole.
///
/// # Errors
/// The file cannot be read, is no good TOML before or after, or cannot be written; it is unchanged then.
pub fn write(path: &Path, change: impl FnOnce(&mut DocumentMut) -> Result<()>) -> Result<()> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => TEMPLATE.to_owned(),
        Err(e) => return Err(e).with_context(|| format!("{} cannot be read", path.display())),
    };
    let text = changed(&text, change).with_context(|| format!("{} is left as it is", path.display()))?;
    // A link stays a link: what it points to is written.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    replace(&target, &text).with_context(|| format!("{} cannot be written", path.display()))
}

fn changed(text: &str, change: impl FnOnce(&mut DocumentMut) -> Result<()>) -> Result<String> {
    let mut document: DocumentMut =
        text.parse().map_err(|e: toml_edit::TomlError| anyhow!("it cannot be read: {}", e.message().replace('\n', ", ")))?;
    change(&mut document)?;
    let text = document.to_string();
    toml::from_str::<Config>(&text).map_err(|e| anyhow!("it would not be good any more: {}", e.message().replace('\n', ", ")))?;
    Ok(text)
}

/// Puts `rule` in front of the rules of the policy: of the rules that match the first one decides.
pub fn add_rule(document: &mut DocumentMut, rule: &Rule) -> Result<()> {
    let text = toml::to_string(rule).context("the rule cannot be written")?;
    let table: DocumentMut = text.parse().context("the rule cannot be written")?;
    let rules = document.entry("policy").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let rules = rules.as_array_of_tables_mut().ok_or_else(|| anyhow!("`policy` in it is no list of tables"))?;
    let mut all = ArrayOfTables::new();
    all.push(table.as_table().clone());
    // The place of each in the file goes by its number; without one they stand in the order of the list.
    for old in rules.iter() {
        let mut old = old.clone();
        old.set_position(None);
        all.push(old);
    }
    *rules = all;
    Ok(())
}

/// Sets `key` in the section `section`, with the comment that stands behind it.
pub fn set(document: &mut DocumentMut, section: &str, key: &str, new: impl Into<Value>) -> Result<()> {
    let table = document.entry(section).or_insert_with(|| Item::Table(Table::new()));
    let table = table.as_table_like_mut().ok_or_else(|| anyhow!("`{section}` in it is no section"))?;
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = new.into();
            *old.decor_mut() = decor;
        }
        None => drop(table.insert(key, value(new))),
    }
    Ok(())
}

/// Sets `file` in the section `section`.
pub fn set_file(document: &mut DocumentMut, section: &str, file: &Path) -> Result<()> {
    set(document, section, "file", file.to_str().ok_or_else(|| anyhow!("{} is no UTF-8", file.display()))?)
}

/// Puts `text` in the place of `path` at once, with the rights that it had.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let new = folder.join(format!(".paguro.toml.{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || -> std::io::Result<()> {
        let mut file = options.open(&new)?;
        file.write_all(text.as_bytes())?;
        if let Ok(metadata) = path.metadata() {
            file.set_permissions(metadata.permissions())?;
        }
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    let result = write();
    if result.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str, section: &str, file: &Path) -> Result<String> {
        changed(text, |document| set_file(document, section, file))
    }

    #[test]
    fn one_line_changes() {
        let check = |text: &str, expected: &str| {
            assert_eq!(with_file(text, "model", Path::new("models/m.gguf")).unwrap(), expected);
        };
        check("", "[model]\nfile = \"models/m.gguf\"\n");
        check("# mine\n[model]\nfile = 'a' # old\ncontext = 4096\n", "# mine\n[model]\nfile = \"models/m.gguf\" # old\ncontext = 4096\n");
        check("[limits]\nmax_steps = 3 # few\n", "[limits]\nmax_steps = 3 # few\n\n[model]\nfile = \"models/m.gguf\"\n");
        let written = with_file(TEMPLATE, "model", Path::new("m.gguf")).unwrap();
        let config: Config = toml::from_str(&written).unwrap();
        assert_eq!(config.model.file, Some("m.gguf".into()));
        assert_eq!(written.lines().count(), TEMPLATE.lines().count() + 1);
        assert!(with_file("[model\n", "model", Path::new("m")).is_err());
        assert!(with_file("model = 3\n", "model", Path::new("m")).is_err());
    }

    #[test]
    fn the_line_is_toml() {
        assert_eq!(line(Path::new("models/m.gguf")), "file = \"models/m.gguf\"");
    }
}
