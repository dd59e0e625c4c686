//! Starting: which layers work, and the command that begins with the inside.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::layers::{Layer, Report};
use super::proxy::Proxy;
use super::spec::{BROKEN, COMPLAINT, FIRST, Limits, PREFIX, PROXY_PORT, Spec, VARIABLE};
use super::{Found, HostPort, Network, Sandbox, SandboxError, SandboxSettings, private};

/// One command to be run.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// A path, or a name that the environment's `PATH` finds inside.
    pub program: &'a OsStr,
    /// Its arguments.
    pub arguments: &'a [OsString],
    /// Writable, and where the command starts; without links.
    pub workspace: &'a Path,
    /// The whole environment.
    pub environment: &'a [(OsString, OsString)],
    /// What it may reach.
    pub network: &'a Network,
    /// Standard input will be a socket on which the inside tells lines, `exit RAW_STATUS` and `stopped REASON`; the command's own is
    /// empty. Otherwise the command has the standard input that the caller sets.
    pub control: bool,
}

/// A command that can be started, in its sandbox. The process is the leader of a group and of a session; when it ends, or is killed, all
/// that the command started ends with it, and so it does when the thread ends that has started it.
#[derive(Debug)]
pub struct Confined {
    /// The caller sets the standard streams and starts it.
    pub command: Command,
    /// To be kept until the process has ended.
    pub keep: Keep,
    /// Whether the inside tells about the end (`control` was asked for, and there is an inside).
    pub tells: bool,
}

/// What a running command needs outside.
#[derive(Debug)]
pub struct Keep {
    _proxy: Option<Proxy>,
}

impl Sandbox {
    /// The command for `call`. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// If the configured minimum is not met, or the proxy cannot be started.
    pub fn command(&self, call: &Call<'_>) -> Result<Confined, SandboxError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let report = self.report();
        let proxy = match call.network {
            Network::Hosts(hosts) if report.has(Layer::Network) => Some(start_proxy(hosts)?),
            Network::Hosts(_) => {
                return Err(SandboxError::Network(report.why_not(Layer::Network).unwrap_or_default().to_owned()));
            }
            Network::None | Network::All => None,
        };
        if call.workspace.parent().is_none() {
            let source = std::io::ErrorKind::InvalidInput.into();
            return Err(SandboxError::Io { what: "the whole machine cannot be a workspace".into(), source });
        }
        if report.in_force.is_empty() {
            let mut command = Command::new(call.program);
            command.args(call.arguments).current_dir(call.workspace).env_clear().envs(call.environment.iter().cloned());
            #[cfg(unix)]
            command.process_group(0);
            return Ok(Confined { command, keep: Keep { _proxy: None }, tells: false });
        }
        let granted = *call.network == Network::All;
        let mut spec = self.spec(report.in_force.iter().copied().filter(|layer| !granted || *layer != Layer::Network).collect());
        spec.workspace = call.workspace.to_owned();
        spec.network = granted;
        spec.control = call.control;
        spec.proxy = proxy.as_ref().map(|proxy| proxy.socket.clone());
        let mut command = Command::new(&self.0.settings.inner);
        command.arg(FIRST).arg(call.program).args(call.arguments).env_clear().env(VARIABLE, encode(&spec)?);
        let prefixed = |name: &OsStr| [OsStr::new(PREFIX), name].into_iter().collect::<OsString>();
        command.envs(call.environment.iter().map(|(name, value)| (prefixed(name), value)));
        if proxy.is_some() {
            let address = format!("http://127.0.0.1:{PROXY_PORT}");
            let names = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
            command.envs(names.map(|name| (prefixed(OsStr::new(name)), address.clone())));
        }
        if !report.has(Layer::Mount) {
            // The machine's own /tmp is out of reach then.
            command.env(prefixed(OsStr::new("TMPDIR")), call.workspace);
        }
        Ok(Confined { command, keep: Keep { _proxy: proxy }, tells: call.control })
    }

