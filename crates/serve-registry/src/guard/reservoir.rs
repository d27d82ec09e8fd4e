//! A bounded, uniform sample of rows of numbers: all of them up to its capacity, then each row seen so far is in it with
//! the same probability (Vitter, "Random sampling with a reservoir", 1985, algorithm R). Deterministic: the same number
//! of rows leaves the same positions.

/// Numbers that one reservoir may keep, as long as that allows [`FEWEST_ROWS`].
const MOST_VALUES: usize = 131_072;

/// However wide a row is, this many are kept.
const FEWEST_ROWS: usize = 1024;

/// However narrow a row is, no more are kept.
const MOST_ROWS: usize = 8192;

/// A sample of rows of one width.
#[derive(Debug, Clone)]
pub(crate) struct Reservoir {
    width: usize,
    capacity: usize,
    /// Row-major `[rows, width]`.
    values: Vec<f64>,
    seen: u64,
    state: u64,
}

impl Reservoir {
    pub(crate) fn new(width: usize) -> Self {
        let width = width.max(1);
        let capacity = (MOST_VALUES / width).clamp(FEWEST_ROWS, MOST_ROWS);
        Self { width, capacity, values: Vec::new(), seen: 0, state: 0 }
    }

    /// Shows a row to the sample. A row of another width is not a row of this sample.
    pub(crate) fn add(&mut self, row: &[f64]) {
        if row.len() != self.width {
            return;
        }
        self.seen += 1;
        if self.rows() < self.capacity {
            self.values.extend_from_slice(row);
            return;
        }
        let at = (u128::from(self.random()) * u128::from(self.seen)) >> 64;
        if let Some(place) = usize::try_from(at).ok().filter(|at| *at < self.capacity) {
            self.values[place * self.width..][..self.width].copy_from_slice(row);
        }
    }

    /// How many rows it holds.
    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// One column in ascending order.
    pub(crate) fn sorted(&self, column: usize) -> Vec<f64> {
        let mut values: Vec<f64> = self.values.iter().skip(column).step_by(self.width).copied().collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.state;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_exact_up_to_its_capacity_and_uniform_beyond() {
        let mut reservoir = Reservoir::new(1);
        (0..8192).rev().for_each(|x| reservoir.add(&[f64::from(x)]));
        let all: Vec<f64> = (0..8192).map(f64::from).collect();
        assert_eq!(reservoir.sorted(0), all);
        (8192..100_000).for_each(|x| reservoir.add(&[f64::from(x)]));
        let sample = reservoir.sorted(0);
        assert_eq!(sample.len(), 8192);
        // The mean of a uniform sample of 0..100,000: 49,999.5, with a standard error of 28,868/√8192 = 319.
        let mean = sample.iter().sum::<f64>() / 8192.0;
        assert!((mean - 49_999.5).abs() < 4.0 * 319.0, "{mean}");
    }

    #[test]
    fn wide_rows_stay_whole_and_memory_bounded() {
        let mut reservoir = Reservoir::new(1000);
        for x in 0..3000 {
            reservoir.add(&[f64::from(x); 1000]);
        }
        reservoir.add(&[0.0; 999]);
        assert_eq!((reservoir.rows(), reservoir.seen), (1024, 3000));
        assert_eq!(reservoir.sorted(0), reservoir.sorted(999));
    }
}
