//! Computing a set for one moment from the newest raw rows, where no stored row will do.
//!
//! One query a table for all entities, as deep as the declaration says; entities whose windows reach further back by what
//! their rows' timestamps say are read anew, four times as deep, up to a limit. Functions of endless memory go on from the
//! newest state, or begin where the history begins.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serve_core::Value;

use super::computed::settle;
use super::evaluation::Evaluation;
use super::extent::{Extent, Short};
use super::known::Known;
use super::state::State;
use super::{BuildError, SourceNeeds, Threads};
use crate::declaration::{FeatureSet, MissingPolicy, Source};
use crate::name::{Entity, FeatureSetName};
use crate::raw::RawTable;
use crate::row::FeatureRow;
use crate::store::{Depth, RawRequest, RawRows, RawStore, RetrieveError, StoredState, Unreadable};
use crate::timestamp::earlier;

mod apart;

/// Rows read at first besides those that are surely needed, where time or a state decides how many are.
const SLACK: usize = 256;

/// Values of a plan that are computed where the request is read; a value takes about 10 ns.
const VALUES_HERE: usize = 100_000;

/// Which rows are to be computed.
#[derive(Debug, Clone, PartialEq)]
pub struct OnDemandRequest {
    /// Of whom, one answer each, in this order.
    pub entities: Vec<Entity>,
    /// The moment of the answer: raw rows that became visible later are not read.
    pub as_of: Timestamp,
    /// When nobody waits for the answer any more.
    pub deadline: Option<Instant>,
    /// The most raw rows of a table that are read of an entity.
    pub max_rows: usize,
}

/// A row computed on demand, and what it came from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OnDemand {
    /// The row. Its timestamp is when the newest row of the first source became visible.
    pub row: FeatureRow,
    /// The row is what the whole history gives. `false`: a function of endless memory had no state, or a window reaches
    /// further back than `max_rows`, and the history has more rows than were read.
    pub warm: bool,
    /// Features whose constant stands for a missing value.
    pub filled: Vec<Arc<str>>,
    /// Features without a value.
    pub missing: Vec<Arc<str>>,
    /// The raw rows it came from, one entry a source.
    pub used: Vec<SourceUsed>,
}

impl OnDemand {
    /// The row as a store keeps it: what was missing is missing, whatever constant stands for it.
    #[must_use]
    pub fn stored_row(&self) -> FeatureRow {
        if self.filled.is_empty() {
            return self.row.clone();
        }
        self.row.without(|place| self.filled.contains(&self.row.names()[place]))
    }
}

/// The raw rows of one source that a row was computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceUsed {
    /// The source's name.
    pub source: String,
    /// Its table.
    pub table: RawTable,
    /// How many.
    pub rows: usize,
    /// The oldest one's timestamp.
    pub oldest: Option<Timestamp>,
    /// The newest one's.
    pub newest: Option<Timestamp>,
}

/// Why an entity's row could not be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnDemandError {
    /// A feature whose policy is `reject` has no value.
    #[error(
        "feature \"{feature}\" of set \"{set}\" has no value for \"{entity}\" and is declared `missing: reject`: it needs {needed} rows of source \"{source_name}\", {there} are there"
    )]
    Rejected {
        /// The set.
        set: FeatureSetName,
        /// Of whom.
        entity: Entity,
        /// The feature.
        feature: Arc<str>,
        /// The source that it needs most rows of, against what is there.
        source_name: String,
        /// How many.
        needed: usize,
        /// How many there are.
        there: usize,
    },
    /// One of its raw rows cannot be read, so that whatever were computed would not be what the history gives.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// The rows of a set at one moment, computed from raw rows: one slot an entity, in the order asked; `None` where no row of
/// the first source was visible then.
///
/// # Errors
/// [`BuildError`]: nothing could be read. Of one entity alone: [`OnDemandError`] in its slot.
pub async fn on_demand(
    set: &FeatureSet,
    raw: &dyn RawStore,
    request: OnDemandRequest,
) -> Result<Vec<Result<Option<OnDemand>, OnDemandError>>, BuildError> {
    on_demand_on(None, set, raw, request).await
}

