//! Configuration in layers: defaults, then a YAML file, then the environment, then flags. Each section is a type of the
//! crate that it configures; a program puts the sections together and reads them with [`Layers::read`].
//!
//! All mistakes are reported at once, each with its place: whatever does not fit is noted, set aside, and the rest is read
//! on.

mod changes;
mod lines;
mod place;
mod reading;
mod secrets;
mod spelling;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serve_core::words;
use thiserror::Error;

pub use changes::{Change, changes};
pub use place::Place;
pub use secrets::masked;

use crate::exit::{Exit, ExitReason};
use place::Places;

/// Prefix of environment variables; `__` stands between the levels: `SERVE__HTTP__PORT`.
const PREFIX: &str = "SERVE__";

/// Names that other servers use, and what they mean here.
const DEPRECATED: [(&str, &str); 3] =
    [("API_HOST", "http.host"), ("API_PORT", "http.port"), ("MODEL_REGISTRY_PATH", "registry.url")];

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where the setting was made, where it was.
    pub place: Option<Place>,
    /// Which setting, e.g. `http.port`.
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Mistake {
    /// A mistake whose place [`Layers::locate`] finds.
    pub fn new(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: None, setting: setting.into(), problem: problem.into() }
    }

    /// The name of the section that it stands in.
    #[must_use]
    pub fn section(&self) -> &str {
        self.setting.split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
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
    #[error("{}: {}", counted(mistakes), listed(mistakes).join("; "))]
    Mistakes {
        /// All of them.
        mistakes: Vec<Mistake>,
    },
}

fn counted(mistakes: &[Mistake]) -> String {
    let several = if mistakes.len() == 1 { "" } else { "s" };
    format!("the configuration has {} mistake{several}", mistakes.len())
}

/// By file and line, then those of variables and flags, then those that stand nowhere.
fn listed(mistakes: &[Mistake]) -> Vec<String> {
    let mut sorted: Vec<&Mistake> = mistakes.iter().collect();
    sorted.sort_by_key(|mistake| (mistake.place.is_none(), &mistake.place));
    sorted.into_iter().map(ToString::to_string).collect()
}

