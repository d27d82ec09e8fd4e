//! Files of text and of Arrow as rows of a query: a partition is some of the files, read as in a plain job by a thread that may block.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::{DataFusionError, Result};

use super::external;
use crate::error::ScoreError;
use crate::format::Format;
use crate::location::InputFile;
use crate::reject::Reject;
use crate::source::{Binding, Source};

/// Most partitions of a table; more files share them.
const PARTITIONS: usize = 64;

/// Files that are not Parquet, with the columns of a table.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) schema: SchemaRef,
    pub(super) files: Vec<InputFile>,
    pub(super) format: Format,
    /// What was opened and cannot be again.
    pipe: Mutex<Option<Source>>,
}

impl Rows {
    pub(super) fn new(schema: SchemaRef, files: Vec<InputFile>, format: Format) -> Self {
        Self { schema, files, format, pipe: Mutex::default() }
    }

    /// The rows of a source that was opened to plan.
    pub(super) fn of(source: Source, schema: SchemaRef) -> Self {
        let rows = Self::new(schema, source.files().to_vec(), source.format());
        let piped = rows.files.iter().any(InputFile::is_pipe);
        Self { pipe: Mutex::new(piped.then_some(source)), ..rows }
    }

    pub(super) fn partitions(&self) -> usize {
        self.files.len().clamp(1, PARTITIONS)
    }

    fn open(&self, partition: usize) -> Result<Source, ScoreError> {
        if partition >= self.partitions() {
            return Err(ScoreError::software(format!("the table has no partition {partition}")));
        }
        if self.files.iter().any(InputFile::is_pipe) {
            let opened = self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take();
            let twice = "the query reads standard input twice, which can be read once";
            return opened.ok_or_else(|| ScoreError::plan(twice));
        }
        let (of, count) = (self.partitions(), self.files.len());
        let files = self.files[partition * count / of..(partition + 1) * count / of].to_vec();
        Source::open(files, Some(self.format))
    }

    /// Hands the rows of a partition to `take`, until it wants no more.
    pub(super) fn read(&self, partition: usize, mut take: impl FnMut(RecordBatch) -> bool) -> Result<()> {
        let source = self.open(partition).map_err(external)?;
        let names: Vec<String> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
        let files = source.files().to_vec();
        let opened = source.files().iter().zip(source.headers());
        let bindings = opened.map(|(file, header)| {
            let changed = |_| ScoreError::plan(format!("{}: it was changed meanwhile", file.name()));
            Binding::new(&names, &header.schema, file.partition()).map_err(changed)
        });
        let bindings = bindings.collect::<Result<Vec<_>, _>>().map_err(external)?;
        let mut pieces = source.read(bindings, Arc::default());
        while let Some(mut piece) = pieces.next_piece().map_err(external)? {
            while let Some(batch) = piece.next_batch().map_err(external)? {
                if let Some(broken) = batch.broken.first() {
                    return Err(external(broken_row(broken, &files)));
                }
                let columns = batch.columns.iter().zip(self.schema.fields()).map(|(column, field)| {
                    let column = match self.format {
                        Format::Csv => crate::convert::missing_as_null(column),
                        _ => Arc::clone(column),
                    };
                    arrow_cast::cast(&column, field.data_type())
                });
                let columns = columns.collect::<Result<Vec<_>, _>>().map_err(DataFusionError::from)?;
                if !take(RecordBatch::try_new(Arc::clone(&self.schema), columns)?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// A query cannot leave a row out without a word, and has no place for rejects.
fn broken_row(Reject { row, column, reason, .. }: &Reject, files: &[InputFile]) -> ScoreError {
    let place = match files {
        [first, _, ..] => format!("{} and the files behind it", first.name()),
        [file] => file.name(),
        [] => String::new(),
    };
    let mut problem = format!("row {row} of {place} is broken: ");
    if !column.is_empty() {
        let _ = write!(problem, "column {column:?}: ");
    }
    problem.push_str(reason);
    ScoreError::Query { problem }
}
