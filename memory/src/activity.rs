//! What goes on and what went on lately, for whoever asks how the program is. Bounded, whatever the length of the history.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::{Store, StoreError, limits};

/// Numbers of the journal: what is open now, and what has been since a moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// Turns that are not finished, tasks within turns left out.
    pub open: u64,
    /// Turns that came since then.
    pub turns: u64,
    /// Of those, the ones that ended with a recorded failure.
    pub failed: u64,
    /// Tokens that the replies since then found in the KV cache.
    pub reused_tokens: u64,
    /// Tokens that were decoded to fill it.
    pub prefilled_tokens: u64,
    /// Tokens that were generated.
    pub completion_tokens: u64,
    /// Time in generating them, in milliseconds.
    pub decode_ms: f64,
    /// There was more than is looked at ([`limits::ACTIVITY_TURNS`] and the limits beside it), so the numbers are too small.
    pub cut: bool,
    /// Bytes of the database.
    pub bytes: u64,
}

/// Activity.
impl Store {
    /// What goes on, and what has been since `since`: RFC 3339, UTC, with milliseconds and `Z`, as the journal has its times.
    pub async fn activity(&self, since: &str) -> Result<Activity, StoreError> {
        let since = since.to_owned();
        self.run(move |connection| activity(connection, &since)).await
    }
}

const OPEN: &str = "SELECT count(*) FROM turns WHERE finished IS NULL AND parent IS NULL";

const TURNS: &str = "SELECT count(*), count(*) FILTER (WHERE t.state = 'failed')
     FROM (SELECT inbound, state FROM turns ORDER BY id DESC LIMIT ?2) t JOIN inbox i ON i.id = t.inbound WHERE i.at >= ?1";

/// Times are not indexed; numbers ascend with them.
const REPLIES: &str = "SELECT count(*), total(reused), total(prefilled), total(completion), total(ms) FROM (
         SELECT body ->> '$.usage.reused_tokens' AS reused, body ->> '$.usage.prefilled_tokens' AS prefilled,
             body ->> '$.usage.completion_tokens' AS completion, body ->> '$.timings.decode_ms' AS ms
         FROM steps WHERE id > (SELECT max(id) FROM steps) - ?3 AND kind = 'thought' AND at >= ?1 ORDER BY id DESC LIMIT ?2)";

/// Whether the oldest step that is looked at is of that time, too.
const MORE: &str = "SELECT EXISTS (SELECT 1 FROM steps WHERE id = (SELECT max(id) FROM steps) - ?2 AND at >= ?1)";

fn activity(connection: &Connection, since: &str) -> Result<Activity, Failure> {
    let most = |number: usize| limits::rows(number, number);
    let number = |value: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let number = value as u64;
        number
    };
    let count = |value: i64| u64::try_from(value).unwrap_or_default();
    let mut out = Activity { open: count(connection.prepare_cached(OPEN)?.query_row([], |row| row.get(0))?), ..Activity::default() };
    let turns = params![since, most(limits::ACTIVITY_TURNS)];
    (out.turns, out.failed) = connection.prepare_cached(TURNS)?.query_row(turns, |row| Ok((count(row.get(0)?), count(row.get(1)?))))?;
    let (replies, steps) = (most(limits::ACTIVITY_REPLIES), most(limits::ACTIVITY_STEPS));
    let seen: i64 = connection.prepare_cached(REPLIES)?.query_row(params![since, replies, steps], |row| {
        (out.reused_tokens, out.prefilled_tokens) = (number(row.get(1)?), number(row.get(2)?));
        (out.completion_tokens, out.decode_ms) = (number(row.get(3)?), row.get(4)?);
        row.get(0)
    })?;
    let more: bool = connection.prepare_cached(MORE)?.query_row(params![since, steps], |row| row.get(0))?;
    out.cut = more || seen == replies || out.turns == limits::ACTIVITY_TURNS as u64;
    let bytes = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    out.bytes = count(connection.prepare_cached(bytes)?.query_row([], |row| row.get(0))?);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Inbound, Outbound, TurnState};

    async fn turn(store: &Store, session: &str) -> i64 {
        let inbound = Inbound { channel: "terminal".into(), session: session.into(), text: "hello".into(), ..Inbound::default() };
        store.accept(inbound).await.unwrap().turn
    }

    async fn reply(store: &Store, turn: i64, [reused, prefilled, completion]: [u32; 3], ms: f64) {
        let usage = json!({ "reused_tokens": reused, "prefilled_tokens": prefilled, "completion_tokens": completion });
        store.append(turn, "thought", json!({ "usage": usage, "timings": { "decode_ms": ms } })).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_and_what_was() {
        let store = Store::in_memory().unwrap();
        let empty = store.activity("2000-01-01T00:00:00.000Z").await.unwrap();
        assert_eq!(empty, Activity { bytes: empty.bytes, ..Activity::default() });
        assert!(empty.bytes > 0);
        let (first, second) = (turn(&store, "a").await, turn(&store, "b").await);
        turn(&store, "c").await;
        reply(&store, first, [10, 20, 5], 100.0).await;
        reply(&store, second, [1, 2, 3], 50.5).await;
        store.append(second, "result", json!({ "usage": { "reused_tokens": 1_000 } })).await.unwrap();
        store.finish(first, TurnState::Done, "done", Some(Outbound { text: "x".into() })).await.unwrap();
        store.finish(second, TurnState::Failed, "no", None).await.unwrap();
        let expected = Activity {
            open: 1,
            turns: 3,
            failed: 1,
            reused_tokens: 11,
            prefilled_tokens: 22,
            completion_tokens: 8,
            decode_ms: 150.5,
            cut: false,
            bytes: 0,
        };
        let found = store.activity("2000-01-01T00:00:00.000Z").await.unwrap();
        assert_eq!(Activity { bytes: 0, ..found }, expected);
        // Of a time to come there is nothing but what is open.
        let found = store.activity("2999-01-01T00:00:00.000Z").await.unwrap();
        assert_eq!(Activity { bytes: 0, ..found }, Activity { open: 1, ..Activity::default() });
    }

    #[tokio::test]
    async fn a_long_day_is_cut() {
        let store = Store::in_memory().unwrap();
        let one = turn(&store, "a").await;
        let step = || ("thought".to_owned(), json!({ "usage": { "reused_tokens": 1 } }));
        store.append_all(one, (0..=limits::ACTIVITY_REPLIES).map(|_| step()).collect()).await.unwrap();
        let found = store.activity("2000-01-01T00:00:00.000Z").await.unwrap();
        assert_eq!((found.cut, found.reused_tokens), (true, limits::ACTIVITY_REPLIES as u64));
    }
}
