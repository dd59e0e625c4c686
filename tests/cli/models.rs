//! `paguro model pull`, `list` and `rm` against a hub of our own.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::hub::{Behaviour, Hub, REPO, TOKEN, sha256};
use super::support::{Home, Run, finish};

fn demo() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/demo/demo.gguf")).unwrap()
}

fn command(home: &Home, hub: &Hub, arguments: &[&str]) -> Command {
    let mut command = home.command(&[&["model"], arguments].concat());
    command.env("PAGURO_MODELS_URL", &hub.url);
    command
}

fn run(home: &Home, hub: &Hub, arguments: &[&str]) -> Run {
    finish(command(home, hub, arguments).spawn().unwrap())
}

/// One line on stderr with these words, nothing on stdout, no secret anywhere.
fn check(run: &Run, status: i32, words: &[&str]) {
    let last = run.stderr.lines().last().unwrap_or_default();
    assert_eq!(run.status, Some(status), "{run:#?}");
    assert!(last.starts_with("paguro: "), "{run:#?}");
    for word in words {
        assert!(last.contains(word), "no {word:?} in {run:#?}");
    }
    assert_eq!(run.stdout, "", "{run:#?}");
    for secret in [TOKEN, "not-for-messages"] {
        assert!(!run.stderr.contains(secret), "{run:#?}");
    }
}

fn names(home: &Home) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(home.path("models")) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn list(home: &Home) -> Value {
    home.run(&["model", "list", "--format", "json"]).last()
}

#[test]
fn a_model_is_pulled_checked_used_listed_and_removed() {
    let (home, hub) = (Home::new(), Hub::of("demo-Q8_0.gguf", &demo()));
    let pulled = run(&home, &hub, &["pull", REPO]);
    assert_eq!(pulled.status, Some(0), "{pulled:?}");
    assert!(pulled.stdout.contains("file = \"models/demo-Q8_0.gguf\"") && pulled.stdout.contains("sum checked"), "{pulled:?}");
    let tenths: Vec<&str> = pulled.stderr.lines().filter(|line| line.contains(" % of ")).collect();
    assert!((1..=10).contains(&tenths.len()) && tenths.last().unwrap().starts_with("100 % of"), "{pulled:?}");
    assert_eq!(names(&home), ["demo-Q8_0.gguf"]);
    assert_eq!(std::fs::read(home.path("models/demo-Q8_0.gguf")).unwrap(), demo());

    // Again: nothing is fetched, the sum is checked.
    let before = hub.requests().len();
    let again = run(&home, &hub, &["pull", REPO, "--use", "--format", "json"]);
    assert_eq!((again.status, &again.last()["was_there"]), (Some(0), &Value::Bool(true)), "{again:?}");
    assert_eq!(hub.requests().len(), before);
    let configured = home.run(&["config", "show", "--format", "json"]).last();
    assert_eq!(configured["model.file"], "models/demo-Q8_0.gguf");
    let listed = list(&home);
    let model = &listed["models"][0];
    assert_eq!((&model["file"], &model["configured"], &model["error"]), (&"demo-Q8_0.gguf".into(), &true.into(), &Value::Null), "{listed}");
    assert!(model["architecture"].is_string() && model["quant"].is_string() && model["trained_context"].is_u64(), "{listed}");
    assert_eq!(home.run(&["ask", "hi"]).status, Some(0));

    check(&home.run(&["model", "rm", "demo-Q8_0.gguf"]), 2, &["configured", "--force"]);
    let removed = home.run(&["model", "rm", "demo-Q8_0", "--force"]);
    assert!(removed.status == Some(0) && removed.stdout.contains("MB freed"), "{removed:?}");
    assert!(names(&home).is_empty());
}

