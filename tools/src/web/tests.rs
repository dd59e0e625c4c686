//! Against servers on this machine, which are reached by a grant, and under names that a resolver of the test's own knows.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use agent::ToolContext;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::client::Resolver;
use super::fetch::WebFetch;
use super::search::WebSearch;
use super::*;
use crate::testing::wait;

/// What a path is answered with, head and body. `HOST` stands for the server's own address.
type Site = &'static [(&'static str, &'static str, &'static [u8])];

/// A server that answers each request by `site`, closes the connection, and notes what it was asked.
struct Server {
    address: SocketAddr,
    requests: Arc<Requests>,
}

#[derive(Default)]
struct Requests(Mutex<Vec<String>>);

impl Server {
    async fn start(site: Site) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Requests> = Arc::default();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, site, address, Arc::clone(&seen)));
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.0.lock().unwrap().clone()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn serve(stream: TcpStream, site: Site, address: SocketAddr, requests: Arc<Requests>) {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    while stream.read_line(&mut request).await.unwrap_or(0) > 2 {}
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    requests.0.lock().unwrap().push(request);
    let found = site.iter().find(|(known, ..)| path == *known || path.starts_with(&format!("{known}?")));
    let (head, body) = found.map_or(("404 Not Found", &b"no"[..]), |(_, head, body)| (*head, *body));
    let head = head.replace("HOST", &address.to_string());
    let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let _ = stream.write_all(body).await;
    match path.as_str() {
        // Without end, and never faster than it is read.
        "/endless" => while stream.write_all(&[b'x'; 65_536]).await.is_ok() {},
        "/slow" => std::future::pending().await,
        _ => {}
    }
    let _ = stream.shutdown().await;
}

/// A resolver that knows `names`, and gives each next answer of a name at each next question.
fn resolver(names: &[(&str, &[&str])]) -> Resolver {
    let names: HashMap<String, Vec<IpAddr>> =
        names.iter().map(|(name, ips)| ((*name).to_owned(), ips.iter().map(|ip| ip.parse().unwrap()).collect())).collect();
    Arc::new(move |name| {
        let found = names.get(name).cloned();
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("there is no such name")) })
    })
}

fn client(grants: &[String], names: &[(&str, &[&str])]) -> Arc<Client> {
    Arc::new(Client::new(grants.to_vec(), resolver(names)))
}

async fn run(tool: &dyn Tool, arguments: Value) -> Result<String, String> {
    let context = ToolContext { key: "1-1".into(), turn: 1, timeout: Duration::from_secs(60), ..ToolContext::default() };
    let output = tool.run(&arguments, &context).await.map_err(|error| error.text)?;
    assert!(output.origin.is_some_and(|origin| origin.starts_with("http://") || origin == "web search"));
    Ok(output.text)
}

async fn fetch(client: &Arc<Client>, url: &str) -> Result<String, String> {
    run(&WebFetch::new(Arc::clone(client)), json!({"url": url})).await
}

