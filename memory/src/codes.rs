//! The codes of all vectors, held in memory: the first pass of a search by meaning.
//!
//! A code is of what a vector differs by from the centre that is nearest to it (`centres.rs`). It has two bits for each number: its sign,
//! and whether it is large. Two vectors in the same direction agree in most signs: the number of those in which they differ grows with the
//! angle between them. The signs of all are compared with those of what the query differs by from the same centre. Of the nearest the
//! similarity is estimated by way of all bits and the query's own numbers, which puts them in order for the second pass, which reads the
//! vectors. Nothing is decided here, and nothing is read from the database: `vectors.rs` does both.
//!
//! Where a number is large, and what then stands for it, is the best there is for normally distributed ones (Max, "Quantizing for
//! minimum distortion", 1960). The estimate is that of Gao and Long, "RaBitQ", 2024: what the code says of the likeness to the query,
//! by what it says of the likeness to its own vector. With v = c + r and q of length 1, q·v = q·c + r·c + r·(q − c), of which the last
//! alone is estimated.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::centres::{Centres, product, products, unit};
use crate::limits;

/// Who may find a note; bit n of a mask allows class n. Those that nobody may find have the last.
pub(crate) const HIDDEN: u8 = 3;

/// Codes that are compared before the nearest of them are looked at.
const BLOCK: usize = 2_048;

/// Codes of which only the nearest is looked at first.
const GROUP: usize = 32;

/// Bits of a word.
pub(crate) const WORD: usize = 64;

/// From how many standard deviations on a number is large; what stands for a small one and for a large one.
const LARGE: f32 = 0.9816;
const LEVELS: [f32; 2] = [0.4528, 1.510];

/// The same as a sum: the sign has this weight, and the other bit, which says whether a large one is positive or a small one is not, this.
const WEIGHTS: [f32; 2] = [(LEVELS[1] + LEVELS[0]) / 2.0, (LEVELS[1] - LEVELS[0]) / 2.0];

/// The mean product of a number and what stands for it: the length of what is coded, by the scale and the root of the dimension.
const KEPT: f32 = 0.8825;

/// The steps in which the first pass reckons with likenesses: so many for 1.
const STEPS: f32 = 8_000.0;

/// More than any likeness that the first pass may take something to have.
const MOST: f32 = 2.0;

/// What is known of a vector beside its bits.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    /// What makes a product with what is coded of what the bits say.
    scale: f32,
    /// The product of what is coded and the centre.
    own: f32,
    /// The same as the bits say it.
    said: f32,
}

/// The codes, beside the notes that they are of.
#[derive(Default)]
pub(crate) struct Codes {
    centres: Arc<Centres>,
    /// Words of the signs, and of the other bits.
    words: usize,
    notes: Vec<i64>,
    classes: Vec<u8>,
    signs: Vec<u64>,
    others: Vec<u64>,
    sums: Vec<Sums>,
    /// The number of the centre.
    nearby: Vec<u16>,
    /// Of each centre, the largest [`Sums::own`], whatever its sign, and [`Sums::scale`] that have come up.
    largest: Vec<[f32; 2]>,
    /// So many notes from the first on are in order; where the others stand is in `late`.
    ordered: usize,
    late: HashMap<i64, usize>,
    /// How many have gone, and still take their place.
    gone: usize,
}

impl Codes {
    /// No codes yet, of vectors of so many numbers, with these centres.
    pub(crate) fn new(dimension: usize, centres: Arc<Centres>) -> Self {
        let largest = vec![[0.0; 2]; centres.len()];
        Self { centres, words: dimension.div_ceil(WORD), largest, ..Self::default() }
    }

