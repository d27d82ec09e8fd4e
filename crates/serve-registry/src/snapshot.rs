//! What one model serves at one moment: immutable, replaced as a whole. A request looks at exactly one snapshot, so it
//! never sees two versions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serve_core::{Alias, ModelName, ModelVersion, Selector};

use crate::aliases::Aliases;
use crate::deployment::Deployment;
use crate::lifecycle::{Refusal, VersionState};
use crate::summary::VersionSummary;

/// A published version.
#[derive(Debug, Clone)]
pub struct Published {
    /// The version.
    pub version: ModelVersion,
    /// Its description in short, where it reads.
    pub summary: Option<Arc<VersionSummary>>,
}

/// Where an alias leads.
#[derive(Debug, Clone)]
pub struct Pointing {
    /// The version that the alias file names.
    pub target: ModelVersion,
    /// The version that answers, once it is loaded; another one where the target is refused and an earlier one is not.
    pub serving: Option<ModelVersion>,
    /// Its deployment, where it is loaded.
    pub(crate) deployment: Option<Arc<Deployment>>,
}

impl Pointing {
    pub(crate) fn new(target: ModelVersion, serving: Option<ModelVersion>) -> Self {
        Self { target, serving, deployment: None }
    }

    /// Whether another version answers than the one the alias names.
    #[must_use]
    pub fn degraded(&self) -> bool {
        self.serving.as_ref() != Some(&self.target)
    }

    /// What answers, where it is loaded.
    #[must_use]
    pub fn deployment(&self) -> Option<&Arc<Deployment>> {
        self.deployment.as_ref()
    }
}

/// One model at one moment.
#[derive(Debug, Clone)]
pub struct ModelSnapshot {
    /// The model.
    pub name: ModelName,
    /// Every published version, oldest first.
    pub versions: Vec<Published>,
    /// The aliases as their file has them, with their history.
    pub aliases: Aliases,
    /// Where each alias leads.
    pub pointing: BTreeMap<Alias, Pointing>,
    /// What is loaded.
    pub deployments: HashMap<ModelVersion, Arc<Deployment>>,
    /// What may not serve.
    pub refused: HashMap<ModelVersion, Refusal>,
    /// Why the folder is not followed now, where it cannot be read; what was served before is served on.
    pub problem: Option<Arc<str>>,
    /// The version that stays loaded beside the champion while a guard window compares the two.
    pub(crate) guarded: Option<ModelVersion>,
    /// A hash of what the folder looked like when it was read, where that can be told.
    pub(crate) stamp: Option<u64>,
}

/// Which version a selector means, before it is known whether it is loaded.
#[derive(Debug)]
pub(crate) enum Resolution {
    Ready(Arc<Deployment>),
    NotLoaded(ModelVersion),
    Refused(ModelVersion, Refusal),
    UnknownAlias(Alias),
    UnknownVersion(ModelVersion),
    /// There may be such an alias or version, but the folder cannot be read.
    Unreadable(Arc<str>),
    /// The selector is understood and means no version, for this reason.
    Nothing(&'static str),
}

impl ModelSnapshot {
    pub(crate) fn empty(name: ModelName) -> Self {
        Self {
            name,
            versions: Vec::new(),
            aliases: Aliases::default(),
            pointing: BTreeMap::new(),
            deployments: HashMap::new(),
            refused: HashMap::new(),
            problem: None,
            guarded: None,
            stamp: None,
        }
    }

    /// The same with what each alias leads to looked up. Every snapshot is sealed before it is published.
    pub(crate) fn sealed(mut self) -> Self {
        for pointing in self.pointing.values_mut() {
            let serving = pointing.serving.as_ref();
            pointing.deployment = serving.and_then(|version| self.deployments.get(version)).cloned();
        }
        self
    }

    /// Whether an alias leads to a version.
    pub(crate) fn serves(&self, version: &ModelVersion) -> bool {
        self.pointing.values().any(|pointing| pointing.serving.as_ref() == Some(version))
    }

    /// How many references to a deployment a sealed snapshot holds.
    pub(crate) fn references(&self, version: &ModelVersion) -> usize {
        let leading = self.pointing.values().filter(|pointing| pointing.serving.as_ref() == Some(version));
        leading.count() + usize::from(self.deployments.contains_key(version))
    }

    /// Which version answers an alias whose target may not: the one that answers now, else the newest earlier target, of
    /// those that are there and not refused.
    pub(crate) fn fallback(&self, alias: &Alias, aliases: &Aliases) -> Option<ModelVersion> {
        let target = aliases.target(alias.as_str());
        let now = self.pointing.get(alias).and_then(|pointing| pointing.serving.as_ref());
        let mut candidates = now.into_iter().chain(aliases.standing(alias.as_str()).into_iter().rev());
        let found = candidates.find(|version| {
            let there = self.deployments.contains_key(*version) || self.has(version);
            Some(*version) != target && there && !self.refused.contains_key(*version)
        });
        found.cloned()
    }

