//! The filtering proxy: the only way out of a sandbox that is granted some hosts. It knows `CONNECT` and plain HTTP, compares host and
//! port exactly, looks the name up itself, refuses addresses that are not public, and connects to the very address that it checked.
//!
//! Deliberately not here: what goes through a `CONNECT`. It is encrypted, so a server behind the same address that answers to another
//! name can be reached where the granted one lets it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::host::HostPort;
use crate::net::is_public;

/// Connections at once; further ones wait.
const MOST: usize = 32;
/// Bytes of a request's head; a longer one is refused.
const HEAD: usize = 16 * 1024;
/// For a request's head to come, and for a connection to be made.
const PATIENCE: Duration = Duration::from_secs(15);
/// A connection ends after so long, whatever it does.
const LONGEST: Duration = Duration::from_secs(3600);

/// A proxy that listens; dropping it ends it and all that goes through it.
#[derive(Debug)]
pub(super) struct Proxy {
    /// Where it listens.
    pub socket: PathBuf,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// Listens on a socket in a folder that only this user can enter.
    pub(super) fn start(hosts: &[HostPort]) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("paguro-proxy-").tempdir()?;
        let socket = folder.path().canonicalize()?.join("socket");
        let listener = UnixListener::bind(&socket)?;
        let task = tokio::spawn(serve(listener, hosts.into()));
        Ok(Self { socket, task, _folder: folder })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: UnixListener, hosts: Arc<[HostPort]>) {
    let places = Arc::new(Semaphore::new(MOST));
    // Dropped with the task, and with them all connections.
    let mut running = tokio::task::JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { return };
        let hosts = Arc::clone(&hosts);
        running.spawn(async move {
            let _ = timeout(LONGEST, one(stream, &hosts)).await;
            drop(place);
        });
    }
}

/// Why a request is refused: status and words.
type Refusal = (&'static str, String);

async fn one(mut stream: UnixStream, hosts: &[HostPort]) -> io::Result<()> {
    let result = match timeout(PATIENCE, read_head(&mut stream)).await {
        Ok(Ok((head, rest))) => match request(&head) {
            Ok(request) => connect(&request.to, hosts).await.map(|server| (request, rest, server)),
            Err(refusal) => Err(refusal),
        },
        Ok(Err(error)) => return Err(error),
        Err(_) => Err(("408 Request Timeout", "no request came".to_owned())),
    };
    match result {
        Ok((request, rest, mut server)) => {
            match request.forward {
                None => stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
                Some(head) => server.write_all(head.as_bytes()).await?,
            }
            server.write_all(&rest).await?;
            copy_bidirectional(&mut stream, &mut server).await.map(drop)
        }
        Err((status, words)) => {
            let body = format!("the sandbox's proxy: {words}\n");
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all((head + &body).as_bytes()).await
        }
    }
}

/// The head of a request as text, and what came behind it.
async fn read_head(stream: &mut UnixStream) -> io::Result<(String, Vec<u8>)> {
    let mut taken = Vec::new();
    loop {
        if let Some(end) = taken.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = taken.split_off(end + 4);
            let head = String::from_utf8(taken).map_err(|_| io::ErrorKind::InvalidData)?;
            return Ok((head, rest));
        }
        if taken.len() > HEAD || stream.read_buf(&mut taken).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// A request that can be understood.
#[derive(Debug, PartialEq)]
struct Request {
    to: HostPort,
    /// What the server is sent in place of the head; `None` for `CONNECT`.
    forward: Option<String>,
}

fn request(head: &str) -> Result<Request, Refusal> {
    let bad = || ("400 Bad Request", "this is no request for a proxy".to_owned());
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(bad());
    };
    if !version.starts_with("HTTP/1.") || head.contains(['\0']) || head.replace("\r\n", "").contains(['\r', '\n']) {
        return Err(bad());
    }
    if method == "CONNECT" {
        return Ok(Request { to: target.parse().map_err(|_| bad())?, forward: None });
    }
    let rest = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).and_then(|_| target.get(7..)).ok_or_else(bad)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let to: HostPort = authority.parse().or_else(|_| format!("{authority}:80").parse()).map_err(|_| bad())?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // The host that was checked is the one that the server is told, and one connection is one request.
    let mut forward = format!("{method} {path} {version}\r\nHost: {authority}\r\nConnection: close\r\n");
    for line in lines {
        let (name, _) = line.split_once(':').ok_or_else(bad)?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte)) {
            return Err(bad());
        }
        let ours = ["host", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade"];
        if !ours.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            forward += line;
            forward += "\r\n";
        }
    }
    Ok(Request { to, forward: Some(forward + "\r\n") })
}

/// Connects to `to` if it is granted, at an address that may be.
async fn connect(to: &HostPort, hosts: &[HostPort]) -> Result<TcpStream, Refusal> {
    if !hosts.contains(to) {
        let words = format!("{to} is not granted; the owner can add it to `hosts` under [sandbox]");
        return Err(("403 Forbidden", words));
    }
    let lost = |error: io::Error| ("502 Bad Gateway", format!("{to}: {error}"));
    let too_slow = |_| ("504 Gateway Timeout", format!("{to} does not answer"));
    let found = timeout(PATIENCE, lookup_host((to.host.as_str(), to.port))).await.map_err(too_slow)?.map_err(lost)?;
    let (may, not): (Vec<SocketAddr>, Vec<_>) = found.partition(|address| may_reach(to, address.ip(), hosts));
    if may.is_empty() {
        let addresses = not.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
        return Err((
            "403 Forbidden",
            format!("{to} is {addresses}, which is not public; name the address itself under `hosts` to grant it"),
        ));
    }
    timeout(PATIENCE, TcpStream::connect(&may[..])).await.map_err(too_slow)?.map_err(lost)
}

/// Whether `address`, to which the granted host `to` leads, may be connected to: it is public, or the owner has named it.
fn may_reach(to: &HostPort, address: IpAddr, hosts: &[HostPort]) -> bool {
    let is_named = hosts.iter().any(|host| host.port == to.port && host.host.parse() == Ok(address));
    is_public(address) || is_named || (to.host == "localhost" && address.is_loopback())
}

#[cfg(test)]
mod tests;
