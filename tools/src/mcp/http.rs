//! A server that is reached by streamable HTTP, at the address that the owner wrote.
//!
//! Deliberately not here: OAuth. A token is a header, from a file.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;

use crate::tls::tls;

/// Time to reach the server.
const CONNECT: Duration = Duration::from_secs(10);
/// Most bytes of one event; `rmcp` has a bound of its own for an answer that is no stream.
const EVENT_BYTES: usize = 8 << 20;

/// The way to `url`. Redirects are not followed, so that headers go nowhere else; no proxy, no cookies.
pub(super) fn transport(url: &str, headers: &[(String, String)]) -> Result<StreamableHttpClientTransport<Client>, String> {
    let builder = Client::builder().tls_backend_preconfigured(tls()).user_agent(crate::USER_AGENT);
    let builder = builder.no_proxy().redirect(Policy::none()).referer(false).connect_timeout(CONNECT);
    let client = builder.build().map_err(|error| format!("the network cannot be used: {error}"))?;
    let mut sent = HashMap::new();
    for (name, value) in headers {
        let bad = || format!("the header `{name}` cannot be sent; look at its name and for line breaks in its value");
        let header = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| bad())?;
        value.set_sensitive(true);
        sent.insert(header, value);
    }
    let config = StreamableHttpClientTransportConfig::with_uri(url).custom_headers(sent).max_sse_event_size(EVENT_BYTES);
    Ok(StreamableHttpClientTransport::with_client(client, config))
}
