//! What a wildcard in an allow rule never covers: arguments with which a known program runs another program or writes.
//!
//! A table of known cases, not a boundary: what is not in it is covered by the wildcard that the owner wrote. A program that is there to
//! write (`cp`, `tee`, `unzip`) is covered too: its wildcard says so.

/// Programs that are there to run others, to interpret code or to change what later commands mean: no wildcard covers any of their
/// arguments. A version behind the name (`python3.11`) does not count.
const RUNNERS: &str = " . .. : alias ack ansible ansible-playbook ant ash at aws awk az bash batch bazel bg bind bison brew builtin bun bundle \
    busctl busybox bwrap c++ capsh cc cgexec chroot chrt chsh clang clang++ cmake command compgen complete composer conda corepack cpan \
    cpio crontab csh dash dbus-send dc declare deno dnf doas dotnet dpkg dtrace ed elinks elixir emacs emacsclient enable entr env erl \
    eslint eval ex exec exiftool expect export fakeroot fc fg firejail fish flatpak flock ftp fzf g++ gawk gcc gcloud gdb gdbus gem getopts \
    gh ghc gnuplot gpg gradle groovy guile hash helm hg history hyperfine ionice irb jest jobs java javac jshell julia just ksh ld ldd \
    less let lftp links lldb local ltrace lua luajit lynx m4 magick mail mailx make gmake man mapfile mawk meson micro mksh mocha mongo mongosh \
    more mutt mvn mysql nano nawk nc ncat netcat newgrp nice ninja nix nix-shell node nodejs nohup nox nsenter numactl nvim ocaml \
    octave openssl osascript parallel patch pdflatex pdksh pdsh perf perl php pipx pkexec poetry posh prettier prename prlimit proot psql pwsh \
    pytest python r rake read readarray readonly redis-cli rename rpm rr rscript rsh ruby run-mailcap run-parts runghc runuser \
    rustc rustup scala screen script see sem sendmail set setarch setpriv setsid sg sh shopt snap socat source sqlite ssh sshpass \
    start-stop-daemon stdbuf strace su sudo svn swift systemd-run task taskset tclsh telnet terraform tex tig time timeout tmux toybox \
    tox trap ts-node tshark tsx typeset unalias unset unshare unzstd uv uvx vagrant valgrind vi view vim vimdiff visudo vite vitest w3m \
    wasmtime watch webpack wine wish xargs xdg-open open yum zless zmore zsh npx bunx pypy ipython gs ";

/// Programs with subcommands: those that only read, which a wildcard right behind the program may stand for; and those that run or
/// change what others will run, none of whose arguments a wildcard covers. What the owner has named otherwise is covered.
const SUBCOMMANDS: [(&str, &str, &str); 13] = [
    (
        "git",
        " blame cat-file check-ignore count-objects describe diff for-each-ref grep log ls-files ls-tree merge-base name-rev rev-list \
         rev-parse shortlog show show-ref status version whatchanged ",
        " alias annex bisect config citool credential cvsimport cvsserver daemon difftool fast-import filter-branch filter-repo \
         for-each-repo gui help hook http-backend imap-send instaweb lfs maintenance mergetool p4 quiltimport receive-pack request-pull \
         send-email send-pack shell submodule svn upload-archive upload-pack web--browse ",
    ),
    ("cargo", " tree version search pkgid locate-project ", " config fix init install miri new rustc "),
    ("npm", " list ls outdated view ", " add config create exec explore i init install set x "),
    ("pnpm", " list ls outdated ", " add config create dlx exec i init install "),
    ("yarn", " list info ", " add config create dlx exec init install node "),
    ("pip", " check freeze list show ", " config download install wheel "),
    ("go", " doc version ", " env generate get install run tool "),
    ("docker", " diff history images info inspect logs ps stats top version ", DOCKER_RUNS),
    ("podman", " diff history images info inspect logs ps stats top version ", DOCKER_RUNS),
    (
        "kubectl",
        " api-resources describe explain get logs top version ",
        " apply attach config cp create debug diff edit exec kustomize patch plugin port-forward proxy replace run ",
    ),
    (
        "systemctl",
        " cat is-active is-enabled is-failed list-unit-files list-units show status ",
        " edit link set-environment import-environment ",
    ),
    ("ip", "", " netns vrf "),
    ("apt", " list policy search show ", " install upgrade full-upgrade source build-dep "),
];

const DOCKER_RUNS: &str =
    " build buildx commit compose config container context cp create exec import load plugin run save service stack swarm ";

