//! The words of all notes with the number of notes that have each: how telling a word is, what it begins, what it may be a slip of.
//!
//! The triggers of `notes` keep the table. Every look into it is bounded; see `limits.rs`.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Failure;
use crate::{limits, words};

/// Letters from which on a word may be a slip of another; a shorter one has too many neighbours.
const SLIP_LETTERS: usize = 4;

/// Letters from which on two slips are forgiven.
const TWO_SLIPS_LETTERS: usize = 8;

/// Letters that a longer word has more at most. German compounds are that long, and few accidents.
const LONGER_BY: usize = 8;

/// A word of the index and the number of notes that have it.
pub(crate) type Known = (String, i64);

/// In how many notes the word is.
pub(crate) fn notes(connection: &Connection, word: &str) -> Result<i64, Failure> {
    let mut statement = connection.prepare_cached("SELECT notes FROM vocabulary WHERE letters = ?1 AND word = ?2")?;
    Ok(statement.query_row(params![letters(word), word], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Words that begin with `word` and are longer.
pub(crate) fn longer(connection: &Connection, word: &str) -> Result<Vec<Known>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT word, notes FROM vocabulary WHERE letters = ?1 AND word > ?2 AND word < ?2 || char(0x10ffff) LIMIT ?3")?;
    let mut found = Vec::new();
    for more in 1..=LONGER_BY {
        let room = limits::PREFIX_WORDS - found.len();
        let rows = statement.query_map(params![letters(word) + i64::try_from(more).unwrap_or(0), word, limits::rows(room, room)], known)?;
        found.extend(rows.collect::<Result<Vec<_>, _>>()?);
        if found.len() == limits::PREFIX_WORDS {
            break;
        }
    }
    Ok(found)
}

/// The words nearest to one that is in no note: one slip away (a letter wrong, missing, too many, or two swapped), two for a long one.
/// The first letter is taken to be right; if nothing is found so, the second to be the first or the two to be swapped. `room`: how many
/// words may still be compared, [`limits::CLOSE_WORDS_READ`] for a whole query.
pub(crate) fn close(connection: &Connection, word: &str, room: &mut usize) -> Result<Vec<Known>, Failure> {
    let count = word.chars().count();
    if count < SLIP_LETTERS || !word.chars().all(|letter| letter.is_alphabetic() && !words::is_unspaced(letter)) {
        return Ok(Vec::new());
    }
    for first in word.chars().take(2) {
        let found = close_from(connection, word, count, first, room)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

fn close_from(connection: &Connection, word: &str, count: usize, first: char, room: &mut usize) -> Result<Vec<Known>, Failure> {
    let slips = if count >= TWO_SLIPS_LETTERS { 2 } else { 1 };
    let mut statement = connection
        .prepare_cached("SELECT word, notes FROM vocabulary WHERE letters = ?1 AND word >= ?2 AND word < ?2 || char(0x10ffff) LIMIT ?3")?;
    let mut found: Vec<Known> = Vec::new();
    let mut best = slips;
    // The same length first: it must not be what is not read.
    for by in [0, -1, 1, -2, 2_i64].into_iter().take(1 + 2 * slips) {
        let mut rows = statement.query(params![letters(word) + by, first.to_string(), limits::rows(*room, *room)])?;
        while let Some(row) = rows.next()? {
            *room -= 1;
            let other = row.get_ref(0)?.as_str().unwrap_or_default();
            let distance = strsim::osa_distance(word, other);
            if distance < best {
                best = distance;
                found.clear();
            }
            if distance == best {
                found.push((other.to_owned(), row.get(1)?));
            }
        }
    }
    found.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
    found.truncate(limits::CLOSE_WORDS);
    Ok(found)
}

fn known(row: &rusqlite::Row<'_>) -> rusqlite::Result<Known> {
    Ok((row.get(0)?, row.get(1)?))
}

fn letters(word: &str) -> i64 {
    i64::try_from(word.chars().count()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;

    #[test]
    fn slips_are_looked_for_within_one_budget() {
        let connection = Database::in_memory().unwrap().connection;
        connection.execute("INSERT INTO notes (id, text, at) VALUES ('a', 'secateurs sextants', '2026')", []).unwrap();
        let check = |mut room: usize, expected: &[&str], left: usize| {
            let found: Vec<String> = close(&connection, "sekateurs", &mut room).ok().unwrap().into_iter().map(|(word, _)| word).collect();
            assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>(), room), (expected.to_vec(), left));
        };
        check(10, &["secateurs"], 8);
        check(1, &["secateurs"], 0);
        check(0, &[], 0);
    }
}
