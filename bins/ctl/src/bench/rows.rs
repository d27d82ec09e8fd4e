//! Rows to measure with, drawn from the golden rows, each column on its own: every value is one that the model's proof
//! has in that column, so it is legal there, and there are too many combinations for a branch predictor to learn.

use ndarray::Array2;

/// `count` rows of `width` numbers; missing everywhere where there are no golden rows. The same rows each time.
pub(super) fn drawn(golden: &[Vec<f64>], count: usize, width: usize) -> Array2<f64> {
    let mut state = 0;
    Array2::from_shape_fn((count, width), |(_, column)| {
        let row = next(&mut state) % golden.len().max(1) as u64;
        golden.get(row as usize).and_then(|row| row.get(column)).copied().unwrap_or(f64::NAN)
    })
}

/// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_in_their_columns_and_rows_differ() {
        let golden = [vec![1.0, 10.0], vec![2.0, 20.0], vec![3.0, 30.0]];
        let rows = drawn(&golden, 100, 2);
        assert!(rows.column(0).iter().all(|x| [1.0, 2.0, 3.0].contains(x)));
        assert!(rows.column(1).iter().all(|x| [10.0, 20.0, 30.0].contains(x)));
        assert!(rows.rows().into_iter().any(|row| row[1] != row[0] * 10.0), "columns are drawn together");
    }

    #[test]
    fn no_golden_rows_make_missing_values() {
        assert!(drawn(&[], 2, 3).iter().all(|x| x.is_nan()));
    }
}
