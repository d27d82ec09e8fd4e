//! A page of metrics: families in the order in which they are first told, each with its help and type once.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};

use super::Latency;

/// Metrics of one moment.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<MetricFamily>,
}

/// Labels of one series.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// A series that only grows.
    pub fn counter(&mut self, name: &str, help: &str, labels: Labels<'_>, count: u64) {
        self.count(name, help, labels, count as f64);
    }

    /// A series of seconds, or another quantity with fractions, that only grows.
    pub fn count(&mut self, name: &str, help: &str, labels: Labels<'_>, count: f64) {
        let mut metric = labelled(labels);
        let mut counter = Counter::default();
        counter.set_value(count);
        metric.set_counter(counter);
        self.add(name, help, MetricType::COUNTER, metric);
    }

    /// A series that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        let mut metric = labelled(labels);
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
        self.add(name, help, MetricType::GAUGE, metric);
    }

    /// Durations, in seconds.
    pub fn latency(&mut self, name: &str, help: &str, labels: Labels<'_>, latency: &Latency) {
        let (buckets, count, seconds) = latency.cumulative();
        let bucket = |(bound, count): (f64, u64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.into_iter().map(bucket).collect());
        histogram.set_sample_count(count);
        histogram.set_sample_sum(seconds);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.add(name, help, MetricType::HISTOGRAM, metric);
    }

    pub(super) fn extend(&mut self, families: impl IntoIterator<Item = MetricFamily>) {
        self.families.extend(families);
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, metric: Metric) {
        // Series of one family are told one after another.
        let known = self.families.iter_mut().rev().find(|family| family.name() == name);
        if let Some(family) = known {
            family.mut_metric().push(metric);
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.mut_metric().push(metric);
        self.families.push(family);
    }

    /// The page as text.
    #[must_use]
    pub fn text(&self) -> String {
        // A family without samples has no place on the page.
        let told: Vec<MetricFamily> =
            self.families.iter().filter(|family| !family.get_metric().is_empty()).cloned().collect();
        let mut page = Vec::new();
        // Writing into memory does not fail, and the name of every family here is a constant.
        drop(TextEncoder::new().encode(&told, &mut page));
        String::from_utf8_lossy(&page).into_owned()
    }
}

fn labelled(labels: Labels<'_>) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn series_of_a_family_stand_together_under_one_head() {
        let mut page = Page::default();
        page.counter("asked_total", "Asked.", &[("model", "a\"b")], 2);
        page.gauge("held", "Held.", &[], 1.5);
        page.counter("asked_total", "Asked.", &[("model", "c")], 3);
        let latency = Latency::default();
        latency.observe(Duration::from_micros(60));
        page.latency("took_seconds", "Took.", &[], &latency);
        let text = page.text();
        let head = "# HELP asked_total Asked.\n# TYPE asked_total counter\nasked_total{model=\"a\\\"b\"} 2\n\
                    asked_total{model=\"c\"} 3\n# HELP held Held.\n# TYPE held gauge\nheld 1.5\n";
        assert!(text.starts_with(head), "{text}");
        for line in [
            "took_seconds_bucket{le=\"0.00005\"} 0",
            "took_seconds_bucket{le=\"0.0001\"} 1",
            "took_seconds_bucket{le=\"+Inf\"} 1",
            "took_seconds_sum 0.00006",
            "took_seconds_count 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }
}
