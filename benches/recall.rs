//! Recall at size: notes with words and vectors of 384 numbers, the vectors in clusters. Measures inserts, one durable note, the file, the first
//! search after opening, searches by vector alone and with words, the memory that they add to a process, and how many of the ten that an
//! exact search finds are among the ten found. The searches run in a process of their own, so that its memory is theirs. Prints one
//! JSON object a size.
//!
//!     cargo bench -p memory --bench recall [-- SIZE… [centres=N] [spread=N] [write=FOLDER] [keep=FOLDER]]
//!
//! SIZE: 10000 and 100000 by default. `centres`: clusters, by default one for a thousand notes, 100 at least. `spread`: how far from its centre a vector
//! lies, in lengths of the centre, 0.5 by default. `write`: where the vectors go, as `chroma.py` reads them. `keep`: a
//! folder where each size's database and the exact answers stay; what is there already is searched, not made again.
#![allow(clippy::print_stdout, reason = "the result is the output")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench stops at what should not happen")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use memory::{Note, Search, Store};
use serde_json::{Value, json};

const DIMENSION: usize = 384;
const QUERIES: usize = 200;
/// Of these, so many are asked with words too.
const QUERIES_WITH_WORDS: usize = 40;
const FOUND: usize = 10;
/// Notes in one transaction.
const BATCH: usize = 1_000;
/// Each query is asked so often; the best round counts, since others use the machine too. All rounds together are reported beside it.
const ROUNDS: usize = 5;
const VOCABULARY: f64 = 20_000.0;
const WORDS: usize = 14;

/// Where the clusters lie, and how wide they are.
struct Data {
    centres: Vec<Vec<f32>>,
    spread: f32,
}

/// Numbers that look like chance, the same every time (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Two normally distributed numbers (Box and Muller).
    fn normal(&mut self) -> [f32; 2] {
        let length = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.share();
        [(length * angle.cos()) as f32, (length * angle.sin()) as f32]
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSION / 2).flat_map(|_| self.normal()).collect()
    }

    /// Words as often as words are (Zipf).
    fn words(&mut self, count: usize) -> String {
        let words: Vec<String> = (0..count).map(|_| word(VOCABULARY.powf(self.share()) as u64)).collect();
        words.join(" ")
    }
}

/// A word that can be spoken, the same for the same rank.
fn word(rank: u64) -> String {
    let mut left = rank + 17;
    let mut out = String::new();
    while left > 0 {
        out.push(char::from(b"bdfgklmnprstvz"[(left % 14) as usize]));
        out.push(char::from(b"aeiou"[(left / 14 % 5) as usize]));
        left /= 70;
    }
    out
}

impl Data {
    fn new(centres: usize, spread: f32) -> Self {
        let mut chance = Chance(1);
        Self { centres: (0..centres).map(|_| chance.vector()).collect(), spread }
    }

    /// The vector of a note, of length 1, and its text. Queries are notes that are not there.
    fn note(&self, number: usize) -> (Vec<f32>, String) {
        let mut chance = Chance(1_000_003 + number as u64 * 7_919);
        let centre = &self.centres[(chance.next() % self.centres.len() as u64) as usize];
        let mut vector: Vec<f32> = chance.vector().iter().zip(centre).map(|(noise, centre)| centre + self.spread * noise).collect();
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|number| *number /= length);
        (vector, chance.words(WORDS))
    }

    fn query(&self, number: usize) -> (Vec<f32>, String) {
        let (vector, text) = self.note(1_000_000_000 + number);
        (vector, text.split(' ').take(4).collect::<Vec<_>>().join(" "))
    }
}

/// The exact ten nearest of one query so far.
#[derive(Default)]
struct Exact(Vec<(f32, usize)>);

