//! Reads the header of a GGUF within bounds, so that a damaged file is refused in words before llama.cpp sees it.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Every count and length is checked against what the
//! file still holds before anything is read or allocated; tensors must lie inside the file, one behind the other. `meaning` holds
//! the few values on which llama.cpp would end the process instead of returning an error.
#![allow(unsafe_code, reason = "reads ggml's table of types, which the safe bindings do not show")]

mod meaning;
mod reader;

use std::collections::{BTreeMap, HashSet};
use std::ffi::CStr;
use std::io::{Read, Seek};

use llama_sys::llama_cpp_sys_2 as sys;

use self::reader::{MAX_KEY, MAX_TEXT, Reader, Value, damaged, kind, truncated};
pub(super) use crate::facts::GgufHeader as Header;
use crate::facts::Split;

/// Most keys; real models have some 50.
const MAX_KEYS: u64 = 1 << 16;
/// Most tensors in one file; the largest models have some thousands.
const MAX_TENSORS: u64 = 1 << 20;
/// Dimensions of a tensor (`GGML_MAX_DIMS`).
const MAX_DIMS: u32 = 4;
/// Bytes of a tensor's name with the zero behind it (`GGML_MAX_NAME`).
const MAX_TENSOR_NAME: u64 = 64;
/// Longest token, in bytes.
const MAX_TOKEN: u64 = 1 << 16;
/// `GGUF_DEFAULT_ALIGNMENT`.
const ALIGNMENT: u64 = 32;

/// Reads the header of a GGUF of `size` bytes.
///
/// # Errors
/// What is wrong with it and what to do, as the end of a sentence.
pub(super) fn read_header(file: impl Read + Seek, size: u64) -> Result<Header, String> {
    let mut reader = Reader { file, at: 0, last_texts: 0, size };
    if size < 4 || reader.bytes::<4>()? != *b"GGUF" {
        return Err("it does not start with `GGUF`; give a model in the GGUF format".into());
    }
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("its GGUF version is {version} and only 2 and 3 can be read; convert the model anew"));
    }
    let tensors = most(reader.count(24)?, MAX_TENSORS, "tensors")?;
    let keys = most(reader.count(13)?, MAX_KEYS, "keys")?;
    let (mut header, values) = read_values(&mut reader, keys)?;
    let alignment = match values.get("general.alignment") {
        None => ALIGNMENT,
        Some(Value::Number(alignment, kind::UINT32)) if alignment.is_power_of_two() => *alignment,
        Some(_) => return Err(damaged("`general.alignment` is no power of two")),
    };
    meaning::check(&values)?;
    let text = |key: &str| match values.get(key) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    header.architecture = text("general.architecture");
    header.name = text("general.name");
    let own = |key: &str| values.get(&format!("{}.{key}", header.architecture.as_deref().unwrap_or_default()));
    if let Some(Value::Number(tokens, _)) = own("context_length") {
        header.trained_context = Some(*tokens);
    }
    if let Some(Value::Number(layers, _)) = own("block_count") {
        header.layers = *layers;
    }
    header.sampling = values.keys().any(|key| key.starts_with("general.sampling."));
    header.split = split(&values)?;
    let common = check_tensors(&mut reader, tensors, alignment, &mut header)?;
    let file_type = match values.get("general.file_type") {
        Some(Value::Number(number, _)) => file_type(*number),
        _ => None,
    };
    header.quant = file_type.map(str::to_owned).or(common);
    Ok(header)
}

fn most(count: u64, most: u64, what: &str) -> Result<u64, String> {
    if count > most { Err(damaged(&format!("it claims {count} {what}"))) } else { Ok(count) }
}

/// Reads the metadata: what is kept of each value, and what is only looked at while it is read.
fn read_values(reader: &mut Reader<impl Read + Seek>, keys: u64) -> Result<(Header, BTreeMap<String, Value>), String> {
    let mut header = Header::default();
    let mut values = BTreeMap::new();
    for _ in 0..keys {
        let key = reader.text(MAX_KEY)?;
        let value = match (key.as_str(), reader.u32()?) {
            ("", _) => return Err(damaged("a key in it has no name")),
            ("tokenizer.chat_template", kind::TEXT) => {
                let template = reader.text(MAX_TEXT)?;
                header.has_template = !template.trim().is_empty();
                header.tool_format = tool_format(&template).map(str::to_owned);
                Value::Other(kind::TEXT)
            }
            ("tokenizer.ggml.tokens", kind::ARRAY) => {
                let tokens = read_tokens(reader)?;
                if let Value::Number(count, _) = tokens {
                    header.tokens = count;
                }
                tokens
            }
            ("tokenizer.ggml.token_type", kind::ARRAY) => read_token_types(reader)?,
            ("tokenizer.ggml.merges", kind::ARRAY) => {
                let merges = reader.value(kind::ARRAY)?;
                header.merges = reader.last_texts;
                merges
            }
            (_, number) => reader.value(number)?,
        };
        if values.insert(key.clone(), value).is_some() {
            return Err(damaged(&format!("it has the key `{}` twice", key.escape_debug())));
        }
    }
    Ok((header, values))
}