/// Options of known programs, or of their subcommands, that run another program or write. Long ones also match abbreviated, and with
/// `=VALUE`; one letter matches within a cluster of short options; a `*` stands for any end.
const OPTIONS: &[(&str, &str)] = &[
    ("find", "-exec -execdir -ok -okdir -delete -fprint -fprint0 -fprintf -fls"),
    ("fd", "-x -X --exec --exec-batch"),
    ("fdfind", "-x -X --exec --exec-batch"),
    ("git", "--config --exec --ext-diff --extcmd --filters --open-files-in-pager --output --output-directory"),
    ("git", "--receive-pack --template --textconv --upload-pack"),
    ("git READS", "-c -C -O -o"),
    ("git archive", "-o --remote"),
    ("git clone", "-c -u"),
    ("git format-patch", "-o"),
    ("git rebase", "-x -i --interactive"),
    ("tar", "-I -F -x -c -r -u -A --to-command --use-compress-program --checkpoint-action --info-script --new-volume-script --rsh-command"),
    (
        "tar",
        "--rmt-command --extract --get --create --append --catenate --concatenate --update --delete --index-file --listed-incremental -g",
    ),
    ("bsdtar", "-x -c -r -u --use-compress-program --extract --create --append --update"),
    ("sort", "-o -T --output --compress-program --temporary-directory"),
    ("shuf", "-o --output"),
    ("tree", "-o --output -R"),
    (
        "curl",
        "-o -O -K -T -D -c -F -d --output --output-dir --remote-name* --config --upload-file --dump-header --cookie-jar --form* --data*",
    ),
    ("curl", "--json --libcurl --trace --trace-ascii --stderr --etag-save --hsts --alt-svc --engine --unix-socket --abstract-unix-socket"),
    (
        "curl",
        "--url-query --quote -Q -w --write-out --remote-header-name -J --xattr --ssl-sessions --variable --expand-* --proxy --preproxy -x",
    ),
    ("wget", "-O -o -P -a -e -i --output-document --output-file --append-output --directory-prefix --use-askpass --execute --post-*"),
    ("wget", "--body-* --save-cookies --warc-* --hsts-file --rejected-log --config --input-file"),
    (
        "rsync",
        "-e --rsh --rsync-path --remove-* --delete* --del --log-file --write-batch --only-write-batch --config --daemon -M --remote-option",
    ),
    ("scp", "-o -S -F -D -J"),
    ("sftp", "-o -S -F -b -D -J"),
    ("zip", "-T -m --unzip-command --move --test"),
    ("unzip", "-d -o"),
    ("rg", "--pre* --hostname-bin --search-zip -z"),
    ("ag", "--pager -z --search-zip"),
    ("bat", "--pager --lessopen"),
    ("batcat", "--pager --lessopen"),
    ("date", "-s --set"),
    ("hostname", "-F -b --file --boot"),
    ("dmesg", "-C -c -D -E -n --clear --read-clear --console-*"),
    ("file", "-C --compile"),
    ("info", "-o --output --dribble --restore"),
    ("tcpdump", "-w -z -G -F"),
    ("nmap", "-o -A -sC -i --script* --resume --datadir --servicedb --versiondb"),
    (
        "journalctl",
        "--vacuum-* --rotate --flush --sync --relinquish-var --smart-relinquish-var --cursor-file --setup-keys --update-catalog",
    ),
    ("split", "--filter"),
    ("install", "--strip-program -s --strip"),
    ("iconv", "-o --output"),
    ("yq", "-i --inplace --in-place -s --split-exp"),
    ("jq", "-L --library-path"),
    ("xxd", "-r --revert"),
    ("ss", "-K -D --kill --diag"),
    ("nm", "--plugin"),
    ("objdump", "--plugin"),
    ("ar", "--plugin"),
    ("pandoc", "-o -F -L -d --output --filter --lua-filter --pdf-engine* --extract-media --defaults --data-dir --log --template"),
    ("printf", "-v"),
    ("test", "-v -R"),
    ("[", "-v -R"),
    ("wait", "-p"),
    ("cargo", "-Z -C --config --manifest-path --target-dir --artifact-dir --out-dir"),
    ("npm", "-C --script-shell --prefix --node-options --userconfig --globalconfig --call"),
    ("pnpm", "-C --script-shell --shell-mode --dir --config*"),
    ("yarn", "--script-shell --cwd --use-yarnrc"),
    ("pip", "--config --log --cache-dir --python"),
    (
        "go",
        "-exec -toolexec -o -overlay -vettool -C -modfile -modcacherw -outputdir -trace -compiler -ldflags -gcflags -gccgoflags -asmflags",
    ),
    ("go", "-cpuprofile -memprofile -blockprofile -mutexprofile -coverprofile -pkgdir"),
    ("docker", "-H --host --config --context"),
    ("podman", "--url --remote --connection --runtime --hooks-dir --root --runroot"),
    ("kubectl", "-s --server --kubeconfig --cache-dir --profile* --output-directory --token --editor"),
    ("systemctl", "-H -M --host --machine --root --image"),
    ("ip", "-b -batch -n -netns -force"),
    ("apt", "-o -c --option --config-file"),
    ("apt-cache", "-o -c --option --config-file"),
];

