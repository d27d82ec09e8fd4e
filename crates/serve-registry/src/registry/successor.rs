//! The snapshot of a model that follows another: which versions its aliases lead to and serve, what stays loaded, and which
//! refusals still hold.

use std::collections::HashMap;
use std::sync::Arc;

use serve_core::ModelVersion;
use serve_core::words::with_causes;

use super::Shared;
use super::follow::How;
use super::publication::Writer;
use super::reading::Reading;
use crate::aliases::{Action, Aliases};
use crate::deployment::Deployment;
use crate::snapshot::{ModelSnapshot, Pointing, Published};
use crate::storage::Fingerprint;

impl Shared {
    /// The snapshot that follows `current` when this was read. Where the folder cannot be read, everything stays as it was,
    /// with the problem noted.
    pub(super) fn compose(
        &self,
        current: &ModelSnapshot,
        reading: Reading,
        writer: &mut Writer,
        how: How,
    ) -> ModelSnapshot {
        let Reading { versions, aliases, stamp, .. } = reading;
        match aliases {
            Ok(aliases) => {
                let next = self.next_snapshot(current, versions, aliases, writer, how == How::Reload);
                ModelSnapshot { stamp, ..next }
            }
            Err(error) => {
                let problem = Some(Arc::from(with_causes(&error)));
                ModelSnapshot { versions, problem, ..current.clone() }
            }
        }
    }

    /// The snapshot that follows `current` with these versions and aliases. What was loaded for an alias that has left it
    /// goes, unless it was also asked for by name, stays for a guard window, or was loaded for an alias that is about to
    /// move.
    pub(super) fn next_snapshot(
        &self,
        current: &ModelSnapshot,
        versions: Vec<Published>,
        aliases: Aliases,
        writer: &mut Writer,
        retry: bool,
    ) -> ModelSnapshot {
        let mut next = ModelSnapshot {
            versions,
            deployments: current.deployments.clone(),
            refused: current.refused.clone(),
            pointing: current.pointing.clone(),
            ..ModelSnapshot::empty(current.name.clone())
        };
        self.forget_refusals(&mut next, &aliases, writer, retry);
        let mut pointing = HashMap::new();
        for (alias, target) in aliases.iter() {
            let ready = next.deployments.contains_key(target);
            let serves = current.pointing.get(alias).is_some_and(|now| now.deployment().is_some());
            // What serves is left only for what is proven.
            let follows = ready || (!serves && !next.refused.contains_key(target));
            let serving = if follows { Some(target.clone()) } else { next.fallback(alias, &aliases) };
            pointing.insert(alias.clone(), Pointing::new(target.clone(), serving));
        }
        next.pointing = pointing.into_iter().collect();
        next.guarded = self.kept_for_guard(current, &next, &aliases);
        let kept = |version: &ModelVersion, deployment: &Deployment, next: &ModelSnapshot| {
            let asked = deployment.was_asked_for() && next.has(version);
            let guarded = next.guarded.as_ref() == Some(version);
            asked || guarded || next.serves(version) || self.loads.is_swapping(&next.name, version)
        };
        let deployments = std::mem::take(&mut next.deployments);
        next.deployments = deployments
            .into_iter()
            .filter(|(version, deployment)| kept(version, deployment, &next))
            .collect();
        next.aliases = aliases;
        let there: Vec<_> = next.versions.iter().map(|published| published.version.clone()).collect();
        self.lifecycles.forget(&next.name, &there);
        next
    }

    /// Drops the refusals that are no longer true: of versions that are gone or look otherwise, and where `retry` of those
    /// that no alias leads to, which are tried again when they are next asked for.
    fn forget_refusals(&self, next: &mut ModelSnapshot, aliases: &Aliases, writer: &mut Writer, retry: bool) {
        let ModelSnapshot { name, versions, refused, deployments, .. } = next;
        refused.retain(|version, _| {
            let target = aliases.iter().any(|(_, target)| target == version);
            let there = versions.iter().any(|published| published.version == *version);
            let same = || {
                let seen = writer.seen_refused.get(&(name.clone(), version.clone()));
                seen.is_some_and(|seen| *seen == self.storage.fingerprint(name, version))
            };
            !deployments.contains_key(version) && (target || there) && (target || !retry) && same()
        });
        writer.seen_refused.retain(|key, _| key.0 != *name || refused.contains_key(&key.1));
    }

    /// Whether a refused version's files are still those that were refused.
    pub(super) fn is_as_refused(&self, old: &ModelSnapshot, version: &ModelVersion) -> bool {
        if !old.refused.contains_key(version) {
            return false;
        }
        let seen = self.writer().seen_refused.get(&(old.name.clone(), version.clone())).cloned();
        seen.is_some_and(|seen| seen == self.fingerprint(old, version))
    }

    fn fingerprint(&self, snapshot: &ModelSnapshot, version: &ModelVersion) -> Fingerprint {
        self.storage.fingerprint(&snapshot.name, version)
    }

    /// The version that stays loaded beside a new champion while a guard window compares the two.
    fn kept_for_guard(
        &self,
        current: &ModelSnapshot,
        next: &ModelSnapshot,
        aliases: &Aliases,
    ) -> Option<ModelVersion> {
        let (from, to) = (current.champion()?, next.champion()?);
        if from == to {
            return current.guarded.clone();
        }
        let promoted = aliases.history("champion").last().is_some_and(|step| step.action == Action::Promote);
        let both = current.champion_deployment().is_some() && next.deployments.contains_key(to);
        let on = self.options.guard_of(&next.name).is_on();
        (promoted && both && on).then(|| from.clone())
    }
}
