//! The feature sets as `features.yaml` declares them. A [`FeatureSet`] can only be made from a declaration whose every
//! expression, source and limit was checked, so computing it meets no surprises but in the data.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::compute::plan::Plan;
use crate::freshness::MaxAge;
use crate::name::{Entity, FeatureSetName};
use crate::raw::{PRICE_COLUMNS, RawTable, SCORE, TEXT};

pub(crate) use digest::DIGITS;
pub use digest::DeclarationDigest;
pub use mistake::{DeclarationError, Mistake};

mod decode;
mod digest;
mod feature;
mod mistake;
mod yaml;

/// Every declared feature set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Declarations {
    sets: Vec<FeatureSet>,
}

impl Declarations {
    /// Reads the text of a `features.yaml`.
    ///
    /// # Errors
    /// [`DeclarationError`] with every mistake there is, each with its line, set and feature.
    ///
    /// ```
    /// use serve_features::Declarations;
    /// let declarations = Declarations::parse("
    /// feature_sets:
    ///   btc_daily:
    ///     entity: symbol
    ///     default_entity: BTC/USD
    ///     sources:
    ///       price: { table: price_data }
    ///     features:
    ///       return_1: return(close, 1)
    ///       sma_ratio_7: close / rolling_mean(close, 7) - 1
    /// ")?;
    /// let set = declarations.get("btc_daily").expect("is declared above");
    /// assert_eq!(set.feature_names().collect::<Vec<_>>(), ["return_1", "sma_ratio_7"]);
    /// # Ok::<(), serve_features::DeclarationError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, DeclarationError> {
        decode::declarations(text).map(|sets| Self { sets })
    }

    /// Reads a `features.yaml`.
    ///
    /// # Errors
    /// [`DeclarationError`]: the file cannot be read, or has mistakes.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, DeclarationError> {
        let path = path.as_ref();
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| DeclarationError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
            .map_err(|error| DeclarationError::InFile { path: path.to_owned(), mistakes: Box::new(error) })
    }

    /// The sets, in the file's order.
    #[must_use]
    pub fn sets(&self) -> &[FeatureSet] {
        &self.sets
    }

    /// The set of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&FeatureSet> {
        self.sets.iter().find(|set| set.name.as_str() == name)
    }
}

/// One declared group of features. One without sources describes rows that are computed elsewhere and ingested ready; it
/// may say what they hold.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSet {
    pub(crate) name: FeatureSetName,
    pub(crate) entity_key: String,
    pub(crate) default_entity: Option<Entity>,
    pub(crate) max_age: Option<MaxAge>,
    pub(crate) sources: Vec<Source>,
    pub(crate) features: Vec<Feature>,
    /// How the features are computed.
    pub(crate) plan: Arc<Plan>,
    /// Names sources and expressions: states of other ones mean nothing here.
    pub(crate) digest: String,
    /// Names what a computed row's values depend on; `None` where nothing is computed.
    pub(crate) computed_by: Option<DeclarationDigest>,
}

impl FeatureSet {
    /// The set's name.
    #[must_use]
    pub fn name(&self) -> &FeatureSetName {
        &self.name
    }

    /// What the entity is called, such as `symbol`.
    #[must_use]
    pub fn entity_key(&self) -> &str {
        &self.entity_key
    }

    /// Whom a request means that names nobody.
    #[must_use]
    pub fn default_entity(&self) -> Option<&Entity> {
        self.default_entity.as_ref()
    }

    /// The set's own age limit.
    #[must_use]
    pub fn max_age(&self) -> Option<MaxAge> {
        self.max_age
    }

    /// The sources; rows follow the first.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The features, as declared.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// What rows that are computed by this declaration are marked with; `None` for a set whose rows come ready.
    #[must_use]
    pub fn digest(&self) -> Option<DeclarationDigest> {
        self.computed_by
    }

    /// The features' names, as declared: the columns of a built table.
    pub fn feature_names(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(Feature::name)
    }
}

/// Where a set's columns come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// The name that expressions use.
    pub name: String,
    /// The raw table.
    pub table: RawTable,
    /// The columns of a table of one's own; empty: it may have any.
    pub columns: Vec<(Arc<str>, SourceColumn)>,
    /// Joined values older than this are missing.
    pub max_age: Option<MaxAge>,
    /// A row is visible that long after its timestamp.
    pub delay: Duration,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceColumn {
    /// Numbers.
    Number,
    /// Texts.
    Text,
}

impl Source {
    /// What a column holds, where it is known that the table has it.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<SourceColumn> {
        match self.table {
            RawTable::Price => PRICE_COLUMNS.contains(&name).then_some(SourceColumn::Number),
            RawTable::Sentiment if name == SCORE => Some(SourceColumn::Number),
            RawTable::Sentiment if name == TEXT => Some(SourceColumn::Text),
            RawTable::Sentiment | RawTable::Events(_) => {
                self.columns.iter().find(|(known, _)| **known == *name).map(|(_, kind)| *kind)
            }
        }
    }

    /// All columns, where it is known that the table has no others.
    #[must_use]
    pub fn columns(&self) -> Option<Vec<&str>> {
        let declared = self.columns.iter().map(|(name, _)| &**name);
        match self.table {
            RawTable::Price => Some(PRICE_COLUMNS.to_vec()),
            RawTable::Sentiment | RawTable::Events(_) if self.columns.is_empty() => None,
            RawTable::Sentiment => Some([SCORE, TEXT].into_iter().chain(declared).collect()),
            RawTable::Events(_) => Some(declared.collect()),
        }
    }

    /// A source without limits.
    #[cfg(test)]
    pub(crate) fn of(name: &str, table: RawTable) -> Self {
        Self { name: name.to_owned(), table, columns: Vec::new(), max_age: None, delay: Duration::ZERO }
    }
}

/// One declared feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    pub(crate) name: Arc<str>,
    pub(crate) text: Option<String>,
    pub(crate) missing: MissingPolicy,
    pub(crate) kind: FeatureKind,
    pub(crate) range: FeatureRange,
    pub(crate) max_null_rate: Option<f64>,
}

impl Feature {
    /// The feature's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The expression, as written; `None` where the value comes ready.
    #[must_use]
    pub fn expression(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// What happens where it has no value.
    #[must_use]
    pub fn missing(&self) -> MissingPolicy {
        self.missing
    }

    /// What its values are. A computed feature is a number.
    #[must_use]
    pub fn kind(&self) -> FeatureKind {
        self.kind
    }

    /// Which numbers it may have.
    #[must_use]
    pub fn range(&self) -> FeatureRange {
        self.range
    }

    /// The share of missing values, 0 to 1, above which its supply is in doubt.
    #[must_use]
    pub fn max_null_rate(&self) -> Option<f64> {
        self.max_null_rate
    }
}

/// What a feature's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FeatureKind {
    /// Numbers.
    #[default]
    Number,
    /// True or false.
    Bool,
    /// Text.
    Text,
}

/// Which numbers a feature may have, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct FeatureRange {
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
}

/// What a computed row does where a feature has no value.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum MissingPolicy {
    /// It is missing, and the model's signature says what that means.
    #[default]
    Nan,
    /// It has this value instead.
    Constant(f64),
    /// The row is left out.
    Reject,
}
