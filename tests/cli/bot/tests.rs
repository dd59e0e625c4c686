//! The fake keeps its rules: what a test of the program relies on, seen from a plain HTTP client.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::entities::{covered, html, trimmed};
use super::{Bot, Drafts, Fault, Moment, Rates, Rules, What, Window};

const ANN: i64 = 7;
const GROUP: i64 = -100_500;

struct Client {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    root: String,
}

impl Client {
    fn new(bot: &Bot) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let http = reqwest::Client::builder().tls_backend_preconfigured(tools::tls()).no_proxy().build().unwrap();
        Self { runtime, http, root: format!("{}/bot{}", bot.url, bot.token) }
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>), reqwest::Error> {
        self.runtime.block_on(async {
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.bytes().await?.to_vec()))
        })
    }

    fn try_call(&self, method: &str, params: &Value) -> Result<(u16, Value), String> {
        let request = self.http.post(format!("{}/{method}", self.root)).header("Content-Type", "application/json").body(params.to_string());
        let (status, body) = self.send(request).map_err(|error| error.to_string())?;
        Ok((status, serde_json::from_slice(&body).map_err(|error| format!("{status}: {error}"))?))
    }

    fn call(&self, method: &str, params: Value) -> (u16, Value) {
        self.try_call(method, &params).unwrap()
    }

    /// The result of a call that succeeds.
    fn ok(&self, method: &str, params: Value) -> Value {
        let (status, mut body) = self.call(method, params);
        assert_eq!(status, 200, "{body}");
        body["result"].take()
    }

    fn updates(&self, params: Value) -> Vec<i64> {
        let updates = self.ok("getUpdates", params);
        updates.as_array().unwrap().iter().map(|update| update["update_id"].as_i64().unwrap()).collect()
    }
}

fn bot() -> (Bot, Client) {
    let bot = Bot::start_unlimited();
    bot.user(ANN, "Ann");
    bot.group(GROUP, "The club");
    let client = Client::new(&bot);
    (bot, client)
}

#[test]
fn html_is_parsed_as_the_server_does() {
    let long = format!("{}<x>", "é".repeat(3));
    let cases: [(&str, Result<&str, &str>); 24] = [
        ("plain & simple &lt;b&gt; &#39;&#x41; &nbsp; 1 > 0", Ok("plain & simple <b> 'A &nbsp; 1 > 0|")),
        ("<b>bold</b> <i>it<u>al</u>ic</i>", Ok("bold italic|bold=bold italic=italic underline=al")),
        ("😀<b>x</b>", Ok("😀x|bold=x")),
        ("<pre><code class=\"language-rust\">fn</code></pre>", Ok("fn|pre=fn")),
        ("<a href=\"https://a.b/?x=1&amp;y=2\">here</a>", Ok("here|text_link=here")),
        ("<a href='nothing'>here</a>", Ok("here|")),
        ("<blockquote expandable>q</blockquote>", Ok("q|expandable_blockquote=q")),
        ("<span class=\"tg-spoiler\">s</span><tg-spoiler>t</tg-spoiler>", Ok("st|spoiler=s spoiler=t")),
        ("  <B>x </B>\n", Ok("x|bold=x")),
        ("<b></b>", Ok("|")),
        ("<b>x", Err("Can't find end tag corresponding to start tag \"b\"")),
        ("<b><i>x</i>", Err("Can't find end tag corresponding to start tag \"b\"")),
        ("x</b>", Err("Unexpected end tag at byte offset 1")),
        ("<b><i>x</b></i>", Err("Unmatched end tag at byte offset 7, expected \"</i>\", found \"</b>\"")),
        (&long, Err("Unsupported start tag \"x\" at byte offset 6")),
        ("a < b", Err("Unsupported start tag \"\" at byte offset 2")),
        ("a <b", Err("Unclosed start tag at byte offset 2")),
        ("<b>x</b", Err("Unclosed end tag at byte offset 4")),
        ("<a href>x</a>", Err("Expected equal sign in declaration of an attribute of the tag \"a\" at byte offset 0")),
        ("<a =>x</a>", Err("Empty attribute name in the tag \"a\" at byte offset 0")),
        ("<a href=a/b>x</a>", Err("Unexpected end of name token at byte offset 8")),
        ("<a href=\"x>x</a>", Err("Unclosed start tag at byte offset 0")),
        ("<span>x</span>", Err("Tag \"span\" must have class \"tg-spoiler\" at byte offset 0")),
        ("<br/>", Err("Unsupported start tag \"br/\" at byte offset 0")),
    ];
    for (source, expected) in cases {
        let found = html(source).map(|parsed| {
            let parsed = trimmed(parsed);
            let parts = parsed.entities.iter().map(|e| format!("{}={}", e["type"].as_str().unwrap(), covered(&parsed.text, e)));
            format!("{}|{}", parsed.text, parts.collect::<Vec<_>>().join(" "))
        });
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{source}");
    }
    let dropped = ["<b><code>x</code></b>", "<code><b>x</b></code>", "<a href=\"a.b\"><a href=\"a.b\">x</a></a>", "<i class=\"x\">y</i>"];
    for source in dropped {
        assert_eq!(html(source).unwrap().oddities.len(), 1, "{source}");
    }
    let many = trimmed(html(&"<b>x</b>y".repeat(101)).unwrap());
    assert_eq!((many.entities.len(), many.oddities.len()), (100, 1));
}

