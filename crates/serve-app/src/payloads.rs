//! Bodies of some requests and their answers, in a file, for those who look for a mistake or collect examples. Off unless
//! configured; never headers; values of named keys are left out; the file's size is bounded.
//!
//! A request is picked by its id, so that all servers that a request passes through pick the same ones. Bodies are written
//! by a thread of its own; what comes faster than it writes is dropped and counted.

mod file;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serve_core::ByteSize;

use file::Rotating;

/// Samples that wait to be written.
const WAITING: usize = 64;

/// Which requests' bodies are kept, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PayloadsConfig {
    /// The share of predictions whose bodies are kept, from 0 (none) to 1 (all).
    pub sample: f64,
    /// The file; needed where `sample` is not 0. Nobody but its owner may read it.
    pub file: Option<PathBuf>,
    /// How much of a body is kept.
    pub max_bytes: ByteSize,
    /// How large the file becomes before a new one is begun.
    pub max_file_bytes: ByteSize,
    /// How many files there are at most: the one that is written, and older ones as `FILE.1`, `FILE.2`, ….
    pub files: usize,
    /// Keys whose values are left out, wherever they stand in a body. With any, bodies that are not JSON are not kept.
    pub redact: Vec<String>,
}

impl Default for PayloadsConfig {
    fn default() -> Self {
        Self {
            sample: 0.0,
            file: None,
            max_bytes: ByteSize(16 << 10),
            max_file_bytes: ByteSize(64 << 20),
            files: 3,
            redact: Vec::new(),
        }
    }
}

impl PayloadsConfig {
    /// What is wrong with the section.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if !(0.0..=1.0).contains(&self.sample) {
            found.push(("log.payloads.sample", format!("expected a share from 0 to 1, got {}", self.sample)));
        }
        if self.sample > 0.0 && self.file.is_none() {
            found.push(("log.payloads.file", "is missing: bodies are kept in a file".to_owned()));
        }
        if self.files == 0 {
            found.push(("log.payloads.files", "is 0; expected 1 or more".to_owned()));
        }
        found
    }
}

/// One exchange.
#[derive(Debug)]
pub struct Sample {
    /// The request's id.
    pub request_id: Arc<str>,
    /// Its method and path.
    pub asked: String,
    /// The answer's status.
    pub status: u16,
    /// The request's body.
    pub request: Vec<u8>,
    /// The answer's body.
    pub response: Vec<u8>,
}

/// Picks requests and hands their bodies to the thread that writes them.
#[derive(Debug, Default)]
pub struct Payloads {
    /// Ids whose hash is below are picked.
    below: AtomicU64,
    /// The thread's end of the line. The lock is held to send or to replace it, never while anything is written.
    thread: Mutex<Option<SyncSender<Sample>>>,
    dropped: AtomicU64,
}

impl Payloads {
    /// Works from now on as configured. The file is opened at its first sample.
    pub fn reconfigure(&self, config: &PayloadsConfig) {
        let share = config.sample.clamp(0.0, 1.0);
        let thread = match &config.file {
            Some(path) if share > 0.0 => start(path.clone(), config.clone()),
            _ => None,
        };
        let on = thread.is_some();
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = thread;
        // Saturates: all ids but one in 2^64 for a share of 1.
        self.below.store(if on { (share * u64::MAX as f64) as u64 } else { 0 }, Ordering::Relaxed);
    }

    /// Whether a request is picked.
    #[must_use]
    pub fn picks(&self, request_id: &str) -> bool {
        let below = self.below.load(Ordering::Relaxed);
        below != 0 && hash(request_id) < below
    }

    /// Keeps a sample, if there is room.
    pub fn keep(&self, sample: Sample) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = &*thread
            && let Err(TrySendError::Full(_)) = thread.try_send(sample)
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Samples for which there was no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The thread ends when nothing sends to it any more.
fn start(path: PathBuf, config: PayloadsConfig) -> Option<SyncSender<Sample>> {
    let (sender, samples) = sync_channel(WAITING);
    let write = move || {
        let mut file = Rotating::new(path, config.max_file_bytes.0, config.files);
        let mut failed = false;
        for sample in samples {
            let written = file.write(&file::line(&sample, &config));
            if let (Err(error), false) = (&written, failed) {
                tracing::warn!(%error, "log.payloads.file cannot be written; samples are lost");
            }
            failed = written.is_err();
        }
    };
    let thread = std::thread::Builder::new().name("payloads".to_owned()).spawn(write);
    thread.ok().map(|_| sender)
}

/// FNV-1a with the finish of MurmurHash3, which spreads ids that differ in their last character.
fn hash(text: &str) -> u64 {
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(sample: f64, folder: &std::path::Path) -> PayloadsConfig {
        PayloadsConfig { sample, file: Some(folder.join("payloads.jsonl")), ..PayloadsConfig::default() }
    }

    #[test]
    fn the_configured_share_is_picked_and_always_the_same() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let payloads = Payloads::default();
        assert!(!payloads.picks("a"));
        payloads.reconfigure(&sampling(0.1, folder.path()));
        let picked = |payloads: &Payloads| -> Vec<u32> {
            (0..10_000).filter(|id| payloads.picks(&format!("request-{id}"))).collect()
        };
        let first = picked(&payloads);
        // Ten standard deviations on both sides.
        assert!((700..1_300).contains(&first.len()), "{}", first.len());
        assert_eq!(first, picked(&payloads));
        payloads.reconfigure(&sampling(1.0, folder.path()));
        assert_eq!(picked(&payloads).len(), 10_000);
        payloads.reconfigure(&PayloadsConfig::default());
        assert!(picked(&payloads).is_empty());
    }

    #[test]
    fn what_cannot_work_is_told() {
        let none = PayloadsConfig { sample: 1.5, files: 0, ..PayloadsConfig::default() };
        let settings: Vec<&str> = none.mistakes().iter().map(|(setting, _)| *setting).collect();
        assert_eq!(settings, ["log.payloads.sample", "log.payloads.file", "log.payloads.files"]);
        assert!(PayloadsConfig::default().mistakes().is_empty());
    }
}
