//! What the command sees: a new root on a small `tmpfs`, with the system read-only, the workspace writable, and a `/tmp`, `/dev` and
//! `/proc` of its own. What is not put there is not there.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, mount_remount, unmount};
use rustix::process::pivot_root;

use super::{Broken, Of};
use crate::sandbox::layers::Layer;
use crate::sandbox::spec::{PROXY_SOCKET, Spec};

/// How often a mount that is busy is tried again, and how long after; then the layer is not there.
const REMOUNTS: usize = 20;
/// See [`REMOUNTS`].
const REMOUNT_PAUSE: Duration = Duration::from_millis(2);
/// Folders of the root that are the system's.
pub(super) const SYSTEM: [&str; 11] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix", "gnu"];
/// Devices that do no harm.
pub(super) const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Parts of `/proc` that tell of the machine rather than of the command, or let somebody work on it.
const HIDDEN_PROC: [&str; 32] = [
    "acpi",
    "asound",
    "bus",
    "cmdline",
    "config.gz",
    "driver",
    "dynamic_debug",
    "fs",
    "iomem",
    "ioports",
    "irq",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "latency_stats",
    "modules",
    "mtrr",
    "sched_debug",
    "scsi",
    "slabinfo",
    "softirqs",
    "sysrq-trigger",
    "timer_list",
    "timer_stats",
    "tty",
    "vmallocinfo",
    "zoneinfo",
];
/// Where the new root is built before it is the root.
const PLACES: [&str; 4] = ["/tmp", "/mnt", "/run", "/var"];
/// The old root while the new one is built.
const OLD: &str = "/.old";
/// An empty folder that is put over folders that must not be seen.
const EMPTY: &str = "/.empty";
/// Bytes and files of the root itself, which holds folders only, of `/tmp`, and of shared memory.
const ROOT_DATA: &str = "mode=0755,size=1m,nr_inodes=2048";
const TMP_DATA: &str = "mode=1777,size=512m,nr_inodes=65536";
const SHM_DATA: &str = "mode=1777,size=64m,nr_inodes=1024";
const DEV_DATA: &str = "mode=0755,size=64k,nr_inodes=64";
const EMPTY_DATA: &str = "mode=0555,size=4k,nr_inodes=2";

const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Makes the new root and makes it the root.
pub(super) fn build(spec: &Spec) -> Result<(), Broken> {
    root().of(Layer::Mount, "a new root")?;
    let mut read_only: Vec<PathBuf> = Vec::new();
    system(&mut read_only).of(Layer::Mount, "the system")?;
    devices().of(Layer::Mount, "/dev")?;
    scratch().of(Layer::Mount, "/tmp")?;
    for path in &spec.readable {
        show(path).of(Layer::Mount, &format!("{} (`readable`)", path.display()))?;
        read_only.push(path.clone());
    }
    if !spec.has(Layer::Network) {
        resolver(&mut read_only).of(Layer::Mount, "the resolver's file")?;
    }
    if !spec.probe {
        show(&spec.workspace).of(Layer::Mount, &format!("the workspace {}", spec.workspace.display()))?;
    }
    if let Some(socket) = &spec.proxy {
        show_as(socket, Path::new(PROXY_SOCKET)).of(Layer::Mount, "the proxy's socket")?;
    }
    harden(&read_only, Some(&*spec.workspace).filter(|_| !spec.probe)).of(Layer::Mount, "mounting read-only")?;
    for path in &spec.hidden {
        if !spec.workspace.starts_with(path) {
            hide(path).of(Layer::Mount, &format!("hiding {}", path.display()))?;
        }
    }
    if spec.has(Layer::Proc) {
        own_proc().of(Layer::Proc, "/proc")?;
    }
    unmount(OLD, UnmountFlags::DETACH).of(Layer::Mount, "leaving the old root")?;
    fs::remove_dir(OLD).of(Layer::Mount, "leaving the old root")?;
    let fixed = MountFlags::BIND | MountFlags::RDONLY | QUIET;
    remount("/dev", fixed.difference(MountFlags::NODEV) | MountFlags::NOEXEC).of(Layer::Mount, "/dev read-only")?;
    remount("/", fixed).of(Layer::Mount, "the root read-only")
}

