//! Rows of text and of Arrow as DataFusion reads them: a partition is some of the files, read as in a plain job by a thread that may
//! block. A scan is told as JSON, so that another process can run a part of it.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures_util::StreamExt;
use tokio::sync::mpsc::Sender;

use super::external;
use crate::error::ScoreError;
use crate::format::Format;
use crate::location::InputFile;
use crate::reject::Reject;
use crate::source::{Binding, Source};

/// Batches that wait between the reader and the query.
const WAITING: usize = 4;
/// Most partitions of a scan; more files share them.
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

    fn partitions(&self) -> usize {
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
    fn read(&self, partition: usize, mut take: impl FnMut(RecordBatch) -> bool) -> Result<()> {
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

/// The table.
#[derive(Debug)]
pub(super) struct RowsTable(pub(super) Arc<Rows>);

#[async_trait]
impl TableProvider for RowsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let numbers = numbers(self.0.partitions())?;
        Ok(Arc::new(RowsScan::new(Arc::clone(&self.0), projection.cloned(), numbers)?))
    }
}

/// Reads the table.
#[derive(Debug)]
pub(super) struct RowsScan {
    pub(super) rows: Arc<Rows>,
    pub(super) projection: Option<Vec<usize>>,
    numbers: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl RowsScan {
    /// Reads the partitions whose numbers it is given.
    pub(super) fn new(
        rows: Arc<Rows>,
        projection: Option<Vec<usize>>,
        numbers: Arc<dyn ExecutionPlan>,
    ) -> Result<Self> {
        let schema: SchemaRef = match &projection {
            Some(projection) => Arc::new(rows.schema.project(projection)?),
            None => Arc::clone(&rows.schema),
        };
        let properties = properties(schema, &numbers);
        Ok(Self { rows, projection, numbers, properties })
    }
}

/// Of what is read once, in no order.
pub(super) fn properties(schema: Arc<Schema>, numbers: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(numbers.output_partitioning().partition_count()),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// What our scans are told their partitions by: a partition for each, with its number as its one row. A cluster gives a task some of a
/// leaf's partitions, and can do so only with leaves that it knows; a scan of ours that was the leaf would be read whole by each.
pub(super) fn numbers(partitions: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = Arc::new(Schema::new(vec![Field::new("number", DataType::UInt64, false)]));
    let number = |number: usize| {
        let column = Arc::new(UInt64Array::from(vec![number as u64]));
        RecordBatch::try_new(Arc::clone(&schema), vec![column]).map(|batch| vec![batch])
    };
    let partitions = (0..partitions).map(number).collect::<Result<Vec<_>, _>>()?;
    Ok(MemorySourceConfig::try_new_exec(&partitions, schema, None)?)
}

/// Does some work, on a thread that may block, for each number of a partition; it hands out batches through the sender.
pub(super) fn for_each_number<W>(
    mut numbers: SendableRecordBatchStream,
    schema: SchemaRef,
    work: W,
) -> SendableRecordBatchStream
where
    W: Fn(usize, &Sender<Result<RecordBatch>>) -> Result<()> + Send + Sync + 'static,
{
    let mut builder = RecordBatchReceiverStreamBuilder::new(schema, WAITING);
    let (sender, work) = (builder.tx(), Arc::new(work));
    builder.spawn(async move {
        while let Some(batch) = numbers.next().await {
            for &number in batch?.column(0).as_primitive::<UInt64Type>().values() {
                let (sender, work) = (sender.clone(), Arc::clone(&work));
                let done = tokio::task::spawn_blocking(move || work(number as usize, &sender)).await;
                done.map_err(|error| external(ScoreError::software(error)))??;
            }
        }
        Ok(())
    });
    builder.build()
}

impl DisplayAs for RowsScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowsScan: {} file(s), {}", self.rows.files.len(), self.rows.format)
    }
}

impl ExecutionPlan for RowsScan {
    fn name(&self) -> &'static str {
        "RowsScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.numbers]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let numbers = children.pop().unwrap_or_else(|| Arc::clone(&self.numbers));
        Ok(Arc::new(Self::new(Arc::clone(&self.rows), self.projection.clone(), numbers)?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let numbers = self.numbers.execute(partition, context)?;
        let (rows, projection) = (Arc::clone(&self.rows), self.projection.clone());
        Ok(for_each_number(numbers, self.schema(), move |number, sender| {
            rows.read(number, |batch| {
                let batch = match &projection {
                    Some(projection) => batch.project(projection).map_err(DataFusionError::from),
                    None => Ok(batch),
                };
                sender.blocking_send(batch).is_ok()
            })
        }))
    }
}
