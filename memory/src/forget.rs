//! Forgetting: a thing goes from the notes, their indexes and vectors, and from everything that was said, in one transaction; then its
//! bytes go from the write-ahead log. Files beside the database (transcripts of the model, the workspace) are the caller's.
//!
//! What an exact phrase does not find, because it was said in other words, is looked for only in turns that are known to speak of the
//! note: those that it comes from, those that it came up in, and those that hold its words.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::Value;

use crate::centres;
use crate::erase::{Eraser, wipe};
use crate::error::Failure;
use crate::journal::transact;
use crate::notes::{NoteKind, NoteRow, note_row};
use crate::said::{COLUMNS, Column};
use crate::{FORGOTTEN, Store, StoreError, limits};

/// What is to be forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forget {
    /// Notes, facts, pieces of turns. A piece takes its whole turn with it.
    pub ids: Vec<String>,
    /// Whatever has these words: they go from everywhere, and the notes with them go whole.
    pub matching: Option<String>,
    /// All that was said in the turns that the notes come from goes, too.
    pub with_turns: bool,
}

/// A place among what was said that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What stands there: `message`, `step`, `summary`, ….
    pub what: &'static str,
    /// Its turn.
    pub turn: Option<i64>,
}

/// What was forgotten, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Notes, facts and pieces that went whole.
    pub notes: Vec<NoteRow>,
    /// Ids that there is no note of.
    pub unknown: Vec<String>,
    /// Where something was taken out of what was said.
    pub places: Vec<Place>,
    /// The turns that the notes come from, with what their messages say now.
    pub sources: Vec<(i64, String)>,
    /// Channel and name of the sessions that something was taken out of.
    pub sessions: Vec<(String, String)>,
    /// Names that have the words and stay: the program finds things by them.
    pub stays: Vec<Place>,
    /// Another program is reading the write-ahead log, so that the bytes are still in it: to be done once more when that is done.
    pub log_in_use: bool,
}

/// Forgetting.
impl Store {
    /// Forgets for good, from the file too. Cut off in the middle, either nothing or all of it is gone, and the next call, whatever it
    /// is about, empties the write-ahead log.
    pub async fn forget_all(&self, forget: Forget) -> Result<Forgotten, StoreError> {
        self.run(move |connection| {
            let mut forgotten = transact(connection, |transaction| run(transaction, &forget))?;
            match empty_log(connection) {
                Err(Failure::Store(StoreError::LogInUse)) => forgotten.log_in_use = true,
                emptied => emptied?,
            }
            Ok(forgotten)
        })
        .await
    }

    /// Forgets one note by [`Store::forget_all`]. `false`: there was none.
    pub async fn forget(&self, id: &str) -> Result<bool, StoreError> {
        let forgotten = self.forget_all(Forget { ids: vec![id.to_owned()], ..Forget::default() }).await?;
        if forgotten.log_in_use { Err(StoreError::LogInUse) } else { Ok(!forgotten.notes.is_empty()) }
    }

    /// What [`Store::forget_all`] would do. Nothing is changed.
    pub async fn would_forget(&self, forget: Forget) -> Result<Forgotten, StoreError> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let forgotten = run(&transaction, &forget)?;
            transaction.rollback()?;
            Ok(forgotten)
        })
        .await
    }

    /// Writes the whole file anew, without what was deleted and without gaps. Takes as much room again while it runs.
    pub async fn rewrite(&self) -> Result<(), StoreError> {
        self.run(|connection| {
            connection.execute_batch("VACUUM")?;
            empty_log(connection)
        })
        .await
    }
}

/// Takes what was deleted out of the write-ahead log.
pub(crate) fn empty_log(connection: &Connection) -> Result<(), Failure> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy { Err(StoreError::LogInUse.into()) } else { Ok(()) }
}

/// A summary is of many turns. Without it the agent makes another, of what the turns say then.
const DROP_SUMMARY: &str = "DELETE FROM summaries WHERE rowid = ?1 AND ?2 <> ''";

/// How closely a text is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The phrases alone.
    Phrases,
    /// Sentences that say the same.
    Sentences,
    /// All of it.
    Whole,
}

