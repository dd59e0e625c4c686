//! What an embedder is needed for: `reindex`, and searching by meaning. Without one everything works by words.

use agent::embed_missing;
use anyhow::Result;
use channels::visible;
use engine::{EmbedKind, EmbedRequest, EngineError};
use indicatif::{ProgressBar, ProgressStyle};
use memory::{GIVEN, Store};

use crate::exit::Interrupted;
use crate::out;
use crate::parts::{Context, on_ctrl_c};

/// What is embedded to learn of an embedder what its vectors are.
const PROBE: &str = "memory";

/// Makes the vectors that are missing, of the configured embedder. Cut off, it goes on where it was; searching goes on meanwhile by what
/// is there. `all`: those that there are, too.
pub async fn reindex(context: &Context, store: &Store, all: bool) -> Result<()> {
    context.embedder(None).ok_or(EngineError::NoEmbedder)?;
    let interrupt = on_ctrl_c();
    let work = async {
        let engine = context.embedding_engine().await?.ok_or(EngineError::NoEmbedder)?;
        let probe = engine.embed(EmbedRequest { texts: vec![PROBE.to_owned()], kind: EmbedKind::Document, cut: true }).await?;
        if all {
            store.drop_vectors().await?;
        }
        if store.use_embedder(&probe.model, probe.dimensions as usize).await? {
            tell!("the vectors are made by {} from now on", visible(&probe.model));
        }
        let (done, all) = store.vector_counts().await?;
        // Nothing is drawn where nobody looks.
        let bar = bar(all).with_position(done);
        embed_missing(&engine, store, |count| bar.inc(count as u64)).await?;
        bar.finish_and_clear();
        anyhow::Ok(probe.model)
    };
    tokio::select! {
        model = work => say!("all notes have vectors of {}", visible(&model?)),
        () = interrupt.raised() => {
            tell!("what was done is kept; `paguro memory reindex` goes on with the rest");
            return Err(Interrupted.into());
        }
    }
    Ok(())
}

/// Makes the vectors that are missing where an embedder is configured: all of them, or the newest `most`. A failure costs nothing but them.
/// Ctrl-C leaves the rest for later.
pub async fn catch_up(context: &Context, store: &Store, most: Option<usize>) {
    if context.embedder(None).is_none() {
        return;
    }
    let Ok((done, all)) = store.vector_counts().await else { return };
    let missing = all.saturating_sub(done);
    if missing == 0 {
        return;
    }
    if most.is_some_and(|most| missing > most as u64) {
        tell!("paguro: {missing} notes have no vector yet and are found by their words only; `paguro memory reindex` makes them");
        return;
    }
    let interrupt = on_ctrl_c();
    let bar = bar(missing);
    let work = async {
        let engine = context.embedding_engine().await?.ok_or(EngineError::NoEmbedder)?;
        embed_missing(&engine, store, |count| bar.inc(count as u64)).await?;
        anyhow::Ok(())
    };
    tokio::select! {
        done = work => if let Err(error) = done {
            tell!("paguro: the notes have no vectors yet: {}", visible(&error.to_string()));
        },
        () = interrupt.raised() => tell!("paguro: the notes are kept; `paguro memory reindex` makes the vectors that are missing"),
    }
    bar.finish_and_clear();
}

fn bar(length: u64) -> ProgressBar {
    if !out::is_here() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} notes  {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The vector of a question, where there is an embedder and something to compare with. What is wrong with it is told, and words do.
pub async fn of_question(context: &Context, store: &Store, text: &str) -> Result<Option<Vec<f32>>> {
    if context.embedder(None).is_none() {
        return Ok(None);
    }
    let Some((model, dimension)) = store.embedder().await? else { return Ok(None) };
    let embed = async {
        let engine = context.embedding_engine().await?.ok_or(EngineError::NoEmbedder)?;
        let request = EmbedRequest { texts: vec![text.to_owned()], kind: EmbedKind::Query, cut: true };
        anyhow::Ok(engine.embed(request).await?)
    };
    match embed.await {
        Ok(made) if made.dimensions as usize == dimension && [made.model.as_str(), GIVEN].contains(&model.as_str()) => {
            Ok(made.embeddings.into_iter().next().map(|embedding| embedding.vector))
        }
        Ok(_) => {
            tell!("paguro: the notes' vectors are another embedder's, so only words count; `paguro memory reindex` makes new ones");
            Ok(None)
        }
        Err(error) => {
            tell!("paguro: only words count: {}", visible(&error.to_string()));
            Ok(None)
        }
    }
}
