//! One GET, with every step of its way checked: scheme, host, all addresses of the host, type, size.
//!
//! Deliberately not here: what is made of the body. Nothing of the program's or the owner's goes out but the address itself: no cookies,
//! no referrer, no proxy of the environment.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agent::ToolError;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url};

use crate::call::fail;
use crate::net::is_public;
use crate::text::{one_line, thousands};
use crate::tls::tls;

/// Redirects that are followed.
const REDIRECTS: usize = 5;
/// Time to reach a server.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest address.
const URL_BYTES: usize = 2_000;
/// Most addresses of a name that are looked at; a name with more is refused.
const ADDRESSES: usize = 64;
/// Most bytes of a body, unpacked; the rest is left.
pub(super) const BODY_BYTES: usize = 2 << 20;

type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Gives the addresses of a name.
pub(super) type Resolver = Arc<dyn Fn(&str) -> Addresses + Send + Sync>;

/// The machine's own resolver.
pub(super) fn system_resolver() -> Resolver {
    Arc::new(|host| {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()) })
    })
}

/// See the file's head.
pub(super) struct Client {
    /// `HOST:PORT`, in small letters.
    allow_private: Vec<String>,
    resolver: Resolver,
}

/// What is asked for.
pub(super) struct Get<'a> {
    pub(super) url: &'a str,
    /// The types that are wanted, for the server.
    pub(super) accept: &'static str,
    /// A header that may be secret. With one no redirect is followed.
    pub(super) secret: Option<(HeaderName, &'a str)>,
    /// Whether a body of this type is wanted; `None`: the server did not say.
    pub(super) is_wanted: fn(Option<&str>) -> bool,
}

/// What came.
#[derive(Debug)]
pub(super) struct Answer {
    /// Where it came from, behind all redirects.
    pub(super) url: Url,
    /// The whole `Content-Type`.
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
    /// There was more than [`BODY_BYTES`].
    pub(super) is_cut: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("allow_private", &self.allow_private).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(allow_private: Vec<String>, resolver: Resolver) -> Self {
        Self { allow_private: allow_private.into_iter().map(|grant| grant.to_ascii_lowercase()).collect(), resolver }
    }

    /// The same, which may also reach the host of `url`, because the owner named it.
    pub(super) fn with_host_of(&self, url: &str) -> Self {
        let mut allow_private = self.allow_private.clone();
        allow_private.extend(Url::parse(url).ok().and_then(|url| host_and_port(&url)));
        Self { allow_private, resolver: Arc::clone(&self.resolver) }
    }

    /// Fetches `get.url`. The caller bounds the time.
    pub(super) async fn get(&self, get: &Get<'_>) -> Result<Answer, ToolError> {
        let mut url = parse(get.url)?;
        for _ in 0..=REDIRECTS {
            let addresses = self.addresses(&url).await?;
            let response = send(&url, addresses, get).await?;
            match redirect(&url, &response)? {
                None => return answer(url, response, get).await,
                Some(_) if get.secret.is_some() => return Err(fail(format!("{} sends elsewhere, which is not followed", host(&url)))),
                Some(next) => url = next,
            }
        }
        Err(fail(format!("more than {REDIRECTS} redirects, the last to {url}")))
    }

    /// The addresses of `url`'s host, every one of which may be reached.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, ToolError> {
        let port = url.port_or_known_default().unwrap_or(80);
        let addresses: Vec<IpAddr> = match url.host() {
            Some(::url::Host::Ipv4(address)) => vec![address.into()],
            Some(::url::Host::Ipv6(address)) => vec![address.into()],
            Some(::url::Host::Domain(name)) => {
                let resolved = (self.resolver)(name).await;
                resolved.map_err(|error| fail(format!("the name {name} cannot be resolved: {}", one_line(&error.to_string()))))?
            }
            None => Vec::new(),
        };
        if addresses.is_empty() || addresses.len() > ADDRESSES {
            return Err(fail(format!("{} has {} addresses", host(url), addresses.len())));
        }
        let is_granted = host_and_port(url).is_some_and(|place| self.allow_private.contains(&place));
        match addresses.iter().find(|address| !is_granted && !is_public(**address)) {
            Some(_) => Err(fail(format!("{} is not on the public internet, and is reached only if the owner allows it", host(url)))),
            None => Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()),
        }
    }
}

