//! What the agent may do to the world: run commands, read and write files of one workspace, remember, do things later.
//!
//! Every tool is one file: its name, its schema, the words the model reads, its run, its tests. Deliberately not here: whether a call
//! may run (`agent` decides) and how much of a result the model is shown ([`OutputFolder::fit`] cuts where the agent says).
//!
//! A failure's text is a sentence without a prefix; the agent puts `error: ` before it.

mod call;
mod edit_file;
mod find_tool;
mod kept;
mod lines;
mod list_dir;
pub mod mcp;
pub mod net;
mod output;
mod read_file;
mod recall;
mod remember;
mod restore;
pub mod sandbox;
pub mod schedule;
mod search_files;
mod send_file;
mod shell;
mod skills;
mod text;
mod tls;
mod web;
mod workspace;
mod write_file;

#[cfg(test)]
mod testing;

use std::time::Duration;

use agent::engine::Engine;
use agent::memory::Store;
use agent::{Effect, Tool};
use sandbox::Network;
use serde_json::Value;

pub use find_tool::finder;
pub use kept::{DEFAULT_KEPT_BYTES, KEPT_TURNS, Kept, Usage};
pub use output::OutputFolder;
pub use restore::{Outcome, Restored};
pub use sandbox::{Sandbox, SandboxSettings};
pub use send_file::SendFile;
pub use shell::Environment;
pub use skills::{AGENTS, Listed, Place, Skill, SkillFile, Skills, State, difference, state};
pub use tls::tls;
pub use web::{Provider, WebSettings, web};
pub use workspace::{Workspace, WorkspaceError};

/// How long a command of the shell may take that does not say.
pub const DEFAULT_SHELL_TIMEOUT: Duration = Duration::from_secs(60);
/// Tokens of a tool's result that the model is shown, unless its context is small.
pub const DEFAULT_OUTPUT_TOKENS: usize = 2_000;
/// What servers are told of who asks.
const USER_AGENT: &str = concat!("paguro/", env!("CARGO_PKG_VERSION"));
/// Bytes that `read_file` takes a token to be when it fills a page. Low, so that a page seldom has to be cut again: English has
/// about four, code three, other scripts and the smallest vocabularies two.
const BYTES_PER_TOKEN: usize = 3;

/// What the built-in tools need.
pub struct Settings {
    /// The only folder that file tools reach, and the one in which commands start.
    pub workspace: Workspace,
    /// Where facts are remembered.
    pub store: Store,
    /// Embeds what is looked for; without one facts are found by their words only.
    pub engine: Option<Engine>,
    /// Whether pieces of old turns are recalled, beside notes and facts.
    pub recall_turns: bool,
    /// Where file tools keep what they overwrite.
    pub kept: Kept,
    /// Where skills are; without one there is no tool to load them.
    pub skills: Option<Skills>,
    /// How long a command may take that does not say; calls may ask for up to 600 s. The call's own context bounds both.
    pub shell_timeout: Duration,
    /// The commands' environment.
    pub environment: Environment,
    /// What commands run in.
    pub sandbox: Sandbox,
    /// Tokens of a result that the agent will show; `read_file` makes its pages to fit.
    pub output_tokens: usize,
}

impl Settings {
    /// The defaults for `workspace`, `store` and `kept`.
    #[must_use]
    pub fn new(workspace: Workspace, store: Store, kept: Kept) -> Self {
        Self {
            workspace,
            store,
            engine: None,
            recall_turns: true,
            kept,
            skills: None,
            shell_timeout: DEFAULT_SHELL_TIMEOUT,
            environment: Environment::default(),
            sandbox: Sandbox::new(SandboxSettings::default()),
            output_tokens: DEFAULT_OUTPUT_TOKENS,
        }
    }
}

/// The built-in tools that every model has, always in the same order: the model's frozen system block lists them. Their runs need a tokio
/// runtime with I/O and time.
#[must_use]
pub fn builtin(settings: &Settings) -> Vec<Box<dyn Tool>> {
    let workspace = || settings.workspace.clone();
    let page_bytes = settings.output_tokens.saturating_mul(BYTES_PER_TOKEN);
    let mut tools: Vec<Box<dyn Tool>> = vec![
        Box::new(shell::Shell::new(workspace(), settings.environment.clone(), settings.sandbox.clone(), settings.shell_timeout)),
        Box::new(read_file::ReadFile::new(workspace(), page_bytes)),
        Box::new(write_file::WriteFile::new(workspace(), settings.kept.clone())),
        Box::new(edit_file::EditFile::new(workspace(), settings.kept.clone())),
        Box::new(list_dir::ListDir::new(workspace())),
        Box::new(search_files::SearchFiles::new(workspace())),
        Box::new(remember::Remember::new(settings.store.clone())),
        Box::new(recall::Recall::new(settings.engine.clone(), settings.store.clone(), settings.recall_turns)),
    ];
    if let Some(skills) = settings.skills.as_ref().filter(|skills| skills.any()) {
        tools.push(Box::new(skills::SkillTool::new(skills.clone())));
    }
    tools
}

