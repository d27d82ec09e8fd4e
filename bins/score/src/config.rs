//! What the program needs of the server's configuration: the registry.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serve_app::{ConfigError, Exit, ExitReason, Layers};
use serve_registry::{Registry, RegistryConfig, RegistryUrl};

/// The server's sections; all but the registry's are allowed and not read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sections {
    registry: RegistryConfig,
    #[serde(rename = "features")]
    _features: Option<IgnoredAny>,
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
}

/// Opens the registry; nothing of it is loaded before it is asked for.
///
/// # Errors
/// With the exit code and the message.
pub fn registry(url: Option<&RegistryUrl>, config: Option<&Path>) -> Result<Registry, Exit> {
    let mut layers = Layers::new();
    let wrong = |error: ConfigError| {
        let file = matches!(error, ConfigError::File { .. });
        Exit::because(if file { ExitReason::NoInput } else { ExitReason::Config }, error)
    };
    if let Some(path) = config {
        layers.file(path).map_err(wrong)?;
    }
    layers.environment(std::env::vars());
    if let Some(url) = url {
        layers.set("registry.url", url.as_str());
    }
    let Sections { registry, .. } = layers.read().map_err(wrong)?;
    let said = url.is_some() || config.is_some();
    if !said && !registry.url.folder().is_none_or(Path::exists) {
        let message =
            "say where the registry is: --registry DIR|URL, SERVE_REGISTRY, or registry.url in --config FILE";
        return Err(Exit::told(ExitReason::NoInput, message));
    }
    let storage = registry.url.open(&registry.object_cache);
    let storage = storage.map_err(|error| Exit::because(ExitReason::NoInput, error))?;
    let loader = registry.loader().map_err(|error| Exit::because(ExitReason::Config, error))?;
    let mut options = registry.options();
    options.preload.clear();
    let opened = Registry::with_storage(storage, loader, options);
    opened.map_err(|error| Exit::because(ExitReason::NoInput, error))
}
