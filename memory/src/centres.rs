//! Centres of the vectors: what most of them are like, learned from a sample. A code says how a vector differs from the centre that is
//! nearest to it, which is far less than the vector itself, so that it tells apart those that are all alike.
//!
//! Learned in the transaction that brings the notes to a few sizes, and all codes are made anew there. What is forgotten goes out of its
//! centre, too: [`mend`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, params};

use crate::code::{WORD, encode, signs};
use crate::error::Failure;
use crate::limits;
use crate::vectors::{self, fact, numbers, set_fact};

/// The fact that names the centres there are: a hash of them. Without it there are none.
const CENTRES: &str = "vector_centres";

/// The fact with the number of vectors there were when they were learned.
const LEARNED_AT: &str = "vector_centres_at";

/// Looked at exactly, of those that the signs say are nearest.
const LOOKED_AT: usize = 16;

/// Times that the sample is shared out anew among the centres.
const ROUNDS: usize = 4;

/// Centres, each as long as the mean of unit vectors is. Number 0 is none: what is far from all others.
#[derive(Debug, Default)]
pub(crate) struct Centres {
    name: String,
    dimension: usize,
    /// Words of a sign code.
    words: usize,
    numbers: Vec<f32>,
    signs: Vec<u64>,
    /// Half the square of the length: a vector of length 1 is nearest to the centre with the largest product less this.
    halves: Vec<f32>,
    /// What a product is about, by the number of signs that differ, for vectors of length 1.
    products: Vec<f32>,
}

impl Centres {
    /// Those with these numbers, one behind the other.
    fn new(numbers: Vec<f32>, dimension: usize) -> Self {
        let each = || numbers.chunks_exact(dimension.max(1));
        let words = dimension.div_ceil(WORD);
        Self {
            name: format!("{:016x}", hash(&numbers)),
            dimension,
            words,
            signs: each().flat_map(signs).collect(),
            halves: each().map(|centre| product(centre, centre) / 2.0).collect(),
            products: products(dimension),
            numbers,
        }
    }

    /// No centres: codes are of the vectors themselves.
    pub(crate) fn none() -> Arc<Self> {
        Arc::default()
    }

    /// How many there are, with the one that is none.
    pub(crate) fn len(&self) -> usize {
        self.halves.len() + 1
    }

    /// What distinguishes them from others.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The centre of this number; `None`: it is 0, or is not there.
    pub(crate) fn get(&self, number: usize) -> Option<&[f32]> {
        self.numbers.get(number.checked_sub(1)? * self.dimension..number * self.dimension)
    }

    /// The square of a centre's length; that of none is 0.
    pub(crate) fn square(&self, number: usize) -> f32 {
        number.checked_sub(1).and_then(|index| self.halves.get(index)).map_or(0.0, |half| 2.0 * half)
    }

    /// The centre nearest to a vector of length 1.
    pub(crate) fn nearest(&self, vector: &[f32]) -> usize {
        if self.halves.is_empty() || vector.len() != self.dimension {
            return 0;
        }
        let own = signs(vector);
        let about = |index: usize| {
            let code = &self.signs[index * self.words..(index + 1) * self.words];
            let differ: u32 = code.iter().zip(&own).map(|(a, b)| (a ^ b).count_ones()).sum();
            (2.0 * self.halves[index]).sqrt() * self.products[differ as usize] - self.halves[index]
        };
        let mut promising: Vec<(f32, usize)> = (0..self.halves.len()).map(|index| (about(index), index)).collect();
        if promising.len() > LOOKED_AT {
            promising.select_nth_unstable_by(LOOKED_AT - 1, |(a, _), (b, _)| b.total_cmp(a));
            promising.truncate(LOOKED_AT);
        }
        let exact = promising.into_iter().map(|(_, index)| {
            let centre = &self.numbers[index * self.dimension..(index + 1) * self.dimension];
            (product(vector, centre) - self.halves[index], index + 1)
        });
        // Nearer to none than to any: a product that is less than nothing.
        exact.filter(|(near, _)| *near > 0.0).max_by(|(a, _), (b, _)| a.total_cmp(b)).map_or(0, |(_, number)| number)
    }
}

thread_local! {
    /// Those that were read last: each vector that is kept needs them.
    static READ: RefCell<Arc<Centres>> = RefCell::default();
    /// Vectors that were put, to look now and then whether centres are due.
    static PUT: Cell<i64> = const { Cell::new(0) };
}

/// The centres as the table has them.
pub(crate) fn read(connection: &Connection) -> Result<Arc<Centres>, Failure> {
    let Some(name) = fact(connection, CENTRES)? else { return Ok(Centres::none()) };
    let known = READ.with_borrow(Arc::clone);
    if known.name == name {
        return Ok(known);
    }
    let centres = Arc::new(Centres { name, ..from_table(connection)? });
    READ.set(Arc::clone(&centres));
    Ok(centres)
}