#[test]
fn pages_and_texts_are_read() {
    const SITE: Site = &[
        ("/html", "200 OK\r\nContent-Type: Text/HTML; charset=iso-8859-1", b"<title>T</title><p>caf\xe9 <a href=/x>x</a>"),
        ("/meta", "200 OK\r\nContent-Type: text/html", b"<meta charset='windows-1251'><p>\xcf\xf0\xe8"),
        ("/none", "200 OK\r\nX: y", b"<!DOCTYPE html><p>typeless"),
        ("/utf16", "200 OK\r\nContent-Type: text/plain", b"\xff\xfea\x00b\x00"),
        ("/old", "200 OK\r\nContent-Type: text/plain", b"na\xefve\x00"),
        ("/json", "200 OK\r\nContent-Type: application/ld+json", b"{\"a\": 1}"),
        ("/xml", "200 OK\r\nContent-Type: application/rss+xml", b"<rss/>"),
        ("/empty", "200 OK\r\nContent-Type: text/html", b""),
        ("/moved", "302 Found\r\nLocation: json#here", b""),
        // gzip of `packed`
        ("/gzip", "200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip", &GZIP),
    ];
    const GZIP: [u8; 26] = [
        0x1f, 0x8b, 0x8, 0x0, 0x0, 0x0, 0x0, 0x0, 0x2, 0x3, 0x2b, 0x48, 0x4c, 0xce, 0x4e, 0x4d, 0x1, 0x0, 0x10, 0xb4, 0xf6, 0x21, 0x6, 0x0,
        0x0, 0x0,
    ];
    wait(async {
        let server = Server::start(SITE).await;
        let client = client(&[server.address.to_string()], &[]);
        let host = format!("http://{}", server.address);
        let cases = [
            ("/html", format!("# T\n\ncafé [x]({host}/x)")),
            ("/meta", "При".to_owned()),
            ("/none", "typeless".to_owned()),
            ("/utf16", "ab".to_owned()),
            ("/old", "naïve\u{fffd}".to_owned()),
            ("/json", "{\"a\": 1}".to_owned()),
            ("/xml", "<rss/>".to_owned()),
            ("/empty", "(no text)".to_owned()),
            ("/gzip", "packed".to_owned()),
        ];
        for (path, expected) in cases {
            assert_eq!(fetch(&client, &server.url(path)).await, Ok(format!("{host}{path}\n\n{expected}")), "{path}");
        }
        assert_eq!(fetch(&client, &server.url("/moved")).await, Ok(format!("{host}/json#here\n\n{{\"a\": 1}}")));
        let asked = server.requests().remove(0).to_ascii_lowercase();
        for word in ["cookie", "referer", "authorization"] {
            assert!(!asked.contains(word), "{asked}");
        }
        assert!(asked.starts_with("get /html http/1.1\r\n") && asked.contains("user-agent: paguro/"), "{asked}");
    });
}

#[test]
fn what_is_no_text_or_no_page_is_refused_in_words() {
    const SITE: Site = &[
        ("/image", "200 OK\r\nContent-Type: image/png\r\nContent-Length: 12345", b""),
        ("/pdf", "200 OK\r\nContent-Type: application/pdf", b""),
        ("/bytes", "200 OK\r\nX: y", b"\x7fELF\x00\x00"),
        ("/brotli", "200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: br", b"x"),
        ("/error", "500 Internal Server Error", b"secret words"),
        ("/nowhere", "302 Found\r\nLocation: http://", b""),
        ("/file", "302 Found\r\nLocation: file:///etc/passwd", b""),
        ("/user", "302 Found\r\nLocation: http://a:b@HOST/x", b""),
        ("/loop", "302 Found\r\nLocation: /loop", b""),
    ];
    wait(async {
        let server = Server::start(SITE).await;
        let client = client(&[server.address.to_string()], &[]);
        let cases = [
            ("/image", "127.0.0.1 has image/png of 12,345 bytes, which is no text"),
            ("/pdf", "127.0.0.1 has application/pdf, which is no text"),
            ("/bytes", "bytes that are no text"),
            ("/brotli", "packs what it sends with `br`"),
            ("/error", "127.0.0.1 says 500"),
            ("/gone", "127.0.0.1 says 404"),
            ("/nowhere", "sends to something that is no address"),
            ("/file", "`file:` addresses are not fetched"),
            ("/user", "a name or password in it"),
            ("/loop", "more than 5 redirects"),
        ];
        for (path, words) in cases {
            let error = fetch(&client, &server.url(path)).await.unwrap_err();
            assert!(error.contains(words) && !error.contains("secret"), "{path}: {error}");
        }
        assert_eq!(server.requests().iter().filter(|request| request.contains("/loop")).count(), 6);
    });
}

/// Spellings of addresses that are closed, and names that lead to such.
const CLOSED: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[fe80::1]",
    "[fd00::1]",
    "169.254.169.254",
    "10.0.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "evil.test",
    "EVIL.test",
    "evil.test.",
    "mixed.test",
    "six.test",
    "mapped.test",
    "cloud.test",
    "localhost",
    "localhost.",
    "①②⑦.⓪.⓪.①",
    "empty.test",
    "unknown.test",
];

