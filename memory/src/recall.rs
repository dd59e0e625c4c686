//! Recall: notes found by words (FTS5) and by vector (sqlite-vec), merged.

use serde::{Deserialize, Serialize};

use crate::{Store, StoreError};

/// A note to be kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Note {
    /// Its id; `None`: a new random one. A note that has this id already is replaced.
    pub id: Option<String>,
    /// What is worth finding again.
    pub text: String,
    /// When it was noted, kept as given; `None`: now.
    pub at: Option<String>,
    /// Makes a repeated call recognisable: a second note with the same key is not stored, the first is returned.
    pub key: Option<String>,
    /// The turn that it comes from.
    pub source_turn: Option<i64>,
    /// Its embedding, any length but zero. All notes' vectors have the same dimension.
    pub vector: Option<Vec<f32>>,
}

/// A note that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRow {
    /// Id.
    pub id: String,
    /// What is worth finding again.
    pub text: String,
    /// When it was noted; RFC 3339 UTC unless it was imported with something else.
    pub at: String,
}

/// A note that a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Id.
    pub id: String,
    /// The note.
    pub text: String,
    /// Higher is better; comparable within one search only.
    pub score: f64,
    /// When it was noted.
    pub at: String,
    /// Why it was found: `words: bike, green`, `vector 0.83` (cosine), or both.
    pub why: String,
}

/// A page of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotePage {
    /// Notes in the order in which they were added.
    pub notes: Vec<NoteRow>,
    /// What to give [`Store::export`] for the next page; `None`: this was the last.
    pub next: Option<i64>,
}

/// Recall.
impl Store {
    /// Keeps a note and returns it as it is kept.
    pub async fn add_note(&self, note: Note) -> Result<NoteRow, StoreError> {
        let _ = note;
        Err(StoreError::Gone)
    }

    /// Keeps many notes in one transaction: all or none. For an import, with `id` and `at` as they were exported.
    pub async fn add_notes(&self, notes: Vec<Note>) -> Result<Vec<NoteRow>, StoreError> {
        let _ = notes;
        Err(StoreError::Gone)
    }

    /// Notes for `query` (any text) and, if given, for its embedding; best first, at most `limit`.
    pub async fn search(&self, query: &str, vector: Option<&[f32]>, limit: usize) -> Result<Vec<Found>, StoreError> {
        let _ = (query, vector, limit);
        Err(StoreError::Gone)
    }

    /// Notes, newest first, from the `offset`-th on, at most `limit`.
    pub async fn list(&self, limit: usize, offset: usize) -> Result<Vec<NoteRow>, StoreError> {
        let _ = (limit, offset);
        Err(StoreError::Gone)
    }

    /// Deletes a note for good, from the file too. `false`: there was none.
    pub async fn forget(&self, id: &str) -> Result<bool, StoreError> {
        let _ = id;
        Err(StoreError::Gone)
    }

    /// All notes, page by page, in the order in which they were added: start with 0, go on with [`NotePage::next`].
    pub async fn export(&self, after: i64) -> Result<NotePage, StoreError> {
        let _ = after;
        Err(StoreError::Gone)
    }

    /// Deletes all notes' vectors, so that another embedder's can be given.
    pub async fn drop_vectors(&self) -> Result<(), StoreError> {
        Err(StoreError::Gone)
    }
}
