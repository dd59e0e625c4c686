//! The second process, number 1 of its namespace: makes what the command will see, gives up all rights, and runs the command as its
//! child. Whatever the command leaves behind becomes its child too, and ends with it.

use std::fs;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Signal, WaitOptions, WaitStatus, getpid, set_child_subreaper, set_dumpable_behavior, set_parent_process_death_signal,
    wait,
};

use super::{Broken, Of, Order, attempts, filter, forward, landlocked, mounts, parent_in_proc, rights, watch};
use crate::sandbox::layers::Layer;
use crate::sandbox::spec::{BROKEN, Spec};

/// How long what a command leaves in the background may go on. The outside kills before that when it has heard enough.
const BACKGROUND_GRACE: Duration = Duration::from_secs(3);
/// How often its end is looked for.
const BACKGROUND_STEP: Duration = Duration::from_millis(5);
/// The host's name inside.
const HOST: &[u8] = b"sandbox";
/// The statuses of shells: the program is not there, or cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;

pub(super) fn run(order: &Order) -> Result<ExitCode, Broken> {
    let spec = &order.spec;
    set_parent_process_death_signal(Some(Signal::KILL)).of(Layer::Pid, "the signal for the parent's death")?;
    if spec.parent != 0 && parent_in_proc() != Some(spec.parent) {
        return Ok(ExitCode::from(BROKEN));
    }
    if !spec.has(Layer::Pid) {
        // Number 1 is somebody else then, to whom orphans would go.
        set_child_subreaper(Some(getpid())).of(Layer::Environment, "orphans")?;
    }
    SigSet::all().thread_unblock().of(Layer::Environment, "signals")?;
    surround(spec)?;
    if let Some(prove) = &spec.prove {
        attempts::run(spec, prove).of(Layer::Environment, "telling what was tried")?;
        return Ok(ExitCode::SUCCESS);
    }
    if spec.probe {
        return Ok(ExitCode::SUCCESS);
    }
    std::env::set_current_dir(&spec.workspace).of(Layer::Mount, "the workspace")?;
    let mut command = Command::new(&order.program);
    command.args(&order.arguments).env_clear().envs(order.environment.iter().map(|(name, value)| (name, value)));
    if spec.control {
        command.stdin(Stdio::null());
    }
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}: {error}", order.program.display());
            let status = if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE };
            tell(spec, &format!("exit {}\n", i32::from(status) << 8));
            return Ok(ExitCode::from(status));
        }
    };
    let_go_of_output(!spec.control);
    let told = spec.clone();
    watch::start(spec, move |reason| tell(&told, &format!("stopped {reason}\n")));
    Ok(until_end(spec, child.id()))
}

/// Everything between this process and the world.
fn surround(spec: &Spec) -> Result<(), Broken> {
    if spec.has(Layer::Uts) {
        rustix::system::sethostname(HOST).of(Layer::Uts, "the host's name")?;
    }
    rights::bound_numbers(spec);
    if spec.has(Layer::Mount) {
        mounts::build(spec)?;
    }
    if spec.has(Layer::Network) {
        forward::loopback_up().of(Layer::Network, "the loopback")?;
    }
    if spec.has(Layer::Limits) {
        rights::limit(&spec.limits).of(Layer::Limits, "limits")?;
    }
    if spec.has(Layer::Capabilities) {
        rights::drop_all().of(Layer::Capabilities, "dropping capabilities")?;
    }
    if spec.has(Layer::NoNewPrivs) {
        rustix::thread::set_no_new_privs(true).of(Layer::NoNewPrivs, "no_new_privs")?;
    }
    // Nobody inside may look at this process: its program, its memory and its descriptors are the outside's.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).of(Layer::Pid, "not dumpable")?;
    if spec.has(Layer::Landlock) {
        landlocked::restrict(spec)?;
    }
    if spec.has(Layer::Seccomp) {
        filter::install(spec)?;
    }
    if spec.proxy.is_some() && spec.has(Layer::Network) && !spec.probe {
        forward::start().of(Layer::Network, "the way to the proxy")?;
    }
    Ok(())
}

/// The pipes end when the command's own ends are closed, so this process keeps none.
pub(super) fn let_go_of_output(and_input: bool) {
    let Ok(null) = fs::OpenOptions::new().read(true).write(true).open("/dev/null") else { return };
    let _ = rustix::stdio::dup2_stdout(&null);
    let _ = rustix::stdio::dup2_stderr(&null);
    if and_input {
        let _ = rustix::stdio::dup2_stdin(&null);
    }
}

/// Tells the outside something, if it listens.
fn tell(spec: &Spec, line: &str) {
    if spec.control {
        let _ = rustix::io::write(rustix::stdio::stdin(), line.as_bytes());
    }
}

/// Reaps until the command has ended and, for a short time, until all that it left has.
fn until_end(spec: &Spec, command: u32) -> ExitCode {
    let ended = loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if u32::try_from(pid.as_raw_nonzero().get()) == Ok(command) => break status,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return ExitCode::from(BROKEN),
        }
    };
    tell(spec, &format!("exit {}\n", ended.as_raw()));
    let limit = Instant::now() + BACKGROUND_GRACE;
    while spec.control && Instant::now() < limit {
        match wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => break,
            Ok(None) => thread::sleep(BACKGROUND_STEP),
            _ => {}
        }
    }
    code(ended)
}

fn code(status: WaitStatus) -> ExitCode {
    let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(BROKEN))
}
