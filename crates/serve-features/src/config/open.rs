//! From the configuration to a store.

use std::sync::Arc;

use super::FeaturesConfig;
use crate::location::{RedisUrl, open_store_with};
use crate::options::StoreOptions;
use crate::store::{FeatureStore, OpenError};

impl FeaturesConfig {
    /// Opens the store, if one is configured, with the shared cache in front of it. Neither is reached for here but a SQLite
    /// file: a server starts while its database is down.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self) -> Result<Option<Arc<dyn FeatureStore>>, OpenError> {
        let Some(url) = &self.url else { return Ok(None) };
        let timeout = self.timeout.max(self.on_demand.timeout).max(self.ingest.timeout);
        let options =
            StoreOptions { connections: self.connections.max(1), timeout, ..StoreOptions::default() };
        let store = open_store_with(url, options)?;
        match &self.cache.url {
            None => Ok(Some(store)),
            Some(cache) => self.shared_cache(cache, store).map(Some),
        }
    }

    #[cfg(feature = "redis")]
    fn shared_cache(
        &self,
        url: &RedisUrl,
        store: Arc<dyn FeatureStore>,
    ) -> Result<Arc<dyn FeatureStore>, OpenError> {
        use crate::redis::{RedisCache, RedisCacheOptions};

        let mut options = RedisCacheOptions::default();
        if !self.cache.ttl.is_zero() {
            options.ttl = self.cache.ttl;
        }
        Ok(Arc::new(RedisCache::open(url, store, options)?))
    }

    #[cfg(not(feature = "redis"))]
    fn shared_cache(
        &self,
        _url: &RedisUrl,
        _store: Arc<dyn FeatureStore>,
    ) -> Result<Arc<dyn FeatureStore>, OpenError> {
        Err(OpenError::NotBuilt { scheme: "redis" })
    }
}
