//! Features for predictions: from the request, from the store, or from both, with their age. Rows of one batch that need
//! the same feature set are fetched together.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serve_core::response::FeatureSource;
use serve_core::{CheckedRow, InvalidInput, ModelName, Value};
use serve_features::check_freshness;
use serve_features::{Entity, FeatureRow, FeatureSetName, FetchRequest};
use serve_registry::Deployment;

use crate::error::{Code, ServiceError};
use crate::guarded::{self, Stored};
use crate::request::{Features, PredictRequest};
use crate::service::Service;

/// A row that is ready for the model, and where it came from.
#[derive(Debug)]
pub struct Gathered {
    /// The row as the signature admitted it.
    pub row: CheckedRow,
    /// Where its features came from.
    pub source: FeatureSource,
    /// Whom they describe, where they were stored.
    pub entity: Option<Entity>,
    /// The stored row's time.
    pub timestamp: Option<Timestamp>,
    /// The stored row's age.
    pub age_seconds: Option<f64>,
}

/// What has to be fetched for a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) set: FeatureSetName,
    pub(crate) entity: Entity,
    pub(crate) as_of: Option<Timestamp>,
}

impl Service {
    /// What a request needs from the store, if anything.
    pub(crate) fn wanted(
        &self,
        deployment: &Deployment,
        request: &PredictRequest<'_>,
    ) -> Result<Option<Wanted>, ServiceError> {
        let set = match needed(deployment, request) {
            Ok(None) => return Ok(None),
            Ok(Some(set)) => set,
            Err(unmet) => {
                guarded::offer(deployment, request, || Stored::of_unmet(&unmet));
                return Err(unmet.into());
            }
        };
        let invalid =
            |error: serve_features::NameError| ServiceError::new(Code::InvalidName, error.to_string());
        let set: FeatureSetName = set.parse().map_err(invalid)?;
        let entity = match request.entity.as_deref() {
            Some(text) => text.parse().map_err(invalid)?,
            None => self.policy(&set).default_entity.ok_or_else(|| {
                let message = format!("the request has neither features nor an entity, and feature set \"{set}\" declares no default entity");
                ServiceError::new(Code::EntityRequired, message)
            })?,
        };
        Ok(Some(Wanted { set, entity, as_of: request.as_of }))
    }

    /// Fetches rows of one feature set as they were at one time; one answer per entity, in order.
    pub(crate) async fn fetch(
        &self,
        set: &FeatureSetName,
        entities: Vec<Entity>,
        as_of: Option<Timestamp>,
    ) -> Result<Vec<Option<FeatureRow>>, ServiceError> {
        let Some(store) = self.store() else {
            let message =
                format!("no feature store is configured, and the request needs features of \"{set}\"");
            return Err(ServiceError::new(Code::FeaturesUnavailable, message));
        };
        let down = |text: String| ServiceError::new(Code::FeatureStoreUnavailable, text);
        let timeout = self.parts.store_timeout;
        let request =
            FetchRequest { set: set.clone(), entities, as_of, deadline: Some(Instant::now() + timeout) };
        match tokio::time::timeout(timeout, store.fetch(request)).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => Err(down(format!("the feature store cannot answer: {error}"))),
            Err(_) => {
                Err(down(format!("the feature store did not answer within {} ms", timeout.as_millis())))
            }
        }
    }

    /// The row of a request, checked against the signature, with the stored row laid under what was sent.
    pub(crate) fn gathered(
        &self,
        deployment: &Arc<Deployment>,
        request: &PredictRequest<'_>,
        wanted: Option<&Wanted>,
        stored: Option<FeatureRow>,
    ) -> Result<Gathered, ServiceError> {
        let mut row = CheckedRow::new();
        let Some(wanted) = wanted else {
            guarded::offer(deployment, request, || Stored::Unfetched);
            read(deployment, &request.features, None, &mut row)?;
            let source = FeatureSource::Request;
            return Ok(Gathered { row, source, entity: None, timestamp: None, age_seconds: None });
        };
        let stored = stored.ok_or_else(|| {
            let message =
                format!("no features for entity \"{}\" in feature set \"{}\"", wanted.entity, wanted.set);
            ServiceError::new(Code::FeaturesUnavailable, message)
        })?;
        let age_seconds = self.fresh(wanted, &stored)?;
        guarded::offer(deployment, request, || Stored::Row(wanted.set.clone(), stored.clone()));
        let source = match &request.features {
            Features::Named(named) if !named.is_empty() => FeatureSource::Mixed,
            _ => FeatureSource::Cached,
        };
        read(deployment, &request.features, Some(&stored), &mut row)?;
        let (entity, timestamp) = (Some(wanted.entity.clone()), Some(stored.timestamp()));
        Ok(Gathered { row, source, entity, timestamp, age_seconds: Some(age_seconds) })
    }

    fn fresh(&self, wanted: &Wanted, stored: &FeatureRow) -> Result<f64, ServiceError> {
        let limit = self
            .policy(&wanted.set)
            .max_age
            .map_or(self.parts.max_age, |set| set.strictest(Some(self.parts.max_age)));
        let now = wanted.as_of.unwrap_or_else(|| self.now());
        match check_freshness(&wanted.set, stored, now, limit) {
            Ok(freshness) => Ok(freshness.age_seconds),
            Err(stale) => {
                let details = serde_json::json!({ "age_seconds": stale.age_seconds, "max_age_seconds": stale.limit.as_secs_f64() });
                Err(ServiceError::new(Code::FeaturesStale, stale.to_string()).with_details(details))
            }
        }
    }
}

