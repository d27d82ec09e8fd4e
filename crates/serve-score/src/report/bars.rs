//! Counts by cell to bars that people look at: of one width, between the values that hold all but a hundredth of the rows, now and in
//! training. A cell that lies in several bars is spread evenly over them; what lies beyond the bars belongs to the outer ones.

use serde::Serialize;
use serve_core::drift::Scale;

use crate::tally::{ColumnTally, Counts, Kind, Meter, log_cell_bounds};

/// Bars of a histogram.
const BARS: usize = 25;

/// Categories that stand for themselves.
const CATEGORIES: usize = 12;

/// The share of rows beyond each end of the bars.
const BEYOND: f64 = 0.005;

/// The distribution of a column's values that are present.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Histogram {
    /// Numbers in bars of one width.
    Numbers(Vec<Bar>),
    /// Categories, most frequent first.
    Categories(Vec<CategoryBar>),
}

/// A bar of numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// The share of the values now.
    pub share: f64,
    /// Their share in training.
    pub training_share: Option<f64>,
}

/// A bar of a category.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CategoryBar {
    /// The category.
    pub name: String,
    /// The share of the values now.
    pub share: f64,
    /// Their share in training.
    pub training_share: Option<f64>,
}

/// A share of values somewhere from `low` to `high`.
#[derive(Debug, Clone, Copy)]
struct Mass {
    low: f64,
    high: f64,
    share: f64,
}

/// The bars of a column whose values are counted by the cells of `kind`.
pub(super) fn histogram(meter: &Meter, kind: &Kind, counts: &Counts, counted: &ColumnTally) -> Histogram {
    if let Kind::Categories { names, training, .. } = kind {
        return Histogram::Categories(categories(names, training.as_deref(), counts));
    }
    let all = counts.total().max(1) as f64;
    let range = counted.range.unwrap_or((0.0, 0.0));
    let now: Vec<Mass> = counts
        .iter()
        .map(|(cell, rows)| {
            let (low, high) = ends(kind, cell, range);
            Mass { low, high, share: rows as f64 / all }
        })
        .collect();
    let training = match &meter.kind {
        Kind::Quantiles(scale) => Some(training(scale)),
        _ => None,
    };
    let (low, high) = match kind {
        Kind::Unit => (0.0, 1.0),
        _ => view(&now, training.as_deref()),
    };
    Histogram::Numbers(spread(&now, training.as_deref(), low, high))
}

/// Where a cell lies; those without an end of their own end where the values do.
fn ends(kind: &Kind, cell: i32, (min, max): (f64, f64)) -> (f64, f64) {
    match kind {
        Kind::Log { bits } => {
            let (low, high) = log_cell_bounds(cell, *bits);
            (low.clamp(min, max), high.clamp(min, max))
        }
        Kind::Quantiles(scale) => {
            let (edges, at) = (scale.edges(), usize::try_from(cell / 2).unwrap_or_default());
            let edge = |at: usize| edges.get(at).copied();
            if cell % 2 == 1 {
                let here = edge(at).unwrap_or(max);
                return (here, here);
            }
            let low = at.checked_sub(1).and_then(edge).unwrap_or(min);
            let high = edge(at).unwrap_or(max);
            (low.min(high), high.max(low))
        }
        Kind::Unit => (f64::from(cell) / 100.0, f64::from(cell + 1) / 100.0),
        Kind::Categories { .. } => (f64::from(cell), f64::from(cell)),
    }
}

fn training(scale: &Scale) -> Vec<Mass> {
    let edges = scale.edges();
    let lie = |cell: usize| {
        let edge = |at: usize| edges[at.min(edges.len() - 1)];
        if cell % 2 == 1 {
            (edge(cell / 2), edge(cell / 2))
        } else {
            (edge((cell / 2).saturating_sub(1)), edge(cell / 2))
        }
    };
    let cells = scale.shares().enumerate().filter(|(_, share)| *share > 0.0);
    cells
        .map(|(cell, share)| (lie(cell), share))
        .map(|((low, high), share)| Mass { low, high, share })
        .collect()
}

/// What the bars show.
fn view(now: &[Mass], training: Option<&[Mass]>) -> (f64, f64) {
    let bounds = |masses: &[Mass]| {
        let inner = |seen: &mut f64, share: f64| {
            *seen += share;
            *seen > BEYOND
        };
        let (mut below, mut above) = (0.0, 0.0);
        let low = masses.iter().find(|mass| inner(&mut below, mass.share))?.low;
        let high = masses.iter().rev().find(|mass| inner(&mut above, mass.share))?.high;
        Some((low, high))
    };
    let found = [bounds(now), training.and_then(bounds)];
    let ends = found.iter().flatten().copied().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let (low, high) = ends.unwrap_or((0.0, 0.0));
    // Numbers that are too far apart for a picture.
    if (high - low).is_finite() { (low, high) } else { found[1].unwrap_or((0.0, 0.0)) }
}

