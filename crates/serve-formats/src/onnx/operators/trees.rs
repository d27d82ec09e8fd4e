//! `TreeEnsembleClassifier`, `TreeEnsembleRegressor` and `TreeEnsemble`, with onnxruntime's arithmetic: comparisons and
//! sums in `f32` where the rows are, base values added last, and its rules for two classes.

use serve_core::ensemble::Model;
use serve_core::graph::{Binary, Dtype, Op, Tensor};
use serve_core::link::{Link, LinkFunction, Precision};
use serve_core::tree::Aggregation;

use super::super::file::NodeFile;
use super::super::lower::{Bare, Fault, Lowering, Value};
use super::scores::{self, Transform};
use super::tree_attributes::{self, RawNode, RawTrees, listed, rooted};
use super::tree_growth::{Grown, Sums, aggregation, grow};

/// Whole numbers are compared as `f32`.
fn tree_rows<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Tensor, Fault> {
    let rows = low.rows(node, 0)?;
    if low.graph.dtype(rows).is_float() { Ok(rows) } else { Ok(low.graph.cast(rows, Dtype::F32)?) }
}

fn base_values(node: &NodeFile<'_>) -> Result<Vec<f64>, Fault> {
    Ok(tree_attributes::numbers(node, "base_values")?.0)
}

fn bare(low: &mut Lowering<'_>, grown: Grown, scores: Tensor, function: LinkFunction) {
    // What came after the trees, a mean or a base value, is not in the model.
    let after = grown.ensemble.shape().aggregation != Aggregation::Sum;
    if !after && low.graph.dtype(grown.rows) == Dtype::F32 {
        let link = Link { function, precision: Precision::F32 };
        low.bare.push(Bare { scores, model: Model::Trees(grown.ensemble), link });
    }
}

pub(super) fn regressor<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let rows = tree_rows(node, low)?;
    let outputs = usize::try_from(node.int("n_targets", 1)).unwrap_or(0).min(1 << 16);
    let raw = listed(node, "target", outputs, low.graph.shape(rows)[1])?;
    let base = base_values(node)?;
    let base = if base.len() == outputs { base } else { Vec::new() };
    regression(node, low, rows, &raw, outputs, base, Transform::named(node)?)
}

pub(super) fn ensemble<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let rows = tree_rows(node, low)?;
    let outputs = usize::try_from(node.int("n_targets", 1)).unwrap_or(0).min(1 << 16);
    let raw = rooted(node, outputs, low.graph.shape(rows)[1])?;
    let transform = match node.int("post_transform", 0) {
        _ if outputs == 1 => Transform::None,
        0 => Transform::None,
        3 => Transform::SoftmaxZero,
        // The standard has SOFTMAX for 1 and LOGISTIC for 2, onnxruntime 1.31 the other way round.
        other => {
            return Err(Fault::unsupported(format!("post_transform {other} of several targets"), "0 and 3"));
        }
    };
    regression(node, low, rows, &raw, outputs, Vec::new(), transform)
}

fn regression<'a>(
    node: &NodeFile<'a>,
    low: &mut Lowering<'a>,
    rows: Tensor,
    raw: &RawTrees,
    outputs: usize,
    base: Vec<f64>,
    transform: Transform,
) -> Result<Value, Fault> {
    let sums = Sums { aggregation: aggregation(node)?, base };
    let mut grown = grow(low, rows, raw, outputs, &sums)?;
    if outputs > 1 && !(0..outputs).all(|output| every_leaf_has(raw, output)) {
        grown.scores = held_where_reached(low, rows, raw, outputs, grown.scores)?;
    }
    // onnxruntime applies no transform to a single target.
    let transform = if outputs == 1 { Transform::None } else { transform };
    let mut scores = transform.apply(low, grown.scores)?;
    if node.op != "TreeEnsemble" {
        scores = low.graph.cast(scores, Dtype::F32)?;
    }
    let whole = outputs == 1 || (0..outputs).all(|output| every_leaf_has(raw, output));
    if transform == Transform::None && sums.aggregation == Aggregation::Sum && whole {
        bare(low, grown, scores, LinkFunction::Identity);
    }
    Ok(Value::Number(scores))
}

/// A target that no reached leaf has a weight of keeps the score 0, without its base value.
fn held_where_reached(
    low: &mut Lowering<'_>,
    rows: Tensor,
    raw: &RawTrees,
    outputs: usize,
    scores: Tensor,
) -> Result<Tensor, Fault> {
    let mut hits = RawTrees { trees: raw.trees.clone(), double: raw.double };
    for node in hits.trees.iter_mut().flatten() {
        if let RawNode::Leaf(entries) = node {
            entries.iter_mut().for_each(|(_, value)| *value = 1.0);
        }
    }
    let sums = Sums { aggregation: Aggregation::Sum, base: Vec::new() };
    let hits = grow(low, rows, &hits, outputs, &sums)?.scores;
    let reached = low.graph.binary_scalar(Binary::Greater, hits, 0.0)?;
    let zero = low.graph.scalar(0.0, low.graph.dtype(scores))?;
    Ok(low.graph.push(Op::Where, &[reached, scores, zero])?)
}

