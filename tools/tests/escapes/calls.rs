//! System calls that must be refused, each made by a program of its own.
#![cfg(target_arch = "x86_64")]

use super::{Ground, needs_all, program};

/// A program that makes one system call with these arguments and ends with the error's number, 0 for none.
fn one_call(number: u64, arguments: &[u64]) -> Vec<u8> {
    // The registers of the six arguments: mov rdi, rsi, rdx, r10, r8, r9.
    const MOVES: [[u8; 2]; 6] = [[0x48, 0xbf], [0x48, 0xbe], [0x48, 0xba], [0x49, 0xba], [0x49, 0xb8], [0x49, 0xb9]];
    let mut code = vec![0x48, 0xb8]; // mov rax
    code.extend(number.to_le_bytes());
    for (index, to) in MOVES.iter().enumerate() {
        code.extend(to);
        code.extend(arguments.get(index).copied().unwrap_or(0).to_le_bytes());
    }
    // syscall; test rax, rax; js +4; xor edi, edi; jmp +4; mov edi, eax; neg edi; mov eax, exit; syscall
    code.extend([0x0f, 0x05, 0x48, 0x85, 0xc0, 0x78, 0x04, 0x31, 0xff, 0xeb, 0x04, 0x89, 0xc7, 0xf7, 0xdf]);
    code.extend([0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05]);
    let (start, headers) = (0x40_0000_u64, 120_u64);
    let size = headers + code.len() as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0, 1, 0, 0, 0];
    for word in [start + headers, 64, 0] {
        file.extend(word.to_le_bytes()); // entry, program headers, sections
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]); // loaded, readable and executable
    for word in [0, start, start, size, size, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file
}

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
const NO_FAMILY: i32 = 97;
/// `AT_FDCWD`.
const HERE: u64 = 0xffff_ff9c;

