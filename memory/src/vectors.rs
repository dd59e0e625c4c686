//! Notes' vectors, in a sqlite-vec table that is made when the first one comes, with its dimension.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::error::Failure;
use crate::{StoreError, limits};

const CREATE_TRIGGERS: &str = "
    CREATE TRIGGER notes_vectors_delete AFTER DELETE ON notes BEGIN
        DELETE FROM notes_vectors WHERE note = old.number;
    END;
    CREATE TRIGGER notes_vectors_update AFTER UPDATE OF text ON notes WHEN old.text IS NOT new.text BEGIN
        DELETE FROM notes_vectors WHERE note = old.number;
    END;";

const DROP: &str = "
    DROP TRIGGER IF EXISTS notes_vectors_delete;
    DROP TRIGGER IF EXISTS notes_vectors_update;
    DROP TABLE IF EXISTS notes_vectors;
    DELETE FROM facts WHERE name = 'vector_dimension';";

/// Rows of a chunk of the table. sqlite-vec reserves a chunk's bytes at once, so that its default of 1,024 would make the
/// first vector of 768 numbers cost 3 MB.
const CHUNK_ROWS: usize = 64;

/// Gives the note a vector in place of the one it may have.
pub(crate) fn put(transaction: &Transaction<'_>, note: i64, vector: &[f32]) -> Result<(), Failure> {
    usable(vector)?;
    match dimension(transaction)? {
        Some(expected) => same_dimension(vector.len(), expected)?,
        None => create(transaction, vector.len())?,
    }
    transaction.prepare_cached("DELETE FROM notes_vectors WHERE note = ?1")?.execute([note])?;
    transaction.prepare_cached("INSERT INTO notes_vectors (note, vector) VALUES (?1, ?2)")?.execute(params![note, bytes(vector)])?;
    Ok(())
}

/// The notes nearest to `vector`: their numbers and cosine similarities (-1 to 1), nearest first.
pub(crate) fn nearest(connection: &Connection, vector: &[f32], most: i64) -> Result<Vec<(i64, f64)>, Failure> {
    usable(vector)?;
    let Some(expected) = dimension(connection)? else { return Ok(Vec::new()) };
    same_dimension(vector.len(), expected)?;
    let mut statement =
        connection.prepare_cached("SELECT note, distance FROM notes_vectors WHERE vector MATCH ?1 AND k = ?2 ORDER BY distance")?;
    let rows = statement.query_map(params![bytes(vector), most], |row| Ok((row.get(0)?, 1.0 - row.get::<_, f64>(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes all vectors and the dimension.
pub(crate) fn drop_all(transaction: &Transaction<'_>) -> Result<(), Failure> {
    Ok(transaction.execute_batch(DROP)?)
}

fn create(transaction: &Transaction<'_>, dimension: usize) -> Result<(), Failure> {
    transaction.execute_batch(&format!(
        "CREATE VIRTUAL TABLE notes_vectors USING vec0 (
             note INTEGER PRIMARY KEY, vector FLOAT[{dimension}] distance_metric=cosine, chunk_size={CHUNK_ROWS}
         );
         {CREATE_TRIGGERS}
         INSERT INTO facts (name, value) VALUES ('vector_dimension', {dimension});"
    ))?;
    Ok(())
}

fn dimension(connection: &Connection) -> Result<Option<usize>, Failure> {
    let dimension: Option<i64> = connection
        .prepare_cached("SELECT CAST(value AS INTEGER) FROM facts WHERE name = 'vector_dimension'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(dimension.and_then(|dimension| usize::try_from(dimension).ok()))
}

fn same_dimension(given: usize, expected: usize) -> Result<(), StoreError> {
    if given == expected { Ok(()) } else { Err(StoreError::WrongDimension { given, expected }) }
}

/// Refuses vectors that have no direction.
fn usable(vector: &[f32]) -> Result<(), StoreError> {
    let bad = |reason| Err(StoreError::BadVector { reason });
    if vector.is_empty() || vector.len() > limits::VECTOR_DIMENSION {
        return bad("it must have 1 to 8192 numbers");
    }
    if vector.iter().any(|number| !number.is_finite()) {
        return bad("it contains NaN or infinity");
    }
    // As sqlite-vec reckons it: in f32, where tiny numbers vanish and huge ones overflow.
    let square: f32 = vector.iter().map(|number| number * number).sum();
    if square == 0.0 || !square.is_finite() {
        return bad("its length is zero or too large");
    }
    Ok(())
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_ne_bytes()).collect()
}
