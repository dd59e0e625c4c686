//! The hub: what a repository holds, and a file of it from a byte on. The interface is Hugging Face's.
//!
//! The token goes to the hub's own host only, and stands in no message; neither does an address that a redirect named, because such
//! addresses are signed.

use std::error::Error as _;
use std::time::Duration;

use anyhow::{Result, anyhow};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE, LINK, RANGE, RETRY_AFTER,
};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

use super::choose::RemoteFile;
use crate::exit::BadInput;

/// Time to reach the hub.
const CONNECT: Duration = Duration::from_secs(15);
/// A connection on which nothing has come for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// Most pages of a repository's list; a page has about 1,000 files.
const PAGES: usize = 10;
/// Most bytes of a page.
const PAGE_BYTES: usize = 16 << 20;
/// Longest wait that the hub may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A hub and the right to use it.
#[derive(Clone)]
pub struct Hub {
    client: Client,
    base: Url,
    has_token: bool,
}

/// Why a request failed, and whether another try may help.
#[derive(Debug)]
pub enum Failure {
    /// The network, or a busy hub, which may have said how long to wait.
    Passing(String, Option<Duration>),
    /// Another try would fail as well.
    Final(anyhow::Error),
}

/// A file's bytes on their way.
pub struct Stream {
    response: Response,
    /// The first byte that comes.
    pub from: u64,
    /// The file's tag, if it is one that a byte range may rest on.
    pub etag: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type", default)]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: Option<u64>,
}

impl Hub {
    /// The hub at `url`; `token` is sent to it, and to nobody else.
    ///
    /// # Errors
    /// [`BadInput`] for a URL or token that cannot be one.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self> {
        let bad_url = |why: String| BadInput(format!("`models.url` is `{url}`: {why}; give one such as https://huggingface.co"));
        let mut base = Url::parse(url).map_err(|e| bad_url(e.to_string()))?;
        if !["http", "https"].contains(&base.scheme()) || base.host_str().is_none() {
            return Err(bad_url("it is no http or https address".to_owned()).into());
        }
        if !base.username().is_empty() || base.password().is_some() {
            // Not repeated: it may be a secret.
            return Err(BadInput("`models.url` has a name or password in it; put the token in `models.token_file`".to_owned()).into());
        }
        base.set_query(None);
        base.set_fragment(None);
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        let mut headers = HeaderMap::new();
        // Sizes and ranges are those of the file, not of something packed.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(token) = token {
            let header = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| token.bytes().all(|b| b.is_ascii_graphic()));
            let mut header =
                header.ok_or_else(|| BadInput("the token for the hub has a space or another sign that no token has".to_owned()))?;
            header.set_sensitive(true);
            headers.insert(AUTHORIZATION, header);
        }
        let agent = concat!("paguro/", env!("CARGO_PKG_VERSION"));
        let builder = Client::builder().tls_backend_preconfigured(tools::tls()).no_gzip().user_agent(agent).default_headers(headers);
        // reqwest takes `Authorization` out of what it sends to another host or port.
        let builder = builder.connect_timeout(CONNECT).read_timeout(SILENCE).redirect(Policy::custom(redirect)).referer(false);
        let client = builder.build().map_err(|e| anyhow!("the network cannot be used: {}", cause(&e)))?;
        Ok(Self { client, base, has_token: token.is_some() })
    }

    /// The files of `repo`.
    ///
    /// # Errors
    /// [`Failure::Final`] with [`BadInput`] where the repository is not there or not open.
    pub async fn files(&self, repo: &str) -> Result<Vec<RemoteFile>, Failure> {
        let mut next = Some(self.address(&format!("api/models/{repo}/tree/main?recursive=true"))?);
        let mut files = Vec::new();
        for _ in 0..PAGES {
            let Some(page) = next.take() else { break };
            let response = self.send(self.client.get(page)).await?;
            let mut response = self.answered(response, repo)?;
            next = response.headers().get(LINK).and_then(|link| next_page(link.to_str().ok()?, response.url()));
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|e| self.lost(&e))? {
                body.extend_from_slice(&chunk);
                if body.len() > PAGE_BYTES {
                    return Err(Failure::Final(anyhow!("{} sends more than {PAGE_BYTES} bytes as the list of {repo}", self.base)));
                }
            }
            let unread =
                |e: serde_json::Error| anyhow!("{} does not answer as a Hugging Face hub does ({e}); check `url` in [models]", self.base);
            let entries: Vec<Entry> = serde_json::from_slice(&body).map_err(|e| Failure::Final(unread(e)))?;
            files.extend(entries.into_iter().filter(|entry| entry.kind != "directory").map(remote_file));
        }
        Ok(files)
    }

    /// The bytes of `path` in `repo` from byte `from` on; from the start, if the file is no longer that of `etag` or the hub sends no
    /// ranges.
    pub async fn open(&self, repo: &str, path: &str, from: u64, etag: Option<&str>) -> Result<Stream, Failure> {
        let mut address = self.address(&format!("{repo}/resolve/main/"))?;
        if let Ok(mut segments) = address.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        let mut request = self.client.get(address.clone());
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
            if let Some(etag) = etag {
                request = request.header(IF_RANGE, etag);
            }
        }
        let mut response = self.send(request).await?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && from > 0 {
            response = self.send(self.client.get(address)).await?;
        }
        let response = self.answered(response, repo)?;
        let header = |name: HeaderName| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let etag = header(ETAG).filter(|etag| etag.starts_with('"')).map(str::to_owned);
        let starts = match response.status() {
            StatusCode::PARTIAL_CONTENT => header(CONTENT_RANGE).and_then(first_byte),
            _ => Some(0),
        };
        match starts {
            Some(starts) if starts == 0 || starts == from => Ok(Stream { response, from: starts, etag }),
            _ => Err(Failure::Final(anyhow!("{} sent another range of {path} than the one asked for", self.base))),
        }
    }

    fn address(&self, path: &str) -> Result<Url, Failure> {
        self.base.join(path).map_err(|e| Failure::Final(anyhow!("{}{path} is no address: {e}", self.base)))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|e| self.lost(&e))
    }

    /// What went wrong on the way, without the address.
    fn lost(&self, error: &reqwest::Error) -> Failure {
        let says = format!("{} cannot be reached: {}", self.base.host_str().unwrap_or_default(), cause(error));
        if error.is_redirect() || error.is_builder() { Failure::Final(anyhow!(says)) } else { Failure::Passing(says, None) }
    }

    /// `response` if it is a good one.
    fn answered(&self, response: Response, repo: &str) -> Result<Response, Failure> {
        let status = response.status();
        let page = || format!("{}{repo}", self.base);
        let refused = |says: String| Err(Failure::Final(BadInput(says).into()));
        match status {
            _ if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.has_token => {
                refused(format!("the hub does not open {repo} to your token ({status}); ask for access or accept its terms at {}", page()))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => refused(format!(
                "{repo} is not there or needs a token ({status}): check the name; if it is right, accept its terms at {} and name a file \
                 with your token as `token_file` under [models], or set PAGURO_MODELS_TOKEN",
                page()
            )),
            StatusCode::NOT_FOUND => refused(format!("there is no {repo} at {}; check the name", self.base)),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(Failure::Passing(format!("the hub says {status}"), wait(&response)))
            }
            _ if status.is_server_error() => Err(Failure::Passing(format!("the hub says {status}"), wait(&response))),
            _ => Err(Failure::Final(anyhow!("the hub says {status} to a request for {repo}; check `url` in [models]"))),
        }
    }
}

