//! What all tools share: parsing arguments, and running file work off the async thread, stoppable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent::engine::ToolSchema;
use agent::{Output, ToolContext, ToolError, ToolFuture};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How much longer than its deadline file work may take before it is given up: it looks at the deadline itself and
/// then returns what it has, which is better than nothing.
const GRACE: Duration = Duration::from_secs(1);

/// A failure that the model is told of.
pub(crate) fn fail(message: impl Into<String>) -> ToolError {
    message.into().into()
}

/// The schema of a tool whose arguments are `properties`, the first `required` of which must be given.
pub(crate) fn schema(name: &str, description: &str, required: usize, properties: Value) -> ToolSchema {
    let names: Vec<String> = properties.as_object().map(|p| p.keys().take(required).cloned().collect()).unwrap_or_default();
    ToolSchema {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({
            "type": "object",
            "properties": properties,
            "required": names,
            "additionalProperties": false,
        }),
    }
}

/// The arguments as a typed struct; the error names the argument that does not fit.
pub(crate) fn parse<T: DeserializeOwned>(arguments: &Value) -> Result<T, ToolError> {
    serde_path_to_error::deserialize(arguments).map_err(|error| match error.path().to_string().as_str() {
        "." => fail(error.inner().to_string()),
        path => fail(format!("argument `{path}`: {}", error.inner())),
    })
}

/// When file work must end: its time is over, or nobody waits for it any more.
#[derive(Clone)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    dropped: Arc<AtomicBool>,
}

impl Deadline {
    /// `timeout` from now. A time too far away to be a time is never.
    pub(crate) fn after(timeout: Duration) -> Self {
        Self { at: Instant::now().checked_add(timeout), dropped: Arc::default() }
    }

    /// Whether to stop now.
    pub(crate) fn passed(&self) -> bool {
        self.dropped.load(Ordering::Relaxed) || self.at.is_some_and(|at| Instant::now() >= at)
    }
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `60 s`, `0.5 s`.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// Runs file work on a thread that may block, for at most the context's time. Dropping the future tells it to stop.
pub(crate) fn blocking<'a, W, T>(context: &ToolContext, work: W) -> ToolFuture<'a>
where
    W: FnOnce(&Deadline) -> Result<T, ToolError> + Send + 'static,
    T: Into<Output> + Send + 'static,
{
    let timeout = context.timeout;
    Box::pin(async move {
        let deadline = Deadline::after(timeout);
        let _stop = StopOnDrop(Arc::clone(&deadline.dropped));
        let task = tokio::task::spawn_blocking(move || work(&deadline));
        match tokio::time::timeout(timeout.saturating_add(GRACE), task).await {
            Ok(Ok(result)) => result.map(Into::into),
            Ok(Err(error)) => Err(fail(format!("the tool broke: {error}"))),
            Err(_) => Err(fail(format!("stopped after {}", seconds(timeout)))),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Arguments {
        #[allow(dead_code)]
        path: String,
    }

    #[test]
    fn errors_name_the_argument() {
        let cases = [
            (json!({"path": 3}), "argument `path`: invalid type: integer `3`, expected a string"),
            (json!({}), "missing field `path`"),
            (json!({"path": "a", "more": 1}), "argument `more`: unknown field `more`, expected `path`"),
        ];
        for (arguments, expected) in cases {
            assert_eq!(parse::<Arguments>(&arguments).unwrap_err().text, expected);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn dropping_the_future_stops_the_work() {
        let context = ToolContext { key: "1/1".into(), turn: 1, timeout: Duration::from_secs(600), ..ToolContext::default() };
        let (started, starts) = tokio::sync::oneshot::channel();
        let (ended, ends) = tokio::sync::oneshot::channel();
        let mut work = blocking(&context, move |deadline| {
            started.send(()).unwrap();
            while !deadline.passed() {
                std::thread::yield_now();
            }
            ended.send(()).unwrap();
            Ok(String::new())
        });
        tokio::select! {
            _ = &mut work => panic!("it ended by itself"),
            start = starts => start.unwrap(),
        }
        drop(work);
        ends.await.unwrap();
    }
}
