//! What a turn does next. Pure: it looks at the steps and at nothing else.

use engine::{FinishReason, ToolCall};
use serde_json::Value;

use crate::step::{Step, is_empty, is_late, thoughts};

/// Identical (tool, arguments, result) triples in one turn before it is ended.
pub const REPEATS: usize = 3;

/// Calls of the longest cycle that is looked for.
const CYCLE_CALLS: usize = 4;

/// Times that a cycle of calls (tools and arguments, whatever came of them) is gone through before the turn is ended.
pub const CYCLES: usize = 3;

/// Empty replies in a row before the turn is ended.
pub const EMPTY_REPLIES: usize = 2;

/// The next thing that a turn does.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Put the user's message together.
    Begin,
    /// Ask the model.
    Think,
    /// Let the policy decide on a call.
    Approve(ToolCall),
    /// Wait for the owner's answer about a call.
    Ask(ToolCall),
    /// Run a call.
    Act(ToolCall),
    /// A call was cut off between intent and result: run a read again, ask about anything else.
    Recover(ToolCall),
    /// Finish with this text.
    Reply(String),
    /// Finish as a failure.
    Fail(Failure),
}

/// Why a turn ends without the reply that was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The model keeps giving empty replies.
    Empty,
    /// The same call has given the same result three times.
    Repeats,
    /// The same few calls have come three times in a row.
    Cycle,
    /// As many calls that cost money as allowed were made.
    Spend,
    /// The reply was cut off by `max_tokens`.
    Length,
    /// The reply was cut off because the context is full.
    Context,
    /// The time was over.
    Time,
    /// As many steps as allowed were taken.
    Steps,
    /// The owner stopped it.
    Stopped,
}

impl Failure {
    /// For events: a word that scripts may match.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty_reply",
            Self::Repeats => "repeated_call",
            Self::Cycle => "repeated_calls",
            Self::Spend => "max_spends",
            Self::Length => "max_tokens",
            Self::Context => "context_full",
            Self::Time => "timeout",
            Self::Steps => "max_steps",
            Self::Stopped => "stopped",
        }
    }

    /// For the owner: one sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Empty => "the model gave no reply, twice; ask again or try another model",
            Self::Repeats => "the model repeated one call with the same result three times, so the turn was ended",
            Self::Cycle => "the model went through the same calls three times, so the turn was ended",
            Self::Spend => "the limit of calls that cost money was reached; raise `spends` in [limits]",
            Self::Length => "the reply was cut off at the token limit; raise --max-tokens or `max_tokens` in [limits]",
            Self::Context => "the context is full; raise `context` in [model], or begin a new session",
            Self::Time => "the time limit was reached; raise --timeout or `timeout_s` in [limits]",
            Self::Steps => "the step limit was reached; raise --max-steps or `max_steps` in [limits]",
            Self::Stopped => "stopped by the owner",
        }
    }

    /// Whether a limit that the owner set ended the turn.
    #[must_use]
    pub fn is_limit(self) -> bool {
        matches!(self, Self::Length | Self::Context | Self::Time | Self::Steps | Self::Spend)
    }
}

/// What the turn with these steps does next.
#[must_use]
pub fn next(steps: &[Step]) -> Next {
    if !matches!(steps.first(), Some(Step::Began { .. })) {
        return Next::Begin;
    }
    let Some(last) = thoughts(steps).next_back() else { return Next::Think };
    match last.reason {
        FinishReason::Length => return Next::Fail(Failure::Length),
        FinishReason::ContextFull => return Next::Fail(Failure::Context),
        FinishReason::Deadline => return Next::Fail(Failure::Time),
        FinishReason::Cancelled => return Next::Fail(Failure::Stopped),
        FinishReason::Stop | FinishReason::ToolCalls => {}
    }
    if is_empty(&last.message) {
        let empty = thoughts(steps).rev().take_while(|thought| is_empty(&thought.message)).count();
        return if empty < EMPTY_REPLIES { Next::Think } else { Next::Fail(Failure::Empty) };
    }
    if last.message.tool_calls.is_empty() {
        return Next::Reply(last.message.content.clone());
    }
    let unfinished = last.message.tool_calls.iter().find_map(|call| next_of_call(steps, call));
    unfinished.unwrap_or_else(|| circles(steps).map_or(Next::Think, Next::Fail))
}

