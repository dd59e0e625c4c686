//! Every limit of this crate, and what happens at it.

use crate::StoreError;

/// Commands that wait for the memory thread. A caller that finds the mailbox full waits.
pub const MAILBOX: usize = 64;

/// Statements that are kept prepared; of more, those used last.
pub const PREPARED: usize = 128;

/// How long a statement waits for a lock that another program (a shell with `sqlite3`) holds; then it fails.
pub const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Bytes of a message's text, of its data, of a system block, of an outcome. More is refused.
pub const TEXT_BYTES: usize = 16 << 20;

/// Bytes of a step's body as JSON. More is refused.
pub const STEP_BYTES: usize = 16 << 20;

/// Bytes of a name: channel, session, kind of step, platform id, person, what a message is about, setting, note id, note key. More is refused.
pub const NAME_BYTES: usize = 1 << 10;

/// Bytes of a path. More is refused.
pub const PATH_BYTES: usize = 1 << 13;

/// Changes of files in one turn. More are refused, so that one undo is bounded.
pub const TURN_CHANGES: usize = 10_000;

/// Bytes of a note. More is refused.
pub const NOTE_BYTES: usize = 1 << 20;

/// Rows of one listing (open turns, turns of a conversation, unsent messages, sessions, notes). A longer list is cut there; ask
/// again for the rest.
pub const LIST_ROWS: usize = 1_000;

/// Parts that one outgoing message is sent in: more than its text can need. More are refused.
pub const PARTS: usize = 20_000;

/// Updates that started no turn that are remembered, of all channels together; of more, the newest.
pub const UPDATES: usize = 10_000;

/// Settings of one channel. One more is refused.
pub const SETTINGS: usize = 10_000;

/// Bytes of a setting. More is refused.
pub const SETTING_BYTES: usize = 64 << 10;

/// Notes that stand in every new context. More can be pinned; the oldest this many stand there.
pub const PINNED: usize = 50;

/// Jobs. One more is refused, unless another never runs again: that one makes room.
pub const JOBS: usize = 500;

/// Bytes of a job's text. More is refused.
pub const JOB_BYTES: usize = 64 << 10;

/// Runs of a job that are remembered; of more, the newest.
pub const JOB_RUNS: usize = 100;

/// Finished turns of a job that are kept; of more, the newest, and those whose message has not been delivered.
pub const JOB_TURNS: usize = 200;

/// Turns of a job that one firing forgets at most.
pub const JOB_TURNS_AT_ONCE: usize = 50;

/// Words of a query that count; later ones are ignored.
pub const QUERY_WORDS: usize = 32;

/// Notes found by one search. A larger `limit` is taken as this one.
pub const SEARCH_RESULTS: usize = 1_000;

/// Letters of a word that count; the rest of a longer one is as good as not there.
pub const WORD_LETTERS: usize = 48;

/// Notes that the words and the vector each put forward, before they are merged; more only where a search wants more.
pub const SEARCH_CANDIDATES: usize = 100;

/// Entries of the word index that one search reads, for all its words together, the rarest words' first. Beyond that a word puts no
/// more notes forward, but counts in those that others did.
pub const SEARCH_POSTINGS: usize = 1_500;

/// Entries that are read for one word, the newest notes' first.
pub const WORD_POSTINGS: usize = 500;

/// Longer words that a word stands for as their beginning, the shortest first.
pub const PREFIX_WORDS: usize = 24;

/// Words of the index that are compared with those of a query that are not in it, for all of them together; a mistyped word may go
/// unrecognised where there are more.
pub const CLOSE_WORDS_READ: usize = 40_000;

/// Words that a mistyped word may stand for, the commonest first.
pub const CLOSE_WORDS: usize = 4;

/// Bytes of a note that are looked through for the words of a query; words further on count as far as the index tells.
pub const MATCHED_BYTES: usize = 16 << 10;

/// Notes whose similarity is taken to know what similarity means nothing.
pub const BACKGROUND_NOTES: usize = 32;

/// Matching words that `why` names.
pub const WHY_WORDS: usize = 8;

/// Numbers in a vector. More is refused.
pub const VECTOR_DIMENSION: usize = 8_192;

/// Of the best so many a search by meaning wants to be sure: more than are usually wanted, so that the last of those is near the truth.
pub const WATCHED: usize = 20;