struct Work<'a> {
    transaction: &'a Transaction<'a>,
    eraser: Eraser,
    out: Forgotten,
    turns: BTreeSet<i64>,
    sessions: BTreeSet<i64>,
}

fn run(transaction: &Transaction<'_>, forget: &Forget) -> Result<Forgotten, Failure> {
    let mut out = Forgotten::default();
    let mut notes = chosen(transaction, forget, &mut out)?;
    if notes.is_empty() && forget.matching.is_none() {
        return Ok(out);
    }
    transaction.execute("INSERT INTO facts (name, value) VALUES ('forgetting', '1')", [])?;
    let own = sources(transaction, &notes.iter().map(|(number, _)| *number).collect::<Vec<_>>())?;
    // A piece whose turn is not here was imported, and is as any other note.
    let is_piece = |note: &NoteRow| note.kind == NoteKind::Turn && note.source_turn.is_some();
    let mut whole: BTreeSet<i64> = notes.iter().filter(|(_, note)| is_piece(note)).filter_map(|(_, note)| note.source_turn).collect();
    if forget.with_turns {
        whole.extend(&own);
    }
    for note in drawn_from(transaction, &whole)? {
        if notes.iter().all(|(number, _)| *number != note.0) {
            notes.push(note);
        }
    }
    let texts = notes.iter().filter(|(_, note)| !is_piece(note)).map(|(_, note)| note.text.as_str());
    let eraser = Eraser::new(texts.chain(forget.matching.as_deref()));
    let mut work = Work { transaction, eraser, out, turns: BTreeSet::new(), sessions: BTreeSet::new() };
    let recalled = recalled(transaction, &notes)?;
    for (number, note) in notes {
        transaction.execute("DELETE FROM notes WHERE number = ?1", [number])?;
        work.out.notes.push(note);
    }
    work.erase(&list(&whole), Reach::Whole)?;
    work.erase(&None, Reach::Phrases)?;
    let related: BTreeSet<i64> = work.turns.iter().chain(&own).chain(&recalled).copied().collect();
    work.erase(&list(&related), Reach::Sentences)?;
    work.distilled(&own)?;
    work.empty_notes()?;
    centres::mend(transaction)?;
    work.finish(&own)
}

/// The notes that are meant.
fn chosen(transaction: &Transaction<'_>, forget: &Forget, out: &mut Forgotten) -> Result<Vec<(i64, NoteRow)>, Failure> {
    let mut notes: Vec<(i64, NoteRow)> = Vec::new();
    let mut known = BTreeSet::new();
    for id in &forget.ids {
        match transaction.prepare_cached(NOTE_BY_ID)?.query_row([id], numbered).optional()? {
            Some(note) if known.insert(note.0) => notes.push(note),
            Some(_) => {}
            None => out.unknown.push(id.clone()),
        }
    }
    if let Some(matching) = &forget.matching {
        let eraser = Eraser::new([matching]);
        let mut statement = transaction.prepare(ALL_NOTES)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let note: (i64, NoteRow) = numbered(row)?;
            // A piece loses the words; what else was said in its turn stays.
            if note.1.kind != NoteKind::Turn && eraser.text(&note.1.text).is_some() && known.insert(note.0) {
                notes.push(note);
            }
        }
    }
    Ok(notes)
}

const NOTE_BY_ID: &str = "SELECT id, kind, text, at, origin, pinned, source_turn, number FROM notes WHERE id = ?1";

const ALL_NOTES: &str = "SELECT id, kind, text, at, origin, pinned, source_turn, number FROM notes ORDER BY number";

fn numbered(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, NoteRow)> {
    Ok((row.get(7)?, note_row(row)?))
}

