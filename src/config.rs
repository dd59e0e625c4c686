//! The configuration file: one TOML file, every key with a default, no unknown keys, overridden by variables.

mod reach;
mod sandbox;
mod serve;
mod telegram;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use agent::Rule;
use engine::CacheType;
use serde::{Deserialize, Serialize};

pub use self::reach::{Mcp, Web};
pub use self::sandbox::Sandbox;
pub use self::serve::{LogFormat, Logs};
pub use self::telegram::{GroupWhen, Telegram};
use crate::size::Size;

/// A wrong configuration; one line that names the value and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub model: Model,
    pub engine: Engine,
    pub embedder: Embedder,
    pub models: Models,
    pub sampling: engine::Sampling,
    pub limits: Limits,
    pub tools: Tools,
    pub sandbox: Sandbox,
    pub schedule: Schedule,
    pub telegram: Telegram,
    pub chat: Chat,
    pub memory: Memory,
    pub logs: Logs,
    pub web: Web,
    pub mcp: Vec<Mcp>,
    pub policy: Vec<Rule>,
}

/// What is written while a turn runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhileBusy {
    /// Is a turn of its own afterwards.
    #[default]
    Queue,
    /// Is taken into the turn that runs.
    Steer,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chat {
    pub while_busy: WhileBusy,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Notes at the tail of a message.
    pub recall_notes: usize,
    pub recall_tokens: u32,
    /// Pieces of old conversations among them; by default with every model but the demo model.
    pub recall_turns: Option<bool>,
    /// By default with every model but the demo model.
    pub distil: Option<bool>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { recall_notes: 6, recall_tokens: 400, recall_turns: None, distil: None }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// A file, or the name of a model in the models folder; without it the demo model is used.
    pub file: Option<PathBuf>,
    pub context: Option<u32>,
    /// By default `q4_0`; the embedded demo model has no memory to save, and takes `f16`.
    pub cache_type_k: Option<CacheType>,
    pub cache_type_v: Option<CacheType>,
    pub mmap: bool,
    pub flash_attention: bool,
    pub gpu_layers: Option<u32>,
    pub threads: Option<u32>,
    pub batch: u32,
    /// Most tokens of reasoning in one reply; 0 skips it.
    pub reasoning_tokens: Option<u32>,
    /// Most memory that the model and its caches may take; by default what is available.
    pub memory_limit: Option<Size>,
    /// Load a model even if its plan says that it does not fit.
    pub ignore_plan: bool,
}

