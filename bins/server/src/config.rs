//! The server's configuration: every section is a type of the crate that it configures.
//!
//! A new section: a field of [`ServerConfig`], its own mistakes in [`ServerConfig::mistakes`], and, where it can change while the server runs, a line in `reload.rs`. `serve-ctl`'s `config.rs`
//! allows it by name.

use serde::{Deserialize, Serialize};
use serve_app::log::LogConfig;
use serve_app::telemetry::TelemetryConfig;
use serve_app::{AuthConfig, CacheConfig, ConfigError, Exit, ExitReason, Layers, LimitsConfig, Mistake};
use serve_core::ModelName;
use serve_features::{DeclarationError, Declarations, FeaturesConfig};
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
    pub(crate) telemetry: TelemetryConfig,
}

impl ServerConfig {
    /// Defaults, then `base`, then the file, the environment and the flags; with what the user should know.
    pub(crate) fn load(args: &Args, base: Layers) -> Result<(Self, Vec<String>), Exit> {
        let layers = layers(args, base)?;
        let (config, mut mistakes) = layers.read_what_fits::<Self>();
        if let Some(config) = &config {
            // What is wrong in itself is not held against the rest a second time.
            let wrong: Vec<String> = mistakes.iter().map(|mistake| mistake.section().to_owned()).collect();
            let others = config.mistakes().into_iter().filter(|mistake| {
                let about_auth =
                    mistake.setting == "http.host" && wrong.iter().any(|section| section == "auth");
                !about_auth && !wrong.iter().any(|section| section == mistake.section())
            });
            mistakes.extend(others.map(|mistake| layers.locate(mistake)));
            // At a start the registry is opened anyway.
            if args.check_config && !args.demo && !wrong.iter().any(|section| section == "registry") {
                mistakes.extend(config.no_registry().map(|mistake| layers.locate(mistake)));
            }
        }
        match config {
            Some(config) if mistakes.is_empty() => {
                let warnings = config.http.check().unwrap_or_default();
                Ok((config, [layers.notes(), &warnings].concat()))
            }
            _ => Err(ConfigError::Mistakes { mistakes }.into()),
        }
    }

    /// Everything that is wrong with settings that can be read, files that they name included.
    fn mistakes(&self) -> Vec<Mistake> {
        let mut found = self.exposure();
        found.extend(self.auth.mistakes());
        found.extend(self.features_mistakes());
        if self.limits.batch_rows == 0 {
            found
                .push(Mistake::new("limits.batch_rows", "is 0, which no batch keeps to; expected 1 or more"));
        }
        found.extend(self.http.check().err().into_iter().flatten().map(|problem| http_mistake(&problem)));
        let sections = self.log.mistakes().into_iter().chain(self.telemetry.mistakes());
        found.extend(sections.map(|(setting, problem)| Mistake::new(setting, problem)));
        found
    }

    /// That there is no folder where the registry should be. A bucket is not asked.
    fn no_registry(&self) -> Option<Mistake> {
        self.registry.url.folder()?;
        let opened = self.registry.url.open(&self.registry.object_cache);
        opened.err().map(|error| Mistake::new("registry.url", error.to_string()))
    }

    /// What is to be known of the registry as it is read without loading anything from it: that it lacks the default model.
    pub(crate) fn registry_notes(&self) -> Vec<String> {
        let opened =
            self.registry.url.folder().and_then(|_| self.registry.url.open(&self.registry.object_cache).ok());
        let models = opened.and_then(|storage| storage.models().ok()).unwrap_or_default();
        self.no_default(|name| models.contains(name)).into_iter().collect()
    }

    /// That the registry lacks the default model. It may yet be published, so that is no mistake.
    pub(crate) fn no_default(&self, has: impl Fn(&ModelName) -> bool) -> Option<String> {
        let name = self.registry.default_model.as_ref().filter(|name| !has(name))?;
        let registry = &self.registry.url;
        Some(format!("registry.default_model: the registry {registry} has no model {:?}", name.as_str()))
    }

    /// Beyond loopback, everyone may ask only if the configuration says so.
    fn exposure(&self) -> Vec<Mistake> {
        if self.http.host.is_loopback() || self.auth.mode.is_some() {
            return Vec::new();
        }
        let problem = format!(
            "http.host is {}, which others can reach, and there is no authentication; listen on 127.0.0.1, ask \
             for keys with `auth: {{ mode: keys }}`, or say `auth: {{ mode: none }}` if everyone who reaches the port may use it",
            self.http.host
        );
        vec![Mistake::new("http.host", problem)]
    }

