use serde_json::json;

use super::super::update::{Kind, Update};
use super::*;

const GROUP: i64 = -100;

fn me() -> Me {
    Me { id: 99, username: "CrabBot".into() }
}

fn message(mut raw: Value, chat: i64) -> Message {
    raw["message_id"] = 5.into();
    raw["chat"] = json!({ "id": chat, "type": if chat > 0 { "private" } else { "supergroup" } });
    if raw.get("from").is_none() {
        raw["from"] = json!({ "id": 1, "is_bot": false, "first_name": "Anna" });
    }
    let Kind::Message(message) = Update::read(&json!({ "update_id": 1, "message": raw })).unwrap().kind else { panic!("no message") };
    *message
}

fn place(chat: i64) -> Place {
    Place { chat, topic: None }
}

#[track_caller]
fn check(raw: Value, chat: i64, who: Who, when: Option<When>, expected: Route) {
    assert_eq!(route(&message(raw.clone(), chat), who, when, &me()), expected, "{raw}");
}

fn words(chat: i64, person: Option<i64>, text: &str) -> Route {
    Route::Said(Said { place: place(chat), message: 5, person, text: text.into(), data: None, attached: vec![], album: None })
}

fn a_command(chat: i64, name: &str, argument: &str) -> Route {
    Route::Command(Command { place: place(chat), name: name.into(), argument: argument.into(), person: None })
}

#[test]
fn with_one_person_all_is_meant() {
    let owner = |text: &str, expected| check(json!({ "text": text }), 1, Who::Owner, None, expected);
    owner("hello ", words(1, None, "hello"));
    owner("/new", a_command(1, "new", ""));
    owner("/memory  add my bike is green", a_command(1, "memory", "add my bike is green"));
    owner("/memory@crabbot list", a_command(1, "memory", "list"));
    owner("/stop", Route::Stop { place: place(1), person: None });
    owner("/stop@OtherBot", Route::Nothing("a command for another bot"));
    owner("/etc/hosts: what is in it?", words(1, None, "/etc/hosts: what is in it?"));
    owner("/ is the root", words(1, None, "/ is the root"));
    owner("/Über", words(1, None, "/Über"));
    owner("I told @CrabBot so", words(1, None, "I told @CrabBot so"));
}

#[test]
fn in_a_group_only_what_is_meant_for_us() {
    let by = |raw: Value, when, expected| check(raw, GROUP, Who::Guest(7), Some(when), expected);
    let not_for_us = || Route::Nothing("not for us");
    let text = |text: &str| json!({ "text": text });
    by(text("hello"), When::Mention, not_for_us());
    by(text("hello"), When::Always, words(GROUP, Some(7), "Anna: hello"));
    by(text("@crabbot, how late is it?"), When::Mention, words(GROUP, Some(7), "Anna: how late is it?"));
    by(text("how late is it, @CrabBot?"), When::Mention, words(GROUP, Some(7), "Anna: how late is it,?"));
    by(text("hi @CrabBot and @CrabBot"), When::Mention, words(GROUP, Some(7), "Anna: hi and"));
    by(text("mail me@crabbot.example or @crabbots"), When::Mention, not_for_us());
    by(text("/stop"), When::Mention, not_for_us());
    by(text("/stop"), When::Always, Route::Stop { place: place(GROUP), person: Some(7) });
    by(text("/stop@CrabBot"), When::Mention, Route::Stop { place: place(GROUP), person: Some(7) });
    by(text("/memory@CrabBot"), When::Mention, Route::Nothing("not a guest's command"));
    check(text("/memory@CrabBot x"), GROUP, Who::Owner, Some(When::Mention), a_command(GROUP, "memory", "x"));
    let by_id = json!({ "text": "🦀 Crab: hi", "entities": [{ "type": "text_mention", "offset": 3, "length": 4, "user": { "id": 99, "is_bot": true, "first_name": "C" } }] });
    by(by_id, When::Mention, words(GROUP, Some(7), "Anna: 🦀: hi"));
    by(json!({ "new_chat_members": [{ "id": 3 }] }), When::Always, Route::Nothing("nothing was said"));
}

