//! Durable facts, distilled from what was said while nobody waits: a fork of the conversation at background priority, whose prompt is in
//! the cache already. Each fact keeps the turns that it comes from; one that says an older one anew stands in its place, and the older
//! one stays for its owner to see and to bring back.

use std::collections::HashSet;
use std::sync::Arc;

use engine::{Delta, FinishReason, Message, Priority, Request, Role};
use memory::{Fact, NoteKind, Search};

use crate::agent::{Agent, AgentError};
use crate::context::{one_line, says_nothing};
use crate::run::{Past, Run, facts_name, listed, transcript_name};

/// Facts that the model is shown, so that it need not say them again.
const KNOWN: usize = 20;

/// Facts that one pass may add.
const FACTS: usize = 20;

/// Most characters of a fact; a longer line is no sentence.
const FACT_CHARS: usize = 400;

/// Most tokens of the list.
const LIST_TOKENS: u32 = 1_500;

/// Stands in the place of a session's number for this work.
const DISTILLING: i64 = -1;

/// Stands in the place of the message of the next turn.
const ASK: &str = "Stop here. Write down what of this conversation will still be worth knowing in a month: lasting facts about your owner, \
their people, things, plans, wishes and decisions. One fact a line, each a whole sentence that is understood without the conversation: with \
names, and with since when if that was said. Leave out what was only asked or tried, what you know from tools or pages, and what is in the \
list below already. Where a fact changes one of the list, begin its line with that one's number, as in `[2] Ada lives in Oslo since May 2026.` \
Write nothing but these lines; if there are none, write NOTHING.";

impl Agent {
    /// Distils facts from the oldest conversation that has turns from which none were distilled; `false`: there is none, or the model gave
    /// nothing that can be used. Gives way to whoever comes.
    ///
    /// # Errors
    /// The journal's, and the engine's if its thread is gone.
    pub async fn distil(&self) -> Result<bool, AgentError> {
        let failed = self.undistillable.lock().map(|failed| failed.clone()).unwrap_or_default();
        let Some((turn, upto)) = self.store.undistilled(failed).await? else { return Ok(false) };
        let session = self.turn(turn).await?.session;
        let distilled = self.distil_session(turn, upto).await;
        if !matches!(distilled, Ok(true))
            && let Ok(mut failed) = self.undistillable.lock()
        {
            // Until the next start: others come first, and nothing counts as looked at that was not.
            failed.push(session);
        }
        distilled
    }

    async fn distil_session(&self, turn: i64, upto: i64) -> Result<bool, AgentError> {
        let (events, _) = tokio::sync::mpsc::channel(1);
        let (row, steps) = (self.turn(turn).await?, self.steps(turn).await?);
        let mut run = Run::new(self, row, steps, &events, self.deadline().into());
        let mut new: Vec<Past> = run.history().await?.iter().filter(|(row, _)| row.id > upto).cloned().collect();
        new.push((run.turn.clone(), run.steps.clone()));
        let said: String = new.iter().map(|(row, _)| row.text.clone() + "\n").collect();
        let search = Search { kind: Some(NoteKind::Fact), ..Search::words(said, KNOWN) };
        let known = self.store.search(search).await?;
        let list: String = (1..).zip(&known).map(|(number, fact)| format!("\n[{number}] {}", one_line(&fact.text))).collect();
        let mut messages = run.prompt().await?;
        messages
            .push(Message::new(Role::User, format!("{ASK}\n\nWhat you know already:{}", if list.is_empty() { " nothing" } else { &list })));
        let transcript = facts_name(&transcript_name(&run.turn.channel, &run.turn.session_name));
        let request = Request {
            messages,
            transcript: Some(transcript.clone()),
            priority: Priority::Background,
            tools: run.tools(),
            sampling: self.settings.sampling.clone(),
            max_tokens: Some(LIST_TOKENS),
            reasoning_tokens: self.settings.limits.reasoning_tokens,
            ..Request::default()
        };
        let reply = self.said(request).await;
        // It holds facts of all conversations.
        self.engine.forget(&transcript).await?;
        let Some(reply) = reply? else { return Ok(false) };
        for (row, steps) in &new {
            // What was forgotten or undone meanwhile must not come back.
            if self.store.turn(row.id).await?.as_ref() != Some(row) || self.steps(row.id).await? != *steps {
                return Ok(false);
            }
        }
        let read = run.foreign().await?;
        let origin = listed(read.as_deref().into_iter().chain(known.iter().filter_map(|fact| fact.origin.as_deref())));
        let fact = |(replaces, text): (Option<usize>, String)| Fact {
            sources: sources(&text, &new),
            replaces: replaces.and_then(|number| known.get(number.checked_sub(1)?)).map(|fact| fact.id.clone()),
            origin: origin.clone(),
            text: self.settings.secrets.redact(&text),
        };
        let facts = lines(&reply).into_iter().map(fact).collect();
        self.store.distilled(run.turn.session, turn, facts).await?;
        self.embed_in_background();
        Ok(true)
    }

