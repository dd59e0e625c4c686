//! The table of good models, compiled in from `catalogue.toml`.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

static TEXT: &str = include_str!("catalogue.toml");

/// The whole table, smallest first.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    #[serde(rename(deserialize = "model", serialize = "models"))]
    pub models: Vec<Entry>,
    #[serde(rename(deserialize = "embedder", serialize = "embedders"))]
    pub embedders: Vec<Entry>,
}

/// One good model.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What `paguro model pull` takes.
    pub name: String,
    /// `owner/name` on the hub.
    pub repo: String,
    pub quant: String,
    /// In GB (10^9 bytes).
    pub download: f64,
    /// In GB, with a context of 32,768 tokens.
    pub memory: f64,
    pub licence: String,
    pub good_for: String,
}

/// The table.
pub fn catalogue() -> &'static Catalogue {
    static TABLE: OnceLock<Catalogue> = OnceLock::new();
    // A test reads the file, so it is never the empty one.
    TABLE.get_or_init(|| toml::from_str(TEXT).unwrap_or_default())
}

impl Catalogue {
    /// The entry of this name, whatever its case.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.models.iter().chain(&self.embedders).find(|entry| entry.name.eq_ignore_ascii_case(name))
    }

    /// The table for people, one entry a line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{:<22} {:>9} {:>9}  {}", "MODEL", "DOWNLOAD", "MEMORY", "GOOD FOR")];
        lines.extend(self.models.iter().map(Entry::line));
        lines.push(String::new());
        lines.push(format!("{:<22} {:>9} {:>9}  {}", "EMBEDDING MODEL", "DOWNLOAD", "MEMORY", "GOOD FOR"));
        lines.extend(self.embedders.iter().map(Entry::line));
        lines
    }
}

impl Entry {
    fn line(&self) -> String {
        let Self { name, download, memory, good_for, .. } = self;
        format!("{name:<22} {:>9} {:>9}  {good_for}", format!("{download} GB"), format!("{memory} GB"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::choose::Wanted;

    #[test]
    fn the_table_is_sound() {
        let table: Catalogue = toml::from_str(TEXT).unwrap();
        assert!(table.models.len() >= 8 && table.embedders.len() >= 3);
        let mut names = std::collections::BTreeSet::new();
        for entry in table.models.iter().chain(&table.embedders) {
            assert!(names.insert(&entry.name), "{} is there twice", entry.name);
            let wanted = Wanted::parse(&format!("{}:{}", entry.repo, entry.quant)).unwrap();
            assert_eq!((wanted.repo.as_str(), wanted.quant.as_deref()), (entry.repo.as_str(), Some(entry.quant.as_str())));
            assert!(entry.download > 0.0 && entry.memory > entry.download, "{}", entry.name);
            assert!(["Apache-2.0", "MIT"].contains(&entry.licence.as_str()), "{}", entry.licence);
        }
        for list in [&table.models, &table.embedders] {
            assert!(list.iter().map(|entry| entry.memory).is_sorted(), "smallest first");
        }
        assert!(table.lines().iter().all(|line| line.chars().count() < 140), "{:#?}", table.lines());
    }
}
