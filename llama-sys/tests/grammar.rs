//! The grammar beside the sampler: over a vocabulary of bytes, so that every place in a reply is between two tokens.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::model::params::LlamaModelParams;
use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::llama_cpp_2::token::data::LlamaTokenData;
use llama_sys::llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_sys::{
    ErrorKind, GrammarSampler, LogLevel, RenderInput, Rendered, ToolChoice, Trigger, TriggerKind, log_lines_of, preserved_tokens,
    silence_logs, special_token_texts,
};
use serde_json::json;
use support::{backend, rendered, template, tokens, tools, user, vocabulary};

/// What a grammar makes of a reply.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Accepted, and the reply may end there.
    Whole,
    /// Accepted, and the reply must go on.
    Open,
    /// The bytes accepted before the first forbidden token.
    Forbidden(usize),
}

/// Feeds `reply` token by token, checking at each that `allows`, `mask` and `accept` agree.
fn judge(model: &LlamaModel, rendered: &Rendered, reply: &str) -> Verdict {
    let mut grammar = GrammarSampler::new(model, rendered).unwrap().unwrap();
    let mut bytes = 0;
    for token in tokens(model, reply) {
        let allowed = grammar.allows(token).unwrap();
        assert_eq!(masked(&grammar, model).contains(&token), allowed);
        let mut copy = grammar.try_clone().unwrap();
        assert_eq!(copy.accept(token).is_ok(), allowed);
        if !allowed {
            // A forbidden token is refused and changes nothing.
            assert!(grammar.accept(token).is_err());
            assert!(grammar.allows(token).is_ok());
            return Verdict::Forbidden(bytes);
        }
        grammar.accept(token).unwrap();
        bytes += model.vocab().detokenize(&[token], false, true).len();
    }
    let end = model.vocab().eos();
    if grammar.allows(end).unwrap() {
        grammar.accept(end).unwrap();
        Verdict::Whole
    } else {
        Verdict::Open
    }
}

/// The tokens that `mask` leaves.
fn masked(grammar: &GrammarSampler<'_>, model: &LlamaModel) -> Vec<LlamaToken> {
    let all = (0..model.vocab().n_tokens()).map(|id| LlamaTokenData::new(LlamaToken(id), 0.0, 0.0));
    let mut candidates = LlamaTokenDataArray::from_iter(all, false);
    grammar.mask(&mut candidates).unwrap();
    let left = candidates.data.iter().filter(|c| c.logit().is_finite());
    left.map(LlamaTokenData::id).collect()
}

/// A conversation rendered with tools.
fn with_tools(name: &str, tool_choice: ToolChoice) -> Rendered {
    let tools = tools();
    let messages = json!([user("do it")]);
    let input = RenderInput { tools: Some(&tools), tool_choice, ..RenderInput::new(&messages) };
    template(name).render(&input).unwrap()
}

const CALL: &str = "<tool_call>\n{\"name\": \"shell\", \"arguments\": {\"command\": \"ls \\\"x\\\" {\"}}\n</tool_call>";

#[test]
fn a_lazy_grammar_lets_text_pass_and_holds_calls() {
    let rendered = with_tools("chatml_hermes", ToolChoice::Auto);
    // The markers as single tokens, and as runs of bytes.
    for special in [&["</s>"][..], &["</s>", "<tool_call>", "</tool_call>", "<think>", "</think>"]] {
        let model = vocabulary(special);
        let judge = |reply: &str| judge(&model, &rendered, reply);
        assert_eq!(judge("Any { text [ at } all"), Verdict::Whole);
        assert_eq!(judge(CALL), Verdict::Whole);
        assert_eq!(judge(&format!("I look. {CALL}")), Verdict::Whole);
        assert_eq!(judge(&CALL[..40]), Verdict::Open);
        // Not the marker's line feed, not a tool's name, not a string, not a further key.
        assert_eq!(judge("<tool_call>{"), Verdict::Forbidden(11));
        assert_eq!(judge("<tool_call>\n{\"name\": \"shred"), Verdict::Forbidden(24));
        let number = "<tool_call>\n{\"name\": \"shell\", \"arguments\": {\"command\": ";
        assert_eq!(judge(&format!("{number}1")), Verdict::Forbidden(number.len()));
        let key = format!("{number}\"ls\"");
        assert_eq!(judge(&format!("{key}, \"x\"")), Verdict::Forbidden(key.len()));
    }
}

