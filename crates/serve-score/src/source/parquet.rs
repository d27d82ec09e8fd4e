//! Parquet: a piece is a row group, or a range of a long one. Its thread decodes it page by page, so a long row group is never
//! held whole.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::chunks::Chunks;
use super::{BATCH_ROWS, Batch, Binding, Header, Opened, Piece, Position, Reader};
use crate::error::{Cause, ScoreError};
use crate::format::Format;
use crate::location::InputFile;

/// Rows of a piece, more or less: what the answers of later pieces may wait for is not much more.
const PIECE_ROWS: usize = 1 << 17;

fn wrong(location: &str, source: impl Into<Cause>) -> ScoreError {
    ScoreError::Input { location: location.to_owned(), format: Format::Parquet, source: source.into() }
}

fn metadata(file: &InputFile) -> Result<(Chunks, ArrowReaderMetadata), ScoreError> {
    let opened = Chunks::of(file.open()?);
    let metadata = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new());
    metadata.map(|metadata| (opened, metadata)).map_err(|error| wrong(&file.name(), error))
}

pub(super) fn header(file: &InputFile) -> Result<Header, ScoreError> {
    let (_, metadata) = metadata(file)?;
    let rows = u64::try_from(metadata.metadata().file_metadata().num_rows());
    let rows = rows.map_err(|_| wrong(&file.name(), "it says that it has less than no rows"))?;
    Ok(Header { schema: Arc::clone(metadata.schema()), rows: Some(rows), begun: None })
}

/// One file.
pub(super) struct RowGroups {
    name: Arc<str>,
    chunks: Chunks,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    binding: Arc<Binding>,
    group: usize,
    /// Rows of the row group that pieces have been made of.
    taken: usize,
    /// The row group whose bytes are here, where they had to be asked for.
    #[cfg(feature = "s3")]
    fetched: Option<usize>,
}

impl RowGroups {
    pub(super) fn open(opened: Opened) -> Result<Self, ScoreError> {
        let Opened { file: input, header, binding } = opened;
        let (chunks, metadata) = metadata(&input)?;
        if metadata.schema() != &header.schema {
            return Err(wrong(&input.name(), "it was changed meanwhile"));
        }
        let schema = metadata.parquet_schema();
        let mask = ProjectionMask::roots(schema, binding.own.iter().copied());
        Ok(Self {
            name: input.name().into(),
            chunks,
            metadata,
            mask,
            binding,
            group: 0,
            taken: 0,
            #[cfg(feature = "s3")]
            fetched: None,
        })
    }

    /// Asks for what is read of a row group at once, where every request costs time.
    #[cfg(feature = "s3")]
    fn fetch(&mut self) -> Result<(), ScoreError> {
        let group = self.metadata.metadata().row_group(self.group);
        let leaves = (0..group.num_columns()).filter(|&leaf| self.mask.leaf_included(leaf));
        let ranges =
            leaves.map(|leaf| group.column(leaf).byte_range()).map(|(start, length)| start..start + length);
        let ranges: Vec<_> = ranges.collect();
        self.fetched = Some(self.group);
        self.chunks.fetch(ranges).map_err(|error| wrong(&self.name, error))
    }

    fn reader(&self, at: usize, rows: usize) -> Result<ParquetRecordBatchReader, ScoreError> {
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunks.clone(), self.metadata.clone())
                .with_projection(self.mask.clone())
                .with_row_groups(vec![self.group])
                .with_batch_size(BATCH_ROWS);
        if at > 0 {
            builder = builder.with_offset(at);
        }
        builder.with_limit(rows).build().map_err(|error| wrong(&self.name, error))
    }
}

impl Reader for RowGroups {
    fn next_piece(&mut self, position: &mut Position) -> Result<Option<Box<dyn Piece>>, ScoreError> {
        while self.group < self.metadata.metadata().num_row_groups() {
            let all = self.metadata.metadata().row_group(self.group).num_rows();
            let all =
                usize::try_from(all).map_err(|_| wrong(&self.name, "a row group has less than no rows"))?;
            if self.taken >= all {
                (self.group, self.taken) = (self.group + 1, 0);
                continue;
            }
            let pieces = (all / PIECE_ROWS).max(1);
            let rows = all.div_ceil(pieces).next_multiple_of(BATCH_ROWS).min(all - self.taken);
            let at = self.taken;
            self.taken += rows;
            let Some((first_row, skipped)) = position.pass(rows) else { continue };
            #[cfg(feature = "s3")]
            if self.fetched != Some(self.group) {
                self.fetch()?;
            }
            let piece = Rows {
                name: Arc::clone(&self.name),
                reader: self.reader(at + skipped, rows - skipped)?,
                binding: Arc::clone(&self.binding),
                next_row: first_row + skipped as u64,
                left: rows - skipped,
            };
            return Ok(Some(Box::new(piece)));
        }
        Ok(None)
    }
}

/// A row group or a range of it.
struct Rows {
    name: Arc<str>,
    reader: ParquetRecordBatchReader,
    binding: Arc<Binding>,
    next_row: u64,
    left: usize,
}

impl Piece for Rows {
    fn next_batch(&mut self) -> Result<Option<Batch>, ScoreError> {
        // A page whose bytes were overwritten can make the reader panic.
        let next = catch_unwind(AssertUnwindSafe(|| self.reader.next()));
        let rows = match next.map_err(|_| wrong(&self.name, "a page has values that no writer writes"))? {
            Some(batch) => batch.map_err(|error| wrong(&self.name, error))?,
            None if self.left == 0 => return Ok(None),
            None => {
                let problem = format!("it ends {} rows before what it says it has", self.left);
                return Err(wrong(&self.name, problem));
            }
        };
        let (first_row, read) = (self.next_row, rows.num_rows());
        if read > self.left {
            return Err(wrong(&self.name, "it has more rows than it says"));
        }
        self.next_row += read as u64;
        self.left -= read;
        let columns = self.binding.columns(rows.columns(), read);
        Ok(Some(Batch {
            first_row,
            offsets: None,
            read: read as u64,
            rows: read,
            columns,
            texts: None,
            broken: Vec::new(),
        }))
    }
}
