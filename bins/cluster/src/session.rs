//! What client, scheduler and executors have in common: the configuration of a session, our functions, and where bytes lie.

use std::sync::Arc;

use ballista_core::extension::{SessionConfigExt, ballista_scalar_functions};
use ballista_core::utils::default_session_builder;
use datafusion::common::Result;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::object_store::ObjectStore;
use datafusion::prelude::SessionConfig;
use serve_score::Models;
use serve_score::sql::{physical_rules, take_explain_for_a_name};
use url::Url;

use crate::codec::{LogicalCodec, PhysicalCodec};

/// A session's configuration.
pub(crate) fn config(models: &Arc<Models>) -> SessionConfig {
    let mut config = SessionConfig::new_with_ballista()
        .with_ballista_logical_extension_codec(Arc::new(LogicalCodec::new(Arc::clone(models))))
        .with_ballista_physical_extension_codec(Arc::new(PhysicalCodec::new(Arc::clone(models))));
    // Texts are written as the types that all readers know, as on one machine.
    config.options_mut().execution.parquet.schema_force_view_types = false;
    take_explain_for_a_name(config.options_mut());
    config
}

/// A session with our functions, as Ballista makes them.
pub(crate) fn state(config: SessionConfig, models: &Arc<Models>) -> Result<SessionState> {
    let functions = models.functions().into_iter().map(Arc::new);
    let state = SessionStateBuilder::new_from_existing(default_session_builder(config)?)
        .with_scalar_functions(ballista_scalar_functions().into_iter().chain(functions).collect())
        .with_physical_optimizer_rules(physical_rules())
        .with_runtime_env(runtime(RuntimeEnvBuilder::new())?);
    Ok(state.build())
}

/// A runtime that finds buckets.
pub(crate) fn runtime(builder: RuntimeEnvBuilder) -> Result<Arc<RuntimeEnv>> {
    builder.with_object_store_registry(Arc::new(Buckets::default())).build_arc()
}

/// Stores by URL; a bucket's is made with the environment's settings when it is first asked for.
#[derive(Debug, Default)]
struct Buckets {
    known: DefaultObjectStoreRegistry,
}

impl ObjectStoreRegistry for Buckets {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.known.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        match (self.known.get_store(url), url.scheme(), url.host_str()) {
            (Err(_), "s3", Some(bucket)) => {
                let store = serve_score::location::bucket(bucket)?;
                self.known.register_store(url, Arc::clone(&store));
                Ok(store)
            }
            (known, ..) => known,
        }
    }
}