/// A search by meaning ends when what is promised of the rest, and so many standard deviations of the promises' errors, do not reach the
/// best [`WATCHED`].
pub const MARGIN: f64 = 2.0;

/// Of `count` codes, how many of the nearest are put in order for the second pass of a search by meaning.
pub(crate) fn first_pass(count: usize) -> usize {
    (count / 160).clamp(1_024, 6_144)
}

/// Of `count` vectors, how many a search by meaning reads at most. Each costs about two microseconds: at a million notes 15 ms must do for
/// all, at a hundred thousand 3 ms.
pub(crate) fn second_pass(count: usize) -> usize {
    (count / 128).clamp(1_024, 4_096)
}

/// Vectors that a search by meaning reads in any case.
pub const VECTORS_FIRST: usize = 128;

/// Vectors that a search by meaning then reads in one statement before it asks whether more are needed.
pub const VECTOR_BATCH: usize = 48;

/// From so many codes on two threads look through them; below, starting the second costs as much as it spares.
pub const CODES_FOR_TWO: usize = 250_000;

/// So many codes out of place, and a quarter of all, are borne in memory; with more they are read anew.
pub const CODES_WORN: usize = 4_096;

/// By so many standard deviations the signs may be wrong about the best before anything is missed.
pub const SURE: f32 = 4.0;

/// Centres are learned from so many vectors on: fewer are looked through in no time.
pub const LEARN_FROM: usize = 4_096;

/// They are learned anew when there are so many times as many vectors.
pub const LEARN_AGAIN: usize = 8;

/// One vector in so many has it looked at whether they are due: it costs a count of all.
pub const LEARN_EVERY: i64 = 1_024;

/// Centres for `count` vectors. Each costs a search a tenth of a microsecond.
pub(crate) fn centres(count: usize) -> usize {
    (count / 128).clamp(64, 2_048)
}

/// Vectors that a centre is learned from, on the average.
pub const SAMPLE: usize = 20;

/// Bytes of the vectors that centres are learned from.
pub const SAMPLE_BYTES: usize = 64 << 20;

/// Vectors that a centre is the mean of at least.
pub const MEMBERS: usize = 4;

/// Vectors that are deleted in one transaction when the embedder changes.
pub const VECTORS_AT_ONCE: usize = 2_000;

/// Bytes of text that [`crate::Store::without_vector`] gives at most, unless the first note alone has more.
pub const UNEMBEDDED_BYTES: usize = 4 << 20;

/// A database up to this size is checked at every open, for some ten milliseconds at most.
pub const CHECK_ALWAYS_BYTES: u64 = 8 << 20;

/// A database up to this size is checked at open when the last process did not close it. A larger one is not checked at
/// open, so that starting stays quick however long the history: `Store::check` does it on request.
pub const CHECK_UNCLEAN_BYTES: u64 = 128 << 20;

/// Bytes of a page of a new database.
pub const PAGE_BYTES: u32 = 8_192;

/// Size to which the write-ahead log is cut back after a checkpoint.
pub const WAL_BYTES: u64 = 16 << 20;

/// Turns, newest first, that statistics look at.
pub const STATS_TURNS: usize = 1_000;

/// Turns, newest first, of which [`crate::Store::activity`] looks when they came.
pub const ACTIVITY_TURNS: usize = 5_000;

/// Replies of the model, newest first, whose tokens it adds up.
pub const ACTIVITY_REPLIES: usize = 1_000;

/// Steps, newest first, among which it looks for them.
pub const ACTIVITY_STEPS: usize = 10_000;

/// Weeks, newest first, that statistics tell of.
pub const STATS_WEEKS: usize = 52;

/// Pages that a backup copies at once; between them it tells how far it is and can be stopped.
pub const COPY_PAGES: i32 = 2_048;

/// How long a backup waits when another program holds a lock.
pub const COPY_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Refuses a text of more than `limit` bytes.
pub(crate) fn check(what: &'static str, text: &str, limit: usize) -> Result<(), StoreError> {
    match text.len() {
        bytes if bytes > limit => Err(StoreError::TooLong { what, bytes, limit }),
        _ => Ok(()),
    }
}

/// A number of rows as SQL wants it, at most `most`.
pub(crate) fn rows(wanted: usize, most: usize) -> i64 {
    i64::try_from(wanted.min(most)).unwrap_or(i64::MAX)
}
