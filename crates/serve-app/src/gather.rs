//! Features for predictions: from the request, from the store, computed, or from several of these, with their age. Rows of
//! one batch that need the same feature set in the same way are fetched together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::Timestamp;
use serve_core::response::FeatureSource;
use serve_core::{CheckedRow, InvalidInput, ModelName, Value};
use serve_features::{Entity, FeatureRow, FeatureSetName, MaxAge, Mode, Origin, RetrieveRequest, Retrieved};
use serve_registry::Deployment;

use crate::error::{Code, ServiceError};
use crate::guarded::{self, Stored};
use crate::request::{Features, PredictRequest};
use crate::service::Service;
use crate::unusable;

/// Retrievals of one batch that are under way at once; each is for all rows that ask alike.
const AT_ONCE: usize = 8;

/// A row that is ready for the model, and where it came from.
#[derive(Debug)]
pub struct Gathered {
    /// The row as the signature admitted it.
    pub row: CheckedRow,
    /// Where its features came from.
    pub source: FeatureSource,
    /// What did not come with the request, one row a feature set.
    pub fetched: Vec<Fetched>,
}

/// A row of features that did not come with the request.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its feature set.
    pub set: FeatureSetName,
    /// The row, its age, and what is to be told about it.
    pub retrieved: Retrieved,
    /// The limit that its age was held against.
    pub limit: MaxAge,
}

/// One row that has to be fetched for a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    pub(crate) set: FeatureSetName,
    pub(crate) entity: Entity,
    pub(crate) mode: Mode,
    pub(crate) as_of: Option<Timestamp>,
    /// The strictest limit of the request and the model.
    pub(crate) max_age: Option<Duration>,
}

/// What rows have in common that are fetched together.
type Alike = (FeatureSetName, Mode, Option<Timestamp>, Option<Duration>);

impl Gathered {
    /// Why some row is not what it should be, where it was taken all the same.
    #[must_use]
    pub fn degraded(&self) -> Option<&str> {
        self.fetched.iter().find_map(|fetched| fetched.retrieved.degraded.as_deref())
    }
}

/// Where a row came from, as answers tell it.
#[must_use]
pub fn source(origin: Origin) -> FeatureSource {
    match origin {
        Origin::Cached => FeatureSource::Cached,
        Origin::Computed => FeatureSource::Computed,
        Origin::LastKnownGood => FeatureSource::LastKnownGood,
    }
}

impl Service {
    /// The rows that a request needs besides what it brings; none for most.
    pub(crate) fn wanted(
        &self,
        deployment: &Deployment,
        request: &PredictRequest<'_>,
    ) -> Result<Vec<Ask>, ServiceError> {
        let sets = match needed(deployment, request) {
            Ok(sets) => sets,
            Err(unmet) => {
                guarded::offer(deployment, request, || Stored::NoFeatureSet);
                return Err(unmet.into());
            }
        };
        let model_limit = deployment.manifest().max_age;
        let max_age = request
            .max_age
            .map_or(model_limit, |asked| Some(model_limit.map_or(asked, |limit| limit.min(asked))));
        let ask = |set: &str| {
            let set: FeatureSetName = set.parse().map_err(ServiceError::from)?;
            let entity = self.entity(&set, request.entity.as_deref())?;
            Ok(Ask { set, entity, mode: request.mode, as_of: request.as_of, max_age })
        };
        sets.into_iter().map(ask).collect()
    }

    /// Whom a request means: whom it names, else the set's default.
    fn entity(&self, set: &FeatureSetName, named: Option<&str>) -> Result<Entity, ServiceError> {
        if let Some(text) = named {
            return Ok(text.parse::<Entity>()?);
        }
        self.retriever().default_entity(set).cloned().ok_or_else(|| {
            let message = format!(
                "the request has neither features nor an entity, and feature set \"{set}\" declares no default entity"
            );
            ServiceError::new(Code::EntityRequired, message)
        })
    }

