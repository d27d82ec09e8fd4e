//! What there is to tell a monitoring system, in Prometheus' text format.
//!
//! What happens with each request is counted in atomics that are found through a pointer, never through a lock or a table
//! of labels; everything else is read when the page is. Labels are models and versions that are published, callers that are
//! configured, and words of ours: what clients send makes no series. What a version counted goes with the version.
//!
//! | module | concept |
//! |---|---|
//! | `page` | families of metrics, written as text |
//! | `latency` | a histogram of durations |
//! | `predictions` | predictions by model, version and outcome |
//! | `rows` | what became of the rows of one request |
//! | `admission` | places for predictions, and who waits for one |
//! | `prediction_cache` | answers that are kept |
//! | `models` | what is published, loaded and proven |
//! | `process` | this process, its runtime, its log and its configuration |
//! | `features` | features, their store and their cache |

mod admission;
mod features;
mod latency;
mod models;
mod page;
mod prediction_cache;
mod predictions;
mod process;
pub(crate) mod rows;

use crate::service::Service;

pub(crate) use features::FeatureMetrics;
pub use latency::Latency;
pub use page::Page;
pub(crate) use predictions::Predictions;

/// The content type of the metrics, Prometheus' text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Service {
    /// What there is to tell a monitoring system. An adapter adds what only it knows.
    #[must_use]
    pub fn metrics(&self) -> Page {
        let mut page = Page::default();
        predictions::tell(&mut page, self);
        admission::tell(&mut page, &self.load_now());
        models::tell(&mut page, self);
        page.extend(self.locks().families());
        if let Some(cache) = self.prediction_cache() {
            prediction_cache::tell(&mut page, &cache.stats());
        }
        self.metrics.tell(&mut page, self.retriever());
        process::tell(&mut page, self);
        page
    }
}
