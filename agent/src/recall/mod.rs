//! What comes back to mind: a turn is kept in pieces as it ends, a message finds what fits it, and what has no vector yet gets one.
//!
//! Deliberately not here: how notes are found and ranked; that is the memory's.

mod facts;
pub(crate) mod summary;

use std::collections::HashSet;
use std::time::Instant;

pub use self::summary::FULL_PERCENT;

use engine::{EmbedKind, EmbedRequest, Embeddings, Engine, EngineError};
use memory::{Found, GIVEN, Note, NoteKind, Search, Store, StoreError, TurnRow};

use crate::agent::{Agent, AgentError};
use crate::context::{one_line, without_tail};
use crate::run::{Past, Run};
use crate::speaker::is_shared;
use crate::step::Step;

/// Pieces of a turn that are found again; what comes after them is in the journal only.
const PIECES: usize = 32;

/// Notes that are looked at for a message; what stands in the context already and what is too long is left out of them.
const CANDIDATES: usize = 30;

/// Share of the context, in percent, that recalled notes may take at most.
const RECALL_PERCENT: u32 = 5;

/// Texts embedded at once in the background; a question waits for one such batch at most.
const BATCH: usize = 16;

/// What is embedded where there is nothing else to be.
const PROBE: &str = "memory";

/// Stands in the place of a session's number for the work of giving vectors.
const EMBEDDING: i64 = 0;

/// From which share of the message's words, and from how many standard deviations of meaning, a note is put before the model. A piece
/// of a conversation must fit better than what somebody found worth noting.
const NOTE_FITS: (f64, f64) = (0.2, 2.5);
const PIECE_FITS: (f64, f64) = (0.5, 3.5);

/// Whether a note has to do with the message: a search puts forward the nearest, however far.
fn fits(note: &Found) -> bool {
    let (share, above) = if note.kind == NoteKind::Turn { PIECE_FITS } else { NOTE_FITS };
    note.share >= share || note.above.is_some_and(|deviations| deviations >= above)
}

/// What was found for a message.
pub(crate) struct Recalled {
    pub(crate) notes: Vec<Found>,
    /// Milliseconds that it took, the embedding of the message included.
    pub(crate) ms: f64,
}

impl Run<'_> {
    /// Notes that fit the message, best first. A task is told all that it needs, and where others read along nothing is given away.
    pub(crate) async fn recall(&self) -> Result<Recalled, AgentError> {
        if self.task.is_some() || is_shared(&self.turn) {
            return Ok(Recalled { notes: Vec::new(), ms: 0.0 });
        }
        let started = Instant::now();
        let Agent { engine, store, .. } = self.agent;
        let search = Search { session: Some(self.turn.session), ..Search::words(&self.turn.text, CANDIDATES) };
        let notes = look_up(Some(engine), store, search).await?;
        Ok(Recalled { notes, ms: started.elapsed().as_secs_f64() * 1_000.0 })
    }

    /// Tokens that notes may take at the tail of a message.
    pub(crate) fn recall_room(&self) -> u32 {
        self.agent.settings.limits.recall_tokens.min(self.agent.engine.info().context * RECALL_PERCENT / 100)
    }

    /// Those of `notes` that are not in the context of a turn whose history is `window`, within the owner's numbers.
    pub(crate) async fn fitting(&self, notes: Vec<Found>, window: &[&Past]) -> Result<Vec<Found>, AgentError> {
        let turns: HashSet<i64> = window.iter().map(|(row, _)| row.id).collect();
        let given: HashSet<&str> = window.iter().flat_map(|(_, steps)| notes_of(steps)).map(String::as_str).collect();
        // A job begins anew each time: what its last runs said is for people to read.
        let limits = &self.agent.settings.limits;
        let no_pieces = self.is_job() || !limits.recall_turns;
        let is_there =
            |note: &Found| note.kind == NoteKind::Turn && (no_pieces || note.source_turn.is_some_and(|turn| turns.contains(&turn)));
        let mut fresh: Vec<Found> =
            notes.into_iter().filter(|note| fits(note) && !given.contains(note.id.as_str()) && !is_there(note)).collect();
        // What was noted in a turn says shorter what was said there.
        let noted: HashSet<i64> = fresh.iter().filter(|note| note.kind != NoteKind::Turn).filter_map(|note| note.source_turn).collect();
        fresh.retain(|note| note.kind != NoteKind::Turn || note.source_turn.is_none_or(|turn| !noted.contains(&turn)));
        fresh.truncate(limits.recall_notes);
        let counts = self.agent.engine.count_tokens(fresh.iter().map(tail_line).collect()).await?;
        let most = self.recall_room();
        let mut sum = 0;
        let mut counts = counts.into_iter();
        fresh.retain(|_| {
            let count = counts.next().unwrap_or(u32::MAX);
            let fits = count <= most.saturating_sub(sum);
            sum += if fits { count } else { 0 };
            fits
        });
        Ok(fresh)
    }
}

