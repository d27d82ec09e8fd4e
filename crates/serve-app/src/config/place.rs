//! Where settings were made, so that a mistake can be found.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a setting was made. Lines of files come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// By an environment variable or a flag of that name.
    Named(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// Settings, as `http.port` or `auth.keys[0].id`, and where each was made last.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(BTreeMap<String, Place>);

impl Places {
    pub(super) fn made(&mut self, setting: String, place: Place) {
        self.0.insert(setting, place);
    }

    /// A later layer says the setting, and what is in it.
    pub(super) fn forget(&mut self, setting: &str) {
        self.0.retain(|known, _| {
            let rest = known.strip_prefix(setting);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
    }

    /// Where the setting was made, or else what it is part of.
    pub(super) fn of(&self, setting: &str) -> Option<&Place> {
        let mut part = setting;
        loop {
            if let Some(place) = self.0.get(part) {
                return Some(place);
            }
            part = &part[..part.rfind(['.', '['])?];
        }
    }
}
