//! What a wildcard in an allow rule never covers: arguments with which a known program runs another program or writes.
//!
//! A table of known cases (`known_programs.txt`), not a boundary: what is not in it is covered by the wildcard that the owner wrote. A
//! program that is there to write (`cp`, `tee`, `unzip`) is covered too: its wildcard says so.

const TABLE: &str = include_str!("known_programs.txt");

/// The words of one kind that the table has for `name`.
fn listed<'a>(name: &'a str, kind: &'a str) -> impl Iterator<Item = &'static str> + 'a {
    let words = move |line: &'static str| line.strip_prefix(name)?.strip_prefix(' ')?.strip_prefix(kind)?.strip_prefix(' ');
    TABLE.lines().filter_map(words).flat_map(str::split_ascii_whitespace)
}

/// Whether wildcards may stand for `covered`, words of a command that begins with the words `fixed`; the first of these is the program.
pub(super) fn wildcard_covers(fixed: &[&str], covered: &[&str]) -> bool {
    let (Some(first), Some(next)) = (covered.first(), fixed.get(1).or(covered.first())) else { return true };
    let Some(program) = fixed.first().map(|program| name_of(program)) else { return false };
    if program == "sed" {
        return sed_only_prints(&[&fixed[1..], covered].concat());
    }
    if has("*", "runs", &program) || program.starts_with("ld-") {
        return false;
    }
    let reads = has(&program, "reads", next);
    let unknown = next.starts_with(['-', '+']) || has(&program, "runs", next) || (fixed.len() == 1 && !has(&program, "reads", first));
    if unknown && listed(&program, "runs").next().is_some() {
        return false;
    }
    // `git clone ext::…` runs a command, and every `NAME::` runs git-remote-NAME.
    let runs_helper = |word: &&str| word.split_once("::").is_some_and(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '-'));
    if program == "git" && covered.iter().any(runs_helper) {
        return false;
    }
    let arguments = || fixed[1..].iter().chain(covered);
    let files = arguments().filter(|word| !word.starts_with('-') || **word == "-");
    if has("*", "outputs", &program) && (files.count() > 1 || arguments().any(|word| *word == "--")) {
        return false;
    }
    let keys = [program.clone(), format!("{program}:{next}"), format!("{program}:READS")];
    let keys = &keys[..if reads { 3 } else { 2 }];
    let options = || keys.iter().flat_map(|key| listed(key, "options"));
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

fn has(name: &str, kind: &str, word: &str) -> bool {
    listed(name, kind).any(|known| known == word)
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
