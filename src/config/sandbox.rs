//! `[sandbox]`: what commands may see, reach and use up.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tools::sandbox::{HostPort, Layer, Limits, Network, SandboxSettings};

use crate::home::Home;
use crate::size::Size;

/// Most hosts in the list.
const MOST_HOSTS: usize = 256;
/// Bytes that a program needs at least to start.
const LEAST_MEMORY: u64 = 16 << 20;
const LEAST_FILE: u64 = 4096;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sandbox {
    /// Layers without which no command runs.
    pub minimum: Vec<Layer>,
    pub network: Reach,
    /// `HOST:PORT` of each that commands may reach with `network = "hosts"`.
    pub hosts: Vec<String>,
    /// Of all processes of a command together.
    pub memory: Size,
    pub processes: u64,
    /// Most bytes of one file.
    pub file_size: Size,
    /// Processor time of one process.
    pub cpu_s: u64,
    /// Files and folders shown besides the system and the workspace.
    pub readable: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    None,
    Hosts,
    All,
}

impl Default for Sandbox {
    fn default() -> Self {
        let SandboxSettings { minimum, limits, readable, .. } = SandboxSettings::default();
        Self {
            minimum,
            network: Reach::None,
            hosts: Vec::new(),
            memory: Size(limits.memory),
            processes: limits.processes,
            file_size: Size(limits.file),
            cpu_s: limits.cpu_s,
            readable,
        }
    }
}

impl Sandbox {
    /// Values that the types alone let through.
    pub fn check(&self) -> Result<(), String> {
        for (key, value, least) in [("memory", self.memory, LEAST_MEMORY), ("file_size", self.file_size, LEAST_FILE)] {
            if value.0 < least {
                return Err(format!("`sandbox.{key}` is {} bytes; give at least {least}", value.0));
            }
        }
        if self.hosts.len() > MOST_HOSTS {
            return Err(format!("`sandbox.hosts` names {} hosts; give at most {MOST_HOSTS}", self.hosts.len()));
        }
        if self.network == Reach::Hosts && self.hosts.is_empty() {
            return Err("`sandbox.network` is \"hosts\", but `sandbox.hosts` names none".into());
        }
        self.granted().map(drop).map_err(|reason| format!("`sandbox.hosts`: {reason}"))
    }

    fn granted(&self) -> Result<Vec<HostPort>, String> {
        self.hosts.iter().map(|host| host.parse()).collect()
    }

    /// What commands may reach.
    pub fn network(&self) -> Network {
        match self.network {
            Reach::None => Network::None,
            Reach::All => Network::All,
            // Checked when the file was read.
            Reach::Hosts => Network::Hosts(self.granted().unwrap_or_default()),
        }
    }

    /// The sandbox of the owner of `home`, whose own files it does not show.
    pub fn settings(&self, home: &Home) -> SandboxSettings {
        let limits = Limits { memory: self.memory.0, processes: self.processes, file: self.file_size.0, cpu_s: self.cpu_s };
        SandboxSettings {
            minimum: self.minimum.clone(),
            network: self.network(),
            limits,
            readable: self.readable.iter().map(|path| home.resolve(path)).collect(),
            hidden: vec![home.data.clone(), home.config.clone(), home.cache.clone()],
            ..SandboxSettings::default()
        }
    }
}
