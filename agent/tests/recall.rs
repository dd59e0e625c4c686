//! What comes back to mind: pieces of old turns at the tail of new ones, and facts distilled in between.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::io::Write as _;
use std::ops::ControlFlow;

use agent::{Agent, Answer, Limits, Outcome, Settings, Step, Toolbox, parse_steps};
use engine::{Engine, LoadOptions, ModelSource};
use memory::{Inbound, Note, NoteKind, Search, Store};
use serde_json::{Value, json};
use tokio::sync::mpsc;

async fn agent(script: &[Value], limits: Limits) -> Agent {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for line in script {
        writeln!(file, "{line}").unwrap();
    }
    let options = LoadOptions { context: Some(10_000), ..LoadOptions::new(ModelSource::Script(file.path().into())) };
    let engine = Engine::load(options, |_| ControlFlow::Continue(())).await.unwrap();
    Agent::new(engine, Store::in_memory().unwrap(), Toolbox::new(Vec::new()), Settings { limits, ..Settings::default() })
}

/// A whole turn; what its first step says, and how many tokens were prefilled.
async fn say(agent: &Agent, session: &str, text: &str) -> (String, Vec<String>) {
    let inbound = Inbound { channel: "test".into(), session: session.into(), text: text.into(), ..Inbound::default() };
    let turn = agent.accept(inbound).await.unwrap().turn;
    let (events, _) = mpsc::channel(1);
    let outcome = agent.drive(turn, &events, async |_| Some(Answer::no("test"))).await.unwrap();
    assert!(matches!(outcome, Outcome::Finished(_)));
    let steps = parse_steps(turn, agent.store().steps(turn).await.unwrap()).unwrap();
    let Step::Began { content, notes, .. } = steps[0].clone() else { panic!("{steps:?}") };
    (content, notes)
}

#[tokio::test]
async fn what_was_said_elsewhere_comes_back_once_at_the_tail() {
    let agent = agent(&[json!({"when": ".", "text": "I see"})], Limits::default()).await;
    say(&agent, "a", "the heron nests behind the old mill").await;
    let piece = agent.store().search(Search::words("heron", 1)).await.unwrap().remove(0).id;
    let (content, notes) = say(&agent, "b", "where does the heron nest?").await;
    let (words, tail) = content.split_once("\n\n[time: ").unwrap();
    assert_eq!((words, notes.as_slice()), ("where does the heron nest?", &[piece.clone()][..]));
    assert!(tail.contains(": owner: the heron nests behind the old mill reply: I see]"), "{content}");
    let (content, notes) = say(&agent, "b", "the heron, is it grey?").await;
    assert_eq!(notes, [] as [&str; 0], "it stands in this context already, and so does what was just said: {content}");
    let (_, notes) = say(&agent, "a", "a heron, then").await;
    assert!(!notes.is_empty() && !notes.contains(&piece), "{notes:?}");
}

#[tokio::test]
async fn the_tail_keeps_within_its_numbers() {
    let limits = Limits { recall_notes: 4, recall_tokens: 40, ..Limits::default() };
    let agent = agent(&[json!({"when": ".", "text": "I see"})], limits).await;
    for number in 0..9 {
        agent.store().add_note(Note { text: format!("the heron {number} has eight words or so"), ..Note::default() }).await.unwrap();
    }
    let (_, notes) = say(&agent, "a", "heron").await;
    assert!((1..=4).contains(&notes.len()), "{notes:?}");
    let (content, _) = say(&agent, "b", "heron").await;
    let tail: usize = content.lines().filter(|line| line.starts_with("[note: ")).map(|line| line.split_whitespace().count()).sum();
    assert!(tail <= 40, "{content}");
}

#[tokio::test]
async fn facts_are_distilled_with_their_source_and_replace_older_ones() {
    let script = [
        json!({"when": "^Stop here(?s:.*)already: nothing", "role": "user", "text": "- Ada lives in Oslo.\n- The owner has a boat."}),
        json!({"when": "^Stop here(?s:.*)\\[(\\d)\\] Ada lives in Oslo", "role": "user", "text": "[$1] Ada lives in Bergen since May."}),
        json!({"when": "^Stop here", "role": "user", "text": "NOTHING"}),
        json!({"when": ".", "text": "I see"}),
    ];
    let agent = agent(&script, Limits::default()).await;
    assert!(!agent.distil().await.unwrap(), "nothing was said yet");
    say(&agent, "a", "I have a boat").await;
    say(&agent, "a", "Ada lives in Oslo").await;
    assert!(agent.distil().await.unwrap());
    assert!(!agent.distil().await.unwrap(), "each turn is looked at once");
    let facts = async || -> Vec<String> {
        let notes = agent.store().list(20, 0).await.unwrap();
        notes.into_iter().filter(|note| note.kind == NoteKind::Fact).map(|note| format!("{} ({:?})", note.text, note.source_turn)).collect()
    };
    assert_eq!(facts().await, ["The owner has a boat. (Some(1))", "Ada lives in Oslo. (Some(2))"]);
    say(&agent, "a", "Ada moved to Bergen in May").await;
    assert!(agent.distil().await.unwrap());
    assert_eq!(facts().await.len(), 3, "nothing is thrown away");
    let (content, _) = say(&agent, "b", "where does Ada live?").await;
    assert!(content.contains("[note: Ada lives in Bergen since May.]") && !content.contains("lives in Oslo."), "{content}");
}
