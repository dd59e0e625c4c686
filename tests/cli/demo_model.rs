//! The embedded model in the real loop. What it says is its training's matter (`models/demo`); what must hold here holds for any model.

use super::support::Home;

#[test]
fn a_command_runs_and_its_output_is_quoted() {
    let home = Home::new();
    let run = home.run(&["ask", "run uname -a", "--approve", "all", "--format", "jsonl"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    let events = run.events();
    let call = events.iter().find(|event| event["type"] == "tool_call").unwrap_or_else(|| panic!("{run:?}"));
    assert_eq!((call["name"].as_str(), call["arguments"]["command"].as_str()), (Some("shell"), Some("uname -a")));
    let result = run.last();
    assert!(result["usage"]["reused_tokens"].as_u64().unwrap() > 0, "the second reply reuses the first's tokens: {result}");
    assert!(result["text"].as_str().unwrap().contains("Linux"), "{result}");
}

#[test]
fn an_export_is_the_conversation_without_the_models_tokens() {
    let home = Home::new();
    assert_eq!(home.run(&["ask", "hello", "--session", "s"]).status, Some(0));
    let lines = home.run(&["session", "export", "s"]).events();
    assert_eq!(lines.iter().map(|line| line["role"].as_str().unwrap()).collect::<Vec<_>>(), ["user", "assistant"]);
    assert!(lines.iter().all(|line| line.get("tokens").is_none()), "{lines:?}");
}

#[test]
fn a_fact_is_recalled_by_another_process() {
    let home = Home::new();
    assert_eq!(home.run(&["ask", "remember that my bike is green"]).status, Some(0));
    let run = home.run(&["ask", "what is my bike?"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(run.stdout.contains("green"), "{run:?}");
}

#[test]
fn the_tour_goes_all_the_way() {
    let home = Home::new();
    let run = home.run(&["demo"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    for part in ["demo model", "Linux", "hello world", "green", "prefilled"] {
        assert!(run.stdout.contains(part), "no {part:?} in {}", run.stdout);
    }
}
