//! `model bench` and `model tune` with the demo model: what they tell and what they write. How fast it is nobody asserts.

use super::support::Home;

const TEXT: &str = "The hermit crab looks for a shell. Nobody has told it to, and nobody loses by it. ";

#[test]
fn a_bench_tells_speed_waits_and_what_a_smaller_cache_costs() {
    let home = Home::new();
    let text = home.file("text.txt", TEXT.repeat(12)).display().to_string();
    let run = home.run(&["model", "bench", "demo", "--depth", "0,128", "--text", &text, "--format", "json"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    let report = run.last();
    let list = |key: &str| report[key].as_array().unwrap_or_else(|| panic!("no {key} in {report}")).clone();
    let depths: Vec<_> = list("speed").iter().map(|speed| speed["depth"].as_u64()).collect();
    assert_eq!(depths, [Some(0), Some(128)]);
    assert!(list("speed").iter().all(|speed| speed["prefill_tps"].as_f64() > Some(0.0) && speed["decode_tps"].as_f64() > Some(0.0)));
    let latencies = list("latency");
    let states: Vec<_> = latencies.iter().map(|one| (one["state"].as_str().unwrap(), one["reused_tokens"].as_u64() > Some(0))).collect();
    assert_eq!(states, [("cold", false), ("warm", true), ("forked", true), ("restored", true)]);
    let qualities = list("quality");
    let caches: Vec<_> = qualities.iter().map(|one| one["cache"].as_str().unwrap()).collect();
    assert_eq!(caches, ["f16", "q8_0", "q4_0"]);
    assert!(qualities.iter().all(|one| one["perplexity"].as_f64() > Some(1.0)));
    let divergence = |index: usize| qualities[index]["kl_from_f16"].as_f64().unwrap_or_else(|| panic!("no divergence in {report}"));
    assert!(divergence(1) <= divergence(2), "{report}");
}

#[test]
fn a_search_writes_what_it_found_and_the_program_reads_it() {
    let home = Home::new();
    home.file("paguro.toml", "# mine\n[limits]\nmax_steps = 7\n");
    let text = home.file("text.txt", TEXT.repeat(4)).display().to_string();
    let arguments = ["model", "tune", "demo", "--minutes", "0.05", "--depth", "64", "--text", &text, "--bound", "50%"];
    let run = home.run(&[&arguments[..], &["--write"]].concat());
    assert_eq!(run.status, Some(0), "{run:?}");
    for words in ["threads", "cache K/V", "best", "perplexity stays within 50 %", "[model]", "written to "] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    let written = std::fs::read_to_string(home.path("paguro.toml")).unwrap();
    assert!(written.starts_with("# mine\n[limits]\nmax_steps = 7\n") && written.contains("cache_type_k = "), "{written}");
    assert_eq!(home.run(&["model", "check", "demo"]).status, Some(0));
}

#[test]
fn what_cannot_be_measured_is_refused_in_one_line() {
    let home = Home::new();
    let script = home.script(&[]);
    let missing = home.path("none.txt").display().to_string();
    let cases: [(&[&str], &str); 4] = [
        (&["model", "bench", &script], "a script has no speed"),
        (&["model", "tune", &script], "a script has no speed"),
        (&["model", "bench", "demo", "--text", &missing], "give a text file"),
        (&["model", "tune", "demo", "--bound=-3%"], "-3%"),
    ];
    for (arguments, words) in cases {
        let run = home.run(arguments);
        assert_eq!((run.status, run.stdout.as_str(), run.stderr.lines().count()), (Some(2), "", 1), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(words), "{run:?}");
    }
}
