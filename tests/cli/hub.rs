//! A hub of models that keeps to the protocol: a list, files with ranges and tags, redirects to another port where the bytes are. It
//! checks each request it gets, and can be made to fail in the ways that networks fail.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub const REPO: &str = "owner/model-GGUF";
pub const TOKEN: &str = "hf_the-owners-secret";

/// What the hub has and how it behaves.
#[derive(Default, Clone)]
pub struct Behaviour {
    pub files: Vec<(String, Vec<u8>)>,
    /// Only who has [`TOKEN`] gets anything.
    pub gated: bool,
    /// The list gives another sum than the files have.
    pub wrong_sum: bool,
    /// So many of the first answers with bytes are cut after so many bytes.
    pub cut: Option<(u32, usize)>,
    /// A request for a range gets the whole file.
    pub no_ranges: bool,
    /// A pause after each 64 kB.
    pub slow: Option<Duration>,
    /// The list says that each file is this large.
    pub claimed_size: Option<u64>,
    /// So many of the first requests for bytes are answered with 503.
    pub busy: u32,
}

pub struct Hub {
    pub url: String,
    state: Arc<State>,
}

struct State {
    behaviour: Behaviour,
    /// Where the bytes are: another port, so another host as far as tokens go.
    store: String,
    hub: String,
    answers: AtomicU32,
    busy: AtomicU32,
    now: AtomicU32,
    most: AtomicU32,
    /// `GET /path` with ` range=…`, in the order of their coming.
    requests: Mutex<Vec<String>>,
    /// What a request did that it must not.
    faults: Mutex<Vec<String>>,
}

struct Request {
    path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    fn read(stream: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let path = line.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1\r\n")?.to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
                None => return Some(Self { path, headers }),
            }
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

impl Hub {
    pub fn start(behaviour: Behaviour) -> Self {
        let (hub, store) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            busy: AtomicU32::new(behaviour.busy),
            behaviour,
            store: address(&store),
            hub: address(&hub),
            answers: AtomicU32::new(0),
            now: AtomicU32::new(0),
            most: AtomicU32::new(0),
            requests: Mutex::default(),
            faults: Mutex::default(),
        });
        for (listener, is_store) in [(hub, false), (store, true)] {
            let state = Arc::clone(&state);
            // Ends with the test process.
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = Arc::clone(&state);
                    std::thread::spawn(move || state.serve(stream, is_store));
                }
            });
        }
        Self { url: state.hub.clone(), state }
    }

    /// One file of one name.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        Self::start(Behaviour { files: vec![(name.to_owned(), bytes.to_vec())], ..Behaviour::default() })
    }

    /// The requests so far, those for the list left out.
    pub fn requests(&self) -> Vec<String> {
        let faults = self.state.faults.lock().unwrap();
        assert!(faults.is_empty(), "{faults:?}");
        self.state.requests.lock().unwrap().iter().filter(|request| !request.starts_with("/api/")).cloned().collect()
    }

    /// Most connections that fetched bytes at once.
    pub fn most_at_once(&self) -> u32 {
        self.state.most.load(Ordering::SeqCst)
    }
}

