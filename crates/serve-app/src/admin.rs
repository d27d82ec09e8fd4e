//! Changes of what serves. They block while versions load and prove, so they run on threads of their own.

use std::sync::Arc;

use serve_core::{Alias, ModelName, ModelVersion};
use serve_registry::{Deployment, DeploymentError, Registry, ReloadOutcome, Unloaded};

use crate::auth::Act;
use crate::caller::Caller;
use crate::context::Context;
use crate::error::{Code, ServiceError};
use crate::request::ModelQuery;
use crate::service::Service;

/// Who changes something, and why.
#[derive(Debug, Clone)]
pub struct Author {
    /// Who.
    pub by: String,
    /// Why, in that person's words.
    pub why: Option<String>,
}

impl Author {
    /// The caller, by proof and name where callers are told apart, else by the way that the request came.
    #[must_use]
    pub fn of(context: &Context, way: &str, why: Option<String>) -> Self {
        let caller = context.caller();
        let by = if **caller == Caller::anyone() { way.to_owned() } else { caller.to_string() };
        Self { by, why }
    }

    fn as_ref(&self) -> serve_registry::Author<'_> {
        serve_registry::Author { by: &self.by, why: self.why.as_deref() }
    }
}

impl Service {
    /// Reads the registry again: one model, or all where the query names none. A dry run proves and publishes nothing.
    ///
    /// # Errors
    /// When the registry cannot be read, or the query means no one model.
    pub async fn reload(
        &self,
        context: &Context,
        query: &ModelQuery,
        dry_run: bool,
    ) -> Result<Vec<ReloadOutcome>, ServiceError> {
        let caller = context.caller();
        let names = match &query.name {
            Some(name) => Some(vec![name.clone()]),
            None if query.is_open() && caller.may_use_all() => None,
            None => Some(self.matching(context, query)?),
        };
        let act = Act {
            what: if dry_run { "rehearse" } else { "reload" },
            model: query.name.as_ref(),
            ..Act::default()
        };
        let act = act.begun(context);
        let allowed = names.iter().flatten().try_for_each(|name| self.check_model(context, name));
        if let Err(error) = allowed {
            return act.ended(Err(error));
        }
        let reloaded = self.on_thread(move |registry| match names {
            None if dry_run => Ok(registry.rehearse(None)?),
            None => Ok(registry.reload()?),
            Some(names) if dry_run => {
                let rehearsed: Result<Vec<_>, ServiceError> =
                    names.iter().map(|name| Ok(registry.rehearse(Some(name))?)).collect();
                Ok(rehearsed?.into_iter().flatten().collect())
            }
            Some(names) => names.iter().map(|name| Ok(registry.reload_model(name)?)).collect(),
        });
        let reloaded = act.ended(reloaded.await);
        self.changes.wake();
        reloaded
    }

    /// Loads what a query means, if it is not loaded.
    ///
    /// # Errors
    /// As for a prediction.
    pub async fn load(&self, context: &Context, query: &ModelQuery) -> Result<Arc<Deployment>, ServiceError> {
        let act = Act { what: "load", model: query.name.as_ref(), ..Act::default() }.begun(context);
        act.ended(self.deployment(context, query).await)
    }

    /// Unloads a version: the one that a query means, without loading it first. Answers with it, and what came of it.
    ///
    /// # Errors
    /// When the query means no version.
    pub async fn unload(
        &self,
        context: &Context,
        query: &ModelQuery,
    ) -> Result<(ModelName, ModelVersion, Unloaded), ServiceError> {
        let act = Act { what: "unload", model: query.name.as_ref(), ..Act::default() }.begun(context);
        act.ended(self.unload_unwritten(context, query).await)
    }

