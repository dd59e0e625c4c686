//! How much memory this process may take: the machine's, the control groups' and the process's own limits.
//!
//! Not here: the memory of GPUs and workers, which their drivers and they themselves tell (`plan.rs`).

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use llama_sys::llama_cpp_2::{LlamaBackendDeviceType, list_llama_ggml_backend_devices};
use serde::{Deserialize, Serialize};

/// The memory of the machine as this process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Bytes of memory built in.
    pub total: u64,
    /// Bytes that this process may take beyond what it has now, by the tightest of the limits.
    pub available: u64,
    /// Which limit that is.
    pub bound: Bound,
}

/// What limits the memory of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// What other programs leave over.
    Memory,
    /// A limit of a control group: a container's, a service's.
    Cgroup,
    /// `ulimit -v`.
    AddressSpace,
    /// `memory_limit` in `[model]`.
    Setting,
}

impl Bound {
    /// As the end of "8 GB are …".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Memory => "free on this machine",
            Self::Cgroup => "left of this control group's limit",
            Self::AddressSpace => "left of `ulimit -v`",
            Self::Setting => "allowed by `memory_limit`",
        }
    }
}

impl Machine {
    /// Asks the system. Where it does not say what is free (macOS), all of the memory counts as free.
    #[must_use]
    pub fn read() -> Self {
        Self::read_below(Path::new("/")).unwrap_or_else(|| {
            let devices = list_llama_ggml_backend_devices();
            let cpu = devices.iter().find(|device| device.device_type == LlamaBackendDeviceType::Cpu);
            // A machine that says nothing at all refuses nothing.
            let (total, free) = cpu.map_or((u64::MAX, u64::MAX), |cpu| (cpu.memory_total as u64, cpu.memory_free as u64));
            Self { total, available: free, bound: Bound::Memory }
        })
    }

    /// The same with at most `limit` bytes.
    #[must_use]
    pub fn at_most(self, limit: Option<u64>) -> Self {
        limit.map_or(self, |limit| self.or_less(limit, Bound::Setting))
    }

    fn or_less(self, available: u64, bound: Bound) -> Self {
        if available < self.available { Self { available, bound, ..self } } else { self }
    }

    /// Linux's files below `root`, or `None` where there are none.
    fn read_below(root: &Path) -> Option<Self> {
        let info = read_to_string(root.join("proc/meminfo")).ok()?;
        let kilobytes = |key: &str| -> Option<u64> {
            let rest = info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            rest.trim().strip_suffix("kB")?.trim().parse().ok()
        };
        let total = kilobytes("MemTotal")?.saturating_mul(1024);
        // Kernels before 3.14 have no MemAvailable.
        let available = kilobytes("MemAvailable").or_else(|| kilobytes("MemFree"))?.saturating_mul(1024);
        let mut machine = Self { total, available, bound: Bound::Memory };
        if let Some(left) = cgroup_left(root) {
            machine = machine.or_less(left, Bound::Cgroup);
        }
        if let Some(left) = address_space_left(root) {
            machine = machine.or_less(left, Bound::AddressSpace);
        }
        Some(machine)
    }
}

/// The least that any control group around this process leaves.
fn cgroup_left(root: &Path) -> Option<u64> {
    let groups = read_to_string(root.join("proc/self/cgroup")).ok()?;
    // `0::/path` is version 2, `4:memory:/path` version 1; a machine may have both, and memory is then in one of them.
    let left = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        if controllers.split(',').any(|controller| controller == "memory") {
            return least_upwards(&root.join("sys/fs/cgroup/memory"), path, &VERSION_1);
        }
        (number == "0" && controllers.is_empty()).then(|| least_upwards(&root.join("sys/fs/cgroup"), path, &VERSION_2))?
    });
    left.min()
}

/// The files of one version of control groups.
struct Files {
    limit: &'static str,
    used: &'static str,
    /// The key in `memory.stat` of file pages that the kernel gives up first.
    reclaimable: &'static str,
}