fn spread(now: &[Mass], training: Option<&[Mass]>, low: f64, high: f64) -> Vec<Bar> {
    let bars = if high > low { BARS } else { 1 };
    let width = (high - low) / bars as f64;
    let shares = |masses: &[Mass]| {
        let mut shares = vec![0.0; bars];
        masses.iter().for_each(|mass| put(*mass, low, width, &mut shares));
        shares
    };
    let (now, training) = (shares(now), training.map(shares));
    let bar = |(at, share): (usize, f64)| Bar {
        from: low + width * at as f64,
        to: if at + 1 == bars { high } else { low + width * (at + 1) as f64 },
        share,
        training_share: training.as_ref().map(|training| training[at]),
    };
    now.into_iter().enumerate().map(bar).collect()
}

/// Spreads a mass over the bars that it lies in.
fn put(mass: Mass, low: f64, width: f64, shares: &mut [f64]) {
    let last = shares.len() - 1;
    let place = |x: f64| if width > 0.0 { ((x - low) / width).clamp(0.0, shares.len() as f64) } else { 0.0 };
    let (from, to) = (place(mass.low), place(mass.high));
    let whole = (mass.high - mass.low) / width;
    if !(to - from).is_normal() || !whole.is_finite() {
        shares[(from as usize).min(last)] += mass.share;
        return;
    }
    let first = (from as usize).min(last);
    for (bar, share) in shares.iter_mut().enumerate().take(to.ceil() as usize).skip(first) {
        let overlap = to.min((bar + 1) as f64) - from.max(bar as f64);
        *share += mass.share * (overlap / whole).max(0.0);
    }
    // What lies beyond the bars.
    let beyond_low = ((low - mass.low) / width).max(0.0) / whole;
    let beyond_high = (mass.high - (low + width * shares.len() as f64)).max(0.0) / width / whole;
    shares[0] += mass.share * beyond_low.min(1.0);
    shares[last] += mass.share * beyond_high.min(1.0);
}

/// The most frequent categories, now or in training, and all others together.
fn categories(names: &[String], training: Option<&[u64]>, counts: &Counts) -> Vec<CategoryBar> {
    let now = counts.total().max(1) as f64;
    let before = training.map(|training| training.iter().sum::<u64>().max(1) as f64);
    let share = |at: usize| counts.get(at) as f64 / now;
    let training_share = |at: usize| Some(*training?.get(at)? as f64 / before?);
    let mut bars: Vec<CategoryBar> = names
        .iter()
        .enumerate()
        .map(|(at, name)| CategoryBar {
            name: name.clone(),
            share: share(at),
            training_share: training_share(at),
        })
        .collect();
    let weight = |bar: &CategoryBar| bar.share.max(bar.training_share.unwrap_or(0.0));
    bars.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let rest = bars.split_off(bars.len().min(CATEGORIES));
    if !rest.is_empty() {
        bars.push(CategoryBar {
            name: format!("{} others", rest.len()),
            share: rest.iter().map(|bar| bar.share).sum(),
            training_share: training.map(|_| rest.iter().filter_map(|bar| bar.training_share).sum()),
        });
    }
    let unknown = share(names.len());
    if unknown > 0.0 {
        bars.push(CategoryBar {
            name: "unknown".to_owned(),
            share: unknown,
            training_share: before.map(|_| 0.0),
        });
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mass(low: f64, high: f64, share: f64) -> Mass {
        Mass { low, high, share }
    }

    #[test]
    fn nothing_is_lost_when_cells_are_spread() {
        let masses = [mass(-9.0, -2.0, 0.1), mass(-1.0, 0.5, 0.4), mass(0.5, 0.5, 0.2), mass(0.9, 40.0, 0.3)];
        let bars = spread(&masses, None, -1.0, 1.0);
        let whole: f64 = bars.iter().map(|bar| bar.share).sum();
        assert!((whole - 1.0).abs() < 1e-9, "{whole}");
        assert!((bars[0].share - (0.1 + 0.4 * 0.08 / 1.5)).abs() < 1e-9, "{bars:?}");
        assert_eq!((bars.len(), bars[24].to), (25, 1.0));
    }

    #[test]
    fn one_value_is_one_bar() {
        let (low, high) = view(&[mass(2.0, 2.0, 1.0)], None);
        assert_eq!(
            spread(&[mass(2.0, 2.0, 1.0)], None, low, high),
            [Bar { from: 2.0, to: 2.0, share: 1.0, training_share: None }]
        );
        assert_eq!(view(&[], None), (0.0, 0.0));
        assert_eq!(view(&[mass(-1e308, 1e308, 1.0)], None), (0.0, 0.0));
    }
}