/// Makes a mount read-only. The kernel refuses that while it counts a writer there, and on a busy machine the last one may be a file that
/// was closed just now: tried again for a moment, because without this all commands would be refused.
fn remount(place: &str, flags: MountFlags) -> io::Result<()> {
    for _ in 0..REMOUNTS {
        match mount_remount(place, flags, "") {
            Err(Errno::BUSY) => thread::sleep(REMOUNT_PAUSE),
            other => return other.map_err(io::Error::from),
        }
    }
    mount_remount(place, flags, "").map_err(io::Error::from)
}

fn root() -> io::Result<()> {
    // Nothing that is mounted here is to be seen outside.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let place = PLACES.iter().find(|place| Path::new(place).is_dir()).ok_or(io::ErrorKind::NotFound)?;
    mount("sandbox", *place, "tmpfs", QUIET, Some(&*c_string(ROOT_DATA)?))?;
    let old = Path::new(place).join(OLD.trim_start_matches('/'));
    fs::create_dir(&old)?;
    // The mount on `place` becomes the root, and what it covered is to be seen again below the old one.
    pivot_root(*place, &old)?;
    std::env::set_current_dir("/")?;
    fs::create_dir(EMPTY)?;
    mount("sandbox", EMPTY, "tmpfs", QUIET | MountFlags::RDONLY, Some(&*c_string(EMPTY_DATA)?)).map_err(io::Error::from)
}

fn c_string(text: &str) -> io::Result<std::ffi::CString> {
    std::ffi::CString::new(text).map_err(io::Error::from)
}

fn system(read_only: &mut Vec<PathBuf>) -> io::Result<()> {
    for name in SYSTEM {
        let (old, new) = (Path::new(OLD).join(name), Path::new("/").join(name));
        let Ok(found) = fs::symlink_metadata(&old) else { continue };
        if found.is_symlink() {
            symlink(fs::read_link(&old)?, &new)?;
        } else if found.is_dir() {
            fs::create_dir(&new)?;
            mount_bind_recursive(&old, &new)?;
            read_only.push(new);
        }
    }
    Ok(())
}

