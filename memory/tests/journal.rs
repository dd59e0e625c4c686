//! The journal through its handle.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use memory::{Accepted, Inbound, Note, Outbound, OutboundRow, StepRow, Store, StoreError, TurnState, limits};
use serde_json::{Value, json};

fn inbound(channel: &str, session: &str, platform_id: Option<&str>, text: &str) -> Inbound {
    let platform_id = platform_id.map(Into::into);
    Inbound { channel: channel.into(), session: session.into(), platform_id, text: text.into(), ..Inbound::default() }
}

async fn accept(store: &Store, text: &str) -> Accepted {
    store.accept(inbound("terminal", "main", None, text)).await.unwrap()
}

async fn done(store: &Store, text: &str) -> Accepted {
    let accepted = accept(store, text).await;
    store.finish(accepted.turn, TurnState::Done, "replied", None).await.unwrap();
    accepted
}

/// The texts of the session's history.
async fn history(store: &Store, session: i64, limit: usize) -> Vec<String> {
    let turns = store.history(session, limit).await.unwrap();
    turns.into_iter().map(|(turn, _)| turn.text).collect()
}

#[tokio::test]
async fn acceptance_is_exactly_once() {
    let store = Store::in_memory().unwrap();
    let check = async |channel, session, platform_id, turn, number, repeated| {
        let accepted = store.accept(inbound(channel, session, platform_id, "hello")).await.unwrap();
        let case = format!("{channel} {session} {platform_id:?}");
        assert_eq!(accepted, Accepted { turn, session: number, repeated }, "{case}");
    };
    check("telegram", "anna", Some("1"), 1, 1, false).await;
    check("telegram", "anna", Some("1"), 1, 1, true).await;
    check("telegram", "anna", Some("2"), 2, 1, false).await;
    // The id is the channel's, not the session's.
    check("telegram", "bert", Some("1"), 1, 1, true).await;
    check("terminal", "anna", Some("1"), 3, 2, false).await;
    // Without an id a message is always new.
    check("terminal", "anna", None, 4, 2, false).await;
    check("terminal", "anna", None, 5, 2, false).await;
    assert_eq!(store.open_turns(None).await.unwrap().len(), 5);
    assert_eq!(store.open_turns(Some("anna")).await.unwrap().len(), 5);
    assert_eq!(store.open_turns(Some("terminal/anna")).await.unwrap().len(), 3);
    // Finished, it is still known.
    store.finish(1, TurnState::Failed, "gave up", None).await.unwrap();
    check("telegram", "anna", Some("1"), 1, 1, true).await;
    assert_eq!(store.open_turns(None).await.unwrap().len(), 4);
}