/// Reads the vocabulary. Two tokens of one text would end the process (an assertion in `llama_vocab::impl::load`).
fn read_tokens(reader: &mut Reader<impl Read + Seek>) -> Result<Value, String> {
    if reader.u32()? != kind::TEXT {
        return Err(damaged("`tokenizer.ggml.tokens` is no list of texts"));
    }
    let tokens = reader.texts()?;
    let mut seen = HashSet::new();
    for number in 0..tokens {
        let mut token = reader.raw_text(MAX_TOKEN)?;
        // llama.cpp reads it as a C string, so two that differ only behind a zero are the same to it; an empty one it calls so.
        token.truncate(token.iter().position(|byte| *byte == 0).unwrap_or(token.len()));
        if token.is_empty() {
            token = format!("[EMPTY_{number}]").into_bytes();
        }
        if !seen.insert(token) {
            return Err(damaged(&format!("its token {number} is there twice")));
        }
    }
    Ok(Value::Number(tokens, kind::ARRAY))
}

/// Reads the types of the vocabulary's tokens; what is kept of them is how many are bytes.
fn read_token_types(reader: &mut Reader<impl Read + Seek>) -> Result<Value, String> {
    /// `LLAMA_TOKEN_TYPE_BYTE`.
    const BYTE: u32 = 6;
    let number = reader.u32()?;
    if !matches!(number, kind::UINT32 | kind::INT32) {
        return reader.array_of(number);
    }
    let mut bytes = 0;
    for _ in 0..reader.count(4)? {
        bytes += u64::from(reader.u32()? == BYTE);
    }
    Ok(Value::Number(bytes, kind::ARRAY))
}

/// How a template of a known family writes a tool call: the marker that begins it, or two where the first is shared by families.
fn tool_format(template: &str) -> Option<&'static str> {
    // What is looked for, and what is shown. The more special come first: `<tool_call>` begins the calls of several families.
    const MARKERS: [(&str, &str); 13] = [
        ("<minimax:tool_call>", "<minimax:tool_call>"),
        ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁begin｜>"),
        ("<|tool_calls_section_begin|>", "<|tool_calls_section_begin|>"),
        ("<|channel|>commentary", "<|channel|>commentary"),
        ("<|python_tag|>", "<|python_tag|>"),
        ("[TOOL_CALLS]", "[TOOL_CALLS]"),
        ("<|tool_call|>", "<|tool_call|>"),
        ("<|START_ACTION|>", "<|START_ACTION|>"),
        ("<start_function_call>", "<start_function_call>"),
        ("<function=", "<tool_call> <function=…>"),
        ("<arg_key>", "<tool_call> <arg_key>"),
        ("<TOOLCALL>", "<TOOLCALL>"),
        ("<tool_call>", "<tool_call>"),
    ];
    MARKERS.iter().find(|(marker, _)| template.contains(marker)).map(|(_, shown)| *shown)
}

/// Which part of how many the file is; `None`: it is the whole model.
fn split(values: &BTreeMap<String, Value>) -> Result<Option<Split>, String> {
    let number = |key: &str| match values.get(key) {
        None => Ok(None),
        // llama.cpp ends the process at a `split.no` of another type.
        Some(Value::Number(number, kind::UINT16)) => Ok(Some(u16::try_from(*number).unwrap_or(u16::MAX))),
        Some(_) => Err(damaged(&format!("`{key}` is no 16-bit number"))),
    };
    let (count, number) = (number("split.count")?, number("split.no")?);
    match (count, number) {
        (None | Some(0 | 1), _) => Ok(None),
        (Some(count), Some(number)) if number < count => Ok(Some(Split { number, count })),
        (Some(count), _) => Err(damaged(&format!("it is one of {count} parts and does not say which"))),
    }
}

