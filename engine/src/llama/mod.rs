//! The `Llama` backend: llama.cpp inside the process, one batch after another for all generations.

mod bare;
mod cache;
mod calls;
mod disk;
mod draft;
mod embed;
mod gguf;
mod job;
mod load;
mod measure;
mod prompt;
mod reply;
mod safe;
mod sample;
mod text;
mod thinking;
mod transcripts;
mod workers;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::{Capabilities, ChatTemplate};

pub use self::disk::remove_transcript;
pub(crate) use self::embed::Embedder;
pub(crate) use self::load::llama_backend;
pub use self::load::physical_cores;
pub use self::workers::check_worker_address;
pub(crate) use self::workers::{ANY, ipv4, tell_memory};

use self::cache::{Cache, Decoded, Row};
use self::disk::Disk;
use self::job::{After, Job};
use self::load::{ModelFile, NewContext, fingerprint, load_model, new_context, outputs, sequences};
use self::prompt::Prompt;
use self::reply::Reply;
use self::safe::SpecialTexts;
use self::transcripts::Transcripts;
use crate::backend::{Backend, Heard, Interrupt, Next, Sink};
use crate::error::{RESERVED_REPLY, one_line};
use crate::measure::{Quality, QualityTest, Speed, SpeedTest};
use crate::thread::{Progress, Serve};
use crate::{BareTimes, EngineError, FinishReason, ForkPoint, LoadOptions, ModelInfo, Request, Sampling};

/// Generations at once; further ones wait in the mailbox.
const JOBS: usize = 32;
/// Tokens of a prompt that are decoded beside the next tokens of other replies: these come later for it.
const PREFILL_BESIDE: usize = 64;

/// A model and all generations on it.
struct Llama<'model> {
    model: &'model LlamaModel,
    info: ModelInfo,
    template: ChatTemplate,
    capabilities: Capabilities,
    /// What text must not be tokenized to.
    specials: SpecialTexts,
    transcripts: Transcripts<'model>,
    /// In the order in which they came.
    jobs: Vec<Job<'model>>,
    /// Which job comes first in the next batch, so that none always does.
    turn: usize,
    draft: bool,
    interrupt: Arc<Interrupt>,
    /// What templates take for the time. It stays the same: a template that writes the date into the system block would
    /// otherwise change the first tokens at midnight.
    now: i64,
}

/// What one job has in a batch.
#[derive(Debug)]
struct Part {
    job: usize,
    sequence: usize,
    /// Index of its first row.
    start: usize,
    /// Rows that go on with what the job wants decoded.
    rows: usize,
    /// Tokens that may follow.
    guesses: Vec<LlamaToken>,
}

/// Loads what `options` name and gives it to `serve`. Model and context live on this function's stack, because a context
/// borrows its model.
pub(crate) fn with_llama(
    options: &LoadOptions,
    interrupt: &Arc<Interrupt>,
    progress: Progress,
    serve: Serve<'_>,
) -> Result<(), EngineError> {
    let start = Instant::now();
    let file = ModelFile::open(&options.source)?;
    let backend = llama_backend()?;
    let model = load_model(backend, &file, options, progress)?;
    let template = ChatTemplate::new(Some(&model), None, "", "");
    let template = template.map_err(|error| EngineError::BadModel {
        path: file.name.clone(),
        reason: format!("its chat template cannot be used ({}); choose another GGUF", one_line(error)),
    })?;
    let NewContext { context, size, cache_types } = new_context(backend, &model, options, &interrupt.abort)?;
    let capabilities = template.capabilities();
    let hash = file.hash(&options.source)?;
    let info = ModelInfo {
        name: file.title(),
        hash: hash.clone(),
        architecture: file.header.architecture.clone().unwrap_or_default(),
        parameters: model.n_params(),
        weight_bytes: model.size(),
        context: size,
        trained_context: model.n_ctx_train(),
        cache_type_k: Some(cache_types.0),
        cache_type_v: Some(cache_types.1),
        tools: capabilities.tools,
        sampling: sample::resolve(&Sampling::default(), &sample::recommended(&model)),
        load_ms: milliseconds(start),
    };
    let kept = |folder: &PathBuf| Disk::new(folder.clone(), options.kv_disk_bytes, fingerprint(hash, options, cache_types));
    let disk = options.kv_folder.as_ref().map(kept);
    let cache = Cache::new(&model, context, outputs(options), Arc::clone(&interrupt.abort));
    let draft = options.draft && cache.is_cuttable();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|now| i64::try_from(now.as_secs()).ok());
    let specials = SpecialTexts::new(&model, template.source());
    serve(&mut Llama {
        model: &model,
        info,
        template,
        capabilities,
        specials,
        transcripts: Transcripts::new(cache, sequences(options), disk, model.vocab()),
        jobs: Vec::new(),
        turn: 0,
        draft,
        interrupt: Arc::clone(interrupt),
        now: now.unwrap_or_default(),
    });
    Ok(())
}

