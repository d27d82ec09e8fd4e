//! A built table as a Parquet file, row group by row group.

use std::fs::File;
use std::io;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serve_core::Value;

use super::{TableColumn, cell, is_whole, named};
use crate::row::FeatureRow;

/// Rows that are kept before they are encoded.
const BATCH: usize = 8192;

/// The file and the rows that it does not have yet.
pub(super) struct ParquetTable {
    writer: ArrowWriter<File>,
    schema: SchemaRef,
    columns: Vec<(String, Values)>,
    entities: StringBuilder,
    moments: TimestampMicrosecondBuilder,
    rows: usize,
}

/// A column under way.
enum Values {
    Numbers(Float64Builder),
    Wholes(Int64Builder),
    Texts(StringBuilder),
}

impl ParquetTable {
    pub(super) fn new(file: File, columns: &[(String, TableColumn)]) -> io::Result<Self> {
        let utc: Arc<str> = Arc::from("UTC");
        let moment = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(&utc)));
        let mut fields =
            vec![Field::new("entity", DataType::Utf8, false), Field::new("timestamp", moment, false)];
        let mut builders = Vec::with_capacity(columns.len());
        for (name, kind) in columns {
            let (values, kind) = match kind {
                TableColumn::Number => (Values::Numbers(Float64Builder::new()), DataType::Float64),
                TableColumn::Whole => (Values::Wholes(Int64Builder::new()), DataType::Int64),
                TableColumn::Text => (Values::Texts(StringBuilder::new()), DataType::Utf8),
            };
            fields.push(Field::new(name, kind, true));
            builders.push((name.clone(), values));
        }
        let schema = Arc::new(Schema::new(fields));
        let compressed = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
        let writer =
            ArrowWriter::try_new(file, Arc::clone(&schema), Some(compressed.build())).map_err(other)?;
        let moments = TimestampMicrosecondBuilder::new().with_timezone(utc);
        Ok(Self { writer, schema, columns: builders, entities: StringBuilder::new(), moments, rows: 0 })
    }

    pub(super) fn write(&mut self, rows: &[FeatureRow]) -> io::Result<()> {
        for row in rows {
            self.entities.append_value(row.entity().as_str());
            self.moments.append_value(row.timestamp().as_microsecond());
            for (at, (name, values)) in self.columns.iter_mut().enumerate() {
                let value = named(row, at, name).unwrap_or(&Value::Missing);
                match (values, value) {
                    (Values::Numbers(numbers), Value::Number(x)) if !x.is_nan() => numbers.append_value(*x),
                    (Values::Numbers(numbers), _) => numbers.append_null(),
                    (Values::Wholes(wholes), Value::Number(x)) if is_whole(*x) => {
                        wholes.append_value(*x as i64);
                    }
                    (Values::Wholes(wholes), _) => wholes.append_null(),
                    (Values::Texts(texts), Value::Missing) => texts.append_null(),
                    (Values::Texts(texts), value) => texts.append_value(cell(value)),
                }
            }
            self.rows += 1;
            if self.rows == BATCH {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut arrays: Vec<ArrayRef> =
            vec![Arc::new(self.entities.finish()), Arc::new(self.moments.finish())];
        for (_, values) in &mut self.columns {
            arrays.push(match values {
                Values::Numbers(numbers) => Arc::new(numbers.finish()),
                Values::Wholes(wholes) => Arc::new(wholes.finish()),
                Values::Texts(texts) => Arc::new(texts.finish()),
            });
        }
        self.rows = 0;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(other)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.writer.close().map(|_| ()).map_err(other)
    }
}

fn other(error: parquet::errors::ParquetError) -> io::Error {
    io::Error::other(error)
}
