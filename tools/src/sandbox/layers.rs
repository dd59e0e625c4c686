//! The layers of the sandbox: what each is called and what it keeps a command from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One layer. Some need another one: without the user namespace an ordinary user gets none of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// A user namespace: rights inside it are none outside.
    User,
    /// A mount namespace with a root of its own.
    Mount,
    /// A process namespace: other processes are neither seen nor signalled, and all end with the command.
    Pid,
    /// A namespace for shared memory, semaphores and message queues.
    Ipc,
    /// A host name of its own.
    Uts,
    /// A network namespace.
    Network,
    /// A control group namespace.
    Cgroup,
    /// A `/proc` of its own, read-only.
    Proc,
    /// Landlock.
    Landlock,
    /// A filter of system calls.
    Seccomp,
    /// No program gives its caller more rights.
    NoNewPrivs,
    /// No capabilities, and none to be had.
    Capabilities,
    /// Limits on memory, processes, files and CPU time.
    Limits,
    /// A clean environment, and no descriptors but the three standard ones.
    Environment,
}

impl Layer {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 14] = [
        Self::User,
        Self::Mount,
        Self::Pid,
        Self::Ipc,
        Self::Uts,
        Self::Network,
        Self::Cgroup,
        Self::Proc,
        Self::Landlock,
        Self::Seccomp,
        Self::NoNewPrivs,
        Self::Capabilities,
        Self::Limits,
        Self::Environment,
    ];

    /// Those without which the sandbox is no boundary.
    pub const ESSENTIAL: [Self; 6] = [Self::Mount, Self::Pid, Self::Network, Self::Seccomp, Self::NoNewPrivs, Self::Capabilities];

    /// As in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Mount => "mount",
            Self::Pid => "pid",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Network => "network",
            Self::Cgroup => "cgroup",
            Self::Proc => "proc",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::NoNewPrivs => "no_new_privs",
            Self::Capabilities => "capabilities",
            Self::Limits => "limits",
            Self::Environment => "environment",
        }
    }

    /// The layer called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layer| layer.name() == name)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What works on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// In force, in the order of [`Layer::ALL`].
    pub in_force: Vec<Layer>,
    /// Not in force, and why.
    pub missing: Vec<(Layer, String)>,
}

impl Report {
    /// Whether `layer` is in force.
    #[must_use]
    pub fn has(&self, layer: Layer) -> bool {
        self.in_force.contains(&layer)
    }

    /// Why `layer` is not in force.
    #[must_use]
    pub fn why_not(&self, layer: Layer) -> Option<&str> {
        self.missing.iter().find(|(missing, _)| *missing == layer).map(|(_, why)| why.as_str())
    }
}