#[test]
fn what_may_not_be_sent_is_refused_and_noted() {
    let (bot, client) = bot();
    let theirs = bot.says(ANN, "hello").message;
    let own = client.ok("sendMessage", json!({ "chat_id": ANN, "text": "mine" }))["message_id"].clone();
    let text = |text: &str| json!({ "chat_id": ANN, "text": text });
    let html = |text: &str| json!({ "chat_id": ANN, "text": text, "parse_mode": "HTML" });
    let button = |data: &str| json!({ "chat_id": ANN, "text": "t", "reply_markup": { "inline_keyboard": [[{ "text": "b", "callback_data": data }]] } });
    let reply = |to: i64, anyway: bool| json!({ "chat_id": ANN, "text": "t", "reply_parameters": { "message_id": to, "allow_sending_without_reply": anyway } });
    let edit = |id: &Value, text: &str| json!({ "chat_id": ANN, "message_id": id, "text": text });
    let react = |emoji: &str| json!({ "chat_id": ANN, "message_id": theirs, "reaction": [{ "type": "emoji", "emoji": emoji }] });
    let commands = |name: &str, says: &str| json!({ "commands": [{ "command": name, "description": says }] });
    let draft = |chat: i64, id: i64, text: &str| json!({ "chat_id": chat, "draft_id": id, "text": text });
    // Each with its status, a part of the description, and whether it is a violation.
    let cases: Vec<(&str, Value, u16, &str, bool)> = vec![
        ("sendMessage", text(&"a".repeat(4096)), 200, "", false),
        ("sendMessage", text(&"😀".repeat(2048)), 200, "", false),
        ("sendMessage", text(&"😀".repeat(2049)), 400, "message is too long", true),
        ("SENDMESSAGE", html(&format!("<b>{}</b>", "a".repeat(4096))), 200, "", false),
        ("sendMessage", html(&"a".repeat(4097)), 400, "message is too long", true),
        ("sendMessage", text(" \n"), 400, "message text is empty", true),
        ("sendMessage", html("<b>x"), 400, "can't parse entities: Can't find end tag", true),
        ("sendMessage", json!({ "chat_id": 8, "text": "x" }), 400, "chat not found", true),
        ("sendMessage", json!({ "chat_id": "7", "text": "x" }), 200, "", false),
        ("sendMessage", json!({ "chat_id": ANN, "text": "x", "colour": 1 }), 200, "", true),
        ("sendMessage", json!({ "chat_id": ANN, "text": "x", "message_thread_id": 3 }), 400, "message thread not found", true),
        ("sendMessage", button(&"a".repeat(64)), 200, "", false),
        ("sendMessage", button(&"a".repeat(65)), 400, "BUTTON_DATA_INVALID", true),
        ("sendMessage", button(""), 400, "BUTTON_DATA_INVALID", true),
        ("sendMessage", reply(theirs, false), 200, "", false),
        ("sendMessage", reply(9_999, false), 400, "message to be replied not found", true),
        ("sendMessage", reply(9_999, true), 200, "", false),
        ("editMessageText", edit(&own, "mine"), 400, "message is not modified: ", false),
        ("editMessageText", edit(&own, "ours"), 200, "", false),
        ("editMessageText", edit(&own, &"a".repeat(4097)), 400, "MESSAGE_TOO_LONG", true),
        ("editMessageText", edit(&json!(9_999), "x"), 400, "message to edit not found", true),
        ("editMessageText", edit(&json!(theirs), "x"), 400, "message can't be edited", true),
        ("editMessageReplyMarkup", json!({ "chat_id": ANN, "message_id": own }), 400, "message is not modified", false),
        ("deleteMessage", json!({ "chat_id": ANN, "message_id": 9_999 }), 400, "message to delete not found", true),
        ("sendChatAction", json!({ "chat_id": ANN, "action": "typing" }), 200, "", false),
        ("sendChatAction", json!({ "chat_id": ANN, "action": "dancing" }), 400, "wrong parameter action", true),
        ("setMessageReaction", react("👀"), 200, "", false),
        ("setMessageReaction", react("🦀"), 400, "REACTION_INVALID", true),
        ("answerCallbackQuery", json!({ "callback_query_id": "1" }), 400, "query is too old and response timeout expired", true),
        ("setMyCommands", commands("start", "Begins"), 200, "", false),
        ("setMyCommands", commands("Start", "Begins"), 400, "BOT_COMMAND_INVALID", true),
        ("setMyCommands", commands("start", ""), 400, "BOT_COMMAND_DESCRIPTION_INVALID", true),
        ("setMyCommands", json!({ "commands": [], "scope": { "type": "chat" } }), 400, "can't parse BotCommandScope", true),
        ("sendMessageDraft", draft(ANN, 5, ""), 200, "", false),
        ("sendMessageDraft", draft(ANN, 0, "x"), 400, "draft_id must be non-zero", true),
        ("sendMessageDraft", draft(GROUP, 5, "x"), 400, "TEXTDRAFT_PEER_INVALID", true),
        ("getFile", json!({ "file_id": "no" }), 400, "wrong file_id", true),
        ("sendDocument", json!({ "chat_id": ANN, "document": "no" }), 400, "there is no document", true),
        ("getUpdates", json!({ "limit": 500 }), 200, "", true),
        ("sendSomething", json!({}), 404, "Not Found", true),
    ];
    for (method, params, status, says, violation) in cases {
        let before = bot.violations().len();
        let (found, body) = client.call(method, params.clone());
        let shown: String = params.to_string().chars().take(200).collect();
        assert_eq!(found, status, "{method} {shown}: {body}");
        assert_eq!(body["ok"], status == 200, "{method} {shown}");
        assert!(body["description"].as_str().unwrap_or_default().contains(says), "{method} {shown}: {body}");
        let new = bot.violations().split_off(before);
        assert_eq!(!new.is_empty(), violation, "{method} {shown}: {new:?}");
    }
    let wrong = Client { root: format!("{}/bot1:wrong", bot.url), ..Client::new(&bot) };
    assert_eq!(wrong.call("getMe", json!({})), (401, json!({ "ok": false, "error_code": 401, "description": "Unauthorized" })));
}

