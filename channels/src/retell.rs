//! The events of a turn that has ended, as the journal tells them.

use agent::memory::{StepRow, TurnRow, TurnState};
use agent::{AgentError, Event, Step, TurnResult, TurnTimings, parse_steps, thoughts, total_usage};

/// What the turn showed, but for reasoning and how long things took: whole texts, calls and what came of them, and the end.
pub(crate) fn retell(row: &TurnRow, steps: Vec<StepRow>) -> Result<Vec<Event>, AgentError> {
    let steps = parse_steps(row.id, steps)?;
    let mut events = Vec::new();
    for step in &steps {
        match step {
            Step::Thought(thought) => {
                let message = &thought.message;
                if !message.content.is_empty() {
                    events.push(Event::Text { delta: message.content.clone() });
                }
                let calls = message.tool_calls.iter().cloned();
                events.extend(calls.map(|call| Event::ToolCall { id: call.id, name: call.name, arguments: call.arguments }));
            }
            step => {
                let ok = matches!(step, Step::Result { ok: true, .. });
                if let (Some(id), Some(content)) = (step.call(), step.ending()) {
                    events.push(Event::ToolResult { id: id.to_owned(), ok, content });
                }
            }
        }
    }
    let last = thoughts(&steps).last();
    let denied = steps.iter().any(|step| matches!(step, Step::Answered { allowed: false, .. }));
    let done = row.state == TurnState::Done;
    events.push(Event::Result(Box::new(TurnResult {
        ok: done && !denied,
        text: row.outcome.clone().unwrap_or_default(),
        session: row.session_name.clone(),
        turn: row.id.to_string(),
        model: last.map(|thought| thought.model.clone()).unwrap_or_default(),
        steps: thoughts(&steps).count(),
        usage: total_usage(&steps),
        timings: TurnTimings::default(),
        cache_miss: thoughts(&steps).find_map(|thought| thought.cache_miss.clone()),
        limit: false,
        outbound: None,
        replied: done,
        failure: match (done, denied) {
            (true, false) => None,
            (_, true) => Some("denied".to_owned()),
            (false, false) => Some("failed".to_owned()),
        },
    })));
    Ok(events)
}