    /// A store that is given no time or no connection answers nothing, and neither do declarations that cannot be read.
    fn features_mistakes(&self) -> Vec<Mistake> {
        let features = &self.features;
        let times = [
            ("features.timeout", features.timeout),
            ("features.on_demand.timeout", features.on_demand.timeout),
            ("features.ingest.timeout", features.ingest.timeout),
        ];
        let none = times.into_iter().filter(|(_, time)| time.is_zero());
        let mut found: Vec<Mistake> = none
            .map(|(setting, _)| Mistake::new(setting, "is 0s, in which no store answers; expected more"))
            .collect();
        if features.connections == 0 {
            let problem = "is 0, over which no store is asked; expected 1 or more";
            found.push(Mistake::new("features.connections", problem));
        }
        if let Err(exit) = self.declarations() {
            found.push(Mistake::new("features.declarations", exit.to_string()));
        }
        found
    }

    /// The declared feature sets, where a file declares some.
    pub(crate) fn declarations(&self) -> Result<Option<Declarations>, Exit> {
        let Some(path) = &self.features.declarations else { return Ok(None) };
        Declarations::load(path).map(Some).map_err(|error| {
            let unread = matches!(error, DeclarationError::Read { .. });
            Exit::because(if unread { ExitReason::NoInput } else { ExitReason::Config }, error)
        })
    }
}

/// What the file, the environment and the flags say, over `base`.
fn layers(args: &Args, base: Layers) -> Result<Layers, ConfigError> {
    let mut layers = base;
    if let Some(path) = &args.config {
        layers.file(path)?;
    }
    layers.environment(std::env::vars());
    if let Some(registry) = &args.registry {
        layers.flag("--registry", "registry.url", registry.as_str());
    }
    if let Some(features) = &args.features {
        layers.flag("--features", "features.url", features.clone());
    }
    if let Some(host) = args.host {
        layers.flag("--host", "http.host", host.to_string());
    }
    if let Some(port) = args.port {
        layers.flag("--port", "http.port", port);
    }
    Ok(layers)
}

/// What `http` says of itself begins with the setting.
fn http_mistake(text: &str) -> Mistake {
    let (setting, problem) = text.split_once([':', ' ']).unwrap_or(("http", text));
    Mistake::new(setting, problem.trim_start())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(change: impl FnOnce(&mut FeaturesConfig)) -> Vec<String> {
        let mut config = ServerConfig::default();
        change(&mut config.features);
        config.mistakes().iter().map(ToString::to_string).collect()
    }

    /// Every setting's name. What is a list, or has names of the user's, is one setting.
    fn names(settings: &serde_json::Value, name: &str, found: &mut Vec<String>) {
        match settings.as_object().filter(|map| !map.is_empty()) {
            Some(map) => map.iter().for_each(|(key, value)| names(value, &format!("{name}.{key}"), found)),
            None => found.push(name.to_owned()),
        }
    }

    #[test]
    fn the_example_has_every_setting_with_its_default() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/serve.example.yaml");
        let mut layers = Layers::new();
        layers.file(path.as_ref()).expect("is YAML");
        let listed = |settings: &serde_json::Value| {
            let mut found = Vec::new();
            names(settings, "", &mut found);
            found.sort();
            found
        };
        let written: serde_json::Value = layers.read().expect("settings");
        let defaults = serde_json::to_value(ServerConfig::default()).expect("serialises");
        assert_eq!(listed(&written), listed(&defaults), "the example's keys, and the types'");
        let read: ServerConfig = layers.read().expect("a configuration");
        assert_eq!(serde_json::to_value(read).expect("serialises"), defaults);
    }

    #[test]
    fn features_that_no_store_could_answer_are_refused() {
        assert!(told(|_| ()).is_empty());
        let both = told(|features| {
            features.timeout = Duration::ZERO;
            features.connections = 0;
        });
        assert!(both[0].starts_with("features.timeout: is 0s"), "{both:?}");
        assert!(both[1].starts_with("features.connections: is 0"), "{both:?}");
        let missing = told(|features| features.declarations = Some("no/such/features.yaml".into()));
        assert!(
            missing[0].contains("cannot read the feature declarations \"no/such/features.yaml\""),
            "{missing:?}"
        );
    }
}
