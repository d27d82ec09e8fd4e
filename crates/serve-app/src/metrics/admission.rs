//! Places for predictions: who holds one, who waits, who was refused.

use super::Page;
use crate::admission::Load;

pub(super) fn tell(page: &mut Page, load: &Load) {
    let gauges = [
        ("admission_in_flight", "Requests for predictions that hold a place.", load.in_flight),
        ("admission_max_in_flight", "Places.", load.max_in_flight.into()),
        ("admission_queued", "Requests for predictions that wait for a place.", load.queued),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help, &[], value as f64);
    }
    let counters = [
        (
            "admission_refused_total",
            "Requests that were refused because there was no room.",
            load.refused_total,
        ),
        ("admission_expired_total", "Requests whose deadline passed before their turn.", load.expired_total),
        (
            "admission_left_queue_total",
            "Requests that left the queue before their turn.",
            load.left_queue_total,
        ),
        ("inferred_rows_total", "Rows that models have computed.", load.rows_total),
    ];
    for (name, help, count) in counters {
        page.counter(name, help, &[], count);
    }
    for model in &load.models {
        let labels = [("model", model.name.as_str())];
        page.gauge(
            "model_in_flight",
            "Requests for a model that hold a place.",
            &labels,
            model.in_flight as f64,
        );
        page.gauge(
            "model_queued",
            "Requests for a model that wait for a place.",
            &labels,
            model.queued as f64,
        );
        let help = "Requests for a model that were refused because there was no room.";
        page.counter("model_refused_total", help, &labels, model.refused_total);
    }
}
