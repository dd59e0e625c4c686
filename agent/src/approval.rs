//! May a call run? Pure: policy, effect and arguments decide, in one place in front of every tool.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::known_programs::{base_name, wildcard_covers};
use crate::tool::Effect;

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Run it.
    Allow,
    /// Ask the owner.
    Ask,
    /// Refuse it.
    Deny,
}

/// One `[[policy]]` of the configuration. The first rule that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The tool's name, or `*` for every tool.
    pub tool: String,
    /// For `shell`: the command's words; a last word `*` stands for any further words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What to do.
    pub decision: Decision,
}

/// A decision and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What to do.
    pub decision: Decision,
    /// `policy N` (counted from 1) or `default`.
    pub rule: String,
    /// In words.
    pub reason: String,
}

/// What is known of a call.
#[derive(Debug, Clone, Copy)]
pub struct CallFacts<'a> {
    /// The tool.
    pub tool: &'a str,
    /// Its effect; `None`: no such tool.
    pub effect: Option<Effect>,
    /// A JSON object.
    pub arguments: &'a Value,
    /// The session.
    pub session: &'a str,
    /// The channel.
    pub channel: &'a str,
    /// Where untrusted text came from.
    pub foreign: Option<&'a str>,
}

/// A rule.
#[must_use]
pub fn propose(_: &CallFacts<'_>) -> Option<Rule> {
    None
}

/// Decides on one call: the first rule that matches, else by the tool's effect. A tool that is not known is refused.
#[must_use]
pub fn decide(policy: &[Rule], tool: &str, effect: Option<Effect>, arguments: &Value) -> Verdict {
    let Some(effect) = effect else {
        let reason = format!("there is no tool called `{tool}`");
        return Verdict { decision: Decision::Deny, rule: "default".into(), reason };
    };
    if let Some((index, rule)) = policy.iter().enumerate().find(|(_, rule)| matches(rule, tool, arguments)) {
        let reason = match rule.decision {
            Decision::Allow => "a rule of the policy allows it",
            Decision::Ask => "a rule of the policy asks for approval",
            Decision::Deny => "the owner's policy forbids this",
        };
        return Verdict { decision: rule.decision, rule: format!("policy {}", index + 1), reason: reason.into() };
    }
    let (decision, reason) = match effect {
        Effect::Read => (Decision::Allow, "it only reads"),
        Effect::Write => (Decision::Ask, "it can change things on this machine"),
        Effect::Network => (Decision::Ask, "it reaches other machines"),
        Effect::Spend => (Decision::Ask, "it costs money"),
    };
    Verdict { decision, rule: "default".into(), reason: reason.into() }
}

/// Whether `rule` speaks of this call. A rule that allows is read narrowly: what the shell would make of quotes, variables,
/// substitutions or several commands is not known here, so such a command never fits its pattern. A rule that asks or denies is read
/// widely: its words may stand anywhere in the command, behind another program, a path or an operator.
fn matches(rule: &Rule, tool: &str, arguments: &Value) -> bool {
    if rule.tool != "*" && rule.tool != tool {
        return false;
    }
    let Some(pattern) = &rule.command else { return true };
    let Some(command) = arguments.get("command").and_then(Value::as_str) else { return false };
    let pattern: Vec<&str> = pattern.split_whitespace().collect();
    if rule.decision == Decision::Allow {
        let words: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).collect();
        return command.chars().all(is_plain) && fits(&pattern, &words);
    }
    let bare: String = command.chars().filter(|c| !matches!(c, '\\' | '\'' | '"')).collect();
    let words: Vec<&str> = bare.split(|c: char| c.is_whitespace() || is_operator(c)).filter(|word| !word.is_empty()).collect();
    (0..words.len()).any(|start| begins(&pattern, &words[start..]))
}

/// Whether `words` are those of `pattern`, whose last may be `*`.
fn fits(pattern: &[&str], words: &[&str]) -> bool {
    match pattern.split_last() {
        Some((&"*", fixed)) => words.strip_prefix(fixed).is_some_and(|covered| wildcard_covers(fixed, covered)),
        _ => words == pattern,
    }
}

/// Whether `words` begin with those of `pattern`, the program by its name alone.
fn begins(pattern: &[&str], words: &[&str]) -> bool {
    let fixed = pattern.strip_suffix(&["*"]).unwrap_or(pattern);
    let Some((program, rest)) = fixed.split_first() else { return true };
    words.first().is_some_and(|word| base_name(word) == base_name(program)) && words[1..].starts_with(rest)
}

/// Characters at which a command of the shell may begin or end.
fn is_operator(c: char) -> bool {
    matches!(c, ';' | '&' | '|' | '(' | ')' | '{' | '}' | '<' | '>' | '`' | '$' | '=' | '!')
}

/// Characters that mean themselves to the shell in every place of a word. A newline would end the command.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '/' | ',' | ':' | '@' | '+' | '%')
}

