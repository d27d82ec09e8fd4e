//! Where a row's values come from: for each feature its expression, and for each source the raw rows that were read. The
//! row is computed anew for it, so that what is shown is what gives the value, and a stored row that disagrees is seen. The
//! store is asked itself, past what is kept in memory; where it fails, the row is the one that a prediction would take.

use std::slice::from_ref;
use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;

use super::found::Content;
use super::{
    Asked, Failed, Found, MaxAge, Origin, RetrieveRequest, Retrieved, Retriever, Unavailable, Weighed,
};
use crate::compute::{BuildError, OnDemandRequest, SourceNeeds, SourceUsed, on_demand_on};
use crate::declaration::{FeatureSet, Source};
use crate::name::{Entity, FeatureSetName};
use crate::raw::{RawRow, RawTable, rows_of};
use crate::resilience::Guarded;
use crate::row::FeatureRow;
use crate::store::{Depth, FeatureStore, FetchRequest, RawRequest, RawStore, RetrieveError};
use crate::timestamp::earlier;
use crate::validation::Violation;

/// The raw rows of a source that are shown: the newest.
const SHOWN: usize = 50;

/// One entity's row, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Lineage {
    /// The set.
    pub set: FeatureSetName,
    /// Whose row.
    pub entity: Entity,
    /// The moment that it was asked for.
    pub as_of: Timestamp,
    /// The age limit of the set and the configuration.
    pub max_age: MaxAge,
    /// The stored row, or why there is none. An age over the limit is told in `stored_stale`.
    pub stored: Result<Retrieved, Unavailable>,
    /// The stored row is older than the limit, or outdated.
    pub stored_stale: bool,
    /// The row computed from the raw rows below, or why there is none. An age over the limit is told in `computed_stale`.
    pub computed: Result<Retrieved, Unavailable>,
    /// The computed row is older than the limit.
    pub computed_stale: bool,
    /// By feature, as declared; of a set that declares none, as stored.
    pub features: Vec<FeatureLineage>,
    /// By source, as declared.
    pub sources: Vec<SourceLineage>,
}

/// Where one value comes from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FeatureLineage {
    /// The feature.
    pub name: Arc<str>,
    /// Its expression, where it has one.
    pub expression: Option<String>,
    /// The raw columns that it is computed from, as `source.column`.
    pub reads: Vec<String>,
    /// The raw rows that it is computed from: of each source so many of the newest, and those of that long before.
    pub needs: Vec<(String, SourceNeeds)>,
    /// The value as it is stored, allowed or not.
    pub stored: Option<Value<'static>>,
    /// The computed value.
    pub computed: Option<Value<'static>>,
    /// What is wrong with the stored value.
    pub violation: Option<Violation>,
    /// The set's constant stands for the stored value.
    pub filled: bool,
}

/// The raw rows of one source.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SourceLineage {
    /// The source, as expressions name it.
    pub name: String,
    /// Its table.
    pub table: RawTable,
    /// How many rows the computation used.
    pub rows: usize,
    /// The oldest one's timestamp.
    pub oldest: Option<Timestamp>,
    /// The newest one's.
    pub newest: Option<Timestamp>,
    /// The newest of them, oldest first, 50 at most.
    pub shown: Vec<RawRow>,
}