#[test]
fn offsets_acknowledge_and_there_is_one_poller() {
    let (bot, client) = bot();
    let [a, b, c] = ["a", "b", "c"].map(|text| bot.says(ANN, text).update);
    assert_eq!(client.updates(json!({ "limit": 2 })), [a, b]);
    assert_eq!(client.updates(json!({})), [a, b, c], "what is not acknowledged comes again");
    assert_eq!(client.updates(json!({ "offset": b + 1 })), [c]);
    assert_eq!(client.updates(json!({})), [c], "what is acknowledged is gone");
    assert_eq!(client.updates(json!({ "offset": c + 1 })), [0; 0]);
    assert_eq!(bot.violations(), [""; 0]);
    bot.repeats(a);
    let [d, e] = ["d", "e"].map(|text| bot.says(ANN, text).update);
    bot.reverses();
    assert_eq!(client.updates(json!({ "offset": d })), [e, d, a]);
    bot.update(json!({ "some_kind_of_tomorrow": { "x": 1 } }));
    client.updates(json!({ "offset": e + 2, "allowed_updates": ["callback_query"] }));
    let violations = bot.violations();
    assert!(violations.len() == 1 && violations[0].contains("which was never given"), "{violations:?}");
    assert_eq!(bot.says(ANN, "not asked for").update, 0);
    client.updates(json!({ "allowed_updates": ["message"] }));
    assert_eq!(bot.says(ANN, "asked for").update, e + 2);
    assert_eq!(client.updates(json!({})), [e + 2]);
    client.updates(json!({ "offset": e + 3 }));

    // A poll that waits is told of the second one, which then gets the update.
    let polls = bot.look(|state| state.poll);
    let first = {
        let client = Client::new(&bot);
        std::thread::spawn(move || client.call("getUpdates", json!({ "timeout": 50 })))
    };
    bot.wait_until(|state| state.poll == polls + 1, "first poll that waits");
    let second = std::thread::spawn(move || client.updates(json!({ "timeout": 50 })));
    let (status, body) = first.join().unwrap();
    assert_eq!((status, bot.look(|state| state.conflicts)), (409, 1));
    assert!(body["description"].as_str().unwrap().starts_with("Conflict: terminated by other getUpdates request"), "{body}");
    let update = bot.says(ANN, "wakes the poll").update;
    assert_eq!(second.join().unwrap(), [update]);

    // A poller that was killed is no second poller, and takes nothing with it.
    let polls = bot.look(|state| state.poll);
    let mut killed = TcpStream::connect(bot.url.strip_prefix("http://").unwrap()).unwrap();
    write!(killed, "GET /bot{}/getUpdates?timeout=50&offset={} HTTP/1.1\r\nHost: fake\r\n\r\n", bot.token, update + 1).unwrap();
    bot.wait_until(|state| state.poll == polls + 1, "poll of the one that is killed");
    drop(killed);
    let update = bot.says(ANN, "nobody hears it").update;
    assert_eq!(Client::new(&bot).updates(json!({ "timeout": 50 })), [update]);
    assert_eq!((bot.look(|state| state.conflicts), bot.violations()), (1, violations));
}