    /// What the inside is told, with `layers` and nothing of a call.
    pub(super) fn spec(&self, layers: Vec<Layer>) -> Spec {
        let found = self.found();
        Spec { readable: found.readable.clone(), hidden: found.hidden.clone(), ..bare(layers, self.0.settings.limits) }
    }

    pub(super) fn inner(&self) -> &Path {
        &self.0.settings.inner
    }
}

fn start_proxy(hosts: &[HostPort]) -> Result<Proxy, SandboxError> {
    Proxy::start(hosts).map_err(|source| SandboxError::Io { what: "the sandbox's proxy could not be started".into(), source })
}

pub(super) fn encode(spec: &Spec) -> Result<String, SandboxError> {
    serde_json::to_string(spec).map_err(|error| {
        let what = "the sandbox could not be described (a path that is not UTF-8?)".into();
        SandboxError::Io { what, source: error.into() }
    })
}

fn bare(layers: Vec<Layer>, limits: Limits) -> Spec {
    Spec {
        layers,
        parent: std::process::id(),
        workspace: "/".into(),
        readable: Vec::new(),
        hidden: Vec::new(),
        proxy: None,
        network: false,
        limits,
        control: false,
        probe: false,
        prove: None,
    }
}

/// Finds out what works: everything is tried at once, and again without each layer that turns out to be missing.
pub(super) fn find(settings: &SandboxSettings) -> Found {
    let resolve = |paths: &[PathBuf]| paths.iter().filter_map(|path| path.canonicalize().ok()).collect::<Vec<_>>();
    let mut hidden = resolve(&settings.hidden);
    hidden.extend(std::env::current_exe().ok());
    hidden.extend(private::files());
    let readable = resolve(&settings.readable);
    let found = |report| Found { report, hidden: hidden.clone(), readable: readable.clone() };
    if !cfg!(target_os = "linux") {
        let why = "this system has none; Linux has";
        return found(Report { in_force: Vec::new(), missing: Layer::ALL.map(|layer| (layer, why.to_owned())).to_vec() });
    }
    let mut report = Report { in_force: Layer::ALL.to_vec(), missing: Vec::new() };
    while !report.in_force.is_empty() {
        let spec =
            Spec { probe: true, hidden: hidden.clone(), readable: readable.clone(), ..bare(report.in_force.clone(), settings.limits) };
        let Err((layer, why)) = try_out(&settings.inner, &spec) else { break };
        // One that is not named, or not in force, has no meaning: nothing works then.
        let mut lost: Vec<Layer> = match layer.filter(|layer| report.has(*layer)) {
            // What the layer carries goes with it.
            Some(Layer::Pid) => vec![Layer::Pid, Layer::Proc],
            Some(Layer::Mount) => vec![Layer::Mount, Layer::Proc],
            Some(layer) => vec![layer],
            None => report.in_force.clone(),
        };
        lost.retain(|layer| report.has(*layer));
        report.in_force.retain(|layer| !lost.contains(layer));
        report.missing.extend(lost.into_iter().map(|layer| (layer, why.clone())));
    }
    found(report)
}

/// Makes the sandbox of `spec` once, for nothing.
fn try_out(inner: &Path, spec: &Spec) -> Result<(), (Option<Layer>, String)> {
    let run = |text: String| {
        std::process::Command::new(inner).args([FIRST, "true"]).env_clear().env(VARIABLE, text).stdin(Stdio::null()).output()
    };
    let output = encode(spec).map_err(|error| error.to_string()).and_then(|text| run(text).map_err(|error| error.to_string()));
    let output = output.map_err(|why| (None, why))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let complaint = text.lines().find_map(|line| line.strip_prefix(COMPLAINT)).and_then(|line| line.split_once(": "));
    let unclear = || format!("the inside ended with {} instead of 0 or {BROKEN}: {}", output.status, text.trim());
    match complaint {
        Some((layer, why)) => Err((Layer::named(layer), why.to_owned())),
        None => Err((None, unclear())),
    }
}
