//! The `Llama` backend: llama.cpp inside the process.
//!
//! Deliberately not here: more than one sequence, transcripts, spilling to disk. They come with continuous batching.

mod bare;
mod calls;
mod gguf;
mod load;
mod prompt;
mod reply;
mod safe;
mod sample;
mod sequence;
mod text;
mod thinking;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::{Capabilities, ChatTemplate, ParsedReply};

use self::load::{ModelFile, NewContext, llama_backend, load_model, new_context};
use self::prompt::Prompt;
use self::reply::Reply;
use self::safe::SpecialTexts;
use self::sequence::{Appended, Sequence};
use crate::backend::{Backend, Sink};
use crate::error::{RESERVED_REPLY, one_line};
use crate::thread::{Progress, Serve};
use crate::{
    BareTimes, Delta, EngineError, Finish, FinishReason, LoadOptions, Message, ModelInfo, Request, Role, Sampling, Timings, ToolCall, Usage,
};

/// How often a reply with a tool call that cannot be used is begun anew before it is an error.
const TRIES: u32 = 3;

/// A model with one sequence.
struct Llama<'model> {
    model: &'model LlamaModel,
    info: ModelInfo,
    template: ChatTemplate,
    capabilities: Capabilities,
    /// What text must not be tokenized to.
    specials: SpecialTexts,
    sequence: Sequence<'model>,
    /// Ends a running `llama_decode`.
    abort: Arc<AtomicBool>,
    /// What templates take for the time. It stays the same: a template that writes the date into the system block would
    /// otherwise change the first tokens at midnight.
    now: i64,
    /// The messages of the request that the sequence comes from.
    previous: Vec<Message>,
}

/// Loads what `options` name and gives it to `serve`. Model and context live on this function's stack, because a context
/// borrows its model.
pub(crate) fn with_llama(options: &LoadOptions, progress: Progress, serve: Serve<'_>) -> Result<(), EngineError> {
    let start = Instant::now();
    let file = ModelFile::open(&options.source)?;
    let backend = llama_backend()?;
    let model = load_model(backend, &file, options, progress)?;
    let template = ChatTemplate::new(Some(&model), None, "", "");
    let template = template.map_err(|error| EngineError::BadModel {
        path: file.name.clone(),
        reason: format!("its chat template cannot be used ({}); choose another GGUF", one_line(error)),
    })?;
    let abort = Arc::new(AtomicBool::new(false));
    let NewContext { context, size, cache_types } = new_context(backend, &model, options, &abort)?;
    let capabilities = template.capabilities();
    let info = ModelInfo {
        name: file.title(),
        architecture: file.header.architecture.clone().unwrap_or_default(),
        parameters: model.n_params(),
        weight_bytes: model.size(),
        context: size,
        trained_context: model.n_ctx_train(),
        cache_type_k: Some(cache_types.0),
        cache_type_v: Some(cache_types.1),
        tools: capabilities.tools,
        sampling: sample::resolve(&Sampling::default(), &recommended(&model)),
        load_ms: milliseconds(start),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|now| i64::try_from(now.as_secs()).ok());
    let specials = SpecialTexts::new(&model, template.source());
    let sequence = Sequence::new(context);
    let now = now.unwrap_or_default();
    serve(&mut Llama { model: &model, info, template, capabilities, specials, sequence, abort, now, previous: Vec::new() });
    Ok(())
}

/// What the GGUF recommends (`general.sampling.*`).
fn recommended(model: &LlamaModel) -> Sampling {
    let value = |key: &str| {
        model.meta_val_str(&format!("general.sampling.{key}")).ok()?.trim().parse::<f32>().ok().filter(|value| value.is_finite())
    };
    Sampling {
        temperature: value("temp"),
        top_p: value("top_p"),
        // A saturating cast: a recommendation beyond `i32` means "all".
        #[allow(clippy::cast_possible_truncation, reason = "saturates")]
        top_k: value("top_k").map(|k| k as i32),
        min_p: value("min_p"),
        repeat_penalty: value("penalty_repeat"),
        seed: None,
    }
}