/// What is known from these turns alone, of which nothing will be left: facts without another source, and notes taken there that say what
/// was said there.
fn drawn_from(transaction: &Transaction<'_>, turns: &BTreeSet<i64>) -> Result<Vec<(i64, NoteRow)>, Failure> {
    let mut out = Vec::new();
    if turns.is_empty() {
        return Ok(out);
    }
    let mut facts = transaction.prepare_cached(FACTS_ONLY_OF)?;
    out.extend(facts.query_map([list(turns)], numbered)?.collect::<Result<Vec<_>, _>>()?);
    let mut said: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    let mut statement = transaction.prepare_cached(SAID)?;
    let mut rows = statement.query([list(turns)])?;
    while let Some(row) = rows.next()? {
        said.entry(row.get(0)?).or_default().extend(row.get::<_, Option<String>>(1)?);
    }
    let mut notes = transaction.prepare_cached(NOTES_OF)?;
    for note in notes.query_map([list(turns)], numbered)? {
        let note = note?;
        let eraser = Eraser::new([note.1.text.as_str()]);
        let texts = note.1.source_turn.and_then(|turn| said.get(&turn));
        if texts.is_some_and(|texts| texts.iter().any(|text| eraser.is_told(text) || eraser.text(text).is_some())) {
            out.push(note);
        }
    }
    Ok(out)
}

const FACTS_ONLY_OF: &str = "SELECT id, kind, text, at, origin, pinned, source_turn, number FROM notes WHERE kind = 'fact'
     AND (source_turn IN (SELECT value FROM json_each(?1))
         OR number IN (SELECT note FROM note_sources WHERE turn IN (SELECT value FROM json_each(?1))))
     AND (source_turn IS NULL OR source_turn IN (SELECT value FROM json_each(?1)))
     AND NOT EXISTS (SELECT 1 FROM note_sources WHERE note = number AND turn NOT IN (SELECT value FROM json_each(?1)))
     AND imported ->> '$.sources' IS NULL";

const NOTES_OF: &str = "SELECT id, kind, text, at, origin, pinned, source_turn, number FROM notes
     WHERE kind = 'note' AND source_turn IN (SELECT value FROM json_each(?1))";

const SAID: &str = "SELECT t.id, i.text FROM turns t JOIN inbox i ON i.id = t.inbound WHERE t.id IN (SELECT value FROM json_each(?1))
     UNION ALL SELECT t.id, i.data FROM turns t JOIN inbox i ON i.id = t.inbound WHERE t.id IN (SELECT value FROM json_each(?1))
     UNION ALL SELECT turn, body FROM steps WHERE turn IN (SELECT value FROM json_each(?1))
     UNION ALL SELECT turn, text FROM outbox WHERE turn IN (SELECT value FROM json_each(?1))
     UNION ALL SELECT beside, text FROM outbox WHERE beside IN (SELECT value FROM json_each(?1))";

