//! What a file's rows can be: raw rows of a table, features that are ready, labels.

use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;

use crate::name::Entity;
use crate::raw::{PRICE_COLUMNS, RawRow, RawTable, TEXT};
use crate::row::FeatureRow;

/// What a file's rows are: how its columns read, and what names a row.
pub trait Rows {
    /// One row.
    type Row;

    /// The columns, for errors.
    fn expected(&self) -> &'static str;

    /// What names a row, for errors.
    fn key(&self) -> &'static str;

    /// A row of its parts.
    fn row(&self, entity: Entity, timestamp: Timestamp, values: Vec<(Arc<str>, Value<'static>)>)
    -> Self::Row;

    /// What names this row.
    fn identity(&self, row: &Self::Row) -> (Entity, Timestamp, String);

    /// How the columns of one name read.
    fn kind(&self, column: &str) -> ColumnKind;

    /// The columns that must be there, and that no others may.
    fn exactly(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Whether `symbol` is another word for `entity`, and the one that errors use.
    fn has_symbols(&self) -> bool;

    /// Whether a row that stands there twice is refused.
    fn once(&self) -> bool {
        true
    }
}

/// How a column's cells read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Numbers.
    Number,
    /// Texts, every character kept.
    Text,
    /// Each cell as what it reads as.
    Any,
    /// So too, and whole numbers that no double is as texts.
    Exact,
}

impl Rows for RawTable {
    type Row = RawRow;

    fn expected(&self) -> &'static str {
        match self {
            Self::Price => "`symbol`, `timestamp`, `open`, `high`, `low`, `close`, `volume`",
            Self::Sentiment => "`symbol`, `timestamp`, `text` (optional) and columns of numbers",
            Self::Events(_) => "`entity` (or `symbol`), `timestamp` and columns of numbers or texts",
        }
    }

    fn key(&self) -> &'static str {
        match self {
            Self::Price => "symbol and timestamp",
            Self::Sentiment => "symbol, timestamp and text",
            Self::Events(_) => "entity, timestamp and columns",
        }
    }

    fn row(&self, entity: Entity, timestamp: Timestamp, values: Vec<(Arc<str>, Value<'static>)>) -> RawRow {
        RawRow::new(entity, timestamp, values)
    }

    fn identity(&self, row: &RawRow) -> (Entity, Timestamp, String) {
        (row.entity.clone(), row.timestamp, row.digest(self))
    }

    fn kind(&self, column: &str) -> ColumnKind {
        match self {
            Self::Sentiment if column == TEXT => ColumnKind::Text,
            Self::Price | Self::Sentiment => ColumnKind::Number,
            Self::Events(_) => ColumnKind::Any,
        }
    }

    fn exactly(&self) -> Option<&'static [&'static str]> {
        (*self == Self::Price).then_some(&PRICE_COLUMNS)
    }

    fn has_symbols(&self) -> bool {
        true
    }
}

/// Rows of features that somebody has computed already: `entity,timestamp` and a column per feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadyRows;

impl Rows for ReadyRows {
    type Row = FeatureRow;

    fn expected(&self) -> &'static str {
        "`entity`, `timestamp` and a column per feature"
    }

    fn key(&self) -> &'static str {
        "entity and timestamp"
    }

    fn row(
        &self,
        entity: Entity,
        timestamp: Timestamp,
        values: Vec<(Arc<str>, Value<'static>)>,
    ) -> FeatureRow {
        FeatureRow::new(entity, timestamp, values)
    }

    fn identity(&self, row: &FeatureRow) -> (Entity, Timestamp, String) {
        (row.entity().clone(), row.timestamp(), String::new())
    }

    fn kind(&self, _column: &str) -> ColumnKind {
        ColumnKind::Any
    }

    fn has_symbols(&self) -> bool {
        false
    }
}

/// Labels to be joined: as feature rows, but an entity may have several of one moment, and be called `symbol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelRows;

impl Rows for LabelRows {
    type Row = FeatureRow;

    fn expected(&self) -> &'static str {
        "`entity` (or `symbol`), `timestamp` and columns of your own"
    }

    fn key(&self) -> &'static str {
        ReadyRows.key()
    }

    fn row(
        &self,
        entity: Entity,
        timestamp: Timestamp,
        values: Vec<(Arc<str>, Value<'static>)>,
    ) -> FeatureRow {
        ReadyRows.row(entity, timestamp, values)
    }

    fn identity(&self, row: &FeatureRow) -> (Entity, Timestamp, String) {
        ReadyRows.identity(row)
    }

    fn kind(&self, _: &str) -> ColumnKind {
        ColumnKind::Exact
    }

    fn has_symbols(&self) -> bool {
        true
    }

    fn once(&self) -> bool {
        false
    }
}