impl Exact {
    fn offer(&mut self, query: &[f32], vector: &[f32], number: usize) {
        let mut sums = [0.0_f32; 8];
        for (a, b) in query.as_chunks::<8>().0.iter().zip(vector.as_chunks::<8>().0) {
            (0..8).for_each(|index| sums[index] += a[index] * b[index]);
        }
        let likeness: f32 = sums.iter().sum();
        if self.0.len() < FOUND || likeness > self.0[FOUND - 1].0 {
            let place = self.0.partition_point(|(other, _)| *other >= likeness);
            self.0.insert(place, (likeness, number));
            self.0.truncate(FOUND);
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let named = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
    let spread: f32 = named("spread").map_or(0.5, |text| text.parse().expect("spread is a number"));
    let centres: Option<usize> = named("centres").map(|text| text.parse().expect("centres is a number"));
    if let Some(home) = named("search") {
        return search(Path::new(home), &Data::new(centres.unwrap(), spread), named("add") == Some("true")).await;
    }
    let mut sizes: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000];
    }
    for size in sizes {
        let centres = centres.unwrap_or((size / 1_000).max(100));
        let keep = named("keep").map(|folder| Path::new(folder).join(format!("{size}-{centres}-{spread}")));
        let report = measure(size, &Data::new(centres, spread), named("write").map(PathBuf::from), keep).await;
        println!("{}", serde_json::to_string_pretty(&report).unwrap());
    }
}

async fn measure(size: usize, data: &Data, write: Option<PathBuf>, keep: Option<PathBuf>) -> Value {
    let (temporary, centres, spread) = (tempfile::tempdir().unwrap(), data.centres.len(), data.spread);
    let home = keep.as_deref().unwrap_or(temporary.path());
    let truth = home.join("truth.json");
    let inserting = match truth.exists() {
        true => None,
        false => {
            let (truths, inserting) = fill(home, size, data, write.as_deref()).await;
            std::fs::write(&truth, json!(truths).to_string()).unwrap();
            if let Some(folder) = &write {
                std::fs::copy(&truth, folder.join("truth.json")).unwrap();
            }
            Some(inserting)
        }
    };
    let exact: Vec<Vec<usize>> = serde_json::from_slice(&std::fs::read(&truth).unwrap()).unwrap();
    let bytes = std::fs::metadata(home.join("paguro.db")).unwrap().len();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            format!("search={}", home.display()),
            format!("centres={centres}"),
            format!("spread={spread}"),
            format!("add={}", keep.is_none()),
        ])
        .output()
        .unwrap();
    let mut report: Value = serde_json::from_slice(&child.stdout).expect("what the child says");
    let found = report["found"].take();
    let hits: usize =
        exact.iter().enumerate().map(|(query, exact)| exact.iter().filter(|number| has(&found[query], **number)).count()).sum();
    let object = report.as_object_mut().unwrap();
    object.remove("found");
    object.insert("notes".into(), size.into());
    object.insert("centres".into(), centres.into());
    object.insert("spread".into(), rounded(f64::from(spread)).into());
    object.insert("inserts_per_second".into(), inserting.map(|time: Duration| (size as f64 / time.as_secs_f64()).round()).into());
    object.insert("file_mb".into(), rounded(bytes as f64 / 1e6).into());
    object.insert("recall_at_10".into(), rounded(hits as f64 / (QUERIES * FOUND) as f64).into());
    report
}

/// Makes a database of so many notes: the exact answers, and how long the inserts took.
async fn fill(home: &Path, size: usize, data: &Data, write: Option<&Path>) -> (Vec<Vec<usize>>, Duration) {
    let store = Store::open(home).unwrap();
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|number| data.query(number).0).collect();
    let mut exact: Vec<Exact> = queries.iter().map(|_| Exact::default()).collect();
    let mut file = write.map(|folder| BufWriter::new(File::create(folder.join("vectors.f32")).unwrap()));
    let mut inserting = Duration::ZERO;
    for start in (0..size).step_by(BATCH) {
        let mut notes = Vec::new();
        for number in start..size.min(start + BATCH) {
            let (vector, text) = data.note(number);
            exact.iter_mut().zip(&queries).for_each(|(exact, query)| exact.offer(query, &vector, number));
            if let Some(file) = &mut file {
                vector.iter().for_each(|number| file.write_all(&number.to_le_bytes()).unwrap());
            }
            notes.push(Note { id: Some(number.to_string()), text, vector: Some(vector), ..Note::default() });
        }
        let started = Instant::now();
        store.add_notes(notes).await.unwrap();
        inserting += started.elapsed();
    }
    if let Some(folder) = write {
        let numbers: Vec<u8> = queries.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(folder.join("queries.f32"), numbers).unwrap();
    }
    (exact.iter().map(|exact| exact.0.iter().map(|(_, number)| *number).collect()).collect(), inserting)
}