/// Checks that each of `tensors` has a possible shape and lies inside the file, right behind the one before it. Counts parameters into
/// `header` and returns the type that most of them have.
fn check_tensors(
    reader: &mut Reader<impl Read + Seek>,
    tensors: u64,
    alignment: u64,
    header: &mut Header,
) -> Result<Option<String>, String> {
    let mut end: u64 = 0;
    let mut needed_end: u64 = 0;
    let mut names = HashSet::new();
    let mut kinds: BTreeMap<u32, u64> = BTreeMap::new();
    for _ in 0..tensors {
        let tensor = Tensor::read(reader)?;
        let impossible = || damaged(&format!("the tensor `{}` has an impossible size", tensor.name.escape_debug()));
        if tensor.offset != end {
            let (name, offset) = (tensor.name.escape_debug(), tensor.offset);
            return Err(damaged(&format!("the tensor `{name}` lies at {offset} and belongs at {end}")));
        }
        needed_end = end.checked_add(tensor.bytes).ok_or_else(impossible)?;
        end = needed_end.checked_next_multiple_of(alignment).ok_or_else(impossible)?;
        header.parameters = header.parameters.saturating_add(tensor.elements);
        let of_kind = kinds.entry(tensor.kind).or_default();
        *of_kind = of_kind.saturating_add(tensor.elements);
        if !names.insert(tensor.name.clone()) {
            return Err(damaged(&format!("it has the tensor `{}` twice", tensor.name.escape_debug())));
        }
        header.tensors.push(tensor.bytes);
    }
    let data = reader.at.checked_next_multiple_of(alignment);
    let needed = data.and_then(|data| data.checked_add(needed_end));
    let needed = needed.ok_or_else(|| damaged("its tensors have impossible sizes"))?;
    if tensors > 0 && needed > reader.size {
        return Err(truncated(needed, reader.size));
    }
    Ok(kinds.into_iter().max_by_key(|(_, elements)| *elements).map(|(kind, _)| type_name(kind)))
}

/// A row of the table of tensors.
struct Tensor {
    name: String,
    elements: u64,
    bytes: u64,
    kind: u32,
    offset: u64,
}

impl Tensor {
    fn read(reader: &mut Reader<impl Read + Seek>) -> Result<Self, String> {
        let name = reader.text(MAX_TENSOR_NAME - 1)?;
        let wrong = |what: &str| damaged(&format!("the tensor `{}` {what}", name.escape_debug()));
        let dims = reader.u32()?;
        if dims > MAX_DIMS {
            return Err(wrong(&format!("has {dims} dimensions")));
        }
        let mut shape = [1_i64; MAX_DIMS as usize];
        for length in shape.iter_mut().take(dims as usize) {
            // ggml counts in signed numbers, and asserts that there is something in a tensor.
            *length = i64::try_from(reader.u64()?).ok().filter(|length| *length > 0).ok_or_else(|| wrong("has an impossible size"))?;
        }
        let kind = reader.u32()?;
        let offset = reader.u64()?;
        let elements = shape.iter().try_fold(1_i64, |product, length| product.checked_mul(*length));
        let elements = elements.ok_or_else(|| wrong("has an impossible size"))?.unsigned_abs();
        let unknown = || {
            format!("its tensor `{}` has the type {kind}, which this llama.cpp does not know; choose another quant", name.escape_debug())
        };
        let (block, size) = block_and_size(kind).ok_or_else(unknown)?;
        if !shape[0].unsigned_abs().is_multiple_of(block) {
            return Err(wrong(&format!("has rows of {}, which is no multiple of {block}", shape[0])));
        }
        let bytes = (elements / block).checked_mul(size).ok_or_else(|| wrong("has an impossible size"))?;
        Ok(Self { name, elements, bytes, kind, offset })
    }
}

/// Elements and bytes of a block of ggml's type number `kind`; `None`: this ggml has no such type.
fn block_and_size(kind: u32) -> Option<(u64, u64)> {
    if i64::from(kind) >= i64::from(sys::GGML_TYPE_COUNT) {
        return None;
    }
    // SAFETY: both only read a constant table of `GGML_TYPE_COUNT` entries, and `kind` is below that.
    let (block, size) = unsafe { (sys::ggml_blck_size(kind), sys::ggml_type_size(kind)) };
    // Types that were taken out have zeros in the table.
    let block = u64::try_from(block).ok().filter(|block| *block > 0)?;
    Some((block, size as u64)).filter(|(_, size)| *size > 0)
}

/// ggml's name of the type `kind`, in capitals as quants are written.
fn type_name(kind: u32) -> String {
    if block_and_size(kind).is_none() {
        return kind.to_string();
    }
    // SAFETY: `kind` is in ggml's table, whose names are constant texts that end with a zero.
    let name = unsafe { CStr::from_ptr(sys::ggml_type_name(kind)) };
    name.to_string_lossy().to_ascii_uppercase()
}

/// The name of `general.file_type` (`enum llama_ftype`) as it stands in file names.
fn file_type(number: u64) -> Option<&'static str> {
    let name = match number {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        19 => "IQ2_XXS",
        20 => "IQ2_XS",
        21 => "Q2_K_S",
        22 => "IQ3_XS",
        23 => "IQ3_XXS",
        24 => "IQ1_S",
        25 => "IQ4_NL",
        26 => "IQ3_S",
        27 => "IQ3_M",
        28 => "IQ2_S",
        29 => "IQ2_M",
        30 => "IQ4_XS",
        31 => "IQ1_M",
        32 => "BF16",
        36 => "TQ1_0",
        37 => "TQ2_0",
        38 => "MXFP4",
        39 => "NVFP4",
        40 => "Q1_0",
        41 => "Q2_0",
        _ => return None,
    };
    Some(name)
}