/// The built-in tools' names and effects, in the order of [`builtin`], and `send_file`: what can be said of them without a workspace
/// or a store.
const EFFECTS: &[(&str, Effect)] = &[
    ("shell", Effect::Write),
    ("read_file", Effect::Read),
    ("write_file", Effect::Write),
    ("edit_file", Effect::Write),
    ("list_dir", Effect::Read),
    ("search_files", Effect::Read),
    ("remember", Effect::Read),
    ("recall", Effect::Read),
    ("skill", Effect::Read),
    ("send_file", Effect::Network),
];

/// The effect of a call of the built-in tool `name`, [`schedule::Schedule`] included, where commands may reach `network`; `None` if
/// there is none of that name.
#[must_use]
pub fn effect_of(name: &str, arguments: &Value, network: &Network) -> Option<Effect> {
    if name == "shell" {
        return Some(shell::effect(network));
    }
    if name == schedule::NAME {
        return Some(schedule::effect_of(arguments));
    }
    EFFECTS.iter().find(|(tool, _)| *tool == name).map(|(_, effect)| *effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The demo model was trained on these names and these required arguments, in this order.
    #[test]
    fn names_order_arguments_and_effects() {
        let bench = testing::Bench::new();
        let skills = Some(Skills::new(bench.workspace.clone(), bench.outside("skills"), bench.store.clone()));
        let settings = Settings { skills, ..bench.settings() };
        assert_eq!(builtin(&settings).len(), 8, "without a skill there is no tool for it");
        bench.write("skills/pdf/SKILL.md", "");
        let tools = builtin(&settings);
        let all: Vec<_> = tools
            .iter()
            .map(|tool| {
                let schema = tool.schema();
                let keys: Vec<_> = schema.parameters["properties"].as_object().unwrap().keys().cloned().collect();
                format!("{} {} {:?}", schema.name, keys.join(" "), tool.effect())
            })
            .collect();
        let expected = [
            "shell command timeout_s Write",
            "read_file path offset limit Read",
            "write_file path content Write",
            "edit_file path old new all Write",
            "list_dir path Read",
            "search_files pattern path glob Read",
            "remember text Read",
            "recall query Read",
            "skill name file Read",
        ];
        assert_eq!(all, expected);
        let folder = bench.outside("outgoing");
        let mut effects: Vec<_> = tools.iter().map(|tool| (tool.schema().name, tool.effect())).collect();
        let sends = send_file::SendFile::new(bench.workspace.clone(), folder, bench.store.clone(), "telegram");
        effects.push((sends.schema().name, sends.effect()));
        let listed: Vec<_> = EFFECTS.iter().map(|(name, effect)| ((*name).to_owned(), *effect)).collect();
        assert_eq!(listed, effects);
        assert_eq!(
            ["shell", "recall", "schedule", "fly"].map(|name| effect_of(name, &Value::Null, &Network::None)),
            [Some(Effect::Write), Some(Effect::Read), Some(Effect::Write), None]
        );
        assert_eq!(effect_of("shell", &Value::Null, &Network::All), Some(Effect::Network));
    }

    /// The system block has 3,000 tokens for persona, tools and rules. JSON text has about three bytes a token.
    #[test]
    fn the_words_the_model_reads_are_few() {
        let bench = testing::Bench::new();
        let tools = builtin(&bench.settings());
        let bytes: usize = tools.iter().map(|tool| serde_json::to_string(&tool.schema()).unwrap().len()).sum();
        assert!(bytes < 2_600, "{bytes} bytes");
    }

    #[test]
    fn unknown_arguments_are_refused() {
        let bench = testing::Bench::new();
        for tool in builtin(&bench.settings()) {
            let error = bench.run(tool.as_ref(), serde_json::json!({"surprise": 1})).unwrap_err();
            assert!(error.text.starts_with("argument `surprise`: unknown field"), "{error}");
        }
    }
}
