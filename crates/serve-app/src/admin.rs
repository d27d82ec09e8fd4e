//! Changes of what serves. They block while versions load and prove, so they run on threads of their own.

use std::sync::Arc;

use serve_core::{Alias, ModelName, ModelVersion};
use serve_registry::{Registry, ReloadOutcome};

use crate::error::{Code, ServiceError};
use crate::request::ModelQuery;
use crate::service::Service;

impl Service {
    /// Reads the registry again: one model, or all where the query names none.
    ///
    /// # Errors
    /// When the registry cannot be read, or the query means no one model.
    pub async fn reload(&self, query: &ModelQuery) -> Result<Vec<ReloadOutcome>, ServiceError> {
        let names = match &query.name {
            Some(name) => Some(vec![name.clone()]),
            None if query.is_open() => None,
            None => Some(self.matching(query)?),
        };
        self.on_thread(move |registry| match names {
            None => Ok(registry.reload()?),
            Some(names) => names.iter().map(|name| Ok(registry.reload_model(name)?)).collect(),
        })
        .await
    }

    fn matching(&self, query: &ModelQuery) -> Result<Vec<ModelName>, ServiceError> {
        let found = self.registry().find(query.feature_set.as_deref(), query.model_type.as_deref());
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
        name: ModelName,
        version: ModelVersion,
        alias: Alias,
        by: String,
    ) -> Result<Option<ModelVersion>, ServiceError> {
        self.on_thread(move |registry| {
            let promoted = registry.promote(&name, &version, &alias, &by);
            if let Err(error) = &promoted {
                tracing::warn!(model = name.as_str(), version = version.as_str(), %error, "not promoted");
            }
            Ok(promoted?)
        })
        .await
    }

    /// Points the champion to the version it replaced: from, to.
    ///
    /// # Errors
    /// When there is none, or it is refused.
    pub async fn rollback(
        &self,
        name: ModelName,
        by: String,
    ) -> Result<(ModelVersion, ModelVersion), ServiceError> {
        self.on_thread(move |registry| Ok(registry.rollback(&name, &by)?)).await
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let registry = Arc::clone(self.registry());
        let done = tokio::task::spawn_blocking(move || work(&registry)).await;
        done.map_err(|error| ServiceError::new(Code::Internal, error.to_string()))?
    }
}
