//! Raw rows and states in this process's memory.

use std::collections::{BTreeMap, HashMap};
use std::future;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use serve_core::Value;

use crate::name::{Entity, FeatureSetName};
use crate::raw::{RawRow, RawTable, merge};
use crate::store::{
    BoxFuture, Depth, RawRequest, RawRows, RawStore, RetrieveError, StoredState, WriteError, check_raw,
    earliest,
};

/// A row's values by the moment and digest that name it.
type Rows = BTreeMap<(Timestamp, String), Vec<(Arc<str>, Value<'static>)>>;
type Tables = HashMap<RawTable, BTreeMap<Entity, Rows>>;
type States = HashMap<(FeatureSetName, Entity), BTreeMap<Timestamp, StoredState>>;

/// Both under one lock, since writing rows forgets states.
#[derive(Debug, Default)]
pub(super) struct RawMemory(RwLock<(Tables, States)>);

impl RawMemory {
    fn read(&self, request: &RawRequest) -> Result<Vec<RawRows>, RetrieveError> {
        let guard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let table = guard.0.get(&request.table);
        let one = |entity: &Entity| {
            request.check_deadline()?;
            let rows = table.and_then(|entities| entities.get(entity));
            let until = request.until.unwrap_or(Timestamp::MAX);
            let known = rows.into_iter().flatten().take_while(|((at, _), _)| *at <= until);
            let known: Vec<_> = known.map(|((at, _), values)| (*at, values.as_slice())).collect();
            let first = first_of(&known, request.depth);
            let frame = request.table.columns(known[first..].iter().copied());
            let frame = frame.map_err(|source| RetrieveError::Corrupt {
                table: request.table.to_string(),
                entity: entity.clone(),
                source: Box::new(source),
            })?;
            Ok(RawRows { frame, complete: first == 0 })
        };
        request.entities.iter().map(one).collect()
    }

    fn insert(&self, table: &RawTable, rows: Vec<RawRow>) -> Result<(), WriteError> {
        rows.iter().try_for_each(|row| check_raw(table, row))?;
        let mut guard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (tables, states) = &mut *guard;
        for (entity, first) in earliest(&rows) {
            for ((_, _), known) in states.iter_mut().filter(|((_, of), _)| of == entity) {
                known.retain(|at, _| *at < first);
            }
        }
        let entities = tables.entry(table.clone()).or_default();
        for row in rows {
            let key = (row.timestamp, row.digest(table));
            let stored = entities.entry(row.entity).or_default().entry(key).or_default();
            match table {
                RawTable::Sentiment => merge(stored, row.values),
                RawTable::Price | RawTable::Events(_) => *stored = row.values,
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
        let states = guard.1.get(&(set.clone(), entity.clone()))?;
        let until = states.range(..=as_of.unwrap_or(Timestamp::MAX));
        until.rev().map(|(_, state)| state).find(|state| state.declaration == declaration).cloned()
    }
}

/// The first row that a depth asks for.
fn first_of<T>(known: &[(Timestamp, T)], depth: Depth) -> usize {
    let later = match depth.since {
        Some(since) => known.partition_point(|(at, _)| *at <= since),
        None => known.len(),
    };
    later.saturating_sub(depth.rows)
}

impl RawStore for RawMemory {
    fn read_raw(&self, request: RawRequest) -> BoxFuture<'_, Result<Vec<RawRows>, RetrieveError>> {
        Box::pin(future::ready(self.read(&request)))
    }

    fn write_raw(&self, table: RawTable, rows: Vec<RawRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        Box::pin(future::ready(self.insert(&table, rows)))
    }

    fn raw_entities(
        &self,
        table: RawTable,
        after: Option<Entity>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entity>, RetrieveError>> {
        let guard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entities = guard.0.get(&table).into_iter().flat_map(BTreeMap::keys);
        let later = entities.filter(|entity| after.as_ref().is_none_or(|after| *entity > after));
        Box::pin(future::ready(Ok(later.take(limit).cloned().collect())))
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
            let of = guard.1.entry((set.clone(), state.entity.clone())).or_default();
            of.insert(state.timestamp, state);
        }
        Box::pin(future::ready(Ok(())))
    }
}
