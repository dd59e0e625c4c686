//! `paguro model embed` and what the configuration says of an embedder, from outside. The embedder has random weights.

use serde_json::Value;

use super::ggufs::encoder::{TINY, bert};
use super::support::{Home, Run, finish};

/// A home with an embedder in its models folder.
fn home(configuration: &str) -> Home {
    let home = Home::new();
    home.file("models/e.gguf", bert(&TINY, 1).to_bytes());
    home.file("paguro.toml", configuration);
    home
}

/// One line on stderr with these words in it, nothing on stdout.
fn check(run: &Run, words: &[&str]) {
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.lines().count()), (Some(2), "", 1), "{run:#?}");
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?} in {run:#?}");
    }
}

fn vector(line: &Value) -> Vec<f64> {
    line["vector"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn dot(a: &Value, b: &Value) -> f64 {
    vector(a).iter().zip(vector(b)).map(|(a, b)| a * b).sum()
}

#[test]
fn texts_become_lines() {
    let home = home("[embedder]\nfile = 'models/e.gguf'\n");
    let run = home.run(&["model", "embed", "the hermit crab", "sea"]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let lines = run.events();
    let keys: Vec<&String> = lines[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["text_index", "model", "tokens", "cut", "dimensions", "vector"]);
    for (index, (line, tokens)) in lines.iter().zip([5, 3]).enumerate() {
        let expected = (index as u64, "encoder", tokens, Some(false), 64);
        let number = |key: &str| line[key].as_u64().unwrap();
        let found = (number("text_index"), line["model"].as_str().unwrap(), number("tokens"), line["cut"].as_bool(), number("dimensions"));
        assert_eq!((found, vector(line).len()), (expected, 64));
        assert!((dot(line, line) - 1.0).abs() < 1e-5);
    }
    assert!(dot(&lines[0], &lines[1]) < 0.99);
    // The same from standard input, more than go through at once.
    let piped = home.pipe(&["model", "embed"], "the hermit crab\nsea\n".repeat(200));
    assert_eq!((piped.status, piped.stderr.as_str()), (Some(0), ""), "{piped:?}");
    let piped = piped.events();
    assert_eq!((piped.len(), piped[399]["text_index"].as_u64()), (400, Some(399)));
    assert!(piped.chunks(2).all(|pair| dot(&pair[0], &lines[0]) > 0.9999 && dot(&pair[1], &lines[1]) > 0.9999));
    assert_eq!(home.pipe(&["model", "embed"], "").stdout, "", "no lines, no vectors");
}

#[test]
fn a_prefix_is_put_before_what_it_is_for() {
    let plain = home("[embedder]\nfile = 'models/e.gguf'\n");
    let home = home("[embedder]\nfile = 'models/e.gguf'\nquery_prefix = 'the '\ndocument_prefix = 'sea '\nidle_s = 0\ncontext = 16\n");
    for (arguments, text) in [(&["model", "embed", "--query", "crab"][..], "the crab"), (&["model", "embed", "crab"], "sea crab")] {
        let run = home.run(arguments);
        assert_eq!(run, plain.run(&["model", "embed", text]));
        assert_eq!(run.last()["tokens"], 4);
        // An embedder that was named has none of the configured one's settings.
        assert_eq!(home.run(&[arguments, &["--model", "e"]].concat()).last()["tokens"], 3);
    }
}

#[test]
fn a_long_text_is_refused_or_cut() {
    let home = Home::new();
    let file = home.file("other.gguf", bert(&TINY, 1).to_bytes());
    let model = file.to_str().unwrap();
    let texts = format!("{}{}\n", "crab\n".repeat(300), "crab ".repeat(200));
    let refused = home.pipe(&["model", "embed", "--model", model], &texts);
    assert_eq!((refused.status, refused.stderr.lines().count()), (Some(2), 1), "{refused:?}");
    assert!(refused.stderr.contains("text 301 has 202 tokens and the embedder takes 128"), "{refused:?}");
    let cut = home.pipe(&["model", "embed", "--model", model, "--cut"], &texts).last();
    assert_eq!((&cut["text_index"], &cut["tokens"], &cut["cut"]), (&300.into(), &128.into(), &true.into()), "{cut}");
}

#[test]
fn what_makes_no_vectors_is_told_in_one_line() {
    let home = home("[embedder]\nfile = 'models/nosuch.gguf'\n");
    check(&Home::new().run(&["model", "embed", "crab"]), &["[embedder]", "`file`", "`paguro model pull`"]);
    check(&home.run(&["model", "embed", "crab"]), &["models/nosuch.gguf", "[embedder]"]);
    check(&home.run(&["model", "embed", "crab", "--model", "/nowhere/e.gguf"]), &["/nowhere/e.gguf"]);
    check(&home.run(&["model", "embed", "crab", "--model", "e", "--model", "e"]), &["--model"]);
    check(&home.run(&["model", "embed", "crab", " "]), &["text 2 is empty"]);
    check(&home.pipe(&["model", "embed"], "crab\n\ncrab\n"), &["line 2 is empty"]);
    check(&home.pipe(&["model", "embed"], b"a\xffb"), &["0xff"]);
    let chat = concat!(env!("CARGO_MANIFEST_DIR"), "/models/demo/demo.gguf");
    check(&home.run(&["model", "embed", "crab", "--model", chat]), &["demo.gguf", "it is no embedding model", "choose an embedding GGUF"]);
    home.file("cut.gguf", &bert(&TINY, 1).to_bytes()[..30_000]);
    check(&home.run(&["model", "embed", "crab", "--model", home.path("cut.gguf").to_str().unwrap()]), &["cut.gguf"]);
    let mut small = home.command(&["model", "embed", "crab", "--model", "e"]);
    let small = finish(small.env("PAGURO_MODEL_MEMORY_LIMIT", "1MB").spawn().unwrap());
    check(&small, &["e.gguf does not fit", "1.0 MB are allowed by `memory_limit`", "lower `context` in [embedder]"]);
    // Nobody who does not need it is stopped by it.
    assert_eq!(home.run(&["ask", "hi"]).status, Some(0));
}

#[test]
fn the_plan_counts_the_embedder() {
    let plan = |home: &Home| home.run(&["model", "plan", "demo", "--format", "json"]).last();
    let (with, without) = (plan(&home("[embedder]\nfile = 'models/e.gguf'\n")), plan(&Home::new()));
    let number = |plan: &Value, key: &str| plan[key].as_u64().unwrap_or_else(|| panic!("no {key} in {plan}"));
    assert_eq!(number(&without, "embedder"), 0);
    assert!(number(&with, "embedder") > bert(&TINY, 1).to_bytes().len() as u64, "{with}");
    assert_eq!(number(&with, "needs") - number(&without, "needs"), number(&with, "embedder"));
    let told = home("[embedder]\nfile = 'models/e.gguf'\n").run(&["model", "plan", "demo"]).stdout;
    assert!(told.lines().any(|line| line.starts_with("embedder ") && line.contains("MB")), "{told}");
}
