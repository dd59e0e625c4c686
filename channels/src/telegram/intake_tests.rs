//! Updates as the Bot API sends them, into a journal in memory; Telegram is a server that says yes to everything.

use agent::Secrets;
use agent::memory::{Store, TurnState};
use serde_json::json;

use super::super::fake::{Fake, Reply};
use super::super::settings::{Group, When};
use super::super::{parcels, who};
use super::*;
use crate::desk::State;
use crate::live::Live;

const GROUP: i64 = -100;

fn told(text: String) -> super::super::settings::Telling {
    Box::pin(async move { text })
}

/// An intake on the way to a model that is being loaded. Owner 1, the group, and the code `0000-0042`.
pub(crate) async fn intake(store: &Store, fake: &Fake, workspace: &std::path::Path) -> Arc<Intake> {
    let keep_rule: agent::KeepRule = Box::new(|_| Ok(()));
    let desk = Desk {
        store: store.clone(),
        live: Live::default(),
        secrets: watch::channel(Secrets::default()).1,
        state: watch::channel(State::Loading(0.4)).1,
        keep_rule: Arc::new(keep_rule),
    };
    let settings =
        Settings { groups: vec![Group { id: GROUP, when: When::Mention }], workspace: workspace.to_owned(), ..Settings::for_tests() };
    let hooks = Hooks {
        undo_files: Box::new(|turn| Box::pin(async move { Ok(vec![format!("restored the files of {turn}")]) })),
        why: Box::new(|turn| told(format!("why {turn}"))),
        status: Box::new(|| told("all is well".into())),
        jobs: Box::new(|| told("no jobs".into())),
        show: Box::new(|_| {}),
        random: || 42,
        pair: tokio::sync::Mutex::new(tokio::sync::mpsc::channel(1).1),
    };
    let me = Me { id: 99, username: "CrabBot".into() };
    let parcels = Parcels::load(store).await.unwrap();
    Arc::new(Intake::new(desk, fake.api(), me, watch::channel(settings).1, Arc::new(hooks), parcels))
}

/// A store, a server that gives each file the text `content`, and what takes updates in.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) fake: Fake,
    pub(crate) workspace: tempfile::TempDir,
    pub(crate) intake: Arc<Intake>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(|method, fields| match method {
            "getFile" => Reply::ok(json!({ "file_path": format!("files/{}", fields["file_id"].as_str().unwrap()) })),
            _ if fields["form"] == "" => Reply::Bytes(b"content".to_vec()),
            _ => Reply::ok(json!(true)),
        })
        .await
    }

    pub(crate) async fn with(answer: impl FnMut(&str, &Value) -> Reply + Send + 'static) -> Self {
        let fake = Fake::start(answer);
        let (store, workspace) = (Store::in_memory().unwrap(), tempfile::tempdir().unwrap());
        let intake = intake(&store, &fake, workspace.path()).await;
        Self { store, fake, workspace, intake }
    }

    /// As after a restart: only the store is there still.
    pub(crate) async fn restart(&mut self) {
        self.intake = intake(&self.store, &self.fake, self.workspace.path()).await;
    }

    pub(crate) async fn take(&self, update: i64, kind: &str, chat: i64, from: i64, fields: Value) {
        let mut message = fields;
        if message.get("message_id").is_none() {
            message["message_id"] = update.into();
        }
        message["chat"] = json!({ "id": chat, "type": if chat > 0 { "private" } else { "supergroup" } });
        message["from"] = json!({ "id": from, "is_bot": false, "first_name": "Anna" });
        self.intake.take(&json!({ "update_id": update, kind: message })).await.unwrap();
    }

    pub(crate) async fn say(&self, update: i64, text: &str) {
        self.take(update, "message", 1, 1, json!({ "text": text })).await;
    }

    /// Open turns: session, text, person.
    pub(crate) async fn open(&self) -> Vec<(String, String, Option<String>)> {
        let open = self.store.open_turns(None).await.unwrap();
        open.into_iter().map(|row| (row.session_name, row.text, row.person)).collect()
    }

    /// What the program says of its own: session, text.
    pub(crate) async fn said(&self) -> Vec<(String, String)> {
        let unsent = self.store.unsent(CHANNEL).await.unwrap();
        unsent.into_iter().map(|row| (row.session_name, row.text)).collect()
    }

    pub(crate) async fn finish_all(&self) {
        for row in self.store.open_turns(None).await.unwrap() {
            self.store.finish(row.id, TurnState::Done, "done", None).await.unwrap();
        }
    }
}

pub(crate) fn turn(session: &str, text: &str) -> (String, String, Option<String>) {
    (session.into(), text.into(), None)
}

