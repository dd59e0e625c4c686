//! The sandbox: what a command may see, reach and use up. The outside is here: which layers work on this machine, whether they are
//! enough, and how a command is started with them. The inside ([`enter_if_asked`]) is this program again, started by the first part.
//!
//! Deliberately not here: whether a command may run (`agent` decides). On systems other than Linux there is no layer, so that
//! [`Sandbox::is_boundary`] is false and everything should be asked about.

mod host;
#[cfg(target_os = "linux")]
mod inner;
mod layers;
mod private;
mod proof;
mod proxy;
mod spec;
mod start;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

pub use host::{HostPort, Network};
#[cfg(target_os = "linux")]
pub use inner::enter_if_asked;
pub use layers::{Layer, Report};
pub use proof::Proof;
pub use spec::Limits;
pub use start::{Call, Confined, Keep};

/// There is no inside on this system, so nothing is ever asked of it.
#[cfg(not(target_os = "linux"))]
pub fn enter_if_asked(
    _arguments: impl Iterator<Item = std::ffi::OsString>,
    _variables: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Option<std::process::ExitCode> {
    None
}

/// How a sandbox is to be.
#[derive(Debug, Clone)]
pub struct SandboxSettings {
    /// The program whose `main` begins with [`enter_if_asked`]; this one, unless it is a test.
    pub inner: PathBuf,
    /// Layers without which nothing is run.
    pub minimum: Vec<Layer>,
    /// What commands of the shell may reach.
    pub network: Network,
    /// What a command may take.
    pub limits: Limits,
    /// Files and folders shown besides the system and the workspace, read-only.
    pub readable: Vec<PathBuf>,
    /// Files and folders that are not shown even where the system is: the program's own.
    pub hidden: Vec<PathBuf>,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        let minimum = if cfg!(target_os = "linux") { Layer::ESSENTIAL.to_vec() } else { Vec::new() };
        Self {
            inner: "/proc/self/exe".into(),
            minimum,
            network: Network::None,
            limits: Limits::default(),
            readable: Vec::new(),
            hidden: Vec::new(),
        }
    }
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A layer of the minimum cannot be had here.
    #[error(
        "commands are refused, because the sandbox has no layer `{layer}` here ({why}); leave it out of `minimum` under [sandbox] to \
         run them without it (`paguro doctor sandbox` shows all layers)"
    )]
    Minimum {
        /// The layer.
        layer: Layer,
        /// Why it is not in force.
        why: String,
    },
    /// A network grant that needs a layer which is not there.
    #[error("`network = \"hosts\"` under [sandbox] needs the layer `network`, which cannot be had here ({0}); use \"none\" or \"all\"")]
    Network(String),
    /// Anything else.
    #[error("{what}: {source}")]
    Io {
        /// What could not be done.
        what: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Starts commands in sandboxes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<State>);

#[derive(Debug)]
struct State {
    settings: SandboxSettings,
    found: OnceLock<Found>,
}

/// What this machine has.
#[derive(Debug)]
struct Found {
    report: Report,
    /// What must not be seen, without links.
    hidden: Vec<PathBuf>,
    readable: Vec<PathBuf>,
}

impl Sandbox {
    /// A sandbox by `settings`. Nothing is tried yet.
    #[must_use]
    pub fn new(settings: SandboxSettings) -> Self {
        Self(Arc::new(State { settings, found: OnceLock::new() }))
    }

    /// Which layers are in force here. The first call finds out, which takes some milliseconds.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.found().report
    }

    /// Whether commands are kept from the rest of the machine, so that a rule may let them run unasked.
    #[must_use]
    pub fn is_boundary(&self) -> bool {
        Layer::ESSENTIAL.iter().all(|layer| self.report().has(*layer))
    }

    /// Why commands are refused, if they are.
    #[must_use]
    pub fn refusal(&self) -> Option<SandboxError> {
        let report = self.report();
        let layer = *self.0.settings.minimum.iter().find(|layer| !report.has(**layer))?;
        Some(SandboxError::Minimum { layer, why: report.why_not(layer).unwrap_or("it was not tried").to_owned() })
    }

    /// A line for the owner about what is not in force; `None` if everything is.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        let report = self.report();
        if report.missing.is_empty() {
            return None;
        }
        let names = |layers: &mut dyn Iterator<Item = Layer>| layers.map(Layer::name).collect::<Vec<_>>().join(", ");
        let missing = names(&mut report.missing.iter().map(|(layer, _)| *layer));
        let in_force = match report.in_force.is_empty() {
            true => "no layer is".to_owned(),
            false => format!("in force: {}", names(&mut report.in_force.iter().copied())),
        };
        Some(format!("the sandbox lacks {missing}; {in_force} (`paguro doctor sandbox`)"))
    }

    /// What the shell's commands may reach.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.0.settings.network
    }

    /// Whether a command could see `path` if it exists, judged by its name: for a hint, not for a decision.
    pub(crate) fn shows(&self, path: &std::path::Path) -> bool {
        const SHOWN: [&str; 13] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix", "gnu", "dev", "tmp"];
        let first = path.components().nth(1).and_then(|part| part.as_os_str().to_str().map(str::to_owned));
        !self.report().has(Layer::Mount)
            || first.is_none_or(|first| SHOWN.contains(&first.as_str()) || first == "proc")
            || self.found().readable.iter().any(|readable| path.starts_with(readable))
    }

    fn found(&self) -> &Found {
        self.0.found.get_or_init(|| start::find(&self.0.settings))
    }
}
