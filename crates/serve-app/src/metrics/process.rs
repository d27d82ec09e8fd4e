//! This process: its build, its runtime, its log and its configuration; and, where the system tells, its memory and CPU.

use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;

use super::Page;
use crate::service::Service;

pub(super) fn tell(page: &mut Page, service: &Service) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.gauge("serve_build_info", "1, with the version of this program.", &version, 1.0);
    runtime(page);
    let state = service.reloads().state();
    for (outcome, count) in [("taken", state.taken), ("refused", state.refused)] {
        let help = "Times that the configuration was read again, by what came of it.";
        page.counter("configuration_reloads_total", help, &[("outcome", outcome)], count);
    }
    let help = "1 while the newest configuration is the one that works.";
    page.gauge("configuration_current", help, &[], f64::from(u8::from(state.error.is_none())));
    let help = "Samples of payloads that were dropped, because they came faster than they were written.";
    page.counter("payload_samples_dropped_total", help, &[], service.payloads().dropped());
    if let Some(written) = service.log_written() {
        page.counter("log_lines_total", "Lines of the log.", &[], written.lines());
        let help = "Lines of the log that were dropped, because they came faster than they were read.";
        page.counter("log_lines_dropped_total", help, &[], written.dropped());
    }
    let telemetry = service.telemetry();
    if telemetry.is_on() {
        for (outcome, count) in [("sent", telemetry.exported()), ("lost", telemetry.lost())] {
            let help = "Spans of requests, by whether a collector took them.";
            page.counter("telemetry_spans_total", help, &[("outcome", outcome)], count);
        }
    }
    page.extend(ProcessCollector::for_self().collect());
}

/// Figures of the runtime that this is called in.
fn runtime(page: &mut Page) {
    let Ok(handle) = tokio::runtime::Handle::try_current() else { return };
    let runtime = handle.metrics();
    let workers = runtime.num_workers();
    let gauges = [
        ("runtime_workers", "Threads that serve connections.", workers),
        ("runtime_tasks", "Tasks that are alive.", runtime.num_alive_tasks()),
        (
            "runtime_queue_depth",
            "Tasks that wait for a thread, in the queue that all threads share.",
            runtime.global_queue_depth(),
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help, &[], value as f64);
    }
    let busy: f64 = (0..workers).map(|at| runtime.worker_total_busy_duration(at).as_secs_f64()).sum();
    page.count("runtime_busy_seconds_total", "Time that the threads were busy, all together.", &[], busy);
}
