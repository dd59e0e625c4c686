//! Reads the header of a GGUF within bounds, so that a damaged file is refused in words before llama.cpp sees it.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Every count and length is checked against what the
//! file still holds before anything is read or allocated. Not here: what the values mean for the model; llama.cpp checks that.
#![allow(unsafe_code, reason = "reads ggml's table of types, which the safe bindings do not show")]

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use llama_sys::llama_cpp_sys_2 as sys;

/// Longest key, tensor name or architecture name that is read, in bytes; llama.cpp's own keys are below 128.
const MAX_NAME: u64 = 1 << 16;
/// Longest text value that is read, in bytes; the longest chat templates have some 20 kB.
const MAX_TEXT: u64 = 1 << 24;
/// Dimensions of a tensor (`GGML_MAX_DIMS`).
const MAX_DIMS: u32 = 4;
/// `GGUF_DEFAULT_ALIGNMENT`.
const ALIGNMENT: u64 = 32;

/// What the engine wants to know before it loads a model.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Header {
    /// `general.architecture`.
    pub(super) architecture: Option<String>,
    /// `general.name`.
    pub(super) name: Option<String>,
    /// There is a `tokenizer.chat_template` that is not empty.
    pub(super) has_template: bool,
    /// Entries of `tokenizer.ggml.tokens`.
    pub(super) tokens: u64,
    /// Entries of `tokenizer.ggml.merges`.
    pub(super) merges: u64,
    /// Bytes of each tensor.
    pub(super) tensors: Vec<u64>,
}

/// Reads the header of a GGUF of `size` bytes.
///
/// # Errors
/// What is wrong with it and what to do, as the end of a sentence.
pub(super) fn read_header(file: impl Read + Seek, size: u64) -> Result<Header, String> {
    let mut reader = Reader { file, at: 0, size };
    if size < 4 || reader.bytes::<4>()? != *b"GGUF" {
        return Err("it does not start with `GGUF`; give a model in the GGUF format".into());
    }
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("its GGUF version is {version} and only 2 and 3 can be read; convert the model anew"));
    }
    let tensors = reader.count(24)?;
    let keys = reader.count(13)?;
    let mut header = Header::default();
    let mut alignment = ALIGNMENT;
    for _ in 0..keys {
        let key = reader.text(MAX_NAME)?;
        match (key.as_str(), Kind::read(&mut reader)?) {
            ("general.architecture", Kind::Text) => header.architecture = Some(reader.text(MAX_NAME)?),
            ("general.name", Kind::Text) => header.name = Some(reader.text(MAX_NAME)?),
            ("tokenizer.chat_template", Kind::Text) => header.has_template = !reader.text(MAX_TEXT)?.trim().is_empty(),
            ("general.alignment", Kind::Number(4)) => alignment = u64::from(reader.u32()?),
            (key, kind) => {
                match (key, &kind) {
                    ("tokenizer.ggml.tokens", Kind::Array(_, entries)) => header.tokens = *entries,
                    ("tokenizer.ggml.merges", Kind::Array(_, entries)) => header.merges = *entries,
                    _ => {}
                }
                kind.skip(&mut reader)?;
            }
        }
    }
    if !alignment.is_power_of_two() {
        return Err(damaged(&format!("`general.alignment` is {alignment}, which is no power of two")));
    }
    header.tensors = check_tensors(&mut reader, tensors, alignment)?;
    Ok(header)
}

/// Checks that each of `tensors` lies inside the file, and gives their sizes.
fn check_tensors(reader: &mut Reader<impl Read + Seek>, tensors: u64, alignment: u64) -> Result<Vec<u64>, String> {
    let mut sizes = Vec::new();
    let mut end: u64 = 0;
    for _ in 0..tensors {
        let name = reader.text(MAX_NAME)?;
        let dims = reader.u32()?;
        if dims > MAX_DIMS {
            return Err(damaged(&format!("the tensor `{}` has {dims} dimensions", name.escape_debug())));
        }
        let mut shape = [1; MAX_DIMS as usize];
        for length in shape.iter_mut().take(dims as usize) {
            *length = reader.u64()?;
        }
        let kind = reader.u32()?;
        let offset = reader.u64()?;
        let bytes = tensor_bytes(shape, kind);
        let tensor_end = bytes.and_then(|bytes| offset.checked_add(bytes));
        let too_large = || damaged(&format!("the tensor `{}` has an impossible size", name.escape_debug()));
        end = end.max(tensor_end.ok_or_else(too_large)?);
        sizes.extend(bytes);
    }
    let data = reader.at.checked_next_multiple_of(alignment);
    let needed = data.and_then(|data| data.checked_add(end));
    let needed = needed.ok_or_else(|| damaged("its tensors have impossible sizes"))?;
    if tensors > 0 && needed > reader.size {
        return Err(truncated(needed, reader.size));
    }
    Ok(sizes)
}

