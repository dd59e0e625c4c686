//! Where things are kept: `PAGURO_HOME`, or the XDG folders.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The folders of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The configuration file.
    pub config: PathBuf,
    /// Database, models, workspace; relative paths of the configuration begin here.
    pub data: PathBuf,
    /// What can be made again.
    pub cache: PathBuf,
}

impl Home {
    /// From the variables that `variable` knows.
    pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let folder = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(home) = folder("PAGURO_HOME") {
            let home = std::path::absolute(&home).with_context(|| format!("PAGURO_HOME={} is not a path", home.display()))?;
            return Ok(Self { config: home.join("paguro.toml"), data: home.clone(), cache: home.join("cache") });
        }
        let user = folder("HOME").context("neither PAGURO_HOME nor HOME is set; set PAGURO_HOME to a folder of yours")?;
        let xdg = |name: &str, fallback: &str| folder(name).filter(|path| path.is_absolute()).unwrap_or_else(|| user.join(fallback));
        Ok(Self {
            config: xdg("XDG_CONFIG_HOME", ".config").join("paguro/paguro.toml"),
            data: xdg("XDG_DATA_HOME", ".local/share").join("paguro"),
            cache: xdg("XDG_CACHE_HOME", ".cache").join("paguro"),
        })
    }

    /// `path`, from the data folder if it is relative.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.data.join(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], expected: Option<[&str; 3]>) {
        let home = Home::find(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())).ok();
        let expected = expected.map(|[config, data, cache]| Home { config: config.into(), data: data.into(), cache: cache.into() });
        assert_eq!(home, expected, "{variables:?}");
    }

    #[test]
    fn the_folders() {
        check(&[("PAGURO_HOME", "/p"), ("HOME", "/h")], Some(["/p/paguro.toml", "/p", "/p/cache"]));
        check(
            &[("HOME", "/h"), ("XDG_DATA_HOME", "/d"), ("XDG_CACHE_HOME", "relative")],
            Some(["/h/.config/paguro/paguro.toml", "/d/paguro", "/h/.cache/paguro"]),
        );
        check(&[("PAGURO_HOME", "")], None);
    }
}
