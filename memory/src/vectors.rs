//! Notes' vectors: kept as they were given, found by way of their codes (`codes.rs`). Which embedder makes them is `embedder.rs`'s.

use std::sync::Arc;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::centres::{self, Centres};
use crate::code::encode;
use crate::codes::{Codes, HIDDEN};
use crate::error::Failure;
use crate::notes::NoteKind;
use crate::{StoreError, limits};

/// Stands for the embedder of vectors that an import gave. They are taken for those of the first embedder that has their dimension.
pub const GIVEN: &str = "given";

/// While the table has one, another embedder's vectors are being deleted.
pub(crate) const STALE: &str = "vectors_stale";

/// Gives the note a vector in place of the one it may have.
pub(crate) fn put(transaction: &Transaction<'_>, note: i64, vector: &[f32]) -> Result<(), Failure> {
    usable(vector)?;
    match dimension(transaction)? {
        Some(expected) => same_dimension(vector.len(), expected)?,
        None if fact(transaction, STALE)?.is_some() => return Err(StoreError::EmbedderChanges.into()),
        None => {
            set_fact(transaction, "vector_dimension", &vector.len().to_string())?;
            set_fact(transaction, "embedder", GIVEN)?;
        }
    }
    transaction.prepare_cached(PUT)?.execute(params![note, bytes(vector)])?;
    transaction.prepare_cached(PUT_CODE)?.execute(params![note, encode(vector, &*centres::read(transaction)?)])?;
    transaction.prepare_cached("DELETE FROM vectors_wanted WHERE note = ?1")?.execute([note])?;
    centres::learn_if_due(transaction, note)
}

const PUT: &str = "INSERT INTO vectors (note, vector) VALUES (?1, ?2) ON CONFLICT (note) DO UPDATE SET vector = excluded.vector";

const PUT_CODE: &str = "
    INSERT INTO vector_codes (note, class, code)
        SELECT number, CASE WHEN replaced IS NOT NULL THEN 3 WHEN kind = 'note' THEN 0 WHEN kind = 'turn' THEN 1 ELSE 2 END, ?2
        FROM notes WHERE number = ?1
    ON CONFLICT (note) DO UPDATE SET class = excluded.class, code = excluded.code";

/// The note's vector, if it has one.
pub(crate) fn get(connection: &Connection, note: i64) -> Result<Option<Vec<f32>>, Failure> {
    let mut statement = connection.prepare_cached("SELECT vector FROM vectors WHERE note = ?1")?;
    let blob: Option<Vec<u8>> = statement.query_row([note], |row| row.get(0)).optional()?;
    Ok(blob.map(|blob| numbers(&blob)))
}

/// The cosine similarity of the note's vector and `vector` (-1 to 1); `None`: it has none of that dimension.
pub(crate) fn similarity(connection: &Connection, note: i64, vector: &[f32]) -> Result<Option<f64>, Failure> {
    let mut statement = connection.prepare_cached("SELECT vector FROM vectors WHERE note = ?1")?;
    let mut rows = statement.query([note])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let blob = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
    Ok((blob.len() == 4 * vector.len()).then(|| cosine(blob, vector, length(vector))))
}

/// The notes nearest to `vector`, of one kind if one is given, without those that a newer fact replaces: their numbers and cosine
/// similarities (-1 to 1), nearest first, at most `most`.
///
/// The codes say in which order to look and how near each is about, the vectors themselves how near it is. It ends when what the codes
/// promise of the next, and what they have been wrong by so far, do not reach the best: in clusters of many that are all alike more is
/// read than elsewhere.
pub(crate) fn nearest(
    connection: &Connection,
    codes: &mut Option<Codes>,
    vector: &[f32],
    kind: Option<NoteKind>,
    most: usize,
) -> Result<Vec<(i64, f64)>, Failure> {
    usable(vector)?;
    let Some(expected) = dimension(connection)? else { return Ok(Vec::new()) };
    same_dimension(vector.len(), expected)?;
    let codes = refresh(connection, codes, expected)?;
    let mask = kind.map_or((1 << HIDDEN) - 1, |kind| 1 << class(kind));
    let candidates = codes.nearest(vector, mask, most, limits::first_pass(codes.len()).max(2 * most));
    let last = limits::second_pass(codes.len()).max(2 * most).min(candidates.len());
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    let (mut read, mut size) = (0, most.max(limits::VECTORS_FIRST));
    while read < last {
        let batch = &candidates[read..last.min(read + size)];
        if let Some((_, bar)) = found.get(limits::WATCHED - 1)
            && f64::from(batch[0].1) + limits::MARGIN * deviation(&errors) < *bar
        {
            break;
        }
        read_batch(connection, vector, batch, &mut found, &mut errors)?;
        // Equally near ones: the newer first.
        found.sort_unstable_by(|(a, x): &(i64, f64), (b, y)| y.total_cmp(x).then(b.cmp(a)));
        read += batch.len();
        size = limits::VECTOR_BATCH;
    }
    found.truncate(most);
    Ok(found)
}

