//! Answers that are kept for a while.

use super::Page;
use crate::prediction_cache::PredictionCacheStats;

pub(super) fn tell(page: &mut Page, stats: &PredictionCacheStats) {
    let rows = [("hit", stats.hits), ("miss", stats.misses), ("joined", stats.joined)];
    for (outcome, count) in rows {
        let help = "Rows that were looked for among the answers that are kept.";
        page.counter("prediction_cache_rows_total", help, &[("outcome", outcome)], count);
    }
    let left = [("evicted", stats.evicted), ("expired", stats.expired), ("retired", stats.retired)];
    for (reason, count) in left {
        page.counter(
            "prediction_cache_left_total",
            "Answers that are kept no more.",
            &[("reason", reason)],
            count,
        );
    }
    page.gauge("prediction_cache_entries", "Answers that are kept.", &[], stats.entries as f64);
    page.gauge("prediction_cache_bytes", "Memory that they take, as estimated.", &[], stats.bytes as f64);
    if let Some(shared) = &stats.shared {
        let rows = [("hit", shared.hits), ("miss", shared.misses), ("corrupt", shared.corrupt)];
        for (outcome, count) in rows {
            let help = "Rows that Redis was asked for.";
            page.counter("prediction_cache_shared_rows_total", help, &[("outcome", outcome)], count);
        }
        let help = "Calls of Redis that failed or took too long.";
        page.counter("prediction_cache_shared_errors_total", help, &[], shared.failures);
    }
}