/// The addresses that were checked, whatever name is asked for: between check and connection no name is resolved a second time.
struct Checked(Vec<SocketAddr>);

impl Resolve for Checked {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// An address that may be looked at further.
fn parse(text: &str) -> Result<Url, ToolError> {
    if text.len() > URL_BYTES {
        return Err(fail(format!("the address has {} bytes; {URL_BYTES} are the most", thousands(text.len() as u64))));
    }
    let url = Url::parse(text.trim()).map_err(|error| fail(format!("no address ({error}); give one such as https://example.org/")))?;
    check(&url)?;
    Ok(url)
}

fn check(url: &Url) -> Result<(), ToolError> {
    if !["http", "https"].contains(&url.scheme()) {
        return Err(fail(format!("`{}:` addresses are not fetched, only http and https", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fail("the address has a name or password in it, which is not sent"));
    }
    if url.host_str().is_none_or(|host| host.trim_end_matches('.').is_empty()) {
        return Err(fail("the address has no host"));
    }
    Ok(())
}

async fn send(url: &Url, addresses: Vec<SocketAddr>, get: &Get<'_>) -> Result<Response, ToolError> {
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls()).user_agent(crate::USER_AGENT).connect_timeout(CONNECT);
    let builder = builder.no_proxy().referer(false).redirect(Policy::none()).dns_resolver(Checked(addresses));
    let client = builder.build().map_err(|error| lost(url, &error))?;
    let mut request = client.get(url.clone()).header(ACCEPT, get.accept);
    if let Some((name, value)) = &get.secret {
        request = request.header(name, *value);
    }
    request.send().await.map_err(|error| lost(url, &error))
}

/// Where `response` sends to, if it does.
fn redirect(url: &Url, response: &Response) -> Result<Option<Url>, ToolError> {
    let sends = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let Some(location) = response.headers().get(LOCATION).filter(|_| sends) else { return Ok(None) };
    let bad = || fail(format!("{} sends to something that is no address", host(url)));
    let location = std::str::from_utf8(location.as_bytes()).ok().filter(|location| location.len() <= URL_BYTES).ok_or_else(bad)?;
    let next = url.join(location).map_err(|_| bad())?;
    check(&next).map_err(|error| fail(format!("{} sends to {next}: {error}", host(url))))?;
    if url.scheme() == "https" && next.scheme() != "https" {
        return Err(fail(format!("{} sends from https to http, to {next}", host(url))));
    }
    Ok(Some(next))
}

/// Reads the body, if it is wanted.
async fn answer(url: Url, mut response: Response, get: &Get<'_>) -> Result<Answer, ToolError> {
    let status = response.status();
    if !status.is_success() {
        return Err(fail(format!("{} says {status}", host(&url))));
    }
    let header = |name| response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let content_type = header(CONTENT_TYPE);
    let essence = content_type.as_deref().map(essence);
    if !(get.is_wanted)(essence.as_deref()) {
        let size = response.content_length().map(|bytes| format!(" of {} bytes", thousands(bytes))).unwrap_or_default();
        let kind = essence.as_deref().map_or_else(|| "a body without a type".into(), one_line);
        return Err(fail(format!("{} has {kind}{size}, which is no text that can be read here", host(&url))));
    }
    // What reqwest has unpacked has lost this header.
    if let Some(packed) = header(CONTENT_ENCODING).filter(|packed| !packed.eq_ignore_ascii_case("identity")) {
        return Err(fail(format!("{} packs what it sends with `{}`, though it was not asked to", host(&url), one_line(&packed))));
    }
    let mut body = Vec::new();
    let mut is_cut = false;
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(&url, &error))? {
        let room = BODY_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            is_cut = true;
            break;
        }
    }
    Ok(Answer { url, content_type, body, is_cut })
}

/// `text/html` of `Text/HTML; charset=utf-8`.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The host of `url` without a dot at its end, and the port.
fn host_and_port(url: &Url) -> Option<String> {
    let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
    Some(format!("{host}:{}", url.port_or_known_default()?))
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// What went wrong on the way: the innermost error, which names the cause.
fn lost(url: &Url, error: &reqwest::Error) -> ToolError {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let what = if error.is_timeout() { "no answer in time".to_owned() } else { one_line(&inner.to_string()) };
    fail(format!("{} cannot be read: {what}", host(url)))
}