impl Backend for Llama<'_> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> Result<u32, EngineError> {
        Ok(count(self.model.vocab().tokenize(text.as_bytes(), false, false).len()))
    }

    fn has_room(&self) -> bool {
        self.jobs.len() < JOBS
    }

    fn is_waited_for(&self) -> bool {
        self.is_interactive()
    }

    fn begin(&mut self, request: Box<Request>, sink: Sink) {
        let prompt = match self.prompt(&request) {
            Ok(prompt) => prompt,
            Err(error) => return sink.finish(Err(error)),
        };
        let sampling = sample::resolve(&request.sampling, &self.info.sampling);
        match Reply::new(self.model, Rc::new(prompt.rendered), sampling) {
            Ok(reply) => self.jobs.push(Job::new(request, reply, prompt.tokens, self.draft, sink)),
            Err(error) => sink.finish(Err(error)),
        }
    }

    fn step(&mut self) -> Next {
        self.end_limited();
        self.place();
        if self.jobs.is_empty() {
            return self.transcripts.keep_idle().map_or(Next::Idle, Next::At);
        }
        let (parts, rows) = self.compose();
        match self.transcripts.decode(&rows) {
            Ok(Decoded::Done) => self.decoded(parts),
            Ok(Decoded::Aborted) => parts.iter().for_each(|part| self.transcripts.recover(part.sequence)),
            Ok(Decoded::NoRoom) => self.make_room(),
            Err(error) => self.fail(&parts, &error),
        }
        Next::Now
    }

    fn fork(&mut self, from: &str, to: &str, at: ForkPoint) -> Result<u32, EngineError> {
        self.transcripts.fork(from, to, at)
    }

    fn forget(&mut self, name: &str) {
        self.transcripts.forget(name);
    }

    fn hot(&self) -> Vec<(String, u32)> {
        self.transcripts.hot()
    }

    fn bare_loop(&mut self, request: &Request, tokens: u32) -> Result<BareTimes, EngineError> {
        self.measure_bare_loop(request, tokens)
    }

    fn speed(&mut self, test: &SpeedTest, heard: Heard<'_>) -> Result<Vec<Speed>, EngineError> {
        self.measure_speed(test, heard)
    }

    fn quality(&mut self, test: &QualityTest, heard: Heard<'_>) -> Result<Quality, EngineError> {
        self.measure_quality(test, heard)
    }

    fn close(&mut self) {
        self.transcripts.keep_all();
    }
}

impl<'model> Llama<'model> {
    /// The prompt of `request`, if it leaves room for a reply.
    fn prompt(&self, request: &Request) -> Result<Prompt, EngineError> {
        let prompt = prompt::render(&self.template, self.capabilities, (self.model, &self.specials), request, self.now)?;
        let (tokens, context) = (count(prompt.tokens.len()), self.info.context);
        if tokens == 0 {
            return Err(EngineError::Template("it makes nothing of these messages; choose another GGUF".into()));
        }
        match tokens.saturating_add(RESERVED_REPLY) > context {
            true => Err(EngineError::PromptTooLong { tokens, context }),
            false => Ok(prompt),
        }
    }

    /// Ends what nobody waits for and what is out of time.
    fn end_limited(&mut self) {
        for index in (0..self.jobs.len()).rev() {
            if let Some(reason) = self.jobs[index].sink.limit(self.jobs[index].request.deadline) {
                self.end(index, reason);
            }
        }
    }

    fn end(&mut self, index: usize, reason: FinishReason) {
        let job = self.remove(index);
        job.end(reason);
    }

    /// Whether somebody waits for one of the jobs that can run: the others pause then.
    fn is_interactive(&self) -> bool {
        self.jobs.iter().any(|job| job.is_interactive() && job.sequence.is_some())
    }

    /// Brings the transcripts of waiting jobs into the cache, the interactive ones first.
    fn place(&mut self) {
        for interactive in [true, false] {
            for index in 0..self.jobs.len() {
                let job = &self.jobs[index];
                // What had to make room comes back when another generation has ended.
                let crowded = job.parked && self.jobs.iter().any(|job| job.sequence.is_some());
                let waits = job.sequence.is_none() && !crowded && !self.transcripts.is_busy(&job.transcript);
                if !waits || job.is_interactive() != interactive {
                    continue;
                }
                // A background job that would pause at once stays where it is.
                if !interactive && self.is_interactive() {
                    return;
                }
                self.place_one(index);
            }
        }
    }

