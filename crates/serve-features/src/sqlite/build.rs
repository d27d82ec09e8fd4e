//! Computing a declared set from the raw tables of this database: what `serve-ctl features build` does entity by entity.

use super::SqliteDatabase;
use crate::compute::{BuildError, Computed, SourceFrames};
use crate::declaration::FeatureSet;
use crate::name::Entity;

impl SqliteDatabase {
    /// The entities that a set can be computed for: those of its first source, in order.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn set_entities(&self, set: &FeatureSet) -> Result<Vec<Entity>, BuildError> {
        match set.sources().first() {
            Some(first) => Ok(self.raw_entities(&first.table, None, usize::MAX)?),
            None => Ok(Vec::new()),
        }
    }

    /// A set's rows for one entity, computed from everything that the raw tables have of it.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn compute_set(&self, set: &FeatureSet, entity: &Entity) -> Result<Computed, BuildError> {
        let mut frames = SourceFrames::new();
        for source in set.sources() {
            frames.insert(source.name.clone(), self.read_frame(&source.table, entity)?);
        }
        Ok(set.compute(entity, &frames)?)
    }
}
