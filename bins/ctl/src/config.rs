//! What the program needs of the server's configuration.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serve_app::{Exit, ExitReason, Layers};
use serve_core::ModelLoader;
use serve_features::{FeatureStore, FeaturesConfig, StoreUrl, open_store};
use serve_registry::{Options, Registry, RegistryConfig, RegistryUrl, Storage};

use crate::args::Args;

/// The sections that are used here; the server's others are allowed and not read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CtlConfig {
    registry: RegistryConfig,
    pub(crate) features: FeaturesConfig,
    #[serde(rename = "http")]
    _http: Option<IgnoredAny>,
    #[serde(rename = "auth")]
    _auth: Option<IgnoredAny>,
    #[serde(rename = "limits")]
    _limits: Option<IgnoredAny>,
    #[serde(rename = "cache")]
    _cache: Option<IgnoredAny>,
    #[serde(rename = "telemetry")]
    _telemetry: Option<IgnoredAny>,
    #[serde(rename = "log")]
    _log: Option<IgnoredAny>,
    #[serde(skip)]
    has_registry: bool,
}

impl CtlConfig {
    /// Defaults, then the file, the environment and the flags.
    pub(crate) fn load(args: &Args) -> Result<Self, Exit> {
        let mut layers = Layers::new();
        if let Some(path) = &args.config {
            layers.file(path)?;
        }
        layers.environment(std::env::vars());
        if let Some(registry) = &args.registry {
            layers.set("registry.url", registry.as_str());
        }
        if let Some(features) = &args.features {
            layers.set("features.url", features.clone());
        }
        for note in layers.notes() {
            eprintln!("serve-ctl: {note}");
        }
        let config: Self = layers.read()?;
        Ok(Self { has_registry: args.registry.is_some() || args.config.is_some(), ..config })
    }

    fn registry_url(&self) -> Result<&RegistryUrl, Exit> {
        let folder = self.registry.url.folder();
        if self.has_registry || folder.is_none_or(Path::exists) {
            return Ok(&self.registry.url);
        }
        let message =
            "say where the registry is: --registry DIR|URL, SERVE_REGISTRY, or registry.url in --config FILE";
        Err(Exit::told(ExitReason::NoInput, message))
    }

    /// Where the registry lies, which must be there.
    pub(crate) fn storage(&self) -> Result<Arc<dyn Storage>, Exit> {
        let storage = self.registry_url()?.open(&self.registry.object_cache);
        storage.map_err(|error| Exit::because(ExitReason::NoInput, error))
    }

    /// Where the registry lies; a folder is made if it is not there.
    pub(crate) fn new_storage(&self) -> Result<Arc<dyn Storage>, Exit> {
        let storage = self.registry.url.create(&self.registry.object_cache);
        storage.map_err(|error| Exit::because(ExitReason::CannotCreate, error))
    }

    /// Another registry, which must be there.
    pub(crate) fn other_storage(&self, url: &RegistryUrl) -> Result<Arc<dyn Storage>, Exit> {
        let storage = url.open(&self.registry.object_cache);
        storage.map_err(|error| Exit::because(ExitReason::NoInput, error))
    }

    /// What loads versions, and refuses those that no trusted key signed where keys are trusted.
    pub(crate) fn loader(&self) -> Result<Box<dyn ModelLoader>, Exit> {
        self.registry.loader().map_err(|error| Exit::because(ExitReason::Config, error))
    }

    /// The registry with what its aliases lead to loaded.
    pub(crate) fn registry(&self) -> Result<Registry, Exit> {
        self.opened(self.storage()?, Options::default())
    }

    /// A registry of which nothing is loaded before it is asked for.
    pub(crate) fn registry_of(&self, storage: Arc<dyn Storage>) -> Result<Registry, Exit> {
        let mut options = Options::default();
        options.preload.clear();
        self.opened(storage, options)
    }

    fn opened(&self, storage: Arc<dyn Storage>, options: Options) -> Result<Registry, Exit> {
        let registry = Registry::with_storage(storage, self.loader()?, options);
        registry.map_err(|error| Exit::because(ExitReason::NoInput, error))
    }

    /// The feature store's URL.
    pub(crate) fn store_url(&self) -> Result<&StoreUrl, Exit> {
        let message =
            "say where the feature store is: --features sqlite://FILE, SERVE_FEATURES, or features.url";
        self.features.url.as_ref().ok_or_else(|| Exit::told(ExitReason::NoInput, message))
    }

    /// The feature store; one in memory would end with this program.
    pub(crate) fn store(&self) -> Result<Arc<dyn FeatureStore>, Exit> {
        let url = self.store_url()?;
        if *url == StoreUrl::Memory {
            let message = "a store in memory ends with this program; use sqlite://FILE";
            return Err(Exit::told(ExitReason::Config, message));
        }
        open_store(url).map_err(|error| Exit::because(ExitReason::Unavailable, error))
    }
}
