//! Exchanges in numbers: by protocol and status, under way, given up by their clients. Counting is an addition in a table of
//! fixed size, of which each thread has its own.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::StatusCode;
use serve_app::metrics::{Latency, Page};
use serve_app::striped::Striped;

use crate::failure::Dialect;

/// Statuses that are counted each for itself; others are `other`.
const STATUSES: [u16; 25] = [
    101, 200, 204, 206, 301, 304, 400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 414, 415, 421, 422, 429,
    431, 500, 501, 503,
];

/// Counts of all exchanges.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    counts: Striped<Counts>,
    latencies: [Latency; Dialect::ALL.len()],
}

/// What some threads counted.
#[derive(Debug, Default)]
struct Counts {
    protocols: [Protocol; Dialect::ALL.len()],
    begun: AtomicU64,
    answered: AtomicU64,
    abandoned: AtomicU64,
}

/// Answers of one protocol.
#[derive(Debug, Default)]
struct Protocol {
    statuses: [AtomicU64; STATUSES.len()],
    others: AtomicU64,
}

impl Traffic {
    /// An exchange begins.
    pub(crate) fn begin(&self) {
        self.counts.mine().add(|counts| &counts.begun, 1);
    }

    /// It ends with an answer.
    pub(crate) fn answered(&self, dialect: Dialect, status: StatusCode, took: Duration) {
        let mine = self.counts.mine();
        mine.add(|counts| &counts.answered, 1);
        let protocol = mine.part(|counts| &counts.protocols[dialect as usize]);
        match STATUSES.binary_search(&status.as_u16()) {
            Ok(at) => protocol.add(|protocol| &protocol.statuses[at], 1),
            Err(_) => protocol.add(|protocol| &protocol.others, 1),
        }
        self.latencies[dialect as usize].observe(took);
    }

    /// It ends without one: its client is gone.
    pub(crate) fn abandoned(&self) {
        self.counts.mine().add(|counts| &counts.abandoned, 1);
    }

    pub(crate) fn tell(&self, page: &mut Page) {
        for dialect in Dialect::ALL {
            let (protocol, at) = (dialect.protocol(), dialect as usize);
            let listed = STATUSES.iter().enumerate().map(|(status, name)| {
                (name.to_string(), self.counts.sum(|counts| &counts.protocols[at].statuses[status]))
            });
            let others = ("other".to_owned(), self.counts.sum(|counts| &counts.protocols[at].others));
            for (status, count) in listed.chain([others]).filter(|(_, count)| *count > 0) {
                let labels = [("protocol", protocol), ("status", &*status)];
                let help = "Requests, by protocol and the answer's status.";
                page.counter("http_requests_total", help, &labels, count);
            }
            let latency = &self.latencies[at];
            if latency.count() > 0 {
                let help = "Time from a request's head to its answer.";
                page.latency("http_request_duration_seconds", help, &[("protocol", protocol)], latency);
            }
        }
        let abandoned = self.counts.sum(|counts| &counts.abandoned);
        let ended = self.counts.sum(|counts| &counts.answered) + abandoned;
        let begun = self.counts.sum(|counts| &counts.begun);
        page.gauge(
            "http_requests_in_flight",
            "Requests under way, this one included.",
            &[],
            // Read one after the other, one may be counted where it ended and not yet where it began.
            begun.saturating_sub(ended) as f64,
        );
        let help = "Requests whose clients were gone before their answer.";
        page.counter("http_requests_abandoned_total", help, &[], abandoned);
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
