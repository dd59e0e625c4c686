//! The codes of all vectors, held in memory: the first pass of a search by meaning.
//!
//! Two vectors in the same direction agree in most signs: the number of those in which they differ grows with the angle between them. The
//! signs of what each vector differs by from its centre are compared with those of what the query differs by from the same centre; of
//! centres so far away that nothing near can be there, none are. Of the nearest the similarity is estimated by way of all bits and the
//! query's own numbers, which puts them in order for the second pass, which reads the vectors. Nothing is decided here, and nothing is read
//! from the database: `vectors.rs` does both.
//!
//! The estimate is that of Gao and Long, "RaBitQ", 2024: what the code says of the likeness to the query, by what it says of the likeness
//! to its own vector. With v = c + r and q of length 1, q·v = q·c + r·c + r·(q − c), of which the last alone is estimated.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::centres::{Centres, product, products, unit};
use crate::code::{KEPT, LEVELS, Sums, WORD, read_rest, signs, word};
use crate::limits;

/// Who may find a note; bit n of a mask allows class n. Those that nobody may find have the last.
pub(crate) const HIDDEN: u8 = 3;

/// Codes that are looked through before the farthest of those that were kept are dropped.
const BLOCK: usize = 2_048;

/// What stands for a number, as a sum: the sign has this weight, and the other bit, which says whether a large one is positive or a small
/// one is not, this.
const WEIGHTS: [f32; 2] = [(LEVELS[1] + LEVELS[0]) / 2.0, (LEVELS[1] - LEVELS[0]) / 2.0];

/// The steps in which the first pass reckons with likenesses: so many for 1.
const STEPS: f32 = 8_000.0;

/// The range of what has not come up.
const NOTHING: [f32; 2] = [f32::INFINITY, f32::NEG_INFINITY];

/// More than any likeness that the first pass may take something to have.
const MOST: f32 = 2.0;

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
    /// Of each centre, the least and the largest [`Sums::own`] that have come up.
    range: Vec<[f32; 2]>,
    /// So many notes from the first on are in order; where the others stand is in `late`.
    ordered: usize,
    late: HashMap<i64, usize>,
    /// How many have gone, and still take their place.
    gone: usize,
}

impl Codes {
    /// No codes yet, of vectors of so many numbers, with these centres.
    pub(crate) fn new(dimension: usize, centres: Arc<Centres>) -> Self {
        let range = vec![NOTHING; centres.len()];
        Self { centres, words: dimension.div_ceil(WORD), range, ..Self::default() }
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
        let [least, largest] = &mut self.range[usize::from(nearby)];
        (*least, *largest) = (least.min(sums.own), largest.max(sums.own));
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
        let query = Query::new(&vector, &self.centres, &self.range);
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
    fn first_pass(&self, query: &Query<'_>, mask: u8, least: usize, most: usize) -> Vec<u32> {
        let look = |places: Range<usize>| match self.words {
            // The sizes that small embedders have (384 and 768 numbers), for which the compiler unrolls the loop.
            6 => self.look_through::<6>(places, query, mask, most),
            12 => self.look_through::<12>(places, query, mask, most),
            _ => self.look_through::<0>(places, query, mask, most),
        };
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
        let (enough, least) = (self.enough(query, &kept), nth(&kept, least));
        let is_near = |(distance, place): &(i16, u32)| {
            let wrong = query.wrong[usize::from(self.nearby[*place as usize])];
            distance.saturating_sub(wrong) <= enough || *distance <= least
        };
        kept.into_iter().filter(is_near).map(|(_, place)| place).collect()
    }

    /// A distance beyond which nothing is looked for: that of the [`limits::WATCHED`]th, and by what the signs may be wrong about those.
    fn enough(&self, query: &Query<'_>, kept: &[(i16, u32)]) -> i16 {
        let last = nth(kept, limits::WATCHED);
        let watched = kept.iter().filter(|(distance, _)| *distance <= last);
        let wrong = watched.map(|(_, place)| query.wrong[usize::from(self.nearby[*place as usize])]).max();
        last.saturating_add(wrong.unwrap_or_default())
    }

    /// The same of some of the places, each with its distance, the last first. `WORDS` are those of a code; 0: any number.
    fn look_through<const WORDS: usize>(&self, places: Range<usize>, query: &Query<'_>, mask: u8, most: usize) -> Vec<(i16, u32)> {
        let mut kept: Vec<(i16, u32)> = Vec::with_capacity(2 * most + BLOCK);
        let (mut below, mut bar) = (i16::MAX, i16::MAX);
        let (mut sides, mut list) = (Sides::new(query, self.words), [0_u16; BLOCK]);
        for start in places.clone().step_by(BLOCK).rev() {
            let end = places.end.min(start + BLOCK);
            let count = promising(&self.nearby[start..end], &query.nearest, bar, &mut list);
            for index in list[..count].iter().rev() {
                let place = start + usize::from(*index);
                let nearby = usize::from(self.nearby[place]);
                let differ = differ::<WORDS>(&self.signs[place * self.words..(place + 1) * self.words], sides.signs(nearby));
                let distance = query.distance(nearby, differ, self.sums[place]);
                if distance < below && mask >> self.classes[place] & 1 == 1 {
                    kept.push((distance, u32::try_from(place).unwrap_or(u32::MAX)));
                }
            }
            if kept.len() >= 2 * most {
                below = keep(&mut kept, most);
                bar = below.min(self.enough(query, &kept));
            }
        }
        keep(&mut kept, most);
        kept
    }
}

/// What is looked for, as the centres see it: of each, the first of them none.
struct Query<'a> {
    vector: &'a [f32],
    centres: &'a Centres,
    /// How long that is by which the vector differs from the centre, by the root of the dimension and [`KEPT`].
    reach: Vec<f32>,
    /// The product with the centre.
    products: Vec<f32>,
    /// How near anything can be that is there.
    nearest: Vec<i16>,
    /// The cosine of an angle, by the number of signs that differ.
    cosines: Vec<f32>,
    /// By how much the signs may be wrong about what is there.
    wrong: Vec<i16>,
}

