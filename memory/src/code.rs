//! The code of one vector: how it is made, and what stands in it.
//!
//! A code is of what a vector differs by from the centre that is nearest to it (`centres.rs`). It has two bits for each number: its sign,
//! and whether it is large. Where a number is large, and what then stands for it, is the best there is for normally distributed ones (Max,
//! "Quantizing for minimum distortion", 1960).

use crate::centres::{Centres, product, unit};

/// Bits of a word.
pub(crate) const WORD: usize = 64;

/// From how many standard deviations on a number is large; what stands for a small one and for a large one.
const LARGE: f32 = 0.9816;
pub(crate) const LEVELS: [f32; 2] = [0.4528, 1.510];

/// The mean product of a number and what stands for it: the length of what is coded, by the scale and the root of the dimension.
pub(crate) const KEPT: f32 = 0.8825;

/// What is known of a vector beside its bits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    /// What makes a product with what is coded of what the bits say.
    pub(crate) scale: f32,
    /// The product of what is coded and the centre.
    pub(crate) own: f32,
    /// The same as the bits say it.
    pub(crate) said: f32,
}

/// The code of a vector: the signs (set: more than nothing), the other bits, each as whole words of eight bytes, and the scale; where a centre
/// is near, the two other [`Sums`] and the centre's number.
pub(crate) fn encode(vector: &[f32], centres: &Centres) -> Vec<u8> {
    let bytes = vector.len().div_ceil(WORD) * 8;
    let mut code = vec![0; 2 * bytes];
    let Some(mut coded) = unit(vector.to_vec()) else { return code };
    let nearby = centres.nearest(&coded);
    let centre = centres.get(nearby);
    if let Some(centre) = centre {
        coded.iter_mut().zip(centre).for_each(|(number, centre)| *number -= centre);
    }
    let length = product(&coded, &coded).sqrt();
    #[allow(clippy::cast_precision_loss, reason = "a vector has at most 8,192 numbers")]
    let large = LARGE * length / (vector.len() as f32).sqrt();
    // What the bits say of the likeness to what is coded, and to the centre.
    let (mut own, mut said) = (0.0, 0.0);
    for (index, number) in coded.iter().enumerate() {
        let (positive, is_large) = (*number > 0.0, number.abs() > large);
        code[index / 8] |= u8::from(positive) << (index % 8);
        code[bytes + index / 8] |= u8::from(positive == is_large) << (index % 8);
        let level = LEVELS[usize::from(is_large)];
        own += number.abs() * level;
        said += centre.map_or(0.0, |centre| if positive { centre[index] } else { -centre[index] }) * level;
    }
    // What is in its centre differs by nothing, and nothing is said of it.
    let scale = if own > 0.0 { length * length / own } else { 0.0 };
    code.extend(scale.to_le_bytes());
    if let Some(centre) = centre {
        code.extend(product(&coded, centre).to_le_bytes());
        code.extend((said * scale).to_le_bytes());
        code.extend(u16::try_from(nearby).unwrap_or_default().to_le_bytes());
    }
    code
}

/// What stands behind a code's bits, where there are so many centres.
pub(crate) fn read_rest(rest: &[u8], centres: usize) -> (Sums, u16) {
    let number = |index: usize| rest.get(4 * index..4 * index + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0.0, f32::from_le_bytes);
    let nearby = rest.get(12..14).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes);
    // A damaged code is found late, and harms nobody.
    let nearby = if usize::from(nearby) < centres { nearby } else { 0 };
    (Sums { scale: number(0), own: number(1), said: number(2) }, nearby)
}

/// The signs of the numbers (set: more than nothing), as whole words.
pub(crate) fn signs(vector: &[f32]) -> Vec<u64> {
    let bit = |(index, number): (usize, &f32)| u64::from(*number > 0.0) << index;
    vector.chunks(WORD).map(|numbers| numbers.iter().enumerate().map(bit).sum()).collect()
}

pub(crate) fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}
