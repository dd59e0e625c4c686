//! HTTP/1.1 as the clients of a bot speak it: connections that stay, bodies by length or in chunks, as JSON, form or multipart.
//!
//! Deliberately not here: TLS, and any tolerance. What is no HTTP ends the connection.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use serde_json::{Map, Value, json};

pub struct Request {
    pub verb: String,
    /// Decoded, without the query.
    pub path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A file that came with a request.
#[derive(Debug, Clone)]
pub struct Upload {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What a request asks: its parameters, and the files by the names of their parts.
#[derive(Debug, Clone, Default)]
pub struct Input {
    pub params: Map<String, Value>,
    pub files: BTreeMap<String, Upload>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub kind: &'static str,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: u16, value: &Value) -> Self {
        Self { status, kind: "application/json", body: value.to_string().into_bytes() }
    }

    /// As a gateway before the server answers.
    pub fn gateway(status: u16) -> Self {
        let body =
            format!("<html>\r\n<head><title>{status}</title></head>\r\n<body><center><h1>{status}</h1></center>nginx</body>\r\n</html>");
        Self { status, kind: "text/html", body: body.into_bytes() }
    }
}

/// One connection. The last byte of a request stays unread until the answer is written: a socket that is closed with unread bytes
/// resets its connection, and std has no other way to do that.
pub struct Connection {
    stream: TcpStream,
    unread: bool,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, unread: false }
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).ok()?;
        Some(byte[0])
    }

    /// The last byte, which stays in the socket.
    fn last(&mut self) -> Option<u8> {
        let mut byte = [0];
        let count = self.stream.peek(&mut byte).ok()?;
        self.unread = count == 1;
        (count == 1).then_some(byte[0])
    }

    fn take_last(&mut self) -> Option<()> {
        if std::mem::take(&mut self.unread) { self.byte().map(|_| ()) } else { Some(()) }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.byte()?);
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).ok()
    }

    /// The next request, or nothing where the other side is gone.
    pub fn next(&mut self) -> Option<Request> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r") {
            head.push(self.byte()?);
        }
        self.last()?;
        let head = String::from_utf8(head).ok()?;
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (verb, target) = (first.next()?.to_owned(), first.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (path, query) = (decode(path, false), query.to_owned());
        let pairs = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<_> = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let mut request = Request { verb, path, query, headers, body: Vec::new() };
        request.body = self.body(&request)?;
        Some(request)
    }

    fn body(&mut self, request: &Request) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        if request.header("transfer-encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked")) {
            self.take_last()?;
            loop {
                let size = usize::from_str_radix(self.line()?.split(';').next()?.trim(), 16).ok()?;
                if size == 0 {
                    self.byte()?;
                    self.last()?;
                    return Some(body);
                }
                let start = body.len();
                body.resize(start + size, 0);
                self.stream.read_exact(&mut body[start..]).ok()?;
                self.line()?;
            }
        }
        let length: usize = request.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
        if length > 0 {
            self.take_last()?;
            body.resize(length, 0);
            self.stream.read_exact(&mut body[..length - 1]).ok()?;
            body[length - 1] = self.last()?;
        }
        Some(body)
    }

    /// Writes an answer; of its body only so many bytes, where `cut` says so.
    pub fn answer(&mut self, answer: &Answer, cut: Option<usize>) -> bool {
        let head =
            format!("HTTP/1.1 {} It\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n", answer.status, answer.kind, answer.body.len());
        let body = &answer.body[..cut.unwrap_or(answer.body.len()).min(answer.body.len())];
        self.take_last().is_some() && self.stream.write_all(&[head.as_bytes(), body].concat()).is_ok()
    }

    /// Whether the other side is still there. Reads what is left of the request.
    pub fn alive(&mut self) -> bool {
        if self.take_last().is_none() || self.stream.set_nonblocking(true).is_err() {
            return false;
        }
        let there = match self.stream.peek(&mut [0]) {
            Ok(count) => count > 0,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        };
        self.stream.set_nonblocking(false).is_ok() && there
    }

    /// Nothing more is written; what the other side still says is read, until it goes too.
    pub fn half_close(mut self) {
        let _ = self.take_last();
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut rest = [0; 1024];
        while self.stream.read(&mut rest).is_ok_and(|count| count > 0) {}
    }

    /// Closed in order, after the answer.
    pub fn close(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Closed in disorder: the last byte of the request was never read.
    pub fn reset(self) {}
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The parameters, from the query and from the body in each form that the Bot API takes.
    pub fn input(&self) -> Result<Input, String> {
        let mut input = Input::default();
        input.params.extend(form(&self.query));
        if self.body.is_empty() {
            return Ok(input);
        }
        let kind = self.header("content-type").unwrap_or_default();
        match kind.split(';').next().unwrap_or_default() {
            "application/json" => match serde_json::from_slice(&self.body) {
                Ok(Value::Object(object)) => input.params.extend(object),
                Ok(other) => return Err(format!("the body is JSON but no object: {other}")),
                Err(error) => return Err(format!("the body is no JSON: {error}")),
            },
            "application/x-www-form-urlencoded" => input.params.extend(form(&String::from_utf8_lossy(&self.body))),
            "multipart/form-data" => {
                let boundary = kind.split("boundary=").nth(1).ok_or("a multipart body without its boundary")?;
                multipart(&self.body, boundary.trim_matches('"'), &mut input).ok_or("a multipart body that is cut or malformed")?;
            }
            other => return Err(format!("a body of the type {other:?}")),
        }
        Ok(input)
    }
}

fn form(text: &str) -> Vec<(String, Value)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (decode(name, true), json!(decode(value, true)))).collect()
}

fn decode(text: &str, plus: bool) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = after;
        match (byte, code) {
            (b'%', Some(code)) => {
                out.push(code);
                rest = &after[2..];
            }
            (b'+', _) if plus => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn find(text: &[u8], part: &[u8], from: usize) -> Option<usize> {
    text.get(from..)?.windows(part.len()).position(|window| window == part).map(|at| from + at)
}

fn multipart(body: &[u8], boundary: &str, input: &mut Input) -> Option<()> {
    let (open, next) = (format!("--{boundary}"), format!("\r\n--{boundary}"));
    let mut at = body.starts_with(open.as_bytes()).then_some(open.len())?;
    while !body[at..].starts_with(b"--") {
        let head = find(body, b"\r\n\r\n", at)?;
        let end = find(body, next.as_bytes(), head + 2)?;
        let headers = String::from_utf8(body[at..head].to_vec()).ok()?;
        let bytes = body.get(head + 4..end).unwrap_or_default().to_vec();
        let name = attribute(&headers, "name=\"")?;
        let encoded = headers.split("filename*=utf-8''").nth(1).map(|rest| decode(rest.lines().next().unwrap_or_default(), false));
        match attribute(&headers, "filename=\"").or(encoded) {
            Some(file) => {
                input.files.insert(name, Upload { name: file, bytes });
            }
            None => {
                input.params.insert(name, json!(String::from_utf8(bytes).ok()?));
            }
        }
        at = end + next.len();
    }
    Some(())
}

fn attribute(headers: &str, start: &str) -> Option<String> {
    // ` name="` and not the end of `filename="`.
    let rest = headers.split(&format!(" {start}")).nth(1)?;
    Some(rest.split('"').next()?.to_owned())
}
