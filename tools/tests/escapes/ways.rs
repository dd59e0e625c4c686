//! Ways out by files, processes, the network and sheer quantity.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::{Duration, Instant};

use super::{Ground, SECRET, needs_all};

/// Commands that print `ESCAPED`, or a secret, if they get out. `HOME`, `PORT`, `PID` and `NAME` are replaced.
const WAYS: &[(&str, &str)] = &[
    ("read ~/.ssh", "cat HOME/.ssh/id_rsa"),
    ("list the home", "ls -a HOME | grep -q ssh && echo ESCAPED"),
    ("read the database", "cat HOME/paguro.db"),
    ("read the configuration", "cat HOME/paguro.toml"),
    ("write to the home", "echo x > HOME/new && echo ESCAPED"),
    ("read root's home", "ls -A /root | grep -q . && echo ESCAPED"),
    ("read others' homes", "ls -A /home | grep -q . && echo ESCAPED"),
    ("read passwords", "grep -q : /etc/shadow && echo ESCAPED"),
    ("read old passwords", "grep -q : /etc/shadow- /etc/gshadow && echo ESCAPED"),
    ("write to /etc", "echo x >> /etc/passwd && echo ESCAPED"),
    ("write to /usr", "touch /usr/bin/x /usr/x && echo ESCAPED"),
    ("remount /usr", "mount -o remount,rw /usr && echo ESCAPED"),
    ("the parent's environment", "cat /proc/1/environ && echo ESCAPED"),
    ("the agent's environment", "cat /proc/PID/environ && echo ESCAPED"),
    ("the agent's folder", "ls /proc/PID/cwd/ && echo ESCAPED"),
    ("a root by /proc", "ls /proc/1/root/ && echo ESCAPED"),
    ("memory by /proc", "head -c 1 /proc/1/mem && echo ESCAPED"),
    (
        "descriptors by /proc",
        "readlink /proc/1/fd/0 && echo ESCAPED; echo exit 0 > /proc/1/fd/0 && echo ESCAPED; cat < /proc/1/fd/1 && echo ESCAPED",
    ),
    ("the program by /proc", "head -c 4 /proc/1/exe && echo ESCAPED"),
    ("write the program by /proc", "echo x > /proc/1/exe && echo ESCAPED"),
    ("inherited descriptors", "for n in 3 4 5 6 7 8 9 19 42; do [ -e /proc/$$/fd/$n ] && [ $n != 10 ] && echo ESCAPED; done"),
    ("standard input", "[ \"$(readlink /proc/self/fd/0)\" = /dev/null ] || echo ESCAPED"),
    ("the terminal", "(: < /dev/tty) && echo ESCAPED"),
    ("consoles", "ls /dev/console /dev/tty0 /dev/ttyS0 /dev/vcs 2>/dev/null | grep -q . && echo ESCAPED"),
    ("sysrq", "echo h > /proc/sysrq-trigger && echo ESCAPED"),
    ("the core pattern", "echo '|/bin/sh' > /proc/sys/kernel/core_pattern && echo ESCAPED"),
    ("modprobe's path", "echo /tmp/x > /proc/sys/kernel/modprobe && echo ESCAPED"),
    ("the highest process number", "echo 99999 > /proc/sys/kernel/pid_max && echo ESCAPED"),
    ("user namespaces back", "echo 9 > /proc/sys/user/max_user_namespaces && echo ESCAPED"),
    ("binfmt", "ls /proc/sys/fs/binfmt_misc/register && echo ESCAPED"),
    ("/sys", "find /sys -type f | grep -q . && echo ESCAPED"),
    ("control groups", "ls /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/cgroup.procs && echo ESCAPED"),
    ("kernel addresses", "grep -q . /proc/kallsyms && echo ESCAPED"),
    ("kernel memory", "head -c 1 /proc/kcore | grep -q . && echo ESCAPED"),
    ("/dev/mem", "ls /dev/mem /dev/kmem /dev/port && echo ESCAPED"),
    ("the kernel's log", "(dmesg; head -c 1 /dev/kmsg; head -c 1 /proc/kmsg) 2>/dev/null | grep -q . && echo ESCAPED"),
    ("disks", "ls /dev/vda /dev/sda /dev/nvme0n1 /dev/loop-control 2>/dev/null | grep -q . && echo ESCAPED"),
    ("fuse and kvm", "ls /dev/fuse /dev/kvm /dev/net/tun 2>/dev/null | grep -q . && echo ESCAPED"),
    ("make a device", "mknod /tmp/mem c 1 1 && echo ESCAPED"),
    ("make a disk", "mknod disk b 254 0 && head -c 1 disk && echo ESCAPED"),
    ("unshare", "unshare -U true && echo ESCAPED"),
    ("enter", "nsenter -t 1 -m true && echo ESCAPED"),
    ("chroot", "chroot / true && echo ESCAPED"),
    ("a symbolic link", "ln -s HOME/.ssh/id_rsa link; cat link"),
    ("a symbolic link to /proc", "ln -s /proc/1/root root; ls root/ && echo ESCAPED"),
    ("a hard link", "ln HOME/.ssh/id_rsa hard && cat hard"),
    ("a hard link to a program", "ln /usr/bin/su hard-su && echo ESCAPED"),
    ("upwards", "cat ../home/paguro.db ./../../../../../../HOME/paguro.db"),
    ("remove the workspace", "cd / && rmdir \"$HOME\" && echo ESCAPED"),
    ("replace the workspace", "cd / && mv \"$HOME\" \"$HOME-old\" && echo ESCAPED"),
    ("signal the agent", "kill -0 PID && echo ESCAPED"),
    ("signal the parent", "kill -9 $PPID; kill -9 1; kill -0 1 && [ ! -d /proc/1 ] && echo ESCAPED"),
    ("see processes", "ls /proc | grep -qx PID && echo ESCAPED"),
    ("become another", "su -c 'echo ESCAPED' nobody </dev/null"),
    ("set-user-id", "cp /bin/sh s && chmod u+s s && echo ESCAPED"),
    ("set-group-id", "cp /bin/sh s2 && chmod 2755 s2 && echo ESCAPED"),
    ("set-group-id of a folder", "mkdir -m 2777 d && ls -ld d | grep -q '^d.....s' && echo ESCAPED"),
    ("give a file away", "touch mine; chown 54321 mine && echo ESCAPED"),
    ("capabilities", "grep -E 'Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | grep -qv 0000000000000000 && echo ESCAPED"),
    ("a capability for a file", "cp /bin/sh c && setcap cap_sys_admin+ep c && echo ESCAPED"),
    ("priority", "nice -n -5 true 2>&1 | grep -q . || echo ESCAPED"),
    ("real time", "chrt -f 1 true && echo ESCAPED"),
    ("raise a limit", "ulimit -f unlimited && echo ESCAPED"),
    ("slow the watch down", "renice -n 19 -p 1 && echo ESCAPED; chrt -i -p 0 1 && echo ESCAPED; taskset -p 1 1 && echo ESCAPED"),
    ("slow all down", "renice -n 19 -u 0 && echo ESCAPED"),
    ("blind the watch", "prlimit --pid 1 --nofile=3 && echo ESCAPED"),
    ("more processes", "ulimit -u 100000 && echo ESCAPED"),
    ("the host's name", "hostname evil && echo ESCAPED"),
    ("the time", "date -s 2001-01-01 && echo ESCAPED"),
    ("a socket file of the host's", "ls HOME/docker.sock /var/run/docker.sock /run/dbus && echo ESCAPED"),
    ("an abstract socket", "grep -q NAME /proc/net/unix && echo ESCAPED"),
    ("the loopback", "/bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/PORT' && echo ESCAPED"),
    ("the loopback of IPv6", "/bin/bash -c 'exec 3<>/dev/tcp/::1/PORT' && echo ESCAPED"),
    ("metadata of a cloud", "timeout 3 /bin/bash -c 'exec 3<>/dev/tcp/169.254.169.254/80' && echo ESCAPED"),
    ("the network", "timeout 3 /bin/bash -c 'exec 3<>/dev/tcp/1.1.1.1/443' && echo ESCAPED"),
    ("names by UDP", "timeout 3 /bin/bash -c 'echo x > /dev/udp/8.8.8.8/53' && echo ESCAPED"),
    ("names", "timeout 3 getent hosts example.com && echo ESCAPED"),
    ("interfaces", "grep -v -e lo: -e face -e Inter /proc/net/dev | grep -q . && echo ESCAPED"),
    ("shared memory", "grep -q . /dev/shm/* 2>/dev/null && echo ESCAPED; tail -n +2 /proc/sysvipc/shm | grep -q . && echo ESCAPED"),
    ("fill /tmp", "dd if=/dev/zero of=/tmp/x bs=1M count=600 2>/dev/null && echo ESCAPED"),
    ("a large file", "dd if=/dev/zero of=big bs=1M count=9 2>/dev/null && echo ESCAPED"),
    ("a hollow file", "truncate -s 1T hollow && echo ESCAPED"),
    ("files without number", "cd /tmp && seq 70000 | xargs touch 2>/dev/null && echo ESCAPED"),
    ("write into /proc", "echo -1000 > /proc/self/oom_score_adj && echo ESCAPED"),
    ("the old root", "ls /.old /.old/etc && echo ESCAPED"),
    ("write into the root", "touch /x /.empty/x /run/x /home/x /dev/x && echo ESCAPED"),
];