    /// Fetches rows, each set's in one go where they are asked for in the same way; one answer an ask, in order.
    pub(crate) async fn fetch(&self, asks: &[Ask]) -> Vec<Result<Fetched, ServiceError>> {
        let mut groups: Vec<(Alike, Vec<usize>)> = Vec::new();
        let mut known: HashMap<Alike, usize> = HashMap::new();
        for (at, ask) in asks.iter().enumerate() {
            let alike = (ask.set.clone(), ask.mode, ask.as_of, ask.max_age);
            let group = *known.entry(alike.clone()).or_insert_with(|| {
                groups.push((alike, Vec::new()));
                groups.len() - 1
            });
            groups[group].1.push(at);
        }
        let mut found: Vec<Option<Result<Fetched, ServiceError>>> = asks.iter().map(|_| None).collect();
        let fetches = groups.into_iter().map(|(alike, members)| self.fetch_alike(asks, alike, members));
        let mut answers = stream::iter(fetches.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        while let Some(group) = answers.next().await {
            group.into_iter().for_each(|(at, answer)| found[at] = Some(answer));
        }
        let lost = || Err(ServiceError::new(Code::Internal, "a row was asked for and not answered"));
        found.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
    }

    async fn fetch_alike(
        &self,
        asks: &[Ask],
        (set, mode, as_of, max_age): Alike,
        members: Vec<usize>,
    ) -> Vec<(usize, Result<Fetched, ServiceError>)> {
        let began = Instant::now();
        let max_age = max_age.map(MaxAge::Limit);
        let request = RetrieveRequest {
            set: set.clone(),
            entities: members.iter().map(|at| asks[*at].entity.clone()).collect(),
            mode,
            as_of,
            max_age,
            deadline: None,
        };
        let rows = self.retriever().retrieve(request).await;
        self.metrics.retrieved(mode, began.elapsed());
        let limit = self.limit(&set, max_age);
        match rows {
            Ok(rows) => {
                let fetched = |row: Result<Retrieved, _>| match row {
                    Ok(retrieved) => Ok(Fetched { set: set.clone(), retrieved, limit }),
                    Err(unavailable) => Err(self.unavailable(&unavailable)),
                };
                members.into_iter().zip(rows.into_iter().map(fetched)).collect()
            }
            Err(unavailable) => {
                let error = self.unavailable(&unavailable);
                members.into_iter().map(|at| (at, Err(error.clone()))).collect()
            }
        }
    }

    /// The row of a request, checked against the signature, with what was fetched laid under what was sent.
    pub(crate) fn gathered(
        &self,
        deployment: &Arc<Deployment>,
        request: &PredictRequest<'_>,
        fetched: Vec<Result<Fetched, ServiceError>>,
    ) -> Result<Gathered, ServiceError> {
        let mut row = CheckedRow::new();
        if fetched.is_empty() {
            guarded::offer(deployment, request, || Stored::Unfetched);
            read(deployment, &request.features, &[], &mut row)?;
            return Ok(Gathered { row, source: FeatureSource::Request, fetched: Vec::new() });
        }
        let fetched = fetched.into_iter().collect::<Result<Vec<_>, _>>()?;
        let kept = || fetched.iter().map(|row| (row.set.clone(), row.retrieved.row.clone())).collect();
        guarded::offer(deployment, request, || Stored::Rows(kept()));
        let rows: Vec<_> = fetched.iter().map(|row| (row.set.as_str(), &row.retrieved.row)).collect();
        read(deployment, &request.features, &rows, &mut row)
            .map_err(|error| unusable::refused(error, &request.features, &fetched))?;
        fetched.iter().for_each(|row| self.metrics.row(&row.set, &row.retrieved));
        Ok(Gathered { row, source: combined(&request.features, &fetched), fetched })
    }
}

/// Where features of several rows came from, taken together.
fn combined(features: &Features<'_>, fetched: &[Fetched]) -> FeatureSource {
    if matches!(features, Features::Named(named) if !named.is_empty()) {
        return FeatureSource::Mixed;
    }
    let mut sources = fetched.iter().map(|row| source(row.retrieved.origin));
    let first = sources.next().unwrap_or(FeatureSource::Request);
    if sources.all(|other| other == first) { first } else { FeatureSource::Mixed }
}

/// A version's features are stored or computed, and it does not say under which set.
#[derive(Debug)]
pub(crate) struct NoFeatureSet {
    model: ModelName,
    features: usize,
}

impl From<NoFeatureSet> for ServiceError {
    fn from(NoFeatureSet { model, features }: NoFeatureSet) -> Self {
        let message = format!(
            "model {:?} has no feature set to look features up in; send its {features} features with the request",
            model.as_str()
        );
        Self::new(Code::FeaturesUnavailable, message)
    }
}

/// The feature sets that a version takes the rest of a request's features from; none, where the request has them all or
/// says neither whom else to ask nor that they are to be computed.
pub(crate) fn needed<'d>(
    deployment: &'d Deployment,
    request: &PredictRequest<'_>,
) -> Result<Vec<&'d str>, NoFeatureSet> {
    let alone = request.entity.is_none() && request.mode != Mode::Compute;
    let sent = match &request.features {
        Features::Positional(_) => true,
        Features::Named(_) => alone || covers(deployment, &request.features),
        Features::None => false,
    };
    if sent {
        return Ok(Vec::new());
    }
    let (manifest, signature) = (deployment.manifest(), deployment.pipeline().signature());
    let joined = signature.joined_sets().iter().map(String::as_str);
    let sets: Vec<&str> = match manifest.feature_set.as_deref() {
        Some(own) if signature.inputs().iter().any(|input| input.feature_set.is_none()) => {
            std::iter::once(own).chain(joined.filter(|set| *set != own)).collect()
        }
        _ => joined.collect(),
    };
    if sets.is_empty() {
        return Err(NoFeatureSet { model: manifest.name.clone(), features: signature.len() });
    }
    Ok(sets)
}

