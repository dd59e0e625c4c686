//! The codes of all vectors, held in memory: the first pass of a search by meaning.
//!
//! A code has two bits for each of a vector's numbers: its sign, and whether it is large. Two vectors in the same direction agree in most
//! signs: the number of those in which they differ grows with the angle between them. The signs of all are compared with the query's.
//! Of the nearest the similarity is estimated by way of all bits and the query's own numbers, which puts them in order for the second
//! pass, which reads the vectors. Nothing is decided here, and nothing is read from the database: `vectors.rs` does both.
//!
//! Where a number is large, and what then stands for it, is the best there is for normally distributed ones (Max, "Quantizing for
//! minimum distortion", 1960). The estimate is that of Gao and Long, "RaBitQ", 2024: what the code says of the likeness to the query,
//! by what it says of the likeness to its own vector.

use std::collections::HashMap;
use std::ops::Range;

use crate::limits;

/// Who may find a note; bit n of a mask allows class n. Those that nobody may find have the last.
pub(crate) const HIDDEN: u8 = 3;

/// Codes that are compared before the nearest of them are looked at.
const BLOCK: usize = 2_048;

/// Codes of which only the nearest is looked at first.
const GROUP: usize = 32;

/// Bits of a word.
const WORD: usize = 64;

/// From how many standard deviations on a number is large; what stands for a small one and for a large one.
const LARGE: f32 = 0.9816;
const LEVELS: [f32; 2] = [0.4528, 1.510];

/// The same as a sum: the sign has this weight, and the other bit, which says whether a large one is positive or a small one is not, this.
const WEIGHTS: [f32; 2] = [(LEVELS[1] + LEVELS[0]) / 2.0, (LEVELS[1] - LEVELS[0]) / 2.0];

/// The codes, beside the notes that they are of.
#[derive(Default)]
pub(crate) struct Codes {
    /// Words of the signs, and of the other bits.
    words: usize,
    notes: Vec<i64>,
    classes: Vec<u8>,
    signs: Vec<u64>,
    others: Vec<u64>,
    /// What makes the cosine of what the bits say.
    scales: Vec<f32>,
    /// So many notes from the first on are in order; where the others stand is in `late`.
    ordered: usize,
    late: HashMap<i64, usize>,
    /// How many have gone, and still take their place.
    gone: usize,
}

impl Codes {
    /// No codes yet, of vectors of so many numbers.
    pub(crate) fn new(dimension: usize) -> Self {
        Self { words: dimension.div_ceil(WORD), ..Self::default() }
    }

    /// How many there are, with those that have gone.
    pub(crate) fn len(&self) -> usize {
        self.notes.len()
    }

    /// Whether so much has changed that they had better be read anew: notes out of order cost memory, gone ones time.
    pub(crate) fn worn(&self) -> bool {
        self.gone + self.late.len() > limits::CODES_WORN + self.len() / 4
    }

    /// Takes the code of a note in place of the one that it may have.
    pub(crate) fn set(&mut self, note: i64, class: u8, code: &[u8]) {
        let (bits, scale) = code.split_at(code.len().min(2 * 8 * self.words));
        let mut words = bits.chunks(8).map(word).chain(std::iter::repeat(0));
        let scale = scale.try_into().map_or(0.0, f32::from_le_bytes);
        if let Some(place) = self.place(note) {
            self.gone -= usize::from(self.classes[place] == GONE);
            self.classes[place] = class;
            self.scales[place] = scale;
            let place = place * self.words..(place + 1) * self.words;
            for plane in [&mut self.signs, &mut self.others] {
                plane[place.clone()].iter_mut().zip(&mut words).for_each(|(old, new)| *old = new);
            }
            return;
        }
        if self.late.is_empty() && self.notes.last().is_none_or(|last| *last < note) {
            self.ordered += 1;
        } else {
            self.late.insert(note, self.notes.len());
        }
        // By eighths: doubling would hold three times the codes for a moment.
        if self.notes.len() == self.notes.capacity() {
            let more = limits::CODES_WORN + self.notes.len() / 8;
            self.notes.reserve_exact(more);
            self.classes.reserve_exact(more);
            self.scales.reserve_exact(more);
            self.signs.reserve_exact(more * self.words);
            self.others.reserve_exact(more * self.words);
        }
        self.notes.push(note);
        self.classes.push(class);
        self.scales.push(scale);
        self.signs.extend(words.by_ref().take(self.words));
        self.others.extend(words.take(self.words));
    }

    /// Forgets a note's code.
    pub(crate) fn remove(&mut self, note: i64) {
        let Some(place) = self.place(note) else { return };
        self.gone += usize::from(self.classes[place] != GONE);
        self.classes[place] = GONE;
        let place = place * self.words..(place + 1) * self.words;
        self.signs[place.clone()].fill(0);
        self.others[place].fill(0);
    }

    fn place(&self, note: i64) -> Option<usize> {
        self.notes[..self.ordered].binary_search(&note).ok().or_else(|| self.late.get(&note).copied())
    }

