//! `web_search`: titles, addresses and a few words of what a search engine finds.

use std::fmt;
use std::time::Duration;

use agent::engine::ToolSchema;
use agent::{Effect, Output, Tool, ToolContext, ToolError, ToolFuture};
use reqwest::Url;
use reqwest::header::HeaderName;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::client::{Answer, Client, Get};
use super::html::{marked, plain};
use crate::call::{Deadline, fail, parse, schema, seconds};

/// Most time for a search.
const SEARCH_TIME: Duration = Duration::from_secs(20);
/// Who writes what is found.
const ORIGIN: &str = "web search";
/// Results that are shown.
const RESULTS: usize = 8;
/// Most characters of a query.
const QUERY_CHARS: usize = 400;
/// Most characters of a title, of an address and of the words below.
const TITLE_CHARS: usize = 150;
const URL_CHARS: usize = 500;
const WORDS_CHARS: usize = 300;

/// Who searches. An address without a value is the provider's own.
#[derive(Clone)]
pub enum Provider {
    /// DuckDuckGo's page without scripts; needs no key.
    DuckDuckGo {
        /// Another address with the same page.
        url: Option<String>,
    },
    /// A SearXNG that the owner named; may be on this machine. Its JSON format must be on.
    SearXng {
        /// Its address, without `/search`.
        url: String,
    },
    /// Brave's interface.
    Brave {
        /// Another address with the same interface.
        url: Option<String>,
        /// The owner's key.
        key: String,
    },
}

impl fmt::Debug for Provider {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Provider {
    fn name(&self) -> &'static str {
        match self {
            Self::DuckDuckGo { .. } => "DuckDuckGo",
            Self::SearXng { .. } => "SearXNG",
            Self::Brave { .. } => "Brave",
        }
    }

    fn base(&self) -> &str {
        match self {
            Self::DuckDuckGo { url } => url.as_deref().unwrap_or("https://html.duckduckgo.com/html/"),
            Self::SearXng { url } => url,
            Self::Brave { url, .. } => url.as_deref().unwrap_or("https://api.search.brave.com/res/v1/web/search"),
        }
    }

    /// Where to ask for `query`.
    fn address(&self, query: &str) -> Result<Url, ToolError> {
        let base = self.base();
        let mut url = Url::parse(base).map_err(|error| fail(format!("`search_url` under [web] is no address ({error}): {base}")))?;
        if let Self::SearXng { .. } = self {
            url.set_path(&format!("{}/search", url.path().trim_end_matches('/')));
        }
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("q", query);
        match self {
            Self::DuckDuckGo { .. } => {}
            Self::SearXng { .. } => drop(pairs.append_pair("format", "json")),
            Self::Brave { .. } => drop(pairs.append_pair("count", &RESULTS.to_string())),
        }
        drop(pairs);
        Ok(url)
    }
}

/// One result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Found {
    title: String,
    url: String,
    words: String,
}

/// See the file's head.
pub(super) struct WebSearch {
    client: Client,
    provider: Provider,
}

impl WebSearch {
    pub(super) fn new(client: &Client, provider: Provider) -> Self {
        Self { client: client.with_host_of(provider.base()), provider }
    }