#[tokio::test]
async fn one_turn_from_message_to_confirmation() {
    let store = Store::in_memory().unwrap();
    let mut message = inbound("telegram", "anna", Some("7"), "what is in it?");
    message.data = Some("line\n".into());
    (message.message, message.person) = (Some("m1".into()), Some("4711".into()));
    let Accepted { turn, session, .. } = store.accept(message).await.unwrap();
    let row = store.turn(turn).await.unwrap().unwrap();
    assert_eq!((row.id, row.session, row.state, row.outcome), (turn, session, TurnState::Open, None));
    assert_eq!((row.channel.as_str(), row.session_name.as_str()), ("telegram", "anna"));
    assert_eq!((row.text.as_str(), row.data.as_deref()), ("what is in it?", Some("line\n")));
    assert_eq!((row.message.as_deref(), row.person.as_deref()), (Some("m1"), Some("4711")));
    assert_eq!((row.at.len(), &row.at[10..11], &row.at[23..]), (24, "T", "Z"));

    assert_eq!(store.append(turn, "intent", json!({"z": 1, "a": [2.5, null]})).await, Ok(1));
    assert_eq!(store.append(turn, "reply", json!("a line")).await, Ok(2));
    let steps = store.steps(turn).await.unwrap();
    let step = |index: usize, kind: &str, body| StepRow { seq: index as i64 + 1, at: steps[index].at.clone(), kind: kind.into(), body };
    assert_eq!(steps, [step(0, "intent", json!({"z": 1, "a": [2.5, null]})), step(1, "reply", json!("a line"))]);

    assert_eq!(history(&store, session, 10).await, [""; 0]);
    let outbound = Some(Outbound { text: "a line".into() });
    let id = store.finish(turn, TurnState::Done, "replied", outbound).await.unwrap().unwrap();
    let row = store.turn(turn).await.unwrap().unwrap();
    assert_eq!((row.state, row.outcome.as_deref()), (TurnState::Done, Some("replied")));
    assert_eq!(store.history(session, 10).await.unwrap(), [(row, steps)]);

    let unsent = store.unsent("telegram").await.unwrap();
    let expected = OutboundRow {
        id,
        turn: Some(turn),
        session,
        session_name: "anna".into(),
        channel: "telegram".into(),
        text: "a line".into(),
        at: unsent[0].at.clone(),
        from: None,
        about: None,
        platform_id: None,
        message: Some("m1".into()),
    };
    assert_eq!(unsent, [expected]);
    assert_eq!(store.unsent_of(session).await.unwrap(), unsent);
    assert_eq!(store.unsent("terminal").await.unwrap(), []);
    assert_eq!(store.unsent_of(session + 1).await.unwrap(), []);
    store.confirm(id, Some("99")).await.unwrap();
    store.confirm(id, None).await.unwrap();
    assert_eq!(store.unsent("telegram").await.unwrap(), []);
    assert_eq!(store.unsent_of(session).await.unwrap(), []);
}

#[tokio::test]
async fn refusals_say_why() {
    let store = Store::in_memory().unwrap();
    let turn = done(&store, "hello").await.turn;
    let open = accept(&store, "again").await.turn;
    let check = |result: Result<(), StoreError>, message: &str| {
        assert_eq!(result.unwrap_err().to_string(), message);
    };
    let append = async |turn, body| store.append(turn, "x", body).await.map(|_| ());
    let finish = async |turn, state| store.finish(turn, state, "x", None).await.map(|_| ());
    check(append(turn, json!(1)).await, "turn 1 is finished, so it takes no more steps");
    check(finish(turn, TurnState::Done).await, "turn 1 is finished, so it takes no more steps");
    check(append(77, json!(1)).await, "there is no turn 77");
    check(finish(77, TurnState::Done).await, "there is no turn 77");
    check(finish(open, TurnState::Open).await, "turn 2 cannot end as open");
    check(store.confirm(5, None).await, "there is no outgoing message 5");
    check(store.system_block(9).await.map(|_| ()), "there is no session 9");
    check(store.set_system_block(9, "x").await.map(|_| ()), "there is no session 9");
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    check(append(open, deep).await, "a step's body is nested deeper than can be read back; make it flatter");
    let long = "x".repeat(limits::TEXT_BYTES + 1);
    check(
        store.accept(inbound("terminal", "main", None, &long)).await.map(|_| ()),
        "the message has 16777217 bytes and at most 16777216 can be stored; shorten it",
    );
    // A refused message leaves nothing behind.
    assert_eq!(store.open_turns(None).await.unwrap().len(), 1);
    assert_eq!(store.steps(open).await.unwrap(), []);
}

#[tokio::test]
async fn any_text_survives() {
    let store = Store::in_memory().unwrap();
    let cases = [
        "",
        "\0",
        "a\0b\0",
        "\u{1}\u{2}\u{1b}[31m\r\n\t",
        "żółw 自行车 🚲 👩‍👩‍👧 é e\u{301} \u{202e}rtl\u{feff}\u{fffd}\u{10ffff}",
        "'; DROP TABLE turns; -- \" \\ %s {} ?1 :a",
    ];
    for text in cases {
        let channel = format!("c{text}");
        let message = Inbound { data: Some(text.into()), ..inbound(&channel, text, None, text) };
        let Accepted { turn, session, .. } = store.accept(message).await.unwrap();
        store.append(turn, text, json!({ text: text })).await.unwrap();
        store.finish(turn, TurnState::Done, text, Some(Outbound { text: text.into() })).await.unwrap();
        let (row, steps) = store.history(session, 1).await.unwrap().remove(0);
        assert_eq!([&row.text, &row.session_name, row.data.as_ref().unwrap(), row.outcome.as_ref().unwrap()], [text; 4]);
        assert_eq!((steps[0].kind.as_str(), &steps[0].body), (text, &json!({ text: text })));
        assert_eq!(store.unsent(&channel).await.unwrap()[0].text, text);
        assert_eq!(store.set_system_block(session, text).await.unwrap(), text);
        let note = Note { text: text.into(), ..Note::default() };
        let id = store.add_note(note).await.unwrap().id;
        assert_eq!(store.list(1, 0).await.unwrap()[0].text, text);
        assert!(store.forget(&id).await.unwrap());
    }
    store.check().await.unwrap();
}

