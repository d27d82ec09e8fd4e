//! Rows as the store has them.

use super::found::Content;
use super::weighed::Unfit;
use super::{Asked, Failed, Found, Origin, Retriever, Unavailable, Weighed};
use crate::feature_cache::{CacheKey, RowKind, Wanted};
use crate::name::Entity;
use crate::resilience::Guarded;
use crate::row::FeatureRow;
use crate::store::{FeatureStore, FetchRequest, RetrieveError, Slot, StoreError};
use crate::validation::Checked;

impl Retriever {
    /// The stored row of each entity, held against the limit.
    pub(super) async fn stored(
        &self,
        asked: Asked<'_>,
        entities: &[Entity],
    ) -> Result<Vec<Weighed>, Unavailable> {
        let store = self.guarded(asked.set)?;
        if asked.as_of.is_some() {
            return Ok(self.stored_then(store, asked, entities).await);
        }
        let keys: Vec<CacheKey> = entities.iter().map(|entity| asked.key(entity, RowKind::Stored)).collect();
        let wanted = Wanted {
            usable: |found: &Found| found.is_fresh(&asked),
            shared: Failed::is_everyones,
            late: || {
                let waited = self.config.timeout;
                Failed::from(RetrieveError::from(StoreError::TimedOut { store: store.kind(), waited }))
            },
            end: asked.end(self.config.timeout),
        };
        let fetch = |wanted: Vec<usize>| async move {
            let entities = wanted.into_iter().map(|i| entities[i].clone()).collect();
            self.fetch_newest(store, asked, entities).await
        };
        let found = self.cache.get_or_fetch(&keys, &wanted, fetch).await;
        let slots = keys.iter().zip(entities).zip(found);
        Ok(slots.map(|((key, entity), found)| self.weigh_stored(asked, key, entity, found)).collect())
    }

    /// Rows as of then. Nothing of this is kept: the past is asked for rarely, and it can be added to.
    async fn stored_then(&self, store: &Guarded, asked: Asked<'_>, entities: &[Entity]) -> Vec<Weighed> {
        let request = FetchRequest {
            set: asked.set.clone(),
            entities: entities.to_vec(),
            as_of: asked.as_of,
            deadline: asked.deadline,
        };
        match store.fetch(request).await {
            Ok(rows) => rows
                .into_iter()
                .zip(entities)
                .map(|(row, entity)| match row {
                    Ok(Some(row)) => self.found(asked, &row).weigh(&asked, entity, Origin::Cached),
                    Ok(None) => absent(asked, entity),
                    Err(unreadable) => Weighed::Absent(Failed::from(unreadable).unavailable(&asked)),
                })
                .collect(),
            Err(error) => {
                let failed = Failed::from(error);
                entities.iter().map(|_| Weighed::Absent(failed.clone().unavailable(&asked))).collect()
            }
        }
    }

    /// The newest row of each entity that is not too far in the future.
    async fn fetch_newest(
        &self,
        store: &Guarded,
        asked: Asked<'_>,
        entities: Vec<Entity>,
    ) -> Result<Vec<Result<Option<Found>, Failed>>, Failed> {
        let latest = self.latest(asked.now);
        let (set, deadline) = (asked.set.clone(), asked.deadline);
        let request = FetchRequest { set, entities: entities.clone(), as_of: None, deadline };
        let newest = store.fetch(request).await?;
        let ahead: Vec<(usize, &FeatureRow)> = newest
            .iter()
            .enumerate()
            .filter_map(|(i, row)| {
                Some((i, row.as_ref().ok()?.as_ref().filter(|row| row.timestamp() > latest)?))
            })
            .collect();
        let found = |row: &Slot| match row {
            Ok(row) => Ok(row.as_ref().map(|row| self.found(asked, row))),
            Err(unreadable) => Err(Failed::from(unreadable.clone())),
        };
        if ahead.is_empty() {
            return Ok(newest.iter().map(found).collect());
        }
        let (set, entities) = (asked.set.clone(), ahead.iter().map(|(i, _)| entities[*i].clone()).collect());
        let earlier = store.fetch(FetchRequest { set, entities, as_of: Some(latest), deadline }).await?;
        let mut rows: Vec<Result<Option<Found>, Failed>> = newest.iter().map(found).collect();
        let nothing = Found { content: Content::Nothing, skipped_future: None, warm: None };
        for ((i, ahead), earlier) in ahead.into_iter().zip(&earlier) {
            let skipped_future = Some(ahead.timestamp());
            rows[i] = found(earlier)
                .map(|found| Some(Found { skipped_future, ..found.unwrap_or_else(|| nothing.clone()) }));
        }
        Ok(rows)
    }

    /// A row checked against its declaration, if it has one.
    pub(super) fn found(&self, asked: Asked<'_>, row: &FeatureRow) -> Found {
        let checked = match self.validators.get(asked.set) {
            Some(validator) => validator.on_read(row),
            None => Checked::unchecked(row.clone()),
        };
        let content = match checked.rejected() {
            Some((feature, reason)) => Content::Rejected { feature, reason },
            None => Content::Row(checked),
        };
        Found { content, skipped_future: None, warm: None }
    }

    /// The row that was found; where the store failed, the last that was good.
    fn weigh_stored(
        &self,
        asked: Asked<'_>,
        key: &CacheKey,
        entity: &Entity,
        found: Result<Option<Found>, Failed>,
    ) -> Weighed {
        match found {
            Ok(Some(found)) => found.weigh(&asked, entity, Origin::Cached),
            Ok(None) => absent(asked, entity),
            Err(failed) => self.stand_in(asked, key, failed.unavailable(&asked)),
        }
    }

    /// The last good row of a key in the place of a failure of the store, or of a row that cannot be read, marked with it.
    pub(super) fn stand_in(&self, asked: Asked<'_>, key: &CacheKey, failed: Unavailable) -> Weighed {
        let last = failed.may_be_stood_in_for().then(|| self.cache.last_known_good(key)).flatten();
        let Some(last) = last else {
            return Weighed::Absent(failed);
        };
        let last = last.weigh(&asked, &key.entity, Origin::LastKnownGood);
        match last.because(|| format!("{failed}; the row is the last that it gave")) {
            Weighed::Fresh(retrieved) => Weighed::Fresh(retrieved),
            Weighed::Stale(retrieved, unfit) => {
                Weighed::Stale(retrieved, Unfit::StoodIn { failed: failed.into(), unfit: unfit.into() })
            }
            Weighed::Absent(_) => Weighed::Absent(failed),
        }
    }
}

fn absent(asked: Asked<'_>, entity: &Entity) -> Weighed {
    Weighed::Absent(Unavailable::NoRow { set: asked.set.clone(), entity: entity.clone() })
}
