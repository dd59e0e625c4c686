//! What a wildcard in an allow rule never covers: arguments with which a known program runs another program or writes.
//!
//! A table of known cases, not a boundary: what is not in it is covered by the wildcard that the owner wrote.

/// Programs that are there to run others or to interpret code: no wildcard covers any of their arguments.
const RUNNERS: [&str; 62] = [
    ".", "ash", "awk", "bash", "bun", "busybox", "cargo", "chroot", "command", "dash", "deno", "docker", "doas", "ed", "emacs", "env",
    "eval", "ex", "exec", "expect", "fish", "gawk", "gdb", "ionice", "kubectl", "less", "ltrace", "lua", "make", "man", "mawk", "more",
    "nice", "node", "nohup", "npm", "npx", "nsenter", "parallel", "perl", "php", "pip", "pkexec", "podman", "python", "ruby", "sed",
    "setsid", "sh", "source", "ssh", "stdbuf", "strace", "su", "sudo", "taskset", "time", "timeout", "unshare", "vi", "vim", "xargs",
];

/// More of them, whose names go on with a version (`python3.11`) or that are seldom met.
const RUNNER_STEMS: [&str; 6] = ["python3", "python2", "perl5", "ruby3", "zsh", "watch"];

/// Options of known programs that run another program or write. Long ones also match abbreviated and with `=VALUE`; a short one
/// matches within a cluster of short options. `find`'s are words of their own.
const OPTIONS: [(&str, &[&str]); 16] = [
    ("find", &["-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprint0", "-fprintf", "-fls"]),
    ("fd", &["-x", "-X", "--exec", "--exec-batch"]),
    (
        "git",
        &[
            "-c",
            "-C",
            "-O",
            "-o",
            "-p",
            "--config-env",
            "--exec-path",
            "--exec",
            "--ext-diff",
            "--git-dir",
            "--open-files-in-pager",
            "--output",
            "--paginate",
            "--receive-pack",
            "--textconv",
            "--upload-pack",
            "--work-tree",
        ],
    ),
    (
        "tar",
        &[
            "-I",
            "-F",
            "-x",
            "-c",
            "-r",
            "-u",
            "--to-command",
            "--use-compress-program",
            "--checkpoint-action",
            "--info-script",
            "--new-volume-script",
            "--rsh-command",
            "--rmt-command",
            "--extract",
            "--get",
            "--create",
            "--append",
            "--update",
            "--delete",
        ],
    ),
    ("sort", &["-o", "-T", "--output", "--compress-program", "--temporary-directory"]),
    (
        "curl",
        &["-o", "-O", "-K", "-T", "-D", "-c", "--output", "--remote-name", "--config", "--upload-file", "--dump-header", "--cookie-jar"],
    ),
    ("wget", &["-O", "-o", "-P", "--output-document", "--output-file", "--directory-prefix", "--use-askpass", "--execute", "-e"]),
    ("rsync", &["-e", "--rsh", "--rsync-path", "--remove-source-files", "--delete", "--log-file", "--write-batch"]),
    ("scp", &["-o", "-S", "-F"]),
    ("sftp", &["-o", "-S", "-F", "-b"]),
    ("zip", &["-T", "--unzip-command", "-m", "--move"]),
    ("rg", &["--pre", "--hostname-bin", "--search-zip", "-z"]),
    ("date", &["-s", "--set"]),
    ("uniq", &[]),
    ("tcpdump", &["-w", "-z", "-G"]),
    ("journalctl", &["--vacuum-size", "--vacuum-time", "--vacuum-files", "--rotate", "--flush"]),
];

/// Subcommands of `git` that only read. A wildcard right after `git` covers no other.
const GIT_READS: [&str; 12] =
    ["blame", "describe", "diff", "grep", "log", "ls-files", "ls-tree", "rev-parse", "shortlog", "show", "status", "version"];

/// Whether a wildcard may stand for `covered`, the words that follow `fixed` in a command; the first of `fixed` is the program.
pub(crate) fn wildcard_covers(fixed: &[&str], covered: &[&str]) -> bool {
    let Some(program) = fixed.first().map(|program| base_name(program)) else { return covered.is_empty() };
    if covered.is_empty() {
        return true;
    }
    if RUNNERS.contains(&program) || RUNNER_STEMS.iter().any(|stem| program.starts_with(stem)) {
        return false;
    }
    if program == "git" && fixed.len() == 1 && !GIT_READS.contains(&covered[0]) {
        return false;
    }
    // Two names of files after `uniq` are input and output.
    if program == "uniq" && covered.iter().filter(|word| !word.starts_with('-')).count() > 1 {
        return false;
    }
    let options = OPTIONS.iter().find(|(known, _)| *known == program).map_or(&[][..], |(_, options)| options);
    !covered.iter().any(|word| options.iter().any(|option| is_option(word, option, program)))
}

/// The last part of a path.
pub(crate) fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Whether `word` is `option`, alone, abbreviated, with a value, or in a cluster.
fn is_option(word: &str, option: &str, program: &str) -> bool {
    if word == option {
        return true;
    }
    if let Some(long) = option.strip_prefix("--") {
        let name = word.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or(rest));
        return name.is_some_and(|name| !name.is_empty() && long.starts_with(name));
    }
    let letter = option.trim_start_matches('-');
    let clusters = letter.len() == 1 && program != "find";
    // `tar xf` needs no dash.
    let cluster = word.strip_prefix('-').or((program == "tar").then_some(word)).filter(|cluster| !cluster.starts_with('-'));
    clusters && cluster.is_some_and(|cluster| !cluster.contains(['.', '/']) && cluster.contains(letter))
}
