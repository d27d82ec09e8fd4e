//! The shares of a plain job as rows of a query, which are the finished parts: reading a row scores a share.

use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;

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
    pub(super) fn score(&self, share: usize, stopped: &dyn Fn() -> bool) -> Result<RecordBatch> {
        let model = self.models.get(&self.spread.pinned(), self.spread.explain)?;
        let model = if self.spread.tally { self.models.with_reference(model)? } else { model };
        let part = self.spread.score(share, model, &self.output, stopped).map_err(external)?;
        let text = serde_json::to_string(&part).map_err(|error| external(ScoreError::software(error)))?;
        Ok(RecordBatch::try_new(row(), vec![Arc::new(StringArray::from(vec![text]))])?)
    }
}

/// A finished part.
pub(super) fn row() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("part", DataType::Utf8, false)]))
}
