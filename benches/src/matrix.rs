//! Rows in a file: raw little-endian `f64`, row-major, without a header; what NumPy's `tofile` writes.

use std::io;
use std::path::Path;

use ndarray::{Array2, ArrayView2, s};

/// Reads `rows` × `features` numbers.
///
/// # Errors
/// When the file cannot be read or has another length.
pub fn read(path: &Path, rows: usize, features: usize) -> io::Result<Array2<f64>> {
    let bytes = std::fs::read(path)?;
    let wrong = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let expected = rows.checked_mul(features).and_then(|numbers| numbers.checked_mul(8));
    if expected != Some(bytes.len()) {
        let (path, got) = (path.display(), bytes.len());
        return Err(wrong(format!("{path} has {got} bytes, expected {rows} rows of {features} f64")));
    }
    let (numbers, _) = bytes.as_chunks::<8>();
    let numbers = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    Array2::from_shape_vec((rows, features), numbers).map_err(|error| wrong(error.to_string()))
}

/// Writes numbers as [`read`] reads them.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, numbers: &[f64]) -> io::Result<()> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    std::fs::write(path, bytes)
}

/// The same rows over and over until there are at least `rows`, so that no batch is short of rows.
#[must_use]
pub fn repeated(given: &Array2<f64>, rows: usize) -> Array2<f64> {
    if given.nrows() >= rows || given.is_empty() {
        return given.clone();
    }
    Array2::from_shape_fn((rows, given.ncols()), |(row, column)| given[[row % given.nrows(), column]])
}

/// Some of the rows, without a copy.
#[must_use]
pub fn rows(given: &Array2<f64>, rows: std::ops::Range<usize>) -> ArrayView2<'_, f64> {
    given.slice(s![rows, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_back_with_its_bits() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.f64");
        let numbers = [1.5, f64::NAN, -0.0, f64::INFINITY, 5e-324, -2.0];
        write(&path, &numbers).expect("writes");
        let back = read(&path, 2, 3).expect("reads");
        assert!(back.iter().zip(numbers).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert_eq!(back.dim(), (2, 3));
        let error = read(&path, 2, 4).expect_err("refused").to_string();
        assert!(error.ends_with("has 48 bytes, expected 2 rows of 4 f64"), "{error}");
        read(&path, usize::MAX, 3).expect_err("refused");
    }

    #[test]
    fn rows_repeat_in_order() {
        let given = Array2::from_shape_fn((2, 1), |(row, _)| row as f64);
        assert_eq!(repeated(&given, 5).into_raw_vec_and_offset().0, [0.0, 1.0, 0.0, 1.0, 0.0]);
        assert_eq!(repeated(&given, 1).nrows(), 2);
    }
}