#[test]
fn what_a_pull_begins_it_goes_on_with() {
    let bytes = demo();
    let behaviour =
        Behaviour { files: vec![("m-Q4_0.gguf".to_owned(), bytes.clone())], cut: Some((2, 100_000)), busy: 1, ..Behaviour::default() };
    let (home, hub) = (Home::new(), Hub::start(behaviour));
    let pulled = run(&home, &hub, &["pull", REPO]);
    assert_eq!(pulled.status, Some(0), "{pulled:?}");
    let ranges: Vec<String> = hub.requests().into_iter().filter(|request| request.starts_with("/signed/")).collect();
    assert!(ranges.iter().any(|request| request.ends_with(" bytes=100000-")), "{ranges:?}");
    assert!(ranges.last().unwrap().ends_with(" bytes=200000-"), "{ranges:?}");
    assert_eq!(names(&home), ["m-Q4_0.gguf"]);

    // A part of an earlier run, of this file and of another one.
    for (origin, expected) in [(sha256(&bytes), " bytes=300000-"), (sha256(b"another"), "not-for-messages")] {
        let (home, hub) = (Home::new(), Hub::of("m-Q4_0.gguf", &bytes));
        home.file("models/m-Q4_0.gguf.part", &bytes[..300_000]);
        home.file("models/m-Q4_0.gguf.part.from", format!("{origin}\n\"{}\"\n", sha256(&bytes)));
        assert_eq!(run(&home, &hub, &["pull", REPO]).status, Some(0));
        assert!(hub.requests().last().unwrap().ends_with(expected), "{:?}", hub.requests());
        assert_eq!(names(&home), ["m-Q4_0.gguf"]);
    }

    // A hub without ranges sends all again.
    let behaviour = Behaviour { files: vec![("m-Q4_0.gguf".to_owned(), bytes.clone())], no_ranges: true, ..Behaviour::default() };
    let (home, hub) = (Home::new(), Hub::start(behaviour));
    home.file("models/m-Q4_0.gguf.part", "damaged".repeat(1000));
    home.file("models/m-Q4_0.gguf.part.from", format!("{}\n", sha256(&bytes)));
    assert_eq!(run(&home, &hub, &["pull", REPO]).status, Some(0));
    assert_eq!(std::fs::read(home.path("models/m-Q4_0.gguf")).unwrap(), bytes);
}