/// Reads a row by a version's signature, with rows of its feature sets laid under what was sent.
pub(crate) fn read(
    deployment: &Deployment,
    features: &Features<'_>,
    rows: &[(&str, &FeatureRow)],
    row: &mut CheckedRow,
) -> Result<(), InvalidInput> {
    const NONE: &[(&str, Value<'_>)] = &[];
    let signature = deployment.pipeline().signature();
    let named = match features {
        Features::Positional(values) => return signature.read_positional(values, row),
        Features::None => None,
        Features::Named(named) => Some(named),
    };
    match (named, rows) {
        (Some(named), []) => signature.read_named(named, row),
        (None, []) => signature.read_named(NONE, row),
        (Some(named), [(_, only)]) => signature.read_mixed(named, only.features(), row),
        (None, [(_, only)]) => signature.read_mixed(NONE, only.features(), row),
        (named, several) => {
            let joined = joined(deployment, several);
            let stored = joined.iter().map(|(name, value)| (*name, value));
            match named {
                Some(named) => signature.read_mixed(named, stored, row),
                None => signature.read_mixed(NONE, stored, row),
            }
        }
    }
}

/// Of several rows, the features that the signature takes from each row's set.
fn joined<'a>(deployment: &Deployment, rows: &[(&str, &'a FeatureRow)]) -> Vec<(&'a str, Value<'a>)> {
    let (signature, own) = (deployment.pipeline().signature(), deployment.manifest().feature_set.as_deref());
    let belongs = |name: &str, set: &str| {
        let input = signature.position(name).and_then(|position| signature.inputs().get(position));
        input.is_some_and(|input| input.feature_set.as_deref().or(own) == Some(set))
    };
    let features = rows.iter().flat_map(|(set, row)| row.features().map(move |pair| (*set, pair)));
    let theirs = features.filter(|(set, (name, _))| belongs(name, set));
    theirs.map(|(_, (name, value))| (&**name, value.clone())).collect()
}

/// Whether the request brings every feature itself, so that nothing need be fetched.
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
