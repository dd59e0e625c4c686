//! `web_fetch`: a page of the web, as text.

use std::sync::Arc;
use std::time::Duration;

use agent::engine::ToolSchema;
use agent::{Effect, Output, Tool, ToolContext, ToolFuture};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::client::{Client, Get};
use super::page::{is_readable, text_of};
use crate::call::{blocking, fail, parse, schema, seconds};

/// Most time for a page with all its redirects.
const FETCH_TIME: Duration = Duration::from_secs(30);
/// Most time to make text of it; what is not read by then is left out.
const READ_TIME: Duration = Duration::from_secs(5);
/// The types that are asked for.
const ACCEPT: &str = "text/html, application/xhtml+xml, text/*;q=0.9, application/json;q=0.9, application/xml;q=0.8";

/// See the file's head.
pub(super) struct WebFetch {
    client: Arc<Client>,
    /// [`FETCH_TIME`], but in tests.
    limit: Duration,
}

impl WebFetch {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client, limit: FETCH_TIME }
    }

    #[cfg(test)]
    pub(super) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    url: String,
}

impl Tool for WebFetch {
    fn schema(&self) -> ToolSchema {
        schema("web_fetch", "Read a web page as Markdown, or a text file.", 1, json!({"url": {"type": "string"}}))
    }

    fn effect(&self) -> Effect {
        Effect::Network
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let Arguments { url } = parse(arguments)?;
            let limit = self.limit.min(context.timeout);
            let get = Get { url: &url, accept: ACCEPT, secret: None, is_wanted: is_readable };
            let fetched = timeout(limit, self.client.get(&get)).await;
            let answer = fetched.map_err(|_| fail(format!("the page was not there within {}", seconds(limit))))??;
            let context = ToolContext { timeout: READ_TIME.min(context.timeout), ..context.clone() };
            let origin = answer.url.to_string();
            blocking(&context, move |deadline| text_of(&answer, deadline).map(|text| Output::foreign(text, origin))).await
        })
    }
}
