//! Feature rows from raw rows as they arrive, with the bits of the offline build over the same rows.
//!
//! A feature row is known once everything is there that was visible at its moment, which the caller says by
//! [advancing](FeatureStream::advance) the stream. A row that comes after the stream was advanced past its moment is late and
//! refused: the rows that should have seen it are out. Until then a row that comes twice is what it is in a store: a candle
//! of the same moment replaces the other, scores of the same text are merged, and the same event is one.
//!
//! A stream begins with nothing, or [goes on](FeatureStream::resume) from what a store has.
//!
//! Memory: of each entity the rows that windows may look back to, those since the last row of the first source, and the state
//! of functions of endless memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;

use super::ComputeError;
use super::computed::Computed;
use super::evaluation::{Evaluation, Mark};
use super::extent::Extent;
use super::known::Known;
use super::state::State;
use crate::declaration::FeatureSet;
use crate::frame::{Frame, FrameError};
use crate::name::Entity;
use crate::raw::{RawRow, RawTable, merge};
use crate::row::FeatureRow;
use crate::store::{RetrieveError, StoredState, WriteError, check_raw};
use crate::timestamp::later;

mod resume;

/// One row's values by column.
type Values = Vec<(Arc<str>, Value<'static>)>;

/// Why rows were not taken. None of them were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// No source of the set reads this table.
    #[error("feature set \"{set}\" has no source of table \"{table}\"")]
    NoSource {
        /// The set.
        set: crate::name::FeatureSetName,
        /// The table.
        table: RawTable,
    },
    /// Rows that should have seen it are out.
    #[error(
        "the row of \"{entity}\" at {timestamp} in \"{table}\" is late: the stream has been advanced to {until}"
    )]
    Late {
        /// The table.
        table: RawTable,
        /// Of whom.
        entity: Entity,
        /// The row's timestamp.
        timestamp: Timestamp,
        /// What the stream was advanced to.
        until: Timestamp,
    },
    /// Nothing to compute is declared.
    #[error(transparent)]
    Declared(#[from] ComputeError),
    /// What a store has cannot be read.
    #[error(transparent)]
    Read(#[from] RetrieveError),
    /// A value that the table does not hold.
    #[error(transparent)]
    Row(#[from] WriteError),
    /// Rows of an entity that are no columns.
    #[error("the rows of \"{entity}\" in \"{table}\" cannot be used")]
    Frame {
        /// The table.
        table: RawTable,
        /// Of whom.
        entity: Entity,
        /// What is wrong.
        source: FrameError,
    },
}

/// A set computed as raw rows arrive, of any number of entities.
///
/// ```
/// use serve_features::{Declarations, FeatureStream, RawTable, parse_timestamp, read_raw};
/// let declarations = Declarations::parse("
/// feature_sets:
///   daily:
///     entity: symbol
///     sources: { price: { table: price_data } }
///     features: { change: 'return(close, 1)' }
/// ")?;
/// let mut stream = FeatureStream::new(declarations.get("daily").expect("is declared above"))?;
/// let csv = "symbol,timestamp,open,high,low,close,volume
/// BTC/USD,2019-01-01,1,1,1,100,1
/// BTC/USD,2019-01-02,1,1,1,150,1
/// ";
/// stream.push(&RawTable::Price, read_raw(&RawTable::Price, csv.as_bytes())?)?;
/// let rows = stream.advance(parse_timestamp("2019-01-02")?)?;
/// assert_eq!(rows[1].get("change"), Some(&0.5.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FeatureStream {
    set: FeatureSet,
    lanes: BTreeMap<Entity, Lane>,
    until: Option<Timestamp>,
}

/// One entity's.
#[derive(Debug)]
struct Lane {
    sources: Vec<LaneSource>,
    /// Rows of the first source that are kept and have given their feature rows.
    given: usize,
    state: Option<State>,
}

#[derive(Debug, Default)]
struct LaneSource {
    /// Not visible yet, by what tells rows apart.
    waiting: BTreeMap<(Timestamp, String), Values>,
    /// Visible, oldest first.
    rows: Vec<(Timestamp, Values)>,
    /// Older ones were let go of, or not read.
    cut: bool,
}

impl FeatureStream {
    /// A stream that has seen nothing: the history of every entity begins with its first row.
    ///
    /// # Errors
    /// [`ComputeError::NothingDeclared`].
    pub fn new(set: &FeatureSet) -> Result<Self, ComputeError> {
        set.check_computable()?;
        Ok(Self { set: set.clone(), lanes: BTreeMap::new(), until: None })
    }

    /// Takes raw rows of a table, of any entities and in any order.
    ///
    /// # Errors
    /// [`StreamError`]; then none of the rows is taken.
    pub fn push(&mut self, table: &RawTable, rows: Vec<RawRow>) -> Result<(), StreamError> {
        if !self.set.sources.iter().any(|source| source.table == *table) {
            return Err(StreamError::NoSource { set: self.set.name.clone(), table: table.clone() });
        }
        for row in &rows {
            check_raw(table, row)?;
            self.check_time(table, row)?;
        }
        let sources = self.set.sources.len();
        for row in rows {
            let lane = self.lanes.entry(row.entity.clone()).or_insert_with(|| Lane::new(sources));
            lane.take(&self.set, table, &row);
        }
        Ok(())
    }

    fn check_time(&self, table: &RawTable, row: &RawRow) -> Result<(), StreamError> {
        let Some(until) = self.until else { return Ok(()) };
        let sources = self.set.sources.iter().filter(|source| source.table == *table);
        let mut moments = sources.filter_map(|source| later(row.timestamp, source.delay));
        if moments.any(|moment| moment <= until) {
            let (entity, timestamp) = (row.entity.clone(), row.timestamp);
            return Err(StreamError::Late { table: table.clone(), entity, timestamp, until });
        }
        Ok(())
    }

    /// Says that every row visible up to `now` has been pushed, and gives the feature rows that are known by it and were not
    /// given yet: entity by entity, each entity's oldest first. An earlier moment than before gives nothing. The rows are as a store
    /// keeps them: what is missing stays so where a constant is declared for it, which [`crate::Retriever`] puts there.
    ///
    /// # Errors
    /// [`StreamError::Frame`]: an entity's rows are no frame.
    pub fn advance(&mut self, now: Timestamp) -> Result<Vec<FeatureRow>, StreamError> {
        if self.until.is_none_or(|until| until < now) {
            self.until = Some(now);
        }
        let mut given = Vec::new();
        for (entity, lane) in &mut self.lanes {
            lane.advance(&self.set, entity, now, &mut given)?;
        }
        Ok(given)
    }

    /// The state of an entity after its last feature row, for [`crate::RawStore::write_states`]. `None` before the first row,
    /// and for a set that needs none.
    #[must_use]
    pub fn state(&self, entity: &Entity) -> Option<StoredState> {
        let state = self.lanes.get(entity)?.state.as_ref()?;
        (!state.nodes.is_empty()).then(|| self.set.stored(entity, state))
    }

    /// Raw rows that are kept, of all entities.
    #[must_use]
    pub fn kept(&self) -> usize {
        let sources = self.lanes.values().flat_map(|lane| &lane.sources);
        sources.map(|source| source.rows.len() + source.waiting.len()).sum()
    }
}

impl Lane {
    fn new(sources: usize) -> Self {
        Self { sources: (0..sources).map(|_| LaneSource::default()).collect(), given: 0, state: None }
    }

    /// Adds a row to every source of its table.
    fn take(&mut self, set: &FeatureSet, table: &RawTable, row: &RawRow) {
        let key = (row.timestamp, row.digest(table));
        let sources = self.sources.iter_mut().zip(&set.sources);
        for (lane, _) in sources.filter(|(_, source)| source.table == *table) {
            let stored = lane.waiting.entry(key.clone()).or_default();
            match table {
                RawTable::Sentiment => merge(stored, row.values.clone()),
                RawTable::Price | RawTable::Events(_) => stored.clone_from(&row.values),
            }
        }
    }

    fn advance(
        &mut self,
        set: &FeatureSet,
        entity: &Entity,
        now: Timestamp,
        given: &mut Vec<FeatureRow>,
    ) -> Result<(), StreamError> {
        let mut frames: Vec<Frame> = Vec::with_capacity(set.sources.len());
        for (lane, source) in self.sources.iter_mut().zip(&set.sources) {
            let visible = |at: &Timestamp| later(*at, source.delay).is_some_and(|at| at <= now);
            while let Some(entry) = lane.waiting.first_entry().filter(|entry| visible(&entry.key().0)) {
                let ((timestamp, _), values) = entry.remove_entry();
                lane.rows.push((timestamp, values));
            }
            let frame = source.table.columns(lane.rows.iter().map(|(at, values)| (*at, values.as_slice())));
            frames.push(frame.map_err(|problem| StreamError::Frame {
                table: source.table.clone(),
                entity: entity.clone(),
                source: problem,
            })?);
        }
        let read = set.sources.iter().zip(&frames).zip(&self.sources);
        let read = read.map(|((source, frame), lane)| (source, frame, !lane.cut));
        let known = Known::new(read, None);
        if known.len(0) > self.given {
            let (state, kept) = self.compute(set, entity, &known, given);
            self.state = Some(state);
            self.given = known.len(0) - kept.first().copied().unwrap_or(0);
            self.let_go(&kept);
        }
        Ok(())
    }

    /// The new rows; then the state after them, and the first row of each source that is still needed.
    fn compute(
        &self,
        set: &FeatureSet,
        entity: &Entity,
        known: &Known<'_>,
        given: &mut Vec<FeatureRow>,
    ) -> (State, Vec<usize>) {
        let (plan, rows) = (&*set.plan, known.len(0));
        let extent = Extent::new(plan, known, self.given, self.state.as_ref());
        let moment = known.sources[0].visible[rows - 1];
        let marks = [Mark::at(plan, known, moment)];
        let mut evaluation = Evaluation {
            plan,
            known,
            extent: &extent,
            state: self.state.as_ref(),
            strict: false,
            marks: &marks,
            states: Vec::new(),
        };
        // Nothing is strict, so nothing is absent.
        let columns = evaluation.columns(self.given).unwrap_or_default();
        let visible = &known.sources[0].visible[self.given..];
        let computed = Computed::new(entity, set, visible, columns);
        given.extend(computed.stored_rows_in(0..computed.len()));
        let nodes = evaluation.states.pop().unwrap_or_default();
        let [mark] = marks;
        (State { moment, nodes }, mark.extent.used)
    }

    fn let_go(&mut self, kept: &[usize]) {
        for (lane, kept) in self.sources.iter_mut().zip(kept) {
            lane.rows.drain(..*kept);
            lane.cut |= *kept > 0;
        }
    }
}
