//! Attempts to break out, one or more for each layer: what `paguro doctor sandbox` shows. They are made by the second process after it
//! has given up its rights, so they need no program of the machine's.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno as NixErrno;
use nix::sched::CloneFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{Pid, Resource, Rlimit, setrlimit, test_kill_process};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, no_new_privs, set_capabilities};

use crate::sandbox::layers::Layer;
use crate::sandbox::spec::{Prove, Spec, VARIABLE};

/// For a connection that must not come about.
const PATIENCE: Duration = Duration::from_millis(500);

/// Makes the attempts and prints a line each: layer, `held` or `BROKEN`, what was tried.
pub(super) fn run(spec: &Spec, prove: &Prove) -> std::io::Result<()> {
    let mut lines = String::new();
    let mut add = |layer: Layer, what: &str, held: bool| {
        if spec.has(layer) {
            lines += &format!("{layer}\t{}\t{what}\n", if held { "held" } else { "BROKEN" });
        }
    };
    for (name, link) in &prove.namespaces {
        let layer = if name == "mnt" { Some(Layer::Mount) } else { named(name) };
        if let Some(layer) = layer.filter(|_| spec.has(Layer::Proc)) {
            add(layer, "stay in the machine's namespace", fs::read_link(format!("/proc/self/ns/{name}")).is_ok_and(|own| own != *link));
        }
    }
    files(spec, prove, &mut add);
    rights(spec, &mut add);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, prove.port));
    add(Layer::Network, "reach a service on the machine's loopback", TcpStream::connect_timeout(&address, PATIENCE).is_err());
    let parent = i32::try_from(spec.parent).ok().and_then(Pid::from_raw);
    add(Layer::Pid, "find the process that started it", parent.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH)));
    std::io::stdout().write_all(lines.as_bytes())
}

fn named(name: &str) -> Option<Layer> {
    Layer::named(if name == "net" { "network" } else { name })
}

fn files(spec: &Spec, prove: &Prove, add: &mut impl FnMut(Layer, &str, bool)) {
    let cannot_write = |path: &str| fs::OpenOptions::new().create(true).append(true).open(path).is_err();
    let alone = !spec.has(Layer::Mount);
    if !alone {
        add(Layer::Mount, "read a file outside the workspace", fs::read(&prove.secret).is_err());
        add(Layer::Mount, "write to /usr and /etc", cannot_write("/usr/paguro-proof") && cannot_write("/etc/paguro-proof"));
        add(
            Layer::Mount,
            "read this program",
            spec.hidden.first().is_none_or(|path| fs::read(path).is_ok_and(|bytes| bytes.is_empty()) || fs::read(path).is_err()),
        );
    }
    if spec.has(Layer::Landlock) && alone {
        // Without the mounts only Landlock stands between these and the attempt.
        add(Layer::Landlock, "read a file outside the workspace", fs::read(&prove.secret).is_err());
        let beside = prove.secret.with_extension("new");
        add(Layer::Landlock, "write a file outside the workspace", fs::write(&beside, "x").is_err());
    }
    add(Layer::Proc, "see other processes", !Path::new("/proc/2").exists() && Path::new("/proc/1").exists());
    add(Layer::Proc, "change the kernel's settings", cannot_write("/proc/sys/kernel/printk") && cannot_write("/proc/sysrq-trigger"));
    let own = |name: &str| name.starts_with(VARIABLE);
    add(Layer::Environment, "find variables of the program's", std::env::vars_os().all(|(name, _)| name.to_str().is_some_and(own)));
    add(Layer::Environment, "open the terminal", fs::File::open("/dev/tty").is_err());
}

fn rights(spec: &Spec, add: &mut impl FnMut(Layer, &str, bool)) {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if spec.has(Layer::Proc) {
        add(Layer::User, "be another user", map.split_whitespace().nth(2) == Some("1"));
    }
    add(Layer::Seccomp, "make a namespace", nix::sched::unshare(CloneFlags::CLONE_NEWUSER) == Err(NixErrno::EPERM));
    let machine = socket(AddressFamily::VSOCK, SocketType::STREAM, None);
    add(Layer::Seccomp, "open a socket to the machine's host", machine.is_err_and(|error| error == Errno::AFNOSUPPORT));
    let raw = socket(AddressFamily::INET, SocketType::RAW, None);
    add(Layer::Seccomp, "open a raw socket", raw.is_err());
    add(Layer::NoNewPrivs, "be without the flag", no_new_privs().unwrap_or(false));
    let all = CapabilitySet::all();
    let regained = set_capabilities(None, CapabilitySets { effective: all, permitted: all, inheritable: all });
    let none = capabilities(None).is_ok_and(|sets| sets.permitted.is_empty());
    add(Layer::Capabilities, "have or take capabilities", regained.is_err() && none);
    add(Layer::Uts, "change the host's name", rustix::system::sethostname(b"broken").is_err());
    let more = spec.limits.file.saturating_add(1);
    let raised = setrlimit(Resource::Fsize, Rlimit { current: Some(more), maximum: Some(more) });
    add(Layer::Limits, "raise a limit", raised.is_err());
    let too_much = usize::try_from(spec.limits.memory.saturating_add(1 << 20)).unwrap_or(usize::MAX);
    add(Layer::Limits, "take more memory than granted", Vec::<u8>::new().try_reserve_exact(too_much).is_err());
}