fn devices() -> io::Result<()> {
    fs::create_dir("/dev")?;
    mount("sandbox", "/dev", "tmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, Some(&*c_string(DEV_DATA)?))?;
    for name in DEVICES {
        show(&Path::new("/dev").join(name))?;
    }
    let links = [("/proc/self/fd", "fd"), ("/proc/self/fd/0", "stdin"), ("/proc/self/fd/1", "stdout"), ("/proc/self/fd/2", "stderr")];
    for (target, name) in links.into_iter().chain([("pts/ptmx", "ptmx")]) {
        symlink(target, Path::new("/dev").join(name))?;
    }
    fs::create_dir("/dev/pts")?;
    let data = c_string("newinstance,ptmxmode=0666,mode=620")?;
    // Pseudo-terminals are a comfort; a kernel without them keeps nobody from running commands.
    let _ = mount("devpts", "/dev/pts", "devpts", MountFlags::NOSUID | MountFlags::NOEXEC, Some(&*data));
    fs::create_dir("/dev/shm")?;
    mount("sandbox", "/dev/shm", "tmpfs", QUIET, Some(&*c_string(SHM_DATA)?)).map_err(io::Error::from)
}

/// The folders that a program expects.
fn scratch() -> io::Result<()> {
    for name in ["/tmp", "/proc", "/run", "/sys", "/var", "/home", "/root", "/mnt"] {
        fs::create_dir(name)?;
    }
    symlink("/tmp", "/var/tmp")?;
    symlink("/run", "/var/run")?;
    mount("sandbox", "/tmp", "tmpfs", QUIET, Some(&*c_string(TMP_DATA)?)).map_err(io::Error::from)
}

/// With the host's network the resolver's file must be there, and it often is a link to a place that is not.
fn resolver(read_only: &mut Vec<PathBuf>) -> io::Result<()> {
    let Ok(target) = fs::read_link(Path::new(OLD).join("etc/resolv.conf")) else { return Ok(()) };
    // Relative to /etc, or absolute: both begin at the root.
    let mut path = PathBuf::from("/etc");
    for part in target.components() {
        match part {
            Component::RootDir => path = "/".into(),
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    if !path.exists() && Path::new(OLD).join(path.strip_prefix("/").unwrap_or(&path)).is_file() {
        show(&path)?;
        read_only.push(path);
    }
    Ok(())
}

/// Shows `path` of the old root at the same place of the new one.
fn show(path: &Path) -> io::Result<()> {
    show_as(path, path)
}

fn show_as(path: &Path, place: &Path) -> io::Result<()> {
    let old = Path::new(OLD).join(path.strip_prefix("/").unwrap_or(path));
    let is_dir = fs::metadata(&old)?.is_dir();
    if !place.exists() {
        fs::create_dir_all(if is_dir { place } else { place.parent().unwrap_or(place) })?;
        if !is_dir {
            fs::File::create(place)?;
        }
    }
    mount_bind_recursive(&old, place).map_err(io::Error::from)
}

/// Puts nothing over `path`.
fn hide(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => mount_bind_recursive(EMPTY, path).map_err(io::Error::from),
        Ok(found) if found.is_file() => mount_bind_recursive("/dev/null", path).map_err(io::Error::from),
        _ => Ok(()),
    }
}

/// Makes every mount under `read_only` read-only, and that of the workspace without devices and set-user-id programs.
fn harden(read_only: &[PathBuf], workspace: Option<&Path>) -> io::Result<()> {
    let table = fs::read_to_string(Path::new(OLD).join("proc/self/mountinfo"))?;
    for (place, flags) in table.lines().filter_map(entry) {
        let own = workspace.is_some_and(|workspace| place.starts_with(workspace));
        // A workspace below a folder that is read-only is not.
        if own || read_only.iter().any(|path| place.starts_with(path)) {
            let wanted = if own { QUIET } else { MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV };
            mount_remount(&place, MountFlags::BIND | flags | wanted, "")?;
        }
    }
    Ok(())
}

/// A mount's place and the flags that must be kept when it is changed.
fn entry(line: &str) -> Option<(PathBuf, MountFlags)> {
    let mut fields = line.split(' ');
    let place = unescaped(fields.nth(4)?);
    let flags = fields.next()?.split(',').fold(MountFlags::empty(), |flags, option| {
        flags
            | match option {
                "ro" => MountFlags::RDONLY,
                "nosuid" => MountFlags::NOSUID,
                "nodev" => MountFlags::NODEV,
                "noexec" => MountFlags::NOEXEC,
                "noatime" => MountFlags::NOATIME,
                "nodiratime" => MountFlags::NODIRATIME,
                "relatime" => MountFlags::RELATIME,
                _ => MountFlags::empty(),
            }
    });
    Some((place, flags))
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let code = tail.get(..3).filter(|_| *byte == b'\\').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(code) => {
                out.push(code);
                rest = &tail[3..];
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    std::ffi::OsString::from_vec(out).into()
}

fn own_proc() -> io::Result<()> {
    mount("proc", "/proc", "proc", QUIET | MountFlags::NOEXEC | MountFlags::RDONLY, None)?;
    for name in HIDDEN_PROC {
        hide(&Path::new("/proc").join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_flags_of_mounts() {
        let check = |line: &str, place: &str, flags| assert_eq!(entry(line), Some((place.into(), flags)));
        check("36 35 98:0 / /a\\040b\\134 rw,nosuid,noatime shared:1 - ext4 /dev/x rw", "/a b\\", MountFlags::NOSUID | MountFlags::NOATIME);
        check("1 2 0:1 / / ro,relatime - tmpfs x rw", "/", MountFlags::RDONLY | MountFlags::RELATIME);
    }
}
