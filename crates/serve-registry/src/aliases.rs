//! Aliases: movable pointers from a word such as `champion` to a version, with the history of who moved them.
//!
//! A target is a list of versions with weights, so that a canary needs no new format; this release writes and serves
//! lists of one. History is kept whole and in order. A rollback undoes the newest promotion that is not yet undone, so
//! rolling back twice goes two versions back instead of to and fro.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serve_core::{Alias, ModelVersion};

/// The format that this release writes.
const FORMAT: u32 = 1;

/// One version of a target and its share of the requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedVersion {
    /// The version.
    pub version: ModelVersion,
    /// Its weight.
    pub weight: f64,
}

/// Who is said to have made the oldest version the champion, where there is no alias file.
pub(crate) const STAND_IN: &str = "the registry";

/// What moved an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The first version of a model was published.
    Publish,
    /// Somebody promoted a version.
    Promote,
    /// Somebody, or a guard window, took the newest promotion back.
    Rollback,
    /// Somebody pinned the model to the version it stands on: promotions are refused from then on.
    Pin,
    /// Somebody took the pin away.
    Unpin,
    /// A guard window ended and the version stays.
    Keep,
}

impl Action {
    /// The action as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
            Self::Keep => "keep",
        }
    }
}

/// Who changes something, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author<'a> {
    /// Who, e.g. `serve-ctl`.
    pub by: &'a str,
    /// Why, in that person's words.
    pub why: Option<&'a str>,
}

impl<'a> From<&'a str> for Author<'a> {
    fn from(by: &'a str) -> Self {
        Self { by, why: None }
    }
}

/// One move of an alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// When, RFC 3339 UTC.
    pub at: jiff::Timestamp,
    /// What happened.
    pub action: Action,
    /// Where the alias points since.
    pub target: Vec<WeightedVersion>,
    /// Who, e.g. `serve-ctl`.
    pub by: String,
    /// Why, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pointer {
    target: Vec<WeightedVersion>,
    history: Vec<Move>,
}

/// The content of a model's `aliases.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aliases {
    format: u32,
    aliases: BTreeMap<Alias, Pointer>,
}

impl Default for Aliases {
    fn default() -> Self {
        Self { format: FORMAT, aliases: BTreeMap::new() }
    }
}