    async fn search(&self, query: &str) -> Result<Vec<Found>, ToolError> {
        let url = self.provider.address(query)?;
        let secret = match &self.provider {
            Provider::Brave { key, .. } => Some((HeaderName::from_static("x-subscription-token"), key.as_str())),
            _ => None,
        };
        let (accept, is_wanted): (_, fn(Option<&str>) -> bool) = match self.provider {
            Provider::DuckDuckGo { .. } => ("text/html", |kind| kind == Some("text/html")),
            _ => ("application/json", |kind| kind == Some("application/json")),
        };
        let answer = self.client.get(&Get { url: url.as_str(), accept, secret, is_wanted }).await?;
        match self.provider {
            Provider::DuckDuckGo { .. } => from_duckduckgo(&answer),
            Provider::SearXng { .. } => from_json(&answer, "/results", "content"),
            Provider::Brave { .. } => from_json(&answer, "/web/results", "description"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    query: String,
}

impl Tool for WebSearch {
    fn schema(&self) -> ToolSchema {
        schema("web_search", "Search the web.", 1, json!({"query": {"type": "string"}}))
    }

    fn effect(&self) -> Effect {
        Effect::Network
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let Arguments { query } = parse(arguments)?;
            let query = query.trim();
            if query.is_empty() || query.chars().count() > QUERY_CHARS {
                return Err(fail(format!("a query has 1 to {QUERY_CHARS} characters")));
            }
            let limit = SEARCH_TIME.min(context.timeout);
            let name = self.provider.name();
            let found = timeout(limit, self.search(query)).await;
            let found = found.map_err(|_| fail(format!("{name} gave no answer within {}", seconds(limit))))?;
            let found = found.map_err(|error| fail(format!("{name}: {error}")))?;
            Ok(Output::foreign(shown(&found), ORIGIN))
        })
    }
}

fn shown(found: &[Found]) -> String {
    if found.is_empty() {
        return "nothing found".to_owned();
    }
    let lines = found.iter().take(RESULTS).enumerate().map(|(index, Found { title, url, words })| {
        let (title, words) = (cut(title, TITLE_CHARS), cut(words, WORDS_CHARS));
        format!("{}. {title}\n   {url}\n   {words}", index + 1)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// One line, at most so many characters.
fn cut(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// An address of the web that is no longer than is shown.
fn usable(url: &str) -> bool {
    url.len() <= URL_CHARS && Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()))
}

fn deadline() -> Deadline {
    Deadline::after(SEARCH_TIME)
}

/// The results at `place` in JSON.
fn from_json(answer: &Answer, place: &str, words: &str) -> Result<Vec<Found>, ToolError> {
    let value: Value = serde_json::from_slice(&answer.body).map_err(|error| fail(format!("it answers with JSON that is none: {error}")))?;
    let results = value.pointer(place).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |result: &Value, key: &str| plain(result[key].as_str().unwrap_or_default(), &deadline());
    let found = results.iter().take(4 * RESULTS).map(|result| Found {
        title: text(result, "title"),
        url: result["url"].as_str().unwrap_or_default().to_owned(),
        words: text(result, words),
    });
    Ok(found.filter(|found| usable(&found.url)).collect())
}

/// The results on DuckDuckGo's page: a link of the class `result__a`, then words of the class `result__snippet`.
fn from_duckduckgo(answer: &Answer) -> Result<Vec<Found>, ToolError> {
    let html = String::from_utf8_lossy(&answer.body);
    let mut found: Vec<Found> = Vec::new();
    let places = marked(&html, &["result__a", "result__snippet", "anomaly-modal__title", "no-results"], &deadline());
    for place in places {
        match place.class {
            "result__a" => {
                let url = place.href.and_then(|href| target(&answer.url, &href)).unwrap_or_default();
                found.push(Found { title: place.text, url, words: String::new() });
            }
            "result__snippet" => {
                if let Some(last) = found.last_mut() {
                    last.words = place.text;
                }
            }
            "no-results" => return Ok(Vec::new()),
            _ => return Err(fail("it takes this for a robot; wait, or set another `search` under [web]")),
        }
    }
    if found.is_empty() {
        return Err(fail("it shows a page that is not known here; set another `search` under [web]"));
    }
    found.retain(|found| usable(&found.url));
    Ok(found)
}

/// Where a link of the page leads: `//duckduckgo.com/l/?uddg=…` stands for the address in it. Advertisements stay out.
fn target(page: &Url, href: &str) -> Option<String> {
    let url = page.join(href).ok()?;
    if url.path() == "/y.js" {
        return None;
    }
    let inner = url.query_pairs().find(|(name, _)| name == "uddg").map(|(_, value)| value.into_owned());
    Some(inner.unwrap_or_else(|| url.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        let url = Url::parse("https://html.duckduckgo.com/html/?q=x").unwrap();
        Answer { url, content_type: None, body: body.into(), is_cut: false }
    }

    fn found(title: &str, url: &str, words: &str) -> Found {
        Found { title: title.into(), url: url.into(), words: words.into() }
    }

    #[test]
    fn duckduckgo() {
        let page = r#"<div class="result"><h2><a rel="nofollow" class="result__a"
            href="//duckduckgo.com/l/?uddg=https%3A%2F%2Fexample.org%2Fa%3Fb%3D1&amp;rut=12">A <b>title</b></a></h2>
            <a class="result__snippet" href="x">some  <b>words</b> &amp; more</a></div>
            <a class="result__a" href="//duckduckgo.com/y.js?ad_domain=x">Buy</a><a class="result__snippet">now</a>
            <a class="result__a" href="javascript:alert(1)">Bad</a>
            <a class="result__a" href="https://example.com/">Direct</a>"#;
        let expected = [found("A title", "https://example.org/a?b=1", "some words & more"), found("Direct", "https://example.com/", "")];
        assert_eq!(from_duckduckgo(&answer(page)), Ok(expected.to_vec()));
        assert_eq!(from_duckduckgo(&answer("<div class='no-results'>none</div>")), Ok(Vec::new()));
        let robot = from_duckduckgo(&answer("<div class='anomaly-modal__title'>Unfortunately, bots …</div>")).unwrap_err();
        assert!(robot.text.contains("robot"), "{robot}");
        let other = from_duckduckgo(&answer("<h1>Maintenance</h1>")).unwrap_err();
        assert!(other.text.contains("not known"), "{other}");
    }

    #[test]
    fn interfaces_with_json() {
        let searxng =
            r#"{"results":[{"title":"T","url":"https://a.org","content":"<b>w</b> x"},{"title":"U","url":"file:///etc/passwd"}]}"#;
        assert_eq!(from_json(&answer(searxng), "/results", "content"), Ok(vec![found("T", "https://a.org", "w x")]));
        let brave = r#"{"web":{"results":[{"title":"T","url":"https://a.org","description":"d"}]}}"#;
        assert_eq!(from_json(&answer(brave), "/web/results", "description"), Ok(vec![found("T", "https://a.org", "d")]));
        assert_eq!(from_json(&answer("{}"), "/results", "content"), Ok(Vec::new()));
        assert!(from_json(&answer("<html>"), "/results", "content").is_err());
    }

    #[test]
    fn few_and_short_results_are_shown() {
        let many: Vec<Found> = (0..50).map(|n| found(&"t\n".repeat(500), &format!("https://a.org/{n}"), &"w ".repeat(5_000))).collect();
        let text = shown(&many);
        assert_eq!((text.lines().count(), text.len() < RESULTS * 600), (RESULTS * 3, true), "{}", text.len());
        assert_eq!(shown(&[]), "nothing found");
    }

    #[test]
    fn addresses() {
        let check = |provider: Provider, expected: &str| assert_eq!(provider.address("a b&c").unwrap().as_str(), expected);
        check(Provider::DuckDuckGo { url: None }, "https://html.duckduckgo.com/html/?q=a+b%26c");
        check(Provider::SearXng { url: "http://127.0.0.1:8080/s/".into() }, "http://127.0.0.1:8080/s/search?q=a+b%26c&format=json");
        let brave = Provider::Brave { url: None, key: "secret".into() };
        assert!(!format!("{brave:?}").contains("secret"));
        check(brave, "https://api.search.brave.com/res/v1/web/search?q=a+b%26c&count=8");
    }
}
