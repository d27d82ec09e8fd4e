//! What versions are going through, for those who look on. Nothing on the serving path reads it.
//!
//! `loading → verifying → warming → live → draining → retired`; from any of the first three to `refused`. A version that
//! nothing was done with is `available`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serve_core::{ModelName, ModelVersion};

/// What a version is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionState {
    /// Published, and loaded when it is first asked for.
    Available,
    /// Its files are being read, each held against its digest.
    Loading,
    /// Its golden rows are being answered for the first time.
    Verifying,
    /// Its golden rows are being answered again, to fill caches.
    Warming,
    /// Proven, warmed, answering.
    Live,
    /// Replaced or evicted; its last requests are being answered.
    Draining,
    /// Freed.
    Retired,
    /// It failed its proof or did not load.
    Refused,
}

impl VersionState {
    /// The state as it is written in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Loading => "loading",
            Self::Verifying => "verifying",
            Self::Warming => "warming",
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Retired => "retired",
            Self::Refused => "refused",
        }
    }
}

/// Why a version may not serve.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The reason, with every cause.
    pub reason: Arc<str>,
    /// When it was refused.
    pub at: jiff::Timestamp,
}

/// What a version went through since it was last loaded.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// The states, each with the time when it began, oldest first.
    pub steps: Vec<(VersionState, jiff::Timestamp)>,
    /// The last failure, also one of an earlier attempt.
    pub failure: Option<Refusal>,
}

impl Lifecycle {
    /// What the version is doing now.
    #[must_use]
    pub fn state(&self) -> VersionState {
        self.steps.last().map_or(VersionState::Available, |(state, _)| *state)
    }
}

type Key = (ModelName, ModelVersion);

/// The lifecycles of all versions that something was done with.
#[derive(Debug, Default)]
pub(crate) struct Lifecycles(Mutex<HashMap<Key, Lifecycle>>);

impl Lifecycles {
    /// Notes that a version begins something. Loading begins a new life.
    pub(crate) fn enter(&self, key: &Key, state: VersionState) {
        let mut all = self.all();
        let lifecycle = all.entry(key.clone()).or_default();
        if state == VersionState::Loading {
            lifecycle.steps.clear();
        }
        lifecycle.steps.push((state, jiff::Timestamp::now()));
    }

    pub(crate) fn fail(&self, key: &Key, refusal: Refusal) {
        self.all().entry(key.clone()).or_default().failure = Some(refusal);
        self.enter(key, VersionState::Refused);
    }

    /// Notes that a version that was draining is freed. One that was loaded again meanwhile has another life.
    pub(crate) fn retired(&self, key: &Key) {
        let mut all = self.all();
        let draining = all.get_mut(key).filter(|lifecycle| lifecycle.state() == VersionState::Draining);
        if let Some(lifecycle) = draining {
            lifecycle.steps.push((VersionState::Retired, jiff::Timestamp::now()));
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Lifecycle> {
        self.all().get(key).cloned()
    }

    /// Forgets the versions of a model that are neither there nor under way.
    pub(crate) fn forget(&self, name: &ModelName, versions: &[ModelVersion]) {
        self.all().retain(|key, lifecycle| {
            key.0 != *name || versions.contains(&key.1) || lifecycle.state() == VersionState::Draining
        });
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, Lifecycle>> {
        // A panic while the lock is held cannot leave a list of times half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
