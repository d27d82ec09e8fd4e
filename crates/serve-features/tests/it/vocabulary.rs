//! The vocabulary's windows against the loops that define them, bit for bit: over columns longer and shorter than any block
//! in which the real ones work, with missing and infinite values, zeros of both signs, and stretches where nothing changes.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serve_features::vocabulary::rolling::{Statistic, rolling};
use serve_features::vocabulary::{Window, bands, daily, returns};

/// The window of row `t` as its definition has it: no pointer, no search.
fn seen<'a>(x: &'a [f64], timestamps: &[Timestamp], window: Window, t: usize) -> Option<&'a [f64]> {
    let length = match window {
        Window::Rows(n) => n,
        Window::Time(width) => {
            let width = i128::try_from(width.as_nanos()).expect("is short");
            let opening = timestamps[t].as_nanosecond() - width;
            let within = timestamps[..=t].iter().filter(|row| row.as_nanosecond() > opening).count();
            if within > t { 0 } else { within }
        }
    };
    (1..=t + 1).contains(&length).then(|| &x[t + 1 - length..=t])
}

fn sum(rows: impl Iterator<Item = f64>) -> f64 {
    rows.fold(0.0, |sum, x| sum + x)
}

fn mean(rows: &[f64]) -> f64 {
    if rows.iter().all(|x| *x == rows[0]) && rows[0].is_finite() {
        return rows[0];
    }
    sum(rows.iter().copied()) / rows.len() as f64
}

fn deviation(rows: &[f64], freedom: usize) -> f64 {
    if rows.len() <= freedom {
        return f64::NAN;
    }
    if rows.iter().all(|x| *x == rows[0]) && rows[0].is_finite() {
        return 0.0;
    }
    let mean = mean(rows);
    (sum(rows.iter().map(|x| (x - mean) * (x - mean))) / (rows.len() - freedom) as f64).sqrt()
}

fn quantile(rows: &[f64], q: f64) -> f64 {
    let mut sorted = rows.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = q * (rows.len() - 1) as f64;
    let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    if low == high { low } else { low + (high - low) * (rank - rank.floor()) }
}

/// A function of the vocabulary, and its value for one full window without a missing value.
struct Case {
    name: &'static str,
    fast: fn(&[f64], &[Timestamp], Window) -> Vec<f64>,
    slow: fn(&[f64]) -> f64,
}

macro_rules! cases {
    ($($name:ident: $fast:expr, $slow:expr;)*) => {
        [$(Case { name: stringify!($name), fast: $fast, slow: $slow }),*]
    };
}

const CASES: [Case; 12] = cases! {
    sum: |x, t, w| rolling(Statistic::Sum, x, t, w), |rows| sum(rows.iter().copied());
    mean: |x, t, w| rolling(Statistic::Mean, x, t, w), mean;
    std: |x, t, w| rolling(Statistic::Std, x, t, w), |rows| deviation(rows, 1);
    min: |x, t, w| rolling(Statistic::Min, x, t, w), |rows| {
        rows.iter().copied().fold(f64::INFINITY, |least, x| if least < x { least } else { x })
    };
    max: |x, t, w| rolling(Statistic::Max, x, t, w), |rows| {
        rows.iter().copied().fold(f64::NEG_INFINITY, |most, x| if most > x { most } else { x })
    };
    median: |x, t, w| rolling(Statistic::Median, x, t, w), |rows| quantile(rows, 0.5);
    first: |x, t, w| rolling(Statistic::Quantile(0.0), x, t, w), |rows| quantile(rows, 0.0);
    quantile: |x, t, w| rolling(Statistic::Quantile(0.83), x, t, w), |rows| quantile(rows, 0.83);
    zscore: bands::zscore, |rows| (rows[rows.len() - 1] - mean(rows)) / deviation(rows, 1);
    upper: |x, t, w| bands::bollinger(x, t, w, 2.5), |rows| mean(rows) + 2.5 * deviation(rows, 0);
    lower: |x, t, w| bands::bollinger(x, t, w, -2.0), |rows| mean(rows) + -2.0 * deviation(rows, 0);
    volume_ratio: bands::volume_ratio, |rows| {
        let mean = mean(rows);
        if mean == 0.0 { f64::NAN } else { rows[rows.len() - 1] / mean }
    };
};

fn same(got: f64, expected: f64) -> bool {
    got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan()
}