/// How far off the mark a promise usually was.
fn deviation(errors: &[f64]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a few")]
    let mean = errors.iter().map(|error| error * error).sum::<f64>() / errors.len() as f64;
    mean.sqrt()
}

/// In one statement: each one alone takes and gives back the lock of the file, which costs three times the reading.
const READ: &str = "SELECT note, vector FROM json_each(?1) CROSS JOIN vectors ON note = value";

/// Reads the vectors of notes, each with the cosine that is promised of it: the real ones, and by how much the promises are wrong.
fn read_batch(
    connection: &Connection,
    vector: &[f32],
    batch: &[(i64, f32)],
    found: &mut Vec<(i64, f64)>,
    errors: &mut Vec<f64>,
) -> Result<(), Failure> {
    let mut batch = batch.to_vec();
    // In the order of the file: neighbours share pages.
    batch.sort_unstable_by_key(|(note, _)| *note);
    let list = format!("[{}]", batch.iter().map(|(note, _)| note.to_string()).collect::<Vec<_>>().join(","));
    let length = length(vector);
    let mut statement = connection.prepare_cached(READ)?;
    let mut rows = statement.query([list])?;
    while let Some(row) = rows.next()? {
        let note = row.get(0)?;
        let similarity = cosine(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?, vector, length);
        found.push((note, similarity));
        if let Ok(place) = batch.binary_search_by_key(&note, |(note, _)| *note) {
            errors.push(similarity - f64::from(batch[place].1));
        }
    }
    Ok(())
}

/// The codes as the tables have them: read at the first search, then followed change by change. The list of changes is a temporary table, so that
/// what a transaction takes back is taken back in it too.
fn refresh<'a>(connection: &Connection, codes: &'a mut Option<Codes>, dimension: usize) -> Result<&'a mut Codes, Failure> {
    if codes.is_none() {
        connection.execute_batch(FOLLOW)?;
    }
    let centres = centres::read(connection)?;
    let known = match codes.take().filter(|known| known.are_of(&centres)) {
        Some(mut known) => follow(connection, &mut known)?.then_some(known),
        None => None,
    };
    let known = match known {
        Some(known) => known,
        None => load(connection, dimension, centres)?,
    };
    Ok(codes.insert(known))
}

/// Brings the codes up to date; `false`: reading them anew is better.
fn follow(connection: &Connection, codes: &mut Codes) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached("SELECT note FROM vectors_changed LIMIT ?1")?;
    let most = limits::CODES_WORN + codes.len() / 4;
    let changed: Vec<i64> = statement.query_map([limits::rows(most, usize::MAX)], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if changed.is_empty() {
        return Ok(true);
    }
    if changed.len() == most {
        return Ok(false);
    }
    let mut one = connection.prepare_cached("SELECT class, code FROM vector_codes WHERE note = ?1")?;
    for note in changed {
        let row: Option<(u8, Vec<u8>)> = one.query_row([note], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match row {
            Some((class, code)) => codes.set(note, class.min(HIDDEN), &code),
            None => codes.remove(note),
        }
    }
    connection.prepare_cached("DELETE FROM vectors_changed")?.execute([])?;
    Ok(!codes.worn())
}

fn load(connection: &Connection, dimension: usize, centres: Arc<Centres>) -> Result<Codes, Failure> {
    connection.prepare_cached("DELETE FROM vectors_changed")?.execute([])?;
    let mut codes = Codes::new(dimension, centres);
    let mut statement = connection.prepare("SELECT note, class, code FROM vector_codes ORDER BY note")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        codes.set(row.get(0)?, row.get::<_, u8>(1)?.min(HIDDEN), row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?);
    }
    Ok(codes)
}

