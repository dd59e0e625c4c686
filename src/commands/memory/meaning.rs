//! What an embedder is needed for: `reindex`, and searching by meaning. Without one everything works by words.

use agent::embed_missing;
use anyhow::Result;
use channels::visible;
use engine::{EmbedKind, EmbedRequest, Engine, EngineError};
use indicatif::{ProgressBar, ProgressStyle};
use memory::Store;

use crate::exit::Interrupted;
use crate::parts::{Context, on_ctrl_c};

/// What is embedded to learn of an embedder what its vectors are.
const PROBE: &str = "memory";

/// Makes the vectors that are missing, of the configured embedder. Cut off, it goes on where it was; searching goes on meanwhile by what
/// is there. `all`: those that there are, too.
pub async fn reindex(context: &Context, store: &Store, all: bool) -> Result<()> {
    let options = context.embedder(None).ok_or(EngineError::NoEmbedder)?;
    let interrupt = on_ctrl_c();
    let work = async {
        let engine = Engine::embedding_only(options).await?;
        let probe = engine.embed(EmbedRequest { texts: vec![PROBE.to_owned()], kind: EmbedKind::Document, cut: true }).await?;
        if all {
            store.drop_vectors().await?;
        }
        if store.use_embedder(&probe.model, probe.dimensions as usize).await? {
            tell!("the vectors are made by {} from now on", visible(&probe.model));
        }
        let (done, all) = store.vector_counts().await?;
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} notes  {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar());
        // Nothing is drawn where nobody looks.
        let bar = ProgressBar::new(all).with_style(style).with_position(done);
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

/// The vector of a question, where there is an embedder and something to compare with. What is wrong with it is told, and words do.
pub async fn of_question(context: &Context, store: &Store, text: &str) -> Result<Option<Vec<f32>>> {
    let Some(options) = context.embedder(None) else { return Ok(None) };
    let Some((model, _)) = store.embedder().await? else { return Ok(None) };
    let embed = async {
        let engine = Engine::embedding_only(options).await?;
        engine.embed(EmbedRequest { texts: vec![text.to_owned()], kind: EmbedKind::Query, cut: true }).await
    };
    match embed.await {
        Ok(made) if made.model == model => Ok(made.embeddings.into_iter().next().map(|embedding| embedding.vector)),
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