/// Why a version can do nothing with a request, whatever the store has.
#[derive(Debug)]
pub(crate) enum Unmet {
    /// Features were to be computed on demand.
    OnDemand,
    /// The features are in the store, and the version does not say under which set.
    NoFeatureSet {
        /// The model.
        model: ModelName,
        /// How many features it takes.
        features: usize,
    },
}

impl From<Unmet> for ServiceError {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::OnDemand => Self::new(
                Code::OnDemandUnavailable,
                "features computed on demand come with a later release; send them, or leave use_cached_features out",
            ),
            Unmet::NoFeatureSet { model, features } => {
                let message = format!(
                    "model {:?} has no feature set to look features up in; send its {features} features with the request",
                    model.as_str()
                );
                Self::new(Code::FeaturesUnavailable, message)
            }
        }
    }
}

/// The feature set that a version takes the rest of a request's features from; none, where the request has them all or
/// says whom else to ask.
pub(crate) fn needed<'d>(
    deployment: &'d Deployment,
    request: &PredictRequest<'_>,
) -> Result<Option<&'d str>, Unmet> {
    let covered = covers(deployment, &request.features);
    if request.use_cached_features == Some(false) && !covered {
        return Err(Unmet::OnDemand);
    }
    let sent = match &request.features {
        Features::Positional(_) => true,
        Features::Named(_) => request.entity.is_none() || covered,
        Features::None => false,
    };
    if sent {
        return Ok(None);
    }
    let manifest = deployment.manifest();
    let unmet = || Unmet::NoFeatureSet { model: manifest.name.clone(), features: manifest.signature.len() };
    manifest.feature_set.as_deref().map(Some).ok_or_else(unmet)
}

/// Reads a row by a version's signature, with the stored row laid under what was sent.
pub(crate) fn read(
    deployment: &Deployment,
    features: &Features<'_>,
    stored: Option<&FeatureRow>,
    row: &mut CheckedRow,
) -> Result<(), InvalidInput> {
    let signature = deployment.pipeline().signature();
    match (features, stored) {
        (Features::Positional(values), _) => signature.read_positional(values, row),
        (Features::Named(named), None) => signature.read_named(named, row),
        (Features::None, None) => signature.read_named(&[] as &[(&str, Value<'_>)], row),
        (Features::Named(named), Some(stored)) => signature.read_mixed(named, stored.features(), row),
        (Features::None, Some(stored)) => {
            signature.read_mixed(&[] as &[(&str, Value<'_>)], stored.features(), row)
        }
    }
}

/// Whether the request brings every feature itself, so that the store need not be asked.
fn covers(deployment: &Deployment, features: &Features<'_>) -> bool {
    let signature = deployment.pipeline().signature();
    match features {
        Features::None => false,
        Features::Positional(_) => true,
        Features::Named(named) => {
            named.len() >= signature.len()
                && signature.inputs().iter().enumerate().all(|(position, input)| {
                    named.get(position).is_some_and(|(name, _)| *name == input.name)
                        || named.iter().any(|(name, _)| *name == input.name)
                })
        }
    }
}
