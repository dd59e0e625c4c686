//! `paguro memory eval`: how well notes are found, by words, by meaning and by both, on notes and questions of a file.
//!
//! It works on a store in memory and never opens the owner's.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use engine::{EmbedKind, EmbedRequest, Engine};
use memory::{Note, Search, Store};
use serde::{Deserialize, Serialize};

use super::print_json;
use crate::args::{EvalArgs, ListFormat};
use crate::exit::{BadInput, Interrupted};
use crate::parts::{Context, on_ctrl_c};

/// Results that are looked at for a question.
const DEPTH: usize = 10;

/// Notes that are written, and texts that are embedded, at once.
const BATCH: usize = 256;

/// A line of the file: a note has a `text`, a question what is asked.
#[derive(Deserialize)]
struct Line {
    id: Option<Id>,
    text: Option<String>,
    at: Option<String>,
    #[serde(alias = "query")]
    question: Option<String>,
    #[serde(alias = "relevant", alias = "ids")]
    expected: Option<Ids>,
    category: Option<String>,
    vector: Option<Vec<f32>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(serde_json::Number),
}

impl Id {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(Id),
    Many(Vec<Id>),
}

struct Question {
    text: String,
    expected: Vec<String>,
    category: Option<String>,
    vector: Option<Vec<f32>>,
}

#[derive(Default)]
struct Set {
    notes: Vec<Note>,
    questions: Vec<Question>,
}

/// How it went in one way.
#[derive(Debug, Default, Serialize)]
struct Score {
    #[serde(rename = "recall@1")]
    recall_1: f64,
    #[serde(rename = "recall@5")]
    recall_5: f64,
    #[serde(rename = "recall@10")]
    recall_10: f64,
    mrr: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    /// recall@5 of each category.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    categories: BTreeMap<String, f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    notes: usize,
    questions: usize,
    embedder: Option<String>,
    words: Score,
    #[serde(skip_serializing_if = "Option::is_none")]
    vectors: Option<Score>,
    #[serde(skip_serializing_if = "Option::is_none")]
    both: Option<Score>,
}

pub async fn run(args: &EvalArgs) -> Result<ExitCode> {
    let context = Context::read()?;
    let set = read(&args.file)?;
    let interrupt = on_ctrl_c();
    let report = tokio::select! {
        report = evaluate(&context, args, set) => report?,
        () = interrupt.raised() => return Err(Interrupted.into()),
    };
    match args.list.format {
        ListFormat::Json => print_json(&report)?,
        ListFormat::Text => print(&report)?,
    }
    if report.embedder.is_none() && report.vectors.is_none() {
        tell!("there is no embedder, so only words were tried; set `file` in [embedder], or give --model");
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the file; every line is told from the other kind by what it has.
fn read(file: &Path) -> Result<Set, BadInput> {
    let name = file.display();
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file).map_err(|e| BadInput(format!("{name} cannot be read: {e}")))?))
    };
    let (mut set, mut ids, mut wanted) = (Set::default(), HashSet::new(), Vec::new());
    for (number, line) in (1..).zip(input.lines()) {
        let wrong = |reason: &str| BadInput(format!("{name}, line {number}: {reason}"));
        let line = line.map_err(|e| wrong(&e.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&line).map_err(|e| wrong(&format!("neither a note nor a question ({e})")))?;
        match (line.text, line.question) {
            (Some(text), None) => {
                let id = line.id.map(Id::into_text).ok_or_else(|| wrong("a note needs an `id`"))?;
                if !ids.insert(id.clone()) {
                    return Err(wrong(&format!("there is a note {id} already")));
                }
                set.notes.push(Note { id: Some(id), text, at: line.at, vector: line.vector, ..Note::default() });
            }
            (None, Some(text)) => {
                let expected: Vec<String> = match line.expected {
                    Some(Ids::One(id)) => vec![id.into_text()],
                    Some(Ids::Many(ids)) => ids.into_iter().map(Id::into_text).collect(),
                    None => Vec::new(),
                };
                if expected.is_empty() {
                    return Err(wrong("a question needs the ids of the notes that are `expected`"));
                }
                wanted.extend(expected.iter().map(|id| (number, id.clone())));
                set.questions.push(Question { text, expected, category: line.category, vector: line.vector });
            }
            (Some(_), Some(_)) => return Err(wrong("it has a `text` and a `question`; a line is a note or a question")),
            (None, None) => return Err(wrong("it has neither a `text`, as a note, nor a `question`")),
        }
    }
    if let Some((number, id)) = wanted.iter().find(|(_, id)| !ids.contains(id)) {
        return Err(BadInput(format!("{name}, line {number}: there is no note {id} in the file")));
    }
    match (set.notes.len(), set.questions.len()) {
        (0, _) => Err(BadInput(format!("{name} has no notes; lines such as {{\"id\":\"n1\",\"text\":\"…\"}} are wanted"))),
        (_, 0) => Err(BadInput(format!("{name} has no questions; lines such as {{\"question\":\"…\",\"expected\":[\"n1\"]}} are wanted"))),
        _ => Ok(set),
    }
}

async fn evaluate(context: &Context, args: &EvalArgs, mut set: Set) -> Result<Report> {
    let embedder = embed(context, args, &mut set).await?;
    let store = Store::in_memory()?;
    let notes = set.notes.len();
    let mut rest = set.notes.into_iter().peekable();
    while rest.peek().is_some() {
        store.add_notes(rest.by_ref().take(BATCH).collect()).await?;
    }
    let words = score(&store, &set.questions, true, false).await?;
    let (vectors, both) = match embedder {
        Some(_) => (Some(score(&store, &set.questions, false, true).await?), Some(score(&store, &set.questions, true, true).await?)),
        None => (None, None),
    };
    Ok(Report { notes, questions: set.questions.len(), embedder, words, vectors, both })
}

