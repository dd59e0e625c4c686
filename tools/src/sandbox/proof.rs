//! Proof of each layer, by trying to break it from inside.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Serialize;

use super::layers::Layer;
use super::spec::{FIRST, Prove, Spec, VARIABLE};
use super::start::encode;
use super::{Sandbox, SandboxError};

/// One attempt, or a layer that is not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The layer that should keep it from succeeding.
    pub layer: Layer,
    /// Whether the layer is in force.
    pub in_force: bool,
    /// Whether the attempt failed, as it should.
    pub held: bool,
    /// What was tried, or why the layer is not in force.
    pub what: String,
}

/// Where a process's namespaces are shown, and those with a layer.
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "ipc", "uts", "net", "cgroup"];

impl Sandbox {
    /// Tries to break every layer from inside; layers that are not in force are listed with the reason.
    ///
    /// # Errors
    /// If the attempts cannot be made.
    pub fn prove(&self) -> Result<Vec<Proof>, SandboxError> {
        let report = self.report();
        let mut proofs = Vec::new();
        if !report.in_force.is_empty() {
            proofs = self.attempts().map_err(|source| SandboxError::Io { what: "the sandbox could not be tried".into(), source })?;
        }
        let why = |(layer, why): &(Layer, String)| Proof { layer: *layer, in_force: false, held: false, what: why.clone() };
        proofs.extend(report.missing.iter().map(why));
        let place = |proof: &Proof| Layer::ALL.iter().position(|layer| *layer == proof.layer);
        proofs.sort_by_key(place);
        Ok(proofs)
    }

    fn attempts(&self) -> std::io::Result<Vec<Proof>> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().canonicalize()?;
        let (workspace, secret) = (root.join("workspace"), root.join("secret"));
        std::fs::create_dir(&workspace)?;
        std::fs::write(&secret, "secret")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let link = |name: &str| Some((name.to_owned(), std::fs::read_link(PathBuf::from("/proc/self/ns").join(name)).ok()?));
        let namespaces = NAMESPACES.into_iter().filter_map(link).collect();
        let prove = Prove { secret, port: listener.local_addr()?.port(), namespaces };
        let report = self.report();
        let mut proofs = Vec::new();
        // Landlock stands behind the mounts, so it is also tried without them.
        let alone: Vec<Layer> = [Layer::Landlock, Layer::NoNewPrivs].into_iter().filter(|layer| report.has(*layer)).collect();
        let behind = report.has(Layer::Landlock) && report.has(Layer::Mount);
        for layers in std::iter::once(report.in_force.clone()).chain(behind.then_some(alone)) {
            let mut spec = Spec { prove: Some(prove.clone()), ..self.spec(layers) };
            // The program itself must not be seen; the others are not looked for.
            spec.hidden.retain(|path| path.exists());
            spec.workspace.clone_from(&workspace);
            let found = self.one(&spec)?;
            let second = behind && !spec.has(Layer::Mount);
            proofs.extend(found.into_iter().filter(|proof| !second || proof.layer == Layer::Landlock));
        }
        Ok(proofs)
    }

    fn one(&self, spec: &Spec) -> std::io::Result<Vec<Proof>> {
        let text = encode(spec).map_err(std::io::Error::other)?;
        let mut command = Command::new(self.inner());
        let output = command.args([FIRST, "true"]).env_clear().env(VARIABLE, text).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let proof = |line: &str| {
            let mut fields = line.split('\t');
            let (layer, held, what) = (Layer::named(fields.next()?)?, fields.next()? == "held", fields.next()?.to_owned());
            Some(Proof { layer, in_force: true, held, what })
        };
        Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(proof).collect())
    }
}
