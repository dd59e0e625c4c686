//! Step by step, without the model thread: what waits for what, what an abort leaves behind, and when the model is unloaded.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::support::encoder;
use crate::{EmbedRequest, ModelSource};

/// An embedder on its own, and what keeps it going.
struct Bench {
    embedder: Embedder,
    _engine: watch::Sender<()>,
    _folder: tempfile::TempDir,
}

/// A request, and who waits for it.
struct Asked {
    waiting: Option<Arc<()>>,
    answer: oneshot::Receiver<Result<Embeddings, EngineError>>,
}

impl Bench {
    fn new(idle: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("embed.gguf");
        encoder::bert(&encoder::TINY, 1).write(&path).unwrap();
        let options = EmbedderOptions { idle, ..EmbedderOptions::new(ModelSource::File(path)) };
        let (engine, watcher) = watch::channel(());
        Self { embedder: Embedder::new(Some(options), Arc::default(), watcher), _engine: engine, _folder: folder }
    }

    fn ask(&mut self, texts: usize, kind: EmbedKind) -> Asked {
        let (reply, answer) = oneshot::channel();
        let waiting = Arc::new(());
        let texts = (0..texts).map(|n| "crab ".repeat(n % 40)).collect();
        let request = EmbedRequest { texts, kind, cut: false };
        self.embedder.begin(Box::new(EmbedJob { request, waiting: Arc::downgrade(&waiting), reply }));
        Asked { waiting: Some(waiting), answer }
    }

    /// Steps until there is an answer.
    fn finish(&mut self, asked: &mut Asked) -> (Embeddings, Next) {
        for _ in 0..100 {
            let next = self.embedder.step(false);
            match asked.answer.try_recv() {
                Ok(answer) => return (answer.unwrap(), next),
                Err(TryRecvError::Empty) => assert_eq!(next, Next::Now),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("no answer after 100 steps");
    }
}

#[test]
fn it_is_loaded_once_and_unloaded_when_it_has_been_idle() {
    let mut bench = Bench::new(Duration::from_secs(3600));
    assert_eq!(bench.embedder.step(false), Next::Idle);
    let mut first = bench.ask(3, EmbedKind::Document);
    let (first, next) = bench.finish(&mut first);
    let until = bench.embedder.used + Duration::from_secs(3600);
    assert_eq!((next, bench.embedder.step(false), bench.embedder.loaded.is_some()), (Next::At(until), Next::At(until), true));
    let mut second = bench.ask(3, EmbedKind::Document);
    let (second, _) = bench.finish(&mut second);
    assert!(first.load_ms > 0.0 && second.load_ms == 0.0 && bench.embedder.used > until - Duration::from_secs(3600));
    // Its time comes.
    bench.embedder.options.as_mut().unwrap().idle = Duration::from_nanos(1);
    assert_eq!((bench.embedder.step(false), bench.embedder.loaded.is_some()), (Next::Idle, false));
    let mut third = bench.ask(3, EmbedKind::Document);
    let (third, _) = bench.finish(&mut third);
    assert!(third.load_ms > 0.0);
    assert_eq!(third.embeddings, first.embeddings);
}

#[test]
fn documents_wait_for_the_owner_and_queries_for_nobody() {
    let mut bench = Bench::new(Duration::ZERO);
    let mut document = bench.ask(3, EmbedKind::Document);
    for _ in 0..10 {
        assert_eq!((bench.embedder.step(true), bench.embedder.loaded.is_some()), (Next::Now, false));
    }
    let mut query = bench.ask(1, EmbedKind::Query);
    let steps = (0..10).take_while(|_| bench.embedder.step(true) == Next::Now && query.answer.try_recv().is_err()).count();
    // Loading, tokenizing, one batch.
    assert_eq!((steps, document.answer.try_recv().unwrap_err()), (2, TryRecvError::Empty));
    assert_eq!(bench.finish(&mut document).0.embeddings.len(), 3);
}

#[test]
fn an_aborted_batch_is_done_again_and_a_dropped_request_is_not() {
    let mut bench = Bench::new(Duration::from_secs(3600));
    let mut asked = bench.ask(60, EmbedKind::Document);
    let (expected, _) = bench.finish(&mut asked);
    let mut again = bench.ask(60, EmbedKind::Document);
    assert_eq!(bench.embedder.step(false), Next::Now);
    let before = bench.embedder.jobs[0].texts.iter().map(|text| text.index).collect::<Vec<_>>();
    bench.embedder.interrupt.abort.raise();
    assert_eq!(bench.embedder.step(false), Next::Now);
    assert_eq!(bench.embedder.jobs[0].texts.iter().map(|text| text.index).collect::<Vec<_>>(), before);
    bench.embedder.interrupt.abort.lower();
    assert_eq!(bench.finish(&mut again).0.embeddings, expected.embeddings);
    let mut dropped = bench.ask(60, EmbedKind::Document);
    assert_eq!(bench.embedder.step(false), Next::Now);
    dropped.waiting = None;
    assert!(matches!(bench.embedder.step(false), Next::At(_)));
    assert_eq!(dropped.answer.try_recv().unwrap_err(), TryRecvError::Closed);
}
