//! May a call run? Pure: policy, effect, arguments, session, channel and trust decide, in one place in front of every tool.
//!
//! Deliberately not here: asking, and what an answer leads to. [`propose`] only says which rule would allow a call from now on.

mod known_programs;
mod rule;
mod shell;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use self::rule::Rule;
use self::rule::{SHELL, literal, plain_url, relative_path};
use crate::tool::Effect;

/// What a rule says, from mild to strict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Run it.
    Allow,
    /// Ask the owner.
    #[default]
    Ask,
    /// Refuse it.
    Deny,
}

/// What is known of a call when it is decided on.
#[derive(Debug, Clone, Copy)]
pub struct CallFacts<'a> {
    /// The tool's name.
    pub tool: &'a str,
    /// What it may do to the world; `None` if there is no such tool.
    pub effect: Option<Effect>,
    /// The call's arguments, an object.
    pub arguments: &'a Value,
    /// The session's name.
    pub session: &'a str,
    /// The channel's name.
    pub channel: &'a str,
    /// Where untrusted text in the context came from, if there is any.
    pub foreign: Option<&'a str>,
    /// Where the argument `path` leads when links are followed, relative to the workspace, if that is not what it says.
    pub leads_to: Option<&'a str>,
}

/// A decision and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What to do.
    pub decision: Decision,
    /// `policy N` (counted from 1) or `default`; several with commas, if the parts of a command met several.
    pub rule: String,
    /// In words.
    pub reason: String,
}

/// What is decided on by itself.
enum Part {
    /// A call of a tool other than the shell.
    Whole,
    /// One simple command, as its words.
    Command(Vec<String>),
    /// A command that is not understood.
    Unclear(String),
}

/// Characters of a command that a reason shows.
const SHOWN_COMMAND: usize = 80;

/// Decides on one call: the first rule that matches, else by the tool's effect. Each simple command of the shell is decided on by
/// itself; the strictest decision is that of all. A tool that is not known is refused.
#[must_use]
pub fn decide(policy: &[Rule], facts: &CallFacts<'_>) -> Verdict {
    let Some(effect) = facts.effect else {
        let reason = format!("there is no tool called `{}`", facts.tool);
        return Verdict { decision: Decision::Deny, rule: "default".into(), reason };
    };
    let parts = parts(facts);
    let verdicts: Vec<Verdict> = parts.iter().map(|part| decide_part(policy, facts, effect, part)).collect();
    let decision = verdicts.iter().map(|verdict| verdict.decision).max().unwrap_or(Decision::Deny);
    let mut rules: Vec<&str> = Vec::new();
    for verdict in verdicts.iter().filter(|verdict| verdict.decision == decision) {
        if !rules.contains(&verdict.rule.as_str()) {
            rules.push(&verdict.rule);
        }
    }
    let (part, mut reason) = match parts.iter().zip(&verdicts).find(|(_, verdict)| verdict.decision == decision) {
        Some((part, verdict)) => (part, verdict.reason.clone()),
        None => (&Part::Whole, String::new()),
    };
    if let Part::Command(words) = part
        && parts.len() > 1
        && decision != Decision::Allow
    {
        let words: Vec<String> = words.iter().map(|word| shell::quote(word)).collect();
        reason += &format!(" (`{}`)", words.join(" ").chars().take(SHOWN_COMMAND).collect::<String>());
    }
    let rule = rules.join(", ");
    match facts.foreign {
        Some(origin) if decision == Decision::Allow && effect.carries_out() => {
            let reason = format!("untrusted text from {origin} is in the context, and this could carry data out");
            Verdict { decision: Decision::Ask, rule, reason }
        }
        _ => Verdict { decision, rule, reason },
    }
}

/// What a call consists of; never nothing.
fn parts(facts: &CallFacts<'_>) -> Vec<Part> {
    if facts.tool != SHELL {
        return vec![Part::Whole];
    }
    let Some(command) = facts.arguments.get("command").and_then(Value::as_str) else {
        return vec![Part::Unclear(facts.arguments.to_string())];
    };
    match shell::parse(command) {
        Some(commands) => commands.into_iter().map(Part::Command).collect(),
        None => vec![Part::Unclear(command.to_owned())],
    }
}

fn decide_part(policy: &[Rule], facts: &CallFacts<'_>, effect: Effect, part: &Part) -> Verdict {
    // The first rule that asks or denies of which it cannot be told whether it speaks of this: then nothing is allowed.
    let mut doubt = None;
    for (index, rule) in policy.iter().enumerate() {
        let (decision, reason) = match (rule.speaks_of(facts, part), rule.decision) {
            (Some(false), _) => continue,
            (None, _) => {
                doubt = doubt.or(Some(index));
                continue;
            }
            (_, Decision::Allow) => match doubt {
                Some(doubt) => {
                    let reason = "what the shell would make of this command cannot be foreseen, and a rule forbids or asks about some";
                    return Verdict { decision: Decision::Ask, rule: format!("policy {}", doubt + 1), reason: reason.into() };
                }
                None => (Decision::Allow, "a rule of the policy allows it"),
            },
            (_, Decision::Ask) => (Decision::Ask, "a rule of the policy asks for approval"),
            (_, Decision::Deny) => (Decision::Deny, "the owner's policy forbids this"),
        };
        return Verdict { decision, rule: format!("policy {}", index + 1), reason: reason.into() };
    }
    let (decision, reason) = match effect {
        Effect::Read => (Decision::Allow, "it only reads"),
        Effect::Write => (Decision::Ask, "it can change things on this machine"),
        Effect::Network => (Decision::Ask, "it reaches other machines"),
        Effect::Spend => (Decision::Ask, "it costs money"),
    };
    Verdict { decision, rule: "default".into(), reason: reason.into() }
}

/// Bytes of a call's arguments, beyond which no rule is proposed for it: nobody would read it.
const LONGEST_PROPOSAL: usize = 4_000;

/// The narrow rule that "always" writes: this very command; this tool on this path, or to this host; any other tool with these very
/// arguments. `None` if no one rule can allow the call, such as a command with a variable, or with several parts.
#[must_use]
pub fn propose(facts: &CallFacts<'_>) -> Option<Rule> {
    let given = facts.arguments.as_object()?;
    let text = |name: &str| given.get(name).and_then(Value::as_str);
    let mut rule = Rule { tool: literal(facts.tool), decision: Decision::Allow, ..Rule::default() };
    if facts.arguments.to_string().len() > LONGEST_PROPOSAL {
        return None;
    }
    let is_file_tool = ["read_file", "write_file", "edit_file", "list_dir", "search_files"].contains(&facts.tool);
    if facts.tool == SHELL {
        let mut commands = shell::parse(text("command")?)?;
        let words = commands.pop().filter(|_| commands.is_empty())?;
        rule.command = Some(words.iter().map(|word| shell::quote(word)).collect::<Vec<_>>().join(" "));
    } else if is_file_tool && let Some(path) = text("path").and_then(relative_path) {
        rule.path = Some(literal(if path.is_empty() { "." } else { &path }));
    } else if facts.tool.starts_with("web_")
        && let Some(url) = text("url").and_then(plain_url)
    {
        rule.host = Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?));
    } else {
        let exact = |value: &Value| literal(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        rule.arguments = Some(given.iter().map(|(name, value)| (name.clone(), exact(value))).collect());
    }
    let trusted = CallFacts { foreign: None, ..*facts };
    (rule.check().is_ok() && decide(std::slice::from_ref(&rule), &trusted).decision == Decision::Allow).then_some(rule)
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