impl Aliases {
    /// Reads the file's content.
    ///
    /// # Errors
    /// When it is no alias file, or a newer one, or a target is not a list of one version.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        // A newer format has keys that this release does not know, so the format is looked at first.
        let Format { format } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if format != FORMAT {
            return Err(format!("format {format} is not the one this release reads ({FORMAT})"));
        }
        let aliases: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match aliases.aliases.iter().find(|(_, pointer)| pointer.target.len() != 1) {
            Some((alias, pointer)) => {
                let count = pointer.target.len();
                Err(format!("alias {alias} points to {count} versions; this release serves exactly one"))
            }
            None => Ok(aliases),
        }
    }

    /// The file's content.
    ///
    /// # Errors
    /// Never in practice; serialisation's own error type is passed on.
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The version that an alias points to.
    #[must_use]
    pub fn target(&self, alias: &str) -> Option<&ModelVersion> {
        self.aliases.get(alias).and_then(|pointer| pointer.target.first()).map(|target| &target.version)
    }

    /// Every alias and the version it points to.
    pub fn iter(&self) -> impl Iterator<Item = (&Alias, &ModelVersion)> {
        self.aliases.iter().filter_map(|(alias, pointer)| Some((alias, &pointer.target.first()?.version)))
    }

    /// The moves of an alias, oldest first.
    #[must_use]
    pub fn history(&self, alias: &str) -> &[Move] {
        self.aliases.get(alias).map_or(&[], |pointer| &pointer.history)
    }

    /// The versions that an alias has stood on and not been rolled back from, the current one last.
    #[must_use]
    pub fn standing(&self, alias: &str) -> Vec<&ModelVersion> {
        let mut standing: Vec<&ModelVersion> = Vec::new();
        for step in self.history(alias) {
            let Some(WeightedVersion { version, .. }) = step.target.first() else { continue };
            if step.action == Action::Rollback {
                standing.pop();
            }
            if standing.last() != Some(&version) {
                standing.push(version);
            }
        }
        standing
    }

    /// Whether promotions of the model are refused, and since which move.
    #[must_use]
    pub fn pinned(&self) -> Option<&Move> {
        let mut newest_first = self.history("champion").iter().rev();
        let last = newest_first.find(|step| matches!(step.action, Action::Pin | Action::Unpin));
        last.filter(|step| step.action == Action::Pin)
    }

    /// Whether these stand for a file that is not there.
    pub(crate) fn stand_in(&self) -> bool {
        self.revision() == 1 && self.history("champion").first().is_some_and(|step| step.by == STAND_IN)
    }

    /// Whether every move of `earlier` is one of these too, in the same place.
    pub(crate) fn continue_from(&self, earlier: &Self) -> bool {
        earlier
            .aliases
            .iter()
            .all(|(alias, pointer)| self.history(alias.as_str()).starts_with(&pointer.history))
    }

    /// The number of moves of all aliases, which grows with every change.
    #[must_use]
    pub fn revision(&self) -> usize {
        self.aliases.values().map(|pointer| pointer.history.len()).sum()
    }

    /// When an alias was last moved.
    #[must_use]
    pub fn moved_at(&self, alias: &str) -> Option<jiff::Timestamp> {
        self.history(alias).last().map(|step| step.at)
    }

    /// Points an alias to a version and records it.
    pub fn point(
        &mut self,
        alias: &Alias,
        version: &ModelVersion,
        action: Action,
        author: Author<'_>,
        at: jiff::Timestamp,
    ) {
        let target = vec![WeightedVersion { version: version.clone(), weight: 1.0 }];
        let (by, why) = (author.by.to_owned(), author.why.map(str::to_owned));
        let step = Move { at, action, target: target.clone(), by, why };
        let empty = || Pointer { target: Vec::new(), history: Vec::new() };
        let pointer = self.aliases.entry(alias.clone()).or_insert_with(empty);
        pointer.target = target;
        pointer.history.push(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases(steps: &[(&str, Action)]) -> Aliases {
        let mut aliases = Aliases::default();
        for (version, action) in steps {
            let version = version.parse().expect("a version");
            aliases.point(&Alias::champion(), &version, *action, "test".into(), jiff::Timestamp::UNIX_EPOCH);
        }
        aliases
    }

    #[test]
    fn rolling_back_twice_goes_two_versions_back() {
        use Action::{Promote, Publish, Rollback};
        let twice =
            aliases(&[("v1", Publish), ("v2", Promote), ("v3", Promote), ("v2", Rollback), ("v1", Rollback)]);
        assert_eq!(twice.standing("champion").iter().map(|v| v.as_str()).collect::<Vec<_>>(), ["v1"]);
        let again = aliases(&[("v1", Publish), ("v2", Promote), ("v1", Rollback), ("v3", Promote)]);
        assert_eq!(again.standing("champion").iter().map(|v| v.as_str()).collect::<Vec<_>>(), ["v1", "v3"]);
    }

    #[test]
    fn a_pin_holds_until_it_is_taken_away_and_is_no_promotion() {
        use Action::{Keep, Pin, Promote, Publish, Unpin};
        let pinned = aliases(&[("v1", Publish), ("v2", Promote), ("v2", Keep), ("v2", Pin)]);
        assert_eq!(pinned.pinned().map(|step| step.action), Some(Pin));
        assert_eq!(pinned.standing("champion").iter().map(|v| v.as_str()).collect::<Vec<_>>(), ["v1", "v2"]);
        assert_eq!(aliases(&[("v1", Publish), ("v1", Pin), ("v1", Unpin)]).pinned(), None);
    }

    #[test]
    fn the_file_comes_back_and_what_is_newer_is_refused() {
        let before = aliases(&[("v1", Action::Publish)]);
        let bytes = before.write().expect("serialises");
        assert_eq!(Aliases::read(&bytes), Ok(before));
        let newer = String::from_utf8(bytes).expect("text").replace("\"format\": 1", "\"format\": 2");
        let error = Aliases::read(newer.as_bytes()).expect_err("refused");
        assert_eq!(error, "format 2 is not the one this release reads (1)");
        assert_eq!(Aliases::read(br#"{"format":2,"canaries":{}}"#), Err(error));
        assert!(Aliases::read(b"{\"format\":1").is_err());
    }
}
