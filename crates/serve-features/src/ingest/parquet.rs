//! A Parquet file as records. Columns are brought to four kinds (numbers, booleans, texts, moments) as each batch is read;
//! one of another type is refused when the file is opened.

use std::fs::File;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use jiff::Timestamp;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;

use super::FileError;
use super::records::Cell;

mod scan;

/// Rows that are decoded at a time.
const BATCH: usize = 4096;

/// A Parquet file's rows, one after the other.
pub(super) struct ParquetRecords {
    reader: ParquetRecordBatchReader,
    names: Vec<String>,
    /// By column: it holds integers.
    whole: Vec<bool>,
    batch: Vec<Converted>,
    /// The batch's columns of 64-bit integers as they are.
    wide: Vec<Option<ArrayRef>>,
    /// Rows of the batch, and where in it the record stands.
    rows: usize,
    at: usize,
    /// Rows of the batches before.
    before: u64,
}

/// A column of one batch.
enum Converted {
    Numbers(Float64Array),
    Bools(BooleanArray),
    Texts(StringViewArray),
    Moments(TimestampMicrosecondArray),
}

impl ParquetRecords {
    pub(super) fn open(file: File) -> Result<Self, FileError> {
        Self::of(ParquetRecordBatchReaderBuilder::try_new(file).map_err(broken)?)
    }

    /// A stranger's file in memory, of at most so many rows. Nothing is decoded before its claims have been checked. Texts
    /// are views of a dictionary, so that one long text in many rows is there once.
    pub(super) fn of_bytes(file: Bytes, most: u64) -> Result<Self, FileError> {
        let unsound = |source| FileError::Parquet { row: 0, source: Box::new(source) };
        scan::check(&file, most).map_err(unsound)?;
        // What Arrow adds to the footer is a format of its own, and says nothing that is needed here.
        let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&file, options()).map_err(broken)?;
        let view = |field: &Arc<Field>| match field.data_type() {
            DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
            _ => Arc::clone(field),
        };
        let schema = Schema::new(metadata.schema().fields().iter().map(view).collect::<Vec<_>>());
        let viewed = options().with_schema(Arc::new(schema));
        let metadata =
            ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), viewed).map_err(broken)?;
        Self::of(ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata))
    }

    fn of<R: ChunkReader + 'static>(builder: ParquetRecordBatchReaderBuilder<R>) -> Result<Self, FileError> {
        let (mut names, mut whole) = (Vec::new(), Vec::new());
        for field in builder.schema().fields() {
            if target(field.data_type()).is_none() {
                return Err(FileError::ColumnType {
                    column: field.name().clone(),
                    expected: "numbers, booleans, texts or timestamps",
                    got: field.data_type().to_string(),
                });
            }
            names.push(field.name().clone());
            whole.push(field.data_type().is_integer());
        }
        let reader = builder.with_batch_size(BATCH).build().map_err(broken)?;
        Ok(Self { reader, names, whole, batch: Vec::new(), wide: Vec::new(), rows: 0, at: 0, before: 0 })
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a column holds integers.
    pub(super) fn is_whole(&self, column: usize) -> bool {
        self.whole[column]
    }

    /// The record's row, from 1.
    pub(super) fn row(&self) -> u64 {
        self.before + self.at as u64 + 1
    }

    pub(super) fn advance(&mut self) -> Result<bool, FileError> {
        if self.at + 1 < self.rows {
            self.at += 1;
            return Ok(true);
        }
        loop {
            let row = self.before + self.rows as u64;
            let broken = |source| FileError::Parquet { row, source };
            let Some(batch) = self.reader.next() else { return Ok(false) };
            let batch: RecordBatch = batch.map_err(|error| broken(error.into()))?;
            self.batch = converted(&batch).map_err(|error| broken(error.into()))?;
            let is_wide =
                |column: &&ArrayRef| matches!(column.data_type(), DataType::Int64 | DataType::UInt64);
            self.wide = batch.columns().iter().map(|column| Some(column).filter(is_wide).cloned()).collect();
            (self.before, self.rows, self.at) = (row, batch.num_rows(), 0);
            if self.rows > 0 {
                return Ok(true);
            }
        }
    }

    /// A cell of a column of 64-bit integers.
    pub(super) fn whole(&self, column: usize) -> Option<i128> {
        let array = self.wide[column].as_ref().filter(|array| array.is_valid(self.at))?;
        let signed = array.as_primitive_opt::<Int64Type>().map(|array| array.value(self.at).into());
        signed.or_else(|| array.as_primitive_opt::<UInt64Type>().map(|array| array.value(self.at).into()))
    }

    pub(super) fn cell(&self, column: usize) -> Cell<'_> {
        let at = self.at;
        match &self.batch[column] {
            Converted::Numbers(array) if array.is_valid(at) => Cell::Number(array.value(at)),
            Converted::Bools(array) if array.is_valid(at) => Cell::Bool(array.value(at)),
            Converted::Texts(array) if array.is_valid(at) => Cell::Text(array.value(at)),
            Converted::Moments(array) if array.is_valid(at) => {
                Timestamp::from_microsecond(array.value(at)).map_or(Cell::Missing, Cell::Moment)
            }
            _ => Cell::Missing,
        }
    }
}

fn broken(source: ParquetError) -> FileError {
    FileError::Parquet { row: 0, source: Box::new(source) }
}

/// The kind that a column's type is brought to.
fn target(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::Boolean => Some(DataType::Boolean),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8View),
        DataType::Dictionary(_, values) => target(values),
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))))
        }
        DataType::Null => Some(DataType::Float64),
        number if number.is_numeric() => Some(DataType::Float64),
        _ => None,
    }
}

fn converted(batch: &RecordBatch) -> Result<Vec<Converted>, arrow_schema::ArrowError> {
    batch.columns().iter().map(convert).collect()
}

fn convert(column: &ArrayRef) -> Result<Converted, arrow_schema::ArrowError> {
    // The types were looked at when the file was opened.
    let kind = target(column.data_type()).unwrap_or(DataType::Utf8View);
    let column = arrow_cast::cast(column, &kind)?;
    Ok(match kind {
        DataType::Boolean => Converted::Bools(column.as_boolean().clone()),
        DataType::Utf8View => Converted::Texts(column.as_string_view().clone()),
        DataType::Timestamp(_, _) => {
            Converted::Moments(column.as_primitive::<TimestampMicrosecondType>().clone())
        }
        _ => Converted::Numbers(column.as_primitive::<Float64Type>().clone()),
    })
}