/// SHA-256 over the tool and its arguments, in hexadecimal: what an approval is bound to.
#[must_use]
pub fn call_hash(tool: &str, arguments: &Value) -> String {
    let mut hash = Sha256::new();
    hash.update(tool.as_bytes());
    hash.update([0]);
    hash.update(arguments.to_string().as_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(tool: &str, command: Option<&str>, decision: Decision) -> Rule {
        Rule { tool: tool.into(), command: command.map(Into::into), decision }
    }

    fn check(policy: &[Rule], tool: &str, effect: Option<Effect>, arguments: &Value, expected: (Decision, &str)) {
        let verdict = decide(policy, tool, effect, arguments);
        assert_eq!((verdict.decision, verdict.rule.as_str()), expected, "{tool} {arguments}");
    }

    #[test]
    fn the_default_is_safe() {
        let none = json!({});
        check(&[], "read_file", Some(Effect::Read), &none, (Decision::Allow, "default"));
        check(&[], "shell", Some(Effect::Write), &none, (Decision::Ask, "default"));
        check(&[], "web", Some(Effect::Network), &none, (Decision::Ask, "default"));
        check(&[], "buy", Some(Effect::Spend), &none, (Decision::Ask, "default"));
        check(&[], "unknown", None, &none, (Decision::Deny, "default"));
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = [
            rule("shell", Some("rm *"), Decision::Deny),
            rule("shell", Some("git status *"), Decision::Allow),
            rule("read_file", None, Decision::Ask),
            rule("*", None, Decision::Deny),
        ];
        let shell = |command: &str, expected| {
            check(&policy, "shell", Some(Effect::Write), &json!({ "command": command }), expected);
        };
        shell("rm -rf x", (Decision::Deny, "policy 1"));
        shell("git status", (Decision::Allow, "policy 2"));
        shell("git  status --short", (Decision::Allow, "policy 2"));
        shell("git statusx", (Decision::Deny, "policy 4"));
        check(&policy, "read_file", Some(Effect::Read), &json!({}), (Decision::Ask, "policy 3"));
        check(&policy, "list_dir", Some(Effect::Read), &json!({}), (Decision::Deny, "policy 4"));
    }

    #[test]
    fn an_allow_rule_never_covers_what_the_shell_would_rewrite() {
        let policy = [rule("shell", Some("git status *"), Decision::Allow)];
        for command in [
            "git status; rm x",
            "git status && rm x",
            "git status | sh",
            "git status $(rm x)",
            "git status `rm x`",
            "git status > x",
            "git status\nrm x",
            "git status $HOME",
            "git status *",
            "git status 'a b'",
            "git status {a,b}",
            "git status ~",
            "git status #x",
            "git status \\x",
            "git status !x",
            "git status\u{2028}rm",
            "git\u{a0}status",
            "X=1 git status",
            "git status ?",
            "git status [a]",
            "git status =x",
            "git status & rm",
        ] {
            check(&policy, "shell", Some(Effect::Write), &json!({ "command": command }), (Decision::Ask, "default"));
        }
    }

    #[test]
    fn a_wildcard_does_not_cover_running_or_writing() {
        let check = |pattern: &str, command: &str, covered: bool| {
            let policy = [rule("shell", Some(pattern), Decision::Allow)];
            let verdict = decide(&policy, "shell", Some(Effect::Write), &json!({ "command": command }));
            assert_eq!(verdict.decision == Decision::Allow, covered, "{pattern} for {command}");
        };
        for (pattern, command) in [
            ("find *", "find . -name x.rs -type f"),
            ("git *", "git log --oneline -5"),
            ("git log *", "git log --stat"),
            ("tar *", "tar -tf a.tar"),
            ("ls *", "ls -la /tmp"),
            ("sort *", "sort -n a.txt"),
            ("cargo test", "cargo test"),
            ("env", "env"),
            ("env *", "env"),
        ] {
            check(pattern, command, true);
        }
        for (pattern, command) in [
            ("find *", "find . -exec rm x +"),
            ("find *", "find . -delete"),
            ("find . *", "find . -fprintf out x"),
            ("/usr/bin/find *", "/usr/bin/find . -delete"),
            ("git *", "git -c core.pager=sh log"),
            ("git *", "git config alias.x y"),
            ("git log *", "git log --output x"),
            ("git log *", "git log --outp x"),
            ("git grep *", "git grep -Osh x"),
            ("tar *", "tar -xf a.tar --to-command sh"),
            ("tar *", "tar xf a.tar"),
            ("tar *", "tar -cf a.tar b"),
            ("tar *", "tar --use-comp sh -tf a"),
            ("sort *", "sort -no out in"),
            ("env *", "env rm x"),
            ("xargs *", "xargs rm"),
            ("python3 *", "python3 x.py"),
            ("python3.11 *", "python3.11 x.py"),
            ("uniq *", "uniq in out"),
            ("rg *", "rg --pre sh x"),
            ("*", "rm x"),
        ] {
            check(pattern, command, false);
        }
    }

    #[test]
    fn a_rule_that_denies_is_read_widely() {
        let policy = [
            rule("shell", Some("rm *"), Decision::Deny),
            rule("shell", Some("git push"), Decision::Ask),
            rule("shell", None, Decision::Allow),
        ];
        let denied = (Decision::Deny, "policy 1");
        for command in [
            "rm x",
            "/bin/rm x",
            "ls; rm x",
            "ls && rm -rf x",
            "\\rm x",
            "'rm' x",
            "xargs rm",
            "$(rm x)",
            "(rm x)",
            "sudo rm x",
            "X=1 rm x",
            "a\nrm x",
            "rm",
        ] {
            check(&policy, "shell", Some(Effect::Write), &json!({ "command": command }), denied);
        }
        let shell = |command: &str, expected| check(&policy, "shell", Some(Effect::Write), &json!({ "command": command }), expected);
        shell("git push origin", (Decision::Ask, "policy 2"));
        shell("ls && git push", (Decision::Ask, "policy 2"));
        shell("git status", (Decision::Allow, "policy 3"));
        shell("alarm x", (Decision::Allow, "policy 3"));
    }

    #[test]
    fn the_hash_names_tool_and_arguments() {
        let a = call_hash("shell", &json!({"command": "ls"}));
        assert_eq!(a.len(), 64);
        assert_eq!(a, call_hash("shell", &json!({"command": "ls"})));
        assert_ne!(a, call_hash("shell", &json!({"command": "ls "})));
        assert_ne!(a, call_hash("shel", &json!({"command": "ls"})));
    }
}
