//! A byte-level BPE vocabulary: the 256 bytes, some whole pieces, the special tokens.

use super::gguf::{Gguf, Value};

/// ChatML with tools the way Qwen and Hermes have them.
pub const TEMPLATE: &str = r#"{%- if tools %}{{- '<|im_start|>system\n' }}{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}{{- '# Tools\n\n<tools>' }}{%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}{{- '\n</tools>\n\nFor each call, return a JSON object within <tool_call></tool_call>:\n<tool_call>\n{"name": <name>, "arguments": <object>}\n</tool_call><|im_end|>\n' }}{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}{%- for message in messages %}{%- if message.role == 'user' %}{{- '<|im_start|>user\n' + message.content + '<|im_end|>\n' }}{%- elif message.role == 'assistant' %}{{- '<|im_start|>assistant\n' }}{%- if message.reasoning_content %}{{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{%- endif %}{{- message.content }}{%- if message.tool_calls %}{%- for call in message.tool_calls %}{%- if (loop.first and message.content) or not loop.first %}{{- '\n' }}{%- endif %}{{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}{%- if call.function.arguments is string %}{{- call.function.arguments }}{%- else %}{{- call.function.arguments | tojson }}{%- endif %}{{- '}\n</tool_call>' }}{%- endfor %}{%- endif %}{{- '<|im_end|>\n' }}{%- elif message.role == 'tool' %}{{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"#;

/// Control tokens, first in the vocabulary behind the bytes.
const CONTROL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
/// The number of the first token behind bytes and control tokens.
pub const FIRST_PIECE: usize = 256 + CONTROL.len();
/// The number of `<|im_end|>`.
pub const END: usize = 256 + 2;

/// A token behind the bytes and the control tokens.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Its bytes, which no text is tokenized to.
    Normal(Vec<u8>),
    /// A marker that text is tokenized to.
    Marker(&'static str),
}

/// Writes the vocabulary into `gguf`, filled up to `size` tokens, with [`TEMPLATE`].
pub fn write(gguf: &mut Gguf, pieces: &[Piece], size: usize) {
    let mut tokens: Vec<String> = (0..=255).map(|byte| printable(byte).to_string()).collect();
    let mut kinds = vec![1; 256];
    tokens.extend(CONTROL.map(str::to_owned));
    kinds.extend(CONTROL.map(|_| 3));
    for piece in pieces {
        match piece {
            Piece::Normal(bytes) => {
                tokens.push(bytes.iter().map(|byte| printable(*byte)).collect());
                kinds.push(1);
            }
            Piece::Marker(text) => {
                tokens.push((*text).into());
                kinds.push(4);
            }
        }
    }
    // Normal tokens that no merge leads to.
    for filler in tokens.len()..size {
        tokens.push(format!("w{filler}"));
        kinds.push(1);
    }
    gguf.set("tokenizer.ggml.model", Value::Text("gpt2".into()));
    gguf.set("tokenizer.ggml.pre", Value::Text("qwen2".into()));
    gguf.set("tokenizer.ggml.tokens", Value::Texts(tokens));
    gguf.set("tokenizer.ggml.token_type", Value::I32s(kinds));
    gguf.set("tokenizer.ggml.merges", Value::Texts(vec!["t h".into(), "th e".into()]));
    gguf.set("tokenizer.ggml.bos_token_id", Value::U32(256));
    gguf.set("tokenizer.ggml.eos_token_id", Value::U32(258));
    gguf.set("tokenizer.ggml.add_bos_token", Value::Bool(false));
    gguf.set("tokenizer.chat_template", Value::Text(TEMPLATE.into()));
}

/// GPT-2's character for a byte: itself where it can be printed, else one from U+0100 on.
fn printable(byte: u8) -> char {
    let is_itself = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if is_itself(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !is_itself(*byte)).count();
    char::from_u32(0x100 + u32::try_from(before).unwrap()).unwrap()
}
