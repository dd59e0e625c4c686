//! One line for the model when a command failed because of the sandbox, so that it does not look for the fault elsewhere.

use std::path::Path;

use crate::sandbox::{Network, Sandbox};
use crate::workspace::Workspace;

/// What programs say without a network.
const NO_NETWORK: [&str; 8] = [
    "Could not resolve host",
    "Couldn't resolve host",
    "Temporary failure in name resolution",
    "Temporary failure resolving",
    "Name or service not known",
    "Network is unreachable",
    "unable to resolve host address",
    "bad address",
];
/// What the proxy says of a host that is not granted, and what programs make of it.
const NOT_GRANTED: [&str; 2] = ["is not granted; the owner can add it", "CONNECT tunnel failed, response 403"];
/// What programs say of a file that they do not see, or may not write.
const NO_FILE: [&str; 3] = ["No such file or directory", "Permission denied", "Read-only file system"];

/// The hint that fits, if any.
pub(super) fn of(sandbox: &Sandbox, workspace: &Workspace, command: &str, output: &str) -> Option<String> {
    let failed = output.ends_with(']') || NO_NETWORK.iter().any(|words| output.contains(words));
    if !failed || sandbox.report().in_force.is_empty() {
        return None;
    }
    let says = |all: &[&str]| all.iter().any(|words| output.contains(words));
    if says(&NOT_GRANTED) {
        return Some("[the sandbox reaches only hosts that the owner has listed in `hosts` under [sandbox]]".into());
    }
    if says(&NO_NETWORK) && *sandbox.network() != Network::All {
        return Some(match sandbox.network() {
            Network::None => "[the sandbox has no network; the owner can grant hosts under [sandbox] in the configuration]".into(),
            _ => "[the sandbox has no network but a proxy for HTTP, which programs find in http_proxy and https_proxy]".into(),
        });
    }
    let hidden = |word: &str| {
        let path = Path::new(word);
        (word.starts_with("~") || path.is_absolute()) && !path.starts_with(workspace.root()) && !sandbox.shows(path)
    };
    let words = command.split(|c: char| c.is_whitespace() || "\"'`;|&<>()=".contains(c));
    let word = words.into_iter().find(|word| says(&NO_FILE) && hidden(word))?;
    Some(format!("[{word} is not to be seen in the sandbox: only the workspace and the system's own folders are]"))
}
