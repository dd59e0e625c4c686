//! `shell`: one command, run by `/bin/sh` in the workspace, in the sandbox.
//!
//! Nothing that a command starts outlives it: the sandbox ends as a whole when the shell has ended, when the time is over, when the run
//! is dropped, and when this program is killed. Where the system has no sandbox only the command's process group is killed, which a
//! process can leave (`setsid`), and the rest of the machine is open to it.

mod capture;
mod control;
mod hint;

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use agent::engine::ToolSchema;
use agent::{ConcernFuture, Effect, Tool, ToolContext, ToolFuture};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use self::capture::Capture;
use self::control::{Control, Told};
use crate::call::{fail, parse, schema, seconds};
use crate::sandbox::{Call, Keep, Network, Sandbox};
use crate::workspace::Workspace;

/// Seconds that a call may ask for at most. The context's time bounds it further.
const MAX_TIMEOUT_S: u64 = 600;
/// How long a command has to end after the polite signal (SIGTERM), before the other (SIGKILL).
const TERM_GRACE: Duration = Duration::from_secs(2);
/// How long output is still taken after the shell has ended, if a background process holds the pipe open.
const EXIT_GRACE: Duration = Duration::from_secs(1);
/// How long a process may take to end that has closed its output: only one that stays is told of as stopped.
const LAST_GRACE: Duration = Duration::from_millis(100);
/// How long a killed shell is waited for; the system may keep it while it hangs in a device.
const KILL_GRACE: Duration = Duration::from_secs(1);
/// Bytes taken from the pipe at a time: what a pipe holds on Linux.
const BLOCK: usize = 64 * 1024;

/// What the commands' environment holds besides the workspace as `HOME`, `TERM=dumb` and `TMPDIR=/tmp`. Nothing is taken over from
/// the program's own environment, in which secrets may stand.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `PATH`.
    pub path: OsString,
    /// `LANG`.
    pub lang: OsString,
}

impl Default for Environment {
    fn default() -> Self {
        Self { path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(), lang: "C.UTF-8".into() }
    }
}

/// See the file's head.
pub(crate) struct Shell {
    workspace: Workspace,
    environment: Environment,
    sandbox: Sandbox,
    /// For a call that does not say.
    timeout: Duration,
}

impl Shell {
    pub(crate) fn new(workspace: Workspace, environment: Environment, sandbox: Sandbox, timeout: Duration) -> Self {
        Self { workspace, environment, sandbox, timeout }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    command: String,
    #[serde(default)]
    timeout_s: Option<u64>,
}

impl Tool for Shell {
    fn schema(&self) -> ToolSchema {
        schema(
            "shell",
            "Run a command with /bin/sh in the workspace. No input; what it leaves running is stopped.",
            1,
            json!({
                "command": {"type": "string"},
                "timeout_s": {"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_S},
            }),
        )
    }

    fn effect(&self) -> Effect {
        effect(self.sandbox.network())
    }

    /// Without a boundary around it no rule knows what a command may do.
    fn concern<'a>(&'a self, _: &'a Value, _: &'a ToolContext) -> ConcernFuture<'a> {
        let open = !self.sandbox.is_boundary();
        Box::pin(async move { open.then(|| "there is no whole sandbox on this machine: a command may do what you may".to_owned()) })
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let arguments: Arguments = parse(arguments)?;
            if arguments.command.contains('\0') {
                return Err(fail("the command contains a NUL byte"));
            }
            let asked = arguments.timeout_s.map(|s| Duration::from_secs(s.clamp(1, MAX_TIMEOUT_S)));
            let limit = asked.unwrap_or(self.timeout).min(context.timeout);
            if let Some(refusal) = self.sandbox.refusal() {
                return Err(fail(refusal.to_string()));
            }
            let run = Run::start(self, &arguments.command).map_err(|error| fail(format!("the command could not be started: {error}")))?;
            let text = run.finish(limit).await.map_err(|error| fail(format!("the command was lost: {error}")))?;
            let hint = hint::of(&self.sandbox, &self.workspace, &arguments.command, &text);
            Ok(hint.map_or_else(|| text.clone(), |hint| format!("{text}\n{hint}")).into())
        })
    }
}

/// What a command may do: one that reaches the network can carry data out.
pub(crate) fn effect(network: &Network) -> Effect {
    match network {
        Network::None => Effect::Write,
        Network::Hosts(_) | Network::All => Effect::Network,
    }
}

/// The processes of a run. Dropping it kills them.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) -> bool {
        self.0.is_some_and(|pid| kill_process_group(pid, signal).is_ok())
    }

    /// Kills what is left; true if there was something that was not just ending by itself.
    ///
    /// The shell may have been reaped by now. Its number stays taken while the group has a member, and is not given out
    /// again before all others have been, so an empty group is found to be empty.
    async fn end(mut self, holds_pipe: bool) -> bool {
        let limit = Instant::now() + LAST_GRACE;
        let mut left = holds_pipe || self.is_alive();
        while left && !holds_pipe && Instant::now() < limit {
            sleep(LAST_GRACE / 5).await;
            left = self.is_alive();
        }
        self.signal(Signal::KILL);
        self.0 = None;
        left
    }

    fn is_alive(&self) -> bool {
        self.0.is_some_and(|pid| test_kill_process_group(pid).is_ok() && has_running_member(pid))
    }
}

