//! The watch over what the kernel's limits on one process leave open: the memory of all processes together, their number, and the
//! room on the workspace's disk. At a limit this process ends, and all others of the namespace with it.
//!
//! It looks ten times a second, so a limit can be passed by what is done in that time.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{StatVfs, statvfs};

use crate::sandbox::layers::Layer;
use crate::sandbox::spec::{BROKEN, Spec};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(100);
/// The disk's room that is left alone, or half of what there was at the beginning if that is less.
const DISK_LEFT: u64 = 1 << 30;
/// The same for files.
const FILES_LEFT: u64 = 10_000;
/// More processes than this are not looked at one by one.
const MOST_PROCESSES: usize = 4096;
/// The watch's stack.
const STACK: usize = 128 * 1024;

/// Watches until the process ends; `tell` is called with the reason before it is ended here.
pub(super) fn start(spec: &Spec, tell: impl Fn(&str) + Send + 'static) {
    if !spec.has(Layer::Limits) || !spec.has(Layer::Pid) {
        return;
    }
    let spec = spec.clone();
    let disk = Disk::of(&spec.workspace);
    // Without the thread the kernel's limits still hold.
    let _ = thread::Builder::new().stack_size(STACK).spawn(move || {
        loop {
            thread::sleep(PERIOD);
            if let Some(reason) = look(&spec, disk.as_ref()) {
                tell(&reason);
                std::process::exit(BROKEN.into());
            }
        }
    });
}

fn look(spec: &Spec, disk: Option<&Disk>) -> Option<String> {
    if disk.is_some_and(|disk| disk.is_full(&spec.workspace)) {
        return Some("the workspace's disk is nearly full".into());
    }
    if !spec.has(Layer::Proc) {
        return None;
    }
    let Ok(processes) = numbers() else { return Some("the watch over its memory could not see".into()) };
    if processes.len() as u64 > spec.limits.processes {
        return Some(format!("more than {} processes", spec.limits.processes));
    }
    let scratch: u64 = ["/tmp", "/dev/shm"].iter().filter_map(|place| statvfs(*place).ok()).map(|stat| used(&stat)).sum();
    let too_much = |of: &dyn Fn(&str) -> u64| processes.iter().map(|number| of(number)).sum::<u64>() + scratch > spec.limits.memory;
    // What processes share is counted for each of them, which is quick to read; only if that is too much it is counted exactly.
    let is_too_much = too_much(&resident) && too_much(&|number| proportional(number).unwrap_or_else(|| resident(number)));
    is_too_much.then(|| format!("its processes and /tmp took more than {} MiB of memory together", spec.limits.memory >> 20))
}

/// The processes of the namespace, without this one.
fn numbers() -> std::io::Result<Vec<String>> {
    let names = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name != "1" && name.bytes().all(|b| b.is_ascii_digit())).take(MOST_PROCESSES).collect())
}

/// Bytes in memory.
fn resident(number: &str) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{number}/statm")).ok().and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// Bytes in memory, those that are shared divided by who shares them.
fn proportional(number: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{number}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

fn used(stat: &StatVfs) -> u64 {
    stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize)
}

/// The room that must stay on the workspace's disk.
struct Disk {
    bytes: u64,
    files: u64,
}

impl Disk {
    fn of(workspace: &Path) -> Option<Self> {
        let stat = statvfs(workspace).ok()?;
        let bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        Some(Self { bytes: DISK_LEFT.min(bytes / 2), files: FILES_LEFT.min(stat.f_favail / 2) })
    }

    fn is_full(&self, workspace: &Path) -> bool {
        statvfs(workspace)
            .is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < self.bytes || (self.files > 0 && stat.f_favail < self.files))
    }
}