/// The turns that notes come from.
fn sources(transaction: &Transaction<'_>, notes: &[i64]) -> Result<BTreeSet<i64>, Failure> {
    let mut out = BTreeSet::new();
    for number in notes {
        let mut statement = transaction.prepare_cached(SOURCES)?;
        out.extend(statement.query_map([number], |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(out)
}

const SOURCES: &str = "SELECT source_turn FROM notes WHERE number = ?1 AND source_turn IS NOT NULL
     UNION SELECT turn FROM note_sources WHERE note = ?1";

/// The turns that notes were given to the model in.
fn recalled(transaction: &Transaction<'_>, notes: &[(i64, NoteRow)]) -> Result<Vec<i64>, Failure> {
    let ids: Vec<&str> = notes.iter().map(|(_, note)| note.id.as_str()).collect();
    let mut statement = transaction.prepare(RECALLED)?;
    let rows = statement.query_map([serde_json::to_string(&ids).unwrap_or_default()], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

const RECALLED: &str = "SELECT DISTINCT p.turn FROM steps p, json_each(p.body, '$.notes') n
     WHERE p.kind = 'began' AND n.value IN (SELECT value FROM json_each(?1))";

fn add(places: &mut Vec<Place>, place: Place) {
    if !places.contains(&place) && places.len() < limits::LIST_ROWS {
        places.push(place);
    }
}

/// Turns as SQL takes them.
fn list(turns: &BTreeSet<i64>) -> Option<String> {
    Some(serde_json::to_string(turns).unwrap_or_default())
}

impl Work<'_> {
    /// Erases in all columns, of the turns listed or of all.
    fn erase(&mut self, turns: &Option<String>, reach: Reach) -> Result<(), Failure> {
        if turns.as_deref() == Some("[]") {
            return Ok(());
        }
        for column in COLUMNS {
            let mut changed = Vec::new();
            let mut statement = self.transaction.prepare_cached(column.read)?;
            let mut rows = statement.query([turns])?;
            while let Some(row) = rows.next()? {
                let Some(text) = row.get::<_, Option<String>>(1)? else { continue };
                if let Some(erased) = self.erased(column, &text, reach) {
                    let place = Place { what: column.what, turn: row.get(2)? };
                    if column.write.is_empty() {
                        add(&mut self.out.stays, place);
                        continue;
                    }
                    changed.push((row.get::<_, i64>(0)?, erased));
                    self.turns.extend(row.get::<_, Option<i64>>(2)?);
                    self.sessions.extend(row.get::<_, Option<i64>>(3)?);
                    add(&mut self.out.places, place);
                }
            }
            if changed.is_empty() {
                continue;
            }
            let drops = reach == Reach::Whole && column.what == "summary";
            let mut write = self.transaction.prepare_cached(if drops { DROP_SUMMARY } else { column.write })?;
            for (number, erased) in changed {
                write.execute(params![number, erased])?;
            }
        }
        Ok(())
    }

    fn erased(&self, column: &Column, text: &str, reach: Reach) -> Option<String> {
        let plain = |text: &str| match reach {
            Reach::Phrases => self.eraser.text(text),
            Reach::Sentences => self.eraser.sentences(text),
            Reach::Whole => (text != FORGOTTEN && !text.is_empty()).then(|| FORGOTTEN.to_owned()),
        };
        if !column.is_json {
            return plain(text);
        }
        if reach == Reach::Phrases && !self.eraser.may_be_in_json(text) {
            return None;
        }
        // What is not JSON was written by nobody of ours; it is still looked at.
        let Ok(mut value) = serde_json::from_str::<Value>(text) else { return plain(text) };
        let changed = match reach {
            Reach::Phrases => self.eraser.json(&mut value, false),
            Reach::Sentences => self.eraser.json(&mut value, true),
            Reach::Whole => wipe(&mut value),
        };
        changed.then(|| value.to_string())
    }

    /// Facts that were distilled from the same turns and say the same go as well.
    fn distilled(&mut self, own: &BTreeSet<i64>) -> Result<(), Failure> {
        let mut statement = self.transaction.prepare(FACTS_OF)?;
        let rows = statement.query_map([list(own)], |row| Ok((row.get(7)?, note_row(row)?)))?;
        for row in rows {
            let (number, fact): (i64, NoteRow) = row?;
            if self.eraser.is_told(&fact.text) {
                self.transaction.execute("DELETE FROM notes WHERE number = ?1", [number])?;
                self.out.notes.push(fact);
            }
        }
        Ok(())
    }

    /// A note that only the mark is left of is none.
    fn empty_notes(&mut self) -> Result<(), Failure> {
        self.transaction.execute("DELETE FROM notes WHERE text = ?1", [FORGOTTEN])?;
        Ok(())
    }

    /// Looks once more, for what came together only now, and tells what was done.
    fn finish(mut self, own: &BTreeSet<i64>) -> Result<Forgotten, Failure> {
        self.erase(&None, Reach::Phrases)?;
        for turn in own {
            let text = self.transaction.prepare_cached(MESSAGE)?.query_row([turn], |row| row.get(0)).optional()?;
            self.out.sources.extend(text.map(|text| (*turn, text)));
        }
        for session in &self.sessions {
            let session =
                self.transaction.prepare_cached(SESSION)?.query_row([session], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            self.out.sessions.extend(session);
        }
        self.transaction.execute("DELETE FROM facts WHERE name = 'forgetting'", [])?;
        Ok(self.out)
    }
}

const FACTS_OF: &str = "SELECT id, kind, text, at, origin, pinned, source_turn, number FROM notes WHERE kind = 'fact'
     AND (source_turn IN (SELECT value FROM json_each(?1))
         OR number IN (SELECT note FROM note_sources WHERE turn IN (SELECT value FROM json_each(?1))))";

const MESSAGE: &str = "SELECT i.text FROM turns t JOIN inbox i ON i.id = t.inbound WHERE t.id = ?1";

const SESSION: &str = "SELECT channel, name FROM sessions WHERE id = ?1";