    /// The notes of the classes in `mask` whose codes promise most likeness to `vector`, at most `most`, with the cosine that they
    /// promise, best first.
    pub(crate) fn nearest(&self, vector: &[f32], mask: u8, most: usize) -> Vec<(i64, f32)> {
        let places = self.first_pass(vector, mask, most);
        // Gathered first: many reads all over the memory side by side, not each after what is done with the one before.
        let mut gathered: Vec<u64> = Vec::with_capacity(places.len() * 2 * self.words);
        for place in &places {
            let words = *place as usize * self.words..(*place as usize + 1) * self.words;
            gathered.extend_from_slice(&self.signs[words.clone()]);
            gathered.extend_from_slice(&self.others[words]);
        }
        let table = table(vector);
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        let mut ranked: Vec<(f32, u32)> = Vec::with_capacity(places.len());
        for (place, words) in places.into_iter().zip(gathered.chunks_exact(2 * self.words)) {
            let (signs, others) = words.split_at(self.words);
            let says = WEIGHTS[0] * look_up(&table, signs) + WEIGHTS[1] * look_up(&table, others);
            ranked.push((says * self.scales[place as usize] / length, place));
        }
        // Equally good ones: the newer first.
        ranked.sort_unstable_by(|(a, x), (b, y)| b.total_cmp(a).then(y.cmp(x)));
        ranked.into_iter().map(|(likeness, place)| (self.notes[place as usize], likeness)).collect()
    }

