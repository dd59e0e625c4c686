//! The systemd unit: its text, and what `systemctl` is asked. The text is made of given facts alone.
//!
//! Deliberately not in the unit, because the sandbox around commands would lose a layer by it, or they could not run:
//! `RestrictNamespaces` (it makes namespaces), `ProtectKernelTunables` and `ProtectKernelLogs` (what they put over parts of `/proc`
//! keeps the kernel from giving the sandbox a `/proc` of its own), `ProtectHostname` (it names its own host) and
//! `MemoryDenyWriteExecute` (programs with a compiler of their own, such as node).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Facts, Scope, State};
use crate::exit::BadInput;

/// The unit's name.
pub const NAME: &str = "paguro.service";

/// Where the machine's own units are.
const SYSTEM_FOLDER: &str = "/etc/systemd/system";

/// A loop that has not said for so long that it turns is stuck, and the process is started again. Longer than any one batch of a
/// model takes that somebody would wait for.
const WATCHDOG_S: u32 = 120;
/// A model of a hundred gigabytes on a slow disk is loaded by then.
const START_S: u32 = 1_800;
/// `serve` takes at most ten seconds.
const STOP_S: u32 = 15;
/// The pause before a new start; where systemd can lengthen it (254 and later), up to [`LONGEST_PAUSE_S`] in [`PAUSE_STEPS`] steps.
const PAUSE_S: u32 = 5;
const LONGEST_PAUSE_S: u32 = 300;
const PAUSE_STEPS: u32 = 8;
/// The version from which on systemd lengthens the pause.
const KNOWS_STEPS: u32 = 254;

/// What keeps the service apart from the rest of the machine. Each line was tried with the sandbox's own layers.
const HARDENING: &str = "\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateUsers=yes
ProtectSystem=strict
ProtectHome=tmpfs
PrivateTmp=yes
PrivateMounts=yes
PrivateDevices=yes
DevicePolicy=closed
ProtectProc=invisible
ProtectClock=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service @mount
SystemCallFilter=seccomp sethostname landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallErrorNumber=EPERM
KeyringMode=private
RemoveIPC=yes
LimitCORE=0
UMask=0077
";

/// The kinds of devices that a GPU is used by: how their names in `/dev` begin, and what `/proc/devices` calls them.
const GPUS: [(&str, &str); 3] = [("nvidia", "char-nvidia*"), ("dri", "char-drm"), ("kfd", "char-kfd")];

/// Whether the file `/dev/NAME` is a GPU's.
pub fn is_gpu(name: &str) -> bool {
    GPUS.iter().any(|(begin, _)| name.starts_with(begin))
}

/// The unit. Fails on paths that a unit cannot name.
pub fn text(facts: &Facts) -> Result<String> {
    let mut out = "# Written by `paguro service install`; `paguro service status` says when it should be written again.\n\
                   [Unit]\nDescription=Paguro, a personal agent\n"
        .to_owned();
    let system = matches!(facts.scope, Scope::System { .. });
    if system {
        // The makers of a GPU's device files, too: what is not there at the start is not there later.
        out += "Wants=network-online.target\nAfter=network-online.target nvidia-persistenced.service\n";
    }
    // It is started again however often it ends.
    out += "StartLimitIntervalSec=0\n\n[Service]\nType=notify\nNotifyAccess=main\n";
    writeln!(out, "ExecStart={} serve", quoted(&facts.program)?)?;
    out += "ExecReload=kill -HUP $MAINPID\n";
    if let Scope::System { user } = &facts.scope {
        writeln!(out, "User={user}")?;
    }
    for (name, value) in &facts.environment {
        writeln!(out, "Environment={}", word(&format!("{name}="), value)?)?;
    }
    writeln!(out, "Restart=always\nRestartSec={PAUSE_S}")?;
    if facts.systemd.is_some_and(|version| version >= KNOWS_STEPS) {
        writeln!(out, "RestartSteps={PAUSE_STEPS}\nRestartMaxDelaySec={LONGEST_PAUSE_S}")?;
    }
    writeln!(out, "TimeoutStartSec={START_S}\nTimeoutStopSec={STOP_S}\nWatchdogSec={WATCHDOG_S}")?;
    // What commands do to the memory is no end of the service, and it sees to their end itself.
    out += "KillMode=mixed\nOOMPolicy=continue\n";
    for (name, file) in &facts.credentials {
        // The path is the rest of the line, and is not quoted.
        writeln!(out, "LoadCredential={name}:{}", plain(file)?.replace('%', "%%"))?;
    }
    out.push('\n');
    out += HARDENING;
    out += &gpus(&facts.devices)?;
    for path in &facts.writable {
        writeln!(out, "BindPaths={}", quoted(path)?)?;
    }
    for path in &facts.readable {
        // One that is gone must not keep the service from starting; it will say what it misses.
        writeln!(out, "BindReadOnlyPaths={}", word("-", path)?)?;
    }
    Ok(out + &format!("\n[Install]\nWantedBy={}\n", target(&facts.scope)))
}

