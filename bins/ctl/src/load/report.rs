//! What was measured, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value as Json, json};

use crate::remote::Answer;

/// The longest time that is told apart, and with how many digits.
const LONGEST: u64 = 600_000_000_000;
const DIGITS: u8 = 3;

/// What came of requests.
pub(super) struct Tally {
    /// Times of requests that were answered as they should be, in nanoseconds.
    times: Histogram<u64>,
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<String, u64>,
    bytes: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        let times = Histogram::new_with_max(LONGEST, DIGITS).expect("the bounds are constants");
        Self { times, statuses: BTreeMap::new(), errors: BTreeMap::new(), bytes: 0 }
    }

    /// Notes one request.
    pub(super) fn note(&mut self, outcome: Result<Answer, String>, took: Duration) {
        match outcome {
            Ok(answer) => {
                *self.statuses.entry(answer.status.as_u16()).or_default() += 1;
                self.bytes += answer.body.len() as u64;
                if answer.status.is_success() {
                    self.times.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(LONGEST));
                }
            }
            Err(error) => *self.errors.entry(error).or_default() += 1,
        }
    }

    /// Both together.
    pub(super) fn and(mut self, other: Self) -> Self {
        // Both have the same bounds, which is all that adding can fail at.
        let _ = self.times.add(&other.times);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        self.bytes += other.bytes;
        self
    }
}

/// A measurement.
pub(super) struct Report {
    /// What was asked, and how.
    pub(super) said: String,
    pub(super) took: Duration,
    pub(super) tally: Tally,
    /// How many requests a second were to be sent, where that was said.
    pub(super) wanted: Option<f64>,
}

impl Report {
    /// How many requests were answered as they should be.
    pub(super) fn answered(&self) -> u64 {
        self.tally.times.len()
    }

    /// How many were not.
    pub(super) fn errors(&self) -> u64 {
        let refused = self.tally.statuses.iter().filter(|(status, _)| !(200..300).contains(*status));
        refused.map(|(_, count)| count).chain(self.tally.errors.values()).sum()
    }

    fn rate(&self) -> f64 {
        self.answered() as f64 / self.took.as_secs_f64()
    }

    /// Times in milliseconds, by name.
    fn times(&self) -> Vec<(&'static str, f64)> {
        let times = &self.tally.times;
        let at = |quantile: f64| times.value_at_quantile(quantile) as f64;
        let all = [
            ("min", times.min() as f64),
            ("mean", times.mean()),
            ("median", at(0.5)),
            ("p90", at(0.9)),
            ("p99", at(0.99)),
            ("p99.9", at(0.999)),
            ("max", times.max() as f64),
            ("standard deviation", times.stdev()),
        ];
        all.map(|(name, nanoseconds)| (name, nanoseconds / 1e6)).to_vec()
    }

    /// As `--json` prints it.
    pub(super) fn figures(&self) -> Json {
        let times: serde_json::Map<String, Json> =
            self.times().into_iter().map(|(name, time)| (name.replace(' ', "_"), json!(time))).collect();
        json!({
            "request": self.said,
            "seconds": self.took.as_secs_f64(),
            "requests_per_second": self.rate(),
            "wanted_per_second": self.wanted,
            "answered": self.answered(),
            "errors": self.errors(),
            "statuses": self.tally.statuses,
            "failures": self.tally.errors,
            "body_bytes": self.tally.bytes,
            "latency_ms": times,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        writeln!(f, "{}, {seconds:.1} s", self.said)?;
        let sent = (self.answered() + self.errors()) as f64 / seconds;
        match self.wanted.filter(|wanted| sent < 0.95 * wanted) {
            None => writeln!(f, "requests/s  {:.0}", self.rate())?,
            Some(wanted) => writeln!(
                f,
                "requests/s  {:.0}, of {wanted:.0} that were wanted: more connections, or another machine, may send more",
                self.rate()
            )?,
        }
        writeln!(f, "answered    {}", self.answered())?;
        let megabytes = self.tally.bytes as f64 / f64::from(1 << 20);
        writeln!(f, "received    {megabytes:.1} MiB, {:.1} MiB/s", megabytes / seconds)?;
        write!(f, "latency     ")?;
        for (at, (name, time)) in self.times().into_iter().enumerate() {
            write!(f, "{}{name} {time:.3} ms", if at == 0 { "" } else { ", " })?;
        }
        write!(f, "\nerrors      {}", self.errors())?;
        for (status, count) in self.tally.statuses.iter().filter(|(status, _)| !(200..300).contains(*status))
        {
            write!(f, "\n            {count} answered {status}")?;
        }
        for (error, count) in &self.tally.errors {
            write!(f, "\n            {count} {error}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Answer {
        let status = status.try_into().expect("is a status");
        Answer { status, retry_after: None, body: bytes::Bytes::from_static(b"12345") }
    }

    #[test]
    fn figures_are_those_of_the_requests() {
        let (mut one, mut two) = (Tally::new(), Tally::new());
        for milliseconds in [1, 2, 3] {
            one.note(Ok(answer(200)), Duration::from_millis(milliseconds));
        }
        two.note(Ok(answer(503)), Duration::from_secs(5));
        two.note(Err("no answer".to_owned()), Duration::from_secs(9));
        let report = Report {
            said: "POST /predict".to_owned(),
            took: Duration::from_secs(2),
            tally: one.and(two),
            wanted: Some(9.0),
        };
        let figures = report.figures();
        assert_eq!((figures["answered"].as_u64(), figures["errors"].as_u64()), (Some(3), Some(2)));
        assert_eq!(figures["requests_per_second"], 1.5);
        let near = |name: &str, expected: f64| {
            let got = figures["latency_ms"][name].as_f64().expect("is a number");
            assert!((got / expected - 1.0).abs() < 2e-3, "{name} is {got}");
        };
        near("min", 1.0);
        near("median", 2.0);
        near("mean", 2.0);
        near("max", 3.0);
        near("standard_deviation", (2.0_f64 / 3.0).sqrt());
        let told = report.to_string();
        assert!(told.contains("1 answered 503") && told.contains("1 no answer"), "{told}");
        assert!(told.contains("requests/s  2, of 9 that were wanted"), "{told}");
    }
}