    /// The places of the `most` codes whose signs differ from the query's in the fewest numbers; of equal ones, the last.
    fn first_pass(&self, vector: &[f32], mask: u8, most: usize) -> Vec<u32> {
        let query: Vec<u64> = encode(vector).chunks(8).map(word).take(self.words).collect();
        let distances = match self.words {
            // The sizes that small embedders have (384 and 768 numbers), for which the compiler unrolls the loop.
            6 => distances::<6>,
            12 => distances::<12>,
            _ => any_distances,
        };
        let look = |places: Range<usize>| self.look_through(places, &query, mask, most, distances);
        let mut kept = if self.len() < limits::CODES_FOR_TWO {
            look(0..self.len())
        } else {
            let half = self.len() / 2;
            std::thread::scope(|scope| {
                let earlier = scope.spawn(|| look(0..half));
                let mut kept = look(half..self.len());
                match earlier.join() {
                    Ok(earlier) => kept.extend(earlier),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
                kept
            })
        };
        keep(&mut kept, most);
        kept.into_iter().map(|(_, place)| place).collect()
    }

    /// The same of some of the places, each with the number of those signs, the last first.
    fn look_through(&self, places: Range<usize>, query: &[u64], mask: u8, most: usize, distances: Distances) -> Vec<(i16, u32)> {
        let mut kept: Vec<(i16, u32)> = Vec::with_capacity(2 * most + BLOCK);
        let mut below = i16::MAX;
        let mut block = [0_i16; BLOCK];
        for start in places.clone().step_by(BLOCK).rev() {
            let end = places.end.min(start + BLOCK);
            distances(&self.signs[start * self.words..end * self.words], query, &mut block);
            for group in (start..end).step_by(GROUP).rev() {
                let places = group..end.min(group + GROUP);
                let distances = &block[group - start..places.end - start];
                // Most groups have none: this is all that happens to them.
                if distances.iter().fold(i16::MAX, |least, distance| least.min(*distance)) >= below {
                    continue;
                }
                for (place, distance) in places.zip(distances).rev() {
                    if *distance < below && mask >> self.classes[place] & 1 == 1 {
                        kept.push((*distance, u32::try_from(place).unwrap_or(u32::MAX)));
                    }
                }
            }
            if kept.len() >= 2 * most {
                below = keep(&mut kept, most);
            }
        }
        keep(&mut kept, most);
        kept
    }
}

/// Takes codes, the query's, and gives of each the number of bits in which it differs.
type Distances = fn(&[u64], &[u64], &mut [i16]);

/// The class of a code whose note has gone: no mask has it.
const GONE: u8 = 7;

/// Leaves the `most` nearest in the list, of equal ones the first; one that comes later must be nearer than the distance returned.
fn keep(kept: &mut Vec<(i16, u32)>, most: usize) -> i16 {
    if kept.len() <= most {
        return i16::MAX;
    }
    let index = |distance: i16| usize::from(distance.unsigned_abs());
    let mut counts = vec![0; index(kept.iter().map(|(distance, _)| *distance).max().unwrap_or(0)) + 1];
    kept.iter().for_each(|(distance, _)| counts[index(*distance)] += 1_usize);
    // The distance at which there are enough, and how many of those at just that distance may stay.
    let (mut limit, mut left) = (0_i16, most);
    for count in counts {
        if count >= left {
            break;
        }
        left -= count;
        limit += 1;
    }
    kept.retain(|(distance, _)| {
        let stays = *distance < limit || *distance == limit && left > 0;
        left -= usize::from(stays && *distance == limit);
        stays
    });
    limit
}

/// The bits in which each code differs from the query's, of codes of `WORDS` words.
fn distances<const WORDS: usize>(codes: &[u64], query: &[u64], out: &mut [i16]) {
    let Ok(query) = <&[u64; WORDS]>::try_from(query) else { return };
    for (code, out) in codes.as_chunks::<WORDS>().0.iter().zip(out) {
        let mut bits = 0;
        for word in 0..WORDS {
            bits += (code[word] ^ query[word]).count_ones();
        }
        *out = narrow(bits);
    }
}

/// The same, of any length.
fn any_distances(codes: &[u64], query: &[u64], out: &mut [i16]) {
    for (code, out) in codes.chunks_exact(query.len()).zip(out) {
        *out = narrow(code.iter().zip(query).map(|(a, b)| (a ^ b).count_ones()).sum());
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a vector has at most 8,192 numbers")]
const fn narrow(bits: u32) -> i16 {
    bits as i16
}

/// The code of a vector: the signs (set: more than nothing), the other bits, each as whole words of eight bytes, and the scale.
pub(crate) fn encode(vector: &[f32]) -> Vec<u8> {
    let bytes = vector.len().div_ceil(WORD) * 8;
    let mut code = vec![0; 2 * bytes];
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    #[allow(clippy::cast_precision_loss, reason = "a vector has at most 8,192 numbers")]
    let large = LARGE * length / (vector.len() as f32).sqrt();
    let mut own = 0.0;
    for (index, number) in vector.iter().enumerate() {
        let (positive, is_large) = (*number > 0.0, number.abs() > large);
        code[index / 8] |= u8::from(positive) << (index % 8);
        code[bytes + index / 8] |= u8::from(positive == is_large) << (index % 8);
        own += number.abs() * LEVELS[usize::from(is_large)];
    }
    code.extend((length / own).to_le_bytes());
    code
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// For each byte of a code, what each of its 256 values says of the likeness to the vector: the sum of the vector's numbers, with the
/// signs that the bits say.
fn table(vector: &[f32]) -> Vec<[f32; 256]> {
    (0..vector.len().div_ceil(WORD) * 8)
        .map(|byte| {
            let numbers = vector.get(8 * byte..).unwrap_or_default();
            let numbers = &numbers[..numbers.len().min(8)];
            let mut row = [0.0; 256];
            row[0] = -numbers.iter().sum::<f32>();
            for value in 1..256_usize {
                let lowest = value.trailing_zeros() as usize;
                row[value] = row[value & (value - 1)] + 2.0 * numbers.get(lowest).copied().unwrap_or(0.0);
            }
            row
        })
        .collect()
}

/// The sum of what the table says of each byte.
fn look_up(table: &[[f32; 256]], bits: &[u64]) -> f32 {
    // Sums side by side: one after the other, each addition would wait for the one before.
    let mut sums = [0.0_f32; 8];
    for (word, rows) in bits.iter().zip(table.as_chunks::<8>().0) {
        for (index, byte) in word.to_le_bytes().into_iter().enumerate() {
            sums[index] += rows[index][usize::from(byte)];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_stay() {
        let check = |distances: &[i16], most: usize, expected: &[u32], limit: i16| {
            let mut kept: Vec<(i16, u32)> = distances.iter().copied().zip(0..).collect();
            assert_eq!(keep(&mut kept, most), limit, "{distances:?}");
            let places: Vec<u32> = kept.into_iter().map(|(_, place)| place).collect();
            assert_eq!(places, expected, "{distances:?}");
        };
        check(&[], 2, &[], i16::MAX);
        check(&[5, 3], 2, &[0, 1], i16::MAX);
        check(&[5, 3, 4], 2, &[1, 2], 4);
        check(&[3, 5, 3, 3], 2, &[0, 2], 3);
        check(&[0, 0, 0], 1, &[0], 0);
        check(&[8_192, 1], 1, &[1], 1);
    }

    #[test]
    fn codes_come_and_go() {
        // The bits of an angle: the vectors of the notes turn away from the first, number by number.
        let turned = |by: usize| -> Vec<f32> { (0..100).map(|index| if index < by { -1.0 } else { 1.0 }).collect() };
        let mut codes = Codes::new(100);
        for (note, by) in [(5, 10), (9, 0), (2, 30), (7, 20)] {
            codes.set(note, 0, &encode(&turned(by)));
        }
        let nearest = |codes: &Codes, by: usize, mask: u8, most: usize| -> Vec<i64> {
            codes.nearest(&turned(by), mask, most).into_iter().map(|(note, _)| note).collect()
        };
        assert_eq!(nearest(&codes, 0, 1, 10), [9, 5, 7, 2]);
        assert_eq!(nearest(&codes, 21, 1, 2), [7, 2]);
        codes.set(9, 1, &encode(&turned(0)));
        codes.remove(7);
        codes.remove(7);
        codes.remove(8);
        assert_eq!((nearest(&codes, 0, 1, 10), codes.gone), (vec![5, 2], 1));
        assert_eq!(nearest(&codes, 0, 0b11, 10), [9, 5, 2]);
        codes.set(7, 0, &encode(&turned(1)));
        assert_eq!((nearest(&codes, 0, 1, 10), codes.gone), (vec![7, 5, 2], 0));
        assert_eq!((codes.len(), codes.ordered), (4, 2));
    }
}
