//! Trees put into a graph: every comparison as `x <= t`, base values as the last trees, questions of equality as columns
//! beside the rows.

use serve_core::TreeEnsemble;
use serve_core::graph::{Binary, Dtype, Lookup, Op, Tensor, Unary};
use serve_core::link::Precision;
use serve_core::tree::{Aggregation, Leaf, Missing, Node, Shape, Test, Tree};

use super::super::file::NodeFile;
use super::super::lower::{Fault, Lowering};
use super::tree_attributes::{Mode, RawNode, RawTrees};

/// A question that becomes a column: feature, members, and whether NaN says yes.
type Indicator = (u32, Vec<u64>, bool);

/// Trees in the graph.
pub(super) struct Grown {
    pub(super) rows: Tensor,
    pub(super) scores: Tensor,
    pub(super) ensemble: TreeEnsemble,
}

/// How an ensemble aggregates and what is added last.
pub(super) struct Sums {
    pub(super) aggregation: Aggregation,
    pub(super) base: Vec<f64>,
}

pub(super) fn aggregation(node: &NodeFile<'_>) -> Result<Aggregation, Fault> {
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
pub(super) fn grow(
    low: &mut Lowering<'_>,
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
    let ensemble = TreeEnsemble::new(shape, &trees).map_err(|error| Fault::Problem(error.to_string()))?;
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