fn from_table(connection: &Connection) -> Result<Centres, Failure> {
    let mut statement = connection.prepare("SELECT vector FROM vector_centres ORDER BY number")?;
    let all: Vec<Vec<f32>> = statement.query_map([], |row| Ok(numbers(row.get_ref(0)?.as_blob()?)))?.collect::<Result<_, _>>()?;
    let dimension = all.first().map_or(0, Vec::len);
    Ok(Centres::new(all.concat(), dimension))
}

/// Forgets the centres: the vectors are to be another embedder's.
pub(crate) fn drop_all(transaction: &Transaction<'_>) -> Result<(), Failure> {
    transaction.execute_batch("DELETE FROM vector_centres; DELETE FROM vector_centres_left;")?;
    transaction.execute("DELETE FROM facts WHERE name IN (?1, ?2)", [CENTRES, LEARNED_AT])?;
    Ok(())
}

/// Learns the centres anew where there are many more vectors than when it was done last. `note` is the one whose vector was put last: it is
/// looked at now and then.
pub(crate) fn learn_if_due(transaction: &Transaction<'_>, note: i64) -> Result<(), Failure> {
    let put = PUT.get() + 1;
    PUT.set(put);
    if note % limits::LEARN_EVERY != 0 && put % limits::LEARN_EVERY != 0 {
        return Ok(());
    }
    let count: i64 = transaction.query_row("SELECT count(*) FROM vector_codes", [], |row| row.get(0))?;
    let count = usize::try_from(count).unwrap_or(0);
    let last: usize = fact(transaction, LEARNED_AT)?.and_then(|count| count.parse().ok()).unwrap_or(0);
    if count < limits::LEARN_FROM || count < last.saturating_mul(limits::LEARN_AGAIN) {
        return Ok(());
    }
    learn(transaction, count)
}

/// Learns the centres of so many vectors, and makes all codes anew.
fn learn(transaction: &Transaction<'_>, count: usize) -> Result<(), Failure> {
    let notes: Vec<i64> =
        transaction.prepare("SELECT note FROM vector_codes ORDER BY note")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let dimension = vectors::dimension(transaction)?.unwrap_or(1);
    let wanted = limits::centres(count).min(limits::SAMPLE_BYTES / (limits::SAMPLE * dimension * size_of::<f32>()));
    let step = (notes.len() / (wanted * limits::SAMPLE).max(1)).max(1);
    let mut sample = Vec::new();
    for note in notes.iter().step_by(step) {
        sample.extend(vectors::get(transaction, *note)?.and_then(unit));
    }
    let centres = cluster(&sample, wanted, dimension);
    drop_all(transaction)?;
    for (number, index) in (1_i64..).zip(1..centres.len()) {
        let bytes = vectors::bytes(centres.get(index).unwrap_or_default());
        transaction.prepare_cached("INSERT INTO vector_centres (number, vector) VALUES (?1, ?2)")?.execute(params![number, bytes])?;
    }
    set_fact(transaction, LEARNED_AT, &count.to_string())?;
    code_anew(transaction, &centres, &notes)
}

/// The centres are these now, and the codes of the notes are made anew.
fn code_anew(transaction: &Transaction<'_>, centres: &Centres, notes: &[i64]) -> Result<(), Failure> {
    set_fact(transaction, CENTRES, centres.name())?;
    let mut update = transaction.prepare_cached("UPDATE vector_codes SET code = ?2 WHERE note = ?1")?;
    for note in notes {
        if let Some(vector) = vectors::get(transaction, *note)? {
            update.execute(params![note, encode(&vector, centres)])?;
        }
    }
    Ok(())
}

/// Makes the centres of which a vector has gone anew from those that are left, where there are enough of them; else the centre is none.
pub(crate) fn mend(transaction: &Transaction<'_>) -> Result<(), Failure> {
    let mut members: BTreeMap<u16, Vec<i64>> = BTreeMap::new();
    let centre = |bytes: Vec<u8>| bytes.try_into().map_or(0, u16::from_le_bytes);
    let mut left = transaction.prepare("SELECT centre FROM vector_centres_left")?;
    for bytes in left.query_map([], |row| row.get(0))? {
        members.insert(centre(bytes?), Vec::new());
    }
    if members.is_empty() {
        return Ok(());
    }
    let mut of_these = transaction.prepare(OF_CENTRES_LEFT)?;
    let mut rows = of_these.query([])?;
    while let Some(row) = rows.next()? {
        members.entry(centre(row.get(1)?)).or_default().push(row.get(0)?);
    }
    for (number, notes) in &members {
        let mut sum: Vec<f32> = vec![0.0; vectors::dimension(transaction)?.unwrap_or_default()];
        for note in notes.iter().filter(|_| notes.len() >= limits::MEMBERS) {
            let vector = vectors::get(transaction, *note)?.and_then(unit).unwrap_or_default();
            sum.iter_mut().zip(vector).for_each(|(sum, number)| *sum += number);
        }
        #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
        sum.iter_mut().for_each(|number| *number /= notes.len().max(1) as f32);
        transaction.execute("UPDATE vector_centres SET vector = ?2 WHERE number = ?1", params![number, vectors::bytes(&sum)])?;
    }
    transaction.execute("DELETE FROM vector_centres_left", [])?;
    let notes: Vec<i64> = members.into_values().flatten().collect();
    code_anew(transaction, &from_table(transaction)?, &notes)
}

