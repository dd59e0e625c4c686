//! What a model can do, and where it sends what it generates.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use llama_sys::Abort;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::measure::{Quality, QualityTest, Speed, SpeedTest};
use crate::{BareTimes, Delta, EngineError, Finish, FinishReason, ForkPoint, ModelInfo, Request};

/// Hears how much of a measurement is done, 0 to 1; `Break` ends it.
pub(crate) type Heard<'a> = &'a mut dyn FnMut(f32) -> ControlFlow<()>;

/// What a model can do. Lives on the model thread; implementations need not be `Send`.
pub(crate) trait Backend {
    /// What is known of the model.
    fn info(&self) -> &ModelInfo;
    /// Tokens of `text` by the model's own tokenizer, no special tokens added.
    fn count_tokens(&self, text: &str) -> Result<u32, EngineError>;
    /// Whether [`Backend::begin`] may be called: the number of generations is bounded.
    fn has_room(&self) -> bool {
        true
    }
    /// Takes a request. Its generation goes on with each [`Backend::step`], which ends it through `sink`.
    fn begin(&mut self, request: Box<Request>, sink: Sink);
    /// Works for one batch at most on the generations there are. Looks at each [`Sink::limit`].
    fn step(&mut self) -> Next;
    /// Whether somebody waits for a generation that runs.
    fn is_waited_for(&self) -> bool {
        false
    }
    /// A transcript `to` that begins as `from` does; returns the tokens that the two share now.
    fn fork(&mut self, from: &str, to: &str, at: ForkPoint) -> Result<u32, EngineError> {
        let _ = (to, at);
        Err(EngineError::NoTranscript { name: from.into() })
    }
    /// Drops a transcript, from memory and disk.
    fn forget(&mut self, name: &str) {
        let _ = name;
    }
    /// The transcripts in memory, the last used first: name and tokens.
    fn hot(&self) -> Vec<(String, u32)> {
        Vec::new()
    }
    /// The bare loop over the prompt of `request` and then `tokens` tokens; what the cache held is lost.
    fn bare_loop(&mut self, request: &Request, tokens: u32) -> Result<BareTimes, EngineError> {
        let _ = (request, tokens);
        Err(EngineError::Measure("only a real model can be measured".into()))
    }
    /// How fast the model is; what the cache held is lost.
    fn speed(&mut self, test: &SpeedTest, heard: Heard<'_>) -> Result<Vec<Speed>, EngineError> {
        let _ = (test, heard);
        Err(EngineError::Measure("only a real model can be measured".into()))
    }
    /// How well the model foretells a text; what the cache held is lost.
    fn quality(&mut self, test: &QualityTest, heard: Heard<'_>) -> Result<Quality, EngineError> {
        let _ = (test, heard);
        Err(EngineError::Measure("only a real model can be measured".into()))
    }
    /// The last `Engine` is gone: keep what should outlive the process.
    fn close(&mut self) {}
}

/// When a backend wants its next [`Backend::step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// When a command has come.
    Idle,
    /// At once.
    Now,
    /// Then, or when a command has come.
    At(Instant),
}

impl Next {
    /// The sooner of the two.
    pub(crate) fn or_sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, _) | (_, Self::Now) => Self::Now,
            (Self::At(one), Self::At(other)) => Self::At(one.min(other)),
            (Self::Idle, next) | (next, Self::Idle) => next,
        }
    }
}

/// How others make the model thread look up from its work: a receiver that was dropped, a request of the owner's.
#[derive(Debug, Default)]
pub(crate) struct Interrupt {
    /// Ends a running `llama_decode`.
    pub(crate) abort: Arc<Abort>,
    /// Ends a wait.
    pub(crate) woken: Notify,
    /// Whether the batch that runs may be given up for a request of the owner's.
    pub(crate) preemptable: AtomicBool,
}

impl Interrupt {
    /// Somebody does not wait any more.
    pub(crate) fn raise(&self) {
        self.abort.raise();
        self.woken.notify_one();
    }

    /// The owner waits.
    pub(crate) fn preempt(&self) {
        if self.preemptable.load(Ordering::Relaxed) {
            self.abort.raise();
        }
    }
}

/// How a generation ends: the deltas that did not fit the channel, then the finish or an error.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) rest: Vec<Delta>,
    pub(crate) result: Result<Finish, EngineError>,
}