#[test]
fn a_reply_is_meant_for_whom_it_replies_to() {
    let reply = |id: i64, text: &str| json!({ "text": "why?", "reply_to_message": { "message_id": 4, "chat": { "id": GROUP, "type": "supergroup" }, "from": { "id": id, "first_name": "Bob" }, "text": text } });
    let by = |raw, expected| check(raw, GROUP, Who::Guest(7), Some(When::Mention), expected);
    by(reply(3, "It rains."), Route::Nothing("not for us"));
    by(reply(99, "It\nrains."), words(GROUP, Some(7), "Anna: why?\n[in reply to: It rains.]"));
    let mut raw = reply(3, "It rains.");
    raw["text"] = "@CrabBot why?".into();
    let Route::Said(said) = route(&message(raw, GROUP), Who::Guest(7), Some(When::Mention), &me()) else { panic!("not said") };
    // What others wrote is data: it gives no orders.
    assert_eq!((said.text.as_str(), said.data.as_deref()), ("Anna: why?\n[in reply to what Bob wrote]", Some("Bob wrote:\nIt rains.")));
}

#[test]
fn what_is_forwarded_is_data() {
    let origin = json!({ "type": "hidden_user", "sender_user_name": "Eve:\nx", "date": 1 });
    let of = |raw: Value| {
        let Route::Said(said) = route(&message(raw, 1), Who::Owner, None, &me()) else { panic!("not said") };
        (said.text, said.data)
    };
    let forwarded = of(json!({ "text": "/stop", "forward_origin": origin }));
    assert_eq!(forwarded, ("(forwarded from Eve x)".into(), Some("Eve x wrote:\n/stop".into())));
    let by_channel = of(json!({ "text": "news", "forward_origin": { "type": "channel", "chat": { "id": -1, "title": "News" } } }));
    assert_eq!(by_channel.0, "(forwarded from News)");
}

#[test]
fn what_is_no_text_is_put_in_words() {
    let owner = |raw, text| check(raw, 1, Who::Owner, None, words(1, None, text));
    owner(json!({ "location": { "latitude": 52.52, "longitude": 13.4 } }), "[location: 52.520000, 13.400000]");
    let venue = json!({ "title": "Café", "address": "Rue 1", "location": { "latitude": 1.0, "longitude": 2.0 } });
    owner(json!({ "venue": venue, "location": { "latitude": 1.0, "longitude": 2.0 } }), "[place: Café, Rue 1, at 1.000000, 2.000000]");
    owner(json!({ "contact": { "phone_number": "+49 30 1", "first_name": "Bob" } }), "[contact: Bob, +49 30 1]");
    owner(json!({ "poll": { "question": "Tea?", "options": [{ "text": "yes" }, { "text": "no" }] } }), "[poll: Tea? (yes / no)]");
    owner(json!({ "sticker": { "file_id": "f", "emoji": "🦀" } }), "[sticker 🦀]");
    owner(json!({ "sticker": { "file_id": "f" } }), "[sticker]");
}

#[test]
fn files_come_with_their_words() {
    let file = |raw: Value| {
        let Route::Said(said) = route(&message(raw, 1), Who::Owner, None, &me()) else { panic!("not said") };
        (said.text, said.album, said.attached.into_iter().map(|attached| (attached.what, attached.file.file_id)).collect::<Vec<_>>())
    };
    let photo = json!({ "caption": "/look at this", "media_group_id": "g", "photo": [
        { "file_id": "small", "width": 90, "height": 90 }, { "file_id": "large", "width": 900, "height": 900 }, { "file_id": "mid", "width": 320, "height": 320 }] });
    assert_eq!(file(photo), ("/look at this".into(), Some("g".into()), vec![(Media::Photo, "large".into())]));
    let animation = json!({ "animation": { "file_id": "a" }, "document": { "file_id": "a" } });
    assert_eq!(file(animation), (String::new(), None, vec![(Media::Animation, "a".into())]));
    assert_eq!(file(json!({ "voice": { "file_id": "v", "duration": 3 } })).2, [(Media::Voice, "v".into())]);
}
