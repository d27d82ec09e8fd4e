//! One entity's rows of one raw source, by columns: what the vocabulary computes on. Oldest first, which every window
//! relies on, so the order is checked once, here.

use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;

use crate::timestamp::to_micros;

/// Timestamps and as many values in every column.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Frame {
    timestamps: Vec<Timestamp>,
    columns: Vec<(Arc<str>, Column)>,
}

/// One column's values.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Column {
    /// Numbers; NaN is a missing value.
    Numbers(Vec<f64>),
    /// Texts.
    Texts(Vec<Option<Arc<str>>>),
}

impl Column {
    /// An empty column that takes this value and its like. A missing one says nothing; numbers are the rule.
    pub(crate) fn like(value: &Value<'_>) -> Self {
        if matches!(value, Value::Text(_)) { Self::Texts(Vec::new()) } else { Self::Numbers(Vec::new()) }
    }

    /// Sets row `row`, the first or a later one than was set before; rows between are missing.
    pub(crate) fn set(&mut self, row: usize, value: &Value<'_>) -> Result<(), ()> {
        self.resize(row);
        match (&mut *self, value) {
            // No −0: PostgreSQL's JSON has none, and all stores must give the same bits.
            (Self::Numbers(numbers), Value::Number(x)) => numbers.push(*x + 0.0),
            (Self::Numbers(numbers), Value::Bool(x)) => numbers.push(f64::from(u8::from(*x))),
            (Self::Texts(texts), Value::Text(text)) => texts.push(Some(Arc::from(&**text))),
            (_, Value::Missing) => self.resize(row + 1),
            // Nothing but missing values came so far.
            (Self::Numbers(numbers), Value::Text(text)) if numbers.iter().all(|x| x.is_nan()) => {
                let mut texts = vec![None; row];
                texts.push(Some(Arc::from(&**text)));
                *self = Self::Texts(texts);
            }
            (Self::Numbers(_) | Self::Texts(_), _) => return Err(()),
        }
        Ok(())
    }

    /// Cuts off, or fills with missing values.
    pub(crate) fn resize(&mut self, rows: usize) {
        match self {
            Self::Numbers(numbers) => numbers.resize(rows, f64::NAN),
            Self::Texts(texts) => texts.resize(rows, None),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(texts) => texts.len(),
        }
    }
}

/// Why rows are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A row is older than the one before it.
    #[error("row {row} is of {timestamp}, older than the row before it: expected the oldest first")]
    Unsorted {
        /// The row's index.
        row: usize,
        /// Its timestamp.
        timestamp: Timestamp,
    },
    /// Two rows of the same moment, where one was expected.
    #[error("rows {} and {row} are both of {timestamp}: expected one row a moment", row - 1)]
    Duplicate {
        /// The second row's index.
        row: usize,
        /// The moment.
        timestamp: Timestamp,
    },
    /// A column with too few or too many values.
    #[error("column `{column}`: expected {expected} values, one a timestamp, got {got}")]
    Length {
        /// The column.
        column: Arc<str>,
        /// The number of timestamps.
        expected: usize,
        /// The number of values.
        got: usize,
    },
    /// Texts and numbers in one column.
    #[error("column `{column}` has both texts and numbers")]
    Mixed {
        /// The column.
        column: Arc<str>,
    },
    /// Two columns of the same name.
    #[error("column `{column}` stands there twice")]
    RepeatedColumn {
        /// The column.
        column: Arc<str>,
    },
}

impl Frame {
    /// A series: one row a moment.
    ///
    /// # Errors
    /// [`FrameError`] for rows that are not in order or repeat a moment, and columns that do not fit.
    pub fn new(timestamps: Vec<Timestamp>, columns: Vec<(Arc<str>, Vec<f64>)>) -> Result<Self, FrameError> {
        let frame = Self::events(timestamps, columns)?;
        let repeated = frame.timestamps.windows(2).position(|pair| pair[0] == pair[1]);
        match repeated {
            Some(i) => Err(FrameError::Duplicate { row: i + 1, timestamp: frame.timestamps[i] }),
            None => Ok(frame),
        }
    }

    /// Events: several rows may be of one moment, such as texts published in the same second.
    ///
    /// # Errors
    /// [`FrameError`] for rows that are not in order, and columns that do not fit.
    pub fn events(
        timestamps: Vec<Timestamp>,
        columns: Vec<(Arc<str>, Vec<f64>)>,
    ) -> Result<Self, FrameError> {
        Self::of(timestamps, columns.into_iter().map(|(name, x)| (name, Column::Numbers(x))).collect())
    }

    /// Events with columns of any kind.
    ///
    /// # Errors
    /// As [`Frame::events`].
    pub fn of(timestamps: Vec<Timestamp>, columns: Vec<(Arc<str>, Column)>) -> Result<Self, FrameError> {
        let timestamps: Vec<Timestamp> = timestamps.into_iter().map(to_micros).collect();
        if let Some(i) = timestamps.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(FrameError::Unsorted { row: i + 1, timestamp: timestamps[i + 1] });
        }
        for (i, (name, values)) in columns.iter().enumerate() {
            if values.len() != timestamps.len() {
                let (column, expected) = (Arc::clone(name), timestamps.len());
                return Err(FrameError::Length { column, expected, got: values.len() });
            }
            if columns[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(FrameError::RepeatedColumn { column: Arc::clone(name) });
            }
        }
        Ok(Self { timestamps, columns })
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// There are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The rows' moments, oldest first, in whole microseconds.
    #[must_use]
    pub fn timestamps(&self) -> &[Timestamp] {
        &self.timestamps
    }

    /// The named column of numbers.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&[f64]> {
        match self.any(name)? {
            Column::Numbers(numbers) => Some(numbers),
            Column::Texts(_) => None,
        }
    }

    /// The named column of texts.
    #[must_use]
    pub fn texts(&self, name: &str) -> Option<&[Option<Arc<str>>]> {
        match self.any(name)? {
            Column::Texts(texts) => Some(texts),
            Column::Numbers(_) => None,
        }
    }

    fn any(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(known, _)| &**known == name).map(|(_, column)| column)
    }

    /// The columns' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(seconds: &[i64]) -> Vec<Timestamp> {
        seconds.iter().map(|s| Timestamp::from_second(*s).expect("is in range")).collect()
    }

    #[test]
    fn rows_out_of_order_or_repeated_are_refused() {
        let frame = |seconds: &[i64]| Frame::new(moments(seconds), Vec::new()).map(|frame| frame.len());
        let at = |second| Timestamp::from_second(second).expect("is in range");
        assert_eq!(frame(&[1, 2, 5]), Ok(3));
        assert_eq!(frame(&[1, 3, 2]), Err(FrameError::Unsorted { row: 2, timestamp: at(2) }));
        assert_eq!(frame(&[1, 3, 3]), Err(FrameError::Duplicate { row: 2, timestamp: at(3) }));
        assert_eq!(Frame::events(moments(&[1, 3, 3]), Vec::new()).map(|frame| frame.len()), Ok(3));
    }

    #[test]
    fn columns_must_fit_the_rows() {
        let frame = |columns| Frame::new(moments(&[1, 2]), columns).expect_err("is refused").to_string();
        assert_eq!(
            frame(vec![("x".into(), vec![1.0])]),
            "column `x`: expected 2 values, one a timestamp, got 1"
        );
        let twice = vec![("x".into(), vec![1.0, 2.0]), ("x".into(), vec![1.0, 2.0])];
        assert_eq!(frame(twice), "column `x` stands there twice");
    }
}