    fn place_one(&mut self, index: usize) {
        let job = &self.jobs[index];
        let placed = self.transcripts.place(&job.transcript, &job.target, &job.request.messages);
        let placed = match placed {
            None if job.is_interactive() && self.park() => {
                let job = &self.jobs[index];
                self.transcripts.place(&job.transcript, &job.target, &job.request.messages)
            }
            placed => placed,
        };
        let Some(placed) = placed else { return };
        let held = self.transcripts.held(placed.sequence).len();
        let boundaries = match self.transcripts.is_cuttable() {
            true => Vec::new(),
            false => checkpoints(self.transcripts.boundaries(&self.jobs[index].target).collect(), held),
        };
        let job = &mut self.jobs[index];
        job.placed(placed, held);
        job.boundaries = boundaries;
    }

    /// Puts the youngest background job's transcript on disk; it comes back when there is room. `false`: there is none.
    fn park(&mut self) -> bool {
        let found = self.jobs.iter().rposition(|job| !job.is_interactive() && job.sequence.is_some());
        found.into_iter().for_each(|index| self.park_job(index));
        found.is_some()
    }

    fn park_job(&mut self, index: usize) {
        if let Some(sequence) = self.jobs[index].sequence.take() {
            self.transcripts.spill(sequence);
            self.jobs[index].parked = true;
        }
    }

    /// The next batch: one token, and guesses behind it, for each reply; what is left of it for prompts.
    fn compose(&mut self) -> (Vec<Part>, Vec<Row>) {
        let interactive = self.is_interactive();
        self.interrupt.preemptable.store(!interactive && self.transcripts.is_cuttable(), Ordering::Relaxed);
        let count = self.jobs.len();
        self.turn = (self.turn + 1) % count.max(1);
        let order = (0..count).map(|index| (index + self.turn) % count);
        let running: Vec<usize> =
            order.filter(|index| self.jobs[*index].sequence.is_some() && self.jobs[*index].is_interactive() == interactive).collect();
        let deadline = running.iter().filter_map(|index| self.jobs[*index].request.deadline).min();
        self.interrupt.abort.set_deadline(deadline);
        let (mut parts, mut rows) = (Vec::new(), Vec::new());
        let size = self.transcripts.cache().batch_size();
        let alone = running.len() == 1;
        let (replies, mut prompts): (Vec<usize>, Vec<usize>) = running.into_iter().partition(|index| self.lacks(*index) == 1);
        for index in replies {
            let room = size.saturating_sub(rows.len());
            // Guesses of several replies would crowd each other out.
            let guesses = if alone { room.saturating_sub(1) } else { 0 };
            if room > 0 {
                self.add_part(index, 1, guesses, &mut parts, &mut rows);
            }
        }
        let mut room = if rows.is_empty() { size } else { PREFILL_BESIDE.min(size.saturating_sub(rows.len())) };
        // First come, first served, so that one prompt is done soon rather than all late.
        prompts.sort_unstable();
        for index in prompts {
            let before = rows.len();
            if room > 0 {
                self.add_part(index, room, 0, &mut parts, &mut rows);
            }
            room -= rows.len() - before;
        }
        (parts, rows)
    }

    /// Tokens that a job wants decoded.
    fn lacks(&self, index: usize) -> usize {
        let job = &self.jobs[index];
        job.sequence.map_or(0, |sequence| job.target.len() - self.transcripts.held(sequence).len())
    }

    /// Adds at most `most` rows of a job, up to its next checkpoint, and at most `guesses` more.
    fn add_part(&mut self, index: usize, most: usize, guesses: usize, parts: &mut Vec<Part>, rows: &mut Vec<Row>) {
        let context = self.info.context as usize;
        let job = &mut self.jobs[index];
        let Some(sequence) = job.sequence else { return };
        let held = self.transcripts.held(sequence).len();
        let mut end = job.target.len().min(held + most);
        if let Some(boundary) = job.boundaries.iter().find(|boundary| **boundary > held) {
            end = end.min(*boundary);
        }
        job.tell_prefill(held);
        let is_last = end == job.target.len();
        let room = guesses.min(context.saturating_sub(end + 1));
        let guesses = match &mut job.drafter {
            Some(drafter) if is_last && room > 0 && held > 0 => drafter.guess(&job.target, room),
            _ => Vec::new(),
        };
        let start = rows.len();
        let wanted = job.target[held..end].iter().chain(&guesses);
        rows.extend(wanted.enumerate().map(|(offset, token)| {
            let position = held + offset;
            Row { sequence, token: *token, position, logits: is_last && position + 1 >= end }
        }));
        parts.push(Part { job: index, sequence, start, rows: end - held, guesses });
    }