/// What is started when the machine is, or its user logs in.
fn target(scope: &Scope) -> &'static str {
    match scope {
        Scope::System { .. } => "multi-user.target",
        Scope::User => "default.target",
    }
}

/// `PrivateDevices` shows no GPU, so these are put back.
fn gpus(devices: &[String]) -> Result<String> {
    let mut out = String::new();
    for (begin, kind) in GPUS {
        let mut own = devices.iter().filter(|name| name.starts_with(begin)).peekable();
        if own.peek().is_some() {
            writeln!(out, "DeviceAllow={kind} rw")?;
        }
        for name in own {
            writeln!(out, "BindPaths={}", word("-/dev/", Path::new(name))?)?;
        }
    }
    Ok(out)
}

/// A path as text on one line.
fn plain(path: &Path) -> Result<&str> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    Ok(text
        .ok_or_else(|| BadInput(format!("{} cannot stand in a systemd unit; choose a path without control characters", path.display())))?)
}

/// One word of a unit: quoted, and nothing in it is a specifier.
fn quoted(path: &Path) -> Result<String> {
    word("", path)
}

/// The same with `before` in front.
fn word(before: &str, path: &Path) -> Result<String> {
    let text = format!("{before}{}", plain(path)?).replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    Ok(format!("\"{text}\""))
}

/// Where the unit is written; `config` is the user's folder of configurations.
pub fn file(scope: &Scope, config: &Path) -> PathBuf {
    match scope {
        Scope::System { .. } => Path::new(SYSTEM_FOLDER).join(NAME),
        Scope::User => config.join("systemd/user").join(NAME),
    }
}

/// The user that an installed unit names.
pub fn user_in(unit: &str) -> Option<&str> {
    unit.lines().find_map(|line| line.strip_prefix("User="))
}

/// The version of systemd that is installed, whether or not it runs.
pub fn version() -> Option<u32> {
    let output = Command::new("systemctl").arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).split_whitespace().nth(1)?.parse().ok()
}

/// `systemctl` in the terms of the scope, for people.
pub fn command(scope: &Scope) -> &'static str {
    match scope {
        Scope::System { .. } => "systemctl",
        Scope::User => "systemctl --user",
    }
}

fn systemctl(scope: &Scope, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("systemctl");
    if matches!(scope, Scope::User) {
        command.arg("--user");
    }
    let output = command.args(["--no-pager", "--no-ask-password"]).args(arguments).output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no `systemctl` here".to_owned(),
        _ => format!("`systemctl` cannot be run: {error}"),
    })?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")),
    }
}

/// Why the manager of `scope` cannot be asked, if so.
pub fn unreachable(scope: &Scope) -> Option<String> {
    systemctl(scope, &["show", "--property=Version"]).err()
}