pub(super) fn classifier<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Vec<Value>, Fault> {
    let (labels, classes) = scores::class_labels(node, low)?;
    let transform = Transform::named(node)?;
    let rows = tree_rows(node, low)?;
    let raw = listed(node, "class", classes, low.graph.shape(rows)[1])?;
    let base = base_values(node)?;
    if classes < 2 {
        return Err(Fault::unsupported("a classifier of one class", "two classes or more"));
    }
    let (result, index) = if classes == 2 {
        binary(low, rows, &raw, base, transform)?
    } else {
        if !base.is_empty() && base.len() != classes {
            return Err(Fault::invalid(format!("{classes} base_values or none"), base.len().to_string()));
        }
        let grown = grow(low, rows, &raw, classes, &Sums { aggregation: Aggregation::Sum, base })?;
        let index = scores::greatest(low, grown.scores)?;
        let result = transform.apply(low, grown.scores)?;
        let result = low.graph.cast(result, Dtype::F32)?;
        match transform {
            Transform::None => bare(low, grown, result, LinkFunction::Identity),
            Transform::Softmax => bare(low, grown, result, LinkFunction::Softmax),
            Transform::Logistic | Transform::SoftmaxZero => {}
        }
        (result, index)
    };
    Ok(vec![scores::label(low, &labels, index)?, Value::Number(result)])
}

/// Which of the two classes leaves have weights of.
fn classes_of(raw: &RawTrees) -> [bool; 2] {
    let mut seen = [false; 2];
    for node in raw.trees.iter().flatten() {
        if let RawNode::Leaf(entries) = node {
            entries.iter().for_each(|&(class, _)| seen[class] = true);
        }
    }
    seen
}

fn every_leaf_has(raw: &RawTrees, class: usize) -> bool {
    let has = |node: &RawNode| match node {
        RawNode::Leaf(entries) => entries.iter().any(|&(own, _)| own == class),
        RawNode::Split { .. } => true,
    };
    raw.trees.iter().any(|nodes| nodes.iter().all(has))
}

fn all_positive(raw: &RawTrees) -> bool {
    let positive = |node: &RawNode| match node {
        RawNode::Leaf(entries) => entries.iter().all(|&(_, value)| value >= 0.0),
        RawNode::Split { .. } => true,
    };
    raw.trees.iter().flatten().all(positive)
}

/// onnxruntime's rules for two classes. With weights of one class only, the scores depend on the signs of the weights.
fn binary(
    low: &mut Lowering<'_>,
    rows: Tensor,
    raw: &RawTrees,
    base: Vec<f64>,
    transform: Transform,
) -> Result<(Tensor, Tensor), Fault> {
    let seen = classes_of(raw);
    let alone = seen != [true, true];
    let positive = all_positive(raw);
    let uneven = |class: usize| seen[class] && !every_leaf_has(raw, class);
    if uneven(1) || (uneven(0) && !base.is_empty()) {
        return Err(Fault::unsupported(
            "leaves of which some have weights of the second class",
            "all or none",
        ));
    }
    if base.len() > 2 {
        return Err(Fault::invalid("at most 2 base_values", base.len().to_string()));
    }
    let bound = if alone && positive { 0.5 } else { 0.0 };
    if !seen[1] && base.len() < 2 {
        return single(low, rows, raw, base, transform, positive, bound);
    }
    let sums = |base| Sums { aggregation: Aggregation::Sum, base };
    // A class without weights keeps the score 0, whatever is added.
    let held = |class: usize, value: f64| if seen[class] { value } else { 0.0 };
    let both = match base[..] {
        [_, second] if seen[1] => {
            // The second class's score is the first one's sum and the second base value.
            let grown = grow(low, rows, raw, 2, &sums(Vec::new()))?;
            let first = low.graph.select(grown.scores, 1, &[0])?;
            let score = low.graph.binary_scalar(Binary::Add, first, second)?;
            let both = scores::opposite(low, score)?;
            let signs = low.graph.row_constant(vec![held(0, 1.0), 1.0], low.graph.dtype(both))?;
            low.graph.binary(Binary::Mul, both, signs)?
        }
        [first, ..] => grow(low, rows, raw, 2, &sums(vec![held(0, first), 0.0]))?.scores,
        [] => grow(low, rows, raw, 2, &sums(Vec::new()))?.scores,
    };
    let decisive = low.graph.select(both, 1, &[usize::from(seen[1])])?;
    let index = scores::above(low, decisive, bound)?;
    let result = transform.apply(low, both)?;
    Ok((low.graph.cast(result, Dtype::F32)?, index))
}

/// Weights of the first class only: one score stands for both.
#[allow(clippy::too_many_arguments, reason = "what `binary` has found out")]
fn single(
    low: &mut Lowering<'_>,
    rows: Tensor,
    raw: &RawTrees,
    base: Vec<f64>,
    transform: Transform,
    positive: bool,
    bound: f64,
) -> Result<(Tensor, Tensor), Fault> {
    let grown = grow(low, rows, raw, 1, &Sums { aggregation: Aggregation::Sum, base })?;
    let score = grown.scores;
    let index = scores::above(low, score, bound)?;
    if positive && transform != Transform::Logistic {
        let both = scores::complement(low, score)?;
        let both = low.graph.cast(both, Dtype::F32)?;
        bare(low, grown, both, LinkFunction::Complement);
        return Ok((both, index));
    }
    let both = scores::opposite(low, score)?;
    if transform != Transform::Logistic {
        return Ok((low.graph.cast(both, Dtype::F32)?, index));
    }
    // The transform is in f32 whatever the sums are in.
    let both = low.graph.cast(both, Dtype::F32)?;
    let result = scores::logistic(low, both)?;
    bare(low, grown, result, LinkFunction::FoldedLogistic);
    Ok((result, index))
}
