//! Rows in smartcore's form.

use ndarray::ArrayView2;
use smartcore::linalg::basic::matrix::DenseMatrix;

use crate::error::TrainError;

/// Copies rows `[rows, features]` into a column-major matrix; the trees read it by column.
pub(crate) fn dense(rows: ArrayView2<'_, f64>) -> Result<DenseMatrix<f64>, TrainError> {
    let values = rows.t().iter().copied().collect();
    DenseMatrix::new(rows.nrows(), rows.ncols(), values, true)
        .map_err(|source| TrainError::Smartcore { step: "take the data", source })
}