    async fn unload_unwritten(
        &self,
        context: &Context,
        query: &ModelQuery,
    ) -> Result<(ModelName, ModelVersion, Unloaded), ServiceError> {
        let reference = self.reference(context, query)?;
        self.check_model(context, &reference.name)?;
        let (name, version) = match self.registry().resolve(&reference) {
            Ok(deployment) => (reference.name, deployment.manifest().version.clone()),
            Err(DeploymentError::NotLoaded { name, version }) => {
                return Ok((name, version, Unloaded::WasNot));
            }
            Err(error) => return Err(error.into()),
        };
        self.on_thread(move |registry| {
            let unloaded = registry.unload(&name, &version);
            Ok((name, version, unloaded))
        })
        .await
    }

    /// Loads what a query means and answers its golden rows once more.
    ///
    /// # Errors
    /// As for a prediction, or when an answer is not the one that was proven.
    pub async fn warm_up(
        &self,
        context: &Context,
        query: &ModelQuery,
    ) -> Result<Arc<Deployment>, ServiceError> {
        let act = Act { what: "warm_up", model: query.name.as_ref(), ..Act::default() }.begun(context);
        let warmed = async {
            let deployment = self.deployment(context, query).await?;
            let warmed = Arc::clone(&deployment);
            self.on_thread(move |registry| Ok(warmed.warm(registry.storage())?)).await?;
            Ok(deployment)
        };
        act.ended(warmed.await)
    }

    /// The names of all models that a query without a name may mean.
    ///
    /// # Errors
    /// When it means none.
    pub fn all_matching(
        &self,
        context: &Context,
        query: &ModelQuery,
    ) -> Result<Vec<ModelName>, ServiceError> {
        match &query.name {
            Some(name) => Ok(vec![name.clone()]),
            None => self.matching(context, query),
        }
    }

    /// Those that match among the models that the caller may use.
    fn matching(&self, context: &Context, query: &ModelQuery) -> Result<Vec<ModelName>, ServiceError> {
        let mut found = self.registry().find(query.feature_set.as_deref(), query.model_type.as_deref());
        found.retain(|name| context.caller().may_use(name));
        if found.is_empty() {
            return Err(ServiceError::new(Code::UnknownModel, "unknown model: none matches the query"));
        }
        Ok(found)
    }

    /// Points an alias to a version, once it has proven itself. Answers with the version it pointed to before.
    ///
    /// # Errors
    /// When model or version is unknown, or the version is refused.
    pub async fn promote(
        &self,
        context: &Context,
        name: ModelName,
        version: ModelVersion,
        alias: Alias,
        author: Author,
    ) -> Result<Option<ModelVersion>, ServiceError> {
        let (to, at, of) = (version.clone(), alias.clone(), name.clone());
        let act =
            Act { what: "promote", model: Some(&of), version: Some(&to), alias: Some(&at), ..Act::default() };
        let act = act.begun(context);
        if let Err(error) = self.check_model(context, &name) {
            return act.ended(Err(error));
        }
        let promoted = self.on_thread(move |registry| {
            let promoted = registry.promote(&name, &version, &alias, author.as_ref());
            if let Err(error) = &promoted {
                tracing::warn!(model = name.as_str(), version = version.as_str(), %error, "not promoted");
            }
            Ok(promoted?)
        });
        let promoted = act.ended(promoted.await);
        self.changes.ring_model(&of);
        promoted
    }

    /// Points the champion to the version it replaced: from, to.
    ///
    /// # Errors
    /// When there is none, or it is refused.
    pub async fn rollback(
        &self,
        context: &Context,
        name: ModelName,
        author: Author,
    ) -> Result<(ModelVersion, ModelVersion), ServiceError> {
        let of = name.clone();
        let act = Act { what: "rollback", model: Some(&of), ..Act::default() }.begun(context);
        if let Err(error) = self.check_model(context, &name) {
            return act.ended(Err(error));
        }
        let back = self.on_thread(move |registry| Ok(registry.rollback(&name, author.as_ref())?)).await;
        let back = act.ended(back);
        self.changes.ring_model(&of);
        back
    }

    pub(crate) async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let registry = Arc::clone(self.registry());
        let done = tokio::task::spawn_blocking(move || work(&registry)).await;
        done.map_err(|error| ServiceError::new(Code::Internal, error.to_string()))?
    }
}
