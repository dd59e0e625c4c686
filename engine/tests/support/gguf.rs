//! Writes GGUF version 3: metadata, tensor table, tensor data.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const ALIGNMENT: u64 = 32;

/// A metadata value.
#[derive(Debug, Clone)]
pub enum Value {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
}

/// The elements of a tensor.
#[derive(Debug, Clone)]
pub enum Data {
    F32(Vec<f32>),
    /// Random `f32`, evenly spread between minus and plus the value.
    RandomF32(f32),
    /// Random `q4_0` blocks whose elements are spread like those of `RandomF32`.
    RandomQ4_0(f32),
}

/// A tensor; the shape's first number is the row length, as in ggml.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<u64>,
    pub data: Data,
}

/// A model file in the making.
#[derive(Debug, Clone, Default)]
pub struct Gguf {
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<Tensor>,
    /// Seed of the random data.
    pub seed: u64,
}

impl Gguf {
    pub fn set(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(other, _)| other != key);
        self.metadata.push((key.into(), value));
    }

    pub fn unset(&mut self, key: &str) {
        self.metadata.retain(|(other, _)| other != key);
    }

    pub fn tensor(&mut self, name: &str, shape: &[u64], data: Data) {
        self.tensors.push(Tensor { name: name.into(), shape: shape.into(), data });
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes).unwrap();
        bytes
    }

    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        self.write_to(&mut file)?;
        file.flush()
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut header = Vec::new();
        header.extend(b"GGUF");
        header.extend(3_u32.to_le_bytes());
        header.extend((self.tensors.len() as u64).to_le_bytes());
        header.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            text(&mut header, key);
            write_value(&mut header, value);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            text(&mut header, &tensor.name);
            header.extend(u32::try_from(tensor.shape.len()).unwrap().to_le_bytes());
            tensor.shape.iter().for_each(|length| header.extend(length.to_le_bytes()));
            let kind: u32 = if matches!(tensor.data, Data::RandomQ4_0(_)) { 2 } else { 0 };
            header.extend(kind.to_le_bytes());
            header.extend(u64::to_le_bytes(offset));
            offset += tensor.bytes().next_multiple_of(ALIGNMENT);
        }
        header.resize((header.len() as u64).next_multiple_of(ALIGNMENT).try_into().unwrap(), 0);
        out.write_all(&header)?;
        let mut random = Random(self.seed.wrapping_mul(2).wrapping_add(0x9E37_79B9_7F4A_7C15));
        for tensor in &self.tensors {
            tensor.write(out, &mut random)?;
            let padding = tensor.bytes().next_multiple_of(ALIGNMENT) - tensor.bytes();
            out.write_all(&vec![0; padding.try_into().unwrap()])?;
        }
        Ok(())
    }
}

impl Tensor {
    fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    fn bytes(&self) -> u64 {
        match self.data {
            Data::F32(_) | Data::RandomF32(_) => self.elements() * 4,
            Data::RandomQ4_0(_) => self.elements() / 32 * 18,
        }
    }

    fn write(&self, out: &mut impl Write, random: &mut Random) -> io::Result<()> {
        match &self.data {
            Data::F32(values) => {
                assert_eq!(values.len() as u64, self.elements(), "{}", self.name);
                values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
            }
            Data::RandomF32(spread) => (0..self.elements()).try_for_each(|_| out.write_all(&(random.even() * spread).to_le_bytes())),
            Data::RandomQ4_0(spread) => {
                // An element is (nibble - 8) times the scale, so it lies between -8 and 7 times the scale.
                let scale = half(spread / 8.0);
                (0..self.elements() / 32).try_for_each(|_| {
                    out.write_all(&scale.to_le_bytes())?;
                    out.write_all(&random.next().to_le_bytes())?;
                    out.write_all(&random.next().to_le_bytes())
                })
            }
        }
    }
}

/// The bits of the half-precision number next to `value`, which must be 0 or between 2^-14 and 1.
fn half(value: f32) -> u16 {
    if value == 0.0 {
        return 0;
    }
    let bits = value.to_bits();
    let exponent = (bits >> 23) - 127 + 15;
    u16::try_from(exponent << 10 | (bits >> 13 & 0x3ff)).unwrap()
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    let mut kind = |kind: u32| out.extend(kind.to_le_bytes());
    match value {
        Value::U32(value) => {
            kind(4);
            out.extend(value.to_le_bytes());
        }
        Value::F32(value) => {
            kind(6);
            out.extend(value.to_le_bytes());
        }
        Value::Bool(value) => {
            kind(7);
            out.push(u8::from(*value));
        }
        Value::Text(value) => {
            kind(8);
            text(out, value);
        }
        Value::Texts(values) => {
            kind(9);
            kind(8);
            out.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| text(out, value));
        }
        Value::I32s(values) => {
            kind(9);
            kind(5);
            out.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| out.extend(value.to_le_bytes()));
        }
    }
}

/// xorshift64*, so that a model is the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Evenly spread between -1 and 1.
    fn even(&mut self) -> f32 {
        let top = u16::try_from(self.next() >> 48).unwrap();
        f32::from(top) / 32768.0 - 1.0
    }
}
