//! What happened to features: the store's calls and its breaker, the cache, and for each set
//! how old and how whole the rows were from which predictions were made.
//!
//! Counters that the retriever keeps are read when the page is; only what it does not keep is observed here. A label is a
//! set that a model names, a mode or a reason: what clients send makes no series.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts};
use serve_core::Value;
use serve_features::{
    BreakerState, FeatureSetName, Mode, RetrievalCounters, Retrieved, Retriever, StoreHealth,
};

use super::Page;

const LATENCIES: [f64; 11] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.25, 1.0];
const AGES: [f64; 10] = [1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0];

/// What is observed while features are gathered.
#[derive(Debug)]
pub(crate) struct FeatureMetrics {
    latency: HistogramVec,
    age: HistogramVec,
    values: IntCounterVec,
}

impl FeatureMetrics {
    pub(crate) fn new() -> Self {
        let histogram = |name: &str, help: &str, buckets: &[f64], label: &str| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            HistogramVec::new(options, &[label]).expect("the name, the label and the buckets are constants")
        };
        let values = Opts::new(
            "feature_values_total",
            "Values of rows that predictions were made from, by what was the matter with them.",
        );
        Self {
            latency: histogram(
                "feature_retrieval_duration_seconds",
                "How long predictions waited for features that did not come with the request.",
                &LATENCIES,
                "mode",
            ),
            age: histogram(
                "feature_age_seconds",
                "Age of the rows that predictions were made from.",
                &AGES,
                "set",
            ),
            values: IntCounterVec::new(values, &["set", "kind"]).expect("name and labels are constants"),
        }
    }

    /// A retrieval, of one row or many, has ended.
    pub(crate) fn retrieved(&self, mode: Mode, took: Duration) {
        let mode = match mode {
            Mode::Cached => "cached",
            Mode::Compute => "compute",
            Mode::Auto => "auto",
        };
        self.latency.with_label_values(&[mode]).observe(took.as_secs_f64());
    }

    /// A row becomes a prediction.
    pub(crate) fn row(&self, set: &FeatureSetName, retrieved: &Retrieved) {
        self.age.with_label_values(&[set.as_str()]).observe(retrieved.age_seconds);
        let missing = |value: &Value<'_>| match value {
            Value::Missing => true,
            Value::Number(x) => x.is_nan(),
            Value::Bool(_) | Value::Text(_) | Value::Other(_) => false,
        };
        let nulls = retrieved.row.values().iter().filter(|value| missing(value)).count();
        for (kind, count) in
            [("imputed", retrieved.filled.len()), ("invalid", retrieved.invalid.len()), ("null", nulls)]
        {
            self.values.with_label_values(&[set.as_str(), kind]).inc_by(count as u64);
        }
    }

    /// What was observed, and what the retriever counts.
    pub(super) fn tell(&self, page: &mut Page, retriever: &Retriever) {
        let mut families = Vec::new();
        families.extend(self.latency.collect());
        families.extend(self.age.collect());
        families.extend(self.values.collect());
        let counters = retriever.counters();
        rows(&mut families, &counters);
        if let Some(health) = retriever.health() {
            calls(&mut families, &counters);
            breaker(&mut families, &health);
        }
        cache(&mut families, &counters);
        page.extend(families);
    }
}

/// One family of counters, a sample a label's value.
fn counters(families: &mut Vec<MetricFamily>, name: &str, help: &str, label: &str, samples: &[(&str, u64)]) {
    if let Ok(family) = IntCounterVec::new(Opts::new(name, help), &[label]) {
        for (value, count) in samples {
            family.with_label_values(&[value]).inc_by(*count);
        }
        families.extend(family.collect());
    }
}

/// One counter without labels.
fn counter(families: &mut Vec<MetricFamily>, name: &str, help: &str, count: u64) {
    if let Ok(family) = prometheus::IntCounter::new(name, help) {
        family.inc_by(count);
        families.extend(family.collect());
    }
}

fn gauge(families: &mut Vec<MetricFamily>, name: &str, help: &str, value: u64) {
    if let Ok(family) = IntGauge::new(name, help) {
        family.set(i64::try_from(value).unwrap_or(i64::MAX));
        families.extend(family.collect());
    }
}

