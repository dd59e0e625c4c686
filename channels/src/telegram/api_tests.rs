use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::json;
use teloxide_core::payloads::GetMe;

use super::*;
use crate::telegram::fake::{Fake, Reply, TOKEN};

const HERE: Place = Place { chat: 5, topic: None };

#[tokio::test]
async fn a_text_is_sent_as_telegram_wants_it() {
    let fake = Fake::start(|_, _| Reply::ok(json!({ "message_id": 77 })));
    let buttons = [vec![("Once".to_owned(), "q:1:o".to_owned())]];
    let text = Text { text: "<b>x</b>", html: true, reply_to: Some(9), buttons: &buttons };
    assert_eq!(fake.api().send(Place { chat: -5, topic: Some(3) }, text).await, Ok(77));
    assert_eq!(fake.api().edit(5, 77, Text { text: "y", ..Text::default() }).await, Ok(()));
    let expected = json!({
        "chat_id": -5, "message_thread_id": 3, "text": "<b>x</b>", "link_preview_options": { "is_disabled": true }, "parse_mode": "HTML",
        "reply_parameters": { "message_id": 9, "allow_sending_without_reply": true },
        "reply_markup": { "inline_keyboard": [[{ "text": "Once", "callback_data": "q:1:o" }]] },
    });
    let edit = json!({ "chat_id": 5, "message_id": 77, "text": "y", "link_preview_options": { "is_disabled": true } });
    assert_eq!(fake.asked(), [("sendMessage".to_owned(), expected), ("editMessageText".to_owned(), edit)]);
}

#[tokio::test]
async fn what_can_be_left_out_says_no_more_than_it_must() {
    let fake = Fake::start(|_, _| Reply::ok(json!(true)));
    let api = fake.api();
    api.draft(HERE, 12, "so far").await.unwrap();
    api.typing(HERE).await.unwrap();
    api.react(5, 6, Some("👀")).await.unwrap();
    api.react(5, 6, None).await.unwrap();
    api.answer_press("q", Some("no"), true).await.unwrap();
    let draft = json!({ "chat_id": 5, "text": "so far", "parse_mode": "HTML", "draft_id": 12, "can_stop": true, "keep_on_stop": true });
    let emoji = json!([{ "type": "emoji", "emoji": "👀" }]);
    let expected = [
        ("sendMessageDraft", draft),
        ("sendChatAction", json!({ "chat_id": 5, "action": "typing" })),
        ("setMessageReaction", json!({ "chat_id": 5, "message_id": 6, "reaction": emoji })),
        ("setMessageReaction", json!({ "chat_id": 5, "message_id": 6, "reaction": [] })),
        ("answerCallbackQuery", json!({ "callback_query_id": "q", "text": "no", "show_alert": true })),
    ];
    assert_eq!(fake.asked(), expected.map(|(name, fields)| (name.to_owned(), fields)));
}

/// A proxy for one connection, to wherever it is asked to go: SOCKS5 (RFC 1928), or HTTP for a server without TLS, to which it passes on
/// what it gets. It says by which it was spoken to.
fn proxy() -> (String, std::thread::JoinHandle<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let work = std::thread::spawn(move || {
        let (mut from, _) = listener.accept().unwrap();
        let mut first = [0];
        from.read_exact(&mut first).unwrap();
        let (mut to, name) = if first == [5] { (socks(&mut from), "socks5") } else { (http(&mut from, first[0]), "http") };
        let (mut back, mut there) = (to.try_clone().unwrap(), from.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back, &mut there));
        let _ = std::io::copy(&mut from, &mut to);
        name
    });
    (address, work)
}

fn socks(from: &mut TcpStream) -> TcpStream {
    let mut methods = [0; 1];
    from.read_exact(&mut methods).unwrap();
    from.read_exact(&mut vec![0; methods[0].into()]).unwrap();
    from.write_all(&[5, 0]).unwrap();
    let mut asked = [0; 10];
    from.read_exact(&mut asked).unwrap();
    assert_eq!(asked[..4], [5, 1, 0, 1], "a connection to an IPv4 address");
    from.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    let (host, port) = (std::net::Ipv4Addr::new(asked[4], asked[5], asked[6], asked[7]), u16::from_be_bytes([asked[8], asked[9]]));
    TcpStream::connect((host, port)).unwrap()
}

/// `POST http://127.0.0.1:80/bot… HTTP/1.1` becomes `POST /bot… HTTP/1.1`.
fn http(from: &mut TcpStream, first: u8) -> TcpStream {
    let mut line = vec![first];
    while !line.ends_with(b" ") || line.iter().filter(|byte| **byte == b' ').count() < 2 {
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    let line = String::from_utf8(line).unwrap();
    let (method, url) = line.trim_end().split_once(' ').unwrap();
    let url: Url = url.parse().unwrap();
    let mut to = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap())).unwrap();
    to.write_all(format!("{method} {} ", url.path()).as_bytes()).unwrap();
    to
}