    /// Whether the codes are of what the vectors differ by from these centres.
    pub(crate) fn are_of(&self, centres: &Centres) -> bool {
        self.centres.name() == centres.name()
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
        let (bits, rest) = code.split_at(code.len().min(2 * 8 * self.words));
        let mut words = bits.chunks(8).map(word).chain(std::iter::repeat(0));
        let (sums, nearby) = read_rest(rest, self.centres.len());
        let [own, scale] = &mut self.largest[usize::from(nearby)];
        (*own, *scale) = (own.max(sums.own.abs()), scale.max(sums.scale));
        if let Some(place) = self.place(note) {
            self.gone -= usize::from(self.classes[place] == GONE);
            self.classes[place] = class;
            self.sums[place] = sums;
            self.nearby[place] = nearby;
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
            self.sums.reserve_exact(more);
            self.nearby.reserve_exact(more);
            self.signs.reserve_exact(more * self.words);
            self.others.reserve_exact(more * self.words);
        }
        self.notes.push(note);
        self.classes.push(class);
        self.sums.push(sums);
        self.nearby.push(nearby);
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
    /// promise, best first; at least `least`, if there are so many.
    pub(crate) fn nearest(&self, vector: &[f32], mask: u8, least: usize, most: usize) -> Vec<(i64, f32)> {
        let Some(vector) = unit(vector.to_vec()) else { return Vec::new() };
        let query = Query::new(&vector, &self.centres, &self.largest);
        let places = self.first_pass(&query, mask, least, most);
        // Gathered first: many reads all over the memory side by side, not each after what is done with the one before.
        let mut gathered: Vec<u64> = Vec::with_capacity(places.len() * 2 * self.words);
        for place in &places {
            let words = *place as usize * self.words..(*place as usize + 1) * self.words;
            gathered.extend_from_slice(&self.signs[words.clone()]);
            gathered.extend_from_slice(&self.others[words]);
        }
        let table = table(&vector);
        let mut ranked: Vec<(f32, u32)> = Vec::with_capacity(places.len());
        for (place, words) in places.into_iter().zip(gathered.chunks_exact(2 * self.words)) {
            let (signs, others) = words.split_at(self.words);
            let says = WEIGHTS[0] * look_up(&table, signs) + WEIGHTS[1] * look_up(&table, others);
            let Sums { scale, own, said } = self.sums[place as usize];
            ranked.push((query.products[usize::from(self.nearby[place as usize])] + own + says * scale - said, place));
        }
        // Equally good ones: the newer first.
        ranked.sort_unstable_by(|(a, x), (b, y)| b.total_cmp(a).then(y.cmp(x)));
        ranked.into_iter().map(|(likeness, place)| (self.notes[place as usize], likeness)).collect()
    }

    /// The places of the `most` codes that are nearest to the query as their signs say; of equal ones, the last. Without those that are too far,
    /// unless there are fewer than `least` others.
    fn first_pass(&self, query: &Query, mask: u8, least: usize, most: usize) -> Vec<u32> {
        let distances = match self.words {
            // The sizes that small embedders have (384 and 768 numbers), for which the compiler unrolls the loop.
            6 => Self::distances::<6>,
            12 => Self::distances::<12>,
            _ => Self::any_distances,
        };
        let look = |places: Range<usize>| self.look_through(places, query, mask, most, distances);
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
        let enough = query.enough(&kept).max(nth(&kept, least));
        kept.into_iter().filter(|(distance, _)| *distance <= enough).map(|(_, place)| place).collect()
    }

    /// The same of some of the places, each with its distance, the last first.
    fn look_through(&self, places: Range<usize>, query: &Query, mask: u8, most: usize, distances: Distances) -> Vec<(i16, u32)> {
        let mut kept: Vec<(i16, u32)> = Vec::with_capacity(2 * most + BLOCK);
        let (mut below, mut bar) = (i16::MAX, i16::MAX);
        let mut block = [0_i16; BLOCK];
        for start in places.clone().step_by(BLOCK).rev() {
            let end = places.end.min(start + BLOCK);
            distances(self, start..end, query, bar, &mut block);
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
                bar = below.min(query.enough(&kept));
            }
        }
        keep(&mut kept, most);
        kept
    }
}

/// Gives of each of some places how far it is from the query, as the signs say, in steps; [`i16::MAX`] where all of its centre are farther than
/// some distance.
type Distances = fn(&Codes, Range<usize>, &Query, i16, &mut [i16]);

/// What is looked for, as the centres see it: of each, the first of them none.
struct Query {
    /// The signs of what the query differs by from the centre.
    signs: Vec<u64>,
    /// How long that is, by the root of the dimension and [`KEPT`].
    reach: Vec<f32>,
    /// The product with the centre.
    products: Vec<f32>,
    /// How near anything can be that is there.
    nearest: Vec<i16>,
    /// The cosine of an angle, by the number of signs that differ.
    cosines: Vec<f32>,
    /// By how much the signs may be wrong about the nearest.
    wrong: i16,
}

impl Query {
    /// For a vector of length 1.
    fn new(vector: &[f32], centres: &Centres, largest: &[[f32; 2]]) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a vector has at most 8,192 numbers")]
        let root = KEPT * (vector.len() as f32).sqrt();
        let (mut all, mut reach, mut to_centres) = (signs(vector), vec![root], vec![0.0]);
        for centre in (1..centres.len()).filter_map(|number| centres.get(number)) {
            let rest: Vec<f32> = vector.iter().zip(centre).map(|(number, centre)| number - centre).collect();
            all.extend(signs(&rest));
            reach.push(root * product(&rest, &rest).sqrt());
            to_centres.push(product(vector, centre));
        }
        // What is coded stands upright on the centre, but for what `own` says; so does only a part of the query.
        let nearest = |(number, [own, scale]): (usize, &[f32; 2])| {
            let (product, square) = (to_centres[number], centres.square(number));
            let along = if square > 0.0 { product / square } else { 0.0 };
            steps(product + along.abs() * own + root * scale * (1.0 - product * along).max(0.0).sqrt())
        };
        let nearest = largest.iter().enumerate().map(nearest).collect();
        // The signs of random vectors differ in half of them, give or take half the root of their number; see `products`.
        let at_home = centres.nearest(vector);
        let deviation = std::f32::consts::FRAC_PI_2 * reach[at_home] * largest[at_home][1] * KEPT / root;
        #[allow(clippy::cast_possible_truncation, reason = "a few thousand")]
        let wrong = (limits::SURE * deviation * STEPS) as i16;
        Self { signs: all, reach, products: to_centres, nearest, cosines: products(vector.len()), wrong }
    }

    /// A distance beyond which nothing is looked for: that of the [`limits::WATCHED`]th, and by what the signs may be wrong about it.
    fn enough(&self, kept: &[(i16, u32)]) -> i16 {
        nth(kept, limits::WATCHED).saturating_add(self.wrong)
    }
}

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

