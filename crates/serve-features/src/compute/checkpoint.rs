//! Computing a whole history, and the states at some moments of it on the way.

use jiff::Timestamp;

use super::evaluation::{Evaluation, Mark};
use super::extent::Extent;
use super::known::Known;
use super::state::State;
use super::{ComputeError, Computed, SourceFrames};
use crate::declaration::FeatureSet;
use crate::name::Entity;
use crate::store::StoredState;

/// The most values that a state carries for finite windows above functions of endless memory. A set that needs more has no
/// states, and is computed from the beginning.
const LONGEST_TAIL: usize = 1 << 16;

impl FeatureSet {
    /// The set's rows, as [`compute`](Self::compute), and its states at these moments or shortly before: each at the newest
    /// moment at which a row became known. Empty for a set without functions of endless memory, which needs none.
    ///
    /// # Errors
    /// As [`compute`](Self::compute).
    pub fn compute_with_states(
        &self,
        entity: &Entity,
        frames: &SourceFrames,
        moments: &[Timestamp],
    ) -> Result<(Computed, Vec<StoredState>), ComputeError> {
        self.check_computable()?;
        let mut sources = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let Some(frame) = frames.get(&source.name) else {
                return Err(ComputeError::SourceAbsent { set: self.name.clone(), name: source.name.clone() });
            };
            sources.push((source, frame, true));
        }
        let (plan, known) = (&*self.plan, Known::new(sources, None));
        let extent = Extent::new(plan, &known, 0, None);
        let (moments, marks) = self.marks(&known, moments);
        let mut evaluation = Evaluation {
            plan,
            known: &known,
            extent: &extent,
            state: None,
            strict: true,
            marks: &marks,
            states: Vec::new(),
        };
        let columns = evaluation.columns(0).map_err(|absent| self.absent(&known, absent))?;
        let states = moments.into_iter().zip(evaluation.states);
        let states = states.map(|(moment, nodes)| self.stored(entity, &State { moment, nodes })).collect();
        Ok((Computed::new(entity, self, &known.sources[0].visible, columns), states))
    }

    /// Where states can be taken, oldest first.
    fn marks(&self, known: &Known<'_>, moments: &[Timestamp]) -> (Vec<Timestamp>, Vec<Mark>) {
        let endless: Vec<usize> = self.plan.endless().map(|(node, _)| node).collect();
        if endless.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let first = &known.sources[0];
        let known_at = |moment: &Timestamp| Some(first.visible[first.until(*moment).checked_sub(1)?]);
        let mut moments: Vec<Timestamp> = moments.iter().filter_map(known_at).collect();
        moments.sort_unstable();
        moments.dedup();
        let mut marks = Vec::with_capacity(moments.len());
        moments.retain(|moment| {
            let mark = Mark::at(&self.plan, known, *moment);
            let tail = |node: &usize| {
                let source = self.plan.nodes[*node].source.unwrap_or(0);
                mark.taken[source].saturating_sub(mark.extent.first[*node])
            };
            let carried = endless.iter().map(tail).sum::<usize>() <= LONGEST_TAIL;
            if carried {
                marks.push(mark);
            }
            carried
        });
        (moments, marks)
    }

    /// The state as a store keeps it.
    pub(super) fn stored(&self, entity: &Entity, state: &State) -> StoredState {
        StoredState {
            entity: entity.clone(),
            timestamp: state.moment,
            declaration: self.digest.clone(),
            state: state.encode(),
        }
    }
}

impl Mark {
    /// At a moment at which a row of the first source became visible.
    pub(super) fn at(plan: &super::plan::Plan, known: &Known<'_>, moment: Timestamp) -> Self {
        let taken: Vec<usize> = known.sources.iter().map(|rows| rows.until(moment)).collect();
        let extent = Extent::kept(plan, known, taken[0].saturating_sub(1));
        Self { taken, extent }
    }
}
