//! A rehearsal: what a reload would do. Everything is read and proven as it would be, and nothing is published.

use serve_core::ModelName;
use serve_core::words::with_causes;

use super::Shared;
use super::outcome::{ReloadOutcome, ReloadStatus, outcome};
use super::reading::Reading;
use crate::deployment::Deployment;
use crate::storage::StorageError;

impl Shared {
    pub(super) fn rehearse(&self, only: Option<&ModelName>) -> Result<Vec<ReloadOutcome>, StorageError> {
        let present = self.storage.models()?;
        if let Some(name) = only.filter(|name| present.binary_search(name).is_err()) {
            return Err(StorageError::UnknownModel { name: name.clone() });
        }
        let wanted: Vec<_> =
            present.iter().filter(|name| only.is_none_or(|only| only == *name)).cloned().collect();
        let readings = self.read_all(&wanted, false);
        let mut outcomes: Vec<_> = readings.iter().map(|reading| self.rehearse_model(reading)).collect();
        for gone in self.catalog.load().models.keys().filter(|name| present.binary_search(name).is_err()) {
            let from = self.snapshot(gone).and_then(|old| old.champion().cloned());
            outcomes.push(outcome(gone, from, None, ReloadStatus::Removed, None));
        }
        outcomes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(outcomes)
    }

    fn rehearse_model(&self, reading: &Reading) -> ReloadOutcome {
        let (name, from) = (&reading.old.name, reading.old.champion().cloned());
        let target = match &reading.aliases {
            Ok(aliases) => aliases.target("champion").cloned(),
            Err(error) => {
                let told = Some(with_causes(error).into());
                return outcome(name, from.clone(), from, ReloadStatus::Refused, told);
            }
        };
        let Some(target) = target else { return outcome(name, from, None, ReloadStatus::Unchanged, None) };
        if reading.old.deployments.contains_key(&target) {
            let same = from.as_ref() == Some(&target);
            let status = if same { ReloadStatus::Unchanged } else { ReloadStatus::Swapped };
            return outcome(name, from, Some(target), status, None);
        }
        match Deployment::load(&*self.storage, &*self.loader, name, &target) {
            Err(error) => outcome(name, from.clone(), from, ReloadStatus::Refused, Some(error.reason)),
            Ok(_) if from.as_ref() == Some(&target) => {
                outcome(name, from, Some(target), ReloadStatus::Unchanged, None)
            }
            Ok(_) => {
                let status = if from.is_none() { ReloadStatus::Loaded } else { ReloadStatus::Swapped };
                outcome(name, from, Some(target), status, None)
            }
        }
    }
}
