//! Feature rows in this process's memory: for tests, embedding, and rows that a caller keeps up to date itself. History is
//! kept whole, as in the other stores, so memory grows with every new timestamp.

use std::collections::{BTreeMap, HashMap};
use std::future;
use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;

use crate::name::{Entity, FeatureSetName};
use crate::row::FeatureRow;
use crate::store::{
    BoxFuture, FeatureStore, FetchRequest, HistoryRequest, RawStore, RetrieveError, SampledRow, Slot,
    WriteError,
};
use crate::stored;

use raw::RawMemory;

mod raw;

type History = BTreeMap<Timestamp, FeatureRow>;

/// A feature store without a database. Never blocks on anything but its own lock, which is held for a map look-up a row.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// A batch is inserted under one write lock, so a reader sees all of it or nothing. A panic between two insertions
    /// leaves whole rows only, so a poisoned lock is used on.
    sets: RwLock<HashMap<FeatureSetName, BTreeMap<Entity, History>>>,
    raw: RawMemory,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&self, request: &FetchRequest) -> Result<Vec<Slot>, RetrieveError> {
        request.check_deadline()?;
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        let Some(entities) = sets.get(&request.set) else {
            return Ok(vec![Ok(None); request.entities.len()]);
        };
        let until = request.as_of.unwrap_or(Timestamp::MAX);
        let newest = |entity: &Entity| {
            let history = entities.get(entity)?;
            history.range(..=until).next_back().map(|(_, row)| row.clone())
        };
        Ok(request.entities.iter().map(|entity| Ok(newest(entity))).collect())
    }

    fn newest(&self, set: &FeatureSetName, limit: usize) -> Vec<SampledRow> {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        let histories = sets.get(set).into_iter().flat_map(BTreeMap::values);
        histories
            .filter_map(|history| history.last_key_value())
            .map(|(_, row)| Ok(row.clone()))
            .take(limit)
            .collect()
    }

    fn between(&self, request: &HistoryRequest) -> Vec<FeatureRow> {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        let history = sets.get(&request.set).and_then(|entities| entities.get(&request.entity));
        let from = request.from.unwrap_or(Timestamp::MIN);
        let early = |at: &Timestamp| request.to.is_none_or(|to| *at < to);
        let rows = history.into_iter().flat_map(|rows| rows.range(from..)).take_while(|(at, _)| early(at));
        rows.map(|(_, row)| row.clone()).take(request.limit).collect()
    }

    fn insert(&self, set: FeatureSetName, rows: Vec<FeatureRow>) -> Result<(), WriteError> {
        rows.iter().try_for_each(stored::check)?;
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        let entities = sets.entry(set).or_default();
        for row in rows {
            entities.entry(row.entity().clone()).or_default().insert(row.timestamp(), row);
        }
        Ok(())
    }
}

impl FeatureStore for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Vec<Slot>, RetrieveError>> {
        Box::pin(future::ready(self.read(&request)))
    }

    fn write(&self, set: FeatureSetName, rows: Vec<FeatureRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        Box::pin(future::ready(self.insert(set, rows)))
    }

    fn sample(
        &self,
        set: FeatureSetName,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SampledRow>, RetrieveError>> {
        Box::pin(future::ready(Ok(self.newest(&set, limit))))
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Vec<FeatureRow>, RetrieveError>> {
        Box::pin(future::ready(Ok(self.between(&request))))
    }

    fn raw(&self) -> Option<&dyn RawStore> {
        Some(&self.raw)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), RetrieveError>> {
        Box::pin(future::ready(Ok(())))
    }
}
