//! Tree ensembles lowered to serve-core's, with onnxruntime's arithmetic: comparisons and sums in `f32` where the rows
//! are, base values added last, and its rules for two classes.
//!
//! `x < t` is `x <= t.next_down()`; `>` and `>=` exchange the children; `==`, `!=` and sets become columns of 0 and 1
//! beside the rows.

use serve_core::TreeEnsemble;
use serve_core::ensemble::Model;
use serve_core::graph::{Binary, Dtype, Lookup, Op, Tensor, Unary};
use serve_core::link::{Link, LinkFunction, Precision};
use serve_core::tree::{Aggregation, InvalidTrees, Leaf, Missing, Node, Shape, Test, Tree};

use super::super::file::NodeFile;
use super::super::lower::{Bare, Fault, Lowering, Value};
use super::scores::{self, Transform};
use super::tree_attributes::{self, Mode, RawNode, RawTrees, listed, rooted};

/// A question that becomes a column: feature, members, and whether NaN says yes.
type Indicator = (u32, Vec<u64>, bool);

/// Trees in the graph.
struct Grown {
    rows: Tensor,
    scores: Tensor,
    ensemble: TreeEnsemble,
}

/// How an ensemble aggregates and what is added last.
struct Sums {
    aggregation: Aggregation,
    base: Vec<f64>,
}

fn aggregation(node: &NodeFile<'_>) -> Result<Aggregation, Fault> {
    let named = node.text("aggregate_function")?;
    let number = node.int("aggregate_function", 1);
    match (named, number) {
        (Some("SUM"), _) | (None, 1) => Ok(Aggregation::Sum),
        (Some("AVERAGE"), _) | (None, 0) => Ok(Aggregation::Average),
        (Some("MIN"), _) | (None, 2) => Ok(Aggregation::Min),
        (Some("MAX"), _) | (None, 3) => Ok(Aggregation::Max),
        _ => Err(Fault::unsupported("this aggregate_function", "SUM, AVERAGE, MIN and MAX")),
    }
}

struct Grower {
    width: usize,
    single: bool,
    indicators: Vec<Indicator>,
}

impl Grower {
    fn threshold(&self, value: f64, below: bool) -> f64 {
        match (below, self.single) {
            (false, _) => value,
            (true, true) => f64::from((value as f32).next_down()),
            (true, false) => value.next_down(),
        }
    }

    fn split(&mut self, node: &RawNode) -> Result<Option<Node>, Fault> {
        let RawNode::Split { feature, mode, value, missing_true, yes, no } = node else { return Ok(None) };
        let (yes, no) = (*yes as u32, *no as u32);
        if value.is_nan() && !matches!(mode, Mode::Member(_)) {
            return Err(Fault::invalid("thresholds that are numbers", "NaN"));
        }
        let (below, swapped) = match mode {
            Mode::AtMost => (false, false),
            Mode::Below => (true, false),
            Mode::Above => (false, true),
            Mode::AtLeast => (true, true),
            Mode::Equal | Mode::NotEqual => {
                return Ok(Some(self.indicated(*feature, &[*value], *missing_true, mode, yes, no)));
            }
            Mode::Member(members) => {
                return Ok(Some(self.indicated(*feature, members, *missing_true, mode, yes, no)));
            }
        };
        let left_if_missing = *missing_true != swapped;
        let (left, right) = if swapped { (no, yes) } else { (yes, no) };
        let test = match self.threshold(*value, below) {
            // Nothing is below minus infinity.
            f64::NEG_INFINITY if below => Test::InSet(Vec::new()),
            threshold => Test::AtMost(threshold),
        };
        let missing = Missing { left: left_if_missing, zero: false };
        Ok(Some(Node::Split { feature: *feature, test, missing, left, right }))
    }

    /// A split on the column that holds 1 where the answer is "equal" or "member".
    fn indicated(
        &mut self,
        feature: u32,
        members: &[f64],
        missing: bool,
        mode: &Mode,
        yes: u32,
        no: u32,
    ) -> Node {
        let negated = *mode == Mode::NotEqual;
        // NaN is not equal to anything: it answers "not equal" by itself.
        let nan_member = missing && !negated;
        // Negative zero equals zero.
        let bits = members.iter().map(|member| (member + 0.0).to_bits()).collect();
        let indicator = (feature, bits, nan_member);
        let place = self.indicators.iter().position(|known| *known == indicator).unwrap_or_else(|| {
            self.indicators.push(indicator);
            self.indicators.len() - 1
        });
        let (left, right) = if negated { (yes, no) } else { (no, yes) };
        let missing = Missing { left: false, zero: false };
        Node::Split { feature: (self.width + place) as u32, test: Test::AtMost(0.5), missing, left, right }
    }
}