    /// Whether a version is published.
    pub(crate) fn has(&self, version: &ModelVersion) -> bool {
        self.versions.iter().any(|published| published.version == *version)
    }

    /// The champion's version that answers.
    #[must_use]
    pub fn champion(&self) -> Option<&ModelVersion> {
        self.pointing.get("champion").and_then(|pointing| pointing.serving.as_ref())
    }

    /// The champion's deployment.
    #[must_use]
    pub fn champion_deployment(&self) -> Option<&Arc<Deployment>> {
        self.champion().and_then(|version| self.deployments.get(version))
    }

    /// What describes the model in short: the champion's summary, or the newest one that reads.
    #[must_use]
    pub fn summary(&self) -> Option<&Arc<VersionSummary>> {
        let champion = self.champion().and_then(|version| self.summary_of(version));
        champion.or_else(|| self.versions.iter().rev().find_map(|published| published.summary.as_ref()))
    }

    /// A version's summary, where its manifest reads.
    #[must_use]
    pub fn summary_of(&self, version: &ModelVersion) -> Option<&Arc<VersionSummary>> {
        self.versions.iter().find(|published| published.version == *version)?.summary.as_ref()
    }

    /// What a version is doing.
    #[must_use]
    pub fn state(&self, version: &ModelVersion) -> VersionState {
        if self.deployments.contains_key(version) {
            VersionState::Live
        } else if self.refused.contains_key(version) {
            VersionState::Refused
        } else {
            VersionState::Available
        }
    }

    /// The version that the champion replaced and a rollback would bring back.
    #[must_use]
    pub fn previous(&self) -> Option<&ModelVersion> {
        let standing = self.aliases.standing("champion");
        standing.len().checked_sub(2).map(|at| standing[at])
    }

    /// The version with the best held-out value of the metric that the model's manifest names, in the direction and
    /// measured on as many rows as it says; of equally good ones the newest.
    #[must_use]
    pub fn best(&self) -> Option<&ModelVersion> {
        let named = &self.summary()?.metrics;
        let primary = named.primary.as_deref()?;
        let (direction, min_rows) = (named.direction(), named.min_rows());
        let candidates =
            self.versions.iter().filter(|published| !self.refused.contains_key(&published.version));
        let scored = candidates.filter_map(|published| {
            let metrics = &published.summary.as_ref()?.metrics;
            let enough = metrics.holdout_rows.is_some_and(|rows| rows >= min_rows);
            let value = *metrics.holdout.get(primary).filter(|_| enough)?;
            Some((value, &published.version))
        });
        // Oldest first, so that a later one takes its place unless it is worse.
        let best =
            scored.reduce(|best, other| if direction.is_better(best.0, other.0) { best } else { other });
        best.map(|(_, version)| version)
    }

    fn latest(&self) -> Option<&ModelVersion> {
        let ready =
            self.versions.iter().rev().find(|published| !self.refused.contains_key(&published.version));
        ready.map(|published| &published.version)
    }

    pub(crate) fn resolve(&self, selector: &Selector) -> Resolution {
        match selector {
            Selector::Alias(alias) => match self.pointing.get(alias) {
                Some(Pointing { deployment: Some(deployment), .. }) => {
                    Resolution::Ready(Arc::clone(deployment))
                }
                Some(Pointing { serving: Some(version), .. }) => self.version(version),
                Some(pointing) => self.version(&pointing.target),
                None => self.unknown(|| Resolution::UnknownAlias(alias.clone())),
            },
            Selector::Version(version) => self.version(version),
            Selector::Latest => self.found(self.latest(), "every version is refused"),
            Selector::Previous => self.found(self.previous(), "the champion replaced no version"),
            Selector::Best => {
                self.found(self.best(), "no version has a primary metric measured on enough held-out rows")
            }
            _ => Resolution::Nothing("this release does not know the selector"),
        }
    }

    fn found(&self, version: Option<&ModelVersion>, otherwise: &'static str) -> Resolution {
        version.map_or(Resolution::Nothing(otherwise), |version| self.version(version))
    }

    fn version(&self, version: &ModelVersion) -> Resolution {
        if let Some(deployment) = self.deployments.get(version) {
            Resolution::Ready(Arc::clone(deployment))
        } else if let Some(refusal) = self.refused.get(version) {
            Resolution::Refused(version.clone(), refusal.clone())
        } else if self.has(version) {
            Resolution::NotLoaded(version.clone())
        } else {
            self.unknown(|| Resolution::UnknownVersion(version.clone()))
        }
    }

    fn unknown(&self, otherwise: impl FnOnce() -> Resolution) -> Resolution {
        self.problem.clone().map_or_else(otherwise, Resolution::Unreadable)
    }
}
