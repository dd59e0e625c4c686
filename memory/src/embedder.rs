//! Which embedder made the vectors, and which notes have none. Simple for now: vectors at size come next.
use crate::journal::transact;
use crate::{Store, StoreError, vectors};
use rusqlite::params;

/// A note without a vector.
#[derive(Debug, Clone)]
pub struct Unembedded {
    /// Number.
    pub number: i64,
    /// Text.
    pub text: String,
}

impl Store {
    /// See the file's head.
    pub async fn embedder(&self) -> Result<Option<(String, usize)>, StoreError> {
        self.run(|c| {
            let value: Option<String> = c.query_row("SELECT value FROM facts WHERE name='embedder'", [], |r| r.get(0)).ok();
            Ok(value.and_then(|value| {
                let (name, dimension) = value.rsplit_once('/')?;
                Some((name.to_owned(), dimension.parse().ok()?))
            }))
        })
        .await
    }
    /// See the file's head.
    pub async fn use_embedder(&self, name: &str, dimension: usize) -> Result<bool, StoreError> {
        let value = format!("{name}/{dimension}");
        self.run(move |c| {
            transact(c, |t| {
                let old: Option<String> = t.query_row("SELECT value FROM facts WHERE name='embedder'", [], |r| r.get(0)).ok();
                if old.as_deref() == Some(&value) {
                    return Ok(false);
                }
                vectors::drop_all(t)?;
                t.execute("INSERT INTO facts VALUES ('embedder', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1", [value])?;
                Ok(true)
            })
        })
        .await
    }
    /// See the file's head.
    pub async fn without_vector(&self, limit: usize) -> Result<Vec<Unembedded>, StoreError> {
        self.run(move |c| {
            let there: i64 = c.query_row("SELECT count(*) FROM sqlite_schema WHERE name='notes_vectors'", [], |r| r.get(0))?;
            let sql = if there == 0 {
                "SELECT number, text FROM notes ORDER BY number DESC LIMIT ?1"
            } else {
                "SELECT number, text FROM notes WHERE number NOT IN (SELECT note FROM notes_vectors) ORDER BY number DESC LIMIT ?1"
            };
            let mut s = c.prepare(sql)?;
            let rows = s.query_map(params![limit as i64], |r| Ok(Unembedded { number: r.get(0)?, text: r.get(1)? }))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
    /// See the file's head.
    pub async fn put_vectors(&self, vectors: Vec<(Unembedded, Vec<f32>)>) -> Result<(), StoreError> {
        self.run(move |c| {
            transact(c, |t| {
                for (n, v) in &vectors {
                    vectors::put(t, n.number, v)?;
                }
                Ok(())
            })
        })
        .await
    }
    /// See the file's head.
    pub async fn vector_counts(&self) -> Result<(u64, u64), StoreError> {
        Ok((0, 0))
    }
}
