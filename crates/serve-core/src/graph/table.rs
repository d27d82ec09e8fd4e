//! A [`Lookup`] compiled: found by halving, with the rules for missing and for equal keys settled beforehand.

use super::op::Lookup;

/// Keys in ascending order with their values.
#[derive(Debug)]
pub(super) struct Table {
    entries: Box<[(f64, f64)]>,
    missing: f64,
    otherwise: f64,
}

impl Table {
    pub(super) fn new(lookup: &Lookup) -> Self {
        let pairs = || lookup.keys.iter().copied().zip(lookup.values.iter().copied());
        let missing = pairs().find(|(key, _)| key.is_nan()).map_or(lookup.otherwise, |(_, value)| value);
        let known = pairs().filter(|(key, _)| !key.is_nan()).map(|(key, value)| (key + 0.0, value));
        let mut entries: Vec<(f64, f64)> = known.collect();
        // Stable, so the first of equal keys stays in front.
        entries.sort_by(|a, b| a.0.total_cmp(&b.0));
        entries.dedup_by(|next, first| next.0 == first.0);
        Self { entries: entries.into(), missing, otherwise: lookup.otherwise }
    }

    pub(super) fn get(&self, x: f64) -> f64 {
        if x.is_nan() {
            return self.missing;
        }
        let place = self.entries.partition_point(|entry| entry.0 < x);
        self.entries.get(place).filter(|entry| entry.0 == x).map_or(self.otherwise, |entry| entry.1)
    }
}
