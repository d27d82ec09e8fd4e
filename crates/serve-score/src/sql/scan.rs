//! The tables and plans of ours: of files that DataFusion does not read, and of the shares of a plain job, so that what distributes queries
//! distributes jobs too. What they do is told as JSON, so that another process can do a part of it.

use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
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
use super::rows::Rows;
use super::shares::{Shares, row};
use crate::error::ScoreError;

/// Batches that wait between who makes them and the query.
const WAITING: usize = 4;

/// What is done for a partition, on a thread that may block.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// Its files are read, of which these columns are wanted; all, where it is none.
    Rows { rows: Arc<Rows>, projection: Option<Vec<usize>> },
    /// The share of its number is scored.
    Shares(Arc<Shares>),
}

impl Work {
    fn schema(&self) -> Result<SchemaRef> {
        Ok(match self {
            Self::Rows { rows, projection: Some(projection) } => Arc::new(rows.schema.project(projection)?),
            Self::Rows { rows, projection: None } => Arc::clone(&rows.schema),
            Self::Shares(_) => row(),
        })
    }

    fn partitions(&self) -> usize {
        match self {
            Self::Rows { rows, .. } => rows.partitions(),
            Self::Shares(shares) => shares.spread.shares(),
        }
    }

    fn run(&self, partition: usize, sender: &Sender<Result<RecordBatch>>) -> Result<()> {
        match self {
            Self::Rows { rows, projection } => rows.read(partition, |batch| {
                let batch = match projection {
                    Some(projection) => batch.project(projection).map_err(Into::into),
                    None => Ok(batch),
                };
                sender.blocking_send(batch).is_ok()
            }),
            Self::Shares(shares) => {
                // Nobody wants the part of a job that was cancelled.
                let batch = shares.score(partition, &|| sender.is_closed())?;
                let _wanted = sender.blocking_send(Ok(batch));
                Ok(())
            }
        }
    }
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) work: Work,
    schema: SchemaRef,
}

impl Table {
    pub(super) fn new(work: Work) -> Result<Self> {
        Ok(Self { schema: work.schema()?, work })
    }
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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
        let mut work = self.work.clone();
        if let Work::Rows { projection: wanted, .. } = &mut work {
            *wanted = projection.cloned();
        }
        let numbers = numbers(work.partitions())?;
        Ok(Arc::new(Scan::new(work, numbers)?))
    }
}

/// Reads a table.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) work: Work,
    numbers: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl Scan {
    /// Reads the partitions whose numbers it is given.
    pub(super) fn new(work: Work, numbers: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let properties = properties(work.schema()?, &numbers);
        Ok(Self { work, numbers, properties })
    }
}

/// Of what is read once, in no order.
fn properties(schema: SchemaRef, numbers: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(numbers.output_partitioning().partition_count()),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// What our scans are told their partitions by: a partition for each, with its number as its one row. A cluster gives a task some of a
/// leaf's partitions, and can do so only with leaves that it knows; a scan of ours that was the leaf would be read whole by each.
fn numbers(partitions: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = Arc::new(Schema::new(vec![Field::new("number", DataType::UInt64, false)]));
    let number = |number: usize| {
        let column = Arc::new(UInt64Array::from(vec![number as u64]));
        RecordBatch::try_new(Arc::clone(&schema), vec![column]).map(|batch| vec![batch])
    };
    let partitions = (0..partitions).map(number).collect::<Result<Vec<_>, _>>()?;
    Ok(MemorySourceConfig::try_new_exec(&partitions, schema, None)?)
}

/// Does the work for each number, and hands out what comes of it.
fn for_each_number(
    mut numbers: SendableRecordBatchStream,
    schema: SchemaRef,
    work: Work,
) -> SendableRecordBatchStream {
    let mut builder = RecordBatchReceiverStreamBuilder::new(schema, WAITING);
    let sender = builder.tx();
    builder.spawn(async move {
        while let Some(batch) = numbers.next().await {
            for &number in batch?.column(0).as_primitive::<UInt64Type>().values() {
                let (sender, work) = (sender.clone(), work.clone());
                let done = tokio::task::spawn_blocking(move || work.run(number as usize, &sender)).await;
                done.map_err(|error| external(ScoreError::software(error)))??;
            }
        }
        Ok(())
    });
    builder.build()
}

impl DisplayAs for Scan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work {
            Work::Rows { rows, .. } => write!(f, "Scan: {} file(s), {}", rows.files.len(), rows.format),
            Work::Shares(shares) => write!(f, "Scan: {} share(s)", shares.spread.shares()),
        }
    }
}

impl ExecutionPlan for Scan {
    fn name(&self) -> &'static str {
        "Scan"
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
        Ok(Arc::new(Self::new(self.work.clone(), numbers)?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let numbers = self.numbers.execute(partition, context)?;
        Ok(for_each_number(numbers, self.schema(), self.work.clone()))
    }
}
