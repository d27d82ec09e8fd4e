//! The configuration's section `limits`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serve_core::ModelName;

use super::share::Bounds;

/// How much is done at once, how much may wait, and what one request may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Requests for predictions under way at once.
    pub max_in_flight: NonZeroU32,
    /// Requests that wait for others to end; more are refused at once.
    pub queue: u32,
    /// Rows of one batch.
    pub batch_rows: usize,
    /// Threads for work that takes long; as many as there are CPUs, where nothing is said. Read at start only.
    pub threads: Option<NonZeroU32>,
    /// What one model may take of the first two: three quarters, where nothing is said.
    pub per_model: ShareConfig,
    /// The same for models by name.
    pub models: BTreeMap<ModelName, ShareConfig>,
}

/// What one model may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShareConfig {
    /// Of `limits.max_in_flight`.
    pub max_in_flight: Option<NonZeroU32>,
    /// Of `limits.queue`.
    pub queue: Option<u32>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_in_flight: const { NonZeroU32::new(512).expect("is not 0") },
            queue: 1_000,
            batch_rows: 10_000,
            threads: None,
            per_model: ShareConfig::default(),
            models: BTreeMap::new(),
        }
    }
}

impl LimitsConfig {
    /// Threads for work that takes long.
    #[must_use]
    pub fn threads(&self) -> usize {
        let cpus = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.threads.map_or_else(cpus, |threads| threads.get() as usize)
    }

    pub(super) fn whole(&self) -> Bounds {
        Bounds { most: self.max_in_flight.get(), queue: self.queue }
    }

    /// What a model may take: what is said of it, else of every model, else three quarters, so that something is left for
    /// others.
    pub(super) fn share(&self, model: &ModelName) -> Bounds {
        let own = self.models.get(model).copied().unwrap_or_default();
        let Bounds { most, queue } = self.whole();
        let said = own.max_in_flight.or(self.per_model.max_in_flight);
        Bounds {
            most: said.map_or(most - most / 4, NonZeroU32::get).min(most),
            queue: own.queue.or(self.per_model.queue).unwrap_or(queue - queue / 4).min(queue),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(most: u32, queue: u32) -> Bounds {
        Bounds { most, queue }
    }

    #[test]
    fn a_model_leaves_something_for_others() {
        let name = |name: &str| name.parse::<ModelName>().expect("a name");
        let mut config = LimitsConfig::default();
        assert_eq!((config.whole(), config.share(&name("m"))), (bounds(512, 1_000), bounds(384, 750)));
        config.per_model.max_in_flight = NonZeroU32::new(100);
        let own = ShareConfig { max_in_flight: NonZeroU32::new(4), queue: Some(9_999) };
        config.models.insert(name("slow"), own);
        assert_eq!(config.share(&name("m")), bounds(100, 750));
        assert_eq!(config.share(&name("slow")), bounds(4, 1_000));
        config.max_in_flight = NonZeroU32::MIN;
        assert_eq!(config.share(&name("slow")).most, 1);
    }
}
