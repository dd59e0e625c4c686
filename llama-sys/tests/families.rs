//! Each family of chat templates: what llama.cpp finds in it, and that a reply written in its format comes back as it was meant,
//! whole, and cut off at any place.
//!
//! The replies are not written by hand: the template renders the message into the history, and what stands there after the
//! prompt is what the model would have generated.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use llama_sys::{Capabilities, ChatTemplate, ParsedReply, RenderInput, Rendered, ReplyParser};
use serde_json::{Value, json};
use support::{call, template, tools, user};

/// How a template treats reasoning.
#[derive(Clone, Copy, PartialEq)]
enum Reasoning {
    /// It has no place for it.
    None,
    /// The model opens it.
    Optional,
    /// The prompt opens it.
    Forced,
}

struct Family {
    name: &'static str,
    /// What follows the reply in the history: end of turn.
    end: &'static str,
    capabilities: Capabilities,
    reasoning: Reasoning,
    /// Tool calls in one reply.
    calls: usize,
    /// Text and calls in one reply.
    says_and_calls: bool,
    /// The format carries the ids of calls.
    ids: bool,
    /// A lazy grammar constrains calls.
    lazy_grammar: bool,
}

const ALL: Capabilities =
    Capabilities { tools: true, tool_calls: true, parallel_tool_calls: true, system_role: true, preserve_reasoning: true, reasoning: true };

const NO_REASONING: Capabilities = Capabilities { preserve_reasoning: false, reasoning: false, ..ALL };

const TEXT_ONLY: Capabilities = Capabilities { tools: false, tool_calls: false, parallel_tool_calls: false, ..NO_REASONING };

const HERMES: Family = Family {
    name: "chatml_hermes",
    end: "<|im_end|>\n",
    capabilities: ALL,
    reasoning: Reasoning::Optional,
    calls: 2,
    says_and_calls: true,
    ids: false,
    lazy_grammar: true,
};

#[test]
fn chatml_hermes() {
    check(&HERMES);
}

#[test]
fn llama3() {
    check(&Family {
        name: "llama3",
        end: "<|eot_id|>",
        capabilities: Capabilities { parallel_tool_calls: false, ..NO_REASONING },
        reasoning: Reasoning::None,
        calls: 1,
        says_and_calls: false,
        // No marker but `{`, so nothing could set a lazy grammar off.
        lazy_grammar: false,
        ..HERMES
    });
}

#[test]
fn mistral() {
    check(&Family {
        name: "mistral",
        end: "</s>",
        capabilities: NO_REASONING,
        reasoning: Reasoning::None,
        says_and_calls: false,
        ids: true,
        ..HERMES
    });
}

#[test]
fn deepseek() {
    check(&Family { name: "deepseek", end: "<｜end▁of▁sentence｜>", reasoning: Reasoning::Forced, ..HERMES });
}

#[test]
fn qwen3_coder() {
    check(&Family { name: "qwen3_coder", capabilities: NO_REASONING, reasoning: Reasoning::None, ..HERMES });
}

#[test]
fn minimax() {
    check(&Family {
        name: "minimax",
        end: "[e~[\n",
        reasoning: Reasoning::Forced,
        // llama.cpp takes two `<invoke>`s in one section for separated by a comma, in grammar and parser alike.
        calls: 1,
        ..HERMES
    });
}

#[test]
fn glm() {
    check(&Family { name: "glm", end: "", ..HERMES });
}

#[test]
fn gemma() {
    check(&Family {
        name: "gemma",
        end: "<end_of_turn>\n",
        capabilities: Capabilities { system_role: false, ..TEXT_ONLY },
        reasoning: Reasoning::None,
        calls: 0,
        lazy_grammar: false,
        ..HERMES
    });
}

#[test]
fn phi() {
    check(&Family {
        name: "phi",
        end: "<|end|>",
        // It describes tools in a system message only, and llama.cpp's probe has none.
        capabilities: Capabilities { tools: false, ..NO_REASONING },
        reasoning: Reasoning::None,
        says_and_calls: false,
        ..HERMES
    });
}

#[test]
fn command_r() {
    check(&Family { name: "command_r", end: "<|END_OF_TURN_TOKEN|>", says_and_calls: false, ..HERMES });
}

#[test]
fn functionary() {
    check(&Family { name: "functionary", end: "<|eot_id|>", capabilities: NO_REASONING, reasoning: Reasoning::None, ..HERMES });
}

#[test]
fn content_only() {
    check(&Family {
        name: "content_only",
        end: "\n\n",
        capabilities: TEXT_ONLY,
        reasoning: Reasoning::None,
        calls: 0,
        lazy_grammar: false,
        ..HERMES
    });
}

