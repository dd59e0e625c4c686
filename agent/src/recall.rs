//! What comes back to mind: a turn is kept in pieces as it ends, a message finds what fits it, and what has no vector yet gets one.
//!
//! Deliberately not here: how notes are found and ranked; that is the memory's.

use std::collections::HashSet;
use std::time::Instant;

use engine::{EmbedKind, EmbedRequest, Engine, EngineError};
use memory::{Found, Note, NoteKind, Search, Store, TurnRow};

use crate::agent::{Agent, AgentError};
use crate::context::one_line;
use crate::run::{Past, Run};
use crate::step::Step;

/// Characters of a piece of a turn: what an embedder for short texts (256 tokens) takes whole.
const PIECE_CHARS: usize = 900;

/// Characters that a piece shares with the one before it, so that a sentence is whole in one of them.
const OVERLAP_CHARS: usize = 150;

/// Pieces of a turn; what comes after them is in the journal only.
const PIECES: usize = 32;

/// Notes that are looked at for a message; what stands in the context already and what is too long is left out of them.
const CANDIDATES: usize = 30;

/// Share of the context, in percent, that recalled notes may take at most.
const RECALL_PERCENT: u32 = 5;

/// Texts embedded at once in the background; a question waits for one such batch at most.
const BATCH: usize = 16;

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
    /// Notes that fit the message, best first. A task is told all that it needs.
    pub(crate) async fn recall(&self) -> Result<Recalled, AgentError> {
        if self.task.is_some() {
            return Ok(Recalled { notes: Vec::new(), ms: 0.0 });
        }
        let started = Instant::now();
        let Agent { engine, store, .. } = self.agent;
        let search = Search { session: Some(self.turn.session), ..Search::words(&self.turn.text, CANDIDATES) };
        let notes = look_up(Some(engine), store, search).await?;
        Ok(Recalled { notes, ms: started.elapsed().as_secs_f64() * 1_000.0 })
    }

    /// Those of `notes` that are not in the context of a turn whose history is `window`, within the owner's numbers.
    pub(crate) async fn fitting(&self, notes: Vec<Found>, window: &[&Past]) -> Result<Vec<Found>, AgentError> {
        let turns: HashSet<i64> = window.iter().map(|(row, _)| row.id).collect();
        let given: HashSet<&str> = window.iter().flat_map(|(_, steps)| notes_of(steps)).map(String::as_str).collect();
        // A job begins anew each time: what its last runs said is for people to read.
        let is_there =
            |note: &Found| note.kind == NoteKind::Turn && (self.is_job() || note.source_turn.is_some_and(|turn| turns.contains(&turn)));
        let limits = &self.agent.settings.limits;
        let mut fresh: Vec<Found> =
            notes.into_iter().filter(|note| fits(note) && !given.contains(note.id.as_str()) && !is_there(note)).collect();
        fresh.truncate(limits.recall_notes);
        let counts = self.agent.engine.count_tokens(fresh.iter().map(tail_line).collect()).await?;
        let most = limits.recall_tokens.min(self.agent.engine.info().context * RECALL_PERCENT / 100);
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

/// A turn as it will be looked for: what was said and what was replied, in pieces. `origin`: where strangers' text came from that the
/// model had read.
pub(crate) fn pieces(turn: &TurnRow, reply: Option<&str>, origin: Option<&str>) -> Vec<Note> {
    let reply = reply.map_or(String::new(), |reply| format!("\nreply: {}", reply.trim()));
    let whole = format!("owner: {}{reply}", turn.text.trim());
    let note = |(number, text): (usize, &str)| Note {
        id: Some(format!("turn-{}-{number}", turn.id)),
        kind: NoteKind::Turn,
        text: text.to_owned(),
        at: Some(turn.at.clone()),
        source_turn: Some(turn.id),
        session: Some(turn.session),
        origin: origin.map(str::to_owned),
        ..Note::default()
    };
    (1..).zip(split(&whole)).map(note).collect()
}

/// `text` in pieces of at most [`PIECE_CHARS`] characters, cut between words where there are some, each beginning a little before the
/// end of the one before it.
fn split(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while out.len() < PIECES {
        let Some((end, _)) = rest.char_indices().nth(PIECE_CHARS) else {
            out.push(rest);
            break;
        };
        let cut = rest[..end].rfind(char::is_whitespace).filter(|cut| *cut > end / 2).unwrap_or(end);
        out.push(rest[..cut].trim_end());
        let back = rest[..cut].char_indices().rev().nth(OVERLAP_CHARS).map_or(0, |(at, _)| at);
        let word = rest[back..cut].find(char::is_whitespace).map_or(back, |space| back + space);
        rest = rest[word..].trim_start();
    }
    out
}

/// Searches by words, and by meaning too if the engine has an embedder that works.
///
/// # Errors
/// The store's, and the engine's if its thread is gone.
pub async fn look_up(engine: Option<&Engine>, store: &Store, search: Search) -> Result<Vec<Found>, AgentError> {
    let Some(engine) = engine else { return Ok(store.search(search).await?) };
    let request = EmbedRequest { texts: vec![search.text.clone()], kind: EmbedKind::Query, cut: true };
    let vector = match engine.embed(request).await {
        Ok(mut embedded) => {
            // Vectors of another embedder cannot be compared with this one: new ones are made when the turn has ended.
            store.use_embedder(&embedded.model, embedded.dimensions as usize).await?;
            embedded.embeddings.pop().map(|embedding| embedding.vector)
        }
        Err(EngineError::Gone) => return Err(EngineError::Gone.into()),
        Err(_) => None,
    };
    // A text without tokens has no direction.
    let vector = vector.filter(|vector| vector.iter().any(|number| *number != 0.0));
    Ok(store.search(Search { vector, ..search }).await?)
}

impl Agent {
    /// Has vectors made for what has none yet, beside the turns that come.
    pub fn embed_in_background(&self) {
        if !self.engine.has_embedder() {
            return;
        }
        let (engine, store) = (self.engine.clone(), self.store.clone());
        self.in_background(EMBEDDING, async move { embed_missing(&engine, &store, |_, _| {}).await.ok() });
    }
}

/// Makes vectors for the notes that have none of the engine's embedder, the newest first, and keeps them batch by batch: cut off, it goes
/// on from there. `progress` gets how many have one and how many there are. Another embedder's vectors are dropped first.
///
/// # Errors
/// The engine's ([`EngineError::NoEmbedder`] among them) and the store's.
pub async fn embed_missing(engine: &Engine, store: &Store, mut progress: impl FnMut(u64, u64)) -> Result<(), AgentError> {
    loop {
        let notes = store.without_vector(BATCH).await?;
        if notes.is_empty() {
            return Ok(());
        }
        let texts = notes.iter().map(|note| note.text.clone()).collect();
        let embedded = engine.embed(EmbedRequest { texts, kind: EmbedKind::Document, cut: true }).await?;
        store.use_embedder(&embedded.model, embedded.dimensions as usize).await?;
        let vectors = notes.into_iter().zip(embedded.embeddings).map(|(note, embedding)| (note, embedding.vector)).collect();
        store.put_vectors(&embedded.model, vectors).await?;
        let (done, all) = store.vector_counts().await?;
        progress(done, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_words_and_overlap() {
        let words: Vec<String> = (0..1_000).map(|number| format!("word{number}")).collect();
        for text in [words.join(" "), "ä".repeat(5_000), "自行车。".repeat(2_000)] {
            let pieces = split(&text);
            assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.chars().count() <= PIECE_CHARS));
            for pair in pieces.windows(2) {
                let end: String = pair[0].chars().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect();
                assert!(pair[1].contains(&end), "{pair:?}");
            }
            assert!(text.ends_with(pieces[pieces.len() - 1]), "all of it is there");
        }
        assert_eq!(split("short"), ["short"]);
        assert_eq!(split(&"x ".repeat(100_000)).len(), PIECES);
    }
}