/// What a call needs next; `None` once it has ended.
fn next_of_call(steps: &[Step], call: &ToolCall) -> Option<Next> {
    let call = call.clone();
    let last = (0..steps.len()).rev().find(|index| steps[*index].call() == Some(&call.id) && !is_late(steps, *index));
    match last.map(|index| &steps[index]) {
        Some(step) if step.ending().is_some() => None,
        Some(Step::Asked { .. }) => Some(Next::Ask(call)),
        Some(Step::Allowed { .. } | Step::Answered { .. }) => Some(Next::Act(call)),
        Some(Step::Intent { .. }) => Some(Next::Recover(call)),
        _ => Some(Next::Approve(call)),
    }
}

/// Whether the turn goes in circles: the last call has given what it gave twice before, or the last calls are a cycle.
fn circles(steps: &[Step]) -> Option<Failure> {
    let ended: Vec<(&String, &Value, String)> = thoughts(steps)
        .flat_map(|thought| &thought.message.tool_calls)
        .filter_map(|call| {
            let ending = steps.iter().find_map(|step| step.ending().filter(|_| step.call() == Some(&call.id)))?;
            Some((&call.name, &call.arguments, ending))
        })
        .collect();
    let last = ended.last()?;
    if ended.iter().filter(|other| *other == last).count() >= REPEATS {
        return Some(Failure::Repeats);
    }
    let same = |a: &(&String, &Value, String), b: &(&String, &Value, String)| (a.0, a.1) == (b.0, b.1);
    let cycle = |calls: usize| {
        let Some(start) = ended.len().checked_sub(calls * CYCLES) else { return false };
        let tail = &ended[start..];
        // One call again and again with results that differ is a look at something that changes.
        let one_call = tail.iter().all(|call| same(call, &tail[0]));
        !one_call && tail.iter().zip(&tail[calls..]).all(|(one, next)| same(one, next))
    };
    (2..=CYCLE_CALLS).any(cycle).then_some(Failure::Cycle)
}

#[cfg(test)]
mod tests {
    use engine::{Message, Role, Sampling, Timings, Usage};
    use serde_json::json;

    use super::*;
    use crate::question::Scope;
    use crate::step::Thought;

