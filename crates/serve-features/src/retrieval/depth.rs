//! Whether rows on demand are read as deep as windows reach. How many rows a window of time has depends on the data: it is held
//! against the newest rows of some entities.

use std::time::Duration;

use super::Retriever;
use crate::compute::SourceNeeds;
use crate::declaration::{FeatureSet, Source};
use crate::duration;
use crate::name::Entity;
use crate::store::{Depth, FeatureStore, RawRequest, RawRows, RawStore, RetrieveError};

/// Entities of a source that are looked at.
const LOOKED_AT: usize = 3;

impl Retriever {
    /// Where a set's windows reach further back than `on_demand.max_rows` rows do: what is computed on demand is then not what
    /// the history gives, and says `warm: false`. A store that cannot answer tells nothing.
    pub async fn depth_warnings(&self, set: &FeatureSet) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.config.on_demand.enabled {
            return warnings;
        }
        let raw = self.store.as_ref().and_then(|store| store.raw());
        for (source, need) in set.sources().iter().zip(set.needs()) {
            if let Some(warning) = self.too_many_rows(set, source, need) {
                warnings.push(warning);
            } else if let (Some(raw), false) = (raw, need.time.is_zero()) {
                // The calls of requests say how the store does.
                warnings.extend(self.too_long(set, source, need, raw).await.ok().flatten());
            }
        }
        warnings
    }

    /// A window of more rows than are ever read.
    fn too_many_rows(&self, set: &FeatureSet, source: &Source, need: SourceNeeds) -> Option<String> {
        let max_rows = self.config.on_demand.max_rows;
        let told = |rows| {
            format!(
                "feature set \"{}\": windows over source \"{}\" reach {rows} rows back, further than \
                 features.on_demand.max_rows ({max_rows})",
                set.name(),
                source.name
            )
        };
        (need.rows > max_rows).then(|| told(need.rows))
    }

    /// A window of time in which some entity has more rows than are read.
    async fn too_long(
        &self,
        set: &FeatureSet,
        source: &Source,
        need: SourceNeeds,
        raw: &dyn RawStore,
    ) -> Result<Option<String>, RetrieveError> {
        let max_rows = self.config.on_demand.max_rows;
        let entities = raw.raw_entities(source.table.clone(), None, LOOKED_AT).await?;
        for entity in entities {
            let (table, entities) = (source.table.clone(), vec![entity.clone()]);
            let newest = Depth::newest(max_rows);
            let wanted = RawRequest { table, entities, until: None, depth: newest, deadline: None };
            let Some(Ok(rows)) = raw.read_raw(wanted).await?.pop() else { continue };
            if let Some(reached) = span(&rows).filter(|reached| !rows.complete && *reached < need.time) {
                return Ok(Some(short(set, source, need, max_rows, &entity, reached)));
            }
        }
        Ok(None)
    }
}

fn span(rows: &RawRows) -> Option<Duration> {
    let (first, last) = (rows.frame.timestamps().first()?, rows.frame.timestamps().last()?);
    Duration::try_from(last.duration_since(*first)).ok()
}

fn short(
    set: &FeatureSet,
    source: &Source,
    need: SourceNeeds,
    max_rows: usize,
    entity: &Entity,
    reached: Duration,
) -> String {
    // To the second: what is below is the data's accident.
    let (time, reached) =
        (duration::format(need.time), duration::format(Duration::from_secs(reached.as_secs())));
    format!(
        "feature set \"{}\": windows over source \"{}\" reach {time} back, and the newest {max_rows} rows of \
         \"{entity}\", as many as features.on_demand.max_rows lets be read, only {reached}",
        set.name(),
        source.name
    )
}
