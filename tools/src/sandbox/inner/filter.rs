//! The filter of system calls. What is refused is what no command of ours needs and what attacks begin with: other namespaces, other
//! processes, mounts, the kernel's keys, programs in the kernel, new system calls that nobody has looked at yet. What is not
//! refused is what ordinary programs do; files, processes and the network are the other layers' work.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter, sock_filter,
};

use super::{Broken, Of};
use crate::sandbox::layers::Layer;
use crate::sandbox::spec::Spec;

/// Refused as not permitted.
const REFUSED: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Refused where the architecture has them.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS__sysctl,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[];

/// Refused as if the kernel did not have them, because programs then do without. `clone3` and `openat2` hide their arguments in
/// memory, where a filter cannot see them; `memfd_create` makes memory that no limit counts; 443 is `quotactl_fd`.
const ABSENT: &[c_long] = &[libc::SYS_clone3, libc::SYS_openat2, libc::SYS_memfd_create, libc::SYS_memfd_secret, 443, STATMOUNT, LISTMOUNT];
const STATMOUNT: c_long = 457;
const LISTMOUNT: c_long = 458;

/// The newest system call that has been looked at (`removexattrat`); later ones are as if the kernel did not have them. From 424 on
/// the numbers are the same on all architectures.
const NEWEST: u32 = 466;
/// Numbers from here on are those of the x32 interface, which would go past all rules.
const X32: u32 = 0x4000_0000;

/// Flags of `clone` that make namespaces.
const NAMESPACES: [libc::c_int; 8] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
    0x80, // CLONE_NEWTIME
];
/// Requests to a terminal that type into it, drive the console or change what stands behind it.
const TERMINAL: [u64; 3] = [0x5412, 0x541C, 0x5423];
/// A file that runs with its owner's or its group's rights.
const SET_ID: [u64; 2] = [0o4000, 0o2000];
/// The kind of a socket without its flags.
const KIND: u64 = 0xf;
const RAW_KINDS: [libc::c_int; 2] = [libc::SOCK_RAW, 10]; // 10: SOCK_PACKET

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
type Built<T> = Result<T, seccompiler::BackendError>;

/// Installs the filters in this thread; all that it starts from now on has them.
pub(super) fn install(spec: &Spec) -> Result<(), Broken> {
    let why = "the filter of system calls";
    let deny = compile(refused(spec).of(Layer::Seccomp, why)?, libc::EPERM).of(Layer::Seccomp, why)?;
    let absent = compile(ABSENT.iter().map(|call| (*call, vec![])).collect(), libc::ENOSYS).of(Layer::Seccomp, why)?;
    let family = compile(sockets(spec).of(Layer::Seccomp, why)?, libc::EAFNOSUPPORT).of(Layer::Seccomp, why)?;
    for filter in [numbers(), absent, family, deny] {
        apply_filter(&filter).of(Layer::Seccomp, why)?;
    }
    Ok(())
}

fn compile(rules: Rules, errno: libc::c_int) -> Built<BpfProgram> {
    let errno = SeccompAction::Errno(errno.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, errno, architecture()?)?.try_into()
}

fn architecture() -> Built<TargetArch> {
    std::env::consts::ARCH.try_into()
}

/// Refuses the numbers of another interface, and of system calls that are newer than this file.
fn numbers() -> BpfProgram {
    let number = sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 }; // load the system call's number
    let jump = |code, k, jt| sock_filter { code, jt, jf: 0, k };
    let end = |k| sock_filter { code: 0x06, jt: 0, jf: 0, k };
    let (allow, absent) = (0x7fff_0000, 0x0005_0000 | libc::ENOSYS.cast_unsigned());
    // x32, then what is newer, go to the last instruction.
    vec![number, jump(0x35, X32, 2), jump(0x25, NEWEST, 1), end(allow), end(absent)]
}

fn when(argument: u8, op: Op, value: u64) -> Built<SeccompCondition> {
    SeccompCondition::new(argument, Len::Dword, op, value)
}

fn rule(conditions: Vec<SeccompCondition>) -> Built<SeccompRule> {
    SeccompRule::new(conditions)
}