/// Gives notes and questions their vectors, if they have none; the embedder's name. `None`: there is no embedder.
async fn embed(context: &Context, args: &EvalArgs, set: &mut Set) -> Result<Option<String>> {
    let given = set.notes.iter().all(|note| note.vector.is_some()) && set.questions.iter().all(|question| question.vector.is_some());
    if given && args.model.is_none() {
        return Ok(Some("the file's vectors".to_owned()));
    }
    let Some(options) = context.embedder(args.model.as_deref()) else {
        set.notes.iter_mut().for_each(|note| note.vector = None);
        return Ok(None);
    };
    let engine = Engine::embedding_only(options).await?;
    let notes: Vec<String> = set.notes.iter().map(|note| note.text.clone()).collect();
    let questions: Vec<String> = set.questions.iter().map(|question| question.text.clone()).collect();
    let (name, vectors) = vectors(&engine, notes, EmbedKind::Document).await?;
    set.notes.iter_mut().zip(vectors).for_each(|(note, vector)| note.vector = vector);
    let (_, vectors) = self::vectors(&engine, questions, EmbedKind::Query).await?;
    set.questions.iter_mut().zip(vectors).for_each(|(question, vector)| question.vector = vector);
    Ok(Some(name))
}

/// The embedder's name, and a vector for each text that has tokens.
async fn vectors(engine: &Engine, texts: Vec<String>, kind: EmbedKind) -> Result<(String, Vec<Option<Vec<f32>>>)> {
    let (mut name, mut vectors) = (String::new(), Vec::with_capacity(texts.len()));
    for texts in texts.chunks(BATCH) {
        let texts = texts.iter().map(|text| text.replace('\0', " ")).collect();
        let made = engine.embed(EmbedRequest { texts, kind, cut: true }).await?;
        name = made.model;
        let has_direction = |vector: &Vec<f32>| vector.iter().any(|number| *number != 0.0);
        vectors.extend(made.embeddings.into_iter().map(|embedding| Some(embedding.vector).filter(has_direction)));
    }
    Ok((name, vectors))
}

async fn score(store: &Store, questions: &[Question], words: bool, vectors: bool) -> Result<Score> {
    let mut score = Score::default();
    let mut times = Vec::with_capacity(questions.len());
    let mut categories: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    #[allow(clippy::cast_precision_loss, reason = "questions of a file")]
    let count = questions.len() as f64;
    for question in questions {
        let text = if words { question.text.as_str() } else { "" };
        let vector = question.vector.clone().filter(|_| vectors);
        let begin = Instant::now();
        let found = store.search(Search { vector, ..Search::words(text, DEPTH) }).await?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        let ids: Vec<&str> = found.iter().map(|found| found.id.as_str()).collect();
        let at_5 = recall(&ids, &question.expected, 5);
        score.recall_1 += recall(&ids, &question.expected, 1) / count;
        score.recall_5 += at_5 / count;
        score.recall_10 += recall(&ids, &question.expected, DEPTH) / count;
        let first = (1_u32..).zip(&ids).find(|(_, id)| question.expected.iter().any(|expected| expected == *id));
        score.mrr += first.map_or(0.0, |(rank, _)| 1.0 / f64::from(rank)) / count;
        if let Some(category) = &question.category {
            let (sum, of) = categories.entry(category).or_default();
            *sum += at_5;
            *of += 1.0;
        }
    }
    times.sort_by(f64::total_cmp);
    let percentile = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
    (score.p50_ms, score.p95_ms, score.p99_ms) = (percentile(50), percentile(95), percentile(99));
    score.categories = categories.into_iter().map(|(category, (sum, of))| (category.to_owned(), sum / of)).collect();
    Ok(score)
}

/// The share of the expected notes, or of `k` of them if there are more, that is among the first `k`.
#[allow(clippy::cast_precision_loss, reason = "ten at most")]
fn recall(ids: &[&str], expected: &[String], k: usize) -> f64 {
    let expected: HashSet<&str> = expected.iter().map(String::as_str).collect();
    let found = ids.iter().take(k).filter(|id| expected.contains(**id)).count();
    found as f64 / expected.len().min(k) as f64
}

fn print(report: &Report) -> std::io::Result<()> {
    let Report { notes, questions, embedder, words, vectors, both } = report;
    say!("{notes} notes, {questions} questions, embedder: {}", embedder.as_deref().unwrap_or("none"));
    say!("{:12} {:>8} {:>8} {:>9} {:>7} {:>8} {:>8} {:>8}", "", "recall@1", "recall@5", "recall@10", "MRR", "p50 ms", "p95 ms", "p99 ms");
    let ways = [("words", Some(words)), ("vectors", vectors.as_ref()), ("both", both.as_ref())];
    for (name, Score { recall_1, recall_5, recall_10, mrr, p50_ms, p95_ms, p99_ms, .. }) in
        ways.iter().filter_map(|(name, way)| Some((name, (*way)?)))
    {
        say!("{name:12} {recall_1:>8.3} {recall_5:>8.3} {recall_10:>9.3} {mrr:>7.3} {p50_ms:>8.2} {p95_ms:>8.2} {p99_ms:>8.2}");
    }
    if !words.categories.is_empty() {
        say!("\n{:12} {:>8} {:>8} {:>9}", "recall@5", "words", "vectors", "both");
    }
    for (category, value) in &words.categories {
        let of = |way: &Option<Score>| {
            way.as_ref().and_then(|way| way.categories.get(category)).map_or("-".to_owned(), |value| format!("{value:.3}"))
        };
        say!("{:12} {value:>8.3} {:>8} {:>9}", channels::visible(category), of(vectors), of(both));
    }
    Ok(())
}