#[tokio::test]
async fn a_message_is_one_turn_however_often_it_comes() {
    let mut bench = Bench::new().await;
    for _ in 0..2 {
        bench.say(7, "hello").await;
        bench.restart().await;
    }
    bench.say(8, "hello").await;
    assert_eq!(bench.open().await, [turn("1", "hello"), turn("1", "hello")]);
    let row = bench.store.open_turns(None).await.unwrap().remove(0);
    assert_eq!((row.channel.as_str(), row.message.as_deref()), (CHANNEL, Some("7")));
    bench.fake.calls("setMessageReaction", 2).await;
}

#[tokio::test]
async fn strangers_leave_nothing() {
    let bench = Bench::new().await;
    bench.take(1, "message", 5, 5, json!({ "text": "/start" })).await;
    bench.take(2, "message", -7, 1, json!({ "text": "@CrabBot hi" })).await;
    bench.take(3, "edited_message", 5, 5, json!({ "text": "hi" })).await;
    bench.take(4, "message", 5, 5, json!({ "photo": [{ "file_id": "f" }] })).await;
    let press = json!({ "id": "q", "from": { "id": 5, "first_name": "E" }, "data": "x", "message": { "message_id": 1, "chat": { "id": 5, "type": "private" } } });
    bench.intake.take(&json!({ "update_id": 5, "callback_query": press })).await.unwrap();
    bench.intake.take(&json!({ "update_id": 6, "stopped_message_generation": { "chat": { "id": 5, "type": "private" } } })).await.unwrap();
    assert_eq!((bench.open().await, bench.said().await, bench.fake.asked()), (vec![], vec![], vec![]));
    assert!(bench.store.sessions().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_code_makes_an_owner_once() {
    let mut bench = Bench::new().await;
    assert!(bench.intake.open_pairing().ends_with("within 10 minutes: 0000-0042"));
    bench.take(1, "message", 5, 5, json!({ "text": "00000041" })).await;
    assert_eq!(bench.said().await, []);
    bench.take(2, "message", 5, 5, json!({ "text": "/start 0000-0042" })).await;
    // The same update after a restart is no message, and says nothing twice.
    bench.restart().await;
    bench.take(2, "message", 5, 5, json!({ "text": "/start 0000-0042" })).await;
    bench.take(3, "message", 5, 5, json!({ "text": "hi" })).await;
    assert_eq!(bench.said().await, [("5".into(), commands::WELCOME.into())]);
    assert_eq!(bench.open().await, [turn("5", "hi")]);
}

#[tokio::test]
async fn in_a_group_the_writer_is_named() {
    let bench = Bench::new().await;
    let topic = json!({ "text": "@CrabBot how late is it?", "message_thread_id": 45, "is_topic_message": true });
    bench.take(1, "message", GROUP, 7, topic).await;
    bench.take(2, "message", GROUP, 1, json!({ "text": "@CrabBot and now?" })).await;
    bench.take(3, "message", GROUP, 7, json!({ "text": "not for you" })).await;
    bench.take(4, "message", GROUP, 7, json!({ "text": "/memory@CrabBot add x" })).await;
    let guest = ("-100:45".to_owned(), "Anna: how late is it?".to_owned(), Some("7".to_owned()));
    assert_eq!(bench.open().await, [guest, turn("-100", "Anna: and now?")]);
    assert_eq!(bench.said().await, []);
}

#[tokio::test]
async fn an_edit_is_another_text_while_nothing_has_begun() {
    let bench = Bench::new().await;
    bench.say(1, "helo").await;
    bench.take(2, "edited_message", 1, 1, json!({ "message_id": 1, "text": "hello" })).await;
    bench.take(3, "edited_message", 1, 1, json!({ "message_id": 9, "text": "never came" })).await;
    assert_eq!(bench.open().await, [turn("1", "hello")]);
    bench.finish_all().await;
    bench.take(4, "edited_message", 1, 1, json!({ "message_id": 1, "text": "too late" })).await;
    assert_eq!((bench.open().await, bench.said().await), (vec![], vec![]));
}

#[tokio::test]
async fn a_group_that_moves_keeps_its_conversation() {
    let bench = Bench::new().await;
    bench.take(1, "message", GROUP, 1, json!({ "migrate_to_chat_id": -1_005 })).await;
    bench.take(2, "message", -1_005, 1, json!({ "migrate_from_chat_id": GROUP })).await;
    bench.take(3, "message", -1_005, 7, json!({ "text": "@CrabBot hi" })).await;
    assert_eq!(bench.open().await, [("-100".into(), "Anna: hi".into(), Some("7".into()))]);
    assert_eq!(bench.store.setting(CHANNEL, &who::moved(GROUP)).await.unwrap().as_deref(), Some("-1005"));
    bench.take(4, "message", -1_005, 1, json!({ "text": "/stop@CrabBot" })).await;
    assert_eq!((bench.open().await, bench.said().await), (vec![], vec![("-100".into(), "stopped".into())]));
}

#[tokio::test]
async fn a_stop_ends_what_runs_here_and_not_what_came_after_it() {
    let bench = Bench::new().await;
    bench.say(1, "one").await;
    bench.say(2, "two").await;
    bench.take(3, "message", GROUP, 7, json!({ "text": "@CrabBot three" })).await;
    let stop = json!({ "update_id": 4, "message": { "message_id": 4, "text": "/stop", "chat": { "id": 1, "type": "private" }, "from": { "id": 1 } } });
    bench.intake.stop_early(&stop).await.unwrap();
    assert_eq!(bench.open().await.len(), 1);
    bench.intake.take(&stop).await.unwrap();
    bench.say(5, "four").await;
    // The same update again.
    bench.intake.stop_early(&stop).await.unwrap();
    bench.intake.take(&stop).await.unwrap();
    assert_eq!(bench.open().await.iter().map(|(_, text, _)| text.as_str()).collect::<Vec<_>>(), ["Anna: three", "four"]);
    // Another guest's turn is not one's own.
    bench.take(6, "message", GROUP, 8, json!({ "text": "/stop@CrabBot" })).await;
    bench.take(7, "message", GROUP, 7, json!({ "text": "/stop@CrabBot" })).await;
    // The button under a draft.
    let button = json!({ "update_id": 8, "stopped_message_generation": { "chat": { "id": 1, "type": "private" }, "draft_id": 3 } });
    bench.intake.stop_early(&button).await.unwrap();
    bench.intake.take(&button).await.unwrap();
    assert_eq!(bench.open().await, []);
    let said: Vec<String> = bench.said().await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["stopped 2 messages", "nothing runs here", "stopped", "stopped"]);
}

#[tokio::test]
async fn files_wait_in_the_store_and_what_is_written_after_them_waits_behind() {
    let mut bench = Bench::new().await;
    bench
        .take(1, "message", 1, 1, json!({ "document": { "file_id": "f", "file_name": "a.txt", "file_size": 7 }, "caption": "read this" }))
        .await;
    bench.say(2, "and answer").await;
    assert_eq!(bench.open().await, []);
    bench.restart().await;
    bench.say(2, "and answer").await;
    until_taken(&bench, 2).await;
    assert_eq!(bench.open().await, [turn("1", "read this\n[file a.txt: media/1/1-a.txt]"), turn("1", "and answer")]);
    assert_eq!(std::fs::read(bench.workspace.path().join("media/1/1-a.txt")).unwrap(), b"content");
    // Once more, although nothing waits any more.
    bench.take(1, "message", 1, 1, json!({ "document": { "file_id": "f", "file_name": "a.txt" }, "caption": "read this" })).await;
    assert!(!bench.intake.parcels.waits(Place { chat: 1, topic: None }));
    let kept = bench.store.settings(CHANNEL).await.unwrap();
    assert!(!kept.iter().any(|(name, _)| name.starts_with("wait:")), "{kept:?}");
}

#[tokio::test]
async fn an_album_is_one_message() {
    let bench = Bench::new().await;
    let part = |text: &str| json!({ "photo": [{ "file_id": "f", "width": 2, "height": 1 }], "media_group_id": "g", "caption": text });
    bench.take(1, "message", 1, 1, part("both")).await;
    bench.take(2, "message", 1, 1, part("")).await;
    bench.take(2, "message", 1, 1, part("")).await;
    // What comes behind an album ends it.
    bench.say(3, "what are they?").await;
    until_taken(&bench, 2).await;
    let cannot = "you cannot see it, say so if it matters";
    let album = format!("both\n[photo, 2×1: media/1/1-photo.jpg; {cannot}]\n[photo, 2×1: media/1/2-photo.jpg; {cannot}]");
    assert_eq!(bench.open().await, [turn("1", &album), turn("1", "what are they?")]);
    // A part that comes again is known.
    bench.take(2, "message", 1, 1, part("")).await;
    assert!(!bench.intake.parcels.waits(Place { chat: 1, topic: None }));
}

#[tokio::test]
async fn a_stop_drops_what_waits() {
    let bench = Bench::new().await;
    bench.take(1, "message", 1, 1, json!({ "voice": { "file_id": "f" } })).await;
    bench.say(2, "/stop").await;
    assert_eq!((bench.open().await, bench.said().await), (vec![], vec![("1".into(), "stopped".into())]));
    assert!(!bench.intake.parcels.waits(Place { chat: 1, topic: None }));
}

/// Works on what waits until there are so many open turns and nothing waits.
async fn until_taken(bench: &Bench, turns: usize) {
    let mut changes = bench.store.changes();
    let done = async {
        while bench.open().await.len() < turns || bench.intake.parcels.waits(Place { chat: 1, topic: None }) {
            tokio::select! {
                changed = changes.changed() => changed.unwrap(),
                // Taking it away from what waits is told to nobody.
                () = tokio::task::yield_now() => {}
            }
        }
    };
    tokio::select! {
        never = parcels::work(Arc::clone(&bench.intake)) => match never {},
        () = done => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("still waiting: {:?}", bench.open().await),
    }
}
