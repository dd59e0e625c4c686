//! Who speaks in a turn: the owner alone, the owner where others read along, or a guest. A guest may do what the owner's rules for that
//! very session allow, and nothing else; nobody is asked about it.

use memory::TurnRow;

use crate::approval::{CallFacts, Decision, Rule, Verdict, decide};

/// What [`memory::Inbound::person`] is for an owner in a conversation that others read too.
pub const OWNER: &str = "owner";

/// Whether others read the conversation: then nothing comes to mind there that was said elsewhere.
pub(crate) fn is_shared(turn: &TurnRow) -> bool {
    turn.person.is_some()
}

/// Who speaks, if it is not an owner: where strangers' text comes from.
pub(crate) fn guest(turn: &TurnRow) -> Option<String> {
    turn.person.as_deref().filter(|person| *person != OWNER).map(|person| format!("{person} in {}/{}", turn.channel, turn.session_name))
}

/// [`decide`] on a guest's call: what no rule with a `session` allows is refused.
pub(crate) fn decide_for_guest(policy: &[Rule], facts: &CallFacts<'_>) -> Verdict {
    let all = decide(policy, facts);
    if all.decision == Decision::Deny {
        return all;
    }
    let own: Vec<Rule> = policy.iter().filter(|rule| rule.session.is_some()).cloned().collect();
    let verdict = decide(&own, facts);
    if verdict.decision == Decision::Allow && verdict.rule.starts_with("policy") {
        return verdict;
    }
    let reason = "only the owner may have this done: no rule allows it to guests of this session".to_owned();
    Verdict { decision: Decision::Deny, rule: verdict.rule, reason }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::Effect;

    #[test]
    fn a_guest_may_do_what_a_rule_for_the_session_allows() {
        let rule = |tool: &str, session: Option<&str>, decision| Rule {
            tool: tool.into(),
            session: session.map(str::to_owned),
            decision,
            ..Rule::default()
        };
        let check = |policy: &[Rule], effect, expected| {
            let facts = CallFacts {
                tool: "tool",
                effect: Some(effect),
                arguments: &json!({}),
                session: "-100",
                channel: "telegram",
                foreign: None,
                leads_to: None,
            };
            assert_eq!(decide_for_guest(policy, &facts).decision, expected, "{policy:?}");
        };
        let (allow, deny) = (Decision::Allow, Decision::Deny);
        check(&[], Effect::Read, deny);
        check(&[rule("tool", None, allow)], Effect::Read, deny);
        check(&[rule("tool", Some("-1*"), allow)], Effect::Network, allow);
        check(&[rule("tool", Some("123"), allow)], Effect::Read, deny);
        check(&[rule("other", Some("-100"), allow)], Effect::Read, deny);
        check(&[rule("tool", None, deny), rule("tool", Some("-100"), allow)], Effect::Read, deny);
        check(&[rule("tool", Some("-100"), Decision::Ask)], Effect::Read, deny);
    }
}
