use std::path::Path;

use tokio::net::TcpListener;

use super::*;
use crate::testing::wait;

fn hosts(names: &[&str]) -> Vec<HostPort> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

async fn ask(socket: &Path, words: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(words.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A server that answers every connection with the head that it got.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut block = vec![0; 4096];
            let taken = stream.read(&mut block).await.unwrap();
            stream.write_all(&block[..taken]).await.unwrap();
        }
    });
    port
}

#[test]
fn only_what_is_granted_is_reached() {
    wait(async {
        let port = echo().await;
        let other = echo().await;
        let proxy = Proxy::start(&hosts(&[&format!("127.0.0.1:{port}"), &format!("localhost:{other}")])).unwrap();
        let got = ask(&proxy.socket, &format!("GET http://127.0.0.1:{port}/a?b HTTP/1.1\r\nHost: evil\r\nX-A: 1\r\n\r\n")).await;
        assert_eq!(got, format!("GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nX-A: 1\r\n\r\n"));
        let got = ask(&proxy.socket, &format!("CONNECT localhost:{other} HTTP/1.1\r\n\r\nhello")).await;
        assert_eq!(got, "HTTP/1.1 200 Connection established\r\n\r\nhello");
        for target in [format!("127.0.0.1:{other}"), format!("127.0.0.2:{port}"), format!("localhost:{port}"), "169.254.169.254:80".into()]
        {
            let got = ask(&proxy.socket, &format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
            assert!(got.starts_with("HTTP/1.1 403 "), "{target}: {got}");
        }
    });
}

#[test]
fn what_a_name_leads_to_is_checked() {
    let check = |to: &str, address: &str, granted: &[&str], expected: bool| {
        assert_eq!(may_reach(&to.parse().unwrap(), address.parse().unwrap(), &hosts(granted)), expected, "{to} {address} {granted:?}");
    };
    check("a.example:80", "93.184.216.34", &["a.example:80"], true);
    check("a.example:80", "10.0.0.1", &["a.example:80"], false);
    check("a.example:80", "::ffff:127.0.0.1", &["a.example:80"], false);
    check("a.example:80", "10.0.0.1", &["a.example:80", "10.0.0.1:80"], true);
    check("a.example:80", "10.0.0.1", &["a.example:80", "10.0.0.1:81"], false);
    check("localhost:80", "127.0.0.1", &["localhost:80"], true);
    check("localhost:80", "10.0.0.1", &["localhost:80"], false);
    check("169.254.169.254:80", "169.254.169.254", &["169.254.169.254:80"], true);
}

#[test]
fn requests_that_are_unclear_are_refused() {
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://a/ b HTTP/1.1\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\n\r\n",
        "CONNECT a HTTP/1.1\r\n\r\n",
        "CONNECT user@a:443 HTTP/1.1\r\n\r\n",
        "GET http://a@b:80/ HTTP/1.1\r\n\r\n",
        "GET http://a/ HTTP/2\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nX\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost : b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nX: 1\nHost: b\r\n\r\n",
        "",
    ] {
        assert!(request(head).is_err(), "{head}");
    }
    let to = |head: &str| request(head).unwrap().to.to_string();
    assert_eq!(to("GET http://A.example HTTP/1.1\r\n\r\n"), "a.example:80");
    assert_eq!(to("GET http://a.example?x HTTP/1.0\r\n\r\n"), "a.example:80");
    assert_eq!(to("CONNECT [::1]:443 HTTP/1.1\r\n\r\n"), "[::1]:443");
}