#[test]
fn a_token_over_the_marker_s_end_is_held_too() {
    // One token that completes the marker and goes on, wrongly and rightly.
    let model = vocabulary(&["</s>", ">{", "ll>\n{\""]);
    let rendered = with_tools("chatml_hermes", ToolChoice::Auto);
    let judge = |reply: &str| judge(&model, &rendered, reply);
    assert_eq!(judge("<tool_call>{"), Verdict::Forbidden(10));
    assert_eq!(judge("a b>{"), Verdict::Whole);
    assert_eq!(judge(CALL), Verdict::Whole);
}

#[test]
fn reasoning_is_free() {
    let model = vocabulary(&["</s>", "<tool_call>", "<think>", "</think>"]);
    let musing = "I could write <tool_call>{ or not";
    let optional = with_tools("chatml_hermes", ToolChoice::Auto);
    for closed in ["\n</think>\n\n", "</think>"] {
        let reply = format!("<think>\n{musing}{closed}{CALL}");
        assert_eq!(judge(&model, &optional, &reply), Verdict::Whole);
        let reply = format!("<think>\n{musing}{closed}<tool_call>{{");
        let Verdict::Forbidden(_) = judge(&model, &optional, &reply) else {
            panic!("the grammar slept on after the reasoning");
        };
    }
    // The prompt opened it.
    let forced = with_tools("deepseek", ToolChoice::Auto);
    let reply = "perhaps <｜tool▁calls▁begin｜>{ or not\n</think>\n\nNo.";
    assert_eq!(judge(&model, &forced, reply), Verdict::Whole);
}

#[test]
fn a_required_call_is_held_from_the_first_token() {
    let model = vocabulary(&["</s>", "<tool_call>", "<|im_start|>"]);
    let rendered = with_tools("chatml_hermes", ToolChoice::Required);
    assert_eq!(judge(&model, &rendered, CALL), Verdict::Whole);
    assert_eq!(judge(&model, &rendered, "Text."), Verdict::Open);
}

#[test]
fn a_long_reply_is_watched_to_its_end() {
    let model = vocabulary(&["</s>"]);
    let rendered = with_tools("chatml_hermes", ToolChoice::Auto);
    let mut grammar = GrammarSampler::new(&model, &rendered).unwrap().unwrap();
    for token in tokens(&model, &"some words < and [ marks ".repeat(2_000)) {
        grammar.accept(token).unwrap();
    }
    for token in tokens(&model, "<tool_call>") {
        grammar.accept(token).unwrap();
    }
    let wrong = tokens(&model, "{")[0];
    assert!(!grammar.allows(wrong).unwrap());
}

#[test]
fn patterns_trigger() {
    let model = vocabulary(&["</s>"]);
    let lazy = |kind, value: &str| Rendered {
        grammar_lazy: true,
        triggers: vec![Trigger { kind, value: value.to_owned(), token: None }],
        ..rendered("root ::= \">>\" [a-z]+ \"!\"")
    };
    let judge = |rendered: Rendered, reply: &str| judge(&model, &rendered, reply);
    let pattern = || lazy(TriggerKind::Pattern, "#(>>)");
    assert_eq!(judge(pattern(), "1 >>2 #>>abc!"), Verdict::Whole);
    assert_eq!(judge(pattern(), "#>>1"), Verdict::Forbidden(3));
    let full = || lazy(TriggerKind::PatternFull, "\\s*(>>)");
    assert_eq!(judge(full(), "  >>1"), Verdict::Forbidden(4));
    assert_eq!(judge(full(), "x >>1"), Verdict::Whole);
    let start = || lazy(TriggerKind::Pattern, "^(>>)");
    assert_eq!(judge(start(), "x>>1"), Verdict::Whole);
    assert_eq!(judge(start(), ">>1"), Verdict::Forbidden(2));
    // `^` stays the reply's start when that is out of sight.
    let mut grammar = GrammarSampler::new(&model, &start()).unwrap().unwrap();
    for token in tokens(&model, &format!("x{}1", ">".repeat(3_000))) {
        grammar.accept(token).unwrap();
    }
}

