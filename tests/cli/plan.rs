//! What a model would take, from outside.

use super::support::Home;

#[test]
fn a_plan_is_told_in_words_and_in_json() {
    let home = Home::new();
    let run = home.run(&["model", "plan", "demo", "--context", "2048", "--cache-type-k", "q8_0"]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    for words in [
        "context       2048 tokens",
        "weights ",
        "K/V cache ",
        "q8_0/f16: 76 % of f16",
        "compute ",
        "needs ",
        " ms with f16",
        "fits          yes",
    ] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    let run = home.run(&["model", "plan", "demo", "--format", "json", "--cache-type-k", "q4_0", "--cache-type-v", "q4_0"]);
    let plan = run.last();
    assert_eq!((run.status, plan["fits"].as_bool(), plan["cache_type_k"].as_str()), (Some(0), Some(true), Some("q4_0")));
    let number = |key: &str| plan[key].as_u64().unwrap_or_else(|| panic!("no {key} in {plan}"));
    let parts = ["weights", "kv", "checkpoints", "compute", "embedder", "overhead"].map(number);
    assert_eq!(parts.iter().sum::<u64>(), number("needs"));
    assert!(number("needs") <= plan["machine"]["available"].as_u64().unwrap());
    let attention = |key: &str| plan["attention"][key].as_f64().unwrap();
    assert!(attention("planned_ms") > 0.0 && attention("f16_ms") > 0.0 && plan["attention"]["depth"] == 2048, "{plan}");
}

#[test]
fn what_does_not_fit_is_refused_with_a_way_out() {
    let home = Home::new();
    let limited = |arguments: &[&str], ignore: bool| {
        let mut command = home.command(arguments);
        command.env("PAGURO_MODEL_MEMORY_LIMIT", "1MB").env("PAGURO_MODEL_IGNORE_PLAN", ignore.to_string());
        super::support::finish(command.spawn().unwrap())
    };
    let refused = limited(&["model", "check"], false);
    assert_eq!((refused.status, refused.stdout.as_str(), refused.stderr.lines().count()), (Some(2), "", 1), "{refused:?}");
    for words in ["demo does not fit: with a context of ", "1.0 MB are allowed by `memory_limit`", "choose a smaller quantisation"] {
        assert!(refused.stderr.contains(words), "no {words:?} in {}", refused.stderr);
    }
    let plan = limited(&["model", "plan"], false);
    assert_eq!(plan.status, Some(1), "{plan:?}");
    assert!(plan.stdout.contains("fits          no: "), "{plan:?}");
    let loaded = limited(&["model", "check"], true);
    assert_eq!(loaded.status, Some(0), "{loaded:?}");
}
