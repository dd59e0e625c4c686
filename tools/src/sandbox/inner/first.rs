//! The first process: leaves the terminal and inherited descriptors behind, makes the namespaces, and waits for the second.

use std::fs;
use std::process::{Command, ExitCode};

use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getegid, geteuid, getppid, set_parent_process_death_signal, setsid, waitpid};
use rustix::thread::{CapabilitySet, capabilities, configure_capability_in_ambient_set, set_capabilities};

use super::{Broken, Of, Order, own_number_in_proc};
use crate::sandbox::layers::Layer;
use crate::sandbox::spec::{BROKEN, SECOND, Spec, VARIABLE};

/// Numbers that the new user namespace bounds for all in it, as names under `/proc/sys/user`: they are the owner's own, and would
/// run out for the owner, too.
const BOUNDS: [(&str, &str); 8] = [
    ("max_inotify_instances", "64"),
    ("max_inotify_watches", "65536"),
    ("max_fanotify_groups", "0"),
    ("max_user_namespaces", "0"),
    ("max_mnt_namespaces", "0"),
    ("max_pid_namespaces", "0"),
    ("max_net_namespaces", "0"),
    ("max_time_namespaces", "0"),
];

/// What a status says of a signal, as shells do.
const SIGNALLED: i32 = 128;

const NAMESPACES: [(Layer, CloneFlags); 6] = [
    (Layer::Mount, CloneFlags::CLONE_NEWNS),
    (Layer::Pid, CloneFlags::CLONE_NEWPID),
    (Layer::Ipc, CloneFlags::CLONE_NEWIPC),
    (Layer::Uts, CloneFlags::CLONE_NEWUTS),
    (Layer::Network, CloneFlags::CLONE_NEWNET),
    (Layer::Cgroup, CloneFlags::CLONE_NEWCGROUP),
];

pub(super) fn run(order: &Order) -> Result<ExitCode, Broken> {
    let spec = &order.spec;
    close_inherited();
    set_parent_process_death_signal(Some(Signal::KILL)).of(Layer::Environment, "the signal for the parent's death")?;
    if getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok()) != Some(spec.parent) {
        return Ok(ExitCode::from(BROKEN)); // whoever wanted this has gone
    }
    // A session of its own has no terminal, so none can be typed into; and its group is the one that the outside kills.
    setsid().of(Layer::Environment, "a session of its own")?;
    // The group is signalled as a whole; this process stays to say how it ended.
    let mut polite = SigSet::empty();
    [NixSignal::SIGTERM, NixSignal::SIGINT, NixSignal::SIGHUP, NixSignal::SIGQUIT].into_iter().for_each(|signal| polite.add(signal));
    polite.thread_block().of(Layer::Environment, "blocking signals")?;
    namespaces(spec)?;
    let mut second = spec.clone();
    second.parent = own_number_in_proc().unwrap_or_default();
    let second = serde_json::to_string(&second).of(Layer::Environment, "the order for the second process")?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(SECOND).arg(&order.program).args(&order.arguments).env(VARIABLE, second);
    let child = command.spawn().of(Layer::Pid, "the first process of the namespace")?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    super::second::let_go_of_output(true);
    Ok(status(pid))
}

/// Waits for the end of `child` and says how it ended.
fn status(child: Option<Pid>) -> ExitCode {
    loop {
        match waitpid(child, WaitOptions::empty()) {
            Err(Errno::INTR) => {}
            Ok(Some((_, status))) => {
                let code = status.exit_status().or(status.terminating_signal().map(|signal| SIGNALLED + signal));
                return ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(BROKEN));
            }
            Ok(None) | Err(_) => return ExitCode::from(BROKEN),
        }
    }
}

/// Closes all descriptors but the standard ones: this process has opened none, so they are somebody else's.
fn close_inherited() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // The folder's own descriptor is among them, and closed already.
        let _ = nix::unistd::close(number);
    }
}

fn namespaces(spec: &Spec) -> Result<(), Broken> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    if spec.has(Layer::User) {
        nix::sched::unshare(CloneFlags::CLONE_NEWUSER).of(Layer::User, "unshare")?;
        // Before the groups' map, as the kernel asks of those without rights.
        fs::write("/proc/self/setgroups", "deny").of(Layer::User, "setgroups")?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1\n")).of(Layer::User, "uid_map")?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1\n")).of(Layer::User, "gid_map")?;
    }
    let wanted: Vec<_> = NAMESPACES.into_iter().filter(|(layer, _)| spec.has(*layer)).collect();
    let all = wanted.iter().fold(CloneFlags::empty(), |all, (_, flag)| all | *flag);
    if nix::sched::unshare(all).is_err() {
        // One by one, to know which.
        for (layer, flag) in wanted {
            nix::sched::unshare(flag).of(layer, "unshare")?;
        }
    }
    if spec.has(Layer::User) {
        // Best effort: a kernel without one of them has nothing of the kind to bound. The namespaces above are made already.
        for (name, most) in BOUNDS {
            let _ = fs::write(format!("/proc/sys/user/{name}"), most);
        }
        keep_rights_over_exec().of(Layer::User, "capabilities")?;
    }
    // A change of rights may have cleared it.
    set_parent_process_death_signal(Some(Signal::KILL)).of(Layer::Environment, "the signal for the parent's death")
}

/// An ordinary user's rights inside the new namespace would end when the second process is started; ambient ones do not.
fn keep_rights_over_exec() -> rustix::io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.inheritable = sets.permitted;
    set_capabilities(None, sets)?;
    for capability in sets.permitted.iter().filter(|one| CapabilitySet::all().contains(*one)) {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}
