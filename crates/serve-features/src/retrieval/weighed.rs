//! A row held against what it has to be: not too old, and not computed by an older declaration.

use super::{Retrieved, Unavailable};
use crate::freshness::{Outdated, Stale};
use crate::name::FeatureSetName;

/// A row held against its limit, or why there is none.
#[derive(Debug)]
pub(super) enum Weighed {
    Fresh(Retrieved),
    Stale(Retrieved, Unfit),
    Absent(Unavailable),
}

/// Why a row that is there does not answer without more ado.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error(transparent)]
    Old(Stale),
    #[error(transparent)]
    Outdated(Outdated),
    /// It stood in for one that could not be had, which may have been better.
    #[error("{unfit}")]
    StoodIn { failed: Box<Unavailable>, unfit: Box<Unfit> },
}

impl Unfit {
    pub(super) fn unavailable(self, set: &FeatureSetName, not_computed: Option<String>) -> Unavailable {
        let set = set.clone();
        match self {
            Self::Old(stale) => Unavailable::Stale { set, stale, not_computed },
            Self::Outdated(outdated) => Unavailable::Outdated { set, outdated, not_computed },
            Self::StoodIn { failed, .. } => *failed,
        }
    }
}

impl Weighed {
    /// The same with why it stands in for another row, where that is not said yet.
    pub(super) fn because(mut self, reason: impl FnOnce() -> String) -> Self {
        if let Self::Fresh(retrieved) | Self::Stale(retrieved, _) = &mut self {
            retrieved.degraded.get_or_insert_with(reason);
        }
        self
    }

    /// A row that is too old, or outdated, is none.
    pub(super) fn strictly(self, set: &FeatureSetName) -> Result<Retrieved, Unavailable> {
        match self {
            Self::Fresh(retrieved) => Ok(retrieved),
            Self::Stale(_, unfit) => Err(unfit.unavailable(set, None)),
            Self::Absent(unavailable) => Err(unavailable),
        }
    }
}