fn has(ids: &Value, number: usize) -> bool {
    ids.as_array().unwrap().iter().any(|id| id.as_str() == Some(&number.to_string()))
}

/// What the child does: opens the store, searches, and says how it went; with `add` it adds some notes at the end.
async fn search(home: &Path, data: &Data, add: bool) {
    let all: Vec<(Vec<f32>, String)> = (0..QUERIES).map(|number| data.query(number)).collect();
    let (before, own) = (resident("VmRSS:"), resident("RssAnon:"));
    let store = Store::open(home).unwrap();
    let ask = async |number: usize, words: bool| {
        let (vector, text) = &all[number];
        let text = if words { text.as_str() } else { "" };
        let search = Search { vector: Some(vector.clone()), ..Search::words(text, FOUND) };
        let started = Instant::now();
        let found = store.search(search).await.unwrap();
        (started.elapsed(), found.into_iter().map(|found| found.id).collect::<Vec<_>>())
    };
    let (first, _) = ask(0, false).await;
    let mut found = Vec::new();
    let mut figures = Vec::new();
    for (words, queries) in [(false, QUERIES), (true, QUERIES_WITH_WORDS)] {
        let mut rounds = Vec::new();
        let mut worked = Duration::ZERO;
        for round in 0..=ROUNDS {
            if round == 1 {
                worked = working();
            }
            let mut times = Vec::new();
            for number in 0..queries {
                let (time, ids) = ask(number, words).await;
                times.push(time);
                if round == 0 && !words {
                    found.push(ids);
                }
            }
            times.sort();
            // The first round fills the caches.
            if round > 0 {
                rounds.push(times);
            }
        }
        let worked = (working() - worked).div_f64((ROUNDS * queries) as f64);
        rounds.sort_by_key(|times: &Vec<Duration>| times[(queries - 1) * 99 / 100]);
        let mut times = rounds.concat();
        times.sort();
        let at = |times: &[Duration], share: usize| rounded(times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3);
        figures.push(json!({"p50": at(&rounds[0], 50), "p99": at(&rounds[0], 99), "p50_of_all_rounds": at(&times, 50), "p99_of_all_rounds": at(&times, 99),
            "cpu": rounded(worked.as_secs_f64() * 1e3)}));
    }
    let added = resident("VmRSS:").saturating_sub(before);
    let own = resident("RssAnon:").saturating_sub(own);
    let mut single = Vec::new();
    for number in 0..if add { 50 } else { 0 } {
        let (vector, text) = data.note(2_000_000_000 + number);
        let started = Instant::now();
        store.add_note(Note { text, vector: Some(vector), ..Note::default() }).await.unwrap();
        single.push(started.elapsed());
    }
    single.sort();
    let ms = |time: Option<&Duration>| time.map(|time| rounded(time.as_secs_f64() * 1e3));
    println!(
        "{}",
        json!({
            "found": found, "first_search_ms": rounded(first.as_secs_f64() * 1e3), "search_by_vector_ms": figures[0],
            "search_by_vector_and_words_ms": figures[1], "memory_added_mb": rounded(added as f64 / 1e6), "without_pages_of_files_mb": rounded(own as f64 / 1e6),
            "one_durable_note_ms": {"p50": ms(single.get(25)), "worst": ms(single.last())},
        })
    );
}

/// Bytes of memory that this process holds, of the kind that Linux calls so; 0 where that cannot be read.
fn resident(kind: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(kind));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1_024
}

/// How long the threads of this process have worked: what others do on the machine does not lengthen it. 0 where that cannot be read.
fn working() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let times =
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok());
    Duration::from_nanos(times.sum())
}

/// Two decimals.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