/// What a column is like.
#[derive(Debug, Clone)]
struct Shape {
    rows: usize,
    seed: u64,
    /// Of a hundred values, so many are special, and so many repeat the one before.
    special: u64,
    still: u64,
    /// The most seconds from row to row; 0 for rows that are all of one moment.
    apart: u64,
}

fn shape() -> impl Strategy<Value = Shape> {
    let rows = prop_oneof![4 => 0..80usize, 1 => 500..1300usize];
    (rows, any::<u64>(), 0..20u64, 0..100u64, 0..4u64).prop_map(|(rows, seed, special, still, apart)| Shape {
        rows,
        seed,
        special,
        still,
        apart,
    })
}

fn window() -> impl Strategy<Value = Window> {
    prop_oneof![
        3 => (0..40usize).prop_map(Window::Rows),
        1 => (40..700usize).prop_map(Window::Rows),
        3 => (0..60u64).prop_map(|seconds| Window::Time(Duration::from_secs(seconds))),
    ]
}

/// Numbers that are the same for the same seed (Knuth's linear congruence; the upper bits).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

fn column(shape: &Shape) -> (Vec<f64>, Vec<Timestamp>) {
    let special = [f64::NAN, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e300, 5e-324, -1e17];
    let (mut chance, mut second, mut last) = (Chance(shape.seed), 0, 0.1);
    let row = |_| {
        second += chance.below(shape.apart + 1);
        if chance.below(100) >= shape.still {
            last = match chance.below(100) {
                of_hundred if of_hundred < shape.special => {
                    special[chance.below(special.len() as u64) as usize]
                }
                _ => chance.below(2_000_000) as f64 / 1e3 - 900.0,
            };
        }
        (last, Timestamp::from_second(second.cast_signed()).expect("is in range"))
    };
    (0..shape.rows).map(row).unzip()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_window_has_the_bits_of_its_definition(shape in shape(), window in window()) {
        let (x, timestamps) = column(&shape);
        let windows: Vec<_> = (0..x.len()).map(|t| seen(&x, &timestamps, window, t)).collect();
        for Case { name, fast, slow } in CASES {
            let got = fast(&x, &timestamps, window);
            prop_assert_eq!(got.len(), x.len());
            for (t, (got, rows)) in got.iter().zip(&windows).enumerate() {
                let whole = rows.filter(|rows| !rows.iter().any(|x| x.is_nan()));
                let expected = whole.map_or(f64::NAN, slow);
                prop_assert!(same(*got, expected), "{} at {}: expected {:?}, got {:?}", name, t, expected, got);
            }
        }
        let counts = rolling(Statistic::Count, &x, &timestamps, window);
        for (got, rows) in counts.iter().zip(&windows) {
            let present = rows.map(|rows| rows.iter().filter(|x| !x.is_nan()).count());
            prop_assert!(same(*got, present.map_or(f64::NAN, |count| count as f64)));
        }
    }

    #[test]
    fn the_mean_of_a_day_is_that_of_its_present_values(shape in shape(), stretch in 1..40_000_i64) {
        let (x, seconds) = column(&shape);
        let moments = seconds.iter().map(|t| Timestamp::from_second((t.as_second() - 60) * stretch).expect("is in range"));
        let moments: Vec<Timestamp> = moments.collect();
        let day = |t: usize| moments[t].as_second().div_euclid(86_400);
        for (t, got) in daily::day_mean(&x, &moments).iter().enumerate() {
            let today: Vec<f64> = (0..=t).filter(|row| day(*row) == day(t)).map(|row| x[row]).collect();
            let present: Vec<f64> = today.into_iter().filter(|x| !x.is_nan()).collect();
            let expected = if present.is_empty() { f64::NAN } else { mean(&present) };
            prop_assert!(same(*got, expected), "at {}: expected {:?}, got {:?}", t, expected, got);
        }
    }

    #[test]
    fn a_row_is_held_against_the_one_n_before(shape in shape(), n in 0..60usize) {
        let (x, _) = column(&shape);
        let past = |t: usize| if t < n { f64::NAN } else { x[t - n] };
        let (lags, differences, changes) = (returns::lag(&x, n), returns::diff(&x, n), returns::simple_return(&x, n));
        for t in 0..x.len() {
            prop_assert!(same(lags[t], past(t)));
            prop_assert!(same(differences[t], x[t] - past(t)));
            prop_assert!(same(changes[t], x[t] / past(t) - 1.0));
        }
    }
}
