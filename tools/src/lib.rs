//! What the agent may do to the world: run commands, read and write files of one workspace, remember.
//!
//! Every tool is one file: its name, its schema, the words the model reads, its run, its tests. Deliberately not here: whether a call
//! may run (`agent` decides) and how much of a result the model is shown ([`OutputFolder::fit`] cuts where the agent says).
//!
//! A failure's text is a sentence without a prefix; the agent puts `error: ` before it.

mod call;
mod edit_file;
mod lines;
mod list_dir;
mod output;
mod read_file;
mod search_files;
mod shell;
mod text;
mod workspace;
mod write_file;

#[cfg(test)]
mod testing;

use std::time::Duration;

use agent::Tool;

pub use output::OutputFolder;
pub use shell::Environment;
pub use workspace::{Workspace, WorkspaceError};

/// How long a command of the shell may take that does not say.
pub const DEFAULT_SHELL_TIMEOUT: Duration = Duration::from_secs(60);
/// Tokens of a tool's result that the model is shown, unless its context is small.
pub const DEFAULT_OUTPUT_TOKENS: usize = 2_000;
/// Bytes that `read_file` takes a token to be when it fills a page. Low, so that a page seldom has to be cut again: English has
/// about four, code three, other scripts and the smallest vocabularies two.
const BYTES_PER_TOKEN: usize = 3;

/// What the built-in tools need.
pub struct Settings {
    /// The only folder that file tools reach, and the one in which commands start.
    pub workspace: Workspace,
    /// How long a command may take that does not say; calls may ask for up to 600 s. The call's own context bounds both.
    pub shell_timeout: Duration,
    /// The commands' environment.
    pub environment: Environment,
    /// Tokens of a result that the agent will show; `read_file` makes its pages to fit.
    pub output_tokens: usize,
}

impl Settings {
    /// The defaults for `workspace`.
    #[must_use]
    pub fn new(workspace: Workspace) -> Self {
        Self { workspace, shell_timeout: DEFAULT_SHELL_TIMEOUT, environment: Environment::default(), output_tokens: DEFAULT_OUTPUT_TOKENS }
    }
}

/// The built-in tools, always in the same order: the model's frozen system block lists them. Their runs need a tokio
/// runtime with I/O and time.
#[must_use]
pub fn builtin(settings: &Settings) -> Vec<Box<dyn Tool>> {
    let workspace = || settings.workspace.clone();
    let page_bytes = settings.output_tokens.saturating_mul(BYTES_PER_TOKEN);
    vec![
        Box::new(shell::Shell::new(workspace(), settings.environment.clone(), settings.shell_timeout)),
        Box::new(read_file::ReadFile::new(workspace(), page_bytes)),
        Box::new(write_file::WriteFile::new(workspace())),
        Box::new(edit_file::EditFile::new(workspace())),
        Box::new(list_dir::ListDir::new(workspace())),
        Box::new(search_files::SearchFiles::new(workspace())),
    ]
}