impl Retriever {
    /// One entity's row at a moment (`None`: now), with where each value comes from. Costs a computation.
    ///
    /// # Errors
    /// [`Unavailable`] where there is no store. Why there is no row stands in [`Lineage::stored`] and [`Lineage::computed`].
    pub async fn lineage(
        &self,
        set: &FeatureSetName,
        entity: &Entity,
        as_of: Option<Timestamp>,
    ) -> Result<Lineage, Unavailable> {
        let request = RetrieveRequest { as_of, ..RetrieveRequest::cached(set.clone(), [entity.clone()]) };
        let asked = self.asked(&request);
        let store = self.guarded(set)?;
        let (row, stored) = match self.newest(store, asked, entity).await {
            Ok((row, skipped_future)) => {
                let found = row.as_ref().map(|row| self.found(asked, row));
                let nothing = Found { content: Content::Nothing, skipped_future: None, warm: None };
                let found = Found { skipped_future, ..found.unwrap_or(nothing) };
                (row, found.weigh(&asked, entity, Origin::Cached))
            }
            Err(error) => {
                let failed = Failed::from(error).unavailable(&asked);
                let kept =
                    if as_of.is_some() { None } else { self.stored(asked, from_ref(entity)).await?.pop() };
                (None, in_place_of(failed, kept))
            }
        };
        let (stored, stored_stale) = stored.told();
        let (computed, sources) = match self.computable(asked) {
            Ok((declared, raw)) => match self.traced(declared, raw, asked, entity).await {
                (Weighed::Absent(failed), _) if failed.may_be_stood_in_for() && as_of.is_none() => {
                    let kept = self.computed(asked, from_ref(entity)).await?.pop();
                    (in_place_of(failed, kept), Vec::new())
                }
                traced => traced,
            },
            Err(error) => (Weighed::Absent(error), Vec::new()),
        };
        let row = row.or_else(|| stored.as_ref().ok().map(|kept| kept.row.clone()));
        let (computed, computed_stale) = computed.told();
        let features = self.features(set, row.as_ref(), stored.as_ref().ok(), computed.as_ref().ok());
        let max_age = asked.limit;
        let (set, entity, as_of) = (set.clone(), entity.clone(), asked.now);
        Ok(Lineage {
            set,
            entity,
            as_of,
            max_age,
            stored,
            stored_stale,
            computed,
            computed_stale,
            features,
            sources,
        })
    }

    /// The row as it is stored, and the moment of a newer one that lies too far in the future.
    async fn newest(
        &self,
        store: &Guarded,
        asked: Asked<'_>,
        entity: &Entity,
    ) -> Result<(Option<FeatureRow>, Option<Timestamp>), RetrieveError> {
        let request = |as_of| FetchRequest {
            set: asked.set.clone(),
            entities: vec![entity.clone()],
            as_of,
            deadline: asked.deadline,
        };
        let newest = store.fetch(request(asked.as_of)).await?.pop().transpose()?.flatten();
        let latest = self.latest(asked.now);
        match newest {
            Some(row) if asked.as_of.is_none() && row.timestamp() > latest => {
                let earlier = store.fetch(request(Some(latest))).await?.pop().transpose()?.flatten();
                Ok((earlier, Some(row.timestamp())))
            }
            newest => Ok((newest, None)),
        }
    }

    /// A computed row and the raw rows that it came from.
    async fn traced(
        &self,
        set: &FeatureSet,
        raw: &dyn RawStore,
        asked: Asked<'_>,
        entity: &Entity,
    ) -> (Weighed, Vec<SourceLineage>) {
        let request = OnDemandRequest {
            entities: vec![entity.clone()],
            as_of: asked.now,
            deadline: Some(asked.end(self.config.on_demand.timeout).into_std()),
            max_rows: self.config.on_demand.max_rows,
        };
        let row = match on_demand_on(self.threads(), set, raw, request).await {
            Ok(mut rows) => rows.pop().unwrap_or(Ok(None)),
            Err(BuildError::Read(error)) => {
                return (Weighed::Absent(Failed::from(error).unavailable(&asked)), Vec::new());
            }
            Err(error) => {
                let failed = Failed::Computing(Arc::new(error));
                return (Weighed::Absent(failed.unavailable(&asked)), Vec::new());
            }
        };
        let used = match &row {
            Ok(Some(on_demand)) => on_demand.used.clone(),
            Ok(None) | Err(_) => Vec::new(),
        };
        let computed = match self.found_computed(asked, row) {
            Ok(found) => asked.weigh_computed(found, entity),
            Err(failed) => Weighed::Absent(failed.unavailable(&asked)),
        };
        let mut sources = Vec::with_capacity(used.len());
        for (source, used) in set.sources().iter().zip(used) {
            let shown = shown(raw, source, asked, entity, used.rows.min(SHOWN)).await;
            let SourceUsed { source: name, table, rows, oldest, newest } = used;
            sources.push(SourceLineage { name, table, rows, oldest, newest, shown });
        }
        (computed, sources)
    }