/// Every spelling of an address that is not public, and every way to it. Nothing may be sent there.
#[test]
fn closed_addresses_are_not_reached() {
    const SITE: Site = &[("/", "200 OK\r\nContent-Type: text/plain", b"secret")];
    wait(async {
        let server = Server::start(SITE).await;
        let port = server.address.port();
        let names: &[(&str, &[&str])] = &[
            ("evil.test", &["127.0.0.1"]),
            ("evil.test.", &["127.0.0.1"]),
            ("mixed.test", &["93.184.216.34", "127.0.0.1"]),
            ("six.test", &["::1"]),
            ("mapped.test", &["::ffff:127.0.0.1"]),
            ("cloud.test", &["169.254.169.254"]),
            ("localhost", &["127.0.0.1"]),
            ("localhost.", &["127.0.0.1"]),
            ("empty.test", &[]),
        ];
        let client = client(&[], names);
        for host in CLOSED {
            let error = fetch(&client, &format!("http://{host}:{port}/")).await.unwrap_err();
            assert!(!error.contains("secret"), "{host}: {error}");
        }
        for bad in [
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "gopher://x",
            "data:text/plain,x",
            "javascript:1",
            "http://",
            "127.0.0.1",
            "",
            "http://a@evil.test/",
        ] {
            let error = fetch(&client, bad).await.unwrap_err();
            assert!(!error.contains("cannot be read"), "{bad}: {error}");
        }
        let long = format!("http://evil.test/{}", "x".repeat(3_000));
        assert!(fetch(&client, &long).await.unwrap_err().contains("2000 are the most"));
        assert_eq!(server.requests(), Vec::<String>::new());
    });
}

#[test]
fn a_redirect_does_not_lead_where_the_first_step_could_not() {
    const INSIDE: Site = &[("/", "200 OK\r\nContent-Type: text/plain", b"secret")];
    const OUTSIDE: Site = &[
        ("/a", "302 Found\r\nLocation: http://inside.test:1/", b""),
        ("/b", "307 Temporary Redirect\r\nLocation: //169.254.169.254/latest/meta-data/", b""),
        ("/c", "301 Moved Permanently\r\nLocation: http://[::ffff:127.0.0.1]:1/", b""),
    ];
    wait(async {
        let (inside, outside) = (Server::start(INSIDE).await, Server::start(OUTSIDE).await);
        // Only the outer one is granted, under its own port.
        let client =
            client(&[format!("out.test:{}", outside.address.port())], &[("out.test", &["127.0.0.1"]), ("inside.test", &["127.0.0.1"])]);
        for path in ["/a", "/b", "/c"] {
            let error = fetch(&client, &format!("http://out.test:{}{path}", outside.address.port())).await.unwrap_err();
            assert!(error.contains("not on the public internet"), "{path}: {error}");
        }
        let error = fetch(&client, &format!("http://out.test:{}/", inside.address.port())).await.unwrap_err();
        assert!(error.contains("not on the public internet"), "a grant is for one port: {error}");
        assert_eq!((outside.requests().len(), inside.requests().len()), (3, 0));
    });
}

/// The name's address is asked for once, and what was checked is what is connected to.
#[test]
fn a_name_is_resolved_once() {
    const SITE: Site = &[("/", "200 OK\r\nContent-Type: text/plain", b"hello")];
    wait(async {
        let server = Server::start(SITE).await;
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let resolver: Resolver = Arc::new(move |_| {
            *count.lock().unwrap() += 1;
            Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
        });
        let client = Arc::new(Client::new(vec![format!("Rebind.test:{}", server.address.port())], resolver));
        let text = fetch(&client, &format!("http://rebind.test.:{}/", server.address.port())).await.unwrap();
        assert!(text.ends_with("hello"), "{text}");
        assert_eq!(*asked.lock().unwrap(), 1);
    });
}

#[test]
fn sizes_and_times_are_bounded() {
    const SITE: Site = &[
        ("/endless", "200 OK\r\nContent-Type: text/plain", b""),
        ("/slow", "200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100", b"begun"),
    ];
    wait(async {
        let server = Server::start(SITE).await;
        let client = client(&[server.address.to_string()], &[]);
        let text = fetch(&client, &server.url("/endless")).await.unwrap();
        assert!(text.len() < (2 << 20) + 200 && text.ends_with("[cut: the page is longer than the 2,097,152 bytes that are read]"));
        let (start, limit) = (Instant::now(), Duration::from_millis(500));
        let error = run(&WebFetch::new(client).within(limit), json!({"url": server.url("/slow")})).await.unwrap_err();
        assert_eq!(error, "the page was not there within 0.5 s");
        assert!(start.elapsed() < Duration::from_secs(10));
    });
}