/// What the model may say: text, reasoning, calls. Texts hold what formats trip over.
fn replies() -> Vec<Value> {
    let say = |reasoning: &str, content: &str, calls: &[Value]| json!({"role": "assistant", "reasoning_content": reasoning, "content": content, "tool_calls": calls});
    let hard = json!({
        "path": "a b/ü.txt",
        "content": "line \"one\"\n\tline {two}: [}] \\ 'q' \\n 日本 🦀 </b> &amp; }]",
    });
    let kinds = json!({
        "steps": [{"what": "x \"y\"", "minutes": 3}, {"what": "{", "minutes": -4}],
        "urgent": false,
        "share": 0.25,
    });
    let list = call(1, "shell", &json!({"command": "ls"}));
    let print = call(2, "shell", &json!({"command": "pwd"}));
    vec![
        say("", "It's \"done\", [really] — größe 日本 🦀 <b>.\n\n- a\n- b", &[]),
        say("The user wants {x}.\n\nSo I answer", "Yes.", &[]),
        say("", "", &[call(1, "shell", &json!({"command": "uname -a"}))]),
        say("", "", &[call(1, "write_file", &hard)]),
        say("", "", &[call(1, "plan", &kinds)]),
        say("", "", &[list.clone(), print.clone()]),
        say("", "I look.", std::slice::from_ref(&list)),
        say("look first", "", std::slice::from_ref(&list)),
        say("look first", "I look.", &[list, print]),
    ]
}

/// Checks one family: what llama.cpp finds in the template, the lazy grammar, and each reply that the format can hold.
fn check(family: &Family) {
    let template = template(family.name);
    assert_eq!(template.capabilities(), family.capabilities, "{}", family.name);
    assert!(!template.source().is_empty());

    let mut checked = 0;
    for mut message in replies() {
        let calls = message["tool_calls"].as_array().unwrap().len();
        let says = message["content"] != "";
        if calls > family.calls || (calls > 0 && says && !family.says_and_calls) {
            continue;
        }
        if family.reasoning == Reasoning::None {
            message["reasoning_content"] = json!("");
        } else if family.reasoning == Reasoning::Forced && message["reasoning_content"] == "" {
            message["reasoning_content"] = json!("so be it");
        }
        check_reply(family, &template, &message, true);
        if calls == 0 {
            check_reply(family, &template, &message, false);
        }
        checked += 1;
    }
    assert!(checked >= 2, "{} was hardly checked", family.name);
}

/// Checks that `message`, as the template writes it after the prompt, parses to what it is.
fn check_reply(family: &Family, template: &ChatTemplate, message: &Value, with_tools: bool) {
    let tools = tools();
    let before = json!([user("do it")]);
    let after = json!([user("do it"), message]);
    let input = RenderInput { tools: with_tools.then_some(&tools), parallel_tool_calls: true, ..RenderInput::new(&before) };
    let rendered = template.render(&input).unwrap();
    let history = template.render(&RenderInput { messages: &after, add_generation_prompt: false, ..input }).unwrap();
    assert_eq!(rendered.grammar_lazy, with_tools && family.lazy_grammar, "{}", family.name);

    let reply = history
        .prompt
        .strip_prefix(&rendered.prompt)
        .and_then(|rest| rest.strip_suffix(family.end))
        .unwrap_or_else(|| panic!("{}: {:?} after {:?}", family.name, history.prompt, rendered.prompt));
    let parser = ReplyParser::new(&rendered).unwrap();
    let parsed = parser.parse(reply, false).unwrap_or_else(|error| panic!("{}: {reply:?}: {error}", family.name));
    assert_eq!(meaning(&parsed, family.ids), meant(message, family.ids), "{}: {reply:?}", family.name);
    check_prefixes(family.name, &parser, reply, &parsed, &rendered);
}

/// Checks every beginning of `reply`: no error, and nothing that the whole does not go on with.
fn check_prefixes(name: &str, parser: &ReplyParser, reply: &str, whole: &ParsedReply, rendered: &Rendered) {
    for end in (0..=reply.len()).filter(|&end| reply.is_char_boundary(end)) {
        let part = parser.parse(&reply[..end], true).unwrap_or_else(|error| panic!("{name}: {:?}: {error}", &reply[..end]));
        let goes_on = |part: &str, whole: &str| whole.starts_with(part.trim_end());
        assert!(
            goes_on(&part.content, &whole.content)
                && goes_on(&part.reasoning, &whole.reasoning)
                && part.tool_calls.len() <= whole.tool_calls.len(),
            "{name} ({}): {:?} gave {part:?} of {whole:?}",
            rendered.format,
            &reply[..end]
        );
        for (part, whole) in part.tool_calls.iter().zip(&whole.tool_calls) {
            assert!(
                whole.name.starts_with(&part.name) && goes_on(&part.arguments, &whole.arguments),
                "{name} ({}): {:?} gave {part:?} of {whole:?}",
                rendered.format,
                &reply[..end]
            );
        }
    }
}

/// What a parsed reply says, without the white space at its seams.
fn meaning(parsed: &ParsedReply, ids: bool) -> Value {
    let calls: Vec<_> = parsed
        .tool_calls
        .iter()
        .map(|call| {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
            json!({"id": if ids { &call.id } else { "" }, "name": call.name, "arguments": arguments})
        })
        .collect();
    json!({"content": parsed.content.trim(), "reasoning": parsed.reasoning.trim(), "calls": calls})
}

/// What a message was meant to say, in the same form.
fn meant(message: &Value, ids: bool) -> Value {
    let calls: Vec<_> = message["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| {
            let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
            let id = if ids { call["id"].clone() } else { json!("") };
            json!({"id": id, "name": call["function"]["name"], "arguments": arguments})
        })
        .collect();
    json!({"content": message["content"], "reasoning": message["reasoning_content"], "calls": calls})
}
