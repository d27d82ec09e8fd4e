//! Where a file's rows go: how they are checked and written, and whether the store has one of them, which is what proves
//! that an ingest may go on behind it. A store that cannot tell counts as one without the row, since writing rows again
//! changes nothing and leaving them out would lose them.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serve_core::Value;
use serve_features::{
    Depth, FeatureRow, FeatureSetName, FeatureStore, FetchRequest, Frame, RawRequest, RawRow, RawStore,
    RawTable, ReadyRows, Refusal, RowCheck, Rows, WriteError,
};

/// Takes a file's rows.
pub(crate) trait Sink {
    type Rows: Rows + Clone;

    /// How the file reads.
    fn rows(&self) -> Self::Rows;

    /// What is wrong with a row that reads well, if anything is.
    fn refusal(&self, row: &<Self::Rows as Rows>::Row) -> Option<Refusal>;

    async fn write(&self, rows: Vec<<Self::Rows as Rows>::Row>) -> Result<(), WriteError>;

    /// The store has this row, with these values.
    async fn has(&self, row: &<Self::Rows as Rows>::Row) -> bool;
}

/// A raw table.
pub(crate) struct RawSink<'s> {
    pub(crate) store: &'s dyn RawStore,
    pub(crate) table: &'s RawTable,
    pub(crate) check: RowCheck,
}

impl Sink for RawSink<'_> {
    type Rows = RawTable;

    fn rows(&self) -> RawTable {
        self.table.clone()
    }

    fn refusal(&self, row: &RawRow) -> Option<Refusal> {
        self.check.refusal_of_moment(row.timestamp)
    }

    async fn write(&self, rows: Vec<RawRow>) -> Result<(), WriteError> {
        self.store.write_raw(self.table.clone(), rows).await
    }

    async fn has(&self, row: &RawRow) -> bool {
        has_raw(self.store, self.table, row).await
    }
}

/// A feature set.
pub(crate) struct SetSink<'s> {
    pub(crate) store: &'s dyn FeatureStore,
    pub(crate) set: &'s FeatureSetName,
    pub(crate) check: RowCheck,
}

impl Sink for SetSink<'_> {
    type Rows = ReadyRows;

    fn rows(&self) -> ReadyRows {
        ReadyRows
    }

    fn refusal(&self, row: &FeatureRow) -> Option<Refusal> {
        self.check.refusal(row)
    }

    async fn write(&self, rows: Vec<FeatureRow>) -> Result<(), WriteError> {
        self.store.write(self.set.clone(), rows).await
    }

    async fn has(&self, row: &FeatureRow) -> bool {
        has_ready(self.store, self.set, row).await
    }
}

async fn has_raw(store: &dyn RawStore, table: &RawTable, row: &RawRow) -> bool {
    // All rows of this moment: those later than the microsecond before it.
    let before = row.timestamp.checked_sub(SignedDuration::from_micros(1)).unwrap_or(Timestamp::MIN);
    let request = RawRequest {
        table: table.clone(),
        entities: vec![row.entity.clone()],
        until: Some(row.timestamp),
        depth: Depth { since: Some(before), rows: 0 },
        deadline: None,
    };
    let Ok(found) = store.read_raw(request).await else { return false };
    let same = |frame: &Frame, i: usize| row.values.iter().all(|(name, value)| has(frame, i, name, value));
    found.iter().flatten().any(|rows| (0..rows.frame.len()).any(|i| same(&rows.frame, i)))
}

/// A frame has no −0 and booleans as 0 and 1; what the row does not say is missing.
fn has(frame: &Frame, i: usize, name: &str, value: &Value<'_>) -> bool {
    let number = frame.column(name).map(|column| column[i]).filter(|x| !x.is_nan());
    let text = || frame.texts(name).and_then(|texts| texts[i].as_deref());
    match value {
        Value::Number(x) if !x.is_nan() => number == Some(*x),
        Value::Bool(x) => number == Some(f64::from(u8::from(*x))),
        Value::Text(x) => text() == Some(&**x),
        _ => number.is_none() && text().is_none(),
    }
}

async fn has_ready(store: &dyn FeatureStore, set: &FeatureSetName, row: &FeatureRow) -> bool {
    let as_of = Some(row.timestamp());
    let request = FetchRequest { as_of, ..FetchRequest::newest(set.clone(), [row.entity().clone()]) };
    let Ok(found) = store.fetch(request).await else { return false };
    let same = |known: &FeatureRow| {
        let mut values = row.features().map(|(name, value)| (name, value, known.get(name)));
        known.timestamp() == row.timestamp() && values.all(equal)
    };
    found.iter().flatten().flatten().any(same)
}

fn equal((_, value, known): (&Arc<str>, &Value<'_>, Option<&Value<'_>>)) -> bool {
    let missing = |value: &Value<'_>| {
        matches!(value, Value::Missing) || matches!(value, Value::Number(x) if x.is_nan())
    };
    match known {
        Some(known) => known == value || missing(known) && missing(value),
        None => missing(value),
    }
}
