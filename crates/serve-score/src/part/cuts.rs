//! Where parts end.

use std::ops::Range;

use crate::source::BATCH_ROWS;

/// Cuts pieces, in their order, into parts.
#[derive(Debug)]
pub(crate) struct Cuts {
    rows: u64,
    /// The part that the next row belongs to, and its first row.
    part: u64,
    first_row: u64,
}

/// The parts that a piece's rows belong to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PieceCuts {
    /// The part of its first row.
    pub(crate) part: u64,
    /// The first rows behind the parts that end in it.
    pub(crate) ends: Vec<u64>,
}

impl Cuts {
    /// Parts of at least so many rows, from the one of this number and its first row on.
    pub(crate) fn new(rows: u64, part: u64, first_row: u64) -> Self {
        Self { rows: rows.max(1), part, first_row }
    }

    /// Passes a piece with these rows, which is read in batches of [`BATCH_ROWS`].
    pub(crate) fn pass(&mut self, piece: Range<u64>) -> PieceCuts {
        let mut cuts = PieceCuts { part: self.part, ends: Vec::new() };
        while let Some(full) = self.first_row.checked_add(self.rows).filter(|full| *full <= piece.end) {
            let batches = full.saturating_sub(piece.start).div_ceil(BATCH_ROWS as u64).max(1);
            let end = piece.end.min(piece.start + batches * BATCH_ROWS as u64);
            cuts.ends.push(end);
            (self.part, self.first_row) = (self.part + 1, end);
        }
        cuts
    }
}

impl PieceCuts {
    /// The part that rows belong to; none where they are on both sides of a cut.
    pub(crate) fn part_of(&self, rows: Range<u64>) -> Option<u64> {
        let before = self.ends.partition_point(|end| *end <= rows.start);
        let whole = self.ends.get(before).is_none_or(|end| rows.end <= *end);
        whole.then_some(self.part + before as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: u64 = BATCH_ROWS as u64;

    #[test]
    fn a_part_ends_with_the_batch_that_fills_it() {
        let mut cuts = Cuts::new(10_000, 0, 1);
        assert_eq!(cuts.pass(1..101), PieceCuts { part: 0, ends: vec![] });
        let piece = cuts.pass(101..101 + 5 * BATCH);
        assert_eq!(piece, PieceCuts { part: 0, ends: vec![101 + 2 * BATCH, 101 + 4 * BATCH] });
        assert_eq!(cuts.pass(101 + 5 * BATCH..101 + 5 * BATCH + 1809).ends, [101 + 5 * BATCH + 1809]);
        assert_eq!(piece.part_of(101 + BATCH..101 + 2 * BATCH), Some(0));
        assert_eq!(piece.part_of(101 + 4 * BATCH..101 + 5 * BATCH), Some(2));
        assert_eq!(piece.part_of(101..101 + 3 * BATCH), None);
    }

    #[test]
    fn cuts_that_go_on_behind_a_part_are_the_same() {
        let pieces = [1..9000, 9000..9001, 9001..60_000, 60_000..90_000];
        let mut whole = Cuts::new(20_000, 0, 1);
        let ends: Vec<u64> = pieces.iter().flat_map(|piece| whole.pass(piece.clone()).ends).collect();
        for (part, &end) in ends.iter().enumerate() {
            let mut rest = Cuts::new(20_000, part as u64 + 1, end);
            let left = pieces.iter().filter(|piece| piece.end > end);
            let again: Vec<u64> =
                left.flat_map(|piece| rest.pass(piece.start.max(end)..piece.end).ends).collect();
            assert_eq!(again, ends[part + 1..]);
        }
    }
}