#[tokio::test]
async fn undo_takes_one_turn_after_the_other() {
    let store = Store::in_memory().unwrap();
    let session = done(&store, "one").await.session;
    done(&store, "two").await;
    done(&store, "three").await;
    let open = accept(&store, "open").await.turn;
    let check = async |undone: Option<&str>, left: &[&str]| {
        let row = store.undo(session).await.unwrap();
        assert_eq!(row.as_ref().map(|row| row.text.as_str()), undone);
        assert_eq!(history(&store, session, 10).await, left);
        if let Some(row) = row {
            assert_eq!(store.turn(row.id).await.unwrap(), Some(row));
        }
    };
    assert_eq!(history(&store, session, 2).await, ["two", "three"]);
    check(Some("three"), &["one", "two"]).await;
    check(Some("two"), &["one"]).await;
    assert_eq!(store.sessions().await.unwrap()[0].turns, 2);
    check(Some("one"), &[]).await;
    check(None, &[]).await;
    assert_eq!(store.open_turns(None).await.unwrap().len(), 1);
    // The open one too, once it has been ended from outside.
    store.finish(open, TurnState::Failed, "stopped", None).await.unwrap();
    check(Some("open"), &[]).await;
    check(None, &[]).await;
}

#[tokio::test]
async fn a_conversation_is_read_page_by_page() {
    let store = Store::in_memory().unwrap();
    let session = done(&store, "first").await.session;
    store.accept(inbound("terminal", "other", None, "not here")).await.unwrap();
    done(&store, "undone").await;
    store.undo(session).await.unwrap();
    let open = accept(&store, "open").await.turn;
    store.append(open, "x", json!(1)).await.unwrap();
    for number in 0..limits::LIST_ROWS {
        done(&store, &number.to_string()).await;
    }
    let mut pages = Vec::new();
    let mut after = 0;
    loop {
        let page = store.turns_after(session, after, 400).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = last.id;
        pages.push(page);
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [400, 400, 202]);
    let turns = pages.concat();
    assert!(turns.is_sorted_by_key(|(turn, _)| turn.id));
    let begun: Vec<_> = turns.iter().take(3).map(|(turn, steps)| (turn.text.as_str(), turn.state, steps.len())).collect();
    assert_eq!(begun, [("first", TurnState::Done, 0), ("open", TurnState::Open, 1), ("0", TurnState::Done, 0)]);
    assert_eq!(store.turns_after(session, 0, usize::MAX).await.unwrap(), turns[..limits::LIST_ROWS]);
    assert_eq!(store.turns_after(session + 2, 0, 10).await.unwrap(), []);
}

#[tokio::test]
async fn the_system_block_never_changes() {
    let store = Store::in_memory().unwrap();
    let session = accept(&store, "hello").await.session;
    assert_eq!(store.system_block(session).await, Ok(None));
    assert_eq!(store.set_system_block(session, "You are Paguro.").await.unwrap(), "You are Paguro.");
    assert_eq!(store.set_system_block(session, "You are new.").await.unwrap(), "You are Paguro.");
    assert_eq!(store.system_block(session).await, Ok(Some("You are Paguro.".into())));
}

