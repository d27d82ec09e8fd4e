//! The log on standard error: what is written, in which form, and through what, so that neither writing nor a reader that
//! does not read holds up the server.

pub mod direct;
mod fields;
mod format;
mod writer;

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serve_core::ByteSize;
use thiserror::Error;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

pub use writer::{Flushed, Written};

use crate::payloads::PayloadsConfig;
use format::Lines;
use writer::Writer;

/// The target of the lines that tell one request each.
pub const ACCESS: &str = "access";

/// The target of the lines that tell what came of reading the configuration again.
pub const RELOADS: &str = "configuration";

/// What is written to standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// `off`, `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `serve_registry=debug,info`. The lines of requests
    /// have the target `access`: `access=warn,info` leaves out those of requests that went well.
    #[serde(deserialize_with = "level")]
    pub level: String,
    /// Lines that wait to be written; what comes beyond is dropped and counted. Each core has its part.
    pub buffer: ByteSize,
    /// Bodies of some requests and answers.
    pub payloads: PayloadsConfig,
}

/// For people or for machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line of text.
    #[default]
    Text,
    /// A line of JSON.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
            buffer: ByteSize(4 << 20),
            payloads: PayloadsConfig::default(),
        }
    }
}

/// A level's name. YAML reads `off` as a switch.
fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Level {
        Name(String),
        Switch(bool),
    }
    match Level::deserialize(deserializer) {
        Ok(Level::Name(name)) => Ok(name),
        Ok(Level::Switch(false)) => Ok("off".to_owned()),
        Ok(Level::Switch(true)) | Err(_) => {
            let expected =
                "expected off, error, warn, info, debug, trace or a filter such as serve_registry=debug,info";
            Err(serde::de::Error::custom(expected))
        }
    }
}

/// A level that is none.
#[derive(Debug, Error)]
#[error("{level:?} is no level or filter: {problem}")]
pub struct LevelError {
    level: String,
    problem: String,
}

/// The log while it is written.
#[derive(Debug)]
pub struct Log {
    level: reload::Handle<EnvFilter, Registry>,
    written: Arc<Written>,
}

impl LogConfig {
    /// What is wrong with the section.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let level = filter(&self.level).err().map(|error| ("log.level", error.to_string()));
        level.into_iter().chain(self.payloads.mistakes()).collect()
    }

    /// Starts the log of this process. What is still to be written when the returned guard is dropped is written then.
    ///
    /// # Errors
    /// When the level is none.
    pub fn start(&self) -> Result<(Log, Flushed), LevelError> {
        let (filter, level) = reload::Layer::new(filter(&self.level)?);
        let limit = usize::try_from(self.buffer.0).unwrap_or(usize::MAX);
        let (writer, written, flushed) = Writer::start(std::io::stderr(), limit);
        let lines =
            tracing_subscriber::fmt::layer().event_format(Lines(self.format)).with_writer(writer.clone());
        tracing_subscriber::registry().with(filter).with(lines).init();
        direct::install(writer, self.format);
        Ok((Log { level, written }, flushed))
    }
}

impl Log {
    /// Writes from now on what `level` asks for.
    ///
    /// # Errors
    /// When it is none; the old one stays.
    pub fn set_level(&self, level: &str) -> Result<(), LevelError> {
        let new = filter(level)?;
        let failed =
            |error: reload::Error| LevelError { level: level.to_owned(), problem: error.to_string() };
        self.level.reload(new).map_err(failed)?;
        direct::refresh();
        Ok(())
    }

    /// Counts of lines.
    #[must_use]
    pub fn written(&self) -> &Arc<Written> {
        &self.written
    }
}

/// The levels by their names.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn filter(level: &str) -> Result<EnvFilter, LevelError> {
    // What is no level would be taken for a target, and nothing else would be logged.
    let misspelt = level.split(',').map(str::trim).find(|part| {
        !part.contains(['=', '[']) && !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(part))
    });
    if let Some(part) = misspelt {
        let problem = format!("{part:?} is neither one of {} nor target=level", LEVELS.join(", "));
        return Err(LevelError { level: level.to_owned(), problem });
    }
    // The audit trail, and what becomes of the configuration, are no matter of taste: they are written whatever the level,
    // unless the filter names them.
    let always = ["audit", RELOADS].into_iter().filter(|target| !level.contains(target));
    let directives: Vec<String> =
        std::iter::once(level.to_owned()).chain(always.map(|target| format!("{target}=info"))).collect();
    EnvFilter::try_new(directives.join(","))
        .map_err(|error| LevelError { level: level.to_owned(), problem: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_is_a_level_however_it_is_read() {
        let read = |value: serde_json::Value| {
            serde_json::from_value::<LogConfig>(serde_json::json!({ "level": value }))
                .map(|config| config.level)
        };
        assert_eq!(read("off".into()).expect("is a level"), "off");
        assert_eq!(read(false.into()).expect("is how YAML reads off"), "off");
        assert!(read(true.into()).is_err() && read(3.into()).is_err());
        let off = LogConfig { level: "off".to_owned(), ..LogConfig::default() };
        assert!(off.mistakes().is_empty());
    }

    #[test]
    fn a_misspelt_level_is_no_target() {
        let mistakes = |level: &str| LogConfig { level: level.to_owned(), ..LogConfig::default() }.mistakes();
        for level in
            ["INFO", "info", "access=warn,info", "serve_app=debug, warn", "off", "trace,serve_http[x]=info"]
        {
            assert!(mistakes(level).is_empty(), "{level}: {:?}", mistakes(level));
        }
        for level in ["inof", "serve_app", "info,serve_app=wran", "", "5"] {
            assert!(!mistakes(level).is_empty(), "{level}");
        }
    }
}
