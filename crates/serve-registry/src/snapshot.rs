//! What one model serves at one moment: immutable, replaced as a whole. A request looks at exactly one snapshot, so it
//! never sees two versions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serve_core::{Alias, Manifest, ModelName, ModelVersion, Selector};

use crate::aliases::Aliases;
use crate::deployment::Deployment;

/// Fewer held-out rows than this say nothing about which version is best.
const MIN_HOLDOUT_ROWS: u64 = 30;

/// Metrics of which less is better; of all others, more is.
const LESS_IS_BETTER: [&str; 6] = ["log_loss", "brier", "rmse", "mse", "mae", "mape"];

/// A published version.
#[derive(Debug, Clone)]
pub struct Published {
    /// The version.
    pub version: ModelVersion,
    /// Its description, where it reads.
    pub manifest: Option<Arc<Manifest>>,
}

/// Why a version may not serve.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The reason, with every cause.
    pub reason: Arc<str>,
    /// When it was refused.
    pub at: jiff::Timestamp,
}

/// What a version is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionState {
    /// Published, and loaded when it is first asked for.
    Available,
    /// Proven, warmed, answering.
    Live,
    /// It failed its proof or did not load.
    Refused,
}

impl VersionState {
    /// The state as it is written in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Live => "live",
            Self::Refused => "refused",
        }
    }
}

/// Where an alias leads.
#[derive(Debug, Clone)]
pub struct Pointing {
    /// The version that the alias file names.
    pub target: ModelVersion,
    /// The version that answers; another one where the target is refused and an earlier one proves.
    pub serving: Option<ModelVersion>,
}

impl Pointing {
    /// Whether another version answers than the one the alias names.
    #[must_use]
    pub fn degraded(&self) -> bool {
        self.serving.as_ref() != Some(&self.target)
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
        }
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

    /// The manifest that describes the model: the champion's, or the newest one that reads.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        let champion = self.champion_deployment().map(|deployment| deployment.manifest());
        champion.or_else(|| self.versions.iter().rev().find_map(|published| published.manifest.as_deref()))
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

    /// The version with the best held-out value of the metric that the model's manifest names.
    #[must_use]
    pub fn best(&self) -> Option<&ModelVersion> {
        let primary = self.manifest()?.metrics.primary.as_deref()?;
        let sign = if LESS_IS_BETTER.contains(&primary) { -1.0 } else { 1.0 };
        let candidates =
            self.versions.iter().filter(|published| !self.refused.contains_key(&published.version));
        let scored = candidates.filter_map(|published| {
            let metrics = &published.manifest.as_ref()?.metrics;
            let enough = metrics.holdout_rows.is_some_and(|rows| rows >= MIN_HOLDOUT_ROWS);
            let value = metrics.holdout.get(primary).filter(|_| enough)?;
            Some((sign * value, &published.version))
        });
        scored.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1))).map(|(_, version)| version)
    }

    fn latest(&self) -> Option<&ModelVersion> {
        let ready =
            self.versions.iter().rev().find(|published| !self.refused.contains_key(&published.version));
        ready.map(|published| &published.version)
    }

    pub(crate) fn resolve(&self, selector: &Selector) -> Resolution {
        match selector {
            Selector::Alias(alias) => match self.pointing.get(alias) {
                Some(Pointing { serving: Some(version), .. }) => self.version(version),
                Some(pointing) => self.version(&pointing.target),
                None => self.unknown(|| Resolution::UnknownAlias(alias.clone())),
            },
            Selector::Version(version) => self.version(version),
            Selector::Latest => self.found(self.latest(), "every version is refused"),
            Selector::Previous => self.found(self.previous(), "the champion replaced no version"),
            Selector::Best => self
                .found(self.best(), "no version has a primary metric measured on at least 30 held-out rows"),
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
        } else if self.versions.iter().any(|published| published.version == *version) {
            Resolution::NotLoaded(version.clone())
        } else {
            self.unknown(|| Resolution::UnknownVersion(version.clone()))
        }
    }

    fn unknown(&self, otherwise: impl FnOnce() -> Resolution) -> Resolution {
        self.problem.clone().map_or_else(otherwise, Resolution::Unreadable)
    }
}