#[tokio::test]
async fn a_proxy_stands_between() {
    let fake = Fake::start(|_, _| Reply::ok(json!(true)));
    for scheme in PROXIES.into_iter().filter(|scheme| *scheme != "https") {
        let (address, work) = proxy();
        let api = Api::new(TOKEN, &fake.url, Some(&format!("{scheme}://{address}").parse().unwrap())).unwrap();
        assert_eq!(api.typing(HERE).await, Ok(()), "{scheme}");
        drop(api);
        // Elsewhere: the connection is closed by what runs here.
        let spoken = tokio::task::spawn_blocking(move || work.join().unwrap()).await.unwrap();
        assert!(scheme.starts_with(spoken), "{scheme}");
    }
    let other = Api::new(TOKEN, &fake.url, Some(&"ftp://127.0.0.1:1".parse().unwrap()));
    assert!(matches!(other, Err(ApiError::Refused(why)) if why.contains("ftp")));
}

#[tokio::test]
async fn files_go_both_ways() {
    let fake = Fake::start(|method, _| match method {
        "sendDocument" | "sendPhoto" => Reply::ok(json!({ "message_id": 8 })),
        _ => Reply::Bytes(b"content".to_vec()),
    });
    let api = fake.api();
    assert_eq!(api.send_document(Place { chat: 5, topic: Some(2) }, "call.txt", b"rm -rf x".to_vec()).await, Ok(8));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    std::fs::write(&path, "picture").unwrap();
    assert_eq!(api.send_file(HERE, &path, "a.png", true).await, Ok(8));
    assert!(matches!(api.send_file(HERE, &folder.path().join("none"), "x", false).await, Err(ApiError::Refused(_))));
    let form = fake.asked()[0].1["form"].as_str().unwrap().to_owned();
    for part in ["name=\"chat_id\"\r\n\r\n5\r\n", "name=\"message_thread_id\"\r\n\r\n2\r\n", "filename=\"call.txt\"", "rm -rf x"] {
        assert!(form.contains(part), "{part} in {form}");
    }
    assert!(fake.asked()[1].1["form"].as_str().unwrap().contains("picture"));
    let mut out = Vec::new();
    assert_eq!(api.download("photos/file_1.jpg", &mut out, 7).await, Ok(7));
    assert_eq!(out, b"content");
    assert!(matches!(api.download("photos/file_1.jpg", &mut Vec::new(), 6).await, Err(ApiError::Refused(_))));
}

#[tokio::test]
async fn updates_come_whole_whatever_they_are() {
    let unknown = json!({ "update_id": 2, "stopped_message_generation": { "draft_id": 4 } });
    let broken = json!({ "update_id": 3, "message": { "some fields": "are missing" } });
    let known = json!({ "update_id": 1, "poll_answer": { "poll_id": "x", "user": { "id": 4, "is_bot": false, "first_name": "y" }, "option_ids": [] } });
    let all = json!([known, unknown, broken, { "no": "number" }]);
    let sent = all.clone();
    let fake = Fake::start(move |_, _| Reply::ok(all.clone()));
    let updates = fake.api().get_updates(7, Duration::from_secs(3), &["message"]).await.unwrap();
    assert_eq!(json!(updates), sent);
    assert_eq!(fake.asked(), [("getUpdates".to_owned(), json!({ "offset": 7, "timeout": 3, "allowed_updates": ["message"] }))]);
}

#[tokio::test]
async fn trouble_is_told_without_the_token() {
    let closed = Fake::start(|_, _| Reply::Closed);
    let nowhere = Api::new(TOKEN, &"http://127.0.0.1:1".parse().unwrap(), None).unwrap();
    for api in [closed.api(), nowhere] {
        let error = api.send(HERE, Text::default()).await.unwrap_err();
        assert!(matches!(error, ApiError::Network(_)) && error.passes(), "{error:?}");
        assert!(!format!("{error} {error:?} {api:?}").contains("secret"), "{error:?}");
    }
    let fake = Fake::start(|_, _| Reply::ok(json!({ "odd": 1 })));
    assert!(matches!(fake.api().call(&GetMe::new()).await, Err(ApiError::Server(_))));
    assert!(matches!(fake.api().send(HERE, Text::default()).await, Err(ApiError::Server(_))));
    assert!(Api::new(TOKEN, &fake.url, Some(&"nonsense://x".parse().unwrap())).is_err());
}

#[tokio::test]
async fn waits_of_one_chat_are_known_to_all_and_drafts_have_their_own() {
    let fake = Fake::start(|_, _| Reply::flood(30));
    let api = fake.api();
    assert_eq!(api.draft(HERE, 1, "x").await, Err(ApiError::Flood(Duration::from_secs(30))));
    assert_eq!(api.clone().pace().later(5, Instant::now()), None);
    assert_eq!(api.send(HERE, Text::default()).await, Err(ApiError::Flood(Duration::from_secs(30))));
    assert!(api.clone().pace().later(5, Instant::now()).is_some());
    assert_eq!(api.pace().later(6, Instant::now()), None);
}
