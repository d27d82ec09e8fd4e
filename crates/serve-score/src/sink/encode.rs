//! Batches to bytes, in each of the formats, compressed where the file's name says so.

use std::io::{self, BufWriter, Write};

use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter;
use arrow_schema::SchemaRef;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::error::Cause;
use crate::format::Format;

/// A row group of Parquet is written out when it takes so much, however few rows that are.
const ROW_GROUP_BYTES: usize = 32 << 20;

pub(crate) type Bytes = Box<dyn Write + Send>;

/// An encoder over bytes.
pub(crate) enum Encoder {
    Parquet(Box<ArrowWriter<Stream>>),
    Csv(arrow_csv::Writer<Stream>),
    Json(arrow_json::LineDelimitedWriter<Stream>),
    Arrow(FileWriter<Stream>),
}

impl Encoder {
    /// Begins a file; `name` tells its compression, and `header` whether a CSV has one.
    pub(crate) fn new(
        format: Format,
        schema: &SchemaRef,
        bytes: Bytes,
        name: &str,
        header: bool,
    ) -> Result<Self, Cause> {
        Ok(match format {
            Format::Parquet => {
                let writer =
                    ArrowWriter::try_new(Stream::plain(bytes), schema.clone(), Some(properties(schema)))?;
                Self::Parquet(Box::new(writer))
            }
            Format::Csv => {
                let mut writer =
                    arrow_csv::WriterBuilder::new().with_header(header).build(Stream::of(bytes, name)?);
                if header {
                    // It stands there also where no row does.
                    writer.write(&RecordBatch::new_empty(schema.clone()))?;
                }
                Self::Csv(writer)
            }
            Format::Json => {
                let builder = arrow_json::WriterBuilder::new().with_explicit_nulls(true);
                Self::Json(builder.build(Stream::of(bytes, name)?))
            }
            Format::Arrow => Self::Arrow(FileWriter::try_new(Stream::plain(bytes), schema)?),
        })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Cause> {
        match self {
            Self::Parquet(writer) => {
                writer.write(batch)?;
                if writer.in_progress_size() > ROW_GROUP_BYTES {
                    writer.flush()?;
                }
            }
            Self::Csv(writer) => writer.write(batch)?,
            Self::Json(writer) => writer.write(batch)?,
            Self::Arrow(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    /// Writes what is left.
    pub(crate) fn finish(self) -> Result<(), Cause> {
        let stream = match self {
            Self::Parquet(writer) => writer.into_inner()?,
            Self::Csv(writer) => writer.into_inner(),
            Self::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Self::Arrow(writer) => writer.into_inner()?,
        };
        Ok(stream.finish()?)
    }
}

/// Snappy, and no dictionaries of scores and measurements, which hardly repeat.
fn properties(schema: &SchemaRef) -> WriterProperties {
    let measured = schema.fields().iter().filter(|field| field.data_type().is_floating());
    let plain = WriterProperties::builder().set_compression(Compression::SNAPPY);
    measured
        .fold(plain, |builder, field| {
            builder.set_column_dictionary_enabled(ColumnPath::new(vec![field.name().clone()]), false)
        })
        .build()
}

/// Bytes on their way to a file.
pub(crate) enum Stream {
    Plain(BufWriter<Bytes>),
    Gzip(GzEncoder<BufWriter<Bytes>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<Bytes>>),
}

impl Stream {
    fn plain(bytes: Bytes) -> Self {
        Self::Plain(BufWriter::with_capacity(1 << 18, bytes))
    }

    fn of(bytes: Bytes, name: &str) -> io::Result<Self> {
        let bytes = BufWriter::with_capacity(1 << 18, bytes);
        let lower = name.to_ascii_lowercase();
        Ok(match lower.rsplit_once('.') {
            Some((_, "gz")) => Self::Gzip(GzEncoder::new(bytes, flate2::Compression::default())),
            Some((_, "zst" | "zstd")) => Self::Zstd(zstd::stream::write::Encoder::new(bytes, 0)?),
            _ => Self::Plain(bytes),
        })
    }

    fn finish(self) -> io::Result<()> {
        let mut bytes = match self {
            Self::Plain(bytes) => bytes,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        bytes.flush()
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Gzip(stream) => stream.write(bytes),
            Self::Zstd(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            // A flush ends a block of the compression, and the writers above flush after every batch.
            Self::Gzip(_) | Self::Zstd(_) => Ok(()),
        }
    }
}
