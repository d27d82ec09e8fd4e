//! The service and what it is made of.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serve_core::{Manifest, ModelName, ModelRef, ModelVersion};
use serve_features::Retriever;
use serve_registry::{Deployment, DeploymentError, Registry};

use crate::admission::{Admission, LimitsConfig, Load};
use crate::auth::Locks;
use crate::caller::Caller;
use crate::changes::Changes;
use crate::context::Context;
use crate::error::{Code, ServiceError};
use crate::log::Written;
use crate::metrics::{FeatureMetrics, Predictions};
use crate::payloads::Payloads;
use crate::prediction_cache::PredictionCache;
use crate::reload::Reloads;
use crate::request::ModelQuery;
use crate::statistics::{Statistics, VersionStatistics};
use crate::telemetry::Telemetry;
use crate::workers::Workers;

/// Tells the time; tests bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Everything that a service is made of.
pub struct ServiceParts {
    /// The models.
    pub registry: Arc<Registry>,
    /// What gives features that do not come with a request.
    pub retriever: Arc<Retriever>,
    /// The model that answers where a request names none.
    pub default_model: Option<ModelName>,
    /// The feature sets that are compared.
    pub compare: Vec<String>,
    /// How much is done at once.
    pub limits: LimitsConfig,
    /// Who may ask.
    pub locks: Arc<Locks>,
    /// Tells the time.
    pub clock: Clock,
}

/// The prediction service. Shared by all adapters.
pub struct Service {
    pub(crate) parts: ServiceParts,
    pub(crate) metrics: FeatureMetrics,
    payloads: Payloads,
    telemetry: Arc<Telemetry>,
    reloads: Reloads,
    pub(crate) changes: Arc<Changes>,
    prediction_cache: Option<PredictionCache>,
    statistics: Statistics,
    /// Requests for models that there are not.
    pub(crate) unknown: Predictions,
    log_written: OnceLock<Arc<Written>>,
    pub(crate) admission: Admission,
    pub(crate) workers: Workers,
    started: Timestamp,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("registry", &self.parts.registry).finish_non_exhaustive()
    }
}

impl Service {
    /// A service of these parts.
    #[must_use]
    pub fn new(parts: ServiceParts) -> Self {
        let started = (parts.clock)();
        let admission = Admission::new(parts.limits.clone());
        let workers = Workers::new(parts.limits.threads());
        parts.retriever.compute_on(workers.shared());
        Self {
            parts,
            metrics: FeatureMetrics::new(),
            payloads: Payloads::default(),
            telemetry: Arc::default(),
            reloads: Reloads::default(),
            changes: Arc::default(),
            prediction_cache: None,
            statistics: Statistics::default(),
            unknown: Predictions::default(),
            log_written: OnceLock::new(),
            admission,
            workers,
            started,
        }
    }

    /// The same service with answers kept for a while, or none.
    #[must_use]
    pub fn with_prediction_cache(self, cache: Option<PredictionCache>) -> Self {
        Self { prediction_cache: cache, ..self }
    }

    /// Where answers are kept for a while.
    #[must_use]
    pub fn prediction_cache(&self) -> Option<&PredictionCache> {
        self.prediction_cache.as_ref()
    }

