//! One generation: what it wants decoded, and what becomes of its logits.

use std::time::Instant;

use llama_sys::ParsedReply;
use llama_sys::llama_cpp_2::token::LlamaToken;

use super::draft::Drafter;
use super::reply::Reply;
use super::transcripts::Placed;
use super::{calls, count, milliseconds};
use crate::backend::Sink;
use crate::{Delta, EngineError, Finish, FinishReason, Message, Priority, Request, Role, Timings, ToolCall, Usage};

/// How often a reply with a tool call that cannot be used is begun anew before it is an error.
const TRIES: u32 = 3;

/// One generation.
pub(super) struct Job<'model> {
    pub(super) request: Box<Request>,
    pub(super) sink: Sink,
    pub(super) transcript: String,
    /// Tokens of the prompt.
    prompt: usize,
    /// What the transcript is to hold: the prompt, then the reply as far as it has come. Tokens that it lacks are decoded.
    pub(super) target: Vec<LlamaToken>,
    /// Where the prompt's messages end.
    pub(super) boundaries: Vec<usize>,
    reply: Reply<'model>,
    pub(super) drafter: Option<Drafter>,
    /// The sequence that its transcript is in, while it is.
    pub(super) sequence: Option<usize>,
    /// Whether it made room for others and waits until one of them has ended.
    pub(super) parked: bool,
    tries: u32,
    usage: Usage,
    timings: Timings,
    cache_miss: Option<String>,
    /// When its prefill began, and when its decoding.
    began: Option<Instant>,
    decoding: Option<Instant>,
}

/// What follows from a batch.
#[derive(Debug, PartialEq)]
pub(super) enum After {
    /// It goes on; the transcript is to hold so many of the tokens that were decoded.
    GoesOn,
    Ended(FinishReason),
    /// The reply must be begun anew from a place in `target`.
    Retry,
}

impl<'model> Job<'model> {
    /// A generation of `reply` to the prompt of these `tokens`.
    pub(super) fn new(request: Box<Request>, mut reply: Reply<'model>, tokens: Vec<LlamaToken>, draft: bool, sink: Sink) -> Self {
        reply.limit_reasoning(request.reasoning_tokens);
        Self {
            transcript: request.transcript.clone().unwrap_or_default(),
            request,
            sink,
            prompt: tokens.len(),
            target: tokens,
            boundaries: Vec::new(),
            reply,
            drafter: draft.then(Drafter::new),
            sequence: None,
            parked: false,
            tries: 0,
            usage: Usage::default(),
            timings: Timings::default(),
            cache_miss: None,
            began: None,
            decoding: None,
        }
    }

    pub(super) fn is_interactive(&self) -> bool {
        self.request.priority == Priority::Interactive
    }

    /// Whether its prompt is in the cache.
    pub(super) fn is_decoding(&self) -> bool {
        self.decoding.is_some()
    }

    /// Its transcript is in the cache and holds `held` tokens. What the first placing found is what the ledger tells.
    pub(super) fn placed(&mut self, placed: Placed, held: usize) {
        self.sequence = Some(placed.sequence);
        self.timings.restore_ms += placed.restore_ms;
        if self.began.is_none() {
            self.began = Some(Instant::now());
            self.usage.reused_tokens = count(held.min(self.prompt));
            self.usage.prompt_tokens = self.usage.reused_tokens;
            self.cache_miss = placed.miss;
        }
    }

    /// Tells how far the prefill has come.
    pub(super) fn tell_prefill(&mut self, held: usize) {
        if !self.is_decoding() {
            self.sink.send(Delta::Prefill { done: count(held.min(self.prompt)), total: count(self.prompt) });
        }
    }

    /// `held` tokens are in the transcript.
    pub(super) fn prefilled(&mut self, held: usize) {
        if self.is_decoding() {
            return;
        }
        let done = count(held.min(self.prompt)).max(self.usage.reused_tokens);
        self.usage.prompt_tokens = done;
        self.usage.prefilled_tokens = done - self.usage.reused_tokens;
        if held >= self.prompt {
            self.tell_prefill(held);
            self.timings.prefill_ms = self.began.map_or(0.0, milliseconds);
            self.decoding = Some(Instant::now());
        }
    }

