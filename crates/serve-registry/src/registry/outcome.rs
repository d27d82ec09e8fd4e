//! What following the storage did to each model, as it is told to whoever asked for it.

use std::sync::Arc;

use serve_core::{ModelName, ModelVersion};

/// What a reload did to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReloadStatus {
    /// The same version answers as before.
    Unchanged,
    /// The model answers for the first time.
    Loaded,
    /// Another version answers.
    Swapped,
    /// A version was noticed that is loaded when it is first asked for.
    Registered,
    /// A version was refused; what answered before, if anything did, still does.
    Refused,
    /// The model is gone.
    Removed,
}

impl ReloadStatus {
    /// The status as it is written in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Loaded => "loaded",
            Self::Swapped => "swapped",
            Self::Registered => "registered",
            Self::Refused => "refused",
            Self::Removed => "removed",
        }
    }
}

/// What a reload did to one model.
#[derive(Debug, Clone)]
pub struct ReloadOutcome {
    /// The model.
    pub name: ModelName,
    /// The champion that answered before.
    pub from: Option<ModelVersion>,
    /// The champion that answers now.
    pub to: Option<ModelVersion>,
    /// What happened.
    pub status: ReloadStatus,
    /// Why, where a version was refused.
    pub reason: Option<Arc<str>>,
}

pub(super) fn outcome(
    name: &ModelName,
    from: Option<ModelVersion>,
    to: Option<ModelVersion>,
    status: ReloadStatus,
    reason: Option<Arc<str>>,
) -> ReloadOutcome {
    ReloadOutcome { name: name.clone(), from, to, status, reason }
}
