//! The number that CatBoost keeps of a category's text: the low half of CityHash64, version 1.0. A model file often has
//! nothing but these numbers, and CatBoost itself compares nothing else, so an input that hashes as CatBoost does gives
//! its answers for every text, seen in training or not.
//!
//! Source: the published algorithm (Pike and Alakuijala, 2011); the test holds it against hashes that CatBoost wrote.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;
const K3: u64 = 0xc949_d7c7_509e_6557;

/// CatBoost's hash of a category's text. `O(bytes)`.
///
/// ```
/// assert_eq!(serve_core::signature::text_hash("b"), 1_982_436_109);
/// ```
#[must_use]
pub fn text_hash(text: &str) -> u32 {
    city64(text.as_bytes()) as u32
}

fn city64(bytes: &[u8]) -> u64 {
    match bytes.len() {
        0..=16 => up_to_16(bytes),
        17..=32 => up_to_32(bytes),
        33..=64 => up_to_64(bytes),
        _ => longer(bytes),
    }
}

/// Eight bytes from `at` on, the first the least significant.
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn half_word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 4].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn fold_high_bits(x: u64) -> u64 {
    x ^ x >> 47
}

/// Murmur's finish of two words.
fn pair(low: u64, high: u64) -> u64 {
    const FACTOR: u64 = 0x9ddf_ea08_eb38_2d69;
    let step = |x: u64| fold_high_bits(x.wrapping_mul(FACTOR));
    step(high ^ step(low ^ high)).wrapping_mul(FACTOR)
}

fn up_to_16(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    match length {
        0 => K2,
        1..=3 => {
            let [first, middle, last] = [0, length / 2, length - 1].map(|at| u64::from(bytes[at]));
            let (y, z) = (first + (middle << 8), length as u64 + (last << 2));
            fold_high_bits(y.wrapping_mul(K2) ^ z.wrapping_mul(K3)).wrapping_mul(K2)
        }
        4..=8 => pair(length as u64 + (half_word(bytes, 0) << 3), half_word(bytes, length - 4)),
        _ => {
            let (start, end) = (word(bytes, 0), word(bytes, length - 8));
            pair(start, end.wrapping_add(length as u64).rotate_right(length as u32)) ^ end
        }
    }
}

fn up_to_32(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let a = word(bytes, 0).wrapping_mul(K1);
    let b = word(bytes, 8);
    let c = word(bytes, length - 8).wrapping_mul(K2);
    let d = word(bytes, length - 16).wrapping_mul(K0);
    let low = a.wrapping_sub(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let high = a.wrapping_add((b ^ K3).rotate_right(20)).wrapping_sub(c).wrapping_add(length as u64);
    pair(low, high)
}

fn up_to_64(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    // One half of the text: two words that are mixed once the other half has its own.
    let half = |first: u64, second: u64, third: u64, last: u64| {
        let mut a = first;
        let mut c = a.rotate_right(37);
        let b = a.wrapping_add(last).rotate_right(52);
        a = a.wrapping_add(second);
        c = c.wrapping_add(a.rotate_right(7));
        a = a.wrapping_add(third);
        (a.wrapping_add(last), b.wrapping_add(a.rotate_right(31)).wrapping_add(c))
    };
    let at = |place: usize| word(bytes, place);
    let start = at(0).wrapping_add(at(length - 16).wrapping_add(length as u64).wrapping_mul(K0));
    let (v, w) = half(start, at(8), at(16), at(24));
    let end = at(16).wrapping_add(at(length - 32));
    let (x, y) = half(end, at(length - 24), at(length - 16), at(length - 8));
    let both = v.wrapping_add(y).wrapping_mul(K2).wrapping_add(x.wrapping_add(w).wrapping_mul(K0));
    let mixed = fold_high_bits(both).wrapping_mul(K0).wrapping_add(w);
    fold_high_bits(mixed).wrapping_mul(K2)
}

/// Mixes the 32 bytes from `at` on into two words.
fn absorb(bytes: &[u8], at: usize, a: u64, b: u64) -> (u64, u64) {
    let [first, second, third, last] = [0, 8, 16, 24].map(|offset| word(bytes, at + offset));
    let a = a.wrapping_add(first);
    let b = b.wrapping_add(a).wrapping_add(last).rotate_right(21);
    let sum = a.wrapping_add(second).wrapping_add(third);
    (sum.wrapping_add(last), b.wrapping_add(sum.rotate_right(44)).wrapping_add(a))
}

#[allow(clippy::many_single_char_names, reason = "the state as the algorithm's description names it")]
fn longer(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let mut x = word(bytes, 0);
    let mut y = word(bytes, length - 16) ^ K1;
    let mut z = word(bytes, length - 56) ^ K0;
    let mut v = absorb(bytes, length - 64, length as u64, y);
    let mut w = absorb(bytes, length - 32, (length as u64).wrapping_mul(K1), K0);
    z = z.wrapping_add(fold_high_bits(v.1).wrapping_mul(K1));
    x = z.wrapping_add(x).rotate_right(39).wrapping_mul(K1);
    y = y.rotate_right(33).wrapping_mul(K1);
    // The last block may be whole: it has been taken in from the end.
    for at in (0..(length - 1) / 64).map(|block| block * 64) {
        x = x.wrapping_add(y).wrapping_add(v.0).wrapping_add(word(bytes, at + 16));
        x = x.rotate_right(37).wrapping_mul(K1) ^ w.1;
        y = y.wrapping_add(v.1).wrapping_add(word(bytes, at + 48));
        y = y.rotate_right(42).wrapping_mul(K1) ^ v.0;
        z = (z ^ w.0).rotate_right(33);
        v = absorb(bytes, at, v.1.wrapping_mul(K1), x.wrapping_add(w.0));
        w = absorb(bytes, at + 32, z.wrapping_add(w.1), y);
        std::mem::swap(&mut z, &mut x);
    }
    let low = pair(v.0, w.0).wrapping_add(fold_high_bits(y).wrapping_mul(K1)).wrapping_add(z);
    pair(low, pair(v.1, w.1).wrapping_add(x))
}