#[test]
fn what_is_no_grammar_is_an_error() {
    let model = vocabulary(&["</s>"]);
    let check = |rendered: &Rendered, part: &str| match GrammarSampler::new(&model, rendered) {
        Err(error) => assert!(error.message.contains(part), "{error}"),
        Ok(_) => panic!("taken for a grammar: {rendered:?}"),
    };
    check(&rendered("root := \"a\""), "expecting ::=");
    check(&rendered("root ::= leaf"), "leaf");
    check(&rendered("leaf ::= \"a\""), "root");
    check(&rendered("root ::= root \"a\""), "left-recursive");
    check(&rendered("root ::= \"a\"{5000,}"), "repetitions");
    let lazy = |triggers: Vec<Trigger>| Rendered { grammar_lazy: true, triggers, ..rendered("root ::= \"a\"") };
    check(&lazy(Vec::new()), "needs a trigger");
    let wrong = Trigger { kind: TriggerKind::Pattern, value: "(".to_owned(), token: None };
    check(&lazy(vec![wrong]), "");
    let prefilled = Rendered { generation_prompt: "b".to_owned(), ..rendered("root ::= \"a\"") };
    check(&prefilled, "");
    assert!(GrammarSampler::new(&model, &rendered("")).unwrap().is_none());
}

#[test]
fn tokens_that_are_none_are_errors() {
    let model = vocabulary(&["</s>"]);
    let mut grammar = GrammarSampler::new(&model, &rendered("root ::= \"ab\"")).unwrap().unwrap();
    for token in [-1, 257, i32::MAX, i32::MIN].map(LlamaToken) {
        assert_eq!(grammar.allows(token).unwrap_err().kind, ErrorKind::Input);
        assert_eq!(grammar.accept(token).unwrap_err().kind, ErrorKind::Input);
        let one = [LlamaTokenData::new(token, 0.0, 0.0)];
        let mut candidates = LlamaTokenDataArray::from_iter(one, true);
        assert_eq!(grammar.mask(&mut candidates).unwrap_err().kind, ErrorKind::Input);
    }
    // An end of generation in the wrong place would abort inside llama.cpp.
    let end = model.vocab().eos();
    assert_eq!(grammar.accept(end).unwrap_err().kind, ErrorKind::Refused);
    let mut none = LlamaTokenDataArray::new(Vec::new(), false);
    grammar.mask(&mut none).unwrap();
}

#[test]
fn special_tokens_are_listed() {
    let model = vocabulary(&["</s>", "<tool_call>"]);
    let special = special_token_texts(&model);
    assert_eq!(special, [(LlamaToken(256), "</s>".to_owned()), (LlamaToken(257), "<tool_call>".to_owned()),]);
    let rendered = with_tools("chatml_hermes", ToolChoice::Auto);
    assert_eq!(preserved_tokens(&model, &rendered), [LlamaToken(257)]);
}

#[test]
fn why_a_model_does_not_load_is_in_the_log() {
    silence_logs();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"GGUF\x03\0\0\0broken").unwrap();
    let (loaded, lines) = log_lines_of(LogLevel::Warn, || LlamaModel::load_from_file(backend(), file.path(), &LlamaModelParams::default()));
    assert!(loaded.is_err());
    assert!(!lines.is_empty());
}
