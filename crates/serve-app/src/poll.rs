//! Follows the registry: what somebody else publishes or promotes there is noticed and served.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serve_registry::{Registry, ReloadOutcome, ReloadStatus, StorageError, jitter};
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::watch::{Watch, WatchError};

/// How far a pause between two polls may be from the period, so that many servers do not ask at once.
const SHARE: f64 = 0.2;

/// How long is waited after a change for those that come with it.
const SETTLE: Duration = Duration::from_millis(50);

/// After a poll that a change caused, this many times its duration pass before the next change is looked at: a publisher
/// that writes for minutes costs a tenth of a core at most.
const REST: u32 = 9;

/// Reads the registry again about every `period`, and, where it is a folder that can be watched, soon after a change in
/// it; until the handle is aborted.
pub fn follow(registry: Arc<Registry>, period: Duration, folder: Option<PathBuf>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut changes = Changes { watch: None, told: None, not_before: Instant::now() };
        if let Some(folder) = folder {
            changes.start(folder, period).await;
        }
        // What changed between reading the registry and watching it is read at once.
        let mut pause = if changes.watch.is_some() { Duration::ZERO } else { jitter::around(period, SHARE) };
        let mut lost = false;
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = changes.settled() => {}
            }
            pause = jitter::around(period, SHARE);
            let Some(polled) = changes.poll(Arc::clone(&registry), period).await else { return };
            match polled {
                Ok(outcomes) => {
                    outcomes.iter().for_each(log);
                    lost = false;
                }
                // Told once, not every few seconds; what is loaded serves on.
                Err(error) if !lost => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the registry cannot be read; what is loaded goes on serving"
                    );
                    lost = true;
                }
                Err(_) => {}
            }
        }
    })
}

/// Changes in a folder, as far as they are told.
struct Changes {
    watch: Option<Watch>,
    told: Option<Receiver<()>>,
    not_before: Instant,
}

impl Changes {
    async fn start(&mut self, folder: PathBuf, period: Duration) {
        match spawn_blocking(move || Watch::start(&folder)).await {
            Ok(Ok((watch, told))) => {
                (self.watch, self.told) = (Some(watch), Some(told));
            }
            Ok(Err(error)) => warn_unwatched(&error, period),
            Err(_) => {}
        }
    }

    /// Completes soon after a change.
    async fn settled(&mut self) {
        let Some(told) = &mut self.told else { return std::future::pending().await };
        if told.recv().await.is_none() {
            return std::future::pending().await;
        }
        sleep(SETTLE).await;
        sleep_until(self.not_before).await;
        while told.try_recv().is_ok() {}
    }

    /// Reads the registry, with new folders watched before; `None` where the program ends.
    async fn poll(
        &mut self,
        registry: Arc<Registry>,
        period: Duration,
    ) -> Option<Result<Vec<ReloadOutcome>, StorageError>> {
        let watch = self.watch.take();
        let polling = spawn_blocking(move || {
            let renewed = watch.map(|mut watch| watch.renew().map(|()| watch));
            let start = Instant::now();
            (renewed, registry.poll(), start.elapsed())
        });
        let (renewed, polled, took) = polling.await.ok()?;
        self.watch = match renewed.transpose() {
            Ok(watch) => watch,
            Err(error) => {
                warn_unwatched(&error, period);
                self.told = None;
                None
            }
        };
        self.not_before = Instant::now() + (took * REST).min(period);
        Some(polled)
    }
}

fn warn_unwatched(error: &WatchError, period: Duration) {
    warn!(%error, ?period, "the registry's folder is not watched; changes are noticed by polling");
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
