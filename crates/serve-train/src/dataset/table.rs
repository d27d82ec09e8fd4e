//! The rows of a file as they are read: numbers, the target's values, times, and a count of what is left out.

use std::collections::HashMap;
use std::io::Read;

use csv::{Reader, ReaderBuilder, StringRecord, Terminator, Trim};
use jiff::Timestamp;
use serve_core::{Value, cell};

use super::classes::Seen;
use super::columns::Columns;
use super::timestamp;
use super::{DatasetError, RowCounts};

/// Cells that mean "missing", in any case, besides the empty one.
const MISSING: [&str; 4] = ["nan", "na", "n/a", "null"];

/// Complete rows in the file's order.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Row-major.
    pub(super) values: Vec<f64>,
    /// Per row, the number of its target's value.
    pub(super) targets: Vec<u32>,
    pub(super) seen: Vec<Seen>,
    pub(super) times: Vec<Timestamp>,
    pub(super) counts: RowCounts,
    numbers: HashMap<String, u32>,
    present: Vec<usize>,
}

/// A reader that skips lines that begin with `#`. Lines end in `\n`, so that a line's number is known; the `\r` before
/// it is trimmed, and one `\n` more closes the last line.
pub(super) fn reader<R: Read>(input: R) -> Reader<impl Read> {
    ReaderBuilder::new()
        .comment(Some(b'#'))
        .terminator(Terminator::Any(b'\n'))
        .trim(Trim::All)
        .flexible(true)
        .from_reader(input.chain(&b"\n"[..]))
}

impl Table {
    pub(super) fn read(reader: &mut Reader<impl Read>, columns: &Columns) -> Result<Self, DatasetError> {
        let mut table = Self { present: vec![0; columns.features.len()], ..Self::default() };
        let mut record = StringRecord::new();
        while reader.read_record(&mut record)? {
            let breaks: usize = record.iter().map(|cell| cell.matches('\n').count()).sum();
            let line = reader.position().line() - 1 - breaks as u64;
            if record.len() == 1 && record[0].is_empty() && columns.names.len() > 1 {
                continue;
            }
            table.push(&record, line, columns)?;
        }
        table.require_rows(columns)?;
        Ok(table)
    }

    fn push(&mut self, record: &StringRecord, line: u64, columns: &Columns) -> Result<(), DatasetError> {
        let (expected, got) = (columns.names.len(), record.len());
        if expected != got {
            return Err(DatasetError::Ragged { line, expected, got });
        }
        self.counts.read += 1;
        let begin = self.values.len();
        for (present, &column) in self.present.iter_mut().zip(&columns.features) {
            let value = number(&columns.names[column], line, &record[column])?;
            *present += usize::from(!value.is_nan());
            self.values.push(value);
        }
        let missing_target = is_missing(&record[columns.target]);
        if missing_target || self.values[begin..].iter().any(|x| x.is_nan()) {
            self.values.truncate(begin);
            self.counts.missing_target += usize::from(missing_target);
            self.counts.missing_feature += usize::from(!missing_target);
            return Ok(());
        }
        if let Some(column) = columns.time {
            self.times.push(time(&columns.names[column], line, &record[column])?);
        }
        let target = self.target(&record[columns.target], line);
        self.targets.push(target);
        self.counts.used += 1;
        Ok(())
    }

    fn target(&mut self, text: &str, line: u64) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.seen.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        self.seen.push((text.to_owned(), line));
        number
    }

    fn require_rows(&self, columns: &Columns) -> Result<(), DatasetError> {
        let RowCounts { read: rows, used, missing_target, missing_feature } = self.counts;
        if rows == 0 {
            return Err(DatasetError::NoRows);
        }
        if let Some(empty) = self.present.iter().position(|&present| present == 0) {
            let column = columns.names[columns.features[empty]].clone();
            return Err(DatasetError::EmptyColumn { column, rows });
        }
        if used == 0 {
            return Err(DatasetError::NoCompleteRow { rows, missing_target, missing_feature });
        }
        Ok(())
    }
}

fn is_missing(cell: &str) -> bool {
    cell.is_empty() || MISSING.iter().any(|missing| cell.eq_ignore_ascii_case(missing))
}

/// A cell as a number; NaN where it is missing.
fn number(column: &str, line: u64, cell: &str) -> Result<f64, DatasetError> {
    if is_missing(cell) {
        return Ok(f64::NAN);
    }
    let (column, value) = (|| column.to_owned(), || cell.to_owned());
    match cell.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(x),
        Ok(x) if x.is_nan() => Ok(x),
        Ok(_) => Err(DatasetError::Infinite { column: column(), line, value: value() }),
        Err(_) => match cell::number(cell) {
            // As everywhere in numerical Python, true is 1.
            Some(Value::Bool(truth)) => Ok(f64::from(u8::from(truth))),
            Some(Value::Missing) => Ok(f64::NAN),
            _ => Err(DatasetError::NotANumber { column: column(), line, value: value() }),
        },
    }
}

fn time(column: &str, line: u64, cell: &str) -> Result<Timestamp, DatasetError> {
    let error = || DatasetError::Time { column: column.to_owned(), line, value: cell.to_owned() };
    timestamp::parse(cell).ok_or_else(error)
}
