//! The proof: rows of the data with the answers that smartcore itself gives. The bundle is not built unless the engine
//! gives the same, on the machine that trains and again on each that serves.

use ndarray::{ArrayView2, Axis};
use serve_core::{Golden, GoldenSource, Tolerance};

use crate::error::TrainError;
use crate::fitted::Fitted;

/// The library that trains.
pub(crate) const LIBRARY: &str = "smartcore";
/// Its version, the one in `Cargo.lock` (a test holds them together).
pub(crate) const LIBRARY_VERSION: &str = "0.7.0";

const ROWS: usize = 200;
const HOLDOUT_ROWS: usize = 150;

/// Up to 200 rows, evenly spaced: three quarters from the held-out part, if it has as many, the rest from the training
/// part.
///
/// # Errors
/// When smartcore's `predict()` answers one of them otherwise than the probabilities taken from its model say.
pub(crate) fn make(
    fitted: &dyn Fitted,
    rows: ArrayView2<'_, f64>,
    first: usize,
) -> Result<Golden, TrainError> {
    let holdout = spaced(first, rows.nrows(), HOLDOUT_ROWS);
    let training = spaced(0, first, ROWS - holdout.len());
    let chosen: Vec<usize> = training.into_iter().chain(holdout).collect();
    let rows = rows.select(Axis(0), &chosen);
    let scores = fitted.answers(rows.view())?;
    Ok(Golden {
        source: GoldenSource::Reference,
        by: format!("{LIBRARY} {LIBRARY_VERSION}"),
        tolerance: Tolerance::F64,
        rows: rows.rows().into_iter().map(|row| row.to_vec()).collect(),
        scores,
    })
}

/// At most `count` of `from..to`, evenly spaced, the last among them.
fn spaced(from: usize, to: usize, count: usize) -> Vec<usize> {
    let rows = to - from;
    let count = count.min(rows);
    (1..=count).map(|i| from + i * rows / count - 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spread_over_the_part_and_none_stands_twice() {
        assert_eq!(spaced(10, 20, 4), [11, 14, 16, 19]);
        assert_eq!(spaced(3, 6, 100), [3, 4, 5]);
        assert_eq!(spaced(0, 5, 0), [0; 0]);
        let many = spaced(0, 1_000, 150);
        assert!(many.len() == 150 && many.is_sorted_by(|a, b| a < b) && many[149] == 999);
    }

    #[test]
    fn the_version_is_the_one_that_is_built() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"{LIBRARY}\"\nversion = \"{LIBRARY_VERSION}\"\n")));
    }
}
