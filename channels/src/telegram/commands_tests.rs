use super::super::intake::tests::{Bench, turn};
use super::super::settings::{Group, When};
use super::*;

/// What is said to a command that comes twice, as after a kill.
async fn reply(bench: &Bench, update: i64, line: &str) -> String {
    bench.say(update, line).await;
    bench.say(update, line).await;
    let said = bench.said().await;
    let about = bench.store.outbound_about(CHANNEL, &super::super::update::name(update)).await.unwrap().unwrap();
    assert_eq!(said.iter().filter(|(_, text)| *text == about.text).count(), 1, "{said:?}");
    about.text
}

#[tokio::test]
async fn commands_are_answered_once() {
    let bench = Bench::new().await;
    assert_eq!(reply(&bench, 1, "/start").await, START);
    assert!(reply(&bench, 2, "/help").await.contains("- /tasks [stop N] – list the tasks that run, or stop one\n"));
    assert_eq!(reply(&bench, 3, "/model").await, "the model is loading, 40 %");
    assert_eq!(reply(&bench, 5, "/status").await, "```\nall is well\n```");
    assert_eq!(reply(&bench, 6, "/jobs").await, "```\nno jobs\n```");
    assert_eq!(reply(&bench, 7, "/tasks").await, "```\nno task runs\n```");
    assert_eq!(reply(&bench, 8, "/approve").await, "```\nnothing waits for an approval\n```");
    assert_eq!(reply(&bench, 9, "/approve 7-x no").await, "```\nnothing called 7-x waits; /approve lists what does\n```");
    assert_eq!(reply(&bench, 10, "/dance").await, "There is no command /dance; /help lists them.");
    assert_eq!(reply(&bench, 11, "/why 9").await, "There is no such turn.");
    assert!(reply(&bench, 12, "/memory add my bike is green").await.contains("kept as "));
    assert_eq!(bench.store.list(10, 0).await.unwrap().len(), 1);
    assert_eq!(bench.open().await, []);
}

#[tokio::test]
async fn sessions_begin_and_are_gone_back_to() {
    let bench = Bench::new().await;
    bench.say(1, "one").await;
    reply(&bench, 2, "/new").await;
    bench.say(3, "two").await;
    reply(&bench, 4, "/new").await;
    let list = reply(&bench, 5, "/sessions").await;
    assert!(list.contains("*   3     0 turns") && list.contains("\n    1     1 turns"), "{list}");
    assert_eq!(reply(&bench, 6, "/sessions 1").await, "This goes on with session 1.");
    bench.say(7, "three").await;
    assert_eq!(reply(&bench, 8, "/sessions 9").await, "There is no such session here; /sessions lists them.");
    // A number that has been used is not used again.
    reply(&bench, 9, "/new").await;
    bench.say(10, "four").await;
    assert_eq!(bench.open().await, [turn("1", "one"), turn("1#2", "two"), turn("1", "three"), turn("1#4", "four")]);
}

#[tokio::test]
async fn one_undo_undoes_one_turn() {
    let bench = Bench::new().await;
    bench.say(1, "one").await;
    bench.say(2, "two").await;
    bench.finish_all().await;
    assert_eq!(reply(&bench, 3, "/why").await, "```\nwhy 2\n```");
    assert_eq!(reply(&bench, 4, "/undo").await, "```\nrestored the files of 2\ntaken out of the history: two\n```");
    // Cut off after the turn was undone and before that was said.
    bench.store.set_setting(CHANNEL, "undo:1", Some("u5 2".into())).await.unwrap();
    assert_eq!(reply(&bench, 5, "/undo").await, "```\ntaken out of the history\n```");
    assert_eq!(reply(&bench, 6, "/undo").await, "```\nrestored the files of 1\ntaken out of the history: one\n```");
    assert_eq!(reply(&bench, 7, "/undo").await, "```\nthere is no turn to undo\n```");
}

#[test]
fn each_is_shown_what_he_may_do() {
    let circle = Circle { owners: vec![1], groups: vec![Group { id: -5, when: When::Always }] };
    let scopes = scopes(&circle);
    let names = |commands: &Value| {
        commands.as_array().unwrap().iter().map(|command| command["command"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let got: Vec<(Value, usize)> = scopes.iter().map(|(scope, commands)| (scope.clone(), names(commands).len())).collect();
    let expected = [
        (json!({ "type": "chat", "chat_id": 1 }), LIST.len()),
        (json!({ "type": "chat_member", "chat_id": -5, "user_id": 1 }), LIST.len()),
        (json!({ "type": "chat", "chat_id": -5 }), 2),
    ];
    assert_eq!(got, expected);
    assert_eq!(names(&scopes[2].1), ["help", "stop"]);
    // Telegram's bounds.
    for (name, arguments, help) in LIST {
        assert!(name.len() <= 32 && arguments.len() + help.len() + 2 <= 256, "{name}");
    }
}

#[test]
fn a_fence_cannot_be_closed_by_what_is_in_it() {
    assert_eq!([fenced("a\n"), fenced("a ```` b")], ["```\na\n```", "`````\na ```` b\n`````"]);
}