/// Programs that take a second file's name to be their output.
const SECOND_IS_OUTPUT: &str = " uniq xxd pdftotext pdftohtml ps2pdf ";

/// Whether wildcards may stand for `covered`, words of a command that begins with the words `fixed`; the first of these is the program.
pub(super) fn wildcard_covers(fixed: &[&str], covered: &[&str]) -> bool {
    let (Some(first), Some(next)) = (covered.first(), fixed.get(1).or(covered.first())) else { return true };
    let Some(program) = fixed.first().map(|program| name_of(program)) else { return false };
    if program == "sed" {
        return sed_only_prints(&[&fixed[1..], covered].concat());
    }
    if has(RUNNERS, &program) || program.starts_with("ld-") || program.starts_with("ld.so") {
        return false;
    }
    let mut reads = false;
    if let Some((_, reading, running)) = SUBCOMMANDS.iter().find(|(known, ..)| *known == program) {
        reads = has(reading, next);
        if has(running, next) || next.starts_with(['-', '+']) || (fixed.len() == 1 && !has(reading, first)) {
            return false;
        }
    }
    // `git clone ext::…` runs a command, and every `NAME::` runs git-remote-NAME.
    let runs_helper = |word: &&str| word.split_once("::").is_some_and(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '-'));
    if program == "git" && covered.iter().any(runs_helper) {
        return false;
    }
    let arguments = || fixed[1..].iter().chain(covered);
    let files = arguments().filter(|word| !word.starts_with('-') || **word == "-");
    if has(SECOND_IS_OUTPUT, &program) && (files.count() > 1 || arguments().any(|word| *word == "--")) {
        return false;
    }
    let with_subcommand = format!("{program} {next}");
    let speaks = |key: &str| key == program || key == with_subcommand || (reads && key.strip_suffix(" READS") == Some(&program));
    let options = || OPTIONS.iter().filter(|(key, _)| speaks(key)).flat_map(|(_, options)| options.split_ascii_whitespace());
    // `tar xf` needs no dash.
    let bare = (program.ends_with("tar") && fixed.len() == 1).then(|| format!("-{}", first.trim_start_matches('-')));
    let bare = bare.filter(|_| !first.starts_with("--"));
    let mut words = covered.iter().copied().chain(bare.as_deref());
    !words.any(|word| options().any(|option| is_option(word, option, !matches!(program.as_str(), "go" | "find"))))
}

/// The last part of a path.
pub(super) fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// The program's name without folder, version and case.
fn name_of(program: &str) -> String {
    let name = base_name(program);
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    if stem.is_empty() { name } else { stem }.to_ascii_lowercase()
}

fn has(table: &str, word: &str) -> bool {
    table.contains(&format!(" {word} "))
}

/// Whether `word` is `option`, alone, abbreviated, with a value, or in a cluster, if the program has these.
fn is_option(word: &str, option: &str, clusters: bool) -> bool {
    let Some(given) = word.strip_prefix('-').filter(|given| !given.is_empty()) else { return false };
    let name = given.trim_start_matches('-').split('=').next().unwrap_or_default();
    let known = option.trim_start_matches('-');
    match (option.starts_with("--"), known.strip_suffix('*')) {
        (true, Some(stem)) => given.starts_with('-') && !name.is_empty() && (name.starts_with(stem) || stem.starts_with(name)),
        (true, None) => given.starts_with('-') && !name.is_empty() && known.starts_with(name),
        // Some programs take one dash for two.
        (false, _) if known.len() > 1 || !clusters => name == known,
        // What stands behind a letter that takes a value may be anything.
        (false, _) => !given.starts_with('-') && given.chars().take_while(char::is_ascii_alphanumeric).any(|c| known.starts_with(c)),
    }
}

/// Whether these arguments of `sed` are options that change nothing, files, and scripts that print or drop lines by their numbers.
fn sed_only_prints(words: &[&str]) -> bool {
    let script = |word: &str| word.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '$' | ';' | ' ' | 'p' | 'd' | 'q' | '='));
    let first = words.iter().position(|word| !word.starts_with('-'));
    let options = words.iter().filter(|word| word.starts_with('-')).all(|word| matches!(*word, "-n" | "-E" | "-r" | "-s" | "-z"));
    options && first.is_none_or(|first| script(words[first]))
}