/// Puts the trees into the graph.
fn grow<'a>(
    node: &NodeFile<'a>,
    low: &mut Lowering<'a>,
    rows: Tensor,
    raw: &RawTrees,
    outputs: usize,
    sums: &Sums,
) -> Result<Grown, Fault> {
    let single = low.graph.dtype(rows) == Dtype::F32;
    if raw.double && single {
        return Err(Fault::unsupported("double trees over float rows", "trees and rows of one type"));
    }
    let width = low.graph.shape(rows)[1];
    let mut grower = Grower { width, single, indicators: Vec::new() };
    let scalar = single_outputs(raw);
    let nothing = match sums.aggregation {
        Aggregation::Min => f64::INFINITY,
        Aggregation::Max => f64::NEG_INFINITY,
        _ => 0.0,
    };
    if !scalar {
        check_vectors(raw, outputs)?;
    }
    let mut trees = Vec::with_capacity(raw.trees.len());
    for raw in &raw.trees {
        trees.push(tree(raw, &mut grower, outputs, scalar, nothing)?);
    }
    let last = sums.aggregation == Aggregation::Sum && !sums.base.is_empty();
    if last {
        trees.extend(base_trees(&sums.base, scalar));
    }
    let precision = if single { Precision::F32 } else { Precision::F64 };
    let shape = Shape {
        inputs: (width + grower.indicators.len()) as u32,
        outputs: outputs as u32,
        // The mean is taken in the graph, in the sums' precision.
        aggregation: if sums.aggregation == Aggregation::Average {
            Aggregation::Sum
        } else {
            sums.aggregation
        },
        input_precision: precision,
        sum_precision: precision,
        ..Shape::default()
    };
    let ensemble = TreeEnsemble::new(shape, &trees).map_err(|error| located(&error, node))?;
    let rows = with_indicators(low, rows, &grower.indicators)?;
    let mut scores = low.graph.push(Op::Trees(ensemble.clone()), &[rows])?;
    if sums.aggregation == Aggregation::Average {
        scores = low.graph.binary_scalar(Binary::Div, scores, raw.trees.len().max(1) as f64)?;
    }
    if !last && !sums.base.is_empty() {
        let base = low.graph.row_constant(sums.base.clone(), low.graph.dtype(scores))?;
        scores = low.graph.binary(Binary::Add, scores, base)?;
    }
    Ok(Grown { rows, scores, ensemble })
}

fn located(error: &InvalidTrees, _node: &NodeFile<'_>) -> Fault {
    Fault::Problem(error.to_string())
}

/// Leaves get a value per output: the file must bear out such an amount.
fn check_vectors(raw: &RawTrees, outputs: usize) -> Result<(), Fault> {
    let count = |node: &RawNode| match node {
        RawNode::Leaf(entries) => (1_usize, entries.len()),
        RawNode::Split { .. } => (0, 0),
    };
    let all = raw.trees.iter().flatten().map(count);
    let (leaves, entries) = all.fold((0, 0), |all, own| (all.0 + own.0, all.1 + own.1));
    let most = entries.saturating_mul(64).max(1 << 20);
    if leaves.saturating_mul(outputs) <= most {
        return Ok(());
    }
    Err(Fault::invalid(format!("weights for {leaves} leaves of {outputs} outputs"), format!("{entries}")))
}

/// The output of each tree where every tree has only one; else leaves are vectors.
fn single_outputs(raw: &RawTrees) -> bool {
    raw.trees.iter().all(|nodes| {
        let mut output = None;
        nodes.iter().all(|node| match node {
            RawNode::Leaf(entries) => match entries[..] {
                [(own, _)] => *output.get_or_insert(own) == own,
                _ => false,
            },
            RawNode::Split { .. } => true,
        })
    })
}

fn tree(
    raw: &[RawNode],
    grower: &mut Grower,
    outputs: usize,
    scalar: bool,
    nothing: f64,
) -> Result<Tree, Fault> {
    let mut nodes = Vec::with_capacity(raw.len());
    let mut output = 0;
    for node in raw {
        let split = grower.split(node)?;
        nodes.push(match (split, node) {
            (Some(split), _) => split,
            (None, RawNode::Leaf(entries)) if scalar => {
                let (own, value) = entries.first().copied().unwrap_or((0, 0.0));
                output = own as u32;
                Node::Leaf(Leaf::Scalar(value))
            }
            (None, RawNode::Leaf(entries)) => {
                let mut values = vec![nothing; outputs];
                entries.iter().for_each(|&(own, value)| values[own] = value);
                Node::Leaf(Leaf::Vector(values))
            }
            (None, RawNode::Split { .. }) => {
                return Err(Fault::Problem("a split without a question".to_owned()));
            }
        });
    }
    Ok(Tree { output, nodes, ..Tree::default() })
}

