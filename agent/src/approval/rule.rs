//! One rule of the policy: its keys, what is wrong with them, and whether it speaks of a call.
//!
//! A rule that allows is read narrowly, and one that asks or denies widely. What a pattern's `*` may stand for in a command is
//! `known_programs`' to say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::known_programs::{base_name, wildcard_covers};
use super::shell::{WILDCARD, is_deceptive, parse_pattern};
use super::{CallFacts, Decision, Part};

/// One `[[policy]]` of the configuration. The first rule of which every key matches decides. In patterns `*` stands for any characters,
/// and `\*` for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The tool's name, or a pattern: `*` is every tool, `time_*` are those of the MCP server `time`.
    pub tool: String,
    /// For `shell`: the command's words, quoted as for the shell. A `*` in a word stands for any characters but `/`; as the last word
    /// it stands for any further words.
    pub command: Option<String>,
    /// A pattern for the argument `path`, relative to the workspace: `*` stands for any characters but `/`, `**` for any.
    pub path: Option<String>,
    /// The host of every URL in the arguments: `example.org`, `*.example.org`, `*`, each with `:PORT` if not the scheme's own.
    pub host: Option<String>,
    /// A pattern for the session's name.
    pub session: Option<String>,
    /// A pattern for the channel's name.
    pub channel: Option<String>,
    /// What to do.
    pub decision: Decision,
    /// Patterns for arguments by their names; numbers, truth values, lists and objects are compared as JSON text. A rule that allows and
    /// has this key fits only a call whose arguments are all named in the rule.
    pub arguments: Option<BTreeMap<String, String>>,
}

type IsGood<'a> = &'a dyn Fn(&str) -> bool;

/// The tool whose argument `command` is a command of the shell.
pub(super) const SHELL: &str = "shell";
/// The arguments of [`SHELL`] that an allowed command may have without the rule naming them. Others may change what it can reach.
const SHELL_ARGUMENTS: [&str; 2] = ["command", "timeout_s"];

