//! What several test files need: the tools that are offered, messages, and a model that is nothing but a vocabulary.

#![allow(dead_code, reason = "each test file uses a part")]

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use llama_sys::llama_cpp_2::llama_backend::LlamaBackend;
use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::model::params::LlamaModelParams;
use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::{ChatTemplate, Rendered, silence_logs};
use serde_json::{Value, json};

/// The template of `tests/templates/NAME.jinja`.
pub fn template(name: &str) -> ChatTemplate {
    let path = PathBuf::from("tests/templates").join(format!("{name}.jinja"));
    let source = std::fs::read_to_string(path).unwrap();
    ChatTemplate::new(None, Some(&source), "<s>", "</s>").unwrap()
}

/// Three tools, of one string, two strings, and values of all kinds.
pub fn tools() -> Value {
    let tool = |name: &str, description: &str, properties: Value| {
        let required: Vec<_> = properties.as_object().unwrap().keys().cloned().collect();
        json!({"type": "function", "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": properties, "required": required},
        }})
    };
    json!([
        tool("shell", "Runs a command.", json!({"command": {"type": "string"}})),
        tool("write_file", "Writes a file.", json!({"path": {"type": "string"}, "content": {"type": "string"}})),
        tool(
            "plan",
            "Plans.",
            json!({
                "steps": {"type": "array", "items": {
                    "type": "object",
                    "properties": {"what": {"type": "string"}, "minutes": {"type": "integer"}},
                    "required": ["what", "minutes"],
                }},
                "urgent": {"type": "boolean"},
                "share": {"type": "number"},
            })
        ),
    ])
}

pub fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

/// A call with an id of nine letters and digits, the form that Mistral's templates insist on.
pub fn call(number: usize, name: &str, arguments: &Value) -> Value {
    json!({
        "type": "function",
        "id": format!("call{number:05}"),
        "function": {"name": name, "arguments": arguments.to_string()},
    })
}

/// llama.cpp's global state, one for all tests of a process.
pub fn backend() -> &'static LlamaBackend {
    static BACKEND: OnceLock<LlamaBackend> = OnceLock::new();
    BACKEND.get_or_init(|| LlamaBackend::init().unwrap())
}

/// A model that is a vocabulary of 256 bytes and `special`, each one token, the first of them the end of generation.
pub fn vocabulary(special: &[&str]) -> LlamaModel {
    silence_logs();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&gguf(special)).unwrap();
    let params = LlamaModelParams::default().with_vocab_only(true);
    LlamaModel::load_from_file(backend(), file.path(), &params).unwrap()
}

/// The tokens of a reply.
pub fn tokens(model: &LlamaModel, text: &str) -> Vec<LlamaToken> {
    model.vocab().tokenize(text.as_bytes(), false, true)
}

/// All that [`Rendered`] says about a reply, for a grammar written by hand.
pub fn rendered(grammar: &str) -> Rendered {
    Rendered {
        prompt: String::new(),
        generation_prompt: String::new(),
        grammar: grammar.to_owned(),
        grammar_lazy: false,
        triggers: Vec::new(),
        preserved_tokens: Vec::new(),
        stops: Vec::new(),
        supports_thinking: false,
        thinking_start: String::new(),
        thinking_end: Vec::new(),
        format: String::new(),
        format_id: 0,
        parser: String::new(),
    }
}

/// A GGUF file with a byte-level vocabulary without merges, and no tensors.
fn gguf(special: &[&str]) -> Vec<u8> {
    const STRING: u32 = 8;
    const INT: u32 = 5;
    const UINT: u32 = 4;
    let texts: Vec<String> =
        (0..=255_u8).map(|byte| byte_letter(byte).to_string()).chain(special.iter().map(ToString::to_string)).collect();
    let types: Vec<i32> = (0..texts.len())
        .map(|token| if token < 256 { 1 } else { 3 }) // normal, control
        .collect();
    let array = |kind: u32, len: usize, items: Vec<u8>| {
        let head = [&9_u32.to_le_bytes()[..], &kind.to_le_bytes(), &(len as u64).to_le_bytes()];
        [head.concat(), items].concat()
    };
    let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let text = |value: &str| [STRING.to_le_bytes().to_vec(), string(value)].concat();
    let pairs = [
        ("general.architecture", text("llama")),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("gpt-2")),
        ("tokenizer.ggml.tokens", array(STRING, texts.len(), texts.iter().flat_map(|t| string(t)).collect())),
        ("tokenizer.ggml.token_type", array(INT, types.len(), types.iter().flat_map(|t| t.to_le_bytes()).collect())),
        ("tokenizer.ggml.merges", array(STRING, 1, string("\u{120} \u{120}"))),
        ("tokenizer.ggml.eos_token_id", [UINT.to_le_bytes(), 256_u32.to_le_bytes()].concat()),
    ];
    let mut bytes = [&b"GGUF"[..], &3_u32.to_le_bytes(), &0_u64.to_le_bytes(), &(pairs.len() as u64).to_le_bytes()].concat();
    for (key, value) in pairs {
        bytes.extend(string(key));
        bytes.extend(value);
    }
    bytes
}

/// GPT-2's letter for a byte: itself where it prints, else one from U+0100 on.
fn byte_letter(byte: u8) -> char {
    let prints = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if prints(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !prints(b)).count();
    char::from_u32(0x100 + u32::try_from(before).unwrap()).unwrap()
}