/// [`on_demand`], with threads for what takes long.
pub(crate) async fn on_demand_on(
    threads: Option<&dyn Threads>,
    set: &FeatureSet,
    raw: &dyn RawStore,
    request: OnDemandRequest,
) -> Result<Vec<Result<Option<OnDemand>, OnDemandError>>, BuildError> {
    set.check_computable()?;
    let mut demands = demands(set, raw, &request).await?;
    let needs = set.needs();
    let cold = demands.iter().all(|demand| demand.state.is_none());
    let depths = needs.iter().map(|need| first_depth(*need, needs.len(), cold, request.max_rows));
    let mut depths: Vec<usize> = depths.collect();
    let mut stale = vec![true; needs.len()];
    loop {
        for (i, source) in set.sources.iter().enumerate().filter(|(i, _)| stale[*i]) {
            read(raw, source, i, &request, depths[i], &mut demands).await?;
        }
        stale.fill(false);
        let asked = Asked { set, request: &request, depths: &depths };
        demands = apart::computed(threads.filter(|_| asked.takes_long(&demands)), &asked, demands).await?;
        for demand in demands.iter().filter(|demand| demand.answer.is_none()) {
            for (i, short) in demand.short.iter().enumerate() {
                stale[i] |= short.window || short.endless;
            }
        }
        if !stale.contains(&true) {
            break;
        }
        deepen(&demands, &mut depths, request.max_rows);
    }
    Ok(demands.into_iter().map(|demand| demand.answer.unwrap_or(Ok(None))).collect())
}

/// What is asked of each entity.
struct Asked<'a> {
    set: &'a FeatureSet,
    request: &'a OnDemandRequest,
    depths: &'a [usize],
}

impl Asked<'_> {
    /// Whether computing all of it would hold up the thread that asks.
    fn takes_long(&self, demands: &[Demand]) -> bool {
        let pending = demands.iter().filter(|demand| demand.answer.is_none());
        let rows: usize = pending.flat_map(|demand| &demand.rows).map(|rows| rows.frame.len()).sum();
        rows.saturating_mul(self.set.plan.nodes.len()) > VALUES_HERE
    }
}

/// What an entity still waits for.
struct Demand {
    entity: Entity,
    state: Option<State>,
    /// What was read of each source.
    rows: Vec<RawRows>,
    short: Vec<Short>,
    answer: Option<Result<Option<OnDemand>, OnDemandError>>,
}

async fn demands(
    set: &FeatureSet,
    raw: &dyn RawStore,
    request: &OnDemandRequest,
) -> Result<Vec<Demand>, BuildError> {
    let mut states = states(set, raw, &request.entities, request.as_of).await?.into_iter();
    let demand = |entity: &Entity| Demand {
        entity: entity.clone(),
        state: states.next().flatten(),
        rows: vec![RawRows::default(); set.sources.len()],
        short: Vec::new(),
        answer: None,
    };
    Ok(request.entities.iter().map(demand).collect())
}

/// The newest state of each entity that is not later; empty for a set that needs none.
pub(super) async fn states(
    set: &FeatureSet,
    raw: &dyn RawStore,
    entities: &[Entity],
    as_of: Timestamp,
) -> Result<Vec<Option<State>>, RetrieveError> {
    if set.plan.endless().next().is_none() {
        return Ok(Vec::new());
    }
    let (name, digest) = (set.name.clone(), set.digest.clone());
    let found = raw.read_states(name, digest, entities.to_vec(), Some(as_of)).await?;
    let read = |stored: StoredState| {
        State::decode(stored.timestamp, &stored.state).filter(|state| set.plan.fits(state))
    };
    Ok(found.into_iter().map(|stored| stored.and_then(read)).collect())
}

pub(super) fn first_depth(need: SourceNeeds, sources: usize, cold: bool, most: usize) -> usize {
    let certain = sources == 1 && need.time.is_zero() && !need.endless;
    let depth = match (need.endless && cold, certain) {
        (true, _) => most,
        (false, true) => need.rows,
        (false, false) => need.rows.saturating_add(SLACK),
    };
    depth.clamp(1, most.max(1))
}

/// Reads a source of all entities that have no answer, in one query.
async fn read(
    raw: &dyn RawStore,
    source: &Source,
    index: usize,
    request: &OnDemandRequest,
    rows: usize,
    demands: &mut [Demand],
) -> Result<(), BuildError> {
    let mut pending: Vec<&mut Demand> = demands.iter_mut().filter(|demand| demand.answer.is_none()).collect();
    if pending.is_empty() {
        return Ok(());
    }
    let wanted = RawRequest {
        table: source.table.clone(),
        entities: pending.iter().map(|demand| demand.entity.clone()).collect(),
        until: Some(earlier(request.as_of, source.delay)),
        depth: Depth::newest(rows),
        deadline: request.deadline,
    };
    let found = raw.read_raw(wanted).await?;
    for (demand, rows) in pending.iter_mut().zip(found) {
        match rows {
            Ok(rows) => demand.rows[index] = rows,
            Err(unreadable) => demand.answer = Some(Err(unreadable.into())),
        }
    }
    Ok(())
}