/// 20 MB of zeros in 20 kB.
#[test]
fn a_packed_bomb_is_read_to_the_limit_only() {
    static BOMB: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let bomb = BOMB.get_or_init(|| gzip_of_zeros(20 << 20));
    wait(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while stream.read_line(&mut request).await.unwrap_or(0) > 2 {}
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
                    .await;
                let _ = stream.write_all(bomb).await;
            }
        });
        let client = client(&[address.to_string()], &[]);
        let text = fetch(&client, &format!("http://{address}/")).await.unwrap();
        assert!(text.contains("[cut: ") && text.len() < 8 << 20, "{}", text.len());
    });
}

/// A gzip of `length` zeros in stored blocks would not be small; this one has them as runs of one fixed Huffman block.
fn gzip_of_zeros(length: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(1, 1); // the last block
    bits.push(1, 2); // fixed codes
    bits.code(0x30, 8); // a zero
    let mut left = length - 1;
    while left >= 258 {
        bits.code(0xc5, 8); // length 258
        bits.code(0, 5); // distance 1
        left -= 258;
    }
    for _ in 0..left {
        bits.code(0x30, 8);
    }
    bits.code(0, 7); // the end
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    out.extend(bits.bytes);
    // The sum is wrong: nobody gets so far as to look at it.
    out.extend([0; 8]);
    out
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    /// The low `count` bits of `value`, lowest first.
    fn push(&mut self, value: u32, count: usize) {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= u8::from(value >> bit & 1 == 1) << (self.used % 8);
            self.used += 1;
        }
    }

    /// A Huffman code, highest bit first.
    fn code(&mut self, value: u32, count: usize) {
        for bit in (0..count).rev() {
            self.push(value >> bit, 1);
        }
    }
}

#[test]
fn searches_are_shown_and_keys_stay_with_their_host() {
    const SITE: Site = &[
        ("/search", "200 OK\r\nContent-Type: application/json", br#"{"results":[{"title":"T","url":"https://a.org/","content":"w"}]}"#),
        ("/brave", "200 OK\r\nContent-Type: application/json", br#"{"web":{"results":[]}}"#),
        ("/elsewhere", "302 Found\r\nLocation: http://HOST/brave", b""),
        ("/robot", "202 Accepted\r\nContent-Type: text/html", b"<div class='anomaly-modal__title'>x</div>"),
    ];
    wait(async {
        let server = Server::start(SITE).await;
        let client = client(&[], &[]);
        let search = |provider: Provider| {
            let tool = WebSearch::new(&client, provider);
            async move { run(&tool, json!({"query": "a b"})).await }
        };
        // An address that the owner named needs no grant.
        assert_eq!(search(Provider::SearXng { url: server.url("") }).await, Ok("1. T\n   https://a.org/\n   w".into()));
        let brave = |path: &str| Provider::Brave { url: Some(server.url(path)), key: "the-key".into() };
        assert_eq!(search(brave("/brave")).await, Ok("nothing found".into()));
        let error = search(brave("/elsewhere")).await.unwrap_err();
        assert_eq!(error, "Brave: 127.0.0.1 sends elsewhere, which is not followed");
        let error = search(Provider::DuckDuckGo { url: Some(server.url("/robot")) }).await.unwrap_err();
        assert!(error.starts_with("DuckDuckGo: it takes this for a robot"), "{error}");
        let requests = server.requests();
        let with_key: Vec<bool> = requests.iter().map(|request| request.contains("the-key")).collect();
        assert_eq!(with_key, [false, true, true, false]);
        assert!(requests[0].starts_with("GET /search?q=a+b&format=json "), "{}", requests[0]);
        let tool = WebSearch::new(&client, brave("/brave"));
        assert!(run(&tool, json!({"query": " "})).await.unwrap_err().contains("1 to 400 characters"));
    });
}
