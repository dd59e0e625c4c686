//! What Paguro remembers: one thread owns one SQLite file with the journal (what happened) and recall (what is worth
//! finding again).
//!
//! [`Store`] is the handle. It knows nothing of models and embeddings: texts come in, texts and `&[f32]` come in, rows go
//! out. It decides nothing either; what a step means is the agent's business.

mod activity;
mod backup;
mod centres;
mod channel;
mod code;
mod codes;
mod conversation;
mod database;
mod dates;
mod distilled;
mod embedder;
mod erase;
mod error;
mod files;
mod forget;
mod jobs;
mod journal;
mod kept;
pub mod limits;
mod lock;
mod notes;
mod outbox;
mod pieces;
mod query;
mod rank;
mod recall;
mod said;
mod schema;
#[cfg(test)]
mod schema_tests;
mod session;
mod skills;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod vectors;
#[cfg(test)]
mod vectors_tests;
mod vocabulary;
mod words;

pub use activity::Activity;
pub use backup::{CopyProgress, backup, looks_like_ours, restore};
pub use channel::Corrected;
pub use conversation::SummaryRow;
pub use distilled::Fact;
pub use embedder::Unembedded;
pub use erase::{Eraser, FORGOTTEN};
pub use error::StoreError;
pub use files::{FileChange, KeptHash};
pub use forget::{Forget, Forgotten, Place};
pub use jobs::{Fired, Firing, JOB_CHANNEL, JobKind, JobRow, JobRunRow, Missed, NewJob, RunState, Start, job_session};
pub use journal::{Accepted, Inbound, StepRow, TurnRow, TurnState};
pub use kept::{KeptNote, Source};
pub use notes::{Note, NoteKind, NoteRow};
pub use outbox::{Outbound, OutboundRow};
pub use pieces::pieces;
pub use recall::{Found, Search};
pub use session::SessionRow;
pub use skills::AcceptedSkill;
pub use stats::{MemoryStats, Week};
pub use store::Store;
pub use vectors::GIVEN;
pub use vectors::usable as check_vector;