/// Has the manager read the unit, start it now and at every start.
pub fn activate(scope: &Scope) -> Result<Vec<String>> {
    let ask = |arguments: &[&str]| systemctl(scope, arguments).map_err(anyhow::Error::msg);
    ask(&["daemon-reload"]).context("systemd could not read the unit")?;
    ask(&["enable", NAME]).with_context(|| format!("{NAME} could not be enabled"))?;
    // Loading a model takes its time; nobody waits for it here.
    ask(&["restart", "--no-block", NAME]).with_context(|| format!("{NAME} could not be started"))?;
    Ok(vec![format!("enabled and started {NAME}")])
}

/// Stops it and starts it no more. What cannot be done because it is done already is no failure.
pub fn deactivate(scope: &Scope) -> Vec<String> {
    match systemctl(scope, &["disable", "--now", NAME]) {
        Ok(_) => vec![format!("stopped and disabled {NAME}")],
        Err(why) => vec![format!("{NAME} was not stopped: {why}")],
    }
}

/// After the unit's `file` is gone.
pub fn forget(scope: &Scope, file: &Path) {
    // Without systemd nobody has taken away what enabled it.
    let folder = file.with_file_name(format!("{}.wants", target(scope)));
    let _ = std::fs::remove_file(folder.join(NAME));
    // Best effort: it is forgotten at the next start otherwise.
    let _ = systemctl(scope, &["daemon-reload"]);
}

/// Whether it is enabled and runs.
pub fn state(scope: &Scope) -> Result<State, String> {
    let shown = systemctl(scope, &["show", NAME, "--property=UnitFileState,ActiveState,SubState,StatusText,NRestarts"])?;
    let value = |key: &str| shown.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned();
    let (active, sub, text) = (value("ActiveState="), value("SubState="), value("StatusText="));
    let says = if text.is_empty() { format!("{active} ({sub})") } else { format!("{active} ({sub}): {text}") };
    Ok(State {
        enabled: value("UnitFileState=") == "enabled",
        running: active == "active",
        says,
        restarts: value("NRestarts=").parse().ok(),
    })
}

/// What keeps the service alive when the user is not logged in; `None`: nothing is to be done.
pub fn lingering(user: &str) -> Option<String> {
    let lingers = Path::new("/var/lib/systemd/linger").join(user).exists();
    (!lingers).then(|| format!("loginctl enable-linger {user}    # so that it runs when you are not logged in, too"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stand_in_a_unit_as_they_are() {
        let check = |path: &str, expected: Option<&str>| assert_eq!(quoted(Path::new(path)).ok().as_deref(), expected, "{path}");
        check("/a/b", Some(r#""/a/b""#));
        check("/a b/100%/c:d", Some(r#""/a b/100%%/c:d""#));
        check(r#"/q"u\o"#, Some(r#""/q\"u\\o""#));
        check("/a\nExecStartPre=/bin/x", None);
        assert!(plain(Path::new("/a\u{7f}")).is_err());
    }

    #[test]
    fn gpus_are_put_back() {
        let names: Vec<String> = ["dri", "kfd", "nvidia-uvm", "nvidia0"].map(str::to_owned).into();
        let expected = "DeviceAllow=char-nvidia* rw\nBindPaths=\"-/dev/nvidia-uvm\"\nBindPaths=\"-/dev/nvidia0\"\n\
                        DeviceAllow=char-drm rw\nBindPaths=\"-/dev/dri\"\nDeviceAllow=char-kfd rw\nBindPaths=\"-/dev/kfd\"\n";
        assert_eq!(gpus(&names).unwrap(), expected);
        assert_eq!(gpus(&[]).unwrap(), "");
        assert!(is_gpu("nvidiactl") && is_gpu("dri") && !is_gpu("sda"));
    }

    #[test]
    fn a_unit_says_whose_it_is() {
        assert_eq!(user_in("[Service]\nUser=crab\n"), Some("crab"));
        assert_eq!(user_in("[Service]\n"), None);
    }
}
