//! Building a set over a store's raw history, entity by entity: for training files, for the table that requests are answered
//! from, and for the states from which rows are computed on demand.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use super::{ComputeError, Computed, SourceFrames};
use crate::declaration::FeatureSet;
use crate::name::{Entity, FeatureSetName};
use crate::store::{
    Depth, FeatureStore, RawRequest, RawStore, RetrieveError, StoredState, Unreadable, WriteError,
};

/// Entities that are listed at a time.
const ENTITIES: usize = 1_000;
/// Feature rows that are written at a time.
const ROWS: usize = 1_000;
/// A state stands so many rows behind the one before it, so that "as of then" finds one too.
const STATE_EVERY: usize = 4_096;
/// States so many rows before the end: late rows make a store forget the last ones.
const STATES_BEFORE_END: [usize; 3] = [0, 16, 256];

/// What is built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildRequest {
    /// Of whom; `None`: of everyone that the first source has rows of.
    pub entities: Option<Vec<Entity>>,
    /// The first moment of a row that is given and stored. What came before is computed with all the same.
    pub from: Option<Timestamp>,
    /// The first moment that is too late.
    pub to: Option<Timestamp>,
    /// Rows and states are written back.
    pub store: bool,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Built {
    /// Entities with at least one row.
    pub entities: usize,
    /// Rows from the first moment on and before the last.
    pub rows: usize,
    /// States written.
    pub states: usize,
    /// Rows left out because a feature with the policy `reject` was missing, over the whole history.
    pub rejected: usize,
    /// Values that a constant stands for, over the whole history.
    pub filled: usize,
    /// Features that no row has a value for, over the whole history: a window longer than it, or an expression that never has one.
    pub valueless: Vec<Arc<str>>,
    /// Entities that were left out, because one of their raw rows cannot be read. What was stored of them stays.
    pub unreadable: Vec<Unreadable>,
}

/// Why a set could not be computed from a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The store keeps no raw rows.
    #[error("the {store} feature store keeps no raw rows to compute from")]
    NoRaw {
        /// The store's kind.
        store: &'static str,
    },
    /// The raw rows cannot be read.
    #[error(transparent)]
    Read(#[from] RetrieveError),
    /// The raw rows are not what the set needs.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The raw rows of one entity are not what the set needs.
    #[error("the features of \"{entity}\" cannot be computed")]
    Entity {
        /// Of whom.
        entity: Entity,
        /// Why not.
        source: Box<ComputeError>,
    },
    /// The threads that were to compute the set gave no answer.
    #[error("the computing of feature set \"{set}\" was lost")]
    Lost {
        /// The set.
        set: FeatureSetName,
    },
    /// Rows or states cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Whoever takes the rows cannot.
    #[error("the built rows cannot be taken")]
    Sink(#[from] io::Error),
}

/// Takes the columns of one entity and which of their rows are wanted.
pub type BuildSink<'s> = dyn FnMut(&Computed, Range<usize>) -> io::Result<()> + Send + 's;

/// Computes a set over everything that a store has of its entities, hands each entity's rows to `sink` in the order of their
/// names, and writes rows and states back where that is asked. Rows that are there already are replaced, so a build may be
/// repeated. An entity with a raw row that cannot be read is left out, and told in [`Built::unreadable`]. Memory: one
/// entity's history.
///
/// # Errors
/// [`BuildError`]. Entities before the one that failed are built.
pub async fn build(
    set: &FeatureSet,
    store: &dyn FeatureStore,
    request: &BuildRequest,
    sink: &mut BuildSink<'_>,
) -> Result<Built, BuildError> {
    set.check_computable()?;
    let raw = store.raw().ok_or_else(|| BuildError::NoRaw { store: store.kind() })?;
    let names = set.features.iter().map(|feature| Arc::clone(&feature.name));
    let mut built = Built { valueless: names.collect(), ..Built::default() };
    if let Some(entities) = &request.entities {
        for entity in entities {
            one(set, store, raw, request, entity, sink, &mut built).await?;
        }
        return Ok(built);
    }
    let mut after = None;
    loop {
        let entities = raw.raw_entities(set.sources[0].table.clone(), after, ENTITIES).await?;
        for entity in &entities {
            one(set, store, raw, request, entity, sink, &mut built).await?;
        }
        after = entities.last().cloned();
        if entities.len() < ENTITIES {
            return Ok(built);
        }
    }
}

async fn one(
    set: &FeatureSet,
    store: &dyn FeatureStore,
    raw: &dyn RawStore,
    request: &BuildRequest,
    entity: &Entity,
    sink: &mut BuildSink<'_>,
    built: &mut Built,
) -> Result<(), BuildError> {
    let mut frames = SourceFrames::new();
    for source in &set.sources {
        let (table, entities) = (source.table.clone(), vec![entity.clone()]);
        let all = RawRequest { table, entities, until: None, depth: Depth::ALL, deadline: None };
        let rows = match raw.read_raw(all).await?.pop().transpose() {
            Ok(rows) => rows.unwrap_or_default(),
            Err(unreadable) => {
                built.unreadable.push(unreadable);
                return Ok(());
            }
        };
        frames.insert(source.name.clone(), rows.frame);
    }
    let moments = if request.store { moments(set, &frames) } else { Vec::new() };
    let computed = set.compute_with_states(entity, &frames, &moments);
    let (computed, states) =
        computed.map_err(|source| BuildError::Entity { entity: entity.clone(), source: Box::new(source) })?;
    drop(frames);
    let wanted = computed.between(request.from, request.to);
    built.entities += usize::from(!computed.is_empty());
    built.rows += wanted.len();
    built.rejected += computed.rejected();
    built.filled += computed.filled();
    built.valueless.retain(|name| !computed.has_value(name));
    sink(&computed, wanted.clone())?;
    if request.store {
        built.states += states.len();
        write(set, store, raw, &computed, wanted, states).await?;
    }
    Ok(())
}

async fn write(
    set: &FeatureSet,
    store: &dyn FeatureStore,
    raw: &dyn RawStore,
    computed: &Computed,
    wanted: Range<usize>,
    states: Vec<StoredState>,
) -> Result<(), BuildError> {
    let mut start = wanted.start;
    while start < wanted.end {
        let end = wanted.end.min(start + ROWS);
        store.write(set.name.clone(), computed.stored_rows_in(start..end).collect()).await?;
        start = end;
    }
    if !states.is_empty() {
        raw.write_states(set.name.clone(), states).await?;
    }
    Ok(())
}

/// Where states are taken. Rows that come on time are later than every row of the first source, so a state not later than
/// those is not forgotten when they come.
fn moments(set: &FeatureSet, frames: &SourceFrames) -> Vec<Timestamp> {
    let Some(rows) = frames.get(&set.sources[0].name).map(crate::frame::Frame::timestamps) else {
        return Vec::new();
    };
    let before_end = STATES_BEFORE_END.iter().filter_map(|back| rows.len().checked_sub(back + 1));
    let between = (STATE_EVERY..rows.len()).step_by(STATE_EVERY);
    between.chain(before_end).map(|row| rows[row]).collect()
}