impl Rule {
    /// Says which key has a value that is no pattern of its kind.
    ///
    /// # Errors
    /// A sentence with the key, the value and what to give instead.
    pub fn check(&self) -> Result<(), String> {
        if self.command.is_some() && self.tool != SHELL {
            return Err(format!("`command` stands with the tool `{}`; only `{SHELL}` has commands", self.tool));
        }
        let text = |text: &str| pattern(text).is_some();
        let a_text = "give a text in which `*` stands for any characters, and `\\` is followed by what it quotes";
        let a_command = "give one command's words; quote what the shell would rewrite, but no `*` of a pattern";
        let a_path = "give a path relative to the workspace, without `..`, in which `*` and `**` may stand";
        let a_host = "give a host such as example.org, *.example.org or example.org:8080";
        let keys: [(_, _, IsGood<'_>, _); 6] = [
            ("tool", Some(&self.tool), &|tool| !tool.is_empty() && text(tool), a_text),
            ("session", self.session.as_ref(), &text, a_text),
            ("channel", self.channel.as_ref(), &text, a_text),
            ("command", self.command.as_ref(), &|command| self.words(command).is_some(), a_command),
            ("path", self.path.as_ref(), &|path| path_pattern(path).is_some(), a_path),
            ("host", self.host.as_ref(), &|host| HostPattern::new(host).is_some(), a_host),
        ];
        let arguments = self.arguments.iter().flatten().map(|(key, value)| (key.as_str(), Some(value), &text as IsGood<'_>, a_text));
        for (key, value, is_good, advice) in keys.into_iter().chain(arguments) {
            if let Some(value) = value.filter(|value| !is_good(value)) {
                return Err(format!("`{key}` is {value:?}; {advice}"));
            }
        }
        Ok(())
    }

    /// Whether the rule speaks of `part` of a call; `None`: it cannot be told, and the rule does not allow.
    pub(super) fn speaks_of(&self, facts: &CallFacts<'_>, part: &Part) -> Option<bool> {
        let narrow = self.decision == Decision::Allow;
        let text = |given: &str, value: &str| pattern(given).map_or(!narrow, |given| glob(&given, value, |_, _, _| true));
        let none = Map::new();
        let arguments = facts.arguments.as_object().unwrap_or(&none);
        let fits_argument = |(name, given): (&String, &String)| arguments.get(name).is_some_and(|value| fits_value(given, value, narrow));
        let fits = text(&self.tool, facts.tool)
            && self.session.as_ref().is_none_or(|given| text(given, facts.session))
            && self.channel.as_ref().is_none_or(|given| text(given, facts.channel))
            && self.arguments.iter().flatten().all(fits_argument)
            && (!narrow || self.names_all(arguments))
            && self.path.as_ref().is_none_or(|given| fits_path(given, arguments, facts.leads_to, narrow))
            && self.host.as_ref().is_none_or(|given| fits_host(given, facts.arguments, narrow));
        self.command.as_ref().filter(|_| fits).map_or(Some(fits), |command| self.fits_command(command, facts, part))
    }

    /// The words of this rule for a part of a command. Read widely they may stand behind another program, a path or an operator, and
    /// anything may stand between them; nothing is certain of a command that is not understood.
    fn fits_command(&self, command: &str, facts: &CallFacts<'_>, part: &Part) -> Option<bool> {
        let narrow = self.decision == Decision::Allow;
        let Some(given) = self.words(command) else { return Some(!narrow) };
        let is_open = given.last().is_some_and(|last| *last == WILDCARD.to_string());
        let fixed = &given[..given.len() - usize::from(is_open)];
        // A pattern of several commands may lie across the parts.
        let whole = facts.arguments.get("command").and_then(Value::as_str).filter(|_| parse_pattern(command).is_none());
        match part {
            Part::Command(words) if narrow => Some(covers(fixed, is_open, words)),
            Part::Command(words) => Some(stands_in(fixed, whole.unwrap_or(&words.join(" ")))),
            Part::Unclear(text) if !narrow => stands_in(fixed, text).then_some(true),
            _ => Some(false),
        }
    }

    /// The words of `command`. What forbids or asks need not be a command of its own: `curl * | sh` will do.
    fn words(&self, command: &str) -> Option<Vec<String>> {
        let loose = || bare_words(command).into_iter().map(|word| word.replace('*', &WILDCARD.to_string())).collect::<Vec<_>>();
        parse_pattern(command).or_else(|| Some(loose()).filter(|words| self.decision != Decision::Allow && !words.is_empty()))
    }

    /// Whether every argument has a key of this rule, if the rule looks at single arguments.
    fn names_all(&self, arguments: &Map<String, Value>) -> bool {
        let named = |name: &String| {
            self.arguments.as_ref().is_some_and(|given| given.contains_key(name))
                || (self.command.is_some() && SHELL_ARGUMENTS.contains(&name.as_str()))
                || (self.path.is_some() && name == "path")
                || (self.host.is_some() && name == "url")
        };
        (self.command.is_none() && self.arguments.is_none()) || arguments.keys().all(named)
    }
}

fn covers(fixed: &[String], is_open: bool, words: &[String]) -> bool {
    if words.len() < fixed.len() || (!is_open && words.len() > fixed.len()) {
        return false;
    }
    let exact = fixed.iter().take_while(|given| !given.contains(WILDCARD)).count();
    let fits = |(given, word): (&String, &String)| {
        let up = word.split('/').any(|part| part == "..");
        let is_option = word.starts_with('-') && !given.starts_with('-');
        given == word || (given.contains(WILDCARD) && !up && !is_option && glob(&characters(given), word, within_folder))
    };
    let all: Vec<&str> = words.iter().map(String::as_str).collect();
    fixed.iter().zip(words).all(fits) && wildcard_covers(&all[..exact], &all[exact..])
}

/// The words of a text that may be a command, without quotes, operators and what is not seen.
fn bare_words(text: &str) -> Vec<String> {
    let is_operator = |c: char| c.is_whitespace() || ";&|(){}<>`$=!,".contains(c);
    let bare: String = text.chars().filter(|c| !"\\'\"".contains(*c) && (c.is_whitespace() || !is_deceptive(*c))).collect();
    bare.split(is_operator).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether the fixed words of a pattern stand in `text`, in their order, the first as a program's name.
fn stands_in(fixed: &[String], text: &str) -> bool {
    let words = bare_words(text);
    let Some((program, rest)) = fixed.split_first() else { return true };
    let like = |given: &str, word: &str| glob(&characters(given), word, |_, _, _| true);
    let starts = words.iter().position(|word| like(base_name(program), base_name(word)));
    starts.is_some_and(|start| {
        let mut left = words[start + 1..].iter();
        rest.iter().all(|given| left.any(|word| like(given, word)))
    })
}

fn fits_value(given: &str, value: &Value, narrow: bool) -> bool {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let Some(given) = pattern(given) else { return !narrow };
    // What stands for a part of a path must not lead out of it.
    let climbs = given.len() > 1 && given.iter().any(|c| matches!(*c, STAR | DEEP)) && text.split(['/', '\\']).any(|part| part == "..");
    !(narrow && climbs) && glob(&given, &text, |_, _, _| true)
}

/// Characters that are separators or dots elsewhere, or look like them.
const SEPARATORS: &str = "\\\u{2024}\u{2025}\u{2026}\u{2044}\u{2215}\u{2216}\u{29f5}\u{29f8}\u{fe52}\u{fe68}\u{ff0e}\u{ff0f}\u{ff3c}";

/// The parts of a path, `..` taken from the text, and whether it stays where it begins.
fn parts_of(path: &str) -> (Vec<&str>, bool) {
    let (mut parts, mut stays) = (Vec::new(), !path.is_empty() && !path.starts_with(['/', '~']));
    for part in path.split(['/', '\\']).filter(|part| !matches!(*part, "" | ".")) {
        match part {
            ".." => stays &= parts.pop().is_some(),
            part => parts.push(part),
        }
    }
    (parts, stays)
}

/// A path as the workspace's tools read it. `None` for one that is absolute, leads out, or has characters that only look like what they
/// are.
pub(super) fn relative_path(path: &str) -> Option<String> {
    let (parts, stays) = parts_of(path);
    (stays && !path.contains(|c| is_deceptive(c) || SEPARATORS.contains(c))).then(|| parts.join("/"))
}

fn path_pattern(given: &str) -> Option<Vec<char>> {
    let plain = relative_path(&given.replace("\\*", "*").replace("\\\\", "-")).filter(|_| !given.split('/').any(|part| part == ".."));
    plain.and_then(|_| pattern(if given == "." { "" } else { given.trim_start_matches("./").trim_end_matches('/') }))
}

fn fits_path(given: &str, arguments: &Map<String, Value>, leads_to: Option<&str>, narrow: bool) -> bool {
    let path = arguments.get("path").map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let Some(given) = path_pattern(given) else { return !narrow };
    if narrow {
        let fits = |path: &str| relative_path(path).is_some_and(|path| glob(&given, &path, within_folder));
        return path.is_some_and(|path| fits(&path)) && leads_to.is_none_or(fits);
    }
    // A tool without a path looks at the whole workspace; what looks at a folder looks at what is in it.
    let given: Vec<char> = given.iter().flat_map(|c| c.to_lowercase()).collect();
    let fixed: String = given.iter().take_while(|c| !matches!(**c, STAR | DEEP)).collect();
    let fits = |path: &str| {
        let path = path.to_lowercase();
        let (parts, stays) = parts_of(&path);
        let mut ends = (0..if stays { 1 } else { parts.len() }).map(|from| parts[from..].join("/"));
        parts.is_empty() || fixed.starts_with(&(parts.join("/") + "/")) || ends.any(|end| glob(&given, &end, |_, _, _| true))
    };
    fits(path.as_deref().unwrap_or_default()) || leads_to.is_some_and(fits)
}

/// A pattern of hosts: whether it is those below the name, the name (none: every host), the port.
struct HostPattern(bool, String, Option<u16>);

impl HostPattern {
    fn new(given: &str) -> Option<Self> {
        let (name, port) = match given.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, Some(port.parse().ok()?)),
            _ => (given, None),
        };
        if name == "*" {
            return Some(Self(true, String::new(), port));
        }
        let (below, name) = name.strip_prefix("*.").map_or((false, name), |name| (true, name));
        let host = url::Host::parse(name).ok().filter(|_| !name.contains('*'))?.to_string();
        Some(Self(below, host.trim_end_matches('.').to_owned(), port))
    }

    fn fits(&self, host: &str) -> bool {
        let above = host.trim_end_matches('.').strip_suffix(&self.1);
        self.1.is_empty() || above.is_some_and(|above| if self.0 { above.ends_with('.') } else { above.is_empty() })
    }
}

/// The URL that `text` is, if there is only one way to read it: HTTP, no name or password, no backslash or space.
pub(super) fn plain_url(text: &str) -> Option<url::Url> {
    let plain = !text.contains(|c: char| c == '\\' || c.is_whitespace() || is_deceptive(c));
    let url = url::Url::parse(text).ok().filter(|_| plain)?;
    let good = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none() && url.has_host();
    good.then_some(url)
}

fn fits_host(given: &str, arguments: &Value, narrow: bool) -> bool {
    let Some(given) = HostPattern::new(given) else { return !narrow };
    let mut texts = Vec::new();
    strings(arguments, &mut texts);
    if narrow {
        let fits = |text: &str| {
            let url = plain_url(text);
            let port = |url: &url::Url| given.2.map_or(url.port().is_none(), |port| url.port_or_known_default() == Some(port));
            url.is_some_and(|url| port(&url) && url.host_str().is_some_and(|host| given.fits(host)))
        };
        let mut urls = texts.iter().filter(|text| text.contains("://")).peekable();
        let named = arguments.get("url").is_none_or(|url| url.as_str().is_some_and(fits));
        return named && urls.peek().is_some() && urls.all(|text| fits(text));
    }
    // The host may also stand in another text, such as a command.
    texts.iter().any(|text| {
        let host = url::Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned));
        host.is_some_and(|host| given.fits(&host)) || (!given.1.is_empty() && text.to_lowercase().contains(&given.1))
    })
}