impl Default for Model {
    fn default() -> Self {
        let engine = engine::LoadOptions::new(engine::ModelSource::File(PathBuf::new()));
        Self {
            file: None,
            context: engine.context,
            cache_type_k: None,
            cache_type_v: None,
            mmap: engine.mmap,
            flash_attention: engine.flash_attention,
            gpu_layers: engine.gpu_layers,
            threads: engine.threads,
            batch: engine.batch,
            reasoning_tokens: None,
            memory_limit: None,
            ignore_plan: engine.ignore_plan,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Most conversations in memory at once; they share the context's tokens.
    pub hot: u32,
    /// Most megabytes of conversations kept on disk, so that a restart reads nothing twice; 0: none.
    pub kv_disk_mb: u64,
    /// Guess tokens that repeat the context.
    pub draft: bool,
    /// Other machines that take layers of the model: `HOST:PORT` of each `paguro worker`.
    pub workers: Vec<String>,
}

impl Default for Engine {
    fn default() -> Self {
        let options = engine::LoadOptions::new(engine::ModelSource::Script(PathBuf::new()));
        Self { hot: options.hot, kv_disk_mb: options.kv_disk_bytes >> 20, draft: options.draft, workers: options.workers }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Embedder {
    /// A file, or the name of a model in the models folder.
    pub file: Option<PathBuf>,
    /// Most tokens of one text.
    pub context: Option<u32>,
    /// What the embedder wants before a text to look for.
    pub query_prefix: String,
    /// What it wants before a text to be found.
    pub document_prefix: String,
    /// Unused for so many seconds it is unloaded.
    pub idle_s: u64,
}

impl Default for Embedder {
    fn default() -> Self {
        let engine = engine::EmbedderOptions::new(engine::ModelSource::File(PathBuf::new()));
        Self {
            file: None,
            context: engine.context,
            query_prefix: engine.query_prefix,
            document_prefix: engine.document_prefix,
            idle_s: engine.idle.as_secs(),
        }
    }
}

/// Where `paguro model pull` fetches from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    pub url: String,
    pub token_file: Option<PathBuf>,
}

impl Default for Models {
    fn default() -> Self {
        Self { url: "https://huggingface.co".to_owned(), token_file: None }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub max_steps: u32,
    pub max_tokens: u32,
    pub timeout_s: u64,
    pub tool_timeout_s: u64,
    pub tool_output_tokens: u32,
    /// Calls that cost money.
    pub max_spends: u32,
    pub approval_timeout_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let agent = agent::Limits::default();
        Self {
            max_steps: u32::try_from(agent.steps).unwrap_or(u32::MAX),
            max_tokens: agent.tokens,
            timeout_s: agent.time.as_secs(),
            tool_timeout_s: agent.tool_time.as_secs(),
            tool_output_tokens: agent.output_tokens,
            max_spends: u32::try_from(agent.spends).unwrap_or(u32::MAX),
            approval_timeout_s: agent.approval_time.as_secs(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tools {
    pub workspace: PathBuf,
    /// Files with more secrets than the configuration names elsewhere; one a line.
    pub secret_files: Vec<PathBuf>,
    /// Most megabytes of overwritten files that are kept for undo, but for those of the last turns.
    pub undo_mb: u64,
}

impl Default for Tools {
    fn default() -> Self {
        Self { workspace: "workspace".into(), secret_files: Vec::new(), undo_mb: tools::DEFAULT_KEPT_BYTES >> 20 }
    }
}

/// When jobs run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// The time zone that times are in, by its IANA name; without it the machine's.
    pub zone: Option<String>,
}

impl Config {
    /// Reads `file` (a file that is not there is an empty one) and lets `PAGURO_SECTION_KEY` variables override it.
    pub fn load(file: &Path, variables: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            // A home that is no folder is the database's to refuse.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => String::new(),
            Err(e) => return Err(ConfigError(format!("{} cannot be read: {e}", file.display()))),
        };
        let here = file.display().to_string();
        let mut table: toml::Table = toml::from_str(&text).map_err(|e| located(&here, &text, &e))?;
        // The file is checked by itself first, so that an error in it is not blamed on a variable.
        toml::from_str::<Self>(&text).map_err(|e| located(&here, &text, &e))?;
        for (name, section, key, value) in variables.filter_map(override_of) {
            let value = value.parse::<toml::Value>().unwrap_or(toml::Value::String(value));
            let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
            if let Some(section) = section.as_table_mut() {
                section.insert(key, value);
            }
            toml::Value::Table(table.clone()).try_into::<Self>().map_err(|e| ConfigError(format!("{name}: {}", sentence(&e))))?;
        }
        let config: Self =
            toml::Value::Table(table).try_into().map_err(|e: toml::de::Error| ConfigError(format!("{here}: {}", sentence(&e))))?;
        config.check().map_err(|e| ConfigError(format!("{here}: {e}")))?;
        Ok(config)
    }

    /// Values that the types alone let through.
    fn check(&self) -> Result<(), String> {
        let (model, limits, year) = (&self.model, &self.limits, agent::LONGEST_TURN.as_secs());
        let ranges = [
            ("model.context", model.context.map(u64::from), 64, u64::from(i32::MAX as u32)),
            ("model.batch", Some(model.batch.into()), 1, 65_536),
            ("model.threads", model.threads.map(u64::from), 1, 1024),
            ("engine.hot", Some(self.engine.hot.into()), 1, 64),
            ("engine.kv_disk_mb", Some(self.engine.kv_disk_mb), 0, 1 << 30),
            ("embedder.context", self.embedder.context.map(u64::from), 16, 65_536),
            ("embedder.idle_s", Some(self.embedder.idle_s), 0, year),
            ("tools.undo_mb", Some(self.tools.undo_mb), 1, 1 << 30),
            ("limits.max_steps", Some(limits.max_steps.into()), 1, 1_000),
            ("limits.max_tokens", Some(limits.max_tokens.into()), 1, u64::from(u32::MAX)),
            ("limits.timeout_s", Some(limits.timeout_s), 1, year),
            ("limits.tool_timeout_s", Some(limits.tool_timeout_s), 1, year),
            ("limits.approval_timeout_s", Some(limits.approval_timeout_s), 1, year),
            ("sandbox.processes", Some(self.sandbox.processes), 16, 100_000),
            ("sandbox.cpu_s", Some(self.sandbox.cpu_s), 1, year),
            ("limits.tool_output_tokens", Some(limits.tool_output_tokens.into()), 16, 1_000_000),
        ];
        for (key, value, least, most) in ranges {
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                return Err(format!("`{key}` is {value}; give a number from {least} to {most}"));
            }
        }
        if let Some(zone) = &self.schedule.zone {
            tools::schedule::find_zone(zone).map_err(|error| format!("`schedule.zone`: {error}"))?;
        }
        self.sandbox.check()?;
        self.telegram.check()?;
        if self.engine.workers.len() > MOST_WORKERS {
            return Err(format!("`engine.workers` names {} workers; give at most {MOST_WORKERS}", self.engine.workers.len()));
        }
        for worker in &self.engine.workers {
            engine::check_worker_address(worker).map_err(|reason| format!("`engine.workers` has {worker:?}: {reason}"))?;
            if worker.ends_with(":0") {
                return Err(format!("`engine.workers` has {worker:?}: 0 is no port that a worker has; give the one it listens on"));
            }
        }
        self.logs.check()?;
        self.web.check()?;
        Mcp::check(&self.mcp)?;
        let mut rules = self.policy.iter().enumerate();
        rules.try_for_each(|(index, rule)| rule.check().map_err(|e| format!("policy {}: {e}", index + 1)))
    }

    /// The whole configuration as TOML. A value that is `None` is left out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}

/// llama.cpp takes as many devices.
const MOST_WORKERS: usize = 16;

/// The bot's token.
pub const TELEGRAM_TOKEN: &str = "PAGURO_TELEGRAM_TOKEN";
/// The token for the hub that models come from.
pub const MODELS_TOKEN: &str = "PAGURO_MODELS_TOKEN";

/// `PAGURO_MODEL_CONTEXT` is `context` in `[model]`. Other variables of ours (`PAGURO_HOME`, the tokens) are not settings.
fn override_of((name, value): (String, String)) -> Option<(String, String, String, String)> {
    let rest = name.strip_prefix("PAGURO_")?.to_ascii_lowercase();
    let (section, key) = rest.split_once('_')?;
    let known =
        ["model", "models", "engine", "embedder", "sampling", "limits", "tools", "sandbox", "schedule", "telegram", "chat", "logs", "web"]
            .contains(&section);
    let is_secret = name == TELEGRAM_TOKEN || name == MODELS_TOKEN;
    (known && !is_secret).then(|| (name.clone(), section.to_owned(), key.to_owned(), value))
}

/// A parser's error on one line, with the file and the line.
fn located(file: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
    ConfigError(format!("{file}{line}: {}", sentence(error)))
}

/// The parser's message without line breaks; an unknown key gets the nearest known one.
fn sentence(error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', ", ");
    let mut names = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown field") {
        return message;
    }
    let unknown = names.next().unwrap_or_default();
    let near = |name: &&str| -> i64 { (strsim::jaro_winkler(unknown, name) * 1e6) as i64 };
    match names.max_by_key(near) {
        Some(nearest) => format!("unknown key `{unknown}`; did you mean `{nearest}`?"),
        None => format!("unknown key `{unknown}`"),
    }
}

/// What `paguro config init` writes: every key, commented out at its default.
pub const TEMPLATE: &str = include_str!("config/template.toml");

/// The keys of a configuration with their values, for `config show`.
pub fn flat(config: &Config) -> BTreeMap<String, serde_json::Value> {
    let mut out = BTreeMap::new();
    if let Ok(serde_json::Value::Object(sections)) = serde_json::to_value(config) {
        for (section, value) in sections {
            match value {
                serde_json::Value::Object(keys) => out.extend(keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value))),
                other => drop(out.insert(section, other)),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Config::load(file.path(), variables).map_err(|e| e.to_string().replace(&file.path().display().to_string(), "FILE"))
    }

    #[test]
    fn the_template_is_the_default() {
        assert_eq!(load(TEMPLATE, &[]), Ok(Config::default()));
        let all: String = TEMPLATE
            .lines()
            .map(|line| if line.contains(" = ") || line.starts_with("# [[") { line.trim_start_matches("# ") } else { line })
            .fold(String::new(), |text, line| text + line + "\n");
        let read = load(&all, &[]).unwrap();
        assert_eq!(read.limits, Limits::default());
        assert_eq!((read.policy.len(), read.mcp.len()), (1, 1));
        assert_eq!(read.engine, Engine { workers: vec!["192.168.1.20:50052".into()], ..Engine::default() });
        assert_eq!(
            read.model,
            Model {
                file: read.model.file.clone(),
                context: Some(32_768),
                gpu_layers: Some(99),
                threads: Some(8),
                reasoning_tokens: Some(2048),
                memory_limit: Some(Size(12_000_000_000)),
                cache_type_k: Some(CacheType::Q4_0),
                cache_type_v: Some(CacheType::Q4_0),
                ..Model::default()
            }
        );
    }

    #[test]
    fn variables_override_the_file() {
        let config =
            load("[model]\ncontext = 4096", &[("PAGURO_MODEL_CONTEXT", "8192"), ("PAGURO_MODEL_FILE", "a.gguf"), ("PAGURO_HOME", "x")])
                .unwrap();
        assert_eq!((config.model.context, config.model.file), (Some(8192), Some("a.gguf".into())));
        let config = load("", &[("PAGURO_MODELS_URL", "http://h"), ("PAGURO_MODELS_TOKEN", "secret")]).unwrap();
        assert_eq!(config.models, Models { url: "http://h".to_owned(), token_file: None });
    }

    #[test]
    fn errors_name_the_key_and_the_way_out() {
        let check = |text: &str, variables: &[(&str, &str)], expected: &str| {
            assert_eq!(load(text, variables).unwrap_err(), expected, "{text} {variables:?}");
        };
        check("[model]\n\nfil = 'x'", &[], "FILE, line 3: unknown key `fil`; did you mean `file`?");
        check("[modle]\n", &[], "FILE, line 1: unknown key `modle`; did you mean `model`?");
        check("[telegram]\ntoken = 'x'", &[], "FILE, line 2: unknown key `token`; did you mean `token_file`?");
        check("", &[("PAGURO_MODEL_CONTEX", "1")], "PAGURO_MODEL_CONTEX: unknown key `contex`; did you mean `context`?");
        check("[embedder]\nquery_prefx = 'x'", &[], "FILE, line 2: unknown key `query_prefx`; did you mean `query_prefix`?");
        check("[embedder]\ncontext = 8", &[], "FILE: `embedder.context` is 8; give a number from 16 to 65536");
        check("[limits]\nmax_steps = 0", &[], "FILE: `limits.max_steps` is 0; give a number from 1 to 1000");
        let size = "PAGURO_MODEL_MEMORY_LIMIT: `12XB` is not an amount of memory; give bytes, or a number with MB, GB, MiB or GiB";
        check("", &[("PAGURO_MODEL_MEMORY_LIMIT", "12XB")], size);
        let worker = "`engine.workers` has \"attic\": it has no port; give HOST:PORT, such as 192.168.1.20:50052";
        check("[engine]\nworkers = ['a:1', 'attic']", &[], &format!("FILE: {worker}"));
        check("", &[("PAGURO_ENGINE_WORKERS", "['attic']")], &format!("FILE: {worker}"));
        let zero = "FILE: `engine.workers` has \"a:0\": 0 is no port that a worker has; give the one it listens on";
        check("[engine]\nworkers = ['a:0']", &[], zero);
        let many = format!("[engine]\nworkers = {:?}", ["a:1"; 17]);
        check(&many, &[], "FILE: `engine.workers` names 17 workers; give at most 16");
        check("[sandbox]\nprocesses = 1", &[], "FILE: `sandbox.processes` is 1; give a number from 16 to 100000");
        check("[sandbox]\nmemory = '1MB'", &[], "FILE: `sandbox.memory` is 1000000 bytes; give at least 16777216");
        check("[sandbox]\nnetwork = 'hosts'", &[], "FILE: `sandbox.network` is \"hosts\", but `sandbox.hosts` names none");
        let host = "FILE: `sandbox.hosts`: `pypi.org` has no port; give HOST:PORT, such as pypi.org:443";
        check("[sandbox]\nhosts = ['pypi.org']", &[], host);
        check("[model]\ncontext = 0", &[], "FILE: `model.context` is 0; give a number from 64 to 2147483647");
        let rule = "[[policy]]\ntool = 'read_file'\ncommand = 'x'\ndecision = 'deny'";
        check(rule, &[], "FILE: policy 1: `command` stands with the tool `read_file`; only `shell` has commands");
        let rule = "[[policy]]\ntool = 'x'\ndecision = 'deny'\n[[policy]]\ntool = 'x'\nhost = 'a b'\ndecision = 'deny'";
        check(rule, &[], "FILE: policy 2: `host` is \"a b\"; give a host such as example.org, *.example.org or example.org:8080");
        let wrong = load("[model]\ncontext = 'big'", &[]).unwrap_err();
        assert!(wrong.starts_with("FILE, line 2: ") && !wrong.contains('\n'), "{wrong}");
        assert!(load("a b", &[]).unwrap_err().starts_with("FILE, line 1: "));
    }
}