const VERSION_1: Files = Files { limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", reclaimable: "total_inactive_file" };
const VERSION_2: Files = Files { limit: "memory.max", used: "memory.current", reclaimable: "inactive_file" };

/// The least left in the group `path` and in those above it, up to `mount`. In a container the path may be the host's, where
/// nothing is to be seen: the groups that are there are looked at.
fn least_upwards(mount: &Path, path: &str, files: &Files) -> Option<u64> {
    let mut folder: PathBuf = mount.join(path.trim_start_matches('/'));
    let mut least: Option<u64> = None;
    loop {
        if let Some(left) = left_in(&folder, files) {
            least = Some(least.map_or(left, |least| least.min(left)));
        }
        if folder == mount || !folder.pop() || !folder.starts_with(mount) {
            return least;
        }
    }
}

/// What one group leaves; `None` if it has no limit.
fn left_in(folder: &Path, files: &Files) -> Option<u64> {
    let number = |name: &str| read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    // Version 2 says `max` for none, version 1 a number near 2^63.
    let limit = number(files.limit).filter(|limit| *limit < 1 << 62)?;
    let stat = read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let reclaimable = stat.lines().find_map(|line| line.strip_prefix(files.reclaimable)?.trim().parse::<u64>().ok());
    let used = number(files.used).unwrap_or(0).saturating_sub(reclaimable.unwrap_or(0));
    Some(limit.saturating_sub(used))
}

/// What `ulimit -v` leaves; `None` if it is unlimited.
fn address_space_left(root: &Path) -> Option<u64> {
    let limits = read_to_string(root.join("proc/self/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    let status = read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let used = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(used.unwrap_or(0).saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    /// 16 GiB, 10 GiB of them available.
    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:   10485760 kB\n");

    /// What is read from these files.
    fn check(files: &[(&str, &str)], expected: Option<(u64, Bound)>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let expected = expected.map(|(available, bound)| Machine { total: 16 * GIB, available, bound });
        assert_eq!(Machine::read_below(root.path()), expected, "{files:?}");
    }

    #[test]
    fn without_limits_it_is_what_the_kernel_calls_available() {
        check(&[], None);
        check(&[MEMINFO], Some((10 * GIB, Bound::Memory)));
        check(&[("proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1048576 kB\n")], Some((GIB, Bound::Memory)));
        let max = [("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n"), ("sys/fs/cgroup/a/memory.current", "5")];
        check(&[&[MEMINFO], &max[..]].concat(), Some((10 * GIB, Bound::Memory)));
    }

    #[test]
    fn the_tightest_group_upwards_counts_and_file_cache_does_not() {
        // The inner group has 4 GiB and uses 3, 1.5 of it cache that can go; the outer has 3 GiB and uses 1.
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "4294967296\n"),
            ("sys/fs/cgroup/outer/inner/memory.current", "3221225472\n"),
            ("sys/fs/cgroup/outer/inner/memory.stat", "anon 1\nfile 2\ninactive_file 1610612736\nactive_file 7\n"),
            ("sys/fs/cgroup/outer/memory.max", "3221225472\n"),
            ("sys/fs/cgroup/outer/memory.current", "1073741824\n"),
        ];
        check(&files, Some((2 * GIB, Bound::Cgroup)));
        check(&files[..5], Some((5 * GIB / 2, Bound::Cgroup)));
        // More used than allowed: nothing is left.
        let over = [MEMINFO, files[1], files[5], ("sys/fs/cgroup/outer/memory.current", "4294967296\n")];
        check(&over, Some((0, Bound::Cgroup)));
    }

    #[test]
    fn version_1_and_a_path_that_is_the_hosts() {
        let groups = ("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n");
        let limit = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
        let used = ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1610612736\n");
        let stat = ("sys/fs/cgroup/memory/memory.stat", "inactive_file 9\ntotal_inactive_file 536870912\n");
        check(&[MEMINFO, groups, limit, used, stat], Some((GIB, Bound::Cgroup)));
        let none = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        check(&[MEMINFO, groups, none, used], Some((10 * GIB, Bound::Memory)));
    }

    #[test]
    fn the_address_space_is_a_limit() {
        let limits = |size: &str| format!("Limit Soft Limit Hard Limit Units\nMax address space        {size}  unlimited  bytes\n");
        let status = ("proc/self/status", "Name: x\nVmPeak:  9 kB\nVmSize:  1048576 kB\n");
        check(&[MEMINFO, ("proc/self/limits", &limits("3221225472")), status], Some((2 * GIB, Bound::AddressSpace)));
        check(&[MEMINFO, ("proc/self/limits", &limits("unlimited")), status], Some((10 * GIB, Bound::Memory)));
    }

    #[test]
    fn this_machine_has_memory_and_a_setting_bounds_it() {
        let machine = Machine::read();
        assert!(machine.total > 0 && machine.available > 0, "{machine:?}");
        let less = machine.at_most(Some(7));
        assert_eq!((less.available, less.bound), (7, Bound::Setting));
        assert_eq!(machine.at_most(None), machine);
    }
}
