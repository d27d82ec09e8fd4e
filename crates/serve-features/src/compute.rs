//! A feature set's rows from its sources. One evaluator computes them offline over a history, online for one moment from the
//! newest raw rows and a state ([`on_demand`]), and row by row as rows arrive, so that all give the same bits.
//!
//! Each part of an expression is computed on the rows of the source that it reads. Where parts of several sources meet, and
//! for the final column, they are brought to the rows of the first source by an as-of join. An output row stands at the
//! moment its row of the first source became visible, so fetching "as of then" finds nothing that was not known then.
//!
//! A set's expressions are compiled into one graph ([`plan`]). Top down, each part learns from which row on it is needed
//! ([`extent`]); bottom up, it is computed from there ([`evaluation`]). Functions of endless memory go on from a stored
//! [`state`].

use std::collections::BTreeMap;

use crate::declaration::FeatureSet;
use crate::frame::Frame;
use crate::name::{Entity, FeatureSetName};

pub use build::{BuildError, BuildRequest, BuildSink, Built, build};
pub use computed::Computed;
pub(crate) use on_demand::on_demand_on;
pub use on_demand::{OnDemand, OnDemandError, OnDemandRequest, SourceUsed, on_demand};
pub use reach::SourceNeeds;
pub use stream::{FeatureStream, StreamError};
pub use threads::{Piece, Threads};
pub use training::{Label, PointInTime, known_rows};

use evaluation::Absent;
use known::Known;

mod build;
mod checkpoint;
mod computed;
mod evaluation;
mod extent;
mod known;
mod on_demand;
pub(crate) mod plan;
mod reach;
mod recursion;
mod state;
mod stream;
mod threads;
mod training;

/// The rows of each declared source, by the source's name.
pub type SourceFrames = BTreeMap<String, Frame>;

/// Why a set could not be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    /// The set's rows are computed elsewhere.
    #[error("feature set \"{set}\" declares no features to compute")]
    NothingDeclared {
        /// The set.
        set: FeatureSetName,
    },
    /// A source's rows were not given.
    #[error("feature set \"{set}\" needs the rows of source \"{name}\"")]
    SourceAbsent {
        /// The set.
        set: FeatureSetName,
        /// The source's name.
        name: String,
    },
    /// A source has rows, and no such column.
    #[error(
        "feature \"{feature}\" of set \"{set}\": source \"{name}\" has no column `{column}`, it has {}",
        available.join(", ")
    )]
    ColumnAbsent {
        /// The set.
        set: FeatureSetName,
        /// The feature.
        feature: String,
        /// The source's name.
        name: String,
        /// The column.
        column: String,
        /// The source's columns.
        available: Vec<String>,
    },
}

impl FeatureSet {
    /// The set's rows for one entity, from all that is known of it.
    ///
    /// A value that is not finite is missing, since no store keeps infinities; then the feature's policy decides. Of several
    /// rows of the first source at one moment, the last gives the row. O(rows × windows).
    ///
    /// # Errors
    /// [`ComputeError`]: a source or column that the set needs is not there.
    ///
    /// ```
    /// use serve_features::{Declarations, RawTable, SourceFrames, read_raw};
    /// let declarations = Declarations::parse("
    /// feature_sets:
    ///   daily:
    ///     entity: symbol
    ///     sources: { price: { table: price_data } }
    ///     features: { change: 'return(close, 1)' }
    /// ")?;
    /// let csv = "symbol,timestamp,open,high,low,close,volume
    /// BTC/USD,2019-01-01,1,1,1,100,1
    /// BTC/USD,2019-01-02,1,1,1,150,1
    /// ";
    /// let bitcoin = "BTC/USD".parse()?;
    /// let price = RawTable::Price.frame(&read_raw(&RawTable::Price, csv.as_bytes())?, &bitcoin)?;
    /// let set = declarations.get("daily").expect("is declared above");
    /// let computed = set.compute(&bitcoin, &SourceFrames::from([("price".to_owned(), price)]))?;
    /// let change: Vec<_> = computed.rows().map(|row| row.get("change").cloned()).collect();
    /// assert_eq!(change, [Some(serve_core::Value::Missing), Some(0.5.into())]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compute(&self, entity: &Entity, frames: &SourceFrames) -> Result<Computed, ComputeError> {
        self.compute_with_states(entity, frames, &[]).map(|(computed, _)| computed)
    }

    /// The features that need more rows of some source than are read on demand, each with how many: computed on demand
    /// they would be missing or [cold](OnDemand::warm). What windows of time need depends on the data, and is not told.
    #[must_use]
    pub fn deeper_than(&self, max_rows: usize) -> Vec<(&str, usize)> {
        let deepest = |i| self.plan.needs(self.sources.len(), Some(i)).iter().map(|need| need.rows).max();
        let features = self.features.iter().enumerate().take(self.plan.outputs.len());
        let needs = features.map(|(i, feature)| (feature.name(), deepest(i).unwrap_or(0)));
        needs.filter(|(_, rows)| *rows > max_rows).collect()
    }

    /// What one row needs of each source, in their order.
    #[must_use]
    pub fn needs(&self) -> Vec<SourceNeeds> {
        self.plan.needs(self.sources.len(), None)
    }

    fn check_computable(&self) -> Result<(), ComputeError> {
        if self.features.is_empty() || self.sources.is_empty() || self.plan.outputs.is_empty() {
            return Err(ComputeError::NothingDeclared { set: self.name.clone() });
        }
        Ok(())
    }

    fn absent(&self, known: &Known<'_>, Absent { node, source, column }: Absent) -> ComputeError {
        let feature = self.plan.feature_of(node).and_then(|feature| self.features.get(feature));
        let rows = &known.sources[source];
        ComputeError::ColumnAbsent {
            set: self.name.clone(),
            feature: feature.map(|feature| feature.name().to_owned()).unwrap_or_default(),
            name: rows.source.name.clone(),
            column,
            available: rows.frame.names().map(str::to_owned).collect(),
        }
    }
}