/// What is tried: name, number, arguments, the error that must come. A null pointer would be an error of its own (14), and so would a
/// missing right that a filter had not to do with, so the number says that the filter did it.
const CALLS: &[(&str, u64, &[u64], i32)] = &[
    ("ptrace another process", 101, &[16, 1], EPERM),
    ("ptrace by the other interface", 0x4000_0000 | 521, &[16, 1], ENOSYS),
    ("getpid by the other interface", 0x4000_0000 | 39, &[], ENOSYS),
    ("read another process's memory", 310, &[1], EPERM),
    ("write another process's memory", 311, &[1], EPERM),
    ("take another process's descriptor", 438, &[3, 0], EPERM),
    ("compare with another process", 312, &[1, 2], EPERM),
    ("mount", 165, &[], EPERM),
    ("unmount", 166, &[], EPERM),
    ("pivot_root", 155, &[], EPERM),
    ("chroot", 161, &[], EPERM),
    ("open_tree", 428, &[], EPERM),
    ("move_mount", 429, &[], EPERM),
    ("fsopen", 430, &[], EPERM),
    ("fsmount", 432, &[], EPERM),
    ("mount_setattr", 442, &[], EPERM),
    ("a user namespace", 272, &[0x1000_0000], EPERM),
    ("a mount namespace", 272, &[0x2_0000], EPERM),
    ("a network namespace", 272, &[0x4000_0000], EPERM),
    ("another's namespace", 308, &[0, 0], EPERM),
    ("clone into a user namespace", 56, &[0x1000_0011], EPERM),
    ("clone into a network namespace", 56, &[0x4000_0011], EPERM),
    ("clone3", 435, &[0, 88], ENOSYS),
    ("the keyring", 250, &[0, 0xffff_fffd], EPERM),
    ("add a key", 248, &[], EPERM),
    ("request a key", 249, &[], EPERM),
    ("io_uring", 425, &[8], EPERM),
    ("io_uring_enter", 426, &[3], EPERM),
    ("bpf", 321, &[0], EPERM),
    ("perf", 298, &[], EPERM),
    ("userfaultfd", 323, &[], EPERM),
    ("load a module", 175, &[], EPERM),
    ("load a module's file", 313, &[], EPERM),
    ("unload a module", 176, &[], EPERM),
    ("kexec", 246, &[], EPERM),
    ("kexec of a file", 320, &[], EPERM),
    ("reboot", 169, &[0xfee1_dead, 672_274_793, 0x0123_4567], EPERM),
    ("swapon", 167, &[], EPERM),
    ("swapoff", 168, &[], EPERM),
    ("set the time", 227, &[0, 0], EPERM),
    ("set the time of day", 164, &[], EPERM),
    ("adjust the clock", 159, &[], EPERM),
    ("the host's name", 170, &[], EPERM),
    ("the domain's name", 171, &[], EPERM),
    ("the kernel's log", 103, &[3], EPERM),
    ("accounting", 163, &[], EPERM),
    ("ports of the machine", 172, &[3], EPERM),
    ("one port of the machine", 173, &[0, 8, 1], EPERM),
    ("open by handle", 304, &[], EPERM),
    ("make a handle", 303, &[], EPERM),
    ("fanotify", 300, &[], EPERM),
    ("quotas", 179, &[], EPERM),
    ("hang up the terminal", 153, &[], EPERM),
    ("the segment table", 154, &[], EPERM),
    ("no random addresses", 135, &[0x4_0000], EPERM),
    ("type into the terminal", 16, &[0, 0x5412], EPERM),
    ("type into the terminal, high bits set", 16, &[0, 0xdead_0000_5412], EPERM),
    ("change the line discipline", 16, &[0, 0x5423], EPERM),
    ("a set-user-id file", 257, &[HERE, 0, 0o101, 0o4755], EPERM),
    ("a set-user-id file by the old call", 2, &[0, 0o101, 0o4755], EPERM),
    ("a set-user-id file without a name", 257, &[HERE, 0, 0o20_200_002, 0o4755], EPERM),
    ("set-user-id for a file", 90, &[0, 0o4755], EPERM),
    ("set-group-id for an open file", 91, &[0, 0o2755], EPERM),
    ("set-user-id by the newest call", 452, &[HERE, 0, 0o4755], EPERM),
    ("the limits of the watch", 302, &[1, 7], EPERM),
    ("the priority of all of the user's", 141, &[2, 0, 19], EPERM),
    ("the scheduler of the watch", 144, &[1, 5], EPERM),
    ("memory that no limit counts", 319, &[], ENOSYS),
    ("openat2", 437, &[], ENOSYS),
    ("a system call of tomorrow", 480, &[], ENOSYS),
    ("packets", 41, &[17, 3], NO_FAMILY),
    ("a raw socket", 41, &[2, 3, 1], NO_FAMILY),
    ("a raw socket of IPv6", 41, &[10, 3, 58], NO_FAMILY),
    ("the machine's host", 41, &[40, 1], NO_FAMILY),
    ("the kernel's ciphers", 41, &[38, 5], NO_FAMILY),
    ("keys for IPsec", 41, &[15, 3, 2], NO_FAMILY),
    ("the audit", 41, &[16, 3, 9], NO_FAMILY),
    ("the kernel's events", 41, &[16, 3, 15], NO_FAMILY),
    ("bluetooth", 41, &[31, 3, 1], NO_FAMILY),
];

#[test]
fn calls_are_refused() {
    let ground = Ground::new();
    if !needs_all(&ground) {
        return;
    }
    // One that is allowed shows that the programs work.
    let allowed = [("getpid", 39, &[][..], 0), ("a socket", 41, &[1, 1][..], 0)];
    let all: Vec<_> = allowed.iter().chain(CALLS).collect();
    let mut script = String::new();
    for (index, (_, number, arguments, _)) in all.iter().enumerate() {
        program(&ground.workspace().join(format!("call-{index}")), &one_call(*number, arguments));
        script += &format!("./call-{index} </dev/null; echo $?\n");
    }
    let expected: Vec<String> = all.iter().map(|(name, .., error)| format!("{name}: {error}")).collect();
    let text = ground.run(&script);
    let got: Vec<String> = all.iter().zip(text.lines()).map(|((name, ..), error)| format!("{name}: {error}")).collect();
    assert_eq!(got, expected, "{text}");
}
