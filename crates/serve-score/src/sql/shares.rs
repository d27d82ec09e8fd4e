//! The shares of a plain job as a table of DataFusion, whose rows are the finished parts: so that what distributes queries distributes
//! jobs too. Reading a row of it scores a share.

use std::fmt;
use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::scan::{for_each_number, numbers, properties};
use super::{Models, external};
use crate::error::ScoreError;
use crate::spread::Spread;

/// A job whose shares are to be scored.
#[derive(Debug)]
pub(super) struct Shares {
    pub(super) spread: Spread,
    /// The output's columns.
    pub(super) output: SchemaRef,
    pub(super) models: Arc<Models>,
}

impl Shares {
    /// Scores a share; gives back the part as JSON.
    fn score(&self, share: usize, stopped: &dyn Fn() -> bool) -> Result<RecordBatch> {
        let model = self.models.get(&self.spread.pinned(), self.spread.explain)?;
        let part = self.spread.score(share, model, &self.output, stopped).map_err(external)?;
        let text = serde_json::to_string(&part).map_err(|error| external(ScoreError::software(error)))?;
        Ok(RecordBatch::try_new(row(), vec![Arc::new(StringArray::from(vec![text]))])?)
    }
}

/// A finished part.
fn row() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("part", DataType::Utf8, false)]))
}

/// The table.
#[derive(Debug)]
pub(super) struct SharesTable(pub(super) Arc<Shares>);

#[async_trait]
impl TableProvider for SharesTable {
    fn schema(&self) -> SchemaRef {
        row()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let numbers = numbers(self.0.spread.shares())?;
        Ok(Arc::new(SharesScan::new(Arc::clone(&self.0), numbers)))
    }
}

/// Scores.
#[derive(Debug)]
pub(super) struct SharesScan {
    pub(super) shares: Arc<Shares>,
    numbers: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl SharesScan {
    /// Scores the shares whose numbers it is given.
    pub(super) fn new(shares: Arc<Shares>, numbers: Arc<dyn ExecutionPlan>) -> Self {
        let properties = properties(row(), &numbers);
        Self { shares, numbers, properties }
    }
}

impl DisplayAs for SharesScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharesScan: {} share(s)", self.shares.spread.shares())
    }
}

impl ExecutionPlan for SharesScan {
    fn name(&self) -> &'static str {
        "SharesScan"
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
        Ok(Arc::new(Self::new(Arc::clone(&self.shares), numbers)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let numbers = self.numbers.execute(partition, context)?;
        let shares = Arc::clone(&self.shares);
        Ok(for_each_number(numbers, row(), move |number, sender| {
            // Nobody wants the part of a job that was cancelled.
            let batch = shares.score(number, &|| sender.is_closed())?;
            let _wanted = sender.blocking_send(Ok(batch));
            Ok(())
        }))
    }
}
