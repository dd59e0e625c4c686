//! Asks for updates, and takes each in before it asks for the next: asking with an offset is what acknowledges.
//!
//! Time is measured, never read from a clock on the wall, so that clock may jump.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::TelegramError;
use super::api::ApiError;
use super::health::Reporter;
use super::intake::{Intake, RETRY, passes};
use super::update::{ALLOWED, Update};

/// How long Telegram may hold a question for updates that has no answer yet.
const WAIT: Duration = Duration::from_secs(30);

/// A question that has no answer after so long never will: the connection is dead.
const STALLED: Duration = Duration::from_secs(75);

/// The pause after a question that failed, doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause while somebody else asks for this bot's updates: it may be ourselves, killed a moment ago.
const CONFLICT: Duration = Duration::from_secs(10);

/// What `health` says while all is well.
const WELL: &str = "asks for updates";

/// Asks until it cannot go on.
pub(super) async fn poll(intake: &Intake, health: &Reporter) -> TelegramError {
    let (mut next, mut failures) = (Next::default(), 0);
    health.well(WELL);
    loop {
        let asked = timeout(STALLED, intake.api.get_updates(next.offset, WAIT, ALLOWED)).await;
        let error = match asked {
            Ok(Ok(updates)) => {
                health.well(WELL);
                failures = 0;
                take_all(intake, health, updates, &mut next).await;
                continue;
            }
            Ok(Err(error)) => error,
            Err(_) => ApiError::Network(format!("a question for updates had no answer for {} s; asking again", STALLED.as_secs())),
        };
        failures += 1;
        let pause = match &error {
            ApiError::Unauthorized => return TelegramError::Unauthorized,
            ApiError::Conflict(words) if words.contains("webhook") => {
                health.trouble("a webhook is set for this bot; taking it away");
                let _ = intake.api.call_raw("deleteWebhook", &serde_json::json!({})).await; // the next question tells
                pause(failures, (intake.hooks.random)())
            }
            ApiError::Conflict(words) => {
                health.trouble(&format!("another program asks for this bot's updates: stop that one ({words})"));
                pause(failures, (intake.hooks.random)()).min(CONFLICT)
            }
            ApiError::Flood(wait) => {
                health.trouble(&error.to_string());
                *wait
            }
            error => {
                health.trouble(&format!("no updates: {error}"));
                pause(failures, (intake.hooks.random)())
            }
        };
        sleep(pause).await;
    }
}

/// What to ask for next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Next {
    /// Acknowledges what has a lower number; 0: nothing is known yet.
    offset: i64,
    /// This number was not among updates that go on behind it, and was asked for.
    is_missing: bool,
}

impl Next {
    /// Of updates with these numbers, in order, which to take in: those below the offset that there is then. Where a number is missing those
    /// behind it are asked for once more, since they may have come before it; if it is missing still there is none, for Telegram leaves some out.
    fn take(&mut self, ids: &[i64]) {
        let Some((first, last)) = ids.first().zip(ids.last()) else { return };
        let mut offset = if self.offset == 0 { *first } else { self.offset };
        for id in ids {
            offset += i64::from(*id == offset);
        }
        let is_gap = *last >= offset;
        if is_gap && self.is_missing && offset == self.offset {
            offset = last + 1;
        }
        *self = Self { offset, is_missing: *last >= offset };
    }
}

/// Takes updates in, stops first, the others in order.
async fn take_all(intake: &Intake, health: &Reporter, updates: Vec<Value>, next: &mut Next) {
    let mut updates: Vec<(i64, Value)> = updates.into_iter().filter_map(|raw| Some((raw.get("update_id")?.as_i64()?, raw))).collect();
    if updates.is_empty() {
        return;
    }
    updates.sort_by_key(|(id, _)| *id);
    let ids: Vec<i64> = updates.iter().map(|(id, _)| *id).collect();
    next.take(&ids);
    updates.retain(|(id, _)| *id < next.offset);
    health.updates();
    if updates.len() > 1 {
        for (_, raw) in &updates {
            if let Err(error) = intake.stop_early(raw).await {
                health.trouble(&format!("a stop has to wait for its turn: {error}"));
            }
        }
    }
    for (_, raw) in &updates {
        take(intake, health, raw).await;
    }
}

