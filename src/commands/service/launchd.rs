//! The launchd agent of macOS: its property list, and what `launchctl` is asked. The list is made of given facts alone.
//!
//! Deliberately not here: a boundary around the service; launchd has none that a user may set.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Facts, State};
use crate::exit::BadInput;

/// The agent's name.
pub const LABEL: &str = "org.paguro.serve";

/// Seconds between two starts.
const PAUSE_S: u32 = 5;
/// `serve` takes at most ten.
const STOP_S: u32 = 15;

/// The property list. Fails on paths that XML cannot name.
pub fn text(facts: &Facts) -> Result<String> {
    let program = escaped(&facts.program)?;
    let mut environment = String::new();
    for (name, value) in &facts.environment {
        environment += &format!("        <key>{name}</key>\n        <string>{}</string>\n", escaped(value)?);
    }
    let log = escaped(&facts.home.data.join("logs/launchd.log"))?;
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <!-- Written by `paguro service install` -->\n\
         <plist version=\"1.0\">\n\
         <dict>\n    <key>Label</key>\n    <string>{LABEL}</string>\n    <key>ProgramArguments</key>\n    <array>\n        \
         <string>{program}</string>\n        <string>serve</string>\n    </array>\n    <key>EnvironmentVariables</key>\n    <dict>\n\
         {environment}    </dict>\n    <key>RunAtLoad</key>\n    <true/>\n    <key>KeepAlive</key>\n    <true/>\n    \
         <key>ThrottleInterval</key>\n    <integer>{PAUSE_S}</integer>\n    <key>ExitTimeOut</key>\n    <integer>{STOP_S}</integer>\n    \
         <key>ProcessType</key>\n    <string>Interactive</string>\n    <key>Umask</key>\n    <integer>63</integer>\n    \
         <key>StandardErrorPath</key>\n    <string>{log}</string>\n</dict>\n</plist>\n"
    ))
}

/// A path as text in XML.
fn escaped(path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or_else(|| BadInput(format!("{} cannot stand in a property list", path.display())))?;
    Ok(text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

/// Where the list is written.
pub fn file(user: &Path) -> PathBuf {
    user.join("Library/LaunchAgents").join(format!("{LABEL}.plist"))
}

fn launchctl(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("launchctl").args(arguments).output().map_err(|error| format!("`launchctl` cannot be run: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")),
    }
}

/// Loads the agent anew, which starts it.
pub fn activate(file: &Path, user: u32) -> Result<Vec<String>> {
    // One that is not loaded is no failure.
    let _ = launchctl(&["bootout", &format!("gui/{user}/{LABEL}")]);
    let file = file.to_string_lossy();
    launchctl(&["bootstrap", &format!("gui/{user}"), &file]).map_err(anyhow::Error::msg).context("launchd could not load the agent")?;
    Ok(vec![format!("loaded and started {LABEL}")])
}

/// Stops it and unloads it.
pub fn deactivate(user: u32) -> Vec<String> {
    match launchctl(&["bootout", &format!("gui/{user}/{LABEL}")]) {
        Ok(_) => vec![format!("stopped and unloaded {LABEL}")],
        Err(why) => vec![format!("{LABEL} was not stopped: {why}")],
    }
}

/// Whether it is loaded and runs.
pub fn state(user: u32) -> Result<State, String> {
    match launchctl(&["print", &format!("gui/{user}/{LABEL}")]) {
        Ok(text) => {
            let running = text.lines().any(|line| line.trim() == "state = running");
            Ok(State { enabled: true, running, says: if running { "running" } else { "loaded" }.to_owned(), restarts: None })
        }
        Err(why) if why.contains("Could not find service") => {
            Ok(State { enabled: false, running: false, says: "not loaded".to_owned(), restarts: None })
        }
        Err(why) => Err(why),
    }
}