#[test]
fn a_connection_that_breaks_ever_again_is_given_up_and_the_part_is_kept() {
    let bytes = demo();
    let behaviour = Behaviour { files: vec![("m-Q4_0.gguf".to_owned(), bytes)], cut: Some((100, 1000)), ..Behaviour::default() };
    let (home, hub) = (Home::new(), Hub::start(behaviour));
    check(&run(&home, &hub, &["pull", REPO]), 1, &["m-Q4_0.gguf", "kept"]);
    assert_eq!(names(&home), ["m-Q4_0.gguf.part", "m-Q4_0.gguf.part.from"]);
    assert_eq!(std::fs::metadata(home.path("models/m-Q4_0.gguf.part")).unwrap().len(), 5_000);
    assert_eq!(list(&home)["unfinished"][0]["file"], "m-Q4_0.gguf.part");
    assert_eq!(home.run(&["model", "rm", "m-Q4_0.gguf.part"]).status, Some(0));
    assert!(names(&home).is_empty());
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_left() {
    let file = |bytes: &[u8]| vec![("m-Q4_0.gguf".to_owned(), bytes.to_vec())];
    let bytes = demo();
    let (home, hub) = (Home::new(), Hub::start(Behaviour { files: file(&bytes), wrong_sum: true, ..Behaviour::default() }));
    check(&run(&home, &hub, &["pull", REPO]), 1, &["m-Q4_0.gguf", &sha256(&bytes), &sha256(b"another"), "deleted"]);
    assert!(names(&home).is_empty(), "{:?}", names(&home));

    let hub = Hub::start(Behaviour { files: file(&bytes), claimed_size: Some(1 << 60), ..Behaviour::default() });
    check(&run(&home, &hub, &["pull", REPO]), 1, &["needed", "free", "models"]);
    assert!(!hub.requests().iter().any(|request| request.starts_with("/signed/")), "nothing is fetched");
    assert!(names(&home).is_empty(), "{:?}", names(&home));

    let hub = Hub::start(Behaviour { files: file(b"this is no model"), ..Behaviour::default() });
    let home = Home::new();
    check(&run(&home, &hub, &["pull", REPO]), 1, &["m-Q4_0.gguf", "GGUF", "deleted"]);
    assert!(names(&home).is_empty(), "{:?}", names(&home));

    home.file("models/m-Q4_0.gguf", "mine");
    check(&run(&home, &hub, &["pull", REPO]), 2, &["is another file", "model rm"]);
    assert_eq!(std::fs::read(home.path("models/m-Q4_0.gguf")).unwrap(), b"mine");
}

#[test]
fn what_cannot_be_had_is_one_line_with_the_way_out() {
    let (home, hub) = (Home::new(), Hub::of("m-Q4_0.gguf", &demo()));
    check(&run(&home, &hub, &["pull", "owner/nothing"]), 2, &["there is no owner/nothing"]);
    check(&run(&home, &hub, &["pull", "not a repo"]), 2, &["`not a repo`", "OWNER/NAME:QUANT"]);
    check(&run(&home, &hub, &["pull", &format!("{REPO}:Q5_K_M")]), 2, &["Q5_K_M", "m-Q4_0.gguf"]);
    let pull_from = |url: &str| finish(command(&home, &hub, &["pull", REPO]).env("PAGURO_MODELS_URL", url).spawn().unwrap());
    check(&pull_from("http://127.0.0.1:1"), 1, &["127.0.0.1 cannot be reached"]);
    check(&pull_from("not an address"), 2, &["models.url", "not an address"]);
    for outside in ["../paguro.toml", "/etc/passwd", ".."] {
        check(&home.run(&["model", "rm", outside]), 2, &[outside]);
    }
    check(&home.run(&["model", "rm", "nothing"]), 2, &["nothing", "model list"]);
    assert!(names(&home).is_empty(), "{:?}", names(&home));
}

#[test]
fn a_token_opens_a_gated_model_and_goes_no_further() {
    let behaviour = Behaviour { files: vec![("m-Q4_0.gguf".to_owned(), demo())], gated: true, ..Behaviour::default() };
    let hub = Hub::start(behaviour);
    let pull = |home: &Home, name: &str, value: &str| finish(command(home, &hub, &["pull", REPO]).env(name, value).spawn().unwrap());
    let home = Home::new();
    check(&run(&home, &hub, &["pull", REPO]), 2, &["needs a token", "token_file", "PAGURO_MODELS_TOKEN"]);
    check(&pull(&home, "PAGURO_MODELS_TOKEN", "hf_wrong"), 2, &["does not open", "accept its terms"]);
    assert_eq!(pull(&home, "PAGURO_MODELS_TOKEN", TOKEN).status, Some(0));
    assert_eq!(pull(&Home::new(), "HF_TOKEN", TOKEN).status, Some(0));
    let home = Home::new();
    home.file("hub.token", format!("{TOKEN}\n"));
    assert_eq!(pull(&home, "PAGURO_MODELS_TOKEN_FILE", "hub.token").status, Some(0));
    check(&pull(&Home::new(), "PAGURO_MODELS_TOKEN_FILE", "none.token"), 2, &["none.token", "token_file"]);
    // `requests` also says that no request to the store had the token.
    assert!(hub.requests().iter().any(|request| request.starts_with("/signed/")));
}

/// The demo model in `count` files, as `gguf-split` cuts: all metadata in the first, `split.*` in each.
fn parts(count: u16) -> Vec<(String, Vec<u8>)> {
    let part = |number: u16| {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(2_u64.to_le_bytes());
        for (key, value) in [("split.no", number), ("split.count", count)] {
            bytes.extend((key.len() as u64).to_le_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend(2_u32.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.resize(300_000, number.to_le_bytes()[0]);
        bytes
    };
    (0..count).map(|number| (format!("Q4_K_M/m-Q4_K_M-{:05}-of-{count:05}.gguf", number + 1), part(number))).collect()
}

#[test]
fn parts_come_together_and_go_together() {
    let behaviour = Behaviour { files: parts(6), slow: Some(Duration::from_millis(40)), ..Behaviour::default() };
    let (home, hub) = (Home::new(), Hub::start(behaviour));
    let pulled = run(&home, &hub, &["pull", REPO]);
    assert_eq!(pulled.status, Some(0), "{pulled:?}");
    assert!(pulled.stdout.contains("m-Q4_K_M-00001-of-00006.gguf"), "{pulled:?}");
    assert_eq!((names(&home).len(), hub.most_at_once()), (6, 4));
    let listed = list(&home);
    assert_eq!((listed["models"].as_array().unwrap().len(), &listed["models"][0]["parts"]), (1, &6.into()), "{listed}");
    std::fs::remove_file(home.path("models/m-Q4_K_M-00003-of-00006.gguf")).unwrap();
    assert!(list(&home)["models"][0]["error"].as_str().unwrap().contains("5 of 6"));
    let missing = home.run(&["ask", "hi", "--model", "m-Q4_K_M-00001-of-00006"]);
    assert!(missing.status == Some(2) && missing.stderr.contains("00003-of-00006"), "{missing:?}");
    assert_eq!(home.run(&["model", "rm", "m-Q4_K_M-00001-of-00006.gguf"]).status, Some(0));
    assert!(names(&home).is_empty());
}

fn wait_for(path: &PathBuf, bytes: u64) {
    let start = Instant::now();
    while std::fs::metadata(path).map_or(0, |metadata| metadata.len()) < bytes {
        assert!(start.elapsed() < Duration::from_secs(60), "{} does not grow", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_at_once_and_two_pulls_do_not_mix() {
    let behaviour =
        Behaviour { files: vec![("m-Q4_0.gguf".to_owned(), demo())], slow: Some(Duration::from_secs(3)), ..Behaviour::default() };
    let (home, hub) = (Home::new(), Hub::start(behaviour));
    let first = command(&home, &hub, &["pull", REPO]).spawn().unwrap();
    wait_for(&home.path("models/m-Q4_0.gguf.part"), 1);
    check(&run(&home, &hub, &["pull", REPO]), 1, &["m-Q4_0.gguf", "another paguro"]);
    let stopped = Instant::now();
    assert!(Command::new("kill").args(["-INT", &first.id().to_string()]).status().unwrap().success());
    let run = finish(first);
    assert!(stopped.elapsed() < Duration::from_secs(2), "{:?}", stopped.elapsed());
    check(&run, 130, &["interrupted", "kept"]);
    assert!(std::fs::metadata(home.path("models/m-Q4_0.gguf.part")).unwrap().len() > 0);
}

#[test]
fn good_models_are_shown() {
    let home = Home::new();
    let shown = home.run(&["model", "pull"]);
    assert!(shown.status == Some(0) && shown.stdout.contains("qwen3-4b") && shown.stdout.contains("EMBEDDING"), "{shown:?}");
    let table = home.run(&["model", "pull", "--format", "json"]).last();
    assert!(table["models"].as_array().unwrap().len() >= 8 && table["embedders"][0]["repo"].is_string(), "{table}");
    assert!(home.run(&["model", "list"]).stderr.contains("paguro model pull"));
}

#[test]
fn a_check_says_what_the_model_can_do() {
    let home = Home::new();
    let checked = home.run(&["model", "check", "demo"]);
    assert_eq!(checked.status, Some(0), "{checked:?}");
    for words in ["supported", "template      yes", "tools         yes", "sampling      temperature", "prefix stable yes"] {
        assert!(checked.stdout.contains(words), "no {words:?} in {}", checked.stdout);
    }
    let checked = home.run(&["model", "check", "demo", "--format", "json"]).last();
    let turns = checked["prefix"]["turns"].as_array().unwrap();
    assert_eq!((turns.len(), &checked["prefix"]["stable"], &checked["supported"]), (2, &true.into(), &true.into()), "{checked}");
}
