//! What an answer is known by.

use serve_core::{CheckedRow, Digest};

/// A row as a version is given it, with what else decides the answer. Texts are numbers by then, in a way that is the
/// version's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(super) digest: Digest,
    pub(super) explain: bool,
    /// The bits of its numbers. What is missing has one form; 0 and -0 are two numbers.
    pub(super) row: Box<[u64]>,
}

impl Key {
    pub(crate) fn new(digest: Digest, explain: bool, row: &CheckedRow) -> Self {
        let bits = |x: &f64| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() };
        Self { digest, explain, row: row.values().iter().map(bits).collect() }
    }

    /// Memory that it takes besides its own size.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.row)
    }

    /// A number that rows spread over; no protection against those who want them not to.
    pub(super) fn spread(&self) -> u64 {
        let mix = |sum: u64, bits: &u64| (sum.rotate_left(5) ^ bits).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.row.iter().fold(u64::from(self.explain), mix) >> 32
    }
}
