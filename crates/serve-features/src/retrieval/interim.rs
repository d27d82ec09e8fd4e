//! Stands in for `compute::on_demand` of branch h-compute, with its shapes, until that is merged.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serve_core::Value;

use crate::compute::{ComputeError, SourceFrames};
use crate::declaration::FeatureSet;
use crate::name::Entity;
use crate::raw::RawTable;
use crate::row::FeatureRow;
use crate::store::{Depth, RawRequest, RawRows, RawStore, RetrieveError};
use crate::timestamp::earlier;

pub(super) struct OnDemandRequest {
    pub(super) entities: Vec<Entity>,
    pub(super) as_of: Timestamp,
    pub(super) deadline: Option<Instant>,
    pub(super) max_rows: usize,
}

pub(super) struct OnDemand {
    pub(super) row: FeatureRow,
    pub(super) warm: bool,
    pub(super) filled: Vec<Arc<str>>,
    pub(super) used: Vec<SourceUsed>,
}

pub(super) struct SourceUsed {
    pub(super) source: String,
    pub(super) table: RawTable,
    pub(super) rows: usize,
    pub(super) oldest: Option<Timestamp>,
    pub(super) newest: Option<Timestamp>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum OnDemandError {
    #[error("`{feature}` is missing")]
    Rejected { feature: Arc<str> },
}

#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    #[error(transparent)]
    Read(#[from] RetrieveError),
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

pub(super) async fn on_demand(
    set: &FeatureSet,
    raw: &dyn RawStore,
    request: OnDemandRequest,
) -> Result<Vec<Result<Option<OnDemand>, OnDemandError>>, BuildError> {
    let mut sources = Vec::new();
    for source in set.sources() {
        let wanted = RawRequest {
            table: source.table.clone(),
            entities: request.entities.clone(),
            until: Some(earlier(request.as_of, source.delay)),
            depth: Depth::newest(request.max_rows),
            deadline: request.deadline,
        };
        sources.push(raw.read_raw(wanted).await?);
    }
    let mut answers = Vec::new();
    for (i, entity) in request.entities.iter().enumerate() {
        let rows: Vec<&RawRows> = sources.iter().map(|source| &source[i]).collect();
        let named = set.sources().iter().zip(&rows);
        let frames: SourceFrames =
            named.clone().map(|(source, rows)| (source.name.clone(), rows.frame.clone())).collect();
        let computed = set.compute(entity, &frames)?;
        let used = named.map(|(source, rows)| SourceUsed {
            source: source.name.clone(),
            table: source.table.clone(),
            rows: rows.frame.len(),
            oldest: rows.frame.timestamps().first().copied(),
            newest: rows.frame.timestamps().last().copied(),
        });
        let used: Vec<_> = used.collect();
        let missing = |(_, value): &&(Arc<str>, Value<'_>)| *value == Value::Missing;
        let Some(row) = computed.rows.last().cloned() else {
            answers.push(match set.features().first() {
                Some(feature) if computed.rejected > 0 => {
                    Err(OnDemandError::Rejected { feature: Arc::clone(&feature.name) })
                }
                _ => Ok(None),
            });
            continue;
        };
        let _missing = row.features().iter().filter(missing).count();
        let warm = rows.iter().all(|rows| rows.complete);
        answers.push(Ok(Some(OnDemand { row, warm, filled: Vec::new(), used })));
    }
    Ok(answers)
}
