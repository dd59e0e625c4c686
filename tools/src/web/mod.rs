//! The web: pages ([`fetch`]) and what a search engine finds ([`search`]). Only reading, only the public internet.
//!
//! Deliberately not here: cookies, accounts, scripts, forms, a proxy, and any trust in what is read: it is a stranger's text.

mod client;
mod fetch;
mod html;
mod page;
mod search;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use agent::Tool;

pub use search::Provider;

use self::client::{Client, system_resolver};

/// What the tools of the web need.
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// `HOST:PORT` that may be reached although its address is not of the public internet.
    pub allow_private: Vec<String>,
    /// Who searches.
    pub search: Provider,
}

/// `web_fetch` and `web_search`.
#[must_use]
pub fn web(settings: &WebSettings) -> Vec<Box<dyn Tool>> {
    let client = Arc::new(Client::new(settings.allow_private.clone(), system_resolver()));
    vec![Box::new(fetch::WebFetch::new(Arc::clone(&client))), Box::new(search::WebSearch::new(&client, settings.search.clone()))]
}
