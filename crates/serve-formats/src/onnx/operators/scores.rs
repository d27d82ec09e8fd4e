//! What classifiers and regressors do to raw scores, as ONNX Runtime does it (measured on onnxruntime 1.31.1).

use serve_core::graph::{Binary, Dtype, Extreme, Op, Tensor, Unary};

use super::super::file::NodeFile;
use super::super::lower::{Fault, Lowering, Value};

/// `post_transform`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
}

const SUPPORTED: &str = "NONE, LOGISTIC, SOFTMAX and SOFTMAX_ZERO";

impl Transform {
    /// Of an attribute that is text.
    pub(super) fn named(node: &NodeFile<'_>) -> Result<Self, Fault> {
        match node.text("post_transform")? {
            None | Some("NONE") => Ok(Self::None),
            Some("LOGISTIC") => Ok(Self::Logistic),
            Some("SOFTMAX") => Ok(Self::Softmax),
            Some("SOFTMAX_ZERO") => Ok(Self::SoftmaxZero),
            Some(other) => {
                let what = format!("post_transform {:.40}", format!("{other:?}"));
                Err(Fault::unsupported(what, SUPPORTED))
            }
        }
    }

    /// Of several scores `[1, k]`.
    pub(super) fn apply(self, low: &mut Lowering<'_>, scores: Tensor) -> Result<Tensor, Fault> {
        Ok(match self {
            Self::None => scores,
            Self::Logistic => logistic(low, scores)?,
            Self::Softmax => low.graph.push(Op::Softmax { axis: 1, log: false }, &[scores])?,
            Self::SoftmaxZero => softmax_zero(low, scores)?,
        })
    }
}

/// `1 / (1 + e^-|x|)`, and 1 minus it where x is negative: the difference to one formula shows where the result is
/// small.
pub(super) fn logistic(low: &mut Lowering<'_>, x: Tensor) -> Result<Tensor, Fault> {
    let size = low.graph.unary(Unary::Abs, x)?;
    let likely = low.graph.unary(Unary::Sigmoid, size)?;
    let one = low.graph.scalar(1.0, low.graph.dtype(x))?;
    let unlikely = low.graph.binary(Binary::Sub, one, likely)?;
    let negative = low.graph.binary_scalar(Binary::Less, x, 0.0)?;
    Ok(low.graph.push(Op::Where, &[negative, unlikely, likely])?)
}

/// Scores near zero keep out of the sum.
fn softmax_zero(low: &mut Lowering<'_>, scores: Tensor) -> Result<Tensor, Fault> {
    let reduce = |kind| Op::Reduce { kind, axes: vec![1] };
    let max = low.graph.push(reduce(serve_core::graph::Reduction::Max), &[scores])?;
    let shifted = low.graph.binary(Binary::Sub, scores, max)?;
    let powers = low.graph.unary(Unary::Exp, shifted)?;
    let least = low.graph.unary(Unary::Neg, max)?;
    let least = low.graph.unary(Unary::Exp, least)?;
    let small = low.graph.binary(Binary::Mul, scores, least)?;
    let size = low.graph.unary(Unary::Abs, scores)?;
    let counts = low.graph.binary_scalar(Binary::Greater, size, f64::from(1e-7_f32))?;
    let zero = low.graph.scalar(0.0, low.graph.dtype(scores))?;
    let counted = low.graph.push(Op::Where, &[counts, powers, zero])?;
    let sum = low.graph.push(reduce(serve_core::graph::Reduction::Sum), &[counted])?;
    let values = low.graph.push(Op::Where, &[counts, powers, small])?;
    Ok(low.graph.binary(Binary::Div, values, sum)?)
}

/// `[1 - s, s]` of `[1, 1]`.
pub(super) fn complement(low: &mut Lowering<'_>, score: Tensor) -> Result<Tensor, Fault> {
    let one = low.graph.scalar(1.0, low.graph.dtype(score))?;
    let other = low.graph.binary(Binary::Sub, one, score)?;
    Ok(low.graph.concat(1, &[other, score])?)
}

/// `[-s, s]` of `[1, 1]`.
pub(super) fn opposite(low: &mut Lowering<'_>, score: Tensor) -> Result<Tensor, Fault> {
    let other = low.graph.unary(Unary::Neg, score)?;
    Ok(low.graph.concat(1, &[other, score])?)
}

/// A classifier's labels.
pub(super) fn class_labels<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<(Value, usize), Fault> {
    let strings = node.strings("classlabels_strings");
    if !strings.is_empty() {
        let ids = strings.iter().map(|text| low.identity(text)).collect();
        return Ok((Value::Text(low.graph.constant(Dtype::I64, &[strings.len()], ids)?), strings.len()));
    }
    let ints = match node.ints("classlabels_ints") {
        [] => node.ints("classlabels_int64s"),
        ints => ints,
    };
    if ints.is_empty() {
        return Err(Fault::invalid("class labels", "none"));
    }
    let values = ints.iter().map(|&label| label as f64).collect();
    Ok((Value::Number(low.graph.constant(Dtype::I64, &[ints.len()], values)?), ints.len()))
}

/// The label `[1]` at an index.
pub(super) fn label(low: &mut Lowering<'_>, labels: &Value, index: Tensor) -> Result<Value, Fault> {
    let index = low.graph.reshape(index, &[1])?;
    let gather = Op::Gather { axis: 0 };
    Ok(match labels {
        Value::Number(labels) => Value::Number(low.graph.push(gather, &[*labels, index])?),
        Value::Text(labels) => Value::Text(low.graph.push(gather, &[*labels, index])?),
    })
}

/// The index of the greatest score, the first of equals.
pub(super) fn greatest(low: &mut Lowering<'_>, scores: Tensor) -> Result<Tensor, Fault> {
    Ok(low.graph.push(Op::Arg { extreme: Extreme::Max, axis: 1, last: false }, &[scores])?)
}

/// Index 1 where a score `[1, 1]` is above a bound, else 0.
pub(super) fn above(low: &mut Lowering<'_>, score: Tensor, bound: f64) -> Result<Tensor, Fault> {
    let above = low.graph.binary_scalar(Binary::Greater, score, bound)?;
    Ok(low.graph.cast(above, Dtype::I64)?)
}