fn strings<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => out.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Value::Object(items) => items.values().for_each(|item| strings(item, out)),
        _ => {}
    }
}

/// `*` and `**` in a pattern.
const STAR: char = '\0';
const DEEP: char = '\u{1}';

/// The characters of a pattern; `None` if a backslash quotes nothing.
fn pattern(given: &str) -> Option<Vec<char>> {
    let (mut out, mut chars) = (Vec::new(), given.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?),
            '*' if out.last() == Some(&STAR) => out[..].last_mut().map(|last| *last = DEEP)?,
            '*' => out.push(STAR),
            STAR | DEEP => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// Text that a pattern fits, and nothing else.
pub(super) fn literal(text: &str) -> String {
    text.replace('\\', "\\\\").replace('*', "\\*")
}

/// The characters of a word of a command's pattern.
fn characters(word: &str) -> Vec<char> {
    word.chars().map(|c| if c == WILDCARD { STAR } else { c }).collect()
}

/// As in the shell, `*` stays in a folder, and a leading dot is meant only by a pattern that has it.
fn within_folder(wild: char, c: char, before: Option<char>) -> bool {
    (wild == DEEP || c != '/') && (c != '.' || before.is_some_and(|before| before != '/'))
}

/// Whether `given` is all of `text`. What a wildcard may stand for is `may`'s to say: it gets the wildcard, a character and the one before.
fn glob(given: &[char], text: &str, may: impl Fn(char, char, Option<char>) -> bool) -> bool {
    let text: Vec<char> = text.chars().collect();
    // Long texts are mostly compared with themselves.
    let plain = given.iter().take_while(|c| !matches!(**c, STAR | DEEP)).count();
    if text.get(..plain) != Some(&given[..plain]) {
        return false;
    }
    // Which beginnings of the text fit the pattern so far.
    let mut fits = vec![false; text.len() + 1];
    fits[plain] = true;
    for token in &given[plain..] {
        if matches!(*token, STAR | DEEP) {
            for (at, c) in text.iter().enumerate() {
                fits[at + 1] |= fits[at] && may(*token, *c, at.checked_sub(1).map(|last| text[last]));
            }
        } else {
            for (at, c) in text.iter().enumerate().rev() {
                fits[at + 1] = fits[at] && c == token;
            }
            fits[0] = false;
        }
    }
    fits[text.len()]
}
