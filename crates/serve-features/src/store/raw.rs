//! The seam to raw rows: what features are computed from, and how far functions of endless memory have come. A store that
//! keeps both feature rows and raw rows is one [`crate::FeatureStore`] whose [`raw`](crate::FeatureStore::raw) is there.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use jiff::Timestamp;
use serve_core::Value;

use super::{BoxFuture, RetrieveError, Unreadable, WriteError};
use crate::frame::Frame;
use crate::name::{Entity, FeatureSetName};
use crate::raw::{RawRow, RawTable};

/// How far back raw rows are wanted: everything later than `since`, and the newest `rows` of what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// All rows later than this are wanted; `None`: none for that reason alone.
    pub since: Option<Timestamp>,
    /// So many rows before that.
    pub rows: usize,
}

impl Depth {
    /// The whole history.
    pub const ALL: Self = Self { since: Some(Timestamp::MIN), rows: usize::MAX };

    /// The newest rows.
    #[must_use]
    pub fn newest(rows: usize) -> Self {
        Self { since: None, rows }
    }
}

/// Which raw rows are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct RawRequest {
    /// Of which table.
    pub table: RawTable,
    /// Of whom, one answer each, in this order.
    pub entities: Vec<Entity>,
    /// Only rows with a timestamp up to and with this; `None`: all.
    pub until: Option<Timestamp>,
    /// How far back.
    pub depth: Depth,
    /// When nobody waits for the answer any more.
    pub deadline: Option<Instant>,
}

impl RawRequest {
    /// The request's work is no longer wanted.
    pub(crate) fn check_deadline(&self) -> Result<(), RetrieveError> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(RetrieveError::RawDeadline { table: self.table.clone() });
        }
        Ok(())
    }
}

/// One entity's raw rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RawRows {
    /// Oldest first; rows of one moment in the order of their digests.
    pub frame: Frame,
    /// The history begins here: the table has no older row of this entity.
    pub complete: bool,
}

/// One entity's part of a reading: its rows, none of them where there are none, or why one of them cannot be read. An entity
/// with such a row has none that could be computed with, and fails alone.
pub type RawSlot = Result<RawRows, Unreadable>;

/// What functions of endless memory have to remember of one entity, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// Of whom.
    pub entity: Entity,
    /// Every raw row that was visible then has been taken in, and no other.
    pub timestamp: Timestamp,
    /// Names the declaration that it belongs to; with another one it means nothing.
    pub declaration: String,
    /// The state, which only the code that computes features reads.
    pub state: String,
}

/// A place that keeps raw rows and states.
pub trait RawStore: fmt::Debug + Send + Sync {
    /// Raw rows of each entity, one slot an entity in the order asked, in one query.
    fn read_raw(&self, request: RawRequest) -> BoxFuture<'_, Result<Vec<RawSlot>, RetrieveError>>;

    /// Stores raw rows, all or none. A candle of the same symbol and timestamp is replaced; a sentiment row of the same text
    /// keeps the scores that the new one does not name; an event that is there already stays. States of these entities that
    /// have taken in something as late as the earliest of these rows are forgotten: they do not know it. A row that is there
    /// already as it is sent is none of these.
    fn write_raw(&self, table: RawTable, rows: Vec<RawRow>) -> BoxFuture<'_, Result<(), WriteError>>;

    /// The entities of which a table has rows, in order of their names, beginning after the given one.
    fn raw_entities(
        &self,
        table: RawTable,
        after: Option<Entity>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entity>, RetrieveError>>;

    /// The newest state of each entity that is not later than `as_of` and of this declaration, one slot an entity. One that
    /// cannot be read is none.
    fn read_states(
        &self,
        set: FeatureSetName,
        declaration: String,
        entities: Vec<Entity>,
        as_of: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Vec<Option<StoredState>>, RetrieveError>>;

    /// Stores states, all or none; one of the same set, entity and timestamp is replaced.
    fn write_states(
        &self,
        set: FeatureSetName,
        states: Vec<StoredState>,
    ) -> BoxFuture<'_, Result<(), WriteError>>;
}

/// Refuses a row that the table cannot hold.
pub(crate) fn check_raw(table: &RawTable, row: &RawRow) -> Result<(), WriteError> {
    let refused = |(name, value): &(std::sync::Arc<str>, Value<'_>)| {
        let expected = table.check(name, value).err()?;
        let got = match value {
            Value::Number(x) => x.to_string(),
            other => other.kind().to_owned(),
        };
        Some(WriteError::RawNotStorable {
            table: table.clone(),
            entity: row.entity.clone(),
            timestamp: row.timestamp,
            column: name.to_string(),
            expected,
            got,
        })
    };
    row.values.iter().find_map(refused).map_or(Ok(()), Err)
}

/// The earliest moment of each entity: states that are as late do not know the rows.
pub(crate) fn earliest<'a>(rows: impl IntoIterator<Item = &'a RawRow>) -> BTreeMap<&'a Entity, Timestamp> {
    let mut earliest: BTreeMap<&Entity, Timestamp> = BTreeMap::new();
    for row in rows {
        earliest
            .entry(&row.entity)
            .and_modify(|first| *first = row.timestamp.min(*first))
            .or_insert(row.timestamp);
    }
    earliest
}
