//! Configuration in layers: defaults, then a YAML file, then the environment, then flags. Each section is a type of the
//! crate that it configures; a program puts the sections together and reads them with [`Layers::read`].
//!
//! All mistakes are reported at once: whatever does not fit is noted, set aside, and the rest is read on.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

/// Prefix of environment variables; `__` stands between the levels: `SERVE__HTTP__PORT`.
const PREFIX: &str = "SERVE__";

/// Names that other servers use, and what they mean here.
const DEPRECATED: [(&str, &str); 3] =
    [("API_HOST", "http.host"), ("API_PORT", "http.port"), ("MODEL_REGISTRY_PATH", "registry.url")];

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Which setting, e.g. `http.port`.
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

/// Why there is no configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not YAML.
    #[error("the configuration {} is not valid YAML: {problem}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        problem: String,
    },
    /// Some settings are wrong.
    #[error("the configuration has {} mistake(s): {}", mistakes.len(), listed(mistakes))]
    Mistakes {
        /// All of them.
        mistakes: Vec<Mistake>,
    },
}

fn listed(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Layers of settings, later ones over earlier ones.
///
/// ```
/// #[derive(serde::Deserialize, Default)]
/// #[serde(deny_unknown_fields, default)]
/// struct Config { port: u16 }
/// let mut layers = serve_app::Layers::new();
/// layers.environment([("SERVE__PORT".to_owned(), "8001".to_owned())]);
/// layers.set("port", 8002);
/// assert_eq!(layers.read::<Config>()?.port, 8002);
/// # Ok::<(), serve_app::ConfigError>(())
/// ```
#[derive(Debug, Default)]
pub struct Layers {
    settings: Map<String, Value>,
    notes: Vec<String>,
    mistakes: Vec<Mistake>,
}

impl Layers {
    /// No settings: everything has its default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lays a YAML file over what is there.
    ///
    /// # Errors
    /// When it cannot be read or is not YAML. Settings that do not fit are found by [`read`](Self::read).
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        self.yaml(&text).map_err(|problem| ConfigError::Yaml { path: path.to_owned(), problem })
    }

    fn yaml(&mut self, text: &str) -> Result<(), String> {
        match serde_saphyr::from_str::<Value>(text).map_err(|error| error.to_string())? {
            Value::Object(settings) => merge(&mut self.settings, settings),
            Value::Null => {}
            _ => return Err("expected settings by name at the top level".to_owned()),
        }
        Ok(())
    }

    /// Lays the environment over what is there. Values are read as YAML.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in variables {
            if let Some(path) = name.strip_prefix(PREFIX) {
                self.set_text(&path.to_lowercase().replace("__", "."), &name, &text);
            } else if let Some((_, setting)) = DEPRECATED.iter().find(|(old, _)| *old == name) {
                let new = format!("{PREFIX}{}", setting.to_uppercase().replace('.', "__"));
                self.notes.push(format!("{name} is deprecated; use {new}"));
                self.set_text(setting, &name, &text);
            }
        }
    }

    fn set_text(&mut self, setting: &str, variable: &str, text: &str) {
        match serde_saphyr::from_str::<Value>(text) {
            Ok(value) => self.set(setting, value),
            Err(error) => {
                let problem = format!("{variable} is not valid YAML: {error}");
                self.mistakes.push(Mistake { setting: setting.to_owned(), problem });
            }
        }
    }

    /// Lays one setting over what is there; `setting` has dots between its levels.
    pub fn set(&mut self, setting: &str, value: impl Into<Value>) {
        let nested = setting
            .rsplit('.')
            .fold(value.into(), |inner, level| Value::Object(Map::from_iter([(level.to_owned(), inner)])));
        if let Value::Object(settings) = nested {
            merge(&mut self.settings, settings);
        }
    }

    /// What the user should know, e.g. that a name is deprecated.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The settings as a configuration.
    ///
    /// # Errors
    /// [`ConfigError::Mistakes`] with all of them.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let mut settings = Value::Object(self.settings.clone());
        let mut mistakes = self.mistakes.clone();
        loop {
            let error = match serde_path_to_error::deserialize::<_, T>(settings.clone()) {
                Ok(config) if mistakes.is_empty() => return Ok(config),
                Ok(_) => return Err(ConfigError::Mistakes { mistakes }),
                Err(error) => error,
            };
            let path: Vec<String> =
                error.path().iter().map(ToString::to_string).filter(|p| p != "?").collect();
            let problem = error.into_inner().to_string();
            let culprit = culprit(&mut settings, path, &problem);
            let set_aside = culprit.is_some();
            let setting = culprit.unwrap_or_else(|| "configuration".to_owned());
            mistakes.push(Mistake { setting, problem });
            if !set_aside {
                return Err(ConfigError::Mistakes { mistakes });
            }
        }
    }
}

/// Lays `over` over `under`, level by level.
fn merge(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => merge(under, over),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

/// Takes the setting that caused an error out of `settings` and returns its name.
fn culprit(settings: &mut Value, mut path: Vec<String>, problem: &str) -> Option<String> {
    let unknown = problem.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    if let Some(field) = unknown.filter(|field| path.last().is_none_or(|last| last != field)) {
        path.push(field.to_owned());
    }
    while let Some((last, parents)) = path.split_last() {
        let parent = parents.iter().try_fold(&mut *settings, |value, level| value.get_mut(level));
        if let Some(Value::Object(parent)) = parent
            && parent.remove(last).is_some()
        {
            return Some(path.join("."));
        }
        path.pop();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Config {
        http: Http,
        name: String,
    }

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Http {
        host: String,
        port: u16,
    }

    #[test]
    fn later_layers_win() {
        let mut layers = Layers::new();
        layers.yaml("http: { host: a, port: 1 }\nname: file").expect("valid");
        layers.environment([
            ("SERVE__HTTP__PORT".to_owned(), "2".to_owned()),
            ("OTHER".to_owned(), "x".to_owned()),
        ]);
        layers.set("http.host", "flag");
        let expected = Config { http: Http { host: "flag".into(), port: 2 }, name: "file".into() };
        assert_eq!(layers.read::<Config>().expect("valid"), expected);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mut layers = Layers::new();
        layers.yaml("http: { port: many, hots: a }\nname: [1]\nextra: 1").expect("valid YAML");
        let error = layers.read::<Config>().expect_err("refused").to_string();
        assert!(error.starts_with("the configuration has 4 mistake(s): "), "{error}");
        for part in ["http.port: ", "http.hots: unknown field", "name: invalid type", "extra: unknown field"]
        {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn names_of_other_servers_are_taken_with_a_note() {
        let mut layers = Layers::new();
        layers.environment([("API_PORT".to_owned(), "8080".to_owned())]);
        assert_eq!(layers.read::<Config>().expect("valid").http.port, 8080);
        assert_eq!(layers.notes(), ["API_PORT is deprecated; use SERVE__HTTP__PORT"]);
    }
}
