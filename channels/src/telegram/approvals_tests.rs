use agent::engine::{FinishReason, Message, Role, ToolCall};
use agent::{Thought, call_hash};
use serde_json::{Value, json};

use super::*;
use crate::desk::State;
use crate::telegram::fake::{Fake, Reply, accepted, desk};
use crate::telegram::{outbox, update};

/// A turn waits for an answer about a call of `shell`.
async fn asking(desk: &Desk, session: &str, command: &str) -> Question {
    asking_by(desk, session, "shell", json!({ "command": command })).await
}

async fn asking_by(desk: &Desk, session: &str, tool: &str, arguments: Value) -> Question {
    let turn = accepted(desk, session, "33").await.id;
    let hash = call_hash(tool, &arguments);
    let call = ToolCall { id: "call_1".into(), name: tool.into(), arguments };
    let message = Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") };
    let began = json!({ "kind": "began", "content": "x", "notes": [], "from": turn });
    let thought = Step::Thought(Box::new(Thought {
        message,
        reason: FinishReason::ToolCalls,
        model: String::new(),
        model_hash: String::new(),
        sampling: Default::default(),
        usage: Default::default(),
        timings: Default::default(),
        cache_miss: None,
    }));
    let asked = Step::Asked { call: "call_1".into(), hash, reason: "it writes".into(), until: None, rule: None };
    for body in [began, serde_json::to_value(thought).unwrap(), serde_json::to_value(asked).unwrap()] {
        let kind = body["kind"].as_str().unwrap().to_owned();
        desk.store.append(turn, &kind, body).await.unwrap();
    }
    desk.store.tell_of_change();
    questions(&desk.store).await.unwrap().pop().unwrap()
}

fn server() -> Fake {
    Fake::start(|method, _| match method {
        "sendMessage" => Reply::ok(json!({ "message_id": 70 })),
        "sendDocument" => Reply::ok(json!({ "message_id": 69 })),
        _ => Reply::ok(json!(true)),
    })
}

fn press(data: &str) -> Press {
    let from = update::User { id: 1, first_name: "Anna".into(), ..Default::default() };
    Press { id: "q1".into(), from, data: Some(data.into()), ..Press::default() }
}

#[tokio::test]
async fn a_question_is_asked_answered_by_an_owner_and_recorded() {
    let (desk, _state) = desk(State::Loading(0.0));
    let (fake, question) = (server(), asking(&desk, "5", "rm x").await);
    let running = tokio::spawn(outbox::run(desk.clone(), fake.api()));
    let asked = fake.calls("sendMessage", 1).await.remove(0);
    assert_eq!(asked["text"], "<b>shell</b> needs your approval: it writes\ncommand:\n<pre>rm x</pre>");
    let buttons = json!([[{ "text": "Once", "callback_data": format!("q:{}:o", call::time_of(&question)) }], [{ "text": "No", "callback_data": format!("q:{}:n", call::time_of(&question)) }]]);
    assert_eq!(asked["reply_markup"]["inline_keyboard"], buttons);
    let yes = format!("q:{}:o", call::time_of(&question));
    pressed(&desk, &fake.api(), &press(&yes), false).await;
    assert_eq!(questions(&desk.store).await.unwrap().len(), 1);
    pressed(&desk, &fake.api(), &press(&yes), true).await;
    assert!(questions(&desk.store).await.unwrap().is_empty());
    let record = fake.calls("editMessageText", 1).await.remove(0);
    let expected = format!("{}\n\n<b>✅ Allowed this once · telegram, Anna (1)</b>", asked["text"].as_str().unwrap());
    assert_eq!((record["text"].as_str(), &record["message_id"], &record["reply_markup"]), (Some(&*expected), &json!(70), &Value::Null));
    pressed(&desk, &fake.api(), &press(&yes), true).await;
    pressed(&desk, &fake.api(), &press("nonsense"), true).await;
    let answers: Vec<(Value, Value)> =
        fake.calls("answerCallbackQuery", 4).await.iter().map(|call| (call["text"].clone(), call["show_alert"].clone())).collect();
    let expected = [
        ("Only an owner can answer this.", true),
        ("✅ Allowed this once · telegram, Anna (1)", false),
        ("This has been decided, or is no longer needed.", false),
        ("This button is of no use any more.", false),
    ];
    assert_eq!(answers, expected.map(|(text, alert)| (json!(text), json!(alert))));
    running.abort();
}