const OF_CENTRES_LEFT: &str = "SELECT note, substr(code, -2) FROM vector_codes
    WHERE length(code) % 8 = 6 AND substr(code, -2) IN (SELECT centre FROM vector_centres_left) ORDER BY note";

/// Of unit vectors, at most so many centres, each the mean of [`limits::MEMBERS`] at least: first some that are far from each other
/// (Arthur and Vassilvitskii, "k-means++", 2007; the distances by way of the signs), then the means of what is nearest to each (Lloyd).
fn cluster(sample: &[Vec<f32>], wanted: usize, dimension: usize) -> Centres {
    let seeds = seeds(sample, wanted, dimension);
    let mut centres = Centres::new(seeds.iter().flat_map(|index| sample[*index].iter().copied()).collect(), dimension);
    for round in 0..ROUNDS {
        let mut sums = vec![0.0_f32; (centres.len() - 1) * dimension];
        let mut members = vec![0_usize; centres.len() - 1];
        for vector in sample {
            let Some(index) = centres.nearest(vector).checked_sub(1) else { continue };
            members[index] += 1;
            sums[index * dimension..(index + 1) * dimension].iter_mut().zip(vector).for_each(|(sum, number)| *sum += number);
        }
        let least = if round + 1 == ROUNDS { limits::MEMBERS } else { 1 };
        let kept = sums.chunks_exact(dimension).zip(members).filter(|(_, members)| *members >= least);
        #[allow(clippy::cast_precision_loss, reason = "a sample is small")]
        let means = kept.flat_map(|(sum, members)| sum.iter().map(move |number| number / members as f32));
        centres = Centres::new(means.collect(), dimension);
    }
    centres
}

/// Which of the sample to begin with: each the likelier, the farther it is from those that are there.
fn seeds(sample: &[Vec<f32>], wanted: usize, dimension: usize) -> Vec<usize> {
    let (codes, products): (Vec<Vec<u64>>, _) = (sample.iter().map(|vector| signs(vector)).collect(), products(dimension));
    let mut distances = vec![f32::INFINITY; sample.len()];
    let (mut seeds, mut chance, mut next) = (Vec::new(), 0, 0);
    while seeds.len() < wanted.min(sample.len()) {
        seeds.push(next);
        let mut sum = 0.0_f64;
        for (code, distance) in codes.iter().zip(&mut distances) {
            let differ: u32 = code.iter().zip(&codes[next]).map(|(a, b)| (a ^ b).count_ones()).sum();
            *distance = distance.min(2.0 - 2.0 * products[differ as usize]);
            sum += f64::from(*distance);
        }
        let mut left = share(&mut chance) * sum;
        next = distances
            .iter()
            .position(|distance| {
                left -= f64::from(*distance);
                left <= 0.0
            })
            .unwrap_or(0);
    }
    seeds
}

/// Numbers from 0 to 1 that look like chance, the same every time (Vigna, "splitmix64").
fn share(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let share = ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
    share
}

/// The cosine of the angle between two vectors of which so many signs differ, of none to all: each sign differs as often as a plane through
/// nothing, put anywhere, stands between them.
pub(crate) fn products(dimension: usize) -> Vec<f32> {
    #[allow(clippy::cast_precision_loss, reason = "a vector has at most 8,192 numbers")]
    let angle = |differ: usize| std::f32::consts::PI * differ as f32 / dimension.max(1) as f32;
    (0..=dimension).map(|differ| angle(differ).cos()).collect()
}

/// The vector with length 1; `None`: it has no direction.
pub(crate) fn unit(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let length = product(&vector, &vector).sqrt();
    vector.iter_mut().for_each(|number| *number /= length);
    (length > 0.0 && length.is_finite()).then_some(vector)
}

pub(crate) fn product(a: &[f32], b: &[f32]) -> f32 {
    /// Sums side by side, so that the compiler multiplies several numbers at once.
    const SIDE_BY_SIDE: usize = 16;
    let (a, a_rest) = a.as_chunks::<SIDE_BY_SIDE>();
    let (b, b_rest) = b.as_chunks::<SIDE_BY_SIDE>();
    let mut sums = [0.0_f32; SIDE_BY_SIDE];
    for (a, b) in a.iter().zip(b) {
        (0..SIDE_BY_SIDE).for_each(|index| sums[index] += a[index] * b[index]);
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// FNV-1a, of the numbers' bits.
fn hash(numbers: &[f32]) -> u64 {
    numbers.iter().fold(0xcbf2_9ce4_8422_2325, |hash, number| (hash ^ u64::from(number.to_bits())).wrapping_mul(0x0100_0000_01b3))
}