impl Backend for Llama<'_> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> Result<u32, EngineError> {
        Ok(count(self.model.vocab().tokenize(text.as_bytes(), false, false).len()))
    }

    fn bare_loop(&mut self, request: &Request, tokens: u32) -> Result<BareTimes, EngineError> {
        let prompt = self.prompt(request)?;
        let (total, context) = (count(prompt.tokens.len()).saturating_add(tokens), self.info.context);
        if total > context {
            return Err(EngineError::PromptTooLong { tokens: total, context });
        }
        let times = bare::bare_loop(&mut self.sequence, &prompt.tokens, tokens as usize);
        self.sequence.clear();
        times
    }

    fn generate(&mut self, request: &Request, sink: &mut Sink<'_>) -> Result<Finish, EngineError> {
        let abort = Arc::clone(&self.abort);
        sink.watched(&abort, request.deadline, |sink| self.reply(request, sink))
    }
}

/// What a generation has measured so far.
#[derive(Default)]
struct Measured {
    usage: Usage,
    timings: Timings,
    cache_miss: Option<String>,
}

impl Llama<'_> {
    /// The prompt of `request`, if it leaves room for a reply.
    fn prompt(&self, request: &Request) -> Result<Prompt, EngineError> {
        let prompt = prompt::render(&self.template, self.capabilities, (self.model, &self.specials), request, self.now)?;
        let (tokens, context) = (count(prompt.tokens.len()), self.info.context);
        match tokens.saturating_add(RESERVED_REPLY) > context {
            true => Err(EngineError::PromptTooLong { tokens, context }),
            false => Ok(prompt),
        }
    }

    fn reply(&mut self, request: &Request, sink: &mut Sink<'_>) -> Result<Finish, EngineError> {
        let prompt = self.prompt(request)?;
        let mut measured = Measured { cache_miss: self.keep_common(&prompt.tokens, request), ..Measured::default() };
        let model = self.model;
        let mut reply = Reply::new(model, &prompt.rendered, sample::resolve(&request.sampling, &self.info.sampling))?;
        reply.limit_reasoning(request.reasoning_tokens);
        if let Some(reason) = self.prefill(&prompt.tokens, request, sink, &mut measured)? {
            return Ok(finish(reason, Message::new(Role::Assistant, ""), measured));
        }
        let start = Instant::now();
        let (reason, message) = self.decode(&prompt, &mut reply, request, sink, &mut measured)?;
        measured.timings.decode_ms = milliseconds(start);
        measured.usage.completion_tokens = count(reply.tokens().len());
        Ok(finish(reason, message, measured))
    }

    /// Makes the sequence a beginning of `prompt`, as long as can be, and says why it is not all that was there.
    fn keep_common(&mut self, prompt: &[LlamaToken], request: &Request) -> Option<String> {
        let held = self.sequence.held();
        let common = prompt::common_prefix(held, prompt);
        let mut miss = prompt::cache_miss(&self.model.vocab(), (&self.previous, held), (&request.messages, prompt));
        // The last token is decoded even if it is there: its logits are not.
        let wanted = common.min(prompt.len().saturating_sub(1));
        let kept = self.sequence.truncate(wanted);
        if kept < wanted {
            let words = "this model cannot drop a tail, so all is read again";
            miss = Some(miss.map_or_else(|| words.into(), |miss| format!("{miss}; {words}")));
        }
        self.previous.clone_from(&request.messages);
        miss
    }

    /// Decodes what the sequence lacks of `prompt`; `Some` if it had to stop.
    fn prefill(
        &mut self,
        prompt: &[LlamaToken],
        request: &Request,
        sink: &mut Sink<'_>,
        measured: &mut Measured,
    ) -> Result<Option<FinishReason>, EngineError> {
        let start = Instant::now();
        let (reused, total) = (count(self.sequence.held().len()), count(prompt.len()));
        let mut stopped = None;
        while stopped.is_none() && self.sequence.held().len() < prompt.len() {
            sink.send(Delta::Prefill { done: count(self.sequence.held().len()), total });
            stopped = match limit(request, sink) {
                None => self.append_from(prompt, sink)?,
                reached => reached,
            };
        }
        let done = count(self.sequence.held().len());
        if stopped.is_none() {
            sink.send(Delta::Prefill { done, total });
        }
        let prefilled = done.saturating_sub(reused);
        measured.usage =
            Usage { prompt_tokens: reused + prefilled, reused_tokens: reused, prefilled_tokens: prefilled, completion_tokens: 0 };
        measured.timings.prefill_ms = milliseconds(start);
        Ok(stopped)
    }

    /// Decodes the next batch of `tokens` that the sequence lacks.
    fn append_from(&mut self, tokens: &[LlamaToken], sink: &Sink<'_>) -> Result<Option<FinishReason>, EngineError> {
        let held = self.sequence.held().len();
        let end = tokens.len().min(held + self.sequence.batch_size());
        match self.sequence.append(&tokens[held..end])? {
            Appended::Done => Ok(None),
            Appended::Aborted if sink.stopped() => Ok(Some(FinishReason::Cancelled)),
            Appended::Aborted => Ok(Some(FinishReason::Deadline)),
        }
    }

    /// Generates until the reply ends, again from before its tool calls if these cannot be used.
    fn decode(
        &mut self,
        prompt: &Prompt,
        reply: &mut Reply<'_>,
        request: &Request,
        sink: &mut Sink<'_>,
        measured: &mut Measured,
    ) -> Result<(FinishReason, Message), EngineError> {
        let mut tries = 0;
        loop {
            let reason = self.decode_once(reply, request, sink, measured)?;
            if reason != FinishReason::Stop {
                let parsed = reply.parse_cut();
                reply.tell_rest(&parsed, sink);
                return Ok((reason, message(parsed, Vec::new())));
            }
            let checked = reply.parse_ended().and_then(|parsed| {
                let calls = calls::check_calls(&parsed.tool_calls, &request.tools, &request.messages)?;
                Ok((parsed, calls))
            });
            tries += 1;
            match checked {
                Ok((parsed, calls)) => {
                    reply.tell_rest(&parsed, sink);
                    let reason = if calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
                    return Ok((reason, message(parsed, calls)));
                }
                Err(reason) if tries >= TRIES => return Err(EngineError::ToolCall { tries, reason }),
                Err(_) => self.go_back(&prompt.tokens, reply, sink, tries)?,
            }
        }
    }

    /// Generates until the model, a limit or nobody's interest ends it.
    fn decode_once(
        &mut self,
        reply: &mut Reply<'_>,
        request: &Request,
        sink: &mut Sink<'_>,
        measured: &mut Measured,
    ) -> Result<FinishReason, EngineError> {
        let most = request.max_tokens.unwrap_or(u32::MAX);
        let context = self.info.context as usize;
        loop {
            if let Some(reason) = limit(request, sink) {
                return Ok(reason);
            }
            if count(reply.tokens().len()) >= most {
                return Ok(FinishReason::Length);
            }
            if self.sequence.held().len() >= context {
                return Ok(FinishReason::ContextFull);
            }
            let token = reply.sample(self.sequence.logits())?;
            if measured.timings.first_token_ms == 0.0 {
                measured.timings.first_token_ms = milliseconds(sink.asked());
            }
            let Some(token) = token else { return Ok(FinishReason::Stop) };
            reply.tell(sink);
            if self.sequence.append(&[token])? == Appended::Aborted {
                return Ok(if sink.stopped() { FinishReason::Cancelled } else { FinishReason::Deadline });
            }
        }
    }

    /// Takes the reply, and the sequence with it, back to before its tool calls.
    fn go_back(&mut self, prompt: &[LlamaToken], reply: &mut Reply<'_>, sink: &Sink<'_>, tries: u32) -> Result<(), EngineError> {
        reply.go_back(tries)?;
        let tokens = [prompt, reply.tokens()].concat();
        // The last token is decoded again for its logits.
        self.sequence.truncate(tokens.len() - 1);
        while self.sequence.held().len() < tokens.len() {
            // When nobody waits any more, the caller's next look at the limits ends it.
            if self.append_from(&tokens, sink)?.is_some() {
                break;
            }
        }
        Ok(())
    }
}

/// The limit that has been reached, if any.
fn limit(request: &Request, sink: &Sink<'_>) -> Option<FinishReason> {
    if sink.stopped() {
        return Some(FinishReason::Cancelled);
    }
    let passed = request.deadline.is_some_and(|deadline| Instant::now() >= deadline);
    passed.then_some(FinishReason::Deadline)
}

fn message(parsed: ParsedReply, tool_calls: Vec<ToolCall>) -> Message {
    let reasoning = Some(parsed.reasoning).filter(|reasoning| !reasoning.is_empty());
    Message { reasoning, tool_calls, ..Message::new(Role::Assistant, parsed.content) }
}

fn finish(reason: FinishReason, message: Message, measured: Measured) -> Finish {
    Finish { reason, message, usage: measured.usage, timings: measured.timings, cache_miss: measured.cache_miss }
}

fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
