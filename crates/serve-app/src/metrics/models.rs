//! What is published, loaded and proven, and the cache of loaded versions.

use serve_registry::CacheStats;

use super::Page;
use crate::service::Service;

pub(super) fn tell(page: &mut Page, service: &Service) {
    let registry = service.registry();
    for model in registry.models() {
        let name = model.name.as_str();
        if let Some(champion) = model.champion_deployment() {
            let manifest = champion.manifest();
            let labels = [
                ("model", name),
                ("version", manifest.version.as_str()),
                ("feature_set", manifest.feature_set.as_deref().unwrap_or("")),
                ("model_type", manifest.model_type.as_deref().unwrap_or("")),
            ];
            page.gauge("model_info", "1 for the version that each model's champion serves.", &labels, 1.0);
        }
        let guarded = model.champion_deployment().is_some_and(|champion| champion.guard().is_some());
        let help = "1 while a new champion is held against the one that it replaced.";
        page.gauge("model_guard_open", help, &[("model", name)], f64::from(u8::from(guarded)));
        let help = "Versions of the model that were refused, with nothing served from them.";
        page.gauge("model_versions_refused", help, &[("model", name)], model.refused.len() as f64);
        let help =
            "Times that an alias of the model was pointed to another version, as far as its history goes.";
        page.counter(
            "model_swaps_total",
            help,
            &[("model", name)],
            model.aliases.history("champion").len() as u64,
        );
    }
    cache(page, &registry.cache_stats());
    let help = "1 while the registry can be read.";
    page.gauge("registry_up", help, &[], f64::from(u8::from(registry.trouble().is_none())));
}

fn cache(page: &mut Page, cache: &CacheStats) {
    let counters = [
        ("model_cache_hits_total", "Requests whose version was loaded.", cache.hits),
        ("model_cache_misses_total", "Requests whose version had to be loaded.", cache.misses),
        ("model_cache_evictions_total", "Versions that were unloaded for want of room.", cache.evictions),
        (
            "model_cache_expirations_total",
            "Versions that were unloaded because nobody asked for them.",
            cache.expirations,
        ),
    ];
    for (name, help, count) in counters {
        page.counter(name, help, &[], count);
    }
    for (outcome, count) in [("succeeded", cache.loads.succeeded), ("failed", cache.loads.failed)] {
        page.counter(
            "model_loads_total",
            "Versions that were loaded, or were not.",
            &[("outcome", outcome)],
            count,
        );
    }
    let help = "Time that loading versions took all together.";
    page.count("model_load_seconds_total", help, &[], cache.loads.total_ms / 1e3);
    let gauges = [
        ("model_cache_bytes", "Memory of loaded versions.", cache.bytes as f64),
        ("model_cache_max_bytes", "Memory that loaded versions may take.", cache.max_bytes as f64),
        ("model_cache_entries", "Loaded versions.", cache.entries as f64),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help, &[], value);
    }
    for loaded in &cache.models {
        let labels = [("model", loaded.name.as_str()), ("version", loaded.version.as_str())];
        page.gauge("model_loaded_bytes", "Memory of each loaded version.", &labels, loaded.bytes as f64);
    }
}