#[tokio::test]
async fn a_session_goes_with_its_tasks() {
    let store = Store::in_memory().unwrap();
    let parent = store.accept(inbound("terminal", "main", None, "both, please")).await.unwrap().turn;
    for name in ["1-a-1", "1-a-2"] {
        let task = Inbound { parent: Some(parent), task: Some("{}".into()), ..inbound("task", name, None, "a part of it") };
        store.accept(task).await.unwrap();
    }
    store.accept(inbound("terminal", "other", None, "hello")).await.unwrap();
    let names = |rows: Vec<memory::SessionRow>| rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
    assert_eq!(names(store.sessions().await.unwrap()), ["other", "main"], "a task is no conversation of its own");
    assert_eq!(names(store.remove_session("main").await.unwrap()), ["main", "1-a-1", "1-a-2"]);
    assert_eq!(store.find_session("1-a-1").await, Ok(None));
    assert_eq!(store.open_turns(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn sessions_are_found_and_removed() {
    let store = Store::in_memory().unwrap();
    for (channel, name) in [("terminal", "main"), ("telegram", "main"), ("terminal", "work"), ("x", "terminal/main")] {
        let Accepted { turn, .. } = store.accept(inbound(channel, name, Some(name), "hello")).await.unwrap();
        if turn % 2 == 1 {
            store.append(turn, "reply", json!("x")).await.unwrap();
            store.finish(turn, TurnState::Done, "x", Some(Outbound { text: "x".into() })).await.unwrap();
        }
    }
    assert_eq!(store.sessions().await.unwrap().len(), 4);
    let find = async |name| match store.find_session(name).await {
        Ok(found) => found.map(|session| format!("{}|{}|{}", session.channel, session.name, session.turns)),
        Err(error) => Some(error.to_string()),
    };
    assert_eq!(find("work").await.as_deref(), Some("terminal|work|1"));
    assert_eq!(find("terminal/work").await.as_deref(), Some("terminal|work|1"));
    assert_eq!(find("terminal/main").await.as_deref(), Some("terminal|main|1"));
    assert_eq!(find("x/terminal/main").await.as_deref(), Some("x|terminal/main|1"));
    assert_eq!(find("none").await, None);
    let ambiguous = "several sessions are called \"main\"; name one of telegram/main, terminal/main";
    assert_eq!(find("main").await.as_deref(), Some(ambiguous));
    assert_eq!(store.remove_session("main").await.unwrap_err().to_string(), ambiguous);

    let note = Note { text: "kept".into(), source_turn: Some(1), ..Note::default() };
    store.add_note(note.clone()).await.unwrap();
    let removed = async |name| store.remove_session(name).await.unwrap().iter().map(|session| session.id).collect::<Vec<_>>();
    assert_eq!(removed("none").await, [0; 0]);
    assert_eq!(removed("terminal/main").await, [1]);
    assert_eq!(removed("x/terminal/main").await, [4]);
    assert_eq!(removed("terminal/main").await, [0; 0]);
    assert_eq!((store.turn(1).await, store.steps(1).await), (Ok(None), Ok(vec![])));
    assert_eq!(store.unsent("terminal").await.unwrap().len(), 1);
    assert_eq!(store.open_turns(None).await.unwrap().len(), 1);
    assert_eq!(store.list(10, 0).await.unwrap().len(), 1);
    // A source that is gone is no obstacle, and its number is not used again.
    store.add_note(note).await.unwrap();
    assert_eq!(accept(&store, "new").await.turn, 5);
    store.check().await.unwrap();
}

#[tokio::test]
async fn many_callers_at_once_get_what_is_theirs() {
    let store = Store::in_memory().unwrap();
    let turn = accept(&store, "hello").await.turn;
    // More than the mailbox holds.
    let callers: Vec<_> = (0..4 * limits::MAILBOX as i64)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { (number, store.append(turn, "x", json!(number)).await.unwrap()) })
        })
        .collect();
    let mut expected: Vec<(i64, Value)> = Vec::new();
    for caller in callers {
        let (number, seq) = caller.await.unwrap();
        expected.push((seq, json!(number)));
    }
    expected.sort_by_key(|(seq, _)| *seq);
    let steps = store.steps(turn).await.unwrap();
    assert_eq!(steps.into_iter().map(|step| (step.seq, step.body)).collect::<Vec<_>>(), expected);
}
