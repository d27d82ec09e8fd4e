//! What a guard window asks again. While a new champion is watched, a sample of the requests that it answered or refused is
//! kept as it came, and read by the signature of either version as if it had come to that one.

use serve_core::CheckedRow;
use serve_features::{FeatureRow, FeatureSetName};
use serve_registry::Deployment;
use serve_registry::guard::Reply;

use crate::gather::{Unmet, needed, read};
use crate::request::{ModelQuery, PredictRequest};

/// What the version that answered had from the store.
#[derive(Debug)]
pub(crate) enum Stored {
    /// It did not ask.
    Unfetched,
    /// It names no feature set, so nobody could be asked.
    NoFeatureSet,
    /// A row of this set.
    Row(FeatureSetName, FeatureRow),
}

impl Stored {
    pub(crate) fn of_unmet(unmet: &Unmet) -> Self {
        match unmet {
            Unmet::OnDemand => Self::Unfetched,
            Unmet::NoFeatureSet { .. } => Self::NoFeatureSet,
        }
    }
}

/// Keeps a request for the guard of the version that answers it, if there is one with room for it.
pub(crate) fn offer(deployment: &Deployment, request: &PredictRequest<'_>, stored: impl FnOnce() -> Stored) {
    if let Some(guard) = deployment.guard() {
        guard.offer(|| {
            let kept = Kept::new(request, stored());
            Box::new(move |deployment| kept.reply(deployment))
        });
    }
}

/// A request as far as it decides an answer.
struct Kept {
    request: PredictRequest<'static>,
    stored: Stored,
}

impl Kept {
    fn new(request: &PredictRequest<'_>, stored: Stored) -> Self {
        let request = PredictRequest {
            // Both versions are known.
            model: ModelQuery::default(),
            entity: request.entity.as_deref().map(|entity| entity.to_owned().into()),
            features: request.features.to_static(),
            ..*request
        };
        Self { request, stored }
    }

    /// What a version would have made of the request.
    fn reply(&self, deployment: &Deployment) -> Reply {
        let stored = match (needed(deployment, &self.request), &self.stored) {
            (Err(_), _) => return Reply::Error,
            (Ok(None), _) => None,
            (Ok(Some(set)), Stored::Row(fetched, row)) if fetched.as_str() == set => Some(row),
            (Ok(Some(_)), Stored::NoFeatureSet) => return Reply::Unseen,
            (Ok(Some(_)), Stored::Row(..) | Stored::Unfetched) => return Reply::Unknown,
        };
        let mut row = CheckedRow::new();
        if read(deployment, &self.request.features, stored, &mut row).is_err() {
            return Reply::Error;
        }
        deployment.pipeline().predict_checked(&row).map_or(Reply::Error, Reply::Answer)
    }
}