impl<'a> Query<'a> {
    /// For a vector of length 1.
    fn new(vector: &'a [f32], centres: &'a Centres, range: &[[f32; 2]]) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a vector has at most 8,192 numbers")]
        let root = (vector.len() as f32).sqrt();
        let to_centres: Vec<f32> =
            (0..centres.len()).map(|number| centres.get(number).map_or(0.0, |centre| product(vector, centre))).collect();
        let rest = |(number, product): (usize, &f32)| (1.0 - 2.0 * product + centres.square(number)).max(0.0).sqrt();
        let rests: Vec<f32> = to_centres.iter().enumerate().map(rest).collect();
        let (mut nearest, mut wrong) = (vec![i16::MAX; centres.len()], vec![0; centres.len()]);
        for (number, [least, largest]) in range.iter().enumerate().filter(|(_, range)| **range != NOTHING) {
            let (product, square) = (to_centres[number], centres.square(number));
            let along = if square > 0.0 { product / square } else { 0.0 };
            // How long the longest is of what is coded, since each vector has length 1. It stands upright on the centre, but for what
            // `own` says; so does only a part of the query.
            let longest = (1.0 - square - 2.0 * least).max(0.0).sqrt();
            let upright = (1.0 - product * along).max(0.0).sqrt();
            nearest[number] = steps(product + (along * least).max(along * largest) + longest * upright);
            // The signs of random vectors differ in half of them, give or take half the root of their number; see `products`.
            let deviation = std::f32::consts::FRAC_PI_2 * rests[number] * longest / root;
            #[allow(clippy::cast_possible_truncation, reason = "out of range becomes the nearest in it")]
            let steps = (limits::SURE * deviation * STEPS) as i16;
            wrong[number] = steps;
        }
        let reach = rests.iter().map(|rest| KEPT * root * rest).collect();
        Self { vector, centres, reach, products: to_centres, nearest, cosines: products(vector.len()), wrong }
    }

    /// How far from it is what differs from a centre in so many other signs than the query does.
    fn distance(&self, nearby: usize, differ: u32, sums: Sums) -> i16 {
        steps(self.products[nearby] + sums.own + self.reach[nearby] * sums.scale * self.cosines.get(differ as usize).unwrap_or(&-1.0))
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

/// The signs of what a query differs by from each centre, made when they are asked for: most never are.
struct Sides<'a> {
    query: &'a Query<'a>,
    words: usize,
    signs: Vec<u64>,
    known: Vec<bool>,
}

impl<'a> Sides<'a> {
    fn new(query: &'a Query<'a>, words: usize) -> Self {
        let count = query.products.len();
        Self { query, words, signs: vec![0; count * words], known: vec![false; count] }
    }

    fn signs(&mut self, nearby: usize) -> &[u64] {
        let place = nearby * self.words..(nearby + 1) * self.words;
        if !std::mem::replace(&mut self.known[nearby], true) {
            let centre = self.query.centres.get(nearby).unwrap_or_default().iter().chain(std::iter::repeat(&0.0));
            let rest: Vec<f32> = self.query.vector.iter().zip(centre).map(|(number, centre)| number - centre).collect();
            self.signs[place.clone()].copy_from_slice(&signs(&rest));
        }
        &self.signs[place]
    }
}

/// Puts the places of those into the list whose centres may have something nearer than `bar`: how many.
fn promising(nearby: &[u16], nearest: &[i16], bar: i16, list: &mut [u16; BLOCK]) -> usize {
    let mut count = 0;
    // Without a branch: which are promising cannot be foreseen.
    for (index, number) in (0_u16..).zip(nearby) {
        list[count % BLOCK] = index;
        count += usize::from(nearest[usize::from(*number)] < bar);
    }
    count
}

/// In how many bits two codes differ, of `WORDS` words; 0: of any number.
fn differ<const WORDS: usize>(a: &[u64], b: &[u64]) -> u32 {
    match (<&[u64; WORDS]>::try_from(a), <&[u64; WORDS]>::try_from(b)) {
        (Ok(a), Ok(b)) if WORDS > 0 => a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum(),
        _ => a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum(),
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

/// A likeness as a distance in steps.
fn steps(likeness: f32) -> i16 {
    #[allow(clippy::cast_possible_truncation, reason = "out of range becomes the nearest in it")]
    let steps = ((MOST - likeness) * STEPS) as i16;
    steps.clamp(0, i16::MAX - 1)
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
    use crate::code::encode;

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
