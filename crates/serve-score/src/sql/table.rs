//! Files as a table of a session. Parquet is DataFusion's own; the other formats are read as in a plain job, with their rows in order, and
//! never by inference: the columns of a CSV are text, in which what says that nothing is there is NULL.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use super::external;
use crate::error::ScoreError;
use crate::format::Format;
use crate::location::InputFile;
use crate::source::{Binding, Source, all_columns};

/// Batches that wait between the reader and the query.
const WAITING: usize = 4;

/// Makes files a table of this name.
///
/// # Errors
/// When they cannot be opened, or differ in their columns.
pub async fn register_input(session: &SessionContext, name: &str, source: Source) -> Result<()> {
    if source.format() == Format::Parquet {
        let paths: Vec<String> = source.files().iter().map(InputFile::name).collect();
        let columns = source.files().first().map(InputFile::partition).unwrap_or_default();
        let columns = columns.iter().map(|(name, _)| (name.clone(), DataType::Utf8)).collect();
        let mut options = ParquetReadOptions::default().table_partition_cols(columns);
        let ends: Vec<String> =
            paths.iter().filter_map(|path| path.rsplit_once('.').map(|(_, end)| format!(".{end}"))).collect();
        options.file_extension = ends.first().map_or("", String::as_str);
        let table = session.read_parquet(paths, options).await?;
        return session.register_table(name, table.into_view()).map(drop);
    }
    let stream = InputStream::new(source).map_err(external)?;
    let table = StreamingTable::try_new(Arc::clone(&stream.schema), vec![Arc::new(stream)])?;
    session.register_table(name, Arc::new(table)).map(drop)
}

/// All rows of a source, once or, where its files can be opened again, as often as they are asked for.
#[derive(Debug)]
struct InputStream {
    schema: SchemaRef,
    names: Vec<String>,
    files: Vec<InputFile>,
    format: Format,
    opened: Mutex<Option<Source>>,
}

impl InputStream {
    fn new(source: Source) -> Result<Self, ScoreError> {
        let (file, header) = (&source.files()[0], &source.headers()[0]);
        let fields = all_columns(&header.schema, file.partition());
        let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let fields: Vec<Field> =
            fields.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let (files, format) = (source.files().to_vec(), source.format());
        let stream = Self {
            schema: Arc::new(Schema::new(fields)),
            names,
            files,
            format,
            opened: Mutex::new(Some(source)),
        };
        Ok(stream)
    }

    fn open(&self) -> Result<Source, ScoreError> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        match opened {
            Some(source) => Ok(source),
            None => Source::open(self.files.clone(), Some(self.format)),
        }
    }

    /// Hands all rows to `take`, until it wants no more.
    fn read(&self, mut take: impl FnMut(RecordBatch) -> bool) -> Result<()> {
        let source = self.open().map_err(external)?;
        let mut bindings = Vec::new();
        for (file, header) in source.files().iter().zip(source.headers()) {
            let binding = Binding::new(&self.names, &header.schema, file.partition());
            let binding = binding.map_err(|wrong| {
                let names: Vec<String> = wrong.into_iter().map(|(name, _)| name).collect();
                exec_datafusion_err!(
                    "{}: columns that are missing or stand twice: {}",
                    file.name(),
                    names.join(", ")
                )
            })?;
            bindings.push(binding);
        }
        let cells = self.format == Format::Csv;
        let mut pieces = source.read(bindings, Arc::default());
        while let Some(mut piece) = pieces.next_piece().map_err(external)? {
            while let Some(batch) = piece.next_batch().map_err(external)? {
                if let Some(broken) = batch.broken.first() {
                    return Err(exec_datafusion_err!("row {}: {}", broken.row, broken.reason));
                }
                let columns = batch.columns.iter().zip(self.schema.fields()).map(|(column, field)| {
                    let column =
                        if cells { crate::convert::missing_as_null(column) } else { Arc::clone(column) };
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
            names: self.names.clone(),
            files: self.files.clone(),
            format: self.format,
            opened: Mutex::new(self.opened.lock().unwrap_or_else(PoisonError::into_inner).take()),
        };
        builder.spawn_blocking(move || stream.read(|batch| sender.blocking_send(Ok(batch)).is_ok()));
        builder.build()
    }
}
