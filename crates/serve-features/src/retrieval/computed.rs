//! Rows computed from raw rows when a request asks. They are kept and shared like stored ones.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::found::Content;
use super::{Asked, Failed, Found, Origin, Retriever, Unavailable, Weighed};
use crate::compute::{BuildError, OnDemand, OnDemandError, OnDemandRequest, on_demand_on};
use crate::declaration::FeatureSet;
use crate::feature_cache::{CacheKey, RowKind, Wanted};
use crate::name::Entity;
use crate::store::{FeatureStore, RawStore, RetrieveError, StoreError};

/// Entities whose raw rows are in memory at once.
const CHUNK: usize = 32;

impl Retriever {
    /// The computed row of each entity, held against the limit.
    pub(super) async fn computed(
        &self,
        asked: Asked<'_>,
        entities: &[Entity],
    ) -> Result<Vec<Weighed>, Unavailable> {
        let (set, raw) = self.computable(asked)?;
        let end = asked.end(self.config.on_demand.timeout);
        let fetch = |wanted: Vec<usize>| async move {
            let entities: Vec<Entity> = wanted.into_iter().map(|i| entities[i].clone()).collect();
            self.compute(set, raw, asked, &entities, end).await
        };
        if asked.as_of.is_some() {
            let found = match fetch((0..entities.len()).collect()).await {
                Ok(found) => found,
                Err(failed) => return Ok(absent_all(asked, entities, &failed)),
            };
            let slots = found.into_iter().zip(entities);
            let weigh = |(found, entity): (Result<_, Failed>, &Entity)| match found {
                Ok(found) => asked.weigh_computed(found, entity),
                Err(failed) => Weighed::Absent(failed.unavailable(&asked)),
            };
            return Ok(slots.map(weigh).collect());
        }
        let keys: Vec<CacheKey> =
            entities.iter().map(|entity| asked.key(entity, RowKind::Computed)).collect();
        let wanted = Wanted {
            usable: |found: &Found| found.is_fresh(&asked),
            shared: Failed::is_everyones,
            late: || self.computing_late(),
            end,
        };
        let found = self.cache.get_or_fetch(&keys, &wanted, fetch).await;
        let weigh = |(found, key): (Result<Option<Found>, Failed>, &CacheKey)| match found {
            Ok(found) => asked.weigh_computed(found, &key.entity),
            Err(failed) => self.stand_in(asked, key, failed.unavailable(&asked)),
        };
        Ok(found.into_iter().zip(&keys).map(weigh).collect())
    }

    /// What computing a set needs, or why it cannot be.
    pub(super) fn computable(&self, asked: Asked<'_>) -> Result<(&FeatureSet, &dyn RawStore), Unavailable> {
        let store = self.guarded(asked.set)?;
        let refused = |reason| Unavailable::OnDemand { set: asked.set.clone(), reason };
        if !self.config.on_demand.enabled {
            return Err(refused("it is switched off (features.on_demand.enabled)"));
        }
        let Some(set) = self.declared(asked.set) else {
            return Err(refused("the set is not declared"));
        };
        if set.features().is_empty() || set.sources().is_empty() {
            return Err(refused("the set's declaration has no expressions"));
        }
        match store.raw() {
            Some(raw) => Ok((set, raw)),
            None => Err(refused("the feature store keeps no raw rows")),
        }
    }

    async fn compute(
        &self,
        set: &FeatureSet,
        raw: &dyn RawStore,
        asked: Asked<'_>,
        entities: &[Entity],
        end: Instant,
    ) -> Result<Vec<Result<Option<Found>, Failed>>, Failed> {
        let mut found = Vec::with_capacity(entities.len());
        for chunk in entities.chunks(CHUNK) {
            let request = OnDemandRequest {
                entities: chunk.to_vec(),
                as_of: asked.now,
                deadline: Some(end.into_std()),
                max_rows: self.config.on_demand.max_rows,
            };
            let rows = match timeout_at(end, on_demand_on(self.threads(), set, raw, request)).await {
                Ok(Ok(rows)) => rows,
                Ok(Err(BuildError::Read(error))) => return Err(error.into()),
                Ok(Err(error)) => return Err(Failed::Computing(Arc::new(error))),
                Err(_) => return Err(self.computing_late()),
            };
            found.extend(rows.into_iter().map(|row| self.found_computed(asked, row)));
            tokio::task::yield_now().await;
        }
        Ok(found)
    }

    pub(super) fn found_computed(
        &self,
        asked: Asked<'_>,
        row: Result<Option<OnDemand>, OnDemandError>,
    ) -> Result<Option<Found>, Failed> {
        let on_demand = match row {
            Ok(Some(on_demand)) => on_demand,
            Ok(None) => return Ok(None),
            Err(OnDemandError::Unreadable(unreadable)) => return Err(unreadable.into()),
            Err(error @ OnDemandError::Rejected { .. }) => {
                let reason = error.to_string().into();
                let OnDemandError::Rejected { feature, .. } = error else { return Ok(None) };
                let content = Content::Rejected { feature, reason };
                return Ok(Some(Found { content, skipped_future: None, warm: None }));
            }
        };
        // Constants are put in where it is counted what was missing, as for a stored row.
        let mut found = self.found(asked, &on_demand.stored_row());
        found.warm = Some(on_demand.warm);
        Ok(Some(found))
    }

    fn computing_late(&self) -> Failed {
        let store = self.store.as_ref().map_or("feature", |store| store.kind());
        let waited = self.config.on_demand.timeout;
        Failed::from(RetrieveError::from(StoreError::TimedOut { store, waited }))
    }
}

fn absent_all(asked: Asked<'_>, entities: &[Entity], failed: &Failed) -> Vec<Weighed> {
    entities.iter().map(|_| Weighed::Absent(failed.clone().unavailable(&asked))).collect()
}

impl Asked<'_> {
    pub(super) fn weigh_computed(&self, found: Option<Found>, entity: &Entity) -> Weighed {
        let none = || Unavailable::NoRawRows { set: self.set.clone(), entity: entity.clone() };
        found.map_or_else(|| Weighed::Absent(none()), |found| found.weigh(self, entity, Origin::Computed))
    }
}
