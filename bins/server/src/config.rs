//! The server's configuration: every section is a type of the crate that it configures.

use serde::{Deserialize, Serialize};
use serve_app::{AuthConfig, CacheConfig, ConfigError, Exit, ExitReason, Layers, LimitsConfig};
use serve_features::{Declarations, FeaturesConfig};
use serve_http::HttpConfig;
use serve_registry::RegistryConfig;

use crate::args::Args;

/// Everything that can be configured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerConfig {
    pub(crate) http: HttpConfig,
    pub(crate) auth: AuthConfig,
    pub(crate) registry: RegistryConfig,
    pub(crate) features: FeaturesConfig,
    pub(crate) cache: CacheConfig,
    pub(crate) limits: LimitsConfig,
    pub(crate) log: LogConfig,
}

/// What is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    pub(crate) format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `serve_registry=debug,info`.
    pub(crate) level: String,
}

/// For people or for machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl ServerConfig {
    /// Defaults, then `base`, then the file, the environment and the flags.
    pub(crate) fn load(args: &Args, base: Layers) -> Result<(Self, Vec<String>), Exit> {
        let mut layers = base;
        if let Some(path) = &args.config {
            layers.file(path).map_err(config_error)?;
        }
        layers.environment(std::env::vars());
        if let Some(registry) = &args.registry {
            layers.set("registry.url", registry.as_str());
        }
        if let Some(features) = &args.features {
            layers.set("features.url", features.clone());
        }
        if let Some(host) = args.host {
            layers.set("http.host", host.to_string());
        }
        if let Some(port) = args.port {
            layers.set("http.port", port);
        }
        let config: Self = layers.read().map_err(config_error)?;
        config.check_auth()?;
        config.check_exposure()?;
        config.check_features()?;
        let warnings = config.http.check();
        let warnings = warnings.map_err(|mistakes| Exit::told(ExitReason::Config, mistakes.join("; ")))?;
        Ok((config, [layers.notes(), &warnings].concat()))
    }

    /// What is wrong with who may ask, and with the files that say so.
    fn check_auth(&self) -> Result<(), Exit> {
        let mistakes = self.auth.mistakes();
        if mistakes.is_empty() { Ok(()) } else { Err(config_error(ConfigError::Mistakes { mistakes })) }
    }

    /// Beyond loopback, everyone may ask only if the configuration says so.
    fn check_exposure(&self) -> Result<(), Exit> {
        if self.http.host.is_loopback() || self.auth.mode.is_some() {
            return Ok(());
        }
        let message = format!(
            "http.host is {}, which others can reach, and there is no authentication; listen on 127.0.0.1, ask \
             for keys with `auth: {{ mode: keys }}`, or say `auth: {{ mode: none }}` if everyone who reaches the port may use it",
            self.http.host
        );
        Err(Exit::told(ExitReason::Config, message))
    }

    /// A store that is given no time or no connection answers nothing, and neither do declarations that cannot be read.
    fn check_features(&self) -> Result<(), Exit> {
        let features = &self.features;
        let times = [
            ("timeout", features.timeout),
            ("on_demand.timeout", features.on_demand.timeout),
            ("ingest.timeout", features.ingest.timeout),
        ];
        let none = times.into_iter().filter(|(_, time)| time.is_zero());
        let mut mistakes: Vec<String> = none
            .map(|(setting, _)| format!("features.{setting} is 0s, in which no store answers; expected more"))
            .collect();
        if features.connections == 0 {
            mistakes.push(
                "features.connections is 0, over which no store is asked; expected 1 or more".to_owned(),
            );
        }
        if !mistakes.is_empty() {
            return Err(Exit::told(ExitReason::Config, mistakes.join("; ")));
        }
        self.declarations().map(drop)
    }

    /// The declared feature sets, where a file declares some.
    pub(crate) fn declarations(&self) -> Result<Option<Declarations>, Exit> {
        let Some(path) = &self.features.declarations else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("features.declarations {} cannot be read: {error}", path.display());
            Exit::told(ExitReason::NoInput, message)
        })?;
        let declarations = Declarations::parse(&text);
        declarations.map(Some).map_err(|error| Exit::because(ExitReason::Config, error))
    }
}

fn config_error(error: ConfigError) -> Exit {
    let code =
        if matches!(error, ConfigError::File { .. }) { ExitReason::NoInput } else { ExitReason::Config };
    Exit::because(code, error)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(change: impl FnOnce(&mut FeaturesConfig)) -> String {
        let mut config = ServerConfig::default();
        change(&mut config.features);
        config.check_features().map_or_else(|exit| exit.to_string(), |()| "sound".to_owned())
    }

    #[test]
    fn features_that_no_store_could_answer_are_refused() {
        assert_eq!(told(|_| ()), "sound");
        let both = told(|features| {
            features.timeout = Duration::ZERO;
            features.connections = 0;
        });
        assert!(
            both.contains("features.timeout is 0s") && both.contains("features.connections is 0"),
            "{both}"
        );
        let missing = told(|features| features.declarations = Some("no/such/features.yaml".into()));
        assert!(missing.contains("no/such/features.yaml cannot be read"), "{missing}");
    }
}