fn refused(spec: &Spec) -> Built<Rules> {
    let mut rules: Rules = REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, vec![])).collect();
    let mut add = |call: c_long, conditions| -> Built<()> {
        rules.entry(call).or_default().push(rule(conditions)?);
        Ok(())
    };
    for flag in NAMESPACES {
        let flag = u64::from(flag.cast_unsigned());
        add(libc::SYS_clone, vec![when(0, Op::MaskedEq(flag), flag)?])?;
    }
    for request in TERMINAL {
        add(libc::SYS_ioctl, vec![when(1, Op::Eq, request)?])?;
    }
    // Asking for the present one is no change; 0 is the ordinary one.
    add(libc::SYS_personality, vec![when(0, Op::Ne, 0)?, when(0, Op::Ne, 0xffff_ffff)?])?;
    for bit in SET_ID {
        let set = |argument| when(argument, Op::MaskedEq(bit), bit);
        let with = |argument, flag: libc::c_int| when(argument, Op::MaskedEq(flag as u64), flag as u64);
        add(libc::SYS_fchmod, vec![set(1)?])?;
        add(libc::SYS_fchmodat, vec![set(2)?])?;
        add(FCHMODAT2, vec![set(2)?])?;
        add(libc::SYS_mknodat, vec![set(2)?])?;
        add(libc::SYS_mkdirat, vec![set(2)?])?;
        // A file without a name gets one later.
        for flag in [libc::O_CREAT, libc::O_TMPFILE] {
            add(libc::SYS_openat, vec![with(2, flag)?, set(3)?])?;
            #[cfg(target_arch = "x86_64")]
            add(libc::SYS_open, vec![with(1, flag)?, set(2)?])?;
        }
        #[cfg(target_arch = "x86_64")]
        {
            add(libc::SYS_chmod, vec![set(1)?])?;
            add(libc::SYS_mknod, vec![set(1)?])?;
            add(libc::SYS_mkdir, vec![set(1)?])?;
            add(libc::SYS_creat, vec![set(1)?])?;
        }
    }
    // The second process keeps the watch; it must not be slowed down nor blinded. Its own numbers may be 0 or 1.
    for (call, process) in OTHERS {
        add(*call, vec![when(*process, Op::Eq, 1)?])?;
    }
    add(libc::SYS_setpriority, vec![when(0, Op::Ne, 0)?])?;
    if !spec.has(Layer::Pid) {
        // Without a namespace of processes the whole machine would hear it.
        add(libc::SYS_kill, vec![when(0, Op::Eq, 0xffff_ffff)?])?;
    }
    Ok(rules)
}

/// System calls that change another process, and which argument is its number.
const OTHERS: &[(c_long, u8)] = &[
    (libc::SYS_prlimit64, 0),
    (libc::SYS_sched_setaffinity, 0),
    (libc::SYS_sched_setattr, 0),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_setpriority, 1),
];

const FCHMODAT2: c_long = 452;

/// Sockets of the families that programs use, and none that sees or makes whole packets.
fn sockets(spec: &Spec) -> Built<Rules> {
    let (unix, v4, v6, netlink) = (libc::AF_UNIX as u64, libc::AF_INET as u64, libc::AF_INET6 as u64, libc::AF_NETLINK as u64);
    let mut rules = Vec::new();
    let isolated = spec.has(Layer::Network);
    // Without a network namespace, none is had by having no sockets of the network.
    let families: &[u64] = if isolated || spec.network { &[unix, v4, v6, netlink] } else { &[unix] };
    rules.push(rule(families.iter().map(|family| when(0, Op::Ne, *family)).collect::<Built<Vec<_>>>()?)?);
    for kind in RAW_KINDS {
        for family in [v4, v6] {
            rules.push(rule(vec![when(0, Op::Eq, family)?, when(1, Op::MaskedEq(KIND), kind as u64)?])?);
        }
    }
    // Of netlink only routes (0), which the C library asks for the machine's own addresses.
    rules.push(rule(vec![when(0, Op::Eq, netlink)?, when(2, Op::Ne, 0)?])?);
    let pairs = vec![rule(vec![when(0, Op::Ne, unix)?])?];
    Ok(Rules::from([(libc::SYS_socket, rules), (libc::SYS_socketpair, pairs)]))
}
