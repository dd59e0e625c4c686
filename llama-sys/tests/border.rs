//! What is passed in wrongly comes back as an error: nothing aborts, nothing unwinds, nothing is printed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use llama_sys::{
    ChatTemplate, ErrorKind, ParsedReply, RenderInput, ReplyParser, ShimError, ToolChoice, build_info, json_schema_to_grammar,
};
use serde_json::{Value, json};
use support::{call, rendered, template, tools, user};

/// Checks that `result` is an error of `kind` whose text has `part` in it.
fn check<T: std::fmt::Debug>(result: Result<T, ShimError>, kind: ErrorKind, part: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(part), "{error}");
    assert!(error.message.len() <= 4096);
}

fn open(source: &str) -> Result<ChatTemplate, ShimError> {
    ChatTemplate::new(None, Some(source), "", "")
}

#[test]
fn templates_that_do_not_parse() {
    check(ChatTemplate::new(None, None, "", ""), ErrorKind::Input, "neither a model nor");
    check(open("{% for m in messages %}"), ErrorKind::Refused, "");
    check(open("{{ messages[ }}"), ErrorKind::Refused, "");
    check(open("{% frobnicate %}"), ErrorKind::Refused, "");
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
    check(open(&deep), ErrorKind::Input, "256 levels");
    let hidden = format!("{{{{ {}1 }}}}", "(')' ~ ".repeat(5_000));
    check(open(&hidden), ErrorKind::Input, "256 levels");
}

#[test]
fn templates_that_refuse() {
    let messages = json!([user("hello")]);
    let refusing = open("{{ raise_exception('only on Sundays') }}").unwrap();
    check(refusing.render(&RenderInput::new(&messages)), ErrorKind::Refused, "only on Sundays");
    let adding = open("{{ messages + 1 }}").unwrap();
    check(adding.render(&RenderInput::new(&messages)), ErrorKind::Refused, "");
    let counting = open("{{ messages[0].content % 0 }}").unwrap();
    check(counting.render(&RenderInput::new(&messages)), ErrorKind::Refused, "");
}

#[test]
fn messages_and_tools_of_the_wrong_shape() {
    let template = template("chatml_hermes");
    let render = |messages: Value, tools: Value| template.render(&RenderInput { tools: Some(&tools), ..RenderInput::new(&messages) });
    let none = || json!([]);
    for messages in [
        json!("hello"),
        json!({}),
        json!([1]),
        json!([{}]),
        json!([{"role": 1, "content": ""}]),
        json!([{"role": "user"}]),
        json!([{"role": "user", "content": 1}]),
        json!([{"role": "user", "content": [{"type": "noise"}]}]),
        json!([{"role": "assistant", "tool_calls": [{"type": "function"}]}]),
        json!([{"role": "assistant", "tool_calls": "all"}]),
    ] {
        check(render(messages, none()), ErrorKind::Refused, "");
    }
    for tools in [
        json!("all"),
        json!([{}]),
        json!([{"type": "robot"}]),
        json!([{"type": "function", "function": {}}]),
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "no such type"}}}]),
        json!([{"type": "function", "function": {"name": "f", "parameters": {"$ref": "#/nowhere"}}}]),
    ] {
        check(render(json!([user("x")]), tools), ErrorKind::Refused, "");
    }
    let both = template.render(&RenderInput {
        tools: Some(&tools()),
        json_schema: Some(&json!({"type": "object"})),
        ..RenderInput::new(&json!([user("x")]))
    });
    check(both, ErrorKind::Input, "not both");
}

#[test]
fn nesting_is_limited() {
    let nested = |levels: usize| (0..levels).fold(json!({"type": "string"}), |schema, _| json!({"type": "array", "items": schema}));
    assert!(json_schema_to_grammar(&nested(60)).is_ok());
    check(json_schema_to_grammar(&nested(300)), ErrorKind::Input, "128 levels");

    // Arguments travel as text, whose own nesting counts too.
    let arguments = json!({"command": "x"});
    let mut message = json!({"role": "assistant", "tool_calls": [call(1, "shell", &arguments)]});
    message["tool_calls"][0]["function"]["arguments"] = json!(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
    let messages = json!([user("x"), message]);
    check(template("qwen3_coder").render(&RenderInput::new(&messages)), ErrorKind::Input, "128 levels");

    let messages = json!([user("x")]);
    let tools = tools();
    let rendered = template("chatml_hermes").render(&RenderInput { tools: Some(&tools), ..RenderInput::new(&messages) }).unwrap();
    let parser = ReplyParser::new(&rendered).unwrap();
    for (open, said) in [("[", ""), ("{\"a\":", ""), ("[\"]\",", "he said \\\" and ")] {
        let reply = format!("{said}<tool_call>\n{{\"name\": \"plan\", \"arguments\": {{\"steps\": {}", open.repeat(50_000));
        for partial in [true, false] {
            check(parser.parse(&reply, partial), ErrorKind::Input, "256 levels");
        }
    }
}

#[test]
fn schemas_that_do_not_compile() {
    for schema in [
        json!({"type": "no such type"}),
        json!({"$ref": "#/definitions/nowhere"}),
        json!({"$ref": "https://example.org/schema"}),
        json!({"type": "string", "minLength": -1}),
        json!({"anyOf": []}),
        json!("text"),
    ] {
        check(json_schema_to_grammar(&schema), ErrorKind::Refused, "");
    }
    let grammar = json_schema_to_grammar(&json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})).unwrap();
    assert!(grammar.contains("root ::="), "{grammar}");
}