    /// The models.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.parts.registry
    }

    /// Who may ask.
    #[must_use]
    pub fn locks(&self) -> &Arc<Locks> {
        &self.parts.locks
    }

    /// Refuses a model that the caller may not use, and writes that down.
    ///
    /// # Errors
    /// [`Code::NotPermitted`].
    pub fn check_model(&self, context: &Context, model: &ModelName) -> Result<(), ServiceError> {
        let checked = context.caller().check_model(model);
        checked.inspect_err(|error| self.locks().kept_from(context, Some(model), error))
    }

    /// Who may go on, and who waits.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// How much is under way, waits and was refused.
    #[must_use]
    pub fn load_now(&self) -> Load {
        Load { rows_total: self.workers.rows(), ..self.admission.load() }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.parts.clock)()
    }

    /// When the service was made.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// What picks requests whose bodies are kept.
    #[must_use]
    pub fn payloads(&self) -> &Payloads {
        &self.payloads
    }

    /// What takes spans of requests.
    #[must_use]
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// What came of reading the configuration again.
    #[must_use]
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// Counts of the log's lines, once it is known what writes them.
    #[must_use]
    pub fn log_written(&self) -> Option<&Arc<Written>> {
        self.log_written.get()
    }

    /// Says what writes the log.
    pub fn tell_log(&self, written: Arc<Written>) {
        // A process has one log.
        drop(self.log_written.set(written));
    }

    /// What each version was asked, and how long that took.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// What a version was asked, and how long that took; for a step of a request.
    #[must_use]
    pub fn statistics_of<'a>(
        &self,
        context: &'a Context,
        deployment: &Deployment,
    ) -> Cow<'a, Arc<VersionStatistics>> {
        context.statistics(deployment, || self.statistics.of(&self.parts.registry, deployment))
    }

    /// The deployment that a query means, where it is loaded.
    ///
    /// # Errors
    /// As [`deployment`](Self::deployment), and [`Code::ModelLoading`] when it is not loaded.
    pub fn loaded_deployment(
        &self,
        context: &Context,
        query: &ModelQuery,
    ) -> Result<Arc<Deployment>, ServiceError> {
        let reference = self.reference(context, query)?;
        self.check_model(context, &reference.name)?;
        Ok(self.parts.registry.resolve(&reference)?)
    }

    /// The deployment that a query means, loaded if need be.
    ///
    /// # Errors
    /// When the query means no model, or several, or contradicts itself, or its version may not serve, or the caller may
    /// not use the model.
    pub async fn deployment(
        &self,
        context: &Context,
        query: &ModelQuery,
    ) -> Result<Arc<Deployment>, ServiceError> {
        let reference = self.reference(context, query)?;
        self.check_model(context, &reference.name)?;
        let deployment = match self.parts.registry.resolve(&reference) {
            Err(DeploymentError::NotLoaded { name, version }) => {
                let loaded = Box::pin(context.within(self.loaded(reference, name, version))).await;
                // To wait for it is no stage.
                context.now();
                loaded?
            }
            resolved => resolved,
        }?;
        agree(query, &deployment)?;
        context.resolved(&deployment);
        Ok(deployment)
    }

    /// Waits for a version to load. No thread waits with it.
    async fn loaded(
        &self,
        reference: ModelRef,
        name: ModelName,
        version: ModelVersion,
    ) -> Result<Arc<Deployment>, DeploymentError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.parts.registry.request(reference, move |outcome| drop(sender.send(outcome)));
        let limit = self.parts.registry.options().cache.load_timeout;
        match tokio::time::timeout(limit, receiver).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(DeploymentError::Closed),
            Err(_) => Err(DeploymentError::TimedOut { name, version, seconds: limit.as_secs_f64() }),
        }
    }

    /// A version's description, read from the registry where it is not loaded.
    ///
    /// # Errors
    /// When it does not read.
    pub async fn manifest(&self, name: &ModelName, version: &ModelVersion) -> Result<Manifest, ServiceError> {
        let (name, version) = (name.clone(), version.clone());
        self.on_thread(move |registry| Ok(registry.manifest(&name, &version)?)).await
    }

    /// Makes what explains a deployment, at the first call, beside the serving path; the deployment holds it then.
    ///
    /// # Errors
    /// When the version's files cannot be read again.
    pub async fn prepare_explanations(&self, deployment: &Arc<Deployment>) -> Result<(), ServiceError> {
        if deployment.explanations().is_some() {
            return Ok(());
        }
        let (registry, deployment) = (Arc::clone(&self.parts.registry), Arc::clone(deployment));
        let making = tokio::task::spawn_blocking(move || registry.explanations(&deployment).map(|_| ()));
        Ok(making.await.map_err(|error| ServiceError::new(Code::Internal, error.to_string()))??)
    }

    pub(crate) fn reference(&self, context: &Context, query: &ModelQuery) -> Result<ModelRef, ServiceError> {
        let selector = query.selector.clone().unwrap_or_default();
        let name = match &query.name {
            Some(name) => name.clone(),
            None => self.find(context.caller(), query)?,
        };
        Ok(ModelRef { name, selector })
    }

    /// The one model that a query without a name means, among those that the caller may use.
    fn find(&self, caller: &Caller, query: &ModelQuery) -> Result<ModelName, ServiceError> {
        let registry = &self.parts.registry;
        if query.is_open() {
            return self.default_model(caller);
        }
        let mut found = registry.find(query.feature_set.as_deref(), query.model_type.as_deref());
        found.retain(|name| caller.may_use(name));
        match <[ModelName; 1]>::try_from(found) {
            Ok([name]) => Ok(name),
            Err(found) if found.is_empty() => {
                let message = format!("unknown model: there is none with {}", said(query));
                Err(ServiceError::new(Code::UnknownModel, message)
                    .with_details(serde_json::json!({ "models": self.names(caller) })))
            }
            Err(found) => {
                let message = format!("{} models have {}; say which by model", found.len(), said(query));
                Err(ServiceError::new(Code::AmbiguousModel, message)
                    .with_details(serde_json::json!({ "candidates": found })))
            }
        }
    }

    fn default_model(&self, caller: &Caller) -> Result<ModelName, ServiceError> {
        if let Some(name) = &self.parts.default_model {
            return Ok(name.clone());
        }
        match <[ModelName; 1]>::try_from(self.names(caller)) {
            Ok([name]) => Ok(name),
            Err(names) => Err(ServiceError::new(
                Code::ModelRequired,
                "the request names no model, and there is no default: give model, or feature_set and model_type",
            )
            .with_details(serde_json::json!({ "models": names }))),
        }
    }

    /// The models that the caller may use.
    #[must_use]
    pub fn names(&self, caller: &Caller) -> Vec<ModelName> {
        let mut names = self.parts.registry.find(None, None);
        names.retain(|name| caller.may_use(name));
        names
    }
}

fn said(query: &ModelQuery) -> String {
    let parts = [("feature_set", &query.feature_set), ("model_type", &query.model_type)];
    let said = parts.iter().filter_map(|(key, value)| value.as_ref().map(|value| format!("{key} {value:?}")));
    said.collect::<Vec<_>>().join(" and ")
}

/// A query by name may say the feature set and model type as well, but nothing else than the model says.
pub(crate) fn agree(query: &ModelQuery, deployment: &Deployment) -> Result<(), ServiceError> {
    let manifest = deployment.manifest();
    let pairs = [
        ("feature_set", &query.feature_set, &manifest.feature_set),
        ("model_type", &query.model_type, &manifest.model_type),
    ];
    for (key, asked, has) in pairs {
        if let Some(asked) = asked
            && has.as_ref() != Some(asked)
        {
            let has = has.as_deref().unwrap_or("none");
            let message =
                format!("model {:?} has {key} {has:?}, the request says {asked:?}", manifest.name.as_str());
            return Err(ServiceError::new(Code::ConflictingModel, message));
        }
    }
    Ok(())
}
