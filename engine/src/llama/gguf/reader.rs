//! Reads the pieces of a GGUF: every count and length is checked against what the file still holds, and against a most, before
//! anything is read or allocated.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

/// Longest key in bytes; llama.cpp's own are below 128.
pub(super) const MAX_KEY: u64 = 1 << 10;
/// Longest text value that is read, in bytes; the longest chat templates have some 20 kB.
pub(super) const MAX_TEXT: u64 = 1 << 24;
/// Longest text value that is kept, in bytes: names are shorter, and no more is asked of a longer one.
const MAX_KEPT_TEXT: usize = 1 << 10;
/// Most texts in an array; the largest vocabularies have some 260,000 tokens.
const MAX_TEXTS: u64 = 1 << 22;
/// Longest array of whole numbers that is kept: one number for each of `LLAMA_MAX_LAYERS`.
const MAX_KEPT_NUMBERS: u64 = 512;

/// A metadata value, as far as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A whole number that is not negative, and GGUF's number of its type.
    Number(u64, u32),
    /// A 32-bit number with a fraction.
    Float(f32),
    Text(String),
    /// Whole numbers, one for each layer.
    Numbers(Vec<u64>),
    /// Of GGUF's type number; what it is does not matter here.
    Other(u32),
}

/// GGUF's numbers of types.
pub(super) mod kind {
    pub(in super::super) const UINT16: u32 = 2;
    pub(in super::super) const UINT32: u32 = 4;
    pub(in super::super) const INT32: u32 = 5;
    pub(in super::super) const FLOAT32: u32 = 6;
    pub(in super::super) const TEXT: u32 = 8;
    pub(in super::super) const ARRAY: u32 = 9;
}

/// Bytes of a value of the type number `kind`, which is neither a text nor an array.
fn width(number: u32) -> Result<u64, String> {
    match number {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(damaged(&format!("it has a value of the unknown type {number}"))),
    }
}

/// A file of `size` bytes, read up to `at`.
pub(super) struct Reader<R> {
    pub(super) file: R,
    pub(super) at: u64,
    /// Entries of the last array of texts.
    pub(super) last_texts: u64,
    pub(super) size: u64,
}

impl<R: Read + Seek> Reader<R> {
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
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

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A number of things of at least `least` bytes each that must still fit into the file.
    pub(super) fn count(&mut self, least: u64) -> Result<u64, String> {
        let count = self.u64()?;
        let bytes = count.checked_mul(least).ok_or_else(|| damaged(&format!("it claims {count} of something")))?;
        self.need(bytes).map(|()| count)
    }

    /// A text of at most `most` bytes.
    pub(super) fn raw_text(&mut self, most: u64) -> Result<Vec<u8>, String> {
        let length = self.count(1)?;
        if length > most {
            return Err(damaged(&format!("a name or text in it has {length} bytes")));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|error| error.to_string())?];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// [`Self::raw_text`] for us to read; llama.cpp takes any bytes here, so a byte that is not UTF-8 is no error.
    pub(super) fn text(&mut self, most: u64) -> Result<String, String> {
        Ok(String::from_utf8_lossy(&self.raw_text(most)?).into_owned())
    }

    /// A value of the type number `number`, kept as far as [`Value`] keeps it.
    pub(super) fn value(&mut self, number: u32) -> Result<Value, String> {
        match number {
            kind::TEXT => {
                let text = self.text(MAX_TEXT)?;
                Ok(if text.len() <= MAX_KEPT_TEXT { Value::Text(text) } else { Value::Other(kind::TEXT) })
            }
            kind::ARRAY => self.array(),
            kind::FLOAT32 => Ok(Value::Float(f32::from_bits(self.u32()?))),
            number => {
                let bytes = width(number)?;
                let mut value = [0; 8];
                self.fill(&mut value[..usize::try_from(bytes).unwrap_or(8)])?;
                let value = u64::from_le_bytes(value);
                let is_whole = matches!(number, 0..=5 | 10 | 11);
                let is_negative = matches!(number, 1 | 3 | 5 | 11) && value >> (bytes * 8 - 1) == 1;
                Ok(if is_whole && !is_negative { Value::Number(value, number) } else { Value::Other(number) })
            }
        }
    }

    /// An array; arrays of arrays are refused, as llama.cpp does.
    fn array(&mut self) -> Result<Value, String> {
        let number = self.u32()?;
        self.array_of(number)
    }

    /// An array whose type has been read.
    pub(super) fn array_of(&mut self, number: u32) -> Result<Value, String> {
        if number == kind::TEXT {
            let texts = self.texts()?;
            self.last_texts = texts;
            for _ in 0..texts {
                let bytes = self.count(1)?;
                self.skip(bytes)?;
            }
            return Ok(Value::Other(kind::ARRAY));
        }
        let bytes = width(number)?;
        let elements = self.count(bytes)?;
        if elements <= MAX_KEPT_NUMBERS && matches!(number, kind::UINT32 | kind::INT32) {
            return (0..elements).map(|_| self.u32().map(u64::from)).collect::<Result<_, _>>().map(Value::Numbers);
        }
        // `count` has made sure that this does not overflow.
        self.skip(bytes * elements)?;
        Ok(Value::Other(kind::ARRAY))
    }

    /// How many texts an array of texts has.
    pub(super) fn texts(&mut self) -> Result<u64, String> {
        match self.count(8)? {
            texts if texts > MAX_TEXTS => Err(damaged(&format!("a list in it has {texts} texts"))),
            texts => Ok(texts),
        }
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

pub(super) fn damaged(what: &str) -> String {
    format!("it is damaged: {what}; fetch it again")
}

pub(super) fn truncated(needed: u64, size: u64) -> String {
    format!("it is cut short: {size} bytes of at least {needed}; fetch it again")
}