#[test]
fn parsers_that_are_none() {
    for parser in ["{", "[]", "{\"parsers\": 1}", "\0"] {
        let mut rendered = rendered("");
        rendered.parser = parser.to_owned();
        assert!(ReplyParser::new(&rendered).is_err(), "{parser}");
    }
    let mut rendered = rendered("");
    rendered.format_id = 9_999;
    check(ReplyParser::new(&rendered), ErrorKind::Input, "9999");
}

#[test]
fn replies_outside_the_format() {
    let tools = tools();
    let messages = json!([user("x")]);
    let input = RenderInput { tools: Some(&tools), ..RenderInput::new(&messages) };

    // A grammar held the model to the format, so this cannot be, and is an error.
    let parser = ReplyParser::new(&template("chatml_hermes").render(&input).unwrap()).unwrap();
    let broken = "<tool_call>\nls\n</tool_call>";
    check(parser.parse(broken, false), ErrorKind::Refused, "does not match");

    // Nothing held it, so this is text with braces in it.
    let parser = ReplyParser::new(&template("llama3").render(&input).unwrap()).unwrap();
    let text = "Write {\"name\": …} and so on.";
    assert_eq!(parser.parse(text, false).unwrap(), ParsedReply { content: text.to_owned(), ..ParsedReply::default() });
}

#[test]
fn odd_texts_pass() {
    let long = "größe 🦀 ".repeat(200_000);
    let odd = ["", "\0", "a\0b", "\u{feff}", "\u{202e}x", long.as_str()];
    for name in ["chatml_hermes", "content_only"] {
        let template = template(name);
        for text in odd {
            let messages = json!([user(text)]);
            let rendered = template.render(&RenderInput::new(&messages)).unwrap();
            assert!(rendered.prompt.contains(text), "{name}: {text:.20?}");
            let parsed = ReplyParser::new(&rendered).unwrap().parse(text, false).unwrap();
            assert_eq!(parsed.content, text, "{name}");
        }
    }
}

#[test]
fn what_the_clock_says_is_given() {
    let template =
        open("{{ strftime_now('%Y') }} {{ strftime_now( \"%Y-%m\" ) }} {{ date_string }}{% if strftime_now is defined %} yes{% endif %}")
            .unwrap();
    let messages = json!([user("x")]);
    let at = |now| template.render(&RenderInput { now, ..RenderInput::new(&messages) }).unwrap().prompt;
    // Noon of 2001-09-09 in UTC, so the same day in every time zone but the outermost.
    assert_eq!(at(Some(1_000_036_800)), "2001 2001-09 09 Sep 2001 yes");
    assert!(at(None).as_str() > "2025");
    assert!(template.source().contains("strftime_now('%Y')"));
}

#[test]
fn choice_reasoning_and_schema_reach_the_template() {
    let template = template("chatml_hermes");
    let tools = tools();
    let messages = json!([user("x")]);
    let input = RenderInput { tools: Some(&tools), ..RenderInput::new(&messages) };
    let with = |tool_choice| template.render(&RenderInput { tool_choice, ..input.clone() }).unwrap();
    assert!(with(ToolChoice::Auto).grammar_lazy);
    let required = with(ToolChoice::Required);
    assert!(!required.grammar_lazy && !required.grammar.is_empty());
    assert!(with(ToolChoice::None).grammar.is_empty());

    let silent = template.render(&RenderInput { reasoning: false, ..input.clone() }).unwrap();
    assert!(silent.prompt.ends_with("<think>\n\n</think>\n\n"));
    let parser = ReplyParser::new(&silent).unwrap();
    assert_eq!(parser.parse("Yes.", false).unwrap().content, "Yes.");

    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let shaped = template.render(&RenderInput { tools: None, json_schema: Some(&schema), ..input }).unwrap();
    assert!(!shaped.grammar_lazy && !shaped.grammar.is_empty());
    let parsed = ReplyParser::new(&shaped).unwrap().parse("{\"a\": 1}", false).unwrap();
    assert_eq!(parsed.content, "{\"a\": 1}");
}

#[test]
fn variables_reach_the_template() {
    let template = open("{{ mood | default('calm') }}").unwrap();
    let messages = json!([user("x")]);
    let variables = json!({"mood": "glad"});
    let glad = RenderInput { variables: Some(&variables), ..RenderInput::new(&messages) };
    assert_eq!(template.render(&glad).unwrap().prompt, "glad");
    let calm = RenderInput::new(&messages);
    assert_eq!(template.render(&calm).unwrap().prompt, "calm");
}

#[test]
fn the_build_is_known() {
    let info = build_info();
    assert!(info.version.starts_with(|c: char| c.is_ascii_digit()));
    assert!(info.crate_version.starts_with("0."));
    assert!(!info.ggml_version.is_empty() && !info.compiler.is_empty());
    assert_eq!(info.backends[0], "CPU");
}
