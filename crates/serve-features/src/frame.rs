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
    /// Both, and booleans, each value read in both ways. What a row reads as depends on no other row: else a text that comes
    /// later would change what was known before.
    Mixed {
        /// A text is missing here, a boolean 0 or 1.
        numbers: Vec<f64>,
        /// A number or boolean is written out here.
        texts: Vec<Option<Arc<str>>>,
    },
}

impl Column {
    /// An empty column that takes this value and its like. A missing one says nothing; numbers are the rule.
    pub(crate) fn like(value: &Value<'_>) -> Self {
        if matches!(value, Value::Text(_)) { Self::Texts(Vec::new()) } else { Self::Numbers(Vec::new()) }
    }

    /// Sets row `row`, the first or a later one than was set before; rows between are missing.
    pub(crate) fn set(&mut self, row: usize, value: &Value<'_>) {
        self.resize(row);
        match (&mut *self, value) {
            (_, Value::Missing | Value::Other(_)) => self.resize(row + 1),
            (_, Value::Number(x)) if x.is_nan() => self.resize(row + 1),
            // No −0: PostgreSQL's JSON has none, and all stores must give the same bits.
            (Self::Numbers(numbers), Value::Number(x)) => numbers.push(*x + 0.0),
            (Self::Texts(texts), Value::Text(text)) => texts.push(Some(Arc::from(&**text))),
            // Nothing but missing values came so far.
            (Self::Numbers(numbers), Value::Text(text)) if numbers.iter().all(|x| x.is_nan()) => {
                let mut texts = vec![None; row];
                texts.push(Some(Arc::from(&**text)));
                *self = Self::Texts(texts);
            }
            (_, value) => self.push_mixed(value),
        }
    }

    /// Adds a value to a column that has, or gets, more than one kind of them.
    fn push_mixed(&mut self, value: &Value<'_>) {
        let (number, text) = match value {
            Value::Number(x) => (*x + 0.0, written(*x)),
            Value::Bool(x) => (f64::from(u8::from(*x)), Some(Arc::from(if *x { "true" } else { "false" }))),
            Value::Text(text) => (f64::NAN, Some(Arc::from(&**text))),
            Value::Missing | Value::Other(_) => (f64::NAN, None),
        };
        let (mut numbers, mut texts) = match std::mem::replace(self, Self::Numbers(Vec::new())) {
            Self::Numbers(numbers) => {
                let texts = numbers.iter().map(|x| written(*x)).collect();
                (numbers, texts)
            }
            Self::Texts(texts) => (vec![f64::NAN; texts.len()], texts),
            Self::Mixed { numbers, texts } => (numbers, texts),
        };
        numbers.push(number);
        texts.push(text);
        *self = Self::Mixed { numbers, texts };
    }

    /// Cuts off, or fills with missing values.
    pub(crate) fn resize(&mut self, rows: usize) {
        if let Self::Numbers(numbers) | Self::Mixed { numbers, .. } = self {
            numbers.resize(rows, f64::NAN);
        }
        if let Self::Texts(texts) | Self::Mixed { texts, .. } = self {
            texts.resize(rows, None);
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Mixed { numbers, texts } => numbers.len().min(texts.len()),
            Self::Texts(texts) => texts.len(),
        }
    }
}

/// A number as text; a missing one is none.
pub(crate) fn written(x: f64) -> Option<Arc<str>> {
    (!x.is_nan()).then(|| Arc::from((x + 0.0).to_string()))
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

    /// The named column of numbers; a text among them is missing.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&[f64]> {
        match self.any(name)? {
            Column::Numbers(numbers) | Column::Mixed { numbers, .. } => Some(numbers),
            Column::Texts(_) => None,
        }
    }

    /// The named column of texts; a number or boolean among them is written out.
    #[must_use]
    pub fn texts(&self, name: &str) -> Option<&[Option<Arc<str>>]> {
        match self.any(name)? {
            Column::Texts(texts) | Column::Mixed { texts, .. } => Some(texts),
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
    fn a_value_reads_the_same_whatever_came_before_it() {
        let values = [
            Value::Number(-0.0),
            Value::Text("up".into()),
            Value::Missing,
            Value::Bool(true),
            Value::Number(f64::NAN),
            Value::Number(1.5),
        ];
        let numbers = [0.0, f64::NAN, f64::NAN, 1.0, f64::NAN, 1.5];
        let texts = [Some("0"), Some("up"), None, Some("true"), None, Some("1.5")];
        for first in 0..values.len() {
            let mut column = Column::like(&values[first]);
            for row in 0..values.len() {
                column.set(row, &values[(first + row) % values.len()]);
            }
            let Column::Mixed { numbers: got, texts: said } = column else {
                panic!("one kind, from {first}")
            };
            for row in 0..values.len() {
                let from = (first + row) % values.len();
                assert_eq!(got[row].to_bits(), numbers[from].to_bits(), "row {row} from {first}");
                assert_eq!(said[row].as_deref(), texts[from], "row {row} from {first}");
            }
        }
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
