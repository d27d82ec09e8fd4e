//! Operators along axes.

use serve_core::graph::{Dtype, Extreme, Op, Reduction};

use super::super::attributes::axis;
use super::super::file::NodeFile;
use super::super::lower::{Fault, Lowering, Value};

/// The reduction that a node is.
pub(super) fn reduction(node: &NodeFile<'_>) -> Option<Reduction> {
    Some(match node.op {
        "ReduceL1" => Reduction::L1,
        "ReduceL2" => Reduction::L2,
        "ReduceLogSum" => Reduction::LogSum,
        "ReduceLogSumExp" => Reduction::LogSumExp,
        "ReduceMax" => Reduction::Max,
        "ReduceMean" => Reduction::Mean,
        "ReduceMin" => Reduction::Min,
        "ReduceProd" => Reduction::Prod,
        "ReduceSum" => Reduction::Sum,
        "ReduceSumSquare" => Reduction::SumSquare,
        _ => return None,
    })
}

/// Axes are an attribute in older operator sets and an operand in newer ones.
pub(super) fn axes<'a>(
    node: &NodeFile<'a>,
    low: &mut Lowering<'a>,
    operand: usize,
    rank: usize,
) -> Result<Option<Vec<usize>>, Fault> {
    let given: Option<Vec<i64>> = match low.constant(node, operand)? {
        Some(values) => Some(values.iter().map(|&axis| axis as i64).collect()),
        None => node.attribute("axes").map(|attribute| attribute.ints.clone()),
    };
    let Some(given) = given else { return Ok(None) };
    let mut axes = given.into_iter().map(|given| axis(given, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(Some(axes))
}

pub(super) fn reduce<'a>(
    kind: Reduction,
    node: &NodeFile<'a>,
    low: &mut Lowering<'a>,
) -> Result<Value, Fault> {
    let x = low.number(node, 0)?;
    let shape = low.graph.shape(x).to_vec();
    let axes = axes(node, low, 1, shape.len())?.unwrap_or_default();
    if axes.is_empty() && node.int("noop_with_empty_axes", 0) != 0 {
        return Ok(Value::Number(x));
    }
    let narrow = axes.iter().map(|&axis| axis as u32).collect();
    let reduced = low.graph.push(Op::Reduce { kind, axes: narrow }, &[x])?;
    if node.int("keepdims", 1) != 0 {
        return Ok(Value::Number(reduced));
    }
    let kept = (0..shape.len()).filter(|axis| !axes.is_empty() && !axes.contains(axis));
    let shape: Vec<usize> = kept.map(|axis| shape[axis]).collect();
    Ok(Value::Number(low.graph.reshape(reduced, &shape)?))
}

pub(super) fn arg<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let x = low.number(node, 0)?;
    let mut shape = low.graph.shape(x).to_vec();
    let axis = node.axis(0, shape.len())?;
    let extreme = if node.op == "ArgMax" { Extreme::Max } else { Extreme::Min };
    let last = node.int("select_last_index", 0) != 0;
    let place = low.graph.push(Op::Arg { extreme, axis: axis as u32, last }, &[x])?;
    if node.int("keepdims", 1) != 0 {
        return Ok(Value::Number(place));
    }
    shape.remove(axis);
    Ok(Value::Number(low.graph.reshape(place, &shape)?))
}

/// Before operator set 13 everything from the axis on was one dimension.
pub(super) fn softmax<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let x = low.number(node, 0)?;
    let shape = low.graph.shape(x).to_vec();
    let log = node.op == "LogSoftmax";
    if low.opset >= 13 {
        let axis = node.axis(-1, shape.len())? as u32;
        return Ok(Value::Number(low.graph.push(Op::Softmax { axis, log }, &[x])?));
    }
    let axis = node.axis(1, shape.len())?;
    let flat = [shape[..axis].iter().product(), shape[axis..].iter().product()];
    let flat = low.graph.reshape(x, &flat)?;
    let flat = low.graph.push(Op::Softmax { axis: 1, log }, &[flat])?;
    Ok(Value::Number(low.graph.reshape(flat, &shape)?))
}

pub(super) fn cumulative_sum<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    if node.int("exclusive", 0) != 0 || node.int("reverse", 0) != 0 {
        return Err(Fault::unsupported("exclusive or reverse sums", "sums from the first value on"));
    }
    let x = low.number(node, 0)?;
    let given = low.constant(node, 1)?.and_then(|axis| axis.first().copied());
    let axis = axis(given.unwrap_or(0.0) as i64, low.graph.shape(x).len())? as u32;
    Ok(Value::Number(low.graph.push(Op::CumSum { axis }, &[x])?))
}

pub(super) fn top_k<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Vec<Value>, Fault> {
    let x = low.number(node, 0)?;
    let axis = node.axis(-1, low.graph.shape(x).len())? as u32;
    let count = match low.constant(node, 1)? {
        Some(count) => count.first().copied().unwrap_or(0.0),
        None => node.int("k", 0) as f64,
    };
    let extreme = if node.int("largest", 1) != 0 { Extreme::Max } else { Extreme::Min };
    let places = low.graph.push(Op::TopK { axis, count: count as u32, extreme }, &[x])?;
    let values = low.graph.push(Op::GatherElements { axis }, &[x, places])?;
    let places = low.graph.cast(places, Dtype::I64)?;
    Ok(vec![Value::Number(values), Value::Number(places)])
}
