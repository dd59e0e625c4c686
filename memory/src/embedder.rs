//! Which embedder made the vectors, and which notes have none. Who makes them, and when, is the agent's business.

use rusqlite::{OptionalExtension, Transaction};

use crate::centres;
use crate::error::Failure;
use crate::journal::transact;
use crate::session::scrub;
use crate::vectors::{self, STALE};
use crate::{Store, StoreError, limits};

/// A note without a vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unembedded {
    /// Number.
    pub number: i64,
    /// Text.
    pub text: String,
}

/// Vectors and their embedder.
impl Store {
    /// The embedder whose vectors the notes have, and how many numbers each has. `given`: an import brought them, and nobody knows.
    pub async fn embedder(&self) -> Result<Option<(String, usize)>, StoreError> {
        self.run(|connection| Ok(vectors::fact(connection, "embedder")?.zip(vectors::dimension(connection)?))).await
    }

    /// Says who makes the vectors from now on. Those of another are deleted, from the file too, in steps between which other work goes on;
    /// then all notes are without one. Nothing happens when it is the same. Cut off, the next call goes on: until then there is no
    /// embedder. `true`: all are without a vector now. What an import gave ([`vectors::GIVEN`]) is taken for this one's, if the dimension is the same.
    pub async fn use_embedder(&self, name: &str, dimension: usize) -> Result<bool, StoreError> {
        limits::check("name of an embedder", name, limits::NAME_BYTES)?;
        if dimension == 0 || dimension > limits::VECTOR_DIMENSION {
            return Err(StoreError::BadVector { reason: "it must have 1 to 8192 numbers" });
        }
        let known = self.embedder().await?;
        if known.as_ref().is_some_and(|(known, length)| known == name && *length == dimension) {
            return Ok(false);
        }
        let adopted = known.is_some_and(|(known, length)| known == vectors::GIVEN && length == dimension);
        if !adopted {
            self.drop_vectors().await?;
        }
        let name = name.to_owned();
        self.run(move |connection| {
            transact(connection, |transaction| {
                vectors::set_fact(transaction, "embedder", &name)?;
                vectors::set_fact(transaction, "vector_dimension", &dimension.to_string())
            })
        })
        .await?;
        Ok(!adopted)
    }

    /// Deletes all vectors, from the file too, in steps between which other work goes on. Then nobody is known to have made them.
    pub async fn drop_vectors(&self) -> Result<(), StoreError> {
        self.command(|database| {
            database.codes = None;
            database.connection.execute_batch(vectors::UNFOLLOW)?;
            transact(&mut database.connection, |transaction| {
                transaction.execute("DELETE FROM facts WHERE name IN ('embedder', 'vector_dimension')", [])?;
                centres::drop_all(transaction)?;
                vectors::set_fact(transaction, STALE, "1")
            })
        })
        .await?;
        while self.run(|connection| transact(connection, drop_some)).await? {}
        self.run(|connection| Ok(scrub(connection)?)).await
    }

    /// Notes without a vector, those noted last first: they are looked for first. At most `limit`, [`limits::LIST_ROWS`] and
    /// [`limits::UNEMBEDDED_BYTES`] of text, but one at least if there is one.
    pub async fn without_vector(&self, limit: usize) -> Result<Vec<Unembedded>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(WANTED)?;
            let mut rows = statement.query([limits::rows(limit, limits::LIST_ROWS)])?;
            let (mut out, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let note = Unembedded { number: row.get(0)?, text: row.get(1)? };
                bytes += note.text.len();
                if bytes > limits::UNEMBEDDED_BYTES && !out.is_empty() {
                    break;
                }
                out.push(note);
            }
            Ok(out)
        })
        .await
    }

    /// Gives notes the vectors that `embedder` made of their texts; how many were kept. Not kept are those of notes that have gone, that have
    /// another text by now, or that have a vector, and those that have no direction (NaN, zero): such a note is found by its words alone, and is not
    /// asked for again. All are refused if `embedder` is not the one in use ([`Store::use_embedder`]), or one has another dimension.
    pub async fn put_vectors(&self, embedder: &str, vectors: Vec<(Unembedded, Vec<f32>)>) -> Result<usize, StoreError> {
        let embedder = embedder.to_owned();
        self.run(move |connection| {
            transact(connection, |transaction| {
                let known = vectors::fact(transaction, "embedder")?;
                if known.as_ref() != Some(&embedder) {
                    return Err(StoreError::OtherEmbedder { given: embedder, known: known.unwrap_or_else(|| "none".into()) }.into());
                }
                let mut kept = 0;
                for (note, vector) in &vectors {
                    kept += usize::from(put(transaction, note, vector)?);
                }
                Ok(kept)
            })
        })
        .await
    }

    /// How many notes need no vector any more, and how many there are.
    pub async fn vector_counts(&self) -> Result<(u64, u64), StoreError> {
        self.run(|connection| {
            let count = |sql| {
                let count: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
                Ok::<_, Failure>(count.unsigned_abs())
            };
            let (all, wanted) = (count("SELECT count(*) FROM notes")?, count("SELECT count(*) FROM vectors_wanted")?);
            Ok((all.saturating_sub(wanted), all))
        })
        .await
    }
}

const WANTED: &str = "SELECT number, text FROM vectors_wanted JOIN notes ON number = note ORDER BY note DESC LIMIT ?1";

const STILL_WANTED: &str = "SELECT 1 FROM vectors_wanted JOIN notes ON number = note WHERE note = ?1 AND text = ?2";

fn put(transaction: &Transaction<'_>, note: &Unembedded, vector: &[f32]) -> Result<bool, Failure> {
    if let Some(expected) = vectors::dimension(transaction)? {
        vectors::same_dimension(vector.len(), expected)?;
    }
    let wanted: Option<i64> =
        transaction.prepare_cached(STILL_WANTED)?.query_row((note.number, &note.text), |row| row.get(0)).optional()?;
    if wanted.is_none() {
        return Ok(false);
    }
    if vectors::usable(vector).is_err() {
        transaction.prepare_cached("DELETE FROM vectors_wanted WHERE note = ?1")?.execute([note.number])?;
        return Ok(false);
    }
    vectors::put(transaction, note.number, vector)?;
    Ok(true)
}

/// Deletes some of the vectors; `false`: all have gone.
fn drop_some(transaction: &Transaction<'_>) -> Result<bool, Failure> {
    let most = limits::rows(limits::VECTORS_AT_ONCE, limits::VECTORS_AT_ONCE);
    let last: Option<i64> = transaction
        .prepare_cached("SELECT max(note) FROM (SELECT note FROM vectors ORDER BY note LIMIT ?1)")?
        .query_row([most], |row| row.get(0))?;
    let Some(last) = last else {
        // A note whose vector had no direction may have one with another embedder.
        transaction.execute("INSERT INTO vectors_wanted (note) SELECT number FROM notes WHERE true ON CONFLICT DO NOTHING", [])?;
        transaction.execute("DELETE FROM facts WHERE name = ?1", [STALE])?;
        return Ok(false);
    };
    transaction
        .prepare_cached("INSERT INTO vectors_wanted (note) SELECT note FROM vectors WHERE note <= ?1 ON CONFLICT DO NOTHING")?
        .execute([last])?;
    transaction.prepare_cached("DELETE FROM vectors WHERE note <= ?1")?.execute([last])?;
    Ok(true)
}
