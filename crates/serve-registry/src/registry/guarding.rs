//! Guard windows: opened when a champion is promoted over another, judged on a thread of their own, and closed by whatever
//! moves the champion next.

use std::sync::{Arc, Weak};

use serve_core::{Alias, ModelName, ModelVersion};

use super::change::PromoteError;
use super::{Registry, Shared};
use crate::aliases::{Action, Aliases, Author};
use crate::deployment::Deployment;
use crate::guard::{Guard, Verdict};
use crate::snapshot::ModelSnapshot;

/// Who takes a champion back, or keeps it, in the history.
const BY: &str = "guard";

/// The versions of a window.
struct Window {
    name: ModelName,
    old: ModelVersion,
    new: ModelVersion,
}

impl Registry {
    /// The open guard window of a model's champion, if there is one.
    #[must_use]
    pub fn guard(&self, name: &str) -> Option<Arc<Guard>> {
        self.model(name)?.champion_deployment()?.guard()
    }
}

impl Shared {
    /// Closes the window of the champion that was replaced, if one was, and opens one where the new snapshot asks for it.
    pub(super) fn swapped(self: &Shared, before: Option<&Arc<Deployment>>, snapshot: &ModelSnapshot) {
        let now = snapshot.champion_deployment();
        let (Some(before), Some(now)) = (before, now) else { return };
        if Arc::ptr_eq(before, now) {
            return;
        }
        if let Some(guard) = before.guard() {
            guard.close();
        }
        let kept = snapshot.guarded.as_ref() == Some(&before.manifest().version);
        if kept {
            self.open_window(&snapshot.name, before, now);
        }
    }

    fn open_window(&self, name: &ModelName, old: &Arc<Deployment>, new: &Arc<Deployment>) {
        let window = Window {
            name: name.clone(),
            old: old.manifest().version.clone(),
            new: new.manifest().version.clone(),
        };
        let shared: Weak<Self> = self.this.clone();
        let told = move |verdict: Verdict| {
            if let Some(shared) = shared.upgrade() {
                shared.judged(&window, &verdict);
            }
        };
        let config = self.options.guard_of(name);
        match Guard::start(config, old, new, Box::new(told)) {
            Ok(guard) => new.watch(Some(guard)),
            // Without a thread there is no window; the old version need not wait for it.
            Err(_) => self.release(name, &old.manifest().version),
        }
    }

    fn judged(&self, window: &Window, verdict: &Verdict) {
        let why = verdict.to_string();
        let author = Author { by: BY, why: Some(&why) };
        let still = |aliases: &Aliases| match aliases.target("champion") {
            Some(target) if *target == window.new => Ok(()),
            _ => Err(PromoteError::Moved { name: window.name.clone(), version: window.new.clone() }),
        };
        // Where the history cannot be written the champion stays as it is; the storage's trouble is seen at the next poll.
        if let Verdict::Breach { .. } = verdict {
            let back = |aliases: &Aliases| still(aliases).map(|()| window.old.clone());
            drop(self.move_alias(&window.name, &Alias::champion(), Action::Rollback, author, &back));
        } else {
            drop(self.note(&window.name, Action::Keep, author, &still));
        }
        self.release(&window.name, &window.old);
    }

    /// Lets the version go that stayed for a window.
    fn release(&self, name: &ModelName, old: &ModelVersion) {
        let mut writer = self.writer();
        let Some(current) = self.snapshot(name).filter(|now| now.guarded.as_ref() == Some(old)) else {
            return;
        };
        let mut next = (*current).clone();
        next.guarded = None;
        let asked = next.deployments.get(old).is_some_and(|deployment| deployment.was_asked_for());
        if !next.serves(old) && !asked {
            next.deployments.remove(old);
        }
        self.publish_snapshot(&mut writer, next);
    }
}