/// Base values as the last trees, of one leaf each: the engine starts its sums from base values, onnxruntime ends
/// with them.
fn base_trees(base: &[f64], scalar: bool) -> Vec<Tree> {
    if scalar {
        let tree = |(output, &value): (usize, &f64)| Tree {
            output: output as u32,
            nodes: vec![Node::Leaf(Leaf::Scalar(value))],
            ..Tree::default()
        };
        return base.iter().enumerate().map(tree).collect();
    }
    vec![Tree { nodes: vec![Node::Leaf(Leaf::Vector(base.to_vec()))], ..Tree::default() }]
}

fn with_indicators(low: &mut Lowering<'_>, rows: Tensor, indicators: &[Indicator]) -> Result<Tensor, Fault> {
    if indicators.is_empty() {
        return Ok(rows);
    }
    let dtype = low.graph.dtype(rows);
    let mut parts = vec![rows];
    // Neighbours that ask for one number each are one comparison.
    let alike = |a: &Indicator, b: &Indicator| a.2 == b.2 && a.1.len() == 1 && b.1.len() == 1;
    for group in indicators.chunk_by(alike) {
        let columns: Vec<usize> = group.iter().map(|(feature, ..)| *feature as usize).collect();
        let values = low.graph.select(rows, 1, &columns)?;
        let mut hot = match group {
            [(_, members, _)] if members.len() != 1 => {
                let keys: Vec<f64> = members.iter().map(|&bits| f64::from_bits(bits)).collect();
                let values_of = vec![1.0; keys.len()];
                let lookup = Lookup { keys, values: values_of, otherwise: 0.0, dtype: Dtype::Bool };
                low.graph.push(Op::Lookup(lookup), &[values])?
            }
            _ => {
                let members = group.iter().map(|(_, members, _)| f64::from_bits(members[0])).collect();
                let members = low.graph.row_constant(members, dtype)?;
                low.graph.binary(Binary::Equal, values, members)?
            }
        };
        if group[0].2 {
            let missing = low.graph.unary(Unary::IsNan, values)?;
            hot = low.graph.binary(Binary::Or, hot, missing)?;
        }
        parts.push(low.graph.cast(hot, dtype)?);
    }
    Ok(low.graph.concat(1, &parts)?)
}

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
    let mut grown = grow(node, low, rows, raw, outputs, &sums)?;
    if outputs > 1 && !(0..outputs).all(|output| every_leaf_has(raw, output)) {
        grown.scores = held_where_reached(node, low, rows, raw, outputs, grown.scores)?;
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
fn held_where_reached<'a>(
    node: &NodeFile<'a>,
    low: &mut Lowering<'a>,
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
    let hits = grow(node, low, rows, &hits, outputs, &sums)?.scores;
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
        binary(node, low, rows, &raw, base, transform)?
    } else {
        if !base.is_empty() && base.len() != classes {
            return Err(Fault::invalid(format!("{classes} base_values or none"), base.len().to_string()));
        }
        let grown = grow(node, low, rows, &raw, classes, &Sums { aggregation: Aggregation::Sum, base })?;
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
fn binary<'a>(
    node: &NodeFile<'a>,
    low: &mut Lowering<'a>,
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
        return single(node, low, rows, raw, base, transform, positive, bound);
    }
    let sums = |base| Sums { aggregation: Aggregation::Sum, base };
    // A class without weights keeps the score 0, whatever is added.
    let held = |class: usize, value: f64| if seen[class] { value } else { 0.0 };
    let both = match base[..] {
        [_, second] if seen[1] => {
            // The second class's score is the first one's sum and the second base value.
            let grown = grow(node, low, rows, raw, 2, &sums(Vec::new()))?;
            let first = low.graph.select(grown.scores, 1, &[0])?;
            let score = low.graph.binary_scalar(Binary::Add, first, second)?;
            let both = scores::opposite(low, score)?;
            let signs = low.graph.row_constant(vec![held(0, 1.0), 1.0], low.graph.dtype(both))?;
            low.graph.binary(Binary::Mul, both, signs)?
        }
        [first, ..] => grow(node, low, rows, raw, 2, &sums(vec![held(0, first), 0.0]))?.scores,
        [] => grow(node, low, rows, raw, 2, &sums(Vec::new()))?.scores,
    };
    let decisive = low.graph.select(both, 1, &[usize::from(seen[1])])?;
    let index = scores::above(low, decisive, bound)?;
    let result = transform.apply(low, both)?;
    Ok((low.graph.cast(result, Dtype::F32)?, index))
}

/// Weights of the first class only: one score stands for both.
#[allow(clippy::too_many_arguments, reason = "what `binary` has found out")]
fn single<'a>(
    node: &NodeFile<'a>,
    low: &mut Lowering<'a>,
    rows: Tensor,
    raw: &RawTrees,
    base: Vec<f64>,
    transform: Transform,
    positive: bool,
    bound: f64,
) -> Result<(Tensor, Tensor), Fault> {
    let grown = grow(node, low, rows, raw, 1, &Sums { aggregation: Aggregation::Sum, base })?;
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