#[test]
fn who_does_not_wait_is_noted() {
    let (bot, client) = bot();
    bot.user(8, "Bob");
    let text = |chat: i64| json!({ "chat_id": chat, "text": "x" });
    bot.rules(|rules| rules.rates = Rates { private: Window::new(2, 1), ..Rates::none() });
    assert_eq!([client.call("sendMessage", text(ANN)).0, client.call("sendMessage", text(ANN)).0], [200, 200]);
    let (status, body) = client.call("sendMessage", text(ANN));
    assert_eq!(
        (status, &body["parameters"]["retry_after"], &body["description"]),
        (429, &json!(1), &json!("Too Many Requests: retry after 1"))
    );
    assert_eq!(client.call("sendMessage", text(8)).0, 200, "another chat goes on");
    assert_eq!(client.call("sendMessage", text(ANN)).0, 429);
    assert_eq!(bot.violations(), [""; 0], "nor is what was under way then");
    bot.rules(|rules| rules.under_way = Duration::ZERO);
    bot.fault(Fault::new(What::Flood(30)).in_chat(8));
    bot.fault(Fault::new(What::FloodAll(30)).in_chat(GROUP));
    assert_eq!(client.call("sendMessage", text(8)).0, 429);
    assert_eq!(client.call("editMessageText", text(8)).0, 429);
    assert_eq!(client.call("sendMessage", text(GROUP)).0, 429);
    assert_eq!(client.call("sendMessage", text(ANN)).0, 429, "everywhere");
    let violations = bot.violations();
    assert!(violations.len() == 2 && violations.iter().all(|says| says.starts_with("ignored_retry_after")), "{violations:?}");
}

