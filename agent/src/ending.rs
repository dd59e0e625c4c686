//! How a turn ends: its outcome, the message that goes out and the pieces that are kept, in one transaction; then what is shown.

use memory::{JOB_CHANNEL, Outbound, TurnState};

use crate::agent::{AgentError, Outcome};
use crate::context::says_nothing;
use crate::event::{TurnResult, TurnTimings};
use crate::next::Failure;
use crate::recall::pieces;
use crate::run::Run;
use crate::step::{Step, thoughts, total_usage};

impl Run<'_> {
    pub(crate) async fn fail(&mut self, failure: Failure) -> Result<Outcome, AgentError> {
        if failure == Failure::Context {
            self.append(Step::TooLong);
        }
        self.finish(failure.sentence().to_owned(), Some(failure)).await
    }

    /// Outcome and outbound message in one transaction; the message's id in the outbox. A job may have nothing to say.
    pub(crate) async fn record(&mut self, state: TurnState, text: &str) -> Result<Option<i64>, AgentError> {
        self.flush().await?;
        let silent = self.is_job() && state == TurnState::Done && says_nothing(text);
        let text = self.agent.settings.secrets.redact(text);
        // A task's result goes to the call that started it, and is part of what that turn says.
        let told = self.task.is_none() && !silent;
        let outbound = told.then(|| Outbound { text: text.clone() });
        let origin = self.foreign().await?;
        let reply = (state == TurnState::Done).then_some(text.as_str());
        let pieces = if told { pieces(&self.turn, &self.steps, reply, origin.as_deref()) } else { Vec::new() };
        let outbound = self.agent.store.finish_and_keep(self.turn.id, state, text, outbound, pieces).await?;
        self.agent.embed_in_background();
        Ok(outbound)
    }

    /// Nobody waits for a job's turn, and it begins anew each time: what its last runs said is for people to read.
    pub(crate) fn is_job(&self) -> bool {
        self.turn.channel == JOB_CHANNEL
    }

    /// Ends the turn with a reply, or with the sentence of a failure in its place.
    pub(crate) async fn finish(&mut self, text: String, failure: Option<Failure>) -> Result<Outcome, AgentError> {
        let state = if failure.is_none() { TurnState::Done } else { TurnState::Failed };
        let outbound = self.record(state, &text).await?;
        if failure.is_none() {
            self.summarise().await?;
        }
        let denied = self.steps.iter().any(|step| matches!(step, Step::Answered { allowed: false, .. }));
        // A refusal explains an odd end better than what the model made of it; a limit of the owner's does not follow from it.
        let code = match failure {
            Some(failure) if failure.is_limit() || !denied => Some(failure.code()),
            _ => denied.then_some("denied"),
        };
        let result = TurnResult {
            ok: code.is_none(),
            text,
            session: self.turn.session_name.clone(),
            turn: self.turn.id.to_string(),
            model: self.agent.engine.info().name.clone(),
            steps: thoughts(&self.steps).count(),
            usage: total_usage(&self.steps),
            timings: self.timings(),
            cache_miss: thoughts(&self.steps).find_map(|thought| thought.cache_miss.clone()),
            failure: code.map(str::to_owned),
            limit: failure.is_some_and(Failure::is_limit),
            replied: failure.is_none(),
            outbound,
        };
        Ok(Outcome::Finished(Box::new(result)))
    }

    fn timings(&self) -> TurnTimings {
        let (mut prefill_ms, mut decode_ms) = (0.0, 0.0);
        for thought in thoughts(&self.steps) {
            prefill_ms += thought.timings.prefill_ms;
            decode_ms += thought.timings.decode_ms;
        }
        let usage = total_usage(&self.steps);
        let rate = |tokens: u32, ms: f64| (ms > 0.0 && tokens > 0).then(|| f64::from(tokens) * 1_000.0 / ms);
        TurnTimings {
            load_ms: self.agent.engine.info().load_ms,
            restore_ms: thoughts(&self.steps).map(|thought| thought.timings.restore_ms).sum(),
            first_token_ms: thoughts(&self.steps).next().map_or(0.0, |thought| thought.timings.first_token_ms),
            prefill_tps: rate(usage.prefilled_tokens, prefill_ms),
            decode_tps: rate(usage.completion_tokens, decode_ms),
        }
    }
}