    fn features(
        &self,
        set: &FeatureSetName,
        row: Option<&FeatureRow>,
        stored: Option<&Retrieved>,
        computed: Option<&Retrieved>,
    ) -> Vec<FeatureLineage> {
        let value = |row: Option<&FeatureRow>, name: &str| row.and_then(|row| row.get(name)).cloned();
        let of = |name: &Arc<str>| FeatureLineage {
            name: Arc::clone(name),
            expression: None,
            reads: Vec::new(),
            needs: Vec::new(),
            stored: value(row, name),
            computed: value(computed.map(|computed| &computed.row), name),
            violation: stored
                .and_then(|row| row.invalid.iter().find(|violation| violation.feature == *name))
                .cloned(),
            filled: stored.is_some_and(|row| row.filled.contains(name)),
        };
        let set = self.declared(set);
        let declared = set.map(FeatureSet::features).unwrap_or_default();
        let mut features = Vec::with_capacity(declared.len());
        for (i, feature) in declared.iter().enumerate() {
            features.push(FeatureLineage {
                expression: feature.expression().map(str::to_owned),
                reads: set.map(|set| reads(set, i)).unwrap_or_default(),
                needs: set.map(|set| needs(set, i)).unwrap_or_default(),
                ..of(&feature.name)
            });
        }
        // A stored row may have more than was declared since.
        let others = row.into_iter().flat_map(FeatureRow::features);
        let others = others.filter(|(name, _)| !declared.iter().any(|feature| feature.name == **name));
        features.extend(others.map(|(name, _)| of(name)));
        features
    }
}

impl Weighed {
    /// The row whatever its age, and whether it is too old or outdated.
    fn told(self) -> (Result<Retrieved, Unavailable>, bool) {
        match self {
            Self::Fresh(retrieved) => (Ok(retrieved), false),
            Self::Stale(retrieved, _) => (Ok(retrieved), true),
            Self::Absent(error) => (Err(error), false),
        }
    }
}

/// The row that was kept, with why it is shown.
fn in_place_of(failed: Unavailable, kept: Option<Weighed>) -> Weighed {
    match kept {
        Some(kept) => kept.because(|| format!("{failed}; the row is one that was kept")),
        None => Weighed::Absent(failed),
    }
}

fn reads(set: &FeatureSet, feature: usize) -> Vec<String> {
    let column =
        |(source, column): (usize, Arc<str>)| Some(format!("{}.{column}", set.sources().get(source)?.name));
    set.plan.reads(feature).into_iter().filter_map(column).collect()
}

fn needs(set: &FeatureSet, feature: usize) -> Vec<(String, SourceNeeds)> {
    if set.sources().is_empty() {
        return Vec::new();
    }
    let needs = set.plan.needs(set.sources().len(), Some(feature));
    let named = set.sources().iter().map(|source| source.name.clone()).zip(needs);
    named.filter(|(_, needs)| *needs != SourceNeeds::default()).collect()
}

/// The newest raw rows of a source that were visible.
async fn shown(
    raw: &dyn RawStore,
    source: &Source,
    asked: Asked<'_>,
    entity: &Entity,
    rows: usize,
) -> Vec<RawRow> {
    let request = RawRequest {
        table: source.table.clone(),
        entities: vec![entity.clone()],
        until: Some(earlier(asked.now, source.delay)),
        depth: Depth::newest(rows),
        deadline: None,
    };
    // What cannot be read again is not shown; the row above says how the store does.
    let Ok(mut found) = raw.read_raw(request).await else { return Vec::new() };
    found.pop().and_then(Result::ok).map(|found| rows_of(&found.frame, entity)).unwrap_or_default()
}