/// Where one generation goes. It never blocks the model on a slow receiver: what the bounded channel cannot take is
/// merged into as few deltas as possible, at most one reply long, and sent as soon as there is room.
#[derive(Debug)]
pub(crate) struct Sink {
    deltas: mpsc::Sender<Delta>,
    ending: oneshot::Sender<Ending>,
    rest: Vec<Delta>,
    /// Closed when the last `Engine` is dropped.
    engine: watch::Receiver<()>,
    asked: Instant,
}

impl Sink {
    /// A sink into `deltas` and `ending` that stops when the sending half of `engine` is dropped. `asked` is when the
    /// request was made.
    pub(crate) fn new(deltas: mpsc::Sender<Delta>, ending: oneshot::Sender<Ending>, engine: watch::Receiver<()>, asked: Instant) -> Self {
        Self { deltas, ending, rest: Vec::new(), engine, asked }
    }

    /// When the request was made, before it waited in the mailbox.
    pub(crate) fn asked(&self) -> Instant {
        self.asked
    }

    /// Sends `delta`, or keeps it until there is room.
    pub(crate) fn send(&mut self, delta: Delta) {
        push_merged(&mut self.rest, delta);
        let mut sent = 0;
        while let Some(delta) = self.rest.get(sent) {
            let Ok(permit) = self.deltas.try_reserve() else {
                break;
            };
            permit.send(delta.clone());
            sent += 1;
        }
        self.rest.drain(..sent);
    }

    /// Whether nobody waits for this generation any more: the receiver or the last `Engine` has been dropped.
    pub(crate) fn stopped(&self) -> bool {
        self.deltas.is_closed() || self.engine.has_changed().is_err()
    }

    /// Why the generation must end now, if it must.
    pub(crate) fn limit(&self, deadline: Option<Instant>) -> Option<FinishReason> {
        if self.stopped() {
            return Some(FinishReason::Cancelled);
        }
        let passed = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        passed.then_some(FinishReason::Deadline)
    }

    /// Ends the generation. A receiver that is gone misses nothing.
    pub(crate) fn finish(self, result: Result<Finish, EngineError>) {
        let _ = self.ending.send(Ending { rest: self.rest, result });
    }
}

/// Appends `delta` to `rest`, merged with the last one when both are of one kind.
fn push_merged(rest: &mut Vec<Delta>, delta: Delta) {
    match (rest.last_mut(), delta) {
        (Some(Delta::Text(last)), Delta::Text(more)) | (Some(Delta::Reasoning(last)), Delta::Reasoning(more)) => last.push_str(&more),
        (Some(last @ Delta::Prefill { .. }), more @ Delta::Prefill { .. }) => *last = more,
        (_, delta) => rest.push(delta),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Delta {
        Delta::Text(text.into())
    }

    #[test]
    fn a_slow_receiver_gets_merged_deltas_in_order() {
        let (deltas, mut receiver) = mpsc::channel(1);
        let (ending, end) = oneshot::channel();
        let (_engine, alive) = watch::channel(());
        let mut sink = Sink::new(deltas, ending, alive, Instant::now());
        sink.send(text("a"));
        sink.send(text("b"));
        sink.send(text("c"));
        assert_eq!(receiver.try_recv(), Ok(text("a")));
        sink.send(text("d"));
        sink.send(Delta::Prefill { done: 1, total: 9 });
        sink.send(Delta::Prefill { done: 2, total: 9 });
        assert_eq!(receiver.try_recv(), Ok(text("bcd")));
        sink.finish(Err(EngineError::Gone));
        let end = end.blocking_recv().unwrap();
        assert_eq!(end.rest, vec![Delta::Prefill { done: 2, total: 9 }]);
    }

    #[test]
    fn a_sink_stops_with_its_receiver_or_its_engine() {
        for drop_engine in [false, true] {
            let (deltas, receiver) = mpsc::channel(1);
            let (engine, alive) = watch::channel(());
            let sink = Sink::new(deltas, oneshot::channel().0, alive, Instant::now());
            assert_eq!(sink.limit(None), None);
            if drop_engine {
                drop(engine);
            } else {
                drop(receiver);
            }
            assert_eq!(sink.limit(None), Some(FinishReason::Cancelled));
        }
    }

    #[test]
    fn a_deadline_is_a_limit() {
        let (deltas, _receiver) = mpsc::channel(1);
        let (_engine, alive) = watch::channel(());
        let sink = Sink::new(deltas, oneshot::channel().0, alive, Instant::now());
        assert_eq!(sink.limit(Some(Instant::now() + std::time::Duration::from_secs(3600))), None);
        assert_eq!(sink.limit(Some(Instant::now())), Some(FinishReason::Deadline));
    }
}
