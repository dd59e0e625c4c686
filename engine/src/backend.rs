//! What a model can do, and where it sends what it generates.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{BareTimes, Delta, EngineError, Finish, ModelInfo, Request};

/// What a model can do. Lives on the model thread; implementations need not be `Send`.
///
/// One request at a time: continuous batching will replace `generate` by steps over sequences.
pub(crate) trait Backend {
    /// What is known of the model.
    fn info(&self) -> &ModelInfo;
    /// Tokens of `text` by the model's own tokenizer, no special tokens added.
    fn count_tokens(&self, text: &str) -> Result<u32, EngineError>;
    /// The bare loop over the prompt of `request` and then `tokens` tokens; the cache is empty afterwards.
    fn bare_loop(&mut self, request: &Request, tokens: u32) -> Result<BareTimes, EngineError> {
        let _ = (request, tokens);
        Err(EngineError::Decode("only a real model can be measured".into()))
    }
    /// Generates one reply into `sink`, which gets every delta but the finish.
    /// Asks [`Sink::stopped`] at least once a token and then ends with `FinishReason::Cancelled`.
    fn generate(&mut self, request: &Request, sink: &mut Sink<'_>) -> Result<Finish, EngineError>;
}

/// How a generation ends: the deltas that did not fit the channel, then the finish or an error.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) rest: Vec<Delta>,
    pub(crate) result: Result<Finish, EngineError>,
}

/// Where one generation goes. It never blocks the model on a slow receiver: what the bounded channel cannot take is
/// merged into as few deltas as possible, at most one reply long, and sent as soon as there is room.
pub(crate) struct Sink<'a> {
    deltas: mpsc::Sender<Delta>,
    ending: oneshot::Sender<Ending>,
    rest: Vec<Delta>,
    /// Closed when the last `Engine` is dropped.
    engine: watch::Receiver<()>,
    asked: Instant,
    runtime: &'a Runtime,
}

impl<'a> Sink<'a> {
    /// A sink into `deltas` and `ending` that stops when the sending half of `engine` is dropped. `asked` is when the
    /// request was made.
    pub(crate) fn new(
        deltas: mpsc::Sender<Delta>,
        ending: oneshot::Sender<Ending>,
        engine: watch::Receiver<()>,
        asked: Instant,
        runtime: &'a Runtime,
    ) -> Self {
        Self { deltas, ending, rest: Vec::new(), engine, asked, runtime }
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

    /// Waits for `time`, but not past `deadline` and not when nobody waits any more.
    pub(crate) fn pause(&self, time: Duration, deadline: Option<Instant>) {
        let end = Instant::now() + time;
        let end = deadline.map_or(end, |deadline| end.min(deadline));
        self.runtime.block_on(until(&self.deltas, self.engine.clone(), Some(end)));
    }

    /// Does `work` while a thread beside it raises `flag` as soon as nobody waits any more or `deadline` passes, so that
    /// even one long batch can be stopped. `flag` is down again afterwards.
    pub(crate) fn watched<T>(&mut self, flag: &AtomicBool, deadline: Option<Instant>, work: impl FnOnce(&mut Self) -> T) -> T {
        let (deltas, engine, runtime) = (self.deltas.clone(), self.engine.clone(), self.runtime);
        let (done, is_done) = oneshot::channel::<()>();
        let result = std::thread::scope(|scope| {
            let watch = move || {
                let stopped = runtime.block_on(async {
                    tokio::select! {
                        () = until(&deltas, engine, deadline) => true,
                        _ = is_done => false,
                    }
                });
                flag.store(stopped, Ordering::Relaxed);
            };
            // Without the thread a batch runs to its end before the generation stops: slower, not wrong.
            let _ = std::thread::Builder::new().name("model-watch".into()).spawn_scoped(scope, watch);
            // Dropped before the scope joins, also when `work` panics.
            let _done = done;
            work(self)
        });
        flag.store(false, Ordering::Relaxed);
        result
    }

    /// Ends the generation. A receiver that is gone misses nothing.
    pub(crate) fn finish(self, result: Result<Finish, EngineError>) {
        let _ = self.ending.send(Ending { rest: self.rest, result });
    }
}

/// Resolves when the receiver or the last `Engine` is dropped, or at `end`.
async fn until(deltas: &mpsc::Sender<Delta>, mut engine: watch::Receiver<()>, end: Option<Instant>) {
    let passed = async {
        match end {
            Some(end) => tokio::time::sleep_until(end.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = passed => {}
        () = deltas.closed() => {}
        _ = engine.changed() => {}
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
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (deltas, mut receiver) = mpsc::channel(1);
        let (ending, end) = oneshot::channel();
        let (_engine, alive) = watch::channel(());
        let mut sink = Sink::new(deltas, ending, alive, Instant::now(), &runtime);
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for drop_engine in [false, true] {
            let (deltas, receiver) = mpsc::channel(1);
            let (engine, alive) = watch::channel(());
            let mut sink = Sink::new(deltas, oneshot::channel().0, alive, Instant::now(), &runtime);
            assert!(!sink.stopped());
            let before = Instant::now();
            let flag = AtomicBool::new(false);
            sink.watched(&flag, None, |sink| {
                assert!(!flag.load(Ordering::Relaxed));
                if drop_engine {
                    drop(engine);
                } else {
                    drop(receiver);
                }
                assert!(sink.stopped());
                while !flag.load(Ordering::Relaxed) {
                    assert!(before.elapsed() < Duration::from_secs(5));
                }
            });
            assert!(!flag.load(Ordering::Relaxed));
            sink.pause(Duration::from_secs(60), None);
            assert!(before.elapsed() < Duration::from_secs(10));
        }
    }

    #[test]
    fn a_deadline_raises_the_flag() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (deltas, _receiver) = mpsc::channel(1);
        let (_engine, alive) = watch::channel(());
        let mut sink = Sink::new(deltas, oneshot::channel().0, alive, Instant::now(), &runtime);
        let flag = AtomicBool::new(false);
        let deadline = Instant::now() + Duration::from_millis(5);
        sink.watched(&flag, Some(deadline), |_| {
            while !flag.load(Ordering::Relaxed) {
                assert!(deadline.elapsed() < Duration::from_secs(5));
            }
        });
        assert!(Instant::now() >= deadline);
    }
}