    /// [`Agent::distil`] beside the turns that come; one conversation at a time.
    pub fn distil_in_background(self: &Arc<Self>) {
        let agent = Arc::clone(self);
        self.in_background(DISTILLING, async move { agent.distil().await.ok().map(drop) });
    }

    /// A reply in words, whole lines of it; `None`: there is none.
    async fn said(&self, request: Request) -> Result<Option<String>, AgentError> {
        let mut generation = self.engine.generate(request).await?;
        while let Some(delta) = generation.next().await {
            match delta {
                Ok(Delta::Finish(finish)) => {
                    let text = finish.message.content;
                    let whole = match finish.reason {
                        FinishReason::Stop => text.as_str(),
                        _ => text.rsplit_once('\n').map_or("", |(whole, _)| whole),
                    };
                    return Ok(Some(whole.to_owned()).filter(|text| !text.trim().is_empty()));
                }
                Err(engine::EngineError::Gone) => return Err(engine::EngineError::Gone.into()),
                Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
        Err(engine::EngineError::Gone.into())
    }
}

/// The facts in a reply, with the numbers of those that they replace.
fn lines(reply: &str) -> Vec<(Option<usize>, String)> {
    if says_nothing(reply) {
        return Vec::new();
    }
    let line = |line: &str| {
        let line = line.trim().trim_start_matches(['-', '*', '•']).trim_start();
        let replaced = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let replaced = replaced.and_then(|(number, rest)| Some((number.trim().parse().ok()?, rest.trim())));
        let (number, text) = replaced.map_or((None, line), |(number, text)| (Some(number), text));
        // A sentence has some words.
        let is_fact = text.split_whitespace().nth(2).is_some() && text.chars().count() <= FACT_CHARS && !text.ends_with(':');
        is_fact.then(|| (number, text.to_owned()))
    };
    reply.lines().filter_map(line).take(FACTS).collect()
}

/// The turn in which most of the fact's words were said; of several the last.
fn sources(fact: &str, turns: &[Past]) -> Vec<i64> {
    let words = |text: &str| -> HashSet<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 2).map(str::to_lowercase).collect()
    };
    let fact = words(fact);
    let said =
        |(row, _): &&Past| words(&format!("{} {}", row.text, row.outcome.as_deref().unwrap_or_default())).intersection(&fact).count();
    turns.iter().max_by_key(said).map(|(row, _)| row.id).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_lines() {
        let check = |reply: &str, expected: &[(Option<usize>, &str)]| {
            let expected: Vec<_> = expected.iter().map(|(number, text)| (*number, (*text).to_owned())).collect();
            assert_eq!(lines(reply), expected, "{reply:?}");
        };
        check("NOTHING", &[]);
        check("NOTHING.", &[]);
        check("- Ada lives in Oslo.\n\n* [2] Bob has a dog.", &[(None, "Ada lives in Oslo."), (Some(2), "Bob has a dog.")]);
        check("Here are the facts:\n[x] odd one here\nok\n", &[(None, "[x] odd one here")]);
        check(&format!("{} end", "long ".repeat(200)), &[]);
        assert_eq!(lines(&"Ada lives there.\n".repeat(50)).len(), FACTS);
    }
}
