//! Reads the configuration again at SIGHUP and when a file that it is made of has changed. What can change while the server
//! runs does; of the rest it is said that it waits for the next start. A configuration with a mistake changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use serve_app::config::changes;
use serve_app::log::{Log, RELOADS};
use serve_app::reload::{Files, PERIOD};
use serve_app::{ConfigError, Exit, ExitReason, Layers, Mistake, Service};
use serve_http::tls::Tls;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::args::Args;
use crate::config::ServerConfig;

/// Settings, or all of a section's or group's, that change while the server runs.
const LIVE: [&str; 8] = [
    "auth",
    "limits.max_in_flight",
    "limits.queue",
    "limits.batch_rows",
    "limits.per_model",
    "limits.models",
    "log.level",
    "log.payloads",
];

/// What a reload needs.
pub(crate) struct Reloading {
    pub(crate) args: Args,
    /// What stands under the configuration's file.
    pub(crate) base: Layers,
    pub(crate) log: Log,
    pub(crate) service: Arc<Service>,
    pub(crate) tls: Option<Arc<Tls>>,
    /// What works now.
    pub(crate) config: ServerConfig,
}

impl Reloading {
    /// Hears SIGHUP from now on, and looks at files every [`PERIOD`].
    pub(crate) fn follow(self) -> Result<JoinHandle<()>, Exit> {
        let hangup =
            signal(SignalKind::hangup()).map_err(|error| Exit::because(ExitReason::System, error))?;
        Ok(tokio::spawn(self.run(hangup)))
    }

    async fn run(self, mut hangup: Signal) {
        let started = shown(&self.config);
        let mut state = (self, started);
        let mut files = Files::new(state.0.files());
        let mut settling = false;
        loop {
            tokio::select! {
                told = hangup.recv() => if told.is_none() { return },
                () = tokio::time::sleep(PERIOD) => {
                    // A file that is still being written is read once it rests.
                    let changed = files.changed();
                    let rests = settling && !changed;
                    settling = changed || settling && !rests;
                    if !rests {
                        continue;
                    }
                }
            }
            files.changed();
            // Reading files blocks.
            let read = tokio::task::spawn_blocking(move || {
                let (mut reloading, started) = state;
                reloading.reload(&started);
                (reloading, started)
            });
            let Ok(done) = read.await else { return };
            state = done;
            files = files.with(state.0.files());
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        self.args.config.iter().cloned().collect()
    }

    fn reload(&mut self, started: &Value) {
        // Certificates are no part of the configuration: they stand in files of their own, and are renewed for themselves.
        if let Some(tls) = &self.tls {
            tls.refresh();
        }
        match ServerConfig::load(&self.args, self.base.clone()) {
            Ok((config, _)) => self.take(config, started),
            Err(exit) => {
                warn!(target: RELOADS, error = %exit, "the configuration was read again and is not used; nothing has changed");
                self.service.reloads().refused(exit.to_string());
            }
        }
    }

    fn take(&mut self, config: ServerConfig, started: &Value) {
        let (old, new) = (shown(&self.config), shown(&config));
        if let Err(problem) = self.apply(&config) {
            warn!(target: RELOADS, error = problem, "the configuration was read again and is not used");
            self.service.reloads().refused(problem);
            return;
        }
        for change in changes(&old, &new) {
            let (setting, from, to) = (&*change.setting, change.from.to_string(), change.to.to_string());
            if is_live(setting) {
                info!(target: RELOADS, setting, from, to, "the configuration has changed");
            } else {
                warn!(
                    target: RELOADS,
                    setting,
                    from, to, "the configuration has changed; this takes effect at the next start"
                );
            }
        }
        let waiting = changes(started, &new).into_iter().map(|change| change.setting);
        let waiting: Vec<String> = waiting.filter(|setting| !is_live(setting)).collect();
        info!(target: RELOADS, waiting = waiting.len(), "the configuration was read again");
        self.service.reloads().taken(self.service.now(), waiting);
        self.config = config;
    }

    /// Puts to work what can change. Files that a section reads may have changed where the section has not, so each takes
    /// what it is given. Whatever can fail stands first, so that a configuration is taken as a whole or not at all.
    fn apply(&self, config: &ServerConfig) -> Result<(), String> {
        if self.config.auth.mode.is_some() && config.auth.mode.is_none() {
            return Err("auth.mode: is gone, which would let everyone in; say `auth: { mode: none }` if that is meant".to_owned());
        }
        let listed = |mistakes: Vec<Mistake>| ConfigError::Mistakes { mistakes }.to_string();
        self.service.locks().reconfigure(&config.auth).map_err(listed)?;
        self.log.set_level(&config.log.level).map_err(|error| error.to_string())?;
        if config.limits != self.config.limits {
            self.service.admission().reconfigure(config.limits.clone());
        }
        if config.log.payloads != self.config.log.payloads {
            self.service.payloads().reconfigure(&config.log.payloads);
        }
        Ok(())
    }
}

fn shown(config: &ServerConfig) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}

fn is_live(setting: &str) -> bool {
    let within =
        |live: &str| setting.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    LIVE.into_iter().any(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_live_with_all_that_it_holds() {
        assert!(is_live("log.level") && is_live("log.payloads.sample"));
        assert!(!is_live("log.levels") && !is_live("log") && !is_live("http.port"));
    }
}