impl From<ConfigError> for Exit {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::File { .. } => Self::because(ExitReason::NoInput, error),
            ConfigError::Yaml { .. } => Self::because(ExitReason::Config, error),
            ConfigError::Mistakes { mistakes } => {
                Self::listing(ExitReason::Config, counted(&mistakes), listed(&mistakes))
            }
        }
    }
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
#[derive(Debug, Clone, Default)]
pub struct Layers {
    settings: Map<String, Value>,
    places: Places,
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
        self.yaml(path, &text).map_err(|problem| ConfigError::Yaml { path: path.to_owned(), problem })
    }

    fn yaml(&mut self, path: &Path, text: &str) -> Result<(), String> {
        let refused = |error: serde_saphyr::Error| words::plain(&error.without_snippet().to_string());
        match serde_saphyr::from_str::<Value>(text).map_err(refused)? {
            Value::Object(settings) => merge(&mut self.settings, settings),
            Value::Null => {}
            _ => return Err("expected settings by name at the top level".to_owned()),
        }
        for (setting, line) in lines::of(text).map_err(refused)? {
            self.places.made(setting, Place::File { path: path.to_owned(), line });
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
        let place = Place::Named(variable.to_owned());
        match serde_saphyr::from_str::<Value>(text) {
            Ok(value) => self.lay(setting, value, Some(place)),
            Err(error) => {
                let problem = format!("is not valid YAML: {}", error.without_snippet());
                self.mistakes.push(Mistake { place: Some(place), ..Mistake::new(setting, problem) });
            }
        }
    }

    /// Lays what a flag says over what is there.
    pub fn flag(&mut self, flag: &str, setting: &str, value: impl Into<Value>) {
        self.lay(setting, value.into(), Some(Place::Named(flag.to_owned())));
    }

    /// Lays one setting over what is there; `setting` has dots between its levels.
    pub fn set(&mut self, setting: &str, value: impl Into<Value>) {
        self.lay(setting, value.into(), None);
    }

    fn lay(&mut self, setting: &str, value: Value, place: Option<Place>) {
        self.places.forget(setting);
        if let Some(place) = place {
            self.places.made(setting.to_owned(), place);
        }
        let nested = setting
            .rsplit('.')
            .fold(value, |inner, level| Value::Object(Map::from_iter([(level.to_owned(), inner)])));
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
        match self.read_what_fits() {
            (Some(config), mistakes) if mistakes.is_empty() => Ok(config),
            (_, mistakes) => Err(ConfigError::Mistakes { mistakes }),
        }
    }

    /// The settings as a configuration, with the default in the place of each that is wrong, and what is wrong. Nothing,
    /// where not even the defaults make one.
    #[must_use]
    pub fn read_what_fits<T: DeserializeOwned>(&self) -> (Option<T>, Vec<Mistake>) {
        let (config, found) = reading::read(Value::Object(self.settings.clone()));
        let found = found.into_iter().map(|(setting, problem)| {
            let problem = words::plain(&spelling::with_nearest(problem));
            self.locate(Mistake::new(setting, problem))
        });
        (config, self.mistakes.iter().cloned().chain(found).collect())
    }

    /// The mistake with its place, where something says the setting, or what it is part of.
    #[must_use]
    pub fn locate(&self, mistake: Mistake) -> Mistake {
        let place = mistake.place.or_else(|| self.places.of(&mistake.setting).cloned());
        Mistake { place, ..mistake }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Config {
        http: Http,
        name: String,
        keys: Vec<Key>,
    }

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Http {
        host: String,
        port: u16,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Key {
        id: String,
        rate: u32,
    }

    fn layers(yaml: &str) -> Layers {
        let mut layers = Layers::new();
        layers.yaml(Path::new("serve.yaml"), yaml).expect("valid YAML");
        layers
    }

    fn told(layers: &Layers) -> Vec<String> {
        match layers.read::<Config>() {
            Ok(_) => Vec::new(),
            Err(ConfigError::Mistakes { mistakes }) => mistakes.iter().map(ToString::to_string).collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    #[test]
    fn later_layers_win() {
        let mut layers = layers("http: { host: a, port: 1 }\nname: file");
        layers.environment([
            ("SERVE__HTTP__PORT".to_owned(), "2".to_owned()),
            ("OTHER".to_owned(), "x".to_owned()),
        ]);
        layers.flag("--host", "http.host", "flag");
        let expected =
            Config { http: Http { host: "flag".into(), port: 2 }, name: "file".into(), keys: Vec::new() };
        assert_eq!(layers.read::<Config>().expect("valid"), expected);
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_their_lines() {
        let mut layers = layers("http:\n  port: many\n  hots: a\nname: [1]\nextra: 1\n");
        layers.environment([("SERVE__HTTP__HOST".to_owned(), "[1]".to_owned())]);
        let expected = [
            "serve.yaml:2: http.port: expected a whole number from 0 to 65535, got text \"many\"",
            "serve.yaml:3: http.hots: unknown key `hots`; did you mean `host`?",
            "serve.yaml:4: name: expected text, got a list",
            "serve.yaml:5: extra: unknown key `extra`; expected one of `http`, `name`, `keys`",
            "SERVE__HTTP__HOST: http.host: expected text, got a list",
        ];
        let error = layers.read::<Config>().expect_err("has mistakes");
        assert_eq!(error.to_string(), format!("the configuration has 5 mistakes: {}", expected.join("; ")));
        let exit = format!("{:#}", Exit::from(error));
        assert_eq!(exit, format!("the configuration has 5 mistakes:\n  {}", expected.join("\n  ")));
    }

    #[test]
    fn every_entry_of_a_list_is_told_by_its_line() {
        let yaml = "keys:\n  - { id: a, rate: x }\n  - id: b\n  - { id: c, rate: 1 }\n  - id: d\n    rate: 1\n    raet: 2\n";
        let expected = [
            "serve.yaml:2: keys[0].rate: expected a whole number from 0 to 4294967295, got text \"x\"",
            "serve.yaml:3: keys[1]: `rate` is missing",
            "serve.yaml:7: keys[3].raet: unknown key `raet`; did you mean `rate`?",
        ];
        assert_eq!(told(&layers(yaml)), expected);
    }

    #[test]
    fn what_fits_is_read_beside_what_does_not() {
        let (config, mistakes) = layers("http: { port: many }\nname: b").read_what_fits::<Config>();
        assert_eq!(config.map(|config| config.name).as_deref(), Some("b"));
        assert_eq!(mistakes.len(), 1);
        let place = layers("http:\n  port: 1").locate(Mistake::new("http.host", "is missing")).place;
        assert_eq!(place.map(|place| place.to_string()).as_deref(), Some("serve.yaml:1"));
    }

    #[test]
    fn names_of_other_servers_are_taken_with_a_note() {
        let mut layers = Layers::new();
        layers.environment([("API_PORT".to_owned(), "8080".to_owned())]);
        assert_eq!(layers.read::<Config>().expect("valid").http.port, 8080);
        assert_eq!(layers.notes(), ["API_PORT is deprecated; use SERVE__HTTP__PORT"]);
    }
}