fn rows(families: &mut Vec<MetricFamily>, told: &RetrievalCounters) {
    let outcomes = [
        ("cached", told.cached),
        ("computed", told.computed),
        ("last_known_good", told.last_known_good),
        ("stale", told.stale),
        ("outdated", told.outdated),
        ("store_failed", told.store_failed),
        ("unreadable", told.unreadable),
        ("unavailable", told.unavailable),
    ];
    counters(
        families,
        "feature_rows_total",
        "Rows that were asked for, by what came of it.",
        "outcome",
        &outcomes,
    );
    let future = [("taken", told.from_future), ("left_out", told.skipped_future)];
    counters(families, "feature_rows_from_future_total", "Rows from the future.", "outcome", &future);
    let written = [("written", told.ingested), ("refused", told.refused)];
    counters(families, "feature_rows_ingested_total", "Rows sent to be stored.", "outcome", &written);
    counter(
        families,
        "feature_rows_degraded_total",
        "Rows that were answered marked degraded.",
        told.degraded,
    );
    let help = "Computed rows whose functions of endless memory lacked their past.";
    counter(families, "feature_rows_cold_total", help, told.cold);
    let help = "Stored values that their declaration does not allow.";
    counter(families, "feature_values_not_allowed_total", help, told.invalid);
}

fn calls(families: &mut Vec<MetricFamily>, told: &RetrievalCounters) {
    let store = &told.store;
    counter(
        families,
        "feature_store_requests_total",
        "Calls of the store that were let through.",
        store.calls,
    );
    counter(families, "feature_store_errors_total", "Those that failed, time-outs included.", store.failures);
    counter(
        families,
        "feature_store_timeouts_total",
        "Those that were not answered in time.",
        store.timeouts,
    );
    counter(families, "feature_store_retries_total", "Second and further attempts.", store.retries);
    let refused = [("busy", store.refused_busy), ("breaker_open", store.refused_open)];
    counters(families, "feature_store_refused_total", "Calls that were not let through.", "reason", &refused);
}

fn breaker(families: &mut Vec<MetricFamily>, health: &StoreHealth) {
    let options = Opts::new("feature_store_breaker_state", "1 for the state that the circuit breaker is in.");
    if let Ok(family) = GaugeVec::new(options, &["state"]) {
        for state in [BreakerState::Closed, BreakerState::HalfOpen, BreakerState::Open] {
            let is = if health.breaker.state == state { 1.0 } else { 0.0 };
            family.with_label_values(&[state.as_str()]).set(is);
        }
        families.extend(family.collect());
    }
    let help = "How often the circuit breaker has opened.";
    counter(families, "feature_store_breaker_openings_total", help, health.breaker.opened);
    gauge(
        families,
        "feature_store_calls_under_way",
        "Calls of the store under way.",
        health.under_way as u64,
    );
    gauge(families, "feature_store_calls_waiting", "Calls that wait for one to end.", health.waiting as u64);
}

fn cache(families: &mut Vec<MetricFamily>, told: &RetrievalCounters) {
    let cache = &told.cache;
    counter(families, "feature_cache_hits_total", "Rows answered from memory.", cache.hits);
    counter(families, "feature_cache_misses_total", "Rows fetched.", cache.misses);
    counter(
        families,
        "feature_cache_joined_total",
        "Rows that came with another request's fetch.",
        cache.joined,
    );
    counter(families, "feature_cache_evictions_total", "Rows thrown out for want of room.", cache.evicted);
    let help = "Rows that stood in for a store that failed.";
    counter(families, "feature_cache_stale_served_total", help, cache.served_stale);
    if let Some(shared) = &told.shared_cache {
        let outcomes = [
            ("hit", shared.hits),
            ("miss", shared.misses),
            ("skipped", shared.skipped),
            ("failed", shared.failed),
        ];
        let help = "Rows that the shared cache was asked for, or not asked for since it had failed.";
        counters(families, "feature_shared_cache_rows_total", help, "outcome", &outcomes);
        let help = "Rows in the shared cache in a form that no row has; misses too.";
        counter(families, "feature_shared_cache_unreadable_total", help, shared.corrupt);
        let help = "Calls of the shared cache that failed or took too long.";
        counter(families, "feature_shared_cache_errors_total", help, shared.failures);
    }
    gauge(families, "feature_cache_rows", "Rows held.", cache.rows);
    gauge(families, "feature_cache_bytes", "Memory that they take, as estimated.", cache.bytes);
}