/// Bytes of a tensor of ggml's type number `kind`; 0 for a type that this ggml does not know: llama.cpp refuses that itself.
fn tensor_bytes(shape: [u64; MAX_DIMS as usize], kind: u32) -> Option<u64> {
    if i64::from(kind) >= i64::from(sys::GGML_TYPE_COUNT) {
        return Some(0);
    }
    // SAFETY: both only read a constant table of `GGML_TYPE_COUNT` entries, and `kind` is below that.
    let (block, size) = unsafe { (sys::ggml_blck_size(kind), sys::ggml_type_size(kind)) };
    let block = u64::try_from(block).ok().filter(|block| *block > 0).unwrap_or(1);
    let elements = shape.iter().try_fold(1_u64, |product, length| product.checked_mul(*length))?;
    (elements / block).checked_mul(size as u64)
}

/// The type of a value.
enum Kind {
    /// A number or truth value of so many bytes.
    Number(u64),
    Text,
    /// So many elements of a kind that is no array.
    Array(Box<Kind>, u64),
}

impl Kind {
    fn read(reader: &mut Reader<impl Read + Seek>) -> Result<Self, String> {
        match reader.u32()? {
            9 => {
                let kind = Self::scalar(reader.u32()?)?;
                let least = if let Self::Number(bytes) = kind { bytes } else { 8 };
                Ok(Self::Array(Box::new(kind), reader.count(least)?))
            }
            number => Self::scalar(number),
        }
    }

    /// The kind with GGUF's number `number`, which must not be an array's.
    fn scalar(number: u32) -> Result<Self, String> {
        match number {
            0 | 1 | 7 => Ok(Self::Number(1)),
            2 | 3 => Ok(Self::Number(2)),
            4..=6 => Ok(Self::Number(4)),
            10..=12 => Ok(Self::Number(8)),
            8 => Ok(Self::Text),
            _ => Err(damaged(&format!("it has a value of the unknown type {number}"))),
        }
    }

    fn skip(self, reader: &mut Reader<impl Read + Seek>) -> Result<(), String> {
        match self {
            Self::Number(bytes) => reader.skip(bytes),
            Self::Text => {
                let bytes = reader.count(1)?;
                reader.skip(bytes)
            }
            Self::Array(kind, elements) => match *kind {
                // `count` has made sure that this does not overflow.
                Self::Number(bytes) => reader.skip(bytes * elements),
                Self::Text | Self::Array(..) => (0..elements).try_for_each(|_| Self::Text.skip(reader)),
            },
        }
    }
}

/// A file of `size` bytes, read up to `at`.
struct Reader<R> {
    file: R,
    at: u64,
    size: u64,
}

impl<R: Read + Seek> Reader<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        self.need(bytes.len() as u64)?;
        self.at += bytes.len() as u64;
        self.file.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => "it became shorter while it was read; try again".into(),
            _ => format!("it cannot be read: {error}"),
        })
    }

    fn need(&self, bytes: u64) -> Result<(), String> {
        match self.at.checked_add(bytes) {
            Some(needed) if needed <= self.size => Ok(()),
            Some(needed) => Err(truncated(needed, self.size)),
            None => Err(damaged("a length in it is impossible")),
        }
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A number of things of at least `least` bytes each that must still fit into the file.
    fn count(&mut self, least: u64) -> Result<u64, String> {
        let count = self.u64()?;
        let bytes = count.checked_mul(least).ok_or_else(|| damaged(&format!("it claims {count} of something")))?;
        self.need(bytes).map(|()| count)
    }

    fn text(&mut self, most: u64) -> Result<String, String> {
        let length = self.count(1)?;
        if length > most {
            return Err(damaged(&format!("a name or text in it has {length} bytes")));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|error| error.to_string())?];
        self.fill(&mut bytes)?;
        // llama.cpp takes any bytes here; so do we.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn skip(&mut self, bytes: u64) -> Result<(), String> {
        self.need(bytes)?;
        self.at += bytes;
        // Short skips stay inside the buffer of a `BufReader`, which `SeekFrom` would throw away.
        let result = match i64::try_from(bytes) {
            Ok(bytes) => self.file.seek_relative(bytes),
            Err(_) => self.file.seek(SeekFrom::Start(self.at)).map(|_| ()),
        };
        result.map_err(|error| format!("it cannot be read: {error}"))
    }
}

fn damaged(what: &str) -> String {
    format!("it is damaged: {what}; fetch it again")
}

fn truncated(needed: u64, size: u64) -> String {
    format!("it is cut short: {size} bytes of at least {needed}; fetch it again")
}
