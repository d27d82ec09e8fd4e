//! Rows as the engine reads them: a view of `f64` or `f32` with any strides, read where it lies. Kernels take at most a
//! tile of 64 to 256 rows out of it at a time.

use ndarray::{ArrayView1, ArrayView2, Axis, Slice};

/// Rows of inputs, `[rows, inputs]`, by rows, by columns or with any other strides. NaN means missing.
///
/// ```
/// use ndarray::{Array2, ShapeBuilder};
/// use serve_core::engine::Rows;
/// let by_columns = Array2::<f32>::zeros((1000, 30).f());
/// let rows = Rows::from(by_columns.view());
/// assert_eq!((rows.len(), rows.inputs()), (1000, 30));
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// Numbers in `f64`.
    F64(ArrayView2<'a, f64>),
    /// Numbers in `f32`; each is the `f64` of the same value.
    F32(ArrayView2<'a, f32>),
}

impl<'a> From<ArrayView2<'a, f64>> for Rows<'a> {
    fn from(view: ArrayView2<'a, f64>) -> Self {
        Self::F64(view)
    }
}

impl<'a> From<ArrayView2<'a, f32>> for Rows<'a> {
    fn from(view: ArrayView2<'a, f32>) -> Self {
        Self::F32(view)
    }
}

impl<'a> From<ArrayView1<'a, f64>> for Rows<'a> {
    fn from(row: ArrayView1<'a, f64>) -> Self {
        Self::F64(row.insert_axis(Axis(0)))
    }
}

impl<'a> Rows<'a> {
    /// Numbers as rows of `width`, row-major; numbers that fill no row are left out.
    pub(crate) fn of(numbers: &'a [f64], width: usize) -> Self {
        let count = numbers.len().checked_div(width).unwrap_or(0);
        let view = ArrayView2::from_shape((count, width), &numbers[..count * width]);
        Self::F64(view.expect("as many numbers as the shape has places"))
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F64(view) => view.nrows(),
            Self::F32(view) => view.nrows(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of inputs.
    #[must_use]
    pub fn inputs(&self) -> usize {
        match self {
            Self::F64(view) => view.ncols(),
            Self::F32(view) => view.ncols(),
        }
    }

    /// The rows from `start` up to `end`.
    ///
    /// # Panics
    /// When they are not there.
    #[must_use]
    pub fn slice(&self, start: usize, end: usize) -> Self {
        let rows = Slice::from(start..end);
        match *self {
            Self::F64(mut view) => {
                view.slice_axis_inplace(Axis(0), rows);
                Self::F64(view)
            }
            Self::F32(mut view) => {
                view.slice_axis_inplace(Axis(0), rows);
                Self::F32(view)
            }
        }
    }

    /// Whether every number is finite.
    pub(crate) fn all_finite(&self) -> bool {
        match self {
            Self::F64(view) => view.rows().into_iter().all(|row| match row.to_slice() {
                Some(row) => finite(row),
                None => row.iter().all(|x| x.is_finite()),
            }),
            Self::F32(view) => view.iter().all(|x| x.is_finite()),
        }
    }

    /// One number.
    pub(crate) fn at(&self, row: usize, input: usize) -> f64 {
        match self {
            Self::F64(view) => view[(row, input)],
            Self::F32(view) => f64::from(view[(row, input)]),
        }
    }

    /// Copies all rows, row-major.
    pub(crate) fn copy_all(&self, into: &mut Vec<f64>) {
        into.clear();
        match self {
            Self::F64(view) => into.extend(view.iter()),
            Self::F32(view) => into.extend(view.iter().map(|&x| f64::from(x))),
        }
    }

    /// Copies one row.
    pub(crate) fn copy_row(&self, row: usize, into: &mut Vec<f64>) {
        into.clear();
        match self {
            Self::F64(view) => into.extend(view.row(row)),
            Self::F32(view) => into.extend(view.row(row).iter().map(|&x| f64::from(x))),
        }
    }
}

/// Whether every number is finite, without a branch for each.
fn finite(numbers: &[f64]) -> bool {
    numbers.iter().fold(true, |all, x| all & x.is_finite())
}
