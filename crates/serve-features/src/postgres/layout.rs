//! The names of each set's features as its rows had them last, so that rows share their names' text instead of each
//! allocating it. Sets are few; one that has no rows has no entry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::name::{Entity, FeatureSetName};
use crate::row::FeatureRow;
use crate::store::Cause;
use crate::stored;

/// The last row of each set.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    /// Held for a look-up or an insertion; whatever is in it is a whole row.
    last: Mutex<HashMap<FeatureSetName, FeatureRow>>,
}

impl Layouts {
    /// Reads a row's JSON.
    pub(super) fn decode(
        &self,
        set: &FeatureSetName,
        entity: &Entity,
        at: Timestamp,
        json: &[u8],
    ) -> Result<FeatureRow, Cause> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).get(set).cloned();
        let known = last.as_ref().map_or(&[][..], FeatureRow::features);
        let features = stored::decode(json, known)?;
        let same = features.len() == known.len()
            && features.iter().zip(known).all(|((name, _), (known, _))| Arc::ptr_eq(name, known));
        let row = FeatureRow::new(entity.clone(), at, features);
        if !same {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.insert(set.clone(), row.clone());
        }
        Ok(row)
    }
}
