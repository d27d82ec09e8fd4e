//! A plain evaluator of graphs, one row and one node at a time by the definitions, to hold the engine against. It also
//! folds constants. It shares the formulas of single numbers with the engine, and nothing else.

use super::element;
use super::infer;
use super::op::{Binary, Extreme, Op, Reduction};
use super::{Dtype, Graph, TensorType};
use crate::naive::tree_scores;

/// The scores of one row.
pub(super) fn evaluate(graph: &Graph, row: &[f64]) -> Vec<f64> {
    let mut tensors: Vec<Vec<f64>> = Vec::with_capacity(graph.nodes.len());
    for (node, kind) in graph.nodes.iter().zip(&graph.types) {
        let operands: Vec<&[f64]> = node.operands.iter().map(|t| tensors[t.0 as usize].as_slice()).collect();
        let types: Vec<&TensorType> = node.operands.iter().map(|t| &graph.types[t.0 as usize]).collect();
        let values = self::node(&node.op, &types, &operands, kind, row);
        tensors.push(values);
    }
    tensors.swap_remove(graph.output.0 as usize)
}

/// One node's values.
pub(super) fn node(op: &Op, types: &[&TensorType], x: &[&[f64]], kind: &TensorType, row: &[f64]) -> Vec<f64> {
    let rounded = |x: f64| element::round(x, kind.dtype);
    match op {
        Op::Constant(constant) => constant.values.clone(),
        Op::Columns { columns, dtype } => {
            let value = |&column: &u32| row.get(column as usize).copied().unwrap_or(f64::NAN);
            columns.iter().map(|column| element::cast(value(column), *dtype)).collect()
        }
        Op::Cast(dtype) => x[0].iter().map(|&x| element::cast(x, *dtype)).collect(),
        Op::Reshape(_) => x[0].to_vec(),
        Op::Take { indices, .. } => indices.iter().map(|&i| x[0][i as usize]).collect(),
        Op::Concat { axis } => concat(*axis as usize, types, x, kind),
        Op::Unary(op) => x[0].iter().map(|&x| rounded(element::unary(*op, x))).collect(),
        Op::Binary(op) => binary(*op, types, x, kind),
        Op::Where => each(kind, |at| {
            let pick = |operand: usize| x[operand][place(at, &types[operand].shape)];
            if pick(0) == 0.0 { pick(2) } else { pick(1) }
        }),
        Op::Reduce { kind: reduction, axes } => {
            let all: Vec<u32> = (0..types[0].shape.len() as u32).collect();
            let axes = if axes.is_empty() { &all } else { axes };
            each(kind, |at| rounded(reduce(*reduction, &line(at, axes, types[0], x[0]))))
        }
        Op::Arg { extreme, axis, last } => {
            each(kind, |at| best(&line(at, &[*axis], types[0], x[0]), *extreme, *last) as f64)
        }
        Op::Softmax { axis, log } => softmax(*axis, *log, types[0], x[0], kind),
        Op::Gather { axis } => gather(*axis as usize, types, x, kind),
        Op::GatherElements { axis } => each(kind, |at| {
            let axis = *axis as usize;
            let index = x[1][place(at, &types[1].shape)];
            let found = indexed(index, types[0].shape[axis]);
            found.map_or(f64::NAN, |found| {
                let mut at = at.to_vec();
                at[axis] = found;
                x[0][place(&at, &types[0].shape)]
            })
        }),
        Op::TopK { axis, extreme, .. } => each(kind, |at| {
            let values = line(at, &[*axis], types[0], x[0]);
            let mut numbers: Vec<usize> = (0..values.len()).collect();
            numbers.sort_by(|&a, &b| element::rank(values[a], values[b], *extreme));
            numbers[at[*axis as usize]] as f64
        }),
        Op::CumSum { axis } => each(kind, |at| {
            let all = line(at, &[*axis], types[0], x[0]);
            rounded(all[..=at[*axis as usize]].iter().fold(0.0, |sum, x| sum + x))
        }),
        Op::MatMul => matmul(types, x, kind),
        Op::Lookup(lookup) => {
            let equal = |key: f64, x: f64| key == x || (key.is_nan() && x.is_nan());
            let find = |x: f64| lookup.keys.iter().position(|&key| equal(key, x));
            x[0].iter().map(|&x| find(x).map_or(lookup.otherwise, |i| lookup.values[i])).collect()
        }
        Op::SupportVectors(vectors) => {
            let width = vectors.width as usize;
            let rows = x[0].chunks_exact(width);
            let kernels = rows.flat_map(|row| {
                (vectors.vectors.chunks_exact(width)).map(|v| element::kernel(vectors.kernel, row, v))
            });
            kernels.map(rounded).collect()
        }
        Op::PairwiseCoupling { classes } => {
            let mut out = vec![0.0; *classes as usize];
            element::pairwise_coupling(x[0], &mut out);
            out.into_iter().map(rounded).collect()
        }
        Op::Linear(model) => {
            let mut out = vec![0.0; kind.elements()];
            let rows = x[0].chunks_exact(model.inputs()).zip(out.chunks_exact_mut(model.outputs()));
            rows.for_each(|(row, out)| model.score(row, out));
            out.into_iter().map(rounded).collect()
        }
        Op::Trees(trees) => {
            x[0].chunks_exact(trees.inputs()).flat_map(|row| tree_scores(trees, row)).map(rounded).collect()
        }
    }
}