impl Codes {
    /// Of codes of `WORDS` words.
    fn distances<const WORDS: usize>(&self, places: Range<usize>, query: &Query, bar: i16, out: &mut [i16]) {
        let (codes, queries) = (&self.signs.as_chunks::<WORDS>().0[places.clone()], query.signs.as_chunks::<WORDS>().0);
        let known = self.nearby[places.clone()].iter().zip(&self.sums[places]);
        for ((code, (nearby, sums)), out) in codes.iter().zip(known).zip(out) {
            if query.nearest[usize::from(*nearby)] >= bar {
                *out = i16::MAX;
                continue;
            }
            let query_code = &queries[usize::from(*nearby)];
            let mut differ = 0;
            for word in 0..WORDS {
                differ += (code[word] ^ query_code[word]).count_ones();
            }
            *out = distance(query, *nearby, differ, *sums);
        }
    }

    /// Of any length.
    fn any_distances(&self, places: Range<usize>, query: &Query, bar: i16, out: &mut [i16]) {
        let code = |place: usize| self.signs[place * self.words..].iter().take(self.words);
        for (place, out) in places.zip(out) {
            let nearby = self.nearby[place];
            if query.nearest[usize::from(nearby)] >= bar {
                *out = i16::MAX;
                continue;
            }
            let query_code = &query.signs[usize::from(nearby) * self.words..];
            let differ = code(place).zip(query_code).map(|(a, b)| (a ^ b).count_ones()).sum();
            *out = distance(query, nearby, differ, self.sums[place]);
        }
    }
}

/// The `place`-th least distance, counted from 1; [`i16::MAX`]: there are not so many.
fn nth(kept: &[(i16, u32)], place: usize) -> i16 {
    let mut distances: Vec<i16> = kept.iter().map(|(distance, _)| *distance).collect();
    if distances.len() < place.max(1) {
        return i16::MAX;
    }
    *distances.select_nth_unstable(place.max(1) - 1).1
}

/// How far the query is from what differs from its centre in so many signs as the query does.
fn distance(query: &Query, nearby: u16, differ: u32, sums: Sums) -> i16 {
    let nearby = usize::from(nearby);
    steps(query.products[nearby] + sums.own + query.reach[nearby] * sums.scale * query.cosines[differ as usize])
}

/// A likeness as a distance in steps.
fn steps(likeness: f32) -> i16 {
    #[allow(clippy::cast_possible_truncation, reason = "out of range becomes the nearest in it")]
    let steps = ((MOST - likeness) * STEPS) as i16;
    steps.clamp(0, i16::MAX - 1)
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
fn read_rest(rest: &[u8], centres: usize) -> (Sums, u16) {
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
        let mut codes = Codes::new(100, Centres::none());
        for (note, by) in [(5, 10), (9, 0), (2, 30), (7, 20)] {
            codes.set(note, 0, &encode(&turned(by), &Centres::none()));
        }
        let nearest = |codes: &Codes, by: usize, mask: u8, most: usize| -> Vec<i64> {
            codes.nearest(&turned(by), mask, most, most).into_iter().map(|(note, _)| note).collect()
        };
        assert_eq!(nearest(&codes, 0, 1, 10), [9, 5, 7, 2]);
        assert_eq!(nearest(&codes, 21, 1, 2), [7, 2]);
        codes.set(9, 1, &encode(&turned(0), &Centres::none()));
        codes.remove(7);
        codes.remove(7);
        codes.remove(8);
        assert_eq!((nearest(&codes, 0, 1, 10), codes.gone), (vec![5, 2], 1));
        assert_eq!(nearest(&codes, 0, 0b11, 10), [9, 5, 2]);
        codes.set(7, 0, &encode(&turned(1), &Centres::none()));
        assert_eq!((nearest(&codes, 0, 1, 10), codes.gone), (vec![7, 5, 2], 0));
        assert_eq!((codes.len(), codes.ordered), (4, 2));
    }
}
