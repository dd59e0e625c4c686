//! What the tests of all tools share: a workspace beside a folder that must stay out of reach.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use agent::memory::Store;
use agent::{Tool, ToolContext, ToolError};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use tempfile::TempDir;

use crate::Settings;
use crate::kept::{DEFAULT_KEPT_BYTES, Kept};
use crate::sandbox::{Sandbox, SandboxSettings};
use crate::workspace::Workspace;

/// A sandbox whose inside is the example `sandbox_inner`, which is built beside this test's own program.
pub(crate) fn sandbox(settings: SandboxSettings) -> Sandbox {
    let own = std::env::current_exe().unwrap();
    let inner = own.ancestors().nth(2).unwrap().join("examples/sandbox_inner");
    Sandbox::new(SandboxSettings { inner, ..settings })
}

/// A temporary folder with `workspace/`, and `outside/secret.txt` beside it.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) workspace: Workspace,
    pub(crate) store: Store,
    pub(crate) kept: Kept,
    pub(crate) context: ToolContext,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        std::fs::write(folder.path().join("outside/secret.txt"), "secret\n").unwrap();
        let workspace = Workspace::open(&folder.path().join("workspace")).unwrap();
        let context = ToolContext { key: "7-call_2".into(), turn: 7, timeout: Duration::from_secs(60), ..ToolContext::default() };
        let store = Store::in_memory().unwrap();
        let kept = Kept::new(folder.path().join("kept"), DEFAULT_KEPT_BYTES, store.clone());
        Self { folder, workspace, store, kept, context }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(self.workspace.clone(), self.store.clone(), self.kept.clone())
    }

    /// A path in the workspace.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.workspace.root().join(name)
    }

    /// A path beside the workspace.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join("outside").join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn link(&self, target: impl Into<PathBuf>, name: &str) {
        std::os::unix::fs::symlink(target.into(), self.path(name)).unwrap();
    }

    pub(crate) fn fifo(&self, name: &str) {
        mknodat(CWD, self.path(name), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    pub(crate) fn run(&self, tool: &dyn Tool, arguments: Value) -> Result<String, ToolError> {
        wait(tool.run(&arguments, &self.context)).map(|output| output.text)
    }
}

/// Runs a future as the executable does: one thread, timers and I/O on.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
