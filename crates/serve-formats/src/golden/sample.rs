//! Golden rows where no reference gave any: values on every threshold and beside it, in the sets and out of them,
//! missing, zero and far out. The naive evaluator answers them, so they prove that the engine does on the machine
//! that serves what the file says, but not that the file was understood; a reference's own answers do.
//!
//! The rows are a function of the model and the signature alone.

use serve_core::ensemble::Model;
use serve_core::tree::{Node, Test};
use serve_core::{CheckedRow, Golden, GoldenSource, Input, MissingPolicy, Signature, Tolerance, naive};

use crate::imported::ImportedModel;

/// Up to `rows` rows that `signature` admits, over what the model can tell apart: each feature runs through its telling
/// values in an order of its own. A row whose answer is not finite is left out. `O(rows · nodes)`.
#[must_use]
pub fn sample_golden(model: &ImportedModel, signature: &Signature, rows: usize) -> Golden {
    let mut random = SplitMix64(0x5eed);
    let mut columns: Vec<Column> = telling_values(model)
        .into_iter()
        .zip(signature.inputs())
        .map(|(values, input)| Column { values: admitted(values, input), next: 0 })
        .collect();
    let mut golden = Golden {
        source: GoldenSource::Naive,
        by: "serve-core's naive evaluator".to_owned(),
        tolerance: Tolerance::F64,
        rows: Vec::new(),
        scores: Vec::new(),
    };
    let names = model.feature_names();
    let mut checked = CheckedRow::new();
    for _ in 0..rows.saturating_mul(2) {
        if golden.rows.len() == rows {
            break;
        }
        let row: Vec<f64> = columns.iter_mut().map(|column| column.draw(&mut random)).collect();
        if signature.read_numbers(&row, &mut checked).is_err() {
            continue;
        }
        if let Ok(scores) = naive::scores(&model.estimator, &names, checked.values())
            && scores.iter().all(|score| score.is_finite())
        {
            golden.rows.push(row);
            golden.scores.push(scores);
        }
    }
    golden
}

/// Per feature, the values at which some tree could change its mind.
fn telling_values(model: &ImportedModel) -> Vec<Vec<f64>> {
    let mut thresholds = vec![Vec::new(); model.features.len()];
    let mut values = vec![vec![f64::NAN, 0.0, 1.0, -1.0]; model.features.len()];
    if let Model::Trees(trees) = &model.estimator.model {
        for node in trees.trees().flat_map(|tree| tree.nodes) {
            if let Node::Split { feature, test, .. } = node {
                match test {
                    Test::AtMost(threshold) => thresholds[feature as usize].push(threshold),
                    Test::InSet(words) => values[feature as usize].extend(around_set(&words)),
                }
            }
        }
    }
    for (feature, values) in model.features.iter().zip(&mut values) {
        if let Some(numbers) = &feature.numbers {
            *values = numbers.iter().flat_map(|&number| [number, number + 0.5]).chain([f64::NAN]).collect();
        }
    }
    for (thresholds, values) in thresholds.iter_mut().zip(&mut values) {
        thresholds.sort_by(f64::total_cmp);
        thresholds.dedup();
        values.extend(thresholds.iter().flat_map(|&t| around(t)));
        values.extend(thresholds.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])));
        values.extend(thresholds.first().map(|first| first - 1.0 - first.abs()));
        values.extend(thresholds.last().map(|last| last + 1.0 + last.abs()));
        values.sort_by(f64::total_cmp);
        values.dedup_by(|a, b| a.to_bits() == b.to_bits());
    }
    values
}

/// On the threshold and next to it, in `f64` and in `f32`.
fn around(threshold: f64) -> [f64; 4] {
    [threshold, threshold.next_up(), threshold.next_down(), f64::from((threshold as f32).next_up())]
}

/// The first and the last category of a set, their neighbours, a fraction, and one beyond the set's bits.
fn around_set(words: &[u32]) -> Vec<f64> {
    let member = |(word, bits): (usize, &u32)| {
        let bit = (*bits != 0).then(|| bits.trailing_zeros());
        bit.map(|bit| (word * 32) as f64 + f64::from(bit))
    };
    let mut members = words.iter().enumerate().filter_map(member);
    let (first, last) = (members.next(), members.next_back());
    let near = first.into_iter().chain(last).flat_map(|category| [category, category + 1.0, category + 0.5]);
    near.chain([(words.len() * 32) as f64, -0.5]).collect()
}

/// What the input lets through; where that is nothing, its bounds or what stands in for a missing value.
fn admitted(mut values: Vec<f64>, input: &Input) -> Vec<f64> {
    let any_number = input.missing == MissingPolicy::Nan;
    values.retain(|x| match input.range {
        _ if x.is_nan() => input.missing != MissingPolicy::Reject,
        Some(range) => range.contains(*x),
        None => any_number || x.is_finite(),
    });
    if let Some(range) = input.range {
        values.extend(range.min);
        values.extend(range.max);
    }
    if values.is_empty() { vec![0.0] } else { values }
}

/// Values drawn without replacement, again and again, each time in another order.
struct Column {
    values: Vec<f64>,
    next: usize,
}

impl Column {
    fn draw(&mut self, random: &mut SplitMix64) -> f64 {
        if self.next == 0 {
            for last in (1..self.values.len()).rev() {
                self.values.swap(last, random.below(last + 1));
            }
        }
        let value = self.values[self.next];
        self.next = (self.next + 1) % self.values.len();
        value
    }
}

/// Steele, Lea and Flood's generator: small, and the same everywhere.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The bias towards small numbers, below 2^-40 for any list of values, does not matter here.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut random = SplitMix64(1_234_567);
        let first: Vec<u64> = std::iter::repeat_with(|| random.next()).take(3).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn sets_are_sampled_in_and_out() {
        assert_eq!(around_set(&[0b110, 0, 1]), [1.0, 2.0, 1.5, 64.0, 65.0, 64.5, 96.0, -0.5]);
        assert_eq!(around_set(&[]), [0.0, -0.5]);
    }
}
