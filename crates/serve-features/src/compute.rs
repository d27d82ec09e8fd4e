//! A feature set's rows from its sources, offline: the features that a model is trained on and that a store serves.
//!
//! Each part of an expression is computed on the rows of the source that it reads. Where parts of several sources meet, and
//! for the final column, they are brought to the rows of the first source by an as-of join. An output row stands at the
//! moment its row of the first source became visible, so fetching "as of then" finds nothing that was not known then.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;

use crate::declaration::{Feature, FeatureSet, MissingPolicy, Source};
use crate::frame::Frame;
use crate::join;
use crate::name::{Entity, FeatureSetName};
use crate::row::FeatureRow;

use evaluation::{Aligned, Evaluation};

mod evaluation;

/// The rows of each declared source, by the source's name.
pub type SourceFrames = BTreeMap<String, Frame>;

/// What computing a set for one entity gave.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Computed {
    /// Oldest first, each with every feature in the declared order.
    pub rows: Vec<FeatureRow>,
    /// Rows left out because a feature with the policy `reject` was missing.
    pub rejected: usize,
    /// Values that a `constant` stands for, over all rows.
    pub filled: usize,
}

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
    /// rows of the first source at one moment, the last gives the row. O(features × rows × window).
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
    /// assert_eq!(computed.rows[0].get("change"), Some(&serve_core::Value::Missing));
    /// assert_eq!(computed.rows[1].get("change"), Some(&0.5.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compute(&self, entity: &Entity, frames: &SourceFrames) -> Result<Computed, ComputeError> {
        if self.features.is_empty() {
            return Err(ComputeError::NothingDeclared { set: self.name.clone() });
        }
        let sources = self.align(frames)?;
        let mut columns = Vec::with_capacity(self.features.len());
        for feature in &self.features {
            columns.push(self.column(feature, &sources)?);
        }
        Ok(assemble(entity, &self.features, &sources[0].visible, &columns))
    }

    /// Each source with its rows and what the rows of the first see of it.
    fn align<'a>(&self, frames: &'a SourceFrames) -> Result<Vec<Aligned<'a>>, ComputeError> {
        let mut aligned: Vec<Aligned<'a>> = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let Source { name, max_age, delay, .. } = source;
            let Some(frame) = frames.get(name) else {
                return Err(ComputeError::SourceAbsent { set: self.name.clone(), name: name.clone() });
            };
            let visible = join::visible(frame.timestamps(), *delay);
            let joined = aligned.first().map(|first| join::as_of(&first.visible, &visible, *max_age));
            aligned.push(Aligned { name: name.clone(), frame, visible, joined });
        }
        Ok(aligned)
    }

    /// One feature's value at every row of the first source.
    fn column(&self, feature: &Feature, sources: &[Aligned<'_>]) -> Result<Vec<f64>, ComputeError> {
        let absent = |column: &str, source: &Aligned<'_>| ComputeError::ColumnAbsent {
            set: self.name.clone(),
            feature: feature.name().to_owned(),
            name: source.name.clone(),
            column: column.to_owned(),
            available: source.frame.names().map(str::to_owned).collect(),
        };
        Evaluation { sources, absent: &absent }.column(&feature.expr)
    }
}

fn assemble(
    entity: &Entity,
    features: &[Feature],
    visible: &[Option<Timestamp>],
    columns: &[Vec<f64>],
) -> Computed {
    let mut computed = Computed::default();
    for (t, timestamp) in visible.iter().enumerate() {
        let Some(timestamp) = *timestamp else { continue };
        // Of rows of one moment the last has seen them all.
        if visible.get(t + 1) == Some(&Some(timestamp)) {
            continue;
        }
        let mut values = Vec::with_capacity(features.len());
        let (mut filled, mut rejected) = (0, false);
        for (feature, column) in features.iter().zip(columns) {
            let value = match (column[t], feature.missing) {
                (x, _) if x.is_finite() => Value::Number(x),
                (_, MissingPolicy::Nan) => Value::Missing,
                (_, MissingPolicy::Constant(x)) => {
                    filled += 1;
                    Value::Number(x)
                }
                (_, MissingPolicy::Reject) => {
                    rejected = true;
                    Value::Missing
                }
            };
            values.push((Arc::clone(&feature.name), value));
        }
        if rejected {
            computed.rejected += 1;
        } else {
            computed.filled += filled;
            computed.rows.push(FeatureRow::new(entity.clone(), timestamp, values));
        }
    }
    computed
}