/// A value for every position of the result.
fn each(kind: &TensorType, value: impl Fn(&[usize]) -> f64) -> Vec<f64> {
    let mut at = vec![0; kind.shape.len()];
    let mut out = Vec::new();
    for _ in 0..kind.elements() {
        out.push(value(&at));
        for axis in (0..at.len()).rev() {
            at[axis] += 1;
            if at[axis] < kind.shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    out
}

/// Where the position `at` of a result stands in an operand of this shape, broadcast.
fn place(at: &[usize], shape: &[usize]) -> usize {
    let own = &at[at.len() - shape.len()..];
    own.iter().zip(shape).fold(0, |offset, (&i, &n)| offset * n + if n == 1 { 0 } else { i })
}

/// The operand's values that differ from the position `at` in these axes only, in order.
fn line(at: &[usize], axes: &[u32], kind: &TensorType, x: &[f64]) -> Vec<f64> {
    let mut offsets = vec![0];
    for (axis, &length) in kind.shape.iter().enumerate() {
        let free = axes.contains(&(axis as u32));
        let own = if free { 0..length } else { at[axis]..at[axis] + 1 };
        offsets = offsets.iter().flat_map(|base| own.clone().map(move |i| base * length + i)).collect();
    }
    offsets.into_iter().map(|offset| x[offset]).collect()
}

fn concat(axis: usize, types: &[&TensorType], x: &[&[f64]], kind: &TensorType) -> Vec<f64> {
    each(kind, |at| {
        let mut at = at.to_vec();
        for (kind, x) in types.iter().zip(x) {
            if at[axis] < kind.shape[axis] {
                let offset = at.iter().zip(&kind.shape).fold(0, |offset, (&i, &n)| offset * n + i);
                return x[offset];
            }
            at[axis] -= kind.shape[axis];
        }
        f64::NAN
    })
}

fn binary(op: Binary, types: &[&TensorType], x: &[&[f64]], kind: &TensorType) -> Vec<f64> {
    let dtype = types[0].dtype;
    each(kind, |at| {
        let (a, b) = (x[0][place(at, &types[0].shape)], x[1][place(at, &types[1].shape)]);
        element::round(element::binary(op, a, b, dtype), kind.dtype)
    })
}

fn reduce(kind: Reduction, values: &[f64]) -> f64 {
    let fold = |start: f64, f: fn(f64, f64) -> f64| values.iter().fold(start, |all, &x| f(all, x));
    let max = || values[1..].iter().fold(values[0], |a, &b| element::binary(Binary::Max, a, b, Dtype::F64));
    match kind {
        Reduction::Sum => fold(0.0, |sum, x| sum + x),
        Reduction::Mean => fold(0.0, |sum, x| sum + x) / values.len() as f64,
        Reduction::Max => max(),
        Reduction::Min => {
            values[1..].iter().fold(values[0], |a, &b| element::binary(Binary::Min, a, b, Dtype::F64))
        }
        Reduction::Prod => fold(1.0, |product, x| product * x),
        Reduction::L1 => fold(0.0, |sum, x| sum + x.abs()),
        Reduction::L2 => fold(0.0, |sum, x| sum + x * x).sqrt(),
        Reduction::SumSquare => fold(0.0, |sum, x| sum + x * x),
        Reduction::LogSumExp => {
            let max = max();
            let base = if max.is_finite() { max } else { 0.0 };
            base + libm::log(values.iter().fold(0.0, |sum, x| sum + libm::exp(x - base)))
        }
        Reduction::LogSum => libm::log(fold(0.0, |sum, x| sum + x)),
    }
}

fn best(values: &[f64], extreme: Extreme, last: bool) -> usize {
    let better = |a: f64, b: f64| if extreme == Extreme::Max { a > b } else { a < b };
    (1..values.len()).fold(0, |best, i| {
        let wins = better(values[i], values[best]) || (last && values[i] == values[best]);
        if wins { i } else { best }
    })
}

fn softmax(axis: u32, log: bool, of: &TensorType, x: &[f64], kind: &TensorType) -> Vec<f64> {
    each(kind, |at| {
        let values = line(at, &[axis], of, x);
        let max = reduce(Reduction::Max, &values);
        let sum = values.iter().fold(0.0, |sum, x| sum + libm::exp(x - max));
        let own = values[at[axis as usize]] - max;
        element::round(if log { own - libm::log(sum) } else { libm::exp(own) / sum }, kind.dtype)
    })
}

fn gather(axis: usize, types: &[&TensorType], x: &[&[f64]], kind: &TensorType) -> Vec<f64> {
    let depth = types[1].shape.len();
    each(kind, |at| {
        let index = x[1][place(&at[axis..axis + depth], &types[1].shape)];
        let Some(index) = indexed(index, types[0].shape[axis]) else { return f64::NAN };
        let at = [&at[..axis], &[index], &at[axis + depth..]].concat();
        x[0][place(&at, &types[0].shape)]
    })
}

/// A position along an axis, from its end where it is negative.
fn indexed(index: f64, length: usize) -> Option<usize> {
    let index = if index < 0.0 { index + length as f64 } else { index };
    (index >= 0.0 && index < length as f64).then_some(index as usize)
}

fn matmul(types: &[&TensorType], x: &[&[f64]], kind: &TensorType) -> Vec<f64> {
    let (a, b) = (&types[0].shape, &types[1].shape);
    let Ok(shape) = infer::matmul_shape(a, b) else { return vec![f64::NAN; kind.elements()] };
    let batches = &TensorType { dtype: kind.dtype, shape: shape.batch.clone() };
    let leading = |own: &[usize]| own[..own.len().saturating_sub(2)].to_vec();
    let first = each(batches, |at| place(at, &leading(a)) as f64);
    let second = each(batches, |at| place(at, &leading(b)) as f64);
    let mut out = Vec::new();
    for (first, second) in first.into_iter().zip(second) {
        let a = &x[0][first as usize * shape.rows * shape.shared..];
        let b = &x[1][second as usize * shape.shared * shape.columns..];
        for i in 0..shape.rows {
            for j in 0..shape.columns {
                let term = |k: usize| a[i * shape.shared + k] * b[k * shape.columns + j];
                out.push(element::round((0..shape.shared).fold(0.0, |sum, k| sum + term(k)), kind.dtype));
            }
        }
    }
    out
}