/// Takes an update in, for as long as that takes: what the journal does not have is not acknowledged.
pub(super) async fn take(intake: &Intake, health: &Reporter, raw: &Value) {
    while let Err(error) = intake.take(raw).await {
        if !passes(&error) {
            let update = Update::read(raw).map(|update| update.id);
            tracing::error!(update, "an update was skipped: {error}");
            return;
        }
        health.trouble(&format!("messages wait with Telegram, because they cannot be written down: {error}"));
        sleep(RETRY).await;
    }
}

/// The pause after so many failures in a row, a quarter more or less.
pub(super) fn pause(failures: u32, random: u64) -> Duration {
    let doubled = FIRST_PAUSE * 2_u32.saturating_pow(failures.saturating_sub(1).min(10));
    let pause = doubled.min(LONGEST_PAUSE);
    let quarter = u64::try_from(pause.as_millis() / 4).unwrap_or(0).max(1);
    pause - Duration::from_millis(quarter) + Duration::from_millis(random % (2 * quarter))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::watch;

    use super::super::fake::Reply;
    use super::super::intake::tests::{Bench, turn};
    use super::super::settings::Health;
    use super::*;

    #[tokio::test]
    async fn what_was_taken_is_acknowledged_by_the_next_question_and_a_bad_token_ends_it() {
        let message = |update: i64, text: &str| {
            let (chat, from) = (json!({ "id": 1, "type": "private" }), json!({ "id": 1, "first_name": "A" }));
            json!({ "update_id": update, "message": { "message_id": update, "chat": chat, "from": from, "text": text } })
        };
        // Not in their order, and with a stop in the middle, which acts first and then in its turn.
        let updates = json!([message(9, "after"), { "no": "number" }, message(8, "/stop"), message(7, "before"), { "update_id": 6 }]);
        let mut asked = 0;
        let bench = Bench::with(move |method, _| match method {
            "getUpdates" => {
                asked += 1;
                if asked == 1 { Reply::ok(updates.clone()) } else { Reply::error(401, "Unauthorized") }
            }
            _ => Reply::ok(json!(true)),
        })
        .await;
        let (health, seen) = watch::channel(Health::new());
        let error = poll(&bench.intake, &Reporter::new(health)).await;
        assert!(matches!(error, TelegramError::Unauthorized), "{error}");
        let questions = bench.fake.calls("getUpdates", 2).await;
        assert_eq!(questions.iter().map(|fields| fields["offset"].clone()).collect::<Vec<_>>(), [json!(0), json!(10)]);
        assert_eq!(questions[0]["allowed_updates"], json!(ALLOWED));
        assert_eq!((bench.open().await, bench.said().await), (vec![turn("1", "after")], vec![("1".into(), "stopped".into())]));
        assert_eq!((seen.borrow().state.as_str(), seen.borrow().last_update.is_some()), (WELL, true));
    }

    #[test]
    fn nothing_is_acknowledged_that_may_come_still() {
        let mut next = Next::default();
        for (ids, offset, is_missing) in [
            (&[5, 6, 7][..], 8, false),
            // Known ones, and one that comes before its time.
            (&[6, 8, 11], 9, true),
            (&[9, 10, 11], 12, false),
            // What is not there the second time is not there.
            (&[14, 16], 12, true),
            (&[14, 16], 17, false),
            (&[3], 17, false),
            (&[], 17, false),
            (&[19], 17, true),
            (&[17, 19], 18, true),
            (&[19], 20, false),
        ] {
            next.take(ids);
            assert_eq!(next, Next { offset, is_missing }, "after {ids:?}");
        }
    }

    #[test]
    fn pauses_double_to_a_cap_and_differ() {
        let middle = |failures| pause(failures, u64::try_from(pause(failures, 0).as_millis()).unwrap() / 3).as_millis();
        assert_eq!([middle(1), middle(2), middle(3), middle(100)], [1_000, 2_000, 4_000, 30_000]);
        assert_eq!((pause(1, 0), pause(1, 499)), (Duration::from_millis(750), Duration::from_millis(1_249)));
        assert!(pause(u32::MAX, u64::MAX) <= LONGEST_PAUSE * 5 / 4);
    }
}