/// Until the question's message is confirmed.
async fn until_asked(desk: &Desk, question: &Question) {
    let about = format!("{ABOUT}{}", key_of(question));
    while desk.store.outbound_about(CHANNEL, &about).await.unwrap().is_none_or(|row| row.platform_id.is_none()) {
        tokio::task::yield_now().await;
    }
}

/// What owner 1's message in chat 5 answers, a reply to message `to` perhaps.
async fn meant_by(desk: &Desk, to: Option<i64>, text: &str) -> Option<(String, Question, Answer)> {
    let reply = to.map_or(Value::Null, |id| json!({ "message_id": id, "chat": { "id": 5, "type": "private" } }));
    let (chat, from) = (json!({ "id": 5, "type": "private" }), json!({ "id": 1, "first_name": "Anna" }));
    let message = json!({ "message_id": 90, "chat": chat, "from": from, "text": text, "reply_to_message": reply });
    meant(desk, &serde_json::from_value(message).unwrap(), "5").await.unwrap()
}

#[tokio::test]
async fn the_models_question_takes_a_button_or_any_words() {
    for by_button in [true, false] {
        let (desk, _state) = desk(State::Loading(0.0));
        let wanted = json!({ "question": "Which <folder>?", "options": ["the first", "the second"] });
        let (fake, question) = (server(), asking_by(&desk, "5", "ask_user", wanted).await);
        let running = tokio::spawn(outbox::run(desk.clone(), fake.api()));
        let asked = fake.calls("sendMessage", 1).await.remove(0);
        let text =
            "❓ it writes:\n<b>Which &lt;folder&gt;?</b>\n1. the first\n2. the second\n<i>Press a button, or reply with your answer.</i>";
        assert_eq!(asked["text"], text);
        let rows = asked["reply_markup"]["inline_keyboard"].as_array().unwrap().clone();
        let texts: Vec<&str> = rows.iter().map(|row| row[0]["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["the first", "the second", "No answer"]);
        until_asked(&desk, &question).await;
        let expected = if by_button {
            pressed(&desk, &fake.api(), &press(rows[1][0]["callback_data"].as_str().unwrap()), true).await;
            "the second"
        } else {
            assert!(meant_by(&desk, None, "/status").await.is_none());
            let (_, question, answer) = meant_by(&desk, None, "none of them").await.unwrap();
            desk.answer(&question, answer).await.unwrap();
            "none of them"
        };
        let record = fake.calls("editMessageText", 1).await.remove(0);
        assert_eq!(record["text"], format!("{text}\n\n<b>💬 {expected} · telegram, Anna (1)</b>"));
        running.abort();
    }
}

#[tokio::test]
async fn an_answer_from_elsewhere_or_by_reply_becomes_a_record_too() {
    for by_reply in [false, true] {
        let (desk, _state) = desk(State::Loading(0.0));
        let (fake, question) = (server(), asking(&desk, "5", "rm x").await);
        let running = tokio::spawn(outbox::run(desk.clone(), fake.api()));
        until_asked(&desk, &question).await;
        for (to, text) in [(Some(71), "no"), (Some(70), "what is x?"), (None, "no"), (Some(70), " ")] {
            assert!(meant_by(&desk, to, text).await.is_none(), "{text:?} to {to:?}");
        }
        let expected = if by_reply {
            let (_, question, answer) = meant_by(&desk, Some(70), "No, because it is mine").await.unwrap();
            desk.answer(&question, answer).await.unwrap();
            "❌ Refused: it is mine · telegram, Anna (1)"
        } else {
            desk.answer(&question, Answer::yes("terminal")).await.unwrap();
            "✅ Allowed this once · terminal"
        };
        let record = fake.calls("editMessageText", 1).await.remove(0);
        assert!(record["text"].as_str().unwrap().ends_with(&format!("<b>{expected}</b>")), "{record}");
        running.abort();
    }
}

#[tokio::test]
async fn a_call_that_is_too_long_comes_whole_before_it_can_be_allowed() {
    for is_taken in [true, false] {
        let (desk, _state) = desk(State::Loading(0.0));
        let fake = Fake::start(move |method, _| match method {
            "sendDocument" if !is_taken => Reply::error(400, "Bad Request: file is too big"),
            _ => Reply::ok(json!({ "message_id": 70 })),
        });
        let question = asking(&desk, "5", &format!("echo {}", "x".repeat(9_000))).await;
        let running = tokio::spawn(outbox::run(desk.clone(), fake.api()));
        let asked = fake.calls("sendMessage", 1).await.remove(0);
        let order: Vec<String> =
            fake.asked().into_iter().map(|(name, _)| name).filter(|name| name.starts_with("sendM") || name.starts_with("sendD")).collect();
        assert_eq!(order, ["sendDocument", "sendMessage"]);
        assert!(fake.asked().iter().any(|(_, fields)| fields["form"].as_str().is_some_and(|form| form.contains(&"x".repeat(9_000)))));
        let texts: Vec<&str> =
            asked["reply_markup"]["inline_keyboard"].as_array().unwrap().iter().map(|row| row[0]["text"].as_str().unwrap()).collect();
        assert_eq!(texts, if is_taken { vec!["Once", "No"] } else { vec!["No"] });
        assert_eq!(question.tool, "shell");
        running.abort();
    }
}

#[tokio::test]
async fn a_question_that_is_over_before_it_was_asked_is_not_asked() {
    let (desk, _state) = desk(State::Stopping);
    let (fake, question) = (server(), asking(&desk, "5", "rm x").await);
    let about = format!("{ABOUT}{}", key_of(&question));
    desk.store.say(CHANNEL, "5", "x", Some(&about)).await.unwrap();
    desk.answer(&question, Answer::no("terminal")).await.unwrap();
    assert_eq!(outbox::run(desk.clone(), fake.api()).await, None);
    assert!(fake.asked().is_empty() && desk.store.unsent(CHANNEL).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_call_that_a_crash_cut_off_is_asked_about_anew_and_by_no_earlier_press() {
    let (desk, _state) = desk(State::Loading(0.0));
    let (fake, question) = (server(), asking(&desk, "5", "rm x").await);
    let running = tokio::spawn(outbox::run(desk.clone(), fake.api()));
    fake.calls("sendMessage", 1).await;
    let earlier = format!("q:{}:o", call::time_of(&question));
    pressed(&desk, &fake.api(), &press(&earlier), true).await;
    fake.calls("editMessageText", 1).await;
    // As a start finds it after the crash.
    let (call, hash) = (question.call.clone(), question.hash.clone());
    let again = Step::Asked { call: call.clone(), hash, reason: "it was cut off".into(), until: None, rule: None };
    for step in [Step::Intent { call }, again] {
        let body = serde_json::to_value(step).unwrap();
        let kind = body["kind"].as_str().unwrap().to_owned();
        desk.store.append(question.turn, &kind, body).await.unwrap();
    }
    desk.store.tell_of_change();
    let asked = fake.calls("sendMessage", 2).await.remove(1);
    assert!(asked["text"].as_str().unwrap().contains("it was cut off"), "{asked}");
    // The update of the press comes once more: it was never acknowledged.
    pressed(&desk, &fake.api(), &press(&earlier), true).await;
    let [question] = questions(&desk.store).await.unwrap().try_into().unwrap();
    pressed(&desk, &fake.api(), &press(&format!("q:{}:n", call::time_of(&question))), true).await;
    let record = fake.calls("editMessageText", 2).await.remove(1);
    assert!(record["text"].as_str().unwrap().contains("Refused"), "{record}");
    running.abort();
}
