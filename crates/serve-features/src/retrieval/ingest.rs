//! Ready rows on their way into the store: checked against their declaration, all of them before any is written.

use std::fmt;

use jiff::Timestamp;

use super::{Retriever, Unavailable};
use crate::declaration::FeatureSet;
use crate::name::FeatureSetName;
use crate::row::FeatureRow;
use crate::store::{Fault, FeatureStore, WriteError};
use crate::validation::{Validator, Violation};

/// Rows to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestRequest {
    /// Of which set.
    pub set: FeatureSetName,
    /// The rows; of two with the same entity and moment the later in this list holds.
    pub rows: Vec<FeatureRow>,
    /// Store the sound rows although others are refused.
    pub partial: bool,
}

/// What became of rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ingested {
    /// How many were written.
    pub written: usize,
    /// Those that were not, by their place in the request.
    pub refused: Vec<(usize, Refusal)>,
}

/// Why a row is not stored: everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Refusal {
    /// Values that the declaration does not allow.
    pub violations: Vec<Violation>,
    /// The row's moment, where it lies further in the future than clocks may differ.
    pub from_future: Option<Timestamp>,
}

impl Refusal {
    /// What is wrong with a row, if anything is.
    fn of(row: &FeatureRow, validator: Option<&Validator>, latest: Timestamp) -> Option<Self> {
        let refusal = Self {
            violations: validator.map(|validator| validator.on_ingest(row)).unwrap_or_default(),
            from_future: Some(row.timestamp()).filter(|timestamp| *timestamp > latest),
        };
        (refusal != Self::default()).then_some(refusal)
    }
}

/// Holds rows against their set as [`Retriever::ingest`] does, for who writes to a store without one.
#[derive(Debug)]
pub struct RowCheck {
    validator: Option<Validator>,
    latest: Timestamp,
}

impl RowCheck {
    /// Rows of this set, `None` for one that is not declared, and not later than this moment.
    #[must_use]
    pub fn new(set: Option<&FeatureSet>, latest: Timestamp) -> Self {
        Self { validator: set.map(Validator::new), latest }
    }

    /// What is wrong with the moment of a row of any kind, if anything is.
    #[must_use]
    pub fn refusal_of_moment(&self, timestamp: Timestamp) -> Option<Refusal> {
        let from_future = Some(timestamp).filter(|timestamp| *timestamp > self.latest)?;
        Some(Refusal { from_future: Some(from_future), ..Refusal::default() })
    }

    /// What is wrong with a row, if anything is.
    #[must_use]
    pub fn refusal(&self, row: &FeatureRow) -> Option<Refusal> {
        Refusal::of(row, self.validator.as_ref(), self.latest)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(timestamp) = self.from_future {
            write!(f, "`timestamp`: expected a moment that has been, got {timestamp}")?;
        }
        for (i, violation) in self.violations.iter().enumerate() {
            let between = if i > 0 || self.from_future.is_some() { "; " } else { "" };
            write!(f, "{between}{violation}")?;
        }
        Ok(())
    }
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// There is no store.
    #[error("no feature store is configured, so rows of \"{set}\" cannot be stored")]
    NoStore {
        /// The set.
        set: FeatureSetName,
    },
    /// Some rows are not what the set declares.
    #[error("{} of {rows} rows of \"{set}\" are refused, and none is stored: {}", refused.len(), first(refused))]
    Refused {
        /// The set.
        set: FeatureSetName,
        /// How many rows came.
        rows: usize,
        /// Each refused row, by its place, with everything that is wrong with it.
        refused: Vec<(usize, Refusal)>,
    },
    /// The store does not take them.
    #[error("the rows of \"{set}\" cannot be stored: {source}")]
    Write {
        /// The set.
        set: FeatureSetName,
        /// Why not.
        source: WriteError,
    },
}

fn first(refused: &[(usize, Refusal)]) -> String {
    refused.first().map(|(i, refusal)| format!("row {i}: {refusal}")).unwrap_or_default()
}

impl IngestError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoStore { .. } | Self::Refused { .. } => Fault::Client,
            Self::Write { source, .. } => source.fault(),
        }
    }

    /// Whether the same rows may be stored later.
    #[must_use]
    pub fn retry_helps(&self) -> bool {
        match self {
            Self::NoStore { .. } | Self::Refused { .. } => false,
            Self::Write { source, .. } => source.retry_helps(),
        }
    }
}

/// The rows that are not refused. Apart from [`Retriever::ingest`], whose future would not be `Send` around the iterators.
fn sound(rows: Vec<FeatureRow>, refused: &[(usize, Refusal)]) -> Vec<FeatureRow> {
    let mut gone = refused.iter().map(|(i, _)| *i).peekable();
    let sound = rows.into_iter().enumerate().filter(|(i, _)| gone.next_if_eq(i).is_none());
    sound.map(|(_, row)| row).collect()
}

impl Retriever {
    /// Stores ready rows of a set, all or none; with `partial`, those that are sound.
    ///
    /// # Errors
    /// [`IngestError`]: rows are refused (each with every value that offends), or the store does not take them. After a
    /// time-out it is not known whether it did; the same rows may be sent again.
    pub async fn ingest(&self, request: IngestRequest) -> Result<Ingested, IngestError> {
        let IngestRequest { set, rows, partial } = request;
        let store = match self.guarded(&set) {
            Ok(store) => store,
            Err(Unavailable::NoStore { .. } | _) => return Err(IngestError::NoStore { set }),
        };
        let refused = self.refusals(&set, &rows);
        let total = rows.len();
        let written = if partial { total - refused.len() } else { total };
        if !refused.is_empty() && !partial {
            self.counters.count_ingest(0, refused.len());
            return Err(IngestError::Refused { set, rows: total, refused });
        }
        let sound = sound(rows, &refused);
        if !sound.is_empty() {
            let entities: Vec<_> = sound.iter().map(|row| row.entity().clone()).collect();
            let stored = store.write(set.clone(), sound).await;
            entities.iter().for_each(|entity| self.written(&set, entity, &stored));
            stored.map_err(|source| IngestError::Write { set, source })?;
        }
        self.counters.count_ingest(written, refused.len());
        Ok(Ingested { written, refused })
    }

    /// What [`Retriever::ingest`] would refuse of these rows, by their place.
    #[must_use]
    pub fn refusals(&self, set: &FeatureSetName, rows: &[FeatureRow]) -> Vec<(usize, Refusal)> {
        let latest = self.latest((self.clock)());
        let validator = self.validators.get(set);
        let all = rows.iter().enumerate();
        all.filter_map(|(i, row)| Some((i, Refusal::of(row, validator, latest)?))).collect()
    }
}