    fn began() -> Step {
        Step::Began { content: "hi".into(), notes: vec![], from: 1, summary: None, origin: None, recall_ms: 0.0 }
    }

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.into(), name: "shell".into(), arguments: json!({"command": "date"}) }
    }

    fn thought(text: &str, calls: &[&str], reason: FinishReason) -> Step {
        let mut message = Message::new(Role::Assistant, text);
        message.tool_calls = calls.iter().map(|id| call(id)).collect();
        let (usage, timings) = (Usage::default(), Timings::default());
        let (model, model_hash, sampling) = ("m".into(), String::new(), Sampling::default());
        Step::Thought(Box::new(Thought { message, reason, model, model_hash, sampling, usage, timings, cache_miss: None }))
    }

    fn says(text: &str) -> Step {
        thought(text, &[], FinishReason::Stop)
    }

    fn calls(ids: &[&str]) -> Step {
        thought("", ids, FinishReason::ToolCalls)
    }

    fn asked(id: &str) -> Step {
        Step::Asked { call: id.into(), hash: "h".into(), reason: "r".into(), until: None, rule: None }
    }

    fn answered(id: &str, allowed: bool) -> Step {
        Step::Answered { call: id.into(), hash: "h".into(), allowed, scope: Scope::Once, why: None, by: "test".into() }
    }

    fn intent(id: &str) -> Step {
        Step::Intent { call: id.into() }
    }

    fn result(id: &str, content: &str) -> Step {
        Step::Result { call: id.into(), ok: true, content: content.into(), origin: None }
    }

    fn allowed(id: &str) -> Step {
        Step::Allowed { call: id.into(), hash: "h".into(), rule: "default".into() }
    }

    fn check(steps: &[Step], expected: &Next) {
        assert_eq!(&next(steps), expected, "after {steps:#?}");
    }

    #[test]
    fn a_turn_begins_thinks_and_replies() {
        check(&[], &Next::Begin);
        check(&[began()], &Next::Think);
        check(&[began(), says("hello")], &Next::Reply("hello".into()));
    }

    #[test]
    fn a_call_is_approved_run_and_answered() {
        check(&[began(), calls(&["a"])], &Next::Approve(call("a")));
        check(&[began(), calls(&["a"]), allowed("a")], &Next::Act(call("a")));
        check(&[began(), calls(&["a"]), allowed("a"), intent("a"), result("a", "x")], &Next::Think);
        let refused = Step::Refused { call: "a".into(), reason: "no".into() };
        check(&[began(), calls(&["a"]), refused], &Next::Think);
    }

    #[test]
    fn a_question_waits_for_its_answer() {
        check(&[began(), calls(&["a"]), asked("a")], &Next::Ask(call("a")));
        check(&[began(), calls(&["a"]), asked("a"), answered("a", true)], &Next::Act(call("a")));
        check(&[began(), calls(&["a"]), asked("a"), answered("a", false)], &Next::Think);
        check(&[began(), calls(&["a", "b"]), asked("a"), answered("a", false)], &Next::Approve(call("b")));
    }

    #[test]
    fn a_call_cut_off_by_a_crash_is_recovered_not_repeated() {
        let cut = [began(), calls(&["a"]), allowed("a"), intent("a")];
        check(&cut, &Next::Recover(call("a")));
        let asked_again = [&cut[..], &[asked("a")]].concat();
        check(&asked_again, &Next::Ask(call("a")));
        check(&[&asked_again[..], &[answered("a", true)]].concat(), &Next::Act(call("a")));
        check(&[&asked_again[..], &[answered("a", false)]].concat(), &Next::Think);
    }

    #[test]
    fn an_answer_that_comes_too_late_is_none() {
        let begun = [began(), calls(&["a"]), asked("a"), answered("a", true), intent("a")];
        check(&[&begun[..], &[answered("a", true)]].concat(), &Next::Recover(call("a")));
        check(&[&begun[..], &[result("a", "x"), answered("a", true)]].concat(), &Next::Think);
        check(&[began(), calls(&["a"]), asked("a"), answered("a", false), answered("a", true)], &Next::Think);
        check(&[began(), calls(&["a"]), asked("a"), answered("a", true), answered("a", false)], &Next::Act(call("a")));
    }

    #[test]
    fn calls_of_one_reply_run_in_order() {
        let mut steps = vec![began(), calls(&["a", "b"]), allowed("a"), intent("a"), result("a", "x")];
        check(&steps, &Next::Approve(call("b")));
        steps.extend([allowed("b"), intent("b"), result("b", "y")]);
        check(&steps, &Next::Think);
    }

    #[test]
    fn an_empty_reply_is_asked_for_once_more() {
        check(&[began(), says(" ")], &Next::Think);
        check(&[began(), says(""), says("\n")], &Next::Fail(Failure::Empty));
        check(&[began(), says(""), says("now")], &Next::Reply("now".into()));
    }

    #[test]
    fn limits_end_a_turn() {
        check(&[began(), thought("cut", &[], FinishReason::Length)], &Next::Fail(Failure::Length));
        check(&[began(), thought("cut", &[], FinishReason::Deadline)], &Next::Fail(Failure::Time));
        check(&[began(), thought("cut", &[], FinishReason::ContextFull)], &Next::Fail(Failure::Context));
    }

    #[test]
    fn a_loop_ends_the_turn() {
        let mut steps = vec![began()];
        for id in ["a", "b", "c"] {
            check(&steps, &Next::Think);
            steps.extend([calls(&[id]), allowed(id), intent(id), result(id, "same")]);
        }
        check(&steps, &Next::Fail(Failure::Repeats));
        steps.truncate(steps.len() - 1);
        steps.push(result("c", "different"));
        check(&steps, &Next::Think);
    }
    #[test]
    fn a_cycle_of_calls_ends_the_turn_whatever_they_give() {
        for (length, ends) in [(1, false), (2, true), (3, true), (4, true), (5, false)] {
            let mut steps = vec![began()];
            for round in 0..CYCLES {
                for place in 0..length {
                    check(&steps, &Next::Think);
                    let id = format!("{round}.{place}");
                    let mut message = Message::new(Role::Assistant, "");
                    let arguments = json!({ "command": place });
                    message.tool_calls = vec![ToolCall { id: id.clone(), name: "shell".into(), arguments }];
                    let Step::Thought(thought) = calls(&[]) else { unreachable!() };
                    steps.extend([Step::Thought(Box::new(Thought { message, ..*thought })), allowed(&id), intent(&id), result(&id, &id)]);
                }
            }
            check(&steps, &if ends { Next::Fail(Failure::Cycle) } else { Next::Think });
        }
    }
}