#[test]
fn faults_come_on_demand() {
    let (bot, client) = bot();
    let short = Duration::from_millis(20);
    // What the client sees, and whether the message was sent all the same.
    let cases = [
        (What::Gateway(502), "502: expected value", false),
        (What::ResetBefore, "error sending request", false),
        (What::ResetAfter, "error sending request", true),
        (What::HalfClosed, "error sending request", false),
        (What::Stall(short), "error sending request", false),
        (What::Hang(short), "200", true),
        (What::Truncated, "error decoding response body", true),
        (What::BadJson, "200: EOF while parsing", true),
        (What::CloseAfter, "200", true),
        (What::blocked(), "403", false),
        (What::migrated(-5), "400", false),
        (What::bad_markup(), "400", false),
    ];
    for (what, sees, sent) in cases {
        let before = bot.sent().len();
        bot.fault(Fault::new(what.clone()).on("sendMessage").in_chat(ANN));
        let found = client
            .try_call("sendMessage", &json!({ "chat_id": ANN, "text": "x" }))
            .map_or_else(|error| error, |(status, _)| status.to_string());
        assert!(found.starts_with(sees), "{what:?}: {found}");
        assert_eq!(bot.sent().len() - before, usize::from(sent), "{what:?}");
        // Whatever became of the connection, the next one is good, after a second try where the pool kept the old one.
        let again = || client.try_call("getMe", &json!({}));
        assert_eq!(again().or_else(|_| again()).unwrap().0, 200, "{what:?}");
    }
    bot.fault(Fault::new(What::Gateway(500)).on("sendMessage").skip(1).every(2).times(2));
    let statuses: Vec<_> = (0..7).map(|_| client.try_call("sendMessage", &json!({ "chat_id": ANN, "text": "x" })).is_ok()).collect();
    assert_eq!(statuses, [true, true, false, true, false, true, true]);
    let update = bot.says(ANN, "lost").update;
    bot.fault(Fault::new(What::ResetAfter).on("getUpdates"));
    assert!(client.try_call("getUpdates", &json!({})).is_err());
    assert_eq!(bot.violations(), [""; 0]);
    client.updates(json!({ "offset": update + 1 }));
    assert_eq!(bot.violations().len(), 1, "what was lost on its way was not given");
}

