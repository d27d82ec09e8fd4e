//! The cells of values without a training window: of one relative width, by the first bits of the number. Sixteen (for scores
//! 64) cells between two powers of two, so a value read back from the middle of its cell misses by at most 1/32 (1/128) of itself.

/// The cell of a finite number or an infinity, with `2^bits` cells between powers of two. Cells ascend with numbers; those of zero are 0.
pub(super) fn log_cell(x: f64, bits: u32) -> i32 {
    let magnitude = (x.abs().to_bits() >> (52 - bits)) as i32;
    if x < 0.0 { -magnitude } else { magnitude }
}

/// The ends of a cell, the lesser first.
pub(super) fn bounds(cell: i32, bits: u32) -> (f64, f64) {
    let edge = |magnitude: u32| f64::from_bits(u64::from(magnitude.min(0x7ff << bits)) << (52 - bits));
    let magnitude = cell.unsigned_abs();
    let (near, far) = (edge(magnitude), edge(magnitude.saturating_add(1)));
    let far = if far.is_finite() { far } else { f64::MAX };
    if cell < 0 { (-far, -near) } else { (near, far) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_lies_in_its_cell_and_cells_ascend() {
        let numbers =
            [-1e300, -7.0, -1.0, -0.3, -1e-300, 0.0, 5e-324, 1e-9, 0.1, 1.0, 1.0624, 1.0626, 3.0, 1e300];
        for bits in [4, 6] {
            for pair in numbers.windows(2) {
                assert!(log_cell(pair[0], bits) <= log_cell(pair[1], bits), "{pair:?}");
            }
            for x in numbers {
                let (low, high) = bounds(log_cell(x, bits), bits);
                assert!((low..=high).contains(&x), "{x} is not in {low}..{high}");
                let middle = f64::midpoint(low, high);
                let miss = 1.0 / f64::from(2 << bits);
                assert!(
                    x.abs() < 1e-300 || ((middle - x) / x).abs() <= miss + 1e-12,
                    "{x} is told as {middle}"
                );
            }
        }
    }
}
