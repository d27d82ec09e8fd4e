//! Files as a table of a session. Parquet is DataFusion's own ([`parquet`](super::parquet)); the other formats are read as in a plain
//! job, with their rows in order, and never by inference: the columns of a CSV are text, in which what says that nothing is there is
//! NULL.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;

use super::{external, parquet};
use crate::error::ScoreError;
use crate::format::Format;
use crate::location::InputFile;
use crate::plan::widens;
use crate::reject::Reject;
use crate::source::{Binding, Source, all_columns};

/// Batches that wait between the reader and the query.
const WAITING: usize = 4;

/// Makes files a table of this name.
///
/// # Errors
/// When they cannot be opened, or lack columns of the first of them.
pub async fn register_input(session: &SessionContext, name: &str, source: Source) -> Result<()> {
    let (schema, bindings) = table_schema(&source).map_err(external)?;
    if source.format() == Format::Parquet {
        return parquet::register(session, name, &source, &schema).await;
    }
    let stream = InputStream::new(source, Arc::clone(&schema), bindings);
    let table = StreamingTable::try_new(schema, vec![Arc::new(stream)])?;
    session.register_table(name, Arc::new(table)).map(drop)
}

/// The columns of the first file with types that hold those of all files, and where they stand in each.
fn table_schema(source: &Source) -> Result<(SchemaRef, Vec<Binding>), ScoreError> {
    let files = || source.files().iter().zip(source.headers());
    let Some((first, header)) = files().next() else { return Err(ScoreError::plan("there is no input")) };
    let mut fields = all_columns(&header.schema, first.partition());
    let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
    let mut bindings = Vec::with_capacity(source.files().len());
    for (file, header) in files() {
        let binding = Binding::new(&names, &header.schema, file.partition());
        let binding = binding.map_err(|wrong| {
            let names: Vec<&str> = wrong.iter().map(|(name, _)| name.as_str()).collect();
            let problem = "columns that are missing or stand twice";
            ScoreError::plan(format!("{}: {problem}: {}", file.name(), names.join(", ")))
        })?;
        for (field, own) in fields.iter_mut().zip(&binding.fields) {
            let (so_far, own) = (field.data_type(), own.data_type());
            let common = common(so_far, own, source.format()).ok_or_else(|| {
                let (file, name) = (file.name(), field.name());
                ScoreError::plan(format!("{file}: the column {name:?} is {own}, in the first file {so_far}"))
            })?;
            *field = Arc::new(Field::new(field.name(), common, true));
        }
        bindings.push(binding);
    }
    Ok((Arc::new(Schema::new(fields)), bindings))
}

/// A type that holds the values of both. A number of JSON that was whole so far need not stay so.
fn common(a: &DataType, b: &DataType, format: Format) -> Option<DataType> {
    match (a, b) {
        _ if a == b || widens(b, a) => Some(a.clone()),
        _ if widens(a, b) => Some(b.clone()),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64)
            if format == Format::Json =>
        {
            Some(DataType::Float64)
        }
        _ => None,
    }
}

/// All rows of a source, once or, where its files can be opened again, as often as they are asked for.
#[derive(Debug)]
struct InputStream {
    schema: SchemaRef,
    bindings: Vec<Binding>,
    files: Vec<InputFile>,
    format: Format,
    opened: Mutex<Option<Source>>,
}

impl InputStream {
    fn new(source: Source, schema: SchemaRef, bindings: Vec<Binding>) -> Self {
        let (files, format) = (source.files().to_vec(), source.format());
        Self { schema, bindings, files, format, opened: Mutex::new(Some(source)) }
    }

    /// What was opened and not yet read.
    fn take(&self) -> Option<Source> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn open(&self) -> Result<Source, ScoreError> {
        match self.take() {
            Some(source) => Ok(source),
            None if self.files.iter().any(InputFile::is_pipe) => {
                Err(ScoreError::plan("the query reads standard input twice, which can be read once"))
            }
            None => Source::open(self.files.clone(), Some(self.format)),
        }
    }

    /// Hands all rows to `take`, until it wants no more.
    fn read(&self, mut take: impl FnMut(RecordBatch) -> bool) -> Result<()> {
        let source = self.open().map_err(external)?;
        let mut pieces = source.read(self.bindings.clone(), Arc::default());
        while let Some(mut piece) = pieces.next_piece().map_err(external)? {
            while let Some(batch) = piece.next_batch().map_err(external)? {
                if let Some(broken) = batch.broken.first() {
                    return Err(external(broken_row(broken)));
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
fn broken_row(Reject { row, column, reason, .. }: &Reject) -> ScoreError {
    let mut problem = format!("row {row} of the input is broken: ");
    if !column.is_empty() {
        let _ = write!(problem, "column {column:?}: ");
    }
    problem.push_str(reason);
    ScoreError::Query { problem }
}

/// What DataFusion asks for rows.
impl PartitionStream for InputStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), WAITING);
        let sender = builder.tx();
        let stream = Self {
            schema: Arc::clone(&self.schema),
            bindings: self.bindings.clone(),
            files: self.files.clone(),
            format: self.format,
            opened: Mutex::new(self.take()),
        };
        builder.spawn_blocking(move || stream.read(|batch| sender.blocking_send(Ok(batch)).is_ok()));
        builder.build()
    }
}
