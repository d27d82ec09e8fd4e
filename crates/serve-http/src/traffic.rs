//! Exchanges in numbers: by protocol and status, under way, given up by their clients. Counting is an addition in a table of
//! fixed size.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use serve_app::metrics::{Latency, Page};

use crate::failure::Dialect;

/// Statuses that are counted each for itself; others are `other`.
const STATUSES: [u16; 25] = [
    101, 200, 204, 206, 301, 304, 400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 414, 415, 421, 422, 429,
    431, 500, 501, 503,
];

/// Counts of one protocol.
#[derive(Debug, Default)]
struct Protocol {
    statuses: [AtomicU64; STATUSES.len()],
    others: AtomicU64,
    latency: Latency,
}

/// Counts of all exchanges.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    protocols: [Protocol; Dialect::ALL.len()],
    under_way: AtomicI64,
    abandoned: AtomicU64,
}

impl Traffic {
    /// An exchange begins.
    pub(crate) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// It ends with an answer.
    pub(crate) fn answered(&self, dialect: Dialect, status: StatusCode, took: Duration) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        let protocol = &self.protocols[dialect as usize];
        let count = match STATUSES.binary_search(&status.as_u16()) {
            Ok(at) => &protocol.statuses[at],
            Err(_) => &protocol.others,
        };
        count.fetch_add(1, Ordering::Relaxed);
        protocol.latency.observe(took);
    }

    /// It ends without one: its client is gone.
    pub(crate) fn abandoned(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn tell(&self, page: &mut Page) {
        for dialect in Dialect::ALL {
            let (protocol, told) = (dialect.protocol(), &self.protocols[dialect as usize]);
            let listed = STATUSES.iter().map(u16::to_string).zip(&told.statuses);
            for (status, count) in listed.chain([("other".to_owned(), &told.others)]) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = [("protocol", protocol), ("status", &*status)];
                    page.counter(
                        "http_requests_total",
                        "Requests, by protocol and the answer's status.",
                        &labels,
                        count,
                    );
                }
            }
            if told.latency.count() > 0 {
                let help = "Time from a request's head to its answer.";
                page.latency("http_request_duration_seconds", help, &[("protocol", protocol)], &told.latency);
            }
        }
        let under_way = self.under_way.load(Ordering::Relaxed) as f64;
        page.gauge("http_requests_in_flight", "Requests under way, this one included.", &[], under_way);
        let help = "Requests whose clients were gone before their answer.";
        page.counter("http_requests_abandoned_total", help, &[], self.abandoned.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_has_its_place_and_statuses_are_in_order() {
        assert!(Dialect::ALL.iter().enumerate().all(|(at, dialect)| *dialect as usize == at));
        assert!(STATUSES.is_sorted());
        let traffic = Traffic::default();
        for status in [StatusCode::OK, StatusCode::OK, StatusCode::IM_A_TEAPOT] {
            traffic.begin();
            traffic.answered(Dialect::Oip, status, Duration::from_millis(1));
        }
        traffic.begin();
        traffic.begin();
        traffic.abandoned();
        let mut page = Page::default();
        traffic.tell(&mut page);
        let text = page.text();
        for line in [
            "http_requests_total{protocol=\"oip\",status=\"200\"} 2",
            "http_requests_total{protocol=\"oip\",status=\"other\"} 1",
            "http_request_duration_seconds_count{protocol=\"oip\"} 3",
            "http_requests_in_flight 1",
            "http_requests_abandoned_total 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }
}
