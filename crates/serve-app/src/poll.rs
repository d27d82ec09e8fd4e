//! Follows the registry's folder: what somebody else publishes or promotes there is noticed and served.

use std::sync::Arc;
use std::time::Duration;

use serve_registry::{Registry, ReloadOutcome, ReloadStatus};
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// Reads the folder again every `period`, until the handle is aborted.
pub fn follow(registry: Arc<Registry>, period: Duration) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lost = false;
        loop {
            tokio::time::sleep(period).await;
            let polled = Arc::clone(&registry);
            match tokio::task::spawn_blocking(move || polled.poll()).await {
                Ok(Ok(outcomes)) => {
                    outcomes.iter().for_each(log);
                    lost = false;
                }
                // Told once, not every few seconds; what is loaded serves on.
                Ok(Err(error)) if !lost => {
                    warn!(%error, "the registry cannot be read; what is loaded goes on serving");
                    lost = true;
                }
                Ok(Err(_)) => {}
                Err(_) => return,
            }
        }
    })
}

/// Writes what a reload did to the log.
pub fn log(outcome: &ReloadOutcome) {
    let version = |version: &Option<serve_core::ModelVersion>| version.as_ref().map(ToString::to_string);
    let (model, from, to) = (outcome.name.as_str(), version(&outcome.from), version(&outcome.to));
    match outcome.status {
        ReloadStatus::Refused => {
            warn!(model, from, to, reason = outcome.reason.as_deref(), "version refused");
        }
        ReloadStatus::Unchanged => {}
        status => info!(model, from, to, status = status.as_str(), "model reloaded"),
    }
}