#[test]
fn ways_are_closed() {
    let ground = Ground::new();
    if !needs_all(&ground) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("paguro-abstract-{}", std::process::id());
    let abstract_one = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let _named = UnixListener::bind(ground.path("home/docker.sock")).unwrap();
    let (home, port) = (ground.path("home").display().to_string(), listener.local_addr().unwrap().port().to_string());
    let pid = std::process::id().to_string();
    let mut open = Vec::new();
    for (what, command) in WAYS {
        let command = command.replace("HOME/", &format!("{home}/")).replace("HOME ", &format!("{home} "));
        let command = command.replace("PORT", &port).replace("PID", &pid.clone()).replace("NAME", &name);
        let command = command.replace(&format!("$P{pid}"), "$PPID");
        let text = ground.run(&command);
        if text.contains("ESCAPED") || text.contains(SECRET) || text.starts_with("error:") {
            open.push(format!("{what}: {command}: {text}"));
        }
    }
    assert!(open.is_empty(), "{open:#?}");
    assert_eq!(ground.run("echo still here"), "still here");
    listener.set_nonblocking(true).unwrap();
    abstract_one.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err() && abstract_one.accept().is_err(), "somebody came");
    let left: Vec<_> = std::fs::read_dir(ground.path("home")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn bombs_end_and_the_next_command_runs() {
    let ground = Ground::new();
    if !needs_all(&ground) {
        return;
    }
    let started = Instant::now();
    let bombs = [
        ("processes", "b() { b | b & }; b; sleep 1; echo over", None),
        ("processes that hide", "i=0; while [ $i -lt 400 ]; do setsid sleep 1000 & i=$((i+1)); done; echo over", None),
        ("memory of one", "head -c 1G /dev/zero | tail | wc -c", Some("exhausted")),
        (
            "memory of many",
            "for i in 1 2 3 4 5 6 7 8; do (x=$(yes | head -c 60000000); sleep 8) & done; wait; echo ESCAPED",
            Some("[stopped: its processes and /tmp took more than 256 MiB of memory together]"),
        ),
        ("time of the processor", "while :; do :; done", Some("[killed by signal 9]")),
        ("signals to all", "sleep 1000 & kill -9 -1; echo over", Some("over")),
    ];
    for (what, command, says) in bombs {
        let text = ground.run(command);
        assert!(!text.contains("ESCAPED") && says.is_none_or(|says| text.contains(says)), "{what}: {text}");
        assert_eq!(ground.run("echo still here"), "still here", "after {what}");
    }
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn nothing_planted_reaches_the_next_command() {
    let ground = Ground::new();
    if !needs_all(&ground) {
        return;
    }
    let plant = "export LD_PRELOAD=/tmp/x.so PATH=.:$PATH ENV=$HOME/.shrc BASH_ENV=$HOME/.shrc
        for f in .profile .bashrc .shrc .bash_profile .zshenv; do echo 'echo ESCAPED' > $f; done
        mkdir -p bin; printf '#!/bin/sh\\necho ESCAPED\\n' > ls; chmod +x ls; cp ls bin/ls; cp ls /tmp/ls; echo x > /dev/shm/x";
    ground.run(plant);
    let text = ground.run("env; ls >/dev/null; sh -c true; ls /tmp /dev/shm; cat /etc/ld.so.preload");
    assert!(!text.contains("ESCAPED") && !text.contains("LD_PRELOAD") && !text.contains("/tmp/ls"), "{text}");
    let scratch = ground.run("ls -A /tmp /dev/shm | grep -v :");
    assert!(!scratch.contains('x') && !scratch.contains("ls"), "{scratch}");
}