    /// What follows from a batch that was decoded.
    fn decoded(&mut self, parts: Vec<Part>) {
        let mut ended = Vec::new();
        for part in &parts {
            let job = &mut self.jobs[part.job];
            let held = self.transcripts.held(part.sequence).len() + part.rows;
            self.transcripts.extend(part.sequence, &job.target[held - part.rows..held]);
            job.prefilled(held);
            if job.boundaries.contains(&held) {
                self.transcripts.checkpoint(part.sequence);
            }
            if held == job.target.len() {
                match self.choose(part) {
                    Ok(None) => {}
                    Ok(Some(reason)) => ended.push((part.job, Ok(reason))),
                    Err(error) => ended.push((part.job, Err(error))),
                }
            }
        }
        ended.sort_by_key(|(index, _)| std::cmp::Reverse(*index));
        for (index, result) in ended {
            match result {
                Ok(reason) => self.end(index, reason),
                Err(error) => self.end_with(index, error),
            }
        }
    }

    /// The next tokens of a job; why it has ended, if it has.
    fn choose(&mut self, part: &Part) -> Result<Option<FinishReason>, EngineError> {
        let (transcripts, context) = (&self.transcripts, self.info.context as usize);
        let job = &mut self.jobs[part.job];
        let last = part.start + part.rows - 1;
        let (right, after) = job.choose(&part.guesses, context, |guess| transcripts.logits(last + guess))?;
        if let Some(drafter) = &mut job.drafter {
            drafter.learn(part.guesses.len(), right);
        }
        self.transcripts.extend(part.sequence, &part.guesses[..right]);
        if right < part.guesses.len() {
            self.transcripts.recover(part.sequence);
        }
        match after {
            After::GoesOn => Ok(None),
            After::Ended(reason) => Ok(Some(reason)),
            After::Retry => {
                let length = self.jobs[part.job].go_back()?;
                // The last token is decoded again for its logits.
                self.transcripts.back_to(part.sequence, length - 1);
                Ok(None)
            }
        }
    }

    /// The batch did not fit into the cache: something must go. What is idle goes first, then what can wait, then nothing is left to do.
    fn make_room(&mut self) {
        if self.transcripts.evict() {
            return;
        }
        let running: Vec<usize> = (0..self.jobs.len()).filter(|index| self.jobs[*index].sequence.is_some()).collect();
        match running[..] {
            [] => {}
            [only] if self.jobs[only].is_decoding() => self.end(only, FinishReason::ContextFull),
            [only] => self.end_with(only, EngineError::Decode("the context is full".into())),
            [.., last] => {
                let background = running.iter().rev().find(|index| !self.jobs[**index].is_interactive());
                self.park_job(background.copied().unwrap_or(last));
            }
        }
    }

    fn end_with(&mut self, index: usize, error: EngineError) {
        self.remove(index).sink.finish(Err(error));
    }

    fn remove(&mut self, index: usize) -> Job<'model> {
        let job = self.jobs.remove(index);
        if let Some(sequence) = job.sequence {
            self.transcripts.release(sequence);
        }
        self.jobs.iter_mut().for_each(|job| job.parked = false);
        job
    }

    /// A batch that failed: nothing is known of what its sequences hold.
    fn fail(&mut self, parts: &[Part], error: &EngineError) {
        let mut failed: Vec<usize> = parts.iter().map(|part| part.job).collect();
        failed.sort_unstable_by(|a, b| b.cmp(a));
        for index in failed {
            if let Some(sequence) = self.jobs[index].sequence.take() {
                self.transcripts.discard(sequence);
            }
            self.end_with(index, error.clone());
        }
    }
}

/// Which message boundaries of a prompt get a checkpoint: the first (behind the system block) and the last two, where they are
/// not `held` already.
fn checkpoints(mut boundaries: Vec<usize>, held: usize) -> Vec<usize> {
    if boundaries.len() > 3 {
        boundaries.drain(1..boundaries.len() - 2);
    }
    boundaries.retain(|boundary| *boundary > held);
    boundaries
}

fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