impl Stream {
    /// The next bytes; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let chunk = self.response.chunk().await;
        let chunk = chunk.map_err(|e| Failure::Passing(format!("the connection broke: {}", cause(&e)), None))?;
        Ok(chunk.map(Vec::from))
    }
}

/// Follows a redirect, but not from https to http.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_safe = attempt.previous().last().is_some_and(|from| from.scheme() == "https");
    if attempt.previous().len() > REDIRECTS {
        attempt.error("too many redirects")
    } else if was_safe && attempt.url().scheme() != "https" {
        attempt.error("a redirect leads from https to http")
    } else {
        attempt.follow()
    }
}

/// The innermost error, which names the cause; the outer ones name the address.
fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    if error.source().is_some() {
        return inner.to_string();
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { "the answer is not HTTP as it should be".to_owned() }
}

fn remote_file(entry: Entry) -> RemoteFile {
    let size = entry.lfs.as_ref().and_then(|lfs| lfs.size).unwrap_or(entry.size);
    let digits = |oid: &str| oid.len() == 64 && oid.bytes().all(|byte| byte.is_ascii_hexdigit());
    let sha256 = entry.lfs.map(|lfs| lfs.oid.trim_start_matches("sha256:").to_ascii_lowercase()).filter(|oid| digits(oid));
    RemoteFile { path: entry.path, size, sha256 }
}

/// `<https://…>; rel="next"`, if it is on the same host.
fn next_page(link: &str, here: &Url) -> Option<Url> {
    let (address, _) = link.split(',').find_map(|part| part.split_once(';').filter(|(_, rel)| rel.contains("rel=\"next\"")))?;
    let next = here.join(address.trim().trim_start_matches('<').trim_end_matches('>')).ok()?;
    (next.origin() == here.origin()).then_some(next)
}

/// `bytes 100-199/200` begins at 100.
fn first_byte(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

fn wait(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let base = |url: &str| Hub::new(url, None).map(|hub| hub.base.to_string()).map_err(|e| e.to_string());
        assert_eq!(base("https://huggingface.co").unwrap(), "https://huggingface.co/");
        assert_eq!(base("http://127.0.0.1:8080/hub/?x=1#y").unwrap(), "http://127.0.0.1:8080/hub/");
        for bad in ["", "huggingface.co", "file:///etc", "ftp://h"] {
            let told = base(bad).unwrap_err();
            assert!(told.starts_with(&format!("`models.url` is `{bad}`: ")), "{told}");
        }
        assert!(!base("https://me:secret@h").unwrap_err().contains("secret"));
    }

    #[test]
    fn tokens_stand_in_no_message() {
        assert!(Hub::new("https://h", Some("hf_abc")).is_ok());
        for bad in ["hf_sécret", "hf secret", "hf\nsecret"] {
            let told = Hub::new("https://h", Some(bad)).err().unwrap().to_string();
            assert!(!told.contains("cret"), "{told}");
        }
    }

    #[test]
    fn headers() {
        assert_eq!(first_byte("bytes 100-199/200"), Some(100));
        assert_eq!(first_byte("bytes */200"), None);
        let here = Url::parse("https://h/api/x").unwrap();
        let next = |link: &str| next_page(link, &here).map(|url| url.to_string());
        assert_eq!(next("</api/x?cursor=1>; rel=\"next\"").as_deref(), Some("https://h/api/x?cursor=1"));
        assert_eq!(next("<https://other/x>; rel=\"next\""), None);
        assert_eq!(next("<https://h/x>; rel=\"prev\""), None);
    }
}