const FOLLOW: &str = "
    CREATE TEMP TABLE IF NOT EXISTS vectors_changed (note INTEGER PRIMARY KEY);
    CREATE TEMP TRIGGER IF NOT EXISTS vectors_added AFTER INSERT ON main.vector_codes BEGIN
        INSERT OR IGNORE INTO vectors_changed (note) VALUES (new.note);
    END;
    CREATE TEMP TRIGGER IF NOT EXISTS vectors_updated AFTER UPDATE ON main.vector_codes BEGIN
        INSERT OR IGNORE INTO vectors_changed (note) VALUES (new.note);
    END;
    CREATE TEMP TRIGGER IF NOT EXISTS vectors_removed AFTER DELETE ON main.vector_codes BEGIN
        INSERT OR IGNORE INTO vectors_changed (note) VALUES (old.note);
    END;";

/// What is only for the codes in memory, before all of them go.
pub(crate) const UNFOLLOW: &str = "
    DROP TRIGGER IF EXISTS temp.vectors_added;
    DROP TRIGGER IF EXISTS temp.vectors_updated;
    DROP TRIGGER IF EXISTS temp.vectors_removed;
    DROP TABLE IF EXISTS temp.vectors_changed;";

/// Gives the connection what migrations call: the code of a vector as it is kept, by itself.
pub(crate) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection
        .create_scalar_function("paguro_code", 1, flags, |context| Ok(encode(&numbers(context.get_raw(0).as_blob()?), &Centres::none())))
}

pub(crate) fn numbers(kept: &[u8]) -> Vec<f32> {
    kept.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

/// As the tables have it.
const fn class(kind: NoteKind) -> u8 {
    match kind {
        NoteKind::Note => 0,
        NoteKind::Turn => 1,
        NoteKind::Fact => 2,
    }
}

/// What is known of the file under this name.
pub(crate) fn fact(connection: &Connection, name: &str) -> Result<Option<String>, Failure> {
    Ok(connection.prepare_cached("SELECT value FROM facts WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()?)
}

pub(crate) fn set_fact(connection: &Connection, name: &str, value: &str) -> Result<(), Failure> {
    connection.prepare_cached("INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)")?.execute([name, value])?;
    Ok(())
}

/// How many numbers the vectors have; `None`: there are none yet.
pub(crate) fn dimension(connection: &Connection) -> Result<Option<usize>, Failure> {
    Ok(fact(connection, "vector_dimension")?.and_then(|value| value.parse().ok()))
}

pub(crate) fn same_dimension(given: usize, expected: usize) -> Result<(), StoreError> {
    if given == expected { Ok(()) } else { Err(StoreError::WrongDimension { given, expected }) }
}

/// Refuses vectors that have no direction.
///
/// # Errors
/// [`StoreError::BadVector`] says why.
pub fn usable(vector: &[f32]) -> Result<(), StoreError> {
    let bad = |reason| Err(StoreError::BadVector { reason });
    if vector.is_empty() || vector.len() > limits::VECTOR_DIMENSION {
        return bad("it must have 1 to 8192 numbers");
    }
    if vector.iter().any(|number| !number.is_finite()) {
        return bad("it contains NaN or infinity");
    }
    // As similarity is reckoned: in f32, where tiny numbers vanish and huge ones overflow.
    let square: f32 = vector.iter().map(|number| number * number).sum();
    if square == 0.0 || !square.is_finite() {
        return bad("its length is zero or too large");
    }
    Ok(())
}

pub(crate) fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn length(vector: &[f32]) -> f64 {
    f64::from(vector.iter().map(|number| number * number).sum::<f32>()).sqrt()
}

/// The cosine of the angle between a vector as it is kept and another of this length.
fn cosine(kept: &[u8], vector: &[f32], length: f64) -> f64 {
    /// Sums side by side, so that the compiler adds several numbers at once.
    const SIDE_BY_SIDE: usize = 8;
    let (kept, kept_rest) = kept.as_chunks::<{ 4 * SIDE_BY_SIDE }>();
    let (vector, vector_rest) = vector.as_chunks::<SIDE_BY_SIDE>();
    let mut sums = [[0.0_f32; SIDE_BY_SIDE]; 2];
    for (a, b) in kept.iter().zip(vector) {
        for (index, bytes) in a.as_chunks::<4>().0.iter().enumerate() {
            let x = f32::from_le_bytes(*bytes);
            sums[0][index] += x * b[index];
            sums[1][index] += x * x;
        }
    }
    for (bytes, y) in kept_rest.as_chunks::<4>().0.iter().zip(vector_rest) {
        let x = f32::from_le_bytes(*bytes);
        sums[0][0] += x * y;
        sums[1][0] += x * x;
    }
    let [product, own] = sums.map(|sums| sums.iter().map(|sum| f64::from(*sum)).sum::<f64>());
    (product / (own.sqrt() * length)).clamp(-1.0, 1.0)
}
