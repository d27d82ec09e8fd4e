//! Which rows of a long input are counted by cell. A search among 256 quantiles for every value would take half the time of
//! scoring it; so behind the first [`ALL_ROWS`] rows one of [`OF`] is drawn, and stands for all of them.
//!
//! Rows are drawn by their number alone, one of each run of [`OF`], and not at one distance: hours and weekdays would come in step with it.

use std::ops::Range;

/// So many rows are all counted.
const ALL_ROWS: u64 = 1 << 16;

/// One of so many is drawn behind them; a power of two.
const OF: usize = 32;

/// Rows of a batch that stand for others.
#[derive(Debug)]
pub(super) struct Sample {
    /// Those that are drawn.
    pub(super) rows: Vec<u32>,
    /// For how many rows each stands.
    pub(super) weight: u64,
    /// The last rows, too few to draw from, that stand for themselves.
    pub(super) rest: Range<usize>,
}

impl Sample {
    /// The sample of a batch; none where all rows are counted.
    pub(super) fn draw(first_row: u64, rows: usize) -> Option<Self> {
        if first_row <= ALL_ROWS {
            return None;
        }
        let runs = rows / OF;
        let drawn = (0..runs).map(|run| {
            let begin = run * OF;
            // Fibonacci hashing: the first bits of the product look like chance.
            let hash = (first_row + begin as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - OF.ilog2());
            (begin + hash as usize) as u32
        });
        Some(Self { rows: drawn.collect(), weight: OF as u64, rest: runs * OF..rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_run_stands_for_it() {
        assert!(Sample::draw(1, 8192).is_none());
        let sample = Sample::draw(1 + (1 << 20), 81_910).expect("behind the first rows");
        assert_eq!(sample.rows.len() as u64 * sample.weight + sample.rest.len() as u64, 81_910);
        assert!(sample.rows.iter().zip(0_u32..).all(|(row, run)| row / 32 == run));
        // Every place of a run is drawn about as often.
        let mut places = [0; 32];
        sample.rows.iter().for_each(|row| places[(row % 32) as usize] += 1);
        assert!(places.iter().all(|count| (40..=130).contains(count)), "{places:?}");
    }
}
