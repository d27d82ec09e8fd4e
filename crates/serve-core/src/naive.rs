//! A plain evaluator that shares no code with the engine: it reads a model as stored and follows the definitions word
//! by word. It answers the golden rows of a bundle that came without a reference's own answers, and the tests hold the
//! engine against it. Only the transforms, the scaler and the link function, which have golden files of their own, are
//! common to both.

use crate::ensemble::Model;
use crate::link::Precision;
use crate::pipeline::Estimator;
use crate::transform::{self, InvalidTransform};
use crate::tree::{
    Aggregation, CategoryRounding, Leaf, Missing, Node, Test, Tree, TreeEnsemble, ZERO_THRESHOLD,
};

/// The scores of one row, whose values are in the order of `names`.
///
/// # Errors
/// When a transform cannot be applied.
pub fn scores(estimator: &Estimator, names: &[String], row: &[f64]) -> Result<Vec<f64>, InvalidTransform> {
    let inputs = || names.iter().map(String::as_str);
    let mut columns = transform::apply(inputs(), &estimator.transforms, row)?;
    if let Some(scaler) = &estimator.scaler {
        scaler.transform(&mut columns);
    }
    let raw = match &estimator.model {
        Model::Linear(model) => {
            let mut out = vec![0.0; model.outputs()];
            model.score(&columns, &mut out);
            out
        }
        Model::Trees(trees) => tree_scores(trees, &columns),
        Model::Graph(graph) => graph.evaluate(&columns),
        Model::Ensemble(ensemble) => {
            let names = transform::output_names(inputs(), &estimator.transforms)?;
            let mut sums: Vec<f64> = Vec::new();
            let mut total = 0.0;
            for member in ensemble.members() {
                let scores = scores(&member.estimator, &names, &columns)?;
                sums.resize(scores.len(), 0.0);
                for k in 0..scores.len() {
                    sums[k] += member.weight * scores[k];
                }
                total += member.weight;
            }
            sums.iter().map(|sum| sum / total).collect()
        }
    };
    let mut out = vec![0.0; estimator.link.outputs(raw.len())];
    estimator.link.apply(&raw, &mut out);
    Ok(out)
}

pub(crate) fn tree_scores(ensemble: &TreeEnsemble, row: &[f64]) -> Vec<f64> {
    let shape = ensemble.shape();
    let narrow = |x: f64, precision| if precision == Precision::F32 { f64::from(x as f32) } else { x };
    let row: Vec<f64> = row.iter().map(|x| narrow(*x, shape.input_precision)).collect();
    let start = match shape.aggregation {
        Aggregation::Min => f64::INFINITY,
        Aggregation::Max => f64::NEG_INFINITY,
        _ => 0.0,
    };
    let mut scores = if shape.base.is_empty() { vec![start; ensemble.outputs()] } else { shape.base.clone() };
    // Per output, how many trees have a say in it.
    let mut trees = vec![0.0; scores.len()];
    for tree in ensemble.trees() {
        let values = match leaf(&tree, &row, shape.category_rounding) {
            Leaf::Scalar(class) if shape.aggregation == Aggregation::Vote => {
                scores[*class as usize] += 1.0;
                trees.iter_mut().for_each(|count| *count += 1.0);
                continue;
            }
            Leaf::Scalar(value) => vec![(tree.output as usize, *value)],
            Leaf::Vector(values) => values.iter().copied().enumerate().collect(),
            Leaf::Linear { constant, terms, otherwise } => {
                let missing = terms.iter().any(|(feature, _)| row[*feature as usize].is_nan());
                let set_to_zero = |x: f64| if x.abs() <= ZERO_THRESHOLD { 0.0 } else { x };
                let add = |sum, (feature, coefficient): &(u32, f64)| {
                    sum + coefficient * set_to_zero(row[*feature as usize])
                };
                let value = if missing { *otherwise } else { terms.iter().fold(*constant, add) };
                vec![(tree.output as usize, value)]
            }
        };
        for (output, value) in values {
            let score = &mut scores[output];
            *score = match shape.aggregation {
                Aggregation::Min => score.min(value),
                Aggregation::Max => score.max(value),
                _ => narrow(*score + value, shape.sum_precision),
            };
            trees[output] += 1.0;
        }
    }
    for (score, trees) in scores.iter_mut().zip(trees) {
        match shape.aggregation {
            Aggregation::Sum => {}
            Aggregation::Average | Aggregation::Vote => *score /= f64::max(trees, 1.0),
            // An output without trees has neither a least nor a greatest leaf.
            Aggregation::Min | Aggregation::Max if trees == 0.0 => *score = 0.0,
            Aggregation::Min | Aggregation::Max => {}
        }
    }
    scores
}

fn leaf<'a>(tree: &'a Tree, row: &[f64], rounding: CategoryRounding) -> &'a Leaf {
    let mut node = &tree.nodes[0];
    loop {
        match node {
            Node::Leaf(leaf) => return leaf,
            Node::Split { feature, test, missing, left, right } => {
                let left_side = goes_left(row[*feature as usize], test, *missing, rounding);
                let next = if left_side { left } else { right };
                node = &tree.nodes[*next as usize];
            }
        }
    }
}

fn goes_left(x: f64, test: &Test, missing: Missing, rounding: CategoryRounding) -> bool {
    match test {
        _ if x.is_nan() => missing.left,
        Test::AtMost(_) if missing.zero && (-ZERO_THRESHOLD..=ZERO_THRESHOLD).contains(&x) => missing.left,
        Test::AtMost(threshold) => x <= *threshold,
        Test::InSet(words) => {
            let whole = if rounding == CategoryRounding::Floor { x.floor() } else { x.trunc() };
            let members = words.len() as f64 * 32.0;
            if !(0.0..members).contains(&whole) {
                return false;
            }
            let category = whole as u64;
            let word = words[(category / 32) as usize];
            word & (1 << (category % 32)) != 0
        }
    }
}