#[test]
fn people_press_edit_leave_and_are_shown_what_is_sent() {
    let (bot, client) = bot();
    let markup = json!({ "inline_keyboard": [[{ "text": "Yes", "callback_data": "y1" }, { "text": "No", "callback_data": "n1" }]] });
    let params = json!({ "chat_id": ANN, "text": "<b>Sure?</b>", "parse_mode": "HTML", "reply_markup": markup });
    let id = client.ok("sendMessage", params)["message_id"].as_i64().unwrap();
    let shown = bot.wait_for(ANN, "Sure?");
    assert_eq!((shown.raw.as_str(), shown.buttons()), ("<b>Sure?</b>", vec!["Yes".to_owned(), "No".to_owned()]));
    let query = bot.presses(ANN, ANN, id, "No");
    let update = client.ok("getUpdates", json!({}))[0]["callback_query"].clone();
    assert_eq!((&update["id"], &update["data"], &update["message"]["message_id"]), (&json!(query), &json!("n1"), &json!(id)));
    client.ok("answerCallbackQuery", json!({ "callback_query_id": query, "text": "noted" }));
    assert_eq!(bot.answers(&query)[0]["text"], "noted");
    bot.rules(|rules| rules.query_life = Duration::ZERO);
    assert_eq!(client.call("answerCallbackQuery", json!({ "callback_query_id": query })).0, 400);
    client.ok("editMessageText", json!({ "chat_id": ANN, "message_id": id, "text": "No." }));
    let shown = bot.sent().remove(0);
    assert_eq!((shown.text.as_str(), shown.edits, shown.buttons().len(), shown.versions.len()), ("No.", 1, 0, 2));

    bot.forum(-6, "Forum");
    let said = bot.says_in_group(-6, Some(3), ANN, &format!("hey {} /now", super::mention()));
    bot.edits(-6, said.message, "/start it");
    let updates = client.ok("getUpdates", json!({ "offset": said.update }));
    let message = &updates[0]["message"];
    assert_eq!((&message["message_thread_id"], &message["chat"]["type"]), (&json!(3), &json!("supergroup")));
    let kinds = |value: &Value| {
        value["entities"].as_array().unwrap().iter().map(|e| covered(value["text"].as_str().unwrap(), e)).collect::<Vec<_>>()
    };
    assert_eq!(kinds(message), [super::mention(), "/now".to_owned()]);
    assert_eq!(kinds(&updates[1]["edited_message"]), ["/start"]);

    bot.small_group(-20, "Small");
    bot.migrates_silently(-20, -21);
    let (status, body) = client.call("sendMessage", json!({ "chat_id": -20, "text": "x" }));
    assert_eq!((status, &body["parameters"]["migrate_to_chat_id"]), (400, &json!(-21)));
    bot.blocks(ANN);
    let (status, body) = client.call("sendMessage", json!({ "chat_id": ANN, "text": "x" }));
    assert_eq!((status, &body["description"]), (403, &json!("Forbidden: bot was blocked by the user")));
    assert_eq!(bot.violations(), [""; 0]);
}

#[test]
fn files_go_both_ways() {
    let (bot, client) = bot();
    bot.sends_file(ANN, "document", "notes.txt", b"one\r\ntwo", "read this");
    let message = client.ok("getUpdates", json!({}))[0]["message"].clone();
    assert_eq!((&message["caption"], &message["document"]["file_name"]), (&json!("read this"), &json!("notes.txt")));
    let path = client.ok("getFile", json!({ "file_id": message["document"]["file_id"] }))["file_path"].as_str().unwrap().to_owned();
    // As teloxide writes it, the path being one segment.
    let url = format!("{}/file/bot{}/{}", bot.url, bot.token, path.replace('/', "%2F"));
    assert_eq!(client.send(client.http.get(url)).unwrap(), (200, b"one\r\ntwo".to_vec()));

    let part = |head: &str, bytes: &str| format!("--XX\r\nContent-Disposition: form-data; {head}\r\n\r\n{bytes}\r\n");
    let body = [
        part("name=\"chat_id\"", "7"),
        part("name=\"caption\"", "<i>look</i>"),
        part("name=\"parse_mode\"", "HTML"),
        part("name=\"document\"", "attach://f1"),
        part("name=\"f1\"; filename=\"a b.bin\"", "\r\n--X\r\n"),
        "--XX--\r\n".to_owned(),
    ];
    let request = client.http.post(format!("{}/sendDocument", client.root)).header("Content-Type", "multipart/form-data; boundary=XX");
    let (status, body) = client.send(request.body(body.concat())).unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let sent = bot.wait_for(ANN, "look");
    let file = sent.file.unwrap();
    assert_eq!((file.name.as_str(), file.bytes.as_slice()), ("a b.bin", &b"\r\n--X\r\n"[..]));

    let form =
        client.http.post(format!("{}/sendMessage?chat_id=7", client.root)).header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(client.send(form.body("text=a+b%26c")).unwrap().0, 200);
    assert_eq!(bot.texts(ANN), ["look", "a b&c"]);
    assert_eq!(bot.violations(), [""; 0]);
}

