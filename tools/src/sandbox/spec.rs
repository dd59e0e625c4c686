//! What the outside tells the inside: one JSON object in a variable, and the command's environment under a prefix. Under a prefix,
//! so that no variable of the command's (`LD_PRELOAD`) does anything to the program that builds its sandbox.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::layers::Layer;

/// The first argument of the process that makes the namespaces.
pub(super) const FIRST: &str = "sandbox-first";
/// The first argument of the process that is number 1 in them.
pub(super) const SECOND: &str = "sandbox-second";
/// The variable that holds a [`Spec`].
pub(super) const VARIABLE: &str = "PAGURO_SANDBOX";
/// What stands before the name of each variable of the command's.
pub(super) const PREFIX: &str = "PAGURO_SANDBOX_";
/// What begins the line by which the inside says that a layer cannot be had: `paguro-sandbox: LAYER: REASON`.
pub(super) const COMPLAINT: &str = "paguro-sandbox: ";
/// The exit status of a sandbox that could not be made.
pub(super) const BROKEN: u8 = 125;
/// Where the filtering proxy's socket is seen inside.
pub(super) const PROXY_SOCKET: &str = "/run/paguro-proxy";
/// The port on which the inside's own loopback leads to that socket.
pub(super) const PROXY_PORT: u16 = 3128;

/// Limits on what a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory: of each process by the kernel, of all together by a watch that ends them.
    pub memory: u64,
    /// Processes and threads at once.
    pub processes: u64,
    /// Bytes of one file.
    pub file: u64,
    /// Seconds of CPU time of one process.
    pub cpu_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 4 << 30, processes: 512, file: 2 << 30, cpu_s: 600 }
    }
}

/// One sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spec {
    pub layers: Vec<Layer>,
    /// The process that started this one; without it there is nobody to work for.
    pub parent: u32,
    /// Writable, and where the command starts.
    pub workspace: PathBuf,
    /// Shown besides the system, read-only. Without links.
    pub readable: Vec<PathBuf>,
    /// Not shown, wherever it lies. Without links.
    pub hidden: Vec<PathBuf>,
    /// The proxy's socket outside.
    pub proxy: Option<PathBuf>,
    /// The host's network is granted.
    pub network: bool,
    pub limits: Limits,
    /// Standard input is a socket on which the inside tells how the command ended, and the command has none.
    pub control: bool,
    /// Only see whether it can be made.
    pub probe: bool,
    /// Try to break out of it, and print how that went.
    pub prove: Option<Prove>,
}

/// What attempts to break out need to know of the outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Prove {
    /// A file that must not be read.
    pub secret: PathBuf,
    /// A port of the machine's loopback on which somebody listens.
    pub port: u16,
    /// The outside's namespaces, as (name under `/proc/self/ns`, link).
    pub namespaces: Vec<(String, PathBuf)>,
}

impl Spec {
    pub(super) fn has(&self, layer: Layer) -> bool {
        self.layers.contains(&layer)
    }
}
