//! What the command is left with: limits, and no capabilities.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
};

use crate::sandbox::layers::Layer;
use crate::sandbox::spec::{Limits, Spec};

/// Open files of one process.
const FILES: u64 = 4096;
/// The kernel keeps this many of a namespace's process numbers for itself once they have all been given out.
const RESERVED_NUMBERS: u64 = 300;
/// Since this version a process namespace has a highest number of its own; before, the number is the whole machine's.
const OWN_NUMBERS: (u32, u32) = (6, 14);
/// A page, for System V's limit; where pages are larger the limit is too.
const PAGE: u64 = 4096;

/// The kernel's score of who is ended first when memory runs out, from -1000 to 1000.
const FIRST_TO_GO: &str = "800";

/// Numbers that belong to the new namespaces. Best effort: what a kernel does not have, `limit` and the watch have to do.
pub(super) fn bound_numbers(spec: &Spec) {
    // The program outside, with a model in it, is the larger one.
    let _ = fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
    if !spec.has(Layer::Limits) || !spec.has(Layer::User) {
        return;
    }
    if spec.has(Layer::Pid) && kernel() >= OWN_NUMBERS {
        // The limit on processes is not kept for the machine's root, even in a namespace; this one is.
        let _ = fs::write("/proc/sys/kernel/pid_max", (RESERVED_NUMBERS + spec.limits.processes).to_string());
    }
    if spec.has(Layer::Ipc) {
        let _ = fs::write("/proc/sys/kernel/shmall", (spec.limits.memory / PAGE / 4).to_string());
    }
}

/// The kernel's version.
fn kernel() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Sets the limits of this process and of all that it starts. None may be raised again.
pub(super) fn limit(limits: &Limits) -> rustix::io::Result<()> {
    let wanted = [
        (Resource::Data, limits.memory),
        (Resource::Nproc, limits.processes),
        (Resource::Fsize, limits.file),
        (Resource::Cpu, limits.cpu_s),
        (Resource::Nofile, FILES),
        (Resource::Core, 0),
        (Resource::Nice, 0),
        (Resource::Rtprio, 0),
    ];
    for (resource, most) in wanted {
        let most = getrlimit(resource).maximum.map_or(most, |already| most.min(already));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// Gives up every capability, and every way to one.
pub(super) fn drop_all() -> rustix::io::Result<()> {
    let fixed = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    clear_ambient_capability_set()?;
    // Only who has the rights may fix them; who has none has nothing to fix.
    let _ = set_capabilities_secure_bits(fixed);
    for capability in CapabilitySet::all().iter() {
        if capability_is_in_bounding_set(capability).unwrap_or(false) {
            // Needs a right that an ordinary user without a user namespace does not have; `no_new_privs` does the same work then.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}