/// What the model reads of a note at the tail of a message.
pub(crate) fn tail_line(note: &Found) -> String {
    let text = one_line(&note.text);
    match note.kind {
        NoteKind::Turn => format!("said on {}: {text}", note.at.get(..10).unwrap_or(&note.at)),
        NoteKind::Note | NoteKind::Fact => text,
    }
}

fn notes_of(steps: &[Step]) -> &[String] {
    match steps.first() {
        Some(Step::Began { notes, .. }) => notes,
        _ => &[],
    }
}

/// A turn as it will be looked for: what was said, what was said while it ran, and what was replied, in pieces. `origin`: where strangers'
/// text came from that the model had read.
pub(crate) fn pieces(turn: &TurnRow, steps: &[Step], reply: Option<&str>, origin: Option<&str>) -> Vec<Note> {
    let mut whole = format!("owner: {}", turn.text.trim());
    for step in steps {
        if let Step::Steered { content, .. } = step {
            whole.push_str("\nowner: ");
            whole.push_str(without_tail(content));
        }
    }
    if let Some(reply) = reply {
        whole.push_str("\nreply: ");
        whole.push_str(reply.trim());
    }
    let note = |text: &str| Note {
        kind: NoteKind::Turn,
        text: text.to_owned(),
        at: Some(turn.at.clone()),
        source_turn: Some(turn.id),
        session: Some(turn.session),
        origin: origin.map(str::to_owned),
        ..Note::default()
    };
    memory::pieces(&whole).into_iter().take(PIECES).map(note).collect()
}

/// Searches by words, and by meaning too if the engine has an embedder that works.
///
/// # Errors
/// The store's, and the engine's if its thread is gone.
pub async fn look_up(engine: Option<&Engine>, store: &Store, search: Search) -> Result<Vec<Found>, AgentError> {
    let Some(engine) = engine else { return Ok(store.search(search).await?) };
    let request = EmbedRequest { texts: vec![search.text.clone()], kind: EmbedKind::Query, cut: true };
    let vector = match engine.embed(request).await {
        // Vectors of another embedder cannot be compared with this one's: new ones are made in the background.
        Ok(mut embedded) if is_of(store, &embedded).await? => embedded.embeddings.pop().map(|embedding| embedding.vector),
        Ok(_) => None,
        Err(EngineError::Gone) => return Err(EngineError::Gone.into()),
        Err(_) => None,
    };
    // A text without tokens has no direction.
    let vector = vector.filter(|vector| vector.iter().all(|number| number.is_finite()) && vector.iter().any(|number| *number != 0.0));
    Ok(store.search(Search { vector, ..search }).await?)
}

/// Whether the notes' vectors are of the embedder that made these, or can be taken for it.
async fn is_of(store: &Store, made: &Embeddings) -> Result<bool, StoreError> {
    let known = store.embedder().await?;
    Ok(known.is_some_and(|(name, dimension)| dimension == made.dimensions as usize && (name == made.model || name == GIVEN)))
}

impl Agent {
    /// Has vectors made for what has none yet, beside the turns that come.
    pub fn embed_in_background(&self) {
        if !self.engine.has_embedder() {
            return;
        }
        let (engine, store) = (self.engine.clone(), self.store.clone());
        self.in_background(EMBEDDING, async move { embed_missing(&engine, &store, |_| {}).await.ok() });
    }
}

/// Makes vectors for the notes that have none of the engine's embedder, the newest first, and keeps them batch by batch: cut off, it goes
/// on from there. `progress` gets how many more have one. Another embedder's vectors are dropped first.
///
/// # Errors
/// The engine's ([`EngineError::NoEmbedder`] among them) and the store's.
pub async fn embed_missing(engine: &Engine, store: &Store, mut progress: impl FnMut(usize)) -> Result<(), AgentError> {
    loop {
        let notes = store.without_vector(BATCH).await?;
        let (count, done) = (notes.len(), notes.is_empty());
        // Of an embedder one knows what it is when it has embedded something.
        let texts = if done { vec![PROBE.to_owned()] } else { notes.iter().map(|note| note.text.clone()).collect() };
        let embedded = engine.embed(EmbedRequest { texts, kind: EmbedKind::Document, cut: true }).await?;
        if store.use_embedder(&embedded.model, embedded.dimensions as usize).await? {
            continue;
        }
        if done {
            return Ok(());
        }
        let vectors = notes.into_iter().zip(embedded.embeddings).map(|(note, embedding)| (note, embedding.vector)).collect();
        store.put_vectors(&embedded.model, vectors).await?;
        progress(count);
    }
}