#[test]
fn drafts_expire_stop_and_are_unknown_to_old_servers() {
    let (bot, client) = bot();
    let draft = |id: i64, text: &str| json!({ "chat_id": ANN, "draft_id": id, "text": text, "can_stop": true });
    client.ok("sendMessageDraft", draft(1, "a"));
    client.ok("sendMessageDraft", draft(1, "a b"));
    let found = bot.drafts(ANN).remove(0);
    assert_eq!((found.texts, found.alive), (vec!["a".to_owned(), "a b".to_owned()], true));
    client.ok("sendMessage", json!({ "chat_id": ANN, "text": "a b c" }));
    assert!(!bot.drafts(ANN)[0].alive, "a message takes its place");
    client.ok("sendMessageDraft", draft(2, "x"));
    bot.stops(ANN);
    let update = client.ok("getUpdates", json!({}))[0]["stopped_message_generation"].clone();
    assert_eq!((&update["draft_id"], &update["chat"]["id"]), (&json!(2), &json!(ANN)));
    assert!(!bot.drafts(ANN)[1].alive);
    bot.rules(|rules| rules.draft_life = Duration::from_millis(50));
    client.ok("sendMessageDraft", draft(3, "y"));
    bot.wait_until(|state| !state.drafts(ANN)[2].alive, "end of the draft");
    for (drafts, status) in [(Drafts::Unknown, 404), (Drafts::Refused, 400)] {
        bot.rules(|rules| rules.drafts = drafts);
        assert_eq!(client.call("sendMessageDraft", draft(4, "z")).0, status);
    }
    assert_eq!(bot.violations(), [""; 0]);
}

#[test]
fn a_webhook_gets_each_update_until_it_takes_it() {
    let (bot, client) = bot();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (send, receive) = mpsc::sync_channel(8);
    std::thread::spawn(move || {
        for status in ["500 No", "200 OK", "200 OK"] {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let (mut line, mut secret, mut length) = (String::new(), String::new(), 0);
            while stream.read_line(&mut line).unwrap() > 2 {
                let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
                match name {
                    "X-Telegram-Bot-Api-Secret-Token" => secret = value.to_owned(),
                    "Content-Length" => length = value.parse().unwrap(),
                    _ => {}
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            send.send((secret, serde_json::from_slice::<Value>(&body).unwrap()["update_id"].as_i64().unwrap())).unwrap();
            write!(stream.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    client.ok("setWebhook", json!({ "url": url, "secret_token": "s3cret" }));
    let (status, body) = client.call("getUpdates", json!({}));
    assert_eq!(status, 409, "{body}");
    assert_eq!(client.ok("getWebhookInfo", json!({}))["url"], url);
    let (a, b) = (bot.says(ANN, "a").update, bot.says(ANN, "b").update);
    let got: Vec<_> = (0..3).map(|_| receive.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
    assert_eq!(got, [a, a, b].map(|update| ("s3cret".to_owned(), update)));
    bot.wait_until(|state| state.updates.is_empty(), "end of the deliveries");
    assert_eq!(bot.look(|state| state.deliveries.clone()), [(a, 500), (a, 200), (b, 200)]);
    client.ok("deleteWebhook", json!({}));
    assert_eq!(client.updates(json!({})), [0; 0]);
}

#[test]
fn a_wait_fails_loudly_and_a_callback_sees_each_request() {
    let (mut bot, client) = bot();
    let seen = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counts = Arc::clone(&seen);
    bot.on_request(move |call, moment| {
        assert_eq!(call.method, "sendMessage");
        let count = if moment == Moment::Before { &counts.0 } else { &counts.1 };
        count.fetch_add(1, Ordering::SeqCst);
    });
    client.ok("sendMessage", json!({ "chat_id": ANN, "text": "something else" }));
    assert_eq!((seen.0.load(Ordering::SeqCst), seen.1.load(Ordering::SeqCst)), (1, 1));
    bot.patience = Duration::from_millis(50);
    let start = Instant::now();
    let failure = catch_unwind(AssertUnwindSafe(|| bot.wait_for(ANN, "the reply"))).unwrap_err();
    let says = failure.downcast_ref::<String>().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10) && says.contains("something else") && says.contains("the reply"), "{says}");
    assert_eq!(Rules::default().draft_life, Duration::from_secs(30));
}