    /// Chooses tokens from the logits of the last decoded token and of the `guesses` that were decoded behind it, as far as the
    /// guesses were right. Returns how many were, and what follows.
    pub(super) fn choose<'l>(
        &mut self,
        guesses: &[LlamaToken],
        context: usize,
        logits: impl Fn(usize) -> &'l [f32],
    ) -> Result<(usize, After), EngineError> {
        let most = self.request.max_tokens.unwrap_or(u32::MAX);
        let mut right = 0;
        loop {
            if count(self.reply.tokens().len()) >= most {
                return Ok((right, After::Ended(FinishReason::Length)));
            }
            if self.target.len() >= context {
                return Ok((right, After::Ended(FinishReason::ContextFull)));
            }
            let token = self.reply.sample(logits(right))?;
            if self.timings.first_token_ms == 0.0 {
                self.timings.first_token_ms = milliseconds(self.sink.asked());
            }
            let Some(token) = token else { return Ok((right, self.ended())) };
            self.target.push(token);
            self.reply.tell(&mut self.sink);
            match guesses.get(right) {
                Some(guess) if *guess == token => right += 1,
                _ => return Ok((right, After::GoesOn)),
            }
        }
    }

    /// The model has ended its turn.
    fn ended(&mut self) -> After {
        self.tries += 1;
        match self.checked() {
            Err(_) if self.tries < TRIES => After::Retry,
            _ => After::Ended(FinishReason::Stop),
        }
    }

    fn checked(&mut self) -> Result<(ParsedReply, Vec<ToolCall>), String> {
        let parsed = self.reply.parse_ended()?;
        let calls = calls::check_calls(&parsed.tool_calls, &self.request.tools, &self.request.messages)?;
        Ok((parsed, calls))
    }

    /// Takes the reply back to before its tool calls; the tokens that are left.
    pub(super) fn go_back(&mut self) -> Result<usize, EngineError> {
        self.reply.go_back(self.tries)?;
        self.target.truncate(self.prompt + self.reply.tokens().len());
        if let Some(drafter) = &mut self.drafter {
            drafter.cut(self.target.len());
        }
        Ok(self.target.len())
    }

    /// Ends the generation.
    pub(super) fn end(mut self, reason: FinishReason) {
        let finish = match reason {
            FinishReason::Stop => self.stop(),
            reason => {
                let parsed = self.reply.parse_cut();
                self.reply.tell_rest(&parsed, &mut self.sink);
                Ok(self.finish(reason, parsed, Vec::new()))
            }
        };
        self.sink.finish(finish);
    }

    fn stop(&mut self) -> Result<Finish, EngineError> {
        let (parsed, calls) = self.checked().map_err(|reason| EngineError::ToolCall { tries: self.tries, reason })?;
        self.reply.tell_rest(&parsed, &mut self.sink);
        let reason = if calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
        Ok(self.finish(reason, parsed, calls))
    }

    fn finish(&mut self, reason: FinishReason, parsed: ParsedReply, tool_calls: Vec<ToolCall>) -> Finish {
        let mut timings = self.timings;
        timings.decode_ms = self.decoding.map_or(0.0, milliseconds);
        if self.decoding.is_none() {
            timings.prefill_ms = self.began.map_or(0.0, milliseconds);
        }
        let usage = Usage { completion_tokens: count(self.reply.tokens().len()), ..self.usage };
        let reasoning = Some(parsed.reasoning).filter(|reasoning| !reasoning.is_empty());
        let tokens = self.reply.tokens().iter().map(|token| token.0.unsigned_abs()).collect();
        let message = Message { reasoning, tool_calls, tokens, ..Message::new(Role::Assistant, parsed.content) };
        Finish { reason, message, usage, timings, cache_miss: self.cache_miss.take() }
    }
}
