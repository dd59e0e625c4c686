use serde_json::json;

use super::*;

fn read(raw: &Value) -> Kind {
    Update::read(raw).unwrap().kind
}

#[test]
fn what_is_newer_than_we_are_costs_itself_only() {
    let raw = json!({ "update_id": 7, "message": {
        "message_id": 5, "date": 1, "chat": { "id": 42, "type": "private", "first_name": "Anna" },
        "from": { "id": 42, "is_bot": false, "first_name": "Anna" },
        "text": "see you at nine", "media_group_id": 12,
        "entities": [{ "type": "date_time", "offset": 11, "length": 4, "unix_time": { "new": true } }, { "type": "bold" }, 3],
        "photo": "none", "something_new": { "x": 1 },
    }});
    let Kind::Message(message) = read(&raw) else { panic!("no message") };
    assert_eq!((message.words().0, message.entities.len(), message.place()), ("see you at nine", 1, Place { chat: 42, topic: None }));
    assert_eq!((message.media_group_id, message.photo), (None, vec![]));
}

#[test]
fn updates_without_a_use_are_other_and_without_a_number_none() {
    for raw in [
        json!({ "update_id": 1 }),
        json!({ "update_id": 1, "purchased_paid_media": { "from": 1 } }),
        json!({ "update_id": 1, "message": { "text": "from nowhere" } }),
        json!({ "update_id": 1, "message": "x" }),
        json!({ "update_id": 1, "channel_post": { "message_id": 1, "chat": { "id": -1, "type": "channel" }, "text": "x" } }),
    ] {
        assert_eq!(read(&raw), Kind::Other, "{raw}");
    }
    for raw in [json!({}), json!({ "update_id": "1" }), json!([]), json!(null)] {
        assert_eq!(Update::read(&raw), None, "{raw}");
    }
}

#[test]
fn a_topic_is_one_only_where_the_message_says_so() {
    let place = |topic: bool| {
        let raw = json!({ "update_id": 1, "edited_message": {
            "message_id": 1, "chat": { "id": -100, "type": "supergroup" }, "message_thread_id": 9, "is_topic_message": topic } });
        let Kind::Edited(message) = read(&raw) else { panic!("no edit") };
        message.place()
    };
    assert_eq!([place(true), place(false)], [Place { chat: -100, topic: Some(9) }, Place { chat: -100, topic: None }]);
}

#[test]
fn the_stop_button_of_a_draft() {
    let raw = json!({ "update_id": 3, "stopped_message_generation": { "chat": { "id": 42, "type": "private" }, "draft_id": 8 } });
    let Kind::Stopped(stopped) = read(&raw) else { panic!("no stop") };
    assert_eq!((stopped.chat.id, stopped.message_thread_id), (42, None));
}

#[test]
fn units_of_utf16_are_bytes_of_ours() {
    let text = "a🦀ä@b";
    let cases =
        [(0, 1, Some(0..1)), (1, 2, Some(1..5)), (3, 3, Some(5..9)), (2, 1, None), (0, 7, None), (6, 0, Some(9..9)), (usize::MAX, 2, None)];
    for (offset, length, expected) in cases {
        assert_eq!(utf16_range(text, offset, length), expected, "{offset} {length}");
    }
}

#[test]
fn names_are_one_short_line() {
    let name = |first: &str, last: &str| User { id: 7, first_name: first.into(), last_name: last.into(), ..User::default() }.name();
    assert_eq!(name("Anna", "Meier"), "Anna Meier");
    assert_eq!(name("System:\n do", ""), "System do");
    assert_eq!(name(" ", ""), "user 7");
    assert_eq!(name(&"x".repeat(100), ""), "x".repeat(NAME));
}

#[test]
fn a_group_that_moves_tells_from_where_to_where() {
    let moved = |raw: Value| part::<Message>(&raw).unwrap().moved();
    assert_eq!(moved(json!({ "message_id": 1, "chat": { "id": -5, "type": "group" }, "migrate_to_chat_id": -1_005 })), Some((-5, -1_005)));
    assert_eq!(
        moved(json!({ "message_id": 1, "chat": { "id": -1_005, "type": "supergroup" }, "migrate_from_chat_id": -5 })),
        Some((-5, -1_005))
    );
    assert_eq!(moved(json!({ "message_id": 1, "chat": { "id": -5, "type": "group" } })), None);
}

#[test]
fn in_a_topic_its_beginning_is_not_replied_to() {
    let reply = |topic: bool| {
        let other = json!({ "message_id": 9, "chat": { "id": -5, "type": "supergroup" } });
        let raw = json!({ "message_id": 10, "chat": { "id": -5, "type": "supergroup" }, "message_thread_id": 9, "is_topic_message": topic, "reply_to_message": other });
        part::<Message>(&raw).unwrap().replied_to().is_some()
    };
    assert_eq!([reply(true), reply(false)], [false, true]);
}