impl State {
    fn serve(&self, stream: TcpStream, is_store: bool) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some(request) = Request::read(&mut reader) {
            let range = request.header("range").map(|range| format!(" {range}")).unwrap_or_default();
            self.requests.lock().unwrap().push(format!("{}{range}", request.path));
            let done = if is_store { self.bytes(&request, &mut stream) } else { self.hub(&request, &mut stream) };
            if done.is_err() {
                return;
            }
        }
    }

    fn fault(&self, says: String) {
        self.faults.lock().unwrap().push(says);
    }

    /// The hub itself: the list, and redirects to the store.
    fn hub(&self, request: &Request, stream: &mut TcpStream) -> std::io::Result<()> {
        let authorised = request.header("authorization") == Some(&format!("Bearer {TOKEN}"));
        if self.behaviour.gated && !authorised {
            return answer(stream, "401 Unauthorized", &[], b"{\"error\":\"Access to this model is restricted.\"}");
        }
        if request.path == format!("/api/models/{REPO}/tree/main?recursive=true") {
            let list = serde_json::to_vec(&self.list()).unwrap();
            return answer(stream, "200 OK", &["Content-Type: application/json".to_owned()], &list);
        }
        match request.path.strip_prefix(&format!("/{REPO}/resolve/main/")) {
            Some(path) if self.file(path).is_some() => {
                let to = format!("Location: {}/signed/{path}?signature=not-for-messages", self.store);
                answer(stream, "302 Found", &[to], b"")
            }
            _ => answer(stream, "404 Not Found", &[], b"{\"error\":\"Repository not found\"}"),
        }
    }

    fn list(&self) -> Value {
        let entry = |(path, bytes): &(String, Vec<u8>)| {
            let sum = if self.behaviour.wrong_sum { sha256(b"another") } else { sha256(bytes) };
            let size = self.behaviour.claimed_size.unwrap_or(bytes.len() as u64);
            json!({ "type": "file", "oid": "0".repeat(40), "path": path, "size": size, "lfs": { "oid": sum, "size": size, "pointerSize": 134 } })
        };
        let mut list = vec![
            json!({ "type": "directory", "oid": "0".repeat(40), "size": 0, "path": "extra" }),
            json!({ "type": "file", "oid": "0".repeat(40), "size": 12, "path": "README.md" }),
            json!({ "type": "file", "oid": "0".repeat(40), "size": 12, "path": "mmproj-F16.gguf", "lfs": { "oid": sha256(b""), "size": 12 } }),
        ];
        list.extend(self.behaviour.files.iter().map(entry));
        list.into()
    }

    fn file(&self, path: &str) -> Option<&[u8]> {
        self.behaviour.files.iter().find(|(name, _)| name == path).map(|(_, bytes)| bytes.as_slice())
    }

    /// The store behind the redirect.
    fn bytes(&self, request: &Request, stream: &mut TcpStream) -> std::io::Result<()> {
        if request.header("authorization").is_some() {
            self.fault(format!("the token went to the store with {}", request.path));
        }
        let path = request.path.strip_prefix("/signed/").and_then(|rest| rest.split_once('?')).map(|(path, _)| path).unwrap_or_default();
        let Some(bytes) = self.file(path) else { return answer(stream, "404 Not Found", &[], b"") };
        if self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return answer(stream, "503 Service Unavailable", &["Retry-After: 0".to_owned()], b"");
        }
        let etag = format!("\"{}\"", sha256(bytes));
        if request.header("if-range").is_some_and(|tag| tag != etag) {
            self.fault(format!("If-Range with another tag than {etag}"));
        }
        let from =
            request.header("range").map(|range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap());
        let (status, from, range) = match from.filter(|_| !self.behaviour.no_ranges) {
            None => ("200 OK", 0, String::new()),
            Some(from) if from < bytes.len() => {
                ("206 Partial Content", from, format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len()))
            }
            Some(_) => return answer(stream, "416 Range Not Satisfiable", &[], b""),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: {etag}\r\n{range}\r\n", bytes.len() - from);
        stream.write_all(head.as_bytes())?;
        let number = self.answers.fetch_add(1, Ordering::SeqCst);
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let cut = self.behaviour.cut.filter(|(count, _)| number < *count).map(|(_, bytes)| bytes);
        let result = self.body(&bytes[from..], cut, stream);
        self.now.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn body(&self, bytes: &[u8], cut: Option<usize>, stream: &mut TcpStream) -> std::io::Result<()> {
        for chunk in bytes[..cut.unwrap_or(bytes.len()).min(bytes.len())].chunks(1 << 16) {
            stream.write_all(chunk)?;
            stream.flush()?;
            if let Some(pause) = self.behaviour.slow {
                std::thread::sleep(pause);
            }
        }
        match cut {
            Some(_) => {
                stream.shutdown(std::net::Shutdown::Both)?;
                Err(std::io::ErrorKind::ConnectionAborted.into())
            }
            None => Ok(()),
        }
    }
}

fn answer(stream: &mut TcpStream, status: &str, headers: &[String], body: &[u8]) -> std::io::Result<()> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