/// Whether the group is more than zombies, which stay in it for ever where the first process reaps no orphans, as in many containers.
/// True where the system does not tell.
fn has_running_member(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return true;
    };
    let group = group.as_raw_nonzero().to_string();
    processes.flatten().any(|process| {
        let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // `number (name) state parent group …`; the name may hold anything.
        let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let state = fields.next();
        !matches!(state, None | Some("Z" | "X")) && fields.nth(1) == Some(group.as_str())
    })
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// A command that runs.
struct Run {
    child: Child,
    group: Group,
    pipe: Receiver,
    capture: Capture,
    /// Whether the pipe may still give something.
    open: bool,
    control: Control,
    /// Why the sandbox stopped it.
    stopped: Option<String>,
    _keep: Keep,
}

impl Run {
    fn start(shell: &Shell, command: &str) -> io::Result<Self> {
        // One pipe for both streams keeps their order.
        let (reader, writer) = io::pipe()?;
        let root = shell.workspace.root();
        // The inside would say it too, but not so clearly.
        std::fs::metadata(root)?;
        let environment = [
            ("PATH", shell.environment.path.clone()),
            ("LANG", shell.environment.lang.clone()),
            ("HOME", root.into()),
            ("TERM", "dumb".into()),
            ("TMPDIR", "/tmp".into()),
        ];
        let call = Call {
            program: "/bin/sh".as_ref(),
            arguments: &["-c".into(), command.into()],
            workspace: root,
            environment: &environment.map(|(name, value)| (name.into(), value)),
            network: shell.sandbox.network(),
            control: true,
        };
        let confined = shell.sandbox.command(&call).map_err(io::Error::other)?;
        let mut shell_command = confined.command;
        let (control, stdin) = Control::new(confined.tells)?;
        // `kill_on_drop` for tokio to reap it; the group's guard kills.
        shell_command.stdin(stdin).stdout(writer.try_clone()?).stderr(writer).kill_on_drop(true);
        let pipe = Receiver::from_owned_fd(reader.into())?;
        let child = shell_command.spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { child, group: Group(pid), pipe, capture: Capture::default(), open: true, control, stopped: None, _keep: confined.keep })
        // Here `shell_command` drops its end of the pipe, without which the pipe would never end.
    }

    async fn finish(mut self, limit: Duration) -> io::Result<String> {
        // `limit` may be too long to be a time; a day is longer than any limit in use.
        let limit_at = Instant::now() + limit.min(Duration::from_secs(86_400));
        let status = self.until_exit(limit_at).await?;
        let timed_out = status.is_none();
        if timed_out {
            self.group.signal(Signal::TERM);
            let ended = self.until_exit(Instant::now() + TERM_GRACE).await?;
            self.group.signal(Signal::KILL);
            if ended.is_none() {
                let _ = timeout(KILL_GRACE, self.child.wait()).await;
            }
        }
        // What the processes wrote before they ended is in the pipe. One that still runs holds it open.
        let _ = timeout_at(Instant::now() + EXIT_GRACE, self.until_end_of_output()).await;
        let left = self.end().await;
        let text = self.capture.into_text();
        let note = match status {
            None => Some(format!("[stopped after {}]", seconds(limit))),
            Some(_) if self.stopped.is_some() => self.stopped.map(|reason| format!("[stopped: {reason}]")),
            Some(status) => outcome(status),
        };
        let background = (left && !timed_out).then(|| "[stopped what was still running in the background]".to_owned());
        let parts: Vec<String> = [Some(text).filter(|text| !text.is_empty()), background, note].into_iter().flatten().collect();
        Ok(if parts.is_empty() { "(no output)".to_owned() } else { parts.join("\n") })
    }

    /// Kills what is left; true if there was something that was not just ending by itself.
    async fn end(&mut self) -> bool {
        let group = std::mem::replace(&mut self.group, Group(None));
        if !self.control.tells() {
            return group.end(self.open).await;
        }
        // The sandbox ends by itself when nothing is left in it.
        let left = self.open || timeout(LAST_GRACE, self.child.wait()).await.is_err();
        if left {
            drop(group);
            let _ = timeout(KILL_GRACE, self.child.wait()).await;
        }
        left
    }

    /// Takes output until the shell has ended; None if it has not by `limit`.
    async fn until_exit(&mut self, limit: Instant) -> io::Result<Option<ExitStatus>> {
        let mut block = vec![0; BLOCK];
        loop {
            tokio::select! {
                // What the inside says comes before its end.
                biased;
                told = self.control.next() => match told {
                    Told::Exit(status) => return Ok(Some(status)),
                    Told::Stopped(reason) => self.stopped = Some(reason),
                },
                read = self.pipe.read(&mut block), if self.open => self.take(read, &block),
                status = self.child.wait() => return self.control.last(status?).await.map(Some),
                () = sleep_until(limit) => return Ok(None),
            }
        }
    }

    async fn until_end_of_output(&mut self) {
        let mut block = vec![0; BLOCK];
        while self.open {
            let read = self.pipe.read(&mut block).await;
            self.take(read, &block);
        }
    }

    fn take(&mut self, read: io::Result<usize>, block: &[u8]) {
        match read {
            Ok(0) | Err(_) => self.open = false,
            Ok(n) => self.capture.push(&block[..n]),
        }
    }
}

/// The line about a command that did not succeed.
fn outcome(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("[exit status {code}]")),
        (None, Some(signal)) => Some(format!("[killed by signal {signal}]")),
        (None, None) => Some("[no exit status]".to_owned()),
    }
}

#[cfg(test)]
mod tests;
