//! Raw rows and states in this process's memory.

use std::collections::{BTreeMap, HashMap};
use std::future;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use serve_core::Value;

use crate::name::{Entity, FeatureSetName};
use crate::raw::{RawRow, RawTable, merge};
use crate::store::{
    BoxFuture, Depth, RawRequest, RawRows, RawSlot, RawStore, RetrieveError, StoredState, Unreadable,
    WriteError, check_raw, earliest,
};

/// A row's values by the moment and digest that name it.
type Rows = BTreeMap<(Timestamp, String), Vec<(Arc<str>, Value<'static>)>>;
type Tables = HashMap<RawTable, BTreeMap<Entity, Rows>>;
/// By entity first: new rows forget those of their entities, whatever the set.
type States = HashMap<Entity, HashMap<FeatureSetName, BTreeMap<Timestamp, StoredState>>>;

/// Both under one lock, since writing rows forgets states.
#[derive(Debug, Default)]
pub(super) struct RawMemory(RwLock<(Tables, States)>);

impl RawMemory {
    fn read(&self, request: &RawRequest) -> Result<Vec<RawSlot>, RetrieveError> {
        let guard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let table = guard.0.get(&request.table);
        let one = |entity: &Entity| {
            request.check_deadline()?;
            let rows = table.and_then(|entities| entities.get(entity));
            let (known, complete) = newest(rows, request.until.unwrap_or(Timestamp::MAX), request.depth);
            let frame = request.table.columns(known.into_iter());
            let rows = frame.map(|frame| RawRows { frame, complete });
            Ok(rows.map_err(|source| Unreadable::new(request.table.name(), entity, source.into())))
        };
        request.entities.iter().map(one).collect()
    }

    fn insert(&self, table: &RawTable, rows: &[RawRow]) -> Result<(), WriteError> {
        rows.iter().try_for_each(|row| check_raw(table, row))?;
        // Digests take longer than insertions: before the lock.
        let digests: Vec<String> = rows.iter().map(|row| row.digest(table)).collect();
        let mut guard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (tables, states) = &mut *guard;
        let entities = tables.entry(table.clone()).or_default();
        let mut changed = Vec::new();
        for (row, digest) in rows.iter().zip(digests) {
            let stored = entities.entry(row.entity.clone()).or_default();
            let before = stored.get(&(row.timestamp, digest.clone()));
            let mut values = before.cloned().unwrap_or_default();
            match table {
                RawTable::Sentiment => merge(&mut values, row.values.iter().cloned()),
                RawTable::Price | RawTable::Events(_) => values.clone_from(&row.values),
            }
            if before != Some(&values) {
                changed.push(row);
                stored.insert((row.timestamp, digest), values);
            }
        }
        for (entity, first) in earliest(changed) {
            for known in states.get_mut(entity).into_iter().flat_map(HashMap::values_mut) {
                drop(known.split_off(&first));
            }
        }
        Ok(())
    }

    fn newest_state(
        &self,
        set: &FeatureSetName,
        declaration: &str,
        entity: &Entity,
        as_of: Option<Timestamp>,
    ) -> Option<StoredState> {
        let guard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let states = guard.1.get(entity)?.get(set)?;
        let until = states.range(..=as_of.unwrap_or(Timestamp::MAX));
        until.rev().map(|(_, state)| state).find(|state| state.declaration == declaration).cloned()
    }
}

/// A moment and a row's values.
type Known<'a> = (Timestamp, &'a [(Arc<str>, Value<'static>)]);

/// The rows up to a moment that a depth asks for, oldest first, and whether there are no older ones. Costs what it returns.
fn newest(rows: Option<&Rows>, until: Timestamp, depth: Depth) -> (Vec<Known<'_>>, bool) {
    let (mut known, mut before) = (Vec::new(), 0);
    let after = until.checked_add(SignedDuration::from_nanos(1)).map(|at| (at, String::new()));
    let end = after.map_or(Bound::Unbounded, Bound::Excluded);
    for ((at, _), values) in
        rows.into_iter().flat_map(|rows| rows.range((Bound::Unbounded, end.clone())).rev())
    {
        if depth.since.is_none_or(|since| *at <= since) {
            if before == depth.rows {
                known.reverse();
                return (known, false);
            }
            before += 1;
        }
        known.push((*at, values.as_slice()));
    }
    known.reverse();
    (known, true)
}

impl RawStore for RawMemory {
    fn read_raw(&self, request: RawRequest) -> BoxFuture<'_, Result<Vec<RawSlot>, RetrieveError>> {
        Box::pin(future::ready(self.read(&request)))
    }

    fn write_raw(&self, table: RawTable, rows: Vec<RawRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        Box::pin(future::ready(self.insert(&table, &rows)))
    }

    fn raw_entities(
        &self,
        table: RawTable,
        after: Option<Entity>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entity>, RetrieveError>> {
        let guard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let after = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let later = guard.0.get(&table).into_iter().flat_map(|of| of.range((after, Bound::Unbounded)));
        Box::pin(future::ready(Ok(later.take(limit).map(|(entity, _)| entity.clone()).collect())))
    }

    fn read_states(
        &self,
        set: FeatureSetName,
        declaration: String,
        entities: Vec<Entity>,
        as_of: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Vec<Option<StoredState>>, RetrieveError>> {
        let found =
            entities.iter().map(|entity| self.newest_state(&set, &declaration, entity, as_of)).collect();
        Box::pin(future::ready(Ok(found)))
    }

    fn write_states(
        &self,
        set: FeatureSetName,
        states: Vec<StoredState>,
    ) -> BoxFuture<'_, Result<(), WriteError>> {
        let mut guard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for state in states {
            let of = guard.1.entry(state.entity.clone()).or_default().entry(set.clone()).or_default();
            of.insert(state.timestamp, state);
        }
        Box::pin(future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(at: i64) -> Timestamp {
        Timestamp::from_second(at).expect("is in range")
    }

    proptest! {
        #[test]
        fn the_rows_of_a_depth_are_those_of_a_scan(
            keys in proptest::collection::btree_set((0_i64..6, 0..3), 0..12),
            until in prop_oneof![(-1_i64..7).prop_map(second), Just(Timestamp::MAX)],
            since in prop_oneof![Just(None), (-1_i64..7).prop_map(|at| Some(second(at))), Just(Some(Timestamp::MIN))],
            rows in prop_oneof![0_usize..8, Just(usize::MAX)],
        ) {
            let of = |(at, digest): &(i64, i32)| ((second(*at), digest.to_string()), Vec::new());
            let table: Rows = keys.iter().map(of).collect();
            let known: Vec<Timestamp> = table.keys().map(|(at, _)| *at).filter(|at| *at <= until).collect();
            let later = since.map_or(known.len(), |since| known.iter().filter(|at| **at <= since).count());
            let first = later.saturating_sub(rows);
            let (got, complete) = newest(Some(&table), until, Depth { since, rows });
            prop_assert_eq!(got.iter().map(|(at, _)| *at).collect::<Vec<_>>(), &known[first..]);
            prop_assert_eq!(complete, first == 0);
        }
    }
}