/// Four times as deep where windows reach further back, and as deep as allowed where only the whole history will do.
fn deepen(demands: &[Demand], depths: &mut [usize], most: usize) {
    for (i, depth) in depths.iter_mut().enumerate() {
        let short = |which: fn(&Short) -> bool| {
            demands.iter().any(|d| d.answer.is_none() && d.short.get(i).is_some_and(which))
        };
        if short(|short| short.endless) {
            *depth = most;
        } else if short(|short| short.window) {
            *depth = depth.saturating_mul(4).min(most);
        }
    }
}

impl Demand {
    /// Answers, or notes which sources must be read deeper and can be; nothing where there is an answer.
    fn settle(&mut self, set: &FeatureSet, request: &OnDemandRequest, depths: &[usize]) {
        if self.answer.is_none() {
            self.short = self.compute(set, request, depths);
        }
    }

    /// Answers, or says which sources must be read deeper and can be.
    fn compute(&mut self, set: &FeatureSet, request: &OnDemandRequest, depths: &[usize]) -> Vec<Short> {
        let sources = set.sources.iter().zip(&self.rows);
        let sources = sources.map(|(source, rows)| (source, &rows.frame, rows.complete));
        let known = Known::new(sources, Some(request.as_of));
        let Some(wanted) = known.len(0).checked_sub(1) else {
            self.answer = Some(Ok(None));
            return Vec::new();
        };
        let extent = Extent::new(&set.plan, &known, wanted, self.state.as_ref());
        let mut deeper = extent.short.clone();
        for (short, depth) in deeper.iter_mut().zip(depths) {
            if *depth >= request.max_rows {
                *short = Short::default();
            }
        }
        if deeper.iter().any(|short| short.window || short.endless) {
            return deeper;
        }
        let answer = answer(set, &self.entity, &known, &extent, self.state.as_ref());
        self.answer = Some(answer.map(Some));
        deeper
    }
}

fn answer(
    set: &FeatureSet,
    entity: &Entity,
    known: &Known<'_>,
    extent: &Extent,
    state: Option<&State>,
) -> Result<OnDemand, OnDemandError> {
    let wanted = known.len(0) - 1;
    let (plan, marks) = (&*set.plan, &[][..]);
    let mut evaluation = Evaluation { plan, known, extent, state, strict: false, marks, states: Vec::new() };
    // Nothing is strict, so nothing is absent.
    let columns = evaluation.columns(wanted).unwrap_or_default();
    let (mut filled, mut missing) = (Vec::new(), Vec::new());
    let mut values = Vec::with_capacity(set.features.len());
    for (i, (feature, mut column)) in set.features.iter().zip(columns).enumerate() {
        if !settle(&mut column, feature.missing).is_empty() {
            filled.push(Arc::clone(&feature.name));
        }
        let value = match column.last() {
            Some(x) if !x.is_nan() => Value::Number(*x),
            _ if feature.missing == MissingPolicy::Reject => return Err(rejected(set, entity, known, i)),
            _ => {
                missing.push(Arc::clone(&feature.name));
                Value::Missing
            }
        };
        values.push((Arc::clone(&feature.name), value));
    }
    let row = FeatureRow::new(entity.clone(), known.sources[0].visible[wanted], values);
    let row = row.computed_by(set.computed_by);
    Ok(OnDemand { row, warm: !extent.is_short(), filled, missing, used: used(known, extent) })
}

fn used(known: &Known<'_>, extent: &Extent) -> Vec<SourceUsed> {
    let one = |(rows, first): (&super::known::SourceRows<'_>, &usize)| {
        let used = rows.timestamps().get(*first..).unwrap_or_default();
        SourceUsed {
            source: rows.source.name.clone(),
            table: rows.source.table.clone(),
            rows: used.len(),
            oldest: used.first().copied(),
            newest: used.last().copied(),
        }
    };
    known.sources.iter().zip(&extent.used).map(one).collect()
}

/// The source that lacks most rows of what the feature needs.
fn rejected(set: &FeatureSet, entity: &Entity, known: &Known<'_>, feature: usize) -> OnDemandError {
    let needs = set.plan.needs(set.sources.len(), Some(feature));
    let lacking = |i: &usize| (needs[*i].rows.saturating_sub(known.len(*i)), needs[*i].rows);
    let source = (0..needs.len()).max_by_key(lacking).unwrap_or(0);
    OnDemandError::Rejected {
        set: set.name.clone(),
        entity: entity.clone(),
        feature: Arc::clone(&set.features[feature].name),
        source_name: set.sources[source].name.clone(),
        needed: needs[source].rows,
        there: known.len(source),
    }
}
