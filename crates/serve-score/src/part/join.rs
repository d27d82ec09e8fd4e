//! Parts to one file. Nothing is decoded but Arrow: the row groups of Parquet and the bytes of text are copied as they are. Compressed
//! text becomes one member after the other, which every reader of gzip and Zstandard takes as one text.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use crate::error::Cause;
use crate::format::Format;

/// Joins parts, in order, into an empty file.
pub(super) fn join(format: Format, parts: &[PathBuf], into: &mut File) -> Result<(), Cause> {
    match format {
        Format::Parquet => Ok(row_groups(parts, into)?),
        Format::Csv | Format::Json => Ok(bytes(parts, into)?),
        Format::Arrow => batches(parts, into),
    }
}

/// Copies in the kernel where it can.
fn bytes(parts: &[PathBuf], into: &mut File) -> io::Result<()> {
    for part in parts {
        io::copy(&mut File::open(part)?, into)?;
    }
    Ok(())
}

fn row_groups(parts: &[PathBuf], into: &mut File) -> Result<(), ParquetError> {
    let mut writer: Option<SerializedFileWriter<BufWriter<&mut File>>> = None;
    let mut into = Some(into);
    for part in parts {
        let file = File::open(part)?;
        let metadata = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Optional)
            .parse_and_finish(&file)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => {
                let described = metadata.file_metadata();
                let properties = WriterProperties::builder()
                    .set_created_by(described.created_by().unwrap_or_default().to_owned())
                    .set_key_value_metadata(described.key_value_metadata().cloned())
                    .build();
                let schema = described.schema_descr().root_schema_ptr();
                let Some(into) = into.take() else { continue };
                let into = BufWriter::with_capacity(1 << 18, into);
                writer.insert(SerializedFileWriter::new(into, schema, Arc::new(properties))?)
            }
        };
        append(writer, &file, &metadata)?;
    }
    match writer {
        Some(writer) => writer.into_inner()?.flush().map_err(ParquetError::from),
        None => Ok(()),
    }
}

/// Appends the row groups of a file, with the indexes of their pages.
fn append<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    file: &File,
    metadata: &ParquetMetaData,
) -> Result<(), ParquetError> {
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let mut appended = writer.next_row_group()?;
        for (at, column) in group.columns().iter().enumerate() {
            let of_columns = metadata.column_index().and_then(|index| index.get(number));
            let of_offsets = metadata.offset_index().and_then(|index| index.get(number));
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
                rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: of_columns.and_then(|columns| columns.get(at)).cloned(),
                offset_index: of_offsets.and_then(|columns| columns.get(at)).cloned(),
            };
            appended.append_column(file, close)?;
        }
        appended.close()?;
    }
    Ok(())
}

fn batches(parts: &[PathBuf], into: &mut File) -> Result<(), Cause> {
    let mut writer: Option<FileWriter<BufWriter<&mut File>>> = None;
    let mut into = Some(into);
    for part in parts {
        let reader = FileReader::try_new(BufReader::new(File::open(part)?), None)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => {
                let Some(into) = into.take() else { continue };
                let into = BufWriter::with_capacity(1 << 18, into);
                writer.insert(FileWriter::try_new(into, &reader.schema())?)
            }
        };
        for batch in reader {
            writer.write(&batch?)?;
        }
    }
    match writer {
        Some(writer) => Ok(writer.into_inner()?.flush()?),
        None => Ok(()),
    }
}
